"""The system under test with all that surrounds it, started for one run."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infobip_omni.api.client import READ_SECONDS
from infobip_omni.api.sends import AdvancedRequest
from infobip_omni.message import MessageState
from tests.local_world.template import read_template

from .cloud import Cloud, simulator
from .fault_plan import FaultPlan
from .faults import CRASH_POINTS, KILL, PARKED, PULL, RECEIVE, RECONCILE, SEND, Fault
from .history import History
from .mutants import MUTANTS, SOUND, Mutant
from .platform import Lambda, Platform
from .times import DIVISOR, OUTAGE, Deployment, push_minute
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
#: No timeout is longer in a run.
_LONGEST_RUN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a run."""

    #: How many messages are queued at least: by a mutant's run, in each of its rounds.
    messages: int
    #: Decides about all that is random.
    seed: int
    #: By how much times are divided.
    divisor: float = DIVISOR
    #: The name of a mutant, which must not pass; that of the sound system is empty.
    mutant: str = ""
    #: For how many seconds of production Infobip hands out neither reports nor logs; for the second
    #: half of them it takes no messages either.
    outage: float = OUTAGE
    #: For how many seconds the faults go on for the sake of rare crash points.
    patience: float = 120.0


@dataclass(frozen=True, slots=True)
class System:
    """A running system, and all that surrounds it."""

    options: Options
    mutant: Mutant
    cloud: Cloud
    functions: Lambda
    platform: Platform
    plan: FaultPlan
    upstream: Upstream
    foreign_ids: frozenset[str]
    #: Where the functions print to.
    directory: Path

    @property
    def simulator(self) -> SimulatorControl:
        """The control of Infobip's simulator."""
        return self.cloud.simulator

    def step(self) -> None:
        """Let the platform do once all that is to be done."""
        self.platform.step(self.upstream.queued)

    def begin_faults(self) -> None:
        """Let runs and calls to Infobip fail from now on."""
        self.plan.begin(self.simulator, READ_SECONDS / self.options.divisor)
        self.platform.injects_faults = True
        self.begin_own_faults()

    def begin_own_faults(self) -> None:
        """Let those fail that the mutant is found out by."""
        self.plan.put_first(self.mutant.faults)
        for operation, kind, times in self.mutant.infobip_faults:
            self.simulator.add_fault(operation, kind, times=times)

    def end_faults(self) -> None:
        """Let nothing fail any more."""
        self.platform.injects_faults = False
        self.plan.clear_first()
        self.simulator.clear_faults()

    def fired(self) -> Counter[str]:
        """Count how often each fault has fired, here and at Infobip."""
        at_infobip = self.simulator.faults_fired()
        return self.functions.seen.fired + Counter(
            {f"Infobip: {each}": n for each, n in at_infobip.items()}
        )

    def points_left(self) -> list[str]:
        """Name the crash points at which no run has been killed yet."""
        kills = {
            f"{function}: {Fault(KILL, point).name}"
            for function, points in CRASH_POINTS.items()
            for point in points
        }
        return sorted(kills - self.functions.seen.fired.keys())

    def is_drained(self) -> bool:
        """Whether nothing is left to be done, so that nothing can still change.

        If it seems so, this waits for the runs that go on: they start so often that some always do.
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
        # A message may wait forever when another one of its record was a conflict.
        return all(
            cloud.message(message_id)["state"] == waiting for message_id in cloud.unsettled()
        )

    def history(self) -> History:
        """Write down all that is known now; the table last, since it must show all the rest."""
        is_drained = self.is_drained()
        self.functions.seen.dead_lettered += self.cloud.dead_lettered_records()
        return History(
            is_drained=is_drained,
            records_left=self.cloud.records_left(),
            dead_lettered=tuple(self.functions.seen.dead_lettered),
            truth=self.cloud.truth(),
            items=tuple(self.cloud.items()),
            events=tuple(self.upstream.events),
            foreign_ids=self.foreign_ids,
            acknowledged=frozenset(self.functions.seen.acknowledged),
            pages=tuple(map(replace, self.functions.seen.pages)),
            pulls_cut=self.functions.seen.pulls_cut,
            raised=tuple(self.functions.seen.raised),
            outputs={
                path.name: path.read_text(errors="replace")
                for path in sorted(self.directory.iterdir())
                if path.is_file()
            },
        )


@contextmanager
def running(options: Options, emulator: AwsEmulator, directory: Path) -> Iterator[System]:
    """Run a system.

    Args:
        options: What is asked of it.
        emulator: A running one, which may be that of other runs as well.
        directory: Where the functions print to.
    """
    deployment = Deployment.of(read_template()).divided(options.divisor)
    mutant = SOUND
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
    # The run asks far more often than production does.
    cloud.simulator.change_settings(
        throttles={"search_logs": 0},
        defaultValiditySeconds=_SILENT_STEP_SECONDS,
        pushMinuteSeconds=push_minute(options.divisor),
    )
    requests = foreign_requests(options.seed, options.messages, foreign, cloud.scenario_key)
    for request in requests:
        cloud.client.send_advanced(AdvancedRequest.model_validate(request))
