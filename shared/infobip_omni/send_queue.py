"""The send queue: its records, their retries, and the dead-letter queue."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from infobip_omni.aws import QueueUnavailableError, attempt, in_batches, sqs_client
from infobip_omni.events.dead_letter import (
    MESSAGE_IDS,
    ORIGINAL_ID,
    DeadLetterReason,
    written_ids,
)
from infobip_omni.message import RESOLVED, MessageState
from infobip_omni.message_attributes import (
    attributes_from_lambda,
    attributes_to_send,
    system_attributes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_sqs import SQSClient

    from infobip_omni.message_attributes import MessageAttributes
    from infobip_omni.transitions import ClaimStatus

#: The queue deletes records after ten days, so they are dead-lettered a day before.
OLDEST_RECORD = timedelta(days=9)
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=30)
#: SQS limits the visibility timeout to 12 hours after the record was received.
_LONGEST_INVISIBILITY = timedelta(hours=11)
_ENTRIES_PER_CALL = 10
#: The size of the largest message of the dead-letter queue, set in the template: it has room for
#: what a dead-lettered record holds in addition.
LARGEST_DEAD_LETTER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the send queue, as it was received."""

    sqs_id: str
    #: The SQS id under which the content was first queued; a redriven record keeps it.
    original_id: str
    receipt_handle: str
    body: str = field(repr=False)
    sent_at: datetime
    receive_count: int
    #: The message attributes that the caller has attached.
    attributes: MessageAttributes = field(default_factory=dict, repr=False)
    #: The trace that X-Ray has attached.
    trace_header: str | None = None

    @classmethod
    def received(cls, record: SQSRecord) -> Self:
        """Parse a record of a Lambda event."""
        # By subscript, since `get` does not wrap the attribute; a binary attribute has no text.
        original = record.message_attributes[ORIGINAL_ID]
        written = original and original.get("stringValue")
        return cls(
            sqs_id=record.message_id,
            original_id=written or record.message_id,
            receipt_handle=record.receipt_handle,
            body=record.body,
            sent_at=datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC),
            receive_count=int(record.attributes.approximate_receive_count),
            attributes=attributes_from_lambda(record["messageAttributes"]),
            trace_header=record.attributes.aws_trace_header,
        )

    def is_about_to_be_dropped(self, now: datetime) -> bool:
        """Return whether the queue will soon delete the record."""
        return now - self.sent_at >= OLDEST_RECORD


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A record is done: each of its messages has a verdict."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record is put into the dead-letter queue."""

    reason: DeadLetterReason
    #: The wait before the next attempt, if the dead-letter queue does not accept the record.
    delay: timedelta
    field: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """A record is redelivered after a delay."""

    delay: timedelta


class SendQueue:
    """The send queue and its dead-letter queue."""

    def __init__(self, url: str, dead_letter_url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._dead_letter_url = dead_letter_url
        self._client = client or sqs_client()

    def change_visibility(self, records: Iterable[tuple[Record, timedelta]]) -> int:
        """Change when records are redelivered.

        If this fails for a record, it is redelivered when the queue's visibility timeout ends. That
        is later than requested, and otherwise harmless.

        Args:
            records: The records, each with its delay.

        Returns:
            The number of records for which it failed.
        """
        return sum(map(self._change_visibility_of, in_batches(records, _ENTRIES_PER_CALL)))

    def dead_letter(
        self,
        record: Record,
        reason: DeadLetterReason,
        field: str = "",
        rule: str = "",
        *,
        message_ids: Sequence[str] = (),
    ) -> str:
        """Put a record into the dead-letter queue, with the reason as message attributes.

        Args:
            record: The record; the caller acknowledges it afterwards.
            reason: The reason.
            field: The field that breaks a rule, if any.
            rule: The rule, if any, or Infobip's last answer.
            message_ids: The ids of its messages, as far as they could be read.

        Returns:
            The SQS id of the record in the dead-letter queue.

        Raises:
            QueueUnavailableError: It may not be in the dead-letter queue, so the record must stay
                in the send queue.
        """
        own = {
            "reason": reason,
            "field": field,
            "rule": rule,
            ORIGINAL_ID: record.original_id,
            MESSAGE_IDS: written_ids(message_ids),
        }
        attributes = attributes_to_send(
            {name: _printable(text) for name, text in own.items()},
            record.attributes,
            record.body,
            LARGEST_DEAD_LETTER_BYTES,
        )
        answer = attempt(
            lambda: self._client.send_message(
                QueueUrl=self._dead_letter_url,
                MessageBody=record.body,
                MessageAttributes=attributes,
                MessageSystemAttributes=system_attributes(record.trace_header),
            ),
            QueueUnavailableError,
            "SQS did not confirm the dead-lettered record",
        )
        return answer["MessageId"]

    def _change_visibility_of(self, batch: Sequence[tuple[Record, timedelta]]) -> int:
        entries: list[Any] = [
            {
                "Id": str(number),
                "ReceiptHandle": record.receipt_handle,
                "VisibilityTimeout": _seconds(delay),
            }
            for number, (record, delay) in enumerate(batch)
        ]
        try:
            answer = attempt(
                lambda: self._client.change_message_visibility_batch(
                    QueueUrl=self._url, Entries=entries
                ),
                QueueUnavailableError,
                "SQS did not change their visibility",
            )
        except QueueUnavailableError:
            return len(batch)
        return len(answer.get("Failed", []))


def disposition(
    record: Record, claim_statuses: Sequence[ClaimStatus], default_delay: timedelta, now: datetime
) -> Acknowledge | DeadLetter | Retry:
    """Decide whether a record is acknowledged, dead-lettered or retried.

    Args:
        record: The record.
        claim_statuses: The claim status of each of its messages.
        default_delay: The delay of a retry, unless a message has a time of its own; see `backoff`.
        now: The current time.
    """
    unresolved = [
        claim_status for claim_status in claim_statuses if claim_status.state not in RESOLVED
    ]
    delay = min(
        (_delay(claim_status, default_delay, now) for claim_status in unresolved),
        default=default_delay,
    )
    if not unresolved:
        quarantined = [
            claim_status
            for claim_status in claim_statuses
            if claim_status.state is MessageState.QUARANTINED
        ]
        if quarantined and all(claim_status.is_spent for claim_status in quarantined):
            return DeadLetter(DeadLetterReason.ID_SPENT, delay)
        if quarantined:
            return DeadLetter(DeadLetterReason.QUARANTINED, delay)
        return Acknowledge()
    if record.is_about_to_be_dropped(now):
        return DeadLetter(DeadLetterReason.OUTAGE, delay)
    return Retry(delay)


def backoff(receive_count: int, retry_after_seconds: float | None) -> timedelta:
    """Return the delay before a record is tried again.

    The delay doubles with every receive, from 5 seconds up to 30 minutes, minus a random part of up
    to a quarter; it is at least what Infobip's Retry-After requests. So a record that is retried
    for nine days is received some 500 times, well below the queue's `maxReceiveCount`.

    Args:
        receive_count: How often the record was received, 1 or more.
        retry_after_seconds: The minimum delay, if any.
    """
    exponent = min(max(receive_count - 1, 0), 16)
    delay = min(FIRST_DELAY * float(2**exponent), LONGEST_DELAY)
    delay *= random.uniform(0.75, 1)  # noqa: S311 (spreads load, keeps no secret)
    return max(delay, timedelta(seconds=retry_after_seconds or 0))


def _delay(claim_status: ClaimStatus, default_delay: timedelta, now: datetime) -> timedelta:
    """Return the delay until the state of a message may have changed."""
    wait = (
        claim_status.until - now
        if claim_status.until and claim_status.until > now
        else default_delay
    )
    # An UNKNOWN message changes with the next log query; a claim may end before its lease does.
    return wait if claim_status.state is MessageState.UNKNOWN else min(wait, default_delay)


def _seconds(delay: timedelta) -> int:
    delay = min(max(delay, timedelta(seconds=1)), _LONGEST_INVISIBILITY)
    return math.ceil(delay.total_seconds())


def _printable(text: str) -> str:
    """Replace characters that SQS does not accept in an attribute."""
    return "".join(character if character.isprintable() else "?" for character in text)
