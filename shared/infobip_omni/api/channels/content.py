"""What the contents of all channels share, as in Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import (
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from infobip_omni.api.wire import LONGEST_TEXT, RequestBody


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


#: Infobip documents no limit; 64 for the local part, 255 for the domain (RFC 5321, 4.5.3.1), and
#: the @ between them.
LONGEST_EMAIL_ADDRESS = 320
#: Infobip's limit for the URLs of files.
LONGEST_URL = 2048
#: For ids registered with an authority or an app.
_LONGEST_REGISTERED_ID = 200
LARGEST_INT32 = 2**31 - 1
NANOSECONDS = {
    TimeUnit.NANOSECONDS: 1,
    TimeUnit.MICROSECONDS: 10**3,
    TimeUnit.MILLISECONDS: 10**6,
    TimeUnit.SECONDS: 10**9,
    TimeUnit.MINUTES: 60 * 10**9,
    TimeUnit.HOURS: 3600 * 10**9,
    TimeUnit.DAYS: 86400 * 10**9,
}
_LongText = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]
NonEmptyText = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TEXT)]
RegisteredId = Annotated[StrictStr, Field(max_length=_LONGEST_REGISTERED_ID)]


class Content(RequestBody):
    """The content that one step sends, and how long the step may take."""

    #: A validity period must exceed the shortest; Infobip cuts it to the longest.
    shortest_validity: ClassVar[timedelta] = timedelta(seconds=30)
    longest_validity: ClassVar[timedelta] = timedelta(hours=48)

    text: _LongText | None = None
    validity_period_time_unit: TimeUnit | None = None  #: minutes by default
    validity_period: Annotated[StrictInt, Field(ge=1, le=LARGEST_INT32)] | None = None

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
        microseconds = period * NANOSECONDS[unit or TimeUnit.MINUTES] // 1000
        return timedelta(microseconds=min(microseconds, most))


class RichContent(Content):
    """Content of a channel whose other members are passed on unchanged."""

    model_config = ConfigDict(extra="allow")
