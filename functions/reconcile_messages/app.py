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

from infobip_omni import transitions
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
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.moments import utc_now
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
    from infobip_omni.dynamodb import Update
    from infobip_omni.message import Message

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
class Decisions:
    """What an answered question means: each of its messages is in one of these."""

    #: By message id.
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: The rows that the verdicts follow from.
    rows: list[LogEntry] = field(default_factory=list)
    #: Were unknown, and Infobip has them.
    accepted: list[Message] = field(default_factory=list)
    #: Refused, since another's message has their id.
    duplicates: list[Message] = field(default_factory=list)
    #: Accepted, and the logs will hold nothing more of them.
    unresolved: list[Message] = field(default_factory=list)
    #: With the moment to ask again, since the answer says nothing of them.
    undecided: list[tuple[Message, datetime]] = field(default_factory=list)
    #: Unknown to the logs.
    absent: list[Message] = field(default_factory=list)


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
            for messages in _questions(to_ask):
                if not self._may_ask():
                    break
                self._count_absence(self._look_for(messages))
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

    def _without_questions(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Deal with what needs no logs, and pass on the rest."""
        for group in in_batches(messages, _MESSAGES_AT_ONCE):
            now = self._now()
            by_state: dict[MessageState, list[Message]] = defaultdict(list)
            for message in group:
                by_state[message.state].append(message)
            self._change(
                "LeasesLost",
                [
                    transitions.lease_expired(message, now, self._ledger.check_after)
                    for message in by_state[MessageState.CLAIMED]
                    if message.lease_has_ended(now)
                ],
            )
            waiting = by_state[MessageState.WAITING]
            self._change("RecordsLost", [transitions.record_lost(message) for message in waiting])
            yield from by_state[MessageState.UNKNOWN]
            yield from by_state[MessageState.ACCEPTED]

    def _change(self, metric: str, updates: Sequence[Update]) -> None:
        """Make changes, and count those that were made."""
        if updates:
            self.counts[metric] += self._ledger.apply(updates)

    def _may_ask(self) -> bool:
        within_limit = self.counts["Questions"] < QUESTIONS_PER_RUN
        return within_limit and self._seconds_left() >= _SECONDS_PER_QUESTION

    def _look_for(self, messages: Sequence[Message]) -> list[Message]:
        """Ask about messages, write what the logs show, and return those that they do not know.

        Where the answer was cut, an absence means nothing; each half is then asked about by itself.
        """
        self.counts["Questions"] += 1
        ids = [message.id for message in messages]
        page = self._client.search_logs(message_ids=ids, limit=ROWS_PER_QUESTION)
        if page.is_cut and len(messages) > 1:
            middle = len(messages) // 2
            halves = (messages[:middle], messages[middle:])
            return [one for half in halves if self._may_ask() for one in self._look_for(half)]
        decisions = decide(messages, page, self._now(), self._ledger.check_after)
        self._deal_with(decisions)
        return decisions.absent

    def _deal_with(self, decisions: Decisions) -> None:
        """Write what was decided, all of a kind at once."""
        now, check_after = self._now(), self._ledger.check_after
        if decisions.verdicts:
            # Rows first: a message that is settled is not asked about again.
            self._reports.record_logs(decisions.rows)
            verdicts = decisions.verdicts.items()
            self._change("MessagesSettled", [transitions.settled(*each) for each in verdicts])
            if refusals := sum(refuses_account(row.status) for row in decisions.rows):
                self.counts["AccountRefusals"] += refusals
        self._change(
            "MessagesAccepted",
            [
                transitions.proven_accepted(message, Evidence.LOGS, now, check_after)
                for message in decisions.accepted
            ],
        )
        self._change(
            "MessagesRejected",
            [transitions.rejected_as_duplicate(message, now) for message in decisions.duplicates],
        )
        self._change(
            "MessagesUnresolved",
            [transitions.left_unresolved(message, now) for message in decisions.unresolved],
        )
        self._ledger.apply(
            [
                transitions.check_postponed(message, until, absent=False)
                for message, until in decisions.undecided
            ]
        )

    def _count_absence(self, messages: Sequence[Message]) -> None:
        """Count an answer without a trace of these messages, and decide after the third."""
        last = [
            message for message in messages if message.absent_answers + 1 >= ABSENT_ANSWERS_NEEDED
        ]
        until = self._now() + self._ledger.check_after
        self._ledger.apply(
            [
                transitions.check_postponed(message, until, absent=True)
                for message in messages
                if message not in last
            ]
        )
        for message in last:
            if not self._may_ask():
                return
            for absent in self._look_for([message]):
                self._give_up(absent)

    def _give_up(self, message: Message) -> None:
        """Decide about a message that the logs do not know."""
        now = self._now()
        # What the logs may have forgotten, they cannot be asked to disprove; and an id that was
        # refused would be refused again, and so on for ever.
        hopeless = message.age(now) >= LOGS_REACH_BACK or message.was_refused_as_repeat
        if message.on_unknown == "must-arrive" and not hopeless:
            self._change("MessagesSentAgain", [transitions.sent_again(message, now)])
        else:
            self._change("MessagesQuarantined", [transitions.quarantined(message, now)])


def decide(
    messages: Iterable[Message], page: LogPage, now: datetime, check_after: timedelta
) -> Decisions:
    """Decide what becomes of the messages that a page of the logs was asked about."""
    rows: dict[str, list[LogEntry]] = defaultdict(list)
    for row in page.rows:
        rows[row.message_id].append(row)
    decisions = Decisions()
    for message in messages:
        own, is_duplicate = _judge_rows(message, rows[message.id])
        verdict = verdict_of_logs(own, message.last_step, now - check_after)
        if verdict is not None:
            decisions.verdicts[message.id] = verdict
            decisions.rows.extend(own)
        elif message.state is not MessageState.UNKNOWN:
            delay = check_delay(message.age(now), check_after)
            if delay is None:
                decisions.unresolved.append(message)
            else:
                decisions.undecided.append((message, now + delay))
        elif own:
            decisions.accepted.append(message)
        elif is_duplicate:
            decisions.duplicates.append(message)
        elif page.is_cut or message.id in page.unread_ids:
            decisions.undecided.append((message, now + check_after))
        else:
            decisions.absent.append(message)
    return decisions


def _judge_rows(message: Message, rows: Sequence[LogEntry]) -> tuple[list[LogEntry], bool]:
    """Tell which rows prove that Infobip has a message, and whether its id is another's."""
    # That Infobip has refused a repeated id shows that it knows the id, not whose it is: only
    # a row for the very recipient is proof then. Else a row is, unless it is of another's.
    refused = message.was_refused_as_repeat
    proofs = [row for row in rows if row.status.id != DUPLICATE_MESSAGE_ID]
    foreign = [row for row in proofs if is_somebody_else(message.to, row.to)]
    own = [
        row
        for row in proofs
        if (is_recipient(message.to, row.to) if refused else row not in foreign)
    ]
    return own, refused and bool(proofs) and foreign == proofs


def _questions(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Divide messages so that each group takes one call, and all their steps fit its answer."""
    group: list[Message] = []
    rows = length = 0
    for message in messages:
        steps = len(message.steps or ()) or _MOST_STEPS
        size = log_query_length(message.id)
        if group and (
            len(group) >= IDS_PER_QUESTION
            or rows + steps >= ROWS_PER_QUESTION
            or length + size > LONGEST_LOG_QUERY
        ):
            yield group
            group, rows, length = [], 0, 0
        group.append(message)
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
