"""The events by which open pages follow what happens, as a browser's `EventSource` reads them.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .board import Board, Portion

if TYPE_CHECKING:
    from collections.abc import Iterator

    Json = dict[str, Any]
    Schedules = Literal["every-minute", "every-2-seconds"]

MOST_ROWS = 1000
#: Between two events to one reader.
_SECONDS_BETWEEN = 0.25
#: After which a reader without news gets a comment, which shows whether it is still there.
_SECONDS_OF_SILENCE = 10.0
#: A difference between two clocks that only a person causes.
_CLOCK_JUMP_SECONDS = 0.5


class Feed:
    """What pages show, and the readers that follow it. It is thread-safe.

    A reader that is slow or far behind waits alone: nothing is kept for it, and no lock is held
    while it is written to.
    """

    def __init__(self) -> None:
        self.board = Board()
        #: Of this start of the server; a reader of another start begins anew.
        self._start = uuid.uuid4().hex
        self._changed = threading.Condition()
        self._queue: Json = {"waiting": 0, "deadLettered": 0}
        self._schedules: Schedules = "every-2-seconds"
        self._problems: dict[str, str] = {}
        #: The number of the last change to anything but the rows.
        self._notice = 0
        self._clock_ahead = 0.0
        self._readers = 0
        self._is_stopped = False

    @property
    def schedules(self) -> Schedules:
        """How often the functions run that schedules invoke, while a page is open."""
        return self._schedules

    @property
    def readers(self) -> int:
        """The number of open pages."""
        return self._readers

    def now(self) -> float:
        """Return the time of Infobip's clock, in epoch seconds."""
        return time.time() + self._clock_ahead

    @contextmanager
    def changing(self) -> Iterator[Board]:
        """Lock the board, and wake the readers when it has changed."""
        with self._changed:
            before = self.board.version
            yield self.board
            if self.board.version != before:
                self._changed.notify_all()

    def set_clock(self, now: float) -> None:
        """Take the time of Infobip's clock, in epoch seconds."""
        ahead = now - time.time()
        with self._changed:
            has_jumped = abs(ahead - self._clock_ahead) > _CLOCK_JUMP_SECONDS
            self._clock_ahead = ahead
            if has_jumped:
                self._notify()

    def set_queue(self, *, waiting: int, dead_lettered: int) -> None:
        """Take the numbers of records on the send queue and on its dead-letter queue."""
        queue = {"waiting": waiting, "deadLettered": dead_lettered}
        with self._changed:
            if queue != self._queue:
                self._queue = queue
                self._notify()

    def set_schedules(self, schedules: Schedules) -> None:
        """Choose how often the functions run that schedules invoke."""
        with self._changed:
            self._schedules = schedules
            self._notify()

    def set_problem(self, source: str, sentence: str | None) -> None:
        """Take what is wrong with one of the sources; None if nothing is."""
        with self._changed:
            if self._problems.get(source) != sentence:
                self._problems.pop(source, None)
                if sentence is not None:
                    self._problems[source] = sentence
                self._notify()

    def stop(self) -> None:
        """End all events."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def events(self, last_event_id: str | None) -> Iterator[str]:
        """Yield events until the feed stops.

        Args:
            last_event_id: The id of the last event that the reader has received; None if it has
                received none.
        """
        version = self._version_of(last_event_id)
        notice = None
        with self._changed:
            self._readers += 1
        try:
            while not self._is_stopped:
                with self._changed:
                    has_news = partial(self._has_news, version, notice)
                    if not self._changed.wait_for(has_news, _SECONDS_OF_SILENCE):
                        portion = None
                    elif self._is_stopped:
                        return
                    else:
                        portion = self.board.after(version, MOST_ROWS)
                        version, notice = portion.version, self._notice
                        status = self._status(reset=portion.reset)
                if portion is None:
                    yield ":\n\n"
                    continue
                yield self._event(portion, status)
                if not portion.more:
                    self._wait_before_next()
        finally:
            with self._changed:
                self._readers -= 1

    def _version_of(self, event_id: str | None) -> int | None:
        start, _, version = (event_id or "").partition("-")
        if start != self._start or not (version.isascii() and version.isdigit()):
            return None
        # A version that this start has not reached yet was made up.
        number = int(version[:18])
        return number if number <= self.board.version else None

    def _has_news(self, version: int | None, notice: int | None) -> bool:
        return self._is_stopped or version != self.board.version or notice != self._notice

    def _status(self, *, reset: bool) -> Json:
        return {
            "reset": reset,
            "now": self.now(),
            "queue": self._queue,
            "schedules": self._schedules,
            "problem": next(iter(self._problems.values()), None),
        }

    def _event(self, portion: Portion, status: Json) -> str:
        # The rows are JSON already.
        data = f'{json.dumps(status)[:-1]}, "messages": [{",".join(portion.rows)}]}}'
        return f"event: state\nid: {self._start}-{portion.version}\ndata: {data}\n\n"

    def _wait_before_next(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped, _SECONDS_BETWEEN)

    def _notify(self) -> None:
        self._notice += 1
        self._changed.notify_all()
