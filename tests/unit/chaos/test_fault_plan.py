"""A fault plan contains every fault, assigns each to a run, and takes back unfired ones."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest

from tests.chaos.fault_plan import FaultPlan
from tests.chaos.faults import CRASH_POINTS, KILL, PULL, SEND, Fault
from tests.chaos.times import DIVISOR, Deployment
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.template import read_template

MESSAGES = 100
AFTER_POST = Fault(KILL, "after post")
AFTER_PAGE = Fault(KILL, "after page")


def plan(seed: int = 1) -> FaultPlan:
    """Return the plan of a small run."""
    return FaultPlan(seed, MESSAGES, Deployment.of(read_template()).divided(DIVISOR))


def choices(planned: FaultPlan, function: str) -> list[tuple[Fault, ...]]:
    """Return the faults of many runs, all of which fire."""
    return [faults for _ in range(1000) for faults in planned.choose(function, MESSAGES)]


@pytest.mark.parametrize("function", CRASH_POINTS)
def test_every_crash_point_is_planned(function: str) -> None:
    """At each crash point of a function, some run is killed."""
    kills = {faults[-1].point for faults in choices(plan(), function) if faults[-1].kind == KILL}
    assert kills == set(CRASH_POINTS[function])


def test_seed_determines_the_plan() -> None:
    assert choices(plan(1), SEND) == choices(plan(1), SEND) != choices(plan(2), SEND)


def test_faults_put_first_go_to_the_next_runs() -> None:
    """Each of the function's next runs gets exactly one of them."""
    planned = plan()
    planned.prioritize([(SEND, AFTER_POST), (PULL, AFTER_PAGE), (SEND, AFTER_POST)])
    assert [planned.choose(SEND, 0) for _ in range(2)] == [[(AFTER_POST,)]] * 2
    assert planned.has_prioritized
    assert planned.choose(PULL, 0) == [(AFTER_PAGE,)]
    assert not planned.has_prioritized


def test_unfired_fault_put_first_stays_first() -> None:
    """If a run does not reach the fault, the next run gets it."""
    planned = plan()
    planned.prioritize([(SEND, AFTER_POST)])
    chosen = planned.choose(SEND, 0)
    planned.replan_unfired(SEND, chosen, fired=set())
    assert planned.choose(SEND, 0) == chosen
    planned.replan_unfired(SEND, chosen, fired={AFTER_POST})
    assert not planned.has_prioritized


def test_cleared_faults_do_not_come_back() -> None:
    """An unfired fault that is given back later is dropped."""
    planned = plan()
    planned.prioritize([(SEND, AFTER_POST), (SEND, AFTER_POST)])
    chosen = planned.take_prioritized(SEND)
    assert chosen == [(AFTER_POST,)]
    planned.clear_prioritized()
    planned.replan_unfired(SEND, chosen, fired=set())
    assert planned.take_prioritized(SEND) == []


def test_unfired_fault_is_planned_again() -> None:
    """A fault that a run did not reach is given to a later run."""
    planned = plan()
    everything = choices(planned, PULL)
    assert not choices(planned, PULL)
    planned.replan_unfired(PULL, everything, fired={AFTER_PAGE})
    again = {faults[-1].name for faults in choices(planned, PULL)}
    assert again == {faults[-1].name for faults in everything} - {AFTER_PAGE.name}


def test_search_for_a_rare_point_drops_unfired_kills_at_points_already_reached() -> None:
    """Of several kills in a run, only the first fires, so the rare one would hardly ever."""
    planned, simulator = plan(), create_autospec(SimulatorControl)
    rare = Fault(KILL, "after proof")
    everything = choices(planned, PULL)
    planned.replan_unfired(PULL, everything, fired=set())
    planned.steer(simulator, {f"{PULL}: {rare.name}"})
    kills = {faults for faults in choices(planned, PULL) if faults[-1].kind == KILL}
    assert {faults for faults in kills if len(faults) == 1} == {(rare,)}


def test_settings_change_as_messages_are_queued() -> None:
    """The changes come once each, in order of their shares, the last after all messages."""
    planned = plan()
    early = list(planned.setting_changes_due(MESSAGES // 2))
    late = list(planned.setting_changes_due(MESSAGES))
    shares = [change.at for change in early + late]
    assert shares == sorted(shares)
    assert early[-1].at <= 0.5 < late[0].at
    assert late[-1].at == 1
    assert not list(planned.setting_changes_due(MESSAGES))
