"""Scenarios, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictStr, WrapValidator, field_validator
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
    members = ("from", "channel")
    steps = [
        {name: entry.get(name) for name in members} if isinstance(entry, dict) else entry
        for entry in entries
    ]
    return none_if_unreadable(steps, read) or ()


class Scenario(AnswerBody):
    """A scenario as Infobip returns it."""

    #: Opaque; some answers lack it. A key that is too long is dropped, not cut.
    key: Annotated[
        Annotated[str, Field(max_length=LONGEST_SCENARIO_KEY), AfterValidator(encodable)] | None,
        TOLERANT,
    ] = None
    name: Text = None
    #: Empty if it holds a step that this version does not know.
    flow: Annotated[tuple[ScenarioStep, ...], WrapValidator(_steps_if_known)] = ()
    default: bool = False

    @field_validator("default", mode="before")
    @classmethod
    def _null_is_false(cls, value: object) -> object:
        return value is not None and value
