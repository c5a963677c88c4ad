"""Stands for SQS's poller, for Lambda and for the schedules.

It hands records to a few processes that run the functions, deletes those that were dealt with,
leaves the others invisible, and has a process replaced that was killed.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter, deque
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from multiprocessing.connection import wait
from queue import Empty
from typing import TYPE_CHECKING, Any

from infobip_omni.api.client import READ_SECONDS
from infobip_omni.api.sends import AdvancedRequest
from infobip_omni.message import MessageState

from .checker import Books, Breach, PageEnd, TakenPage
from .cloud import TEMPLATE, Cloud
from .controls import CONTROLS
from .harm import CRASH_POINTS, KILL, PARKED, PULL, RECEIVE, RECONCILE, SEND, STALL, Harm
from .plan import OUTAGE_AT, Plan
from .times import DIVISOR, OUTAGE, Deployment, push_minute
from .traffic import Traffic, foreign_body, foreign_ids
from .webhook import Webhook
from .worker import Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from .traffic import Event
    from .webhook import Call

Json = dict[str, Any]

_WORKERS = {SEND: 4, PULL: 2, PARKED: 1, RECEIVE: 2, RECONCILE: 2}
#: Of the senders, how many ask for reports to be pushed, as while the webhook is rolled out.
_SENDERS_WITH_WEBHOOK = 1
#: Seconds between two runs of the scheduled functions.
_SCHEDULES = {PULL: 0.5, PARKED: 0.5, RECONCILE: 0.7}
_OVERLAPS = 0.25
#: Of the batches, how many go to two senders at once, and how many are old ones once more.
_TWINS, _REDELIVERIES = 0.04, 0.04
_REMEMBERED_RECORDS = 200
#: How likely it is that a run comes to harm.
_LEAST_LIKELY, _LIKELIEST = 0.15, 0.6
_EVENTS_PER_FEED = 20
_EXTRA_FEED_SECONDS = 1.5
#: What an idle queue is asked again after, in seconds.
_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 10.0
#: What a control needs to be found out; a whole drain may never end for it.
_CONTROL_STORM_SECONDS, _CONTROL_DRAIN_SECONDS = 30.0, 20.0
#: Between two looks at whether it is over.
_LOOK_SECONDS = 0.5
_SIMULATOR_OPTIONS = ("--step-seconds", "0.3", "--report-delay", "0.2")
_SILENT_STEP_SECONDS = 5.0


@dataclass(slots=True)
class Worker:
    """A process, and what it is doing."""

    function: str
    #: Among those of its function.
    number: int
    connection: Connection
    #: None until it says that it is there.
    process_id: int | None = None
    records: list[Json] | None = None
    #: The records are still the queue's; not those of a redelivery.
    owns_records: bool = True
    orders: list[tuple[Harm, ...]] = field(default_factory=list)
    fired: set[Harm] = field(default_factory=set)
    busy: bool = False
    #: What waits for the answer.
    call: Call | None = None
    #: The page of reports that the run has received last.
    page: TakenPage | None = None
    deadline: float = 0.0
    #: When a process that stands still goes on.
    resumes_at: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a run."""

    #: How many messages are queued at least.
    messages: int
    #: What decides about all that chance decides about.
    seed: int
    #: By how much times are divided.
    divisor: float = DIVISOR
    #: A weakened system, which must not pass.
    control: str | None = None
    #: For how many seconds of production Infobip hands out neither reports nor logs; for the second
    #: half of them it takes no messages either.
    outage: float = OUTAGE
    #: For how many seconds the faults go on for the sake of rare crash points.
    patience: float = 120.0


@dataclass(slots=True)
class Outcome:
    """What a run has led to."""

    seconds: float
    #: From the last fault to the last verdict.
    drain_seconds: float
    fired: Counter[str]
    #: The crash points that no run has come to.
    points_left: list[str]
    books: Books
    breaches: list[Breach]


class Driver:
    """One run.

    Args:
        terms: What is asked of it.
        directory: Where the processes print to.
        say: Takes a line now and then about how it goes.
    """

    def __init__(self, terms: Terms, directory: Path, say: Callable[[str], None]) -> None:
        self._terms = terms
        self._control = CONTROLS[terms.control] if terms.control else None
        self._ends_early = self._control is not None and self._control.shows_early
        self._say = say
        self._directory = directory
        self._chance = random.Random(f"driver {terms.seed}")
        self._deployment = Deployment.of(TEMPLATE).divided(terms.divisor)
        self._plan = Plan(terms.seed, terms.messages, self._deployment)
        if self._control:
            self._plan.put_first(self._control.orders)
        self._turns = deque(self._plan.turns)
        self._events: list[Event] = []
        self._fired: Counter[str] = Counter()
        self._workers: list[Worker] = []
        self._acknowledged: deque[Json] = deque(maxlen=_REMEMBERED_RECORDS)
        self._acknowledged_ids: set[str] = set()
        self._next_poll = 0.0
        self._hungry = True
        self._next_feed = self._next_word = 0.0
        self._dead_letters: list[tuple[str, str]] = []
        self._pages: list[TakenPage] = []
        self._pulls_cut = 0
        self._outage = self._go_through_outage()
        self._outage_goes_on_at: float | None = None
        self._raised: list[str] = []
        self._next_run = dict.fromkeys(_SCHEDULES, 0.0)
        self._stormy = True
        self._timeouts = {
            SEND: self._deployment.sender_timeout,
            PULL: self._deployment.puller_timeout,
            PARKED: self._deployment.recorder_timeout,
            RECEIVE: self._deployment.receiver_timeout,
            RECONCILE: self._deployment.reconciler_timeout,
        }

    def run(self) -> Outcome:
        """Let it storm, let it drain, and check."""
        with ExitStack() as exits:
            self._webhook = exits.enter_context(closing(Webhook()))
            self._cloud = exits.enter_context(
                Cloud(self._deployment, _SIMULATOR_OPTIONS, self._webhook.url)
            )
            nursery = Nursery(
                self._directory,
                self._cloud.emulator.process_group,
                self._cloud.environment,
                self._terms.divisor,
                self._terms.control,
            )
            self._nursery = exits.enter_context(closing(nursery))
            exits.callback(self._stop_workers)
            self._prepare()
            begun = time.monotonic()
            self._storm()
            calm = time.monotonic()
            self._stormy = False
            self._fired += self._simulator_faults()
            self._cloud.simulator.clear_faults()
            is_drained = self._drain()
            ended = time.monotonic()
            books = self._books()
        return Outcome(
            seconds=ended - begun,
            drain_seconds=ended - calm,
            fired=self._fired,
            points_left=self._points_left(),
            books=books,
            breaches=self._breaches(books, is_drained=is_drained),
        )

    def _breaches(self, books: Books, *, is_drained: bool) -> list[Breach]:
        breaches = [Breach("P2", f"a function has raised {error}") for error in self._raised]
        if not is_drained:
            breaches.append(Breach("P2", "not everything has got a verdict in time"))
        breaches += books.breaches()
        # A run that was stopped as soon as it was found out might still have mended the rest.
        return [each for each in breaches if each.is_final or not self._ends_early]

    # --- The run -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        simulator = self._cloud.simulator
        # The run asks far more often than production does.
        simulator.change_settings(
            throttles={"search_logs": 0},
            defaultValiditySeconds=_SILENT_STEP_SECONDS,
            pushMinuteSeconds=push_minute(self._terms.divisor),
        )
        foreign = foreign_ids(self._terms.seed, self._terms.messages)
        for message_id in foreign:
            self._send_for_somebody_else(message_id)
        self._foreign_ids = frozenset(foreign)
        self._traffic = Traffic(self._terms.seed, self._cloud.scenario_key, foreign)
        self._workers = [
            self._start(function, number)
            for function, count in _WORKERS.items()
            for number in range(count)
        ]
        for operation, kind in self._control.faults if self._control else ():
            simulator.add_fault(operation, kind, times=0)
        self._plan.begin(simulator, READ_SECONDS / self._terms.divisor)

    def _storm(self) -> None:
        """Queue everything, and go on until all harm was done, or is not going to be."""
        while self._traffic.messages < self._terms.messages:
            self._turn()
            self._step()
        self._turn()
        while self._outage_lasts():
            self._step()
        patience = _CONTROL_STORM_SECONDS if self._ends_early else self._terms.patience
        deadline = time.monotonic() + patience
        next_provocation = 0.0
        while time.monotonic() < deadline and not self._has_stormed_enough():
            if time.monotonic() >= next_provocation:
                next_provocation = time.monotonic() + _EXTRA_FEED_SECONDS
                self._plan.provoke(self._cloud.simulator, self._points_left())
            next_look = time.monotonic() + _LOOK_SECONDS
            while time.monotonic() < next_look:
                self._step()

    def _has_stormed_enough(self) -> bool:
        if self._ends_early:
            return self._is_found_out()
        return not self._points_left()

    def _drain(self) -> bool:
        """Wait until nothing is left to be done."""
        patience = _CONTROL_DRAIN_SECONDS if self._ends_early else 90.0 + self._terms.messages / 50
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            next_look = time.monotonic() + _LOOK_SECONDS
            while time.monotonic() < next_look:
                self._step()
            if self._is_drained() or (self._ends_early and self._is_found_out()):
                return True
        return False

    def _step(self) -> None:
        self._tell_progress()
        self._feed()
        self._deliver()
        self._run_schedules()
        self._pass_calls_on()
        if self._outage_lasts():
            self._break_down()
        self._listen(0.01)
        self._look_after_workers()

    def _tell_progress(self) -> None:
        if time.monotonic() < self._next_word:
            return
        self._next_word = time.monotonic() + _PROGRESS_SECONDS
        left = self._cloud.records_left()
        what = "" if self._stormy else "; no more faults"
        self._say(
            f"{self._traffic.messages} messages queued, {left} records left,"
            f" {len(self._points_left())} crash points to come{what}"
        )

    def _turn(self) -> None:
        """Let Infobip change its ways when it is time to."""
        while self._turns and self._turns[0].at * self._terms.messages <= self._traffic.messages:
            turn = self._turns.popleft()
            if turn.settings:
                bare = self._control.settings if self._control else {}
                self._cloud.simulator.change_settings(**turn.settings | bare)
            if turn.burst:
                kind, calls = turn.burst
                self._cloud.simulator.add_fault("send_advanced", kind, times=calls)

    def _outage_lasts(self) -> bool:
        """Tell whether the outage has begun and is not over."""
        if self._control or not self._terms.outage or self._outage_goes_on_at == math.inf:
            return False
        return self._traffic.messages >= OUTAGE_AT * self._terms.messages

    def _break_down(self) -> None:
        """Go on with the outage when it is time to."""
        if self._outage_goes_on_at is None or time.monotonic() >= self._outage_goes_on_at:
            self._outage_goes_on_at = next(self._outage, math.inf)

    def _go_through_outage(self) -> Iterator[float]:
        """Let Infobip fail, and yield when it is to fail worse, and when it is to recover."""
        simulator = self._cloud.simulator
        half = self._terms.outage / self._terms.divisor / 2
        begun = time.monotonic()
        faults = []
        for moment, operations in (
            (begun + half, ("take_reports", "search_logs")),
            (begun + 2 * half, ("send_advanced",)),
        ):
            faults += [
                simulator.add_fault(operation, "error_before", times=0, status=503)
                for operation in operations
            ]
            yield moment
        for fault in faults:
            simulator.end_fault(fault)
        self._fired[f"Infobip: outage of {self._terms.outage / 60:g} minutes"] += 1

    def _is_drained(self) -> bool:
        if self._cloud.records_left() or any(worker.busy for worker in self._workers):
            return False
        if self._cloud.simulator.totals()["reportsPending"] or self._cloud.pages_left():
            return False
        waiting = MessageState.WAITING
        # A message may wait for ever when another one of its record was a conflict.
        return all(
            self._cloud.message(message_id)["state"] == waiting
            for message_id in self._cloud.unsettled()
        )

    def _is_found_out(self) -> bool:
        """Tell whether a control has broken its promise for good already."""
        promise = self._control.promise if self._control else ""
        return any(each.is_final and each.promise == promise for each in self._books().breaches())

    def _books(self) -> Books:
        self._dead_letters += self._cloud.dead_letters()
        return Books(
            events=self._events,
            foreign_ids=self._foreign_ids,
            items=list(self._cloud.items()),
            truth=self._cloud.truth(),
            dead_letters=self._dead_letters,
            acknowledged=self._acknowledged_ids,
            records_left=self._cloud.records_left(),
            outputs=sorted(path for path in self._directory.iterdir() if path.is_file()),
            pages=self._pages,
            pulls_cut=self._pulls_cut,
        )

    # --- Upstream and SQS --------------------------------------------------------------------

    def _feed(self) -> None:
        """Queue more events when the senders have nothing to do."""
        if not (self._stormy and self._hungry) or time.monotonic() < self._next_feed:
            return
        is_extra = self._traffic.messages >= self._terms.messages
        if is_extra and self._outage_lasts():
            return
        self._hungry = False
        events = [self._traffic.next() for _ in range(_EVENTS_PER_FEED)]
        if is_extra:
            # Some harm still waits for what leads to it.
            self._next_feed = time.monotonic() + _EXTRA_FEED_SECONDS
            events.append(self._traffic.foreign())
        for start in range(0, len(events), 10):
            batch = events[start : start + 10]
            ids = self._cloud.queue([event.body for event in batch])
            for event, record_id in zip(batch, ids, strict=True):
                event.queued_as(record_id)
        self._events += events

    def _deliver(self) -> None:
        """Hand records to senders that have nothing to do."""
        idle = self._idle(SEND)
        self._chance.shuffle(idle)
        while idle:
            worker = idle.pop()
            if self._stormy and self._acknowledged and self._chance.random() < _REDELIVERIES:
                size = min(len(self._acknowledged), self._chance.randint(1, 10))
                records = self._chance.sample(list(self._acknowledged), size)
                self._fired["redelivery of records that were dealt with"] += 1
                self._assign(worker, {"Records": records}, records, owns_records=False)
                continue
            if time.monotonic() < self._next_poll:
                return
            most = self._chance.choice((1, 3, 10, 10))
            records = self._cloud.receive(self._cloud.queue_url, most)
            if not records:
                self._hungry = True
                self._next_poll = time.monotonic() + _POLL_SECONDS
                return
            self._assign(worker, {"Records": records}, records)
            if self._stormy and idle and self._chance.random() < _TWINS:
                self._fired["two senders with the same records"] += 1
                self._assign(idle.pop(), {"Records": records}, records)

    def _run_schedules(self) -> None:
        for function, seconds in _SCHEDULES.items():
            if time.monotonic() < self._next_run[function]:
                continue
            self._next_run[function] = time.monotonic() + seconds
            overlaps = self._chance.random() < _OVERLAPS
            for worker in self._idle(function)[: 1 + overlaps]:
                if function != PARKED:
                    self._assign(worker, {}, None)
                elif records := self._cloud.receive(self._cloud.parking_url, 10):
                    self._assign(worker, {"Records": records}, records)

    def _pass_calls_on(self) -> None:
        """Hand calls to the webhook to functions that have nothing to do."""
        for worker in self._idle(RECEIVE):
            try:
                call = self._webhook.calls.get_nowait()
            except Empty:
                return
            worker.call = call
            self._assign(worker, call.event, None)

    def _take_answer(self, worker: Worker, answer: Json) -> None:
        """Delete what was dealt with, as Lambda does by the answer of a function."""
        if worker.call is not None:
            worker.call.answer(answer["statusCode"])
            worker.call = None
        if worker.function == PULL:
            self._pulls_cut += answer["stoppedBy"] == "OutcomeUnknown"
            if worker.page is not None and worker.page.end != PageEnd.SAFE and answer["lost"]:
                worker.page.end = PageEnd.NOWHERE
        if worker.records is None or not worker.owns_records:
            return
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        done = [record for record in worker.records if record["messageId"] not in kept]
        if worker.function == PARKED:
            self._cloud.acknowledge(self._cloud.parking_url, done)
            return
        self._cloud.acknowledge(self._cloud.queue_url, done)
        self._acknowledged.extend(done)
        self._acknowledged_ids.update(record["messageId"] for record in done)

    # --- Lambda ------------------------------------------------------------------------------

    def _start(self, function: str, number: int) -> Worker:
        output = self._directory / f"{function}-{number}"
        has_webhook = number < _SENDERS_WITH_WEBHOOK
        timeout = self._timeouts[function]
        connection = self._nursery.bear(function, timeout, output, has_webhook=has_webhook)
        return Worker(function, number, connection)

    def _idle(self, function: str) -> list[Worker]:
        return [
            worker
            for worker in self._workers
            if worker.function == function and worker.process_id and not worker.busy
        ]

    def _assign(
        self,
        worker: Worker,
        event: Json,
        records: list[Json] | None,
        *,
        owns_records: bool = True,
    ) -> None:
        worker.records, worker.owns_records = records, owns_records
        worker.orders = self._choose_orders(worker.function)
        worker.fired = set()
        worker.page = None
        worker.busy = True
        # What Lambda ends, it ends a little late.
        worker.deadline = time.monotonic() + self._timeouts[worker.function] + 0.1
        with suppress(BrokenPipeError):  # it has died meanwhile, and will be found dead
            harms = tuple(harm for order in worker.orders for harm in order)
            worker.connection.send((event, harms))

    def _choose_orders(self, function: str) -> list[tuple[Harm, ...]]:
        """Choose what is done to a run, so that all harm is done by the time all is queued."""
        if not self._stormy:
            return []
        batches_left = max(1.0, (self._terms.messages - self._traffic.messages) / 4)
        likely = 1.5 * self._plan.orders_left(function) / batches_left
        likely = min(_LIKELIEST, max(_LEAST_LIKELY, likely)) if function == SEND else _LIKELIEST
        if self._chance.random() > likely:
            return []
        return self._plan.take(function)

    def _listen(self, seconds: float) -> None:
        """Take what the processes say."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), seconds):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                while worker.connection.poll():
                    self._hear(worker, *worker.connection.recv())
            except (EOFError, ConnectionResetError):
                self._bury(worker)

    def _hear(self, worker: Worker, word: str, content: Any) -> None:  # noqa: ANN401 (by the word)
        if word == "ready":
            worker.process_id = content
        elif word == "raised":
            self._raised.append(content.splitlines()[-1])
        elif word == "page":
            worker.page = TakenPage(content)
            self._pages.append(worker.page)
        elif word == "safe":
            # What an earlier run has left behind is recorded before a page is taken.
            if worker.page is not None:
                worker.page.end = PageEnd.SAFE
        elif word == "fired":
            if content not in worker.fired:
                self._fired[f"{worker.function}: {content.name}"] += 1
            worker.fired.add(content)
            if content.kind == STALL:
                worker.resumes_at = time.monotonic() + self._deployment.claim + 0.5
        else:
            self._take_answer(worker, content)
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        worker.busy = False
        for order in worker.orders:
            if not worker.fired.issuperset(order):
                self._plan.give_back(worker.function, order)
        worker.orders = []

    def _bury(self, worker: Worker) -> None:
        """Start a process anew that has died; its records stay invisible."""
        worker.connection.close()
        if worker.call is not None:
            worker.call.answer(HTTPStatus.BAD_GATEWAY)
        if worker.function == PULL:
            self._pulls_cut += worker.busy
            if worker.page is not None and worker.page.end != PageEnd.SAFE:
                worker.page.end = PageEnd.RUN_DIED
        self._end(worker)
        self._workers[self._workers.index(worker)] = self._start(worker.function, worker.number)

    def _look_after_workers(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.process_id:
                continue
            if worker.resumes_at is not None:
                if now >= worker.resumes_at:
                    worker.resumes_at = None
                    worker.deadline = now + self._timeouts[worker.function]
                    _signal(worker.process_id, signal.SIGCONT)
            elif worker.busy and now > worker.deadline:
                self._fired[f"{worker.function}: timeout of the function"] += 1
                worker.deadline = math.inf
                _signal(worker.process_id, signal.SIGKILL)

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.connection.close()

    # --- Harm --------------------------------------------------------------------------------

    def _points_left(self) -> list[str]:
        """Name the crash points at which no run has been killed yet."""
        kills = {
            f"{function}: {Harm(KILL, point).name}"
            for function, points in CRASH_POINTS.items()
            for point in points
        }
        return sorted(kills - self._fired.keys())

    def _simulator_faults(self) -> Counter[str]:
        fired = self._cloud.simulator._call("GET", "faults")["fired"]  # noqa: SLF001 (counts)
        return Counter({f"Infobip: {kind}": count for kind, count in fired.items()})

    def _send_for_somebody_else(self, message_id: str) -> None:
        """Use a message id as another recipient's, whose reports come while the run lasts."""
        delay = self._chance.uniform(0, min(60.0, 5.0 + self._terms.messages / 100))
        send_at = datetime.now(UTC) + timedelta(seconds=delay)
        body = foreign_body(message_id, send_at) | {"scenarioKey": self._cloud.scenario_key}
        self._cloud.client.send_advanced(AdvancedRequest.model_validate(body))


def _signal(process_id: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process_id, number)
