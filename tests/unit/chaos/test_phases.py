"""A run goes through its phases in order, and a phase can end it early."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.chaos import phases
from tests.chaos.phases import Phase, run_phases
from tests.progress import Progress

if TYPE_CHECKING:
    from tests.chaos.system import System


@pytest.fixture(autouse=True)
def _poll_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "_GOAL_CHECK_SECONDS", 0.0)


def system_logging_to(log: list[str]) -> System:
    """Return a system that logs its steps."""
    system = SimpleNamespace(
        step=lambda: log.append("step"),
        options=SimpleNamespace(messages=100),
        upstream=SimpleNamespace(queued=3),
        cloud=SimpleNamespace(records_left=lambda: 2),
        points_left=lambda: ["send: kill: after post"],
    )
    return cast("System", system)


class LinesIn(io.StringIO):
    """A file that adds its lines to a log."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def write(self, text: str, /) -> int:
        self.log.append(text)
        return len(text)


def progress_in(log: list[str]) -> Progress:
    """Return a progress whose lines are added to a log."""
    return Progress(LinesIn(log))


def phase(log: list[str], name: str, steps: int) -> Phase:
    """Return a phase that ends after this many steps, and logs what it does."""
    return Phase(
        name,
        goal=lambda: log.count(name) == steps,
        on_start=lambda: log.append(f"{name} starts"),
        on_step=lambda: log.append(name),
        on_end=lambda: log.append(f"{name} ends"),
    )


def test_phases_run_in_order() -> None:
    """Each phase starts, steps until it reaches its goal, and ends before the next one starts."""
    log: list[str] = []
    lasted = run_phases(
        [phase(log, "load", 2), phase(log, "drain", 1)],
        system_logging_to(log),
        progress_in(log),
    )
    assert log == [
        "load starts",
        "load: 3 of 100 messages queued, 2 records left, 1 crash points to reach, phase 1 of 2\n",
        *("load", "step", "load", "step"),
        "load ends",
        *("drain starts", "drain", "step", "drain ends"),
    ]
    assert list(lasted) == ["load", "drain"]


def test_phase_ends_at_its_bound() -> None:
    """A phase that misses its goal ends when its time is over."""
    log: list[str] = []
    run_phases([Phase("outage", time_limit=0.0)], system_logging_to(log), progress_in(log))
    assert not log


def test_phase_can_end_the_run() -> None:
    """Its own end still runs, and no phase follows."""
    log: list[str] = []
    last = Phase(
        "load",
        goal=lambda: True,
        ends_run=lambda: True,
        on_end=lambda: log.append("load ends"),
    )
    lasted = run_phases([last, phase(log, "drain", 1)], system_logging_to(log), progress_in(log))
    assert log == ["load ends"]
    assert list(lasted) == ["load"]
