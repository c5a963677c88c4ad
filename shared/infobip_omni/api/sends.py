"""The body of a send and its answer, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictStr,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .channels import (
    LONGEST_EMAIL_ADDRESS,
    LONGEST_URL,
    Channel,
    Content,
    EmailContent,
    KakaoAlimContent,
    KakaoChinguContent,
    LineContent,
    PushContent,
    SmsContent,
    ViberContent,
    VKontakteContent,
    VoiceContent,
    WhatsAppContent,
)
from .reports import Status
from .scenarios import LONGEST_SCENARIO_KEY
from .wire import (
    TOLERANT,
    AnswerBody,
    RequestBody,
    infobip_timestamp,
    none_if_unreadable,
    one_or_more,
    utc_from_strict_timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTENT_ATTRIBUTES = {
    Channel.SMS: "sms",
    Channel.EMAIL: "email",
    Channel.VOICE: "voice",
    Channel.PUSH: "push",
    Channel.VIBER: "viber",
    Channel.LINE: "line",
    Channel.VKONTAKTE: "v_kontakte",
    Channel.KAKAO_CHINGU: "kakao_chingu",
    Channel.KAKAO_ALIM: "kakao_alim",
    Channel.WHATSAPP: "whats_app",
}
#: The member of a send's body that holds the content, by channel.
CONTENT_MEMBERS: Mapping[Channel, str] = {
    channel: to_camel(attribute) for channel, attribute in _CONTENT_ATTRIBUTES.items()
}
NotifyContentType = Literal["application/json", "application/xml"]

LONGEST_CALLBACK_DATA = 4000
LONGEST_MESSAGE_ID = 200
#: Bytes in UTF-8; Infobip documents no limit. Percent-encoded, it is part of the URL that Infobip
#: calls, which has to stay short.
LONGEST_BULK_ID = 200
#: Infobip documents no limit; this is twenty times what push services issue.
LONGEST_PUSH_REGISTRATION = 4096
_PHONE_NUMBER = re.compile(r"[0-9]{5,20}")


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
    if not _PHONE_NUMBER.fullmatch(text):
        raise PydanticCustomError("phone_number", "must be 5 to 20 digits")
    return text


def _bulk_id_size(text: str) -> str:
    if len(text.encode(errors="replace")) > LONGEST_BULK_ID:
        raise PydanticCustomError(
            "bulk_id_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_BULK_ID}
        )
    return text


class Recipient(RequestBody):
    """The addresses of a message's recipient; each channel uses the one that it needs."""

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
        if not self.model_dump(exclude_none=True):
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


class MessageContent(RequestBody):
    """The body of a send without its destinations."""

    #: By default, Infobip uses the account's default scenario.
    scenario_key: (
        Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_SCENARIO_KEY)] | None
    ) = None
    bulk_id: Annotated[StrictStr, Field(min_length=1), AfterValidator(_bulk_id_size)] | None = None
    notify: StrictBool | None = None
    notify_url: (
        Annotated[StrictStr, Field(max_length=LONGEST_URL), AfterValidator(_web_address)] | None
    ) = Field(default=None, repr=False)
    notify_content_type: NotifyContentType | None = None
    intermediate_report: StrictBool | None = None
    callback_data: Annotated[StrictStr, Field(max_length=LONGEST_CALLBACK_DATA)] | None = Field(
        default=None, repr=False
    )
    #: When the first step starts, in UTC.
    send_at: (
        Annotated[
            datetime,
            BeforeValidator(utc_from_strict_timestamp),
            PlainSerializer(infobip_timestamp, when_used="json"),
        ]
        | None
    ) = None
    sms: SmsContent | None = None
    push: PushContent | None = None
    viber: ViberContent | None = None
    whats_app: WhatsAppContent | None = None
    voice: VoiceContent | None = None
    email: EmailContent | None = None
    line: LineContent | None = None
    kakao_chingu: KakaoChinguContent | None = None
    kakao_alim: KakaoAlimContent | None = None
    v_kontakte: VKontakteContent | None = None

    def contents(self) -> dict[Channel, Content]:
        """Return the contents by their channel."""
        by_channel = {
            channel: getattr(self, attribute) for channel, attribute in _CONTENT_ATTRIBUTES.items()
        }
        return {channel: content for channel, content in by_channel.items() if content is not None}


class AdvancedRequest(MessageContent):
    """The body of ``POST /omni/1/advanced``: one content for all destinations."""

    destinations: Annotated[tuple[Destination, ...], AfterValidator(one_or_more)] = Field(
        repr=False
    )

    @classmethod
    def of(  # noqa: PLR0913 (each replaces a member of the content)
        cls,
        content: MessageContent,
        *,
        scenario_key: str | None,
        bulk_id: str | None,
        notify_url: str | None,
        notify_content_type: NotifyContentType | None,
        destinations: tuple[Destination, ...],
    ) -> Self:
        """Build the request that sends a content to destinations.

        The keyword arguments replace the members of the content.

        Raises:
            ValidationError: There is no destination, or a field breaks its rule.
        """
        return cls(
            scenario_key=scenario_key,
            bulk_id=bulk_id,
            notify=content.notify,
            notify_url=notify_url,
            notify_content_type=notify_content_type,
            intermediate_report=content.intermediate_report,
            callback_data=content.callback_data,
            send_at=content.send_at,
            sms=content.sms,
            push=content.push,
            viber=content.viber,
            whats_app=content.whats_app,
            voice=content.voice,
            email=content.email,
            line=content.line,
            kakao_chingu=content.kakao_chingu,
            kakao_alim=content.kakao_alim,
            v_kontakte=content.v_kontakte,
            destinations=destinations,
        )


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
