"""Scenarios, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictStr, WrapValidator
from pydantic_core import PydanticCustomError

from .channels import LONGEST_EMAIL_ADDRESS, Channel
from .wire import (
    TOLERANT,
    AnswerBody,
    RequestBody,
    Text,
    encodable,
    none_if_unreadable,
    one_or_more,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters; Infobip documents no limit, and its own keys have 32.
LONGEST_SCENARIO_KEY = 200
#: Characters; Infobip documents no limit, and this is the limit of a slug.
LONGEST_SCENARIO_NAME = 200
_BYTE_ORDER_MARK = "\ufeff"


def _plain_name(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    # Names are compared exactly, and no person sees such a difference.
    if text != text.strip().strip(_BYTE_ORDER_MARK):
        raise PydanticCustomError(
            "surrounded", "must not begin or end with white space or a byte order mark"
        )
    return text


class ScenarioStep(RequestBody):
    """One channel of a scenario, and the sender that the recipient sees."""

    sender: Annotated[StrictStr, Field(max_length=LONGEST_EMAIL_ADDRESS)] | None = Field(
        default=None, validation_alias="from", serialization_alias="from"
    )
    channel: Channel


class ScenarioDefinition(RequestBody):
    """The description of a scenario; its steps are tried in their order."""

    name: Annotated[StrictStr, Field(max_length=LONGEST_SCENARIO_NAME), AfterValidator(_plain_name)]
    flow: Annotated[tuple[ScenarioStep, ...], AfterValidator(one_or_more)]
    default: StrictBool | None = None


def _steps_if_known(
    value: object, read: Callable[[object], tuple[ScenarioStep, ...]]
) -> tuple[ScenarioStep, ...]:
    entries = value if isinstance(value, list | tuple) else ()
    return none_if_unreadable([*map(_known_members, entries)], read) or ()


def _known_members(step: object) -> object:
    """Return a step as a definition would have it: without new members, the sender as text."""
    if not isinstance(step, dict):
        return step
    return {"from": _sender(step.get("from")), "channel": step.get("channel")}


def _unbroken(text: str) -> str:
    if encodable(text) != text:
        raise PydanticCustomError("encodable", "must be text that UTF-8 can hold")
    return text


def _sender(value: object) -> str | None:
    """Read a sender, also one that is a number; None if it cannot be read."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = encodable(str(value)) if is_number or isinstance(value, str) else ""
    return text if 0 < len(text) <= LONGEST_EMAIL_ADDRESS else None


def _true_if_readable(value: object, read: Callable[[object], bool]) -> bool:
    return none_if_unreadable(value, read) or False


class Scenario(AnswerBody):
    """A scenario as Infobip returns it."""

    #: Opaque; some answers lack it. A key that is too long or broken is dropped, not changed.
    key: Annotated[
        Annotated[str, Field(max_length=LONGEST_SCENARIO_KEY), AfterValidator(_unbroken)] | None,
        TOLERANT,
    ] = None
    name: Text = None
    #: Empty if it holds a step that this version does not know.
    flow: Annotated[tuple[ScenarioStep, ...], WrapValidator(_steps_if_known)] = ()
    default: Annotated[bool, WrapValidator(_true_if_readable)] = False
