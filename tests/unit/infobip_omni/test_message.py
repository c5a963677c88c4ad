"""A message is read back as it was written, and its rules follow from its attributes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.dynamodb import Expectation, Update, from_wire, to_wire
from infobip_omni.message import (
    ACCEPTED_OR_FINAL,
    RESOLVED,
    SETTLED,
    UNPROVEN,
    Chunk,
    Contents,
    Entry,
    Evidence,
    Message,
    MessageState,
    UnreadableMessage,
    expect,
    happened_at,
    new_item,
    outcome_of,
    shown_entry,
    update,
)
from infobip_omni.timestamps import format_utc
from tests.fakes import readable

if TYPE_CHECKING:
    from infobip_omni.dynamodb import Item

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
ITEM: dict[str, Any] = {
    "messageId": "m-1",
    "entry": "MESSAGE",
    "state": "CLAIMED",
    "contentHash": "hash",
    "to": {"phoneNumber": "385991234567"},
    "bulkId": "bulk-1",
    "onUnknown": "never-duplicate",
    "attempts": 1,
    "claimToken": "token",
    "claimedAt": format_utc(NOW),
    "leaseUntil": format_utc(NOW + timedelta(minutes=2)),
    "verdictRank": "",
    "expiresAt": 1_800_000_000,
}


def message(**attributes: object) -> Message:
    """Read a message from an item of the table with these attributes changed."""
    return next(readable([Message.from_item(from_wire(to_wire(ITEM | attributes)))]))


def test_absent_attributes_have_defaults() -> None:
    """Only some messages have these attributes."""
    read = message()

    assert (read.steps, read.last_step, read.send_at, read.next_check_at) == (None,) * 4
    assert (read.evidence, read.absent_answers) == (None, 0)
    assert (read.is_released, read.is_closed) == (False, False)
    assert not read.is_due(NOW + timedelta(days=99))


def test_present_attributes_are_read() -> None:
    """Numbers and timestamps are converted."""
    read = message(
        steps=["PUSH", "SMS"],
        sendAt="2026-02-01T00:00:00.000Z",
        nextCheckAt="2026-02-01T00:10:00.000Z",
        evidence="duplicate-id",
        absentAnswers=2,
        releasedAt="2026-02-01T00:00:00.000Z",
        closedAt="2026-02-01T00:00:00.000Z",
    )

    assert (read.steps, read.last_step) == (("PUSH", "SMS"), "SMS")
    assert read.send_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert read.next_check_at == datetime(2026, 2, 1, 0, 10, tzinfo=UTC)
    assert (read.absent_answers, read.attempts, read.expires_at) == (2, 1, 1_800_000_000)
    assert read.was_refused_as_repeat
    assert (read.is_released, read.is_closed) == (True, True)


def test_addresses_do_not_show_in_repr() -> None:
    """An error's text may hold a message."""
    assert "385991234567" not in repr(message())


def test_change_expects_what_was_read() -> None:
    """That is the state, the claim, and the next check if there is one."""
    claimed = (Expectation("state", "CLAIMED"), Expectation("claimToken", "token"))
    check = "2026-02-01T00:10:00.000Z"

    assert message().changed(attempts=2) == Update("m-1", "MESSAGE", {"attempts": 2}, claimed)
    assert message(nextCheckAt=check).changed(attempts=2) == Update(
        "m-1", "MESSAGE", {"attempts": 2}, (*claimed, Expectation("nextCheckAt", check))
    )


@given(st.datetimes(timezones=st.just(UTC)))
def test_expected_timestamps_are_formatted_as_stored(timestamp: datetime) -> None:
    """Otherwise no update would meet its condition, since DynamoDB compares texts."""
    stored = format_utc(timestamp)
    expected = message(nextCheckAt=stored).changed().expected

    assert Expectation("nextCheckAt", stored) in expected


def test_attribute_names_are_fields_in_camel_case() -> None:
    """None removes an attribute."""
    changed = update("m-1", expect(expires_at=5), unknown_at=NOW, absent_answers=None)

    assert changed == Update(
        "m-1",
        "MESSAGE",
        {"unknownAt": "2026-01-31T12:00:00.123Z", "absentAnswers": None},
        (Expectation("expiresAt", 5),),
    )
    assert new_item("m-1", callback_data="order 7") == {
        "messageId": "m-1",
        "entry": "MESSAGE",
        "callbackData": "order 7",
    }


@pytest.mark.parametrize(
    ("send_at", "age"),
    [
        (None, timedelta(hours=1)),
        (NOW - timedelta(days=1), timedelta(hours=1)),
        (NOW + timedelta(days=1), timedelta(hours=1) - timedelta(days=1)),
    ],
)
def test_age_counts_from_when_message_is_due(send_at: datetime | None, age: timedelta) -> None:
    """Infobip sends immediately if `sendAt` is in the past."""
    read = message(sendAt=send_at and format_utc(send_at), claimedAt="2026-01-31T12:00:00.123Z")

    assert abs(read.age(read.claimed_at + timedelta(hours=1)) - age) < timedelta(milliseconds=1)


def test_lease_and_message_expire_on_time() -> None:
    """A lease expires to the millisecond, a message to the second."""
    read = message(leaseUntil="2026-01-31T12:00:00.123Z", expiresAt=1_800_000_000)

    assert not read.lease_has_ended(datetime(2026, 1, 31, 12, 0, 0, 122999, tzinfo=UTC))
    assert read.lease_has_ended(NOW)
    assert not message(state="WAITING", leaseUntil=format_utc(NOW)).lease_has_ended(NOW)
    assert not read.has_expired(datetime.fromtimestamp(1_799_999_999.9, UTC))
    assert read.has_expired(datetime.fromtimestamp(1_800_000_000, UTC))


@pytest.mark.parametrize("state", MessageState)
@pytest.mark.parametrize("closed_at", [None, format_utc(NOW)], ids=["open", "closed"])
def test_only_open_quarantine_waits_for_decision(
    state: MessageState, closed_at: str | None
) -> None:
    """A closed message, or one that Infobip has, needs no operator."""
    read = message(state=state, closedAt=closed_at)
    quarantined = state is MessageState.QUARANTINED

    assert read.is_open == (quarantined and closed_at is None)
    assert read.is_done == (state in ACCEPTED_OR_FINAL or (quarantined and closed_at is not None))


def test_other_evidence_is_no_refused_repeat() -> None:
    """Only Infobip's refusal of the id is."""
    assert not message(evidence=Evidence.LOGS).was_refused_as_repeat


def test_groups_of_states_agree() -> None:
    """Every state either proves that Infobip accepted the message, or does not."""
    assert set(MessageState) == ACCEPTED_OR_FINAL | UNPROVEN
    assert not ACCEPTED_OR_FINAL & UNPROVEN
    assert ACCEPTED_OR_FINAL - {MessageState.ACCEPTED} == SETTLED
    assert ACCEPTED_OR_FINAL | {MessageState.QUARANTINED} == RESOLVED


# --- Reported entries -------------------------------------------------------------------------


@pytest.mark.parametrize("contents", Contents)
def test_entry_keeps_report_unchanged(contents: Contents) -> None:
    """The name of the attribute says what kind of report it is."""
    entry = Entry("m-1", "REPORT#SMS#5#-", contents, "{}", NOW, 1_800_000_000)

    assert entry.to_item() == {
        "messageId": "m-1",
        "entry": "REPORT#SMS#5#-",
        contents.value: "{}",
        "receivedAt": "2026-01-31T12:00:00.123Z",
        "expiresAt": 1_800_000_000,
    }
    assert shown_entry(entry.to_item(), str.upper) == {
        "entry": "REPORT#SMS#5#-",
        "receivedAt": "2026-01-31T12:00:00.123Z",
        contents.value: "{}",
    }


def test_chunk_is_read_as_it_was_written() -> None:
    """boto3 returns the bytes of an item as a type of its own."""
    chunk = Chunk("PAGE#1#001-001", b"\x1f\x8b")
    item = chunk.to_item("#pages", 5)

    assert Chunk.from_item(from_wire(to_wire(item))) == chunk
    assert (item["messageId"], item["expiresAt"]) == ("#pages", 5)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"entry": "REPORT#SMS#5#2026-01-31T12:00:00.000Z", "receivedAt": "later"}, "2026"),
        ({"entry": "REPORT#SMS#5#-", "receivedAt": "later"}, "later"),
        ({"entry": "PAGE#1"}, ""),
    ],
)
def test_entry_happened_at_its_own_time_or_when_received(item: Item, expected: str) -> None:
    """A report may lack a time of its own."""
    assert happened_at(item).startswith(expected)


def test_outcome_has_recipient_only_on_request() -> None:
    """It never has the table's internal attributes."""
    assert outcome_of(ITEM, with_recipient=False) == {"messageId": "m-1", "state": "CLAIMED"}
    assert outcome_of(ITEM, with_recipient=True)["to"] == ITEM["to"]


@pytest.mark.parametrize(
    "attributes",
    [
        *({name: None} for name in ITEM if name not in ("messageId", "entry")),
        *({name: [b"odd"]} for name in ITEM if name not in ("messageId", "entry")),
        {"state": "SEEN"},
        {"to": {"phoneNumber": 5}},
        {"steps": [5]},
        {"sendAt": "2026-01-31T12:00:00"},
        {"nextCheckAt": 5},
        {"absentAnswers": "three"},
    ],
    ids=str,
)
def test_item_of_other_version_is_unreadable(attributes: dict[str, Any]) -> None:
    """A later version may have written it. Its id is known in any case."""
    item = {name: value for name, value in (ITEM | attributes).items() if value is not None}

    read = Message.from_item(item)

    assert read == UnreadableMessage("m-1", "" if "bulkId" in attributes else "bulk-1")
