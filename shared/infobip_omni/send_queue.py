"""The send queue: its records, when they come round again, and where those go that never will."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from infobip_omni.aws import QueueUnavailableError, attempt, in_batches, sqs_client
from infobip_omni.events.dead_letter import ORIGINAL_ID, DeadLetterReason
from infobip_omni.message import RESOLVED, MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from infobip_omni.transitions import ClaimStatus

#: The queue keeps records for ten days; a day before, they are saved from it.
OLDEST_RECORD = timedelta(days=9)
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=30)
#: SQS lets a record be invisible for 12 hours from when it was received.
_LONGEST_INVISIBILITY = timedelta(hours=11)
_ENTRIES_PER_CALL = 10


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the send queue, as it was received."""

    sqs_id: str
    #: The id under which the content was first queued; it outlives dead-letter queue and redrive.
    original_id: str
    receipt_handle: str
    body: str = field(repr=False)
    sent_at: datetime
    receive_count: int

    @classmethod
    def received(cls, record: SQSRecord) -> Self:
        """Read a record of a Lambda event."""
        # By subscript, as `get` leaves out the wrapper; a binary attribute has no text.
        original = record.message_attributes[ORIGINAL_ID]
        written = original and original.get("stringValue")
        return cls(
            sqs_id=record.message_id,
            original_id=written or record.message_id,
            receipt_handle=record.receipt_handle,
            body=record.body,
            sent_at=datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC),
            receive_count=int(record.attributes.approximate_receive_count),
        )

    def is_about_to_be_dropped(self, now: datetime) -> bool:
        """Return whether the queue will not keep the record for much longer."""
        return now - self.sent_at >= OLDEST_RECORD


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Each message of a record has a verdict: the record is done."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record goes to the dead-letter queue."""

    reason: DeadLetterReason
    #: When it is looked at again, if the dead-letter queue does not take it.
    delay: timedelta
    field: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """A record comes round again."""

    delay: timedelta


class SendQueue:
    """The send queue and its dead-letter queue."""

    def __init__(self, url: str, dead_letter_url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._dead_letter_url = dead_letter_url
        self._client = client or sqs_client()

    def change_visibility(self, records: Iterable[tuple[Record, timedelta]]) -> int:
        """Hide records that go back to the queue.

        A record that this fails for comes back when its visibility timeout ends: later than
        asked for, which harms nothing.

        Returns:
            For how many records it has failed.
        """
        return sum(map(self._change_visibility_of, in_batches(records, _ENTRIES_PER_CALL)))

    def dead_letter(
        self, record: Record, reason: DeadLetterReason, field: str = "", rule: str = ""
    ) -> None:
        """Put a record's body into the dead-letter queue, and say why it stands there.

        Args:
            record: The record; the caller acknowledges it afterwards.
            reason: Why.
            field: The field that breaks a rule, if one does.
            rule: The rule.

        Raises:
            QueueUnavailableError: It may not be there: the record must stay in the send queue.
        """
        words = {"reason": reason, "field": field, "rule": rule, ORIGINAL_ID: record.original_id}
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": _printable(text)}
            for name, text in words.items()
            if text
        }
        attempt(
            lambda: self._client.send_message(
                QueueUrl=self._dead_letter_url,
                MessageBody=record.body,
                MessageAttributes=attributes,
            ),
            QueueUnavailableError,
            "SQS did not take it",
        )

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
    """Decide what becomes of a record by where its messages stand.

    Args:
        record: The record.
        claim_statuses: Where each of its messages stands.
        default_delay: How long the record waits when nothing says better; see `backoff`.
        now: The time.
    """
    unresolved = [
        claim_status for claim_status in claim_statuses if claim_status.state not in RESOLVED
    ]
    delay = min(
        (_delay(claim_status, default_delay, now) for claim_status in unresolved),
        default=default_delay,
    )
    if not unresolved:
        if any(claim_status.state is MessageState.QUARANTINED for claim_status in claim_statuses):
            return DeadLetter(DeadLetterReason.QUARANTINED, delay)
        return Acknowledge()
    if record.is_about_to_be_dropped(now):
        return DeadLetter(DeadLetterReason.OUTAGE, delay)
    return Retry(delay)


def backoff(receive_count: int, retry_after_seconds: float | None) -> timedelta:
    """Return how long a record waits before it is tried again.

    The delay doubles with every receive, from 5 seconds up to 30 minutes, less up to a quarter
    of it by chance; where Infobip asks for more, it gets that. So a record that is tried for nine
    days is received some 500 times, far below the queue's `maxReceiveCount`.
    """
    exponent = min(max(receive_count - 1, 0), 16)
    delay = min(FIRST_DELAY * float(2**exponent), LONGEST_DELAY)
    delay *= random.uniform(0.75, 1)  # noqa: S311 (spreads load, keeps no secret)
    return max(delay, timedelta(seconds=retry_after_seconds or 0))


def _delay(claim_status: ClaimStatus, default_delay: timedelta, now: datetime) -> timedelta:
    """Return when it is worth looking at a message again."""
    wait = (
        claim_status.until - now
        if claim_status.until and claim_status.until > now
        else default_delay
    )
    # An unknown outcome is worth a look once the logs were asked; a claim may end earlier.
    return wait if claim_status.state is MessageState.UNKNOWN else min(wait, default_delay)


def _seconds(delay: timedelta) -> int:
    delay = min(max(delay, timedelta(seconds=1)), _LONGEST_INVISIBILITY)
    return math.ceil(delay.total_seconds())


def _printable(text: str) -> str:
    """Leave out what SQS does not take in an attribute."""
    return "".join(character if character.isprintable() else "?" for character in text)
