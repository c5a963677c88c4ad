"""The content of a LINE message."""

from __future__ import annotations

from .content import RichContent


class LineContent(RichContent):
    """A LINE message."""
