"""Verdicts about a message from reports, log rows and answers. Everything here is pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from infobip_omni.api.errors import AuthenticationError, RefusedUnreadError
from infobip_omni.api.reports import LogEntry, StatusGroup
from infobip_omni.message import Evidence, MessageState
from infobip_omni.statuses import (
    RefusalKind,
    group_of,
    id_of,
    is_duplicate,
    is_unexplained,
    is_unlisted,
    refusal_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infobip_omni.api.errors import NotProcessedError, RequestRejectedError
    from infobip_omni.api.reports import DeliveryReport, Price, Status
    from infobip_omni.api.sends import SendResponse, SendResult
    from infobip_omni.statuses import Refusal

#: Sorts before the rank of every verdict.
NO_RANK = ""

_STATE_OF_GROUP: dict[int | None, MessageState] = {
    StatusGroup.UNDELIVERABLE: MessageState.UNDELIVERED,
    StatusGroup.DELIVERED: MessageState.DELIVERED,
    StatusGroup.EXPIRED: MessageState.EXPIRED,
    StatusGroup.REJECTED: MessageState.REJECTED,
}
LOGS_REACH_BACK = timedelta(hours=48)
#: An hour before the end, to allow for the schedule and failed log queries.
_LAST_LOG_QUERY = LOGS_REACH_BACK - timedelta(hours=1)
_LONGEST_GAP = timedelta(hours=6)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = 10**14 - 1
_HIGHEST_STATUS_ID = 10**6 - 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a message, from the report or log row that settles it."""

    state: MessageState
    #: Of two verdicts, the one with the higher rank counts, regardless of their order of arrival.
    rank: str
    evidence: Evidence
    channel: str | None
    status: Status
    sent_at: datetime | None
    done_at: datetime | None
    price: Price | None


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """The state of one message after Infobip's answer to a send, or without an answer."""

    state: MessageState
    evidence: Evidence | None = None
    #: Infobip's status, or the code and text of its refusal of the request.
    status: Status | Mapping[str, object] | None = None
    #: The wait that Infobip's Retry-After requests, if any.
    retry_after_seconds: float | None = None
    #: Infobip refused the account rather than the message.
    account_refused: bool = False
    #: The refusal of this attempt that ends, so the message is sent again.
    refusal: Refusal | None = None
    #: The id of the status by which Infobip refused this attempt for a while.
    refused_by: int | None = None
    #: Infobip refused the message by a status that the table of statuses lacks.
    is_unlisted: bool = False
    #: Infobip refused the message without saying why.
    is_unexplained: bool = False
    #: The answer to the request is none of Infobip's refusals of its content.
    is_refused_unread: bool = False


def read_answer(response: SendResponse, message_ids: Sequence[str]) -> list[SendAnswer]:
    """Return the state of each message of a request; UNKNOWN for messages that the answer lacks.

    Args:
        response: The answer.
        message_ids: The ids, in the order of the request.
    """
    return [
        _send_answer(_result(response, message_ids, position))
        for position in range(len(message_ids))
    ]


def request_rejected(error: RequestRejectedError) -> SendAnswer:
    """Return the state of the messages of a request that can never succeed."""
    return SendAnswer(MessageState.REJECTED, Evidence.RESPONSE, _status_of(error))


def not_processed(error: NotProcessedError) -> SendAnswer:
    """Return the state of the messages of a request that Infobip has not processed."""
    return SendAnswer(
        MessageState.WAITING,
        # An outage needs no reason: each message waits for its end.
        status=_status_of(error) if error.status else None,
        retry_after_seconds=error.retry_after_seconds,
        account_refused=isinstance(error, AuthenticationError),
        is_refused_unread=isinstance(error, RefusedUnreadError),
    )


def _status_of(error: NotProcessedError | RequestRejectedError) -> Mapping[str, object]:
    """Return what Infobip says of a refused request, which explains the state of its messages."""
    members: dict[str, object] = {
        "httpStatus": error.status,
        "name": error.error_id,
        "description": error.text,
        "violations": [each._asdict() for each in error.violations] or None,
    }
    return {name: value for name, value in members.items() if value is not None}


def verdict_of(row: DeliveryReport | LogEntry, last_step: str | None) -> Verdict | None:
    """Return the verdict of one report or log row.

    Args:
        row: The report or row.
        last_step: The channel of the scenario's last step; None when the flow is unknown.

    Returns:
        None when the row settles nothing: the message is still in progress, the row is about an
        earlier step that has failed, or the last step is unknown.
    """
    state = _STATE_OF_GROUP.get(group_of(row.status))
    if state is None or is_duplicate(row.status):
        return None
    if state is not MessageState.DELIVERED and (last_step is None or row.channel != last_step):
        return None
    return _verdict(row, state)


def verdict_of_logs(
    rows: Sequence[LogEntry], last_step: str | None, settled_before: datetime
) -> Verdict | None:
    """Return the verdict of all log rows of one message.

    Args:
        rows: The rows.
        last_step: The channel of the scenario's last step. None when the flow is unknown: the
            message has then failed if every step in the logs failed before *settled_before*.
        settled_before: A time so long ago that a later step would now be in the logs.
    """
    verdicts = [verdict for row in rows if (verdict := verdict_of(row, last_step))]
    if not verdicts and rows and last_step is None:
        states = [_STATE_OF_GROUP.get(group_of(row.status)) for row in rows]
        quiet = all(row.done_at is not None and row.done_at <= settled_before for row in rows)
        if quiet:
            verdicts = [
                _verdict(row, state)
                for row, state in zip(rows, states, strict=True)
                if state is not None and not is_duplicate(row.status)
            ]
            verdicts = verdicts if len(verdicts) == len(rows) else []
    return highest(verdicts)


def highest(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the verdict with the highest rank; None if there is none."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=None)


def check_delay(age: timedelta, first: timedelta) -> timedelta | None:
    """Return the delay before the next log query about an accepted message.

    The gaps double, from *first* up to six hours, and the last log query is made just before the
    logs delete the message, 48 hours after it was sent.

    Args:
        age: The time since the message was sent.
        first: The age at the first log query.

    Returns:
        None when there is no next log query: the message stays unresolved.
    """
    if age >= _LAST_LOG_QUERY:
        return None
    gap = min(max(age, first), _LONGEST_GAP)
    return min(gap, _LAST_LOG_QUERY - age)


def _result(response: SendResponse, message_ids: Sequence[str], position: int) -> SendResult | None:
    """Return a message's entry in the answer: by its id, or by its position if ids are missing.

    Several entries for one id must have one status group; otherwise none of them counts.
    """
    named = [each for each in response.messages if each.message_id == message_ids[position]]
    if named:
        groups = {each.status and group_of(each.status) for each in named}
        return named[0] if len(groups) == 1 else None
    if len(response.messages) != len(message_ids):
        return None
    result = response.messages[position]
    return result if result.message_id is None else None


def _send_answer(result: SendResult | None) -> SendAnswer:
    if result is None or result.status is None:
        return SendAnswer(MessageState.UNKNOWN)
    status = result.status
    group = group_of(status)
    if group == StatusGroup.REJECTED and is_duplicate(status):
        # Infobip knows the id from an earlier attempt, or from another system's message. Only the
        # logs can show which, because they name the recipient.
        return SendAnswer(MessageState.UNKNOWN, Evidence.DUPLICATE_ID, status)
    if refusal := refusal_of(status):
        return SendAnswer(
            MessageState.WAITING if refusal.ends else MessageState.REJECTED,
            Evidence.RESPONSE,
            status,
            account_refused=refusal.kind is RefusalKind.ACCOUNT,
            refusal=refusal if refusal.ends else None,
            refused_by=id_of(status) if refusal.ends else None,
            is_unlisted=is_unlisted(status),
            is_unexplained=is_unexplained(status),
        )
    if group in set(StatusGroup):
        return SendAnswer(MessageState.ACCEPTED, Evidence.RESPONSE)
    return SendAnswer(MessageState.UNKNOWN)


def _verdict(row: DeliveryReport | LogEntry, state: MessageState) -> Verdict:
    evidence = Evidence.LOGS if isinstance(row, LogEntry) else Evidence.REPORT
    return Verdict(
        state=state,
        rank=_rank(row, state, evidence),
        evidence=evidence,
        channel=row.channel,
        status=row.status,
        sent_at=row.sent_at,
        done_at=row.done_at,
        price=row.price,
    )


def _rank(row: DeliveryReport | LogEntry, state: MessageState, evidence: Evidence) -> str:
    """Return the rank of a verdict as sortable text.

    The earliest delivery outranks all; otherwise the latest `doneAt` of the last step counts, then
    the status id; of equals, a report outranks a log row. The last part only makes the order total.
    """
    # In integers: as a float, a timestamp may be rounded to the millisecond before.
    done = 0 if row.done_at is None else (row.done_at - _EPOCH) // timedelta(milliseconds=1)
    done = min(max(done, 0), _LAST_MILLISECOND)
    if state is MessageState.DELIVERED:
        # A delivery at an unknown time counts as the latest.
        order = f"2#{_LAST_MILLISECOND - done if row.done_at else 0:014d}"
    else:
        order = f"1#{done:014d}"
    status_id = min(max(id_of(row.status) or 0, 0), _HIGHEST_STATUS_ID)
    source = 1 if evidence is Evidence.REPORT else 0
    # Includes the timestamp: those outside of the sortable range would otherwise be equal.
    rest = repr((row.channel, row.sent_at, row.done_at, row.price, row.status))
    tie = hashlib.sha256(rest.encode(errors="replace")).hexdigest()[:8]
    return f"{order}#{status_id:06d}#{source}#{tie}"
