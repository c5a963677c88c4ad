"""Looks messages and their outcomes up, for operators and for apps upstream.

One query an invocation: a message and its history, the messages to a recipient, or the messages
that are not settled, whose outcome the logs no longer hold, or that an operator has to decide
about. Who may invoke it sees who got messages: recipients are masked and free texts left out,
unless the event asks for them.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from infobip_omni.dynamodb import Table
from infobip_omni.events.find_messages import parse, read_token, write_token
from infobip_omni.message import shown_entry, shown_message
from infobip_omni.message_search import (
    QUARANTINED,
    UNRESOLVED,
    UNSETTLED,
    Found,
    MessageSearch,
    Place,
)
from infobip_omni.observability import logger, masked, observed
from infobip_omni.settings import FindMessagesSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.dynamodb import Item
    from infobip_omni.events.find_messages import FindMessagesEvent

#: What a list query is called in the event, and the lists of the index that answer it.
LISTS = {"unsettled": UNSETTLED, "unresolved": UNRESOLVED, "quarantined": QUARANTINED}
#: Where a page ends, in bytes as JSON in ASCII. An answer of Lambda ends at 6 MB; a page has one
#: entry at least, of which the largest takes 2.1 MB, and a history comes with its message.
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_PAGE_BYTES = 3_000_000
#: What Infobip says that is neither an address nor a text of somebody's, at any depth.
_IMPERSONAL = frozenset(
    {
        *("messageId", "bulkId", "channel", "mccMnc", "messageCount"),
        *("sentAt", "doneAt", "sendAt", "seenAt"),
        *("status", "error", "groupId", "groupName", "id", "name", "permanent", "httpStatus"),
        *("price", "pricePerMessage", "currency"),
    }
)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    search: MessageSearch


def find_messages(asked: FindMessagesEvent, deps: Dependencies) -> dict[str, Any]:
    """Answer a query.

    Raises:
        InvalidEventError: The token was not given for this query.
        TableUnavailableError: The table could not be read.
    """
    places = read_token(asked)
    answer: dict[str, Any] = {}
    if asked.message_id is not None:

        def entry_of(item: Item) -> Item:
            return _history_entry(item, asked)

        message = deps.search.message(asked.message_id)
        found = deps.search.history(
            asked.message_id, asked.limit, places, lambda item: _size(entry_of(item))
        )
        answer["found"] = message is not None or bool(found.items)
        answer["message"] = message and _message(message, asked)
        answer["history"] = [entry_of(item) for item in found.items]
    else:
        found = _found(asked, deps.search, places)
        answer["messages"] = [_message(item, asked) for item in found.items]
    if found.places:
        answer["nextToken"] = write_token(asked, found.places)
    return answer


def _found(asked: FindMessagesEvent, search: MessageSearch, places: Mapping[str, Place]) -> Found:
    def bytes_of(item: Item) -> int:
        return _size(_message(item, asked))

    if asked.recipient is not None:
        bare = asked.recipient.removeprefix("+")  # as phone numbers are kept
        address = bare if bare.isdigit() else asked.recipient
        return search.to_recipient(address, asked.limit, places, bytes_of)
    return search.listed(LISTS[asked.queries()[0]], asked.limit, places, bytes_of)


def _size(shown: Item) -> int:
    """Count the bytes of a part of the answer, together with what stands between it and others."""
    return len(json.dumps(shown)) + len(", ")


# --- What is shown -----------------------------------------------------------------------------


def _message(item: Item, asked: FindMessagesEvent) -> Item:
    return _plain(shown_message(item, None if asked.show_recipients else _impersonal))


def _history_entry(item: Item, asked: FindMessagesEvent) -> Item:
    """Show an entry, and what Infobip has said as the object that it was."""
    return shown_entry(item, lambda text: _content(text, asked))


def _content(text: str, asked: FindMessagesEvent) -> object:
    """Show what Infobip has said; what cannot be written as an object again stays text."""
    try:
        # Neither of the numbers that JSON does not have can be written.
        content = json.loads(text, parse_constant=str, parse_float=_finite)
        return _plain({"": content if asked.show_recipients else _impersonal(content)})[""]
    except (ValueError, RecursionError):
        return text if asked.show_recipients else None


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _plain(shown: Item) -> Item:
    """Turn a part of the answer into what JSON has, in characters that UTF-8 can carry."""
    text = json.dumps(shown, default=_number, ensure_ascii=False)
    plain: Item = json.loads(text.encode(errors="replace"))
    return plain


def _impersonal(content: object) -> object:
    """Leave out what is, or may quote, something personal, and what nobody knows the meaning of."""
    if not isinstance(content, dict):
        return None
    shown: dict[str, object] = {}
    for name, value in content.items():
        if name == "to" and isinstance(value, str):
            shown[name] = masked(value)
        elif name in _IMPERSONAL:
            shown[name] = _impersonal(value) if isinstance(value, dict | list) else value
    return shown


def _number(value: object) -> int | float | None:
    """Write one of the table's numbers; nothing for what JSON does not have."""
    if not isinstance(value, Decimal):
        return None
    number = value
    return int(number) if number == number.to_integral_value() else float(number)


# --- The function ------------------------------------------------------------------------------


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = FindMessagesSettings.from_environment()
    table = Table(settings.messages_table_name)
    return Dependencies(search=MessageSearch(table, LARGEST_PAGE_BYTES))


@observed
def lambda_handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Answer with the message and its history, or with a page of messages."""
    asked = parse(event)
    answer = find_messages(asked, dependencies())
    shown = answer.get("messages", answer.get("history", ()))
    logger.info("messages looked up", query=asked.queries()[0], count=len(shown))
    return answer
