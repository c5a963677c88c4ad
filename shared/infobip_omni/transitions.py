"""The transitions of a message: one function for each arrow of the diagram.

::

    (absent) ─claim─▶ CLAIMED ─POST─▶ ACCEPTED ─reports, logs─▶ DELIVERED | UNDELIVERED
        ▲              │ │ │                                    | EXPIRED | REJECTED
        │              │ │ └ refused ─────────▶ REJECTED
        │              │ └── not processed ───▶ WAITING ─claim─▶ CLAIMED
        │              └──── outcome unknown ─▶ UNKNOWN ─logs──▶ ACCEPTED … | QUARANTINED
        └─ expired                                               | WAITING (must-arrive)

    A refusal that ends, in the answer to the POST, counts as "not processed", but the item keeps
    the attempt's bulk id: its row and its report may still come, and change nothing.

    QUARANTINED ─release─▶ WAITING
    QUARANTINED ─close───▶ QUARANTINED, with closedAt, closedBy and closedWhy

Each function is pure: it returns the change and its conditions, and the ledger applies it.

Only an absent or WAITING message can be claimed, and only the holder of a claim sends. An expired
lease is never taken over: its request may have been sent. So the next function to read the message
writes UNKNOWN, and the logs decide.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from infobip_omni.dynamodb import Insert
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.message import (
    ACCEPTED_OR_FINAL,
    CHECK_SHARDS,
    QUARANTINED_SHARD,
    UNRESOLVED_SHARD,
    Changes,
    Evidence,
    MessageState,
    expect,
    expect_rank_below,
    new_item,
    update,
)
from infobip_omni.recipients import recipient_index_key
from infobip_omni.statuses import may_end
from infobip_omni.verdicts import NO_RANK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from infobip_omni.api.channels import Channel
    from infobip_omni.api.reports import Status
    from infobip_omni.api.sends import Recipient
    from infobip_omni.dynamodb import Update
    from infobip_omni.events.send_message import OnUnknown
    from infobip_omni.message import Message
    from infobip_omni.verdicts import Verdict

#: Longer than the send queue keeps a record: a message that waits longer has lost its record.
LONGEST_WAIT = timedelta(days=11)
#: Longest wait for the first step of an accepted message, so that at least two log queries fall
#: within the 48 hours of the logs.
LONGEST_FIRST_WAIT = timedelta(hours=12)

#: The attributes that come from an attempt's outcome; a new claim clears them.
_WITHOUT_OUTCOME: Changes = {
    "absent_answers": None,
    "channel": None,
    "dead_letter_reason": None,
    "done_at": None,
    "evidence": None,
    "has_undecided_row": None,
    "price": None,
    "sent_at": None,
    "status": None,
    "unresolved_at": None,
}
#: The attributes that a message keeps through every transition; they are cleared only when an
#: expired id is reused.
_WITHOUT_PAST: Changes = {
    "closed_at": None,
    "closed_by": None,
    "closed_why": None,
    "earlier_bulk_ids": None,
    "refused_attempt": None,
    "refused_bulk_ids": None,
    "released_at": None,
    "released_by": None,
    "released_why": None,
    "unknown_at": None,
    "first_unknown_attempt_at": None,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that a sender is about to send."""

    message_id: str
    content_hash: str
    recipient: Recipient
    scenario: str | None
    scenario_key: str | None
    #: The flow's channels; None when the flow is unknown.
    steps: tuple[Channel, ...] | None
    bulk_id: str
    send_at: datetime | None
    #: How long all steps together may take.
    validity: timedelta
    on_unknown: OnUnknown
    #: How long the first step may take; None when the event or the flow does not say.
    first_step_validity: timedelta | None = None
    #: The upstream app's own data, which reports and outcome events return.
    callback_data: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Lease:
    """The period during which the holder of a claim may send."""

    #: Identifies the holder's own claim.
    token: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Periods:
    """The deployment's periods, from which the times of messages are computed."""

    #: How long a message is kept after it can no longer change.
    retention: timedelta
    #: How old an unsettled message must be before the logs are queried.
    check_after: timedelta


@dataclass(frozen=True, slots=True)
class Past:
    """The attempts before the one of a claim."""

    #: The number of the claim's own attempt.
    attempt: int = 1
    #: The bulk ids of refused attempts, by the id of the status that refused them.
    refused_bulk_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    #: The outcome of one stayed unknown.
    has_unknown: bool = False

    @classmethod
    def of(cls, message: Message, attempt: int) -> Self:
        """Return the past of an attempt from the item of its message."""
        return cls(attempt, message.refused_bulk_ids, message.follows_unknown)


FIRST_ATTEMPT = Past()


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """The state of a message for the sender, after its claim or its attempt."""

    #: None when the table did not confirm it.
    state: MessageState | None
    #: The token of the claim, if the caller holds it.
    token: str | None = None
    #: The same id was used with other content.
    conflict: bool = False
    #: This version cannot read the item of the message, so it is left unchanged.
    unreadable: bool = False
    #: When the state may change: at the end of another sender's lease, or with the next log query.
    until: datetime | None = None
    #: Nothing was sent, and Infobip takes no more under this id.
    is_spent: bool = False
    #: The earlier attempts, if the caller holds the claim.
    past: Past = FIRST_ATTEMPT


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt to send a claimed message."""

    message_id: str
    token: str
    state: MessageState
    evidence: Evidence | None = None
    #: Infobip's status, or the code and text of its refusal of a request.
    status: Status | Mapping[str, object] | None = None
    #: The event's `sendAt`: before it, the logs do not know the message.
    send_at: datetime | None = None
    #: How long the first step may take; None when that is unknown.
    first_step_validity: timedelta | None = None
    #: Set when the record that holds the content is dead-lettered.
    dead_letter_reason: str | None = None
    #: Infobip refused the account rather than the message; for alarms only, not stored.
    account_refused: bool = False
    #: The id of the status by which Infobip refused this attempt for a while; None if it did not.
    refused_by: int | None = None
    bulk_id: str = ""
    past: Past = FIRST_ATTEMPT


# --- Claims ----------------------------------------------------------------------------------


def claimed(claim: Claim, lease: Lease, periods: Periods) -> Insert:
    """Claim a message that is absent."""
    return Insert(new_item(claim.message_id, **_claim_attributes(claim, lease, periods)))


def taken_over(claim: Claim, lease: Lease, found: Message, periods: Periods) -> Update:
    """Claim a message that is WAITING, or that has expired; an expired one loses its history."""
    changes = _WITHOUT_OUTCOME | _claim_attributes(claim, lease, periods)
    if found.has_expired(lease.begins):
        changes |= _WITHOUT_PAST
    else:
        changes["attempts"] = found.attempts + 1
    expected = expect(state=found.state, claim_token=found.claim_token, expires_at=found.expires_at)
    return update(claim.message_id, expected, **changes)


def lease_expired(message: Message, now: datetime, check_after: timedelta) -> Update:
    """Write UNKNOWN for a claim whose lease has expired."""
    return message.changed(
        state=MessageState.UNKNOWN,
        unknown_at=now,
        next_check_at=first_check(message.send_at, now, check_after),
        check_shard=shard_of(message.id),
    )


@dataclass(frozen=True, slots=True)
class Leave:
    """A claim that finds an existing message leaves it unchanged."""

    claim_status: ClaimStatus


@dataclass(frozen=True, slots=True)
class Write:
    """A claim that finds an existing message changes it."""

    update: Update
    #: The claim status after the update.
    claim_status: ClaimStatus
    #: The claim status to assume if the table does not confirm the update.
    fallback: ClaimStatus


def meet(claim: Claim, lease: Lease, found: Message, periods: Periods) -> Leave | Write:
    """Decide what a claim does with an existing message.

    Args:
        claim: The claim.
        lease: Its lease, which begins now.
        found: The existing message.
        periods: The deployment's periods.
    """
    now = lease.begins
    claim_status = claim_status_of(claim, lease, found)
    if found.claim_token == lease.token:
        # The message was claimed with this lease, and only the answer was lost.
        return Leave(claim_status)
    own = ClaimStatus(MessageState.CLAIMED, token=lease.token)
    if found.has_expired(now):
        # An expired item belongs to an earlier message with the same id.
        return Write(taken_over(claim, lease, found, periods), own, ClaimStatus(None))
    if found.state is MessageState.WAITING and not claim_status.conflict:
        own = replace(own, past=Past.of(found, found.attempts + 1))
        return Write(taken_over(claim, lease, found, periods), own, claim_status)
    if found.lease_has_ended(now):
        until = first_check(found.send_at, now, periods.check_after)
        unknown = ClaimStatus(MessageState.UNKNOWN, conflict=claim_status.conflict, until=until)
        return Write(lease_expired(found, now, periods.check_after), unknown, claim_status)
    return Leave(claim_status)


def claim_status_of(claim: Claim, lease: Lease, found: Message) -> ClaimStatus:
    """Return the claim status of a message as it was read."""
    if found.claim_token == lease.token and found.state is MessageState.CLAIMED:
        return ClaimStatus(found.state, token=lease.token, past=Past.of(found, found.attempts))
    until = found.lease_until if found.state is MessageState.CLAIMED else found.next_check_at
    return ClaimStatus(
        found.state,
        conflict=found.content_hash != claim.content_hash,
        until=None if found.state in ACCEPTED_OR_FINAL else until,
        is_spent=found.is_spent,
    )


def _claim_attributes(claim: Claim, lease: Lease, periods: Periods) -> Changes:
    begins = max(lease.begins, claim.send_at or lease.begins)
    expires = begins + claim.validity + periods.retention
    return {
        "state": MessageState.CLAIMED,
        "content_hash": claim.content_hash,
        "scenario": claim.scenario,
        "scenario_key": claim.scenario_key,
        "steps": claim.steps,
        "to": claim.recipient,
        "recipient": recipient_index_key(claim.recipient),
        "bulk_id": claim.bulk_id,
        "on_unknown": claim.on_unknown,
        "callback_data": claim.callback_data,
        "send_at": claim.send_at,
        "attempts": 1,
        "claim_token": lease.token,
        "claimed_at": lease.begins,
        "lease_until": lease.ends,
        "verdict_rank": NO_RANK,
        "expires_at": int(expires.timestamp()),
        # The same time suits the message once it is ACCEPTED, which saves two index writes then.
        "next_check_at": begins + max(periods.check_after, lease.ends - lease.begins),
        "check_shard": shard_of(claim.message_id),
    }


# --- Outcomes --------------------------------------------------------------------------------


def result_saved(result: AttemptResult, now: datetime, check_after: timedelta) -> Update:
    """Write the result of an attempt, if the claim still holds."""
    changes: Changes = {
        "state": result.state,
        "evidence": result.evidence,
        "dead_letter_reason": result.dead_letter_reason,
    }
    if result.status is not None:
        changes["status"] = result.status
    if result.refused_by is not None:
        refused = _with_bulk_id(result.past.refused_bulk_ids, result.refused_by, result.bulk_id)
        changes["refused_bulk_ids"] = refused
        changes["refused_attempt"] = result.past.attempt
    if result.state is MessageState.ACCEPTED:
        changes["sent_at"] = now
        validity = min(result.first_step_validity or check_after, LONGEST_FIRST_WAIT)
        if validity > check_after:
            # Until then the first step may be under way, which the logs need not be asked about.
            changes["next_check_at"] = max(now, result.send_at or now) + validity
    elif result.state is MessageState.UNKNOWN:
        changes["unknown_at"] = now
        changes["next_check_at"] = first_check(result.send_at, now, check_after)
        changes["check_shard"] = shard_of(result.message_id)
    elif result.state is MessageState.WAITING and result.dead_letter_reason is None:
        changes["next_check_at"] = now + LONGEST_WAIT
        changes["check_shard"] = shard_of(result.message_id)
    else:
        changes["next_check_at"] = changes["check_shard"] = None
        if result.state is MessageState.REJECTED:
            changes["done_at"] = now
    expected = expect(state=MessageState.CLAIMED, claim_token=result.token)
    return update(result.message_id, expected, **changes)


def _with_bulk_id(
    refused: Mapping[int, tuple[str, ...]], status_id: int, bulk_id: str
) -> Mapping[str, list[str]]:
    """Add the bulk id of a refused attempt, in the table's format."""
    added = {**refused, status_id: (*refused.get(status_id, ()), bulk_id)}
    return {str(each): list(dict.fromkeys(bulk_ids)) for each, bulk_ids in added.items()}


def waiting_stopped(message_id: str, reason: str) -> Update:
    """Mark a waiting message as dead-lettered; a redrive of its record still sends it."""
    expected = expect(state=MessageState.WAITING)
    return update(
        message_id, expected, dead_letter_reason=reason, next_check_at=None, check_shard=None
    )


def record_lost(message: Message) -> Update:
    """Mark a waiting message whose record has left the send queue without a verdict."""
    return message.changed(dead_letter_reason="LOST", next_check_at=None, check_shard=None)


# --- Reports and logs ------------------------------------------------------------------------


def settled(message: Message, verdict: Verdict) -> Update:
    """Settle a message by a verdict, unless it has one of the same or a higher rank.

    A refusal that ends, or may end, settles it only if it is as it was read: in the meantime, the
    answer to the attempt may have said the same, or another attempt may have been made.
    """
    expected = expect_rank_below(verdict.rank)
    if may_end(verdict.status):
        expected += expect(state=message.state, claim_token=message.claim_token)
    return update(
        message.id,
        expected,
        state=verdict.state,
        verdict_rank=verdict.rank,
        evidence=verdict.evidence,
        channel=verdict.channel,
        status=verdict.status,
        sent_at=verdict.sent_at,
        done_at=verdict.done_at,
        price=verdict.price,
        next_check_at=None,
        check_shard=None,
    )


def proven_accepted(
    message: Message, evidence: Evidence, now: datetime, check_after: timedelta
) -> Update:
    """Write ACCEPTED for a message in an unproven state, even if a sender holds a claim."""
    return message.changed(
        state=MessageState.ACCEPTED,
        evidence=evidence,
        absent_answers=None,
        next_check_at=first_check(message.send_at, now, check_after),
        check_shard=shard_of(message.id),
    )


def check_postponed(
    message: Message, until: datetime, *, absent: bool, is_undecided: bool = False
) -> Update:
    """Set the time of the next log query.

    Args:
        message: The message.
        until: The time of the next log query.
        absent: Whether the last one was answered without a row for the message; that is counted.
        is_undecided: Whether its answer had a row that decides nothing, so the message must not be
            sent again.
    """
    changes: Changes = {
        "absent_answers": message.absent_answers + absent,
        "next_check_at": until,
        "check_shard": shard_of(message.id),
    }
    if is_undecided:
        changes["has_undecided_row"] = True
    return message.changed(**changes)


def left_unresolved(message: Message, now: datetime) -> Update:
    """List an accepted message whose outcome the logs no longer hold."""
    return message.changed(unresolved_at=now, next_check_at=now, check_shard=UNRESOLVED_SHARD)


def rejected_as_duplicate(message: Message, now: datetime) -> Update:
    """Write REJECTED for a message whose id Infobip knows from another system's message."""
    return message.changed(
        state=MessageState.REJECTED,
        evidence=Evidence.DUPLICATE_ID,
        done_at=now,
        next_check_at=None,
        check_shard=None,
    )


def sent_again(message: Message, now: datetime) -> Update:
    """Write WAITING for a message that the logs do not know, so the sender sends it again."""
    return message.changed(
        state=MessageState.WAITING,
        absent_answers=None,
        first_unknown_attempt_at=message.first_unknown_attempt_at,
        earlier_bulk_ids=_unrefused_bulk_ids(message),
        next_check_at=now + LONGEST_WAIT,
        check_shard=shard_of(message.id),
    )


def _unrefused_bulk_ids(message: Message) -> tuple[str, ...]:
    """Return the bulk ids of attempts that may have been accepted, the last one included."""
    last = () if message.is_last_attempt_refused else (message.bulk_id,)
    return tuple(dict.fromkeys((*message.earlier_bulk_ids, *last)))


def id_spent(message: Message, now: datetime) -> Update:
    """Write QUARANTINED for a message that was not sent, and whose id Infobip no longer takes.

    Its content has to be sent under another id.
    """
    return message.changed(
        state=MessageState.QUARANTINED,
        dead_letter_reason=DeadLetterReason.ID_SPENT,
        next_check_at=now,
        check_shard=QUARANTINED_SHARD,
    )


def quarantined(message: Message, now: datetime) -> Update:
    """Write QUARANTINED for a message whose outcome cannot be learnt, so an operator decides."""
    return message.changed(
        state=MessageState.QUARANTINED,
        # The list is sorted by this time; the checks do not read this shard.
        next_check_at=now,
        check_shard=QUARANTINED_SHARD,
    )


# --- The operator ----------------------------------------------------------------------------


def released(message: Message, by: str, why: str, now: datetime) -> Update:
    """Write WAITING for a quarantined message, so the sender sends it, perhaps a second time.

    Args:
        message: The message.
        by: The name of the operator who decided it.
        why: The operator's reason.
        now: The current time.
    """
    return message.changed(
        state=MessageState.WAITING,
        absent_answers=None,
        first_unknown_attempt_at=message.first_unknown_attempt_at,
        earlier_bulk_ids=_unrefused_bulk_ids(message),
        released_at=now,
        released_by=by,
        released_why=why,
        next_check_at=now + LONGEST_WAIT,
        check_shard=shard_of(message.id),
    )


def closed(message: Message, by: str, why: str, now: datetime) -> Update:
    """Leave a message QUARANTINED permanently; it is no longer listed for a decision.

    Args:
        message: The message.
        by: The name of the operator who decided it.
        why: The operator's reason.
        now: The current time.
    """
    return message.changed(
        # A new token makes the update of a concurrent release fail.
        claim_token=uuid.uuid5(uuid.NAMESPACE_OID, message.claim_token).hex,
        closed_at=now,
        closed_by=by,
        closed_why=why,
        next_check_at=None,
        check_shard=None,
    )


# --- Checks ----------------------------------------------------------------------------------


def first_check(send_at: datetime | None, now: datetime, check_after: timedelta) -> datetime:
    """Return the time of the first log query; before `sendAt` the logs do not know the message."""
    return max(now, send_at or now) + check_after


def shard_of(message_id: str) -> str:
    """Return the partition of the index of checks that lists a message."""
    return str(zlib.crc32(message_id.encode()) % CHECK_SHARDS)
