"""The ledger of messages: one item in DynamoDB each, changed only by conditional writes.

The rules are defined in `transitions`; this module applies them to the table.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from infobip_omni import transitions
from infobip_omni.aws import in_batches
from infobip_omni.dynamodb import MESSAGE_ID, Insert, Query, Table, TableUnavailableError
from infobip_omni.message import (
    CHECK_INDEX,
    CHECK_SHARDS,
    MESSAGE_ENTRY,
    QUARANTINED_SHARD,
    Message,
    MessageState,
    UnreadableMessage,
    state_of,
)
from infobip_omni.timestamps import format_utc, utc_now
from infobip_omni.transitions import ClaimStatus, Lease, Periods, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from infobip_omni.dynamodb import Answer, Update
    from infobip_omni.message import RefusedRecord
    from infobip_omni.settings import LedgerSettings
    from infobip_omni.transitions import AttemptResult, Claim


#: How many keys of a shard are read at a time, and how many messages: DynamoDB reads 100 in a call.
_KEYS_PER_PAGE = 100
_MESSAGES_PER_READ = 100


class Storage(NamedTuple):
    """The messages table and its ledger."""

    table: Table
    ledger: MessageLedger


def open_ledger(settings: LedgerSettings) -> Storage:
    """Return the messages table and its ledger for a function's settings."""
    table = Table(settings.messages_table_name)
    ledger = MessageLedger(
        table,
        retention=timedelta(days=settings.retention_days),
        check_after=timedelta(seconds=settings.reconcile_after_seconds),
    )
    return Storage(table, ledger)


class MessageLedger:
    """The messages of one table.

    Args:
        table: The table.
        retention: How long a message is kept after it can no longer change.
        check_after: How old an unsettled message must be before the logs are queried.
        now: Returns the current time.
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

    def claim(self, claims: Sequence[Claim], duration: timedelta) -> list[ClaimStatus]:
        """Claim messages individually.

        The token shows whether a claim is the caller's own, even if its write seemed to fail.

        Args:
            claims: The messages, each with a different id.
            duration: The duration of each lease.

        Returns:
            The claim status of each, in order.
        """
        now = self._now()
        periods = Periods(self.retention, self.check_after)
        leases = [Lease(uuid.uuid4().hex, now, now + duration) for _ in claims]
        wanted = list(zip(claims, leases, strict=True))
        answers = self._table.execute(
            [transitions.claimed(claim, lease, periods) for claim, lease in wanted]
        )
        claim_statuses = {
            claim.message_id: ClaimStatus(MessageState.CLAIMED, token=lease.token)
            for (claim, lease), answer in zip(wanted, answers, strict=True)
            if answer.error is None
        }
        existing = [pair for pair in wanted if pair[0].message_id not in claim_statuses]
        claim_statuses |= self._claim_existing(existing, periods)
        return [claim_statuses[claim.message_id] for claim in claims]

    def _claim_existing(
        self, wanted: Sequence[tuple[Claim, Lease]], periods: Periods
    ) -> dict[str, ClaimStatus]:
        """Change messages that could not be inserted where the rules allow; return their status."""
        found = self._find_all([claim.message_id for claim, _ in wanted])
        claim_statuses: dict[str, ClaimStatus] = {}
        writes: list[tuple[Claim, Lease, Write]] = []
        for claim, lease in wanted:
            message = found.get(claim.message_id)
            if not isinstance(message, Message):
                claim_statuses[claim.message_id] = ClaimStatus(None, unreadable=message is not None)
                continue
            meeting = transitions.meet(claim, lease, message, periods)
            claim_statuses[claim.message_id] = meeting.claim_status
            if isinstance(meeting, Write):
                writes.append((claim, lease, meeting))
        answers = self._table.execute([write.update for _, _, write in writes])
        for (claim, lease, write), answer in zip(writes, answers, strict=True):
            claim_statuses[claim.message_id] = _claim_status_after(claim, lease, write, answer)
        return claim_statuses

    def save(self, results: Sequence[AttemptResult]) -> list[ClaimStatus]:
        """Write the results of claimed messages, if their claims still hold.

        Returns:
            The claim status of each message, in order. Its state differs from the given one if the
            lease has expired or a report came first, and is None if the table did not confirm it.
        """
        now = self._now()
        answers = self._table.execute(
            [transitions.result_saved(result, now, self.check_after) for result in results]
        )
        claim_statuses = []
        for result, answer in zip(results, answers, strict=True):
            if answer.error is not None:
                claim_statuses.append(ClaimStatus(state_of(answer.item)))
            elif result.state is MessageState.UNKNOWN:
                until = transitions.first_check(result.send_at, now, self.check_after)
                claim_statuses.append(ClaimStatus(result.state, until=until))
            else:
                claim_statuses.append(ClaimStatus(result.state))
        return claim_statuses

    def apply(self, updates: Iterable[Update]) -> int:
        """Apply updates of messages, each only if its expectations hold.

        Returns:
            The number of messages that have changed.

        Raises:
            TableUnavailableError: Some updates were not confirmed.
        """
        updates = list(updates)
        answers = self._table.execute(updates)
        failed = sum(answer.error is not None and not answer.condition_failed for answer in answers)
        if failed:
            raise TableUnavailableError(
                f"{failed} of {len(updates)} messages may not have been changed"
            )
        return sum(answer.error is None for answer in answers)

    def keep_refused(self, records: Iterable[RefusedRecord]) -> bool:
        """Store where refused records are, and why, with each message id that they hold.

        No message is changed, so a corrected record can claim the ids. A repeat changes nothing.

        Returns:
            Whether the table has confirmed it.
        """
        now = self._now()
        expires_at = int((now + self.retention).timestamp())
        distinct = {(record.message_id, record.record_id): record for record in records}
        answers = self._table.execute(
            [Insert(record.to_item(now, expires_at)) for record in distinct.values()]
        )
        return all(answer.error is None or answer.condition_failed for answer in answers)

    def find(self, message_ids: Iterable[str]) -> dict[str, Message | UnreadableMessage]:
        """Read messages by their ids; unknown and expired ones are left out.

        Raises:
            TableUnavailableError: Some messages could not be read.
        """
        now = self._now()
        found = self._read(message_ids)
        return {
            message_id: message
            for message_id, message in found.items()
            if isinstance(message, UnreadableMessage) or not message.has_expired(now)
        }

    def due(self) -> Iterator[Message | UnreadableMessage]:
        """Yield the messages whose check is due, the longest overdue first.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        now = self._now()
        keys = self._table.query_merged(
            [
                Query(str(shard), CHECK_INDEX, last=format_utc(now), page_size=_KEYS_PER_PAGE)
                for shard in range(CHECK_SHARDS)
            ]
        )
        for batch in in_batches(keys, _MESSAGES_PER_READ):
            ids = [key[MESSAGE_ID] for key in batch]
            found = self.find(ids)
            for message_id in ids:
                message = found.get(message_id)
                # The index may lag behind the table.
                if isinstance(message, UnreadableMessage) or (message and message.is_due(now)):
                    yield message

    def count_quarantined(self, most: int) -> int:
        """Return the number of messages that need an operator's decision, at most *most*.

        Raises:
            TableUnavailableError: The index could not be read.
        """
        keys = self._table.query(Query(QUARANTINED_SHARD, CHECK_INDEX, page_size=most))
        return sum(1 for _ in islice(keys, most))

    def _find_all(self, message_ids: Iterable[str]) -> dict[str, Message | UnreadableMessage]:
        """Read messages, including expired ones; return none if the table cannot be read."""
        try:
            return self._read(message_ids)
        except TableUnavailableError:
            return {}

    def _read(self, message_ids: Iterable[str]) -> dict[str, Message | UnreadableMessage]:
        found = self._table.get_all((message_id, MESSAGE_ENTRY) for message_id in message_ids)
        return {message_id: Message.from_item(item) for (message_id, _), item in found.items()}


def _claim_status_after(claim: Claim, lease: Lease, write: Write, answer: Answer) -> ClaimStatus:
    """Return the claim status of a message after the answer to its update."""
    if answer.error is None:
        return write.claim_status
    message = Message.from_item(answer.item) if answer.item else None
    if isinstance(message, Message):
        return transitions.claim_status_of(claim, lease, message)
    return write.fallback
