"""The content of an e-mail."""

from __future__ import annotations

from .content import Content, LongText, NonEmptyText


class EmailContent(Content):
    """An e-mail."""

    text: NonEmptyText
    subject: LongText | None = None
