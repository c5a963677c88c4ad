"""What the channels of the simulator count, reject and answer."""

from __future__ import annotations

import pytest

from tests.local_world.infobip_simulator import log_lists
from tests.local_world.infobip_simulator.rejections import rejection_of
from tests.local_world.infobip_simulator.sms_parts import count_parts
from tests.local_world.infobip_simulator.statuses import (
    FORMS,
    OUTCOMES,
    REFUSALS,
    STATUSES,
    error_of,
    in_form,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("ä" * 160, 1),  # of the default alphabet, although not ASCII
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 8, 2),  # the euro does not fit into the first part
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ž" * 70, 1),
        ("ž" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 66 + "😀" + "ž" * 3, 2),
        ("😀" * 34 + "ž" * 66, 3),  # 67 units hold 33 of them, and no half
        ("`", 1),
        ("`" * 71, 2),  # ASCII, but of no GSM alphabet
    ],
)
def test_parts_are_counted_by_alphabet(text: str, parts: int) -> None:
    """Three alphabets: GSM 03.38, its extension at two septets, and UTF-16."""
    assert count_parts(text) == parts


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        ("ş" + "a" * 153, "TR", 1),
        ("ş" + "a" * 154, "TR", 2),
        ("ş" + "a" * 154, None, 3),
        ("ş" + "a" * 154, "ES", 3),
        ("ú" * 77, "ES", 1),
        ("ã" * 78, "PT", 2),
        ("ş" + "a" * 153, "AUTODETECT", 1),
        ("ž" * 71, "AUTODETECT", 2),
        ("a" * 160, "TR", 1),
    ],
)
def test_language_adds_its_characters(text: str, language: str | None, parts: int) -> None:
    """A message that names its language holds 155 septets, and its part 149."""
    assert count_parts(text, language=language) == parts


def test_transliterated_text_is_counted_in_the_default_alphabet() -> None:
    assert count_parts("ž" * 160, transliterated=True) == 1


@pytest.mark.parametrize(
    ("channel", "content", "status"),
    [
        ("SMS", {"text": "a" * 3825}, None),
        ("SMS", {"text": "a" * 3826}, "REJECTED_MESSAGE_TOO_LONG"),
        ("SMS", {"text": "ž" * 1676}, "REJECTED_MESSAGE_TOO_LONG"),
        ("SMS", {"text": "ž" * 1676, "transliteration": "ALL"}, None),
        ("SMS", {"text": "ž" * 1676, "transliteration": "NONE"}, "REJECTED_MESSAGE_TOO_LONG"),
        ("SMS", {"text": "ž" * 2001, "transliteration": "ALL"}, "REJECTED_MESSAGE_TOO_LONG"),
        ("SMS", {"text": "ş" * 1676, "language": {"languageCode": "TR"}}, None),
        ("PUSH", {"text": "x", "customPayload": {"a": "x" * 3963}}, None),
        ("PUSH", {"text": "x", "customPayload": {"a": "x" * 3964}}, "REJECTED_PAYLOAD_TOO_BIG"),
        (
            "PUSH",
            {"text": "x" * 2000, "customPayload": {"a": "x" * 2000}},
            "REJECTED_PAYLOAD_TOO_BIG",
        ),
        ("PUSH", {"text": "x", "notificationOptions": {"inboxTopic": "news"}}, None),
        (
            "PUSH",
            {"text": "x", "notificationOptions": {"inboxTopic": "olds"}},
            "REJECTED_INVALID_INBOX_TOPIC",
        ),
        ("PUSH", {"text": " "}, "REJECTED_NO_CONTENT"),
        ("PUSH", {"text": " ", "customPayload": {"a": 1}}, None),
        ("PUSH", {"notificationOptions": {"isSilent": True}}, None),
        ("VOICE", {"text": "\n"}, "REJECTED_MESSAGE_IS_EMPTY"),
        ("VOICE", {"text": "x" * 5000}, None),
        ("EMAIL", {"text": " "}, None),
        ("KAKAO_CHINGU", {"imageUrl": "x"}, None),
    ],
)
def test_channel_rejects_content_above_its_limits(
    channel: str, content: dict[str, object], status: str | None
) -> None:
    """At most 25 parts and 4,000 bytes of an SMS, and 4,000 characters of a push."""
    assert rejection_of(channel, content, ("news",)) == status


@pytest.mark.parametrize(
    ("way", "length", "returned"),
    [
        ("newest-n-rows", 1, [3]),
        ("oldest-n-rows", 1, [1]),
        ("oldest-n-rows", 0, []),
        ("all", 0, [3, 2, 1]),
    ],
)
def test_rows_of_the_logs_can_be_capped(way: str, length: int, returned: list[int]) -> None:
    rows = [{"number": number} for number in (3, 2, 1)]

    assert [row["number"] for row in log_lists.rows_returned(way, rows, length)] == returned


def test_statuses_are_those_of_the_page() -> None:
    """The ids of each group, among them those of push, calls and e-mail."""
    ids: dict[int, set[int]] = {}
    for status in STATUSES.values():
        ids.setdefault(status["groupId"], set()).add(status["id"])

    invented = 999
    assert ids == {
        0: {0},
        1: {3, 7, 26},
        2: {4, 9, 31, 66, 96, 97, 98},
        3: {2, 5},
        4: {15, 29, 87},
        5: {
            *(6, 8, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 23, 24, 25, 51, 52, 87, 99, 100),
            *(65, 68, 69, 70, 71, 73, 74),
            *(53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 83, 91),
            *(75, 88, 89, 90),
            invented,
        },
    }


def test_each_final_status_can_be_an_outcome() -> None:
    """One id and name are in two groups, so an outcome has a name of its own."""
    assert len(OUTCOMES) == len(STATUSES) - 3
    assert (
        STATUSES["REJECTED_SIGNALS_BLOCKED"] | {"groupId": 4, "groupName": "EXPIRED"}
        == (STATUSES["SIGNALS_BLOCKED"])
    )
    assert "REJECTED_SIGNALS_BLOCKED" in REFUSALS


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("group", {"groupId": 3, "groupName": "DELIVERED"}),
        ("group-id", {"groupId": 3}),
        ("group-name", {"groupName": "DELIVERED"}),
        ("id", {"id": 5}),
        ("name", {"name": "DELIVERED_TO_HANDSET"}),
    ],
)
def test_status_can_lack_members(form: str, written: dict[str, object]) -> None:
    """Errors keep theirs."""
    error = error_of("DELIVERED_TO_HANDSET")

    assert in_form(STATUSES["DELIVERED_TO_HANDSET"], form) == written
    assert in_form(error, form) == error


def test_group_can_have_another_spelling() -> None:
    """Only group names differ, in statuses and in errors."""
    names = [
        in_form(each, "other-names")["groupName"]
        for each in (
            STATUSES["MESSAGE_ACCEPTED"],
            STATUSES["PENDING_ENROUTE"],
            error_of("DELIVERED_TO_HANDSET"),
            error_of("UNDELIVERABLE_NOT_DELIVERED"),
        )
    ]

    assert names == ["Ok", "Pending", "Ok", "Handset errors"]
    assert set(FORMS) == {"full", "group", "group-id", "group-name", "id", "name", "other-names"}
