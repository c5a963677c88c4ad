"""Requests are checked before anything is called, and errors quote no address."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.local_world.page.feed import Feed
from tests.local_world.page.routes import application
from tests.local_world.page.sources import problem_of
from tests.local_world.simulator_control import SimulatorControl
from tests.unit.local_world.worlds import world_with

from .entries import entry, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

PHONE = "385915550001"
RUNNING = {"endedAt": None, "content": {"text": "Hello"}}


def gone(name: str) -> ClientError:
    return ClientError({"Error": {"Code": "QueueDoesNotExist", "Message": PHONE}}, name)


class Aws:
    """Lambda and SQS, which answer as a test wants it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.answer: dict[str, Any] = {}
        self.invoked: list[str] = []

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: ARG002, N803 (Lambda's)
        if self.error is not None:
            raise self.error
        self.invoked.append(FunctionName)
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in self.answer else {}
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **failed}

    def send_message(self, **_: object) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"MessageId": "record-1"}


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the answers of the simulator by method and path, and take its calls."""
    answers: dict[str, Any] = {"calls": [], "GET requests": {"requests": []}}

    def call(_: object, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        answers["calls"].append((method, path, body))
        answer = answers.get(f"{method} {path.partition('?')[0]}", {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(SimulatorControl, "_call", call)
    return answers


@pytest.fixture(scope="module")
def served() -> tuple[FlaskClient, Aws]:
    names = ("CreateScenarioFunction", "FindMessagesFunction", "RedriveMessagesFunction")
    world = world_with(
        outputs={"ScenarioParameterPrefix": "/s/", "SendQueueUrl": "http://127.0.0.1:1/queue"},
        resources={name: name for name in names},
    )
    aws = Aws()
    vars(world).update(functions=aws, sqs=SimpleNamespace(send_message=aws.send_message))
    feed = Feed()
    with feed.changing() as board:
        board.put_simulated([entry("m-1"), entry("a/b//c")])
    return application(world, feed, 1, "token").test_client(), aws


@pytest.fixture
def aws(served: tuple[FlaskClient, Aws]) -> Iterator[Aws]:
    yield served[1]
    served[1].__init__()  # type: ignore[misc]  # as it was at the start


@pytest.fixture
def client(served: tuple[FlaskClient, Aws]) -> FlaskClient:
    return served[0]


def get(client: FlaskClient, path: str) -> Any:  # noqa: ANN401 (a response)
    return client.get(path, headers={"Host": "127.0.0.1:1"})


def post(client: FlaskClient, path: str, body: object) -> Any:  # noqa: ANN401 (a response)
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"Host": "127.0.0.1:1", "X-Page-Token": "token", "Content-Type": "application/json"}
    return client.post(path, headers=headers, data=data)


def test_page_holds_token(client: FlaskClient) -> None:
    assert 'name="page-token" content="token"' in get(client, "/").text
    with get(client, "/static/page.css") as style:
        assert style.mimetype == "text/css"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/api/check", "{", "the body is not JSON, from line 1, column 2 on: a name in double"),
        ("/api/check", b'{"a": "\xff"}', "the body is not UTF-8: byte 8 is invalid"),
        ("/api/check", [], "the body must be a JSON object"),
        ("/api/check", {"text": 1}, "text must be a string"),
        ("/api/send", {"text": ""}, "text must not be empty"),
        ("/api/send", {"text": "\ud800"}, "text must be text that UTF-8 can hold"),
        (f"/api/phones/{PHONE}", {}, "behaviour must be a string"),
        (f"/api/phones/{PHONE}", {"behaviour": "x"}, "behaviour must be one of normal, push-off"),
        ("/api/infobip", {"switch": "x", "on": True}, "switch must be one of rate-limit"),
        ("/api/infobip", {"switch": "outage", "on": 1}, "on must be true or false"),
        ("/api/infobip", {"switch": "outage", "on": True}, "seconds must be a number"),
        (
            "/api/infobip",
            {"switch": "outage", "on": True, "seconds": 0},
            "seconds must be more than 0, up to 3600",
        ),
        (
            "/api/infobip",
            {"switch": "outage", "on": True, "seconds": 10**400},
            "seconds must be a number",
        ),
        ("/api/schedules", {"every": "day"}, "every must be one of minute, 2-seconds"),
    ],
)
def test_broken_rule_is_answered_in_sentence(
    client: FlaskClient, path: str, body: object, error: str
) -> None:
    answer = post(client, path, body)

    assert answer.status_code == 400
    assert answer.json["error"].startswith(error)
    assert PHONE not in answer.text


def test_wait_needs_no_token(client: FlaskClient, aws: Aws) -> None:
    aws.answer = {"message": {"state": "DELIVERED", "channel": "SMS"}}
    query = "messageId=m-1&state=DELIVERED&channel=SMS"

    assert get(client, f"/api/wait?{query}").json == aws.answer
    assert get(client, "/api/wait?messageId=m-1").json["field"] == "state"


def test_record_is_queued_unchanged_with_ids_that_it_holds(client: FlaskClient, aws: Aws) -> None:
    text = '{"to": {"phoneNumber": "1"}, "destinations": 1}'

    assert post(client, "/api/send", {"text": text}).json == {
        "recordId": "record-1",
        "messageIds": ["record-1-0"],
    }
    assert aws.error is None


def test_text_that_sqs_refuses_is_refused_with_its_rule(client: FlaskClient, aws: Aws) -> None:
    aws.error = ClientError({"Error": {"Code": "InvalidMessageContents"}}, "SendMessage")

    answer = post(client, "/api/send", {"text": "\x00"})

    assert answer.status_code == 400
    assert "the body has a character that SQS does not accept" in answer.json["error"]


def test_only_functions_of_operators_can_be_invoked(client: FlaskClient, aws: Aws) -> None:
    answer = post(client, "/api/functions/send_message", {})

    assert answer.status_code == 404
    assert answer.json["error"].startswith("the function must be one of create_scenario")
    assert aws.invoked == []


def test_function_that_fails_says_why_itself(client: FlaskClient, aws: Aws) -> None:
    aws.answer = {"errorMessage": "action: must be one of list, redrive"}

    answer = post(client, "/api/functions/redrive_messages", {})

    assert (answer.status_code, answer.json) == (422, {"error": aws.answer["errorMessage"]})
    assert aws.invoked == ["RedriveMessagesFunction:live"]


def test_function_that_is_not_deployed_is_named(client: FlaskClient, aws: Aws) -> None:
    answer = post(client, "/api/functions/reconcile_messages", {})

    assert answer.status_code == 503
    assert answer.json["error"].startswith("reconcile_messages is not deployed")
    assert aws.invoked == []


def test_phone_shows_steps_that_have_something_to_show(
    client: FlaskClient, simulator: dict[str, Any]
) -> None:
    empty, full = step("PUSH", content=None), step(content={"text": "Hello"})
    simulator["GET messages"] = {"messages": [entry("m-1", empty, full)], "truncated": False}
    simulator[f"GET recipients/{PHONE}"] = {"*": "silent"}

    answer = get(client, f"/api/phones/{PHONE}").json

    assert (answer["phone"], answer["behaviour"], answer["more"]) == (PHONE, "unreachable", False)
    assert answer["messages"][0]["steps"] == [full]


def test_id_may_hold_any_character(client: FlaskClient, simulator: dict[str, Any]) -> None:
    simulator["GET messages"] = {"messages": [], "truncated": False}

    assert get(client, "/api/messages/a%2Fb%2F%2Fc").json["id"] == "a/b//c"
    assert post(client, "/api/messages/a%2Fb%2F%2Fc/open", {}).status_code == 200
    assert ("POST", "seen", {"messageId": "a/b//c"}) in simulator["calls"]


def test_message_is_shown_while_its_function_fails(
    client: FlaskClient, simulator: dict[str, Any], aws: Aws
) -> None:
    simulator["GET messages"] = {"messages": [entry("m-1")], "truncated": False}
    aws.error = gone("Invoke")

    answer = get(client, "/api/messages/m-1").json

    assert (answer["simulated"]["messageId"], answer["found"]) == ("m-1", None)


def test_time_of_running_step_ends(client: FlaskClient, simulator: dict[str, Any]) -> None:
    """Infobip's clock is advanced by what is left of it, whatever the time is elsewhere."""
    running = step(endedAt=None, expiresAt="2999-01-31T12:01:00.000+0000")
    simulator["POST clock"] = {"now": "2999-01-31T12:00:30.000+0000"}
    simulator["GET messages"] = {"messages": [entry("m-1", step(), running)], "truncated": False}

    assert post(client, "/api/messages/m-1/end-step", {}).status_code == 200

    method, path, body = simulator["calls"][-1]
    assert (method, path) == ("POST", "clock")
    assert body["advanceSeconds"] == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize(("refusal", "status"), [(404, 200), (500, 503)])
def test_outage_that_is_just_over_can_be_ended(
    client: FlaskClient, simulator: dict[str, Any], refusal: int, status: int
) -> None:
    fault = {"id": "7", "operation": "*", "kind": "reset_before", "messageIds": []}
    simulator["GET faults"] = {"faults": [fault | {"secondsLeft": 0.1}]}
    simulator["GET settings"] = {
        "logLagSeconds": 0,
        "refuseAll": "",
        "stepSeconds": 1,
        "defaultValiditySeconds": 60,
    }
    response = requests.Response()
    response.status_code = refusal
    simulator["DELETE faults/7"] = requests.HTTPError(response=response)

    answer = post(client, "/api/infobip", {"switch": "outage", "on": False})

    assert answer.status_code == status


def test_step_that_has_ended_cannot_be_ended(
    client: FlaskClient, simulator: dict[str, Any]
) -> None:
    for entries in ([], [entry("m-1")], [entry("m-1", step(endedAt=None, expiresAt=None))]):
        simulator["GET messages"] = {"messages": entries, "truncated": False}

        answer = post(client, "/api/messages/m-1/end-step", {})

        assert answer.status_code == 409
        assert answer.json == {"error": "no step of this message is running"}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (gone("SendMessage"), "the stack, or a part of it, was deleted: stop `make local`, and"),
        (
            EndpointConnectionError(endpoint_url=PHONE),
            "the AWS emulator does not answer: stop `make local`, and start it again",
        ),
        (
            requests.ConnectionError(f"/_control/recipients/{PHONE}"),
            "Infobip's simulator does not answer: stop `make local`, and start it again",
        ),
    ],
)
def test_world_that_does_not_answer_is_sentence(
    client: FlaskClient, aws: Aws, error: Exception, sentence: str
) -> None:
    aws.error = error

    answer = post(client, "/api/send", {"text": "{}"})

    assert answer.status_code == 503
    assert answer.json["error"].startswith(sentence)
    assert problem_of(error) == answer.json["error"]
    assert PHONE not in answer.text
