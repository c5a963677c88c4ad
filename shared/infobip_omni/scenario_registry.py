"""Which scenario of Infobip's goes by which name: one SSM parameter each.

A scenario's parameter is named by the slug of its name, so that two names with one slug cannot
both be registered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from infobip_omni.api.scenarios import ScenarioDefinition, ScenarioStep
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError, ssm_client

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

_LONGEST_SLUG = 200
#: What a parameter of SSM's standard tier holds.
_LARGEST_ENTRY = 4096
#: More than the keys that Infobip gives; stands for a key that is not known yet.
_ANY_KEY = "0" * 64


class UnregistrableScenarioError(Exception):
    """A scenario breaks a rule of the registry; the text quotes nothing of it."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(f"{member}: {rule}")
        self.member = member  #: the member of the definition that breaks the rule
        self.rule = rule


class SlugTakenError(UnregistrableScenarioError):
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

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the entry as its parameter holds it.

        Raises:
            ValueError: It is no such entry; the error names the rule, and quotes nothing.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            # The cause holds the text.
            raise ValueError("must hold JSON with key, name, flow and default") from None

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
        UnregistrableScenarioError: Nothing is left of the name, or too much.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not text:
        raise UnregistrableScenarioError("name", "must hold a letter from a to z or a digit")
    if len(text) > _LONGEST_SLUG:
        rule = f"must not exceed {_LONGEST_SLUG} letters and digits"
        raise UnregistrableScenarioError("name", rule)
    return text


class ScenarioRegistry:
    """The scenarios of one stage.

    Args:
        prefix: What the names of their SSM parameters begin with.
        client: SSM; a client of its own by default.
    """

    def __init__(self, prefix: str, client: SSMClient | None = None) -> None:
        self._prefix = prefix
        self._client = client or ssm_client()
        self._entries: dict[str, CachedParameter[RegisteredScenario]] = {}

    def parameter(self, name: str) -> str:
        """Name the SSM parameter of a scenario.

        Raises:
            UnregistrableScenarioError: The name has no slug.
        """
        return self._prefix + slug(name)

    def check(self, definition: ScenarioDefinition) -> None:
        """Make sure that the registry will take a scenario, before Infobip creates it.

        Raises:
            UnregistrableScenarioError: It has no slug, or is too large for a parameter.
        """
        self.parameter(definition.name)
        entry = RegisteredScenario(
            key=_ANY_KEY, name=definition.name, flow=definition.flow, default=False
        )
        if len(entry.to_json().encode()) > _LARGEST_ENTRY:
            rule = f"must fit {_LARGEST_ENTRY} bytes, with the name"
            raise UnregistrableScenarioError("flow", rule)

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Return the scenario of that name or slug, as it was at most five minutes ago.

        A name that only shares its slug with a registered one is not found.

        Raises:
            ParameterUnavailableError: SSM did not answer, or not with a scenario.
        """
        try:
            parameter = self.parameter(name_or_slug)
        except UnregistrableScenarioError:
            return None
        entry = self._read(parameter)
        known = entry is not None and name_or_slug in (entry.name, slug(entry.name))
        return entry if known else None

    def current(self, name: str) -> RegisteredScenario | None:
        """Return the scenario of exactly that name, as it is now.

        Raises:
            SlugTakenError: The slug of the name belongs to another name.
            ParameterUnavailableError: SSM did not answer, or not with a scenario.
        """
        parameter = self.parameter(name)
        self._entry(parameter).forget()
        entry = self._read(parameter)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Add a scenario, unless one is registered already.

        Returns:
            The scenario that is registered now: the given one, or that of whoever came first.

        Raises:
            SlugTakenError: Whoever came first has another name.
            ParameterUnavailableError: SSM did not answer; it may have been added.
        """
        try:
            self._entry(self.parameter(entry.name)).write(entry.to_json(), overwrite=False)
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

    def replace(self, entry: RegisteredScenario) -> None:
        """Write a scenario over what is registered under its name.

        Raises:
            ParameterUnavailableError: SSM did not answer; it may have been replaced.
        """
        self._entry(self.parameter(entry.name)).write(entry.to_json(), overwrite=True)

    def _entry(self, parameter: str) -> CachedParameter[RegisteredScenario]:
        """Return the parameter, the same one to all threads."""
        entry = self._entries.get(parameter)
        if entry is None:
            new = CachedParameter(parameter, RegisteredScenario.from_json, self._client)
            entry = self._entries.setdefault(parameter, new)
        return entry

    def _read(self, parameter: str) -> RegisteredScenario | None:
        try:
            return self._entry(parameter)()
        except ParameterUnavailableError as error:
            if error.code != "ParameterNotFound":
                raise
            # Senders may name anything; only what there is is worth keeping.
            self._entries.pop(parameter, None)
            return None
