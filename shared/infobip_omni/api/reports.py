"""Delivery reports and log rows, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from .wire import TOLERANT, AnswerBody, Description, Text, Word, utc_from_any_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
#: JSON allows larger numbers, which the table cannot store.
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Status(AnswerBody):
    """The status of a message."""

    group_id: _Int64  #: a `StatusGroup`, or a number that this version does not know
    id: _Int64
    group_name: Word = None
    name: Word = None
    description: Description = None


class Price(AnswerBody):
    """The price of a message."""

    #: At most the digits of a DynamoDB number.
    price_per_message: Annotated[Annotated[Decimal, Field(max_digits=38)] | None, TOLERANT] = None
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

#: Anything but JSON's white space.
_TOKEN = re.compile(r"[^ \t\n\r]")
_EMPTY_PAGE = re.compile(
    rb"[ \t\n\r]*".join((b"", rb"\{", b'"results"', b":", rb"\[", rb"\]", rb"\}", b""))
)
#: Reads NaN and Infinity, which JSON does not have, as strings, so they do not spoil an entry.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=str)


class UnreadablePageError(ValueError):
    """A body holds no list of entries; the text never quotes the body."""


@dataclass(frozen=True, slots=True)
class RawEntry(Generic[ParsedT_co]):
    """An entry of a page, as it came and as it was parsed."""

    #: The JSON text as it came; bytes that are not UTF-8 are replaced.
    raw: str = field(repr=False)
    #: The parsed JSON, with fractions as Decimal; or a model.
    parsed: ParsedT_co = field(repr=False)

    def read(self, model: type[ModelT]) -> RawEntry[ModelT] | None:
        """Validate the parsed JSON as a model; return None if it is not valid."""
        try:
            return RawEntry(self.raw, model.model_validate(self.parsed))
        except ValidationError:
            return None


def parse_page(body: bytes, member: str = "results") -> list[RawEntry[Any]]:
    """Parse a page of entries.

    Args:
        body: A JSON object.
        member: The name of its member that holds the list.

    Returns:
        The entries, each as it came and parsed, in order.

    Raises:
        UnreadablePageError: The body is not such an object.
    """
    try:
        return _list_of(_Reader(body.decode("utf-8-sig", errors="replace")), member)
    except (ValueError, RecursionError):
        # The cause would quote the body.
        raise UnreadablePageError("the body is not a JSON object with the list") from None


def is_empty_page(body: bytes) -> bool:
    """Return whether a body is ``{"results": []}`` and nothing else, but for white space.

    Any other body may hold something worth storing: with one more member, with the same member
    twice, or in a form that this version does not know.
    """
    return _EMPTY_PAGE.fullmatch(body) is not None


def page_of(entries: Iterable[RawEntry[Any]]) -> bytes:
    """Return a page of entries as they came: JSON that `parse_page` reads."""
    return f'{{"results": [{", ".join(entry.raw for entry in entries)}]}}'.encode()


class _Reader:
    """Parses JSON piece by piece, since Python's decoder does not return the text of a value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def is_at(self, token: str) -> bool:
        """Return whether a token comes next, after white space."""
        found = _TOKEN.search(self._text, self._at)
        self._at = found.start() if found else len(self._text)
        return self._text.startswith(token, self._at)

    def parts(self, first: str, last: str) -> Iterator[None]:
        """Yield before each part of an object or a list; the caller has to read the part."""
        self.skip(first)
        if not self.is_at(last):
            yield
        while not self.is_at(last):
            self.skip(",")
            yield
        self.skip(last)

    def skip(self, token: str) -> None:
        """Read a token that must come next."""
        if not self.is_at(token):
            raise ValueError("a token is missing")
        self._at += len(token)

    def value(self) -> RawEntry[Any]:
        """Read a value."""
        self.is_at("")
        parsed, end = _DECODER.raw_decode(self._text, self._at)
        raw = self._text[self._at : end]
        self._at = end
        return RawEntry(raw, parsed)

    def end(self) -> None:
        """Raise ValueError if anything comes after the value."""
        self.is_at("")
        if self._at < len(self._text):
            raise ValueError("there is more than one value")


def _list_of(page: _Reader, member: str) -> list[RawEntry[Any]]:
    entries: list[RawEntry[Any]] | None = None
    for _ in page.parts("{", "}"):
        if not page.is_at('"'):
            raise ValueError("a name is missing")
        name = page.value().parsed
        page.skip(":")
        if name == member and page.is_at("["):
            entries = [page.value() for _ in page.parts("[", "]")]
        else:
            page.value()
            # Of several members with the same name, the last one counts.
            entries = None if name == member else entries
    page.end()
    if entries is None:
        raise ValueError("the list is missing")
    return entries
