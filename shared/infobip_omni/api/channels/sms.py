"""The content of an SMS."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from .content import Content, ContentObject, NonEmptyText, RegisteredId, error_at
from .sms_parts import sms_parts, sms_parts_after_transliteration

#: The limit of Infobip's platform. It also documents one of 4000 bytes, which no 25 parts can hold.
MOST_PARTS = 25
#: Of two code units each, they fit into 25 parts in any alphabet.
_SURELY_FITTING_CHARACTERS = MOST_PARTS * 67 // 2
_MOST_CHARACTERS_OF_PART = 160


class _Language(ContentObject):
    language_code: Literal["NONE", "TR", "ES", "PT", "AUTODETECT"] | None = None


class _IndiaDlt(ContentObject):
    principal_entity_id: RegisteredId
    content_template_id: RegisteredId | None = None
    telemarketer_id: RegisteredId | None = None


class _Korea(ContentObject):
    title: Annotated[StrictStr, Field(max_length=66)] | None = None


class _Regional(ContentObject):
    india_dlt: _IndiaDlt | None = None
    korea: _Korea | None = None


class SmsContent(Content):
    """A text message."""

    text: NonEmptyText
    transliteration: (
        Literal[
            "NONE",
            "ALL",
            "BALTIC",
            "CENTRAL_EUROPEAN",
            "COLOMBIAN",
            "CYRILLIC",
            "GREEK",
            "NON_UNICODE",
            "PORTUGUESE",
            "SERBIAN_CYRILLIC",
            "TURKISH",
            "BULGARIAN_CYRILLIC",
        ]
        | None
    ) = None
    language: _Language | None = None
    regional: _Regional | None = None

    @model_validator(mode="after")
    def _fits_into_parts(self) -> Self:
        if len(self.text) <= _SURELY_FITTING_CHARACTERS:
            return self
        if self.transliteration not in (None, "NONE"):
            parts = sms_parts_after_transliteration(self.text)
        elif len(self.text) <= MOST_PARTS * _MOST_CHARACTERS_OF_PART:
            parts = sms_parts(self.text, self.language.language_code if self.language else None)
        else:
            # Its parts are not counted, which takes long for a text of a few hundred kilobytes.
            raise error_at("text", _too_many_parts("more in any alphabet"))
        if parts.count > MOST_PARTS:
            raise error_at("text", _too_many_parts(f"{parts.count} in {parts.alphabet}"))
        return self


def _too_many_parts(parts: str) -> PydanticCustomError:
    return PydanticCustomError(
        "sms_parts",
        "must fit into {most} SMS parts; it takes {parts}",
        {"most": MOST_PARTS, "parts": parts},
    )
