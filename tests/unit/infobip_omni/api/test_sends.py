"""Requests are checked by Infobip's rules; answers are read tolerantly."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from infobip_omni.api.reports import Status
from infobip_omni.api.sends import (
    AdvancedRequest,
    Destination,
    Recipient,
    SendOptions,
    SendResponse,
)

from .bodies import PHONE, Json, problems


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"scenario_key": "K"}, "scenario_key"),
        ({"scenarioKey": 7}, "scenarioKey"),
        ({"scenarioKey": ""}, "scenarioKey"),
        ({"notify": "true"}, "notify"),
        ({"intermediateReport": 1}, "intermediateReport"),
        ({"notifyUrl": "ftp://example.com"}, "notifyUrl"),
        ({"notifyUrl": "https://"}, "notifyUrl"),
        ({"notifyUrl": "https://[::1"}, "notifyUrl"),
        ({"notifyContentType": "text/plain"}, "notifyContentType"),
        ({"callbackData": "x" * 4001}, "callbackData"),
    ],
)
def test_invalid_option_is_refused_with_field_name(body: Json, field: str) -> None:
    """Each broken rule is one problem, under the name that the caller uses."""
    assert [name for name, _ in problems(SendOptions, body)] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "to"),
        ({"to": {}}, "to"),
        ({"to": {"phoneNumber": None}}, "to"),
        ({"to": PHONE}, "to"),
        ({"to": {"phone": PHONE}}, "to.phone"),
        ({"to": {"phone_number": PHONE}}, "to.phone_number"),
        ({"to": {"emailAddress": ""}}, "to.emailAddress"),
        ({"to": {"whatsAppUserId": "x" * 151}}, "to.whatsAppUserId"),
        ({"messageId": "", "to": {"phoneNumber": PHONE}}, "messageId"),
        ({"messageId": "x" * 201, "to": {"phoneNumber": PHONE}}, "messageId"),
    ],
)
def test_invalid_destination_is_refused_with_field_name(body: Json, field: str) -> None:
    """An address that no channel can use is found before anything is sent."""
    assert [name for name, _ in problems(Destination, body)] == [field]


@pytest.mark.parametrize("phone", ["1234", "079 302 67 31", 41793026731])
def test_other_texts_than_phone_numbers_are_refused(phone: object) -> None:
    """A number is text, because JSON's numbers lose digits in some tools."""
    assert [name for name, _ in problems(Recipient, {"phoneNumber": phone})] == ["phoneNumber"]


def test_phone_number_is_kept_in_normal_form() -> None:
    """It is stored and sent so, however it was written."""
    recipient = Recipient.model_validate({"phoneNumber": "+41 79 302-67-31"})

    assert recipient.phone_number == PHONE


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T13:00:00.250+0100",
        "2026-01-31T13:00:00.250+01:00",
        "2026-01-31T12:00:00.250Z",
        "2026-01-31T09:00:00.250-0300",
    ],
)
def test_send_at_is_read_with_any_offset(text: str) -> None:
    """The offset may have a colon."""
    read = SendOptions.model_validate({"sendAt": text})

    assert read.send_at == datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00.000",
        "2026-01-31",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+1400",
        "2026-W05-6T12:00:00Z",
        "tomorrow",
        "",
        1767225600,
        True,
        datetime(2026, 1, 31, 12),  # noqa: DTZ001 (under test)
    ],
)
def test_send_at_must_be_timestamp_with_offset(value: object) -> None:
    """Numbers, texts without an offset and days that do not exist are refused."""
    (problem,) = problems(SendOptions, {"sendAt": value})

    assert problem[0] == "sendAt"
    assert "must be a timestamp with an offset" in problem[1]


def test_request_is_written_around_content_of_caller() -> None:
    """Its members are sent as they were written."""
    request = AdvancedRequest(
        destinations=(
            Destination(message_id="m\u00e9", to=Recipient(phone_number=PHONE)),
            Destination(
                message_id="n", to=Recipient(email_address="a@b", whats_app_user_id="DE.1")
            ),
        ),
        content='"sms": {"text" : "\\u0068i\\/","validityPeriod":"12"},"intermediateReport":true',
        scenario_key="K",
        bulk_id='b"1',
        notify_url="https://example.com/",
    )

    assert request.to_json().decode() == (
        '{"scenarioKey":"K","bulkId":"b\\"1","notifyUrl":"https://example.com/",'
        '"notifyContentType":"application/json","destinations":['
        '{"messageId":"m\u00e9","to":{"phoneNumber":"41793026731"}},'
        '{"messageId":"n","to":{"emailAddress":"a@b","whatsAppUserId":"DE.1"}}],'
        '"sms": {"text" : "\\u0068i\\/","validityPeriod":"12"},"intermediateReport":true}'
    )


def test_absent_members_are_not_sent() -> None:
    """Infobip then uses the account's default scenario, and an id of its own for the bulk."""
    destination = Destination(to=Recipient(phone_number=PHONE))

    assert json.loads(AdvancedRequest((destination,), '"sms":{"text":"hi"}').to_json()) == {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "sms": {"text": "hi"},
    }


def test_nothing_personal_shows_in_repr_or_errors() -> None:
    """Addresses, texts, payloads and callback data stay out of both."""
    secret = "canary"  # noqa: S105 (not one)
    addresses = {"emailAddress": secret, "pushRegistrationId": secret, "whatsAppUserId": secret}
    destination = Destination.model_validate({"to": addresses})
    options = {"callbackData": secret, "notifyUrl": f"https://example.com/{secret}"}
    with pytest.raises(ValidationError) as caught:
        SendOptions.model_validate(options | {"notify": secret})
    response = SendResponse.model_validate({"messages": [{"to": {"phoneNumber": secret}}]})
    url = options["notifyUrl"]
    request = AdvancedRequest((destination,), f'"sms":{{"text":"{secret}"}}', notify_url=url)

    shown: list[object] = [
        SendOptions.model_validate(options),
        destination,
        destination.to,
        response,
    ]
    shown += [request, caught.value]

    assert not [text for text in map(repr, shown) if secret in text]
    assert not [text for text in map(str, shown) if secret in text]


def test_send_response_keeps_every_entry_in_its_place() -> None:
    """Members may be missing; an entry of another form says nothing."""
    accepted = {"groupId": 1, "groupName": "PENDING", "id": 7, "name": "PENDING_ENROUTE"}
    messages = [
        {"messageId": "m1", "to": {"phoneNumber": PHONE}, "status": accepted | {"new": 1}},
        {"messageId": "m2", "status": "malformed"},
        {"messageId": "m3", "status": {"groupId": None}},
        "malformed",
        {"messageId": ["m5"], "to": PHONE, "status": {"groupName": "OK"}},
    ]

    response = SendResponse.model_validate({"bulkId": 7, "messages": messages})

    ids = [result.message_id for result in response.messages]
    statuses = [result.status for result in response.messages]
    assert ids == ["m1", "m2", "m3", None, None]
    assert statuses == [Status.model_validate(accepted), None, None, None, Status(group_name="OK")]


@pytest.mark.parametrize("body", [None, [], {}, {"messages": None}, {"messages": {}}])
def test_send_response_without_messages_is_invalid(body: object) -> None:
    """Such an answer does not say what happened."""
    with pytest.raises(ValidationError):
        SendResponse.model_validate(body)
