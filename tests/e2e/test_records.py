"""Each record is sent once, dead-lettered with a reason, or refused by SQS."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local_world.world import wait_until

from .upstream import CANARY_NUMBER

if TYPE_CHECKING:
    from tests.local_world.world import Json

    from .upstream import Upstream

LARGEST_BODY = 256 * 1024  # bytes


def lambda_event(body: Json) -> Json:
    """Build the event with which Lambda receives a record."""
    record = {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "handle",
        "body": json.dumps(body),
        "attributes": {
            "SentTimestamp": str(int(time.time() * 1000)),
            "ApproximateReceiveCount": "1",
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
    return {"Records": [record]}


def padded(event: Json, size: int) -> str:
    """Serialize an event, padded to a size in bytes."""
    return json.dumps(event).ljust(size)


def test_event_that_is_queued_twice_is_sent_once(upstream: Upstream) -> None:
    """The message id is an idempotency key."""
    event = upstream.event()
    for _ in range(2):
        upstream.world.put_message(event)

    upstream.wait_for(event["messageId"], "ACCEPTED", "DELIVERED")
    wait_until(lambda: upstream.world.waiting() == 0, 60, "both records are acknowledged")

    assert upstream.acceptances(event["messageId"]) == {event["messageId"]: 1}
    assert upstream.dead_lettered_records([json.dumps(event)]) == []


def test_redelivered_record_is_sent_once(upstream: Upstream) -> None:
    """If the caller gives no message id, the record's own id takes its place."""
    body = upstream.event()
    del body["messageId"]
    event = lambda_event(body)

    answers = [upstream.world.invoke("SendMessageFunctionName", event) for _ in range(2)]

    message_id = event["Records"][0]["messageId"] + "-0"
    assert answers == [{"batchItemFailures": []}] * 2
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_id_with_other_content_is_a_conflict(upstream: Upstream) -> None:
    """The second event is dead-lettered with a reason, and nothing of it is sent."""
    event = upstream.event()
    other = event | {"sms": {"text": "canary text, but another one"}}
    upstream.world.put_message(event)
    upstream.wait_for(event["messageId"], "ACCEPTED", "DELIVERED")

    upstream.world.put_message(other)

    (record,) = upstream.wait_for_dead_lettered([json.dumps(other)])
    assert record["attributes"]["reason"] == "CONFLICT"
    assert record["attributes"]["field"] == "messageId"
    assert len(upstream.attempts(event["messageId"])) == 1


def test_invalid_record_does_not_affect_its_batch(upstream: Upstream) -> None:
    """Of ten records, the invalid one is dead-lettered with its field, and nine are delivered."""
    events = [upstream.event() for _ in range(10)]
    events[4]["to"] = {"phoneNumber": f"0{CANARY_NUMBER}"}
    ids = [event["messageId"] for event in events if event is not events[4]]

    bodies = upstream.send_together(events)

    assert [upstream.settle(message_id)["state"] for message_id in ids] == ["DELIVERED"] * 9
    (record,) = upstream.wait_for_dead_lettered(bodies)
    assert record["body"] == bodies[4]
    attributes = record["attributes"]
    assert (attributes["reason"], attributes["field"]) == ("INVALID", "to.phoneNumber")
    assert CANARY_NUMBER not in json.dumps(attributes)
    assert set(upstream.acceptances(*ids).values()) == {1}


def test_largest_record_is_sent(upstream: Upstream) -> None:
    """The queue takes a body of 256 KiB."""
    event = upstream.event()

    upstream.world.put_message(padded(event, LARGEST_BODY))

    upstream.wait_for(event["messageId"], "ACCEPTED", "DELIVERED")


def test_largest_record_can_be_set_aside(upstream: Upstream) -> None:
    """There is room in the dead-letter queue for the reason as well."""
    body = padded(upstream.event() | {"wrong": True}, LARGEST_BODY)

    upstream.world.put_message(body)

    (record,) = upstream.wait_for_dead_lettered([body])
    assert record["attributes"]["field"] == "wrong"


def test_larger_record_is_refused_by_the_queue(upstream: Upstream) -> None:
    """The caller learns immediately that the body is too large."""
    with pytest.raises(ClientError) as caught:
        upstream.world.put_message(padded(upstream.event(), LARGEST_BODY + 1))

    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
