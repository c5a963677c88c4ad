"""Records of the send queue are redelivered after a backoff, or dead-lettered with a reason."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.aws import QueueUnavailableError
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.message import MessageState
from infobip_omni.message_attributes import Attribute
from infobip_omni.send_queue import (
    FIRST_DELAY,
    LONGEST_DELAY,
    OLDEST_RECORD,
    Acknowledge,
    DeadLetter,
    Record,
    Retry,
    SendQueue,
    backoff,
    disposition,
)
from infobip_omni.transitions import ClaimStatus

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CANARY = "385995550123"


def event_of(**record: object) -> SQSEvent:
    """Build an event of one record, as Lambda does."""
    whole = {
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "receipt",
        "body": "{}",
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1769860800123",
            "SenderId": "AROAEXAMPLE:upstream",
            "ApproximateFirstReceiveTimestamp": "1769860800456",
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "awsRegion": "eu-central-1",
    }
    return SQSEvent({"Records": [whole | record]})


def received(**record: object) -> Record:
    """Read a record from an event of Lambda."""
    return Record.received(next(event_of(**record).records))


def record(number: int = 0, handle: str = "receipt", body: str = "{}") -> Record:
    return Record(
        sqs_id=f"record-{number}",
        original_id=f"original-{number}",
        receipt_handle=handle,
        body=body,
        sent_at=NOW,
        receive_count=1,
    )


# --- Reading ---------------------------------------------------------------------------------


def test_record_is_read_from_lambda_event() -> None:
    """There, numbers are text, and times are in milliseconds."""
    assert received(body="text") == Record(
        sqs_id="059f36b4-87a3-44ab-83d2-661975830a7d",
        original_id="059f36b4-87a3-44ab-83d2-661975830a7d",
        receipt_handle="receipt",
        body="text",
        sent_at=NOW.replace(microsecond=123_000),
        receive_count=3,
    )


@pytest.mark.parametrize(
    ("attribute", "original"),
    [
        ({"stringValue": "first-id", "dataType": "String"}, "first-id"),
        ({"stringValue": "", "dataType": "String"}, "059f36b4-87a3-44ab-83d2-661975830a7d"),
        ({"binaryValue": "YQ==", "dataType": "Binary"}, "059f36b4-87a3-44ab-83d2-661975830a7d"),
    ],
)
def test_redriven_record_keeps_original_id(attribute: dict[str, Any], original: str) -> None:
    """So its destinations derive the same ids again."""
    again = received(messageAttributes={"originalMessageId": attribute})

    assert again.original_id == original
    assert again.sqs_id == "059f36b4-87a3-44ab-83d2-661975830a7d"


def test_record_keeps_what_its_caller_attached() -> None:
    attached = {"stringValue": "00-4bf9-00f0-01", "dataType": "String"}
    trace = {"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793"}

    kept = received(
        messageAttributes={"traceparent": attached, "reason": attached},
        attributes={"ApproximateReceiveCount": "1", "SentTimestamp": "1769860800123"} | trace,
    )

    assert kept.attributes == {"traceparent": Attribute("String", "00-4bf9-00f0-01")}
    assert kept.trace_header == trace["AWSTraceHeader"]


def test_record_is_about_to_be_dropped_one_day_before_retention_ends() -> None:
    """The queue keeps records for ten days."""
    assert not record().is_about_to_be_dropped(NOW + OLDEST_RECORD - timedelta(seconds=1))
    assert record().is_about_to_be_dropped(NOW + OLDEST_RECORD)
    assert timedelta(days=9) == OLDEST_RECORD


# --- Backoff ---------------------------------------------------------------------------------


@given(st.integers(-1, 10_000))
def test_backoff_doubles_up_to_half_an_hour_with_jitter(receives: int) -> None:
    """Jitter subtracts up to a quarter."""
    steps = max(receives - 1, 0)
    most = min(FIRST_DELAY * 2 ** min(steps, 20), LONGEST_DELAY)

    assert 0.75 * most <= backoff(receives, None) <= most


def test_jitter_spreads_load() -> None:
    """The records of one outage are not redelivered simultaneously."""
    assert len({backoff(10, None) for _ in range(100)}) > 50


@pytest.mark.parametrize(("asked", "least"), [(3600.0, 3600), (0.0, 3.75), (None, 3.75)])
def test_retry_after_may_lengthen_backoff_but_not_shorten_it(
    asked: float | None, least: float
) -> None:
    """A `Retry-After` of zero must not overload Infobip."""
    assert backoff(1, asked) >= timedelta(seconds=least)
    assert backoff(1, asked) <= max(timedelta(seconds=asked or 0), FIRST_DELAY)


def test_nine_days_of_outage_take_a_few_hundred_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS dead-letters a record after a thousand receives, which an outage must not reach."""
    monkeypatch.setattr(random, "uniform", lambda low, _: low)
    age, receives = timedelta(), 0
    while age < timedelta(days=10):
        receives += 1
        age += backoff(receives, None)
        if age < OLDEST_RECORD:
            receives_of_nine_days = receives

    assert 500 < receives_of_nine_days < 600
    assert receives < 700


# --- Disposition of a record -----------------------------------------------------------------

ACCEPTED = ClaimStatus(MessageState.ACCEPTED)
QUARANTINED = ClaimStatus(MessageState.QUARANTINED)
BACKOFF, MINUTE = timedelta(seconds=5), timedelta(minutes=1)


def claim_status(state: MessageState | None, wait: timedelta | None = None) -> ClaimStatus:
    """Return the claim status of a message that is due again after *wait*."""
    return ClaimStatus(state, until=None if wait is None else NOW + wait)


@pytest.mark.parametrize(
    ("claim_statuses", "becomes"),
    [
        ([ACCEPTED, claim_status(MessageState.REJECTED)], Acknowledge()),
        ([ACCEPTED, QUARANTINED], DeadLetter(DeadLetterReason.QUARANTINED, BACKOFF)),
        ([QUARANTINED, claim_status(MessageState.UNKNOWN, MINUTE)], Retry(MINUTE)),
        ([ACCEPTED, claim_status(None)], Retry(BACKOFF)),
        ([claim_status(MessageState.WAITING)], Retry(BACKOFF)),
        ([claim_status(MessageState.CLAIMED, MINUTE)], Retry(BACKOFF)),
        ([claim_status(MessageState.CLAIMED, BACKOFF / 2)], Retry(BACKOFF / 2)),
        ([claim_status(MessageState.CLAIMED, -MINUTE)], Retry(BACKOFF)),
        ([claim_status(MessageState.UNKNOWN, -MINUTE)], Retry(BACKOFF)),
        (
            [claim_status(MessageState.UNKNOWN, MINUTE), claim_status(MessageState.WAITING)],
            Retry(BACKOFF),
        ),
    ],
)
def test_record_is_done_once_every_message_has_verdict(
    claim_statuses: list[ClaimStatus], becomes: Acknowledge | DeadLetter | Retry
) -> None:
    """Otherwise it is redelivered when the first of the other messages is due."""
    assert disposition(record(), claim_statuses, BACKOFF, NOW) == becomes


def test_old_record_is_dead_lettered_only_if_not_done() -> None:
    """A message with a verdict needs no operator, however old its record is."""
    now = NOW + OLDEST_RECORD
    outage = DeadLetter(DeadLetterReason.OUTAGE, BACKOFF)

    assert disposition(record(), [claim_status(MessageState.WAITING)], BACKOFF, now) == outage
    assert disposition(record(), [ACCEPTED], BACKOFF, now) == Acknowledge()


# --- The queues ------------------------------------------------------------------------------


@pytest.fixture
def urls(sqs: SQSClient) -> tuple[str, str]:
    """Return the URLs of a send queue and its dead-letter queue."""
    return (
        sqs.create_queue(QueueName="send", Attributes={"VisibilityTimeout": "360"})["QueueUrl"],
        sqs.create_queue(
            QueueName="dead",
            Attributes={"MaximumMessageSize": str(1024 * 1024)},
        )["QueueUrl"],
    )


@pytest.fixture
def queue(urls: tuple[str, str], sqs: SQSClient) -> SendQueue:
    return SendQueue(*urls, sqs)


def dead_lettered(sqs: SQSClient, urls: tuple[str, str]) -> list[Any]:
    """Receive the records of the dead-letter queue."""
    answer = sqs.receive_message(
        QueueUrl=urls[1],
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["AWSTraceHeader"],
        MaxNumberOfMessages=10,
    )
    return list(answer.get("Messages", []))


def test_attributes_of_dead_lettered_record_quote_nothing_of_its_body(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """An operator reads the reason without seeing personal data."""
    body = json.dumps({"to": {"phoneNumber": CANARY}})
    queue.dead_letter(record(body=body), DeadLetterReason.INVALID, "to.phoneNumber", "must be …\n")

    (found,) = dead_lettered(sqs, urls)
    attributes = {
        name: attribute["StringValue"] for name, attribute in found["MessageAttributes"].items()
    }
    assert found["Body"] == body
    assert attributes == {
        "reason": "INVALID",
        "field": "to.phoneNumber",
        "rule": "must be …?",
        "originalMessageId": "original-0",
    }
    assert CANARY not in json.dumps(attributes)


def test_reason_without_field_sets_no_empty_attribute(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """SQS refuses empty attributes."""
    queue.dead_letter(record(), DeadLetterReason.OUTAGE)

    (found,) = dead_lettered(sqs, urls)
    assert set(found["MessageAttributes"]) == {"reason", "originalMessageId"}


def test_largest_body_fits_with_its_attributes(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """Attributes count towards the size, so only a larger dead-letter queue takes such a record."""
    body = 256 * 1024 * "x"

    queue.dead_letter(record(body=body), DeadLetterReason.INVALID, 200 * "f", "must be JSON")

    assert dead_lettered(sqs, urls)[0]["Body"] == body


def test_dead_lettered_record_names_its_messages(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """Its id in the dead-letter queue is returned, by which `list` shows it."""
    dead_letter_id = queue.dead_letter(
        record(), DeadLetterReason.INVALID, "sms.text", "is required", message_ids=["m-1", "š"]
    )

    (found,) = dead_lettered(sqs, urls)
    assert found["MessageId"] == dead_letter_id
    written = found["MessageAttributes"]["messageIds"]["StringValue"]
    assert json.loads(written) == {"count": 2, "first": ["m-1", "š"]}


def test_dead_lettered_record_keeps_what_its_caller_attached(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """The sender's own attributes come first, where there are more than SQS takes."""
    callers = {f"a{number}": Attribute("Binary", b"\x00\xff") for number in range(9)}
    callers["traceparent"] = Attribute("String", "00-4bf9-00f0-01")
    attached = replace(record(), attributes=callers, trace_header="Root=1-5759e988-bd86")

    queue.dead_letter(
        attached, DeadLetterReason.INVALID, "sms.text", "is required", message_ids=["m-1"]
    )

    (found,) = dead_lettered(sqs, urls)
    own = {"reason", "field", "rule", "originalMessageId", "messageIds"}
    kept = {"traceparent", "a0", "a1", "a2", "a3"}
    assert set(found["MessageAttributes"]) == own | kept
    assert found["MessageAttributes"]["a0"]["BinaryValue"] == b"\x00\xff"
    assert found["Attributes"]["AWSTraceHeader"] == "Root=1-5759e988-bd86"


def test_failed_dead_lettering_raises_error_without_content(
    urls: tuple[str, str],
) -> None:
    """The caller must not acknowledge the record then."""
    queue = SendQueue(urls[0], urls[1] + "-deleted")

    with pytest.raises(QueueUnavailableError) as caught:
        queue.dead_letter(record(body=CANARY), DeadLetterReason.INVALID)

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


class Broken:
    """A fake SQS that fails, or answers with failed entries."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.calls: list[Any] = []
        self._answer = answer

    def change_message_visibility_batch(self, **arguments: object) -> dict[str, Any]:
        self.calls.append(arguments)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_each_record_gets_its_visibility_timeout(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call takes ten records, and SQS counts whole seconds."""
    for number in range(12):
        sqs.send_message(QueueUrl=urls[0], MessageBody=str(number))
    handles = []
    for _ in range(2):
        answer = sqs.receive_message(QueueUrl=urls[0], MaxNumberOfMessages=10)
        handles += [message["ReceiptHandle"] for message in answer["Messages"]]
    assert len(handles) == 12
    calls: list[Any] = []
    change = sqs.change_message_visibility_batch

    def noting(**arguments: Any) -> Any:  # noqa: ANN401 (passed through)
        calls.append(arguments)
        return change(**arguments)

    monkeypatch.setattr(sqs, "change_message_visibility_batch", noting)
    delays = [timedelta(seconds=5.2), timedelta(0), timedelta(days=2), *9 * [timedelta(minutes=1)]]
    records = [record(number, handle) for number, handle in enumerate(handles)]

    assert queue.change_visibility(zip(records, delays, strict=True)) == 0

    assert [len(call["Entries"]) for call in calls] == [10, 2]
    entries = list(itertools.chain.from_iterable(call["Entries"] for call in calls))
    assert [entry["ReceiptHandle"] for entry in entries] == handles
    assert [entry["VisibilityTimeout"] for entry in entries] == [6, 1, 11 * 3600, *9 * [60]]


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        ({"Successful": [], "Failed": [{"Id": "1"}, {"Id": "7"}]}, 4),
        ({"Successful": []}, 0),
        (ClientError({"Error": {"Code": "RequestThrottled"}}, "ChangeMessageVisibilityBatch"), 12),
        (EndpointConnectionError(endpoint_url="https://sqs"), 12),
    ],
)
def test_failed_visibility_changes_are_counted(
    answer: dict[str, Any] | Exception, failures: int
) -> None:
    """Such a record is redelivered when its visibility timeout ends, which does no harm."""
    broken: Any = Broken(answer)
    queue = SendQueue("send", "dead", broken)

    assert queue.change_visibility((record(n), FIRST_DELAY) for n in range(12)) == failures
    assert len(broken.calls) == 2


def test_no_records_make_no_call() -> None:
    """This is the common case."""
    broken: Any = Broken({})

    assert SendQueue("send", "dead", broken).change_visibility([]) == 0
    assert not broken.calls


def test_client_has_short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SQS that does not answer must not use up the invocation."""
    made: list[Any] = []
    monkeypatch.setattr(boto3, "client", lambda _, config: made.append(config))
    SendQueue("send", "dead")

    (configuration,) = made

    assert configuration.connect_timeout + configuration.read_timeout <= 10
