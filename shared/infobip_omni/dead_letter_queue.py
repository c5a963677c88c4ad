"""The dead-letter queue, as an operator goes through it.

SQS can neither search a queue nor show a record without hiding it from others. So a scan takes
hold of all that is there, and in the end lets go of what it has not removed. A scan that is killed
lets go of nothing: what it held shows up again after a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from infobip_omni.aws import QueueUnavailableError, attempt, in_batches, sqs_client
from infobip_omni.events.dead_letter import ORIGINAL_ID, DeadLetterReason
from infobip_omni.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: How long a record is out of sight for others; longer than one scan may last.
HIDDEN_SECONDS = 60
#: A receive that does not wait may miss what is there. 1 second has SQS look everywhere.
WAIT_SECONDS = 1
_ENTRIES_PER_CALL = 10
#: No more is received when less time is left: a call may be repeated for some seconds.
_SECONDS_TO_FINISH = 20.0
#: What is left for the answer.
_SECONDS_TO_ANSWER = 10.0


@dataclass(frozen=True, slots=True)
class DeadLetteredRecord:
    """A record that was set aside."""

    record_id: str
    #: The id under which the content was first queued.
    original_id: str
    reason: DeadLetterReason
    #: The field that breaks a rule, and the rule, if that is the reason.
    field_name: str | None
    rule: str | None
    #: Since when it stands there; what SQS has moved by itself: since when it was queued.
    sent_at: datetime
    receipt_handle: str
    body: str = field(repr=False)

    @classmethod
    def received(cls, record: MessageTypeDef) -> Self:
        """Read a record as SQS hands it out."""
        attributes = {
            name: attribute.get("StringValue")
            for name, attribute in record.get("MessageAttributes", {}).items()
        }
        reason = attributes.get("reason") or ""
        sent_at = int(record["Attributes"]["SentTimestamp"]) / 1000
        return cls(
            record_id=record["MessageId"],
            original_id=attributes.get(ORIGINAL_ID) or record["MessageId"],
            reason=DeadLetterReason(reason)
            if reason in set(DeadLetterReason)
            else DeadLetterReason.OTHER,
            field_name=attributes.get("field"),
            rule=attributes.get("rule"),
            sent_at=datetime.fromtimestamp(sent_at, UTC),
            receipt_handle=record["ReceiptHandle"],
            body=record["Body"],
        )


class DeadLetterQueue:
    """The dead-letter queue of the send queue."""

    def __init__(self, url: str, send_queue_url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._send_queue_url = send_queue_url
        self._client = client or sqs_client()

    def size(self) -> int:
        """Count the records, those that others hold included; SQS counts approximately.

        Raises:
            QueueUnavailableError: SQS did not say.
        """
        answer = attempt(
            lambda: self._client.get_queue_attributes(
                QueueUrl=self._url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            ),
            QueueUnavailableError,
            "SQS did not do it",
        )
        return sum(int(count) for count in answer["Attributes"].values())

    def receive(self) -> list[DeadLetteredRecord]:
        """Take hold of some records; none when all that are left are held by others.

        Raises:
            QueueUnavailableError: SQS did not hand them out.
        """
        answer = attempt(
            lambda: self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_ENTRIES_PER_CALL,
                VisibilityTimeout=HIDDEN_SECONDS,
                WaitTimeSeconds=WAIT_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ),
            QueueUnavailableError,
            "SQS did not do it",
        )
        return [DeadLetteredRecord.received(record) for record in answer.get("Messages", [])]

    def send_back(self, record: DeadLetteredRecord) -> None:
        """Put a record into the send queue as well, under the id that its message ids derive from.

        Raises:
            QueueUnavailableError: It may be there, or not.
        """
        attempt(
            lambda: self._client.send_message(
                QueueUrl=self._send_queue_url,
                MessageBody=record.body,
                MessageAttributes={
                    ORIGINAL_ID: {
                        "DataType": "String",
                        "StringValue": record.original_id,
                    }
                },
            ),
            QueueUnavailableError,
            "SQS did not do it",
        )

    def delete(self, record: DeadLetteredRecord) -> None:
        """Delete a record that the caller holds.

        Raises:
            QueueUnavailableError: It may still be there.
        """
        attempt(
            lambda: self._client.delete_message(
                QueueUrl=self._url, ReceiptHandle=record.receipt_handle
            ),
            QueueUnavailableError,
            "SQS did not do it",
        )

    def release_visibility(
        self, receipt_handles: Iterable[str], has_time: Callable[[], bool]
    ) -> None:
        """Show records to others again; those that this fails for show up a little later."""
        for batch in in_batches(receipt_handles, _ENTRIES_PER_CALL):
            if not has_time():
                return
            entries: list[Any] = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for number, handle in enumerate(batch)
            ]
            show = partial(
                self._client.change_message_visibility_batch, QueueUrl=self._url, Entries=entries
            )
            try:
                attempt(show, QueueUnavailableError, "SQS did not show them")
            except QueueUnavailableError:
                return


class Scan:
    """One walk through the dead-letter queue: a context manager, iterated once inside.

    Records that arrive after its beginning are left for the next: else one that is sent again,
    and comes back at once, would go round in circles.

    Args:
        queue: The queue.
        seconds_left: Returns how much time the run has.
    """

    def __init__(self, queue: DeadLetterQueue, seconds_left: Callable[[], float]) -> None:
        #: Whether all records were seen but those that others hold.
        self.complete = False
        self._queue = queue
        self._seconds_left = seconds_left
        self._began_at = utc_now()
        #: Receipt handles of all records that were seen, by record id.
        self._held: dict[str, str] = {}
        self._removed: set[str] = set()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of what was not removed."""
        left = [
            handle for record_id, handle in self._held.items() if record_id not in self._removed
        ]
        self._queue.release_visibility(left, lambda: self._seconds_left() >= _SECONDS_TO_ANSWER)

    def __iter__(self) -> Iterator[DeadLetteredRecord]:
        """Show each record once, until all were shown or the time is over.

        Raises:
            QueueUnavailableError: SQS did not hand out any more.
        """
        while self.has_time():
            records = self._queue.receive()
            if not records:
                self.complete = True
                return
            # SQS may hand out a record twice; its latest handle is the one that counts.
            new = [record for record in records if record.record_id not in self._held]
            self._held |= {record.record_id: record.receipt_handle for record in records}
            yield from (record for record in new if record.sent_at <= self._began_at)

    def has_time(self) -> bool:
        """Return whether there is time for one more call."""
        return self._seconds_left() >= _SECONDS_TO_FINISH

    def redrive(self, record: DeadLetteredRecord) -> None:
        """Move a record to the send queue.

        It is deleted last: in between there are two of it, of which the sender's claims let one
        send.

        Raises:
            QueueUnavailableError: It may be in either queue, or in both.
        """
        self._queue.send_back(record)
        self.delete(record)

    def delete(self, record: DeadLetteredRecord) -> None:
        """Delete a record.

        Raises:
            QueueUnavailableError: It may still be there.
        """
        self._queue.delete(record)
        self._removed.add(record.record_id)
