"""Records of the send queue come round again when they should, or are set aside with a reason."""

from __future__ import annotations

import itertools
import json
import random
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
    """Make an event of one record, as Lambda does."""
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
    """Read the record of such an event."""
    return Record.received(next(event_of(**record).records))


def record(number: int = 0, handle: str = "receipt", body: str = "{}") -> Record:
    """Make a record."""
    return Record(
        sqs_id=f"record-{number}",
        original_id=f"original-{number}",
        receipt_handle=handle,
        body=body,
        sent_at=NOW,
        receive_count=1,
    )


# --- Reading ---------------------------------------------------------------------------------


def test_record_is_read_from_what_lambda_hands_over() -> None:
    """Numbers are text there, and times milliseconds."""
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
def test_redriven_record_keeps_the_id_it_was_first_queued_under(
    attribute: dict[str, Any], original: str
) -> None:
    """So that its destinations derive the ids that they had."""
    again = received(messageAttributes={"originalMessageId": attribute})

    assert again.original_id == original
    assert again.sqs_id == "059f36b4-87a3-44ab-83d2-661975830a7d"


def test_record_is_saved_a_day_before_the_queue_drops_it() -> None:
    """The queue keeps records for ten days."""
    assert not record().is_about_to_be_dropped(NOW + OLDEST_RECORD - timedelta(seconds=1))
    assert record().is_about_to_be_dropped(NOW + OLDEST_RECORD)
    assert timedelta(days=9) == OLDEST_RECORD


# --- Backoff ---------------------------------------------------------------------------------


@given(st.integers(-1, 10_000))
def test_delay_doubles_up_to_half_an_hour_less_a_quarter_by_chance(receives: int) -> None:
    """The first records that come back do so within seconds."""
    steps = max(receives - 1, 0)
    most = min(FIRST_DELAY * 2 ** min(steps, 20), LONGEST_DELAY)

    assert 0.75 * most <= backoff(receives, None) <= most


def test_chance_spreads_the_load() -> None:
    """A thousand records of one outage do not come back at once."""
    assert len({backoff(10, None) for _ in range(100)}) > 50


@pytest.mark.parametrize(("asked", "least"), [(3600.0, 3600), (0.0, 3.75), (None, 3.75)])
def test_infobip_may_ask_for_more_time_but_not_for_less(asked: float | None, least: float) -> None:
    """Retry-After is honoured, and hammering is not."""
    assert backoff(1, asked) >= timedelta(seconds=least)
    assert backoff(1, asked) <= max(timedelta(seconds=asked or 0), FIRST_DELAY)


def test_nine_days_of_outage_are_some_hundred_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS gives up on a record after a thousand, which an outage must not reach."""
    monkeypatch.setattr(random, "uniform", lambda low, _: low)
    age, receives = timedelta(), 0
    while age < timedelta(days=10):
        receives += 1
        age += backoff(receives, None)
        if age < OLDEST_RECORD:
            receives_of_nine_days = receives

    assert 500 < receives_of_nine_days < 600
    assert receives < 700


# --- What becomes of a record ----------------------------------------------------------------

ACCEPTED = ClaimStatus(MessageState.ACCEPTED)
QUARANTINED = ClaimStatus(MessageState.QUARANTINED)
PAUSE, MINUTE = timedelta(seconds=5), timedelta(minutes=1)


def claim_status(state: MessageState | None, wait: timedelta | None = None) -> ClaimStatus:
    """Make the claim status of a message that is to be looked at after *wait*."""
    return ClaimStatus(state, until=None if wait is None else NOW + wait)


@pytest.mark.parametrize(
    ("claim_statuses", "becomes"),
    [
        ([ACCEPTED, claim_status(MessageState.REJECTED)], Acknowledge()),
        ([ACCEPTED, QUARANTINED], DeadLetter(DeadLetterReason.QUARANTINED, PAUSE)),
        ([QUARANTINED, claim_status(MessageState.UNKNOWN, MINUTE)], Retry(MINUTE)),
        ([ACCEPTED, claim_status(None)], Retry(PAUSE)),
        ([claim_status(MessageState.WAITING)], Retry(PAUSE)),
        ([claim_status(MessageState.CLAIMED, MINUTE)], Retry(PAUSE)),
        ([claim_status(MessageState.CLAIMED, PAUSE / 2)], Retry(PAUSE / 2)),
        ([claim_status(MessageState.CLAIMED, -MINUTE)], Retry(PAUSE)),
        ([claim_status(MessageState.UNKNOWN, -MINUTE)], Retry(PAUSE)),
        (
            [claim_status(MessageState.UNKNOWN, MINUTE), claim_status(MessageState.WAITING)],
            Retry(PAUSE),
        ),
    ],
)
def test_record_is_done_once_each_message_has_a_verdict(
    claim_statuses: list[ClaimStatus], becomes: Acknowledge | DeadLetter | Retry
) -> None:
    """Else it comes round when it is worth looking at the first of those that have none."""
    assert disposition(record(), claim_statuses, PAUSE, NOW) == becomes


def test_old_record_is_saved_only_if_it_is_not_done() -> None:
    """What has a verdict needs no operator, however old it is."""
    now = NOW + OLDEST_RECORD
    saved = DeadLetter(DeadLetterReason.OUTAGE, PAUSE)

    assert disposition(record(), [claim_status(MessageState.WAITING)], PAUSE, now) == saved
    assert disposition(record(), [ACCEPTED], PAUSE, now) == Acknowledge()


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
    """Return the queue under test."""
    return SendQueue(*urls, sqs)


def dead_lettered(sqs: SQSClient, urls: tuple[str, str]) -> list[Any]:
    """Receive what is in the dead-letter queue."""
    answer = sqs.receive_message(
        QueueUrl=urls[1], MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )
    return list(answer.get("Messages", []))


def test_dead_letter_says_why_and_holds_nothing_of_the_body_but_the_body(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """An operator reads the reason without opening personal data."""
    body = json.dumps({"to": {"phoneNumber": CANARY}})
    queue.dead_letter(record(body=body), DeadLetterReason.INVALID, "to.phoneNumber", "must be …\n")

    (letter,) = dead_lettered(sqs, urls)
    attributes = {
        name: attribute["StringValue"] for name, attribute in letter["MessageAttributes"].items()
    }
    assert letter["Body"] == body
    assert attributes == {
        "reason": "INVALID",
        "field": "to.phoneNumber",
        "rule": "must be …?",
        "originalMessageId": "original-0",
    }
    assert CANARY not in json.dumps(attributes)


def test_reason_without_a_field_needs_none(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """SQS refuses empty attributes."""
    queue.dead_letter(record(), DeadLetterReason.OUTAGE)

    (letter,) = dead_lettered(sqs, urls)
    assert set(letter["MessageAttributes"]) == {"reason", "originalMessageId"}


def test_largest_body_still_fits_with_its_attributes(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str]
) -> None:
    """The attributes count as well: only a larger dead-letter queue takes such a record."""
    body = 256 * 1024 * "x"

    queue.dead_letter(record(body=body), DeadLetterReason.INVALID, 200 * "f", "must be JSON")

    assert dead_lettered(sqs, urls)[0]["Body"] == body


def test_dead_letter_that_may_not_be_there_is_an_error_without_content(
    urls: tuple[str, str],
) -> None:
    """The caller must not acknowledge the record then."""
    queue = SendQueue(urls[0], urls[1] + "-deleted")

    with pytest.raises(QueueUnavailableError) as caught:
        queue.dead_letter(record(body=CANARY), DeadLetterReason.INVALID)

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None


class Broken:
    """An SQS that fails, or hides some records in vain."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.calls: list[Any] = []
        self._answer = answer

    def change_message_visibility_batch(self, **arguments: object) -> dict[str, Any]:
        """Note the call and answer."""
        self.calls.append(arguments)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_postponed_records_are_hidden_for_as_long_as_asked(
    queue: SendQueue, sqs: SQSClient, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than ten need several calls, each record has its own delay, and SQS counts seconds."""
    for number in range(12):
        sqs.send_message(QueueUrl=urls[0], MessageBody=str(number))
    handles = []
    for _ in range(2):
        answer = sqs.receive_message(QueueUrl=urls[0], MaxNumberOfMessages=10)
        handles += [message["ReceiptHandle"] for message in answer["Messages"]]
    assert len(handles) == 12
    calls: list[Any] = []
    hide = sqs.change_message_visibility_batch

    def noting(**arguments: Any) -> Any:  # noqa: ANN401 (passed through)
        calls.append(arguments)
        return hide(**arguments)

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
        (ClientError({"Error": {"Code": "RequestThrottled"}}, "Hide"), 12),
        (EndpointConnectionError(endpoint_url="https://sqs"), 12),
    ],
)
def test_what_cannot_be_hidden_is_counted_and_raises_nothing(
    answer: dict[str, Any] | Exception, failures: int
) -> None:
    """Such a record comes back when its visibility timeout ends, which harms nothing."""
    broken: Any = Broken(answer)
    queue = SendQueue("send", "dead", broken)

    assert queue.change_visibility((record(n), FIRST_DELAY) for n in range(12)) == failures
    assert len(broken.calls) == 2


def test_nothing_to_postpone_calls_nobody() -> None:
    """The common case costs nothing."""
    broken: Any = Broken({})

    assert SendQueue("send", "dead", broken).change_visibility([]) == 0
    assert not broken.calls


def test_client_is_made_in_time_to_fail_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS that hangs must not use up the run."""
    made: list[Any] = []
    monkeypatch.setattr(boto3, "client", lambda _, config: made.append(config))
    SendQueue("send", "dead")

    (configuration,) = made

    assert configuration.connect_timeout + configuration.read_timeout <= 10
