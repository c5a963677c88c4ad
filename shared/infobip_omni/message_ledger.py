"""What is known of each message, as one item in DynamoDB; every change is a conditional write.

Only an absent or WAITING message can be claimed, and only the holder of a claim sends. A claim
whose lease has run out is never taken over: nobody can know whether its send went out, so that
whoever meets it writes UNKNOWN and leaves it to the logs.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from infobip_omni.delivery import NO_RANK, TAKEN, Evidence, MessageState
from infobip_omni.dynamodb import (
    Comparison,
    Expectation,
    Index,
    Insert,
    Item,
    Query,
    Table,
    TableUnavailableError,
    Update,
)
from infobip_omni.moments import from_text, to_text, utc_now
from infobip_omni.recipients import recipient_index_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from infobip_omni.api.models import Channel, Recipient, Status
    from infobip_omni.delivery import Verdict
    from infobip_omni.dynamodb import Answer
    from infobip_omni.events import OnUnknown
    from infobip_omni.settings import LedgerSettings

MESSAGE_ENTRY = "MESSAGE"
#: The index of messages to be checked is spread, so that no partition takes all its writes.
CHECK_SHARDS = 8
#: Where messages are listed whose outcome the logs no longer hold.
UNRESOLVED_SHARD = "unresolved"
#: Where messages are listed that an operator has to decide about.
QUARANTINED_SHARD = "quarantined"
CHECK_INDEX = Index("MessagesToCheck", "checkShard", "nextCheckAt")
#: Longer than any record of the send queue lives: a message that waits longer has lost its record.
LONGEST_WAIT = timedelta(days=11)

#: What a message has from its outcome, and a fresh claim has not.
_OUTCOME_ATTRIBUTES = (
    "absentAnswers",
    "channel",
    "deadLetterReason",
    "doneAt",
    "evidence",
    "price",
    "sentAt",
    "status",
    "unresolvedAt",
)

#: What a message keeps, whatever becomes of it, and one that reuses an expired id has not.
_LIFELONG_ATTRIBUTES = (
    "closedAt",
    "closedBy",
    "closedWhy",
    "releasedAt",
    "releasedBy",
    "releasedWhy",
    "unknownAt",
)


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
    #: How long the whole chain of steps may take.
    validity: timedelta
    on_unknown: OnUnknown
    #: What the app upstream wants to have back with the outcome.
    callback_data: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands, as far as a sender is concerned."""

    #: None when the table did not say.
    state: MessageState | None
    #: The token of the claim, if it is the caller's own.
    token: str | None = None
    #: The same id was used with other content.
    conflict: bool = False
    #: When it is worth looking again: the end of a foreign lease, or the next question to the logs.
    until: datetime | None = None

    @property
    def claimed(self) -> bool:
        """Whether the caller holds the claim."""
        return self.token is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claimed message."""

    message_id: str
    token: str
    state: MessageState
    evidence: Evidence | None = None
    #: Infobip's code and text, as attributes of the item.
    status: Mapping[str, object] | None = None
    #: The event's `sendAt`: before it, the logs know nothing.
    send_at: datetime | None = None
    #: Set when the record that holds the content goes to the dead-letter queue.
    dead_letter_reason: str | None = None
    #: Infobip refused the account rather than the message; for alarms, and not kept.
    account_refused: bool = False


def open_ledger(settings: LedgerSettings) -> tuple[Table, MessageLedger]:
    """Make the table and its ledger as a function's settings say."""
    table = Table(settings.messages_table_name)
    ledger = MessageLedger(
        table,
        retention=timedelta(days=settings.retention_days),
        check_after=timedelta(seconds=settings.reconcile_after_seconds),
    )
    return table, ledger


class MessageLedger:
    """The messages of one table.

    Args:
        table: The table.
        retention: How long a message is kept after it can no longer change.
        check_after: How old an unsettled message must be before the logs are asked.
        now: Tells the time.
    """

    def __init__(
        self,
        table: Table,
        retention: timedelta,
        check_after: timedelta,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.retention = retention
        self.check_after = check_after
        self._table = table
        self._now = now

    # --- The sender --------------------------------------------------------------------------

    def claim(self, claims: Sequence[Claim], lease: timedelta) -> list[Standing]:
        """Claim messages with different ids, each by itself.

        An own claim is recognised by its token, also when its write seemed to fail.

        Returns:
            A standing for each, in order.
        """
        now = self._now()
        items = [self._claimed_item(claim, now, lease) for claim in claims]
        answers = self._table.execute([Insert(item) for item in items])
        standings = [
            Standing(MessageState.CLAIMED, token=item["claimToken"])
            if answer.error is None
            else None
            for item, answer in zip(items, answers, strict=True)
        ]
        met = [index for index, standing in enumerate(standings) if standing is None]
        found = self._find_for_claim([items[index] for index in met])
        second = [
            (index, update)
            for index in met
            if (item := found.get(items[index]["messageId"]))
            and (update := self._take_over(items[index], item, now))
        ]
        seconds = self._table.execute([update for _, update in second])
        for (index, _), answer in zip(second, seconds, strict=True):
            standings[index] = self._second_standing(
                items[index], found[items[index]["messageId"]], answer, now
            )
        for index in met:
            if standings[index] is None:
                standings[index] = _standing(items[index], found.get(items[index]["messageId"]))
        return [standing or Standing(None) for standing in standings]

    def record(self, outcomes: Sequence[Outcome]) -> list[Standing]:
        """Write what became of claimed messages, for as long as their claims hold.

        Returns:
            Where each message stands now, in order. That is another state than the given one
            when the claim was lost or a report was faster, and none when the table did not say.
        """
        now = self._now()
        updates = [self._outcome_update(outcome, now) for outcome in outcomes]
        standings = []
        for outcome, answer in zip(outcomes, self._table.execute(updates), strict=True):
            if answer.error is not None:
                state = MessageState(answer.item["state"]) if answer.item else None
                standings.append(Standing(state))
            elif outcome.state is MessageState.UNKNOWN:
                until = self._first_check(outcome.send_at, now)
                standings.append(Standing(outcome.state, until=until))
            else:
                standings.append(Standing(outcome.state))
        return standings

    def stop_waiting(self, message_ids: Iterable[str], reason: str) -> None:
        """Mark those that are waiting as dead-lettered; a redrive of their record sends them yet.

        A mark that cannot be written is left out: after `LONGEST_WAIT` the reconciler misses the
        record and marks the message then.
        """
        changes = {"deadLetterReason": reason, "nextCheckAt": None, "checkShard": None}
        self._table.execute(
            [
                self._update(message_id, changes, Expectation("state", MessageState.WAITING))
                for message_id in message_ids
            ]
        )

    # --- Reports and logs --------------------------------------------------------------------

    def find(self, message_ids: Iterable[str]) -> dict[str, Item]:
        """Read messages by their ids; unknown and expired ones are left out.

        Raises:
            TableUnavailableError: Some could not be read.
        """
        keys = ((message_id, MESSAGE_ENTRY) for message_id in message_ids)
        now = self._now().timestamp()
        return {
            message_id: item
            for (message_id, _), item in self._table.get_all(keys).items()
            if item["expiresAt"] > now
        }

    def settle(self, verdicts: Mapping[str, Verdict]) -> int:
        """Give messages the state that a report or log row says, unless a higher one stands.

        Returns:
            How many messages have changed.

        Raises:
            TableUnavailableError: Some may not have been changed.
        """
        return self._change(
            [
                self._update(
                    message_id,
                    {
                        "state": verdict.state,
                        "verdictRank": verdict.rank,
                        "evidence": verdict.evidence,
                        "channel": verdict.channel,
                        "status": status_attributes(verdict.status),
                        "sentAt": verdict.sent_at and to_text(verdict.sent_at),
                        "doneAt": verdict.done_at and to_text(verdict.done_at),
                        "price": verdict.price
                        and verdict.price.model_dump(by_alias=True, exclude_none=True),
                        "nextCheckAt": None,
                        "checkShard": None,
                    },
                    Expectation("verdictRank", verdict.rank, Comparison.BELOW),
                )
                for message_id, verdict in verdicts.items()
            ]
        )

    def prove_accepted(self, items: Iterable[Item], evidence: Evidence) -> int:
        """Write that Infobip has these messages, whoever holds a claim.

        Args:
            items: Messages in an unproven state, as they were read.
            evidence: What the proof is.

        Returns:
            How many messages have changed; one that changed meanwhile is left alone.

        Raises:
            TableUnavailableError: Some may not have been changed.
        """
        now = self._now()
        return self._change(
            [
                self._guarded(
                    item,
                    state=MessageState.ACCEPTED,
                    evidence=evidence,
                    absentAnswers=None,
                    **self._check_at(item["messageId"], self._first_check(_send_at(item), now)),
                )
                for item in items
            ]
        )

    # --- The reconciler ----------------------------------------------------------------------

    def due(self, most: int) -> Iterator[Item]:
        """Read the messages whose check is due, the longest overdue first within a shard.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        now = to_text(self._now())
        for shard in range(CHECK_SHARDS):
            keys = self._table.query(Query(str(shard), CHECK_INDEX, last=now, page_size=most))
            ids = [key["messageId"] for key in islice(keys, most)]
            found = self.find(ids)
            for item in (found[message_id] for message_id in ids if message_id in found):
                # The index may lag behind the table.
                if item.get("nextCheckAt", "~") <= now:
                    yield item

    def count_quarantined(self, most: int) -> int:
        """Count the messages that wait for an operator's decision, up to a number.

        Raises:
            TableUnavailableError: The index could not be read.
        """
        keys = self._table.query(Query(QUARANTINED_SHARD, CHECK_INDEX, page_size=most))
        return sum(1 for _ in islice(keys, most))

    def lose_lease(self, items: Iterable[Item]) -> int:
        """Write UNKNOWN for claims whose lease has run out."""
        now = self._now()
        return self._change([self._guarded(item, **self._unknown(item, now)) for item in items])

    def postpone(self, moments: Iterable[tuple[Item, datetime]], *, absent: bool) -> int:
        """Set when the logs are asked again; an answered question without a trace is counted."""
        return self._change(
            [
                self._guarded(
                    item,
                    absentAnswers=int(item.get("absentAnswers", 0)) + absent,
                    **self._check_at(item["messageId"], moment),
                )
                for item, moment in moments
            ]
        )

    def quarantine(self, item: Item) -> int:
        """Give up on learning what became of a message; an operator decides."""
        return self._change(
            [
                self._guarded(
                    item,
                    state=MessageState.QUARANTINED,
                    # Listed since now; no check is due, since none is made of this shard.
                    nextCheckAt=to_text(self._now()),
                    checkShard=QUARANTINED_SHARD,
                )
            ]
        )

    def send_again(self, item: Item) -> int:
        """Let the sender send a message that the logs do not know."""
        return self._change(
            [
                self._guarded(
                    item,
                    state=MessageState.WAITING,
                    absentAnswers=None,
                    **self._check_at(item["messageId"], self._now() + LONGEST_WAIT),
                )
            ]
        )

    def reject_duplicate(self, items: Iterable[Item]) -> int:
        """Close messages whose ids Infobip knows from somebody else's messages."""
        now = to_text(self._now())
        return self._change(
            [
                self._guarded(
                    item,
                    state=MessageState.REJECTED,
                    evidence=Evidence.DUPLICATE_ID,
                    doneAt=now,
                    nextCheckAt=None,
                    checkShard=None,
                )
                for item in items
            ]
        )

    def leave_unresolved(self, items: Iterable[Item]) -> int:
        """List accepted messages whose outcome the logs no longer hold."""
        now = to_text(self._now())
        return self._change(
            [
                self._guarded(item, unresolvedAt=now, nextCheckAt=now, checkShard=UNRESOLVED_SHARD)
                for item in items
            ]
        )

    def forget_record(self, items: Iterable[Item]) -> int:
        """Mark waiting messages whose record has left the send queue without a verdict."""
        return self._change(
            [
                self._guarded(item, deadLetterReason="LOST", nextCheckAt=None, checkShard=None)
                for item in items
            ]
        )

    # --- The operator ------------------------------------------------------------------------

    def release(self, item: Item, by: str, why: str) -> int:
        """Let the sender send a quarantined message, though it may have been sent before.

        Args:
            item: The message, as it was read.
            by: Who has decided it.
            why: For what reason.
        """
        now = self._now()
        return self._change(
            [
                self._guarded(
                    item,
                    state=MessageState.WAITING,
                    absentAnswers=None,
                    releasedAt=to_text(now),
                    releasedBy=by,
                    releasedWhy=why,
                    **self._check_at(item["messageId"], now + LONGEST_WAIT),
                )
            ]
        )

    def close(self, item: Item, by: str, why: str) -> int:
        """Leave a message quarantined for good; it is no longer listed as one to be decided about.

        Args:
            item: The message, as it was read.
            by: Who has decided it.
            why: For what reason.
        """
        return self._change(
            [
                self._guarded(
                    item,
                    # A release that has read the message before comes too late.
                    claimToken=uuid.uuid4().hex,
                    closedAt=to_text(self._now()),
                    closedBy=by,
                    closedWhy=why,
                    nextCheckAt=None,
                    checkShard=None,
                )
            ]
        )

    # --- Writes ------------------------------------------------------------------------------

    def _claimed_item(self, claim: Claim, now: datetime, lease: timedelta) -> Item:
        begins = max(now, claim.send_at or now)
        expires = begins + claim.validity + self.retention
        return {
            "messageId": claim.message_id,
            "entry": MESSAGE_ENTRY,
            "state": MessageState.CLAIMED,
            "contentHash": claim.content_hash,
            "scenario": claim.scenario,
            "scenarioKey": claim.scenario_key,
            "steps": None if claim.steps is None else [*claim.steps],
            "to": claim.recipient.model_dump(by_alias=True, exclude_none=True),
            "recipient": recipient_index_key(claim.recipient),
            "bulkId": claim.bulk_id,
            "onUnknown": claim.on_unknown,
            "callbackData": claim.callback_data,
            "sendAt": claim.send_at and to_text(claim.send_at),
            "attempts": 1,
            "claimToken": uuid.uuid4().hex,
            "claimedAt": to_text(now),
            "leaseUntil": to_text(now + lease),
            "verdictRank": NO_RANK,
            "expiresAt": int(expires.timestamp()),
            # Also right for the message once it is accepted, which saves two index writes then.
            **self._check_at(claim.message_id, begins + max(self.check_after, lease)),
        }

    def _find_for_claim(self, items: Sequence[Item]) -> dict[str, Item]:
        keys = [(item["messageId"], MESSAGE_ENTRY) for item in items]
        try:
            found = self._table.get_all(keys)
        except TableUnavailableError:
            return {}
        return {message_id: item for (message_id, _), item in found.items()}

    def _take_over(self, wanted: Item, item: Item, now: datetime) -> Update | None:
        """Make the update that the state of a met message calls for, if any."""
        expired = item["expiresAt"] <= now.timestamp()
        if item["claimToken"] == wanted["claimToken"]:
            return None
        if expired or (item["state"] == MessageState.WAITING and not _conflict(wanted, item)):
            changes = dict.fromkeys(_OUTCOME_ATTRIBUTES) | wanted
            if expired:
                changes |= dict.fromkeys(_LIFELONG_ATTRIBUTES)
            else:
                changes["attempts"] = int(item["attempts"]) + 1
            del changes["messageId"], changes["entry"]
            return self._update(
                item["messageId"],
                changes,
                *(Expectation(name, item[name]) for name in ("state", "claimToken", "expiresAt")),
            )
        if item["state"] == MessageState.CLAIMED and item["leaseUntil"] <= to_text(now):
            return self._guarded(item, **self._unknown(item, now))
        return None

    def _second_standing(
        self, wanted: Item, met: Item, answer: Answer, now: datetime
    ) -> Standing | None:
        """Tell where a message stands after `_take_over`; None when it is as it was met."""
        expired = met["expiresAt"] <= now.timestamp()
        if answer.item:
            return _standing(wanted, answer.item)
        if answer.error is not None:
            # What an expired item says is not true of this message.
            return Standing(None) if expired else None
        if expired or met["state"] == MessageState.WAITING:
            return Standing(MessageState.CLAIMED, token=wanted["claimToken"])
        conflict = _conflict(wanted, met)
        until = self._first_check(_send_at(met), now)
        return Standing(MessageState.UNKNOWN, conflict=conflict, until=until)

    def _outcome_update(self, outcome: Outcome, now: datetime) -> Update:
        changes: dict[str, Any] = {
            "state": outcome.state,
            "evidence": outcome.evidence,
            "deadLetterReason": outcome.dead_letter_reason,
        }
        if outcome.status is not None:
            changes["status"] = outcome.status
        if outcome.state is MessageState.ACCEPTED:
            changes["sentAt"] = to_text(now)
        elif outcome.state is MessageState.UNKNOWN:
            first_check = self._first_check(outcome.send_at, now)
            changes["unknownAt"] = to_text(now)
            changes |= self._check_at(outcome.message_id, first_check)
        elif outcome.state is MessageState.WAITING and outcome.dead_letter_reason is None:
            changes |= self._check_at(outcome.message_id, now + LONGEST_WAIT)
        else:
            changes |= {"nextCheckAt": None, "checkShard": None}
            if outcome.state is MessageState.REJECTED:
                changes["doneAt"] = to_text(now)
        return self._update(
            outcome.message_id,
            changes,
            Expectation("state", MessageState.CLAIMED),
            Expectation("claimToken", outcome.token),
        )

    def _unknown(self, item: Item, now: datetime) -> dict[str, Any]:
        return {
            "state": MessageState.UNKNOWN,
            "unknownAt": to_text(now),
            **self._check_at(item["messageId"], self._first_check(_send_at(item), now)),
        }

    def _first_check(self, send_at: datetime | None, now: datetime) -> datetime:
        """Tell when the logs are first asked: before `sendAt` they know nothing."""
        return max(now, send_at or now) + self.check_after

    def _check_at(self, message_id: str, moment: datetime) -> dict[str, str]:
        shard = zlib.crc32(message_id.encode()) % CHECK_SHARDS
        return {"nextCheckAt": to_text(moment), "checkShard": str(shard)}

    def _guarded(self, item: Item, **changes: object) -> Update:
        """Change a message only if it is still as it was read."""
        # The next check lets only one of two overlapping runs count an answer.
        names = ("state", "claimToken", "nextCheckAt")
        return self._update(
            item["messageId"],
            changes,
            *(Expectation(name, item[name]) for name in names if name in item),
        )

    def _update(
        self, message_id: str, changes: Mapping[str, object], *expected: Expectation
    ) -> Update:
        return Update(message_id, MESSAGE_ENTRY, changes, expected)

    def _change(self, updates: Sequence[Update]) -> int:
        answers = self._table.execute(updates)
        failed = sum(answer.error is not None and not answer.condition_failed for answer in answers)
        if failed:
            raise TableUnavailableError(
                f"{failed} of {len(updates)} messages may not have been changed"
            )
        return sum(answer.error is None for answer in answers)


def age_of(item: Item, now: datetime) -> timedelta:
    """Tell how long ago a message was due to be sent; negative before its `sendAt`."""
    claimed_at = from_text(item["claimedAt"])
    return now - max(claimed_at, _send_at(item) or claimed_at)


def _send_at(item: Item) -> datetime | None:
    return from_text(item["sendAt"]) if "sendAt" in item else None


def _conflict(wanted: Item, item: Item) -> bool:
    return bool(item["contentHash"] != wanted["contentHash"])


def _standing(wanted: Item, item: Item | None) -> Standing:
    """Tell where a message stands, by its item."""
    if not item:
        return Standing(None)
    state = MessageState(item["state"])
    if item["claimToken"] == wanted["claimToken"] and state is MessageState.CLAIMED:
        return Standing(state, token=wanted["claimToken"])
    until = item["leaseUntil"] if state is MessageState.CLAIMED else item.get("nextCheckAt")
    return Standing(
        state,
        conflict=_conflict(wanted, item),
        until=None if state in TAKEN or until is None else from_text(until),
    )


def status_attributes(status: Status) -> dict[str, object]:
    """Write a status as an item holds it."""
    return status.model_dump(by_alias=True, exclude_none=True)
