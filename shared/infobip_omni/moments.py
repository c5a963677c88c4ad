"""Points in time as the ledger writes them: UTC, to the millisecond, sortable as text."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a moment like ``2026-01-31T12:00:00.000Z``; earlier ones sort first."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """Read what `to_text` has written."""
    return datetime.fromisoformat(text)
