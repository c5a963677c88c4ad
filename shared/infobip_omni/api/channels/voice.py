"""The content of a phone call."""

from __future__ import annotations

from .content import NonEmptyText, RichContent


class VoiceContent(RichContent):
    """A phone call that reads out a text."""

    text: NonEmptyText
