"""Each switch of the page sets the simulator, and is read from it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local_world.infobip_simulator.clock import Clock
from tests.local_world.infobip_simulator.errors import as_json
from tests.local_world.infobip_simulator.faults import Faults
from tests.local_world.infobip_simulator.state import Settings
from tests.local_world.page import switches
from tests.local_world.page.switches import BEHAVIOURS, CUSTOM, OUTAGE, SWITCHES

Json = dict[str, Any]


class Simulator:
    """The simulator's own settings and faults, without its server."""

    def __init__(self) -> None:
        self.settings = as_json(Settings())
        self.faults = Faults(Clock())

    def set(self, name: str, *, on: bool, seconds: float = 0) -> Json:
        change = switches.change(name, self.active(), on=on, seconds=seconds)
        self.settings |= change.settings
        for fault_id in change.ended:
            self.faults.delete(fault_id)
        if change.added is not None:
            self.faults.add(change.added)
        return self.shown()

    def active(self) -> list[Json]:
        found: list[Json] = self.faults.as_json()["faults"]
        return found

    def shown(self) -> Json:
        state: Json = switches.state_of(self.settings, self.active())["switches"]
        return state


@pytest.mark.parametrize("name", [name for name in SWITCHES if name != OUTAGE])
def test_switch_is_read_as_it_was_set(name: str) -> None:
    """The others stay off, and setting one twice needs to be undone only once."""
    simulator = Simulator()
    off = simulator.shown()

    simulator.set(name, on=True)
    assert simulator.set(name, on=True) == off | {name: True}
    assert len(simulator.active()) <= 1
    assert simulator.set(name, on=False) == off


def test_outage_lasts_for_its_seconds() -> None:
    simulator = Simulator()

    assert simulator.set(OUTAGE, on=True, seconds=30)[OUTAGE] == pytest.approx(30, abs=1)
    assert simulator.set(OUTAGE, on=True, seconds=5)[OUTAGE] == pytest.approx(5, abs=1)
    assert simulator.set(OUTAGE, on=False)[OUTAGE] == 0


def test_outage_without_end_is_told_from_none() -> None:
    simulator = Simulator()
    simulator.faults.add({"kind": "reset_before", "times": 0})

    assert simulator.shown()[OUTAGE] is None


def test_fault_of_one_message_is_no_switch() -> None:
    simulator = Simulator()
    simulator.faults.add(
        {"operation": "send_advanced", "kind": "rate_limit", "messageIds": ["m-1"]}
    )

    assert simulator.shown()["rate-limit"] is False


def test_times_of_simulator_are_shown() -> None:
    state = switches.state_of(as_json(Settings()), [])

    assert (state["validitySeconds"], state["stepSeconds"]) == (60, 0.2)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_behaviour_of_phone_is_read_as_it_was_set(behaviour: str) -> None:
    assert switches.behaviour_of(dict(BEHAVIOURS[behaviour])) == behaviour


def test_other_rule_is_custom() -> None:
    assert switches.behaviour_of({"SMS": "silent"}) == CUSTOM
