"""JSON that is sent on as it was written.

Python's parser returns values, but not the text of each. A number that was written as 1.10, or a
string with escapes, would be written differently from its value. So an object is read twice: its
values are checked, and the text of each member is sent.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Far below the depth at which Python or pydantic fail to read or write it.
DEEPEST_NESTING = 100
_SPACE = r"[ \t\n\r]*"
_NAME = rf'{_SPACE}"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"{_SPACE}:{_SPACE}'
_FIRST = re.compile(rf"\{{{_NAME}")
_NEXT = re.compile(rf"{_SPACE},{_NAME}")
#: An escaped surrogate without its other half; or an escaped backslash before what looks like a
#: surrogate, where only a parser can tell.
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]|\\\\u[dD]"
)


class InvalidJsonError(ValueError):
    """A text is not the JSON object that it must be; the rule never quotes it."""

    def __init__(self, path: tuple[int | str, ...], rule: str) -> None:
        super().__init__(rule)
        #: The names and positions that lead to what is wrong; empty for the text as a whole.
        self.path = path
        self.rule = rule


def parse_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; a byte order mark and white space around it are ignored.

    Raises:
        InvalidJsonError: The text is not a JSON object in UTF-8, is nested too deeply, names a
            member twice, or holds a number that Python's numbers do not reach.
    """
    text = without_surroundings(text)
    try:
        values, end = _scan(text, 0)
        is_sound = end == len(text) and type(values) is dict and not _may_be_unsound(text)
    except (ValueError, RecursionError, StopIteration):
        # The cause would quote the text.
        raise _error_in(text) or InvalidJsonError((), "must be JSON") from None
    if not is_sound and (error := _error_in(text)) is not None:
        raise error
    found: dict[str, Any] = values
    return found


def member_texts(text: str) -> dict[str, str]:
    """Return the JSON text of each member of an object, as it was written.

    Args:
        text: An object that `parse_object` accepts.
    """
    texts: dict[str, str] = {}
    text = without_surroundings(text)
    found = _FIRST.match(text)
    while found is not None:
        name, start = found[1], found.end()
        if "\\" in name:
            name = json.loads(f'"{name}"')
        _, end = _scan(text, start)
        texts[name] = text[start:end]
        found = _NEXT.match(text, end)
    return texts


def without_surroundings(text: str) -> str:
    """Return a text without what tools put around it: a byte order mark and white space."""
    return text.strip("\ufeff \t\r\n")


def object_text(members: Iterable[str]) -> str:
    """Return the JSON text of an object whose members are written already."""
    return f"{{{','.join(members)}}}"


def member_text(name: str, text: str) -> str:
    """Return the JSON text of a member, from the JSON text of its value."""
    return f"{json.dumps(name, ensure_ascii=False)}:{text}"


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member is repeated")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _refused(_: str) -> float:
    # Python parses NaN and Infinity, which JSON does not have.
    raise ValueError("a number is not finite")


#: Returns the value that begins at a position, and the position behind it.
_scan = make_scanner(
    json.JSONDecoder(  # type: ignore[arg-type]  # it has all that a scanner reads
        object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refused
    )
)


def _may_be_unsound(text: str) -> bool:
    """Return whether a text may be nested too deeply or hold what UTF-8 cannot."""
    return (
        text.count("[") + text.count("{") > DEEPEST_NESTING
        or not _is_encodable(text)
        or ("\\u" in text and _LONE_SURROGATE.search(text) is not None)
    )


def _is_encodable(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


# --- The first mistake in a text -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mistake:
    """Stands for a number that is no value."""

    rule: str


class _Members(list[tuple[str, Any]]):
    """The members of an object in their order, repeated names included."""


def _number(text: str) -> object:
    if math.isinf(float(text)):
        return _Mistake("must be a number that fits 64 bits")
    return text


def _integer(text: str) -> object:
    most = sys.get_int_max_str_digits()
    if 0 < most < len(text.lstrip("-")):
        return _Mistake("must be a number with fewer digits")
    return text


_TOLERANT_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_float=_number,
    parse_int=_integer,
    parse_constant=lambda _: _Mistake("must be a finite number"),
)


def _error_in(text: str) -> InvalidJsonError | None:
    """Return the error for the first mistake in a text; None if it is sound."""
    too_deep = InvalidJsonError((), f"must not be nested deeper than {DEEPEST_NESTING} levels")
    try:
        written = _TOLERANT_DECODER.decode(text)
    except RecursionError:
        return too_deep
    except ValueError:
        return InvalidJsonError((), "must be JSON")
    if not isinstance(written, _Members):
        return InvalidJsonError((), "must be a JSON object")
    if _is_too_deep(written):
        return too_deep
    return next((InvalidJsonError(path, rule) for path, rule in _mistakes(written, ())), None)


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST_NESTING):
        level = [child for parent in level for child in _children(parent)]
    return any(isinstance(one, list) for one in level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, _Members):
        return [inner for _, inner in value]
    return value if isinstance(value, list) else ()


def _mistakes(
    value: object, path: tuple[int | str, ...]
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield the path of each mistake and the rule, in the order of the text."""
    if isinstance(value, _Mistake):
        yield path, value.rule
    elif isinstance(value, str):
        if not _is_encodable(value):
            yield path, "must be text that UTF-8 can hold"
    elif isinstance(value, _Members):
        names: set[str] = set()
        for name, inner in value:
            if name in names:
                yield (*path, name), "must not be given twice"
            names.add(name)
            yield from _mistakes(name, (*path, name))
            yield from _mistakes(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _mistakes(inner, (*path, position))
