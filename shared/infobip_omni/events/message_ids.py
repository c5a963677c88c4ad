"""The message ids of a record, as far as they can be read from a body that breaks a rule."""

from __future__ import annotations

import json
from typing import Any

from infobip_omni.api.json_text import trimmed
from infobip_omni.api.sends import LONGEST_MESSAGE_ID

from .envelopes import ENVELOPES, is_record_id
from .send_message import MOST_DESTINATIONS

Json = dict[str, Any]


def message_ids_in(body: str, record_id: str) -> list[str]:
    """Return the message ids that a record's body holds, whatever else is wrong with it.

    For a valid event these are the ids of its messages. The values of a broken one are not
    trusted: only what can be a message id is returned.

    Args:
        body: The body of the record.
        record_id: The SQS id under which the body was first queued. The ids of destinations without
            one derive from it, or from the id of the innermost envelope.

    Returns:
        At most as many as an event may have destinations, each once; empty where there are none.
    """
    event, source_id = _opened(_read(body), record_id)
    destinations = event.get("destinations")
    entries = destinations if isinstance(destinations, list) else [event]
    ids = (
        _message_id(entry, f"{source_id}-{position}" if is_record_id(source_id) else "")
        for position, entry in enumerate(entries[:MOST_DESTINATIONS])
    )
    return [*dict.fromkeys(filter(None, ids))]


def _opened(event: Json, source_id: str) -> tuple[Json, str]:
    """Take an event out of its envelopes; return it, and the id that its ids derive from."""
    for _ in ENVELOPES:  # each may hold the other
        mark = next((each for each in ENVELOPES if each in event), None)
        if mark is None:
            break
        content, identifier = (event.get(name) for name in ENVELOPES[mark])
        event = content if isinstance(content, dict) else _read(content)
        source_id = identifier if isinstance(identifier, str) else ""
    return event, source_id


def _read(text: object) -> Json:
    """Return a JSON object; an empty one for any other text."""
    try:
        value = json.loads(trimmed(str(text)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _message_id(destination: Any, derived: str) -> str:  # noqa: ANN401 (a JSON value)
    """Return the id of a destination: its own or the derived one; empty if it can have none."""
    if not isinstance(destination, dict):
        return ""
    message_id = destination.get("messageId")
    if message_id is None:
        # Without a recipient it is no destination, and the event of another system.
        return derived if destination.get("to") is not None else ""
    return message_id if _is_message_id(message_id) else ""


def _is_message_id(value: object) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_MESSAGE_ID or "," in value:
        return False
    # A lone surrogate, which JSON can hold, cannot be stored.
    return value.encode(errors="replace").decode() == value
