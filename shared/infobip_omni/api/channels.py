"""The channels of Infobip's OpenAPI document 3.210.0, and the content of each."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from .wire import LONGEST_TEXT, RequestBody


class Channel(StrEnum):
    """A way to reach a recipient."""

    SMS = "SMS"
    EMAIL = "EMAIL"
    VOICE = "VOICE"
    PUSH = "PUSH"
    VIBER = "VIBER"
    LINE = "LINE"
    VKONTAKTE = "VKONTAKTE"
    KAKAO_CHINGU = "KAKAO_CHINGU"
    KAKAO_ALIM = "KAKAO_ALIM"
    WHATSAPP = "WHATSAPP"


class TimeUnit(StrEnum):
    """The unit of a validity period."""

    NANOSECONDS = "NANOSECONDS"
    MICROSECONDS = "MICROSECONDS"
    MILLISECONDS = "MILLISECONDS"
    SECONDS = "SECONDS"
    MINUTES = "MINUTES"
    HOURS = "HOURS"
    DAYS = "DAYS"


LONGEST_SMS_BYTES = 4000
LONGEST_PUSH_TEXT = 2000
LONGEST_KAKAO_ALIM_TEXT = 1000
#: Infobip documents no limit; 64 for the local part, 255 for the domain (RFC 5321, 4.5.3.1), and
#: the @ between them.
LONGEST_EMAIL_ADDRESS = 320
#: Infobip's limit for the URLs of files.
LONGEST_URL = 2048
#: The limit of Infobip's platform for a whole push.
_LONGEST_PUSH_OPTION = 4000
#: For ids registered with an authority or an app.
_LONGEST_REGISTERED_ID = 200
_LARGEST_INT32 = 2**31 - 1
_NANOSECONDS = {
    TimeUnit.NANOSECONDS: 1,
    TimeUnit.MICROSECONDS: 10**3,
    TimeUnit.MILLISECONDS: 10**6,
    TimeUnit.SECONDS: 10**9,
    TimeUnit.MINUTES: 60 * 10**9,
    TimeUnit.HOURS: 3600 * 10**9,
    TimeUnit.DAYS: 86400 * 10**9,
}
_LongText = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]
_NonEmptyText = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TEXT)]
_RegisteredId = Annotated[StrictStr, Field(max_length=_LONGEST_REGISTERED_ID)]


def _sms_size(text: str) -> str:
    if len(text.encode()) > LONGEST_SMS_BYTES:
        raise PydanticCustomError(
            "sms_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_SMS_BYTES}
        )
    return text


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(count > 1 for count in Counter(texts).values()):
        raise PydanticCustomError("unique", "must not repeat an entry")
    return texts


_UniqueIds = Annotated[tuple[_RegisteredId, ...], AfterValidator(_unique)]


class Content(RequestBody):
    """The content that one step sends, and how long the step may take."""

    #: A validity period must exceed the shortest; Infobip cuts it to the longest.
    shortest_validity: ClassVar[timedelta] = timedelta(seconds=30)
    longest_validity: ClassVar[timedelta] = timedelta(hours=48)

    text: _LongText | None = None
    validity_period_time_unit: TimeUnit | None = None  #: minutes by default
    validity_period: Annotated[StrictInt, Field(ge=1, le=_LARGEST_INT32)] | None = None

    def validity(self) -> timedelta | None:
        """Return how long the step may take before the next is tried; None if not specified."""
        if self.validity_period is None:
            return None
        return self._duration(self.validity_period, self.validity_period_time_unit)

    def __repr_args__(self) -> list[tuple[str, Any]]:
        """Return nothing, because every member may be personal."""
        return []

    @field_validator("validity_period")
    @classmethod
    def _lasts_long_enough(cls, period: int | None, info: ValidationInfo) -> int | None:
        if period is not None:
            validity = cls._duration(period, info.data.get("validity_period_time_unit"))
            if validity <= cls.shortest_validity:
                raise PydanticCustomError(
                    "validity",
                    "must exceed {seconds} seconds",
                    {"seconds": cls.shortest_validity.seconds},
                )
        return period

    @classmethod
    def _duration(cls, period: int, unit: TimeUnit | None) -> timedelta:
        # A 32-bit number of days exceeds the range of timedelta.
        most = cls.longest_validity // timedelta(microseconds=1)
        microseconds = period * _NANOSECONDS[unit or TimeUnit.MINUTES] // 1000
        return timedelta(microseconds=min(microseconds, most))


class _RichContent(Content):
    """Content of a channel whose other members are passed on unchanged."""

    model_config = ConfigDict(extra="allow")


class _Language(RequestBody):
    language_code: Literal["NONE", "TR", "ES", "PT", "AUTODETECT"] | None = None


class _IndiaDlt(RequestBody):
    principal_entity_id: _RegisteredId
    content_template_id: _RegisteredId | None = None
    telemarketer_id: _RegisteredId | None = None


class _Korea(RequestBody):
    title: Annotated[StrictStr, Field(max_length=66)] | None = None


class _Regional(RequestBody):
    india_dlt: _IndiaDlt | None = None
    korea: _Korea | None = None


class SmsContent(Content):
    """A text message."""

    text: Annotated[_NonEmptyText, AfterValidator(_sms_size)]
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


_PushOption = Annotated[StrictStr, Field(max_length=_LONGEST_PUSH_OPTION)]
_PushUrl = Annotated[StrictStr, Field(max_length=LONGEST_URL)]


class _NotificationOptions(RequestBody):
    vibration_enabled: StrictBool | None = None
    sound_enabled: StrictBool | None = None
    sound_name: _PushOption | None = None
    badge: Annotated[StrictInt, Field(ge=-_LARGEST_INT32 - 1, le=_LARGEST_INT32)] | None = None
    content_url: _PushUrl | None = None
    category: _PushOption | None = None
    in_app_style: Literal["BANNER", "MODAL"] | None = None
    title: _PushOption | None = None
    is_silent: StrictBool | None = None
    web_view_url: _PushUrl | None = None
    inbox_topic: _PushOption | None = None


class PushContent(Content):
    """A notification of a mobile app."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_PUSH_TEXT)]
    custom_payload: dict[StrictStr, Any] | None = None
    notification_options: _NotificationOptions | None = None
    target_only_primary_devices: StrictBool | None = None
    include_notifications_disabled_devices: StrictBool | None = None
    person_subscriptions: _UniqueIds | None = None
    device_subscriptions: _UniqueIds | None = None


class ViberContent(_RichContent):
    """A Viber message: a text, an image, a file, or text with a button."""

    shortest_validity: ClassVar[timedelta] = timedelta(seconds=35)
    longest_validity: ClassVar[timedelta] = timedelta(days=14)

    @field_validator("validity_period")
    @classmethod
    def _is_supported(cls, period: int | None, info: ValidationInfo) -> int | None:
        unit = info.data.get("validity_period_time_unit") or TimeUnit.MINUTES
        longest = cls.longest_validity // timedelta(microseconds=1) * 1000
        if period is not None and period * _NANOSECONDS[unit] > longest:
            raise PydanticCustomError(
                "validity", "must not exceed {days} days", {"days": cls.longest_validity.days}
            )
        return period


class WhatsAppContent(_RichContent):
    """A WhatsApp message: a text, a template, a file, a location or contacts."""


class VoiceContent(_RichContent):
    """A phone call that reads out a text."""

    text: _NonEmptyText


class EmailContent(_RichContent):
    """An e-mail."""

    text: _NonEmptyText


class LineContent(_RichContent):
    """A LINE message."""


class KakaoChinguContent(_RichContent):
    """A KakaoTalk message to a friend of the sender."""


class KakaoAlimContent(_RichContent):
    """A KakaoTalk message that follows a registered template."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_KAKAO_ALIM_TEXT)]


class VKontakteContent(_RichContent):
    """A VKontakte message: a text, or a template with its data."""
