"""Queries the message logs about sends of unknown outcome, and about messages without a report.

A row in the logs is proof. A single missing row proves nothing: the logs lag behind, and how they
read a list of ids is not documented. So a message counts as unknown to Infobip only after
three answered queries, `ReconcileAfterSeconds` apart. The last of them is for this message alone,
or a list that proves that it was read, by the rules of `absence`. Then the message is quarantined,
or returned to the sender if its policy is `must-arrive`. This function never sends.

A run lasts as long as anything is due and it has time, at the rate of `LogQueryLimiter`. Two runs
may overlap: every change is conditional on the message being as it was read.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from infobip_omni import transitions
from infobip_omni.absence import (
    PROVABLE_FOR,
    VOID_ANSWERS_ALLOWED,
    Answer,
    Candidate,
    Doubt,
    Finding,
    LogQuery,
    Row,
    Witness,
    arrange,
    calibrated_by,
    calibration_ids,
    folded,
    judge,
)
from infobip_omni.api.client import LONGEST_LOG_QUERY, log_query_length
from infobip_omni.api.errors import AuthenticationError, OmniError
from infobip_omni.attempts import Bearing, bearing_of, is_about_earlier_attempt
from infobip_omni.aws import in_batches
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.log_queries import ROWS_PER_LOG_QUERY, Group, LogQueries
from infobip_omni.log_query_limiter import LogQueryLimiter
from infobip_omni.message import Evidence, Message, MessageState, UnreadableMessage
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.observability import count, logger, observed, time_left
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.recipients import is_another_recipient, is_recipient
from infobip_omni.settings import ReconcileMessagesSettings
from infobip_omni.statuses import is_duplicate, is_unlisted, refuses_account
from infobip_omni.timestamps import utc_now
from infobip_omni.verdicts import check_delay, verdict_of_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.absence import Calibration, Judgement
    from infobip_omni.api.client import LogPage, OmniClient
    from infobip_omni.api.reports import LogEntry, RawEntry
    from infobip_omni.dynamodb import Update
    from infobip_omni.verdicts import Verdict

    #: Counts of what was done, by the name of their metric.
    Counts = Mapping[str, int]

IDS_PER_LOG_QUERY = 100
#: How many messages a list between two witnesses holds.
_LAST_PER_LIST = IDS_PER_LOG_QUERY - 2
_MESSAGES_PER_READ = 100
#: The alarm only needs to know whether there are any; find_messages lists them all.
_MOST_COUNTED = 1000
#: The number of steps assumed for an unknown flow: there are ten channels.
_MOST_STEPS = 10
ABSENT_ANSWERS_NEEDED = 3
#: How long a run waits for one before it to end. Schedules are late by up to a minute.
_PATIENCE = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    client: OmniClient
    ledger: MessageLedger
    reports: DeliveryReports
    limiter: LogQueryLimiter


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """The rows of a message, by what they mean for it."""

    #: They prove that Infobip has accepted it.
    own: list[RawEntry[LogEntry]]
    #: They are about refused attempts, or may be, so they decide nothing.
    kept: list[RawEntry[LogEntry]]
    #: The id belongs to another message.
    is_foreign: bool
    #: Some of the kept ones may be about another attempt.
    is_undecided: bool


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions that follow from an answer of the logs; each message is in one of these."""

    #: By message id.
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: The messages of the verdicts, as they were read.
    settled: list[Message] = field(default_factory=list)
    #: The rows that prove the verdicts.
    rows: list[RawEntry[LogEntry]] = field(default_factory=list)
    #: Rows that change nothing, since they are about refused attempts, or may be.
    kept: list[RawEntry[LogEntry]] = field(default_factory=list)
    #: Messages that were UNKNOWN and that Infobip has accepted.
    accepted: list[Message] = field(default_factory=list)
    #: Refused, since another message has their id.
    duplicates: list[Message] = field(default_factory=list)
    #: Accepted messages without a final row, which the logs will soon no longer hold.
    unresolved: list[Message] = field(default_factory=list)
    #: With the time of the next log query, since the answer says nothing of them.
    undecided: list[tuple[Message, datetime]] = field(default_factory=list)
    #: Absent from the answer, and from fewer answers before than it takes to decide.
    absent: list[Message] = field(default_factory=list)
    #: Absent for the last time: given up, or sent again.
    given_up: list[Message] = field(default_factory=list)
    #: Absent from a list that does not even count, or not as the last one: to be asked about again.
    unproven: list[Message] = field(default_factory=list)
    #: Ids of absent messages of which the answer has a row that decides nothing.
    doubtful: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of a run."""

    counts: Counts

    @property
    def metrics(self) -> dict[str, int]:
        """The counts, and whether the run has succeeded."""
        succeeded = "ReconciliationsFailed" not in self.counts
        return {**self.counts, "ReconciliationsSucceeded": succeeded}

    def answer(self) -> dict[str, int]:
        """Return the counts for the caller of the function."""
        return dict(self.counts)


def reconcile_messages(
    deps: Dependencies, seconds_left: Callable[[], float], now: Callable[[], datetime] = utc_now
) -> Reconciliation:
    """Process all messages that are due, the longest overdue first, while there is time.

    Args:
        deps: Infobip and the table.
        seconds_left: Returns how many seconds the run has left.
        now: Returns the current time.
    """
    counts: Counter[str] = Counter()
    queries = LogQueries(deps.client, deps.limiter, seconds_left)
    try:
        if not deps.limiter.begin(_PATIENCE):
            logger.info("another run is at work")
            return Reconciliation(counts)
        try:
            _Run(deps, queries, counts, now).reconcile()
        finally:
            deps.limiter.end()
        if queries.asked > queries.answered == 0:
            counts["ReconciliationsFailed"] += 1
            logger.warning("the logs answer no query")
    except (OmniError, ParameterUnavailableError) as error:
        # A log query without an answer does not count; its messages stay due.
        counts["ReconciliationsFailed"] += 1
        if isinstance(error, AuthenticationError):
            counts["AccountRefusals"] += 1
        logger.warning("the logs cannot be queried", reason=str(error))
    except TableUnavailableError as error:
        counts["ReconciliationsFailed"] += 1
        logger.error("the table is unavailable", reason=str(error))
    if queries.asked:
        counts["LogQueries"] = queries.asked
    return Reconciliation(counts)


# --- A run -----------------------------------------------------------------------------------


class _Run:
    """One run: reads what is due, asks the logs, and writes what follows from their answers."""

    def __init__(
        self,
        deps: Dependencies,
        queries: LogQueries,
        counts: Counter[str],
        now: Callable[[], datetime],
    ) -> None:
        self._deps = deps
        self._queries = queries
        self._counts = counts
        self._now = now
        #: What the logs have shown in this run, by message id.
        self._witnesses: dict[str, Witness] = {}
        self._calibration: Calibration | None = None
        self._was_calibrated = False
        self._void_answers = 0

    def reconcile(self) -> None:
        """Deal with what is due, and count what was done."""
        self._deps.reports.record_abandoned_pages()
        if quarantined := self._deps.ledger.count_quarantined(_MOST_COUNTED):
            self._counts["MessagesInQuarantine"] = quarantined
        for group, page in self._queries.answers(self._groups()):
            self._handle(group, page)
        if self._queries.answered:
            # The logs answer other queries, so it is these messages that they cannot answer about.
            until = self._now() + self._deps.ledger.check_after
            self._deps.ledger.apply(
                [
                    transitions.check_postponed(message, until, absent=False)
                    for message in self._queries.unanswerable
                ]
            )

    def _groups(self) -> Iterator[Group]:
        """Read what is due, change what takes no logs, and yield what to ask about."""
        listed: list[Message] = []
        last: list[Message] = []
        for due in in_batches(self._deps.ledger.due(), _MESSAGES_PER_READ):
            self._counts.update(_log_unreadable(due))
            messages = [message for message in due if isinstance(message, Message)]
            self._process_without_log_query(messages)
            for message in messages:
                if message.state is MessageState.UNKNOWN and _is_last_query(message):
                    last.append(message)
                elif message.state in (MessageState.UNKNOWN, MessageState.ACCEPTED):
                    listed.append(message)
            *full, listed = divided(listed) or [[]]
            for messages in full:
                yield from self._listing(messages)
            while len(last) >= _LAST_PER_LIST:
                yield from self._proving(last[:_LAST_PER_LIST])
                del last[:_LAST_PER_LIST]
        yield from self._listing(listed)
        yield from self._proving(last)

    def _listing(self, messages: Sequence[Message]) -> list[Group]:
        """Divide messages among queries by which none of them is given up.

        Lists that the logs do not read are still good enough for accepted messages, since only
        their rows count.
        """
        alone: list[Message] = []
        if not self._are_lists_read:
            alone = [message for message in messages if message.state is MessageState.UNKNOWN]
            messages = [
                message for message in messages if message.state is not MessageState.UNKNOWN
            ]
        return [*map(_listed, divided(messages)), *(_listed([message]) for message in alone)]

    @property
    def _are_lists_read(self) -> bool:
        """Whether lists are still worth trying in this run."""
        return self._void_answers < VOID_ANSWERS_ALLOWED

    def _proving(self, messages: Sequence[Message]) -> list[Group]:
        """Divide messages among queries that can prove their absence."""
        now = self._now()
        candidates = list(map(_candidate, messages))
        if len(candidates) > 1 and self._are_lists_read:
            self._find_witnesses(candidates, now)
            self._calibrate(now)
        calibration = self._calibration if self._are_lists_read else None
        by_id = {message.id: message for message in messages}
        return [
            Group(tuple(by_id[candidate.id] for candidate in query.candidates), query)
            for query in arrange(candidates, list(self._witnesses.values()), calibration, now)
        ]

    def _find_witnesses(self, candidates: Sequence[Candidate], now: datetime) -> None:
        """See to it that the logs have shown messages that are older and younger than these."""
        oldest = min(candidates, key=lambda each: each.first_attempt_at)
        youngest = max(candidates, key=lambda each: each.due_at)
        if not any(each.is_younger_than(youngest) for each in self._fresh_witnesses(now)):
            self._note_witnesses({}, self._ask())
        if not any(each.is_older_than(oldest) for each in self._fresh_witnesses(now)):
            self._note_witnesses({}, self._ask(until=oldest.first_attempt_at))

    def _calibrate(self, now: datetime) -> None:
        """Find out once in a run how long a list of ids the logs read to its end."""
        if self._was_calibrated:
            return
        self._was_calibrated = True
        ids = calibration_ids(self._fresh_witnesses(now), IDS_PER_LOG_QUERY, LONGEST_LOG_QUERY)
        if ids:
            self._calibration = calibrated_by(ids, self._ask(ids))

    def _ask(self, ids: tuple[str, ...] = (), until: datetime | None = None) -> Answer:
        """Ask the logs, and wait for the answer; one that does not come is like a cut one."""
        page = self._queries.ask(ids, until)
        return Answer((), is_whole=False) if page is None else answer_of(page)

    def _fresh_witnesses(self, now: datetime) -> list[Witness]:
        return [each for each in self._witnesses.values() if now - each.earliest < PROVABLE_FOR]

    def _note_witnesses(self, claimed: Mapping[str, datetime], answer: Answer) -> None:
        """Remember the messages that an answer shows.

        Args:
            claimed: When messages were claimed, as far as they are of this table.
            answer: The answer.
        """
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in answer.rows:
            rows[row.id].append(row)
        for message_id, shown in rows.items():
            sent = [row.sent_at for row in shown if row.sent_at]
            if not sent:
                continue
            witness = Witness.shown(message_id, claimed.get(message_id, min(sent)), shown)
            if witness is not None:
                self._witnesses[message_id] = witness

    def _handle(self, group: Group, page: LogPage) -> None:
        """Write what follows from an answer."""
        now, ledger = self._now(), self._deps.ledger
        claimed = {message.id: message.claimed_at for message in group.messages}
        answer = answer_of(page)
        self._note_witnesses(claimed, answer)
        decisions = decide(group, page, answer, now, ledger.check_after)
        for written in _write(decisions, self._deps, now):
            self._counts.update(written)
        if decisions.unproven:
            self._void_answers += 1
            last = [message for message in decisions.unproven if _is_last_query(message)]
            others = [message for message in decisions.unproven if not _is_last_query(message)]
            self._queries.ask_again([*self._listing(others), *self._proving(last)])

    def _process_without_log_query(self, messages: Iterable[Message]) -> None:
        """Change the messages whose next state does not depend on the logs."""
        now, ledger = self._now(), self._deps.ledger
        by_state: dict[MessageState, list[Message]] = defaultdict(list)
        for message in messages:
            by_state[message.state].append(message)
        expired = (
            transitions.lease_expired(message, now, ledger.check_after)
            for message in by_state[MessageState.CLAIMED]
            if message.lease_has_ended(now)
        )
        self._counts.update(_change("LeasesExpired", expired, ledger))
        waiting = by_state[MessageState.WAITING]
        lost = map(transitions.record_lost, waiting)
        self._counts.update(_change("RecordsLost", lost, ledger))


def _is_last_query(message: Message) -> bool:
    """Whether the next answer decides, if the message is absent from it."""
    return message.absent_answers + 1 >= ABSENT_ANSWERS_NEEDED


def _candidate(message: Message) -> Candidate:
    return Candidate(
        message.id,
        first_attempt_at=message.first_unknown_attempt_at,
        over_at=message.unknown_at,
        send_at=message.send_at,
    )


def _listed(messages: Sequence[Message]) -> Group:
    """Ask about messages whose presence alone counts, or whose absence is not the last."""
    candidates = tuple(map(_candidate, messages))
    ids = tuple(message.id for message in messages)
    return Group(tuple(messages), LogQuery(ids, candidates))


def answer_of(page: LogPage) -> Answer:
    """Return what a page says about which messages are present."""
    rows = [Row(row.parsed.message_id, row.parsed.sent_at, row.parsed.done_at) for row in page.rows]
    return Answer((*rows, *map(Row, sorted(page.unread_ids))), page.is_whole)


def _log_unreadable(messages: Iterable[Message | UnreadableMessage]) -> Counts:
    """Name the messages that are due and cannot be read."""
    ids = [message.id for message in messages if isinstance(message, UnreadableMessage)]
    for message_id in ids:
        logger.error("a message cannot be read", message_id=message_id)
    return {"MessagesUnreadable": len(ids)} if ids else {}


# --- Writing ---------------------------------------------------------------------------------


def _write(decisions: Decisions, deps: Dependencies, now: datetime) -> Iterator[Counts]:
    """Write what was decided, each kind of it in one batch."""
    ledger, check_after = deps.ledger, deps.ledger.check_after
    if decisions.rows or decisions.kept:
        # Rows first, because a settled message is never queried again.
        deps.reports.record_logs([*decisions.rows, *decisions.kept])
    if decisions.verdicts:
        settled = (
            transitions.settled(each, decisions.verdicts[each.id]) for each in decisions.settled
        )
        yield _change("MessagesSettled", settled, ledger)
        statuses = [row.parsed.status for row in decisions.rows]
        yield {
            name: refusals
            for name, counts in (
                ("AccountRefusals", refuses_account),
                ("RefusalsUnlisted", is_unlisted),
            )
            if (refusals := sum(map(counts, statuses)))
        }
    accepted = (
        transitions.proven_accepted(message, Evidence.LOGS, now, check_after)
        for message in decisions.accepted
    )
    yield _change("MessagesAccepted", accepted, ledger)
    rejected = (transitions.rejected_as_duplicate(each, now) for each in decisions.duplicates)
    yield _change("MessagesRejected", rejected, ledger)
    unresolved = (transitions.left_unresolved(each, now) for each in decisions.unresolved)
    yield _change("MessagesUnresolved", unresolved, ledger)
    given_up: dict[str, list[Update]] = defaultdict(list)
    for message in decisions.given_up:
        metric, transition = _end_of(message, now, is_doubtful=message.id in decisions.doubtful)
        given_up[metric].append(transition(message, now))
    for metric, updates in given_up.items():
        yield _change(metric, updates, ledger)
    until = now + check_after
    ledger.apply(
        [
            *(
                transitions.check_postponed(
                    each, until, absent=True, is_undecided=each.id in decisions.doubtful
                )
                for each in decisions.absent
            ),
            *(transitions.check_postponed(*each, absent=False) for each in decisions.undecided),
        ]
    )


def _end_of(
    message: Message, now: datetime, *, is_doubtful: bool
) -> tuple[str, Callable[[Message, datetime], Update]]:
    """Return the metric and the transition of a message that the logs do not know."""
    if not is_doubtful and _may_be_sent_again(message, now):
        return "MessagesSentAgain", transitions.sent_again
    if _has_spent_its_id(message):
        return "IdsSpent", transitions.id_spent
    return "MessagesQuarantined", transitions.quarantined


def _may_be_sent_again(message: Message, now: datetime) -> bool:
    """Whether a message that the logs do not know is handed back to the sender."""
    # The logs may have forgotten an old message, and an id that was refused would be refused again.
    age = now - message.first_unknown_attempt_at
    hopeless = age >= PROVABLE_FOR or message.was_refused_as_repeat or message.has_undecided_row
    return message.on_unknown == "must-arrive" and not hopeless


def _has_spent_its_id(message: Message) -> bool:
    """Whether Infobip refuses the id for attempts that it has refused itself, so none was sent."""
    return (
        message.was_refused_as_repeat
        and bool(message.refused_bulk_ids)
        and not message.follows_unknown
    )


def _change(metric: str, updates: Iterable[Update], ledger: MessageLedger) -> Counts:
    """Apply updates, and count those that were made."""
    updates = list(updates)
    return {metric: ledger.apply(updates)} if updates else {}


# --- Decisions -------------------------------------------------------------------------------


def decide(
    group: Group, page: LogPage, answer: Answer, now: datetime, check_after: timedelta
) -> Decisions:
    """Decide what becomes of the messages that an answer of the logs is about.

    Args:
        group: The messages, and what was asked.
        page: The page of the logs.
        answer: What it says about which messages are present; see `answer_of`.
        now: When it came.
        check_after: How long after an answer the logs are asked again.
    """
    rows: dict[str, list[RawEntry[LogEntry]]] = defaultdict(list)
    for row in page.rows:
        rows[row.parsed.message_id].append(row)
    judgements = judge(group.query, answer, now)
    decisions = Decisions()
    for message in group.messages:
        judged = _judge_rows(message, rows[message.id])
        decisions.kept.extend(judged.kept)
        verdict = verdict_of_logs(
            [row.parsed for row in judged.own], message.last_step, now - check_after
        )
        if verdict is not None:
            decisions.verdicts[message.id] = verdict
            decisions.settled.append(message)
            decisions.rows.extend(judged.own)
        elif message.state is not MessageState.UNKNOWN:
            delay = check_delay(message.age(now), check_after)
            if delay is None:
                decisions.unresolved.append(message)
            else:
                decisions.undecided.append((message, now + delay))
        elif judged.own:
            decisions.accepted.append(message)
        elif judged.is_foreign:
            decisions.duplicates.append(message)
        elif message.id in page.unread_ids:
            decisions.undecided.append((message, now + check_after))
        else:
            decisions.doubtful.update([message.id] if judged.is_undecided else [])
            _decide_absent(
                decisions, message, group.query, judgements[message.id], now + check_after
            )
    return decisions


def _decide_absent(
    decisions: Decisions, message: Message, query: LogQuery, judgement: Judgement, until: datetime
) -> None:
    """Decide about an unknown message of which the answer has no row of its own."""
    # Rows of another recipient under its id, or of refused attempts, are no rows of this message.
    finding = replace(judgement, is_present=False).finding
    is_alone = len(query.ids) == 1
    if Doubt.TOO_EARLY in judgement.doubts or (is_alone and finding is Finding.VOID):
        decisions.undecided.append((message, until))
    elif finding is Finding.VOID:
        decisions.unproven.append(message)
    elif not _is_last_query(message):
        decisions.absent.append(message)
    elif finding is Finding.ABSENT or (is_alone and judgement.doubts == {Doubt.TOO_OLD}):
        decisions.given_up.append(message)
    else:
        decisions.unproven.append(message)


def _judge_rows(message: Message, rows: Sequence[RawEntry[LogEntry]]) -> JudgedRows:
    # A refusal for a repeated id shows that Infobip knows the id, not whose message it is. Then
    # only a row of an earlier attempt, or one that names the recipient, counts as proof. Otherwise
    # any row counts, unless it names another recipient.
    refused = message.was_refused_as_repeat
    bearings = [bearing_of(row.parsed, message) for row in rows]
    proofs, kept = [], []
    for row, bearing in zip(rows, bearings, strict=True):
        if bearing is not Bearing.COUNTS:
            kept.append(row)
        elif not is_duplicate(row.parsed.status):
            proofs.append(row)
    earlier = [row for row in proofs if refused and is_about_earlier_attempt(row.parsed, message)]
    foreign = [
        row
        for row in proofs
        if row not in earlier and is_another_recipient(message.to, row.parsed.to)
    ]
    own = [
        row
        for row in proofs
        if row in earlier
        or (is_recipient(message.to, row.parsed.to) if refused else row not in foreign)
    ]
    return JudgedRows(
        own,
        kept,
        is_foreign=refused and bool(proofs) and foreign == proofs,
        is_undecided=Bearing.UNDECIDED in bearings,
    )


def divided(messages: Iterable[Message]) -> list[list[Message]]:
    """Divide messages among lists whose ids fit one query, and whose rows fit its answer."""
    groups: list[list[Message]] = []
    rows = length = 0
    taken: set[str] = set()
    for message in messages:
        steps = len(message.steps or ()) or _MOST_STEPS
        size = log_query_length(message.id)
        if (
            not groups
            or len(groups[-1]) >= IDS_PER_LOG_QUERY
            or rows + steps >= ROWS_PER_LOG_QUERY
            or length + size > LONGEST_LOG_QUERY
            or folded(message.id) in taken
        ):
            groups.append([])
            rows = length = 0
            taken = set()
        groups[-1].append(message)
        rows += steps
        length += size
        taken.add(folded(message.id))
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
        limiter=LogQueryLimiter(storage.table),
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Return the counts of the run; failures of Infobip or the table raise no error."""
    reconciliation = reconcile_messages(dependencies(), time_left(context))
    logger.info("messages reconciled", extra=reconciliation.answer())
    count(reconciliation.metrics)
    return reconciliation.answer()
