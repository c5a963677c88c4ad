"""Requests are checked by Infobip's rules; answers are read tolerantly."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from infobip_omni.api.channels import Channel
from infobip_omni.api.reports import Status
from infobip_omni.api.sends import (
    CONTENT_MEMBERS,
    AdvancedRequest,
    Destination,
    MessageContent,
    Recipient,
    SendResponse,
)

from .bodies import PHONE, Json, problems, send, wire

#: Modelled on Infobip's pages about push and failover.
DOCUMENTED_REQUEST: Json = {
    "bulkId": "bulk-1",
    "scenarioKey": "6298AE6C8D2A9ADB",
    "destinations": [
        {"messageId": "message-1", "to": {"phoneNumber": PHONE}},
        {"to": {"emailAddress": "ada@example.com", "pushRegistrationId": "reg-1"}},
    ],
    "push": {
        "text": "Your code is 1234",
        "validityPeriod": 10,
        "validityPeriodTimeUnit": "MINUTES",
        "customPayload": {"key": "value", "nested": {"flag": None, "number": 1.5}},
        "notificationOptions": {
            "vibrationEnabled": True,
            "badge": 6,
            "inAppStyle": "BANNER",
            "title": "Sign in",
        },
        "targetOnlyPrimaryDevices": True,
        "personSubscriptions": ["a", "b"],
    },
    "sms": {
        "text": "Your code: 1234",
        "transliteration": "TURKISH",
        "language": {"languageCode": "TR"},
        "regional": {"indiaDlt": {"principalEntityId": "1", "contentTemplateId": "2"}},
    },
    "notifyUrl": "https://example.com/reports",
    "notifyContentType": "application/json",
    "callbackData": "order 7",
    "sendAt": "2026-01-31T12:00:00.000+0000",
}


def test_documented_request_is_sent_unchanged() -> None:
    """Names keep Infobip's spelling, absent members stay absent, nulls in a payload stay null."""
    assert wire(AdvancedRequest.model_validate(DOCUMENTED_REQUEST)) == DOCUMENTED_REQUEST


def test_null_members_are_not_sent() -> None:
    body = send(sms={"text": "hi", "validityPeriod": None}, push=None, bulkId=None)

    assert wire(AdvancedRequest.model_validate(body)) == send(sms={"text": "hi"})


def test_contents_are_found_by_channel() -> None:
    """Every channel has a member; only members that are present are contents."""
    body = send(
        **{member: {"text": "hi"} for member in CONTENT_MEMBERS.values() if member != "push"}
    )

    request = AdvancedRequest.model_validate(body)

    assert set(CONTENT_MEMBERS) == set(Channel)
    assert set(request.contents()) == set(Channel) - {Channel.PUSH}
    assert wire(request) == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (send(surprise=1), "surprise"),
        (send(scenario_key="K"), "scenario_key"),
        (send(scenarioKey=7), "scenarioKey"),
        (send(scenarioKey=""), "scenarioKey"),
        (send(notify="true"), "notify"),
        (send(intermediateReport=1), "intermediateReport"),
        (send(notifyUrl="ftp://example.com"), "notifyUrl"),
        (send(notifyUrl="https://"), "notifyUrl"),
        (send(notifyUrl="https://[::1"), "notifyUrl"),
        (send(notifyContentType="text/plain"), "notifyContentType"),
        (send(callbackData="x" * 4001), "callbackData"),
        (send(sms="hi"), "sms"),
        (send(sms={}), "sms.text"),
        (send(sms={"text": ""}), "sms.text"),
        (send(sms={"text": 7}), "sms.text"),
        (send(sms={"text": "hi", "flash": True}), "sms.flash"),
        (send(sms={"text": "hi", "transliteration": "KLINGON"}), "sms.transliteration"),
        (send(sms={"text": "hi", "language": {"languageCode": "tr"}}), "sms.language.languageCode"),
        (send(sms={"text": "hi", "regional": {"korea": {"title": "x" * 67}}}),
         "sms.regional.korea.title"),
        (send(sms={"text": "hi", "regional": {"indiaDlt": {}}}),
         "sms.regional.indiaDlt.principalEntityId"),
        (send(push={"text": "x" * 2001}), "push.text"),
        (send(push={"text": ""}), "push.text"),
        (send(push={"text": "hi", "customPayload": []}), "push.customPayload"),
        (send(push={"text": "hi", "notificationOptions": {"badge": 2**31}}),
         "push.notificationOptions.badge"),
        (send(push={"text": "hi", "notificationOptions": {"isSilent": 1}}),
         "push.notificationOptions.isSilent"),
        (send(push={"text": "hi", "personSubscriptions": ["a", "a"]}), "push.personSubscriptions"),
        (send(push={"text": "hi", "validityPeriod": "ten"}), "push.validityPeriod"),
        (send(push={"text": "hi", "validityPeriod": 1.0}), "push.validityPeriod"),
        (send(push={"text": "hi", "validityPeriodTimeUnit": "WEEKS"}),
         "push.validityPeriodTimeUnit"),
        (send(voice={}), "voice.text"),
        (send(email={"text": ""}), "email.text"),
        (send(kakaoAlim={"text": "x" * 1001}), "kakaoAlim.text"),
        (send(whatsApp={"text": 7}), "whatsApp.text"),
        ({}, "destinations"),
        ({"destinations": []}, "destinations"),
        ({"destinations": [{}]}, "destinations.0.to"),
        ({"destinations": [{"to": {}}]}, "destinations.0.to"),
        ({"destinations": [{"to": {"phoneNumber": None}}]}, "destinations.0.to"),
        ({"destinations": [{"to": PHONE}]}, "destinations.0.to"),
        ({"destinations": [{"to": {"phone": PHONE}}]}, "destinations.0.to.phone"),
        ({"destinations": [{"to": {"phone_number": PHONE}}]}, "destinations.0.to.phone_number"),
        (send() | {"destinations": [{"to": {"emailAddress": ""}}]},
         "destinations.0.to.emailAddress"),
        ({"destinations": [{"to": {"whatsAppUserId": "x" * 151}}]},
         "destinations.0.to.whatsAppUserId"),
        ({"destinations": [{"messageId": "", "to": {"phoneNumber": PHONE}}]},
         "destinations.0.messageId"),
        ({"destinations": [{"messageId": "x" * 201, "to": {"phoneNumber": PHONE}}]},
         "destinations.0.messageId"),
    ],
)  # fmt: skip
def test_invalid_request_is_refused_with_field_name(body: Json, field: str) -> None:
    """Each broken rule is one problem, under the name that the caller uses."""
    assert [name for name, _ in problems(AdvancedRequest, body)] == [field]


@pytest.mark.parametrize(
    "phone", ["1234", "1" * 21, "+41793026731", "41 793026731", "41793026731\n", "٤١٧٩٣٠٢٦٧", 41793]
)
def test_phone_number_is_5_to_20_digits(phone: object) -> None:
    """Only a string of ASCII digits is a phone number."""
    for right in ("12345", "1" * 20):
        assert Recipient.model_validate({"phoneNumber": right}).phone_number == right
    assert [name for name, _ in problems(Recipient, {"phoneNumber": phone})] == ["phoneNumber"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T13:00:00.250+0100",
        "2026-01-31T13:00:00.250+01:00",
        "2026-01-31T12:00:00.250Z",
        "2026-01-31T09:00:00.250-0300",
        "2026-01-31T12:00:00.250999+0000",
    ],
)
def test_send_at_is_sent_in_infobips_format(text: str) -> None:
    """Any offset, with or without a colon, becomes UTC with milliseconds."""
    request = AdvancedRequest.model_validate(send(sendAt=text))

    assert wire(request) == send(sendAt="2026-01-31T12:00:00.250+0000")


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
    (problem,) = problems(AdvancedRequest, send(sendAt=value))

    assert problem[0] == "sendAt"
    assert "must be a timestamp with an offset" in problem[1]


def test_request_copies_every_field_of_content() -> None:
    """A new field of `MessageContent` fails the test until it is set here, and copied."""
    text = {"text": "x"}
    members = {
        name: DOCUMENTED_REQUEST[name] for name in DOCUMENTED_REQUEST.keys() - {"destinations"}
    }
    content = MessageContent.model_validate(
        members
        | {
            "notify": True,
            "intermediateReport": True,
            "viber": text,
            "whatsApp": text,
            "voice": text,
            "email": text | {"subject": "s"},
            "line": text,
            "kakaoChingu": text,
            "kakaoAlim": text,
            "vKontakte": text,
        }
    )
    assert all(getattr(content, name) is not None for name in MessageContent.model_fields)
    destinations = (Destination(message_id="m", to=Recipient(phone_number=PHONE)),)

    request = AdvancedRequest.of(
        content,
        scenario_key="other key",
        bulk_id="other-bulk",
        notify_url="https://other.example/",
        notify_content_type="application/xml",
        destinations=destinations,
    )

    replaced = {
        "scenario_key": "other key",
        "bulk_id": "other-bulk",
        "notify_url": "https://other.example/",
        "notify_content_type": "application/xml",
    }
    assert dict(request) == dict(content) | replaced | {"destinations": destinations}


def test_request_is_built_by_python_names() -> None:
    """A request can be built from parts that were validated before."""
    sent = AdvancedRequest.model_validate(DOCUMENTED_REQUEST)

    request = AdvancedRequest(
        scenario_key=sent.scenario_key,
        send_at=sent.send_at,
        sms=sent.sms,
        destinations=(Destination(message_id="m", to=Recipient(phone_number=PHONE)),),
    )

    assert wire(request) == {
        "scenarioKey": "6298AE6C8D2A9ADB",
        "sendAt": "2026-01-31T12:00:00.000+0000",
        "sms": DOCUMENTED_REQUEST["sms"],
        "destinations": [{"messageId": "m", "to": {"phoneNumber": PHONE}}],
    }


def test_nothing_personal_shows_in_repr_or_errors() -> None:
    """Addresses, texts, payloads and callback data stay out of both."""
    secret = "canary"  # noqa: S105 (not one)
    addresses = {"emailAddress": secret, "pushRegistrationId": secret, "whatsAppUserId": secret}
    body = {
        "destinations": [{"to": addresses}],
        "callbackData": secret,
        "notifyUrl": f"https://example.com/{secret}",
        "push": {"text": secret, "customPayload": {secret: secret}},
        "viber": {"text": secret, "trackingData": secret},
    }
    request = AdvancedRequest.model_validate(body)
    with pytest.raises(ValidationError) as caught:
        AdvancedRequest.model_validate(body | {"sms": {"text": [secret]}, "notify": secret})
    response = SendResponse.model_validate({"messages": [{"to": {"phoneNumber": secret}}]})

    shown = [request, *request.contents().values(), *request.destinations, caught.value]
    shown += [request.destinations[0].to, response]

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
