"""Accepted messages, their steps and reports, and how the control interface shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .clock import timestamp
from .statuses import STATUSES, error_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

Json = dict[str, Any]

#: Invented: Infobip's prices depend on the account and the country.
_PRICES = {"PUSH": 0.0, "SMS": 0.01}
_OTHER_PRICE = 0.02


@dataclass(slots=True)
class Attempt:
    """One step of a scenario for one message. All moments are in epoch seconds."""

    channel: str
    sender: str | None
    to: str | None
    content: Json | None  #: the channel's object of the send
    started_at: float
    ended_at: float
    outcome: str
    message_count: int = 1
    expires_at: float | None = None  #: the end of its validity; None if it ends immediately
    opened_at: float | None = None  #: when the recipient opens it; None if never

    @property
    def text(self) -> str | None:
        """The text of the content; None if it has none."""
        return None if self.content is None else self.content.get("text")

    @property
    def price(self) -> Json:
        """The price, as reports and log rows hold it."""
        return {
            "pricePerMessage": _PRICES.get(self.channel, _OTHER_PRICE),
            "currency": "EUR",
        }

    def status(self, now: float) -> Json:
        """Return the status object at the time *now*."""
        return STATUSES[self.outcome if self.ended_at <= now else "PENDING_ENROUTE"]

    def is_delivered(self, now: float) -> bool:
        """Whether the message has arrived at the time *now*."""
        return bool(self.status(now)["groupName"] == "DELIVERED")

    def open(self, moment: float) -> None:
        """Store that the recipient opens it then, unless they open it earlier."""
        self.opened_at = moment if self.opened_at is None else min(moment, self.opened_at)

    def moments(self) -> Iterator[float]:
        """Yield when it starts, ends and is opened."""
        yield self.started_at
        yield self.ended_at
        if self.opened_at is not None:
            yield self.opened_at


@dataclass(slots=True)
class Message:
    """One accepted destination."""

    message_id: str
    bulk_id: str
    scenario_key: str
    flow: list[str]  #: the channels of the scenario, as it was then
    to: Json
    callback_data: str | None
    accepted_at: float
    attempts: list[Attempt]
    notify_url: str | None = None  #: where reports are pushed to
    reports: list[Report] = field(default_factory=list)

    def final(self, now: float) -> Attempt | None:
        """Return the attempt that decided the message; None until it has ended."""
        return self.attempts[-1] if self.attempts[-1].ended_at <= now else None

    def delivery(self, now: float) -> Attempt | None:
        """Return the attempt that has delivered the message at the time *now*, or None."""
        return self.attempts[-1] if self.attempts[-1].is_delivered(now) else None


@dataclass(slots=True)
class Report:
    """The delivery report of one attempt, which is returned only once."""

    number: int
    message: Message
    attempt: Attempt
    #: For each page with the report: its number, and the fault that spoiled the report there.
    pages: list[tuple[int, str | None]] = field(default_factory=list)
    pushes: int = 0  #: how many were answered with 2xx

    @property
    def times_handed_out(self) -> int:
        """The number of pages and successful pushes."""
        return len(self.pages) + self.pushes


def final_status(messages: list[Message], now: float) -> Json | None:
    """Return the final status of a message id: a delivery, or the end of its last acceptance."""
    finals = [message.final(now) for message in messages]
    verdicts = [
        {
            "channel": attempt.channel,
            "groupName": STATUSES[attempt.outcome]["groupName"],
            "name": attempt.outcome,
        }
        for attempt in finals
        if attempt is not None
    ]
    delivered = [verdict for verdict in verdicts if verdict["groupName"] == "DELIVERED"]
    if delivered:
        return delivered[0]
    return verdicts[-1] if len(verdicts) == len(messages) else None


def ledger_entry(messages: list[Message], now: float, ready_reports: Container[int]) -> Json:
    """Return the true course of a message.

    Args:
        messages: The acceptances of its id, oldest first.
        now: The time, in epoch seconds; steps that start later are left out.
        ready_reports: The numbers of the reports that the next call can take.
    """
    reports = [report for message in messages for report in message.reports]
    return {
        "messageId": messages[0].message_id,
        "bulkId": messages[0].bulk_id,
        "scenarioKey": messages[0].scenario_key,
        "flow": messages[0].flow,
        "to": messages[0].to,
        "callbackData": messages[0].callback_data,
        "acceptances": len(messages),
        "acceptedAt": [timestamp(message.accepted_at) for message in messages],
        "steps": [
            {"acceptance": number} | _step(attempt, now)
            for number, message in enumerate(messages, start=1)
            for attempt in message.attempts
            if attempt.started_at <= now
        ],
        "finalStatus": final_status(messages, now),
        "reports": [
            {
                "channel": report.attempt.channel,
                "status": report.attempt.outcome,
                "doneAt": timestamp(report.attempt.ended_at),
                "pages": [{"page": page, "fault": fault} for page, fault in report.pages],
                "pushes": report.pushes,
            }
            for report in reports
        ],
        "reportsHandedOut": sum(report.times_handed_out for report in reports),
        "reportsPending": sum(
            not report.times_handed_out or report.number in ready_reports for report in reports
        ),
    }


def _step(attempt: Attempt, now: float) -> Json:
    status, has_ended = attempt.status(now), attempt.ended_at <= now
    opened_at = attempt.opened_at
    return {
        "channel": attempt.channel,
        "from": attempt.sender,
        "to": attempt.to,
        "text": attempt.text,
        "content": attempt.content,
        "messageCount": attempt.message_count,
        "price": attempt.price,
        "status": status["name"],
        "groupName": status["groupName"],
        "error": error_of(attempt.outcome) if has_ended else None,
        "startedAt": timestamp(attempt.started_at),
        "expiresAt": None if attempt.expires_at is None else timestamp(attempt.expires_at),
        "endedAt": timestamp(attempt.ended_at) if has_ended else None,
        "openedAt": timestamp(opened_at) if opened_at is not None and opened_at <= now else None,
    }
