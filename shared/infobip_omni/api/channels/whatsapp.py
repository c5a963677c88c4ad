"""The content of a WhatsApp message."""

from __future__ import annotations

from .content import RichContent


class WhatsAppContent(RichContent):
    """A WhatsApp message: a text, a template, a file, a location or contacts."""
