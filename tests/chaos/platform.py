"""Stands for SQS's poller, for Lambda, for the schedules, and for the function URL.

It hands records, schedules and calls to worker processes that run the functions, deletes the
records that were dealt with and leaves the others invisible, ends runs that time out, and replaces
workers that died.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from multiprocessing.connection import wait
from queue import Empty
from typing import TYPE_CHECKING, Any

from .faults import PARKED, PULL, RECEIVE, RECONCILE, SEND, STALL, Fault
from .history import PageEnd, TakenPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from .cloud import Cloud
    from .fault_plan import FaultPlan, FaultSet
    from .webhook import Call, Webhook
    from .worker import WorkerPool

Json = dict[str, Any]

_WORKERS = {SEND: 4, PULL: 2, PARKED: 1, RECEIVE: 2, RECONCILE: 2}
#: Of the senders, how many ask for reports to be pushed, as while the webhook is rolled out.
_SENDERS_WITH_WEBHOOK = 1
#: Seconds between two runs of the scheduled functions.
_SCHEDULES = {PULL: 0.5, PARKED: 0.5, RECONCILE: 0.7}
#: How likely a second run of a scheduled function starts beside the first.
_OVERLAPS = 0.25
#: Of the batches, how many go to two senders at once, and how many are old ones once more.
_TWINS, _REDELIVERIES = 0.04, 0.04
_REMEMBERED_RECORDS = 200
_BATCH_SIZES = (1, 3, 10, 10)
#: Seconds until an empty queue is polled again.
_POLL_SECONDS = 0.05
#: Lambda ends a run a little later than it says.
_GRACE_SECONDS = 0.1
#: How long a step waits for workers that report, in seconds.
_LISTEN_SECONDS = 0.01
#: A stalled worker stands still for so much longer than a lease, in seconds.
_BEYOND_LEASE_SECONDS = 0.5


class WorkerState(Enum):
    """What a worker process is doing."""

    STARTING = auto()
    IDLE = auto()
    RUNNING = auto()
    #: A fault has stopped it; it goes on after its wake-up time.
    STALLED = auto()
    #: It has overrun the timeout, and was killed.
    TIMED_OUT = auto()


@dataclass(slots=True)
class Invocation:
    """One run of a function."""

    event: Json
    #: The records in the event that are deleted from their queue when the run has succeeded.
    records: list[Json] = field(default_factory=list)
    #: The call to the webhook that waits for the answer, if there is one.
    call: Call | None = None
    faults: list[FaultSet] = field(default_factory=list)
    fired: set[Fault] = field(default_factory=set)
    #: The pages of reports that the run has received.
    pages: list[TakenPage] = field(default_factory=list)


@dataclass(slots=True)
class Worker:
    """A process that runs a function, one invocation at a time."""

    function: str
    #: Among those of its function.
    number: int
    connection: Connection
    process_id: int = 0
    state: WorkerState = WorkerState.STARTING
    #: The present run, or the last one.
    invocation: Invocation = field(default_factory=lambda: Invocation({}))
    #: When a running worker has timed out, and when a stalled one goes on, in monotonic seconds.
    wakes_at: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether it has a run that has not ended."""
        return self.state not in (WorkerState.STARTING, WorkerState.IDLE)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it has not died."""
        with suppress(ProcessLookupError):
            os.kill(self.process_id, number)


@dataclass(slots=True)
class Observations:
    """What the platform has seen so far."""

    #: How often each fault has fired.
    fired: Counter[str] = field(default_factory=Counter)
    #: The last lines of the tracebacks of functions that raised.
    raised: list[str] = field(default_factory=list)
    #: The ids of the records of the send queue that were dealt with.
    acknowledged: set[str] = field(default_factory=set)
    #: What the pullers have received.
    pages: list[TakenPage] = field(default_factory=list)
    #: The id of the record, and the reason.
    dead_lettered: list[tuple[str, str]] = field(default_factory=list)
    #: How many pulls ended without an answer that they could use.
    pulls_cut: int = 0


class Lambda:
    """Runs functions in worker processes.

    Args:
        pool: Where the processes come from.
        directory: Where they print to.
        timeouts: Of the functions, in seconds.
        lease: How long a claim lasts, in seconds.
    """

    def __init__(
        self,
        pool: WorkerPool,
        directory: Path,
        timeouts: Mapping[str, float],
        lease: float,
    ) -> None:
        self._pool = pool
        self._directory = directory
        self._timeouts = timeouts
        self._lease = lease
        #: What the processes have reported, and what has become of what they did.
        self.seen = Observations()
        self._workers = [
            self._start(function, number)
            for function, count in _WORKERS.items()
            for number in range(count)
        ]

    @property
    def is_busy(self) -> bool:
        """Whether any function is running."""
        return any(worker.is_busy for worker in self._workers)

    def idle(self, function: str) -> list[Worker]:
        """Return the workers of a function that have nothing to do."""
        return [
            worker
            for worker in self._workers
            if worker.function == function and worker.state is WorkerState.IDLE
        ]

    def invoke(self, worker: Worker, invocation: Invocation) -> None:
        """Start a run on an idle worker."""
        worker.invocation = invocation
        worker.state = WorkerState.RUNNING
        worker.wakes_at = time.monotonic() + self._timeouts[worker.function] + _GRACE_SECONDS
        with suppress(BrokenPipeError):  # it has died meanwhile, and will be found dead
            faults = tuple(fault for chosen in invocation.faults for fault in chosen)
            worker.connection.send((invocation.event, faults))

    def listen(self, seconds: float) -> Iterator[tuple[Worker, Json]]:
        """Wait for what the workers report, and replace those that have died.

        Yields:
            Each worker whose run has ended, and the function's answer: an empty one if it died.
        """
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), seconds):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                while worker.connection.poll():
                    word, content = worker.connection.recv()
                    if word == "done":
                        worker.state = WorkerState.IDLE
                        yield worker, content
                    else:
                        self._note(worker, word, content)
            except (EOFError, ConnectionResetError):
                worker.connection.close()
                if worker.is_busy:
                    yield worker, {}
                self._replace_dead_worker(worker)

    def enforce_deadlines(self) -> None:
        """Kill the workers that overrun their timeouts; let those go on that have stood still."""
        now = time.monotonic()
        for worker in self._workers:
            if now < worker.wakes_at:
                continue
            if worker.state is WorkerState.STALLED:
                worker.state = WorkerState.RUNNING
                worker.wakes_at = now + self._timeouts[worker.function]
                worker.signal(signal.SIGCONT)
            elif worker.state is WorkerState.RUNNING:
                self.seen.fired[f"{worker.function}: timeout of the function"] += 1
                worker.state = WorkerState.TIMED_OUT
                worker.signal(signal.SIGKILL)

    def close(self) -> None:
        """End all workers, also those that stand still."""
        for worker in self._workers:
            worker.connection.close()
            if worker.process_id:
                worker.signal(signal.SIGKILL)

    def _start(self, function: str, number: int) -> Worker:
        connection = self._pool.spawn(
            function,
            self._timeouts[function],
            self._directory / f"{function}-{number}",
            has_webhook=number < _SENDERS_WITH_WEBHOOK,
        )
        return Worker(function, number, connection)

    def _replace_dead_worker(self, worker: Worker) -> None:
        self._workers[self._workers.index(worker)] = self._start(worker.function, worker.number)

    def _note(self, worker: Worker, word: str, content: Any) -> None:  # noqa: ANN401 (by the word)
        run = worker.invocation
        if word == "ready":
            worker.process_id, worker.state = content, WorkerState.IDLE
        elif word == "raised":
            self.seen.raised.append(content.splitlines()[-1])
        elif word == "page":
            run.pages.append(TakenPage(content))
            self.seen.pages.append(run.pages[-1])
        elif word == "safe":
            # What an earlier run has left behind is recorded before a page is taken.
            for page in run.pages[-1:]:
                page.end = PageEnd.SAFE
        elif word == "fired":
            self._note_fault(worker, content)

    def _note_fault(self, worker: Worker, fault: Fault) -> None:
        if fault not in worker.invocation.fired:
            self.seen.fired[f"{worker.function}: {fault.name}"] += 1
        worker.invocation.fired.add(fault)
        if fault.kind == STALL:
            worker.state = WorkerState.STALLED
            worker.wakes_at = time.monotonic() + self._lease + _BEYOND_LEASE_SECONDS


class Platform:
    """Feeds the functions from the queues, the schedules and the webhook.

    Args:
        cloud: The queues.
        webhook: Receives the calls of Infobip's.
        functions: Runs the functions.
        plan: Chooses the faults of each run.
        seed: Decides about all that is random here.
    """

    def __init__(
        self,
        cloud: Cloud,
        webhook: Webhook,
        functions: Lambda,
        plan: FaultPlan,
        seed: int,
    ) -> None:
        self._cloud = cloud
        self._webhook = webhook
        self._functions = functions
        self._plan = plan
        self._random = random.Random(f"platform {seed}")
        self._seen = functions.seen
        #: Whether runs get faults by chance, or only those that the plan has put first.
        self.injects_faults = False
        self._acknowledged: deque[Json] = deque(maxlen=_REMEMBERED_RECORDS)
        #: Whether the send queue had nothing to hand out when it was polled last.
        self.queue_was_empty = True
        self._queued = 0
        self._next_poll = 0.0
        self._next_runs = dict.fromkeys(_SCHEDULES, 0.0)

    def step(self, queued: int) -> None:
        """Do once all that is to be done.

        Args:
            queued: How many messages have been queued so far.
        """
        self._queued = queued
        self._deliver_records()
        self._run_schedules()
        self._pass_calls_on()
        self._end_runs()

    def finish_runs(self, seconds: float) -> bool:
        """Start no runs, and wait for those that go on; return whether all have ended in time."""
        ends_at = time.monotonic() + seconds
        while self._functions.is_busy and time.monotonic() < ends_at:
            self._end_runs()
        return not self._functions.is_busy

    # --- Starting runs -----------------------------------------------------------------------

    def _deliver_records(self) -> None:
        """Hand records to senders that have nothing to do."""
        idle = self._functions.idle(SEND)
        self._random.shuffle(idle)
        while idle:
            worker = idle.pop()
            if self.injects_faults and self._acknowledged and self._happens(_REDELIVERIES):
                self._redeliver(worker)
                continue
            if time.monotonic() < self._next_poll:
                return
            most = self._random.choice(_BATCH_SIZES)
            records = self._cloud.receive(self._cloud.queue_url, most)
            if not records:
                self.queue_was_empty = True
                self._next_poll = time.monotonic() + _POLL_SECONDS
                return
            self._invoke(worker, Invocation({"Records": records}, records))
            if self.injects_faults and idle and self._happens(_TWINS):
                self._seen.fired["two senders with the same records"] += 1
                self._invoke(idle.pop(), Invocation({"Records": records}, records))

    def _redeliver(self, worker: Worker) -> None:
        """Hand out records once more that were dealt with, as SQS may."""
        size = min(len(self._acknowledged), self._random.randint(1, 10))
        records = self._random.sample(list(self._acknowledged), size)
        self._seen.fired["redelivery of records that were dealt with"] += 1
        self._invoke(worker, Invocation({"Records": records}))

    def _run_schedules(self) -> None:
        for function, seconds in _SCHEDULES.items():
            if time.monotonic() < self._next_runs[function]:
                continue
            self._next_runs[function] = time.monotonic() + seconds
            overlaps = self._happens(_OVERLAPS)
            for worker in self._functions.idle(function)[: 1 + overlaps]:
                if function != PARKED:
                    self._invoke(worker, Invocation({}))
                elif records := self._cloud.receive(self._cloud.parking_url, 10):
                    self._invoke(worker, Invocation({"Records": records}, records))

    def _pass_calls_on(self) -> None:
        """Hand calls to the webhook to workers that have nothing to do."""
        for worker in self._functions.idle(RECEIVE):
            try:
                call = self._webhook.calls.get_nowait()
            except Empty:
                return
            self._invoke(worker, Invocation(call.event, call=call))

    def _invoke(self, worker: Worker, invocation: Invocation) -> None:
        function = worker.function
        if self.injects_faults:
            invocation.faults = self._plan.choose(function, self._queued)
        else:
            invocation.faults = self._plan.take_first(function)
        self._functions.invoke(worker, invocation)

    def _happens(self, likely: float) -> bool:
        return self._random.random() < likely

    # --- Ending runs -------------------------------------------------------------------------

    def _end_runs(self) -> None:
        for worker, answer in self._functions.listen(_LISTEN_SECONDS):
            self._end(worker, answer)
        self._functions.enforce_deadlines()

    def _end(self, worker: Worker, answer: Json) -> None:
        """Do what Lambda does by the answer of a function; a run that died has an empty one."""
        run = worker.invocation
        self._plan.give_back_unfired(worker.function, run.faults, run.fired)
        if run.call is not None:
            run.call.answer(answer.get("statusCode", HTTPStatus.BAD_GATEWAY))
        if worker.function == PULL:
            self._end_pull(run, answer)
        if answer and run.records:
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            self._acknowledge(
                worker.function, [each for each in run.records if each["messageId"] not in failed]
            )

    def _end_pull(self, run: Invocation, answer: Json) -> None:
        self._seen.pulls_cut += not answer or answer["stoppedBy"] == "OutcomeUnknown"
        for page in run.pages[-1:]:
            if page.end is PageEnd.SAFE:
                continue
            if not answer:
                page.end = PageEnd.RUN_DIED
            elif answer["lost"]:
                page.end = PageEnd.NOWHERE

    def _acknowledge(self, function: str, records: list[Json]) -> None:
        """Delete records that were dealt with."""
        if function == PARKED:
            self._cloud.acknowledge(self._cloud.parking_url, records)
            return
        self._cloud.acknowledge(self._cloud.queue_url, records)
        self._acknowledged.extend(records)
        self._seen.acknowledged.update(record["messageId"] for record in records)
