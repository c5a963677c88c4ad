"""The events of one batch: the decision about each, and the messages that it wants to send.

Everything here is pure. An event is pending until it breaks a rule, or something that it needs is
unavailable; a decision returns a new value, which keeps the record.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.message_ids import message_ids_in
from infobip_omni.events.send_message import SendEvent
from infobip_omni.message import MessageState, RefusedRecord
from infobip_omni.send_queue import DeadLetter, backoff, disposition
from infobip_omni.transitions import FIRST_ATTEMPT, AttemptResult, Claim, ClaimStatus, Past
from infobip_omni.verdicts import SendAnswer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from infobip_omni.events.send_message import OnUnknown
    from infobip_omni.scenario_registry import RegisteredScenario
    from infobip_omni.send_queue import Acknowledge, Record, Retry


# --- Decisions about an event ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pending:
    """An event whose messages have to be sent, unless they were sent before."""

    record: Record
    event: SendEvent
    #: None until it is looked up, and for an event that names none.
    scenario: RegisteredScenario | None = None

    @property
    def scenario_key(self) -> str | None:
        """Infobip's key of the scenario; None for the account's default scenario."""
        return self.scenario.key if self.scenario else self.event.body.scenario_key

    def message_ids(self) -> list[str]:
        """Return the ids of the event's messages."""
        return self.event.message_ids()

    def claims(self, bulk_id: str, on_unknown: OnUnknown) -> list[Claim]:
        """Return the claims of the event's messages.

        Args:
            bulk_id: The bulk in which they are sent.
            on_unknown: The default for events that do not set `onUnknown`.
        """
        event, body = self.event, self.event.body
        validity = event.validity()
        steps = self.scenario.steps if self.scenario else None
        first_step_validity = event.validity_of(steps[0]) if steps else None
        return [
            Claim(
                message_id=message.message_id,
                content_hash=message.content_hash,
                recipient=message.recipient,
                scenario=body.scenario,
                scenario_key=body.scenario_key,
                steps=steps,
                bulk_id=bulk_id,
                send_at=body.send_at,
                validity=validity,
                first_step_validity=first_step_validity,
                on_unknown=body.on_unknown or on_unknown,
                callback_data=body.callback_data,
            )
            for message in event.messages
        ]


@dataclass(frozen=True, slots=True)
class Postponed:
    """An event that is tried again later; nothing is claimed for it now."""

    record: Record
    event: SendEvent
    #: The minimum wait before the next attempt.
    backoff_seconds: float = 0.0

    def message_ids(self) -> list[str]:
        """Return the ids of the event's messages."""
        return self.event.message_ids()


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that can never be sent."""

    record: Record
    reason: DeadLetterReason
    field: str
    rule: str

    @classmethod
    def invalid(cls, record: Record, error: InvalidEventError) -> Self:
        """Return the refusal of an event that breaks a rule."""
        return cls(record, DeadLetterReason.INVALID, error.field, error.rule)

    def message_ids(self) -> list[str]:
        """Return the ids of the event's messages, as far as they can be read."""
        return message_ids_in(self.record.body, self.record.original_id)

    def at(self, dead_letter_id: str) -> list[RefusedRecord]:
        """Return what is stored with each message id of the record, once it is dead-lettered.

        Args:
            dead_letter_id: The id of the record in the dead-letter queue.
        """
        return [
            RefusedRecord(
                message_id=message_id,
                record_id=self.record.sqs_id,
                dead_letter_id=dead_letter_id,
                reason=self.reason,
                field=self.field,
                rule=self.rule,
            )
            for message_id in self.message_ids()
        ]


QueuedEvent = Pending | Postponed | Refused


def read_event(record: Record, now: datetime) -> Pending | Refused:
    """Parse the event that a record holds."""
    try:
        return Pending(record, SendEvent.parse(record.body, record.original_id, now))
    except InvalidEventError as error:
        return Refused.invalid(record, error)


# --- Conflicts and claims --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this run has claimed, and the event that it belongs to."""

    pending: Pending
    claim: Claim
    token: str
    past: Past = FIRST_ATTEMPT

    def result(self, answer: SendAnswer, reason: DeadLetterReason | None = None) -> AttemptResult:
        """Return the result of the attempt, for the ledger.

        The refusal of this attempt says nothing about an earlier one that may have been accepted.
        One without a reason may even be for the id, which Infobip then has from the earlier one.
        """
        is_refused = answer.refusal is not None or answer.is_unexplained
        is_unknown = is_refused and self.past.has_unknown
        return AttemptResult(
            message_id=self.claim.message_id,
            token=self.token,
            state=MessageState.UNKNOWN if is_unknown else answer.state,
            evidence=answer.evidence,
            status=answer.status,
            send_at=self.claim.send_at,
            first_step_validity=self.claim.first_step_validity,
            dead_letter_reason=reason,
            account_refused=answer.account_refused,
            refused_by=answer.refused_by,
            bulk_id=self.claim.bulk_id,
            past=self.past,
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """The results of a batch's claims."""

    batch: list[QueuedEvent]
    #: The claim status of each message of the pending events, by message id.
    claim_statuses: dict[str, ClaimStatus]
    messages: list[ClaimedMessage]
    #: Results that release the claims of refused events, so that other events can claim them.
    given_back: list[AttemptResult]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The claims that a batch needs: each message once, for the first event that holds it."""

    batch: list[QueuedEvent]
    claims: dict[str, Claim]
    owners: dict[str, Pending]

    def claimed(self, found: Iterable[ClaimStatus]) -> Claimed:
        """Return the results of the claims; events that conflict with the ledger are refused.

        Args:
            found: The claim status of each claim, in the order of `claims`.
        """
        claim_statuses = dict(zip(self.claims, found, strict=True))
        used = {
            message_id
            for message_id, claim_status in claim_statuses.items()
            if claim_status.conflict
        }
        batch = [_refused_if_used(queued, used) for queued in self.batch]
        refused = {queued.record.sqs_id for queued in batch if isinstance(queued, Refused)}
        held = [
            ClaimedMessage(
                self.owners[message_id],
                self.claims[message_id],
                claim_status.token,
                claim_status.past,
            )
            for message_id, claim_status in claim_statuses.items()
            if claim_status.token
        ]
        waiting = SendAnswer(MessageState.WAITING)
        return Claimed(
            batch,
            claim_statuses,
            messages=[each for each in held if each.pending.record.sqs_id not in refused],
            given_back=[
                each.result(waiting, DeadLetterReason.CONFLICT)
                for each in held
                if each.pending.record.sqs_id in refused
            ],
        )


def want(batch: Sequence[QueuedEvent], on_unknown: OnUnknown) -> Wanted:
    """Return the claims that a batch needs; events that conflict with an earlier one are refused.

    Args:
        batch: The events; only pending ones need claims.
        on_unknown: The default for events that do not set `onUnknown`.
    """
    pending = [queued for queued in batch if isinstance(queued, Pending)]
    bulk_ids = {
        each.event.content_key: each.event.body.bulk_id or uuid.uuid4().hex for each in pending
    }
    checked: list[QueuedEvent] = []
    claims: dict[str, Claim] = {}
    owners: dict[str, Pending] = {}
    for queued in batch:
        if not isinstance(queued, Pending):
            checked.append(queued)
            continue
        own = queued.claims(bulk_ids[queued.event.content_key], on_unknown)
        used = {claim.message_id for claim in own if _differs(claim, claims)}
        checked.append(_refused_if_used(queued, used))
        new = [] if used else [claim for claim in own if claim.message_id not in claims]
        claims |= {claim.message_id: claim for claim in new}
        owners |= {claim.message_id: queued for claim in new}
    return Wanted(checked, claims, owners)


def _differs(claim: Claim, others: Mapping[str, Claim]) -> bool:
    """Return whether the others hold a different message with the same id."""
    other = others.get(claim.message_id)
    return other is not None and other.content_hash != claim.content_hash


def _refused_if_used(queued: QueuedEvent, used: Collection[str]) -> QueuedEvent:
    """Refuse a pending event if one of its ids was used for another message."""
    if not isinstance(queued, Pending):
        return queued
    ids = queued.message_ids()
    clash = next((one for one in ids if one in used), None)
    if clash is None:
        return queued
    alone = queued.event.body.to is not None
    field = "messageId" if alone else f"destinations[{ids.index(clash)}].messageId"
    rule = "was used before, for other content or another recipient: use a new id"
    return Refused(queued.record, DeadLetterReason.CONFLICT, field, rule)


# --- The end of a record ---------------------------------------------------------------------


def disposition_of(
    queued: QueuedEvent,
    claim_statuses: Mapping[str, ClaimStatus],
    retry_after_seconds: Mapping[str, float],
    now: datetime,
) -> Acknowledge | DeadLetter | Retry:
    """Decide whether the record of an event is acknowledged, dead-lettered or retried.

    Args:
        queued: The event.
        claim_statuses: The claim status of each message of the pending events, by message id.
        retry_after_seconds: How long Infobip's Retry-After makes a record wait, by its SQS id.
        now: The current time.
    """
    record = queued.record
    if isinstance(queued, Refused):
        delay = backoff(record.receive_count, None)
        return DeadLetter(queued.reason, delay, queued.field, queued.rule)
    if isinstance(queued, Postponed):
        # Its messages were not claimed. A status that another record has for the same ids may be
        # about other content.
        unclaimed = [ClaimStatus(None) for _ in queued.event.messages]
        return disposition(
            record, unclaimed, backoff(record.receive_count, queued.backoff_seconds), now
        )
    own = [claim_statuses[message.message_id] for message in queued.event.messages]
    delay = backoff(record.receive_count, retry_after_seconds.get(record.sqs_id))
    return disposition(record, own, delay, now)
