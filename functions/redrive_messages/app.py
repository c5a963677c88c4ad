"""Lists, redrives, releases and closes dead-lettered records, as an operator decides.

This function never sends messages: it puts records back into the send queue, with the id under
which they were first queued, so the sender derives the same message ids and finds its claims. Runs
may overlap, and a run that was killed can be repeated:

* *redrive* puts a record into the send queue before it deletes it. If both copies reach the sender,
  the claims let only one of them send.
* *release* writes the decision first, then moves the record. Repeated, it moves what is left.
* *close* writes the decision first, then deletes the record if none of its messages still needs a
  decision.
"""

from __future__ import annotations

import functools
import json
from bisect import insort
from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from infobip_omni import transitions
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dead_letter_queue import DeadLetterQueue, Scan
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.envelopes import is_record_id
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.message_ids import message_ids_in
from infobip_omni.events.redrive_messages import (
    HINTS,
    NEVER_REDRIVEN,
    CloseCommand,
    Closed,
    ListCommand,
    Listed,
    ListedRecord,
    RedriveCommand,
    Redriven,
    ReleaseCommand,
    Released,
    hint_of_close,
    parse,
    read_token,
    write_token,
)
from infobip_omni.message import RESOLVED, Message, MessageState, UnreadableMessage
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.observability import count, logger, observed, time_left
from infobip_omni.settings import RedriveMessagesSettings
from infobip_omni.timestamps import format_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.dead_letter_queue import DeadLetteredRecord
    from infobip_omni.dynamodb import Update
    from infobip_omni.events.redrive_messages import Answer, Command, Place

Json = dict[str, Any]

#: Lambda's limit for an answer is 6 MB, and the largest record may add half of that.
_LARGEST_LIST_BYTES = 2_500_000
#: Ids of at most 200 characters, each of which JSON may escape to six.
_MOST_UNREADABLE_IDS = 1000


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    queue: DeadLetterQueue
    ledger: MessageLedger


def redrive_messages(
    command: Command,
    deps: Dependencies,
    seconds_left: Callable[[], float],
    now: Callable[[], datetime] = utc_now,
) -> Json:
    """Run a command, and return what was found and done.

    Args:
        command: The operator's command.
        deps: The queues and the ledger.
        seconds_left: Returns how many seconds the run has left.
        now: Returns the current time.

    Returns:
        The answer as JSON. Records that another consumer has received are not found; the
        `approximateSize`, SQS's count before the search, includes them.

    Raises:
        InvalidEventError: The message does not exist, or is not in a state for this command.
        QueueUnavailableError: SQS did not confirm it. The command can be repeated.
        TableUnavailableError: DynamoDB did not confirm it. The command can be repeated.
    """
    size = deps.queue.size()
    answer: Answer
    match command:
        case ListCommand():
            answer = _list(command, deps, seconds_left)
        case RedriveCommand():
            answer = _redrive(command, deps, seconds_left)
        case ReleaseCommand():
            answer = _release(command, deps, seconds_left, now())
        case CloseCommand():
            answer = _close(command, deps, seconds_left, now())
    return {"action": command.action, **answer.to_json(), "approximateSize": size}


# --- Records -----------------------------------------------------------------------------------


class _Page:
    """The oldest records of a list after a place, as many as fit into an answer."""

    def __init__(self, command: ListCommand) -> None:
        self.records: list[ListedRecord] = []
        #: Whether records were left for the next page.
        self.is_cut = False
        self._after = read_token(command)
        self._limit = command.limit
        self._sizes: dict[Place, int] = {}

    def admits(self, place: Place) -> bool:
        """Return whether a record belongs to the page, as far as its place tells."""
        if self._after is not None and place <= self._after:
            return False
        # Of a page that is full, the last record may have to leave for an older one.
        return not self.is_cut or place < self.records[-1].place

    def add(self, record: ListedRecord) -> None:
        """Add a record, and leave the newest ones for the next page if there is no room."""
        insort(self.records, record, key=attrgetter("place"))
        self._sizes[record.place] = len(json.dumps(record.to_json()))
        while len(self.records) > self._limit or self._is_too_large():
            del self._sizes[self.records.pop().place]
            self.is_cut = True

    def _is_too_large(self) -> bool:
        return len(self.records) > 1 and sum(self._sizes.values()) > _LARGEST_LIST_BYTES


def _list(command: ListCommand, deps: Dependencies, seconds_left: Callable[[], float]) -> Listed:
    """List the oldest records, which are known only after all have been received."""
    page = _Page(command)
    with Scan(deps.queue, seconds_left) as scan:
        for record in scan:
            wanted = command.reason in (None, record.reason)
            if wanted and page.admits((format_utc(record.sent_at), record.record_id)):
                page.add(_described(record, show_content=command.show_content))
    shown = page.records
    quarantined = [each for each in shown if each.reason in NEVER_REDRIVEN]
    ids = (message_id for record in quarantined for message_id in record.message_ids)
    messages = deps.ledger.find(ids)
    waiting = {each.id for each in messages.values() if isinstance(each, Message) and each.is_open}
    unreadable = _unreadable(messages)
    return Listed(
        records=[record.to_json(waiting, unreadable) for record in shown],
        hints={
            reason.value: HINTS[reason] for reason in dict.fromkeys(each.reason for each in shown)
        },
        next_token=write_token(shown[-1].place) if page.is_cut else None,
        complete=scan.complete and not page.is_cut,
    )


def _unreadable(messages: Mapping[str, Message | UnreadableMessage]) -> set[str]:
    return {each for each, found in messages.items() if isinstance(found, UnreadableMessage)}


def _redrive(
    command: RedriveCommand, deps: Dependencies, seconds_left: Callable[[], float]
) -> Redriven:
    found: Counter[str] = Counter()
    skipped: Counter[DeadLetterReason] = Counter()
    redriven = failed = 0
    with Scan(deps.queue, seconds_left) as scan:
        for record in scan:
            if command.reason not in (None, record.reason):
                continue
            if command.original_message_id not in (None, record.original_id):
                continue
            if record.reason in NEVER_REDRIVEN:
                skipped[record.reason] += 1
                continue
            found[record.reason.value] += 1
            if not command.dry_run:
                done = _redriven(scan, record)
                redriven += done
                failed += not done
            if found.total() == command.limit or not scan.has_time():
                break
    count({"RecordsRedriven": redriven})
    return Redriven(
        dry_run=command.dry_run,
        found=dict(found),
        redriven=redriven,
        failed=failed,
        skipped_quarantined=skipped.total(),
        hint=" ".join(HINTS[reason] for reason in sorted(skipped)) or None,
        complete=scan.complete,
    )


def _redriven(scan: Scan, record: DeadLetteredRecord) -> bool:
    """Move a record to the send queue, and return whether SQS confirmed it."""
    try:
        scan.redrive(record)
    except QueueUnavailableError as error:
        logger.warning("a record cannot be redriven", reason=str(error))
        return False
    logger.info(
        "record redriven",
        record_id=record.record_id,
        # Any sender to the queue can set this attribute, to any text.
        original_message_id=record.original_id if is_record_id(record.original_id) else None,
        reason=record.reason,
    )
    return True


# --- Decisions about one message ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that an operator can make about a quarantined message."""

    #: The log message when it is made.
    logged: str
    metric: str
    transition: Callable[[Message, str, str, datetime], Update]
    #: Whether a message that is no longer open is already in the state of this decision, so only
    #: its records are left to process.
    is_made: Callable[[Message], bool]
    #: The reasons of the records that the decision applies to.
    reasons: frozenset[DeadLetterReason]


_RELEASE = Decision(
    "message released",
    "MessagesReleased",
    transitions.released,
    is_made=lambda message: message.is_released and message.state not in RESOLVED,
    # INVALID and CONFLICT records are still wrong, and some of their ids belong to other records.
    reasons=frozenset(
        {DeadLetterReason.QUARANTINED, DeadLetterReason.OUTAGE, DeadLetterReason.OTHER}
    ),
)
_CLOSE = Decision(
    "message closed",
    "MessagesClosed",
    transitions.closed,
    # A message may have settled in the meantime.
    is_made=lambda message: message.is_done,
    reasons=NEVER_REDRIVEN,
)


def _release(
    command: ReleaseCommand, deps: Dependencies, seconds_left: Callable[[], float], now: datetime
) -> Released:
    """Release a message, and move its record to the send queue.

    A record that is not in the dead-letter queue is still in the send queue, or an earlier run has
    moved it there.
    """
    if _find(command.message_id, deps.ledger).is_spent:
        rule = "names a message whose id Infobip refuses as used: queue its content under a new id"
        raise InvalidEventError("messageId", rule)
    message = _decide(command, _RELEASE, deps.ledger, now)
    redriven = 0
    with Scan(deps.queue, seconds_left) as scan:
        for record, _ in _records_of(message, _RELEASE, scan):
            scan.redrive(record)
            redriven += 1
    return Released(
        message_id=message.id,
        state=message.state,
        records_redriven=redriven,
        complete=scan.complete,
    )


def _close(
    command: CloseCommand, deps: Dependencies, seconds_left: Callable[[], float], now: datetime
) -> Closed:
    """Close a message, and delete its records that hold no other message to decide about."""
    message = _decide(command, _CLOSE, deps.ledger, now)
    deleted = kept = 0
    unreadable: set[str] = set()
    with Scan(deps.queue, seconds_left) as scan:
        for record, ids in _records_of(message, _CLOSE, scan):
            messages = deps.ledger.find(ids)
            unreadable |= _unreadable(messages)
            found = [messages.get(one) for one in ids]
            if all(isinstance(one, Message) and one.is_done for one in found):
                scan.delete(record)
                deleted += 1
            else:
                kept += 1
    return Closed(
        message_id=message.id,
        state=message.state,
        records_deleted=deleted,
        records_kept=kept,
        unreadable_message_ids=sorted(unreadable)[:_MOST_UNREADABLE_IDS] or None,
        hint=hint_of_close(is_quarantined=message.state is MessageState.QUARANTINED, kept=kept),
        complete=scan.complete,
    )


def _decide(
    command: ReleaseCommand | CloseCommand, decision: Decision, ledger: MessageLedger, now: datetime
) -> Message:
    """Write a decision, unless it was already made.

    Returns:
        The message after the decision.

    Raises:
        InvalidEventError: There is no such message, or nothing to decide about it.
    """
    message = _find(command.message_id, ledger)
    changed = False
    if message.is_open:
        update = decision.transition(message, command.by, command.why, now)
        changed = ledger.apply([update]) > 0
        message = _find(command.message_id, ledger)
    if changed:
        logger.info(decision.logged, message_id=message.id)
        count({decision.metric: 1})
    elif not decision.is_made(message):
        closed = message.state is MessageState.QUARANTINED and message.is_closed
        state = "CLOSED" if closed else message.state.value
        rule = f"names a message that is {state}, not quarantined: there is nothing to decide"
        raise InvalidEventError("messageId", rule)
    return message


def _find(message_id: str, ledger: MessageLedger) -> Message:
    message = ledger.find([message_id]).get(message_id)
    if message is None:
        rule = "names no known message: list the dead-lettered records to see their message ids"
        raise InvalidEventError("messageId", rule)
    if isinstance(message, UnreadableMessage):
        rule = "names a message that this version cannot read: deploy the version that wrote it"
        raise InvalidEventError("messageId", rule)
    return message


def _records_of(
    message: Message, decision: Decision, scan: Scan
) -> Iterator[tuple[DeadLetteredRecord, list[str]]]:
    """Find the records of a message that a decision applies to, each with its message ids."""
    for record in scan:
        if record.reason in decision.reasons and message.id in (ids := _ids(record)):
            yield record, ids


def _ids(record: DeadLetteredRecord) -> list[str]:
    """Return the ids of a record's messages, as far as they can be read from its body."""
    return message_ids_in(record.body, record.original_id)


def _described(record: DeadLetteredRecord, *, show_content: bool) -> ListedRecord:
    ids = _ids(record)
    return ListedRecord(
        record_id=record.record_id,
        original_message_id=record.original_id,
        reason=record.reason,
        field=record.field_name,
        rule=record.rule,
        sent_at=format_utc(record.sent_at),
        age_seconds=max(0, int((utc_now() - record.sent_at).total_seconds())),
        destinations=len(ids) or None,
        message_ids=ids,
        body=record.body if show_content else None,
    )


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = RedriveMessagesSettings.from_environment()
    return Dependencies(
        queue=DeadLetterQueue(settings.send_dead_letter_queue_url, settings.send_queue_url),
        ledger=open_ledger(settings).ledger,
    )


@observed
def lambda_handler(event: object, context: LambdaContext) -> Json:
    """Run the event's command, and return what was found and done."""
    command = parse(event)
    return redrive_messages(command, dependencies(), time_left(context))
