"""Compares the body of a request with the structure that Infobip documents.

``schemas.json`` holds that structure: the bodies of requests in Infobip's OpenAPI document 3.210.0,
with each ``allOf`` merged, and without descriptions and members that have no effect here.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]
#: The path of a member, and the rule that it breaks. Neither contains a value of the request.
Problem = tuple[str, str]

#: Required lists that name members which exclude each other: Infobip's own examples break them.
_CONTRADICTORY = {"KakaoChinguData", "LineData", "MediaTemplateHeaderContent", "WhatsAppData"}
#: Content that is its text, for which the document gives a shortest length only.
_WITH_TEXT = {"EmailData", "KakaoAlimData", "SmsData", "VoiceData"}
#: The file types that Viber shows.
_FILE_TYPES = (
    *("doc", "docx", "rtf", "dot", "dotx", "odt", "odf", "fodt", "txt", "info", "pdf", "xps"),
    *("pdax", "eps", "xls", "xlsx", "ods", "fods", "csv", "xlsm", "xltx"),
)
_PLACES = ("HOME", "WORK")
#: Rules that the document states in its descriptions only, by schema and member.
_DESCRIBED: Mapping[tuple[str, str], Json] = {
    ("Address", "type"): {"enum": _PLACES},
    ("Contact", "birthday"): {
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        "rule": "must be a date, such as 1815-12-10",
    },
    ("Email", "type"): {"enum": _PLACES},
    ("Phone", "type"): {"enum": (*_PLACES, "CELL", "MAIN", "IPHONE")},
    ("To", "emailAddress"): {"pattern": ".@.", "rule": "must be an e-mail address"},
    ("To", "whatsAppUserId"): {
        "pattern": "^[A-Za-z]{2}[.][A-Za-z0-9]+$",
        "rule": "must be a country code, a full stop, and letters and digits",
        "maxLength": 150,
    },
    ("Url", "type"): {"enum": _PLACES},
    ("ViberData", "fileType"): {"enum": _FILE_TYPES},
}
_RANGES = {"int32": 2**31, "int64": 2**63}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or isinstance(value, float)


_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "array": ("a list", lambda value: isinstance(value, list)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "integer": ("a whole number", _is_integer),
    "number": ("a number", _is_number),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "string": ("a string", lambda value: isinstance(value, str)),
}


def _load() -> dict[str, Json]:
    path = Path(__file__).with_name("schemas.json")
    schemas: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))["schemas"]
    for name in _CONTRADICTORY:
        del schemas[name]["required"]
    for name in _WITH_TEXT:
        schemas[name]["required"] = ["text"]
    for (name, member), rules in _DESCRIBED.items():
        schemas[name]["properties"][member] |= rules
    # The document names another schema, without a box of the layout BASELINE, which it defines.
    schemas["HorizontalVerticalComponent"]["discriminator"]["mapping"]["BOX"] = "BoxComponent"
    return schemas


SCHEMAS = _load()


def problems(value: object, name: str, path: str = "") -> Iterator[Problem]:
    """Return what is wrong with a value.

    Members that the schema does not define are ignored, and a ``null`` counts as absent.

    Args:
        value: The value, as JSON.
        name: Of its schema.
        path: Of the value in the request; empty for the whole body.
    """
    return _problems(value, {"$ref": name}, path)


def _problems(value: Any, schema: Json, path: str) -> Iterator[Problem]:  # noqa: ANN401 (JSON)
    if "$ref" in schema:
        yield from _problems(value, SCHEMAS[schema["$ref"]], path)
        return
    kind, fits = _TYPES[schema["type"]]
    if not fits(value):
        yield path or "body", f"must be {kind}"
        return
    match value:
        case str():
            yield from ((path, rule) for rule in _broken_by_text(value, schema))
        case bool():
            return
        case int() | float():
            yield from ((path, rule) for rule in _broken_by_number(value, schema))
        case list():
            yield from ((path, rule) for rule in _broken_by_list(value, schema))
            for index, item in enumerate(value):
                yield from _problems(item, schema["items"], f"{path}[{index}]")
        case dict():
            yield from _object_problems(value, schema, path)


def _broken_by_text(text: str, schema: Json) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if len(text) < least:
        yield "must not be empty" if least == 1 else f"must have at least {least} characters"
    if len(text) > most:
        yield f"must have at most {most} characters"
    choices = schema.get("enum")
    if choices is not None and text not in choices:
        yield "must be one of " + ", ".join(choices)
    if "pattern" in schema and not re.search(schema["pattern"], text):
        yield schema.get("rule", f"must match {schema['pattern']}")


def _broken_by_number(number: float, schema: Json) -> Iterator[str]:
    reach = _RANGES.get(schema.get("format", ""), math.inf)
    least, most = schema.get("minimum", -reach), schema.get("maximum", reach - 1)
    if not least <= number <= most:
        yield f"must be from {least} to {most}"


def _broken_by_list(items: list[object], schema: Json) -> Iterator[str]:
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if not least <= len(items) <= most:
        yield f"must have from {least} to {most} entries"
    if schema.get("uniqueItems"):
        texts = [item for item in items if isinstance(item, str)]
        if len(set(texts)) < len(texts):
            yield "must not repeat an entry"


def _object_problems(value: Json, schema: Json, path: str) -> Iterator[Problem]:
    prefix = f"{path}." if path else ""
    if "discriminator" in schema:
        member, kinds = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
        kind = value.get(member)
        if isinstance(kind, str):
            if kind in kinds:
                yield from problems(value, kinds[kind], path)
            else:
                yield prefix + member, "must be one of " + ", ".join(kinds)
            return
    for member in schema.get("required", ()):
        if value.get(member) is None:
            yield prefix + member, "is required"
    known = schema.get("properties", {})
    for member, content in value.items():
        if content is not None and member in known:
            yield from _problems(content, known[member], prefix + member)
