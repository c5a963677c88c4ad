"""What Infobip reports and logs, after its OpenAPI document 3.210.0."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .wire import TOLERANT, AnswerBody, Description, Text, Word, utc_from_any_timestamp


class StatusGroup(IntEnum):
    """What a status amounts to; names of groups vary between documents, numbers do not."""

    ACCEPTED = 0
    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


#: Bytes of a table's partition key. A longer id can be of no message.
LONGEST_KEY_BYTES = 2048
_Number = Annotated[int | None, TOLERANT]
_Moment = Annotated[datetime | None, BeforeValidator(utc_from_any_timestamp)]
#: JSON knows larger numbers, that nothing behind can hold.
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Status(AnswerBody):
    """What became of a message, or is becoming of it."""

    group_id: _Int64  #: a `StatusGroup`, or a number that is new
    id: _Int64
    group_name: Word = None
    name: Word = None
    description: Description = None


class Price(AnswerBody):
    """What a message cost."""

    #: Not more digits than a table holds.
    price_per_message: Annotated[Annotated[Decimal, Field(max_digits=38)] | None, TOLERANT] = None
    currency: Word = None


_ReportedId = Annotated[str, Field(max_length=LONGEST_KEY_BYTES)]


class _Row(AnswerBody):
    """What reports and logs share: one row for each step that was tried."""

    message_id: _ReportedId
    status: Status
    channel: Word = None  #: a `Channel`, or a word that is new
    bulk_id: Word = None
    to: Text = Field(default=None, repr=False)
    sent_at: _Moment = None
    done_at: _Moment = None
    message_count: _Number = None
    mcc_mnc: Word = None
    price: Annotated[Price | None, TOLERANT] = None


class DeliveryReport(_Row):
    """One entry of ``GET /omni/1/reports``, or of a call to a notifyUrl.

    Its ``error`` is not read: it only explains the status, and documents contradict each other.
    """


class SeenReport(AnswerBody):
    """An entry of a call to a notifyUrl that says when the recipient has seen a message."""

    message_id: _ReportedId
    seen_at: Annotated[datetime, BeforeValidator(utc_from_any_timestamp)]
    channel: Word = None


class LogEntry(_Row):
    """One entry of ``GET /omni/1/logs``."""

    sender: Word = Field(default=None, validation_alias="from", serialization_alias="from")
    text: Text = Field(default=None, repr=False)


class UnreadablePageError(ValueError):
    """A body holds no list of reports."""


def parse_reports_page(body: bytes) -> list[Any]:
    """Return the entries of a page of reports as they came; numbers keep their digits.

    Bytes that are not UTF-8 spoil only the text that they stand in.

    Raises:
        UnreadablePageError: The body is not JSON, or has no list of results.
    """
    try:
        page = json.loads(
            body.decode("utf-8-sig", errors="replace"), parse_float=Decimal, parse_constant=str
        )
    except (ValueError, RecursionError):
        # The cause would hold the body.
        raise UnreadablePageError("the page of reports is not JSON") from None
    results = page.get("results") if isinstance(page, dict) else None
    if not isinstance(results, list):
        raise UnreadablePageError("the page of reports has no list of results")
    return results
