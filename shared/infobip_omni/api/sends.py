"""The body of a send and its answer, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .channels import LONGEST_EMAIL_ADDRESS, LONGEST_URL
from .phone_numbers import normal_phone_number
from .raw_json import member_text, object_text
from .reports import Status
from .scenarios import LONGEST_SCENARIO_KEY
from .wire import (
    TOLERANT,
    AnswerBody,
    RequestBody,
    none_if_unreadable,
    utc_from_strict_timestamp,
)

LONGEST_CALLBACK_DATA = 4000
LONGEST_MESSAGE_ID = 200
#: Bytes in UTF-8; Infobip documents no limit. Percent-encoded, it is part of the URL that Infobip
#: calls, which has to stay short.
LONGEST_BULK_ID = 200
#: Infobip documents no limit; this is twenty times what push services issue.
LONGEST_PUSH_REGISTRATION = 4096


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        acceptable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        acceptable = False
    if not acceptable:
        raise PydanticCustomError("url", "must be an http or https URL")
    return text


def _phone_number(text: str) -> str:
    number = normal_phone_number(text)
    if number is None:
        raise PydanticCustomError("phone_number", "must be 5 to 20 digits that do not begin with 0")
    return number


def _bulk_id_size(text: str) -> str:
    if len(text.encode(errors="replace")) > LONGEST_BULK_ID:
        raise PydanticCustomError(
            "bulk_id_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_BULK_ID}
        )
    return text


class Recipient(RequestBody):
    """The addresses of a message's recipient; each channel uses the one that it needs."""

    #: In its normal form, however it was written.
    phone_number: Annotated[StrictStr, AfterValidator(_phone_number)] | None = Field(
        default=None, repr=False
    )
    email_address: (
        Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_EMAIL_ADDRESS)] | None
    ) = Field(default=None, repr=False)
    push_registration_id: (
        Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_PUSH_REGISTRATION)] | None
    ) = Field(default=None, repr=False)
    whats_app_user_id: Annotated[StrictStr, Field(min_length=1, max_length=150)] | None = Field(
        default=None, repr=False
    )

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if (
            self.phone_number is None
            and self.email_address is None
            and self.push_registration_id is None
            and self.whats_app_user_id is None
        ):
            names = ", ".join(to_camel(name) for name in type(self).model_fields)
            raise PydanticCustomError(
                "no_address", "must hold at least one of {names}", {"names": names}
            )
        return self


class Destination(RequestBody):
    """A recipient, and the id of the message in Infobip's reports."""

    message_id: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_MESSAGE_ID)] | None = (
        None
    )
    to: Recipient = Field(repr=False)


class SendOptions(RequestBody):
    """The members of a send beside its destinations and the contents of channels."""

    #: By default, Infobip uses the account's default scenario.
    scenario_key: (
        Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_SCENARIO_KEY)] | None
    ) = None
    bulk_id: Annotated[StrictStr, Field(min_length=1), AfterValidator(_bulk_id_size)] | None = None
    notify: StrictBool | None = None
    notify_url: (
        Annotated[StrictStr, Field(max_length=LONGEST_URL), AfterValidator(_web_address)] | None
    ) = Field(default=None, repr=False)
    notify_content_type: Literal["application/json", "application/xml"] | None = None
    intermediate_report: StrictBool | None = None
    callback_data: Annotated[StrictStr, Field(max_length=LONGEST_CALLBACK_DATA)] | None = Field(
        default=None, repr=False
    )
    #: When the first step starts, in UTC.
    send_at: Annotated[datetime, BeforeValidator(utc_from_strict_timestamp)] | None = None


@dataclass(frozen=True, slots=True)
class AdvancedRequest:
    """The body of ``POST /omni/1/advanced``: one content for all destinations."""

    destinations: tuple[Destination, ...] = field(repr=False)
    #: The other members as JSON text, as the caller wrote them, with commas between them.
    content: str = field(repr=False)
    #: By default, Infobip uses the account's default scenario.
    scenario_key: str | None = None
    bulk_id: str | None = None
    #: Takes reports in JSON; None leaves them to the members in *content*.
    notify_url: str | None = field(default=None, repr=False)

    def to_json(self) -> bytes:
        """Return the body as it is sent."""
        own: dict[str, str] = {}
        if self.scenario_key is not None:
            own["scenarioKey"] = self.scenario_key
        if self.bulk_id is not None:
            own["bulkId"] = self.bulk_id
        if self.notify_url is not None:
            own |= {"notifyUrl": self.notify_url, "notifyContentType": "application/json"}
        members = [member_text(name, json.dumps(value)) for name, value in own.items()]
        destinations = (each.model_dump_json(exclude_none=True) for each in self.destinations)
        members.append(f'"destinations":[{",".join(destinations)}]')
        members.append(self.content)
        return object_text(members).encode()


class SendResult(AnswerBody):
    """Infobip's immediate answer for one destination."""

    message_id: Annotated[str | None, TOLERANT] = None
    status: Annotated[Status | None, TOLERANT] = None


class SendResponse(AnswerBody):
    """The answer to a send; HTTP 200 alone does not mean that a destination was accepted."""

    #: In the order of the request. An unreadable entry says nothing, but keeps its place, since
    #: entries without ids are found by their places.
    messages: tuple[SendResult, ...]

    @field_validator("messages", mode="before")
    @classmethod
    def _empty_the_unreadable(cls, entries: object) -> object:
        if not isinstance(entries, list):
            return entries
        results = (none_if_unreadable(entry, SendResult.model_validate) for entry in entries)
        return tuple(result or SendResult() for result in results)
