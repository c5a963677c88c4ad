"""Asks the message logs about sends of unknown outcome, and about messages without a report.

A row in the logs is proof. A missing row proves nothing by itself: the logs lag behind. So a
message counts as unknown to Infobip only after three answered log queries, `ReconcileAfterSeconds`
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
    log_query_length,
)
from infobip_omni.api.errors import AuthenticationError, OmniError
from infobip_omni.aws import in_batches
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.message import Evidence, Message, MessageState, UnreadableMessage
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.observability import count, logger, observed, time_left
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.recipients import is_recipient, is_somebody_else
from infobip_omni.settings import ReconcileMessagesSettings
from infobip_omni.timestamps import utc_now
from infobip_omni.verdicts import (
    DUPLICATE_MESSAGE_ID,
    LOGS_REACH_BACK,
    check_delay,
    refuses_account,
    verdict_of_logs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import LogPage, OmniClient
    from infobip_omni.api.reports import LogEntry, RawEntry
    from infobip_omni.dynamodb import Update
    from infobip_omni.verdicts import Verdict

    #: What was done, by the name of its metric.
    Counts = Mapping[str, int]

#: Infobip allows 120 log queries a minute, which overlapping runs and people share.
LOG_QUERIES_PER_RUN = 100
IDS_PER_LOG_QUERY = 100
ROWS_PER_LOG_QUERY = 1000
MESSAGES_PER_SHARD = 1000
_MESSAGES_AT_ONCE = 100
#: An alarm asks whether there are any; more is for people, who have find_messages.
_MOST_COUNTED = 1000
#: How many steps a flow has at most, where it is unknown: there are ten channels.
_MOST_STEPS = 10
ABSENT_ANSWERS_NEEDED = 3
#: Longest time that one log query may last, and what writing down its answer takes.
_SECONDS_PER_LOG_QUERY = LONGEST_CALL_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    client: OmniClient
    ledger: MessageLedger
    reports: DeliveryReports


@dataclass(frozen=True, slots=True)
class Decisions:
    """What an answered log query means: each of its messages is in one of these."""

    #: By message id.
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: The rows that the verdicts follow from.
    rows: list[RawEntry[LogEntry]] = field(default_factory=list)
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


@dataclass(slots=True)
class Budget:
    """The log queries that a run may ask."""

    seconds_left: Callable[[], float]
    asked: int = 0

    @property
    def allows_log_query(self) -> bool:
        """Whether there are a log query and the time for it left."""
        return self.asked < LOG_QUERIES_PER_RUN and self.seconds_left() >= _SECONDS_PER_LOG_QUERY


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a run has done."""

    #: By the name of its metric.
    counts: Counts

    @property
    def metrics(self) -> dict[str, int]:
        """Return what there is to be counted, by the name of its metric."""
        succeeded = "ReconciliationsFailed" not in self.counts
        return {**self.counts, "ReconciliationsSucceeded": succeeded}

    def answer(self) -> dict[str, int]:
        """Write it for whoever invoked the function."""
        return dict(self.counts)


def reconcile_messages(
    deps: Dependencies, seconds_left: Callable[[], float], now: Callable[[], datetime] = utc_now
) -> Reconciliation:
    """Deal with all messages that are due, for as long as there is time.

    Args:
        deps: Infobip and the table.
        seconds_left: Returns how much time the run has.
        now: Returns the time.
    """
    counts: Counter[str] = Counter()
    budget = Budget(seconds_left)
    try:
        for done in _reconcile(deps, budget, now):
            counts.update(done)
    except (OmniError, ParameterUnavailableError) as error:
        # A log query that was not answered counts for nothing; the messages stay due.
        counts["ReconciliationsFailed"] += 1
        if isinstance(error, AuthenticationError):
            counts["AccountRefusals"] += 1
        logger.warning("the logs cannot be asked", reason=str(error))
    except TableUnavailableError as error:
        counts["ReconciliationsFailed"] += 1
        logger.error("the table is unavailable", reason=str(error))
    if budget.asked:
        counts["Questions"] = budget.asked
    return Reconciliation(counts)


def _reconcile(deps: Dependencies, budget: Budget, now: Callable[[], datetime]) -> Iterator[Counts]:
    """Do it step by step, and tell of each step what it has done."""
    deps.reports.record_abandoned_pages()
    if quarantined := deps.ledger.count_quarantined(_MOST_COUNTED):
        yield {"MessagesInQuarantine": quarantined}
    to_ask: list[Message] = []
    for due in in_batches(deps.ledger.due(MESSAGES_PER_SHARD), _MESSAGES_AT_ONCE):
        group = [message for message in due if isinstance(message, Message)]
        yield _leave_unreadable(
            message for message in due if isinstance(message, UnreadableMessage)
        )
        yield from _deal_without_log_query(group, deps.ledger, now())
        to_ask += [message for message in group if message.state is MessageState.UNKNOWN]
        to_ask += [message for message in group if message.state is MessageState.ACCEPTED]
        # The last log query may have room for messages of the next group.
        *full, to_ask = _log_queries(to_ask) or [[]]
        for messages in full:
            if not budget.allows_log_query:
                return
            yield from _deal_with(messages, deps, budget, now)
    yield from _deal_with(to_ask, deps, budget, now)


def _leave_unreadable(messages: Iterable[UnreadableMessage]) -> Counts:
    """Name the messages that are due and cannot be read."""
    ids = [message.id for message in messages]
    for message_id in ids:
        logger.error("a message cannot be read", message_id=message_id)
    return {"MessagesUnreadable": len(ids)} if ids else {}


def _deal_without_log_query(
    messages: Iterable[Message], ledger: MessageLedger, now: datetime
) -> Iterator[Counts]:
    """Change the messages that it takes no logs to know the next state of."""
    by_state: dict[MessageState, list[Message]] = defaultdict(list)
    for message in messages:
        by_state[message.state].append(message)
    yield _change(
        "LeasesLost",
        (
            transitions.lease_expired(message, now, ledger.check_after)
            for message in by_state[MessageState.CLAIMED]
            if message.lease_has_ended(now)
        ),
        ledger,
    )
    waiting = by_state[MessageState.WAITING]
    yield _change("RecordsLost", map(transitions.record_lost, waiting), ledger)


def _deal_with(
    messages: Sequence[Message], deps: Dependencies, budget: Budget, now: Callable[[], datetime]
) -> Iterator[Counts]:
    """Ask about messages, and do what follows from the answer.

    An answer without a trace of a message is counted; the third one decides, if it was about this
    message alone.
    """
    absent = yield from _look_for(messages, deps, budget, now)
    last = [message for message in absent if message.absent_answers + 1 >= ABSENT_ANSWERS_NEEDED]
    until = now() + deps.ledger.check_after
    deps.ledger.apply(
        [
            transitions.check_postponed(message, until, absent=True)
            for message in absent
            if message not in last
        ]
    )
    for message in last:
        for unknown in (yield from _look_for([message], deps, budget, now)):
            yield _give_up(unknown, deps.ledger, now())


def _look_for(
    messages: Sequence[Message], deps: Dependencies, budget: Budget, now: Callable[[], datetime]
) -> Generator[Counts, None, list[Message]]:
    """Ask about messages, write what the logs show, and return those that they do not know."""
    absent: list[Message] = []
    for asked, page in ask(messages, deps.client, budget):
        decisions = decide(asked, page, now(), deps.ledger.check_after)
        yield from _write(decisions, deps, now())
        absent += decisions.absent
    return absent


def ask(
    messages: Sequence[Message], client: OmniClient, budget: Budget
) -> Iterator[tuple[Sequence[Message], LogPage]]:
    """Ask the logs about messages, as far as the budget allows.

    Where an answer was cut, an absence means nothing; each half is then asked about by itself.

    Yields:
        The answers, each with the messages that it is about.
    """
    if not messages or not budget.allows_log_query:
        return
    budget.asked += 1
    ids = [message.id for message in messages]
    page = client.search_logs(message_ids=ids, limit=ROWS_PER_LOG_QUERY)
    if page.is_cut and len(messages) > 1:
        middle = len(messages) // 2
        yield from ask(messages[:middle], client, budget)
        yield from ask(messages[middle:], client, budget)
    else:
        yield messages, page


def _write(decisions: Decisions, deps: Dependencies, now: datetime) -> Iterator[Counts]:
    """Write what was decided, all of a kind at once."""
    ledger, check_after = deps.ledger, deps.ledger.check_after
    if decisions.verdicts:
        # Rows first: a message that is settled is not asked about again.
        deps.reports.record_logs(decisions.rows)
        settled = (transitions.settled(*verdict) for verdict in decisions.verdicts.items())
        yield _change("MessagesSettled", settled, ledger)
        if refusals := sum(refuses_account(row.parsed.status) for row in decisions.rows):
            yield {"AccountRefusals": refusals}
    accepted = (
        transitions.proven_accepted(message, Evidence.LOGS, now, check_after)
        for message in decisions.accepted
    )
    yield _change("MessagesAccepted", accepted, ledger)
    rejected = (transitions.rejected_as_duplicate(each, now) for each in decisions.duplicates)
    yield _change("MessagesRejected", rejected, ledger)
    unresolved = (transitions.left_unresolved(each, now) for each in decisions.unresolved)
    yield _change("MessagesUnresolved", unresolved, ledger)
    ledger.apply(
        [
            transitions.check_postponed(message, until, absent=False)
            for message, until in decisions.undecided
        ]
    )


def _give_up(message: Message, ledger: MessageLedger, now: datetime) -> Counts:
    """Decide about a message that the logs do not know."""
    # What the logs may have forgotten, they cannot be asked to disprove; and an id that was
    # refused would be refused again, and so on forever.
    hopeless = message.age(now) >= LOGS_REACH_BACK or message.was_refused_as_repeat
    if message.on_unknown == "must-arrive" and not hopeless:
        return _change("MessagesSentAgain", [transitions.sent_again(message, now)], ledger)
    return _change("MessagesQuarantined", [transitions.quarantined(message, now)], ledger)


def _change(metric: str, updates: Iterable[Update], ledger: MessageLedger) -> Counts:
    """Make changes, and count those that were made."""
    updates = list(updates)
    return {metric: ledger.apply(updates)} if updates else {}


def decide(
    messages: Iterable[Message], page: LogPage, now: datetime, check_after: timedelta
) -> Decisions:
    """Decide what becomes of the messages that a page of the logs was asked about."""
    rows: dict[str, list[RawEntry[LogEntry]]] = defaultdict(list)
    for row in page.rows:
        rows[row.parsed.message_id].append(row)
    decisions = Decisions()
    for message in messages:
        own, is_duplicate = _judge_rows(message, rows[message.id])
        judged = [row.parsed for row in own]
        verdict = verdict_of_logs(judged, message.last_step, now - check_after)
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


def _judge_rows(
    message: Message, rows: Sequence[RawEntry[LogEntry]]
) -> tuple[list[RawEntry[LogEntry]], bool]:
    """Return which rows prove that Infobip has a message, and whether its id is another's."""
    # That Infobip has refused a repeated id shows that it knows the id, not whose it is: only
    # a row for the very recipient is proof then. Else a row is, unless it is of another's.
    refused = message.was_refused_as_repeat
    proofs = [row for row in rows if row.parsed.status.id != DUPLICATE_MESSAGE_ID]
    foreign = [row for row in proofs if is_somebody_else(message.to, row.parsed.to)]
    own = [
        row
        for row in proofs
        if (is_recipient(message.to, row.parsed.to) if refused else row not in foreign)
    ]
    return own, refused and bool(proofs) and foreign == proofs


def _log_queries(messages: Iterable[Message]) -> list[list[Message]]:
    """Divide messages so that each group takes one call, and all their steps fit its answer."""
    groups: list[list[Message]] = []
    rows = length = 0
    for message in messages:
        steps = len(message.steps or ()) or _MOST_STEPS
        size = log_query_length(message.id)
        if (
            not groups
            or len(groups[-1]) >= IDS_PER_LOG_QUERY
            or rows + steps >= ROWS_PER_LOG_QUERY
            or length + size > LONGEST_LOG_QUERY
        ):
            groups.append([])
            rows = length = 0
        groups[-1].append(message)
        rows += steps
        length += size
    return groups


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = ReconcileMessagesSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(
        client=open_client(settings),
        ledger=storage.ledger,
        reports=DeliveryReports(storage.table, storage.ledger),
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Answer with the counts; nothing that Infobip or the table does raises."""
    reconciliation = reconcile_messages(dependencies(), time_left(context))
    logger.info("messages reconciled", extra=reconciliation.answer())
    count(reconciliation.metrics)
    return reconciliation.answer()
