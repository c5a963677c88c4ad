"""The error of an event that breaks a rule, and how pydantic's become one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    ModelT = TypeVar("ModelT", bound=BaseModel)

_LONGEST_FIELD = 200
#: Anything in a field's name that may be a phone number.
_LONG_NUMBER = re.compile(r"\d{5,}")


class InvalidEventError(ValueError):
    """An event breaks a rule; names the field and the rule, never the value."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    @classmethod
    def from_validation(cls, error: ValidationError) -> Self:
        """Return the first of the problems that pydantic has found."""
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return cls(_field_name(problem["loc"]), problem["msg"])


def read_as(model: type[ModelT], event: object) -> ModelT:
    """Read an event as a model.

    Raises:
        InvalidEventError: It breaks a rule of the model.
    """
    try:
        return model.model_validate(event)
    except ValidationError as error:
        # The cause may hold what it could not read.
        raise InvalidEventError.from_validation(error) from None


def _field_name(location: tuple[int | str, ...]) -> str:
    """Write a location like ``destinations[0].to.phoneNumber``."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    name = name.removeprefix(".") or "body"
    return _LONG_NUMBER.sub("#", name.encode(errors="replace").decode())[:_LONGEST_FIELD]
