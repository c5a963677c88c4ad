"""A table in memory that refuses what DynamoDB refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infobip_omni.dynamodb import ENTRY, MESSAGE_ID, to_wire
from tests.fakes import FakeTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LARGEST_ITEM = 400 * 1024
_LONGEST_KEYS = {MESSAGE_ID: 2048, ENTRY: 1024}


class StrictTable(FakeTable):
    """Raises UnicodeEncodeError or ValueError for an item that DynamoDB would not store."""

    def _store(self, item: Mapping[str, object]) -> None:
        for name, longest in _LONGEST_KEYS.items():
            key = item[name]
            if not isinstance(key, str) or not 0 < len(key.encode()) <= longest:
                raise ValueError(f"{name} cannot be a key")
        if sum(map(len, _bytes_in(to_wire(item)))) > _LARGEST_ITEM:
            raise ValueError("the item is too large")
        super()._store(item)


def _bytes_in(value: object) -> Iterator[bytes]:
    """Yield the texts and the bytes in a part of DynamoDB's JSON, as it stores them."""
    if isinstance(value, str):
        yield value.encode()
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _bytes_in(name)
            yield from _bytes_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _bytes_in(inner)
