"""The message ids of a refused record can be read, whatever rule its body breaks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infobip_omni.events.dead_letter import written_ids
from infobip_omni.events.message_ids import message_ids_in
from infobip_omni.events.send_message import MOST_DESTINATIONS, SendEvent

RECORD_ID = "059f36b4-87a3"
TO = {"to": {"phoneNumber": "385915550101"}}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "addressed",
    [
        TO,
        TO | {"messageId": "m-1"},
        {"destinations": [TO | {"messageId": "m-1"}, TO, TO | {"messageId": "š"}]},
    ],
)
def test_ids_of_a_valid_event_are_those_of_its_messages(addressed: dict[str, Any]) -> None:
    """Ids that destinations lack derive from the record's."""
    body = json.dumps(addressed | {"sms": {"text": "x"}})

    event = SendEvent.parse(body, RECORD_ID, NOW)

    ids = message_ids_in(body, RECORD_ID)
    assert ids == [message.message_id for message in event.messages]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ('{"messageId": "m-1", "to": {"phoneNumber": "x"}, "unknown": 1}', ["m-1"]),
        ('\ufeff\n{"messageId": "m-1"}\n', ["m-1"]),
        ('{"messageId": "m-1", "sms": {"text": "\\ud83d"}}', ["m-1"]),
        ('{"to": 7}', [f"{RECORD_ID}-0"]),
        (
            '{"destinations": [{"messageId": "m-1"}, {"to": {}}, {"messageId": "m-3"}], "sms": 7}',
            ["m-1", f"{RECORD_ID}-1", "m-3"],
        ),
        ('{"destinations": [{"messageId": "m-1"}, {"messageId": "m-1"}]}', ["m-1"]),
        ('{"destinations": [null, 7, "x", [], {}, {"messageId": 7}]}', []),
        ('{"destinations": [{"messageId": ""}, {"messageId": "a,b"}]}', []),
        ('{"destinations": [{"messageId": "\\ud83d"}]}', []),
        (json.dumps({"messageId": 201 * "x"}), []),
        ('{"detail": {"messageId": "m-1"}}', []),
        ("not JSON", []),
        ("[]", []),
        ("[" * 100_000, []),
        ("", []),
    ],
)
def test_only_what_can_be_a_message_id_is_read(body: str, ids: list[str]) -> None:
    assert message_ids_in(body, RECORD_ID) == ids


EVENT = {"destinations": [TO | {"messageId": "m-1"}, TO], "wrong": True}
FROM_SNS = {"TopicArn": "arn", "MessageId": "sns-1", "Message": json.dumps(EVENT)}
FROM_EVENTBRIDGE = {"detail-type": "Order", "id": "bus-1", "detail": EVENT}


@pytest.mark.parametrize(
    ("envelope", "ids"),
    [
        (FROM_SNS, ["m-1", "sns-1-1"]),
        (FROM_EVENTBRIDGE, ["m-1", "bus-1-1"]),
        (FROM_EVENTBRIDGE | {"detail": FROM_SNS}, ["m-1", "sns-1-1"]),
        (FROM_SNS | {"Message": json.dumps(FROM_EVENTBRIDGE)}, ["m-1", "bus-1-1"]),
        (FROM_SNS | {"MessageId": 7}, ["m-1"]),
        (FROM_SNS | {"Message": "no JSON"}, []),
        (FROM_SNS | {"Message": None}, []),
        (FROM_EVENTBRIDGE | {"detail": FROM_SNS | {"Message": json.dumps(FROM_SNS)}}, []),
    ],
)
def test_ids_are_read_from_envelopes(envelope: dict[str, Any], ids: list[str]) -> None:
    """Those that destinations lack derive from the envelope's id, which a repeat has too."""
    assert message_ids_in(json.dumps(envelope), RECORD_ID) == ids


def test_no_id_derives_from_an_invalid_record_id() -> None:
    """Any sender to the queue can set the attribute that holds it."""
    assert message_ids_in(json.dumps({"destinations": [TO]}), "a,b") == []


def test_number_of_ids_is_limited() -> None:
    many = [{"messageId": f"m-{number}"} for number in range(MOST_DESTINATIONS + 1)]

    assert len(message_ids_in(json.dumps({"destinations": many}), RECORD_ID)) == MOST_DESTINATIONS


def test_ids_are_written_as_far_as_they_fit() -> None:
    """The number of all is written with them."""
    many = [f"{number:0200}" for number in range(500)]

    written = written_ids(many)

    assert len(written) <= 2000
    assert json.loads(written) == {"count": 500, "first": many[:9]}
    assert written_ids([]) == ""


def test_no_id_is_written_in_characters_that_sqs_refuses() -> None:
    assert written_ids(["\x00š"]) == '{"count": 1, "first": ["\\u0000\\u0161"]}'
