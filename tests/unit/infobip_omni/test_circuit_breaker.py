"""The breaker stops calls while the API is down, and probes whether it is back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infobip_omni.circuit_breaker import CircuitBreaker
from tests.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock.seconds)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(5):
        assert breaker.allow_request()
        breaker.failed()
    return breaker


def test_circuit_opens_after_five_failures_in_a_row(breaker: CircuitBreaker) -> None:
    """Four failures are no outage yet."""
    for _ in range(4):
        breaker.failed()
    assert breaker.allow_request()
    assert breaker.retry_in_seconds() == 0

    breaker.failed()

    assert not breaker.allow_request()
    assert breaker.retry_in_seconds() == 5


def test_success_resets_failure_count(breaker: CircuitBreaker) -> None:
    """Occasional failures are no outage."""
    for _ in range(10):
        for _ in range(4):
            breaker.failed()
        breaker.succeeded()

    assert breaker.allow_request()


def test_one_probe_is_allowed_after_backoff(breaker: CircuitBreaker, clock: Clock) -> None:
    """The other calls wait for its result."""
    opened(breaker)
    clock.pass_by(seconds=4.9)
    assert not breaker.allow_request()
    clock.pass_by(seconds=0.1)
    assert breaker.retry_in_seconds() == 0

    assert breaker.allow_request()
    assert not breaker.allow_request()
    assert breaker.retry_in_seconds() > 0


def test_successful_probe_closes_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """Five more failures open it again, with the shortest backoff."""
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


def test_backoff_doubles_with_each_failed_probe_up_to_one_minute(
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


def test_calls_begun_before_circuit_opened_do_not_lengthen_backoff(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """Their failures say nothing new."""
    opened(breaker)
    clock.pass_by(seconds=1)
    for _ in range(5):
        breaker.failed()

    assert breaker.retry_in_seconds() == 4


def test_probe_without_result_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    """Otherwise an environment whose probe never ends could make no more calls."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    clock.pass_by(seconds=5)

    assert breaker.allow_request()


def test_only_one_thread_probes(breaker: CircuitBreaker, clock: Clock) -> None:
    """The requests of a batch ask concurrently."""
    opened(breaker)
    clock.pass_by(seconds=5)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: breaker.allow_request(), range(64)))

    assert answers.count(True) == 1


def test_next_call_probes_if_probe_was_not_made(breaker: CircuitBreaker, clock: Clock) -> None:
    """A call that was not made says nothing about the API."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    breaker.not_called()

    assert breaker.retry_in_seconds() == 0
    assert breaker.allow_request()
    assert not breaker.allow_request()
    breaker.failed()
    assert breaker.retry_in_seconds() == 10


def test_unmade_call_does_not_end_probe_of_another_thread(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """It was allowed before the circuit opened, so it says nothing about the probe."""
    opened(breaker)
    clock.pass_by(seconds=5)
    assert breaker.allow_request()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(breaker.not_called).result()

    assert not breaker.allow_request()
    breaker.failed()
    assert breaker.retry_in_seconds() == 10


def test_unmade_calls_neither_open_nor_close_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    """Nor do they shorten the backoff if they were allowed before the circuit opened."""
    for _ in range(9):
        breaker.not_called()
    assert breaker.allow_request()

    opened(breaker)
    clock.pass_by(seconds=1)
    breaker.not_called()

    assert breaker.retry_in_seconds() == 4
