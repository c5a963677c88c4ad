"""The content of an SMS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from .content import Content, ContentObject, NonEmptyText, RegisteredId

LONGEST_SMS_BYTES = 4000


def _sms_size(text: str) -> str:
    if len(text.encode()) > LONGEST_SMS_BYTES:
        raise PydanticCustomError(
            "sms_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_SMS_BYTES}
        )
    return text


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

    text: Annotated[NonEmptyText, AfterValidator(_sms_size)]
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
