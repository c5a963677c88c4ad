"""The rules that a request breaks, as Infobip's error names them, without any value.

Infobip's texts may quote what they are about: a phone number, a name, a message. So a text is not
searched for values; it is reduced to the words of an English rule, and everything else becomes an
ellipsis. The names of fields are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_VIOLATIONS = 10
LONGEST_FIELD = 200
LONGEST_RULE = 200
_ELLIPSIS = "…"
#: The words that APIs' errors are made of, Jakarta's and Spring's among them, in lower case.
_WORDS = frozenset(
    """
    a accepted access account active address addresses all allowed already an and any
    application are array as at attribute attributes audio authorized available bad be before
    between blank body boolean both bounds but button buttons by byte bytes can can't cannot
    channel channels character characters chars check code configured conflict conflicts contain
    contains content contents correct could couldn't count country data date day days decimal
    defined denied deserialize destination destinations different digit digits disabled document
    does doesn't domain don't duplicate duplicated duration e-mail each either element elements
    email empty enabled encoded entries entry equal error escape every exceed exceeded exceeds
    exist existing exists expected expression fail failed fails field fields file flow for
    forbidden form format formatted found from future given greater has have header host hour
    hours http https id identifier image in inactive incorrect instead integer integral invalid
    invalidated is isn't it item items its json kakao_alim kakao_chingu key language large
    larger least left length less limit limits line list long longer lower malformed match
    matches matching max maximum may media member members message messages microseconds
    milliseconds min minimum minute minutes missing more most must mustn't name names
    nanoseconds negative neither network no non non-empty nor not null number numbers numeric
    object objects of on one only optional or out own parameter parameters parse parsed past
    path pattern payload permission permitted phone placeholder placeholders positive present
    property provided push range reached read readable recipient recipients reference registered
    registration regular rejected request requests required resolved routed scenario scheme
    scope second seconds sender set short shorter should sign size small smaller sms some space
    specified start step steps string supplied supported syntax template templates text than
    that the there these this time timestamp title together too top type types unauthorized
    unavailable undefined under unexpected unique unit unknown unless unreadable unsupported
    until up upper uri url use used valid validation value values viber video vkontakte voice
    was well-formed whatsapp when which while white whitespace with within without won't wrong
    zero zone
    """.split()  # noqa: SIM905 (a list of that many strings would not be readable)
)
#: Words, each also preceded by another one, after which a number is a limit and not a value.
_BEFORE_A_LIMIT = frozenset(
    {"least", "most", "than", "between", "exceed", "exceeds", "max", "maximum", "min", "minimum"}
)
_LIMITED = frozenset({"length", "limit", "maximum", "minimum", "size"})
_LIMIT = re.compile(r"[0-9]{1,5}")
#: A part in quotation marks; an apostrophe inside a word is none.
_QUOTED = re.compile(
    r"""(?<!\w)(["'`])(?:(?!\1).)*\1(?!\w)|[\u201c\u201e\u2018\xab].*?[\u201d\u201c\u2019\xbb]""",
    re.DOTALL,
)
_TOKEN = re.compile(r"""[^\s,;:()\[\]{}<>=|/"'`\u201c\u201d\u201e\u2018\xab\xbb]+(?:'[a-z]+)?""")
_SEVERAL_ELLIPSES = re.compile(rf"{_ELLIPSIS}(?:[^\w{_ELLIPSIS}]*{_ELLIPSIS})+")
#: The beginning of a path like ``destinations[1].to.emailAddress``.
_PATH = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,63}(?:\[[0-9]{0,4}\]|\.[A-Za-z_][A-Za-z_0-9]{0,63})*")
_LONG_NUMBER = re.compile(r"[0-9]{5,}")


class Violation(NamedTuple):
    """A rule that a field of a request breaks."""

    field: str  #: its path in the request, like ``destinations[1].to.emailAddress``
    rule: str  #: what Infobip says about it, without values


def violations_in(*errors: object) -> tuple[Violation, ...]:
    """Read the broken rules from the members of Infobip's errors.

    Args:
        errors: Each the ``validationErrors`` of OMNI's error, an object of texts by field, or the
            ``violations`` of the platform's newer one, a list of objects with `property` and
            `violation`. Anything else is left out.

    Returns:
        The first `MOST_VIOLATIONS`, each once.
    """
    found = (
        Violation(name, without_values(text, name))
        for error in errors
        for field, text in _texts(error)
        if (name := field_name(field))
    )
    return tuple(dict.fromkeys(found))[:MOST_VIOLATIONS]


def field_name(path: str) -> str:
    """Return the part of a path that is made of names; an ellipsis stands for the rest."""
    path = path.strip()
    match = _PATH.match(path)
    name = match.group() if match else ""
    rest = path[len(name) :]
    if rest and rest[0] not in ".[":
        # It may be a value, like an e-mail address, and so may be what looks like a name in it.
        return _ELLIPSIS
    return _LONG_NUMBER.sub("#", name)[:LONGEST_FIELD] + (_ELLIPSIS if rest else "")


def without_values(text: str, field: str = "") -> str:
    """Return the words of a rule; an ellipsis stands for everything that may be a value.

    Args:
        text: Infobip's text.
        field: The path of the field; the names in it are kept.
    """
    names = set(re.findall(r"[A-Za-z_]\w*", field))
    words: list[str] = []

    def kept(match: re.Match[str]) -> str:
        token = match.group()
        word = token.rstrip(".!?")
        if word in names or word.lower() in _WORDS or _is_limit(word, words):
            words.append(word.lower())
            return token
        words.append(_ELLIPSIS)
        return _ELLIPSIS

    # A longer text is cut first, so that reading it takes no time.
    unquoted = _QUOTED.sub(_ELLIPSIS, text[: 10 * LONGEST_RULE])
    reduced = _SEVERAL_ELLIPSES.sub(_ELLIPSIS, _TOKEN.sub(kept, unquoted))
    return " ".join(reduced.split())[:LONGEST_RULE]


def _texts(error: object) -> Iterator[tuple[str, str]]:
    """Yield fields and texts."""
    if isinstance(error, dict):
        for field, texts in error.items():
            each_text = texts if isinstance(texts, list) else [texts]
            yield from ((field, text) for text in each_text if isinstance(text, str))
    elif isinstance(error, list):
        yield from _texts_of_objects(each for each in error if isinstance(each, dict))


def _texts_of_objects(violations: Iterable[dict[object, object]]) -> Iterator[tuple[str, str]]:
    for violation in violations:
        field, text = violation.get("property"), violation.get("violation")
        if isinstance(field, str) and isinstance(text, str):
            yield field, text


def _is_limit(token: str, before: Sequence[str]) -> bool:
    """Return whether a token is a number that limits something, by the words before it."""
    if not _LIMIT.fullmatch(token) or not before:
        return False
    last, last_but_one = before[-1], before[-2] if len(before) > 1 else ""
    return (
        last in _BEFORE_A_LIMIT
        or (last == "and" and _LIMIT.fullmatch(last_but_one) is not None)
        or (last == "to" and last_but_one in ("equal", "up"))
        or (last in ("is", "of") and last_but_one in _LIMITED)
    )
