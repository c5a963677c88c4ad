"""Parsing of events, and the error for an event that breaks a rule."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from infobip_omni.api.json_text import trimmed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    ModelT = TypeVar("ModelT", bound=BaseModel)

_LONGEST_FIELD = 200
#: The rule that an event breaks, by pydantic's type of error; limits come from the error's context.
#: https://docs.pydantic.dev/latest/errors/validation_errors/
_RULES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "enum": "must be one of {expected}",
    "extra_forbidden": "is not a field of this object",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "model_type": "must be an object",
    "string_sub_type": "must be a string",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "string_unicode": "must be text that UTF-8 can hold",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "tuple_type": "must be a list",
}
#: Errors of other types are raised by this package, with the rule as their text.
_PYDANTIC_KINDS = frozenset(get_args(core_schema.ErrorType))
#: For a type of error that no event is known to cause.
_OTHER_RULE = "must be as the README describes it"
#: Digits in a field's name that may be a phone number.
_LONG_NUMBER = re.compile(r"\d{5,}")


class InvalidEventError(ValueError):
    """An event breaks a rule; the text names the field and the rule, never the value."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    @classmethod
    def from_validation(cls, error: ValidationError, *at: int | str) -> Self:
        """Return the error for the first problem that pydantic has found.

        Args:
            error: The problems.
            at: The path of the value that was validated.
        """
        problem = error.errors(include_url=False, include_input=False)[0]
        return cls(field_name((*at, *problem["loc"])), _rule(problem))


class InvocationEvent(BaseModel):
    """An event written by a person or an app: camelCase, exact types, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
    )


def opened(event: object) -> object:
    """Return an event; if a tool has passed it as the text of its JSON, what the text holds."""
    if not isinstance(event, str):
        return event
    try:
        return json.loads(trimmed(event))
    except (ValueError, RecursionError):
        return event


def read_as(model: type[ModelT], event: object, *at: int | str) -> ModelT:
    """Validate an event, or a part of one, as a model.

    Args:
        model: The rules.
        event: Parsed JSON.
        at: The path of the part.

    Raises:
        InvalidEventError: The event breaks a rule of the model.
    """
    try:
        return model.model_validate(event)
    except ValidationError as error:
        # The cause may quote the value.
        raise InvalidEventError.from_validation(error, *at) from None


def _rule(problem: ErrorDetails) -> str:
    """Return the rule as a fixed text; only limits and names come from pydantic's context."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind not in _PYDANTIC_KINDS:
        return problem["msg"]
    if context.get("min_length") == 1:
        return "must not be empty"
    expected = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    return _RULES.get(kind, _OTHER_RULE).format_map(context | {"expected": ", ".join(expected)})


def field_name(location: tuple[int | str, ...]) -> str:
    """Format a path like ``destinations[0].to.phoneNumber``, without digits of a phone number."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    name = name.removeprefix(".") or "body"
    return _LONG_NUMBER.sub("#", name.encode(errors="replace").decode())[:_LONGEST_FIELD]
