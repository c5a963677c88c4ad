"""What an operator asks of redrive_messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from .dead_letter import DeadLetterReason
from .errors import InvalidEventError, read_as

Limit = Annotated[int, Field(ge=1, le=1000)]
MessageId = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class _Order(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
    )


class _Selection(_Order):
    #: In JSON an enumeration's member is a string, which strictness would not take for one.
    reason: Annotated[DeadLetterReason, Field(strict=False)] | None = None
    limit: Limit = 100


class ListOrder(_Selection):
    """Show dead letters."""

    action: Literal["list"]
    #: With the body, which holds personal data.
    show_content: bool = False


class RedriveOrder(_Selection):
    """Send dead letters again, but not quarantined messages."""

    action: Literal["redrive"]
    original_message_id: MessageId | None = None
    dry_run: bool = True


class _Decision(_Order):
    message_id: MessageId
    by: Name
    why: Text


class ReleaseOrder(_Decision):
    """Send a quarantined message again, at the risk that the recipient gets it twice."""

    action: Literal["release"]


class CloseOrder(_Decision):
    """Leave a quarantined message as it is, at the risk that the recipient never gets it."""

    action: Literal["close"]


Order = ListOrder | RedriveOrder | ReleaseOrder | CloseOrder
_ORDERS: dict[str, type[Order]] = {
    "list": ListOrder,
    "redrive": RedriveOrder,
    "release": ReleaseOrder,
    "close": CloseOrder,
}


def parse(event: object) -> Order:
    """Read what the operator wants.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    action = event.get("action") if isinstance(event, dict) else None
    order = _ORDERS.get(action) if isinstance(action, str) else None
    if order is None:
        raise InvalidEventError("action", f"must be one of {', '.join(_ORDERS)}")
    return read_as(order, event)
