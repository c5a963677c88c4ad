"""Timestamps as the table stores them: UTC, to the millisecond, sortable as text."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def format_utc(timestamp: datetime) -> str:
    """Format a timestamp like ``2026-01-31T12:00:00.000Z``; earlier ones sort first."""
    # strftime does not pad years, so the year 1 would neither sort nor be parsed again.
    return timestamp.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Parse a timestamp that `format_utc` has formatted.

    Raises:
        ValueError: The text is not in ISO 8601.
    """
    return datetime.fromisoformat(text)
