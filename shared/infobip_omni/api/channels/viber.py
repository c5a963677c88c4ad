"""The content of a Viber message."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from .content import RichContent


class ViberContent(RichContent):
    """A Viber message: a text, an image, a file, or text with a button."""

    shortest_validity: ClassVar[timedelta] = timedelta(seconds=35)
    longest_validity: ClassVar[timedelta] = timedelta(days=14)

    @field_validator("validity_period")
    @classmethod
    def _is_supported(cls, period: int | None, info: ValidationInfo) -> int | None:
        if period is not None:
            nanoseconds = cls._nanoseconds(period, info.data.get("validity_period_time_unit"))
            if nanoseconds > cls.longest_validity // timedelta(microseconds=1) * 1000:
                raise PydanticCustomError(
                    "validity", "must not exceed {days} days", {"days": cls.longest_validity.days}
                )
        return period
