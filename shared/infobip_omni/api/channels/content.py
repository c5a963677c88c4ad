"""What the contents of all channels share, as in Infobip's OpenAPI document 3.210.0.

A content is checked, and then sent as the caller wrote it: no value of a model goes into a request.

Its model is built when it first validates, so an app pays only for the channels that it uses.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

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
_NANOSECONDS = {
    TimeUnit.NANOSECONDS: 1,
    TimeUnit.MICROSECONDS: 10**3,
    TimeUnit.MILLISECONDS: 10**6,
    TimeUnit.SECONDS: 10**9,
    TimeUnit.MINUTES: 60 * 10**9,
    TimeUnit.HOURS: 3600 * 10**9,
    TimeUnit.DAYS: 86400 * 10**9,
}
_DIGITS = re.compile(r"[0-9]{1,20}")


def _number(value: object) -> object:
    """Read a string of digits, which Infobip's pages of 2016 to 2019 have, as a number."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        place = parts.hostname if parts.scheme in ("http", "https") else parts.netloc or parts.path
        acceptable = bool(parts.scheme and place)
    except ValueError:
        acceptable = False
    if text and not acceptable:
        raise PydanticCustomError("url", "must be a URL, with its scheme like https://")
    return text


LongText = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]
NonEmptyText = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_TEXT)]
RegisteredId = Annotated[StrictStr, Field(max_length=_LONGEST_REGISTERED_ID)]
#: Of any scheme, because an app may have its own. An empty string is accepted: no schema refuses
#: it, and callers may mean that there is none.
IS_URL = AfterValidator(_url)


def error_at(member: str, error: PydanticCustomError) -> ValidationError:
    """Return the error for one member, to be raised by a validator of the whole object.

    Args:
        member: Infobip's name for the member.
        error: The rule that it breaks together with other members.
    """
    return ValidationError.from_exception_data(
        member, [InitErrorDetails(type=error, loc=(member,), input=None)]
    )


class ContentObject(RequestBody):
    """An object of a content; it shows nothing of itself, because every member may be personal."""

    model_config = ConfigDict(defer_build=True)

    def __repr_args__(self) -> list[tuple[str, Any]]:
        """Return nothing."""
        return []


class Content(ContentObject):
    """The content that one step sends, and how long the step may take."""

    #: A validity period must exceed the shortest; Infobip cuts it to the longest.
    shortest_validity: ClassVar[timedelta] = timedelta(seconds=30)
    longest_validity: ClassVar[timedelta] = timedelta(hours=48)

    text: LongText | None = None
    # The unit is read first, because the rules for the period need it.
    validity_period_time_unit: TimeUnit | None = None  #: minutes by default
    validity_period: (
        Annotated[StrictInt, Field(le=LARGEST_INT32), BeforeValidator(_number)] | None
    ) = None

    def validity(self) -> timedelta | None:
        """Return how long the step may take before the next is tried; None if not specified."""
        if self.validity_period is None:
            return None
        nanoseconds = self._nanoseconds(self.validity_period, self.validity_period_time_unit)
        # A 32-bit number of days exceeds the range of timedelta.
        most = self.longest_validity // timedelta(microseconds=1)
        return timedelta(microseconds=min(nanoseconds // 1000, most))

    @field_validator("validity_period")
    @classmethod
    def _lasts_long_enough(cls, period: int | None, info: ValidationInfo) -> int | None:
        if period is not None:
            nanoseconds = cls._nanoseconds(period, info.data.get("validity_period_time_unit"))
            if nanoseconds <= cls.shortest_validity.seconds * 10**9:
                raise PydanticCustomError(
                    "validity",
                    "must exceed {seconds} seconds",
                    {"seconds": cls.shortest_validity.seconds},
                )
        return period

    @staticmethod
    def _nanoseconds(period: int, unit: TimeUnit | None) -> int:
        return period * _NANOSECONDS[unit or TimeUnit.MINUTES]
