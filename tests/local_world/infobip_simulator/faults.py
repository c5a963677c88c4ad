"""Fault injection: which call a fault fires on, and how the answer is spoiled."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING

from .errors import OPERATIONS, ApiError, Json, as_json, bad_request, merge

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from .clock import Clock

#: Kinds that fire before a call is processed, so the account does not change.
KINDS_BEFORE = {
    "reset_before": "the connection is reset",
    "error_before": "an error with `status`",
    "page_before": "a page of HTML with `status`, as from another server",
    "hang_before": "nothing is sent for `seconds`, then the connection closes",
    "rate_limit": "429, with `retryAfter` seconds (0 leaves the header out)",
    "unauthorized": "401",
    "forbidden": "403",
}
#: Kinds that fire after a call was processed successfully, on `take_reports` only if the page has
#: reports.
KINDS_AFTER = {
    "reset_after": "the connection is reset instead of an answer",
    "error_after": "an error with `status`",
    "hang_after": "nothing is sent for `seconds`, then the connection closes",
    "slow": "the answer comes after `seconds`",
    "cut_answer": "the connection closes after half of the body",
    "garbage_answer": "the usual status with a page of HTML",
    "empty_answer": "the usual status without a body",
    "incomplete_answer": "the first entry lacks its id and status, the last of several is missing",
    "malformed_entry": "the status of the first entry is a string",
    "duplicate_reports": "the next call returns this page of reports again",
    "shuffle_reports": "the entries are in random order",
}
#: Final statuses whose answers have a body: after any other status, callers would read the body as
#: the next answer, or wait forever.
_STATUSES = tuple(
    status.value
    for status in HTTPStatus
    if status >= HTTPStatus.OK
    and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}
)


@dataclass(slots=True)
class Fault:
    """A fault, as a caller of the control interface defines it."""

    operation: str = field(default="*", metadata={"choices": ("*", *OPERATIONS)})
    kind: str = field(default="", metadata={"choices": (*KINDS_BEFORE, *KINDS_AFTER)})
    times: int = 1  #: how often it fires; 0 means until it is deleted
    lasts_seconds: float = 0.0  #: by Infobip's clock; 0 means until it is deleted
    after_calls: int = 0  #: how many matching calls it lets pass first
    seconds: float = 30.0
    status: int = field(default=500, metadata={"choices": _STATUSES})
    retry_after: int = 1
    message_ids: tuple[str, ...] = ()  #: only calls that name one of these; empty means any call
    probability: float = field(default=1.0, metadata={"most": 1})
    seed: int = 0
    id: str = field(default="", init=False)
    fired: int = field(default=0, init=False)
    ends_at: float = field(default=math.inf, init=False, repr=False)  #: in epoch seconds
    chance: random.Random = field(init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def fires(self, operation: str, message_ids: Sequence[str]) -> bool:
        """Count a call if it matches, and return whether the fault fires on it."""
        if self.operation not in ("*", operation):
            return False
        if self.message_ids and not set(self.message_ids).intersection(message_ids):
            return False
        self._seen += 1
        return self._seen > self.after_calls and self.chance.random() < self.probability

    def error(self) -> ApiError | None:
        """Return the error that replaces the answer; None for kinds without one."""
        if self.kind in {"error_before", "page_before", "error_after"}:
            return ApiError(self.status)
        if self.kind == "rate_limit":
            return ApiError(HTTPStatus.TOO_MANY_REQUESTS, retry_after=self.retry_after)
        statuses = {"unauthorized": HTTPStatus.UNAUTHORIZED, "forbidden": HTTPStatus.FORBIDDEN}
        return ApiError(statuses[self.kind]) if self.kind in statuses else None

    def spoiled(self, entries: int) -> Iterable[int]:
        """Return the positions of the entries, of a page of so many, that do not arrive intact."""
        match self.kind:
            case "slow" | "duplicate_reports" | "shuffle_reports":
                return ()
            case "malformed_entry":
                return (0,)
            case "incomplete_answer":
                return {0, entries - 1}
            case _:
                return range(entries)

    def spoil(self, body: Json) -> Json:
        """Return the answer with this fault."""
        member = next((name for name, value in body.items() if isinstance(value, list)), None)
        if member is None or member == "flow":
            return {name: value for name, value in body.items() if name != "key"}
        entries = [dict(entry) for entry in body[member]]
        if self.kind == "shuffle_reports":
            self.chance.shuffle(entries)
        elif entries and self.kind == "malformed_entry":
            entries[0]["status"] = "malformed"
        elif entries and self.kind == "incomplete_answer":
            if len(entries) > 1:
                entries.pop()
            for name in ("messageId", "status", "key"):
                entries[0].pop(name, None)
        return body | {member: entries}


class Faults:
    """The active faults, oldest first, and how often each kind has fired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[str, Fault] = {}
        self._fired: Counter[str] = Counter()
        self._ids = count(1)

    def add(self, definition: object) -> Json:
        """Add a fault, and return its id."""
        fault = merge(Fault(), definition)
        if not fault.kind:
            raise bad_request(
                ("kind", "must be one of " + ", ".join((*KINDS_BEFORE, *KINDS_AFTER)))
            )
        fault.id = str(next(self._ids))
        if fault.lasts_seconds:
            fault.ends_at = self._clock.now() + fault.lasts_seconds
        self._faults[fault.id] = fault
        return {"id": fault.id}

    def delete(self, fault_id: str | None) -> None:
        """End one fault, or all faults."""
        self._end_expired()
        if fault_id is None:
            self._faults.clear()
        elif self._faults.pop(fault_id, None) is None:
            raise ApiError(HTTPStatus.NOT_FOUND)

    def choose(
        self, kinds: Container[str], operation: str, message_ids: Sequence[str]
    ) -> Fault | None:
        """Count the call for every fault of these kinds; return the oldest that fires, or None."""
        self._end_expired()
        firing = [
            fault
            for fault in self._faults.values()
            if fault.kind in kinds and fault.fires(operation, message_ids)
        ]
        if not firing:
            return None
        fault = firing[0]
        fault.fired += 1
        self._fired[fault.kind] += 1
        if fault.fired == fault.times:
            del self._faults[fault.id]
        return fault

    def as_json(self) -> Json:
        """Return the active faults, and the counts by kind, which include ended faults."""
        now = self._end_expired()
        faults = [
            as_json(fault)
            | {"secondsLeft": fault.ends_at - now if math.isfinite(fault.ends_at) else None}
            for fault in self._faults.values()
        ]
        return {"faults": faults, "fired": dict(self._fired)}

    def _end_expired(self) -> float:
        """End the faults whose time is over, and return the time in epoch seconds."""
        now = self._clock.now()
        for fault in [each for each in self._faults.values() if each.ends_at <= now]:
            del self._faults[fault.id]
        return now
