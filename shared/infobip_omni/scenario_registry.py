"""The registered scenarios of Infobip by their name: one SSM parameter each.

The slug of a scenario's name is part of its parameter's name, so two names with the same slug
cannot both be registered.

Senders use a scenario for `FRESH_SECONDS` without reading it again. So that none of them takes an
old flow for the one that Infobip runs, an update of the flow has four steps:

1. `announce` marks the registered scenario as updating. Senders go on to use it, and know that its
   flow is uncertain.
2. Wait for `FRESH_SECONDS`. Then each sender has read the mark.
3. Update the scenario at Infobip, then in the registry, which removes the mark.
4. Wait for `UNCERTAIN_SECONDS`. Then each sender has read the new flow.

An update that is never completed leaves the mark, because Infobip may run either flow.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from infobip_omni.api.json_text import trimmed
from infobip_omni.api.scenarios import ScenarioDefinition, ScenarioStep
from infobip_omni.aws import attempt
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.parameters import CACHED_SECONDS, ParameterUnavailableError, ssm_client
from infobip_omni.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mypy_boto3_ssm import SSMClient

    from infobip_omni.api.channels import Channel
    from infobip_omni.events.send_message import SendEvent

#: How long a scenario is used without reading it again. Ten senders that use one scenario read it
#: twice a second; SSM allows 40 reads a second.
FRESH_SECONDS = 5.0
#: The same for a name without a scenario, and for a scenario that is being updated.
UNCERTAIN_SECONDS = 1.0
#: The time between two reads of one scenario before refusals, however many events are refused.
_REREAD_SECONDS = 2.0
#: How long SSM is not asked again after it has failed: each attempt may take 15 seconds, and the
#: events of one batch may name ten scenarios.
_FAILURE_SECONDS = 5.0
#: The most names whose read is remembered; events can name any number of scenarios.
_MOST_READS = 500
_LONGEST_SLUG = 200
#: Bytes; the limit of a parameter in SSM's standard tier.
_LARGEST_ENTRY = 4096
#: Longer than Infobip's keys; a placeholder for a key that is not known yet.
_ANY_KEY = "0" * 64


class UnregistrableScenarioError(Exception):
    """A scenario breaks a rule of the registry; the text never quotes the scenario."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(f"{member}: {rule}")
        self.member = member  #: the member of the definition that breaks the rule
        self.rule = rule


class SlugTakenError(UnregistrableScenarioError):
    """Another name with the same slug is already registered."""

    def __init__(self, parameter: str) -> None:
        rule = f"SSM parameter {parameter} belongs to another scenario: choose another name"
        super().__init__("name", rule)


class RegisteredScenario(BaseModel):
    """An entry of the registry."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    key: Annotated[StrictStr, Field(min_length=1)]  #: Infobip's, opaque
    name: Annotated[StrictStr, Field(min_length=1)]
    flow: Annotated[tuple[ScenarioStep, ...], Field(min_length=1)]
    default: StrictBool  #: whether Infobip uses it for sends without a scenario
    #: Whether Infobip may run another flow: an update is under way, or SSM cannot be read.
    updating: StrictBool = False

    @property
    def steps(self) -> tuple[Channel, ...] | None:
        """The channels that Infobip tries, in their order; None while that is uncertain."""
        return None if self.updating else tuple(step.channel for step in self.flow)

    def as_updating(self) -> Self:
        """Return the entry of a scenario whose flow is uncertain."""
        return self.model_copy(update={"updating": True})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the entry from the text of its parameter.

        Raises:
            ValueError: The text is not an entry; the error never quotes it.
        """
        try:
            return cls.model_validate_json(trimmed(text))
        except ValidationError:
            # The cause may quote the text.
            raise ValueError("must hold JSON with key, name, flow and default") from None

    def definition(self) -> ScenarioDefinition:
        """Return the scenario as Infobip's API describes it."""
        return ScenarioDefinition(name=self.name, flow=self.flow, default=self.default)

    def to_answer(self) -> dict[str, Any]:
        """Return the entry as JSON for an answer."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def to_json(self) -> str:
        """Return the text of the entry's parameter."""
        text = self.model_dump_json(by_alias=True, exclude_defaults=True)
        # SSM refuses values with double braces; here they can only be inside of a JSON string.
        return text.replace("{{", r"{\u007b").replace("}}", r"}\u007d")


def slug(name: str) -> str:
    """Return *name* in lower case, each run of characters other than a-z and 0-9 as one ``-``.

    Raises:
        UnregistrableScenarioError: The slug would be empty or too long.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not text:
        raise UnregistrableScenarioError("name", "must hold a letter from a to z or a digit")
    if len(text) > _LONGEST_SLUG:
        rule = f"must not exceed {_LONGEST_SLUG} letters and digits"
        raise UnregistrableScenarioError("name", rule)
    return text


@dataclass(frozen=True, slots=True)
class _Read:
    """What SSM has answered about one parameter."""

    entry: RegisteredScenario | None
    at: datetime  #: when the read began
    #: When the parameter was last read because an event would be refused; None if it was not.
    reread_at: datetime | None

    def is_fresh(self, now: datetime) -> bool:
        certain = self.entry is not None and not self.entry.updating
        return self.age(now) < (FRESH_SECONDS if certain else UNCERTAIN_SECONDS)

    def was_just_reread(self, now: datetime) -> bool:
        since = None if self.reread_at is None else (now - self.reread_at).total_seconds()
        return since is not None and since <= _REREAD_SECONDS

    def age(self, now: datetime) -> float:
        return (now - self.at).total_seconds()


class ScenarioRegistry:
    """The registered scenarios of one stage. It is thread-safe.

    Args:
        prefix: The prefix of the names of their SSM parameters.
        client: SSM; by default, a new client.
        clock: Returns the current time. Lambda may freeze the process, and monotonic clocks then
            may stop.
    """

    def __init__(
        self,
        prefix: str,
        client: SSMClient | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._prefix = prefix
        self._client = client or ssm_client()
        self._clock = clock
        self._lock = threading.RLock()
        self._reads: dict[str, _Read] = {}
        #: When SSM last failed to answer.
        self._failed_at: datetime | None = None

    def parameter(self, name: str) -> str:
        """Return the name of a scenario's SSM parameter.

        Raises:
            UnregistrableScenarioError: The name has no slug.
        """
        return self._prefix + slug(name)

    def check(self, definition: ScenarioDefinition) -> None:
        """Check that the registry can hold a scenario, before Infobip creates it.

        Raises:
            UnregistrableScenarioError: The name has no slug, or the flow is too long.
        """
        self.parameter(definition.name)
        entry = RegisteredScenario(
            key=_ANY_KEY,
            name=definition.name,
            flow=definition.flow,
            default=False,
            updating=True,
        )
        if len(entry.to_json().encode()) > _LARGEST_ENTRY:
            rule = f"must fit {_LARGEST_ENTRY} bytes, with the name"
            raise UnregistrableScenarioError("flow", rule)

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Return the scenario of that name or slug, as it was at most five seconds ago.

        While SSM cannot be read, return the last known one, whose flow is then uncertain; it is
        used for up to `parameters.CACHED_SECONDS`.

        Returns:
            None if there is none, or if the name only has the same slug as a registered one.

        Raises:
            ParameterUnavailableError: SSM did not answer, or its parameter is invalid.
        """
        with suppress(UnregistrableScenarioError), self._lock:
            return _named(name_or_slug, self._known(self.parameter(name_or_slug)))
        return None

    def find_before_refusal(
        self, name_or_slug: str, queued_at: datetime
    ) -> RegisteredScenario | None:
        """Return the scenario of that name or slug as it was when an event was queued, or later.

        An event is refused only because of what this returns, so nothing is refused because of an
        old flow. The scenario is read again, but not more than once in two seconds.

        Args:
            name_or_slug: As the event names it.
            queued_at: When the event was queued.

        Returns:
            None if there is none, as `find`.

        Raises:
            ParameterUnavailableError: It is not known whether the event has to be refused: SSM did
                not answer, the scenario is being updated, or it was read a moment before the event
                was queued.
        """
        with suppress(UnregistrableScenarioError), self._lock:
            parameter = self.parameter(name_or_slug)
            last = self._reads.get(parameter)
            if last is None or not last.was_just_reread(self._clock()):
                last = self._read_unless_failing(parameter, before_refusal=True)
            elif last.at < queued_at:
                raise ParameterUnavailableError(f"SSM parameter {parameter} was just read")
            if last.entry is not None and last.entry.updating:
                raise ParameterUnavailableError(
                    f"the scenario of SSM parameter {parameter} is being updated; if that lasts, "
                    "invoke create_scenario again"
                )
            return _named(name_or_slug, last.entry)
        return None

    def current(self, name: str) -> RegisteredScenario | None:
        """Return the scenario of exactly that name, without the cache; None if there is none.

        Raises:
            SlugTakenError: Another name with the same slug is registered.
            ParameterUnavailableError: SSM did not answer, or its parameter is invalid.
        """
        parameter = self.parameter(name)
        with self._lock:
            entry = self._read(parameter).entry
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def all(self) -> list[RegisteredScenario]:
        """Return every registered scenario, without the cache; unreadable ones are left out.

        Raises:
            ParameterUnavailableError: SSM did not answer.
        """
        pages = self._client.get_paginator("get_parameters_by_path").paginate(
            Path=self._prefix.rstrip("/"), WithDecryption=True
        )
        texts = attempt(
            lambda: [each["Value"] for page in pages for each in page["Parameters"]],
            ParameterUnavailableError,
            "the SSM parameters of the scenarios cannot be read",
        )
        entries = []
        for text in texts:
            with suppress(ValueError):
                entries.append(RegisteredScenario.from_json(text))
        return entries

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Add a scenario, unless one is already registered under its slug.

        Returns:
            The registered scenario: the given one, or the one that another run has registered.

        Raises:
            SlugTakenError: Another run has registered another name with the same slug.
            ParameterUnavailableError: SSM did not confirm it; the scenario may have been added.
        """
        try:
            self._write(entry, overwrite=False)
        except ParameterUnavailableError as error:
            if error.code != "ParameterAlreadyExists":
                raise
        else:
            return entry
        winner = self.current(entry.name)
        if winner is None:
            raise ParameterUnavailableError(
                f"SSM parameter {self.parameter(entry.name)} exists, but cannot be read yet"
            )
        return winner

    def announce(self, entry: RegisteredScenario) -> None:
        """Mark a registered scenario as updating, before its flow is updated at Infobip.

        Raises:
            ParameterUnavailableError: SSM did not confirm it; the mark may have been written.
        """
        self._write(entry.as_updating(), overwrite=True)

    def replace(self, entry: RegisteredScenario) -> None:
        """Replace the scenario that is registered under the same slug.

        Raises:
            ParameterUnavailableError: SSM did not confirm it; the scenario may have been replaced.
        """
        self._write(entry, overwrite=True)

    def _known(self, parameter: str) -> RegisteredScenario | None:
        """Return an entry that was read recently; read it if it was not."""
        now = self._clock()
        last = self._reads.get(parameter)
        if last is not None and last.is_fresh(now):
            return last.entry
        try:
            return self._read_unless_failing(parameter).entry
        except ParameterUnavailableError:
            if last is None or last.entry is None or last.age(now) > CACHED_SECONDS:
                raise
            return last.entry.as_updating()

    def _read_unless_failing(self, parameter: str, *, before_refusal: bool = False) -> _Read:
        failed_at = self._failed_at
        if failed_at and (self._clock() - failed_at).total_seconds() < _FAILURE_SECONDS:
            raise ParameterUnavailableError(
                f"SSM parameter {parameter} is not read, because SSM has just failed"
            )
        return self._read(parameter, before_refusal=before_refusal)

    def _read(self, parameter: str, *, before_refusal: bool = False) -> _Read:
        at = self._clock()
        try:
            answer = attempt(
                lambda: self._client.get_parameter(Name=parameter, WithDecryption=True),
                ParameterUnavailableError,
                f"SSM parameter {parameter} cannot be read",
            )
        except ParameterUnavailableError as error:
            if error.code != "ParameterNotFound":
                self._failed_at = self._clock()
                raise
            entry = None
        else:
            entry = _parsed(parameter, answer["Parameter"]["Value"])
        self._failed_at = None
        if len(self._reads) >= _MOST_READS:
            self._reads = {name: read for name, read in self._reads.items() if read.entry}
        last = self._reads.get(parameter)
        reread_at = at if before_refusal else (last.reread_at if last else None)
        read = self._reads[parameter] = _Read(entry, at, reread_at)
        return read

    def _write(self, entry: RegisteredScenario, *, overwrite: bool) -> None:
        parameter = self.parameter(entry.name)
        try:
            attempt(
                lambda: self._client.put_parameter(
                    Name=parameter, Value=entry.to_json(), Type="String", Overwrite=overwrite
                ),
                ParameterUnavailableError,
                f"SSM parameter {parameter} cannot be written",
            )
        finally:
            self._reads.pop(parameter, None)


def checked(event: SendEvent, scenario: RegisteredScenario | None) -> RegisteredScenario:
    """Return the scenario that an event names, if there is one and the contents fit its flow.

    Raises:
        InvalidEventError: There is none, or the contents do not fit.
    """
    if scenario is None:
        raise InvalidEventError("scenario", "must be the name or slug of a registered scenario")
    event.check_flow(step.channel for step in scenario.flow)
    return scenario


def _parsed(parameter: str, text: str) -> RegisteredScenario:
    try:
        return RegisteredScenario.from_json(text)
    except ValueError as error:
        raise ParameterUnavailableError(f"SSM parameter {parameter} {error}") from None


def _named(name_or_slug: str, entry: RegisteredScenario | None) -> RegisteredScenario | None:
    known = entry is not None and name_or_slug in (entry.name, slug(entry.name))
    return entry if known else None
