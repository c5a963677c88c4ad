"""Our models and our client have all that Infobip's document has, with its limits and words."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from pydantic import BaseModel

from infobip_omni.api import channels, reports, scenarios, sends
from infobip_omni.api.authorization import ApiKeyCredentials
from infobip_omni.api.channels import CONTENT_MEMBERS, CONTENT_MODELS
from infobip_omni.api.channels.variants import Variants
from infobip_omni.api.client import OmniClient
from infobip_omni.api.errors import error_for
from infobip_omni.api.reports import DeliveryReport, LogEntry, Price, SeenReport, Status, parse_page
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition
from infobip_omni.api.sends import (
    Destination,
    SendOptions,
    SendResponse,
    SendResult,
)
from infobip_omni.events.errors import InvalidEventError, read_as
from infobip_omni.log_query_limiter import SLOTS_PER_MINUTE
from tests.fakes import advanced_request

from . import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from .structure import Place

Json = dict[str, Any]

REQUEST_MEMBERS = structure.documented("OmniAdvancedRequest")
#: What is checked as a whole: its model, and the path of its errors begins there.
ROOTS: dict[str, type[BaseModel]] = {
    **{
        REQUEST_MEMBERS[CONTENT_MEMBERS[channel]].name: model
        for channel, model in CONTENT_MODELS.items()
    },
    "Destination": Destination,
    "CreateOrUpdateScenarioRequest": ScenarioDefinition,
}
#: Which of our models reads an object of an answer.
ANSWER_MODELS: dict[str, type[BaseModel]] = {
    "OmniResponse": SendResponse,
    "OmniResponseDetails": SendResult,
    "Status": Status,
    "Price": Price,
    "DeliveryReport": DeliveryReport,
    "SeenReport": SeenReport,
    "OmniLog": LogEntry,
    "Scenario": Scenario,
}
#: Members of answers that are not read, each with the reason. Whole rows are stored as they came.
UNREAD = {
    "OmniResponse": {"bulkId": "the request has it"},
    "OmniResponseDetails": {"to": "answers name messages by their id"},
    "Status": {"action": "advice for people, with no list of its words"},
    "DeliveryReport": {
        "messageCount": "the price is per message",
        "mccMnc": "no decision needs the network",
        "error": "it only explains the status, which it may contradict",
        "callbackData": "the message's own is stored with its claim",
        "contact": "personal, and no decision needs it",
    },
    "SeenReport": {
        "from": "the message is known by its id",
        "to": "personal; the message is known by its id",
        "sendAt": "the message's own time is stored with its claim",
        "contact": "personal, and no decision needs it",
    },
    "OmniLog": {
        "from": "the scenario has the sender",
        "text": "personal, and no decision needs it",
        "messageCount": "the price is per message",
        "mccMnc": "no decision needs the network",
    },
}
#: Members that the document lacks and our models read, each with the reason.
UNDOCUMENTED = {"SeenReport": {"channel": "reports have it"}}
#: Query parameters that our client never sends, each with the reason.
UNUSED = {
    "get-omni-failover-scenarios": {"isDefault": "the registry lists all scenarios"},
    "get-omni-failover-delivery-reports": {
        "bulkId": "a report is returned once, so all are taken",
        "messageId": "a report is returned once, so all are taken",
        "channel": "a report is returned once, so all are taken",
    },
    "get-omni-failover-message-logs": {
        "from": "messages are looked up by their id",
        "to": "a URL is no place for an address",
        "bulkId": "messages are looked up by their id",
        "generalStatus": "the status is what is looked up",
        "channel": "every step's row is needed",
        "sentSince": "the logs reach back 48 hours",
        "mcc": "no decision needs the network",
        "mnc": "no decision needs the network",
    },
}


def error_of(model: type[BaseModel], content: Json) -> InvalidEventError | None:
    """Return the error for a content, if there is one."""
    try:
        read_as(model, content)
    except InvalidEventError as error:
        return error
    return None


PLACES = [
    pytest.param(ROOTS[root], place, id=f"{place.schema} in {root}")
    for root in ROOTS
    for place in structure.places(root)
]


@pytest.mark.parametrize("module", [channels, reports, scenarios, sends])
def test_models_name_version_of_document(module: ModuleType) -> None:
    """The digest is of the same version."""
    assert f"OpenAPI document {structure.VERSION}" in str(module.__doc__)


# --- Members and words -----------------------------------------------------------------------


def names(model: type[BaseModel]) -> dict[str, str]:
    """Return Python's names of the fields of a model by their names in JSON."""
    return {
        str(field.validation_alias or field.alias or name): name
        for name, field in model.model_fields.items()
    }


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of a model by their names in JSON."""
    return {member: model.model_fields[name] for member, name in names(model).items()}


def parts(annotation: object) -> Iterator[Any]:
    """Yield the models, the variants and the words of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(each.value) for each in annotation)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) is Annotated:
        variants = [each for each in get_args(annotation) if isinstance(each, Variants)]
        yield from variants or parts(get_args(annotation)[0])
    else:
        for each in get_args(annotation):
            yield from parts(each)


def parts_of(field: Any) -> list[Any]:  # noqa: ANN401 (pydantic's)
    """Return the models, the variants and the words of a field."""
    annotation = field.annotation
    for each in field.metadata:
        annotation = Annotated[annotation, each]
    return list(parts(annotation))


def model_at(root: type[BaseModel], place: Place) -> type[BaseModel]:
    """Return our model of the object at a place."""
    model = root
    for member, words in place.steps:
        [found] = [each for each in parts_of(fields(model)[member]) if not isinstance(each, str)]
        for word in filter(None, words.split(".")):
            found = found.models()[word]
        model = found
    return model


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_model_has_members_of_document(root: type[BaseModel], place: Place) -> None:
    """It has each of them, and no others."""
    assert set(fields(model_at(root, place))) == set(structure.documented(place.schema))


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_enumerations_have_words_of_document(root: type[BaseModel], place: Place) -> None:
    """A model may serve several words by which a variant is chosen."""
    ours = {
        member: {word for word in parts_of(field) if isinstance(word, str)}
        for member, field in fields(model_at(root, place)).items()
    }

    for member, kind in structure.documented(place.schema).items():
        if len(kind.words) == 1:
            assert {*kind.words} <= ours[member]
        else:
            assert ours[member] == {*kind.words}, member


# --- Values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ROOTS)
def test_each_shape_is_accepted(root: str) -> None:
    """With the members that it needs, and with all that may be added."""
    for place in structure.places(root):
        for fixed, needed, optional in structure.shapes(place.schema):
            for members in (needed, [*needed, *optional]):
                examples = {
                    member: structure.example(member, structure.kinds(place.schema)[member])
                    for member in members
                }
                content = place.content_with(structure.complete(place.schema, **fixed, **examples))
                assert error_of(ROOTS[root], content) is None, content


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_values_at_limits_are_accepted(root: type[BaseModel], place: Place) -> None:
    for member, kind in structure.kinds(place.schema).items():
        for value in structure.allowed_values(member, kind):
            content = place.content_with(structure.complete(place.schema, **{member: value}))
            error = error_of(root, content)
            assert error is None, f"{error}: {str(content)[:500]}"


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_broken_rule_is_refused_at_its_member(root: type[BaseModel], place: Place) -> None:
    """Values beyond a limit, of another type, and words that the document does not have."""
    for member, kind in structure.kinds(place.schema).items():
        path = place.path_of(member)
        cases = [(path, value) for value in structure.broken_values(member, kind)]
        cases += [(f"{path}[1]", value) for value in structure.broken_entries(member, kind)]
        for expected, value in cases:
            content = place.content_with(structure.complete(place.schema, **{member: value}))
            error = error_of(root, content)
            assert error is not None, f"{expected}: {str(value)[:100]!r}"
            assert error.field == expected, f"{error}: {str(value)[:100]!r}"


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_missing_member_is_named(root: type[BaseModel], place: Place) -> None:
    """A null is as good as a missing member."""
    for member, kind in structure.kinds(place.schema).items():
        if kind.is_required:
            content = structure.complete(place.schema)
            del content[member]

            error = error_of(root, place.content_with(content))

            assert error is not None, member
            assert (error.field, error.rule) == (place.path_of(member), "is required")
            assert error_of(root, place.content_with(content | {member: None}))


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_optional_member_may_be_null(root: type[BaseModel], place: Place) -> None:
    """Infobip reads a null as absent."""
    complete = structure.complete(place.schema)
    for member in structure.kinds(place.schema).keys() - complete.keys():
        assert error_of(root, place.content_with(complete | {member: None})) is None, member


@pytest.mark.parametrize(("root", "place"), PLACES)
def test_unknown_member_is_refused(root: type[BaseModel], place: Place) -> None:
    """A mistyped name would lose its value silently. Python's names are unknown, too."""
    ours = names(model_at(root, place))
    for member in {"noSuchMember", "text ", *ours.values()} - ours.keys():
        content = place.content_with(structure.complete(place.schema) | {member: "a"})

        error = error_of(root, content)

        assert error is not None, member
        assert (error.field, error.rule) == (
            place.path_of(member),
            "is not a field of this object",
        )


# --- The top level of a send -----------------------------------------------------------------

TOP_LEVEL = {
    member: kind for member, kind in REQUEST_MEMBERS.items() if kind.name not in structure.REQUESTS
}


def test_send_has_members_of_document() -> None:
    """Contents of channels and destinations have models of their own."""
    contents = set(CONTENT_MEMBERS.values())

    assert set(fields(SendOptions)) == set(TOP_LEVEL)
    assert set(TOP_LEVEL) | contents | {"destinations"} == set(REQUEST_MEMBERS)


@pytest.mark.parametrize("member", TOP_LEVEL)
def test_top_level_of_send_has_limits_of_document(member: str) -> None:
    """A wrong value is refused at its member."""
    kind = TOP_LEVEL[member]

    for value in structure.allowed_values(member, kind):
        assert error_of(SendOptions, {member: value}) is None, value
    for value in structure.broken_values(member, kind):
        error = error_of(SendOptions, {member: value})
        assert error is not None, str(value)[:100]
        assert error.field == member


# --- Answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ANSWER_MODELS)
def test_members_of_answer_are_read_or_listed_as_unread(schema: str) -> None:
    read = set(fields(ANSWER_MODELS[schema])) - UNDOCUMENTED.get(schema, {}).keys()

    assert read | UNREAD.get(schema, {}).keys() == set(structure.documented(schema))
    assert not read & UNREAD.get(schema, {}).keys()


@pytest.mark.parametrize("schema", ANSWER_MODELS)
def test_every_member_of_documented_answer_is_read(schema: str) -> None:
    model = ANSWER_MODELS[schema]

    answer = model.model_validate(structure.full(schema))

    lost = {member for member, name in names(model).items() if getattr(answer, name) in (None, ())}
    assert lost == UNDOCUMENTED.get(schema, {}).keys()


@pytest.mark.parametrize(
    "schema", ["DeliveryReports", "SeenReports", "OmniLogsResponse", "ScenariosResponse"]
)
def test_documented_page_is_read(schema: str) -> None:
    """Its only member holds the entries."""
    [(member, entry)] = structure.documented(schema).items()

    [row] = parse_page(json.dumps(structure.full(schema)).encode(), member)

    assert row.read(ANSWER_MODELS[entry.name]) is not None


def test_documented_error_is_read() -> None:
    error = error_for(400, structure.full("ApiException"), {})

    assert error.text == structure.full("ApiRequestErrorDetails")["text"]


# --- Operations ------------------------------------------------------------------------------

URL = "https://xxxxx.api.infobip.com"
DEFINITION = ScenarioDefinition.model_validate(
    structure.complete("CreateOrUpdateScenarioRequest", flow=[{"channel": "SMS"}])
)
SEND = advanced_request(
    {"destinations": [{"to": {"phoneNumber": "385991234567"}}], "sms": {"text": "a"}}
)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CALLS: dict[str, list[Callable[[OmniClient], object]]] = {
    "get-omni-failover-scenarios": [lambda omni: list(omni.list_scenarios())],
    "create-omni-failover-scenario": [lambda omni: omni.create_scenario(DEFINITION)],
    "get-omni-failover-scenario": [lambda omni: omni.get_scenario("K")],
    "update-omni-failover-scenario": [lambda omni: omni.update_scenario("K", DEFINITION)],
    "send-omni-failover-message": [lambda omni: omni.send_advanced(SEND)],
    "get-omni-failover-delivery-reports": [lambda omni: omni.take_reports()],
    "get-omni-failover-message-logs": [
        lambda omni: omni.search_logs(message_ids=["m-1", "m-2"]),
        lambda omni: omni.newest_logs(until=NOW),
    ],
}


def credentials(*, refresh: bool = False) -> ApiKeyCredentials:  # noqa: ARG001 (the client's)
    return ApiKeyCredentials(api_key="key")


def requests_of(operation: str) -> Iterator[Any]:
    """Yield the requests of our client for an operation."""
    described = structure.OPERATIONS[operation]
    method, path = described["call"].replace("{scenarioKey}", "K").split()
    with responses.RequestsMock() as infobip:
        infobip.add(method, URL + path, json=structure.full(described["answer"]))
        for call in CALLS[operation]:
            call(OmniClient(URL, credentials))
        yield from (each.request for each in infobip.calls)


def test_client_has_every_operation() -> None:
    """Each method of the client belongs to one of them."""
    methods = {name for name, _ in inspect.getmembers(OmniClient) if not name.startswith("_")}
    called = {
        method
        for calls in CALLS.values()
        for call in calls
        for method in methods & {*call.__code__.co_names}
    }

    assert called == methods
    assert set(CALLS) == set(structure.OPERATIONS)


@pytest.mark.parametrize("operation", CALLS)
def test_client_makes_documented_call(operation: str) -> None:
    """Its answer is read in the documented form."""
    described = structure.OPERATIONS[operation]

    for request in requests_of(operation):
        assert (request.body is not None) == ("body" in described)


@pytest.mark.parametrize("operation", CALLS)
def test_query_parameters_are_sent_or_listed_as_unused(operation: str) -> None:
    documented = {
        name: structure.Kind.of(notation)
        for name, notation in structure.OPERATIONS[operation].get("query", {}).items()
    }
    sent: dict[str, list[str]] = {}
    for request in requests_of(operation):
        for name, value in parse_qsl(urlsplit(request.url).query):
            sent.setdefault(name, []).append(value)

    unused = UNUSED.get(operation, {})
    assert sent.keys() | unused.keys() == documented.keys()
    assert not sent.keys() & unused.keys()
    for name, values in sent.items():
        if documented[name].name == "int32":
            assert all(0 <= int(value) <= (documented[name].most or 2**31 - 1) for value in values)


def test_log_queries_stay_within_documented_throttle() -> None:
    requests, seconds = structure.OPERATIONS["get-omni-failover-message-logs"]["throttle"]

    assert requests / seconds > SLOTS_PER_MINUTE / 60
