"""The events of a batch and the ledger's answers decide what is claimed and refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.message import MessageState
from infobip_omni.queued_events import (
    Claimed,
    Pending,
    Postponed,
    QueuedEvent,
    Refused,
    disposition_of,
    read_event,
    want,
)
from infobip_omni.send_queue import (
    FIRST_DELAY,
    Acknowledge,
    DeadLetter,
    Record,
    Retry,
)
from infobip_omni.transitions import ClaimStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHONE = "385991234567"
HELD = ClaimStatus(MessageState.CLAIMED, token="mine")  # noqa: S106 (a claim's)
ACCEPTED = ClaimStatus(MessageState.ACCEPTED)
CONFLICT = ClaimStatus(MessageState.ACCEPTED, conflict=True)


def record(name: str, *message_ids: str, text: str = "hello", **changes: object) -> Record:
    """Build a record whose event has these messages."""
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
    body = {"sms": {"text": text}, "destinations": destinations} | changes
    return Record(name, name, f"handle of {name}", json.dumps(body), NOW, 1)


def pending(name: str, *message_ids: str, text: str = "hello", **changes: object) -> Pending:
    queued = read_event(record(name, *message_ids, text=text, **changes), NOW)
    assert isinstance(queued, Pending)
    return queued


def claimed(batch: list[QueuedEvent], **found: ClaimStatus) -> Claimed:
    """Claim the messages of a batch, given the ledger's answer for each."""
    wanted = want(batch, "never-duplicate")
    assert list(wanted.claims) == list(found)
    return wanted.claimed(found.values())


def conflicts(batch: list[QueuedEvent]) -> list[tuple[str, str]]:
    """Return the SQS ids of the records refused for a conflict, each with its field."""
    refused = [queued for queued in batch if isinstance(queued, Refused)]
    assert {queued.reason for queued in refused} <= {DeadLetterReason.CONFLICT}
    return [(queued.record.sqs_id, queued.field) for queued in refused]


def test_invalid_event_is_refused_when_read() -> None:
    """The decision holds the record, the field and the rule."""
    broken = record("a", "m1", colour="red")

    queued = read_event(broken, NOW)

    assert isinstance(queued, Refused)
    assert (queued.record, queued.reason, queued.field) == (
        broken,
        DeadLetterReason.INVALID,
        "colour",
    )
    assert queued.rule


def test_only_pending_events_claim_messages() -> None:
    """Refused and postponed events keep their place in the batch."""
    refused = read_event(record("a", "m1", colour="red"), NOW)
    postponed = Postponed(record("b", "m2"), pending("b", "m2").event)
    batch = [refused, postponed, pending("c", "m3")]

    wanted = want(batch, "never-duplicate")

    assert (wanted.batch, list(wanted.claims)) == (batch, ["m3"])


def test_message_in_two_records_is_claimed_for_the_first() -> None:
    """The records do not conflict, and the message is claimed once."""
    first, second = pending("a", "m1"), pending("b", "m1", "m2")

    wanted = want([first, second], "never-duplicate")

    assert conflicts(wanted.batch) == []
    assert wanted.owners == {"m1": first, "m2": second}


def test_event_in_conflict_with_earlier_event_claims_nothing() -> None:
    """It does not claim its other messages either, although they are free."""
    batch: list[QueuedEvent] = [pending("a", "m1"), pending("b", "m2", "m1", text="other")]

    wanted = want(batch, "never-duplicate")

    assert conflicts(wanted.batch) == [("b", "destinations[1].messageId")]
    assert list(wanted.claims) == ["m1"]


def test_refused_event_blocks_no_later_event() -> None:
    """A later event may claim its messages, even with other content."""
    batch: list[QueuedEvent] = [
        pending("a", "m1"),
        pending("b", "m1", "m2", text="second"),
        pending("c", "m2", text="third"),
    ]

    wanted = want(batch, "never-duplicate")

    assert conflicts(wanted.batch) == [("b", "destinations[0].messageId")]
    assert wanted.owners["m2"].record.sqs_id == "c"


def test_events_with_same_content_share_bulk() -> None:
    """The caller's bulk id is kept; without one, each content gets a bulk of its own."""
    batch: list[QueuedEvent] = [
        pending("a", "m1"),
        pending("b", "m2"),
        pending("c", "m3", text="other"),
        pending("d", "m4", bulkId="mine"),
    ]

    bulks = [claim.bulk_id for claim in want(batch, "never-duplicate").claims.values()]

    assert bulks[0] == bulks[1]
    assert len(set(bulks)) == 3
    assert bulks[3] == "mine"


@pytest.mark.parametrize(
    ("changes", "decided"), [({}, "never-duplicate"), ({"onUnknown": "must-arrive"}, "must-arrive")]
)
def test_event_overrides_policy_for_unknown_outcomes(changes: dict[str, str], decided: str) -> None:
    """An event without a choice of its own follows the policy of the deployment."""
    (claim,) = want([pending("a", "m1", **changes)], "never-duplicate").claims.values()

    assert claim.on_unknown == decided


def test_held_claims_become_claimed_messages() -> None:
    """Messages in any other state are not sent."""
    found = claimed([pending("a", "m1", "m2")], m1=HELD, m2=ACCEPTED)

    assert [(message.claim.message_id, message.token) for message in found.messages] == [
        ("m1", "mine")
    ]
    assert (conflicts(found.batch), found.given_back) == ([], [])


def test_conflict_with_ledger_gives_back_claims_of_its_record() -> None:
    """The other record of the batch keeps its claims."""
    batch: list[QueuedEvent] = [pending("a", "m1", "m2"), pending("b", "m3")]

    found = claimed(batch, m1=HELD, m2=CONFLICT, m3=HELD)

    assert conflicts(found.batch) == [("a", "destinations[1].messageId")]
    assert [message.claim.message_id for message in found.messages] == ["m3"]
    (outcome,) = found.given_back
    assert (outcome.message_id, outcome.token) == ("m1", "mine")
    assert (outcome.state, outcome.dead_letter_reason) == (MessageState.WAITING, "CONFLICT")


# --- Disposition of a record ---------------------------------------------------------------


def test_refused_record_is_dead_lettered_with_field_and_rule() -> None:
    """If the dead-letter queue does not accept it, it is redelivered soon."""
    refused = Refused(record("a", "m1"), DeadLetterReason.INVALID, "sms.text", "is required")

    end = disposition_of(refused, {}, {}, NOW)

    assert isinstance(end, DeadLetter)
    assert (end.reason, end.field, end.rule) == (
        DeadLetterReason.INVALID,
        "sms.text",
        "is required",
    )
    assert end.delay <= FIRST_DELAY


def test_postponed_record_ignores_claim_statuses() -> None:
    """Another record may have found the id accepted, but this one's content was not compared."""
    postponed = Postponed(record("a", "m1"), pending("a", "m1").event, backoff_seconds=60.0)

    end = disposition_of(postponed, {"m1": ACCEPTED}, {}, NOW)

    assert end == Retry(timedelta(seconds=60))


def test_pending_record_depends_only_on_its_own_messages() -> None:
    other = {"m2": ClaimStatus(MessageState.WAITING)}

    assert disposition_of(pending("a", "m1"), {"m1": ACCEPTED} | other, {}, NOW) == Acknowledge()


def test_record_waits_as_long_as_infobip_asks() -> None:
    """The wait that another record was asked for does not apply to it."""
    waiting = {"m1": ClaimStatus(MessageState.WAITING)}

    asked = disposition_of(pending("a", "m1"), waiting, {"a": 90.0}, NOW)
    unasked = disposition_of(pending("a", "m1"), waiting, {"b": 90.0}, NOW)

    assert asked == Retry(timedelta(seconds=90))
    assert isinstance(unasked, Retry)
    assert unasked.delay <= FIRST_DELAY
