"""Finds messages in the table: one with its history, those to a recipient, those still open.

Every answer is a page, limited by a number of items and of bytes, whichever is reached first. If
there may be more, it holds for each partition that was read the place to continue from: the last
key on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
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
    MessageState,
    claimed_at,
    happened_at,
    has_expired,
    is_message,
    state_of,
)
from infobip_omni.recipients import address_keys
from infobip_omni.timestamps import format_utc, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from infobip_omni.dynamodb import Item, Table

_SHARDS = (*map(str, range(CHECK_SHARDS)),)
#: Messages that a report, a log row or an operator has yet to settle.
UNSETTLED = (*_SHARDS, UNRESOLVED_SHARD)
#: Messages whose outcome the logs no longer hold.
UNRESOLVED = (UNRESOLVED_SHARD,)
#: Messages that an operator has to decide about.
QUARANTINED = (QUARANTINED_SHARD,)

#: A waiting message is checked eleven days after its last attempt, and its record leaves the queue
#: after nine at most.
_WAITING_FROM = timedelta(days=1)
#: Items per read: a page that ends early has then not read many more.
_ITEMS_PER_READ = 100

#: Returns the number of bytes that an item adds to the answer.
BytesOf = Callable[["Item"], int]
#: A place in a partition: the value of its sort key, and the message id.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of items."""

    items: list[Item] = field(repr=False)
    #: Where the next page continues, by the part of the query that was read; empty at the end.
    places: dict[str, Place] = field(default_factory=dict)


class _Room:
    """The bytes left on a page; the first item always fits."""

    def __init__(self, most_bytes: int, bytes_of: BytesOf) -> None:
        self._left = most_bytes
        self._bytes_of = bytes_of
        self._is_empty = True

    def takes(self, item: Item) -> bool:
        """Return whether an item fits; if it does, subtract its bytes."""
        size = self._bytes_of(item)
        if size > self._left and not self._is_empty:
            return False
        self._left -= size
        self._is_empty = False
        return True


class MessageSearch:
    """Reads the messages of one table; expired items are left out.

    Args:
        table: The table.
        most_bytes: The size limit of a page with more than one item.
        now: Returns the current time.
    """

    def __init__(
        self, table: Table, most_bytes: int, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._table = table
        self._most_bytes = most_bytes
        self._now = now

    def message(self, message_id: str) -> Item | None:
        """Return the item of a message; None if there is none.

        Raises:
            TableUnavailableError: The item could not be read.
        """
        return self._messages([message_id]).get(message_id)

    def history(
        self, message_id: str, limit: int, places: Mapping[str, Place], bytes_of: BytesOf
    ) -> Found:
        """Return the reports, log rows and unreadable entries of a message, and refused records.

        Each page is in the order of time; the pages themselves are in the order of the table.

        Args:
            message_id: The message.
            limit: The maximum number of entries to read.
            places: Where to continue.
            bytes_of: Returns the bytes that an entry adds to the answer.

        Raises:
            TableUnavailableError: The entries could not be read.
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
        """Return the messages to a recipient, the newest first.

        A message with several addresses is found only by its first one, in the order phone number,
        e-mail address, push registration, WhatsApp user.

        Args:
            address: The address; a phone number and the domain of an e-mail address in any
                spelling, everything else exactly as the message named it.
            limit: The maximum number of messages to read.
            places: Where to continue.
            bytes_of: Returns the bytes that a message adds to the answer.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """
        index = RECIPIENT_INDEX
        parts = {key: f"recipient-{number}" for number, key in enumerate(address_keys(address))}
        queries = [
            _query(index, key, limit, places.get(part), is_descending=True)
            for key, part in parts.items()
        ]
        keys = self._table.query_merged(queries)
        read, items, is_last = self._page(keys, limit, bytes_of)
        last = {parts[key[index.partition_key]]: _place(index, key) for key in read}
        return Found(items, {} if is_last else dict(places) | last)

    def listed(
        self,
        shards: Sequence[str],
        limit: int,
        places: Mapping[str, Place],
        bytes_of: BytesOf,
    ) -> Found:
        """Return messages that are listed for a check or a decision.

        A page holds those that have been due for longest, sorted by the time of their claim.

        Args:
            shards: The partitions to read, as one list.
            limit: The maximum number of messages to read.
            places: Where to continue.
            bytes_of: Returns the bytes that a message adds to the answer.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """

        def is_listed(item: Item) -> bool:
            # The index may lag behind the table.
            return item.get(CHECK_INDEX.partition_key) in shards

        queries = [_query(CHECK_INDEX, shard, limit, places.get(shard)) for shard in shards]
        return self._listed(queries, is_listed, limit, places, bytes_of)

    def waiting(self, limit: int, places: Mapping[str, Place], bytes_of: BytesOf) -> Found:
        """Return messages that wait to be sent, with the reason where Infobip gave one.

        A page holds those whose last attempt was first, sorted by the time of their claim. There
        are none of records that no sender has tried yet, or that were dead-lettered.

        Args:
            limit: The maximum number of messages to read.
            places: Where to continue.
            bytes_of: Returns the bytes that a message adds to the answer.

        Raises:
            TableUnavailableError: The index or the table could not be read.
        """

        def is_waiting(item: Item) -> bool:
            return state_of(item) is MessageState.WAITING and CHECK_INDEX.partition_key in item

        # They are checked last of all, so most of the others need not be read.
        first = format_utc(self._now() + _WAITING_FROM)
        queries = [
            replace(query, first=None if query.after else first)
            for query in (_query(CHECK_INDEX, each, limit, places.get(each)) for each in _SHARDS)
        ]
        return self._listed(queries, is_waiting, limit, places, bytes_of)

    def _listed(
        self,
        queries: Sequence[Query],
        is_listed: Callable[[Item], bool],
        limit: int,
        places: Mapping[str, Place],
        bytes_of: BytesOf,
    ) -> Found:
        """Return a page of the messages that queries of the index find."""
        keys = self._table.query_merged(queries)
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
            The keys of the page, its items, and whether it is the last page.
        """
        room = _Room(self._most_bytes, bytes_of)
        taken: list[Item] = []
        items: list[Item] = []
        for group in in_batches(islice(keys, limit), _ITEMS_PER_READ):
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
    """Return the place of a key in its partition of an index."""
    return key[index.sort_key], key[MESSAGE_ID]
