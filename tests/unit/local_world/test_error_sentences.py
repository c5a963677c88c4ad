"""Errors of the tools are sentences of ours that say what to do."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from docker.errors import DockerException

from tests.local_world import __main__ as tool
from tests.local_world import commands, demo
from tests.local_world.aws_emulator import ROOT
from tests.local_world.running import RefusedError, RunningWorld
from tests.local_world.world import FunctionFailedError, wait_until

from .worlds import world_with

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def world(*functions: str, answer: object = None) -> RunningWorld:
    """Return a local world in which functions are deployed that all return one answer."""
    found = world_with(resources={name: name for name in functions})
    payload = json.dumps(answer).encode()
    invoke = SimpleNamespace(invoke=lambda **_: {"Payload": io.BytesIO(payload)})
    vars(found)["functions"] = invoke
    return found


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as error:
        call()
    return str(error.value)


def test_unknown_function_is_answered_with_those_that_exist() -> None:
    text = refused(lambda: commands.invoke(world(), "nosuch", ""))

    assert re.fullmatch(r"FUNCTION must be one of (\w+, ){8}\w+, not 'nosuch'", text)


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        ("receive_delivery_report", "DeliveryReportWebhook=enabled"),
        ("publish_outcomes", "OutcomeEventBusName=outcomes"),
    ],
)
def test_function_that_is_not_deployed_is_answered_with_its_parameter(
    function: str, parameter: str
) -> None:
    text = refused(lambda: commands.invoke(world(), function, ""))

    assert text == f"{function} is not deployed: start `make local PARAMETERS={parameter}`"


def test_missing_event_file_is_answered_with_the_two_forms_of_an_event() -> None:
    text = refused(lambda: commands.read_object("nofile.json", "EVENT"))

    assert text == (
        "nofile.json cannot be read: No such file or directory; "
        "EVENT must be a JSON object or the path of a file that holds one"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{'a': 1}", "a name in double quotes is missing"),
        ('{"a" 1}', "a colon is missing"),
        ('{"a": 1 "b": 2}', "a comma is missing"),
        ('{"a": }', "a value is missing"),
        ('{"a": "x}', "the string has no end"),
        ('{"a": "x\ny"}', "a control character must be escaped"),
        ("{} {}", "nothing may follow the value"),
    ],
)
def test_event_that_is_not_json_is_answered_with_its_place_and_what_is_wrong(
    text: str, said: str
) -> None:
    answer = refused(lambda: commands.read_object(text, "EVENT"))

    assert re.fullmatch(rf"EVENT is not JSON, from line [12], column \d+ on: {said}", answer)


@pytest.mark.parametrize(
    ("attribute", "named"),
    [({"dataType": 1}, "reason"), ({"dataType": "String", "stringValue": 1}, "reason")],
)
def test_record_attribute_that_is_not_text_is_named(attribute: object, named: str) -> None:
    """Otherwise botocore refuses it, as if the emulator did not answer."""
    record = {"body": "{}", "messageAttributes": {named: attribute}}

    text = refused(lambda: list(commands.records({"Records": [record]})))

    assert text == f"Records[0].messageAttributes.{named} of EVENT must hold strings"


def test_message_that_is_not_in_the_table_may_be_dead_lettered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_SECONDS_TO_WAIT", -1)
    empty = world("FindMessagesFunction", answer={"found": False})

    assert not commands.find(empty, "it's", "DELIVERED")

    assert capsys.readouterr().err == (
        "it's is not in the table: look for its record with"
        " `make dead-letter-queue MESSAGE='it'\"'\"'s'`\n"
    )


def test_message_in_another_state_is_answered_with_both_states(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_SECONDS_TO_WAIT", -1)
    failed = world("FindMessagesFunction", answer={"message": {"state": "EXPIRED"}})

    assert not commands.find(failed, "m-1", "DELIVERED")

    assert capsys.readouterr().err == "m-1 is EXPIRED, not DELIVERED\n"


def test_missing_event_bus_is_answered_with_its_parameter() -> None:
    assert refused(lambda: commands.outcome_events(world(), "")) == (
        "no outcome events are published: "
        "start `make local PARAMETERS=OutcomeEventBusName=outcomes`"
    )


def envelope(**validation_errors: list[str]) -> dict[str, Any]:
    return {"requestError": {"serviceException": {"validationErrors": validation_errors}}}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, envelope(kind=["must be one of a, b"]), "refused POST faults: kind must be one of"),
        (400, envelope(a=["x", "y"], b=["z"]), "refused POST faults: a x, y; b z"),
        (404, envelope(), "has nothing at faults: `.venv/bin/python -m"),
        (405, envelope(), "does not accept POST at faults: `.venv/bin/python -m"),
        (413, envelope(), "refused POST faults: HTTP status 413"),
    ],
)
def test_refusal_of_the_simulator_is_a_sentence(
    status: int, answer: dict[str, Any], said: str
) -> None:
    """Not the JSON that Infobip would answer."""
    text = commands.simulator_refusal("POST", "faults", status, answer)

    assert text.startswith(f"the simulator {said}")
    assert "requestError" not in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ClientError({"Error": {"Code": "InvalidParameterValue"}}, "SendMessage"),
            "the AWS emulator refused SendMessage with InvalidParameterValue: an event must",
        ),
        (
            ClientError({"Error": {"Code": "Other"}}, "Invoke"),
            "the AWS emulator refused Invoke with Other: check the values that you gave",
        ),
        (DockerException("x"), "the container engine refused a request or stopped: check it with"),
        (
            EndpointConnectionError(endpoint_url="x"),
            "the local world does not answer: check whether `make local` is still running",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x/.local"),
            "/x/.local cannot be used: Permission denied",
        ),
    ],
)
def test_error_of_a_library_becomes_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(tool, "running_world", fail)
    monkeypatch.setattr(sys, "argv", ["local_world", "find"])

    with pytest.raises(SystemExit) as ended:
        tool.main()

    assert str(ended.value.code).startswith(said)
    assert type(error).__name__ not in str(ended.value.code)


class Failing:
    """A local world that does not start."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> Self:
        raise self._error

    def __exit__(self, *_: object) -> None:
        raise AssertionError


class Starting:
    """A local world that starts, and does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


FAILURES = [
    (RuntimeError("sam build failed:\nx"), "sam build failed:\nx"),
    (FunctionFailedError("f", {"errorMessage": "x"}), "f: x"),
    (TimeoutError("timed out"), "timed out. Is this machine busy? Then run `make demo` again."),
]


@pytest.mark.parametrize(("error", "said"), FAILURES)
@pytest.mark.parametrize("starts", [True, False])
def test_demo_that_fails_ends_with_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, *, starts: bool
) -> None:
    """Both while it starts and while it runs."""

    def fail(*_: object) -> bool:
        raise error

    monkeypatch.setattr(demo, "World", lambda **_: Starting() if starts else Failing(error))
    monkeypatch.setattr(demo, "run", fail)

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert ended.value.code == said


def test_timeout_names_the_condition() -> None:
    with pytest.raises(TimeoutError) as error:
        wait_until(lambda: False, -1, "the queue is empty")

    assert str(error.value) == "timed out after -1 s, waiting until the queue is empty"


def test_every_target_of_make_runs_a_command_that_exists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = set(re.findall(r"call IN_WORLD,([a-z-]+)", (ROOT / "Makefile").read_text()))
    monkeypatch.setattr(sys, "argv", ["local_world", "--help"])
    with pytest.raises(SystemExit):
        tool.main()
    known = re.search(r"\{([a-z,-]+)\}", capsys.readouterr().out)

    assert known is not None
    assert called == set(known[1].split(",")) - {"up"}
