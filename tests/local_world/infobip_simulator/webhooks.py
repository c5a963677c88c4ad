"""Calls to notifyUrls: when they are due, and how they are made.

Only addresses of this machine are ever called. `--resolve` gives a host an address on this machine;
any other host counts as one that does not answer.
"""

from __future__ import annotations

import heapq
import ipaddress
import json
from collections import deque
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .errors import Json

#: Address and port.
Place = tuple[str, int]

_TIMEOUT_SECONDS = 10
_JOURNAL_LENGTH = 1000


@dataclass(slots=True)
class Push:
    """A call to a notifyUrl, and the number of its attempts."""

    url: str
    results: list[Json]
    #: Called when the call has been answered with 2xx; one for each final report.
    delivered: tuple[Callable[[], None], ...] = ()
    attempts: int = 0

    def takes(self, other: Push, most: int) -> bool:
        """Whether this call can also hold the reports of another; both hold final ones only."""
        fits = len(self.results) + len(other.results) <= most
        is_final = bool(self.delivered and other.delivered)
        return fits and is_final and self.url == other.url and not self.attempts | other.attempts


@dataclass(slots=True)
class Pushes:
    """The calls that an account still has to make. Not thread-safe: callers hold a lock."""

    _waiting: list[tuple[float, int, Push]] = field(default_factory=list)
    _journal: deque[Json] = field(default_factory=lambda: deque(maxlen=_JOURNAL_LENGTH))
    _numbers: Iterator[int] = field(default_factory=count)
    _under_way: int = 0

    def __len__(self) -> int:
        """Return the number of reports in calls still to be made or answered."""
        return sum(len(push.results) for *_, push in self._waiting) + self._under_way

    def add(self, due_at: float, push: Push) -> None:
        heapq.heappush(self._waiting, (due_at, next(self._numbers), push))

    def next_at(self) -> float | None:
        """Return when the next call is due; None if there is none."""
        return self._waiting[0][0] if self._waiting else None

    def take_due(self, now: float, most: int) -> list[Push]:
        """Remove and return the calls that are due.

        Args:
            now: The time, in epoch seconds.
            most: The largest number of reports in one call, of those that are due together.
        """
        due: list[Push] = []
        open_calls: dict[str, Push] = {}
        while self._waiting and self._waiting[0][0] <= now:
            push = heapq.heappop(self._waiting)[2]
            self._under_way += len(push.results)
            call = open_calls.get(push.url)
            if call is not None and call.takes(push, most):
                call.results += push.results
                call.delivered += push.delivered
            else:
                open_calls[push.url] = push
                due.append(push)
        return due

    def note(
        self, push: Push, status: int | None, now: float, most_retries: int, minute: float
    ) -> None:
        """Store the answer to a call, and schedule a retry unless it was a success.

        The documented wait before retry n is one minute and another n * n minutes. The first n is
        not documented; here it is 0.

        Args:
            push: The call.
            status: Of its answer; None if there was none.
            now: When the call was made, in epoch seconds.
            most_retries: The largest number of retries.
            minute: The length of a minute of these waits, in seconds.
        """
        self._under_way -= len(push.results)
        push.attempts += 1
        message_ids = [result["messageId"] for result in push.results]
        self._journal.append(
            {"url": push.url, "messageIds": message_ids, "attempt": push.attempts, "status": status}
        )
        retry = push.attempts - 1
        if status is not None and status // 100 == 2:
            for report_delivered in push.delivered:
                report_delivered()
        elif retry < most_retries:
            self.add(now + minute + minute * retry * retry, push)

    def journal(self) -> list[Json]:
        """Return the last calls, oldest first."""
        return list(self._journal)


def resolution(text: str) -> tuple[str, Place]:
    """Parse ``HOST=ADDRESS:PORT``.

    Raises:
        ValueError: The text has another form, or the address is not on this machine.
    """
    host, _, place = text.partition("=")
    address, _, port = place.rpartition(":")
    if not host or not _is_loopback(address) or int(port) not in range(1, 65536):
        raise ValueError(text)
    return host, (address, int(port))


class Resolver:
    """Finds the address of a host on this machine.

    Args:
        places: Hosts with their addresses; one that begins with a dot matches its subdomains.
        own_port: Of the simulator, which is never called: its control interface needs no
            credentials, so a notifyUrl could change its state.
    """

    def __init__(self, places: Iterable[tuple[str, Place]], own_port: int) -> None:
        self._places = dict(places)
        self._own_port = own_port

    def place_of(self, url: str) -> Place | None:
        """Return address and port to connect to; None if the host must not be called."""
        place = self._found(url)
        return None if place is not None and place[1] == self._own_port else place

    def _found(self, url: str) -> Place | None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        for name, place in self._places.items():
            if host == name or (name.startswith(".") and host.endswith(name)):
                return place
        # The simulator does not speak TLS.
        return (host, parts.port or 80) if parts.scheme == "http" and _is_loopback(host) else None


def deliver(push: Push, resolver: Resolver) -> int | None:
    """Make a call, and return the status of its answer; None if there is none."""
    place = resolver.place_of(push.url)
    if place is None:
        return None
    parts = urlsplit(push.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = HTTPConnection(*place, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST",
            target,
            json.dumps({"results": push.results}, separators=(",", ":")),
            {"Host": parts.netloc, "Content-Type": "application/json"},
        )
        return connection.getresponse().status
    except (OSError, HTTPException, ValueError):  # the last for a URL that http.client refuses
        return None
    finally:
        connection.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
