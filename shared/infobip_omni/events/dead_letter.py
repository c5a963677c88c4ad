"""What a dead letter says besides its body, in the message attributes that the sender gives it."""

from __future__ import annotations

from enum import StrEnum

#: The attribute that keeps the id under which a record's content was first queued.
ORIGINAL_ID = "originalMessageId"


class DeadLetterReason(StrEnum):
    """Why a record went to the dead-letter queue; the attribute ``reason``."""

    INVALID = "INVALID"  #: the event breaks a rule
    CONFLICT = "CONFLICT"  #: a message id was used before with other content
    OUTAGE = "OUTAGE"  #: it could not be sent before the queue would have dropped it
    QUARANTINED = "QUARANTINED"  #: nobody knows whether a message was sent; an operator decides
    OTHER = "OTHER"  #: none was given: SQS has moved it by itself, or somebody has put it there
