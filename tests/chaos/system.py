"""The system under test and its surroundings, started for one run."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infobip_omni.api.client import READ_SECONDS
from infobip_omni.message import MessageState
from tests.fakes import advanced_request
from tests.local_world.template import read_template

from .cloud import Cloud, simulator
from .fault_plan import FaultPlan
from .faults import CRASH_POINTS, KILL, PARKED, PULL, RECEIVE, RECONCILE, SEND, Fault
from .history import History
from .mutants import MUTANTS, ORIGINAL, Mutant
from .platform import Lambda, Platform
from .times import DIVISOR, OUTAGE, Deployment, push_minute, throttle_minute
from .traffic import Traffic, Upstream, foreign_ids, foreign_requests
from .webhook import Webhook
from .worker import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local_world.aws_emulator import AwsEmulator
    from tests.local_world.simulator_control import SimulatorControl

_SIMULATOR_OPTIONS = ("--step-seconds", "0.3", "--report-delay", "0.2")
_SILENT_STEP_SECONDS = 5.0
#: Longer than every function timeout of a run.
_LONGEST_RUN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    #: The least number of messages to queue; for a mutant, in each round.
    messages: int
    #: Determines every random choice.
    seed: int
    #: Divides the times of production.
    divisor: float = DIVISOR
    #: The name of a mutant, which must fail; empty for the original system.
    mutant: str = ""
    #: For how many seconds of production Infobip returns neither reports nor logs. In the second
    #: half it accepts no messages either.
    outage: float = OUTAGE
    #: For how many more seconds faults are injected to reach rare crash points.
    coverage_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class System:
    """A running system and its surroundings."""

    options: Options
    mutant: Mutant
    cloud: Cloud
    functions: Lambda
    platform: Platform
    plan: FaultPlan
    upstream: Upstream
    foreign_ids: frozenset[str]
    #: The folder of the files that the functions print to.
    directory: Path

    @property
    def simulator(self) -> SimulatorControl:
        return self.cloud.simulator

    def step(self) -> None:
        """Start the runs that are due, and handle those that have ended."""
        self.platform.step(self.upstream.queued)

    def begin_faults(self) -> None:
        """Start to inject faults into runs and into calls to Infobip."""
        self.plan.begin(self.simulator, READ_SECONDS / self.options.divisor)
        self.platform.injects_faults = True
        self.begin_own_faults()

    def begin_own_faults(self) -> None:
        """Start to inject the faults that need the guard which the mutant lacks."""
        self.plan.prioritize(self.mutant.faults)
        for operation, kind, times in self.mutant.infobip_faults:
            self.simulator.add_fault(operation, kind, times=times)

    def end_faults(self) -> None:
        """Stop injecting faults."""
        self.platform.injects_faults = False
        self.plan.clear_prioritized()
        self.simulator.clear_faults()

    def fired(self) -> Counter[str]:
        """Return how often each fault has fired, in the functions and at Infobip."""
        at_infobip = self.simulator.faults_fired()
        return self.functions.observed.fired + Counter(
            {f"Infobip: {each}": n for each, n in at_infobip.items()}
        )

    def points_left(self) -> list[str]:
        """Return the names of the crash points at which no run has been killed yet."""
        kills = {
            f"{function}: {Fault(KILL, point).name}"
            for function, points in CRASH_POINTS.items()
            for point in points
        }
        return sorted(kills - self.functions.observed.fired.keys())

    def is_drained(self) -> bool:
        """Whether no work is left, so the state can no longer change.

        If no work seems to be left, wait for the runs in progress to end and look again: runs start
        so often that some are always in progress.
        """
        return (
            self._has_nothing_left()
            and self.platform.finish_runs(_LONGEST_RUN_SECONDS)
            and self._has_nothing_left()
        )

    def _has_nothing_left(self) -> bool:
        cloud = self.cloud
        if cloud.records_left():
            return False
        if self.simulator.totals()["reportsPending"] or cloud.pages_left():
            return False
        waiting = MessageState.WAITING
        # A message waits forever if another message of its record was a conflict.
        return all(
            cloud.message(message_id)["state"] == waiting for message_id in cloud.unsettled()
        )

    def history(self) -> History:
        """Return what is known now. The table is read last, since it must reflect the rest."""
        is_drained = self.is_drained()
        self.functions.observed.dead_lettered += self.cloud.dead_lettered_records()
        return History(
            is_drained=is_drained,
            records_left=self.cloud.records_left(),
            dead_lettered=tuple(self.functions.observed.dead_lettered),
            truth=self.cloud.truth(),
            items=tuple(self.cloud.items()),
            events=tuple(self.upstream.events),
            foreign_ids=self.foreign_ids,
            acknowledged=frozenset(self.functions.observed.acknowledged),
            pages=tuple(map(replace, self.functions.observed.pages)),
            interrupted_pulls=self.functions.observed.interrupted_pulls,
            raised=tuple(self.functions.observed.raised),
            outputs={
                path.name: path.read_text(errors="replace")
                for path in sorted(self.directory.iterdir())
                if path.is_file()
            },
        )


@contextmanager
def running(options: Options, emulator: AwsEmulator, directory: Path) -> Iterator[System]:
    """Run a system; it stops when the context ends.

    Args:
        options: The options of the run.
        emulator: A running emulator; other runs may share it.
        directory: The folder of the files that the functions print to.
    """
    deployment = Deployment.of(read_template()).divided(options.divisor)
    mutant = ORIGINAL
    if options.mutant:
        mutant = MUTANTS[options.mutant]
        deployment = deployment.with_early_redelivery()
    plan = FaultPlan(options.seed, options.messages, deployment)
    foreign = foreign_ids(options.seed, options.messages)
    with closing(Webhook()) as webhook, simulator(emulator, *_SIMULATOR_OPTIONS) as control:
        cloud = Cloud(emulator, control, deployment, webhook.url)
        _prepare_infobip(options, cloud, foreign)
        with (
            closing(_pool(options, emulator, cloud, directory)) as pool,
            closing(Lambda(pool, directory, _timeouts(deployment), deployment.claim)) as functions,
        ):
            yield System(
                options=options,
                mutant=mutant,
                cloud=cloud,
                functions=functions,
                platform=Platform(cloud, webhook, functions, plan, options.seed),
                plan=plan,
                upstream=Upstream(Traffic(options.seed, cloud.scenario_key, foreign), cloud),
                foreign_ids=frozenset(foreign),
                directory=directory,
            )


def _pool(options: Options, emulator: AwsEmulator, cloud: Cloud, directory: Path) -> WorkerPool:
    group, environment = emulator.process_group, cloud.environment
    return WorkerPool(directory, group, environment, options.divisor, options.mutant)


def _timeouts(deployment: Deployment) -> dict[str, float]:
    return {
        SEND: deployment.sender_timeout,
        PULL: deployment.puller_timeout,
        PARKED: deployment.recorder_timeout,
        RECEIVE: deployment.receiver_timeout,
        RECONCILE: deployment.reconciler_timeout,
    }


def _prepare_infobip(options: Options, cloud: Cloud, foreign: list[str]) -> None:
    cloud.simulator.change_settings(
        throttleMinuteSeconds=throttle_minute(options.divisor),
        defaultValiditySeconds=_SILENT_STEP_SECONDS,
        pushMinuteSeconds=push_minute(options.divisor),
    )
    requests = foreign_requests(options.seed, options.messages, foreign, cloud.scenario_key)
    for request in requests:
        cloud.client.send_advanced(advanced_request(request))
