"""The content of a Viber message."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .content import IS_URL, Content, LongText

_SHAPES = (
    ("text",),
    ("imageURL",),
    ("fileUrl",),
    ("text", "buttonText", "buttonURL"),
    ("text", "imageURL", "buttonText", "buttonURL"),
)
_URL = Annotated[StrictStr, Field(max_length=1000), IS_URL]


def _web_file(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise PydanticCustomError("web_file", "must be an http or https URL")
    return url


class ViberContent(Content):
    """A Viber message: a text, an image, a file, or text with a button and perhaps an image."""

    shortest_validity: ClassVar[timedelta] = timedelta(seconds=35)
    longest_validity: ClassVar[timedelta] = timedelta(days=14)

    image_url: _URL | None = Field(default=None, alias="imageURL")
    file_name: Annotated[StrictStr, Field(max_length=25)] | None = None
    file_type: (
        Literal[
            "doc",
            "docx",
            "rtf",
            "dot",
            "dotx",
            "odt",
            "odf",
            "fodt",
            "txt",
            "info",
            "pdf",
            "xps",
            "pdax",
            "eps",
            "xls",
            "xlsx",
            "ods",
            "fods",
            "csv",
            "xlsm",
            "xltx",
        ]
        | None
    ) = None
    file_url: Annotated[LongText, IS_URL, AfterValidator(_web_file)] | None = None
    button_text: Annotated[StrictStr, Field(max_length=30)] | None = None
    button_url: _URL | None = Field(default=None, alias="buttonURL")
    tracking_data: Annotated[StrictStr, Field(max_length=100)] | None = None
    is_promotional: StrictBool | None = None
    force_primary_device: StrictBool | None = None

    @field_validator("validity_period")
    @classmethod
    def _is_supported(cls, period: int | None, info: ValidationInfo) -> int | None:
        if period is not None:
            nanoseconds = cls._nanoseconds(period, info.data.get("validity_period_time_unit"))
            if nanoseconds > cls.longest_validity.days * 86400 * 10**9:
                raise PydanticCustomError(
                    "validity", "must not exceed {days} days", {"days": cls.longest_validity.days}
                )
        return period

    @model_validator(mode="after")
    def _has_a_shape(self) -> Self:
        # An empty string counts as no member, since Infobip's document allows it.
        members = {
            "text": self.text,
            "imageURL": self.image_url,
            "fileUrl": self.file_url,
            # Whether a file needs a name and a type is not documented.
            "fileName": not self.file_url and self.file_name,
            "fileType": not self.file_url and self.file_type,
            "buttonText": self.button_text,
            "buttonURL": self.button_url,
        }
        held = tuple(name for name, value in members.items() if value)
        if held not in _SHAPES:
            shapes = ", or ".join(map(" + ".join, _SHAPES))
            raise PydanticCustomError(
                "viber_shape",
                "must hold {shapes}; it holds {held}",
                {"shapes": shapes, "held": " + ".join(held) or "none of them"},
            )
        return self
