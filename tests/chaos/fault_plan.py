"""The plan of the faults of a run and when they fire, determined by its seed."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .faults import (
    CALLERS,
    CRASH_POINTS,
    KILL,
    PARKED,
    PARKING,
    PULL,
    QUEUE_KINDS,
    RECEIVE,
    RECONCILE,
    REFUSED,
    SEND,
    STALL,
    STALL_POINTS,
    TABLE_KINDS,
    TABLE_THROTTLES,
    Fault,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tests.local_world.simulator_control import SimulatorControl

    from .times import Deployment

#: For how many messages each function gets one kill at each point and one fault of each other kind.
_MESSAGES_PER_FAULT = {SEND: 500, PULL: 2500, PARKED: 5000, RECEIVE: 2500, RECONCILE: 2500}
#: Faults of single calls to the simulator and their probabilities: first those that fire after
#: Infobip has accepted the messages, then those that fire before.
_SEND_FAULTS = {
    "reset_after": 0.01,
    "error_after": 0.01,
    "hang_after": 0.006,
    "cut_answer": 0.01,
    "garbage_answer": 0.01,
    "empty_answer": 0.01,
    "incomplete_answer": 0.02,
    "malformed_entry": 0.01,
    "slow": 0.01,
    "reset_before": 0.02,
    "error_before": 0.01,
    "hang_before": 0.003,
    "unauthorized": 0.01,
    "forbidden": 0.005,
}
_REPORT_FAULTS = {
    "reset_after": 0.03,
    "error_after": 0.02,
    "hang_after": 0.01,
    "cut_answer": 0.05,
    "garbage_answer": 0.02,
    "duplicate_reports": 0.1,
    "shuffle_reports": 0.2,
    "malformed_entry": 0.1,
    "incomplete_answer": 0.05,
    "error_before": 0.03,
    "rate_limit": 0.03,
}
_LOG_FAULTS = {
    "reset_after": 0.03,
    "error_after": 0.02,
    "hang_after": 0.01,
    "cut_answer": 0.03,
    "garbage_answer": 0.03,
    "empty_answer": 0.03,
    "error_before": 0.03,
    "rate_limit": 0.03,
}
#: How long hanging and slow responses take, in read timeouts of the client.
_HANG, _SLOW = 2.5, 0.3
#: Bursts of faults on sends: the kind, and the number of calls.
_BURSTS = (("rate_limit", 40), ("error_before", 25), ("reset_before", 15), ("reset_after", 10))
_BURSTS_PER_KIND = 2
_KILLS_PER_RUN = 6
#: Only messages unknown to Infobip reach these crash points.
_ABSENT_MESSAGE_POINTS = ("absence count", "quarantine", "resend")
#: The probability that a run gets kills at rare points while any are left.
_RARE_PROBABILITY = 0.6
#: The range of the probability that a run gets a fault.
_MIN_PROBABILITY, _MAX_PROBABILITY = 0.15, 0.6
#: The last settings stay longest, until all crash points have been reached.
_LAST_SETTINGS = {
    "duplicateIds": "refuse",
    "logLagSeconds": 0.5,
    "reportDelaySeconds": 0.2,
    "intermediateStepReports": True,
    "pushedReports": "both",
}
#: The table responds when a pull looks for old pages, but not when the pull has a new one.
_TABLE_DOWN = (Fault(TABLE_THROTTLES, skip=1, times=100),)


#: Faults that one run gets together: the last one is the planned one, the others make the run reach
#: it.
FaultSet = tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A change of the simulator's settings once a share of all messages is queued."""

    #: The share of the messages, from 0 to 1.
    at: float
    settings: dict[str, Any]
    #: A kind of fault and the number of sends that it fires on.
    burst: tuple[str, int] | None = None


class FaultPlan:
    """The faults of a run.

    Args:
        seed: Determines every random choice.
        messages: The number of messages that the run queues.
        deployment: The times of the run.
    """

    def __init__(self, seed: int, messages: int, deployment: Deployment) -> None:
        self._random = random.Random(f"plan {seed}")
        self._messages = messages
        #: For each function, the planned faults that no run has got yet.
        self._planned = {function: deque(self._fault_sets(function)) for function in CRASH_POINTS}
        self._rare: dict[str, list[FaultSet]] = {function: [] for function in CRASH_POINTS}
        #: The faults for the very next runs.
        self._prioritized: dict[str, deque[FaultSet]] = {
            function: deque() for function in CRASH_POINTS
        }
        self._ever_prioritized: set[FaultSet] = set()
        self._setting_changes_left = deque(
            sorted(self._setting_changes(deployment), key=lambda change: change.at)
        )

    def begin(self, simulator: SimulatorControl, read_seconds: float) -> None:
        """Start to inject faults into single calls to Infobip.

        Args:
            simulator: The control of the simulator, which injects them.
            read_seconds: The read timeout of the client, in seconds.
        """
        for operation, faults in (
            ("send_advanced", _SEND_FAULTS),
            ("take_reports", _REPORT_FAULTS),
            ("search_logs", _LOG_FAULTS),
        ):
            for kind, probability in faults.items():
                simulator.add_fault(
                    operation,
                    kind,
                    times=0,
                    probability=probability,
                    seed=self._random.randrange(2**31),
                    seconds=read_seconds * (_SLOW if kind == "slow" else _HANG),
                )

    def setting_changes_due(self, queued: int) -> Iterator[SettingChange]:
        """Remove and yield the changes that are due once `queued` messages are queued."""
        changes = self._setting_changes_left
        while changes and changes[0].at * self._messages <= queued:
            yield changes.popleft()

    @property
    def has_prioritized(self) -> bool:
        """Whether a prioritized fault is left that no run has got."""
        return any(self._prioritized.values())

    def prioritize(self, faults: Iterable[tuple[str, Fault]]) -> None:
        """Plan faults for the very next runs, each for a different run of its function.

        A fault that does not fire in its run is planned for the next one.
        """
        for function, fault in faults:
            self._prioritized[function].append((fault,))
            self._ever_prioritized.add((fault,))

    def take_prioritized(self, function: str) -> list[FaultSet]:
        """Remove and return the next prioritized faults of a function, if there are any."""
        prioritized = self._prioritized[function]
        return [prioritized.popleft()] if prioritized else []

    def clear_prioritized(self) -> None:
        """Remove the prioritized faults, including those that runs have not fired yet."""
        for prioritized in self._prioritized.values():
            prioritized.clear()
        self._ever_prioritized.clear()

    def steer(self, simulator: SimulatorControl, points_left: Collection[str]) -> None:
        """Prefer faults that make runs reach the remaining crash points."""
        pulls = self._planned[PULL]
        if any(PARKED in point for point in points_left) and next(iter(pulls), None) != _TABLE_DOWN:
            pulls.appendleft(_TABLE_DOWN)
        for function, planned in self._planned.items():
            for due in [each for each in planned if f"{function}: {each[-1].name}" in points_left]:
                planned.remove(due)
                if len(due) > 1:
                    planned.appendleft(due)
                else:
                    self._replan(function, due)
            # A second kill at a point already reached would end the run before a rarer one.
            self._rare[function] = [
                kill
                for kill in self._rare[function]
                if f"{function}: {kill[-1].name}" in points_left
            ]
        if any("expired lease" in point for point in points_left):
            self._planned[SEND].append((Fault(KILL, "after claim"),))
        if any("proof" in point for point in points_left):
            simulator.add_fault("send_advanced", "reset_after", times=3)
        if any(point.endswith(_ABSENT_MESSAGE_POINTS) for point in points_left):
            simulator.add_fault("send_advanced", "reset_before", times=3)

    def choose(self, function: str, queued: int) -> list[FaultSet]:
        """Choose the faults of a run so that all have fired by the time all messages are queued.

        Args:
            function: The function that runs.
            queued: The number of messages queued so far.
        """
        if prioritized := self.take_prioritized(function):
            return prioritized
        probability = _MAX_PROBABILITY
        if function == SEND:
            batches_left = max(1.0, (self._messages - queued) / 4)
            left = len(self._planned[function]) + len(self._rare[function])
            probability = min(_MAX_PROBABILITY, max(_MIN_PROBABILITY, 1.5 * left / batches_left))
        return self._take(function) if self._random.random() <= probability else []

    def replan_unfired(self, function: str, chosen: Iterable[FaultSet], fired: set[Fault]) -> None:
        """Plan again the faults of a run that have not fired."""
        for faults in chosen:
            if not fired.issuperset(faults):
                self._replan(function, faults)

    def _take(self, function: str) -> list[FaultSet]:
        """Remove and return the next faults for a run, or several kills at rare points.

        Of several kills, the one fires whose point the run reaches first.
        """
        rare, planned = self._rare[function], self._planned[function]
        if rare and self._random.random() < _RARE_PROBABILITY:
            taken, self._rare[function] = rare[:_KILLS_PER_RUN], rare[_KILLS_PER_RUN:]
            return taken
        return [planned.popleft()] if planned else []

    def _replan(self, function: str, faults: FaultSet) -> None:
        *causes, last = faults
        if faults in self._ever_prioritized:
            self._prioritized[function].append(faults)
        elif causes or last.kind != KILL:
            self._planned[function].append(faults)
        else:
            self._rare[function].append((replace(last, skip=0),))

    def _fault_sets(self, function: str) -> Iterator[FaultSet]:
        copies = max(1, self._messages // _MESSAGES_PER_FAULT[function])
        single = [Fault(KILL, point) for point in CRASH_POINTS[function]]
        for kind in TABLE_KINDS:
            # Retries recover from a few failures; many outlast all retries.
            failures = (12,) if function == PARKED else (1, 3, 12)
            single += [Fault(kind, times=times) for times in failures]
        if function in CALLERS:
            single.append(Fault(REFUSED))
        if function == SEND:
            single += [Fault(kind, times=times) for kind in QUEUE_KINDS for times in (1, 2)]
            single += [Fault(STALL, point) for point in STALL_POINTS]
        planned = [_with_cause(fault) for fault in single] * copies
        if function == PULL:
            planned += [(*_TABLE_DOWN, Fault(kind)) for kind in QUEUE_KINDS] * copies
            planned += [_TABLE_DOWN] * (5 * copies)
        self._random.shuffle(planned)
        for faults in planned:
            first = faults[0]
            skip = self._random.choice((0, 0, 1, 2)) if len(faults) == 1 else first.skip
            yield (replace(first, skip=skip), *faults[1:])

    def _setting_changes(self, deployment: Deployment) -> Iterator[SettingChange]:
        for kind, calls in _BURSTS:
            for _ in range(_BURSTS_PER_KIND):
                length = max(3, min(calls, self._messages // 20))
                yield SettingChange(self._random.random(), {}, (kind, length))
        yield SettingChange(1.0, _LAST_SETTINGS)
        refuse_first = self._random.random() < 0.5
        for number in range(6):
            duplicates = "refuse" if refuse_first == (number % 2 == 0) else "send-twice"
            settings = self._settings(deployment)
            yield SettingChange(number / 6, {"duplicateIds": duplicates} | settings)

    def _settings(self, deployment: Deployment) -> dict[str, Any]:
        choose = self._random.choice
        return {
            # A row is in the logs well before the third log query.
            "logLagSeconds": choose((0.0, 0.5, 1.5 * deployment.reconcile_after)),
            # Late reports do not resolve a message whose sender was killed.
            "reportDelaySeconds": choose((0.2, 1.0, 1.5 * deployment.claim)),
            "intermediateStepReports": self._random.random() < 0.8,
            "pushedReports": choose(("both", "push-only")),
            "acceptedStatus": choose(("PENDING_ENROUTE", "PENDING_ACCEPTED", "MESSAGE_ACCEPTED")),
            "errorEnvelope": choose(("legacy", "E429")),
            "refusedIds": choose(("free", "used")),
        }


def _with_cause(fault: Fault) -> FaultSet:
    """Add the faults that make a run reach the point: only a failing table has pages parked."""
    return (*_TABLE_DOWN, fault) if fault.point.endswith(PARKING) else (fault,)
