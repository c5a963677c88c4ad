"""Infobip's clock, and how Infobip writes a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import cast

from .errors import LONGEST_SECONDS, number

#: How far the clock can be advanced in total, in seconds.
_LONGEST_ADVANCE = 100 * LONGEST_SECONDS
_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Clock:
    """The real time, plus the time by which it was advanced."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Return the simulated time in epoch seconds."""
        return time.time() + self._ahead

    def advance(self, seconds: object) -> None:
        """Advance the clock; refuse a value that is not a number, or over 100 years in total."""
        number(seconds, "advanceSeconds", int(_LONGEST_ADVANCE - self._ahead))
        self._ahead += cast("float", seconds)


def timestamp(moment: float) -> str:
    """Format epoch seconds as Infobip does, like ``2015-02-23T16:41:11.833+0000``.

    A scenario with very many steps ends after the year 9999, and gets its last day instead.
    """
    written = datetime.fromtimestamp(min(moment, _LAST_MOMENT), UTC).isoformat(
        timespec="milliseconds"
    )
    return written.removesuffix("+00:00") + "+0000"
