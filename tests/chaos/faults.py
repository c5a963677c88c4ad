"""The faults that are injected into running functions, and the places where they fire.

The functions have no hooks for faults. The worker wraps the methods of their dependencies, and of
the boto3 clients below them; each wrapped call asks a `FaultInjector` whether a fault fires.
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
    SEND: ("claim", "post", "save", "dead-lettering", "visibility change"),
    PULL: (
        "page",
        "page store",
        "recording",
        "report write",
        "verdict",
        "proof",
        "page deletion",
        PARKING,
    ),
    PARKED: ("recording", "report write", "verdict"),
    RECEIVE: ("recording", "report write", "verdict"),
    RECONCILE: (
        "log query",
        "expired lease",
        "proof",
        "log row write",
        "verdict",
        "absence count",
        "quarantine",
        "resend",
        "duplicate id",
    ),
}
#: The functions that call Infobip.
CALLERS = (SEND, PULL, RECONCILE)
#: After a request to Infobip was sent and before its response is read, and after the handler has
#: returned and before the platform gets its answer.
REQUEST_SENT = "request sent"
HANDLER_RETURNED = "handler returned"
#: All points at which runs are killed, by function.
CRASH_POINTS: dict[str, tuple[str, ...]] = {
    function: (
        *(f"{side} {step}" for step in steps for side in ("before", "after")),
        *([REQUEST_SENT] if function in CALLERS else []),
        HANDLER_RETURNED,
    )
    for function, steps in _STEPS.items()
}

KILL = "kill"
#: The process is stopped for longer than a lease, and then resumed.
STALL = "stall"
#: No server listens at Infobip's address.
REFUSED = "connection refused"
TABLE_THROTTLES = "table throttles"
TABLE_KINDS = (
    TABLE_THROTTLES,
    "table response lost",
    "statements throttled",
    "statement responses lost",
    "items unprocessed",
)
QUEUE_KINDS = ("queue fails", "queue response lost")
#: The points at which runs are stalled, so their next step happens after the lease has expired.
STALL_POINTS = ("before post", "before save")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in one run of a function."""

    kind: str
    #: The crash point of a kill or the stall point of a stall.
    point: str = ""
    #: How many matching calls pass before it fires.
    skip: int = 0
    #: On how many calls it fires.
    times: int = 1

    @property
    def name(self) -> str:
        """The name by which fired faults are counted."""
        return f"{self.kind}: {self.point}" if self.point else self.kind


class FaultInjector:
    """The faults of the current run of this process; thread-safe."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._faults: tuple[Fault, ...] = ()
        self._matches: Counter[Fault] = Counter()

    def report_to(self, connection: Connection) -> None:
        """Set the connection to the platform, which receives the messages of `send`."""
        self._connection = connection

    def send(self, kind: str, content: object) -> None:
        """Send a message to the platform; it arrives even if this process is killed next."""
        if self._connection is not None:
            self._connection.send((kind, content))

    def begin(self, faults: tuple[Fault, ...]) -> None:
        """Start a run with these faults."""
        with self._lock:
            self._faults = faults
            self._matches.clear()

    def fires_for_whole_run(self, kind: str) -> bool:
        """Return whether a fault of this kind lasts for the whole run; report it as fired."""
        fault = next((fault for fault in self._faults if fault.kind == kind), None)
        if fault is not None:
            self.send("fired", fault)
        return fault is not None

    def reach(self, point: str) -> None:
        """Kill or stop this process if a fault is planned for this point."""
        with self._lock:
            for fault in self._faults:
                if fault.point != point or not self._fires(fault):
                    continue
                self.send("fired", fault)
                number = signal.SIGKILL if fault.kind == KILL else signal.SIGSTOP
                os.kill(os.getpid(), number)

    def fire(self, kinds: tuple[str, ...]) -> str | None:
        """Return the kind of fault that a call must fail with; None if it must not fail."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and self._fires(fault):
                    self.send("fired", fault)
                    return fault.kind
        return None

    def _fires(self, fault: Fault) -> bool:
        self._matches[fault] += 1
        return fault.skip < self._matches[fault] <= fault.skip + fault.times


def wrap_methods(injector: FaultInjector, dependency: object, steps: Mapping[str, str]) -> None:
    """Wrap methods of an object with crash points.

    Args:
        injector: Kills or stops the process at these points.
        dependency: The object.
        steps: The names of steps, by method name.
    """
    for method, step in steps.items():
        setattr(dependency, method, _wrapped(injector, getattr(dependency, method), step))


def _wrapped(injector: FaultInjector, method: Callable[..., Any], step: str) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (passed through)
        if arguments and isinstance(arguments[0], list | dict) and not arguments[0]:
            return method(*arguments, **named)  # an empty call is no step
        injector.reach(f"before {step}")
        result = method(*arguments, **named)
        injector.reach(f"after {step}")
        return result

    return wrapped


def wrap_updates(injector: FaultInjector, ledger: MessageLedger, steps: Mapping[str, str]) -> None:
    """Wrap the updates of a ledger with crash points.

    The transition that was called last determines the step: all updates of a call come from the
    same transition.

    Args:
        injector: Kills or stops the process at these points.
        ledger: The ledger.
        steps: The names of steps, by the name of the transition.
    """
    last: dict[str, str] = {}
    for name, step in steps.items():
        setattr(transitions, name, _with_step_noted(getattr(transitions, name), step, last))
    apply = ledger.apply

    def applied(updates: Iterable[Update]) -> int:
        updates = list(updates)
        step = last.pop("step", None)
        return apply(updates) if step is None else _wrapped(injector, apply, step)(updates)

    ledger.apply = applied  # type: ignore[method-assign]


def _with_step_noted(
    transition: Callable[..., Update], step: str, last: dict[str, str]
) -> Callable[..., Update]:
    def transition_noted(*arguments: Any, **named: Any) -> Update:  # noqa: ANN401 (passed through)
        last["step"] = step
        return transition(*arguments, **named)

    return transition_noted


def wrap_requests(injector: FaultInjector) -> None:
    """Add a crash point after each request to Infobip, before its response is read."""
    connection = omni._Connection  # noqa: SLF001 (reads the response of a request just sent)
    getresponse = connection.getresponse

    def wrapped(self: Any) -> Any:  # noqa: ANN401 (passed through)
        injector.reach(REQUEST_SENT)
        return getresponse(self)

    connection.getresponse = wrapped  # type: ignore[method-assign]


def inject_table_faults(
    injector: FaultInjector,
    dynamodb: Any,  # noqa: ANN401 (a boto3 client)
) -> None:
    """Wrap calls of a DynamoDB client that fail as a whole or in part if a fault fires."""
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
            case "table response lost":
                call(**request)
                raise ReadTimeoutError(endpoint_url="the table")
            case "statements throttled":
                return _throttle_statements(call, request["Statements"])
            case "statement responses lost":
                answer = call(**request)
                answer["Responses"][::2] = [_statement_error("InternalServerError")] * len(
                    answer["Responses"][::2]
                )
                return answer
            case _:
                return _process_partially(call, name, request["RequestItems"])

    return failing


def _throttle_statements(call: Callable[..., Any], statements: list[Any]) -> dict[str, Any]:
    """Execute only every second statement."""
    executed = call(Statements=statements[1::2])["Responses"] if statements[1:] else []
    responses = [_statement_error("ThrottlingError")] * len(statements)
    responses[1::2] = executed
    return {"Responses": responses}


def _process_partially(
    call: Callable[..., Any], name: str, items: dict[str, Any]
) -> dict[str, Any]:
    """Process only every second item."""
    ((table, requested),) = items.items()
    reads = name == "batch_get_item"
    entries = requested["Keys"] if reads else requested
    processed, unprocessed = entries[1::2], entries[::2]
    rest = {table: {**requested, "Keys": unprocessed} if reads else unprocessed}
    answer: dict[str, Any] = {"Responses": {table: []}}
    if processed:
        part = {**requested, "Keys": processed} if reads else processed
        answer = call(RequestItems={table: part})
    return answer | {"UnprocessedKeys" if reads else "UnprocessedItems": rest}


def inject_queue_faults(injector: FaultInjector, sqs: Any) -> None:  # noqa: ANN401 (a boto3 client)
    """Wrap calls of an SQS client that fail before or after they take effect if a fault fires."""
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
