"""What goes wrong in a run, and when, decided by its seed."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .harm import (
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
    Harm,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tests.local_world.simulator_control import SimulatorControl

    from .times import Deployment

#: How many messages there are to one kill at each point, and to one order of each other kind.
_MESSAGES_PER_ORDER = {SEND: 500, PULL: 2500, PARKED: 5000, RECEIVE: 2500, RECONCILE: 2500}
#: What the simulator does to single calls, and how likely: kinds after and before acceptance.
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
#: How long a hang is, and a slow answer, in what the client waits for an answer.
_HANG, _SLOW = 2.5, 0.3
#: Bursts on sends: the kind, and how many calls it lasts.
_BURSTS = (("rate_limit", 40), ("error_before", 25), ("reset_before", 15), ("reset_after", 10))
_BURSTS_PER_KIND = 2
_KILLS_PER_RUN = 6
#: The points at messages that Infobip does not know.
_OF_ABSENT_MESSAGES = ("absence count", "quarantine", "second chance")
#: How often a run is to come to one of the rare points, if any are left.
_RARE = 0.6
#: How much of the messages is queued when the outage begins.
OUTAGE_AT = 0.4
#: The table is there when a pull looks for old pages, and is not when it has a new one.
_TABLE_DOWN = (Harm(TABLE_THROTTLES, skip=1, times=100),)


@dataclass(frozen=True, slots=True)
class Turn:
    """Something about Infobip changes when a share of all messages has been queued."""

    at: float
    settings: dict[str, Any]
    burst: tuple[str, int] | None = None


class Plan:
    """All harm of a run."""

    def __init__(self, seed: int, messages: int, deployment: Deployment) -> None:
        self._chance = random.Random(f"plan {seed}")
        self._messages = messages
        #: For each function, what is to be done to one of its runs.
        self.orders = {function: deque(self._orders(function)) for function in CRASH_POINTS}
        self._rare: dict[str, list[tuple[Harm, ...]]] = {function: [] for function in CRASH_POINTS}
        self.turns = sorted(self._turns(deployment), key=lambda turn: turn.at)

    def begin(self, simulator: SimulatorControl, read_seconds: float) -> None:
        """Let single calls fail from now on.

        Args:
            simulator: What is to fail.
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
                    seed=self._chance.randrange(2**31),
                    seconds=read_seconds * (_SLOW if kind == "slow" else _HANG),
                )

    def put_first(self, orders: Iterable[tuple[str, Harm]]) -> None:
        """Do this harm to the next runs of these functions."""
        for function, harm in orders:
            self.orders[function].appendleft((harm,))

    def orders_left(self, function: str) -> int:
        """Count the orders for the runs of a function."""
        return len(self.orders[function]) + len(self._rare[function])

    def provoke(self, simulator: SimulatorControl, points_left: Collection[str]) -> None:
        """See to the points that no run has come to yet, and to what brings a run there."""
        pulls = self.orders[PULL]
        if any(PARKED in point for point in points_left) and next(iter(pulls), None) != _TABLE_DOWN:
            pulls.appendleft(_TABLE_DOWN)
        for function, orders in self.orders.items():
            due = [each for each in orders if f"{function}: {each[-1].name}" in points_left]
            for order in due:
                orders.remove(order)
                if len(order) > 1:
                    orders.appendleft(order)
                else:
                    self.give_back(function, order)
        if any("lost lease" in point for point in points_left):
            self.orders[SEND].append((Harm(KILL, "after claim"),))
        if any("proof" in point for point in points_left):
            simulator.add_fault("send_advanced", "reset_after", times=3)
        if any(point.endswith(_OF_ABSENT_MESSAGES) for point in points_left):
            simulator.add_fault("send_advanced", "reset_before", times=3)

    def take(self, function: str) -> list[tuple[Harm, ...]]:
        """Take the next order for a run of a function, or several kills at points that are rare.

        Of those, the first that the run comes to is carried out.
        """
        rare, orders = self._rare[function], self.orders[function]
        if rare and self._chance.random() < _RARE:
            taken, self._rare[function] = rare[:_KILLS_PER_RUN], rare[_KILLS_PER_RUN:]
            return taken
        return [orders.popleft()] if orders else []

    def give_back(self, function: str, order: tuple[Harm, ...]) -> None:
        """Take back an order that a run has given no occasion for, to try again."""
        *causes, last = order
        if causes or last.kind != KILL:
            self.orders[function].append(order)
        else:
            self._rare[function].append((replace(last, skip=0),))

    def _orders(self, function: str) -> Iterator[tuple[Harm, ...]]:
        copies = max(1, self._messages // _MESSAGES_PER_ORDER[function])
        single = [Harm(KILL, point) for point in CRASH_POINTS[function]]
        for kind in TABLE_KINDS:
            # A few strikes are repeated away; many outlast all repeats.
            strikes = (12,) if function == PARKED else (1, 3, 12)
            single += [Harm(kind, times=times) for times in strikes]
        if function in CALLERS:
            single.append(Harm(REFUSED))
        if function == SEND:
            single += [Harm(kind, times=times) for kind in QUEUE_KINDS for times in (1, 2)]
            single += [Harm(STALL, point) for point in STALL_POINTS]
        orders = [self._with_cause(harm) for harm in single] * copies
        if function == PULL:
            orders += [(*_TABLE_DOWN, Harm(kind)) for kind in QUEUE_KINDS] * copies
            orders += [_TABLE_DOWN] * (5 * copies)
        self._chance.shuffle(orders)
        for harms in orders:
            first = harms[0]
            skip = self._chance.choice((0, 0, 1, 2)) if len(harms) == 1 else first.skip
            yield (replace(first, skip=skip), *harms[1:])

    def _with_cause(self, harm: Harm) -> tuple[Harm, ...]:
        """Add what makes a run come to the point: only a page without a table is parked."""
        return (*_TABLE_DOWN, harm) if harm.point.endswith(PARKING) else (harm,)

    def _turns(self, deployment: Deployment) -> Iterator[Turn]:
        for kind, calls in _BURSTS:
            for _ in range(_BURSTS_PER_KIND):
                length = max(3, min(calls, self._messages // 20))
                yield Turn(self._chance.random(), {}, (kind, length))
        # What comes last lasts longest, until all harm is done.
        yield Turn(
            1.0,
            {
                "duplicateIds": "refuse",
                "logLagSeconds": 0.5,
                "reportDelaySeconds": 0.2,
                "intermediateStepReports": True,
                "pushedReports": "both",
            },
        )
        refuse_first = self._chance.random() < 0.5
        for number in range(6):
            refuses = refuse_first == (number % 2 == 0)
            yield Turn(
                number / 6,
                {
                    "duplicateIds": "refuse" if refuses else "send-twice",
                    # A row shows up well before the logs are asked for the third time.
                    "logLagSeconds": self._chance.choice(
                        (0.0, 0.5, 1.5 * deployment.reconcile_after)
                    ),
                    # Late reports do not save a message whose sender was killed.
                    "reportDelaySeconds": self._chance.choice((0.2, 1.0, 1.5 * deployment.claim)),
                    "intermediateStepReports": self._chance.random() < 0.8,
                    "pushedReports": self._chance.choice(("both", "push-only")),
                    "acceptedStatus": self._chance.choice(
                        ("PENDING_ENROUTE", "PENDING_ACCEPTED", "MESSAGE_ACCEPTED")
                    ),
                    "errorEnvelope": self._chance.choice(("legacy", "E429")),
                },
            )
