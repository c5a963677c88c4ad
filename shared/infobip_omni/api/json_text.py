"""Reads JSON as Infobip's servers and people's tools really write it.

What JSON forbids inside of one value costs only that value: bytes that are not UTF-8 and control
characters in a text, a number or a nesting that Python cannot read, a mistake of syntax. Byte order
marks and white space around a text, which editors, shells and secret stores add, are dropped.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Spaces without width; the first one is the byte order mark.
_WITHOUT_WIDTH = "\ufeff\u200b\u2060"
#: Anything but JSON's white space.
_TOKEN = re.compile(r"[^ \t\n\r]")
#: A string, which may be cut off, or a bracket.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+\\?(?:"|\Z)|[\[\]{}]', re.DOTALL)
_WORD = re.compile(r'[^\s",:\[\]{}]+')
#: Reads NaN and Infinity, which JSON does not have, as strings; takes control characters.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=str, strict=False)
#: How deep inside of a value that cannot be read its parts are read one by one. The deepest member
#: that anything depends on is the status of a message in the answer to a send.
_LEVELS = 6


def trimmed(text: str) -> str:
    """Drop white space and byte order marks at both ends of a text."""
    while text != (text := text.strip().strip(_WITHOUT_WIDTH)):
        pass
    return text


def decoded(body: bytes) -> str:
    """Return the text of a body, trimmed; bytes that are not UTF-8 become U+FFFD."""
    return trimmed(body.decode(errors="replace"))


def read_json(text: str) -> Any:  # noqa: ANN401 (any JSON value)
    """Parse JSON; parts that cannot be read are None.

    Args:
        text: The JSON, with anything that `trimmed` drops around it.

    Returns:
        The value, with fractions as Decimal, NaN and Infinity as strings.

    Raises:
        ValueError: The text is not JSON, not even with such parts.
    """
    reader = Reader(trimmed(text))
    value = reader.value()
    reader.end()
    return value.parsed


@dataclass(frozen=True, slots=True)
class Value:
    """A JSON value, as it is written and as it was parsed."""

    raw: str = field(repr=False)
    #: With None for parts that cannot be read.
    parsed: Any = field(repr=False)
    #: The text breaks JSON's syntax, so where the value ends is a guess.
    is_broken: bool = False


class Reader:
    """Parses JSON piece by piece, since Python's decoder does not return the text of a value.

    Every method raises ValueError if the text is not as expected.
    """

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

    def name(self) -> object:
        """Read the name of a member, and the colon after it."""
        if not self.is_at('"'):
            raise ValueError("a name is missing")
        name = self.value().parsed
        self.skip(":")
        return name

    def value(self, levels: int = _LEVELS) -> Value:
        """Read a value; if it cannot be read as a whole, read its parts.

        Args:
            levels: How deep inside of the value that is tried.
        """
        self.is_at("")
        start = self._at
        try:
            parsed, self._at = _DECODER.raw_decode(self._text, start)
        except (ValueError, ArithmeticError, RecursionError) as error:
            parsed, is_broken = self._salvaged(start, levels)
            is_broken = is_broken or isinstance(error, json.JSONDecodeError)
            return Value(self._text[start : self._at], parsed, is_broken)
        return Value(self._text[start : self._at], parsed)

    def end(self) -> None:
        """Raise ValueError if anything comes after the value."""
        self.is_at("")
        if self._at < len(self._text):
            raise ValueError("there is more than one value")

    def _salvaged(self, start: int, levels: int) -> tuple[object, bool]:
        """Read the parts of a value; return them, and whether one is broken."""
        try:
            if levels and self._text.startswith("{", start):
                return self._members(levels - 1)
            if levels and self._text.startswith("[", start):
                values = [self.value(levels - 1) for _ in self.parts("[", "]")]
                return [each.parsed for each in values], any(each.is_broken for each in values)
        except ValueError:
            pass
        self._at = _end_of_value(self._text, start)
        return None, False

    def _members(self, levels: int) -> tuple[object, bool]:
        members: dict[object, object] = {}
        is_broken = False
        for _ in self.parts("{", "}"):
            name = self.name()
            value = self.value(levels)
            members[name] = value.parsed
            is_broken = is_broken or value.is_broken
        return members, is_broken


def _end_of_value(text: str, start: int) -> int:
    """Return where a value ends, by counting brackets; raise ValueError if it does not end."""
    if word := _WORD.match(text, start):
        return word.end()
    depth = 0
    for piece in _STRING_OR_BRACKET.finditer(text, start):
        token = piece.group()
        depth += (token in ("[", "{")) - (token in ("]", "}"))
        # A string that reaches to the end of the text may have been cut off.
        is_cut = token[0] == '"' and piece.end() == len(text)
        if depth < 0 or is_cut:
            break
        if depth == 0:
            return piece.end()
    raise ValueError("a value does not end")
