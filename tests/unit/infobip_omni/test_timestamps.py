"""Moments are written so that the table can sort them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.timestamps import format_utc, parse_utc, utc_now

#: Offsets of a day at most must not lead out of the calendar.
MOMENTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)


def test_moment_is_written_in_utc_to_the_millisecond() -> None:
    """Whatever its offset was."""
    written = datetime(2026, 1, 31, 14, 0, 0, 5999, timezone(timedelta(hours=2)))

    assert format_utc(written) == "2026-01-31T12:00:00.005Z"


def test_years_have_four_digits() -> None:
    """A year of one digit would sort behind all others, and could not be read back."""
    assert format_utc(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000Z"


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_moments_do(one: datetime, other: datetime) -> None:
    """Within a millisecond they are the same."""
    if one <= other:
        assert format_utc(one) <= format_utc(other)
    else:
        assert format_utc(one) >= format_utc(other)


@given(MOMENTS)
def test_what_was_written_is_read_back(moment: datetime) -> None:
    """What is below a millisecond is cut."""
    read = parse_utc(format_utc(moment))

    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)
    assert format_utc(read) == format_utc(moment)


def test_now_has_an_offset() -> None:
    """A naive time could not be compared with Infobip's."""
    before = datetime.now(UTC)

    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo is UTC
