"""The content of a phone call."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictStr

from infobip_omni.api.wire import LONGEST_WORD

from .content import Content, NonEmptyText


class VoiceContent(Content):
    """A phone call that reads out a text."""

    text: NonEmptyText
    language: Annotated[StrictStr, Field(max_length=LONGEST_WORD)] | None = None
