"""The rate of log queries, which all runs of the reconciler share through one item of the table.

Infobip allows 120 log queries a minute for an account. The runs use at most 110 of them in any 60
seconds, whatever overlaps and whatever is restarted; people share the rest. Queries get slots of
equal distance, so no window of 60 seconds holds more of them than there are slots in it. A slot
that was not used in time is lost: unused slots must not add up to a burst.

Only one run at a time holds the item, since two would ask about the same messages. Its lease is
extended with each write of slots, so another run takes over soon after a run was killed.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from infobip_omni.dynamodb import (
    ENTRY,
    MESSAGE_ID,
    Expectation,
    Insert,
    TableUnavailableError,
    Update,
)
from infobip_omni.timestamps import format_utc, parse_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from infobip_omni.dynamodb import Table

#: The message id under which the item is stored; it is no message.
LIMITER_ID = "#log-queries"
_ENTRY = "LIMITER"
#: Slots a minute. A query begins between its slot and the next one, so a window of 60 seconds holds
#: two queries more than slots at most.
SLOTS_PER_MINUTE = 105
_DISTANCE = timedelta(minutes=1) / SLOTS_PER_MINUTE
#: How many slots one write takes: some six seconds of them.
_SLOTS_PER_WRITE = 10
#: How long a run that takes no slots still holds them.
_LEASE = timedelta(seconds=60)
#: How long a 429 delays the next slot, whatever its `Retry-After`.
_SHORTEST_DELAY = timedelta(seconds=10)
_LONGEST_DELAY = timedelta(seconds=60)
#: No correct clock writes slots or leases that are further ahead.
_FURTHEST = timedelta(minutes=3)
_ATTEMPTS = 5
_SECONDS_BETWEEN_LOOKS = 5.0


class _Held(NamedTuple):
    """The item as it was read."""

    next_slot_at: datetime
    holder: str
    lease_until: datetime

    def is_free(self, now: datetime) -> bool:
        """Whether a run may take the item over: no lease holds, or none that can be true."""
        return not self.holder or not now < self.lease_until <= now + _FURTHEST


class LogQueryLimiter:
    """The slots of one run.

    Args:
        table: The messages table.
        now: Returns the time.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        table: Table,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._now = now
        self._sleep = sleep
        self._token = uuid.uuid4().hex
        self._slots: deque[datetime] = deque()
        self._delayed_until: datetime | None = None

    def begin(self, patience: timedelta) -> bool:
        """Become the run that holds the slots.

        Args:
            patience: How long to wait for another run to end.

        Returns:
            Whether it does; another run may hold them for longer.

        Raises:
            TableUnavailableError: The table did not say.
        """
        give_up_at = self._now() + patience
        while True:
            if self._take_slots(may_take_over=True):
                return True
            left = (give_up_at - self._now()).total_seconds()
            if not 0 < left <= patience.total_seconds():
                return False
            self._sleep(min(left, _SECONDS_BETWEEN_LOOKS))

    def wait_for_slot(self, seconds_left: Callable[[], float]) -> bool:
        """Wait until a query may be made.

        Args:
            seconds_left: Returns how many seconds the run may wait.

        Returns:
            Whether it may be made now; the time is too short, or another run has taken over.

        Raises:
            TableUnavailableError: The table did not say.
        """
        while True:
            now = self._now()
            # A clock that was set back makes a slot seem far away, and one set forward, missed.
            while self._slots and not now - _DISTANCE < self._slots[0] <= now + _FURTHEST:
                self._slots.popleft()
            if not self._slots:
                if not self._take_slots(may_take_over=False):
                    return False
                continue
            wait = (self._slots[0] - now).total_seconds()
            if wait > seconds_left():
                return False
            if wait <= 0:
                self._slots.popleft()
                return True
            self._sleep(wait)

    def delay(self, seconds: float | None) -> None:
        """Delay the next query, since Infobip limits the rate.

        Args:
            seconds: What Infobip asks for; None is unsaid.
        """
        longest = _LONGEST_DELAY.total_seconds()
        asked = timedelta(seconds=min(max(seconds or 0.0, 0.0), longest))
        self._delayed_until = self._now() + max(asked, _SHORTEST_DELAY)
        self._slots.clear()

    def end(self) -> None:
        """Release the lease, so the next run need not wait for its end."""
        held = self._read()
        if held is None or held.holder != self._token:
            return
        unused = min(self._slots, default=held.next_slot_at)
        self._slots.clear()
        self._write(held, held._replace(next_slot_at=unused, holder="", lease_until=self._now()))

    def _take_slots(self, *, may_take_over: bool) -> bool:
        """Take the next slots and extend the lease.

        Returns:
            Whether this run holds them; if not, another one does.
        """
        for _ in range(_ATTEMPTS):
            held, now = self._read(), self._now()
            if held is not None:
                own = held.holder == self._token
                if not own and not (may_take_over and held.is_free(now)):
                    return False
            first = now if held is None else held.next_slot_at
            if not now <= first <= now + _FURTHEST:
                first = now
            if self._delayed_until is not None:
                first = max(first, min(self._delayed_until, now + _LONGEST_DELAY))
            slots = [first + number * _DISTANCE for number in range(_SLOTS_PER_WRITE)]
            wanted = _Held(slots[-1] + _DISTANCE, self._token, slots[-1] + _LEASE)
            if self._write(held, wanted):
                self._slots.extend(slots)
                self._delayed_until = None
                return True
        raise TableUnavailableError("the slots of log queries were not taken")

    def _read(self) -> _Held | None:
        item = self._table.get_all([(LIMITER_ID, _ENTRY)]).get((LIMITER_ID, _ENTRY))
        if item is None:
            return None
        return _Held(parse_utc(item["nextSlotAt"]), item["holder"], parse_utc(item["leaseUntil"]))

    def _write(self, held: _Held | None, wanted: _Held) -> bool:
        """Write the item, if it is still as it was read, and return whether it was."""
        attributes = {
            "nextSlotAt": format_utc(wanted.next_slot_at),
            "holder": wanted.holder,
            "leaseUntil": format_utc(wanted.lease_until),
        }
        write: Insert | Update
        if held is None:
            write = Insert({MESSAGE_ID: LIMITER_ID, ENTRY: _ENTRY} | attributes)
        else:
            expected = (
                Expectation("nextSlotAt", format_utc(held.next_slot_at)),
                Expectation("holder", held.holder),
            )
            write = Update(LIMITER_ID, _ENTRY, attributes, expected)
        (answer,) = self._table.execute([write])
        return answer.error is None
