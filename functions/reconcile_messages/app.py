"""Asks the message logs about sends of unknown outcome, and about messages without a report.

A row in the logs is proof. A missing row proves nothing by itself: the logs lag behind. So a
message counts as unknown to Infobip only after three answered questions, `ReconcileAfterSeconds`
apart, the last of which was for this message alone. Then it is quarantined, or handed back to the
sender where its policy is that it must arrive. This function never sends.

Two overlapping runs do no harm: every change is made only to a message that is still as it was
read.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infobip_omni.api.client import (
    LONGEST_CALL_SECONDS,
    LONGEST_LOG_QUERY,
    OmniClient,
    log_query_length,
)
from infobip_omni.api.errors import AuthenticationError, OmniError
from infobip_omni.aws import in_batches
from infobip_omni.delivery import (
    DUPLICATE_MESSAGE_ID,
    LOGS_REACH_BACK,
    Evidence,
    MessageState,
    check_delay,
    refuses_account,
    verdict_of_logs,
)
from infobip_omni.delivery_reports import DeliveryReports, last_step_of
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.message_ledger import MessageLedger, age_of, open_ledger
from infobip_omni.moments import to_text, utc_now
from infobip_omni.observability import count, logger, observed
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.recipients import is_recipient, is_somebody_else
from infobip_omni.settings import ReconcileMessagesSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import LogPage, OmniClient
    from infobip_omni.api.reports import LogEntry
    from infobip_omni.delivery import Verdict
    from infobip_omni.dynamodb import Item

#: Infobip allows 120 questions a minute, which overlapping runs and people share.
QUESTIONS_PER_RUN = 100
IDS_PER_QUESTION = 100
ROWS_PER_QUESTION = 1000
MESSAGES_PER_SHARD = 1000
_MESSAGES_AT_ONCE = 100
#: An alarm asks whether there are any; more is for people, who have find_messages.
_MOST_COUNTED = 1000
#: How many steps a flow has at most, where it is unknown: there are ten channels.
_MOST_STEPS = 10
ABSENT_ANSWERS_NEEDED = 3
#: Longest time that one question may last, and what writing down its answer takes.
_SECONDS_PER_QUESTION = LONGEST_CALL_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class _Decisions:
    """What an answered question means: each of its messages is in one of these."""

    #: By message id.
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: The rows that the verdicts follow from.
    rows: list[LogEntry] = field(default_factory=list)
    #: Were unknown, and Infobip has them.
    accepted: list[Item] = field(default_factory=list)
    #: Refused, since another's message has their id.
    duplicates: list[Item] = field(default_factory=list)
    #: Accepted, and the logs will hold nothing more of them.
    unresolved: list[Item] = field(default_factory=list)
    #: With the moment to ask again, since the answer says nothing of them.
    undecided: list[tuple[Item, datetime]] = field(default_factory=list)
    #: Unknown to the logs.
    absent: list[Item] = field(default_factory=list)


class Reconciliation:
    """One run, and the count of what it has done."""

    def __init__(
        self,
        client: OmniClient,
        ledger: MessageLedger,
        reports: DeliveryReports,
        seconds_left: Callable[[], float],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._client = client
        self._ledger = ledger
        self._reports = reports
        self._seconds_left = seconds_left
        self._now = now

    def run(self) -> dict[str, int]:
        """Deal with all messages that are due, for as long as there is time.

        Returns:
            The counts.
        """
        try:
            self._reports.record_abandoned_pages()
            if quarantined := self._ledger.count_quarantined(_MOST_COUNTED):
                self.counts["MessagesInQuarantine"] = quarantined
            to_ask = self._without_questions(self._ledger.due(MESSAGES_PER_SHARD))
            for items in _questions(to_ask):
                if not self._may_ask():
                    break
                self._count_absence(self._look_for(items))
        except (OmniError, ParameterUnavailableError) as error:
            # A question that was not answered counts for nothing; the messages stay due.
            self.counts["ReconciliationsFailed"] += 1
            if isinstance(error, AuthenticationError):
                self.counts["AccountRefusals"] += 1
            logger.warning("the logs cannot be asked", reason=str(error))
        except TableUnavailableError as error:
            self.counts["ReconciliationsFailed"] += 1
            logger.error("the table is unavailable", reason=str(error))
        return dict(self.counts)

    def _without_questions(self, items: Iterable[Item]) -> Iterator[Item]:
        """Deal with what needs no logs, and pass on the rest."""
        for group in in_batches(items, _MESSAGES_AT_ONCE):
            by_state: dict[MessageState, list[Item]] = defaultdict(list)
            for item in group:
                by_state[MessageState(item["state"])].append(item)
            now = to_text(self._now())
            expired = [item for item in by_state[MessageState.CLAIMED] if item["leaseUntil"] <= now]
            if expired:
                self.counts["LeasesLost"] += self._ledger.lose_lease(expired)
            if waiting := by_state[MessageState.WAITING]:
                self.counts["RecordsLost"] += self._ledger.forget_record(waiting)
            yield from by_state[MessageState.UNKNOWN]
            yield from by_state[MessageState.ACCEPTED]

    def _may_ask(self) -> bool:
        within_limit = self.counts["Questions"] < QUESTIONS_PER_RUN
        return within_limit and self._seconds_left() >= _SECONDS_PER_QUESTION

    def _look_for(self, items: Sequence[Item]) -> list[Item]:
        """Ask about messages, write what the logs show, and return those that they do not know.

        Where the answer was cut, an absence means nothing; each half is then asked about by itself.
        """
        self.counts["Questions"] += 1
        ids = [item["messageId"] for item in items]
        page = self._client.search_logs(message_ids=ids, limit=ROWS_PER_QUESTION)
        if page.is_cut and len(items) > 1:
            middle = len(items) // 2
            halves = (items[:middle], items[middle:])
            return [item for half in halves if self._may_ask() for item in self._look_for(half)]
        decisions = _decide(items, page, self._now(), self._ledger.check_after)
        self._deal_with(decisions)
        return decisions.absent

    def _deal_with(self, decisions: _Decisions) -> None:
        """Write what was decided, all of a kind at once."""
        if decisions.verdicts:
            # Rows first: a message that is settled is not asked about again.
            self._reports.record_logs(decisions.rows)
            self.counts["MessagesSettled"] += self._ledger.settle(decisions.verdicts)
            if refusals := sum(refuses_account(row.status) for row in decisions.rows):
                self.counts["AccountRefusals"] += refusals
        if decisions.accepted:
            proven = self._ledger.prove_accepted(decisions.accepted, Evidence.LOGS)
            self.counts["MessagesAccepted"] += proven
        if decisions.duplicates:
            rejected = self._ledger.reject_duplicate(decisions.duplicates)
            self.counts["MessagesRejected"] += rejected
        if decisions.unresolved:
            unresolved = self._ledger.leave_unresolved(decisions.unresolved)
            self.counts["MessagesUnresolved"] += unresolved
        self._ledger.postpone(decisions.undecided, absent=False)

    def _count_absence(self, items: Sequence[Item]) -> None:
        """Count an answer without a trace of these messages, and decide after the third."""
        last = [item for item in items if item.get("absentAnswers", 0) + 1 >= ABSENT_ANSWERS_NEEDED]
        until = self._now() + self._ledger.check_after
        others = [(item, until) for item in items if item not in last]
        self._ledger.postpone(others, absent=True)
        for item in last:
            if not self._may_ask():
                return
            for absent in self._look_for([item]):
                self._give_up(absent)

    def _give_up(self, item: Item) -> None:
        """Decide about a message that the logs do not know."""
        # What the logs may have forgotten, they cannot be asked to disprove; and an id that was
        # refused would be refused again, and so on for ever.
        forgotten = age_of(item, self._now()) >= LOGS_REACH_BACK
        hopeless = forgotten or _was_refused_as_repeat(item)
        if item["onUnknown"] == "must-arrive" and not hopeless:
            self.counts["MessagesSentAgain"] += self._ledger.send_again(item)
        else:
            self.counts["MessagesQuarantined"] += self._ledger.quarantine(item)


def _decide(
    items: Iterable[Item], page: LogPage, now: datetime, check_after: timedelta
) -> _Decisions:
    """Decide what becomes of the messages that a page of the logs was asked about."""
    rows: dict[str, list[LogEntry]] = defaultdict(list)
    for row in page.rows:
        rows[row.message_id].append(row)
    decisions = _Decisions()
    for item in items:
        message_id = item["messageId"]
        own, is_duplicate = _judge_rows(item, rows[message_id])
        verdict = verdict_of_logs(own, last_step_of(item), now - check_after)
        if verdict is not None:
            decisions.verdicts[message_id] = verdict
            decisions.rows.extend(own)
        elif item["state"] != MessageState.UNKNOWN:
            delay = check_delay(age_of(item, now), check_after)
            if delay is None:
                decisions.unresolved.append(item)
            else:
                decisions.undecided.append((item, now + delay))
        elif own:
            decisions.accepted.append(item)
        elif is_duplicate:
            decisions.duplicates.append(item)
        elif page.is_cut or message_id in page.unread_ids:
            decisions.undecided.append((item, now + check_after))
        else:
            decisions.absent.append(item)
    return decisions


def _judge_rows(item: Item, rows: Sequence[LogEntry]) -> tuple[list[LogEntry], bool]:
    """Tell which rows prove that Infobip has a message, and whether its id is another's."""
    # That Infobip has refused a repeated id shows that it knows the id, not whose it is: only
    # a row for the very recipient is proof then. Else a row is, unless it is of another's.
    refused = _was_refused_as_repeat(item)
    proofs = [row for row in rows if row.status.id != DUPLICATE_MESSAGE_ID]
    foreign = [row for row in proofs if is_somebody_else(item["to"], row.to)]
    own = [
        row
        for row in proofs
        if (is_recipient(item["to"], row.to) if refused else row not in foreign)
    ]
    return own, refused and bool(proofs) and foreign == proofs


def _was_refused_as_repeat(item: Item) -> bool:
    return bool(item.get("evidence") == Evidence.DUPLICATE_ID)


def _questions(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Divide messages so that each group takes one call, and all their steps fit its answer."""
    group: list[Item] = []
    rows = length = 0
    for item in items:
        steps = len(item.get("steps", ())) or _MOST_STEPS
        size = log_query_length(item["messageId"])
        if group and (
            len(group) >= IDS_PER_QUESTION
            or rows + steps >= ROWS_PER_QUESTION
            or length + size > LONGEST_LOG_QUERY
        ):
            yield group
            group, rows, length = [], 0, 0
        group.append(item)
        rows += steps
        length += size
    if group:
        yield group


@functools.cache
def collaborators() -> tuple[OmniClient, MessageLedger, DeliveryReports]:
    """Make what lives as long as the environment."""
    settings = ReconcileMessagesSettings.from_environment()
    table, ledger = open_ledger(settings)
    return open_client(settings), ledger, DeliveryReports(table, ledger)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Answer with the counts; nothing that Infobip or the table does raises."""
    client, ledger, reports = collaborators()
    counts = Reconciliation(
        client, ledger, reports, lambda: context.get_remaining_time_in_millis() / 1000
    ).run()
    logger.info("messages reconciled", extra=counts)
    count({**counts, "ReconciliationsSucceeded": "ReconciliationsFailed" not in counts})
    return counts
