"""A circuit breaker: limits the calls of one execution environment to an API that is down."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infobip_omni.api.reports import Status

_FAILURES_TO_OPEN = 5
_FIRST_BACKOFF_SECONDS = 5.0
_LONGEST_BACKOFF_SECONDS = 60.0
#: How many circuits are kept; the key of one may be any text that a caller sends.
_MOST_CIRCUITS = 1000


class CircuitBreaker:
    """Opens after five failures in a row, and then allows one probe after each backoff.

    A refusal of everything that is sent opens it immediately. The backoff doubles from 5 to 60
    seconds with every probe that fails; the first success closes the circuit. It is thread-safe.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._failures = 0
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._open_until = 0.0
        #: The thread whose call is the probe, until the call has ended.
        self._prober: int | None = None
        #: What the API answered when it last refused a call, if it answered.
        self.cause: Status | Mapping[str, object] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the next call that is allowed is a probe."""
        return self._failures >= _FAILURES_TO_OPEN

    def retry_in_seconds(self) -> float:
        """Return the seconds until the next call is allowed; 0 if one is allowed now."""
        return max(0.0, self._open_until - self._now())

    def allow_request(self) -> bool:
        """Return whether a call may be made now; in the half-open state only the probe may."""
        with self._lock:
            if self._failures < _FAILURES_TO_OPEN:
                return True
            if self._now() < self._open_until:
                return False
            # Until the probe has failed or succeeded, no other call is allowed.
            self._open_until = self._now() + self._backoff
            self._prober = threading.get_ident()
            return True

    def succeeded(self) -> None:
        """Record that the API has answered."""
        with self._lock:
            self._failures = 0
            self._backoff = _FIRST_BACKOFF_SECONDS
            self._open_until = 0.0
            self._prober = None
            self.cause = None

    def not_called(self) -> None:
        """Record that this thread's call was not made; if it was the probe, the next call is."""
        with self._lock:
            if self._prober == threading.get_ident():
                self._prober = None
                self._open_until = self._now()

    def failed(self, cause: Status | Mapping[str, object] | None = None) -> None:
        """Record that the API has not answered, or has refused the call; *cause* is its answer."""
        self._count(1, cause)

    def refused(self, cause: Status | Mapping[str, object] | None) -> None:
        """Record that the API refuses every call until a person acts; the circuit opens."""
        self._count(_FAILURES_TO_OPEN, cause)

    def _count(self, failures: int, cause: Status | Mapping[str, object] | None) -> None:
        with self._lock:
            was_open = self.is_open
            self.cause = cause
            self._failures += failures
            if self.is_open and not was_open:
                self._open_until = self._now() + self._backoff
            elif self._prober is not None:  # otherwise the call began before the circuit opened
                self._prober = None
                self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF_SECONDS)
                self._open_until = self._now() + self._backoff


class CircuitBreakers:
    """One circuit breaker for each key; the least recently used are forgotten."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, key: str) -> CircuitBreaker:
        """Return the circuit breaker of a key."""
        with self._lock:
            breaker = self._breakers.pop(key, None) or CircuitBreaker(self._now)
            self._breakers[key] = breaker
            if len(self._breakers) > _MOST_CIRCUITS:
                del self._breakers[next(iter(self._breakers))]
            return breaker
