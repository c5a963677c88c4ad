"""Which attempt to send a message a report or log row is about. Everything here is pure.

A message may be attempted several times under one id: after a refusal that has ended, and after an
attempt of unknown outcome. A row about a refused attempt says nothing about the others, but may
come at any time: it must neither settle the message nor prove that Infobip has accepted it.

Each attempt has a bulk id of its own, and a row belongs to the attempt whose bulk id it carries.
If a caller's bulk id is used for all attempts, or a row carries none of ours, its status and its
time decide.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from infobip_omni.api.reports import StatusGroup
from infobip_omni.message import MessageState
from infobip_omni.statuses import group_of, id_of, may_end

if TYPE_CHECKING:
    from collections.abc import Container

    from infobip_omni.api.reports import DeliveryReport, LogEntry, Status
    from infobip_omni.message import Message


class Bearing(Enum):
    """What a report or log row means for a message."""

    COUNTS = auto()  #: it is about an attempt that was not refused
    REFUSED = auto()  #: it is about a refused attempt, so it changes nothing
    UNDECIDED = auto()  #: it may be about either, so it decides nothing
    #: It refuses, or may refuse, an attempt whose answer is still awaited and may say the same.
    AWAITED = auto()


def bearing_of(
    row: DeliveryReport | LogEntry, message: Message, bulk_id: str | None = None
) -> Bearing:
    """Return what a row means for its message.

    Args:
        row: The report or log row.
        message: The message, as it was read.
        bulk_id: The bulk id of the webhook to which the report came, for a report without one.
    """
    bearing = _bearing(row, message, row.bulk_id or bulk_id)
    if bearing is Bearing.COUNTS and message.state is MessageState.CLAIMED and may_end(row.status):
        return Bearing.AWAITED
    return bearing


def _bearing(row: DeliveryReport | LogEntry, message: Message, bulk_id: str | None) -> Bearing:
    refused = message.refused_bulk_ids
    if not refused:
        return Bearing.COUNTS
    if bulk_id is not None and not message.is_shared_bulk_id(bulk_id):
        if any(bulk_id in ids for ids in refused.values()):
            return Bearing.REFUSED
        if bulk_id in message.bulk_ids:
            return Bearing.COUNTS
    may_be_refused = _may_be_refusal(row.status, refused)
    return _bearing_by_time(row, message) if may_be_refused else Bearing.COUNTS


def _bearing_by_time(row: DeliveryReport | LogEntry, message: Message) -> Bearing:
    happened_at = row.done_at or row.sent_at
    if happened_at is None:
        return Bearing.UNDECIDED
    if happened_at >= message.claimed_at and not message.is_last_attempt_refused:
        return Bearing.COUNTS
    # A status with a missing part may be of any earlier attempt, of which one may be accepted.
    is_certain = group_of(row.status) is not None and id_of(row.status) is not None
    return Bearing.REFUSED if is_certain else Bearing.UNDECIDED


def _may_be_refusal(status: Status, refused: Container[int]) -> bool:
    """Return whether nothing in a status says that it is none of these refusals."""
    status_id = id_of(status)
    is_rejected = group_of(status) in (StatusGroup.REJECTED, None)
    return is_rejected and (status_id is None or status_id in refused)


def is_about_earlier_attempt(row: LogEntry, message: Message) -> bool:
    """Return whether a row carries the bulk id of an earlier attempt that was not refused."""
    return (
        row.bulk_id is not None
        and row.bulk_id in message.earlier_bulk_ids
        and not message.is_shared_bulk_id(row.bulk_id)
    )
