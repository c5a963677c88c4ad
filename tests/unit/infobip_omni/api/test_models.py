"""What we send is held to Infobip's rules; what we receive is read with tolerance."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from infobip_omni.api.models import (
    CONTENT_MEMBERS,
    AdvancedRequest,
    ApiKeyCredentials,
    BasicCredentials,
    Channel,
    DeliveryReport,
    Destination,
    LogEntry,
    Recipient,
    Scenario,
    ScenarioDefinition,
    ScenarioStep,
    SendResponse,
    StatusGroup,
    UnreadablePageError,
    parse_credentials,
    parse_reports_page,
)

Json = dict[str, Any]

PHONE = "41793026731"
FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
#: In the style of Infobip's pages on push and failover.
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


def send(**members: object) -> Json:
    """Return a body to one phone, with the given members."""
    return {"destinations": [{"to": {"phoneNumber": PHONE}}]} | members


def problems(model: type[BaseModel], body: object) -> list[tuple[str, str]]:
    """Return field and rule of everything that is wrong with *body*."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    details = caught.value.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in details]


def wire(model: BaseModel) -> object:
    """Return what goes over the wire."""
    return json.loads(model.model_dump_json(exclude_none=True))


# --- Sending -------------------------------------------------------------------------------


def test_documented_request_goes_out_as_it_came_in() -> None:
    """Infobip's spelling stays, absent members stay absent, nulls in a payload stay nulls."""
    assert wire(AdvancedRequest.model_validate(DOCUMENTED_REQUEST)) == DOCUMENTED_REQUEST


def test_null_counts_as_absent() -> None:
    """A null member is not sent."""
    body = send(sms={"text": "hi", "validityPeriod": None}, push=None, bulkId=None)

    assert wire(AdvancedRequest.model_validate(body)) == send(sms={"text": "hi"})


def test_contents_are_found_by_channel() -> None:
    """Every channel has its member, and only what is given is a content."""
    body = send(
        **{
            member: {"text": "hi", "more": {"a": [1]}}
            for member in CONTENT_MEMBERS.values()
            if member not in ("sms", "push")
        },
        sms={"text": "hi"},
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
        (send(push={"text": "hi", "validityPeriod": "10"}), "push.validityPeriod"),
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
def test_wrong_request_is_refused_by_the_name_of_the_field(body: Json, field: str) -> None:
    """One broken rule is one problem, under the name that the caller knows."""
    assert [name for name, _ in problems(AdvancedRequest, body)] == [field]


@pytest.mark.parametrize(
    "phone", ["1234", "1" * 21, "+41793026731", "41 793026731", "41793026731\n", "٤١٧٩٣٠٢٦٧", 41793]
)
def test_phone_number_is_5_to_20_digits(phone: object) -> None:
    """Nothing but a string of ASCII digits is a phone number."""
    for right in ("12345", "1" * 20):
        assert Recipient.model_validate({"phoneNumber": right}).phone_number == right
    assert [name for name, _ in problems(Recipient, {"phoneNumber": phone})] == ["phoneNumber"]


def test_sms_is_measured_in_bytes() -> None:
    """4000 bytes pass, whatever their number of characters; one more does not."""
    longest = send(sms={"text": "ä" * 2000})
    assert wire(AdvancedRequest.model_validate(longest)) == longest

    found = problems(AdvancedRequest, send(sms={"text": "ä" * 2000 + "x"}))

    assert found == [("sms.text", "must not exceed 4000 bytes in UTF-8")]


@pytest.mark.parametrize(
    ("member", "period", "unit", "rule"),
    [
        ("sms", 30, "SECONDS", "must exceed 30 seconds"),
        ("sms", 30_000, "MILLISECONDS", "must exceed 30 seconds"),
        ("sms", 30_000_000, "MICROSECONDS", "must exceed 30 seconds"),
        ("sms", 2**31 - 1, "NANOSECONDS", "must exceed 30 seconds"),
        ("push", 30, "SECONDS", "must exceed 30 seconds"),
        ("viber", 35, "SECONDS", "must exceed 35 seconds"),
        ("viber", 337, "HOURS", "must not exceed 14 days"),
        ("viber", 2**31 - 1, "DAYS", "must not exceed 14 days"),
    ],
)
def test_step_takes_a_time_that_infobip_allows(
    member: str, period: int, unit: str, rule: str
) -> None:
    """A period at or under the least, or one that Viber does not know, is refused."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    found = problems(AdvancedRequest, send(**{member: content}))

    assert found == [(f"{member}.validityPeriod", rule)]


@pytest.mark.parametrize(
    ("member", "period", "unit", "validity"),
    [
        ("sms", None, None, None),
        ("sms", 1, None, timedelta(minutes=1)),
        ("sms", 31, "SECONDS", timedelta(seconds=31)),
        ("sms", 30_001, "MILLISECONDS", timedelta(seconds=30.001)),
        ("push", 48, "HOURS", timedelta(hours=48)),
        ("push", 49, "HOURS", timedelta(hours=48)),
        ("push", 2**31 - 1, "DAYS", timedelta(hours=48)),
        ("viber", 36, "SECONDS", timedelta(seconds=36)),
        ("viber", 14, "DAYS", timedelta(days=14)),
    ],
)
def test_content_tells_how_long_its_step_may_take(
    member: str, period: int | None, unit: str | None, validity: timedelta | None
) -> None:
    """Minutes unless said otherwise, and no longer than what Infobip cuts to."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    request = AdvancedRequest.model_validate(send(**{member: content}))

    assert [content.validity() for content in request.contents().values()] == [validity]


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
def test_send_at_goes_out_in_the_style_of_infobip(text: str) -> None:
    """Any offset, with or without colon, becomes UTC in milliseconds."""
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
        datetime(2026, 1, 31, 12),  # noqa: DTZ001 (that is the point)
    ],
)
def test_send_at_must_name_one_moment(value: object) -> None:
    """A number, or a text without offset or of a day that does not exist, is refused."""
    (problem,) = problems(AdvancedRequest, send(sendAt=value))

    assert problem[0] == "sendAt"
    assert "must be a timestamp with an offset" in problem[1]


def test_python_code_uses_our_names() -> None:
    """Requests can be put together from parts that were validated before."""
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
    """Addresses, texts, payloads and callback data stay out of repr and of validation errors."""
    secret = "canary"  # noqa: S105 (not one)
    addresses = {"emailAddress": secret, "pushRegistrationId": secret, "whatsAppUserId": secret}
    body = {
        "destinations": [{"to": addresses}],
        "callbackData": secret,
        "notifyUrl": f"https://example.com/{secret}",
        "push": {"text": secret, "customPayload": {secret: secret}},
        "viber": {"text": secret, secret: secret},
    }
    request = AdvancedRequest.model_validate(body)
    with pytest.raises(ValidationError) as caught:
        AdvancedRequest.model_validate(body | {"sms": {"text": [secret]}, "notify": secret})
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "to": secret}
    report = DeliveryReport.model_validate(
        row | {"callbackData": secret, "contact": {"name": secret}}
    )
    entry = LogEntry.model_validate(row | {"text": secret})
    response = SendResponse.model_validate({"messages": [{"to": {"phoneNumber": secret}}]})
    key = ApiKeyCredentials(api_key=secret)
    pair = BasicCredentials(username=secret, password=secret)

    shown = [request, *request.contents().values(), *request.destinations, caught.value]
    shown += [request.destinations[0].to, report, entry, response, key, pair]

    assert not [text for text in map(repr, shown) if secret in text]
    assert not [text for text in map(str, shown) if secret in text]


# --- Scenarios -----------------------------------------------------------------------------


def test_scenario_definition_is_the_documented_body() -> None:
    """Name, flow and default go out as they came in; `from` may be missing."""
    body = {"name": "otp", "flow": [*FLOW, {"channel": "VIBER"}], "default": True}

    definition = ScenarioDefinition.model_validate(body)

    assert definition.flow[0] == ScenarioStep(sender="app-code", channel=Channel.PUSH)
    assert wire(definition) == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"flow": FLOW}, "name"),
        ({"name": " ", "flow": FLOW}, "name"),
        ({"name": 7, "flow": FLOW}, "name"),
        ({"name": "otp"}, "flow"),
        ({"name": "otp", "flow": []}, "flow"),
        ({"name": "otp", "flow": "SMS"}, "flow"),
        ({"name": "otp", "flow": [{"channel": "PIGEON"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"channel": "sms"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"from": "Acme"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"from": 7, "channel": "SMS"}]}, "flow.0.from"),
        ({"name": "otp", "flow": [{"sender": "Acme", "channel": "SMS"}]}, "flow.0.sender"),
        ({"name": "otp", "flow": FLOW, "default": "yes"}, "default"),
        ({"name": "otp", "flow": FLOW, "key": "K"}, "key"),
    ],
)
def test_wrong_scenario_is_refused_by_the_name_of_the_field(body: Json, field: str) -> None:
    """One broken rule is one problem, under the name that the caller knows."""
    assert [name for name, _ in problems(ScenarioDefinition, body)] == [field]


def test_scenario_of_infobip_compares_with_ours() -> None:
    """Unknown members, null, and a number for a key do not matter; the flow is of one kind."""
    steps = [step | {"new": 1} for step in FLOW]
    definition = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW})

    scenario = Scenario.model_validate({"key": 17, "name": "otp", "flow": steps, "default": None})

    assert (scenario.key, scenario.name, scenario.default) == ("17", "otp", False)
    assert scenario.flow == definition.flow


@pytest.mark.parametrize("flow", [None, "SMS", [{"channel": "PIGEON"}], ["SMS"]])
def test_flow_that_we_do_not_know_is_empty(flow: object) -> None:
    """A scenario with a step of a new kind is still listed, and equals none of ours."""
    assert Scenario.model_validate({"key": "K", "flow": flow}).flow == ()


# --- Answers, reports, logs ----------------------------------------------------------------


def test_send_response_keeps_what_can_be_read() -> None:
    """Members may be missing; an entry of another shape is left out."""
    accepted = {"groupId": 1, "groupName": "PENDING", "id": 7, "name": "PENDING_ENROUTE"}
    messages = [
        {"messageId": "m1", "to": {"phoneNumber": PHONE}, "status": accepted | {"new": 1}},
        {"messageId": "m2", "status": "malformed"},
        {"messageId": "m3", "status": {"groupId": None}},
        "malformed",
        {"messageId": None, "to": PHONE, "status": None},
    ]

    response = SendResponse.model_validate({"bulkId": 7, "messages": messages})

    assert response.bulk_id == "7"
    assert [result.message_id for result in response.messages] == ["m1", None]
    assert response.messages[0].status is not None
    assert response.messages[0].status.group_id == StatusGroup.PENDING


@pytest.mark.parametrize("body", [None, [], {}, {"messages": None}, {"messages": {}}])
def test_send_response_without_messages_is_invalid(body: object) -> None:
    """Such an answer does not say what happened."""
    with pytest.raises(ValidationError):
        SendResponse.model_validate(body)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2015-02-23T16:41:11.833+0000", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("2015-02-23T17:41:11.833+01:00", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("2015-02-23T13:41:11-0300", datetime(2015, 2, 23, 16, 41, 11, tzinfo=UTC)),
        ("2015-02-23T16:41:11Z", datetime(2015, 2, 23, 16, 41, 11, tzinfo=UTC)),
        ("2015-02-23T16:41:11.833", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("0001-01-01T00:00:00+1400", None),
        ("yesterday", None),
        ("", None),
        (1424709671833, None),
        (None, None),
    ],
)
def test_timestamps_of_rows_are_read_in_every_style(text: object, moment: datetime | None) -> None:
    """Without an offset a moment is taken for UTC; what cannot be read is absent."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "sentAt": text, "doneAt": text}

    report = DeliveryReport.model_validate(row)

    assert (report.sent_at, report.done_at) == (moment, moment)


def test_report_is_read_with_all_its_members() -> None:
    """The documented members of a report arrive, whatever else comes with them."""
    body = json.dumps(
        {
            "results": [
                {
                    "bulkId": "b",
                    "messageId": "m",
                    "to": PHONE,
                    "sentAt": "2026-01-31T12:00:00.000+0000",
                    "doneAt": "2026-01-31T12:00:05.000+0000",
                    "messageCount": 1,
                    "mccMnc": "22801",
                    "price": {"pricePerMessage": 0.0285, "currency": "EUR"},
                    "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "N"},
                    "error": {"groupId": 0, "id": 0, "name": "NO_ERROR", "permanent": False},
                    "channel": "CARRIER_PIGEON",
                    "callbackData": "order 7",
                    "new": {"a": 1},
                }
            ]
        }
    ).encode()

    (row,) = parse_reports_page(body)
    report = DeliveryReport.model_validate(row)

    assert report.price is not None
    assert report.price.price_per_message == Decimal("0.0285")
    assert report.error is not None
    assert (report.error.name, report.error.permanent) == ("NO_ERROR", False)
    assert (report.channel, report.callback_data) == ("CARRIER_PIGEON", "order 7")
    assert row["new"] == {"a": 1}


def test_optional_members_cost_only_themselves() -> None:
    """Null, or a value of the wrong kind, leaves the rest of a row readable."""
    optional = [
        *("bulkId", "to", "sentAt", "doneAt", "messageCount", "mccMnc", "price", "error"),
        *("channel", "callbackData", "from", "text"),
    ]
    needed = {"messageId": 17, "status": {"groupId": 9, "id": 5, "name": None}}

    values: list[object] = [None, {"a": []}, [], "?"]
    for value in values:
        row = needed | dict.fromkeys(optional, value)
        assert DeliveryReport.model_validate(row).status.group_id == 9
        assert LogEntry.model_validate(row).message_id == "17"


@pytest.mark.parametrize(
    "row",
    [
        None,
        "row",
        {},
        {"messageId": "m"},
        {"messageId": None, "status": {"groupId": 3, "id": 5}},
        {"status": {"groupId": 3, "id": 5}},
        {"messageId": "m", "status": "malformed"},
        {"messageId": "m", "status": {"id": 5}},
        {"messageId": "m", "status": {"groupId": 3}},
    ],
)
def test_row_without_message_id_or_status_is_invalid(row: object) -> None:
    """Such a row says nothing about any message."""
    for model in (DeliveryReport, LogEntry):
        with pytest.raises(ValidationError):
            model.model_validate(row)


def test_log_entry_has_sender_and_text() -> None:
    """A log row tells what a report does not."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "from": "Acme", "text": "hi"}

    entry = LogEntry.model_validate(row)

    assert (entry.sender, entry.text) == ("Acme", "hi")


def test_half_a_character_in_an_answer_becomes_a_question_mark() -> None:
    """JSON can hold half of an emoji that was cut; nothing that is written later could."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5, "name": "a\ud83d"}, "text": "\ud83d"}

    entry = LogEntry.model_validate(row)

    assert (entry.text, entry.status.name) == ("?", "a?")
    assert entry.model_dump_json()


def test_page_of_reports_keeps_every_entry_as_it_came() -> None:
    """Entries of any kind are handed on, and one bad byte or number costs no neighbour."""
    body = b'\xef\xbb\xbf{"results": [{"a": 0.10}, "x", null, {"b": "\xff"}, {"c": NaN}]}'

    assert parse_reports_page(body) == [{"a": Decimal("0.10")}, "x", None, {"b": "�"}, {"c": "NaN"}]
    assert str(parse_reports_page(body)[0]["a"]) == "0.10"
    assert parse_reports_page(b'{"results": []}') == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"results": null}',
        b'{"results": {}}',
        b'{"results": [',
        b"[" * 100_000,
        b'{"results": [' + b"9" * 5000 + b"]}",
    ],
    ids=range(10),
)
def test_page_without_a_list_of_reports_is_unreadable(body: bytes) -> None:
    """The error tells so and holds nothing of the page."""
    with pytest.raises(UnreadablePageError) as caught:
        parse_reports_page(body)

    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- Credentials ---------------------------------------------------------------------------


def test_credentials_write_their_header() -> None:
    """An API key goes as App, a name with its password as Basic, in UTF-8."""
    key = parse_credentials('{"apiKey": "key-1"}')
    pair = parse_credentials('{"username": "ada", "password": "pässword"}')

    assert key.authorization() == "App key-1"
    assert pair.authorization() == "Basic YWRhOnDDpHNzd29yZA=="


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("canary", "must be JSON"),
        ('"canary"', "must be a JSON object"),
        ("{}", "username"),
        ('{"username": "canary"}', "password"),
        ('{"username": "can:ary", "password": "canary"}', "username"),
        ('{"apiKey": ""}', "apiKey"),
        ('{"apiKey": "canary\\n"}', "apiKey"),
        ('{"apiKey": "can ary"}', "apiKey"),
        ('{"apiKey": 7}', "apiKey"),
        ('{"apiKey": "canary", "username": "canary"}', "username"),
        ('{"api_key": "canary"}', "api_key"),
    ],
)
def test_wrong_credentials_are_refused_without_being_shown(text: str, rule: str) -> None:
    """The error names what is wrong, never what it is."""
    with pytest.raises(ValueError, match=rule) as caught:
        parse_credentials(text)

    assert "canary" not in str(caught.value)
    assert "can:ary" not in str(caught.value)
