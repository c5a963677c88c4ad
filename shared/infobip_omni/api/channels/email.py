"""The content of an e-mail."""

from __future__ import annotations

from .content import NonEmptyText, RichContent


class EmailContent(RichContent):
    """An e-mail."""

    text: NonEmptyText
