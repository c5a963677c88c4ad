"""Points in time as the ledger writes them: UTC, to the millisecond, sortable as text."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def format_utc(moment: datetime) -> str:
    """Write a moment like ``2026-01-31T12:00:00.000Z``; earlier ones sort first."""
    # strftime does not pad years, so that the year 1 would neither sort nor be read back.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Read what `format_utc` has written."""
    return datetime.fromisoformat(text)
