"""Faults that are injected into a running function, and where.

The functions have no hooks for it: the worker wraps the methods of their dependencies, and of the
boto3 clients below them, and each wrapped call passes through a `FaultInjector`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ReadTimeoutError

from infobip_omni import transitions
from infobip_omni.api import client as omni

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from multiprocessing.connection import Connection

    from infobip_omni.dynamodb import Update
    from infobip_omni.message_ledger import MessageLedger

SEND, PULL, PARKED, RECEIVE, RECONCILE = "send", "pull", "parked", "receive", "reconcile"
PARKING = "parking"
#: The durable steps of each function.
_STEPS = {
    SEND: ("claim", "post", "record", "dead letter", "return"),
    PULL: (
        "page",
        "page store",
        "record",
        "report write",
        "verdict",
        "proof",
        "page deletion",
        PARKING,
    ),
    PARKED: ("record", "report write", "verdict"),
    RECEIVE: ("record", "report write", "verdict"),
    RECONCILE: (
        "question",
        "lost lease",
        "proof",
        "log row write",
        "verdict",
        "absence count",
        "quarantine",
        "second chance",
        "duplicate id",
    ),
}
#: The functions that call Infobip.
CALLERS = (SEND, PULL, RECONCILE)
#: Between the two sides of a call to Infobip, and between the end of a run and what follows it.
REQUEST_OUT = "request is out"
RUN_OVER = "run is over"
#: Every place where a run gets killed.
CRASH_POINTS: dict[str, tuple[str, ...]] = {
    function: (
        *(f"{side} {step}" for step in steps for side in ("before", "after")),
        *([REQUEST_OUT] if function in CALLERS else []),
        RUN_OVER,
    )
    for function, steps in _STEPS.items()
}

KILL = "kill"
#: The process stands still for longer than a lease, and then goes on.
STALL = "stall"
#: Nothing listens where Infobip should be.
REFUSED = "connection refused"
TABLE_THROTTLES = "table throttles"
TABLE_KINDS = (
    TABLE_THROTTLES,
    "table answer lost",
    "statements throttled",
    "statement answers lost",
    "items left over",
)
QUEUE_KINDS = ("queue fails", "queue answer lost")
#: Where a run may stand still: what it does next, it does late.
STALL_POINTS = ("before post", "before record")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in one run of a function."""

    kind: str
    #: Where, for a kill or a stall.
    point: str = ""
    #: How many occasions are let go by first.
    skip: int = 0
    #: How many calls it fires on.
    times: int = 1

    @property
    def name(self) -> str:
        """The name that it is counted under."""
        return f"{self.kind}: {self.point}" if self.point else self.kind


class FaultInjector:
    """The faults of the present run of this process; usable from several threads."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._faults: tuple[Fault, ...] = ()
        self._occasions: Counter[Fault] = Counter()

    def report_to(self, connection: Connection) -> None:
        """Set the connection that fired faults are reported to."""
        self._connection = connection

    def tell(self, word: str, content: object) -> None:
        """Send a word and its content there; both arrive even if this process is killed next."""
        if self._connection is not None:
            self._connection.send((word, content))

    def begin(self, faults: tuple[Fault, ...]) -> None:
        """Start a run with these faults."""
        with self._lock:
            self._faults = faults
            self._occasions.clear()

    def fires_all_along(self, kind: str) -> bool:
        """Whether a fault of this kind lasts for the whole run; reports it as fired."""
        fault = next((fault for fault in self._faults if fault.kind == kind), None)
        if fault is not None:
            self.tell("fired", fault)
        return fault is not None

    def reach(self, point: str) -> None:
        """Kill or stop this process if a fault is planned for this point."""
        with self._lock:
            for fault in self._faults:
                if fault.point != point or not self._fires(fault):
                    continue
                self.tell("fired", fault)
                number = signal.SIGKILL if fault.kind == KILL else signal.SIGSTOP
                os.kill(os.getpid(), number)

    def fire(self, kinds: tuple[str, ...]) -> str | None:
        """Return the kind of fault that a call is to fail with, if it is to fail."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and self._fires(fault):
                    self.tell("fired", fault)
                    return fault.kind
        return None

    def _fires(self, fault: Fault) -> bool:
        self._occasions[fault] += 1
        return fault.skip < self._occasions[fault] <= fault.skip + fault.times


def watch(injector: FaultInjector, dependency: object, steps: Mapping[str, str]) -> None:
    """Inject faults before and after methods of an object, given as names and their steps."""
    for method, step in steps.items():
        setattr(dependency, method, _watched(injector, getattr(dependency, method), step))


def _watched(injector: FaultInjector, method: Callable[..., Any], step: str) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (passed through)
        if arguments and isinstance(arguments[0], list | dict) and not arguments[0]:
            return method(*arguments, **named)  # nothing to do, and so no step
        injector.reach(f"before {step}")
        result = method(*arguments, **named)
        injector.reach(f"after {step}")
        return result

    return watched


def watch_changes(injector: FaultInjector, ledger: MessageLedger, steps: Mapping[str, str]) -> None:
    """Inject faults before and after changes, given as transitions and their steps.

    The transition that was called last names the step: all changes of a call are of a kind.
    """
    last: dict[str, str] = {}
    for name, step in steps.items():
        setattr(transitions, name, _remembered(getattr(transitions, name), step, last))
    apply = ledger.apply

    def applied(updates: Iterable[Update]) -> int:
        updates = list(updates)
        step = last.pop("step", None)
        return apply(updates) if step is None else _watched(injector, apply, step)(updates)

    ledger.apply = applied  # type: ignore[method-assign]


def _remembered(
    transition: Callable[..., Update], step: str, last: dict[str, str]
) -> Callable[..., Update]:
    def remembered(*arguments: Any, **named: Any) -> Update:  # noqa: ANN401 (passed through)
        last["step"] = step
        return transition(*arguments, **named)

    return remembered


def watch_wire(injector: FaultInjector) -> None:
    """Inject faults when a request to Infobip has left and its answer is not read yet."""
    connection = omni._Connection  # noqa: SLF001 (where the request has just left)
    getresponse = connection.getresponse

    def watched(self: Any) -> Any:  # noqa: ANN401 (passed through)
        injector.reach(REQUEST_OUT)
        return getresponse(self)

    connection.getresponse = watched  # type: ignore[method-assign]


def fail_table(injector: FaultInjector, dynamodb: Any) -> None:  # noqa: ANN401 (a boto3 client)
    """Let calls of a DynamoDB client fail, as a whole or in part."""
    for name in (
        "batch_execute_statement",
        "batch_get_item",
        "batch_write_item",
        "query",
        "delete_item",
    ):
        setattr(dynamodb, name, _failing(injector, getattr(dynamodb, name), name))


def _failing(injector: FaultInjector, call: Callable[..., Any], name: str) -> Callable[..., Any]:
    kinds = {
        "batch_execute_statement": TABLE_KINDS[:4],
        "batch_get_item": (*TABLE_KINDS[:2], TABLE_KINDS[4]),
        "batch_write_item": (*TABLE_KINDS[:2], TABLE_KINDS[4]),
    }.get(name, TABLE_KINDS[:2])

    def failing(**request: Any) -> Any:  # noqa: ANN401 (passed through)
        match injector.fire(kinds):
            case None:
                return call(**request)
            case kind if kind == TABLE_THROTTLES:
                raise _error("ProvisionedThroughputExceededException", name)
            case "table answer lost":
                call(**request)
                raise ReadTimeoutError(endpoint_url="the table")
            case "statements throttled":
                return _throttle_statements(call, request["Statements"])
            case "statement answers lost":
                answer = call(**request)
                answer["Responses"][::2] = [_statement_error("InternalServerError")] * len(
                    answer["Responses"][::2]
                )
                return answer
            case _:
                return _leave_over(call, name, request["RequestItems"])

    return failing


def _throttle_statements(call: Callable[..., Any], statements: list[Any]) -> dict[str, Any]:
    """Execute every second statement only."""
    executed = call(Statements=statements[1::2])["Responses"] if statements[1:] else []
    responses = [_statement_error("ThrottlingError")] * len(statements)
    responses[1::2] = executed
    return {"Responses": responses}


def _leave_over(call: Callable[..., Any], name: str, items: dict[str, Any]) -> dict[str, Any]:
    """Deal with every second item only."""
    ((table, wanted),) = items.items()
    reads = name == "batch_get_item"
    entries = wanted["Keys"] if reads else wanted
    done, left = entries[1::2], entries[::2]
    again = {table: {**wanted, "Keys": left} if reads else left}
    answer: dict[str, Any] = {"Responses": {table: []}}
    if done:
        answer = call(RequestItems={table: {**wanted, "Keys": done} if reads else done})
    return answer | {"UnprocessedKeys" if reads else "UnprocessedItems": again}


def fail_queue(injector: FaultInjector, sqs: Any) -> None:  # noqa: ANN401 (a boto3 client)
    """Let calls of an SQS client fail before they are made, or after they took effect."""
    for name in ("send_message", "change_message_visibility_batch"):
        setattr(sqs, name, _failing_queue(injector, getattr(sqs, name), name))


def _failing_queue(
    injector: FaultInjector, call: Callable[..., Any], name: str
) -> Callable[..., Any]:
    def failing(**request: Any) -> Any:  # noqa: ANN401 (passed through)
        kind = injector.fire(QUEUE_KINDS)
        if kind == "queue fails":
            raise _error("ServiceUnavailable", name)
        answer = call(**request)
        if kind is not None:
            raise ReadTimeoutError(endpoint_url="the queue")
        return answer

    return failing


def _statement_error(code: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": "on purpose"}}


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "on purpose"}}, operation)
