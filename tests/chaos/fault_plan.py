"""Which faults a run injects, and when, decided by its seed."""

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

#: How many messages there are to one kill at each point, and to one fault of each other kind.
_MESSAGES_PER_FAULT = {SEND: 500, PULL: 2500, PARKED: 5000, RECEIVE: 2500, RECONCILE: 2500}
#: Faults of single calls at the simulator, and how likely: after acceptance, then before it.
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
#: How long a hang lasts, and a slow answer, in client read timeouts.
_HANG, _SLOW = 2.5, 0.3
#: Bursts on sends: the kind, and how many calls it lasts.
_BURSTS = (("rate_limit", 40), ("error_before", 25), ("reset_before", 15), ("reset_after", 10))
_BURSTS_PER_KIND = 2
_KILLS_PER_RUN = 6
#: The points that only messages reach that Infobip does not know.
_OF_ABSENT_MESSAGES = ("absence count", "quarantine", "second chance")
#: How often a run gets kills at rare points, if any are left.
_RARE = 0.6
#: How likely a run gets any fault.
_LEAST_LIKELY, _LIKELIEST = 0.15, 0.6
#: The last settings last longest, until all crash points were reached.
_LAST_SETTINGS = {
    "duplicateIds": "refuse",
    "logLagSeconds": 0.5,
    "reportDelaySeconds": 0.2,
    "intermediateStepReports": True,
    "pushedReports": "both",
}
#: The table is there when a pull looks for old pages, and is not when it has a new one.
_TABLE_DOWN = (Fault(TABLE_THROTTLES, skip=1, times=100),)


#: Faults that one run gets together: the last one counts, the others make the run come to it.
FaultSet = tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """Infobip behaves otherwise when a share of all messages has been queued."""

    at: float
    settings: dict[str, Any]
    #: A kind of fault, and how many sends it lasts.
    burst: tuple[str, int] | None = None


class FaultPlan:
    """All faults of a run.

    Args:
        seed: Decides about all that is random.
        messages: How many are queued.
        deployment: The times of the run.
    """

    def __init__(self, seed: int, messages: int, deployment: Deployment) -> None:
        self._random = random.Random(f"plan {seed}")
        self._messages = messages
        #: For each function, the faults that its runs are still to get.
        self._planned = {function: deque(self._fault_sets(function)) for function in CRASH_POINTS}
        self._rare: dict[str, list[FaultSet]] = {function: [] for function in CRASH_POINTS}
        #: Those that the very next runs are to get.
        self._first: dict[str, deque[FaultSet]] = {function: deque() for function in CRASH_POINTS}
        self._put_first: set[FaultSet] = set()
        self._setting_changes_left = deque(
            sorted(self._setting_changes(deployment), key=lambda change: change.at)
        )

    def begin(self, simulator: SimulatorControl, read_seconds: float) -> None:
        """Let single calls to Infobip fail from now on.

        Args:
            simulator: Fails the calls.
            read_seconds: How long the client waits for an answer.
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
        """Take the changes that are due when so many messages have been queued."""
        changes = self._setting_changes_left
        while changes and changes[0].at * self._messages <= queued:
            yield changes.popleft()

    @property
    def has_first(self) -> bool:
        """Whether faults that were put first are still to be given to a run."""
        return any(self._first.values())

    def put_first(self, faults: Iterable[tuple[str, Fault]]) -> None:
        """Give these faults to the very next runs of these functions, each to another run.

        A run that gives a fault no occasion passes it on to the next one.
        """
        for function, fault in faults:
            self._first[function].append((fault,))
            self._put_first.add((fault,))

    def take_first(self, function: str) -> list[FaultSet]:
        """Take the next of the faults that were put first for a function, if there is any."""
        first = self._first[function]
        return [first.popleft()] if first else []

    def clear_first(self) -> None:
        """Give the faults that were put first to no run any more."""
        for first in self._first.values():
            first.clear()
        self._put_first.clear()

    def steer(self, simulator: SimulatorControl, points_left: Collection[str]) -> None:
        """Put first what brings runs to the crash points that none has reached yet."""
        pulls = self._planned[PULL]
        if any(PARKED in point for point in points_left) and next(iter(pulls), None) != _TABLE_DOWN:
            pulls.appendleft(_TABLE_DOWN)
        for function, planned in self._planned.items():
            for due in [each for each in planned if f"{function}: {each[-1].name}" in points_left]:
                planned.remove(due)
                if len(due) > 1:
                    planned.appendleft(due)
                else:
                    self._give_back(function, due)
        if any("lost lease" in point for point in points_left):
            self._planned[SEND].append((Fault(KILL, "after claim"),))
        if any("proof" in point for point in points_left):
            simulator.add_fault("send_advanced", "reset_after", times=3)
        if any(point.endswith(_OF_ABSENT_MESSAGES) for point in points_left):
            simulator.add_fault("send_advanced", "reset_before", times=3)

    def choose(self, function: str, queued: int) -> list[FaultSet]:
        """Choose the faults of a run, so that all have fired by the time all messages are queued.

        Args:
            function: The function that runs.
            queued: How many messages have been queued so far.
        """
        if first := self.take_first(function):
            return first
        likely = _LIKELIEST
        if function == SEND:
            batches_left = max(1.0, (self._messages - queued) / 4)
            left = len(self._planned[function]) + len(self._rare[function])
            likely = min(_LIKELIEST, max(_LEAST_LIKELY, 1.5 * left / batches_left))
        return self._take(function) if self._random.random() <= likely else []

    def give_back_unfired(
        self, function: str, chosen: Iterable[FaultSet], fired: set[Fault]
    ) -> None:
        """Plan again the faults that a run has given no occasion for."""
        for faults in chosen:
            if not fired.issuperset(faults):
                self._give_back(function, faults)

    def _take(self, function: str) -> list[FaultSet]:
        """Take the next faults for a run, or several kills at rare points.

        Of those, the first that the run comes to is carried out.
        """
        rare, planned = self._rare[function], self._planned[function]
        if rare and self._random.random() < _RARE:
            taken, self._rare[function] = rare[:_KILLS_PER_RUN], rare[_KILLS_PER_RUN:]
            return taken
        return [planned.popleft()] if planned else []

    def _give_back(self, function: str, faults: FaultSet) -> None:
        *causes, last = faults
        if faults in self._put_first:
            self._first[function].append(faults)
        elif causes or last.kind != KILL:
            self._planned[function].append(faults)
        else:
            self._rare[function].append((replace(last, skip=0),))

    def _fault_sets(self, function: str) -> Iterator[FaultSet]:
        copies = max(1, self._messages // _MESSAGES_PER_FAULT[function])
        single = [Fault(KILL, point) for point in CRASH_POINTS[function]]
        for kind in TABLE_KINDS:
            # A few failures are repeated away; many outlast all repeats.
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
            # A row shows up well before the logs are asked for the third time.
            "logLagSeconds": choose((0.0, 0.5, 1.5 * deployment.reconcile_after)),
            # Late reports do not save a message whose sender was killed.
            "reportDelaySeconds": choose((0.2, 1.0, 1.5 * deployment.claim)),
            "intermediateStepReports": self._random.random() < 0.8,
            "pushedReports": choose(("both", "push-only")),
            "acceptedStatus": choose(("PENDING_ENROUTE", "PENDING_ACCEPTED", "MESSAGE_ACCEPTED")),
            "errorEnvelope": choose(("legacy", "E429")),
        }


def _with_cause(fault: Fault) -> FaultSet:
    """Add what makes a run come to the point: only a page without a table is parked."""
    return (*_TABLE_DOWN, fault) if fault.point.endswith(PARKING) else (fault,)
