"""Queries the message logs about sends of unknown outcome, and about messages without a report.

A row in the logs is proof. A single missing row proves nothing, because the logs lag behind. So a
message counts as unknown to Infobip only after three answered log queries, `ReconcileAfterSeconds`
apart, the last of which was for this message alone. Then it is quarantined, or returned to the
sender if its policy is `must-arrive`. This function never sends.

Two runs may overlap: every change is conditional on the message being as it was read.
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
from infobip_omni.recipients import is_another_recipient, is_recipient
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

    #: Counts of what was done, by the name of their metric.
    Counts = Mapping[str, int]

#: Infobip allows 120 log queries a minute, shared by overlapping runs and people.
LOG_QUERIES_PER_RUN = 100
IDS_PER_LOG_QUERY = 100
ROWS_PER_LOG_QUERY = 1000
MESSAGES_PER_SHARD = 1000
_MESSAGES_PER_READ = 100
#: The alarm only needs to know whether there are any; find_messages lists them all.
_MOST_COUNTED = 1000
#: The number of steps assumed for an unknown flow: there are ten channels.
_MOST_STEPS = 10
ABSENT_ANSWERS_NEEDED = 3
#: The longest time of one log query, and the time to write its answer.
_SECONDS_PER_LOG_QUERY = LONGEST_CALL_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    client: OmniClient
    ledger: MessageLedger
    reports: DeliveryReports


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions that follow from an answered log query; each message is in one group."""

    #: By message id.
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: The rows that prove the verdicts.
    rows: list[RawEntry[LogEntry]] = field(default_factory=list)
    #: Messages that were UNKNOWN and that Infobip has accepted.
    accepted: list[Message] = field(default_factory=list)
    #: Messages that Infobip refused because another system's message has their id.
    duplicates: list[Message] = field(default_factory=list)
    #: Accepted messages without a final row, which the logs will soon no longer hold.
    unresolved: list[Message] = field(default_factory=list)
    #: Messages that the answer does not decide, with the time of their next log query.
    undecided: list[tuple[Message, datetime]] = field(default_factory=list)
    #: Messages without a row in the logs.
    absent: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Budget:
    """The number of log queries and the time that a run has left."""

    seconds_left: Callable[[], float]
    log_queries: int = 0  #: the number of log queries made so far

    @property
    def allows_log_query(self) -> bool:
        """Whether another log query is allowed, and there is time for it."""
        has_time = self.seconds_left() >= _SECONDS_PER_LOG_QUERY
        return self.log_queries < LOG_QUERIES_PER_RUN and has_time


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of a run."""

    counts: Counts

    @property
    def metrics(self) -> dict[str, int]:
        """The counts of the run, by the name of their metric."""
        succeeded = "ReconciliationsFailed" not in self.counts
        return {**self.counts, "ReconciliationsSucceeded": succeeded}

    def answer(self) -> dict[str, int]:
        """Return the function's answer, as JSON."""
        return dict(self.counts)


def reconcile_messages(
    deps: Dependencies, seconds_left: Callable[[], float], now: Callable[[], datetime] = utc_now
) -> Reconciliation:
    """Process all messages that are due, while there is time.

    Args:
        deps: Infobip and the table.
        seconds_left: Returns how many seconds the run has left.
        now: Returns the current time.
    """
    counts: Counter[str] = Counter()
    budget = Budget(seconds_left)
    try:
        for done in _reconcile(deps, budget, now):
            counts.update(done)
    except (OmniError, ParameterUnavailableError) as error:
        # A log query without an answer does not count; its messages stay due.
        counts["ReconciliationsFailed"] += 1
        if isinstance(error, AuthenticationError):
            counts["AccountRefusals"] += 1
        logger.warning("the logs cannot be queried", reason=str(error))
    except TableUnavailableError as error:
        counts["ReconciliationsFailed"] += 1
        logger.error("the table is unavailable", reason=str(error))
    if budget.log_queries:
        counts["LogQueries"] = budget.log_queries
    return Reconciliation(counts)


def _reconcile(deps: Dependencies, budget: Budget, now: Callable[[], datetime]) -> Iterator[Counts]:
    """Reconcile step by step, and yield the counts of each step."""
    deps.reports.record_abandoned_pages()
    if quarantined := deps.ledger.count_quarantined(_MOST_COUNTED):
        yield {"MessagesInQuarantine": quarantined}
    to_query: list[Message] = []
    for due in in_batches(deps.ledger.due(MESSAGES_PER_SHARD), _MESSAGES_PER_READ):
        group = [message for message in due if isinstance(message, Message)]
        yield _log_unreadable(message for message in due if isinstance(message, UnreadableMessage))
        yield from _process_without_log_query(group, deps.ledger, now())
        to_query += [message for message in group if message.state is MessageState.UNKNOWN]
        to_query += [message for message in group if message.state is MessageState.ACCEPTED]
        # The last log query may have room for messages of the next group.
        *full, to_query = _log_queries(to_query) or [[]]
        for messages in full:
            if not budget.allows_log_query:
                return
            yield from _process(messages, deps, budget, now)
    yield from _process(to_query, deps, budget, now)


def _log_unreadable(messages: Iterable[UnreadableMessage]) -> Counts:
    ids = [message.id for message in messages]
    for message_id in ids:
        logger.error("a message cannot be read", message_id=message_id)
    return {"MessagesUnreadable": len(ids)} if ids else {}


def _process_without_log_query(
    messages: Iterable[Message], ledger: MessageLedger, now: datetime
) -> Iterator[Counts]:
    """Change the messages whose next state does not depend on the logs."""
    by_state: dict[MessageState, list[Message]] = defaultdict(list)
    for message in messages:
        by_state[message.state].append(message)
    yield _change(
        "LeasesExpired",
        (
            transitions.lease_expired(message, now, ledger.check_after)
            for message in by_state[MessageState.CLAIMED]
            if message.lease_has_ended(now)
        ),
        ledger,
    )
    waiting = by_state[MessageState.WAITING]
    yield _change("RecordsLost", map(transitions.record_lost, waiting), ledger)


def _process(
    messages: Sequence[Message], deps: Dependencies, budget: Budget, now: Callable[[], datetime]
) -> Iterator[Counts]:
    """Query the logs about messages, and apply what follows from the answer.

    Answers without a row for a message are counted; the third one decides, if its query was for
    this message alone.
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
    """Query the logs about messages, save what they show, and return the messages they lack."""
    absent: list[Message] = []
    for queried, page in query_logs(messages, deps.client, budget):
        decisions = decide(queried, page, now(), deps.ledger.check_after)
        yield from _write(decisions, deps, now())
        absent += decisions.absent
    return absent


def query_logs(
    messages: Sequence[Message], client: OmniClient, budget: Budget
) -> Iterator[tuple[Sequence[Message], LogPage]]:
    """Query the logs about messages, as far as the budget allows.

    In a truncated answer a missing row means nothing, so each half is then queried separately.

    Args:
        messages: The messages.
        client: Infobip.
        budget: The log queries and the time left; this counts the queries that it makes.

    Yields:
        The messages of each query, and its answer.

    Raises:
        OmniError: Infobip did not answer.
        ParameterUnavailableError: The credentials could not be read.
    """
    if not messages or not budget.allows_log_query:
        return
    budget.log_queries += 1
    ids = [message.id for message in messages]
    page = client.search_logs(message_ids=ids, limit=ROWS_PER_LOG_QUERY)
    if page.is_cut and len(messages) > 1:
        middle = len(messages) // 2
        yield from query_logs(messages[:middle], client, budget)
        yield from query_logs(messages[middle:], client, budget)
    else:
        yield messages, page


def _write(decisions: Decisions, deps: Dependencies, now: datetime) -> Iterator[Counts]:
    """Write the decisions, one kind after the other."""
    ledger, check_after = deps.ledger, deps.ledger.check_after
    if decisions.verdicts:
        # Rows first, because a settled message is never queried again.
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
    """Quarantine a message that the logs lack, or let the sender send it again."""
    # Logs that may no longer hold the message are no proof; and an id that was refused once would
    # be refused forever.
    can_repeat = message.age(now) < LOGS_REACH_BACK and not message.was_refused_as_repeat
    if message.on_unknown == "must-arrive" and can_repeat:
        return _change("MessagesSentAgain", [transitions.sent_again(message, now)], ledger)
    return _change("MessagesQuarantined", [transitions.quarantined(message, now)], ledger)


def _change(metric: str, updates: Iterable[Update], ledger: MessageLedger) -> Counts:
    """Apply updates, and count those that were made."""
    updates = list(updates)
    return {metric: ledger.apply(updates)} if updates else {}


def decide(
    messages: Iterable[Message], page: LogPage, now: datetime, check_after: timedelta
) -> Decisions:
    """Decide the next state of each message of a log query.

    Args:
        messages: The messages of the query.
        page: The answer.
        now: The current time.
        check_after: How old an unsettled message must be before the logs are queried.
    """
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
    """Return the rows that prove acceptance, and whether the id belongs to another message."""
    # A refusal for a repeated id shows that Infobip knows the id, not whose message it is. Then
    # only a row that names the recipient counts as proof. Otherwise any row counts, unless it
    # names another recipient.
    refused = message.was_refused_as_repeat
    proofs = [row for row in rows if row.parsed.status.id != DUPLICATE_MESSAGE_ID]
    foreign = [row for row in proofs if is_another_recipient(message.to, row.parsed.to)]
    own = [
        row
        for row in proofs
        if (is_recipient(message.to, row.parsed.to) if refused else row not in foreign)
    ]
    return own, refused and bool(proofs) and foreign == proofs


def _log_queries(messages: Iterable[Message]) -> list[list[Message]]:
    """Group messages so that one call can query each group, and its answer can hold every step."""
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
    """Build the clients shared by all invocations of one execution environment."""
    settings = ReconcileMessagesSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(
        client=open_client(settings),
        ledger=storage.ledger,
        reports=DeliveryReports(storage.table, storage.ledger),
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Return the counts of the run; failures of Infobip or the table raise no error."""
    reconciliation = reconcile_messages(dependencies(), time_left(context))
    logger.info("messages reconciled", extra=reconciliation.answer())
    count(reconciliation.metrics)
    return reconciliation.answer()
