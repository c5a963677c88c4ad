"""Looks up messages and their outcomes, for operators and upstream apps.

An invocation answers one query: a message and its history, the messages to a recipient, or the
messages that are not settled, that wait to be sent, whose outcome the logs no longer hold, or that
an operator has to decide about. Recipients are masked and free texts are left out unless the event
asks for them, and any caller may ask: permission to invoke the function is permission to see
recipients.
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
from infobip_omni.message import (
    is_refused_record,
    shown_entry,
    shown_message,
    shown_refused_record,
)
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

#: The list queries by their name in the event, and the index's partitions that answer each.
LISTS = {"unsettled": UNSETTLED, "unresolved": UNRESOLVED, "quarantined": QUARANTINED}
#: The size limit of a page, in bytes as JSON in ASCII. Lambda's limit for an answer is 6 MB; a page
#: has at least one entry, the largest of which takes 2.1 MB, and a history includes its message.
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_PAGE_BYTES = 3_000_000
#: What an operator can do about a message id that the table does not have.
NOT_FOUND_HINT = (
    "No message has this id. An event that was queued with it is still in the send queue, or was "
    "dead-lettered and its ids could not be read: list the records with redrive_messages."
)
#: What an operator can do about a message id of which all records were refused.
REFUSED_HINT = (
    "No message was sent under this id: its records were refused and dead-lettered. list of "
    "redrive_messages shows each for 14 days, with deadLetterId as its recordId, unless it was "
    "redriven. Correct the event as field and rule say, and queue it again."
)
#: Members of Infobip's reports, at any depth, that hold neither addresses nor free texts.
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
    """Clients shared by all invocations of one execution environment."""

    search: MessageSearch


def find_messages(event: FindMessagesEvent, deps: Dependencies) -> dict[str, Any]:
    """Answer a query.

    Args:
        event: The query.
        deps: The table to search.

    Returns:
        The answer as JSON: `found`, `message` and `history` for a message id, and `refused`, the
        records with this id that were dead-lettered because they broke a rule, if there are any. A
        `hint` says what to do if nothing was sent under the id. Otherwise `messages`; and
        `nextToken` where there may be more.

    Raises:
        InvalidEventError: The token belongs to another query.
        TableUnavailableError: The table could not be read.
    """
    places = read_token(event)
    answer: dict[str, Any] = {}
    if event.message_id is not None:

        def entry_of(item: Item) -> Item:
            return _history_entry(item, event)

        message = deps.search.message(event.message_id)
        found = deps.search.history(
            event.message_id, event.limit, places, lambda item: _size(entry_of(item))
        )
        answer["found"] = message is not None or bool(found.items)
        answer["message"] = message and _message(message, event)
        refused = [item for item in found.items if is_refused_record(item)]
        history = [item for item in found.items if not is_refused_record(item)]
        answer["history"] = list(map(entry_of, history))
        if refused:
            answer["refused"] = list(map(entry_of, refused))
        if message is None and not history and not places:
            answer["hint"] = REFUSED_HINT if refused else NOT_FOUND_HINT
    else:
        found = _found(event, deps.search, places)
        answer["messages"] = [_message(item, event) for item in found.items]
    if found.places:
        answer["nextToken"] = write_token(event, found.places)
    return answer


def _found(event: FindMessagesEvent, search: MessageSearch, places: Mapping[str, Place]) -> Found:
    def bytes_of(item: Item) -> int:
        return _size(_message(item, event))

    if event.recipient is not None:
        return search.to_recipient(event.recipient, event.limit, places, bytes_of)
    if event.waiting is not None:
        return search.waiting(event.limit, places, bytes_of)
    return search.listed(LISTS[event.queries()[0]], event.limit, places, bytes_of)


def _size(shown: Item) -> int:
    """Return the bytes that an entry adds to the answer, its separator included."""
    return len(json.dumps(shown)) + len(", ")


# --- What is shown -----------------------------------------------------------------------------


def _message(item: Item, event: FindMessagesEvent) -> Item:
    return _plain(shown_message(item, None if event.show_recipients else _impersonal_status))


def _impersonal_status(status: object) -> object:
    """Keep what is known not to be personal, and the broken rules, which quote no value."""
    shown = _impersonal(status)
    if isinstance(shown, dict) and isinstance(status, dict) and "violations" in status:
        return shown | {"violations": status["violations"]}
    return shown


def _history_entry(item: Item, event: FindMessagesEvent) -> Item:
    if is_refused_record(item):
        return shown_refused_record(item)
    return shown_entry(item, lambda text: _content(text, event))


def _content(text: str, event: FindMessagesEvent) -> object:
    """Return Infobip's text as JSON, or as text where it cannot be serialized as JSON again."""
    try:
        # Infinity and NaN, which JSON does not have, become strings.
        content = json.loads(text, parse_constant=str, parse_float=_finite)
        return _plain({"": content if event.show_recipients else _impersonal(content)})[""]
    except (ValueError, RecursionError):
        return text if event.show_recipients else None


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _plain(shown: Item) -> Item:
    """Convert a part of the answer to JSON's types, in characters that UTF-8 can encode."""
    text = json.dumps(shown, default=_number, ensure_ascii=False)
    plain: Item = json.loads(text.encode(errors="replace"))
    return plain


def _impersonal(content: object) -> object:
    """Keep only members that are known not to be personal, and the masked recipient."""
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
    """Convert one of the table's numbers; return None for any other type that JSON lacks."""
    if not isinstance(value, Decimal):
        return None
    number = value
    return int(number) if number == number.to_integral_value() else float(number)


# --- The function ------------------------------------------------------------------------------


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = FindMessagesSettings.from_environment()
    table = Table(settings.messages_table_name)
    return Dependencies(search=MessageSearch(table, LARGEST_PAGE_BYTES))


@observed
def lambda_handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Return the message and its history, or a page of messages."""
    query = parse(event)
    answer = find_messages(query, dependencies())
    shown = answer.get("messages", answer.get("history", ()))
    logger.info("messages looked up", query=query.queries()[0], count=len(shown))
    return answer
