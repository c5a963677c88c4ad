"""Every text that is stored, forwarded or logged has a length limit, even in a new field."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import functions
import infobip_omni
from infobip_omni import transitions
from infobip_omni.api.channels import (
    CONTENT_MEMBERS,
    LONGEST_EMAIL_ADDRESS,
    LONGEST_URL,
    Channel,
    PushContent,
    VKontakteContent,
)
from infobip_omni.api.errors import error_for
from infobip_omni.api.reports import DeliveryReport, LogEntry, RawEntry
from infobip_omni.api.scenarios import LONGEST_SCENARIO_KEY, LONGEST_SCENARIO_NAME, Scenario
from infobip_omni.api.sends import (
    LONGEST_BULK_ID,
    LONGEST_CALLBACK_DATA,
    LONGEST_MESSAGE_ID,
    LONGEST_PUSH_REGISTRATION,
    Recipient,
    SendOptions,
    SendResult,
)
from infobip_omni.api.wire import LONGEST_DESCRIPTION, LONGEST_TEXT, AnswerBody
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import LARGEST_EVENT_BYTES, SendEvent
from infobip_omni.outcome_events import Change, OutcomeEvents
from infobip_omni.scenario_registry import RegisteredScenario
from infobip_omni.settings import Settings
from infobip_omni.transitions import Claim
from infobip_omni.verdicts import verdict_of
from infobip_omni.webhook import Webhook
from tests.fakes import Clock, FakeLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Json = dict[str, Any]

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RECORD_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"
#: Longer than any text that an event may hold.
LONG = 600_000
#: Any field that accepts texts accepts at least one of these.
SHORT_TEXTS = ["a", "12345", "https://a.example/", "2026-01-31T12:00:00.000+0000", "SMS", "NONE"]
LONG_TEXTS = ["a" * LONG, "1" * LONG, "https://a.example/" + "a" * LONG, "\u0161" * LONG]
#: The positions at which a field can hold a text.
PLACES: list[Callable[[str], object]] = [
    lambda text: text,
    lambda text: [text],
    lambda text: (text,),
    lambda text: {"a": text},
    lambda text: {text: "a"},
]
#: Models of values that only the operator writes, and the service that limits them.
LIMITED_ELSEWHERE = {
    Settings: "Lambda's environment holds 4 KB",
    RegisteredScenario: "SSM's parameters hold 8 KB",
}
#: Fields of answers that are neither stored nor forwarded.
ONLY_COMPARED = {(SendResult, "message_id")}


def all_models() -> list[type[BaseModel]]:
    """Return all pydantic models of the code."""
    for package in (infobip_omni, functions):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for one in model.__subclasses__():
            yield one
            yield from below(one)

    ours = ("infobip_omni", "functions")
    found = {one for one in below(BaseModel) if one.__module__.startswith(ours)}
    return sorted(found, key=lambda model: (model.__module__, model.__name__))


MODELS = all_models()
ANSWERS = [model for model in MODELS if issubclass(model, AnswerBody)]
INPUTS = [
    model
    for model in MODELS
    if model not in ANSWERS and not issubclass(model, tuple(LIMITED_ELSEWHERE))
]


def fields(found: Iterable[type[BaseModel]]) -> list[Any]:
    """Return one parameter for each field of the models."""
    return [
        pytest.param(model, name, id=f"{model.__name__}.{name}")
        for model in found
        for name in model.model_fields
    ]


@functools.cache
def reader(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """Return an adapter that validates a single field."""
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for one in field.metadata:
        annotation = Annotated[annotation, one]
    return TypeAdapter(annotation)


def is_accepted(read: TypeAdapter[Any], value: object) -> bool:
    try:
        read.validate_python(value)
    except ValidationError:
        return False
    return True


def is_free_form(model: type[BaseModel], name: str) -> bool:
    """Return whether a field accepts anything, so only the record's size limits it."""
    return (model, name) in {(PushContent, "custom_payload"), (VKontakteContent, "template_data")}


def texts_in(value: object) -> Iterator[str]:
    """Yield all texts in a validated value."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from texts_in(key)
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


def size(item: Json) -> int:
    """Return an item's size in bytes, slightly higher than DynamoDB counts it."""
    return len(json.dumps(item, default=float, ensure_ascii=False).encode())


# --- Inputs --------------------------------------------------------------------------------


def test_models_are_found() -> None:
    """Without models, the tests below would check nothing."""
    names = {model.__name__ for model in INPUTS}

    assert {"SendEventBody", "Recipient", "ReleaseCommand", "FindMessagesEvent"} <= names
    assert {"Status", "DeliveryReport", "LogEntry"} <= {model.__name__ for model in ANSWERS}


@pytest.mark.parametrize("model", INPUTS, ids=lambda model: model.__name__)
def test_every_text_field_has_a_limit(model: type[BaseModel]) -> None:
    """The limit holds for any content, and at any position in the field."""
    unlimited = [
        (name, place(text[:1]))
        for name in model.model_fields
        if not is_free_form(model, name)
        for read in [reader(model, name)]
        for place in PLACES
        if any(is_accepted(read, place(text)) for text in SHORT_TEXTS)
        for text in LONG_TEXTS
        if is_accepted(read, place(text))
    ]

    assert unlimited == []


@pytest.mark.parametrize("model", INPUTS, ids=lambda model: model.__name__)
def test_overlong_text_is_not_quoted(model: type[BaseModel]) -> None:
    """The error may be logged."""
    for name in model.model_fields:
        read = reader(model, name)
        for text in LONG_TEXTS:
            try:
                read.validate_python(text)
            except ValidationError as error:
                refusal = InvalidEventError.from_validation(error)
                assert text[-20:] not in str(refusal), name
                assert len(str(refusal)) < 1000, name


@pytest.mark.parametrize(
    "content",
    [
        {"push": {"text": "a", "customPayload": {"a": "x" * LONG}}},
        {"push": {"text": "a", "customPayload": {"x" * LONG: 1}}},
        {"push": {"text": "a", "customPayload": {"a": [1] * LONG}}},
        {"vKontakte": {"templateName": "a", "templateData": {"a": "x" * LONG}}},
        {"extra": {"aNewField": "x" * LONG}, "sms": {"text": "a"}},
        *(
            {member: {"text": "a", "extra": {"aNewField": "x" * LONG}}}
            for member in CONTENT_MEMBERS.values()
        ),
    ],
)
def test_free_form_members_are_limited_by_the_record(content: Json) -> None:
    """They are passed on unchanged."""
    body = json.dumps(content | {"to": {"phoneNumber": "385995550123"}})

    with pytest.raises(InvalidEventError) as caught:
        SendEvent.parse(body, RECORD_ID, NOW)

    assert (caught.value.field, caught.value.rule) == (
        "body",
        "must not exceed 262144 bytes in UTF-8",
    )


@pytest.mark.parametrize("character", ["x", "\u0161", "\U0001f600"])
def test_event_may_be_as_large_as_the_queue_allows(character: str) -> None:
    """The size counts bytes in UTF-8; one byte more is rejected."""
    event = {"to": {"phoneNumber": "385995550123"}, "email": {"text": ""}}
    room = LARGEST_EVENT_BYTES - len(json.dumps(event))
    event["email"]["text"] = character * (room // len(character.encode()))
    event["email"]["text"] += "x" * (LARGEST_EVENT_BYTES - size(event))
    largest = json.dumps(event, ensure_ascii=False)

    SendEvent.parse(largest, RECORD_ID, NOW)
    with pytest.raises(InvalidEventError, match="must not exceed 262144 bytes"):
        SendEvent.parse(largest + " ", RECORD_ID, NOW)


TEXTS_AND_LIMITS: list[tuple[str, str, int, Callable[[str], Json]]] = [
    ("scenarioKey", "x", LONGEST_SCENARIO_KEY, lambda text: {"scenarioKey": text}),
    ("scenario", "x", LONGEST_SCENARIO_NAME, lambda text: {"scenario": text}),
    ("bulkId", "x", LONGEST_BULK_ID, lambda text: {"bulkId": text}),
    ("bulkId", "\u0161", LONGEST_BULK_ID // 2, lambda text: {"bulkId": text}),
    ("messageId", "x", LONGEST_MESSAGE_ID, lambda text: {"messageId": text}),
    ("callbackData", "x", LONGEST_CALLBACK_DATA, lambda text: {"callbackData": text}),
    ("to.emailAddress", "x", LONGEST_EMAIL_ADDRESS, lambda text: {"to": {"emailAddress": text}}),
    (
        "to.pushRegistrationId",
        "x",
        LONGEST_PUSH_REGISTRATION,
        lambda text: {"to": {"pushRegistrationId": text}},
    ),
    ("to.whatsAppUserId", "x", 150, lambda text: {"to": {"whatsAppUserId": text}}),
    ("notifyUrl", "x", LONGEST_URL - 10, lambda text: {"notifyUrl": "https://a/" + text}),
    (
        "sms.regional.indiaDlt.principalEntityId",
        "x",
        200,
        lambda text: {"sms": {"text": "a", "regional": {"indiaDlt": {"principalEntityId": text}}}},
    ),
    (
        "push.notificationOptions.title",
        "x",
        4000,
        lambda text: {"push": {"text": "a", "notificationOptions": {"title": text}}},
    ),
    (
        "push.personSubscriptions[0]",
        "x",
        200,
        lambda text: {"push": {"text": "a", "personSubscriptions": [text]}},
    ),
]


@pytest.mark.parametrize(
    ("field", "character", "longest", "members"),
    TEXTS_AND_LIMITS,
    ids=[f"{field}-{character}" for field, character, _, _ in TEXTS_AND_LIMITS],
)
def test_text_may_be_as_long_as_its_limit(
    field: str, character: str, longest: int, members: Callable[[str], Json]
) -> None:
    """One character more is rejected; the error names the field and the rule."""

    def parse(length: int) -> SendEvent:
        whole = {"to": {"phoneNumber": "385995550123"}, "push": {"text": "a"}}
        return SendEvent.parse(json.dumps(whole | members(character * length)), RECORD_ID, NOW)

    parse(longest)
    with pytest.raises(InvalidEventError) as caught:
        parse(longest + 1)

    assert caught.value.field == field
    assert "at most" in caught.value.rule or "must not exceed" in caught.value.rule


@pytest.mark.parametrize("character", [".", "\u0161", "\U0001f600", "/"])
def test_longest_bulk_id_fits_into_the_webhook_url(character: str) -> None:
    """Otherwise the sender could not build the request."""
    bulk_id = character * (LONGEST_BULK_ID // len(character.encode()))
    webhook = Webhook(f"https://{'x' * 63}.lambda-url.ap-southeast-1.on.aws/", lambda: [b"k" * 32])

    assert is_accepted(reader(SendOptions, "bulk_id"), bulk_id)
    assert is_accepted(reader(SendOptions, "notify_url"), webhook.url_for(bulk_id))


# --- Infobip's answers ---------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name"), fields(ANSWERS))
def test_every_text_of_an_answer_is_truncated_or_rejected(
    model: type[BaseModel], name: str
) -> None:
    """It is stored with a message or with a row of the logs."""
    if (model, name) in ONLY_COMPARED:
        return
    read = reader(model, name)
    for place in PLACES:
        for text in LONG_TEXTS:
            try:
                value = read.validate_python(place(text))
            except ValidationError:
                continue
            assert max(map(len, texts_in(value)), default=0) <= LONGEST_TEXT


def longest_row(text: str) -> Json:
    """Build a report with the longest text in every field."""
    words = {"groupName": text, "name": text, "description": text}
    return {
        "messageId": "m-1",
        "channel": "SMS",
        "bulkId": text,
        "mccMnc": text,
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": "2026-01-31T12:00:00.000+0000",
        "status": {"groupId": 3, "id": 5} | words,
        "error": {"groupId": 3, "id": 5} | words,
        "price": {"pricePerMessage": "1" * 38, "currency": text},
    }


@pytest.mark.parametrize("character", ["x", "\u0161", "\U0001f600", "\x01"])
def test_largest_message_fits_into_an_item_and_an_event(
    character: str,
) -> None:
    """It has the longest text in every field, and every attribute that can be added later."""
    clock = Clock()
    ledger = FakeLedger(clock)
    bulk_id = character * (LONGEST_BULK_ID // len(character.encode()))
    claim = Claim(
        message_id=character * LONGEST_MESSAGE_ID,
        content_hash="0" * 64,
        recipient=Recipient(
            phone_number="1" * 20,
            email_address=character * LONGEST_EMAIL_ADDRESS,
            push_registration_id=character * LONGEST_PUSH_REGISTRATION,
            whats_app_user_id=character * 150,
        ),
        scenario=character * LONGEST_SCENARIO_NAME,
        scenario_key=character * LONGEST_SCENARIO_KEY,
        steps=tuple(Channel) * 10,
        bulk_id=bulk_id,
        send_at=clock(),
        validity=timedelta(hours=1),
        on_unknown="never-duplicate",
        callback_data=character * LONGEST_CALLBACK_DATA,
    )
    ledger.claim([claim], timedelta(seconds=1))
    clock.pass_by(seconds=2)
    ledger.change(
        transitions.lease_expired,
        ledger.message(claim.message_id),
        ledger.clock(),
        ledger.check_after,
    )
    ledger.change(transitions.quarantined, ledger.message(claim.message_id), ledger.clock())
    ledger.change(
        transitions.closed,
        ledger.message(claim.message_id),
        character * 200,
        character * 1000,
        ledger.clock(),
    )
    ledger.change(
        transitions.released,
        ledger.message(claim.message_id),
        character * 200,
        character * 1000,
        ledger.clock(),
    )
    report = DeliveryReport.model_validate(longest_row(character * LONG))
    verdict = verdict_of(report, "SMS")
    assert verdict
    ledger.settle({claim.message_id: verdict})
    item = ledger.item(claim.message_id)

    assert size(item) < 100_000  # DynamoDB allows 409,600

    class Bus:
        def put_events(self, **request: Any) -> Json:  # noqa: ANN401 (as boto3's)
            return {"Entries": [{} for _ in request["Entries"]]}

    events = OutcomeEvents("outcomes", with_recipients=True, client=Bus())
    publication = events.publish([Change("1", NOW, {}, item)])
    assert (publication.published, publication.unpublishable) == (1, [])


def test_log_row_keeps_its_text() -> None:
    """Only names are truncated; the raw row is stored unchanged."""
    text = "x" * 100_000
    written = longest_row("x" * LONG) | {"to": text, "text": text}

    entry = RawEntry(json.dumps(written), written).read(LogEntry)

    assert entry is not None
    assert json.loads(entry.raw)["text"] == text
    row = entry.parsed
    assert row.to == text
    assert row.status.name == "x" * 200
    assert row.status.description == "x" * LONGEST_DESCRIPTION


@pytest.mark.parametrize("text", ["x" * LONG, "\ud83d" * LONG], ids=["plain", "surrogates"])
@pytest.mark.parametrize(
    "body",
    [
        lambda text: {"requestError": {"serviceException": {"messageId": "A", "text": text}}},
        lambda text: {"errorCode": "E1", "description": text},
    ],
    ids=["older", "newer"],
)
def test_error_text_of_infobip_is_truncated(body: Callable[[str], Json], text: str) -> None:
    """It is stored with each message of the request, and DynamoDB rejects lone surrogates."""
    error = error_for(400, body(text), {})

    assert error.text
    assert len(error.text) == LONGEST_DESCRIPTION
    assert error.text.encode()


def test_overlong_scenario_key_is_dropped() -> None:
    """A part of it would be an unknown key, or the key of another scenario."""
    longest = "k" * LONGEST_SCENARIO_KEY

    assert Scenario.model_validate({"key": longest}).key == longest
    assert Scenario.model_validate({"key": longest + "k", "name": "otp"}).key is None
