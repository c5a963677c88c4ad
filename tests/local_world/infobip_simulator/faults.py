"""Faults on demand: which call is harmed, and how its answer is spoilt."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING

from .errors import OPERATIONS, ApiError, Json, as_json, bad_request, merge

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

#: Kinds that strike before a call is processed, so that it leaves no trace in the account.
KINDS_BEFORE = {
    "reset_before": "the connection is reset",
    "error_before": "an error with `status`",
    "hang_before": "nothing is sent for `seconds`, then the connection closes",
    "rate_limit": "429, with `retryAfter` seconds (0 leaves the header out)",
    "unauthorized": "401",
    "forbidden": "403",
}
#: Kinds that strike after it: they wait for a call that succeeds, and on `take_reports` for a
#: page that is not empty.
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
    "duplicate_reports": "the next call hands out this page of reports again",
    "shuffle_reports": "the entries come in random order",
}
#: Statuses that end a call and come with a body: after another one callers would take what follows
#: for the next answer, or wait forever.
_STATUSES = tuple(
    status.value
    for status in HTTPStatus
    if status >= HTTPStatus.OK
    and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}
)


@dataclass(slots=True)
class Fault:
    """One order to fail, as it was given to the control interface."""

    operation: str = field(default="*", metadata={"choices": ("*", *OPERATIONS)})
    kind: str = field(default="", metadata={"choices": (*KINDS_BEFORE, *KINDS_AFTER)})
    times: int = 1  #: how often it strikes; 0 is until it is deleted
    after_calls: int = 0  #: how many matching calls pass unharmed first
    seconds: float = 30.0
    status: int = field(default=500, metadata={"choices": _STATUSES})
    retry_after: int = 1
    message_ids: tuple[str, ...] = ()  #: only calls that name one of them; empty is any call
    probability: float = field(default=1.0, metadata={"most": 1})
    seed: int = 0
    id: str = field(default="", init=False)
    fired: int = field(default=0, init=False)
    chance: random.Random = field(init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def strikes(self, operation: str, message_ids: Sequence[str]) -> bool:
        """Count a call if it matches, and return whether it is to be harmed."""
        if self.operation not in ("*", operation):
            return False
        if self.message_ids and not set(self.message_ids).intersection(message_ids):
            return False
        self._seen += 1
        return self._seen > self.after_calls and self.chance.random() < self.probability

    def error(self) -> ApiError | None:
        """Return the error that is answered in place of the real answer, if it is one."""
        if self.kind in {"error_before", "error_after"}:
            return ApiError(self.status)
        if self.kind == "rate_limit":
            return ApiError(HTTPStatus.TOO_MANY_REQUESTS, retry_after=self.retry_after)
        statuses = {"unauthorized": HTTPStatus.UNAUTHORIZED, "forbidden": HTTPStatus.FORBIDDEN}
        return ApiError(statuses[self.kind]) if self.kind in statuses else None

    def harmed(self, entries: int) -> Iterable[int]:
        """Return which of so many entries do not arrive as they are."""
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
        """Return the answer as this fault lets it through."""
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
    """The faults in force, oldest first, and how often each kind has struck."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._fired: Counter[str] = Counter()
        self._ids = count(1)

    def add(self, order: object) -> Json:
        """Put a fault in force."""
        fault = merge(Fault(), order)
        if not fault.kind:
            raise bad_request(("kind", "is required"))
        fault.id = str(next(self._ids))
        self._faults[fault.id] = fault
        return {"id": fault.id}

    def delete(self, fault_id: str | None) -> None:
        """End one fault, or all of them."""
        if fault_id is None:
            self._faults.clear()
        elif self._faults.pop(fault_id, None) is None:
            raise ApiError(HTTPStatus.NOT_FOUND)

    def choose(
        self, kinds: Container[str], operation: str, message_ids: Sequence[str]
    ) -> Fault | None:
        """Let every fault of these kinds count the call; the oldest that strikes is used up."""
        striking = [
            fault
            for fault in self._faults.values()
            if fault.kind in kinds and fault.strikes(operation, message_ids)
        ]
        if not striking:
            return None
        fault = striking[0]
        fault.fired += 1
        self._fired[fault.kind] += 1
        if fault.fired == fault.times:
            del self._faults[fault.id]
        return fault

    def as_json(self) -> Json:
        """List the faults in force, and the counts by kind, spent faults included."""
        faults = [as_json(fault) for fault in self._faults.values()]
        return {"faults": faults, "fired": dict(self._fired)}
