"""Finds messages in the table: one with its history, those to a recipient, those left open.

Every answer is a page, which ends at a number of items or of bytes, whichever comes first. Where it
ends, it names for each partition that was read the place to go on from, which is the last key that
was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from infobip_omni.aws import in_batches
from infobip_omni.dynamodb import ENTRY, MESSAGE_ID, TABLE_ORDER, Index, Query
from infobip_omni.message import (
    CHECK_INDEX,
    CHECK_SHARDS,
    MESSAGE_ENTRY,
    QUARANTINED_SHARD,
    RECIPIENT_INDEX,
    UNRESOLVED_SHARD,
    claimed_at,
    happened_at,
    has_expired,
    is_message,
)
from infobip_omni.recipients import address_key
from infobip_omni.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from infobip_omni.dynamodb import Item, Table

#: Messages that a report, a log row or an operator will still change.
UNSETTLED = (*map(str, range(CHECK_SHARDS)), UNRESOLVED_SHARD)
#: Messages whose outcome the logs no longer hold.
UNRESOLVED = (UNRESOLVED_SHARD,)
#: Messages that an operator has to decide about.
QUARANTINED = (QUARANTINED_SHARD,)

#: How many items are read at a time, so that a page that ends early has not read much more.
_ITEMS_AT_ONCE = 100

#: Tells how many bytes of an answer an item takes.
BytesOf = Callable[["Item"], int]
#: A place in a partition: the value of its sort key, and the message id.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of items."""

    items: list[Item] = field(repr=False)
    #: Where to go on, by the part of the question that was read; empty at the end.
    places: dict[str, Place] = field(default_factory=dict)


class _Room:
    """What is left of a page: one item always fits."""

    def __init__(self, most_bytes: int, bytes_of: BytesOf) -> None:
        self._left = most_bytes
        self._bytes_of = bytes_of
        self._is_empty = True

    def takes(self, item: Item) -> bool:
        """Return whether an item fits, and if so, take it."""
        size = self._bytes_of(item)
        if size > self._left and not self._is_empty:
            return False
        self._left -= size
        self._is_empty = False
        return True


class MessageSearch:
    """Reads the messages of one table, and leaves out what has expired.

    Args:
        table: The table.
        most_bytes: Where a page ends, as far as more than one item is on it.
        now: Returns the time.
    """

    def __init__(
        self, table: Table, most_bytes: int, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._table = table
        self._most_bytes = most_bytes
        self._now = now

    def message(self, message_id: str) -> Item | None:
        """Read the item of a message, if there is one.

        Raises:
            TableUnavailableError: It could not be read.
        """
        return self._messages([message_id]).get(message_id)

    def history(
        self, message_id: str, limit: int, places: Mapping[str, Place], bytes_of: BytesOf
    ) -> Found:
        """Read what was reported of a message, in the order in which it happened.

        Reports, log rows, and entries that could not be read; of several pages, each is in order.

        Args:
            message_id: The message.
            limit: Most entries to read.
            places: Where to go on.
            bytes_of: Returns what an entry takes of the page.

        Raises:
            TableUnavailableError: It could not be read.
        """
        part = "history"
        entries = self._table.query(_query(TABLE_ORDER, message_id, limit, places.get(part)))
        now = self._now()
        room = _Room(self._most_bytes, bytes_of)
        read: list[Item] = []
        kept: list[Item] = []
        for entry in islice(entries, limit):
            # The item of the message itself is not part of its history.
            shown = not is_message(entry) and not has_expired(entry, now)
            if shown and not room.takes(entry):
                break
            read.append(entry)
            kept += [entry] if shown else []
        else:
            if len(read) < limit:
                return Found(sorted(kept, key=happened_at))
        return Found(sorted(kept, key=happened_at), {part: _place(TABLE_ORDER, read[-1])})

    def to_recipient(
        self, address: str, limit: int, places: Mapping[str, Place], bytes_of: BytesOf
    ) -> Found:
        """Read the messages to a recipient, the newest first.

        A message with several addresses is found by its first one, in the order phone number,
        e-mail address, push registration, WhatsApp user.

        Args:
            address: The address.
            limit: Most messages to read.
            places: Where to go on.
            bytes_of: Returns what a message takes of the page.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        part = "recipient"
        query = _query(
            RECIPIENT_INDEX, address_key(address), limit, places.get(part), is_descending=True
        )
        keys = self._table.query(query)
        read, items, is_last = self._page(keys, limit, bytes_of)
        more = {} if is_last else {part: _place(RECIPIENT_INDEX, read[-1])}
        return Found(items, more)

    def listed(
        self,
        shards: Sequence[str],
        limit: int,
        places: Mapping[str, Place],
        bytes_of: BytesOf,
    ) -> Found:
        """Read the messages that are listed to be checked or decided.

        A page holds those that have been due for longest, the oldest of them first.

        Args:
            shards: Which lists; they are read as one.
            limit: Most messages to read.
            places: Where to go on.
            bytes_of: Returns what a message takes of the page.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        keys = self._table.query_merged(
            [_query(CHECK_INDEX, shard, limit, places.get(shard)) for shard in shards]
        )

        def is_listed(item: Item) -> bool:
            # The index may lag behind the table.
            return item.get(CHECK_INDEX.partition_key) in shards

        read, items, is_last = self._page(
            keys, limit, lambda item: bytes_of(item) if is_listed(item) else 0
        )
        last = {key[CHECK_INDEX.partition_key]: _place(CHECK_INDEX, key) for key in read}
        more = {} if is_last else dict(places) | last
        return Found(sorted(filter(is_listed, items), key=claimed_at), more)

    def _page(
        self, keys: Iterator[Item], limit: int, bytes_of: BytesOf
    ) -> tuple[list[Item], list[Item], bool]:
        """Read the messages of a page.

        Returns:
            The keys of the page, its items, and whether there are no more keys.
        """
        room = _Room(self._most_bytes, bytes_of)
        taken: list[Item] = []
        items: list[Item] = []
        for group in in_batches(islice(keys, limit), _ITEMS_AT_ONCE):
            found = self._messages([key[MESSAGE_ID] for key in group])
            for key in group:
                item = found.get(key[MESSAGE_ID])
                if item is not None:
                    if not room.takes(item):
                        return taken, items, False
                    items.append(item)
                taken.append(key)
        return taken, items, len(taken) < limit

    def _messages(self, message_ids: Iterable[str]) -> dict[str, Item]:
        """Read messages by their ids; absent and expired ones are left out."""
        now = self._now()
        found = self._table.get_all((message_id, MESSAGE_ENTRY) for message_id in message_ids)
        return {
            message_id: item
            for (message_id, _), item in found.items()
            if not has_expired(item, now)
        }


def _query(
    index: Index,
    partition: str,
    limit: int,
    place: Place | None,
    *,
    is_descending: bool = False,
) -> Query:
    """Read what one partition of an index holds, from a place on."""
    after = None
    if place is not None:
        sort_key, message_id = place
        after = {MESSAGE_ID: message_id, ENTRY: MESSAGE_ENTRY}
        after |= {index.partition_key: partition, index.sort_key: sort_key}
    return Query(partition, index, after=after, is_descending=is_descending, page_size=limit)


def _place(index: Index, key: Item) -> Place:
    """Return where a key stands in its partition of an index."""
    return key[index.sort_key], key[MESSAGE_ID]
