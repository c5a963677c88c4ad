"""Makes sure that a scenario exists at Infobip as described, and registers it under its name.

May be invoked again at any time: after a crash, a lost answer or a lost race it finds what is
there already, and brings it up to the description.
"""

from __future__ import annotations

import functools
import time
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from infobip_omni.api.errors import OmniError, OutcomeUnknownError, RequestRejectedError
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition
from infobip_omni.events import InvalidEventError
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

#: Pauses before each look for a scenario whose creation was not answered, in seconds.
_PAUSES_BEFORE_LOOKING = (0.0, 1.0, 3.0)


class Outcome(StrEnum):
    """What it took."""

    CREATED = "CREATED"
    ADOPTED = "ADOPTED"  #: Infobip had it already, the registry did not
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


def create_scenario(
    wanted: ScenarioDefinition,
    client: OmniClient,
    registry: ScenarioRegistry,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[RegisteredScenario, Outcome]:
    """Create, adopt or update a scenario, so that Infobip and the registry have it as *wanted*.

    Raises:
        UnregistrableScenarioError: The registry cannot take it, or has another name under its
            slug.
        OmniError: Infobip did not do it, or did not say so. Invoking again makes no second one.
        ParameterUnavailableError: SSM did not do it. The same holds.
    """
    registry.check(wanted)
    registered = registry.current(wanted.name)
    if registered is not None:
        live = _get(client, registered.key)
        if live is not None:
            return _bring_up_to_date(wanted, registered, live, client, registry)
    entry, outcome = _adopt_or_create(wanted, client, sleep)
    if registered is not None:  # under a key that Infobip does not know any more
        registry.replace(entry)
        return entry, outcome
    winner = registry.register(entry)
    if winner == entry:
        return entry, outcome
    if winner.key != entry.key and outcome is Outcome.CREATED:
        # Infobip's interface cannot delete it.
        logger.warning("a scenario is orphaned", key=entry.key, registered_key=winner.key)
    # Somebody else was faster; what they have registered now gets what we were asked for.
    return create_scenario(wanted, client, registry, sleep)


def _bring_up_to_date(
    wanted: ScenarioDefinition,
    registered: RegisteredScenario,
    live: Scenario,
    client: OmniClient,
    registry: ScenarioRegistry,
) -> tuple[RegisteredScenario, Outcome]:
    entry = _entry(wanted, registered.key, live)
    # The registry alone does not tell: a run may have died between the two updates.
    if entry == registered and _is_as_described(live, entry):
        return entry, Outcome.UNCHANGED
    _align(live, entry, client)
    if entry != registered:
        registry.replace(entry)
    return entry, Outcome.UPDATED


def _adopt_or_create(
    wanted: ScenarioDefinition, client: OmniClient, sleep: Callable[[float], None]
) -> tuple[RegisteredScenario, Outcome]:
    adopted = _adopt(wanted, client)
    if adopted is not None:
        return adopted, Outcome.ADOPTED
    return _create(wanted, client, sleep), Outcome.CREATED


def _create(
    wanted: ScenarioDefinition, client: OmniClient, sleep: Callable[[float], None]
) -> RegisteredScenario:
    """Create the scenario; where the answer does not tell its key, the list does."""
    unanswered: OutcomeUnknownError | None = None
    try:
        created = client.create_scenario(wanted)
        if created.key:
            return _entry(wanted, created.key, created)
    except OutcomeUnknownError as error:
        unanswered = error
    for pause in _PAUSES_BEFORE_LOOKING:
        sleep(pause)
        try:
            adopted = _adopt(wanted, client)
        except (OmniError, ParameterUnavailableError) as error:
            logger.warning("the scenario cannot be looked for", reason=str(error))
            continue
        if adopted is not None:
            return adopted
    raise OutcomeUnknownError(
        "Infobip did not say whether it has created the scenario, and does not list it yet; "
        "invoke again in a few minutes"
    ) from unanswered


def _adopt(wanted: ScenarioDefinition, client: OmniClient) -> RegisteredScenario | None:
    """Take a scenario of exactly that name; of several rather one that has the wanted flow."""
    named = [
        (scenario.key, scenario)
        for scenario in client.list_scenarios()
        if scenario.name == wanted.name and scenario.key
    ]
    if not named:
        return None
    key, live = min(named, key=lambda found: found[1].flow != wanted.flow)
    entry = _entry(wanted, key, live)
    _align(live, entry, client)
    return entry


def _get(client: OmniClient, key: str) -> Scenario | None:
    try:
        return client.get_scenario(key)
    except RequestRejectedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _entry(wanted: ScenarioDefinition, key: str, live: Scenario) -> RegisteredScenario:
    default = live.default if wanted.default is None else wanted.default
    return RegisteredScenario(key=key, name=wanted.name, flow=wanted.flow, default=default)


def _is_as_described(live: Scenario, entry: RegisteredScenario) -> bool:
    return (live.flow, live.default) == (entry.flow, entry.default)


def _align(live: Scenario, entry: RegisteredScenario, client: OmniClient) -> None:
    """Update the scenario at Infobip, where it differs."""
    if not _is_as_described(live, entry):
        # An update replaces the whole scenario, so what was not asked for is said as well.
        client.update_scenario(entry.key, entry.definition())


def parse(event: object) -> ScenarioDefinition:
    """Read the event, which is Infobip's own body for creating a scenario.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    try:
        return ScenarioDefinition.model_validate(event)
    except ValidationError as error:
        raise InvalidEventError.from_validation(error) from None


@functools.cache
def collaborators() -> tuple[OmniClient, ScenarioRegistry]:
    """Make what lives as long as the environment."""
    settings = CreateScenarioSettings.from_environment()
    return open_client(settings), ScenarioRegistry(settings.scenario_parameter_prefix)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer with the registered scenario, its parameter and what it took."""
    wanted = parse(event)
    client, registry = collaborators()
    try:
        entry, outcome = create_scenario(wanted, client, registry)
    except UnregistrableScenarioError as error:
        raise InvalidEventError(error.member, error.rule) from None
    parameter = registry.parameter(entry.name)
    logger.info("scenario registered", key=entry.key, parameter=parameter, outcome=outcome)
    described = entry.model_dump(mode="json", by_alias=True, exclude_none=True)
    return described | {"parameter": parameter, "outcome": outcome.value}
