"""A circuit breaker: limits the calls of one execution environment to an API that is down."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES_TO_OPEN = 5
_FIRST_BACKOFF_SECONDS = 5.0
_LONGEST_BACKOFF_SECONDS = 60.0


class CircuitBreaker:
    """Opens after five failures in a row, and then allows one probe after each backoff.

    The backoff doubles from 5 to 60 seconds with every probe that fails; the first success closes
    the circuit. It is thread-safe.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._failures = 0
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._open_until = 0.0
        #: The thread whose call is the probe, until the call has ended.
        self._prober: int | None = None

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

    def not_called(self) -> None:
        """Record that this thread's call was not made; if it was the probe, the next call is."""
        with self._lock:
            if self._prober == threading.get_ident():
                self._prober = None
                self._open_until = self._now()

    def failed(self) -> None:
        """Record that the API has not answered, or has refused the call."""
        with self._lock:
            self._failures += 1
            if self._failures == _FAILURES_TO_OPEN:
                self._open_until = self._now() + self._backoff
            elif self._prober is not None:  # otherwise the call began before the circuit opened
                self._prober = None
                self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF_SECONDS)
                self._open_until = self._now() + self._backoff
