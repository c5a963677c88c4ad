"""The dead-letter queue of the send queue, as operators search it.

SQS cannot search a queue, and a record that one consumer receives is invisible to the others. So a
scan receives every record, and makes those that it has not removed visible again at its end. If a
scan is killed, its records become visible again after a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from infobip_omni.aws import QueueUnavailableError, attempt, in_batches, sqs_client
from infobip_omni.events.dead_letter import ORIGINAL_ID, DeadLetterReason
from infobip_omni.events.send_message import LARGEST_EVENT_BYTES
from infobip_omni.message_attributes import (
    attributes_from_sqs,
    attributes_to_send,
    system_attributes,
)
from infobip_omni.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from infobip_omni.message_attributes import MessageAttributes

#: The visibility timeout of a received record; longer than a scan may last.
VISIBILITY_SECONDS = 60
#: With no wait time, SQS asks only some of its servers and may miss records; with 1 s it asks all.
WAIT_SECONDS = 1
_ENTRIES_PER_CALL = 10
#: A scan stops receiving when less time is left: retries of a call may take some seconds.
_SECONDS_TO_FINISH = 20.0
#: The time reserved for the answer.
_SECONDS_TO_ANSWER = 10.0


@dataclass(frozen=True, slots=True)
class DeadLetteredRecord:
    """A record of the dead-letter queue."""

    record_id: str
    #: The SQS id under which the content was first queued.
    original_id: str
    reason: DeadLetterReason
    #: The field that breaks a rule, and the rule; the rule of an outage is Infobip's last answer.
    field_name: str | None
    rule: str | None
    #: When it was dead-lettered; if SQS moved it, when it was first queued.
    sent_at: datetime
    receipt_handle: str
    body: str = field(repr=False)
    #: The message attributes that the caller has attached.
    attributes: MessageAttributes = field(default_factory=dict, repr=False)
    #: The trace that X-Ray has attached.
    trace_header: str | None = None

    @classmethod
    def received(cls, record: MessageTypeDef) -> Self:
        """Parse a record of the answer to ReceiveMessage."""
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
            attributes=attributes_from_sqs(record.get("MessageAttributes", {})),
            trace_header=record["Attributes"].get("AWSTraceHeader"),
        )


class DeadLetterQueue:
    """The dead-letter queue of the send queue."""

    def __init__(self, url: str, send_queue_url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._send_queue_url = send_queue_url
        self._client = client or sqs_client()

    def size(self) -> int:
        """Return SQS's approximate number of records, invisible ones included.

        Raises:
            QueueUnavailableError: SQS did not answer.
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
            "SQS did not return the size of the dead-letter queue",
        )
        return sum(int(count) for count in answer["Attributes"].values())

    def receive(self) -> list[DeadLetteredRecord]:
        """Receive some records; none if no record is visible.

        Raises:
            QueueUnavailableError: SQS did not answer.
        """
        answer = attempt(
            lambda: self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_ENTRIES_PER_CALL,
                VisibilityTimeout=VISIBILITY_SECONDS,
                WaitTimeSeconds=WAIT_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp", "AWSTraceHeader"],
            ),
            QueueUnavailableError,
            "SQS did not return dead-lettered records",
        )
        return [DeadLetteredRecord.received(record) for record in answer.get("Messages", [])]

    def send_back(self, record: DeadLetteredRecord) -> None:
        """Put a copy of a record into the send queue, with the id that its message ids derive from.

        The copy has the attributes of the caller, as far as the send queue has room for them.

        Raises:
            QueueUnavailableError: The copy may or may not be in the send queue.
        """
        attributes = attributes_to_send(
            {ORIGINAL_ID: record.original_id}, record.attributes, record.body, LARGEST_EVENT_BYTES
        )
        attempt(
            lambda: self._client.send_message(
                QueueUrl=self._send_queue_url,
                MessageBody=record.body,
                MessageAttributes=attributes,
                MessageSystemAttributes=system_attributes(record.trace_header),
            ),
            QueueUnavailableError,
            "SQS did not confirm the record in the send queue",
        )

    def delete(self, record: DeadLetteredRecord) -> None:
        """Delete a record that the caller has received.

        Raises:
            QueueUnavailableError: The record may still be in the queue.
        """
        attempt(
            lambda: self._client.delete_message(
                QueueUrl=self._url, ReceiptHandle=record.receipt_handle
            ),
            QueueUnavailableError,
            "SQS did not confirm that the record was deleted",
        )

    def release_visibility(
        self, receipt_handles: Iterable[str], has_time: Callable[[], bool]
    ) -> None:
        """Make records visible again; after a failure they become visible after a minute.

        Args:
            receipt_handles: The handles of the records.
            has_time: Returns whether there is time for another call.
        """
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
                attempt(show, QueueUnavailableError, "SQS did not change their visibility")
            except QueueUnavailableError:
                return


class Scan:
    """One pass over the dead-letter queue: a context manager to iterate over once.

    Records that arrive after its start are left for the next scan. Otherwise a record that is
    redriven and immediately dead-lettered again would be redriven in a loop.

    Args:
        queue: The queue.
        seconds_left: Returns how many seconds the run has left.
    """

    def __init__(self, queue: DeadLetterQueue, seconds_left: Callable[[], float]) -> None:
        #: Whether the scan has seen every record, except those that other consumers have received.
        self.complete = False
        self._queue = queue
        self._seconds_left = seconds_left
        self._began_at = utc_now()
        #: The receipt handles of all received records, by record id.
        self._received: dict[str, str] = {}
        self._removed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make the records visible again that were not removed."""
        left = [
            handle for record_id, handle in self._received.items() if record_id not in self._removed
        ]
        self._queue.release_visibility(left, lambda: self._seconds_left() >= _SECONDS_TO_ANSWER)

    def __iter__(self) -> Iterator[DeadLetteredRecord]:
        """Yield each record once, until there are no more or the time is nearly over.

        Raises:
            QueueUnavailableError: SQS did not answer.
        """
        while self.has_time():
            records = self._queue.receive()
            if not records:
                self.complete = True
                return
            # SQS may deliver a record twice; only its latest receipt handle is valid.
            new = [record for record in records if record.record_id not in self._received]
            self._received |= {record.record_id: record.receipt_handle for record in records}
            yield from (record for record in new if record.sent_at <= self._began_at)

    def has_time(self) -> bool:
        """Return whether there is time for one more call."""
        return self._seconds_left() >= _SECONDS_TO_FINISH

    def redrive(self, record: DeadLetteredRecord) -> None:
        """Move a record to the send queue.

        It is deleted last. Until then there are two copies, and the sender's claims let only one of
        them send.

        Raises:
            QueueUnavailableError: The record may be in either queue, or in both.
        """
        self._queue.send_back(record)
        self.delete(record)

    def delete(self, record: DeadLetteredRecord) -> None:
        """Delete a record.

        Raises:
            QueueUnavailableError: The record may still be in the queue.
        """
        self._queue.delete(record)
        self._removed.add(record.record_id)
