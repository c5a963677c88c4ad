"""The events of create_scenario, and the outcomes in its answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from infobip_omni.api.scenarios import ScenarioDefinition

from .errors import InvalidEventError, InvocationEvent, opened, read_as

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The answer to so many fits Lambda's 6 MB, even with the longest flows and differences.
MOST_SCENARIOS = 100


class Outcome(StrEnum):
    """What had to be done."""

    CREATED = "CREATED"
    ADOPTED = "ADOPTED"  #: it existed at Infobip, but not in the registry
    UPDATED = "UPDATED"  #: Infobip, the registry or both had another description
    UNCHANGED = "UNCHANGED"
    #: Only of a list: neither created nor updated yet, for lack of time or because Infobip limits
    #: the rate.
    PENDING = "PENDING"
    FAILED = "FAILED"  #: only of a list; a single scenario raises the error
    DRIFTED = "DRIFTED"  #: only of a check: Infobip, the registry or both differ


@dataclass(frozen=True, slots=True)
class ScenarioList:
    """Scenarios to create or update, or only to compare."""

    #: No two have the same name, and at most one is the default.
    scenarios: tuple[ScenarioDefinition, ...]
    is_check: bool


class _ListEvent(InvocationEvent):
    action: Literal["check"] | None = None
    scenarios: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_SCENARIOS)]


def parse(event: object) -> ScenarioDefinition | ScenarioList:
    """Parse the event: Infobip's body for creating a scenario, or a list of such bodies.

    Raises:
        InvalidEventError: The event breaks a rule; in a list, the field begins like
            ``scenarios[1]``.
    """
    event = opened(event)
    if not isinstance(event, dict) or not event.keys() & {"action", "scenarios"}:
        return _definition(event)
    body = read_as(_ListEvent, event)
    scenarios = tuple(_definitions(body.scenarios))
    _check_defaults(scenarios)
    return ScenarioList(scenarios, is_check=body.action is not None)


def field_in_list(position: int, field: str) -> str:
    """Return the name of a field of one scenario of the list."""
    return f"scenarios[{position}]" if field == "body" else f"scenarios[{position}].{field}"


def _definition(event: object) -> ScenarioDefinition:
    if isinstance(event, dict) and "defaultScenario" in event:
        raise InvalidEventError("defaultScenario", "is the name in Infobip's old SDK: use default")
    return read_as(ScenarioDefinition, event)


def _definitions(bodies: list[dict[str, Any]]) -> Iterator[ScenarioDefinition]:
    for position, body in enumerate(bodies):
        try:
            yield _definition(body)
        except InvalidEventError as error:
            field, rule = field_in_list(position, error.field), error.rule
            raise InvalidEventError(field, rule) from None


def _check_defaults(scenarios: tuple[ScenarioDefinition, ...]) -> None:
    defaults = [position for position, each in enumerate(scenarios) if each.default]
    for position in defaults[1:]:
        field, rule = field_in_list(position, "default"), "must be true for at most one scenario"
        raise InvalidEventError(field, rule)
