"""The breaker stops calls that would only fail, and finds out when they no longer would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infobip_omni.circuit_breaker import CircuitBreaker
from tests.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    """Return the breaker's clock."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Return a closed breaker."""
    return CircuitBreaker(clock.seconds)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    """Open a breaker."""
    for _ in range(5):
        assert breaker.allow_request()
        breaker.failed()
    return breaker


def test_it_opens_after_five_failures_in_a_row(breaker: CircuitBreaker) -> None:
    """Four are no outage yet."""
    for _ in range(4):
        breaker.failed()
    assert breaker.allow_request()
    assert breaker.retry_in_seconds() == 0

    breaker.failed()

    assert not breaker.allow_request()
    assert breaker.retry_in_seconds() == 5


def test_success_in_between_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    """Failures now and then are no outage."""
    for _ in range(10):
        for _ in range(4):
            breaker.failed()
        breaker.succeeded()

    assert breaker.allow_request()


def test_after_the_pause_one_probe_gets_through(breaker: CircuitBreaker, clock: Clock) -> None:
    """The others wait for what comes of it."""
    opened(breaker)
    clock.pass_by(seconds=4.9)
    assert not breaker.allow_request()
    clock.pass_by(seconds=0.1)
    assert breaker.retry_in_seconds() == 0

    assert breaker.allow_request()
    assert not breaker.allow_request()
    assert breaker.retry_in_seconds() > 0


def test_probe_that_succeeds_closes_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """And it takes five failures again to open it, for a short backoff again."""
    opened(breaker)
    clock.pass_by(seconds=5)
    breaker.allow_request()
    breaker.failed()
    clock.pass_by(seconds=10)
    breaker.allow_request()
    breaker.succeeded()

    assert breaker.retry_in_seconds() == 0
    assert breaker.allow_request()
    assert breaker.allow_request()
    opened(breaker)
    assert breaker.retry_in_seconds() == 5


def test_pause_doubles_with_every_failed_probe_up_to_a_minute(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """A long outage is probed once a minute."""
    opened(breaker)
    backoffs = []
    for _ in range(6):
        backoffs.append(breaker.retry_in_seconds())
        clock.pass_by(seconds=breaker.retry_in_seconds())
        assert breaker.allow_request()
        breaker.failed()

    assert backoffs == [5, 10, 20, 40, 60, 60]


def test_calls_that_were_begun_before_do_not_lengthen_the_pause(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """They tell nothing new."""
    opened(breaker)
    clock.pass_by(seconds=1)
    for _ in range(5):
        breaker.failed()

    assert breaker.retry_in_seconds() == 4


def test_probe_of_which_nothing_is_heard_is_followed_by_another(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """An environment that lost its probe must not stay closed to the world."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    clock.pass_by(seconds=5)

    assert breaker.allow_request()


def test_of_many_threads_one_is_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    """The posts of a batch ask at the same time."""
    opened(breaker)
    clock.pass_by(seconds=5)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: breaker.allow_request(), range(64)))

    assert answers.count(True) == 1


def test_probe_that_was_not_made_leaves_it_to_the_next(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """What keeps us from calling says nothing about the API."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    breaker.not_called()

    assert breaker.retry_in_seconds() == 0
    assert breaker.allow_request()
    assert not breaker.allow_request()
    breaker.failed()
    assert breaker.retry_in_seconds() == 10


def test_call_that_was_not_made_leaves_the_probe_of_another_thread_alone(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """It was let through before the circuit opened, and says nothing of the probe."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(breaker.not_called).result()

    assert not breaker.allow_request()
    breaker.failed()
    assert breaker.retry_in_seconds() == 10


def test_calls_that_were_not_made_neither_open_nor_close_the_circuit(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """Nor do they shorten the backoff, where they were to be made before the circuit opened."""
    for _ in range(9):
        breaker.not_called()
    assert breaker.allow_request()

    opened(breaker)
    clock.pass_by(seconds=1)
    breaker.not_called()

    assert breaker.retry_in_seconds() == 4
