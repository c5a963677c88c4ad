"""What has to change so that Infobip and the registry hold a scenario as it is described.

Everything here is pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from infobip_omni.events.create_scenario import Outcome
from infobip_omni.scenario_registry import FRESH_SECONDS, UNCERTAIN_SECONDS, RegisteredScenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infobip_omni.api.scenarios import Scenario, ScenarioDefinition, ScenarioStep

#: The most differences that are named of one scenario.
MOST_DIFFERENCES = 20


class RegistryWrite(Enum):
    """How the registry has to change."""

    NOTHING = auto()
    ADD = auto()  #: unless another run has added an entry first
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class LiveScenario:
    """A scenario that exists at Infobip, with its key."""

    key: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that bring Infobip and the registry in line with a description."""

    outcome: Outcome
    #: The entry that the registry needs; None until Infobip has assigned a key.
    entry: RegisteredScenario | None
    #: Whether Infobip's scenario has to be updated to match the entry. For a scenario that has yet
    #: to be created, this is decided after its creation.
    update: bool
    write: RegistryWrite
    #: The registered entry that has to be marked as updating before Infobip's flow is updated.
    announced: RegisteredScenario | None = None
    #: How long senders may go on to use the entry that is replaced.
    seconds_until_read: float = 0.0


def make_plan(
    wanted: ScenarioDefinition, registered: RegisteredScenario | None, live: LiveScenario | None
) -> Plan:
    """Decide what has to change.

    Args:
        wanted: The description.
        registered: The entry that the registry holds under the scenario's name.
        live: Infobip's scenario: the registered one, otherwise one of that name.
    """
    # An entry may still hold a key that Infobip no longer knows.
    write = RegistryWrite.ADD if registered is None else RegistryWrite.REPLACE
    until_read = 0.0 if registered is None else FRESH_SECONDS
    if live is None:
        return Plan(Outcome.CREATED, None, update=False, write=write, seconds_until_read=until_read)
    # The registry alone is no proof: a run may have been killed between the two updates.
    entry, update = described(wanted, live)
    if registered is None or registered.key != live.key:
        return Plan(Outcome.ADOPTED, entry, update, write, seconds_until_read=until_read)
    if entry != registered:
        replaces_flow = entry.flow not in (registered.flow, live.scenario.flow)
        if replaces_flow or registered.updating:
            until_read = UNCERTAIN_SECONDS
        elif entry.flow == registered.flow:
            until_read = 0.0
        announced = registered if replaces_flow else None
        return Plan(Outcome.UPDATED, entry, update, write, announced, until_read)
    outcome = Outcome.UPDATED if update else Outcome.UNCHANGED
    return Plan(outcome, entry, update, RegistryWrite.NOTHING)


def described(wanted: ScenarioDefinition, live: LiveScenario) -> tuple[RegisteredScenario, bool]:
    """Return the entry for Infobip's scenario, and whether that scenario has to be updated."""
    current = live.scenario
    default = current.default if wanted.default is None else wanted.default
    entry = RegisteredScenario(key=live.key, name=wanted.name, flow=wanted.flow, default=default)
    return entry, (current.flow, current.default) != (entry.flow, entry.default)


def named(wanted: ScenarioDefinition, listed: Sequence[Scenario]) -> LiveScenario | None:
    """Find a scenario of exactly that name; prefer one that already has the wanted flow."""
    found = [
        LiveScenario(scenario.key, scenario)
        for scenario in listed
        if scenario.name == wanted.name and scenario.key
    ]
    return min(found, key=lambda live: live.scenario.flow != wanted.flow, default=None)


# --- Differences -----------------------------------------------------------------------------

Json = dict[str, Any]


def differences(
    wanted: ScenarioDefinition, registered: RegisteredScenario | None, live: LiveScenario | None
) -> list[Json]:
    """Compare a description with Infobip and with the registry.

    Args:
        wanted: The description.
        registered: The entry that the registry holds under the scenario's name.
        live: Infobip's scenario: the registered one, otherwise one of that name.

    Returns:
        Each member that differs: `member`, like ``flow[1].from``; `wanted`, the value of the
        description, unless it has none; and `infobip`, `registry` or both, where the value
        differs. A value is None where it is missing. At most `MOST_DIFFERENCES` are returned.
    """
    key = live.key if live else None
    registered_key = registered.key if registered else None
    found: list[Json] = []
    if key is None or registered_key is None or key != registered_key:
        found.append({"member": "key", "infobip": key, "registry": registered_key})
    sides = {
        "infobip": live.scenario if live else None,
        "registry": registered,
    }
    there = {name: side for name, side in sides.items() if side is not None}
    flags = {name: side.default for name, side in there.items()}
    if wanted.default is None:
        if len(set(flags.values())) > 1:
            found.append({"member": "default", **flags})
    else:
        found += _difference("default", wanted.default, flags)
    if registered is not None and registered.updating:
        found.append({"member": "updating", "registry": True})
    flows = {name: side.flow for name, side in there.items()}
    return list(islice(chain(found, _flow_differences(wanted.flow, flows)), MOST_DIFFERENCES))


def _flow_differences(
    wanted: tuple[ScenarioStep, ...], flows: dict[str, tuple[ScenarioStep, ...]]
) -> Iterator[Json]:
    # Infobip's flow is empty where it holds a step that this version cannot read.
    unread = {name: None for name, flow in flows.items() if not flow}
    if unread:
        yield {"member": "flow", **unread}
    read = {name: flow for name, flow in flows.items() if flow}
    for position in range(max([len(wanted), *map(len, read.values())])):
        step = f"flow[{position}]"
        at_place = {name: _step(flow, position) for name, flow in read.items()}
        ours = _step(wanted, position)
        for member in ("channel", "from"):
            values = {name: each.get(member) for name, each in at_place.items()}
            yield from _difference(f"{step}.{member}", ours.get(member), values)


def _step(flow: tuple[ScenarioStep, ...], position: int) -> Json:
    return flow[position].model_dump(mode="json") if position < len(flow) else {}


def _difference(member: str, wanted: object, values: dict[str, Any]) -> list[Json]:
    others = {name: value for name, value in values.items() if value != wanted}
    return [{"member": member, "wanted": wanted, **others}] if others else []
