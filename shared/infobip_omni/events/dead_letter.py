"""The message attributes that the sender gives to a dead-lettered record."""

from __future__ import annotations

from enum import StrEnum

#: The attribute that holds the SQS id under which a record's content was first queued.
ORIGINAL_ID = "originalMessageId"


class DeadLetterReason(StrEnum):
    """Why a record was dead-lettered; the attribute ``reason``."""

    INVALID = "INVALID"  #: the event breaks a rule
    CONFLICT = "CONFLICT"  #: a message id was used before with other content
    OUTAGE = "OUTAGE"  #: the record could not be sent before the queue would have deleted it
    QUARANTINED = "QUARANTINED"  #: it is unknown whether a message was sent; an operator decides
    #: A message was refused for a while, and Infobip takes no other under its id: it was not sent.
    ID_SPENT = "ID_SPENT"
    OTHER = "OTHER"  #: no reason: SQS moved the record, or a person put it there
