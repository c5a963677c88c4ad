"""The text of a timestamp sorts by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.timestamps import format_utc, parse_utc, utc_now

#: Far enough from both ends of the calendar that no offset leads out of it.
TIMESTAMPS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)


def test_timestamp_is_formatted_in_utc_with_milliseconds() -> None:
    timestamp = datetime(2026, 1, 31, 14, 0, 0, 5999, timezone(timedelta(hours=2)))

    assert format_utc(timestamp) == "2026-01-31T12:00:00.005Z"


def test_years_have_four_digits() -> None:
    """A year of one digit would sort after all others, and could not be parsed."""
    assert format_utc(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"


@given(TIMESTAMPS, TIMESTAMPS)
def test_texts_sort_like_timestamps(one: datetime, other: datetime) -> None:
    """Timestamps within the same millisecond have the same text."""
    if one <= other:
        assert format_utc(one) <= format_utc(other)
    else:
        assert format_utc(one) >= format_utc(other)


@given(TIMESTAMPS)
def test_formatted_timestamp_is_parsed_back(timestamp: datetime) -> None:
    """Fractions of a millisecond are cut off."""
    read = parse_utc(format_utc(timestamp))

    assert timedelta(0) <= timestamp - read < timedelta(milliseconds=1)
    assert format_utc(read) == format_utc(timestamp)


def test_utc_now_has_offset() -> None:
    """A time without an offset could not be compared with Infobip's."""
    before = datetime.now(UTC)

    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo is UTC
