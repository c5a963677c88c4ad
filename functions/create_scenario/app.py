"""Ensures that a scenario exists at Infobip as described, and registers it under its name.

It can be invoked again at any time: after a crash, a lost answer or a lost race it finds the
existing scenario and updates it to match the description.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from infobip_omni.api.errors import OmniError, OutcomeUnknownError, RequestRejectedError
from infobip_omni.events.create_scenario import Outcome, parse
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.infobip_client import open_client
from infobip_omni.observability import logger, observed
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import (
    RegisteredScenario,
    ScenarioRegistry,
    UnregistrableScenarioError,
)
from infobip_omni.settings import CreateScenarioSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient
    from infobip_omni.api.scenarios import Scenario, ScenarioDefinition

#: Seconds to wait before each search for a scenario whose creation was not answered.
_WAITS_BEFORE_LOOKING = (0.0, 1.0, 3.0)


class RegistryWrite(Enum):
    """How the registry has to change."""

    NOTHING = auto()
    ADD = auto()  #: unless another run has added an entry first
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    client: OmniClient
    registry: ScenarioRegistry


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


@dataclass(frozen=True, slots=True)
class Registration:
    """A scenario that exists at Infobip and in the registry."""

    entry: RegisteredScenario
    parameter: str  #: the name of the SSM parameter that holds the entry
    outcome: Outcome

    def answer(self) -> dict[str, Any]:
        """Return the function's answer, as JSON."""
        described = self.entry.model_dump(mode="json", by_alias=True, exclude_none=True)
        return described | {"parameter": self.parameter, "outcome": self.outcome.value}


def create_scenario(
    wanted: ScenarioDefinition, deps: Dependencies, sleep: Callable[[float], None] = time.sleep
) -> Registration:
    """Create, adopt or update a scenario, so that Infobip and the registry hold it as *wanted*.

    Args:
        wanted: The description of the scenario.
        deps: Infobip and the registry.
        sleep: Waits for a number of seconds.

    Raises:
        UnregistrableScenarioError: The registry cannot hold it, or holds another name with the
            same slug.
        OmniError: Infobip did not confirm it. Invoking again does not create a second scenario.
        ParameterUnavailableError: SSM did not confirm it. Invoking again is safe here too.
    """
    deps.registry.check(wanted)
    parameter = deps.registry.parameter(wanted.name)
    while True:
        registered = deps.registry.current(wanted.name)
        plan = make_plan(wanted, registered, _live(wanted, registered, deps.client))
        entry = _carry_out(plan, wanted, deps, sleep)
        if entry is not None:
            return Registration(entry, parameter, plan.outcome)
        # Another run was faster, so the scenario that it registered is updated as *wanted*.


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
    if live is None:
        return Plan(Outcome.CREATED, None, update=False, write=write)
    # The registry alone is no proof: a run may have been killed between the two updates.
    entry, update = _described(wanted, live)
    if registered is None or registered.key != live.key:
        return Plan(Outcome.ADOPTED, entry, update, write)
    if entry != registered:
        return Plan(Outcome.UPDATED, entry, update, write)
    outcome = Outcome.UPDATED if update else Outcome.UNCHANGED
    return Plan(outcome, entry, update, RegistryWrite.NOTHING)


def _live(
    wanted: ScenarioDefinition, registered: RegisteredScenario | None, client: OmniClient
) -> LiveScenario | None:
    """Read the registered scenario from Infobip, otherwise one of its name."""
    if registered is not None:
        scenario = _get(client, registered.key)
        if scenario is not None:
            return LiveScenario(registered.key, scenario)
    return _listed(wanted, client)


def _carry_out(
    plan: Plan, wanted: ScenarioDefinition, deps: Dependencies, sleep: Callable[[float], None]
) -> RegisteredScenario | None:
    """Carry out a plan: at Infobip first, then in the registry.

    Returns:
        The entry that the registry holds now; None if another run has registered a different one.
    """
    entry, update = plan.entry, plan.update
    if entry is None:
        entry, update = _described(wanted, _create(wanted, deps.client, sleep))
    if update:
        # An update replaces the whole scenario, so it has to repeat what does not change.
        deps.client.update_scenario(entry.key, entry.definition())
    if plan.write is RegistryWrite.REPLACE:
        deps.registry.replace(entry)
    elif plan.write is RegistryWrite.ADD:
        winner = deps.registry.register(entry)
        if winner.key != entry.key and plan.outcome is Outcome.CREATED:
            # Infobip's API has no call to delete it.
            logger.warning("a scenario is orphaned", key=entry.key, registered_key=winner.key)
        if winner != entry:
            return None
    return entry


def _create(
    wanted: ScenarioDefinition, client: OmniClient, sleep: Callable[[float], None]
) -> LiveScenario:
    """Create the scenario; look for its key in the list where the answer lacks it."""
    unanswered: OutcomeUnknownError | None = None
    try:
        created = client.create_scenario(wanted)
        if created.key:
            # The scenario is as requested, even if the answer omits parts of it.
            default = created.default if wanted.default is None else wanted.default
            as_requested = {"flow": wanted.flow, "default": default}
            return LiveScenario(created.key, created.model_copy(update=as_requested))
    except OutcomeUnknownError as error:
        unanswered = error
    for wait in _WAITS_BEFORE_LOOKING:
        sleep(wait)
        try:
            live = _listed(wanted, client)
        except (OmniError, ParameterUnavailableError) as error:
            logger.warning("scenarios cannot be listed", reason=str(error))
            continue
        if live is not None:
            return live
    raise OutcomeUnknownError(
        "Infobip did not say whether it has created the scenario, and does not list it yet; "
        "invoke again in a few minutes"
    ) from unanswered


def _listed(wanted: ScenarioDefinition, client: OmniClient) -> LiveScenario | None:
    """Find a scenario of exactly that name; prefer one that already has the wanted flow."""
    named = [
        LiveScenario(scenario.key, scenario)
        for scenario in client.list_scenarios()
        if scenario.name == wanted.name and scenario.key
    ]
    return min(named, key=lambda live: live.scenario.flow != wanted.flow, default=None)


def _get(client: OmniClient, key: str) -> Scenario | None:
    try:
        return client.get_scenario(key)
    except RequestRejectedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _described(wanted: ScenarioDefinition, live: LiveScenario) -> tuple[RegisteredScenario, bool]:
    """Return the entry for Infobip's scenario, and whether that scenario has to be updated."""
    current = live.scenario
    default = current.default if wanted.default is None else wanted.default
    entry = RegisteredScenario(key=live.key, name=wanted.name, flow=wanted.flow, default=default)
    return entry, (current.flow, current.default) != (entry.flow, entry.default)


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = CreateScenarioSettings.from_environment()
    return Dependencies(
        client=open_client(settings),
        registry=ScenarioRegistry(settings.scenario_parameter_prefix),
    )


@observed
def lambda_handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Return the registered scenario, its SSM parameter, and what had to be done."""
    wanted = parse(event)
    try:
        registration = create_scenario(wanted, dependencies())
    except UnregistrableScenarioError as error:
        raise InvalidEventError(error.member, error.rule) from None
    logger.info(
        "scenario registered",
        key=registration.entry.key,
        parameter=registration.parameter,
        outcome=registration.outcome,
    )
    return registration.answer()
