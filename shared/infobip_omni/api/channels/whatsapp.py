"""The content of a WhatsApp message."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from .content import IS_URL, LONGEST_URL, Content, ContentObject, LongText
from .shapes import refuse_together, require_any, require_together

_LONGEST_PLACE = 1000
_LONGEST_URL_PLACEHOLDER = 1500
_LONGEST_QUICK_REPLY_PAYLOAD = 128
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _date(text: str) -> str:
    try:
        is_date = _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        is_date = False
    if not is_date:
        raise PydanticCustomError("date", "must be a date like 2026-01-31")
    return text


_Kind = Literal["HOME", "WORK"]
_Date = Annotated[StrictStr, AfterValidator(_date)]
_MediaUrl = Annotated[StrictStr, Field(max_length=LONGEST_URL), IS_URL]
_HeaderUrl = Annotated[LongText, IS_URL]
_Longitude = Annotated[StrictFloat, Field(ge=-180, le=180)]
_Latitude = Annotated[StrictFloat, Field(ge=-90, le=90)]
_Place = Annotated[StrictStr, Field(max_length=_LONGEST_PLACE)]


class Name(ContentObject):
    """The name of a contact."""

    first_name: LongText
    last_name: LongText | None = None
    middle_name: LongText | None = None
    name_suffix: LongText | None = None
    name_prefix: LongText | None = None
    formatted_name: LongText


class Address(ContentObject):
    """A postal address of a contact."""

    street: LongText | None = None
    city: LongText | None = None
    state: LongText | None = None
    zip: LongText | None = None
    country: LongText | None = None
    country_code: LongText | None = None
    type: _Kind | None = None


class Email(ContentObject):
    """An e-mail address of a contact."""

    email: LongText | None = None
    type: _Kind | None = None


class Phone(ContentObject):
    """A phone number of a contact."""

    phone: LongText | None = None
    type: Literal["CELL", "MAIN", "IPHONE", "HOME", "WORK"] | None = None
    wa_id: LongText | None = None


class Url(ContentObject):
    """A web address of a contact."""

    url: LongText | None = None
    type: _Kind | None = None


class Organization(ContentObject):
    """Where a contact works."""

    company: LongText | None = None
    department: LongText | None = None
    title: LongText | None = None


class Contact(ContentObject):
    """A contact of the sender, which the recipient can save."""

    addresses: tuple[Address, ...] | None = None
    birthday: _Date | None = None
    emails: tuple[Email, ...] | None = None
    name: Name
    org: Organization | None = None
    phones: tuple[Phone, ...] | None = None
    urls: tuple[Url, ...] | None = None


class MediaTemplateHeader(ContentObject):
    """What fills the header of a template: a text, a document, an image, a video or a location."""

    text_placeholder: LongText | None = None
    document_url: _HeaderUrl | None = None
    document_filename: LongText | None = None
    image_url: _HeaderUrl | None = None
    video_url: _HeaderUrl | None = None
    latitude: _Latitude | None = None
    longitude: _Longitude | None = None

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        shapes = ("text_placeholder", "document_url", "image_url", "video_url", "latitude")
        document, location = ("document_url", "document_filename"), ("latitude", "longitude")
        require_together(self, document, *document)
        require_together(self, location, *location)
        refuse_together(self, *shapes)
        require_any(self, *shapes)
        return self


class MediaTemplateBody(ContentObject):
    """What fills the placeholders of a template's text, in their order."""

    placeholders: tuple[LongText, ...]


class MediaTemplateButton(ContentObject):
    """What fills a button of a template: the end of its URL, or what a reply will hold."""

    url_placeholder: Annotated[StrictStr, Field(max_length=_LONGEST_URL_PLACEHOLDER)] | None = None
    quick_reply_payload: (
        Annotated[StrictStr, Field(max_length=_LONGEST_QUICK_REPLY_PAYLOAD)] | None
    ) = None

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        refuse_together(self, "url_placeholder", "quick_reply_payload")
        return self


class MediaTemplateData(ContentObject):
    """What fills a template that has a header or buttons."""

    header: MediaTemplateHeader | None = None
    body: MediaTemplateBody
    buttons: tuple[MediaTemplateButton, ...] | None = None


class WhatsAppContent(Content):
    """A WhatsApp message: a text, a template, a file, a location or contacts.

    The text may come with each of them: it is the caption of a file, and Infobip's document does
    not say that it excludes the others.
    """

    template_namespace: LongText | None = None
    template_name: LongText | None = None
    template_data: tuple[LongText, ...] | None = None
    media_template_data: MediaTemplateData | None = None
    language: LongText | None = None
    file_url: _MediaUrl | None = None
    image_url: _MediaUrl | None = None
    audio_url: _MediaUrl | None = None
    video_url: _MediaUrl | None = None
    location_name: _Place | None = None
    address: _Place | None = None
    longitude: _Longitude | None = None
    latitude: _Latitude | None = None
    preview_url: StrictBool | None = None
    contacts: tuple[Contact, ...] | None = None

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        shapes = (
            "template_name",
            "image_url",
            "audio_url",
            "video_url",
            "file_url",
            "latitude",
            "contacts",
        )
        template = ("template_namespace", "template_data", "media_template_data")
        location = ("latitude", "longitude", "location_name", "address")
        require_together(self, template, "template_name")
        require_together(self, location, "latitude", "longitude")
        refuse_together(self, "template_data", "media_template_data")
        refuse_together(self, *shapes)
        require_any(self, "text", *shapes)
        return self
