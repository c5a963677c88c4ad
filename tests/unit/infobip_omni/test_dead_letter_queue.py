"""A scan shows every record once, keeps none, and never loses one that is sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infobip_omni import dead_letter_queue
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dead_letter_queue import DeadLetteredRecord, DeadLetterQueue, Scan
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.send_queue import Record, SendQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_sqs import SQSClient

PLENTY = 1000.0
CANARY = "canary-5d1f"


class Queues:
    """The send queue and its dead-letter queue, as an operator finds them."""

    def __init__(self, client: SQSClient) -> None:
        self.client = client
        self.send_url = client.create_queue(QueueName="send")["QueueUrl"]
        self.dead_url = client.create_queue(QueueName="dead")["QueueUrl"]
        self.dead_lettered = DeadLetterQueue(self.dead_url, self.send_url, client)

    def set_aside(self, body: str = "{}", **attributes: str) -> str:
        """Put a record there and return its id."""
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
        """Begin a scan."""
        return Scan(self.dead_lettered, lambda: seconds_left)

    def visible(self) -> set[str]:
        """Return the bodies of the records that nobody holds, and hold them."""
        bodies = set()
        while records := self.dead_lettered.receive():
            bodies |= {record.body for record in records}
        return bodies

    def to_be_sent(self) -> list[Any]:
        """Take what stands in the send queue."""
        answer = self.client.receive_message(
            QueueUrl=self.send_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))


class PreparedQueue(DeadLetterQueue):
    """A queue that hands out these records, in these batches."""

    def __init__(self, *batches: list[DeadLetteredRecord]) -> None:
        self.left = list(batches)
        self.let_go_of: list[str] = []

    def receive(self) -> list[DeadLetteredRecord]:
        """Hand out the next batch, and after the last none."""
        return self.left.pop(0) if self.left else []

    def release_visibility(
        self, receipt_handles: Iterable[str], has_time: Callable[[], bool]
    ) -> None:
        """Remember what is in sight again."""
        assert has_time()
        self.let_go_of += receipt_handles


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch, sqs: SQSClient) -> Queues:
    """Return empty queues, whose receives do not wait."""
    monkeypatch.setattr(dead_letter_queue, "WAIT_SECONDS", 0)
    return Queues(sqs)


def test_letter_tells_what_the_sender_wrote(queues: Queues) -> None:
    """Reason, field, rule and first id come back as the sender has set them."""
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
def test_letter_that_the_sender_has_not_written_is_other(
    attributes: dict[str, str], queues: Queues
) -> None:
    """What SQS has moved by itself keeps its id, from which its message ids derive."""
    record_id = queues.set_aside(**attributes)

    with queues.scan() as scan:
        (record,) = scan

    assert record.reason is DeadLetterReason.OTHER
    assert record.record_id == record.original_id == record_id


def test_scan_shows_all_letters_once_and_lets_go_of_them(queues: Queues) -> None:
    """SQS hands out ten at a time, and all of them are in sight of others afterwards."""
    bodies = {f"body-{number}" for number in range(25)}
    for body in bodies:
        queues.set_aside(body)

    with queues.scan() as scan:
        shown = [record.body for record in scan]

    assert sorted(shown) == sorted(bodies)
    assert scan.complete
    assert queues.visible() == bodies


def test_scan_that_is_broken_off_lets_go_as_well(queues: Queues) -> None:
    """Whoever has seen enough holds nothing either; and the scan counts as incomplete."""
    bodies = {f"body-{number}" for number in range(15)}
    for body in bodies:
        queues.set_aside(body)

    with queues.scan() as scan:
        next(iter(scan))

    assert not scan.complete
    assert queues.visible() == bodies


def test_what_others_hold_is_counted_though_not_shown(queues: Queues) -> None:
    """An operator can tell that there is more than the scan has found."""
    for number in range(12):
        queues.set_aside(f"body-{number}")
    queues.dead_lettered.receive()

    with queues.scan() as scan:
        shown = list(scan)

    assert len(shown) == 2
    assert queues.dead_lettered.size() == 12


def test_scan_without_time_takes_nothing(queues: Queues) -> None:
    """It says that it has not seen all."""
    queues.set_aside("body-1")

    with queues.scan(seconds_left=19) as scan:
        assert list(scan) == []

    assert not scan.complete
    assert queues.visible() == {"body-1"}


def test_letter_that_arrives_during_a_scan_is_left_for_the_next() -> None:
    """What is sent again and set aside at once would else go round in circles."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    queue = PreparedQueue([record("late", record_id="record-2", sent_at=tomorrow), record("early")])

    with Scan(queue, lambda: PLENTY) as scan:
        shown = [each.receipt_handle for each in scan]

    assert shown == ["early"]
    assert sorted(queue.let_go_of) == ["early", "late"]


def test_letter_that_is_handed_out_twice_is_shown_once() -> None:
    """SQS may do so; the handle that counts is the last one."""
    queue = PreparedQueue([record("first")], [record("second")])

    with Scan(queue, lambda: PLENTY) as scan:
        shown = [each.receipt_handle for each in scan]

    assert shown == ["first"]
    assert queue.let_go_of == ["second"]


def test_redriven_letter_keeps_its_first_id(queues: Queues) -> None:
    """The sender derives the same message ids, whatever id SQS gives the new record."""
    queues.set_aside("body-1", reason="OUTAGE", originalMessageId="first-1")

    with queues.scan() as scan:
        for record in scan:
            scan.redrive(record)

    (record,) = queues.to_be_sent()
    assert record["Body"] == "body-1"
    assert record["MessageAttributes"]["originalMessageId"]["StringValue"] == "first-1"
    assert queues.dead_lettered.size() == 0


def test_letter_that_cannot_be_sent_stays(queues: Queues) -> None:
    """It is in the send queue before it leaves the dead-letter queue, or it does not leave."""
    queues.set_aside("body-1", reason="OUTAGE")
    queues.client.delete_queue(QueueUrl=queues.send_url)

    with queues.scan() as scan:
        (record,) = scan
        with pytest.raises(QueueUnavailableError):
            scan.redrive(record)

    assert queues.visible() == {"body-1"}


def test_letter_that_cannot_be_deleted_is_in_both_queues(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's claims make a repeat harmless; a loss nothing could."""
    queues.set_aside("body-1", reason="OUTAGE")
    monkeypatch.setattr(queues.client, "delete_message", failing)

    with queues.scan() as scan:
        (record,) = scan
        with pytest.raises(QueueUnavailableError):
            scan.redrive(record)

    assert [record["Body"] for record in queues.to_be_sent()] == ["body-1"]
    assert queues.visible() == {"body-1"}


def test_deleted_letter_is_gone(queues: Queues) -> None:
    """Nothing of it is sent."""
    queues.set_aside("body-1")

    with queues.scan() as scan:
        for record in scan:
            scan.delete(record)

    assert queues.dead_lettered.size() == 0
    assert queues.to_be_sent() == []


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("receive_message", DeadLetterQueue.receive),
        ("get_queue_attributes", DeadLetterQueue.size),
    ],
)
def test_error_of_sqs_is_told_without_its_text(
    method: str,
    call: Callable[[DeadLetterQueue], object],
    queues: Queues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may quote a body."""
    monkeypatch.setattr(queues.client, method, failing)

    with pytest.raises(QueueUnavailableError) as caught:
        call(queues.dead_lettered)

    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_letters_that_cannot_be_let_go_show_up_later(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no reason for the operator's order to fail."""
    queues.set_aside("body-1")

    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    monkeypatch.setattr(queues.client, "change_message_visibility_batch", unreachable)

    with queues.scan() as scan:
        assert len(list(scan)) == 1

    assert queues.visible() == set()
    assert queues.dead_lettered.size() == 1


def test_letter_shows_no_content_when_printed() -> None:
    """A body holds phone numbers and text."""
    assert CANARY not in repr(record("handle-1"))


def record(
    receipt_handle: str,
    record_id: str = "record-1",
    sent_at: datetime = datetime(2026, 1, 31, tzinfo=UTC),
) -> DeadLetteredRecord:
    """Make a record."""
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
    """Fail like SQS, quoting what it was given."""
    raise ClientError({"Error": {"Code": "InternalError", "Message": CANARY}}, "Any")
