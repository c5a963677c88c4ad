"""A row belongs to the attempt whose bulk id it carries; otherwise status and time decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infobip_omni.api.reports import DeliveryReport, LogEntry
from infobip_omni.attempts import Bearing, bearing_of, is_about_earlier_attempt
from infobip_omni.message import Message, MessageState
from tests.fakes import make_message

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: Its first attempt was refused by status 12, and the second is claimed at noon.
MESSAGE = make_message(
    state=MessageState.UNKNOWN,
    steps=("PUSH", "SMS"),
    bulk_id="second",
    attempts=2,
    refused_bulk_ids={12: ("first",)},
    refused_attempt=1,
)
#: All attempts have the caller's own bulk id.
OWN = replace(MESSAGE, bulk_id="own", refused_bulk_ids={12: ("own",), 21: ("own",)})
#: The second attempt was refused too.
REFUSED_TWICE = replace(MESSAGE, refused_bulk_ids={12: ("first", "second")}, refused_attempt=2)
#: The first attempt has an unknown outcome, and the second was refused.
REFUSED_AFTER_UNKNOWN = replace(
    MESSAGE,
    earlier_bulk_ids=("first",),
    refused_bulk_ids={12: ("second",)},
    refused_attempt=2,
    follows_unknown=True,
)
BEFORE, AFTER = NOON - timedelta(seconds=1), NOON


def row(  # noqa: PLR0913
    bulk_id: str | None = None,
    status_id: int = 12,
    *,
    group_id: int = 5,
    done_at: datetime | None = None,
    sent_at: datetime | None = None,
    kind: type[DeliveryReport | LogEntry] = DeliveryReport,
) -> DeliveryReport | LogEntry:
    return kind.model_validate(
        {
            "messageId": "m-1",
            "bulkId": bulk_id,
            "status": {"groupId": group_id, "id": status_id},
            "doneAt": done_at and done_at.isoformat(),
            "sentAt": sent_at and sent_at.isoformat(),
        }
    )


@pytest.mark.parametrize("kind", [DeliveryReport, LogEntry])
@pytest.mark.parametrize("state", list(MessageState))
@pytest.mark.parametrize("done_at", [None, BEFORE, AFTER])
def test_row_with_bulk_id_of_refused_attempt_changes_nothing(
    state: MessageState, kind: type[DeliveryReport | LogEntry], done_at: datetime | None
) -> None:
    """So it is in every state, whatever the row says, and whenever."""
    message = replace(MESSAGE, state=state)

    for status_id, group_id in ((12, 5), (21, 5), (5, 3), (9, 2), (7, 1)):
        about = row("first", status_id, group_id=group_id, done_at=done_at, kind=kind)
        assert bearing_of(about, message) is Bearing.REFUSED


@pytest.mark.parametrize("message", [MESSAGE, REFUSED_AFTER_UNKNOWN])
@pytest.mark.parametrize("done_at", [None, BEFORE, AFTER])
def test_row_with_bulk_id_of_another_attempt_counts(
    message: Message, done_at: datetime | None
) -> None:
    """The account may refuse a message by report, after it was accepted."""
    (bulk_id,) = message.bulk_ids - {
        each for bulk_ids in message.refused_bulk_ids.values() for each in bulk_ids
    }

    assert bearing_of(row(bulk_id, done_at=done_at), message) is Bearing.COUNTS


def test_row_counts_where_no_attempt_was_refused() -> None:
    message = replace(MESSAGE, refused_bulk_ids={}, refused_attempt=0)

    for bulk_id in (None, "first", "second", "third"):
        assert bearing_of(row(bulk_id), message) is Bearing.COUNTS


@pytest.mark.parametrize("bulk_id", ["first", "second"])
def test_row_of_every_refused_attempt_changes_nothing(bulk_id: str) -> None:
    assert bearing_of(row(bulk_id), REFUSED_TWICE) is Bearing.REFUSED


@pytest.mark.parametrize(
    ("message", "bulk_id"), [(OWN, "own"), (MESSAGE, None), (MESSAGE, "unknown")]
)
@pytest.mark.parametrize(
    ("status_id", "done_at", "sent_at", "bearing"),
    [
        (12, BEFORE, None, Bearing.REFUSED),
        (12, None, BEFORE, Bearing.REFUSED),
        (12, AFTER, None, Bearing.COUNTS),
        (12, None, AFTER, Bearing.COUNTS),
        (12, AFTER, BEFORE, Bearing.COUNTS),
        (12, None, None, Bearing.UNDECIDED),
        (13, BEFORE, None, Bearing.COUNTS),
        (13, None, None, Bearing.COUNTS),
    ],
)
def test_status_and_time_decide_without_a_bulk_id_of_one_attempt(  # noqa: PLR0913
    *,
    message: Message,
    bulk_id: str | None,
    status_id: int,
    done_at: datetime | None,
    sent_at: datetime | None,
    bearing: Bearing,
) -> None:
    """Under a caller's own bulk id, or where the row carries none of ours."""
    about = row(bulk_id, status_id, done_at=done_at, sent_at=sent_at)

    assert bearing_of(about, message) is bearing


@pytest.mark.parametrize("bulk_id", ["own", None])
def test_row_of_last_attempt_may_be_younger_than_its_claim(bulk_id: str | None) -> None:
    """The attempt that waits for the cure is itself the refused one."""
    message = replace(OWN, refused_attempt=2, earlier_bulk_ids=("own",))

    assert bearing_of(row(bulk_id, done_at=AFTER), message) is Bearing.REFUSED
    assert bearing_of(row(bulk_id), message) is Bearing.UNDECIDED
    assert bearing_of(row(bulk_id, 5, group_id=3), message) is Bearing.COUNTS


def test_refused_status_of_another_group_counts() -> None:
    """Ids repeat between groups."""
    assert bearing_of(row("own", group_id=4, done_at=BEFORE), OWN) is Bearing.COUNTS


def test_bulk_id_of_webhook_stands_in_for_that_of_report() -> None:
    assert bearing_of(row(None, done_at=AFTER), MESSAGE, "first") is Bearing.REFUSED
    assert bearing_of(row(None, done_at=BEFORE), MESSAGE, "second") is Bearing.COUNTS
    assert bearing_of(row("second", done_at=BEFORE), MESSAGE, "first") is Bearing.COUNTS


@pytest.mark.parametrize(
    ("status_id", "group_id", "bearing"),
    [
        (12, 5, Bearing.AWAITED),
        (20, 5, Bearing.AWAITED),
        (14, 5, Bearing.COUNTS),
        (5, 3, Bearing.COUNTS),
        (7, 1, Bearing.COUNTS),
    ],
)
def test_refusal_that_ends_waits_for_the_answer(
    status_id: int, group_id: int, bearing: Bearing
) -> None:
    """The answer to the attempt may say the same, and then the row decides nothing."""
    about = row("second", status_id, group_id=group_id)

    for message in (MESSAGE, replace(MESSAGE, refused_bulk_ids={}, refused_attempt=0)):
        assert bearing_of(about, replace(message, state=MessageState.CLAIMED)) is bearing
        assert bearing_of(about, message) is Bearing.COUNTS


def partly(bulk_id: str | None, status: dict[str, object], at: datetime | None) -> DeliveryReport:
    """Build a report whose status lacks parts."""
    written = {"messageId": "m-1", "bulkId": bulk_id, "status": status}
    return DeliveryReport.model_validate(written | {"doneAt": at and at.isoformat()})


@pytest.mark.parametrize(
    ("status", "bearing"),
    [
        # The name tells the id.
        ({"groupId": 5, "name": "REJECTED_NOT_ENOUGH_CREDITS"}, Bearing.REFUSED),
        ({"name": "REJECTED_NOT_ENOUGH_CREDITS"}, Bearing.REFUSED),
        ({"id": 12}, Bearing.REFUSED),
        ({"groupName": "Rejected", "id": 12}, Bearing.REFUSED),
        ({"groupId": 5, "name": "REJECTED_DND"}, Bearing.COUNTS),
        # It may be about the refused attempt, or about another one.
        ({"groupId": 5}, Bearing.UNDECIDED),
        ({"groupName": "REJECTED"}, Bearing.UNDECIDED),
        ({"groupId": 5, "name": "A_NEW_NAME"}, Bearing.UNDECIDED),
        ({"name": "A_NEW_NAME"}, Bearing.UNDECIDED),
        ({"id": 12, "name": "DELIVERED_TO_HANDSET"}, Bearing.UNDECIDED),
        # Something says that it is not.
        ({"groupId": 3}, Bearing.COUNTS),
        ({"groupName": "DELIVERED"}, Bearing.COUNTS),
        ({"id": 5}, Bearing.COUNTS),
        ({"groupId": 9}, Bearing.COUNTS),
        ({"id": 12345}, Bearing.COUNTS),
    ],
)
@pytest.mark.parametrize(("message", "bulk_id"), [(OWN, "own"), (MESSAGE, None)])
def test_missing_part_of_status_never_makes_refused_attempt_count(
    message: Message, bulk_id: str | None, status: dict[str, object], bearing: Bearing
) -> None:
    """Neither as accepted, nor as a proof that the message is refused for good."""
    timeless = Bearing.UNDECIDED if bearing is Bearing.REFUSED else bearing

    assert bearing_of(partly(bulk_id, status, BEFORE), message) is bearing
    assert bearing_of(partly(bulk_id, status, None), message) is timeless
    assert bearing_of(partly(bulk_id, status, AFTER), message) is Bearing.COUNTS


@pytest.mark.parametrize(
    ("status", "bearing"),
    [
        ({"groupId": 5}, Bearing.AWAITED),
        ({"name": "REJECTED_NOT_ENOUGH_CREDITS"}, Bearing.AWAITED),
        ({"name": "A_NEW_NAME"}, Bearing.AWAITED),
        ({"id": 87}, Bearing.AWAITED),
        ({"groupId": 5, "id": 14}, Bearing.COUNTS),
        ({"groupName": "DELIVERED"}, Bearing.COUNTS),
        ({"groupId": 9}, Bearing.COUNTS),
    ],
)
def test_status_that_may_be_a_refusal_that_ends_waits_for_the_answer(
    status: dict[str, object], bearing: Bearing
) -> None:
    message = replace(MESSAGE, refused_bulk_ids={}, refused_attempt=0, state=MessageState.CLAIMED)

    assert bearing_of(partly("second", status, AFTER), message) is bearing


def test_only_an_attempt_that_was_not_refused_proves_by_its_bulk_id() -> None:
    message = replace(MESSAGE, earlier_bulk_ids=("lost",))

    def proves(bulk_id: str | None, about: Message = message) -> bool:
        entry = row(bulk_id, kind=LogEntry)
        assert isinstance(entry, LogEntry)
        return is_about_earlier_attempt(entry, about)

    assert proves("lost")
    assert not any(map(proves, ("first", "second", "unknown", None)))
    assert not proves("own", replace(OWN, earlier_bulk_ids=("own",)))
