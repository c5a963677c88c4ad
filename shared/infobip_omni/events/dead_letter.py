"""The message attributes that the sender gives to a dead-lettered record."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The attribute that holds the SQS id under which a record's content was first queued.
ORIGINAL_ID = "originalMessageId"
#: The attribute that holds the message ids of a record; see `written_ids`.
MESSAGE_IDS = "messageIds"
#: The names of all attributes that the sender gives to a record.
OWN_ATTRIBUTES = frozenset({"reason", "field", "rule", ORIGINAL_ID, MESSAGE_IDS})
#: Characters of the attribute `MESSAGE_IDS`; a record may have 500 ids of 200 characters.
_LONGEST_IDS = 2000


class DeadLetterReason(StrEnum):
    """Why a record was dead-lettered; the attribute ``reason``."""

    INVALID = "INVALID"  #: the event breaks a rule
    CONFLICT = "CONFLICT"  #: a message id was used before with other content
    OUTAGE = "OUTAGE"  #: the record could not be sent before the queue would have deleted it
    QUARANTINED = "QUARANTINED"  #: it is unknown whether a message was sent; an operator decides
    #: A message was refused for a while, and Infobip takes no other under its id: it was not sent.
    ID_SPENT = "ID_SPENT"
    OTHER = "OTHER"  #: no reason: SQS moved the record, or a person put it there


def written_ids(message_ids: Sequence[str]) -> str:
    """Return the value of `MESSAGE_IDS`, in ASCII: as many ids as fit, and the number of all.

    Returns:
        JSON like ``{"count": 500, "first": ["m-1", "m-2"]}``; empty without an id.
    """
    if not message_ids:
        return ""
    first: list[str] = []
    written = ""
    for message_id in message_ids:
        first.append(message_id)
        longer = json.dumps({"count": len(message_ids), "first": first})
        if len(longer) > _LONGEST_IDS:
            break
        written = longer
    return written
