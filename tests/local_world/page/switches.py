"""The page's switches for trouble, as rules, faults and settings of Infobip's simulator.

Everything here is pure. The simulator holds the state, so the page agrees with `make simulator`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = dict[str, Any]

#: The rule for a recipient by the behaviour of the phone.
BEHAVIOURS: Mapping[str, Mapping[str, str | float]] = {
    "normal": {},
    "push-off": {"PUSH": "UNDELIVERABLE_NO_DESTINATION"},
    "no-app": {"PUSH": "REJECTED_NO_APPLICATION"},
    "unreachable": {"*": "silent"},
    "slow": {"stepSeconds": 5},
    "opens-late": {"opensAfterSeconds": 5},
}
#: For rules that the page has not set.
CUSTOM = "custom"
OUTAGE = "outage"
#: The switches that are faults, which last until they are switched off.
_FAULTS: Mapping[str, Mapping[str, object]] = {
    "rate-limit": {"operation": "send_advanced", "kind": "rate_limit"},
    "server-error": {"operation": "send_advanced", "kind": "error_before", "status": 500},
    "lost-answers": {"operation": "send_advanced", "kind": "reset_after"},
    "cut-reports": {"operation": "take_reports", "kind": "cut_answer"},
    OUTAGE: {"operation": "*", "kind": "reset_before"},
}
#: The switches that are settings: the name, and the values for on and off.
_SETTINGS: Mapping[str, tuple[str, object, object]] = {
    "log-lag": ("logLagSeconds", 60, 0),
    "no-credit": ("refuseAll", "REJECTED_NOT_ENOUGH_CREDITS", ""),
}
SWITCHES = (*_FAULTS, *_SETTINGS)


@dataclass(frozen=True, slots=True)
class Change:
    """What has to change at the simulator."""

    settings: Json = field(default_factory=dict)
    ended: tuple[str, ...] = ()  #: the ids of faults
    added: Json | None = None  #: a fault


def behaviour_of(rule: Mapping[str, object]) -> str:
    """Return the behaviour of a phone with this rule."""
    return next((name for name, known in BEHAVIOURS.items() if known == rule), CUSTOM)


def state_of(settings: Json, faults: Sequence[Json]) -> Json:
    """Return the state of all switches.

    Args:
        settings: Of the simulator.
        faults: Its active faults.

    Returns:
        `switches`, where an outage is the number of seconds that it still lasts: 0 if there is
        none, None if it lasts until it is ended; `validitySeconds` and `stepSeconds`.
    """
    switches: Json = {name: bool(_matching(name, faults)) for name in _FAULTS}
    switches |= {name: bool(settings[member]) for name, (member, _, _) in _SETTINGS.items()}
    left = [fault["secondsLeft"] for fault in _matching(OUTAGE, faults)]
    switches[OUTAGE] = None if None in left else max(left, default=0)
    return {
        "switches": switches,
        "validitySeconds": settings["defaultValiditySeconds"],
        "stepSeconds": settings["stepSeconds"],
    }


def change(name: str, faults: Sequence[Json], *, on: bool, seconds: float) -> Change:
    """Decide what has to change to set a switch.

    Args:
        name: Of the switch.
        faults: The active faults.
        on: Whether it is set on or off.
        seconds: How long an outage lasts.
    """
    if name in _SETTINGS:
        member, value, otherwise = _SETTINGS[name]
        return Change(settings={member: value if on else otherwise})
    active = tuple(str(fault["id"]) for fault in _matching(name, faults))
    if not on:
        return Change(ended=active)
    if name == OUTAGE:
        return Change(ended=active, added={**_FAULTS[name], "times": 0, "lastsSeconds": seconds})
    return Change(added=None if active else {**_FAULTS[name], "times": 0})


def _matching(name: str, faults: Sequence[Json]) -> list[Json]:
    return [
        fault
        for fault in faults
        if not fault["messageIds"]
        and all(fault[member] == value for member, value in _FAULTS[name].items())
    ]
