"""Infobip's bodies, after its OpenAPI document 3.210.0.

What we send is strict: an unknown field, a wrong type or a broken limit is refused before it
leaves. What we receive is read with tolerance: members may be missing, ``null``, new, or hold
words that are not in the document.

Personal fields are hidden from ``repr``, and a ``ValidationError`` never quotes its input.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ValueT = TypeVar("ValueT")


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
    """What a validity period is counted in."""

    NANOSECONDS = "NANOSECONDS"
    MICROSECONDS = "MICROSECONDS"
    MILLISECONDS = "MILLISECONDS"
    SECONDS = "SECONDS"
    MINUTES = "MINUTES"
    HOURS = "HOURS"
    DAYS = "DAYS"


class StatusGroup(IntEnum):
    """What a status amounts to; names of groups vary between documents, numbers do not."""

    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


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
#: Each channel, and the member of a send's body that holds its content.
CONTENT_MEMBERS: Mapping[Channel, str] = {
    channel: to_camel(attribute) for channel, attribute in _CONTENT_ATTRIBUTES.items()
}

LONGEST_SMS_BYTES = 4000
LONGEST_PUSH_TEXT = 2000
LONGEST_KAKAO_ALIM_TEXT = 1000
LONGEST_CALLBACK_DATA = 4000
LONGEST_MESSAGE_ID = 200
#: Infobip names no limit for the following. Every text needs one, since it is stored with each
#: message, forwarded, or both.
#: Characters; Infobip's own keys have 32.
LONGEST_SCENARIO_KEY = 200
#: Characters; a slug has no more.
LONGEST_SCENARIO_NAME = 200
#: Bytes in UTF-8: percent-encoded, it is part of the URL that Infobip calls, which must stay short.
LONGEST_BULK_ID = 200
#: 64 for the local part, 255 for the domain (RFC 5321, 4.5.3.1), and the sign between them.
LONGEST_EMAIL_ADDRESS = 320
#: Twenty times what push services give out.
LONGEST_PUSH_REGISTRATION = 4096
#: What Infobip takes for the URLs of files.
LONGEST_URL = 2048
#: What Infobip's platform takes for a push as a whole.
_LONGEST_PUSH_OPTION = 4000
#: Ids that an authority or an app has registered.
_LONGEST_REGISTERED_ID = 200
#: No record of a queue is larger, and no text that has no other limit longer.
LONGEST_TEXT = 256 * 1024
#: What is kept of a name and of a description that Infobip gives.
LONGEST_WORD = 200
LONGEST_DESCRIPTION = 1000
#: Bytes of a table's partition key. A longer id can be of no message.
LONGEST_KEY_BYTES = 2048
#: Characters; SSM's largest value has 8192.
_LONGEST_CREDENTIAL = 4096
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
_PHONE_NUMBER = re.compile(r"[0-9]{5,20}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)


class _Body(BaseModel):
    """Infobip's camelCase on the wire, our names in Python."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class _RequestBody(_Body):
    """What we send: nothing unknown gets in."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:  # noqa: ANN401 (as pydantic's)
        """Read parsed JSON, in Infobip's spelling only; our own is for Python code."""
        return super().model_validate(obj, **({"by_alias": True, "by_name": False} | options))


class _AnswerBody(_Body):
    """What we receive: unknown members are ignored, and numbers serve as text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


def _none_if_unreadable(value: object, read: Callable[[object], ValueT]) -> ValueT | None:
    try:
        return read(value)
    except ValidationError:
        return None


#: A field of an answer that costs only itself when it cannot be read.
_TOLERANT = WrapValidator(_none_if_unreadable)


def _cut(longest: int) -> AfterValidator:
    """Leave out what is longer than so many characters."""
    return AfterValidator(lambda text: None if text is None else text[:longest])


def encodable(text: str) -> str:
    """Write a question mark for half a character: JSON can hold one, which no UTF-8 can carry."""
    return text.encode(errors="replace").decode()


_EncodableText = Annotated[
    str | None, AfterValidator(lambda text: None if text is None else encodable(text))
]
#: What Infobip says, which is never too long to be read, but kept in part if it is.
_Text = Annotated[_EncodableText, _cut(LONGEST_TEXT), _TOLERANT]
_Word = Annotated[_EncodableText, _cut(LONGEST_WORD), _TOLERANT]
_Description = Annotated[_EncodableText, _cut(LONGEST_DESCRIPTION), _TOLERANT]
_Number = Annotated[int | None, _TOLERANT]
_LongText = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]
_NonEmptyText = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TEXT)]
_RegisteredId = Annotated[StrictStr, Field(max_length=_LONGEST_REGISTERED_ID)]


def _one_or_more(entries: tuple[ValueT, ...]) -> tuple[ValueT, ...]:
    # A minimum length in pydantic would also complain whenever the only entry is invalid.
    if not entries:
        raise PydanticCustomError("empty", "must hold at least one entry")
    return entries


# --- Scenarios -----------------------------------------------------------------------------


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


class ScenarioStep(_RequestBody):
    """One channel of a scenario, and who the recipient sees as its sender."""

    sender: Annotated[StrictStr, Field(max_length=LONGEST_EMAIL_ADDRESS)] | None = Field(
        default=None, validation_alias="from", serialization_alias="from"
    )
    channel: Channel


class ScenarioDefinition(_RequestBody):
    """A scenario as we want it: its steps are tried in their order."""

    name: Annotated[StrictStr, Field(max_length=LONGEST_SCENARIO_NAME), AfterValidator(_not_blank)]
    flow: Annotated[tuple[ScenarioStep, ...], AfterValidator(_one_or_more)]
    default: StrictBool | None = None


def _steps_if_known(
    value: object, read: Callable[[object], tuple[ScenarioStep, ...]]
) -> tuple[ScenarioStep, ...]:
    entries = value if isinstance(value, list | tuple) else ()
    members = ("from", "channel")
    steps = [
        {name: entry.get(name) for name in members} if isinstance(entry, dict) else entry
        for entry in entries
    ]
    return _none_if_unreadable(steps, read) or ()


class Scenario(_AnswerBody):
    """A scenario as Infobip knows it."""

    #: Opaque; some answers leave it out. One that is too long is none, since a part would be wrong.
    key: Annotated[
        Annotated[str, Field(max_length=LONGEST_SCENARIO_KEY), AfterValidator(encodable)] | None,
        _TOLERANT,
    ] = None
    name: _Text = None
    #: Empty when it holds a step that we do not know.
    flow: Annotated[tuple[ScenarioStep, ...], WrapValidator(_steps_if_known)] = ()
    default: bool = False

    @field_validator("default", mode="before")
    @classmethod
    def _null_is_false(cls, value: object) -> object:
        return value is not None and value


# --- Sending -------------------------------------------------------------------------------


def _utc_from_strict_timestamp(value: object) -> datetime:
    """Read a timestamp with an offset, with or without its colon."""
    moment = value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
            moment = datetime.fromisoformat(value)
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "timestamp", "must be a timestamp with an offset, like 2026-01-31T12:00:00.000+0000"
    )


def _infobip_timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        acceptable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        acceptable = False
    if not acceptable:
        raise PydanticCustomError("url", "must be an http or https URL")
    return text


def _sms_size(text: str) -> str:
    if len(text.encode()) > LONGEST_SMS_BYTES:
        raise PydanticCustomError(
            "sms_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_SMS_BYTES}
        )
    return text


def _phone_number(text: str) -> str:
    if not _PHONE_NUMBER.fullmatch(text):
        raise PydanticCustomError("phone_number", "must be 5 to 20 digits")
    return text


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(count > 1 for count in Counter(texts).values()):
        raise PydanticCustomError("unique", "must not repeat an entry")
    return texts


def _bulk_id_size(text: str) -> str:
    if len(text.encode(errors="replace")) > LONGEST_BULK_ID:
        raise PydanticCustomError(
            "bulk_id_size", "must not exceed {most} bytes in UTF-8", {"most": LONGEST_BULK_ID}
        )
    return text


_UniqueIds = Annotated[tuple[_RegisteredId, ...], AfterValidator(_unique)]


class Recipient(_RequestBody):
    """Who a message goes to; each channel takes the address that it can use."""

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


class Destination(_RequestBody):
    """A recipient, and the id under which Infobip reports on the message to them."""

    message_id: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_MESSAGE_ID)] | None = (
        None
    )
    to: Recipient = Field(repr=False)


class Content(_RequestBody):
    """What one step sends, and how long the step may take."""

    #: A step must take longer than this; Infobip cuts what exceeds the longest time.
    shortest_validity: ClassVar[timedelta] = timedelta(seconds=30)
    longest_validity: ClassVar[timedelta] = timedelta(hours=48)

    text: _LongText | None = None
    validity_period_time_unit: TimeUnit | None = None  #: minutes, if not given
    validity_period: Annotated[StrictInt, Field(ge=1, le=_LARGEST_INT32)] | None = None

    def validity(self) -> timedelta | None:
        """Tell how long the step may take before the next is tried; None if that is not said."""
        if self.validity_period is None:
            return None
        return self._duration(self.validity_period, self.validity_period_time_unit)

    def __repr_args__(self) -> list[tuple[str, Any]]:
        """Show nothing: all of it may be personal."""
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
        # Days in 32 bits are more than a timedelta holds.
        most = cls.longest_validity // timedelta(microseconds=1)
        microseconds = period * _NANOSECONDS[unit or TimeUnit.MINUTES] // 1000
        return timedelta(microseconds=min(microseconds, most))


class _RichContent(Content):
    """Content of a channel whose further members are passed on as they are."""

    model_config = ConfigDict(extra="allow")


class _Language(_RequestBody):
    language_code: Literal["NONE", "TR", "ES", "PT", "AUTODETECT"] | None = None


class _IndiaDlt(_RequestBody):
    principal_entity_id: _RegisteredId
    content_template_id: _RegisteredId | None = None
    telemarketer_id: _RegisteredId | None = None


class _Korea(_RequestBody):
    title: Annotated[StrictStr, Field(max_length=66)] | None = None


class _Regional(_RequestBody):
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


class _NotificationOptions(_RequestBody):
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
    """A WhatsApp message: a text, a template, a file, a place or contacts."""


class VoiceContent(_RichContent):
    """A call that reads a text."""

    text: _NonEmptyText


class EmailContent(_RichContent):
    """An e-mail."""

    text: _NonEmptyText


class LineContent(_RichContent):
    """A LINE message."""


class KakaoChinguContent(_RichContent):
    """A KakaoTalk message to a friend of the sender."""


class KakaoAlimContent(_RichContent):
    """A KakaoTalk message after a registered template."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_KAKAO_ALIM_TEXT)]


class VKontakteContent(_RichContent):
    """A VKontakte message: a text, or a template with its data."""


class MessageContent(_RequestBody):
    """Everything of the body of a send but its destinations."""

    #: Without it, the account's default is used.
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
    send_at: (
        Annotated[
            datetime,
            BeforeValidator(_utc_from_strict_timestamp),
            PlainSerializer(_infobip_timestamp, when_used="json"),
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
        """Return the contents that are given, by their channel."""
        by_channel = {
            channel: getattr(self, attribute) for channel, attribute in _CONTENT_ATTRIBUTES.items()
        }
        return {channel: content for channel, content in by_channel.items() if content is not None}


class AdvancedRequest(MessageContent):
    """The body of ``POST /omni/1/advanced``: one content for all its destinations."""

    destinations: Annotated[tuple[Destination, ...], AfterValidator(_one_or_more)] = Field(
        repr=False
    )


# --- Answers, reports, logs ----------------------------------------------------------------


def _utc_from_any_timestamp(value: object) -> object:
    """Read both styles of offset; a timestamp without one is taken for UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            return None
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_Moment = Annotated[datetime | None, BeforeValidator(_utc_from_any_timestamp)]
#: JSON knows larger numbers, that nothing behind can hold.
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Status(_AnswerBody):
    """What became of a message, or is becoming of it."""

    group_id: _Int64  #: a `StatusGroup`, or a number that is new
    id: _Int64
    group_name: _Word = None
    name: _Word = None
    description: _Description = None


class Price(_AnswerBody):
    """What a message cost."""

    #: Not more digits than a table holds.
    price_per_message: Annotated[Annotated[Decimal, Field(max_digits=38)] | None, _TOLERANT] = None
    currency: _Word = None


class ReportError(_AnswerBody):
    """Explains a status; it never decides anything, since documents contradict each other."""

    group_id: _Number = None
    group_name: _Word = None
    id: _Number = None
    name: _Word = None
    description: _Description = None
    permanent: Annotated[bool | None, _TOLERANT] = None


class SendResult(_AnswerBody):
    """What Infobip says at once about one destination."""

    message_id: str | None = None
    to: Any = Field(default=None, repr=False)
    status: Status | None = None


class SendResponse(_AnswerBody):
    """The answer to a send; HTTP 200 alone says nothing about a destination."""

    bulk_id: _Word = None
    #: In the order of the request; an entry that cannot be read is left out.
    messages: tuple[SendResult, ...]

    @field_validator("messages", mode="before")
    @classmethod
    def _leave_out_the_unreadable(cls, entries: object) -> object:
        if not isinstance(entries, list):
            return entries
        results = (_none_if_unreadable(entry, SendResult.model_validate) for entry in entries)
        return tuple(result for result in results if result is not None)


_ReportedId = Annotated[str, Field(max_length=LONGEST_KEY_BYTES)]


class _Row(_AnswerBody):
    """What reports and logs share: one row for each step that was tried."""

    message_id: _ReportedId
    status: Status
    channel: _Word = None  #: a `Channel`, or a word that is new
    bulk_id: _Word = None
    to: _Text = Field(default=None, repr=False)
    sent_at: _Moment = None
    done_at: _Moment = None
    message_count: _Number = None
    mcc_mnc: _Word = None
    price: Annotated[Price | None, _TOLERANT] = None


class DeliveryReport(_Row):
    """One entry of ``GET /omni/1/reports``, or of a call to a notifyUrl."""

    error: Annotated[ReportError | None, _TOLERANT] = None
    callback_data: _Text = Field(default=None, repr=False)
    contact: Any = Field(default=None, repr=False)


class SeenReport(_AnswerBody):
    """An entry of a call to a notifyUrl that says when the recipient has seen a message."""

    message_id: _ReportedId
    seen_at: Annotated[datetime, BeforeValidator(_utc_from_any_timestamp)]
    channel: _Word = None


class LogEntry(_Row):
    """One entry of ``GET /omni/1/logs``."""

    sender: _Word = Field(default=None, validation_alias="from", serialization_alias="from")
    text: _Text = Field(default=None, repr=False)


class UnreadablePageError(ValueError):
    """A body holds no list of reports."""


def parse_reports_page(body: bytes) -> list[Any]:
    """Return the entries of a page of reports as they came; numbers keep their digits.

    Bytes that are not UTF-8 spoil only the text that they stand in.

    Raises:
        UnreadablePageError: The body is not JSON, or has no list of results.
    """
    try:
        page = json.loads(
            body.decode("utf-8-sig", errors="replace"), parse_float=Decimal, parse_constant=str
        )
    except (ValueError, RecursionError):
        # The cause would hold the body.
        raise UnreadablePageError("the page of reports is not JSON") from None
    results = page.get("results") if isinstance(page, dict) else None
    if not isinstance(results, list):
        raise UnreadablePageError("the page of reports has no list of results")
    return results


# --- Credentials ---------------------------------------------------------------------------

#: What a header can carry.
_Secret = Annotated[StrictStr, Field(pattern=r"^[\x21-\x7e]+$", max_length=_LONGEST_CREDENTIAL)]


class ApiKeyCredentials(_RequestBody):
    """An API key."""

    api_key: _Secret = Field(repr=False)

    def authorization(self) -> str:
        """Write the Authorization header."""
        return f"App {self.api_key}"


class BasicCredentials(_RequestBody):
    """A user's name and password."""

    username: Annotated[StrictStr, Field(pattern=r"^[^:]+$", max_length=_LONGEST_CREDENTIAL)] = (
        Field(repr=False)
    )
    password: Annotated[StrictStr, Field(min_length=1, max_length=_LONGEST_CREDENTIAL)] = Field(
        repr=False
    )

    def authorization(self) -> str:
        """Write the Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


Credentials = ApiKeyCredentials | BasicCredentials


def parse_credentials(text: str) -> Credentials:
    """Read ``{"apiKey": …}`` or ``{"username": …, "password": …}``.

    Raises:
        ValueError: It is neither; the error names field and rule, and quotes nothing.
    """
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("credentials must be JSON") from None
    if not isinstance(members, dict):
        raise ValueError("credentials must be a JSON object")  # noqa: TRY004 (a rule of the text)
    kind = ApiKeyCredentials if "apiKey" in members else BasicCredentials
    return kind.model_validate(members)
