"""The table of refusals: when each ends, and what it applies to."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from infobip_omni.api.reports import Status, StatusGroup
from infobip_omni.statuses import (
    REFUSALS,
    RefusalKind,
    Scope,
    ends,
    group_of,
    id_of,
    is_duplicate,
    is_unexplained,
    is_unlisted,
    may_end,
    refusal_of,
    refuses_account,
)

#: The ids of the group REJECTED on Infobip's page "Response status and error codes".
DOCUMENTED = {
    *{6, 8, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 23, 24, 25, 51, 52, 87, 99, 100},  # general
    *{65, 68, 69, 70, 71, 73, 74},  # push
    *{*range(53, 65), 83, 87, 91},  # voice
    *{56, 77},  # MMS
    *{75, 88, 89, 90},  # e-mail
}


def rejected(status_id: int | None, name: str | None = None) -> Status:
    return Status(group_id=StatusGroup.REJECTED, id=status_id, name=name)


def test_every_documented_refusal_is_listed() -> None:
    assert {each.id for each in REFUSALS} == DOCUMENTED
    repeated = {status_id for status_id, n in Counter(r.id for r in REFUSALS).items() if n > 1}
    assert repeated == {87}
    assert len({each.name for each in REFUSALS}) == len(REFUSALS)


@pytest.mark.parametrize(
    ("kind", "status_ids"),
    [
        (RefusalKind.ACCOUNT, {11, 12, 13, 17, 18, 19, 65, 75}),
        (RefusalKind.LATER, {20, 21, 89, 100}),
    ],
)
def test_only_refusals_that_are_not_about_the_content_end(
    kind: RefusalKind, status_ids: set[int]
) -> None:
    assert {each.id for each in REFUSALS if each.kind is kind} == status_ids
    assert {each.id for each in REFUSALS if ends(rejected(each.id))} >= status_ids


def test_only_credit_and_sender_apply_to_other_messages() -> None:
    """A refusal that may depend on the recipient must not hold up messages to others."""
    scopes = {each.id: each.scope for each in REFUSALS if each.scope is not Scope.MESSAGE}

    assert scopes == {
        **dict.fromkeys((12, 17, 75), Scope.ACCOUNT),
        **dict.fromkeys((11, 13, 65), Scope.SCENARIO),
    }


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.name)
def test_refusal_is_known_by_its_name_and_by_its_id(refusal: object) -> None:
    """Either may be missing, and ids repeat; two refusals with one id are of one kind."""
    assert isinstance(refusal, type(REFUSALS[0]))
    by_id = refusal_of(rejected(refusal.id))

    assert refusal_of(rejected(refusal.id, refusal.name)) == refusal
    assert refusal_of(rejected(10**6, refusal.name)) == refusal
    assert by_id is not None
    assert (by_id.id, by_id.kind) == (refusal.id, refusal.kind)
    assert not is_unlisted(rejected(refusal.id))


@pytest.mark.parametrize("status_id", [0, 1, 7, 12345, -1])
def test_refusal_that_is_not_listed_is_for_good(status_id: int) -> None:
    status = rejected(status_id, "REJECTED_FOR_A_NEW_REASON")
    refusal = refusal_of(status)

    assert refusal is not None
    assert refusal.kind is RefusalKind.FOR_GOOD
    assert is_unlisted(status)
    assert not ends(status)
    assert not refuses_account(status)


@pytest.mark.parametrize("group_id", [0, 1, 2, 3, 4, 6])
def test_status_of_another_group_is_no_refusal(group_id: int) -> None:
    status = Status(group_id=group_id, id=12, name="REJECTED_NOT_ENOUGH_CREDITS")

    assert refusal_of(status) is None
    assert not ends(status)
    assert not is_unlisted(status)
    assert not refuses_account(status)


def _chapter_of_readme() -> str:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    return text.partition("### Refusals by Infobip\n")[2].partition("\n### ")[0]


def test_readme_lists_every_refusal_that_ends_with_its_reason() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| (.+) \| (.+) \|$", _chapter_of_readme(), re.MULTILINE
    )

    assert rows == [
        (str(each.id), each.name, each.kind.value, each.reason)
        for kind in (RefusalKind.ACCOUNT, RefusalKind.LATER)
        for each in REFUSALS
        if each.kind is kind
    ]


def test_readme_lists_the_ids_of_all_other_refusals() -> None:
    [listed] = re.findall(r"are for good \(([\d, ]+)\)", _chapter_of_readme())

    ids = {each.id for each in REFUSALS if not each.ends}
    assert listed == ", ".join(map(str, sorted(filter(None, ids))))


# --- Statuses with missing parts -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "group"),
    [
        *((group.name, group) for group in StatusGroup),
        ("OK", StatusGroup.ACCEPTED),
        ("Delivered", StatusGroup.DELIVERED),
        (" delivered\ufeff\n", StatusGroup.DELIVERED),
        ("DELIVERED\ud83d", StatusGroup.DELIVERED),
        ("DELIVERED_TO_HANDSET", None),
        ("Handset errors", None),
        ("\ud83d", None),
    ],
)
def test_name_of_group_tells_group(name: str, group: StatusGroup | None) -> None:
    """Upper and lower case do not matter, nor any other characters."""
    assert group_of(Status.model_validate({"groupName": name})) == group


#: Every status of Infobip's page that this project knows.
KNOWN = [
    *((each.id, each.name, StatusGroup.REJECTED) for each in REFUSALS),
    (0, "MESSAGE_ACCEPTED", StatusGroup.ACCEPTED),
    (3, "PENDING_WAITING_DELIVERY", StatusGroup.PENDING),
    (7, "PENDING_ENROUTE", StatusGroup.PENDING),
    (26, "PENDING_ACCEPTED", StatusGroup.PENDING),
    (4, "UNDELIVERABLE_REJECTED_OPERATOR", StatusGroup.UNDELIVERABLE),
    (9, "UNDELIVERABLE_NOT_DELIVERED", StatusGroup.UNDELIVERABLE),
    (31, "UNDELIVERABLE_NOT_SENT", StatusGroup.UNDELIVERABLE),
    (66, "UNDELIVERABLE_NO_DESTINATION", StatusGroup.UNDELIVERABLE),
    (96, "NO_ANSWER", StatusGroup.UNDELIVERABLE),
    (97, "BUSY", StatusGroup.UNDELIVERABLE),
    (98, "CANCELLED", StatusGroup.UNDELIVERABLE),
    (2, "DELIVERED_TO_OPERATOR", StatusGroup.DELIVERED),
    (5, "DELIVERED_TO_HANDSET", StatusGroup.DELIVERED),
    (15, "EXPIRED_EXPIRED", StatusGroup.EXPIRED),
    (29, "EXPIRED_DLR_UNKNOWN", StatusGroup.EXPIRED),
]


@pytest.mark.parametrize(("status_id", "name", "group"), KNOWN)
def test_id_or_name_of_known_status_tells_group(
    status_id: int, name: str, group: StatusGroup
) -> None:
    """Except for what is in two groups: the id 87, and the name SIGNALS_BLOCKED."""
    is_in_two_groups = name == "SIGNALS_BLOCKED"

    assert group_of(Status(id=status_id)) == (None if status_id == 87 else group)
    assert group_of(Status(name=name.lower())) == (None if is_in_two_groups else group)
    assert group_of(Status(id=status_id, name=name)) == (None if is_in_two_groups else group)
    assert id_of(Status(name=name)) == status_id


@pytest.mark.parametrize(
    ("status", "group"),
    [
        (Status(group_id=9, group_name="DELIVERED", id=5), 9),
        (Status(group_id=3, group_name="REJECTED", id=12), 3),
        (Status(group_name="REJECTED", id=5, name="DELIVERED_TO_HANDSET"), 5),
        (Status(group_name="Handset errors", id=5), 3),
        (Status(id=5, name="A_NEW_NAME"), 3),
        (Status(id=12345, name="DELIVERED_TO_HANDSET"), 3),
        (Status(id=5, name="REJECTED_DND"), None),
        (Status(id=12345, name="A_NEW_NAME"), None),
        (Status(id=-1), None),
    ],
)
def test_number_of_group_decides_then_its_name_then_the_status(
    status: Status, group: int | None
) -> None:
    """A number that is not known is not guessed at; an id and a name must not contradict."""
    assert group_of(status) == group


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.name)
def test_refusal_is_known_without_its_id(refusal: object) -> None:
    assert isinstance(refusal, type(REFUSALS[0]))

    status = Status(group_name="Rejected", name=refusal.name.lower())

    assert refusal_of(status) == refusal
    assert is_duplicate(status) == (refusal.id == 23)
    assert ends(status) == refusal.ends
    assert not is_unlisted(status)


@pytest.mark.parametrize("part", [{"group_id": 5}, {"group_name": "REJECTED"}])
def test_refusal_without_id_and_name_is_for_good_and_unlisted(part: dict[str, object]) -> None:
    """Nothing shows that it ends, and it is alarmed; but it may be any refusal."""
    status = Status.model_validate(part, by_name=True)
    refusal = refusal_of(status)

    assert refusal is not None
    assert (refusal.kind, refusal.id) == (RefusalKind.FOR_GOOD, None)
    assert is_unlisted(status)
    assert is_unexplained(status)
    assert not refuses_account(status)
    assert not is_duplicate(status)


@pytest.mark.parametrize(
    ("status", "may"),
    [
        (Status(group_id=5, id=12), True),
        (Status(group_id=5, name="REJECTED_SYSTEM_ERROR"), True),
        (Status(group_id=5), True),
        (Status(id=12345), True),
        (Status(id=87), True),
        (Status(group_id=5, id=12345), False),
        (Status(group_id=5, name="REJECTED_DND"), False),
        (Status(group_id=9), False),
        (Status(group_id=1), False),
        (Status(id=5), False),
    ],
)
def test_status_may_be_a_refusal_that_ends_unless_a_part_says_otherwise(
    status: Status, *, may: bool
) -> None:
    assert may_end(status) == may
