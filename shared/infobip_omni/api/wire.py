"""Base models of all bodies of Infobip's API: the format of names, texts and timestamps.

Requests are strict: an unknown field, a wrong type or a broken limit is refused before anything is
sent. Answers are read with tolerance: members may be missing, ``null``, new, or hold words that the
document does not list.

Personal fields are left out of ``repr``, and a ``ValidationError`` never quotes its input.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable

ValueT = TypeVar("ValueT")

#: Characters; the limit of a text that has no other. Every text has a limit, because it is stored
#: with each message, forwarded, or both. No record of the send queue is larger.
LONGEST_TEXT = 256 * 1024
#: Characters that are stored of Infobip's names and descriptions.
LONGEST_WORD = 200
LONGEST_DESCRIPTION = 1000
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
#: JSON allows larger numbers, which the table cannot store.
_LARGEST_NUMBER = 2**63 - 1
_DIGITS = re.compile(r"[+-]?[0-9]{1,19}")


class _Body(BaseModel):
    """A body with camelCase names in JSON and snake_case names in Python."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class RequestBody(_Body):
    """A body that is sent; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:  # noqa: ANN401 (as pydantic's)
        """Validate parsed JSON, by Infobip's names only; Python's names are for constructors."""
        if options:
            return super().model_validate(obj, **({"by_alias": True, "by_name": False} | options))
        # pydantic's method around it takes longer than the validation of a small model.
        validated: Self = cls.__pydantic_validator__.validate_python(
            obj, by_alias=True, by_name=False
        )
        return validated


class AnswerBody(_Body):
    """A body that is received; unknown members are ignored, and numbers are accepted as text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


def none_if_unreadable(value: object, read: Callable[[object], ValueT]) -> ValueT | None:
    """Read a value; return None if it breaks the rules of its type."""
    try:
        return read(value)
    except ValidationError:
        return None


#: For a field of an answer that is None if it cannot be read, so the others are not lost.
TOLERANT = WrapValidator(none_if_unreadable)


def _cut(longest: int) -> AfterValidator:
    """Cut a text to a number of characters."""
    return AfterValidator(lambda text: None if text is None else text[:longest])


def encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot encode, by question marks."""
    return text.encode(errors="replace").decode()


_EncodableText = Annotated[
    str | None, AfterValidator(lambda text: None if text is None else encodable(text))
]
#: Texts of Infobip; one that is too long is cut, not refused.
Text = Annotated[_EncodableText, _cut(LONGEST_TEXT), TOLERANT]
Word = Annotated[_EncodableText, _cut(LONGEST_WORD), TOLERANT]
Description = Annotated[_EncodableText, _cut(LONGEST_DESCRIPTION), TOLERANT]


def _whole_number(value: object) -> int | None:
    """Read a whole number, also one that is written as text or with zeros after the point.

    Python's own conversions would compute all digits of 1e999999999, and take true for 1.
    """
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _DIGITS.fullmatch(text := value.strip()):
        number = int(text)
    elif isinstance(value, Decimal) and value.is_finite():
        is_small = -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
        number = int(value) if is_small and value == int(value) else None
    return number if number is not None and abs(number) <= _LARGEST_NUMBER else None


#: A number of Infobip; None if it is none, or too large for the table.
WholeNumber = Annotated[int | None, BeforeValidator(_whole_number)]


def one_or_more(entries: tuple[ValueT, ...]) -> tuple[ValueT, ...]:
    """Return the entries; refuse an empty list."""
    # pydantic's minimum length would also report an error if the only entry is invalid.
    if not entries:
        raise PydanticCustomError("empty", "must hold at least one entry")
    return entries


def utc_from_strict_timestamp(value: object) -> datetime:
    """Parse a timestamp that has an offset, with or without a colon; return it in UTC."""
    timestamp = value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
            timestamp = datetime.fromisoformat(value)
        if timestamp is not None and timestamp.tzinfo is not None:
            return timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "timestamp", "must be a timestamp with an offset, like 2026-01-31T12:00:00.000+0000"
    )


def infobip_timestamp(timestamp: datetime) -> str:
    """Format a timestamp in UTC as Infobip's document does, to the millisecond."""
    return timestamp.isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def utc_from_any_timestamp(value: object) -> object:
    """Parse a timestamp in UTC, which is also the default offset; return None if it is invalid."""
    try:
        timestamp = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        if timestamp is None:
            return None
        return timestamp.replace(tzinfo=timestamp.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
