"""What Infobip reports and logs, after its OpenAPI document 3.210.0."""

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
    """What a status amounts to; names of groups vary between documents, numbers do not."""

    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


#: Bytes of a table's partition key. A longer id can be of no message.
LONGEST_KEY_BYTES = 2048
_Moment = Annotated[datetime | None, BeforeValidator(utc_from_any_timestamp)]
#: JSON knows larger numbers, that nothing behind can hold.
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Status(AnswerBody):
    """What became of a message, or is becoming of it."""

    group_id: _Int64  #: a `StatusGroup`, or a number that is new
    id: _Int64
    group_name: Word = None
    name: Word = None
    description: Description = None


class Price(AnswerBody):
    """What a message cost."""

    #: Not more digits than a table holds.
    price_per_message: Annotated[Annotated[Decimal, Field(max_digits=38)] | None, TOLERANT] = None
    currency: Word = None


_ReportedId = Annotated[str, Field(max_length=LONGEST_KEY_BYTES)]


class _Row(AnswerBody):
    """What reports and logs share: one row for each step that was tried."""

    message_id: _ReportedId
    status: Status
    channel: Word = None  #: a `Channel`, or a word that is new
    bulk_id: Word = None
    to: Text = Field(default=None, repr=False)
    sent_at: _Moment = None
    done_at: _Moment = None
    price: Annotated[Price | None, TOLERANT] = None


class DeliveryReport(_Row):
    """One entry of ``GET /omni/1/reports``, or of a call to a notifyUrl.

    Its ``error`` is not read: it only explains the status, and documents contradict each other.
    """


class SeenReport(AnswerBody):
    """An entry of a call to a notifyUrl that says when the recipient has seen a message."""

    message_id: _ReportedId
    seen_at: Annotated[datetime, BeforeValidator(utc_from_any_timestamp)]
    channel: Word = None


class LogEntry(_Row):
    """One entry of ``GET /omni/1/logs``.

    It also holds sender and text, which nobody reads; the row is kept as it came.
    """


# --- Pages -----------------------------------------------------------------------------------

#: What is none of JSON's spaces.
_TOKEN = re.compile(r"[^ \t\n\r]")
#: Neither of the numbers that JSON does not have can spoil an entry.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=str)


class UnreadablePageError(ValueError):
    """A body holds no list of entries; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class RawEntry(Generic[ParsedT_co]):
    """An entry of a page: as it came, and what was read from that."""

    #: JSON, to the letter; bytes that were not UTF-8 spoil only the character that they stand for.
    raw: str = field(repr=False)
    #: Plain JSON, of which fractions are Decimal; or a model.
    parsed: ParsedT_co = field(repr=False)

    def read(self, model: type[ModelT]) -> RawEntry[ModelT] | None:
        """Read the plain JSON as a model; return None where it is none."""
        try:
            return RawEntry(self.raw, model.model_validate(self.parsed))
        except ValidationError:
            return None


def parse_page(body: bytes, member: str = "results") -> list[RawEntry[Any]]:
    """Read a page of entries, each of them once.

    Args:
        body: A JSON object.
        member: The member of it that is the list.

    Raises:
        UnreadablePageError: It is no such object.
    """
    try:
        return _list_of(_Reader(body.decode("utf-8-sig", errors="replace")), member)
    except (ValueError, RecursionError):
        # The cause would hold the body.
        raise UnreadablePageError("the body is no JSON object with the list") from None


def page_of(entries: Iterable[RawEntry[Any]]) -> bytes:
    """Write a page of entries as they came."""
    return f'{{"results": [{", ".join(entry.raw for entry in entries)}]}}'.encode()


class _Reader:
    """Reads JSON piece by piece: the decoder of Python does not tell where a value stood."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def is_at(self, token: str) -> bool:
        """Return whether a token comes next, after spaces."""
        found = _TOKEN.search(self._text, self._at)
        self._at = found.start() if found else len(self._text)
        return self._text.startswith(token, self._at)

    def parts(self, first: str, last: str) -> Iterator[None]:
        """Go through the parts of an object or a list, each of which the caller has to read."""
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
        """Make sure that nothing comes after the value."""
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
            # Of several members with one name, the last one counts.
            entries = None if name == member else entries
    page.end()
    if entries is None:
        raise ValueError("the list is missing")
    return entries
