"""The phases of a run: load, outage, the search for rare crash points, drain.

The run of a mutant repeats load and drain until its promise is broken. In the first round, only the
faults fire that need the missing guard; then all faults do.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from .checks import final_violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.progress import Progress

    from .system import System

#: The share of the messages that is queued when the outage begins.
_OUTAGE_AT = 0.4
#: Seconds between two checks of whether a phase has reached its goal.
_GOAL_CHECK_SECONDS = 0.5
#: Seconds between two attempts to reach rare crash points.
_STEER_SECONDS = 1.5
DRAIN = "drain"
#: The maximum number of rounds of a mutant's run.
_ROUNDS = 8
#: The time limits of the two phases of a round, in seconds.
_ROUND_LOAD_SECONDS, _ROUND_DRAIN_SECONDS = 30.0, 45.0


def _nothing() -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run."""

    name: str
    #: Whether the phase has reached its goal; checked from time to time.
    goal: Callable[[], bool] = _never
    #: Whether the whole run may end; checked as often.
    ends_run: Callable[[], bool] = _never
    #: Seconds after which the phase ends even if it has not reached its goal.
    time_limit: float = math.inf
    on_start: Callable[[], None] = _nothing
    on_step: Callable[[], None] = _nothing
    on_end: Callable[[], None] = _nothing


class Timer:
    """A repeating interval, which is due immediately at first.

    Args:
        seconds: The length of the interval.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether the interval has passed; if so, the next one begins."""
        if time.monotonic() < self._next:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Begin the interval now."""
        self._next = time.monotonic() + self._seconds


def run_phases(phases: Sequence[Phase], system: System, progress: Progress) -> dict[str, float]:
    """Run a system through phases.

    Args:
        phases: The phases of the run, in order.
        system: The running system.
        progress: Shows the messages queued and the work left, phase by phase.

    Returns:
        The duration of each phase in seconds, by its name.
    """
    durations: dict[str, float] = {}
    for number, phase in enumerate(phases, 1):
        started_at = time.monotonic()
        place = f"phase {number} of {len(phases)}"
        with progress.count(phase.name, "messages queued", system.options.messages):
            phase.on_start()
            continues = _run_phase(phase, system, progress, place)
            phase.on_end()
        durations[phase.name] = time.monotonic() - started_at
        if not continues:
            break
    return durations


def _run_phase(phase: Phase, system: System, progress: Progress, place: str) -> bool:
    """Return whether the run continues with the next phase."""
    ends_at = time.monotonic() + phase.time_limit
    check = Timer(_GOAL_CHECK_SECONDS)
    while time.monotonic() < ends_at:
        if check.is_due():
            is_over = phase.goal()
            if phase.ends_run():
                return False
            if is_over:
                break
            check.restart()
        if progress.is_due():
            progress.update(system.upstream.queued, f"{_work_left(system)}, {place}")
        phase.on_step()
        system.step()
    return True


def _work_left(system: System) -> str:
    return (
        f"{system.cloud.records_left()} records left,"
        f" {len(system.points_left())} crash points to reach"
    )


def phases_of(system: System) -> list[Phase]:
    """Return the phases of a run, by the options of the system."""
    return mutant_phases(system) if system.options.mutant else original_phases(system)


# --- The original system ---------------------------------------------------------------------


def original_phases(system: System) -> list[Phase]:
    """Return the phases that the original system must pass."""
    messages = system.options.messages
    return [
        _load(system, "load", math.ceil(_OUTAGE_AT * messages), on_start=system.begin_faults),
        *(_outage(system) if system.options.outage else ()),
        _load(system, "load after the outage", messages),
        _cover_rare_points(system),
        _drain(system, time_limit=90.0 + messages / 50),
    ]


def _load(
    system: System,
    name: str,
    messages: int,
    on_start: Callable[[], None] = _nothing,
) -> Phase:
    """Queue messages until `messages` are queued, as fast as the senders receive them."""
    return Phase(
        name,
        goal=lambda: system.upstream.queued >= messages,
        on_start=on_start,
        on_step=lambda: _feed_until(system, messages),
        on_end=lambda: _change_settings(system),
    )


def _feed_until(system: System, messages: int) -> None:
    """Queue events whenever the send queue is empty, until `messages` messages are queued."""
    _change_settings(system)
    if system.platform.queue_was_empty and system.upstream.queued < messages:
        system.platform.queue_was_empty = False
        system.upstream.feed()


def _change_settings(system: System) -> None:
    """Apply the setting changes that are due."""
    for change in system.plan.setting_changes_due(system.upstream.queued):
        if change.settings:
            system.simulator.change_settings(**change.settings | system.mutant.settings)
        if change.burst and system.platform.injects_faults:
            kind, calls = change.burst
            system.simulator.add_fault("send_advanced", kind, times=calls)


def _outage(system: System) -> Iterator[Phase]:
    """Infobip fails in part, then as a whole, then the credit is used up, all under load."""
    options = system.options
    faults: list[str] = []

    def fail(*operations: str) -> None:
        faults.extend(
            system.simulator.add_fault(operation, "error_before", times=0, status=503)
            for operation in operations
        )

    def recover() -> None:
        for fault in faults:
            system.simulator.end_fault(fault)
        system.functions.observed.fired[f"Infobip: outage of {options.outage / 60:g} minutes"] += 1

    half = options.outage / options.divisor / 2
    load = partial(_feed_until, system, options.messages)
    yield Phase(
        "outage of reports and logs",
        time_limit=half,
        on_start=lambda: fail("take_reports", "search_logs"),
        on_step=load,
    )
    yield Phase(
        "outage of everything",
        time_limit=half,
        on_start=lambda: fail("send_advanced"),
        on_step=load,
        on_end=recover,
    )
    yield Phase(
        "out of credit",
        time_limit=half,
        on_start=lambda: _refuse_all(system, "REJECTED_NOT_ENOUGH_CREDITS"),
        on_step=load,
        on_end=lambda: _refuse_all(system, ""),
    )


def _refuse_all(system: System, status: str) -> None:
    """Have Infobip refuse every message by a status; an empty one ends that."""
    system.simulator.change_settings(refuseAll=status)
    if status:
        system.functions.observed.fired[f"Infobip: every message refused by {status}"] += 1


def _cover_rare_points(system: System) -> Phase:
    """Continue until runs were killed at all crash points, including those that few runs reach."""
    steering, feeding = Timer(_STEER_SECONDS), Timer(_STEER_SECONDS)

    def step() -> None:
        if steering.is_due():
            system.plan.steer(system.simulator, system.points_left())
        if system.platform.queue_was_empty and feeding.is_due():
            system.platform.queue_was_empty = False
            system.upstream.feed()
            system.upstream.feed_foreign()

    return Phase(
        "cover rare points",
        goal=lambda: not system.points_left(),
        time_limit=system.options.coverage_seconds,
        on_step=step,
    )


def _drain(
    system: System,
    time_limit: float,
    name: str = DRAIN,
    ends_run: Callable[[], bool] = _never,
) -> Phase:
    """Wait without faults until no work is left."""
    return Phase(
        name,
        goal=system.is_drained,
        ends_run=ends_run,
        time_limit=time_limit,
        on_start=system.end_faults,
    )


# --- Mutants ---------------------------------------------------------------------------------


def mutant_phases(system: System) -> list[Phase]:
    """Return the phases in which a mutant must be detected; the run ends as soon as it is."""
    return [phase for number in range(1, _ROUNDS + 1) for phase in _round(system, number)]


def _round(system: System, number: int) -> tuple[Phase, Phase]:
    """Queue as many messages as in the round before, under new faults, and drain.

    In the first round, only the faults fire that need the missing guard, so little has to recover.
    """

    def is_detected() -> bool:
        broken = {violation.promise for violation in final_violations(system.history())}
        return system.mutant.promise in broken

    messages = number * system.options.messages
    begin = system.begin_own_faults if number == 1 else system.begin_faults
    load = replace(
        _load(system, f"load {number}", messages, on_start=begin),
        goal=lambda: system.upstream.queued >= messages and not system.plan.has_prioritized,
        time_limit=_ROUND_LOAD_SECONDS,
        ends_run=is_detected,
    )
    drain = _drain(system, _ROUND_DRAIN_SECONDS, f"{DRAIN} {number}", is_detected)
    return load, drain
