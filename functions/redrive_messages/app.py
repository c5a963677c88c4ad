"""Lets an operator deal with what was set aside: look at it, send it again, or close it.

Nothing here sends by itself: what is to be sent goes back into the send queue, under the id that
it was first queued under, so that the sender derives the same message ids and finds its claims.
Two runs at once do no harm, and a run that was killed may simply be repeated:

* *redrive* puts a letter into the send queue before it deletes it; the claims let one of two send.
* *release* writes the decision first, then moves the letter; repeated, it moves what is left.
* *close* writes the decision first, then deletes the letter if nothing in it is left to decide.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infobip_omni import transitions
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dead_letter_queue import DeadLetterQueue, Scan
from infobip_omni.delivery import RESOLVED, MessageState
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.redrive_messages import (
    CloseOrder,
    ListOrder,
    RedriveOrder,
    ReleaseOrder,
    parse,
)
from infobip_omni.events.send_message import SendEvent, is_record_id
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.moments import to_text, utc_now
from infobip_omni.observability import count, logger, observed, time_left
from infobip_omni.settings import RedriveMessagesSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.dead_letter_queue import DeadLetter
    from infobip_omni.dynamodb import Update
    from infobip_omni.events.redrive_messages import Order
    from infobip_omni.message import Message

Json = dict[str, Any]

#: An answer of Lambda ends at 6 MB, to which the largest letter may add half of that.
_LARGEST_LIST_BYTES = 2_500_000
#: A release sends these; the others are still wrong, and of their ids only some are theirs.
_RELEASED_REASONS = frozenset(
    {DeadLetterReason.QUARANTINED, DeadLetterReason.OUTAGE, DeadLetterReason.OTHER}
)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    queue: DeadLetterQueue
    ledger: MessageLedger


def carry_out(
    order: Order,
    deps: Dependencies,
    seconds_left: Callable[[], float],
    now: Callable[[], datetime] = utc_now,
) -> Json:
    """Carry out an order, and tell what was found and done.

    Args:
        order: What the operator wants.
        deps: The queues and the ledger.
        seconds_left: Tells how much time the run has.
        now: Tells the time.

    Returns:
        The answer. It says whether the search was `complete`: if not, there may be more, and the
        order may be given again. Letters that others hold at the time are not seen;
        `approximateSize` is SQS's count before the search, with those.

    Raises:
        InvalidEventError: The message is not in a state for this.
        QueueUnavailableError: SQS did not do it. Giving the order again is right.
        TableUnavailableError: DynamoDB did not do it. The same holds.
    """
    size = deps.queue.size()
    match order:
        case ListOrder():
            answer = _list(order, deps, seconds_left)
        case RedriveOrder():
            answer = _redrive(order, deps, seconds_left)
        case ReleaseOrder():
            answer = _release(order, deps, seconds_left, now())
        case CloseOrder():
            answer = _close(order, deps, seconds_left, now())
    return {"action": order.action, **answer, "approximateSize": size}


# --- Letters -----------------------------------------------------------------------------------


def _list(order: ListOrder, deps: Dependencies, seconds_left: Callable[[], float]) -> Json:
    shown: list[Json] = []
    size = 0
    with Scan(deps.queue, seconds_left) as scan:
        for letter in scan:
            if order.reason not in (None, letter.reason):
                continue
            described = _described(letter, show_content=order.show_content)
            size += len(json.dumps(described))
            if shown and size > _LARGEST_LIST_BYTES:
                break
            shown.append(described)
            if len(shown) == order.limit:
                break
    return {"letters": _with_quarantined(shown, deps.ledger), "complete": scan.complete}


def _with_quarantined(letters: Sequence[Json], ledger: MessageLedger) -> list[Json]:
    """Add to quarantined letters which of their messages wait for a decision."""
    quarantined = [each["messageIds"] for each in letters if _is_quarantined(each)]
    found = ledger.find(message_id for ids in quarantined for message_id in ids)
    waiting = {message_id for message_id, message in found.items() if message.is_open}
    return [
        letter
        | {"quarantinedMessageIds": [each for each in letter["messageIds"] if each in waiting]}
        if _is_quarantined(letter)
        else letter
        for letter in letters
    ]


def _is_quarantined(letter: Json) -> bool:
    return bool(letter["reason"] == DeadLetterReason.QUARANTINED)


def _redrive(order: RedriveOrder, deps: Dependencies, seconds_left: Callable[[], float]) -> Json:
    found: Counter[str] = Counter()
    skipped = redriven = failed = 0
    with Scan(deps.queue, seconds_left) as scan:
        for letter in scan:
            if order.reason not in (None, letter.reason):
                continue
            if order.original_message_id not in (None, letter.original_id):
                continue
            if letter.reason is DeadLetterReason.QUARANTINED:
                skipped += 1
                continue
            found[letter.reason.value] += 1
            if not order.dry_run:
                done = _redriven(scan, letter)
                redriven += done
                failed += not done
            if found.total() == order.limit or not scan.has_time():
                break
    count({"RecordsRedriven": redriven})
    return {
        "dryRun": order.dry_run,
        "found": dict(found),
        "redriven": redriven,
        "failed": failed,
        # Their messages stay quarantined: each has to be released or closed by itself.
        "skippedQuarantined": skipped,
        "complete": scan.complete,
    }


# --- Decisions about one message ---------------------------------------------------------------


def _release(
    order: ReleaseOrder, deps: Dependencies, seconds_left: Callable[[], float], now: datetime
) -> Json:
    """Release a message, and send its record.

    A record that is not found among the dead letters is still in the send queue, to which the
    sender returns it, or was put there before.
    """
    message, changed = _decide(order, transitions.released, deps.ledger, now)
    if changed:
        logger.info("message released", message_id=order.message_id)
        count({"MessagesReleased": 1})
    elif not message.is_released or message.state in RESOLVED:
        # Else it was released before, and its letter may still be where it was.
        raise _not_quarantined(message)
    redriven = 0
    with Scan(deps.queue, seconds_left) as scan:
        for letter in scan:
            if letter.reason in _RELEASED_REASONS and order.message_id in _ids(letter):
                scan.redrive(letter)
                redriven += 1
    return {
        "messageId": order.message_id,
        "state": message.state,
        "lettersRedriven": redriven,
        "complete": scan.complete,
    }


def _close(
    order: CloseOrder, deps: Dependencies, seconds_left: Callable[[], float], now: datetime
) -> Json:
    """Close a message, and delete its letter if none of its messages is left to decide.

    Of a message that has a verdict by now, only the letter is dealt with.
    """
    message, changed = _decide(order, transitions.closed, deps.ledger, now)
    if changed:
        logger.info("message closed", message_id=order.message_id)
        count({"MessagesClosed": 1})
    elif not message.is_done:
        raise _not_quarantined(message)
    deleted = kept = 0
    with Scan(deps.queue, seconds_left) as scan:
        for letter in scan:
            if letter.reason is not DeadLetterReason.QUARANTINED:
                continue
            ids = _ids(letter)
            if order.message_id not in ids:
                continue
            messages = deps.ledger.find(ids)
            if all(one in messages and messages[one].is_done for one in ids):
                scan.delete(letter)
                deleted += 1
            else:
                kept += 1
    return {
        "messageId": order.message_id,
        "state": message.state,
        "lettersDeleted": deleted,
        "lettersKept": kept,
        "complete": scan.complete,
    }


def _decide(
    order: ReleaseOrder | CloseOrder,
    decided: Callable[[Message, str, str, datetime], Update],
    ledger: MessageLedger,
    now: datetime,
) -> tuple[Message, bool]:
    """Write a decision, if the message waits for one.

    Returns:
        The message as it is then, and whether it was changed.
    """
    message = _find(order.message_id, ledger)
    changed = message.is_open and ledger.apply([decided(message, order.by, order.why, now)]) > 0
    return _find(order.message_id, ledger), changed


def _find(message_id: str, ledger: MessageLedger) -> Message:
    message = ledger.find([message_id]).get(message_id)
    if message is None:
        raise InvalidEventError("messageId", "is of no message that is known")
    return message


def _not_quarantined(message: Message) -> InvalidEventError:
    """Say why there is nothing to decide about a message."""
    closed = message.state is MessageState.QUARANTINED and message.is_closed
    state = "CLOSED" if closed else message.state.value
    return InvalidEventError("messageId", f"is of a message that is {state}, not quarantined")


def _ids(letter: DeadLetter) -> list[str]:
    """Return the ids of a letter's messages; none where the body cannot be read as an event."""
    try:
        event = SendEvent.parse(letter.body, letter.original_id, utc_now())
    except InvalidEventError:
        return []
    return [message.message_id for message in event.messages]


def _described(letter: DeadLetter, *, show_content: bool) -> Json:
    ids = _ids(letter)
    described = {
        "recordId": letter.record_id,
        "originalMessageId": letter.original_id,
        "reason": letter.reason.value,
        "field": letter.field_name,
        "rule": letter.rule,
        "sentAt": to_text(letter.sent_at),
        "ageSeconds": max(0, int((utc_now() - letter.sent_at).total_seconds())),
        "destinations": len(ids) or None,
        "messageIds": ids,
        "body": letter.body if show_content else None,
    }
    return {name: value for name, value in described.items() if value is not None}


def _redriven(scan: Scan, letter: DeadLetter) -> bool:
    """Put a letter back into the send queue, and tell whether that is certain."""
    try:
        scan.redrive(letter)
    except QueueUnavailableError as error:
        logger.warning("a record cannot be redriven", reason=str(error))
        return False
    logger.info(
        "record redriven",
        record_id=letter.record_id,
        # Anybody may have written this attribute, and anything into it.
        original_message_id=letter.original_id if is_record_id(letter.original_id) else None,
        reason=letter.reason,
    )
    return True


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = RedriveMessagesSettings.from_environment()
    return Dependencies(
        queue=DeadLetterQueue(settings.send_dead_letter_queue_url, settings.send_queue_url),
        ledger=open_ledger(settings).ledger,
    )


@observed
def lambda_handler(event: object, context: LambdaContext) -> Json:
    """Answer with what was found and done."""
    return carry_out(parse(event), dependencies(), time_left(context))
