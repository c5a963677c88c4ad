"""Hostile texts that are likely to get far: valid examples with mutations, and random ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hypothesis import strategies as st

from .hostile import HOSTILE, HUGE_TEXT, NOT_UTF_8, encoded, paths_in, with_text

if TYPE_CHECKING:
    from .hostile import Path

_VALUES = [*HOSTILE.values(), HUGE_TEXT]
#: Members that a parser may know where the example has none.
_NAMES = st.sampled_from(
    (
        *("messageId", "status", "groupId", "id", "to", "sms", "push", "scenario", "results"),
        *("destinations", "validityPeriod", "extra", "", "__proto__", "a" * 300, "\ud83d"),
    )
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(("385991234567", "m-1", "REJECTED", "2026-01-31T12:00:00.000+0000"))
)
RANDOM_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_NAMES | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
_CHANGES = st.sampled_from(
    ("replaced", "replaced", "absent", "new", "doubled before", "doubled after")
)
_MUTATIONS = st.integers(0, 3)
_CHANGES_OF_BYTES = st.sampled_from((0, 0, 0, 1, 2))
_FEW = st.integers(0, 3)
_BYTES = st.binary(max_size=3)
_ONE_IN_TWENTY = st.integers(0, 19)
_AROUND = st.sampled_from((b"", b"", b"\xef\xbb\xbf", b" \r\n", b"\xc2\xa0", b"\x00", b"\xff\xfe"))


@dataclass(frozen=True)
class _Example:
    """A valid body, and the texts that its members are replaced by."""

    body: object
    texts: st.SearchStrategy[str]

    @classmethod
    def of(cls, body: object) -> Self:
        """Prepare a body; the texts are hostile ones, parts of the body, and random ones."""
        parts = [json.dumps(part) for part in (body, *(_at(body, each) for each in paths_in(body)))]
        random = RANDOM_JSON.map(json.dumps)
        return cls(body, st.one_of(st.sampled_from(_VALUES), st.sampled_from(parts), random))


@st.composite
def _mutated(draw: st.DrawFn, example: _Example) -> bytes:
    """Return a body with members replaced, left out, doubled or added, and bytes changed."""
    body: Any = example.body
    written = json.dumps(body).encode()
    for _ in range(draw(_MUTATIONS)):
        paths = [*paths_in(body)]
        if not paths:
            break
        path = paths[draw(st.integers(0, len(paths) - 1))]
        written = with_text(body, path, _replacement(draw, path, _at(body, path), example.texts))
        try:
            body = json.loads(written)
        except (ValueError, RecursionError):
            break
    for _ in range(draw(_CHANGES_OF_BYTES)):
        start, length = draw(st.integers(0, len(written))), draw(_FEW)
        written = written[:start] + draw(_BYTES) + written[start + length :]
    if draw(_ONE_IN_TWENTY) == 0:
        written = written[: draw(st.integers(0, len(written)))]
    return draw(_AROUND) + written + draw(_AROUND)


def _replacement(
    draw: st.DrawFn, path: Path, value: object, texts: st.SearchStrategy[str]
) -> str | None:
    """Return what is written in place of a value; None leaves its member out."""
    change = draw(_CHANGES)
    if change == "absent":
        return None
    text, old = draw(texts), json.dumps(value)
    if change == "replaced":
        return text
    if not isinstance(path[-1], str):
        return f"{old}, {text}"
    name = json.dumps(path[-1])
    if change == "new":
        return f"{old}, {json.dumps(draw(_NAMES))}: {text}"
    return f"{text}, {name}: {old}" if change == "doubled before" else f"{old}, {name}: {text}"


def bodies(*examples: object) -> st.SearchStrategy[bytes]:
    """Return bodies: most of them like the examples, some of random JSON or random bytes."""
    like = st.one_of([_mutated(_Example.of(example)) for example in examples])
    return st.one_of(
        like,
        like,
        like,
        RANDOM_JSON.map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=60),
        st.sampled_from([encoded(text) for text in (*_VALUES, NOT_UTF_8)]),
    )


def texts(*examples: object) -> st.SearchStrategy[str]:
    """Return bodies as text, in which bytes that are not UTF-8 become half characters."""
    return bodies(*examples).map(lambda body: body.decode(errors="surrogateescape"))


def events(*examples: object) -> st.SearchStrategy[object]:
    """Return JSON as a function gets it: mostly parsed, sometimes as text."""
    return st.one_of(bodies(*examples).map(_parsed), RANDOM_JSON, texts(*examples))


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _at(value: Any, path: Path) -> Any:  # noqa: ANN401 (any JSON)
    for part in path:
        value = value[part]
    return value
