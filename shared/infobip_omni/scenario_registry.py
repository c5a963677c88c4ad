"""Which scenario of Infobip's goes by which name: one SSM parameter each.

A scenario's parameter is named by the slug of its name, so that two names with one slug cannot
both be registered.
"""

from __future__ import annotations

import re
import threading
from typing import Annotated

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import (
    GetParameterError,
    SetParameterError,
)
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from infobip_omni.api.models import ScenarioDefinition, ScenarioStep
from infobip_omni.aws import client_config, error_code
from infobip_omni.events import InvalidEventError

_CACHED_SECONDS = 300
_LONGEST_SLUG = 200
#: What a parameter of SSM's standard tier holds.
_LARGEST_ENTRY = 4096
#: More than the keys that Infobip gives; stands for a key that is not known yet.
_ANY_KEY = "0" * 64


class ScenarioRegistryUnavailableError(Exception):
    """SSM did not answer, or its parameter is not readable as a scenario: try again later."""


class SlugTakenError(InvalidEventError):
    """Another name with the same slug is registered already."""

    def __init__(self, parameter: str) -> None:
        super().__init__("name", f"SSM parameter {parameter} is that of another scenario")


class RegisteredScenario(BaseModel):
    """An entry of the registry."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    key: Annotated[StrictStr, Field(min_length=1)]  #: Infobip's, opaque
    name: Annotated[StrictStr, Field(min_length=1)]
    flow: Annotated[tuple[ScenarioStep, ...], Field(min_length=1)]
    default: StrictBool  #: whether Infobip uses it for sends that name no scenario

    def definition(self) -> ScenarioDefinition:
        """Return what Infobip is to know of the scenario."""
        return ScenarioDefinition(name=self.name, flow=self.flow, default=self.default)

    def to_json(self) -> str:
        """Write the entry as its parameter holds it."""
        text = self.model_dump_json(by_alias=True, exclude_none=True)
        # SSM refuses values with double braces; in JSON these can only stand in a string.
        return text.replace("{{", r"{\u007b").replace("}}", r"}\u007d")


def slug(name: str) -> str:
    """Return *name* in lower case, each run of other characters than a-z and 0-9 as one ``-``.

    Raises:
        InvalidEventError: Nothing is left of the name, or too much.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not text:
        raise InvalidEventError("name", "must hold a letter from a to z or a digit")
    if len(text) > _LONGEST_SLUG:
        raise InvalidEventError("name", f"must not exceed {_LONGEST_SLUG} letters and digits")
    return text


class ScenarioRegistry:
    """The scenarios of one stage."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._provider = SSMProvider(boto3_client=boto3.client("ssm", config=client_config()))

    def parameter(self, name: str) -> str:
        """Name the SSM parameter of a scenario.

        Raises:
            InvalidEventError: The name has no slug.
        """
        return self._prefix + slug(name)

    def check(self, definition: ScenarioDefinition) -> None:
        """Make sure that the registry will take a scenario, before Infobip creates it.

        Raises:
            InvalidEventError: It has no slug, or is too large for a parameter.
        """
        self.parameter(definition.name)
        entry = RegisteredScenario(
            key=_ANY_KEY, name=definition.name, flow=definition.flow, default=False
        )
        if len(entry.to_json().encode()) > _LARGEST_ENTRY:
            raise InvalidEventError("flow", f"must fit {_LARGEST_ENTRY} bytes, with the name")

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Return the scenario of that name or slug, as it was at most five minutes ago.

        A name that only shares its slug with a registered one is not found.

        Raises:
            ScenarioRegistryUnavailableError: SSM did not answer, or not with a scenario.
        """
        try:
            parameter = self.parameter(name_or_slug)
        except InvalidEventError:
            return None
        entry = self._read(parameter, fresh=False)
        known = entry is not None and name_or_slug in (entry.name, slug(entry.name))
        return entry if known else None

    def current(self, name: str) -> RegisteredScenario | None:
        """Return the scenario of exactly that name, as it is now.

        Raises:
            SlugTakenError: The slug of the name belongs to another name.
            ScenarioRegistryUnavailableError: SSM did not answer, or not with a scenario.
        """
        parameter = self.parameter(name)
        entry = self._read(parameter, fresh=True)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Add a scenario, unless one is registered already.

        Returns:
            The scenario that is registered now: the given one, or that of whoever came first.

        Raises:
            SlugTakenError: Whoever came first has another name.
            ScenarioRegistryUnavailableError: SSM did not answer; it may have been added.
        """
        if self._write(entry, overwrite=False):
            return entry
        winner = self.current(entry.name)
        if winner is None:
            raise ScenarioRegistryUnavailableError(
                f"SSM parameter {self.parameter(entry.name)} exists, but cannot be read yet"
            )
        return winner

    def replace(self, entry: RegisteredScenario) -> None:
        """Write a scenario over what is registered under its name.

        Raises:
            ScenarioRegistryUnavailableError: SSM did not answer; it may have been replaced.
        """
        self._write(entry, overwrite=True)

    def _read(self, parameter: str, *, fresh: bool) -> RegisteredScenario | None:
        # One thread fetches, the others find it cached.
        with self._lock:
            try:
                text = self._provider.get(parameter, max_age=_CACHED_SECONDS, force_fetch=fresh)
            except GetParameterError as error:
                if self._is(error.__context__, "ParameterNotFound"):
                    return None
                raise ScenarioRegistryUnavailableError(
                    f"SSM parameter {parameter} cannot be read: {error_code(error)}"
                ) from None
            try:
                return RegisteredScenario.model_validate_json(str(text))
            except ValidationError:
                # A value that was put right must not have to wait for the cache.
                self._provider.store.clear()
                raise ScenarioRegistryUnavailableError(
                    f"SSM parameter {parameter} must hold JSON with key, name, flow and default"
                ) from None

    def _write(self, entry: RegisteredScenario, *, overwrite: bool) -> bool:
        """Write the parameter; return False if it exists and must not be overwritten."""
        parameter = self.parameter(entry.name)
        try:
            self._provider.set(parameter, entry.to_json(), overwrite=overwrite)
        except SetParameterError as error:
            if self._is(error.__cause__, "ParameterAlreadyExists"):
                return False
            raise ScenarioRegistryUnavailableError(
                f"SSM parameter {parameter} cannot be written: {error_code(error)}"
            ) from None
        finally:
            with self._lock:
                self._provider.store.clear()
        return True

    def _is(self, error: BaseException | None, name: str) -> bool:
        """Tell which of SSM's errors lies behind one of Powertools'."""
        return isinstance(error, getattr(self._provider.client.exceptions, name))
