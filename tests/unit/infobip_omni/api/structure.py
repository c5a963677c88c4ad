"""The digest of Infobip's document in structure.toml: what it says, and contents made from it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infobip_omni.api.wire import LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]

_DIGEST: Json = tomllib.loads(Path(__file__).with_name("structure.toml").read_text("utf-8"))
VERSION: str = _DIGEST["version"]
OPERATIONS: Mapping[str, Json] = _DIGEST["operations"]
REQUESTS: Mapping[str, Json] = _DIGEST["requests"]
ANSWERS: Mapping[str, Json] = _DIGEST["answers"]
ENUMERATIONS: Mapping[str, str] = _DIGEST["enumerations"]
_VARIANTS: Mapping[str, Json] = _DIGEST["variants"]
_SHAPES: Mapping[str, list[str]] = _DIGEST["shapes"]

#: Where our rules are stricter, by object and member: ours, and the reason.
STRICTER = {
    ("SmsData", "text"): ("string 1..3825", "25 parts of 153 characters are the platform's limit"),
    ("ViberData", "validityPeriod"): ("int32 1..20160", "Viber does not support over 14 days"),
    ("", "validityPeriod"): ("int32 1..", "it must exceed 30 seconds; the unit is minutes"),
    ("Destination", "to"): ("To required", "without an address nothing can be sent"),
    ("To", "phoneNumber"): ("phone number", "its description: international format"),
    ("CreateOrUpdateScenarioRequest", "name"): (
        "string 1..200 required",
        "a scenario is looked up by its name",
    ),
    ("CreateOrUpdateScenarioRequest", "flow"): (
        "[Step] 1.. required",
        "a scenario without steps sends nothing",
    ),
}

_NOTATION = re.compile(
    r"(one of (?P<words>.+?)|(?P<bracket>[\[{]?)(?P<name>.+?)[\]}]*)"
    r"( (?P<least>-?[0-9]*)\.\.(?P<most>-?[0-9]*))?(?P<unique> unique)?(?P<required> required)?"
)
_INTEGERS = {"int32": 2**31, "int64": 2**63}
#: Most characters of a text that has no limit, in an example.
_LONG = 200
_EXAMPLES = {
    "number": 1.5,
    "boolean": True,
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00.000+0000",
    "any": {"a": [None, 1.5]},
    "phone number": "385991234567",
}
#: How a text begins that has a format, by a part of its member's name.
_BEGINNINGS = {
    "url": "https://a.example/",
    "uri": "https://a.example/",
    "imagelink": "https://a.example/",
    "emailaddress": "ada@example.com",
    "whatsappuserid": "DE.",
}
#: Values that no text, number, object, list or word is.
_WRONG: Mapping[str, list[Any]] = {
    "string": [7, True, ["a"], {"a": "a"}, "\ud83d"],
    "integer": ["a", 1.5, True, [1], {}],
    "number": ["1", True, [1], {}, float("nan"), float("inf")],
    "boolean": ["true", 1, [], {}],
    "words": ["", "NO_SUCH_WORD", 7, True, ["a"], {}],
    "date": ["", "31.01.2026", "2026-02-30", 20260131, ["2026-01-31"]],
    "date-time": ["", "tomorrow", "2026-01-31", 1767225600, True],
    "phone number": ["", "1234", "Ada", 385991234567, True, ["385991234567"]],
    "object": ["a", 7, True, [], [{}]],
    "list": ["a", 7, True, {}],
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a member of an object may hold."""

    #: A type, or the name of an object, a variant or an enumeration.
    name: str
    is_list: bool = False
    is_map: bool = False
    least: float | None = None
    most: float | None = None
    is_unique: bool = False
    is_required: bool = False
    #: The only words that it may hold, if there are such.
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, notation: str) -> Kind:
        """Read the notation of the digest."""
        parsed = _NOTATION.fullmatch(notation)
        if parsed is None:
            raise ValueError(f"not the notation of the digest: {notation}")
        name = (parsed["name"] or "words").strip("[")
        return cls(
            name,
            is_list=parsed["bracket"] == "[",
            is_map=parsed["bracket"] == "{",
            least=float(parsed["least"]) if parsed["least"] else None,
            most=float(parsed["most"]) if parsed["most"] else None,
            is_unique=bool(parsed["unique"]),
            is_required=bool(parsed["required"]),
            words=tuple((parsed["words"] or ENUMERATIONS.get(name, "")).split()),
        )

    @property
    def of_entry(self) -> Kind:
        """The kind of a list's entries."""
        return Kind(self.name, words=self.words)

    @property
    def objects(self) -> Mapping[str, str]:
        """The names of the objects that it may hold; those of a variant by its words."""
        return _objects(self.name)


def documented(schema: str) -> dict[str, Kind]:
    """Return what the members of an object of a request or an answer may hold."""
    members = REQUESTS.get(schema) or ANSWERS[schema]
    return {member: Kind.of(notation) for member, notation in members.items()}


def kinds(schema: str) -> dict[str, Kind]:
    """Return the same, with our stricter rules."""
    members = documented(schema)
    for object_or_all in ("", schema):
        for member in members:
            if (object_or_all, member) in STRICTER:
                members[member] = Kind.of(STRICTER[object_or_all, member][0])
    return members


def full(schema: str) -> Json:
    """Return an object of an answer that has all members."""
    return {
        member: [full(kind.name)]
        if kind.is_list and kind.objects
        else full(kind.name)
        if kind.objects
        else example(member, kind)
        for member, kind in documented(schema).items()
    }


def _objects(name: str) -> dict[str, str]:
    if name in REQUESTS or name in ANSWERS:
        return {"": name}
    words = {word: each for word, each in _VARIANTS.get(name, {}).items() if word != "by"}
    return {
        f"{word}.{inner}".rstrip("."): schema
        for word, each in words.items()
        for inner, schema in _objects(each).items()
    }


# --- Contents --------------------------------------------------------------------------------


def complete(schema: str, **members: object) -> Json:
    """Return an object with these members, and no more than it needs."""
    all_kinds = kinds(schema)
    needed = [
        member
        for member, kind in all_kinds.items()
        # The word by which a variant is chosen may be absent elsewhere.
        if kind.is_required or len(kind.words) == 1
    ]
    fixed, of_shape = _shape_with(schema, members)
    examples = {
        member: example(member, all_kinds[member])
        for member in (*needed, *of_shape)
        if member not in members
    }
    return examples | fixed | members


def shapes(schema: str) -> Iterator[tuple[Json, list[str], list[str]]]:
    """Yield the shapes of an object: members with their value, needed and optional ones."""
    for shape in _SHAPES.get(schema, [""]):
        words = shape.split()
        fixed = dict(word.split("=") for word in words if "=" in word)
        needed = [word for word in words if "=" not in word and not word.startswith("?")]
        yield fixed, needed, [word[1:] for word in words if word.startswith("?")]


def _shape_with(schema: str, members: Json) -> tuple[Json, list[str]]:
    all_shapes = list(shapes(schema))
    named = {member for shape in all_shapes for part in shape for member in part}
    for fixed, needed, optional in all_shapes:
        fits = all(
            member in needed
            or member in optional
            or member not in named
            or fixed.get(member) == value
            for member, value in members.items()
        )
        if fits:
            return fixed, needed
    # The value of a member is wrong, so it belongs to no shape.
    holds = (shape for shape in all_shapes if set(members) <= {*shape[1], *shape[2]})
    fixed, needed, _ = next(holds, all_shapes[0])
    return fixed, needed


def example(member: str, kind: Kind) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value that a member may hold."""
    if kind.is_list:
        return [_entry(member, kind, number) for number in range(int(kind.least or 0))]
    if kind.is_map:
        return {"a": _EXAMPLES["any"]}
    if kind.words:
        return kind.words[0]
    if kind.objects:
        return _example_object(kind.name)
    if kind.name == "string":
        return text(member, max(int(kind.least or 0), 1))
    return int(kind.least or 1) if kind.name in _INTEGERS else _EXAMPLES[kind.name]


def _example_object(name: str) -> Json:
    """Return the simplest object; of a variant, its first."""
    if name in REQUESTS:
        return complete(name)
    by, word, first = next(
        (variant["by"], word, each)
        for variant in [_VARIANTS[name]]
        for word, each in variant.items()
        if word != "by"
    )
    return _example_object(first) | {by: word}


def _entry(member: str, kind: Kind, number: int) -> Any:  # noqa: ANN401 (any JSON)
    if kind.name == "string":
        return text(member, 1) + str(number)
    return example(member, kind.of_entry)


def text(member: str, length: int) -> str:
    """Return a text for a member, at least as long as its format demands."""
    beginnings = (begin for part, begin in _BEGINNINGS.items() if part in member.lower())
    beginning = next(beginnings, "")
    return beginning.ljust(length, "a")


def allowed_values(member: str, kind: Kind) -> Iterator[Any]:
    """Yield values that a member may hold, those at its limits among them."""
    yield example(member, kind)
    if kind.is_list:
        most = int(kind.most or 2)
        yield [_entry(member, kind, number) for number in range(most)]
        for value in [] if kind.name == "string" else allowed_values(member, kind.of_entry):
            yield [value]
    elif kind.is_map:
        yield {}
    elif kind.words:
        yield from kind.words
    elif kind.name == "string":
        yield text(member, int(min(kind.most or _LONG, LONGEST_TEXT)))
    elif kind.name in _INTEGERS:
        limit = _INTEGERS[kind.name]
        yield int(-limit if kind.least is None else kind.least)
        yield limit - 1 if kind.most is None else int(kind.most)
    elif kind.name == "number":
        yield from (int(kind.least or 0), int(kind.most or 0), kind.least, kind.most)
    elif kind.name == "boolean":
        yield False


def broken_values(member: str, kind: Kind) -> Iterator[Any]:
    """Yield values that break one rule of a member, each in its own way."""
    yield from _out_of_range(member, kind)
    if kind.is_list:
        yield from _WRONG["list"]
        if kind.is_unique:
            yield ["a", "a"]
    elif kind.is_map or kind.objects:
        yield from _WRONG["object"]
    elif kind.words:
        yield from _WRONG["words"]
        yield kind.words[0].swapcase()
    else:
        yield from _WRONG["integer" if kind.name in _INTEGERS else kind.name]


def broken_entries(member: str, kind: Kind) -> Iterator[Any]:
    """Yield lists whose second entry breaks a rule."""
    if kind.is_list:
        for value in broken_values(member, kind.of_entry):
            yield [_entry(member, kind, 0), value]


def _out_of_range(member: str, kind: Kind) -> Iterator[Any]:
    least, most = kind.least, kind.most
    if kind.is_list:
        if least:
            yield []
        if most is not None:
            yield [_entry(member, kind, number) for number in range(int(most) + 1)]
    elif kind.name == "string":
        if least:
            yield text("", int(least) - 1)
        yield text(member, int(min(LONGEST_TEXT if most is None else most, LONGEST_TEXT)) + 1)
    elif kind.name in _INTEGERS:
        limit = _INTEGERS[kind.name]
        yield int(-limit if least is None else least) - 1
        yield limit if most is None else int(most) + 1
    elif kind.name == "number":
        yield from (bound + sign for bound, sign in ((least, -0.5), (most, 0.5)) if bound)


# --- Objects inside contents -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content may hold an object."""

    schema: str
    #: Like ``contents.body.contents[0]``; empty for the content itself.
    path: str
    #: The members that lead there, each with the words by which a variant is chosen.
    steps: tuple[tuple[str, str], ...]
    #: Returns a complete content that holds the object there.
    content_with: Callable[[Json], Json]

    def path_of(self, member: str) -> str:
        """Return the path of a member of the object."""
        return f"{self.path}.{member}".lstrip(".")


def places(root: str) -> list[Place]:
    """Return one place for each object that a content may hold, the content first."""
    found = {root: Place(root, "", (), lambda content: content)}
    queue = [root]
    for schema in queue:
        for member, kind in kinds(schema).items():
            for words, inner in kind.objects.items():
                if inner not in found:
                    found[inner] = _inside(found[schema], member, kind, words, inner)
                    queue.append(inner)
    return list(found.values())


def _inside(outer: Place, member: str, kind: Kind, words: str, schema: str) -> Place:
    def content_with(content: Json) -> Json:
        value = [content] if kind.is_list else content
        return outer.content_with(complete(outer.schema, **{member: value}))

    path = outer.path_of(member) + ("[0]" if kind.is_list else "")
    return Place(schema, path, (*outer.steps, (member, words)), content_with)
