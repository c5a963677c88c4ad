"""Worker processes that run the functions as Lambda would, over and over, with faults injected.

Everything is real but what `faults` wraps: the handlers, their dependencies, boto3 against the
emulator, HTTP to the simulator. `WorkerPool` starts one process that makes all of it, and that one
forks a process for each worker that the platform asks for, so a killed one is replaced in no time.
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
    PARKED,
    PARKING,
    PULL,
    RECEIVE,
    RECONCILE,
    REFUSED,
    RUN_OVER,
    SEND,
    FaultInjector,
    fail_queue,
    fail_table,
    watch,
    watch_changes,
    watch_wire,
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

    #: The handler, and the client of Infobip's that it uses, if it does.
    Prepared = tuple[Callable[..., Any], OmniClient | None]


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda tells a run."""

    deadline: float
    function_name: str
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:chaos"
    aws_request_id: str = "chaos"

    def get_remaining_time_in_millis(self) -> int:
        """Return how much time is left."""
        return int(1000 * (self.deadline - time.monotonic()))


class WorkerPool:
    """Starts worker processes.

    Args:
        directory: Where they print to, in which no personal data may be found.
        process_group: The process group that they end with.
        environment: The variables that the functions find.
        divisor: By how much times are divided.
        mutant: The name of a mutant; that of the sound system is empty.
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
        """Start a worker for a function.

        It says its process id first; then an event and faults go in, and an answer comes out.
        """
        connection = Client(self._address, "AF_UNIX")
        connection.send((function, timeout, str(output), has_webhook))
        return connection

    def close(self) -> None:
        """End the process that forks the workers."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Prepare everything, then fork for every connection."""
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
    watch_wire(injector)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with Listener(arguments.address, "AF_UNIX", backlog=16) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection = listener.accept()
            if os.fork() == 0:
                os._exit(_work(connection, injector, prepared))
            connection.close()


def _work(connection: Connection, injector: FaultInjector, prepared: Mapping[str, Prepared]) -> int:
    """Run the function until the platform hangs up."""
    function, timeout, output, has_webhook = connection.recv()
    _redirect_output(output)
    random.seed()
    if function == SEND and not has_webhook:
        _use_in_sender(replace(send_app.dependencies(), webhook=None))
    injector.report_to(connection)
    handler, client = prepared[function]
    url = client._base_url if client else ""  # noqa: SLF001 (only here is it ever changed)
    connection.send(("ready", os.getpid()))
    while True:
        try:
            event, faults = connection.recv()
        except EOFError:
            return 0
        injector.begin(faults)
        if client is not None:
            client._base_url = _closed_port() if injector.fires_all_along(REFUSED) else url  # noqa: SLF001
        try:
            answer = handler(event, Context(time.monotonic() + timeout, function))
        except Exception:  # noqa: BLE001 (what a function raises is for the checks to judge)
            connection.send(("raised", traceback.format_exc()))
            return 1
        injector.reach(RUN_OVER)
        connection.send(("done", answer))


def _prepare_sender(injector: FaultInjector) -> Prepared:
    made = send_app.dependencies()
    claim_seconds = float(os.environ["CHAOS_CLAIM_SECONDS"])
    use = replace(made, policy=replace(made.policy, lease=timedelta(seconds=claim_seconds)))
    _use_in_sender(use)
    watch(injector, use.client, {"send_advanced": "post"})
    watch(injector, use.ledger, {"claim": "claim", "save": "record"})
    watch(injector, use.queue, {"dead_letter": "dead letter", "change_visibility": "return"})
    fail_table(injector, _table(use.ledger)._client)  # noqa: SLF001 (below it is the network)
    fail_queue(injector, use.queue._client)  # noqa: SLF001
    return send_app.lambda_handler, use.client


def _use_in_sender(use: send_app.Dependencies) -> None:
    send_app.dependencies = lambda: use  # type: ignore[assignment]


def _prepare_puller(injector: FaultInjector) -> Prepared:
    use = pull_app.dependencies()
    _tell_of_pages(injector, use)
    watch(injector, use.client, {"take_reports": "page"})
    watch(injector, use.reports, {"store_page": "page store"})
    watch(injector, use.reports._table, {"delete": "page deletion"})  # noqa: SLF001
    watch(injector, use.parked, {"park": PARKING})
    fail_queue(injector, use.parked._client)  # noqa: SLF001
    _inject_into_recording(injector, use.reports)
    return pull_app.lambda_handler, use.client


def _tell_of_pages(injector: FaultInjector, use: pull_app.Dependencies) -> None:
    """Report what a run has received, and when the run holds it for safe."""

    def tell_of(owner: object, method: str, word: str, read: Callable[[Any], object]) -> None:
        call = getattr(owner, method)

        def telling(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 (passed through)
            result = call(*arguments, **named)
            injector.tell(word, read(result))
            return result

        setattr(owner, method, telling)

    tell_of(use.client, "take_reports", "page", reports_on)
    tell_of(use.reports, "store_page", "safe", lambda _: None)
    tell_of(use.reports, "record_body", "safe", lambda _: None)
    tell_of(use.parked, "park", "safe", lambda _: None)


def _inject_into_recording(injector: FaultInjector, reports: DeliveryReports) -> None:
    ledger, table = reports._ledger, reports._table  # noqa: SLF001
    watch(injector, reports, {"record_body": "record"})
    watch_changes(injector, ledger, {"settled": "verdict", "proven_accepted": "proof"})
    # A page as it came is put there by the same method, before anything is recorded.
    watch(injector, table, {"put_all": "report write"})
    fail_table(injector, table._client)  # noqa: SLF001


def _prepare_recorder(injector: FaultInjector) -> Prepared:
    _inject_into_recording(injector, parked_app.dependencies().reports)
    return parked_app.lambda_handler, None


def _prepare_receiver(injector: FaultInjector) -> Prepared:
    _inject_into_recording(injector, receive_app.dependencies().reports)
    return receive_app.lambda_handler, None


def _prepare_reconciler(injector: FaultInjector) -> Prepared:
    use = reconcile_app.dependencies()
    watch(injector, use.client, {"search_logs": "question"})
    watch(injector, use.reports, {"record_logs": "log row write"})
    watch_changes(
        injector,
        use.ledger,
        {
            "lease_expired": "lost lease",
            "proven_accepted": "proof",
            "settled": "verdict",
            "check_postponed": "absence count",
            "quarantined": "quarantine",
            "sent_again": "second chance",
            "rejected_as_duplicate": "duplicate id",
        },
    )
    fail_table(injector, _table(use.ledger)._client)  # noqa: SLF001
    return reconcile_app.lambda_handler, use.client


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
