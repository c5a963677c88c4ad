"""What all bodies of Infobip's API share: how names, texts and timestamps are written.

What we send is strict: an unknown field, a wrong type or a broken limit is refused before it
leaves. What we receive is read with tolerance: members may be missing, ``null``, new, or hold
words that are not in the document.

Personal fields are hidden from ``repr``, and a ``ValidationError`` never quotes its input.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable

ValueT = TypeVar("ValueT")

#: Every text has a limit, since it is stored with each message, forwarded, or both. No record of a
#: queue is larger than this one, and no text that has no other limit longer.
LONGEST_TEXT = 256 * 1024
#: What is kept of a name and of a description that Infobip gives.
LONGEST_WORD = 200
LONGEST_DESCRIPTION = 1000
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)


class _Body(BaseModel):
    """Infobip's camelCase on the wire, our names in Python."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class RequestBody(_Body):
    """What we send: nothing unknown gets in."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:  # noqa: ANN401 (as pydantic's)
        """Read parsed JSON, in Infobip's spelling only; our own is for Python code."""
        return super().model_validate(obj, **({"by_alias": True, "by_name": False} | options))


class AnswerBody(_Body):
    """What we receive: unknown members are ignored, and numbers serve as text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


def none_if_unreadable(value: object, read: Callable[[object], ValueT]) -> ValueT | None:
    """Read a value, or return None when it breaks the rules of its type."""
    try:
        return read(value)
    except ValidationError:
        return None


#: A field of an answer that costs only itself when it cannot be read.
TOLERANT = WrapValidator(none_if_unreadable)


def _cut(longest: int) -> AfterValidator:
    """Leave out what is longer than so many characters."""
    return AfterValidator(lambda text: None if text is None else text[:longest])


def encodable(text: str) -> str:
    """Write a question mark for half a character: JSON can hold one, which no UTF-8 can carry."""
    return text.encode(errors="replace").decode()


_EncodableText = Annotated[
    str | None, AfterValidator(lambda text: None if text is None else encodable(text))
]
#: What Infobip says, which is never too long to be read, but kept in part if it is.
Text = Annotated[_EncodableText, _cut(LONGEST_TEXT), TOLERANT]
Word = Annotated[_EncodableText, _cut(LONGEST_WORD), TOLERANT]
Description = Annotated[_EncodableText, _cut(LONGEST_DESCRIPTION), TOLERANT]


def one_or_more(entries: tuple[ValueT, ...]) -> tuple[ValueT, ...]:
    """Refuse a list without entries."""
    # A minimum length in pydantic would also complain whenever the only entry is invalid.
    if not entries:
        raise PydanticCustomError("empty", "must hold at least one entry")
    return entries


def utc_from_strict_timestamp(value: object) -> datetime:
    """Read a timestamp with an offset, with or without its colon."""
    moment = value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
            moment = datetime.fromisoformat(value)
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "timestamp", "must be a timestamp with an offset, like 2026-01-31T12:00:00.000+0000"
    )


def infobip_timestamp(moment: datetime) -> str:
    """Format a moment in UTC as Infobip's document does, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def utc_from_any_timestamp(value: object) -> object:
    """Read both styles of offset; a timestamp without one is taken for UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            return None
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
