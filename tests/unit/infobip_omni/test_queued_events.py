"""What a batch claims and refuses follows from its events and from what the ledger says."""

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
    """Make a record of an event with these messages."""
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
    body = {"sms": {"text": text}, "destinations": destinations} | changes
    return Record(name, name, f"handle of {name}", json.dumps(body), NOW, 1)


def pending(name: str, *message_ids: str, text: str = "hello", **changes: object) -> Pending:
    """Make an event that is still pending."""
    queued = read_event(record(name, *message_ids, text=text, **changes), NOW)
    assert isinstance(queued, Pending)
    return queued


def claimed(batch: list[QueuedEvent], **found: ClaimStatus) -> Claimed:
    """Claim what a batch wants, when the ledger says this of each message."""
    wanted = want(batch, "never-duplicate")
    assert list(wanted.claims) == list(found)
    return wanted.claimed(found.values())


def conflicts(batch: list[QueuedEvent]) -> list[tuple[str, str]]:
    """Return the records that are refused for a conflict, and the field of each."""
    refused = [queued for queued in batch if isinstance(queued, Refused)]
    assert {queued.reason for queued in refused} <= {DeadLetterReason.CONFLICT}
    return [(queued.record.sqs_id, queued.field) for queued in refused]


def test_event_that_breaks_a_rule_is_refused_when_it_is_read() -> None:
    """Its record stays with the decision, and field and rule say what is wrong."""
    broken = record("a", "m1", colour="red")

    queued = read_event(broken, NOW)

    assert isinstance(queued, Refused)
    assert (queued.record, queued.reason, queued.field) == (
        broken,
        DeadLetterReason.INVALID,
        "colour",
    )
    assert queued.rule


def test_only_pending_events_claim_anything() -> None:
    """What was refused or postponed keeps its place in the batch."""
    refused = read_event(record("a", "m1", colour="red"), NOW)
    postponed = Postponed(record("b", "m2"), pending("b", "m2").event)
    batch = [refused, postponed, pending("c", "m3")]

    wanted = want(batch, "never-duplicate")

    assert (wanted.batch, list(wanted.claims)) == (batch, ["m3"])


def test_message_in_two_records_is_claimed_for_the_first() -> None:
    """Neither record conflicts with the other, and the claim is one."""
    first, second = pending("a", "m1"), pending("b", "m1", "m2")

    wanted = want([first, second], "never-duplicate")

    assert conflicts(wanted.batch) == []
    assert wanted.owners == {"m1": first, "m2": second}


def test_event_in_conflict_with_an_earlier_one_claims_nothing() -> None:
    """The first of the batch wins; the free messages of the other are not claimed either."""
    batch: list[QueuedEvent] = [pending("a", "m1"), pending("b", "m2", "m1", text="other")]

    wanted = want(batch, "never-duplicate")

    assert conflicts(wanted.batch) == [("b", "destinations[1].messageId")]
    assert list(wanted.claims) == ["m1"]


def test_refused_event_stands_in_no_later_ones_way() -> None:
    """What it would have claimed is free, even with other content."""
    batch: list[QueuedEvent] = [
        pending("a", "m1"),
        pending("b", "m1", "m2", text="second"),
        pending("c", "m2", text="third"),
    ]

    wanted = want(batch, "never-duplicate")

    assert conflicts(wanted.batch) == [("b", "destinations[0].messageId")]
    assert wanted.owners["m2"].record.sqs_id == "c"


def test_events_with_one_content_share_a_bulk() -> None:
    """The caller's bulk id is kept; without one, each content gets its own."""
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
def test_event_decides_about_unknown_outcomes_and_else_the_deployment(
    changes: dict[str, str], decided: str
) -> None:
    """An event that says nothing follows the policy."""
    (claim,) = want([pending("a", "m1", **changes)], "never-duplicate").claims.values()

    assert claim.on_unknown == decided


def test_claims_that_are_held_become_parcels() -> None:
    """What stands otherwise is not sent."""
    found = claimed([pending("a", "m1", "m2")], m1=HELD, m2=ACCEPTED)

    assert [(message.claim.message_id, message.token) for message in found.messages] == [
        ("m1", "mine")
    ]
    assert (conflicts(found.batch), found.given_back) == ([], [])


def test_conflict_with_the_ledger_gives_back_what_its_record_holds() -> None:
    """The neighbour of the batch keeps its own."""
    batch: list[QueuedEvent] = [pending("a", "m1", "m2"), pending("b", "m3")]

    found = claimed(batch, m1=HELD, m2=CONFLICT, m3=HELD)

    assert conflicts(found.batch) == [("a", "destinations[1].messageId")]
    assert [message.claim.message_id for message in found.messages] == ["m3"]
    (outcome,) = found.given_back
    assert (outcome.message_id, outcome.token) == ("m1", "mine")
    assert (outcome.state, outcome.dead_letter_reason) == (MessageState.WAITING, "CONFLICT")


# --- The end of a record -------------------------------------------------------------------


def test_refused_record_is_dead_lettered_with_field_and_rule() -> None:
    """It comes round soon, should the dead-letter queue not take it."""
    refused = Refused(record("a", "m1"), DeadLetterReason.INVALID, "sms.text", "is required")

    end = disposition_of(refused, {}, {}, NOW)

    assert isinstance(end, DeadLetter)
    assert (end.reason, end.field, end.rule) == (
        DeadLetterReason.INVALID,
        "sms.text",
        "is required",
    )
    assert end.delay <= FIRST_DELAY


def test_postponed_record_is_not_done_by_what_others_have_learnt() -> None:
    """Another record may have seen the same id accepted; this one's content is unknown."""
    postponed = Postponed(record("a", "m1"), pending("a", "m1").event, backoff_seconds=60.0)

    end = disposition_of(postponed, {"m1": ACCEPTED}, {}, NOW)

    assert end == Retry(timedelta(seconds=60))


def test_pending_record_is_done_by_its_own_messages() -> None:
    """Those of others say nothing about it."""
    others = {"m2": ClaimStatus(MessageState.WAITING)}

    assert disposition_of(pending("a", "m1"), {"m1": ACCEPTED} | others, {}, NOW) == Acknowledge()


def test_record_waits_as_long_as_infobip_asks_it_to() -> None:
    """The pause of another record is not its own."""
    waiting = {"m1": ClaimStatus(MessageState.WAITING)}

    asked = disposition_of(pending("a", "m1"), waiting, {"a": 90.0}, NOW)
    unasked = disposition_of(pending("a", "m1"), waiting, {"b": 90.0}, NOW)

    assert asked == Retry(timedelta(seconds=90))
    assert isinstance(unasked, Retry)
    assert unasked.delay <= FIRST_DELAY
