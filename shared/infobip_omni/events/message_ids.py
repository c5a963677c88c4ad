"""The message ids of a record, as far as they can be read from a body that breaks a rule."""

from __future__ import annotations

import json
from typing import Any

from infobip_omni.api.sends import LONGEST_MESSAGE_ID

from .send_message import MOST_DESTINATIONS, is_record_id


def message_ids_in(body: str, record_id: str) -> list[str]:
    """Return the message ids that a record's body holds, whatever else is wrong with it.

    For a valid event these are the ids of its messages. The values of a broken one are not
    trusted: only what can be a message id is returned.

    Args:
        body: The body of the record.
        record_id: The SQS id under which the body was first queued. The ids of destinations without
            one derive from it.

    Returns:
        At most as many as an event may have destinations, each once; empty where there are none.
    """
    try:
        event = json.loads(body.strip().removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return []
    if not isinstance(event, dict):
        return []
    destinations = event.get("destinations")
    entries = destinations if isinstance(destinations, list) else [event]
    ids = (
        _message_id(entry, f"{record_id}-{position}" if is_record_id(record_id) else "")
        for position, entry in enumerate(entries[:MOST_DESTINATIONS])
    )
    return [*dict.fromkeys(filter(None, ids))]


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
