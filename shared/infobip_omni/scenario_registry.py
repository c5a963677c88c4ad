"""The registered scenarios of Infobip by their name: one SSM parameter each.

The slug of a scenario's name is part of its parameter's name, so two names with the same slug
cannot both be registered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from infobip_omni.api.json_text import trimmed
from infobip_omni.api.scenarios import ScenarioDefinition, ScenarioStep
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError, ssm_client

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

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

    def to_json(self) -> str:
        """Return the text of the entry's parameter."""
        text = self.model_dump_json(by_alias=True, exclude_none=True)
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


class ScenarioRegistry:
    """The registered scenarios of one stage. It is thread-safe.

    Args:
        prefix: The prefix of the names of their SSM parameters.
        client: SSM; by default, a new client.
    """

    def __init__(self, prefix: str, client: SSMClient | None = None) -> None:
        self._prefix = prefix
        self._client = client or ssm_client()
        self._entries: dict[str, CachedParameter[RegisteredScenario]] = {}

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
            key=_ANY_KEY, name=definition.name, flow=definition.flow, default=False
        )
        if len(entry.to_json().encode()) > _LARGEST_ENTRY:
            rule = f"must fit {_LARGEST_ENTRY} bytes, with the name"
            raise UnregistrableScenarioError("flow", rule)

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Return the scenario of that name or slug, as it was at most five minutes ago.

        Returns:
            None if there is none, or if the name only has the same slug as a registered one.

        Raises:
            ParameterUnavailableError: SSM did not answer, or its parameter is invalid.
        """
        try:
            parameter = self.parameter(name_or_slug)
        except UnregistrableScenarioError:
            return None
        entry = self._read(parameter)
        known = entry is not None and name_or_slug in (entry.name, slug(entry.name))
        return entry if known else None

    def current(self, name: str) -> RegisteredScenario | None:
        """Return the scenario of exactly that name, without the cache; None if there is none.

        Raises:
            SlugTakenError: Another name with the same slug is registered.
            ParameterUnavailableError: SSM did not answer, or its parameter is invalid.
        """
        parameter = self.parameter(name)
        self._entry(parameter).forget()
        entry = self._read(parameter)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Add a scenario, unless one is already registered under its slug.

        Returns:
            The registered scenario: the given one, or the one that another run has registered.

        Raises:
            SlugTakenError: Another run has registered another name with the same slug.
            ParameterUnavailableError: SSM did not confirm it; the scenario may have been added.
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
        """Replace the scenario that is registered under the same slug.

        Raises:
            ParameterUnavailableError: SSM did not confirm it; the scenario may have been replaced.
        """
        self._entry(self.parameter(entry.name)).write(entry.to_json(), overwrite=True)

    def _entry(self, parameter: str) -> CachedParameter[RegisteredScenario]:
        """Return a parameter; all threads get the same object."""
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
            # Events can name any scenario, so only existing ones are cached.
            self._entries.pop(parameter, None)
            return None
