"""Ways in which a server may read a list of message ids; Infobip has documented none of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Json = dict[str, Any]

#: What the logs read of a list of several ids, or return of its rows. "n" is a setting of its own.
WAYS = (
    "all",
    "first",  # only the first id
    "last",  # only the last id
    "first-n",
    "any-n",  # n ids, others each time
    "ignored",  # the account's newest rows, whatever was asked
    "newest-n-rows",  # no more rows than n, silently
    "oldest-n-rows",
    "other-case",  # the ids in the rows are spelled in another case
)


def ids_read(way: str, ids: Sequence[str], length: int) -> Sequence[str]:
    """Return the ids that the logs read of a list; none where the list is ignored."""
    match way:
        case "first":
            return ids[:1]
        case "last":
            return ids[-1:]
        case "first-n":
            return ids[:length]
        case "any-n":
            return random.sample(ids, min(length, len(ids)))
        case "ignored":
            return ()
    return ids


def rows_returned(way: str, rows: Sequence[Json], length: int) -> list[Json]:
    """Return the rows of an answer, of those that the logs have found, the newest first."""
    match way:
        case "newest-n-rows":
            return list(rows[:length])
        case "oldest-n-rows":
            return list(rows[max(0, len(rows) - length) :])
        case "other-case":
            return [row | {"messageId": row["messageId"].swapcase()} for row in rows]
    return list(rows)
