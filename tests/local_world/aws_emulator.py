"""AWS on this machine: ministack, with IAM enforced, in a process group of its own.

This module is both sides: `AwsEmulator` starts the process, and the process runs `main`, which
first changes what ministack does differently from AWS:

- A batch of SQS is authorized by the action for a single message, and a PartiQL statement by the
  action for its verb, on its table. ministack asks for actions that AWS does not know, such as
  `dynamodb:BatchExecuteStatement` on `*`.
- The parameters below a path are authorized on the path. ministack asks for `*`.
- Calls over plain HTTP count as TLS in policies, since AWS offers nothing else.
- `MaximumConcurrency` may be a template parameter, which is a string. ministack would stop polling.
- A PartiQL statement that updates an item also writes to the table's stream.
- A stack's rule on a bus that does not exist fails, as PutRule does.
- An alarm may be defined by metric math. ministack stores such an alarm, and never evaluates it.
- If asked to, it also listens on the bridge of a container engine, and answers only containers
  there.
- Functions run on an interpreter of their own, without the packages of the tests, and under AWS's
  runtime client: see `lambda_environment`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from http import HTTPStatus
from ipaddress import IPv4Interface, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

from . import aws_metrics

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
#: The keys of the root user of the emulator's account.
ACCESS_KEY_ID = SECRET_ACCESS_KEY = "test"  # noqa: S105 (no secret)
#: The functions' interpreter, in a virtual environment with the packages of Lambda's runtime.
FUNCTIONS_PYTHON = ROOT / ".venv-functions/bin/python"
_SECONDS_TO_START = 30
_STATEMENT = re.compile(
    r"""\s*(?P<verb>INSERT\s+INTO|UPDATE|DELETE\s+FROM|SELECT\s.+?\sFROM)
        \s+(?P<table>"[^"]+"|[\w-]+)(?:\.(?P<index>"[^"]+"|[\w-]+))?(?:\s|$)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class AwsEmulator:
    """A running emulator; leaving the context ends it and the processes that it started.

    It also ends when this process exits or is killed, because that closes its standard input.

    Args:
        functions_python: The interpreter of the functions.
        preferred_port: The port to listen on, if it is free.
        also_on: A further address to listen on, with the network that may call there.
    """

    def __init__(
        self,
        *,
        functions_python: Path = FUNCTIONS_PYTHON,
        preferred_port: int = 0,
        also_on: IPv4Interface | None = None,
    ) -> None:
        self.functions_python = functions_python
        self._preferred_port = preferred_port
        self._also_on = also_on
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path()

    @property
    def url(self) -> str:
        """The URL of the emulator, once it has started."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process_group(self) -> int:
        """The process group for other processes that must end with the emulator."""
        return self._running().pid

    @property
    def directory(self) -> Path:
        """A directory that is removed when the emulator ends."""
        return self._directory

    def output(self) -> str:
        """Return the output of the emulator, with that of the functions."""
        return (self._directory / "output").read_text(errors="replace")

    def __enter__(self) -> Self:
        """Start the emulator, and wait until it answers.

        Raises:
            RuntimeError: It ended, or did not answer in time; the text holds its output.
        """
        (ROOT / ".local").mkdir(exist_ok=True)
        self._directory = Path(tempfile.mkdtemp(prefix="world-", dir=ROOT / ".local"))
        try:
            self.port = free_port(self._preferred_port, self._also_on)
            with (self._directory / "output").open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.local_world.aws_emulator"],
                    cwd=ROOT,
                    env=self._environment(),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the emulator was not started")
        return self._process

    def _environment(self) -> dict[str, str]:
        """Return an environment without the caller's variables, which may name an AWS account."""
        directory = str(self._directory)
        return {
            "PATH": os.defpath,
            "HOME": directory,
            "TMPDIR": directory,
            "STATE_DIR": directory,
            "S3_DATA_DIR": directory,
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "ALSO_ON": str(self._also_on or ""),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "FUNCTIONS_PYTHON": str(self.functions_python),
            # The zips of functions contain bytecode, as on Lambda.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        with requests.Session() as session:
            session.trust_env = False  # a proxy would not reach this machine
            while time.monotonic() < deadline and self._running().poll() is None:
                try:
                    answers = session.get(f"{self.url}/_ministack/health", timeout=5).ok
                except requests.ConnectionError:
                    answers = False
                # Another emulator may have taken the port meanwhile, and answer instead.
                if answers and "Running on" in self.output():
                    return
                time.sleep(0.02)
        raise RuntimeError(f"the AWS emulator did not start; it printed:\n{self.output()}")

    def _stop(self) -> None:
        process = self._process
        if process is not None:  # an interrupt can come before the process exists
            if process.stdin is not None:
                process.stdin.close()
            # macOS refuses to signal a group of processes that have ended.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # it has no state to save
            process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def free_port(preferred: int = 0, also_on: IPv4Interface | None = None) -> int:
    """Return a port that is free on loopback and on a further address.

    Args:
        preferred: The port to return, if it is free.
        also_on: The further address; None if there is none.
    """
    addresses = _addresses(also_on)
    port = _bound(addresses, preferred)
    while port is None:
        port = _bound(addresses, 0)
    return port


def environment_path(port: int) -> Path:
    """Return the path of SAM's environment file for the emulator on a port."""
    return ROOT / f".local/env-{port}.json"


def is_free(port: int, also_on: IPv4Interface | None = None) -> bool:
    """Whether a port is free on loopback and, if given, on a further address."""
    return _bound(_addresses(also_on), port) is not None


def _addresses(also_on: IPv4Interface | None) -> list[str]:
    return ["127.0.0.1", *([str(also_on.ip)] if also_on else [])]


def _bound(addresses: list[str], port: int) -> int | None:
    """Return a port if it is free on all addresses; port 0 means one that is free on the first."""
    with ExitStack() as probes:
        for address in addresses:
            probe = probes.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise  # the address itself is wrong
                return None
            port = probe.getsockname()[1]
    return port


def statement_check(statement: str, region: str, account_id: str) -> tuple[str, str]:
    """Return the action and the resource for which AWS authorizes a PartiQL statement."""
    found = _STATEMENT.match(statement)
    if found is None:
        return "dynamodb:PartiQL", "*"  # no policy allows it
    verb = found["verb"].split()[0].capitalize()
    resource = "/index/".join(name.strip('"') for name in found.group("table", "index") if name)
    return f"dynamodb:PartiQL{verb}", f"arn:aws:dynamodb:{region}:{account_id}:table/{resource}"


def _authorize_as_aws_does() -> None:
    from ministack import app  # noqa: PLC0415 (reads its environment when it is imported)
    from ministack.core import iam_actions  # noqa: PLC0415

    action_of = iam_actions.extract_iam_action
    resource_of = iam_actions.extract_resource_arn
    checks_of = iam_actions.dynamodb_transaction_checks
    pin_origin = app.pin_request_origin

    def action(service: str, *request: Any) -> str | None:  # noqa: ANN401 (passed through)
        found: str | None = action_of(service, *request)
        return found.removesuffix("Batch") if found and service == "sqs" else found

    def checks(iam_action: str, body: bytes, region: str, account_id: str) -> list[tuple[str, str]]:
        if iam_action not in ("dynamodb:BatchExecuteStatement", "dynamodb:ExecuteStatement"):
            found: list[tuple[str, str]] = checks_of(iam_action, body, region, account_id)
            return found
        request = json.loads(body)
        statements = request.get("Statements", [request])
        return [statement_check(each["Statement"], region, account_id) for each in statements]

    def resource(service: str, *request: Any) -> str:  # noqa: ANN401 (passed through)
        found: str = resource_of(service, *request)
        _, _, _, body, _, region, account_id = request
        return _path_resource(body, region, account_id) or found if service == "ssm" else found

    iam_actions.extract_iam_action = action
    iam_actions.extract_resource_arn = resource
    iam_actions.dynamodb_transaction_checks = checks
    app.pin_request_origin = lambda address, _: pin_origin(address, True)  # noqa: FBT003


def _path_resource(body: bytes, region: str, account_id: str) -> str | None:
    """Return the resource of a call that reads the parameters below a path; None for others."""
    path = json.loads(body or b"{}").get("Path")
    return f"arn:aws:ssm:{region}:{account_id}:parameter{path}" if path else None


def _take_numbers_as_strings() -> None:
    from ministack.services import lambda_svc  # noqa: PLC0415

    concurrency_of = lambda_svc._sqs_esm_concurrency  # noqa: SLF001 (there is no public hook)

    def concurrency(mapping: dict[str, Any], *rest: Any) -> int:  # noqa: ANN401 (passed through)
        scaling = mapping.get("ScalingConfig") or {}
        numbers = {name: int(value) for name, value in scaling.items()}
        found: int = concurrency_of(mapping | {"ScalingConfig": numbers}, *rest)
        return found

    lambda_svc._sqs_esm_concurrency = concurrency  # noqa: SLF001


def _show_statements_to_streams() -> None:
    from ministack.services import dynamodb  # noqa: PLC0415

    update = dynamodb._partiql_update  # noqa: SLF001 (there is no public hook)

    def updated(table: dict[str, Any], parsed: dict[str, Any], *rest: Any) -> Any:  # noqa: ANN401
        partition, sort, _, error = dynamodb._partiql_key_target(table, parsed)  # noqa: SLF001
        old = None if error else table["items"].get(partition, {}).get(sort)
        answer = update(table, parsed, *rest)
        if answer[0] == HTTPStatus.OK:
            new = table["items"][partition][sort]
            dynamodb._emit_stream_event(table["TableName"], "MODIFY", old, new)  # noqa: SLF001
        return answer

    dynamodb._partiql_update = updated  # noqa: SLF001


def _refuse_rules_on_missing_buses() -> None:
    from ministack.services import eventbridge  # noqa: PLC0415
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    bus_of = provisioners._eb_rule_bus_name  # noqa: SLF001 (there is no public hook)

    def bus(properties: dict[str, Any]) -> str:
        name: str = bus_of(properties)
        if name not in eventbridge._event_buses:  # noqa: SLF001
            message = f"Event bus {name} does not exist."
            raise ValueError(message)
        return name

    provisioners._eb_rule_bus_name = bus  # noqa: SLF001


def _keep_alarms_with_metric_math() -> None:
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    record_of = provisioners._cw_metric_alarm_record  # noqa: SLF001 (there is no public hook)

    def record(alarm: str, properties: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any]
        if "Metrics" not in properties:
            found = record_of(alarm, properties)
            return found
        needed = {"Metrics": None, "Namespace": "-", "MetricName": "-"}
        found = record_of(alarm, properties | needed) | {"Metrics": properties["Metrics"]}
        # Only an alarm on a single metric has these.
        for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "Period", "Unit"):
            del found[name]
        return found

    provisioners._cw_metric_alarm_record = record  # noqa: SLF001


def _answer_containers() -> None:
    """Also listen on the address in `ALSO_ON`, for callers of its network only."""
    if not (named := os.environ.pop("ALSO_ON")):
        return
    also_on = IPv4Interface(named)
    import hypercorn.asyncio  # noqa: PLC0415 (most that import this module run no server)

    serve = hypercorn.asyncio.serve

    async def serve_both(app: Any, config: hypercorn.Config) -> None:  # noqa: ANN401
        config.bind.append(f"{also_on.ip}:{os.environ['GATEWAY_PORT']}")
        await serve(partial(answer_known, app, also_on), config)

    hypercorn.asyncio.serve = serve_both  # type: ignore[assignment]


async def answer_known(
    app: Any,  # noqa: ANN401 (an ASGI application)
    also_on: IPv4Interface,
    scope: Any,  # noqa: ANN401
    receive: Any,  # noqa: ANN401
    send: Any,  # noqa: ANN401
) -> None:
    """Refuse callers that are neither on this machine nor in the network of the address.

    Linux accepts packets for any of its addresses on any interface, so another machine with a route
    to this one could call, too.
    """
    caller = scope["type"] != "lifespan" and ip_address(scope["client"][0])
    if not caller or caller.is_loopback or caller in also_on.network:
        await app(scope, receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": HTTPStatus.FORBIDDEN})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "websocket.close"})


def _end_with_parent() -> None:
    """Wait until the parent closes standard input, then remove files and end the process group."""
    sys.stdin.read()
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    environment_path(int(os.environ["GATEWAY_PORT"])).unlink(missing_ok=True)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Serve until the parent process ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.executable = os.environ.pop("FUNCTIONS_PYTHON")
    _authorize_as_aws_does()
    _take_numbers_as_strings()
    _show_statements_to_streams()
    _refuse_rules_on_missing_buses()
    _keep_alarms_with_metric_math()
    _answer_containers()
    aws_metrics.watch(Path(os.environ["STATE_DIR"]))
    from ministack.app import main as serve  # noqa: PLC0415

    from tests.local_world import lambda_environment  # noqa: PLC0415 (imports ministack, too)

    lambda_environment.install()
    serve()


if __name__ == "__main__":
    main()
