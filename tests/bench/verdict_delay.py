"""`make bench ROW=verdict`: how long 10,000 overdue messages wait for their verdict.

The real reconciler runs on the default schedule, at its own rate of log queries, on a table and
logs in memory. The clock is virtual, so an hour takes seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from functions.reconcile_messages.app import Dependencies, reconcile_messages
from infobip_omni import log_queries
from infobip_omni.api.reports import LogEntry
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.log_query_limiter import LogQueryLimiter
from infobip_omni.message import MessageState
from infobip_omni.transitions import AttemptResult
from tests.fakes import Clock, FakeClient, FakeLedger, make_claim
from tests.local_world.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from infobip_omni.api.client import LogPage
    from tests.progress import Progress

MESSAGES = 10_000
_LEASE = timedelta(minutes=2)
_SCHEDULE = timedelta(minutes=5)
#: How long Infobip takes to answer a log query.
_ANSWER_SECONDS = 0.4
#: Messages of other traffic in each minute, which the logs show.
_OTHERS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class VerdictDelay:
    """How long messages of a kind waited for the last verdict, and the queries that it took."""

    title: str
    messages: int
    #: How many messages ended in each state.
    states: Counter[str]
    delay: timedelta
    queries: int
    queries_of_fullest_minute: int

    @property
    def queries_of_message(self) -> float:
        """How many queries it took for each message."""
        return self.queries / self.messages

    def described(self) -> list[str]:
        """Return the figures as lines."""
        each = f"{self.queries_of_message:.3f} for each message"
        in_a_minute = f"{self.queries_of_fullest_minute} in the fullest minute"
        ended = f"{self.messages} {self.title}: {dict(self.states)} after {self.delay}"
        return [f"{ended}; {self.queries} log queries, {in_a_minute}, {each}."]


class _Logs(FakeClient):
    """Logs that take their time, and count the queries of the last minute."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.times: list[float] = []
        self.by_id: dict[str, LogEntry] = {}
        self._clock = clock

    def add(self, message_id: str, **members: Any) -> None:  # noqa: ANN401 (of a row)
        row = {
            "messageId": message_id,
            "to": "385991234567",
            "channel": "SMS",
            "status": {"groupId": 3, "id": 5},
            "sentAt": self._clock.now.isoformat(),
            "doneAt": self._clock.now.isoformat(),
        }
        self.by_id[message_id] = LogEntry.model_validate(row | members)

    def search_logs(self, *, message_ids: Sequence[str], limit: int = 1000) -> LogPage:
        self.rows = [self.by_id[each] for each in message_ids if each in self.by_id]
        self._take_time()
        return super().search_logs(message_ids=message_ids, limit=limit)

    def newest_logs(self, *, until: datetime | None = None, limit: int = 1000) -> LogPage:
        self.rows = list(self.by_id.values())
        self._take_time()
        return super().newest_logs(until=until, limit=limit)

    def _take_time(self) -> None:
        self.times.append(self._clock.seconds())
        self._clock.pass_by(seconds=_ANSWER_SECONDS)

    def most_in_a_minute(self) -> int:
        """Return how many queries the fullest minute has had."""
        most = first = 0
        for index, time in enumerate(self.times):
            while self.times[first] <= time - 60:
                first += 1
            most = max(most, index - first + 1)
        return most


def measure(progress: Progress) -> Iterator[VerdictDelay]:
    """Yield the time until the last verdict, and the queries that it took, for each kind."""
    template = read_template()
    timeout = template["Resources"]["ReconcileMessagesFunction"]["Properties"]["Timeout"]
    log_queries.CONCURRENT_LOG_QUERIES = 1  # the clock of several threads would run too fast
    for title, state, is_known in (
        ("absent messages", MessageState.UNKNOWN, False),
        ("accepted messages whose reports were lost", MessageState.ACCEPTED, True),
    ):
        with progress.count(title, "messages with a verdict", MESSAGES):
            delay, logs, states = _reconcile(state, timeout, progress, is_known=is_known)
        yield VerdictDelay(title, MESSAGES, states, delay, len(logs.times), logs.most_in_a_minute())


def _reconcile(
    state: MessageState, timeout: float, progress: Progress, *, is_known: bool
) -> tuple[timedelta, _Logs, Counter[str]]:
    clock = Clock()
    ledger = FakeLedger(clock)
    logs = _Logs(clock)
    limiter = LogQueryLimiter(ledger.table, clock, lambda seconds: clock.pass_by(seconds=seconds))
    deps = Dependencies(logs, ledger, DeliveryReports(ledger.table, ledger, clock), limiter)
    _add_others(logs, 30)
    clock.pass_by(minutes=1)
    ids = [f"m-{number}" for number in range(MESSAGES)]
    statuses = ledger.claim([make_claim(each) for each in ids], _LEASE)
    ledger.save(
        [
            AttemptResult(message_id, status.token or "", state)
            for message_id, status in zip(ids, statuses, strict=True)
        ]
    )
    for message_id in ids if is_known else ():
        logs.add(message_id)
    began = tick = clock.now
    while state in ledger.states().values():
        tick += _SCHEDULE
        _add_others(logs, max(1, int((tick - clock.now) / timedelta(minutes=1))))
        clock.now = max(clock.now, tick)
        started = clock.now

        def seconds_left(started: datetime = started) -> float:
            return timeout - (clock.now - started).total_seconds()

        reconcile_messages(deps, seconds_left, clock)
        progress.update(sum(each != state for each in ledger.states().values()))
    return clock.now - began, logs, Counter(ledger.states().values())


def _add_others(logs: _Logs, minutes: int) -> None:
    """Add the rows of some minutes of other traffic."""
    for number in range(minutes * _OTHERS_PER_MINUTE):
        logs.add(f"other-{len(logs.by_id)}-{number}", status={"groupId": 1, "id": 7}, doneAt=None)
