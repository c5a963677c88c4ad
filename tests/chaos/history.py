"""The history of a run: the events queued, their results, and what Infobip knows of them.

A history is a snapshot of facts, with look-ups. `checks` judges it, `report` counts in it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from infobip_omni.delivery_reports import FOREIGN_ID
from infobip_omni.message import ACCEPTED_OR_FINAL, MESSAGE_ENTRY, MessageState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .traffic import Event

Json = dict[str, Any]

#: The state that each group of Infobip's final statuses leads to.
FINAL_STATES = {
    "DELIVERED": MessageState.DELIVERED,
    "UNDELIVERABLE": MessageState.UNDELIVERED,
    "EXPIRED": MessageState.EXPIRED,
    "REJECTED": MessageState.REJECTED,
}
#: Message id, channel, name of the status, and when the step was done.
ReportKey = tuple[str, str, str, str]


class PageEnd(StrEnum):
    """What happened to a page that a run received."""

    SAFE = "safe"
    RUN_KILLED = "the run was killed before the page was stored"
    NOT_STORED = "neither table nor queue accepted the page, and the loss was counted"
    DROPPED = "the run dropped the page silently"


class MessageEnd(StrEnum):
    """The state in which a message has ended."""

    SETTLED = "settled"
    QUARANTINED = "quarantined"
    DEAD_LETTERED = "dead-lettered"
    LOST = "lost"


@dataclass(slots=True)
class TakenPage:
    """A page of reports that a run received."""

    reports: frozenset[ReportKey]
    end: PageEnd = PageEnd.DROPPED


def reports_on(body: bytes) -> frozenset[ReportKey]:
    """Return the readable reports on a page; none if the page itself is unreadable."""
    try:
        entries = json.loads(body)["results"]
    except ValueError:
        return frozenset()
    return frozenset(filter(None, map(_key_of, entries)))


def _key_of(entry: Json) -> ReportKey | None:
    status = entry.get("status")
    name = status.get("name") if isinstance(status, dict) else None
    key = (entry.get("messageId"), entry.get("channel"), name, entry.get("doneAt"))
    return key if all(key) else None  # type: ignore[return-value]


@dataclass(frozen=True)
class History:
    """Everything known at one moment of a run.

    The facts about Infobip and the queues are older than the items, so the table must already show
    every step that they show.
    """

    events: tuple[Event, ...]
    #: The message ids that another account has used.
    foreign_ids: frozenset[str]
    #: What the simulator knows of each message id.
    truth: Mapping[str, Json]
    #: Pairs of record id and reason.
    dead_lettered: tuple[tuple[str, str], ...]
    #: The ids of the records that were deleted from the send queue after a run succeeded.
    acknowledged: frozenset[str]
    #: Every item of the table.
    items: tuple[Json, ...]
    #: The pages that the pullers have received.
    pages: tuple[TakenPage, ...]
    #: How many pulls were killed, or ended without a usable response.
    interrupted_pulls: int
    #: The last lines of the tracebacks of functions that raised.
    raised: tuple[str, ...]
    #: The output of the functions, by file name.
    outputs: Mapping[str, str]
    records_left: int
    #: Whether no work was left, so the state could no longer change.
    is_drained: bool

    # --- Messages ----------------------------------------------------------------------------

    @cached_property
    def messages(self) -> dict[str, Json]:
        """The items that hold the state of a message, by message id."""
        return {item["messageId"]: item for item in self.items if item["entry"] == MESSAGE_ENTRY}

    @cached_property
    def reasons(self) -> dict[str, set[str]]:
        """The reasons why records were dead-lettered, by record id."""
        reasons: dict[str, set[str]] = {}
        for record_id, reason in self.dead_lettered:
            reasons.setdefault(record_id, set()).add(reason)
        return reasons

    @cached_property
    def records_of(self) -> dict[str, list[str]]:
        """The ids of the records that hold a message, by message id."""
        records: dict[str, list[str]] = {}
        for event in self.events:
            for message_id in event.message_ids:
                records.setdefault(str(message_id), []).append(event.record_id)
        return records

    @cached_property
    def must_arrive(self) -> frozenset[str]:
        """The ids of the messages whose events prefer a duplicate to no message."""
        return frozenset(
            str(each) for event in self.events if event.must_arrive for each in event.message_ids
        )

    @cached_property
    def sent_twice(self) -> list[str]:
        """The ids of the messages that Infobip has accepted from this system more than once."""
        return [each for each in self.records_of if self.acceptances(each) > 1]

    def state(self, message_id: str) -> str | None:
        """Return the state of a message; None if the table does not have it."""
        message = self.messages.get(message_id)
        return message["state"] if message else None

    def acceptances(self, message_id: str) -> int:
        """Return how often Infobip has accepted a message from this system."""
        entry = self.truth.get(message_id)
        foreign = message_id in self.foreign_ids
        return entry["acceptances"] - foreign if entry else 0

    def counts_as_accepted(self, message_id: str) -> bool:
        """Whether the table has a message as accepted by Infobip, and not as refused."""
        message = self.messages[message_id]
        refused = message["state"] == MessageState.REJECTED and not message.get("verdictRank")
        return message["state"] in ACCEPTED_OR_FINAL and not refused

    def end_of(self, message_id: str) -> MessageEnd:
        """Return the state in which a message has ended."""
        state = self.state(message_id)
        if state in ACCEPTED_OR_FINAL:
            return MessageEnd.SETTLED
        if state == MessageState.QUARANTINED:
            return MessageEnd.QUARANTINED
        dead_lettered = any(map(self.reasons.get, self.records_of[message_id]))
        return MessageEnd.DEAD_LETTERED if dead_lettered else MessageEnd.LOST

    def true_state(self, message_id: str) -> str | None:
        """Return the final state of a message at Infobip; None if it has none."""
        entry = self.truth[message_id]
        if message_id not in self.foreign_ids:
            final = entry["finalStatus"]
            return FINAL_STATES[final["groupName"]] if final else None
        ours = [step["groupName"] for step in entry["steps"] if step["acceptance"] > 1]
        return FINAL_STATES.get("DELIVERED" if "DELIVERED" in ours else ours[-1])

    # --- Reports -----------------------------------------------------------------------------

    @cached_property
    def reports_made(self) -> dict[ReportKey, Json]:
        """The reports that Infobip has made, by key."""
        return {
            (message_id, report["channel"], report["status"], report["doneAt"]): report
            for message_id, entry in self.truth.items()
            for report in entry["reports"]
        }

    @cached_property
    def reports_recorded(self) -> frozenset[ReportKey]:
        """The reports in the table, including those of webhook calls about other bulks."""
        raw = (
            item["raw"] if item["messageId"] == FOREIGN_ID else item["report"]
            for item in self.items
            if item["messageId"] == FOREIGN_ID or item["entry"].startswith("REPORT#")
        )
        return frozenset(filter(None, map(_key_of, map(json.loads, raw))))

    @cached_property
    def page_ends(self) -> Mapping[ReportKey, list[PageEnd]]:
        """What happened to the pages that a report was on, in the order of the pages."""
        ends: dict[ReportKey, list[PageEnd]] = defaultdict(list)
        for page in self.pages:
            for key in page.reports:
                ends[key].append(page.end)
        return dict(ends)
