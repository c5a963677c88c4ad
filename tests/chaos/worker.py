"""Worker processes that run the functions as Lambda does, again and again, with faults injected.

Everything is real except the wrappers of `faults`: the handlers, their dependencies, boto3 against
the emulator, HTTP to the simulator. `WorkerPool` starts one process that builds all of this and
forks a process for each worker that the platform requests, so a killed worker is replaced fast.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, Any

from functions.pull_delivery_reports import app as pull_app
from functions.receive_delivery_report import app as receive_app
from functions.reconcile_messages import app as reconcile_app
from functions.record_parked_reports import app as parked_app
from functions.send_message import app as send_app
from tests.local_world.aws_emulator import ROOT

from . import times
from .faults import (
    HANDLER_RETURNED,
    PARKED,
    PARKING,
    PULL,
    RECEIVE,
    RECONCILE,
    REFUSED,
    SEND,
    FaultInjector,
    inject_queue_faults,
    inject_table_faults,
    wrap_methods,
    wrap_requests,
    wrap_updates,
)
from .history import reports_on
from .mutants import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from infobip_omni.api.client import OmniClient
    from infobip_omni.delivery_reports import DeliveryReports
    from infobip_omni.dynamodb import Table
    from infobip_omni.message_ledger import MessageLedger

    #: The handler, and the Infobip client that it uses, if any.
    Prepared = tuple[Callable[..., Any], OmniClient | None]


@dataclass(frozen=True, slots=True)
class Context:
    """The context object that Lambda passes to a handler."""

    deadline: float
    function_name: str
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:chaos"
    aws_request_id: str = "chaos"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until the deadline, in milliseconds."""
        return int(1000 * (self.deadline - time.monotonic()))


class WorkerPool:
    """Starts worker processes.

    Args:
        directory: The folder of the files that they print to, which must hold no personal data.
        process_group: The process group that they join, so they end with it.
        environment: The environment variables of the functions.
        divisor: Divides the times of production.
        mutant: The name of a mutant; empty for the original system.
    """

    def __init__(
        self,
        directory: Path,
        process_group: int,
        environment: Mapping[str, str],
        divisor: float,
        mutant: str,
    ) -> None:
        self._address = str(directory / "pool")
        command = [sys.executable, "-m", __name__, self._address, str(divisor)]
        with (directory / "output").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 (all of the command is ours)
                command + ([mutant] if mutant else []),
                cwd=ROOT,
                env=os.environ
                | environment
                | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                process_group=process_group,
            )
        if self._process.stdout is None or not self._process.stdout.readline():
            raise RuntimeError((directory / "output").read_text())

    def spawn(
        self, function: str, timeout: float, output: Path, *, has_webhook: bool
    ) -> Connection:
        """Start a worker for a function, and return the connection to it.

        The worker first sends its process id. Then it receives events with their faults, and sends
        the answers of the function.
        """
        connection = Client(self._address, "AF_UNIX")
        connection.send((function, timeout, str(output), has_webhook))
        return connection

    def close(self) -> None:
        """End the process that forks the workers."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Build the functions' dependencies, then fork a worker for every connection."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("divisor", type=float)
    parser.add_argument("mutant", nargs="?", choices=MUTANTS)
    arguments = parser.parse_args()
    times.shorten(arguments.divisor)
    if arguments.mutant:
        MUTANTS[arguments.mutant].mutate()
    injector = FaultInjector()
    prepared = {function: prepare(injector) for function, prepare in _PREPARE.items()}
    wrap_requests(injector)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    with Listener(arguments.address, "AF_UNIX", backlog=16) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection = listener.accept()
            if os.fork() == 0:
                os._exit(_run_worker(connection, injector, prepared))
            connection.close()


def _run_worker(
    connection: Connection, injector: FaultInjector, prepared: Mapping[str, Prepared]
) -> int:
    """Run the function for each event until the platform closes the connection."""
    function, timeout, output, has_webhook = connection.recv()
    _redirect_output(output)
    random.seed()
    if function == SEND and not has_webhook:
        _set_sender_dependencies(replace(send_app.dependencies(), webhook=None))
    injector.report_to(connection)
    handler, client = prepared[function]
    url = client._base_url if client else ""  # noqa: SLF001 (changed only here)
    connection.send(("ready", os.getpid()))
    while True:
        try:
            event, faults = connection.recv()
        except EOFError:
            return 0
        injector.begin(faults)
        if client is not None:
            is_refused = injector.fires_for_whole_run(REFUSED)
            client._base_url = _closed_port() if is_refused else url  # noqa: SLF001
        try:
            answer = handler(event, Context(time.monotonic() + timeout, function))
        except Exception:  # noqa: BLE001 (the checks judge what a function raises)
            connection.send(("raised", traceback.format_exc()))
            return 1
        injector.reach(HANDLER_RETURNED)
        connection.send(("done", answer))


def _prepare_sender(injector: FaultInjector) -> Prepared:
    default = send_app.dependencies()
    claim_seconds = float(os.environ["CHAOS_CLAIM_SECONDS"])
    policy = replace(default.policy, lease=timedelta(seconds=claim_seconds))
    deps = replace(default, policy=policy)
    _set_sender_dependencies(deps)
    wrap_methods(injector, deps.client, {"send_advanced": "post"})
    wrap_methods(injector, deps.ledger, {"claim": "claim", "save": "save"})
    wrap_methods(
        injector,
        deps.queue,
        {"dead_letter": "dead-lettering", "change_visibility": "visibility change"},
    )
    inject_table_faults(injector, _table(deps.ledger)._client)  # noqa: SLF001 (the boto3 client)
    inject_queue_faults(injector, deps.queue._client)  # noqa: SLF001
    return send_app.lambda_handler, deps.client


def _set_sender_dependencies(deps: send_app.Dependencies) -> None:
    send_app.dependencies = lambda: deps  # type: ignore[assignment]


def _prepare_puller(injector: FaultInjector) -> Prepared:
    deps = pull_app.dependencies()
    _report_pages(injector, deps)
    wrap_methods(injector, deps.client, {"take_reports": "page"})
    wrap_methods(injector, deps.reports, {"store_page": "page store"})
    wrap_methods(injector, deps.reports._table, {"delete": "page deletion"})  # noqa: SLF001
    wrap_methods(injector, deps.parked, {"park": PARKING})
    inject_queue_faults(injector, deps.parked._client)  # noqa: SLF001
    _wrap_recording(injector, deps.reports)
    return pull_app.lambda_handler, deps.client


def _report_pages(injector: FaultInjector, deps: pull_app.Dependencies) -> None:
    """Report the pages that a run receives to the platform, and when it considers them safe."""

    def report_calls(owner: object, method: str, kind: str, read: Callable[[Any], object]) -> None:
        call = getattr(owner, method)

        def reported(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (passed through)
            result = call(*arguments, **named)
            injector.send(kind, read(result))
            return result

        setattr(owner, method, reported)

    report_calls(deps.client, "take_reports", "page", reports_on)
    report_calls(deps.reports, "store_page", "safe", lambda _: None)
    report_calls(deps.reports, "record_body", "safe", lambda _: None)
    report_calls(deps.parked, "park", "safe", lambda _: None)


def _wrap_recording(injector: FaultInjector, reports: DeliveryReports) -> None:
    ledger, table = reports._ledger, reports._table  # noqa: SLF001
    wrap_methods(injector, reports, {"record_body": "recording"})
    wrap_updates(injector, ledger, {"settled": "verdict", "proven_accepted": "proof"})
    # The same method stores a raw page, before its reports are recorded.
    wrap_methods(injector, table, {"put_all": "report write"})
    inject_table_faults(injector, table._client)  # noqa: SLF001


def _prepare_recorder(injector: FaultInjector) -> Prepared:
    _wrap_recording(injector, parked_app.dependencies().reports)
    return parked_app.lambda_handler, None


def _prepare_receiver(injector: FaultInjector) -> Prepared:
    _wrap_recording(injector, receive_app.dependencies().reports)
    return receive_app.lambda_handler, None


def _prepare_reconciler(injector: FaultInjector) -> Prepared:
    deps = reconcile_app.dependencies()
    wrap_methods(injector, deps.client, {"search_logs": "log query"})
    wrap_methods(injector, deps.reports, {"record_logs": "log row write"})
    wrap_updates(
        injector,
        deps.ledger,
        {
            "lease_expired": "expired lease",
            "proven_accepted": "proof",
            "settled": "verdict",
            "check_postponed": "absence count",
            "quarantined": "quarantine",
            "sent_again": "resend",
            "rejected_as_duplicate": "duplicate id",
        },
    )
    inject_table_faults(injector, _table(deps.ledger)._client)  # noqa: SLF001
    return reconcile_app.lambda_handler, deps.client


def _table(ledger: MessageLedger) -> Table:
    return ledger._table  # noqa: SLF001


_PREPARE: dict[str, Callable[[FaultInjector], Prepared]] = {
    SEND: _prepare_sender,
    PULL: _prepare_puller,
    PARKED: _prepare_recorder,
    RECEIVE: _prepare_receiver,
    RECONCILE: _prepare_reconciler,
}


def _redirect_output(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


if __name__ == "__main__":
    main()
