"""The content of a LINE message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StrictInt, StrictStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .content import IS_URL, Content, ContentObject, LongText, error_at
from .shapes import require_any
from .variants import Variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .variants import Variant

_LONGEST_URL = 1000
_LARGEST_INT64 = 2**63 - 1
_Url = Annotated[StrictStr, Field(max_length=_LONGEST_URL), IS_URL]
#: What a message of a type cannot be without. Infobip's document lists all members of all types as
#: required, which no message can fulfil.
_NEEDED = {
    "TEXT": ("text",),
    "IMAGE": ("url",),
    "VIDEO": ("url",),
    "AUDIO": ("url",),
    "STICKER": ("package_id", "sticker_id"),
    "FLEX": ("alt_text", "contents"),
}


def _containers() -> Mapping[str, Variant]:
    # Few messages are Flex messages, and their models are many.
    from . import flex  # noqa: PLC0415

    return flex.CONTAINERS


_FlexContainer = Annotated[ContentObject, Variants("type", _containers)]


class LineContent(Content):
    """A LINE message: a text, a file, a sticker or a Flex message."""

    type: Literal["TEXT", "IMAGE", "VIDEO", "AUDIO", "STICKER", "FLEX"] | None = None
    url: _Url | None = None
    thumbnail_url: _Url | None = None
    duration: Annotated[StrictInt, Field(ge=-_LARGEST_INT64 - 1, le=_LARGEST_INT64)] | None = None
    package_id: LongText | None = None
    sticker_id: LongText | None = None
    alt_text: Annotated[StrictStr, Field(max_length=400)] | None = None
    contents: _FlexContainer | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if self.type is None:
            require_any(self, "text", "url", "sticker_id", "contents")
            return self
        for member in _NEEDED[self.type]:
            if getattr(self, member) is None:
                raise error_at(
                    to_camel(member),
                    PydanticCustomError(
                        "needed_by_type", "is required for type {type}", {"type": self.type}
                    ),
                )
        return self
