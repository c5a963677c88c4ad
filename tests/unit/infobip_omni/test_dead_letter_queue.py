"""A scan returns each record once, releases all, and loses none that it redrives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infobip_omni import dead_letter_queue
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dead_letter_queue import DeadLetteredRecord, DeadLetterQueue, Scan
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.message_attributes import Attribute
from infobip_omni.send_queue import Record, SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_sqs import SQSClient

PLENTY = 1000.0
CANARY = "canary-5d1f"


class Queues:
    """A send queue and its dead-letter queue."""

    def __init__(self, client: SQSClient) -> None:
        self.client = client
        self.send_url = client.create_queue(QueueName="send")["QueueUrl"]
        self.dead_url = client.create_queue(QueueName="dead")["QueueUrl"]
        self.dead_lettered = DeadLetterQueue(self.dead_url, self.send_url, client)

    def dead_letter(self, body: str = "{}", **attributes: str) -> str:
        """Put a record into the dead-letter queue and return its SQS id."""
        answer = self.client.send_message(
            QueueUrl=self.dead_url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
        return answer["MessageId"]

    def scan(self, seconds_left: float = PLENTY) -> Scan:
        return Scan(self.dead_lettered, lambda: seconds_left)

    def receive_bodies(self) -> set[str]:
        """Receive all visible records of the dead-letter queue and return their bodies."""
        bodies = set()
        while records := self.dead_lettered.receive():
            bodies |= {record.body for record in records}
        return bodies

    def receive_sent(self) -> list[Any]:
        """Receive the records of the send queue."""
        answer = self.client.receive_message(
            QueueUrl=self.send_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["AWSTraceHeader"],
        )
        return list(answer.get("Messages", []))


class PreparedQueue(DeadLetterQueue):
    """A dead-letter queue that returns prepared batches of records."""

    def __init__(self, *batches: list[DeadLetteredRecord]) -> None:
        self.batches = list(batches)
        self.released: list[str] = []

    def receive(self) -> list[DeadLetteredRecord]:
        return self.batches.pop(0) if self.batches else []

    def release_visibility(
        self, receipt_handles: Iterable[str], has_time: Callable[[], bool]
    ) -> None:
        assert has_time()
        self.released += receipt_handles


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch, sqs: SQSClient) -> Queues:
    """Return empty queues; receiving from them does not wait."""
    monkeypatch.setattr(dead_letter_queue, "WAIT_SECONDS", 0)
    return Queues(sqs)


def test_record_keeps_attributes_from_sender(queues: Queues) -> None:
    began_at = datetime.now(UTC)
    queued = Record("record-1", "first-1", "handle", "body-1", began_at, 1)
    sender = SendQueue(queues.send_url, queues.dead_url, queues.client)
    sender.dead_letter(queued, DeadLetterReason.INVALID, "sms.text", "is required")

    with queues.scan() as scan:
        (record,) = scan

    assert (record.reason, record.field_name, record.rule) == (
        DeadLetterReason.INVALID,
        "sms.text",
        "is required",
    )
    assert (record.original_id, record.body) == ("first-1", "body-1")
    assert abs(record.sent_at - began_at) < timedelta(seconds=5)


@pytest.mark.parametrize("attributes", [{}, {"reason": "WHATEVER"}])
def test_record_without_known_reason_is_other(attributes: dict[str, str], queues: Queues) -> None:
    """A record that SQS moved keeps its id, from which its message ids are derived."""
    record_id = queues.dead_letter(**attributes)

    with queues.scan() as scan:
        (record,) = scan

    assert record.reason is DeadLetterReason.OTHER
    assert record.record_id == record.original_id == record_id


def test_scan_returns_all_records_once_and_releases_them(queues: Queues) -> None:
    """SQS returns ten at a time, and afterwards other consumers can receive all of them."""
    bodies = {f"body-{number}" for number in range(25)}
    for body in bodies:
        queues.dead_letter(body)

    with queues.scan() as scan:
        shown = [record.body for record in scan]

    assert sorted(shown) == sorted(bodies)
    assert scan.complete
    assert queues.receive_bodies() == bodies


def test_aborted_scan_releases_records(queues: Queues) -> None:
    """The scan counts as incomplete."""
    bodies = {f"body-{number}" for number in range(15)}
    for body in bodies:
        queues.dead_letter(body)

    with queues.scan() as scan:
        next(iter(scan))

    assert not scan.complete
    assert queues.receive_bodies() == bodies


def test_records_held_by_other_consumers_are_counted_but_not_returned(queues: Queues) -> None:
    """An operator sees that there are more records than the scan returned."""
    for number in range(12):
        queues.dead_letter(f"body-{number}")
    queues.dead_lettered.receive()

    with queues.scan() as scan:
        shown = list(scan)

    assert len(shown) == 2
    assert queues.dead_lettered.size() == 12


def test_scan_without_time_receives_nothing(queues: Queues) -> None:
    """The scan counts as incomplete."""
    queues.dead_letter("body-1")

    with queues.scan(seconds_left=19) as scan:
        assert list(scan) == []

    assert not scan.complete
    assert queues.receive_bodies() == {"body-1"}


def test_record_that_arrives_during_scan_is_left_for_next_scan() -> None:
    """Otherwise a record that is redriven and dead-lettered again would keep the scan in a loop."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    queue = PreparedQueue([record("late", record_id="record-2", sent_at=tomorrow), record("early")])

    with Scan(queue, lambda: PLENTY) as scan:
        shown = [each.receipt_handle for each in scan]

    assert shown == ["early"]
    assert sorted(queue.released) == ["early", "late"]


def test_record_received_twice_is_returned_once() -> None:
    """SQS may deliver a record twice; the last receipt handle is the valid one."""
    queue = PreparedQueue([record("first")], [record("second")])

    with Scan(queue, lambda: PLENTY) as scan:
        shown = [each.receipt_handle for each in scan]

    assert shown == ["first"]
    assert queue.released == ["second"]


def test_redriven_record_keeps_original_id(queues: Queues) -> None:
    """So the sender derives the same message ids, although SQS gives the new record another id."""
    queues.dead_letter("body-1", reason="OUTAGE", originalMessageId="first-1")

    with queues.scan() as scan:
        for record in scan:
            scan.redrive(record)

    (record,) = queues.receive_sent()
    assert record["Body"] == "body-1"
    assert record["MessageAttributes"]["originalMessageId"]["StringValue"] == "first-1"
    assert queues.dead_lettered.size() == 0


def test_redriven_record_keeps_what_its_caller_attached(queues: Queues) -> None:
    """It loses only what the sender has added."""
    trace_header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    attached = {
        "traceparent": Attribute("String", "00-4bf9-00f0-01"),
        "signature": Attribute("Binary.sha256", b"\x00\xff"),
    }
    queued = Record(
        "record-1", "first-1", "handle", "body-1", datetime.now(UTC), 1, attached, trace_header
    )
    sender = SendQueue(queues.send_url, queues.dead_url, queues.client)
    sender.dead_letter(queued, DeadLetterReason.OUTAGE, message_ids=["m-1"])

    with queues.scan() as scan:
        for record in scan:
            scan.redrive(record)

    (sent,) = queues.receive_sent()
    attributes = sent["MessageAttributes"]
    assert set(attributes) == {"originalMessageId", "traceparent", "signature"}
    assert attributes["traceparent"]["StringValue"] == "00-4bf9-00f0-01"
    assert attributes["signature"]["BinaryValue"] == b"\x00\xff"
    assert attributes["signature"]["DataType"] == "Binary.sha256"
    assert sent["Attributes"]["AWSTraceHeader"] == trace_header


def test_record_without_room_for_attributes_is_redriven_without_them(queues: Queues) -> None:
    """The send queue would refuse a larger record; the id that ids derive from is kept."""
    body = (256 * 1024 - 100) * "x"
    attached = {"traceparent": Attribute("String", 55 * "0")}
    record = DeadLetteredRecord.received(dead_lettered_as(body))

    queues.dead_lettered.send_back(replace(record, attributes=attached))

    (sent,) = queues.receive_sent()
    assert set(sent["MessageAttributes"]) == {"originalMessageId"}


def dead_lettered_as(body: str) -> Any:  # noqa: ANN401 (botocore's answer)
    """Return a record as SQS returns it."""
    return {
        "MessageId": "first-1",
        "Attributes": {"SentTimestamp": "0"},
        "ReceiptHandle": "handle",
        "Body": body,
    }


def test_record_that_cannot_be_sent_stays(queues: Queues) -> None:
    """A record enters the send queue before it leaves the dead-letter queue."""
    queues.dead_letter("body-1", reason="OUTAGE")
    queues.client.delete_queue(QueueUrl=queues.send_url)

    with queues.scan() as scan:
        (record,) = scan
        with pytest.raises(QueueUnavailableError):
            scan.redrive(record)

    assert queues.receive_bodies() == {"body-1"}


def test_record_that_cannot_be_deleted_is_in_both_queues(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's claims make a repeat harmless; a lost record could not be restored."""
    queues.dead_letter("body-1", reason="OUTAGE")
    monkeypatch.setattr(queues.client, "delete_message", failing)

    with queues.scan() as scan:
        (record,) = scan
        with pytest.raises(QueueUnavailableError):
            scan.redrive(record)

    assert [record["Body"] for record in queues.receive_sent()] == ["body-1"]
    assert queues.receive_bodies() == {"body-1"}


def test_deleted_record_is_gone_and_not_sent(queues: Queues) -> None:
    queues.dead_letter("body-1")

    with queues.scan() as scan:
        for record in scan:
            scan.delete(record)

    assert queues.dead_lettered.size() == 0
    assert queues.receive_sent() == []


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("receive_message", DeadLetterQueue.receive),
        ("get_queue_attributes", DeadLetterQueue.size),
    ],
)
def test_sqs_error_is_raised_without_its_text(
    method: str,
    call: Callable[[DeadLetterQueue], object],
    queues: Queues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The text may quote a body."""
    monkeypatch.setattr(queues.client, method, failing)

    with pytest.raises(QueueUnavailableError) as caught:
        call(queues.dead_lettered)

    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_records_that_cannot_be_released_become_visible_later(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's command does not fail for that."""
    queues.dead_letter("body-1")

    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    monkeypatch.setattr(queues.client, "change_message_visibility_batch", unreachable)

    with queues.scan() as scan:
        assert len(list(scan)) == 1

    assert queues.receive_bodies() == set()
    assert queues.dead_lettered.size() == 1


def test_record_shows_no_content_when_printed() -> None:
    """A body holds phone numbers and text."""
    assert CANARY not in repr(record("handle-1"))


def record(
    receipt_handle: str,
    record_id: str = "record-1",
    sent_at: datetime = datetime(2026, 1, 31, tzinfo=UTC),
) -> DeadLetteredRecord:
    return DeadLetteredRecord(
        record_id=record_id,
        original_id="first-1",
        reason=DeadLetterReason.OUTAGE,
        field_name=None,
        rule=None,
        sent_at=sent_at,
        receipt_handle=receipt_handle,
        body=CANARY,
    )


def failing(**_: object) -> None:
    """Fail like SQS, with an error whose text quotes the canary."""
    raise ClientError({"Error": {"Code": "InternalError", "Message": CANARY}}, "Any")
