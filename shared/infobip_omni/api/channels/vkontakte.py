"""The content of a VKontakte message."""

from __future__ import annotations

from .content import RichContent


class VKontakteContent(RichContent):
    """A VKontakte message: a text, or a template with its data."""
