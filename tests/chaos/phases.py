"""The phases of a run: load, outage, the search for rare crash points, drain.

The run of a mutant repeats load and drain until its promise is broken: first with the faults alone
that need the guard which it lacks, then with all faults.
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

    from .system import System

#: How much of the messages is queued when the outage begins.
_OUTAGE_AT = 0.4
#: Seconds between two looks at whether a phase has reached its goal.
_LOOK_SECONDS = 0.5
#: Seconds between two attempts to reach rare crash points.
_STEER_SECONDS = 1.5
_PROGRESS_SECONDS = 10.0
DRAIN = "drain"
#: How often a mutant is given new messages and faults at most.
_ROUNDS = 8
#: Seconds that the two phases of a round last at most.
_ROUND_LOAD_SECONDS, _ROUND_DRAIN_SECONDS = 30.0, 45.0


def _nothing() -> None:
    """Do nothing."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run."""

    name: str
    #: Whether it has done what it is for; looked at now and then.
    goal: Callable[[], bool] = _never
    #: Whether the whole run need not go on; looked at as often.
    ends_run: Callable[[], bool] = _never
    #: Seconds after which it ends anyway.
    bound: float = math.inf
    on_start: Callable[[], None] = _nothing
    on_step: Callable[[], None] = _nothing
    on_end: Callable[[], None] = _nothing


class Timer:
    """Tells when an interval has passed; the first time, it has.

    Args:
        seconds: The interval.
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
        """Let the interval begin now."""
        self._next = time.monotonic() + self._seconds


def go_through(
    phases: Sequence[Phase], system: System, say: Callable[[str], None]
) -> dict[str, float]:
    """Let a system run through phases, and report on its progress.

    Args:
        phases: What the run consists of.
        system: What runs.
        say: Takes a line now and then.

    Returns:
        How long each phase has lasted, in seconds, by its name.
    """
    lasted: dict[str, float] = {}
    progress = Timer(_PROGRESS_SECONDS)
    for phase in phases:
        begun = time.monotonic()
        phase.on_start()
        run_goes_on = _go_through_one(phase, system, progress, say)
        phase.on_end()
        lasted[phase.name] = time.monotonic() - begun
        if not run_goes_on:
            break
    return lasted


def _go_through_one(
    phase: Phase, system: System, progress: Timer, say: Callable[[str], None]
) -> bool:
    """Return whether the run is to go on with the next phase."""
    ends_at = time.monotonic() + phase.bound
    look = Timer(_LOOK_SECONDS)
    while time.monotonic() < ends_at:
        if look.is_due():
            is_over = phase.goal()
            if phase.ends_run():
                return False
            if is_over:
                break
            look.restart()
        if progress.is_due():
            say(f"{phase.name}: {_progress(system)}")
        phase.on_step()
        system.step()
    return True


def _progress(system: System) -> str:
    return (
        f"{system.upstream.queued} messages queued, {system.cloud.records_left()} records left,"
        f" {len(system.points_left())} crash points to come"
    )


def phases_of(system: System) -> list[Phase]:
    """List the phases of the run that a system's options ask for."""
    return mutant_phases(system) if system.options.mutant else sound_phases(system)


# --- The sound system ------------------------------------------------------------------------


def sound_phases(system: System) -> list[Phase]:
    """List the phases that the sound system must stand."""
    messages = system.options.messages
    return [
        _load(system, "load", math.ceil(_OUTAGE_AT * messages), on_start=system.begin_faults),
        *(_outage(system) if system.options.outage else ()),
        _load(system, "load after the outage", messages),
        _cover_rare_points(system),
        _drain(system, bound=90.0 + messages / 50),
    ]


def _load(
    system: System,
    name: str,
    messages: int,
    on_start: Callable[[], None] = _nothing,
) -> Phase:
    """Queue messages until there are so many, as fast as the senders take them."""
    return Phase(
        name,
        goal=lambda: system.upstream.queued >= messages,
        on_start=on_start,
        on_step=lambda: _feed_until(system, messages),
        on_end=lambda: _change_settings(system),
    )


def _feed_until(system: System, messages: int) -> None:
    """Queue events when the senders have nothing to do, until there are so many messages."""
    _change_settings(system)
    if system.platform.queue_was_empty and system.upstream.queued < messages:
        system.platform.queue_was_empty = False
        system.upstream.feed()


def _change_settings(system: System) -> None:
    """Let Infobip behave otherwise when it is time to."""
    for change in system.plan.setting_changes_due(system.upstream.queued):
        if change.settings:
            system.simulator.change_settings(**change.settings | system.mutant.settings)
        if change.burst and system.platform.injects_faults:
            kind, calls = change.burst
            system.simulator.add_fault("send_advanced", kind, times=calls)


def _outage(system: System) -> Iterator[Phase]:
    """Let Infobip fail for a while, then fail worse; senders are loaded all the same."""
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
        system.functions.seen.fired[f"Infobip: outage of {options.outage / 60:g} minutes"] += 1

    half = options.outage / options.divisor / 2
    load = partial(_feed_until, system, options.messages)
    yield Phase(
        "outage of reports and logs",
        bound=half,
        on_start=lambda: fail("take_reports", "search_logs"),
        on_step=load,
    )
    yield Phase(
        "outage of everything",
        bound=half,
        on_start=lambda: fail("send_advanced"),
        on_step=load,
        on_end=recover,
    )


def _cover_rare_points(system: System) -> Phase:
    """Go on until runs were killed at all crash points, also at those that few runs come to."""
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
        bound=system.options.patience,
        on_step=step,
    )


def _drain(
    system: System,
    bound: float,
    name: str = DRAIN,
    ends_run: Callable[[], bool] = _never,
) -> Phase:
    """Wait until nothing is left to be done, and nothing fails any more."""
    return Phase(
        name, goal=system.is_drained, bound=bound, on_start=system.end_faults, ends_run=ends_run
    )


# --- Mutants ---------------------------------------------------------------------------------


def mutant_phases(system: System) -> list[Phase]:
    """List the phases in which a mutant is to be found out; the run ends as soon as it is."""
    return [phase for number in range(1, _ROUNDS + 1) for phase in _round(system, number)]


def _round(system: System, number: int) -> tuple[Phase, Phase]:
    """Load a mutant with as many messages once more, under further faults, and drain.

    In the first round only its own faults fire, so that little is left to be mended.
    """

    def is_found_out() -> bool:
        broken = {violation.promise for violation in final_violations(system.history())}
        return system.mutant.promise in broken

    messages = number * system.options.messages
    begin = system.begin_own_faults if number == 1 else system.begin_faults
    load = replace(
        _load(system, f"load {number}", messages, on_start=begin),
        goal=lambda: system.upstream.queued >= messages and not system.plan.has_first,
        bound=_ROUND_LOAD_SECONDS,
        ends_run=is_found_out,
    )
    drain = _drain(system, _ROUND_DRAIN_SECONDS, f"{DRAIN} {number}", is_found_out)
    return load, drain
