"""The fuzzer counts its cases, and finds what a parser must not do."""

from __future__ import annotations

import json

import pytest

from infobip_omni.events.send_message import SendEvent
from tests.fuzz import __main__ as fuzz
from tests.fuzz.hostile import HOSTILE, variants
from tests.fuzz.storage import StrictTable
from tests.fuzz.strategies import bodies
from tests.fuzz.sweeps import SWEEPS
from tests.fuzz.targets import ENVELOPES, NOW, SENDS, TARGETS, Target, parse_send

# `make fuzz` runs the same, and more of it.
pytestmark = pytest.mark.thorough

BODY = {"messageId": "m-1", "status": {"groupId": 1}, "list": [1, 2]}


def read_status(body: bytes) -> None:
    """Raise what a parser must not raise: TypeError, LookupError or AttributeError."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return
    parsed["status"]["groupId"].bit_length()


@pytest.mark.parametrize("name", TARGETS)
def test_no_target_has_an_unexpected_error_in_few_cases(name: str) -> None:
    outcome = fuzz.fuzz(TARGETS[name], 1, lambda done: done < 4, 4)

    assert (outcome.cases, outcome.errors) == (4, [])


@pytest.mark.parametrize("event", [*SENDS, *ENVELOPES], ids=range(4))
def test_examples_of_events_are_valid(event: object) -> None:
    """Otherwise few of their mutations would get far."""
    parse_send(json.dumps(event))

    assert SendEvent.parse(json.dumps(event), "record-1", NOW).messages


def test_error_that_is_not_a_parsers_own_is_found_and_shown_with_its_case() -> None:
    outcome = fuzz.fuzz(Target(bodies(BODY), read_status), 1, lambda done: done < 300, 300)

    assert 0 < outcome.cases <= 300
    assert outcome.errors
    assert all("Error: " in error and "case=b" in error for error in outcome.errors)


@pytest.mark.parametrize("broken", [False, True])
def test_run_fails_if_there_is_an_unexpected_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, broken: bool
) -> None:
    target = Target(bodies(BODY), read_status if broken else len)
    monkeypatch.setattr(fuzz, "TARGETS", {"parser": target})
    monkeypatch.setattr(fuzz, "SWEEPS", {})

    assert fuzz.main(["--cases=50"]) == int(broken)

    *_, last = capsys.readouterr().out.splitlines()
    assert last.endswith("unexpected errors: in total")
    assert (" 0 unexpected" in last) == (not broken)


@pytest.mark.parametrize("budget", ["--cases=0", "--minutes=-1", "--minutes=nan", "--cases=many"])
def test_budget_must_be_positive(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fuzz.main([budget])

    assert "positive number" in capsys.readouterr().err


def test_variants_change_every_member_in_every_way() -> None:
    changes = {
        (variant.path, variant.change): variant.body for variant in variants(BODY, (), HOSTILE)
    }

    assert json.loads(changes[("messageId",), "absent"]) == {
        "status": {"groupId": 1},
        "list": [1, 2],
    }
    assert json.loads(changes[("status", "groupId"), "null"])["status"] == {"groupId": None}
    assert json.loads(changes[("status", "new"), "zero"])["status"] == {"groupId": 1, "new": 0}
    assert json.loads(changes[("list", 1), "absent"])["list"] == [1]
    doubled = changes[("messageId",), "doubled, zero first"]
    assert doubled.startswith(b'{"messageId": 0, "messageId": "m-1"')
    assert b'"\xff"' in changes[("messageId",), "not UTF-8"]


def test_sweep_finds_decision_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = SWEEPS["answer to send"]
    monkeypatch.setattr(sweep, "needed", frozenset({"status"}))

    found = [sweep.problem(each) for each in sweep.variants({"null": "null", "text": '"m"'})]

    (problem,) = filter(None, found)
    assert problem.startswith("messages.1.messageId: text: ")


@pytest.mark.parametrize(
    "item",
    [
        {"messageId": "", "entry": "e"},
        {"messageId": "m", "entry": "e" * 1025},
        {"messageId": "m\ud83d", "entry": "e"},
        {"messageId": "m", "entry": "e", "to": {"phoneNumber": "\ud83d"}},
        {"messageId": "m", "entry": "e", "report": "\u0161" * 205_000},
    ],
)
def test_strict_table_refuses_what_dynamodb_refuses(item: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (of several kinds)
        StrictTable().put_all([item])
