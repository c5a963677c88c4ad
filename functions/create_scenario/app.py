"""Ensures that scenarios exist at Infobip as described, and registers them under their names.

It can be invoked again at any time: after a crash, a lost answer or a lost race it finds the
existing scenario and updates it to match the description. `scenario_registry` describes how the
flow of a scenario is updated while messages are sent.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from infobip_omni.api.errors import (
    NotProcessedError,
    OmniError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.events.create_scenario import Outcome, ScenarioList, field_in_list, parse
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.infobip_client import open_client
from infobip_omni.observability import logger, observed, time_left
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_plans import (
    LiveScenario,
    Plan,
    RegistryWrite,
    described,
    differences,
    make_plan,
    named,
)
from infobip_omni.scenario_registry import (
    FRESH_SECONDS,
    RegisteredScenario,
    ScenarioRegistry,
    SlugTakenError,
    UnregistrableScenarioError,
)
from infobip_omni.settings import CreateScenarioSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient
    from infobip_omni.api.scenarios import Scenario, ScenarioDefinition

    WrittenT = TypeVar("WrittenT")
    Json = dict[str, Any]
    Sleep = Callable[[float], None]

#: Seconds to wait before each search for a scenario whose creation was not answered.
_WAITS_BEFORE_LOOKING = (0.0, 1.0, 3.0)
#: Seconds that a run has to have left to create or update one more scenario of a list: the longest
#: call without a second attempt, and the registry.
_SECONDS_FOR_ONE = 25.0
#: Infobip takes 20 creations and 40 updates within so many seconds.
_THROTTLED_SECONDS = 600.0
#: SSM's codes for too many writes; it takes a few in a second.
_THROTTLED = frozenset({"ThrottlingException", "TooManyUpdates"})
#: Seconds to wait before such a write is repeated.
_WAITS_FOR_SSM = (1.0, 2.0, 4.0)
#: The errors that one scenario of a list may end with.
_ERRORS = (OmniError, ParameterUnavailableError, UnregistrableScenarioError)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    client: OmniClient
    registry: ScenarioRegistry


@dataclass(frozen=True, slots=True)
class Registration:
    """A scenario that exists at Infobip and in the registry."""

    entry: RegisteredScenario
    parameter: str  #: the name of the SSM parameter that holds the entry
    outcome: Outcome
    #: Other scenarios whose `default` in the registry was corrected.
    also_updated: tuple[RegisteredScenario, ...] = ()

    def answer(self) -> Json:
        """Return the function's answer, as JSON."""
        written = self.entry.to_answer() | {
            "parameter": self.parameter,
            "outcome": self.outcome.value,
        }
        return written | _also_updated(self.also_updated)


# --- One scenario ----------------------------------------------------------------------------


def create_scenario(
    wanted: ScenarioDefinition, deps: Dependencies, sleep: Sleep = time.sleep
) -> Registration:
    """Create, adopt or update a scenario, so that Infobip and the registry hold it as *wanted*.

    When it returns, each sender uses the flow that Infobip runs.

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
    while True:
        registered = deps.registry.current(wanted.name)
        plan = make_plan(wanted, registered, _live(wanted, registered, deps.client))
        if plan.announced is not None:
            _written(functools.partial(deps.registry.announce, plan.announced), sleep)
            sleep(FRESH_SECONDS)
        entry = _carry_out(plan, wanted, deps, sleep)
        if entry is None:
            # Another run was faster, so the scenario that it registered is updated as *wanted*.
            continue
        also_updated = _read_back_defaults(deps, entry.key, sleep) if wanted.default else []
        if plan.seconds_until_read:
            sleep(plan.seconds_until_read)
        parameter = deps.registry.parameter(wanted.name)
        return Registration(entry, parameter, plan.outcome, tuple(also_updated))


def _live(
    wanted: ScenarioDefinition,
    registered: RegisteredScenario | None,
    client: OmniClient,
    listed: Sequence[Scenario] | None = None,
) -> LiveScenario | None:
    """Read the registered scenario from Infobip, otherwise one of its name.

    Args:
        wanted: The description of the scenario.
        registered: Its entry in the registry.
        client: Infobip.
        listed: Infobip's scenarios, if they have been listed already.
    """
    if registered is not None:
        of_key = (each for each in listed or () if each.key == registered.key)
        # A scenario is left out of the list if a part of it cannot be read.
        scenario = next(of_key, None) or _get(client, registered.key)
        if scenario is not None:
            return LiveScenario(registered.key, scenario)
    return named(wanted, list(client.list_scenarios()) if listed is None else listed)


def _carry_out(
    plan: Plan, wanted: ScenarioDefinition, deps: Dependencies, sleep: Sleep
) -> RegisteredScenario | None:
    """Carry out a plan: at Infobip first, then in the registry.

    Returns:
        The entry that the registry holds now; None if another run has registered a different one.
    """
    entry, update = plan.entry, plan.update
    if entry is None:
        entry, update = described(wanted, _create(wanted, deps.client, sleep))
    if update:
        _update(plan, entry, deps)
    if plan.write is RegistryWrite.REPLACE:
        _written(functools.partial(deps.registry.replace, entry), sleep)
    elif plan.write is RegistryWrite.ADD:
        winner = _written(functools.partial(deps.registry.register, entry), sleep)
        if winner.key != entry.key and plan.outcome is Outcome.CREATED:
            # Infobip's API has no call to delete it.
            logger.warning("a scenario is orphaned", key=entry.key, registered_key=winner.key)
        if winner != entry:
            return None
    return entry


def _update(plan: Plan, entry: RegisteredScenario, deps: Dependencies) -> None:
    """Update the scenario at Infobip; the mark in the registry stays only if that is uncertain."""
    try:
        # An update replaces the whole scenario, so it has to repeat what does not change.
        deps.client.update_scenario(entry.key, entry.definition())
    except (NotProcessedError, RequestRejectedError, ParameterUnavailableError):
        _withdraw(plan, deps.registry)
        raise


def _withdraw(plan: Plan, registry: ScenarioRegistry) -> None:
    """Remove the mark of an update that was not made."""
    if plan.announced is not None:
        # A mark that stays makes the flow uncertain, not wrong; the next run removes it.
        with suppress(ParameterUnavailableError):
            registry.replace(plan.announced)


def _written(write: Callable[[], WrittenT], sleep: Sleep) -> WrittenT:
    """Write to the registry; repeat a write that SSM throttles."""
    for wait in _WAITS_FOR_SSM:
        try:
            return write()
        except ParameterUnavailableError as error:
            if error.code not in _THROTTLED:
                raise
        sleep(wait)
    return write()


def _create(wanted: ScenarioDefinition, client: OmniClient, sleep: Sleep) -> LiveScenario:
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
            live = named(wanted, list(client.list_scenarios()))
        except (OmniError, ParameterUnavailableError) as error:
            logger.warning("scenarios cannot be listed", reason=str(error))
            continue
        if live is not None:
            return live
    raise OutcomeUnknownError(
        "Infobip did not say whether it has created the scenario, and does not list it yet; "
        "invoke again in a few minutes"
    ) from unanswered


def _get(client: OmniClient, key: str) -> Scenario | None:
    try:
        return client.get_scenario(key)
    except RequestRejectedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _read_back_defaults(
    deps: Dependencies, new_default: str, sleep: Sleep
) -> list[RegisteredScenario]:
    """Correct `default` in the registry after Infobip got a new default scenario.

    Infobip does not document whether the scenario that was the default stays one.

    Args:
        deps: Infobip and the registry.
        new_default: The key of the new default scenario, whose entry is right.
        sleep: Waits for a number of seconds.

    Returns:
        The corrected entries.
    """
    flags = {each.key: each.default for each in deps.client.list_scenarios() if each.key}
    corrected = [
        entry.model_copy(update={"default": flags[entry.key]})
        for entry in deps.registry.all()
        if entry.key != new_default and flags.get(entry.key, entry.default) != entry.default
    ]
    for entry in corrected:
        _written(functools.partial(deps.registry.replace, entry), sleep)
    return corrected


def _also_updated(entries: Iterable[RegisteredScenario]) -> Json:
    written = [{"name": entry.name, "default": entry.default} for entry in entries]
    return {"alsoUpdated": written} if written else {}


# --- A list ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Task:
    """One scenario of a list."""

    wanted: ScenarioDefinition
    parameter: str
    registered: RegisteredScenario | None = None
    live: LiveScenario | None = None
    plan: Plan | None = None
    is_announced: bool = False
    #: What the answer says of it.
    entry: RegisteredScenario | None = None
    outcome: Outcome | None = None
    error: str = ""
    retry_after_seconds: float = 0.0

    def fail(self, error: Exception) -> None:
        """End with an error; its text never quotes what Infobip or SSM answered."""
        self.outcome, self.error = Outcome.FAILED, str(error)

    def answer(self) -> Json:
        """Return this scenario's part of the function's answer, as JSON."""
        written: Json = {"name": self.wanted.name}
        if self.outcome is Outcome.FAILED:
            written |= {"error": self.error}
        elif self.outcome is Outcome.PENDING:
            written |= {"retryAfterSeconds": math.ceil(self.retry_after_seconds)}
        elif self.entry is not None:
            written |= self.entry.to_answer()
        outcome = self.outcome or Outcome.PENDING
        return written | {"parameter": self.parameter, "outcome": outcome.value}


@dataclass(slots=True)
class _Limits:
    """Decides whether a run may create or update one more scenario of a list."""

    seconds_left: Callable[[], float]
    #: The wait that Infobip's limit requires, by whether it is the limit of creations.
    throttled: dict[bool, float] = dataclasses.field(default_factory=dict)

    def wait_for(self, plan: Plan) -> float | None:
        """Return the seconds to wait before a plan can be carried out; None if it can be now."""
        if plan.entry is not None and not plan.update and plan.write is RegistryWrite.NOTHING:
            return None
        if plan.entry is None or plan.update:
            wait = self.throttled.get(plan.entry is None)
            if wait is not None:
                return wait
        return None if self.seconds_left() >= _SECONDS_FOR_ONE else 0.0

    def limited(self, plan: Plan, error: RateLimitedError) -> float:
        """Note that Infobip limits the rate; return the seconds to wait."""
        wait = error.retry_after_seconds
        if wait is None:
            wait = _THROTTLED_SECONDS
        self.throttled[plan.entry is None] = wait
        return wait


def create_scenarios(
    wanted: Sequence[ScenarioDefinition],
    deps: Dependencies,
    seconds_left: Callable[[], float],
    sleep: Sleep = time.sleep,
) -> Json:
    """Create, adopt or update each scenario of a list.

    Args:
        wanted: The descriptions; no two have one slug.
        deps: Infobip and the registry.
        seconds_left: Returns how many seconds the run has left.
        sleep: Waits for a number of seconds.

    Returns:
        The function's answer. A scenario that fails does not affect the others.

    Raises:
        OmniError: Infobip did not list its scenarios; nothing was done.
        ParameterUnavailableError: SSM did not list those that are registered; nothing was done.
    """
    tasks = _looked_up(wanted, deps)
    limits = _Limits(seconds_left)
    _announce(tasks, deps, limits, sleep)
    # A scenario that keeps its default must not get it back after the new default was set, and the
    # account should not be without a default scenario.
    for task in sorted(tasks, key=lambda each: (None, True, False).index(each.wanted.default)):
        if task.plan is not None and task.outcome is None:
            _finish(task, task.plan, deps, limits, sleep)
    also_updated = _read_back_for(tasks, deps, sleep)
    waits = [
        task.plan.seconds_until_read
        for task in tasks
        if task.plan is not None and task.entry is not None
    ]
    if any(waits):
        sleep(max(waits))
    return {"scenarios": [task.answer() for task in tasks]} | _also_updated(also_updated)


def check_scenarios(wanted: Sequence[ScenarioDefinition], deps: Dependencies) -> Json:
    """Compare each scenario of a list with Infobip and the registry, and change nothing.

    Returns:
        The function's answer, with the `differences` of each scenario that has some.

    Raises:
        OmniError: Infobip did not list its scenarios.
        ParameterUnavailableError: SSM did not list those that are registered.
    """
    answers = []
    for task in _looked_up(wanted, deps):
        found = []
        if task.outcome is None:
            found = differences(task.wanted, task.registered, task.live)
            task.outcome = Outcome.DRIFTED if found else Outcome.UNCHANGED
        answers.append(task.answer() | ({"differences": found} if found else {}))
    return {"scenarios": answers}


def _looked_up(wanted: Sequence[ScenarioDefinition], deps: Dependencies) -> list[_Task]:
    """Look up the scenarios at Infobip and in the registry, by one list each; plan the changes."""
    listed = list(deps.client.list_scenarios())
    registered = {deps.registry.parameter(each.name): each for each in deps.registry.all()}
    tasks = [_Task(each, deps.registry.parameter(each.name)) for each in wanted]
    for task in tasks:
        try:
            task.registered = registered.get(task.parameter)
            if task.registered is not None and task.registered.name != task.wanted.name:
                raise SlugTakenError(task.parameter)
            task.live = _live(task.wanted, task.registered, deps.client, listed)
        except _ERRORS as error:
            task.fail(error)
        else:
            task.plan = make_plan(task.wanted, task.registered, task.live)
    return tasks


def _announce(tasks: Iterable[_Task], deps: Dependencies, limits: _Limits, sleep: Sleep) -> None:
    """Mark all scenarios whose flow will be updated, and wait once until senders know."""
    for task in tasks:
        plan = task.plan
        if plan is None or plan.announced is None or limits.wait_for(plan) is not None:
            continue
        try:
            _written(functools.partial(deps.registry.announce, plan.announced), sleep)
            task.is_announced = True
        except ParameterUnavailableError as error:
            task.fail(error)
    if any(task.is_announced for task in tasks):
        sleep(FRESH_SECONDS)


def _finish(task: _Task, plan: Plan, deps: Dependencies, limits: _Limits, sleep: Sleep) -> None:
    """Carry out the plan of one scenario, unless it has to wait."""
    wait = limits.wait_for(plan)
    if wait is not None:
        if task.is_announced:
            _withdraw(plan, deps.registry)
        task.outcome, task.retry_after_seconds = Outcome.PENDING, wait
        return
    try:
        task.entry, task.outcome = _carry_out(plan, task.wanted, deps, sleep), plan.outcome
        if task.entry is None:
            # Another run has registered it in the meantime.
            registration = create_scenario(task.wanted, deps, sleep)
            task.entry, task.outcome = registration.entry, registration.outcome
    except RateLimitedError as error:
        task.outcome, task.retry_after_seconds = Outcome.PENDING, limits.limited(plan, error)
    except _ERRORS as error:
        task.fail(error)


def _read_back_for(
    tasks: Sequence[_Task], deps: Dependencies, sleep: Sleep
) -> list[RegisteredScenario]:
    """Correct the other scenarios' `default`, if a scenario of the list is the default now."""
    new = next((each for each in tasks if each.wanted.default and each.entry is not None), None)
    if new is None or new.entry is None:
        return []
    try:
        corrected = _read_back_defaults(deps, new.entry.key, sleep)
    except (OmniError, ParameterUnavailableError) as error:
        new.fail(error)
        return []
    by_key = {entry.key: entry for entry in corrected}
    own = set()
    for task in tasks:
        if task.entry is not None and task.entry.key in by_key:
            task.entry = by_key[task.entry.key]
            own.add(task.entry.key)
    return [entry for entry in corrected if entry.key not in own]


# --- The function ----------------------------------------------------------------------------


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
    """Return what was registered, or how it differs."""
    request, deps = parse(event), dependencies()
    if isinstance(request, ScenarioList):
        _check_names(request.scenarios, deps.registry)
        answer = (
            check_scenarios(request.scenarios, deps)
            if request.is_check
            else create_scenarios(request.scenarios, deps, time_left(context))
        )
        logger.info(
            "scenarios checked" if request.is_check else "scenarios registered",
            outcomes=dict(Counter(each["outcome"] for each in answer["scenarios"])),
        )
        return answer
    try:
        registration = create_scenario(request, deps)
    except UnregistrableScenarioError as error:
        raise InvalidEventError(error.member, error.rule) from None
    logger.info(
        "scenario registered",
        key=registration.entry.key,
        parameter=registration.parameter,
        outcome=registration.outcome,
    )
    return registration.answer()


def _check_names(scenarios: Sequence[ScenarioDefinition], registry: ScenarioRegistry) -> None:
    """Refuse a list with a scenario that cannot be registered, before anything is done."""
    positions: dict[str, int] = {}
    for position, each in enumerate(scenarios):
        try:
            registry.check(each)
        except UnregistrableScenarioError as error:
            field, rule = field_in_list(position, error.member), error.rule
            raise InvalidEventError(field, rule) from None
        other = positions.setdefault(registry.parameter(each.name), position)
        if other != position:
            field = field_in_list(position, "name")
            rule = f"must differ from the name of scenarios[{other}], whose SSM parameter it shares"
            raise InvalidEventError(field, rule)
