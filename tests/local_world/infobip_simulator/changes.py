"""Which messages changed since a caller last asked."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from itertools import islice, takewhile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Page(NamedTuple):
    """The message ids that changed, oldest change first."""

    message_ids: list[str]
    cursor: int  #: the number of the last change in the page, after which the next page begins
    more: bool  #: whether there are further changes


class Changes:
    """The number of each message's last change. Not thread-safe: callers hold a lock.

    Only the last change of a message counts, so a caller that asks rarely reads no message twice.
    """

    def __init__(self) -> None:
        self._count = 0
        #: In the order of the numbers. An OrderedDict, since it moves an entry to its end.
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._coming: list[tuple[float, str]] = []

    def note(self, message_id: str) -> None:
        """Store that a message changes now."""
        self._count += 1
        self._numbers[message_id] = self._count
        self._numbers.move_to_end(message_id)

    def expect(self, message_id: str, moments: Iterable[float]) -> None:
        """Store that a message will change at these moments, in epoch seconds."""
        for moment in moments:
            heapq.heappush(self._coming, (moment, message_id))

    def after(self, number: int, limit: int, now: float) -> Page:
        """Return the messages that changed after the change with this number.

        The work grows with the number of these messages, and not with that of all messages.

        Args:
            number: Of the last change that the caller knows; 0 for all changes.
            limit: The largest number of messages to return.
            now: The time, in epoch seconds; expected changes until then have happened.
        """
        while self._coming and self._coming[0][0] <= now:
            self.note(heapq.heappop(self._coming)[1])
        newest_first = reversed(self._numbers.items())
        found = list(takewhile(lambda change: change[1] > number, newest_first))
        page = list(islice(reversed(found), limit))
        return Page(
            message_ids=[message_id for message_id, _ in page],
            cursor=page[-1][1] if page else number,
            more=len(page) < len(found),
        )
