"""Events are taken out of the envelopes of SNS and EventBridge; other envelopes are refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RECORD_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"
SNS_ID = "dc1e94d9-56c5-5e96-808d-cc7f68faa162"
EVENT_ID = "6a7e8feb-b491-4cf7-a9f1-bf3703467718"
EVENT = {
    "destinations": [
        {"to": {"phoneNumber": "385995550123"}},
        {"messageId": "own", "to": {"phoneNumber": "385995550124"}},
    ],
    "sms": {"text": "Gr\u00fcezi \U0001f600"},
}

Json = dict[str, Any]


def from_sns(message: str, **members: object) -> str:
    """Return what SNS puts on a queue without raw message delivery."""
    notification = {
        "Type": "Notification",
        "MessageId": SNS_ID,
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
        "Subject": "shipped",
        "Message": message,
        "Timestamp": "2026-01-31T12:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/example.pem",
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "shipped"}},
    }
    return json.dumps(notification | members, indent=2)


def from_eventbridge(detail: object, **members: object) -> str:
    """Return what an EventBridge rule puts on a queue."""
    event = {
        "version": "0",
        "id": EVENT_ID,
        "detail-type": "Order shipped",
        "source": "shop.orders",
        "account": "123456789012",
        "time": "2026-01-31T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": detail,
    }
    return json.dumps(event | members)


def ids(body: str, record_id: str = RECORD_ID) -> list[str]:
    """Return the ids of the messages in a body."""
    return [each.message_id for each in SendEvent.parse(body, record_id, NOW).messages]


@pytest.mark.parametrize(
    ("body", "source"),
    [
        (from_sns(json.dumps(EVENT)), SNS_ID),
        (from_sns("\ufeff" + json.dumps(EVENT) + "\n"), SNS_ID),
        (from_eventbridge(EVENT), EVENT_ID),
        (from_sns(from_eventbridge(EVENT)), EVENT_ID),
        (from_eventbridge(json.loads(from_sns(json.dumps(EVENT)))), SNS_ID),
    ],
)
def test_event_is_taken_out_of_its_envelopes(body: str, source: str) -> None:
    """Ids derive from the innermost envelope, which every repeat has in common."""
    opened, bare = (SendEvent.parse(each, RECORD_ID, NOW) for each in (body, json.dumps(EVENT)))

    assert opened.contents == bare.contents
    assert [each.content_hash for each in opened.messages] == [
        each.content_hash for each in bare.messages
    ]
    assert ids(body) == ids(body, "another-record") == [f"{source}-0", "own"]


def test_repeats_by_sns_and_eventbridge_are_one_message() -> None:
    """What EventBridge gives to SNS twice has two ids of SNS, and one of EventBridge."""
    once = from_sns(from_eventbridge(EVENT))
    again = from_sns(from_eventbridge(EVENT), MessageId="another-id", Timestamp="2026-02-01")

    assert ids(once, "record-1") == ids(again, "record-2")


def test_content_is_sent_as_it_was_written_inside_envelope() -> None:
    """Only the envelope's own escapes are undone."""
    written = '{"to": {"phoneNumber": "385995550123"}, "sms": {"text": "\\u00fc 1.10\\/"}}'
    detail = from_eventbridge("DETAIL").replace('"DETAIL"', written)

    for body in (from_sns(written), detail, from_sns(detail)):
        assert SendEvent.parse(body, RECORD_ID, NOW).content == '"sms":{"text": "\\u00fc 1.10\\/"}'


def refusal(body: str) -> str:
    """Return the field and the rule for which a body is refused."""
    with pytest.raises(InvalidEventError) as caught:
        SendEvent.parse(body, RECORD_ID, NOW)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (from_sns("hello"), "Message: must be JSON"),
        (from_sns("[]"), "Message: must be a JSON object"),
        (from_sns(json.dumps(EVENT), Message=EVENT), "Message: must hold the send event"),
        (from_eventbridge("hello"), "detail: must be a JSON object"),
        (from_eventbridge(json.dumps(EVENT)),
         "detail: must be a JSON object, not a string that holds one: serialize the event once"),
        (from_sns("{}", MessageId="a,b"),
         "MessageId: must be 1 to 100 visible characters of ASCII, without a comma"),
        (from_sns("{}", MessageId=None),
         "MessageId: must be 1 to 100 visible characters of ASCII, without a comma"),
        (from_eventbridge(EVENT, id=7),
         "id: must be 1 to 100 visible characters of ASCII, without a comma"),
        (from_sns("{}", Type="SubscriptionConfirmation"),
         "Type: must be Notification: open SubscribeURL once to confirm the queue's subscription"),
        (from_sns(from_sns("{}")), "Message: must hold the send event, not another envelope"),
        (from_sns(from_eventbridge(json.loads(from_sns("{}")))),
         "Message: must hold the send event, not another envelope"),
        (from_eventbridge(EVENT | {"sms": {"text": 5}}), "sms.text: must be a string"),
        (json.dumps({"specversion": "1.0", "id": "1", "type": "t", "source": "/", "data": EVENT}),
         "specversion: belongs to a CloudEvent: put its data on the queue"),
        (json.dumps({"Records": [{"eventSource": "aws:s3"}]}),
         "Records: belongs to an event for a function: put the body of each record on the queue"),
        (json.dumps(["software.amazon.payloadoffloading.PayloadS3Pointer",
                     {"s3BucketName": "b", "s3Key": "k"}]),
         "body: must be the send event itself, not a pointer to it in S3: shorten it"),
        (json.dumps(json.dumps(EVENT)),
         "body: must be a JSON object, not a string that holds one: serialize the event once"),
        (base64.b64encode(json.dumps(EVENT).encode()).decode(),
         "body: must be JSON, not base64: put the event on the queue as it is"),
        (json.dumps(base64.urlsafe_b64encode(json.dumps(EVENT, indent=1).encode()).decode()),
         "body: must be JSON, not base64: put the event on the queue as it is"),
        ('"just a text"', "body: must be a JSON object"),
        ("QUJDREVGR0hJSktMTU5PUA==", "body: must be JSON"),
        ("A00 000000000000", "body: must be JSON"),
        ('["a"]', "body: must be a JSON object"),
        ('{"detail": {}}', "detail: is not a field of this object"),
    ],
)  # fmt: skip
def test_other_envelope_is_refused_with_what_to_do(body: str, error: str) -> None:
    """An envelope within its like is opened once."""
    assert refusal(body) == error
