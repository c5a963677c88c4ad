"""Finds messages in the table: one with its history, those to a recipient, those left open.

Every answer is a page. Where it ends, it names for each partition that was read the place to go
on from, which is the last key that was taken.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from infobip_omni.dynamodb import to_wire
from infobip_omni.message_ledger import (
    CHECK_INDEX,
    CHECK_SHARDS,
    MESSAGE_ENTRY,
    QUARANTINED_SHARD,
    UNRESOLVED_SHARD,
)
from infobip_omni.moments import utc_now
from infobip_omni.recipients import address_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from infobip_omni.dynamodb import Item, Table

#: Messages that a report, a log row or an operator will still change.
UNSETTLED = (*map(str, range(CHECK_SHARDS)), UNRESOLVED_SHARD)
#: Messages whose outcome the logs no longer hold.
UNRESOLVED = (UNRESOLVED_SHARD,)
#: Messages that an operator has to decide about.
QUARANTINED = (QUARANTINED_SHARD,)

#: A place in a partition: the value of its sort key, and the message id.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Index:
    """An index of the table, and the names of its keys."""

    name: str
    partition_key: str
    sort_key: str

    def place(self, key: Item) -> Place:
        """Tell where a key stands in its partition."""
        return key[self.sort_key], key["messageId"]


_TO_CHECK = _Index(CHECK_INDEX, "checkShard", "nextCheckAt")
_BY_RECIPIENT = _Index("MessagesByRecipient", "recipient", "claimedAt")


@dataclass(frozen=True, slots=True)
class Found:
    """A page of items."""

    items: list[Item]
    #: Where to go on, by the part of the question that was read; empty at the end.
    places: dict[str, Place] = field(default_factory=dict)


class MessageSearch:
    """Reads the messages of one table, and leaves out what has expired."""

    def __init__(self, table: Table, now: Callable[[], datetime] = utc_now) -> None:
        self._table = table
        self._now = now

    def message(self, message_id: str) -> Item | None:
        """Read the item of a message, if there is one.

        Raises:
            TableUnavailableError: It could not be read.
        """
        return next(iter(self._messages([{"messageId": message_id}])), None)

    def history(self, message_id: str, limit: int, places: Mapping[str, Place]) -> Found:
        """Read what was reported of a message, in the order in which it happened.

        Reports, log rows, and entries that could not be read; of several pages, each is in order.

        Raises:
            TableUnavailableError: It could not be read.
        """
        part = "history"
        start = {"messageId": message_id, "entry": places[part][0]} if part in places else None
        entries = self._query("messageId = :part", message_id, limit, start, ConsistentRead=True)
        # The item of the message itself is not part of its history.
        read = list(islice(entries, limit))
        kept = [entry for entry in self._live(read) if entry["entry"] != MESSAGE_ENTRY]
        more = {part: (read[-1]["entry"], message_id)} if len(read) == limit else {}
        return Found(sorted(kept, key=_happened_at), more)

    def to_recipient(self, address: str, limit: int, places: Mapping[str, Place]) -> Found:
        """Read the messages to a recipient, the newest first.

        A message with several addresses is found by its first one, in the order phone number,
        e-mail address, push registration, WhatsApp user.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        part = "recipient"
        keys = self._keys(
            _BY_RECIPIENT, address_key(address), limit, places.get(part), ScanIndexForward=False
        )
        read = list(islice(keys, limit))
        more = {part: _BY_RECIPIENT.place(read[-1])} if len(read) == limit else {}
        return Found(self._messages(read), more)

    def listed(self, shards: Sequence[str], limit: int, places: Mapping[str, Place]) -> Found:
        """Read the messages that are listed to be checked or decided.

        A page holds those that have been due for longest, the oldest of them first.

        Args:
            shards: Which lists; they are read as one.
            limit: Most messages to read.
            places: Where to go on.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        keys = heapq.merge(
            *(self._keys(_TO_CHECK, shard, limit, places.get(shard)) for shard in shards),
            key=itemgetter(_TO_CHECK.sort_key),
        )
        read = list(islice(keys, limit))
        last = {key["checkShard"]: _TO_CHECK.place(key) for key in read}
        # The index may lag behind the table.
        items = [item for item in self._messages(read) if item.get("checkShard") in shards]
        return Found(
            sorted(items, key=itemgetter("claimedAt")),
            dict(places) | last if len(read) == limit else {},
        )

    def _keys(
        self, index: _Index, partition: str, limit: int, place: Place | None, **options: object
    ) -> Iterator[Item]:
        """Read the keys of one partition of an index."""
        start = None
        if place is not None:
            start = {
                index.partition_key: partition,
                index.sort_key: place[0],
                "messageId": place[1],
                "entry": MESSAGE_ENTRY,
            }
        condition = f"{index.partition_key} = :part"
        return self._query(condition, partition, limit, start, IndexName=index.name, **options)

    def _query(
        self, condition: str, value: str, limit: int, start: Item | None, **options: object
    ) -> Iterator[Item]:
        if start is not None:
            options["ExclusiveStartKey"] = to_wire(start)
        return self._table.query(condition, {":part": value}, Limit=limit, **options)

    def _messages(self, keys: Iterable[Item]) -> list[Item]:
        """Read messages in the order of their keys; absent and expired ones are left out."""
        wanted = [(key["messageId"], MESSAGE_ENTRY) for key in keys]
        found = self._table.get_all(wanted)
        return self._live(found[key] for key in wanted if key in found)

    def _live(self, items: Iterable[Item]) -> list[Item]:
        now = self._now().timestamp()
        return [item for item in items if item["expiresAt"] > now]


def _happened_at(entry: Item) -> str:
    """Tell when something happened; where it does not say so, when it became known."""
    written: str = entry["entry"].rpartition("#")[2]
    return written if written.endswith("Z") else entry.get("receivedAt", "")
