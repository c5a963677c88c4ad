"""No window of 60 seconds holds more than 110 log queries, and each of them is soon used."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.log_query_limiter import LIMITER_ID, LogQueryLimiter
from tests.fakes import Clock, FakeTable

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = timedelta(minutes=1)
NO_WAIT = timedelta()


class Harness:
    """Runs that share a table and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = FakeTable()

    def limiter(self) -> LogQueryLimiter:
        """Return the limiter of another run."""
        return LogQueryLimiter(self.table, self.clock, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.pass_by(seconds=seconds)

    def query(self, limiter: LogQueryLimiter, takes: float = 0.0) -> datetime:
        """Make a query that takes some seconds, and return when it began."""
        assert limiter.wait_for_slot(lambda: 600.0)
        began = self.clock.now
        self.sleep(takes)
        return began


@pytest.fixture
def harness() -> Harness:
    """Return a harness in which no run has begun."""
    return Harness()


def most_in_a_minute(times: Sequence[datetime]) -> int:
    """Return how many times the fullest window of 60 seconds holds."""
    return max(bisect_left(times, each + MINUTE) - index for index, each in enumerate(times))


def test_run_that_never_stops_makes_between_90_and_110_queries_a_minute(harness: Harness) -> None:
    limiter = harness.limiter()
    assert limiter.begin(NO_WAIT)
    began = harness.clock.now
    times = [harness.query(limiter, takes=0.3) for _ in range(500)]

    assert most_in_a_minute(times) <= 110
    assert 500 / ((harness.clock.now - began) / MINUTE) >= 90


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["query", "query", "query", "restart", "crash", "wait", "limited"]),
            st.floats(0, 90),
        ),
        max_size=400,
    )
)
def test_no_minute_holds_more_than_110_queries(events: list[tuple[str, float]]) -> None:
    """Runs may end, start again, hang, be killed, or have to wait."""
    harness = Harness()
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    times: list[datetime] = []
    for event, seconds in events:
        if event == "query":
            times += [harness.query(limiter) for _ in range(20)]
        elif event == "wait":
            harness.sleep(seconds)
        elif event == "limited":
            limiter.delay(seconds)
        else:
            if event == "restart":
                limiter.end()
            limiter = harness.limiter()
            assert limiter.begin(2 * MINUTE)

    assert not times or most_in_a_minute(times) <= 110


def test_unused_slots_do_not_add_up(harness: Harness) -> None:
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    harness.query(limiter)
    harness.sleep(600)
    times = [harness.query(limiter) for _ in range(120)]

    assert most_in_a_minute(times) <= 110


def test_second_run_waits_for_the_first_to_end(harness: Harness) -> None:
    first, second = harness.limiter(), harness.limiter()
    assert first.begin(NO_WAIT)
    assert not second.begin(NO_WAIT)
    first.end()

    assert second.begin(NO_WAIT)
    assert not first.wait_for_slot(lambda: 600.0)


def test_run_takes_over_soon_after_another_was_killed(harness: Harness) -> None:
    harness.limiter().begin(NO_WAIT)

    assert harness.limiter().begin(timedelta(seconds=90))


def test_lease_lasts_as_long_as_the_run_asks(harness: Harness) -> None:
    """However slow the answers are."""
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    for _ in range(10):
        harness.query(limiter, takes=46.0)

        assert not harness.limiter().begin(NO_WAIT)


def test_no_query_begins_before_the_time_that_infobip_asks_for(harness: Harness) -> None:
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    limiter.delay(30.0)
    limited_at = harness.clock.now

    assert harness.query(limiter) - limited_at >= timedelta(seconds=30)


@pytest.mark.parametrize("seconds", [None, 0.0, 86_400.0])
def test_delay_is_between_ten_seconds_and_a_minute(harness: Harness, seconds: float | None) -> None:
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    limiter.delay(seconds)
    limited_at = harness.clock.now
    delay = harness.query(limiter) - limited_at

    assert timedelta(seconds=10) <= delay <= MINUTE


def test_no_slot_is_waited_for_beyond_the_time_of_the_run(harness: Harness) -> None:
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    harness.query(limiter)
    began = harness.clock.now

    assert not limiter.wait_for_slot(lambda: 0.1)
    assert harness.clock.now == began


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_jumps_holds_up_nobody_for_long(harness: Harness, hours: int) -> None:
    """Neither the run whose clock it is, nor the next one with a correct clock."""
    limiter = harness.limiter()
    limiter.begin(NO_WAIT)
    harness.query(limiter)
    harness.clock.pass_by(hours=hours)
    began = harness.clock.now
    harness.query(limiter)
    harness.clock.pass_by(hours=-hours)
    other = harness.limiter()

    assert other.begin(2 * MINUTE)
    harness.query(other)
    assert abs(harness.clock.now - began + timedelta(hours=hours)) <= 3 * MINUTE


@pytest.mark.parametrize("method", ["get_all", "execute"])
def test_table_that_does_not_answer_ends_the_run(harness: Harness, method: str) -> None:
    harness.table.failures[method] = 10

    with pytest.raises(TableUnavailableError):
        harness.limiter().begin(NO_WAIT)


def test_write_whose_answer_was_lost_takes_no_slot_twice(harness: Harness) -> None:
    limiter = harness.limiter()
    harness.table.lost_answers = 1
    assert limiter.begin(NO_WAIT)
    times = [harness.query(limiter) for _ in range(120)]

    assert most_in_a_minute(times) <= 110


def test_item_is_no_message(harness: Harness) -> None:
    harness.limiter().begin(NO_WAIT)

    assert [key[0] for key in harness.table.items] == [LIMITER_ID]
    assert LIMITER_ID.startswith("#")
