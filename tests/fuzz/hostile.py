"""Values that members of JSON are replaced by, and the variants of a body that have them.

They are written as text, since most of them cannot be made by Python's encoder.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

#: How JSON texts name a byte that is not UTF-8, until `encoded` writes it.
NOT_UTF_8 = "\udcff"
_DEEP = 5_000
#: The texts of values, by what is hostile about them.
HOSTILE = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "1.5",
    "large exponent": "1e999",
    "impossible exponent": "1e" + "9" * 25,
    "19 digits": "9" * 19,
    "many digits": "9" * 5_000,
    "not a number": "NaN",
    "infinity": "-Infinity",
    "empty text": '""',
    "text": '"Zagreb"',
    "half of a character": r'"\ud83d"',
    "control characters": '"\\u0000\x00\x01\x1f\t"',
    "not UTF-8": f'"{NOT_UTF_8}"',
    "invalid escape": r'"\x41"',
    "byte order mark": '"\ufeff"',
    "list": '["m"]',
    "empty list": "[]",
    "object": '{"a": 1}',
    "empty object": "{}",
    "deep list": "[" * _DEEP + "]" * _DEEP,
    "deep object": '{"a":' * _DEEP + "1" + "}" * _DEEP,
    "invalid word": "undefined",
}
#: Larger than any item of the table.
HUGE_TEXT = json.dumps("x" * 450_000)
_PLACE = "\ue000"


@dataclass(frozen=True, slots=True)
class Variant:
    """A body in which one member is changed."""

    path: Path
    #: What is done to it, with the name of a hostile value if one is used.
    change: str
    whole: Any
    #: Replaces the value of the member that is changed; None leaves the member out.
    text: str | None
    #: The member that is changed: the same, or the one after which another is added.
    place: Path

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.change}"

    @property
    def body(self) -> bytes:
        """The body, which is made only when it is needed."""
        return with_text(self.whole, self.place, self.text)


def encoded(text: str) -> bytes:
    """Return the bytes of a JSON text, with `NOT_UTF_8` as a byte that is not UTF-8."""
    return text.encode(errors="surrogateescape")


def paths_in(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all members and entries of a value, the outer ones first."""
    parts: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        parts = [*value.items()]
    elif isinstance(value, list):
        parts = [*enumerate(value)]
    for name, inner in parts:
        yield (*path, name)
        yield from paths_in(inner, (*path, name))


def variants(body: Any, below: Path, values: Mapping[str, str]) -> Iterator[Variant]:  # noqa: ANN401 (any JSON)
    """Yield a body with each of its members changed in each way.

    Args:
        body: The body.
        below: The path of the object whose members are changed, and all within them.
        values: The texts that members are replaced by.
    """
    for path in paths_in(_value(body, below), below):
        yield Variant(path, "absent", body, None, path)
        old = json.dumps(_value(body, path))
        for kind, text in values.items():
            yield Variant(path, kind, body, text, path)
            if isinstance(path[-1], str):
                member = json.dumps(path[-1])
                yield Variant(
                    path, f"doubled, {kind} first", body, f"{text}, {member}: {old}", path
                )
                yield Variant((*path[:-1], "new"), kind, body, f'{old}, "new": {text}', path)


def with_text(body: Any, path: Path, text: str | None) -> bytes:  # noqa: ANN401 (any JSON)
    """Return a body with the value at a path replaced by a text, or left out."""
    if not path:
        return encoded(text or "")
    copied = copy.deepcopy(body)
    holder, name = _holder(copied, path)
    if text is None:
        del holder[name]
        return json.dumps(copied).encode()
    holder[name] = _PLACE
    return encoded(json.dumps(copied).replace(json.dumps(_PLACE), text))


def _holder(body: Any, path: Path) -> tuple[Any, Any]:  # noqa: ANN401 (any JSON)
    for part in path[:-1]:
        body = body[part]
    return body, path[-1]


def _value(body: Any, path: Path) -> Any:  # noqa: ANN401 (any JSON)
    for part in path:
        body = body[part]
    return body
