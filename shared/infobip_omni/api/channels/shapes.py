"""Rules about several members of a content: which it needs, and which exclude each other.

Members are given by Python's names, and errors name them as in JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .content import error_at

if TYPE_CHECKING:
    from .content import ContentObject


def require_any(content: ContentObject, *members: str) -> None:
    """Refuse a content that has none of these members."""
    if all(getattr(content, member) is None for member in members):
        names = ", ".join(map(to_camel, members))
        raise PydanticCustomError("nothing", "must hold at least one of {names}", {"names": names})


def require_together(content: ContentObject, members: tuple[str, ...], *needed: str) -> None:
    """Refuse a content that has one of the members, but lacks one that is needed with it."""
    given = next((member for member in members if _is_given(content, member)), None)
    missing = next((member for member in needed if getattr(content, member) is None), None)
    if given and missing:
        raise error_at(
            to_camel(missing),
            PydanticCustomError("needed", "is required with {other}", {"other": to_camel(given)}),
        )


def refuse_together(content: ContentObject, *members: str) -> None:
    """Refuse a content that has two of these members. An empty text, list or object is none."""
    given = [to_camel(member) for member in members if _is_given(content, member)]
    if len(given) > 1:
        raise error_at(
            given[1],
            PydanticCustomError(
                "combined", "must not be combined with {other}", {"other": given[0]}
            ),
        )


def _is_given(content: ContentObject, member: str) -> bool:
    return getattr(content, member) not in (None, "", (), {})
