"""The content of a VKontakte message."""

from __future__ import annotations

from typing import Any, Self

from pydantic import StrictStr, model_validator

from .content import Content, LongText
from .shapes import require_any, require_together


class VKontakteContent(Content):
    """A VKontakte message: a text, or a template with its data."""

    template_name: LongText | None = None
    #: Objects in the schema of Infobip's document and texts in its examples, so any JSON.
    template_data: dict[StrictStr, Any] | None = None

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        require_together(self, ("template_data",), "template_name")
        require_any(self, "text", "template_name")
        return self
