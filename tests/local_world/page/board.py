"""One row for each message, merged from what the simulator and the messages table say about it.

Everything here is pure, and not thread-safe: callers hold a lock.

Each row carries the version of its last change, so no log of changes is kept: a reader that has
seen a version needs the rows with a later one.
"""

from __future__ import annotations

import heapq
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Json = dict[str, Any]

LONGEST_PREVIEW = 100
_write = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Simulated:
    """What Infobip's simulator says about a message. All moments are in epoch seconds."""

    phone: str | None
    at: float  #: of its last change that has a moment
    accepted_at: float
    flow: tuple[str, ...]
    steps: tuple[Json, ...] = field(repr=False)
    preview: str = field(repr=False)

    @classmethod
    def from_entry(cls, entry: Json) -> Simulated:
        """Read an entry of the simulator's ledger."""
        accepted = [seconds(each) for each in entry["acceptedAt"]]
        steps = entry["steps"]
        moments = ("startedAt", "endedAt", "openedAt")
        began = [seconds(step[name]) for step in steps for name in moments if step[name]]
        return cls(
            phone=phone_of(entry["to"]),
            at=max(accepted + began),
            accepted_at=accepted[0],
            flow=tuple(entry["flow"]),
            steps=tuple(map(_step, steps)),
            preview=str(steps[-1]["text"] or "")[:LONGEST_PREVIEW] if steps else "",
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """What the messages table says about a message."""

    phone: str | None
    at: float  #: epoch seconds, by Infobip's clock
    state: str
    channel: str | None  #: that delivered it
    evidence: str | None
    flow: tuple[str, ...]
    closed: bool

    @classmethod
    def from_item(cls, item: Mapping[str, Any], at: float) -> Stored:
        """Read a message's item.

        Args:
            item: Its attributes, as Python values.
            at: When it changed, in epoch seconds.
        """
        state = str(item.get("state"))
        return cls(
            phone=phone_of(item.get("to") or {}),
            at=at,
            state=state,
            channel=item.get("channel") if state == "DELIVERED" else None,
            evidence=item.get("evidence"),
            flow=tuple(item.get("steps") or ()),
            closed="closedAt" in item,
        )


@dataclass(frozen=True, slots=True)
class Portion:
    """What a reader needs next."""

    reset: bool  #: the reader has to forget all rows that it knows
    version: int  #: that the reader has seen then
    rows: tuple[str, ...] = field(repr=False)  #: the JSON text of each
    more: bool  #: whether there are further rows already


@dataclass(frozen=True, slots=True)
class _Row:
    version: int
    phone: str | None
    #: Its JSON without the opening brace and the version, so that a new version costs nothing.
    text: str = field(repr=False)


class Board:
    """All rows, in the order of their last change."""

    def __init__(self) -> None:
        self._version = 0
        #: A reader of an earlier version may know rows that are gone.
        self._gone_at = 0
        #: An OrderedDict, since it moves a row to its end.
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._simulated: dict[str, Simulated] = {}
        self._stored: dict[str, Stored] = {}
        self._by_phone: dict[str, set[str]] = {}

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    def put_simulated(self, entries: Iterable[Json]) -> None:
        """Take entries of the simulator's ledger."""
        for entry in entries:
            message_id = entry["messageId"]
            self._simulated[message_id] = Simulated.from_entry(entry)
            self._refresh(message_id)

    def forget_simulated(self) -> None:
        """Forget all that the simulator said, since it was reset."""
        known, self._simulated = self._simulated, {}
        self._refresh_all(known)

    def put_stored(self, items: Mapping[str, Stored | None]) -> None:
        """Take what the table says now about messages; None where it has no item any more."""
        removed = []
        for message_id, stored in items.items():
            if stored is None:
                if self._stored.pop(message_id, None) is not None:
                    removed.append(message_id)
            elif self._stored.get(message_id) != stored:
                self._stored[message_id] = stored
                self._refresh(message_id)
        self._refresh_all(removed)

    def replace_stored(self, items: Mapping[str, Stored]) -> None:
        """Take what the whole table says."""
        gone = dict.fromkeys(self._stored.keys() - items.keys())
        self.put_stored({**gone, **items})

    def accepted_ids(self, phone: str, most: int) -> tuple[list[str], bool]:
        """Return the newest messages to a phone that Infobip accepted.

        Returns:
            Their ids, oldest first, and whether there are older ones.
        """
        known = [each for each in self._by_phone.get(phone, ()) if each in self._simulated]
        newest = heapq.nlargest(most, known, key=lambda one: self._simulated[one].accepted_at)
        return newest[::-1], len(known) > most

    def after(self, version: int | None, most: int) -> Portion:
        """Return what a reader needs next, oldest change first.

        Args:
            version: The last one that the reader has seen; None if it knows nothing.
            most: The largest number of rows to return.
        """
        reset = version is None or version < self._gone_at
        seen = -1 if reset or version is None else version
        newest_first = reversed(self._rows.values())
        found = list(takewhile(lambda row: row.version > seen, newest_first))
        found.reverse()
        more = len(found) > most
        page = found[:most]
        return Portion(
            reset=reset,
            version=page[-1].version if more else self._version,
            rows=tuple(f'{{"version":{row.version},{row.text}' for row in page),
            more=more,
        )

    def _refresh(self, message_id: str) -> None:
        """Write the row of a message that either source knows."""
        simulated, stored = self._simulated.get(message_id), self._stored.get(message_id)
        row = _row(message_id, simulated, stored)
        old = self._rows.get(message_id)
        self._version += 1
        self._rows[message_id] = _Row(self._version, row["phone"], _write(row)[1:])
        self._rows.move_to_end(message_id)
        if old is None or old.phone != row["phone"]:
            if old is not None:
                self._leave(old.phone, message_id)
            self._by_phone.setdefault(row["phone"] or "", set()).add(message_id)

    def _refresh_all(self, message_ids: Iterable[str]) -> None:
        """Write the rows of messages that a source has forgotten, or remove them."""
        are_gone = False
        for message_id in message_ids:
            if message_id in self._simulated or message_id in self._stored:
                self._refresh(message_id)
            elif row := self._rows.pop(message_id, None):
                self._leave(row.phone, message_id)
                are_gone = True
        if are_gone:
            # Every row gets a later version than the readers that have to begin anew. So a reader
            # that is cut off while it does so goes on where it was.
            self._version += 1
            self._gone_at = self._version
            for message_id, row in self._rows.items():
                self._version += 1
                self._rows[message_id] = _Row(self._version, row.phone, row.text)

    def _leave(self, phone: str | None, message_id: str) -> None:
        ids = self._by_phone[phone or ""]
        ids.discard(message_id)
        if not ids:
            del self._by_phone[phone or ""]


def phone_of(to: Mapping[str, Any]) -> str | None:
    """Return the address that stands for a recipient: the phone number, or else the first one."""
    address = to.get("phoneNumber") or next(iter(to.values()), None)
    return None if address is None else str(address)


def seconds(timestamp: str) -> float:
    """Return the epoch seconds of a moment, as Infobip or the table writes it."""
    return datetime.fromisoformat(timestamp).timestamp()


def _step(step: Json) -> Json:
    return {
        "channel": step["channel"],
        "status": step["status"],
        "group": step["groupName"],
        **{
            name: None if step[name] is None else seconds(step[name])
            for name in ("expiresAt", "endedAt", "openedAt")
        },
    }


def _row(message_id: str, simulated: Simulated | None, stored: Stored | None) -> Json:
    """Merge the sources: the simulator knows the steps, the table the state."""
    return {
        "id": message_id,
        "phone": (simulated and simulated.phone) or (stored and stored.phone),
        "at": max(each.at for each in (simulated, stored) if each is not None),
        "acceptedAt": simulated and simulated.accepted_at,
        "state": stored and stored.state,
        "channel": stored and stored.channel,
        "evidence": stored and stored.evidence,
        "flow": (simulated or stored).flow,  # type: ignore[union-attr]  # one of them is there
        "steps": simulated.steps if simulated else (),
        "preview": simulated.preview if simulated else "",
        "closed": stored is not None and stored.closed,
    }
