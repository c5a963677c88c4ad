"""Delivery reports and log rows, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .json_text import Reader, decoded
from .wire import (
    TOLERANT,
    AnswerBody,
    Description,
    Text,
    WholeNumber,
    Word,
    utc_from_any_timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

ParsedT_co = TypeVar("ParsedT_co", covariant=True)
ModelT = TypeVar("ModelT", bound=BaseModel)


class StatusGroup(IntEnum):
    """The group of a status; between documents the groups' names vary, their numbers do not."""

    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


#: DynamoDB's limit for a partition key; no message can have a longer id.
LONGEST_KEY_BYTES = 2048
_Timestamp = Annotated[datetime | None, BeforeValidator(utc_from_any_timestamp)]


class Status(AnswerBody):
    """The status of a message.

    Infobip leaves out any part of it; `statuses.group_of` finds out what the others say.
    """

    group_id: WholeNumber = None  #: a `StatusGroup`, or a number that this version does not know
    id: WholeNumber = None
    group_name: Word = None
    name: Word = None
    description: Description = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        """Refuse a status of which no part can be read: it is the same as none."""
        if self.group_id is self.id is None and not self.group_name and not self.name:
            raise PydanticCustomError("no_status", "must hold a group or a status")
        return self


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


class Price(AnswerBody):
    """The price of a message."""

    #: At most the digits of a DynamoDB number.
    price_per_message: Annotated[
        Annotated[Decimal, Field(max_digits=38), BeforeValidator(_number)] | None, TOLERANT
    ] = None
    currency: Word = None


_ReportedId = Annotated[str, Field(max_length=LONGEST_KEY_BYTES)]


class _Row(AnswerBody):
    """The members that reports and log rows share: one row for each step that was tried."""

    message_id: _ReportedId
    status: Status
    channel: Word = None  #: a `Channel`, or a word that this version does not know
    bulk_id: Word = None
    to: Text = Field(default=None, repr=False)
    sent_at: _Timestamp = None
    done_at: _Timestamp = None
    price: Annotated[Price | None, TOLERANT] = None


class DeliveryReport(_Row):
    """One entry of ``GET /omni/1/reports``, or of a call to a notifyUrl.

    Its ``error`` is not parsed: it only explains the status, and Infobip's documents contradict
    each other about it.
    """


class SeenReport(AnswerBody):
    """An entry of a call to a notifyUrl: when the recipient has seen a message."""

    message_id: _ReportedId
    seen_at: Annotated[datetime, BeforeValidator(utc_from_any_timestamp)]
    channel: Word = None


class LogEntry(_Row):
    """One entry of ``GET /omni/1/logs``.

    Its sender and text are not parsed; the row is stored as it came.
    """


# --- Pages -----------------------------------------------------------------------------------

_EMPTY_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?"
    + rb"[ \t\n\r]*".join((b"", rb"\{", b'"results"', b":", rb"\[", rb"\]", rb"\}", b""))
)


class UnreadablePageError(ValueError):
    """A body holds no list of entries; the text never quotes the body."""


@dataclass(frozen=True, slots=True)
class RawEntry(Generic[ParsedT_co]):
    """An entry of a page, as it came and as it was parsed."""

    #: The JSON text as it came; bytes that are not UTF-8 are replaced.
    raw: str = field(repr=False)
    #: The parsed JSON, as `json_text.Value` has it; or a model.
    parsed: ParsedT_co = field(repr=False)
    #: The text breaks JSON's syntax, so it may be a part of the entry, or more than it.
    is_broken: bool = False

    def read(self, model: type[ModelT]) -> RawEntry[ModelT] | None:
        """Validate the parsed JSON as a model; return None if it is not valid."""
        try:
            return RawEntry(self.raw, model.model_validate(self.parsed), self.is_broken)
        except ValidationError:
            return None


def parse_page(body: bytes, member: str = "results") -> list[RawEntry[Any]]:
    """Parse a page of entries. One that cannot be read affects no other.

    Args:
        body: A JSON object.
        member: The name of its member that holds the list. If there are several, all count: an
            entry of any of them may be returned only once.

    Returns:
        The entries, each as it came and parsed, in order.

    Raises:
        UnreadablePageError: The body is not such an object.
    """
    try:
        return _list_of(Reader(decoded(body)), member)
    except ValueError:
        # The cause would quote the body.
        raise UnreadablePageError("the body is not a JSON object with the list") from None


def is_empty_page(body: bytes) -> bool:
    """Return whether a body is ``{"results": []}`` and nothing else, but for invisible characters.

    Any other body may hold something worth storing: with one more member, with the same member
    twice, or in a form that this version does not know.
    """
    return _EMPTY_PAGE.fullmatch(body) is not None


def page_of(entries: Iterable[RawEntry[Any]]) -> bytes:
    """Return a page of entries as they came: JSON that `parse_page` reads."""
    return f'{{"results": [{", ".join(entry.raw for entry in entries)}]}}'.encode()


def _list_of(page: Reader, member: str) -> list[RawEntry[Any]]:
    entries: list[RawEntry[Any]] | None = None
    for _ in page.parts("{", "}"):
        if page.name() == member and page.is_at("["):
            entries = entries or []
            for _ in page.parts("[", "]"):
                value = page.value()
                entries.append(RawEntry(value.raw, value.parsed, value.is_broken))
        else:
            page.value()
    page.end()
    if entries is None:
        raise ValueError("the list is missing")
    return entries
