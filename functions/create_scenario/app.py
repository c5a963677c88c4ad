"""Makes sure that a scenario exists at Infobip as described, and registers it under its name.

May be invoked again at any time: after a crash, a lost answer or a lost race it finds what is
there already, and brings it up to the description.
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

#: Pauses before each look for a scenario whose creation was not answered, in seconds.
_WAITS_BEFORE_LOOKING = (0.0, 1.0, 3.0)


class RegistryWrite(Enum):
    """What is to be written into the registry."""

    NOTHING = auto()
    ADD = auto()  #: unless somebody else is faster
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    client: OmniClient
    registry: ScenarioRegistry


@dataclass(frozen=True, slots=True)
class LiveScenario:
    """A scenario that Infobip has, and its key."""

    key: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, so that Infobip and the registry have a scenario as it is described."""

    outcome: Outcome
    #: What the registry is to hold; none while Infobip has yet to give a key.
    entry: RegisteredScenario | None
    #: Whether Infobip's scenario has to follow the entry; what is created is looked at then.
    update: bool
    write: RegistryWrite


@dataclass(frozen=True, slots=True)
class Registration:
    """A scenario that Infobip and the registry have."""

    entry: RegisteredScenario
    parameter: str  #: the SSM parameter that holds the entry
    outcome: Outcome

    def answer(self) -> dict[str, Any]:
        """Write it for whoever invoked the function."""
        described = self.entry.model_dump(mode="json", by_alias=True, exclude_none=True)
        return described | {"parameter": self.parameter, "outcome": self.outcome.value}


def create_scenario(
    wanted: ScenarioDefinition, deps: Dependencies, sleep: Callable[[float], None] = time.sleep
) -> Registration:
    """Create, adopt or update a scenario, so that Infobip and the registry have it as *wanted*.

    Raises:
        UnregistrableScenarioError: The registry cannot take it, or has another name under its
            slug.
        OmniError: Infobip did not do it, or did not say so. Invoking again makes no second one.
        ParameterUnavailableError: SSM did not do it. The same holds.
    """
    deps.registry.check(wanted)
    parameter = deps.registry.parameter(wanted.name)
    while True:
        registered = deps.registry.current(wanted.name)
        plan = make_plan(wanted, registered, _live(wanted, registered, deps.client))
        entry = _carry_out(plan, wanted, deps, sleep)
        if entry is not None:
            return Registration(entry, parameter, plan.outcome)
        # Somebody else was faster; what they have registered now gets what we were asked for.


def make_plan(
    wanted: ScenarioDefinition, registered: RegisteredScenario | None, live: LiveScenario | None
) -> Plan:
    """Decide what is to be done.

    Args:
        wanted: The description.
        registered: What the registry holds under its name.
        live: What Infobip has: the registered scenario, else one of that name.
    """
    # An entry may be left under a key that Infobip does not know any more.
    write = RegistryWrite.ADD if registered is None else RegistryWrite.REPLACE
    if live is None:
        return Plan(Outcome.CREATED, None, update=False, write=write)
    # The registry alone does not tell: a run may have died between the two updates.
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
    """Read the registered scenario from Infobip, or else one of its name."""
    if registered is not None:
        scenario = _get(client, registered.key)
        if scenario is not None:
            return LiveScenario(registered.key, scenario)
    return _listed(wanted, client)


def _carry_out(
    plan: Plan, wanted: ScenarioDefinition, deps: Dependencies, sleep: Callable[[float], None]
) -> RegisteredScenario | None:
    """Take the steps of a plan: at Infobip first, then in the registry.

    Returns:
        What the registry holds now; None if somebody else has registered another in the meantime.
    """
    entry, update = plan.entry, plan.update
    if entry is None:
        entry, update = _described(wanted, _create(wanted, deps.client, sleep))
    if update:
        # An update replaces the whole scenario, so what was not asked for is said as well.
        deps.client.update_scenario(entry.key, entry.definition())
    if plan.write is RegistryWrite.REPLACE:
        deps.registry.replace(entry)
    elif plan.write is RegistryWrite.ADD:
        winner = deps.registry.register(entry)
        if winner.key != entry.key and plan.outcome is Outcome.CREATED:
            # Infobip's interface cannot delete it.
            logger.warning("a scenario is orphaned", key=entry.key, registered_key=winner.key)
        if winner != entry:
            return None
    return entry


def _create(
    wanted: ScenarioDefinition, client: OmniClient, sleep: Callable[[float], None]
) -> LiveScenario:
    """Create the scenario; where the answer does not tell its key, the list does."""
    unanswered: OutcomeUnknownError | None = None
    try:
        created = client.create_scenario(wanted)
        if created.key:
            # It is as it was asked for, whatever the answer leaves out.
            default = created.default if wanted.default is None else wanted.default
            as_asked = {"flow": wanted.flow, "default": default}
            return LiveScenario(created.key, created.model_copy(update=as_asked))
    except OutcomeUnknownError as error:
        unanswered = error
    for wait in _WAITS_BEFORE_LOOKING:
        sleep(wait)
        try:
            live = _listed(wanted, client)
        except (OmniError, ParameterUnavailableError) as error:
            logger.warning("the scenario cannot be looked for", reason=str(error))
            continue
        if live is not None:
            return live
    raise OutcomeUnknownError(
        "Infobip did not say whether it has created the scenario, and does not list it yet; "
        "invoke again in a few minutes"
    ) from unanswered


def _listed(wanted: ScenarioDefinition, client: OmniClient) -> LiveScenario | None:
    """Find a scenario of exactly that name; of several rather one that has the wanted flow."""
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
    """Return the entry of a scenario that Infobip has, and whether Infobip's has to follow it."""
    has = live.scenario
    default = has.default if wanted.default is None else wanted.default
    entry = RegisteredScenario(key=live.key, name=wanted.name, flow=wanted.flow, default=default)
    return entry, (has.flow, has.default) != (entry.flow, entry.default)


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = CreateScenarioSettings.from_environment()
    return Dependencies(
        client=open_client(settings),
        registry=ScenarioRegistry(settings.scenario_parameter_prefix),
    )


@observed
def lambda_handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Answer with the registered scenario, its parameter and what it took."""
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
