"""The protocol keeps its promises in every order of events, and needs each of its conditions."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from typing import Literal

import pytest

from tests.protocol import model
from tests.protocol.model import ENVIRONMENTS, GUARDS, Environment, Guards, explore

BY_NAME = {environment.name: environment for environment in ENVIRONMENTS}
#: By guard: an environment in which it is needed, and the promise that breaks without it.
CONTROLS = {
    "claim_only_absent": ("calm", "at most once"),
    "claim_only_waiting": ("never-duplicate", "at most once"),
    "lease_out_becomes_unknown": ("never-duplicate", "at most once"),
    "take_over_as_met": ("calm", "at most once"),
    "own_claim_recognised": ("calm", "needless quarantine"),
    "post_within_lease": ("must-arrive", "at most once"),
    "unclear_answer_is_unknown": ("never-duplicate", "at most once"),
    "outcome_needs_token": ("calm", "at most once"),
    "outcome_needs_claimed": ("never-duplicate, one sender", "proof ignored"),
    "duplicate_id_is_no_proof": ("never-duplicate, id in use", "wrongly accepted"),
    "acknowledge_only_with_verdict": ("never-duplicate", "no verdict"),
    "dead_letter_before_acknowledging": ("never-duplicate", "no verdict"),
    "reconcile_as_read": ("must-arrive, overlapping runs", "at most once"),
    "ask_before_sending_again": ("must-arrive", "at most once"),
    "three_answers_needed": ("must-arrive", "at most once"),
    "failed_questions_do_not_count": ("must-arrive", "at most once"),
    "send_again_only_if_must_arrive": ("never-duplicate", "at most once"),
    "log_row_needs_recipient": ("never-duplicate, id used twice", "wrongly accepted"),
    "foreign_row_is_absence": ("never-duplicate, id used twice", "dead end"),
    "report_overrides_unproven": ("never-duplicate", "proof ignored"),
    "prove_as_read": ("calm", "delivery undone"),
    "prove_until_it_stands": ("never-duplicate", "proof ignored"),
}
MUST_ARRIVE = replace(BY_NAME["must-arrive"], senders=1, kills=0)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment.name)
def test_no_order_of_events_breaks_a_promise(environment: Environment) -> None:
    """Whatever is killed, lost, late or done twice, one message is sent, and gets its verdict."""
    found = explore(environment)

    assert not found.broken, "\n".join(found.trace)
    assert found.states > 40


def test_every_guard_has_a_control() -> None:
    """No condition of the protocol is in the model without a test that shows what it is for."""
    assert [*CONTROLS] == [guard.name for guard in fields(Guards)]


@pytest.mark.parametrize("guard", CONTROLS)
def test_without_any_one_guard_a_promise_breaks(guard: str) -> None:
    """Each condition is needed: without it, the search finds events that break a promise."""
    environment, promise = CONTROLS[guard]

    found = explore(BY_NAME[environment], replace(GUARDS, **{guard: False}), promise)

    assert found.broken == promise
    assert found.trace


def test_must_arrive_may_send_twice_if_the_logs_lag_too_far_behind() -> None:
    """A limit: what Infobip has taken, but hides from three log queries, must-arrive sends again.

    Only an Infobip that refuses repeated ids keeps the recipient from getting it twice then.
    """
    found = explore(replace(MUST_ARRIVE, logs_lag_is_bounded=False), promise="at most once")

    assert found.broken
    assert sum("posts" in event for event in found.trace) == 2


def test_must_arrive_sends_once_if_repeats_are_refused() -> None:
    """Where Infobip refuses repeated ids, must-arrive does not depend on its logs."""
    environment = replace(MUST_ARRIVE, logs_lag_is_bounded=False, refuses_duplicates=True)

    assert not explore(environment, promise="at most once").broken


@pytest.mark.parametrize("foreign", ["listed", "forgotten"])
def test_must_arrive_is_not_fooled_by_an_id_of_somebody_else(
    foreign: Literal["listed", "forgotten"],
) -> None:
    """That the id is refused twice is no proof either: only a row for the recipient is one."""
    environment = replace(MUST_ARRIVE, refuses_duplicates=True, foreign=foreign)

    assert not explore(environment).broken


def test_shortest_way_to_a_broken_promise_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line lists the events that lead to a broken promise, one a line."""
    monkeypatch.setattr(sys, "argv", ["model", "--without", "outcome_needs_token"])

    assert model.main() == 1

    environment, *events = capsys.readouterr().out.splitlines()
    assert environment.startswith("calm: ")
    assert environment.endswith("broken: at most once")
    assert events[0].split() == ["1", "sender", "1", "claims", "the", "message"]
    assert events[-1].startswith(f"{len(events):4} Infobip answers")
