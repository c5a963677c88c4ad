"""Emulates SQS polling, Lambda, the schedules and the function URL.

The platform delivers records, scheduled events and webhook calls to worker processes that run the
functions. It deletes the records that were processed, leaves failed ones invisible, kills runs that
time out, and replaces dead workers.
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
#: How many senders ask Infobip to push reports: the webhook is half rolled out.
_SENDERS_WITH_WEBHOOK = 1
#: Seconds between two runs of the scheduled functions.
_SCHEDULES = {PULL: 0.5, PARKED: 0.5, RECONCILE: 0.7}
#: How likely two runs of a scheduled function start concurrently.
_OVERLAPS = 0.25
#: The share of batches that go to two senders concurrently, and of those that SQS redelivers after
#: they were deleted.
_DUPLICATE_DELIVERIES, _REDELIVERIES = 0.04, 0.04
_REMEMBERED_RECORDS = 200
_BATCH_SIZES = (1, 3, 10, 10)
#: Seconds until an empty queue is polled again.
_POLL_SECONDS = 0.05
#: Lambda kills a run slightly after its deadline.
_GRACE_SECONDS = 0.1
#: How long a step waits for messages of the workers, in seconds.
_LISTEN_SECONDS = 0.01
#: How much longer than a lease a stalled worker is stopped, in seconds.
_BEYOND_LEASE_SECONDS = 0.5


class WorkerState(Enum):
    """The state of a worker process."""

    STARTING = auto()
    IDLE = auto()
    RUNNING = auto()
    #: A fault has stopped it; it is resumed at its deadline.
    STALLED = auto()
    #: It has exceeded the timeout and was killed.
    TIMED_OUT = auto()


@dataclass(slots=True)
class Invocation:
    """One run of a function."""

    event: Json
    #: The records of the event that are deleted from their queue if the run succeeds.
    records: list[Json] = field(default_factory=list)
    #: The webhook call that waits for the answer, if there is one.
    call: Call | None = None
    faults: list[FaultSet] = field(default_factory=list)
    fired: set[Fault] = field(default_factory=set)
    #: The pages of reports that the run has received.
    pages: list[TakenPage] = field(default_factory=list)


@dataclass(slots=True)
class Worker:
    """A process that runs a function, one invocation at a time."""

    function: str
    #: Its number among the workers of its function.
    number: int
    connection: Connection
    process_id: int = 0
    state: WorkerState = WorkerState.STARTING
    #: The current run, or the last one.
    invocation: Invocation = field(default_factory=lambda: Invocation({}))
    #: When a running worker times out or a stalled one is resumed, in monotonic seconds.
    deadline: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether it has a run that has not ended."""
        return self.state not in (WorkerState.STARTING, WorkerState.IDLE)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it still exists."""
        with suppress(ProcessLookupError):
            os.kill(self.process_id, number)


@dataclass(slots=True)
class Observations:
    """The platform's observations so far."""

    #: How often each fault has fired.
    fired: Counter[str] = field(default_factory=Counter)
    #: The last lines of the tracebacks of functions that raised.
    raised: list[str] = field(default_factory=list)
    #: The ids of the records that were deleted from the send queue.
    acknowledged: set[str] = field(default_factory=set)
    #: The pages that the pullers have received.
    pages: list[TakenPage] = field(default_factory=list)
    #: Pairs of record id and reason.
    dead_lettered: list[tuple[str, str]] = field(default_factory=list)
    #: How many pulls were killed, or ended without a usable response.
    interrupted_pulls: int = 0


class Lambda:
    """Runs functions in worker processes.

    Args:
        pool: Starts the processes.
        directory: The folder of the files that they print to.
        timeouts: The timeout of each function, in seconds.
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
        #: The observations of these processes, completed by the platform.
        self.observed = Observations()
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
        """Return the idle workers of a function."""
        return [
            worker
            for worker in self._workers
            if worker.function == function and worker.state is WorkerState.IDLE
        ]

    def invoke(self, worker: Worker, invocation: Invocation) -> None:
        """Start a run on an idle worker."""
        worker.invocation = invocation
        worker.state = WorkerState.RUNNING
        worker.deadline = time.monotonic() + self._timeouts[worker.function] + _GRACE_SECONDS
        with suppress(BrokenPipeError):  # it is dead, and `listen` will replace it
            faults = tuple(fault for chosen in invocation.faults for fault in chosen)
            worker.connection.send((invocation.event, faults))

    def listen(self, seconds: float) -> Iterator[tuple[Worker, Json]]:
        """Wait for messages of the workers, handle them, and replace dead workers.

        Yields:
            Each worker whose run has ended, and the answer of the function: empty if the run was
            killed or raised.
        """
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), seconds):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                while worker.connection.poll():
                    kind, content = worker.connection.recv()
                    if kind == "done":
                        worker.state = WorkerState.IDLE
                        yield worker, content
                    else:
                        self._handle_message(worker, kind, content)
            except (EOFError, ConnectionResetError):
                worker.connection.close()
                if worker.is_busy:
                    yield worker, {}
                self._replace_dead_worker(worker)

    def enforce_deadlines(self) -> None:
        """Kill the workers that exceed their timeouts, and resume stalled ones."""
        now = time.monotonic()
        for worker in self._workers:
            if now < worker.deadline:
                continue
            if worker.state is WorkerState.STALLED:
                worker.state = WorkerState.RUNNING
                worker.deadline = now + self._timeouts[worker.function]
                worker.signal(signal.SIGCONT)
            elif worker.state is WorkerState.RUNNING:
                self.observed.fired[f"{worker.function}: timeout of the function"] += 1
                worker.state = WorkerState.TIMED_OUT
                worker.signal(signal.SIGKILL)

    def close(self) -> None:
        """End all workers, including stalled ones."""
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

    def _handle_message(
        self,
        worker: Worker,
        kind: str,
        content: Any,  # noqa: ANN401 (depends on the kind)
    ) -> None:
        run = worker.invocation
        if kind == "ready":
            worker.process_id, worker.state = content, WorkerState.IDLE
        elif kind == "raised":
            self.observed.raised.append(content.splitlines()[-1])
        elif kind == "page":
            run.pages.append(TakenPage(content))
            self.observed.pages.append(run.pages[-1])
        elif kind == "safe":
            # Pages that an earlier run left behind are recorded before this run takes a page.
            for page in run.pages[-1:]:
                page.end = PageEnd.SAFE
        elif kind == "fired":
            self._handle_fired_fault(worker, content)

    def _handle_fired_fault(self, worker: Worker, fault: Fault) -> None:
        if fault not in worker.invocation.fired:
            self.observed.fired[f"{worker.function}: {fault.name}"] += 1
        worker.invocation.fired.add(fault)
        if fault.kind == STALL:
            worker.state = WorkerState.STALLED
            worker.deadline = time.monotonic() + self._lease + _BEYOND_LEASE_SECONDS


class Platform:
    """Feeds the functions from the queues, the schedules and the webhook.

    Args:
        cloud: The queues.
        webhook: Receives the calls of Infobip.
        functions: Runs the functions.
        plan: Chooses the faults of each run.
        seed: Determines the random choices of the platform.
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
        self._observed = functions.observed
        #: Whether runs get all planned faults, or only the prioritized ones.
        self.injects_faults = False
        self._acknowledged: deque[Json] = deque(maxlen=_REMEMBERED_RECORDS)
        #: Whether the last poll of the send queue returned no records.
        self.queue_was_empty = True
        self._queued = 0
        self._next_poll = 0.0
        self._next_runs = dict.fromkeys(_SCHEDULES, 0.0)

    def step(self, queued: int) -> None:
        """Start the runs that are due, and handle those that have ended.

        Args:
            queued: How many messages have been queued so far.
        """
        self._queued = queued
        self._deliver_records()
        self._run_schedules()
        self._deliver_calls()
        self._end_runs()

    def finish_runs(self, seconds: float) -> bool:
        """Wait for the runs in progress without starting new ones; return whether all ended."""
        ends_at = time.monotonic() + seconds
        while self._functions.is_busy and time.monotonic() < ends_at:
            self._end_runs()
        return not self._functions.is_busy

    # --- Starting runs -----------------------------------------------------------------------

    def _deliver_records(self) -> None:
        """Deliver records to idle senders."""
        idle = self._functions.idle(SEND)
        self._random.shuffle(idle)
        while idle:
            worker = idle.pop()
            if self.injects_faults and self._acknowledged and self._happens(_REDELIVERIES):
                self._redeliver(worker)
                continue
            if time.monotonic() < self._next_poll:
                return
            max_records = self._random.choice(_BATCH_SIZES)
            records = self._cloud.receive(self._cloud.queue_url, max_records)
            if not records:
                self.queue_was_empty = True
                self._next_poll = time.monotonic() + _POLL_SECONDS
                return
            self._invoke(worker, Invocation({"Records": records}, records))
            if self.injects_faults and idle and self._happens(_DUPLICATE_DELIVERIES):
                self._observed.fired["same records delivered to two senders"] += 1
                self._invoke(idle.pop(), Invocation({"Records": records}, records))

    def _redeliver(self, worker: Worker) -> None:
        """Deliver deleted records again, as SQS may."""
        size = min(len(self._acknowledged), self._random.randint(1, 10))
        records = self._random.sample(list(self._acknowledged), size)
        self._observed.fired["deleted records redelivered"] += 1
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

    def _deliver_calls(self) -> None:
        """Deliver webhook calls to idle workers."""
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
            invocation.faults = self._plan.take_prioritized(function)
        self._functions.invoke(worker, invocation)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    # --- Ending runs -------------------------------------------------------------------------

    def _end_runs(self) -> None:
        for worker, answer in self._functions.listen(_LISTEN_SECONDS):
            self._end(worker, answer)
        self._functions.enforce_deadlines()

    def _end(self, worker: Worker, answer: Json) -> None:
        """Handle the answer of a function as Lambda does; that of a killed run is empty."""
        run = worker.invocation
        self._plan.replan_unfired(worker.function, run.faults, run.fired)
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
        self._observed.interrupted_pulls += not answer or answer["stoppedBy"] == "OutcomeUnknown"
        for page in run.pages[-1:]:
            if page.end is PageEnd.SAFE:
                continue
            if not answer:
                page.end = PageEnd.RUN_KILLED
            elif answer["lost"]:
                page.end = PageEnd.NOT_STORED

    def _acknowledge(self, function: str, records: list[Json]) -> None:
        if function == PARKED:
            self._cloud.acknowledge(self._cloud.parking_url, records)
            return
        self._cloud.acknowledge(self._cloud.queue_url, records)
        self._acknowledged.extend(records)
        self._observed.acknowledged.update(record["messageId"] for record in records)
