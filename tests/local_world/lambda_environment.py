"""Execution environments of Lambda: functions run under AWS's own runtime client, `awslambdaric`.

ministack calls handlers from a script of its own. That script sets up no logging, gives functions
the emulator's environment variables, and ends at the first error. Here each environment is a
process that runs the client of Lambda's Python runtime, and receives events over Lambda's Runtime
API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).

An environment handles one invocation at a time. It continues after an error of its handler, and
ends after a timeout, an exit, or an answer that is too large
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4

from ministack.core import lambda_runtime
from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

Json = dict[str, Any]

#: A request must be smaller, as Lambda's error says, for instance in
#: https://github.com/pelmers/streetwarp-web/issues/14.
TOO_LARGE_REQUEST_BYTES: Final = 6 * 1024 * 1024
#: 1 MB since October 2025 (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, and
#: https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb).
LARGEST_ASYNCHRONOUS_REQUEST_BYTES: Final = 1024 * 1024
#: 6 MB and 100 bytes, as Lambda's error says, for instance in
#: https://github.com/DataBiosphere/azul/issues/8258.
LARGEST_RESPONSE_BYTES: Final = 6_291_556
#: The time for the start of an environment; a longer start uses time of the first invocation.
_INIT_SECONDS = 10
_BOOTSTRAP = Path(__file__).with_name("lambda_bootstrap.py")
_PORTABLE_RUNTIME_CLIENT = Path(__file__).with_name("portable_runtime_client")
_ANSWER = re.compile(r".*/runtime/invocation/[^/]+/(?P<kind>response|error)")

_Kind = Literal["ready", "init_error", "response", "error", "too_large", "end", "timeout"]


def install() -> None:
    """Make ministack run functions in these environments, within Lambda's limits."""
    # ministack has no public hook for this.
    lambda_runtime._worker_class_for = lambda config: ExecutionEnvironment  # noqa: ARG005, SLF001
    # This function, for custom runtimes, passes on the runtime's own description of an error.
    lambda_svc._execute_function_warm = (  # noqa: SLF001
        lambda_svc._execute_function_provided_warm  # noqa: SLF001
    )
    lambda_svc.handle_request = partial(_refuse_large_requests, lambda_svc.handle_request)


async def _refuse_large_requests(
    handle: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *rest: Any,  # noqa: ANN401 (passed through)
) -> Any:  # noqa: ANN401 (passed through)
    """Answer 413 to events that are too large for Lambda's API."""
    if method == "POST" and path.rstrip("/").endswith("/invocations"):
        kind = {name.lower(): value for name, value in headers.items()}.get("x-amz-invocation-type")
        if kind == "Event" and len(body) > LARGEST_ASYNCHRONOUS_REQUEST_BYTES:
            text = (
                f"{len(body)} byte payload is too large for the Event invocation type "
                f"(limit {LARGEST_ASYNCHRONOUS_REQUEST_BYTES} bytes)"
            )
            return _too_large(text)
        if len(body) >= TOO_LARGE_REQUEST_BYTES:
            return _too_large(
                f"Request must be smaller than {TOO_LARGE_REQUEST_BYTES} bytes "
                "for the InvokeFunction operation"
            )
    return await handle(method, path, headers, body, *rest)


def _too_large(text: str) -> Any:  # noqa: ANN401 (ministack's answer)
    code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return error_response_json("RequestTooLargeException", text, code)


def environment_variables(
    config: Mapping[str, Any],
    credentials: Mapping[str, str],
    *,
    task_root: str,
    runtime_api: str,
    temporary: str,
) -> dict[str, str]:
    """Return the environment variables of a function's process.

    They are those of
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, the function's own, and
    two that Lambda does not set: the emulator's URL, and TMPDIR, since on Lambda each environment
    has a /tmp of its own. X-Ray's variables are left out, since no daemon listens here.

    Args:
        config: The function's configuration, as ministack stores it.
        credentials: Variables with the credentials of the function's role.
        task_root: The folder of the function's code.
        runtime_api: Host and port of the environment's Runtime API.
        temporary: A folder for temporary files.
    """
    name, version = config["FunctionName"], config.get("Version", "$LATEST")
    region = config["FunctionArn"].split(":")[3]
    logging = config.get("LoggingConfig", {})
    return {
        "LANG": "en_US.UTF-8",
        "PATH": os.environ["PATH"],
        "TMPDIR": temporary,
        **config.get("Environment", {}).get("Variables", {}),
        **credentials,
        **_logging_variables(logging),
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup", f"/aws/lambda/{name}"),
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[{version}]{uuid4().hex}",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_REGION": region,
        "LAMBDA_TASK_ROOT": task_root,
        "TZ": ":UTC",
        "_HANDLER": config["Handler"],
    }


def _logging_variables(logging: Mapping[str, str]) -> dict[str, str]:
    """Return variables with the format of logs and, for JSON, the lowest level.

    See https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html:
    only JSON logs have a level, by default INFO.
    """
    if logging.get("LogFormat") != "JSON":
        return {"AWS_LAMBDA_LOG_FORMAT": "Text"}
    level = logging.get("ApplicationLogLevel", "INFO")
    return {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": level}


@dataclass(frozen=True)
class Invocation:
    """An invocation, as the runtime client receives it, with headers of the Runtime API."""

    event: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _RuntimeEvent:
    """A step of an environment; `body` is the one that it posted."""

    kind: _Kind
    body: bytes = b""


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of one environment, on a port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _RuntimeApiHandler)
        self.invocations: SimpleQueue[Invocation | None] = SimpleQueue()
        self.runtime_events: SimpleQueue[_RuntimeEvent] = SimpleQueue()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return f"127.0.0.1:{self.server_port}"

    def close(self) -> None:
        """Stop the server, and release a handler that waits for an invocation."""
        self.invocations.put(None)
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: a killed process breaks its connections."""


class _RuntimeApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave immediately, in one packet: otherwise each answer takes 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: RuntimeApi

    def do_GET(self) -> None:
        """Return the next invocation, as soon as there is one."""
        self.server.runtime_events.put(_RuntimeEvent("ready"))
        invocation = self.server.invocations.get()
        if invocation is None:
            self.close_connection = True
            return
        headers = {"Content-Type": "application/json"} | dict(invocation.headers)
        self._answer(HTTPStatus.OK, headers, invocation.event)

    def do_POST(self) -> None:
        """Receive the answer to an invocation, or an error."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = _ANSWER.fullmatch(self.path)
        kind: Any = found["kind"] if found else "init_error"
        if kind == "response" and len(body) > LARGEST_RESPONSE_BYTES:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            self.server.runtime_events.put(_RuntimeEvent("too_large"))
            return
        # The next line may end the process, so the process gets its own answer first.
        self._answer(HTTPStatus.ACCEPTED)
        self.server.runtime_events.put(_RuntimeEvent(kind, body))

    def log_message(self, *args: object) -> None:
        """Print nothing, since the emulator's output is the logs of functions."""

    def _answer(
        self, status: HTTPStatus, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Output:
    """Collects the output of a process until it is taken.

    Args:
        stream: The process's standard output and error.
        at_end: Called when the process has closed the stream.
    """

    def __init__(self, stream: IO[bytes], at_end: Callable[[], None]) -> None:
        self._stream = stream
        self._at_end = at_end
        self._kept = bytearray()
        self._lock = threading.Lock()
        os.set_blocking(stream.fileno(), False)
        threading.Thread(target=self._read_all, daemon=True).start()

    def take(self) -> str:
        """Return the output since the last call, without waiting.

        It includes everything that the handler printed, since a handler prints before it answers.
        """
        with self._lock:
            while self._read():
                pass
            text = self._kept.decode(errors="replace")
            self._kept.clear()
        return text

    def _read_all(self) -> None:
        ended = False
        while not ended:
            select.select([self._stream], [], [])
            with self._lock:
                ended = self._read() == b""
        self._at_end()

    def _read(self) -> bytes | None:
        """Read available output; return empty bytes at the end, and None if there is none yet."""
        found: bytes | None = self._stream.read(1 << 16)
        self._kept += found or b""
        return found


@dataclass
class _Process:
    """A process that runs a function, with its Runtime API, output and temporary folder."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    output: Output
    temporary: str
    ready: bool = field(default=False)


class ExecutionEnvironment:
    """A member of ministack's pool; it runs a function in one process at a time.

    ministack's pool reads and sets `in_use`, `last_used`, `config` and `_proc`, and calls `invoke`,
    `kill` and `_discard_tmpdir`.

    Args:
        func_name: The function's name.
        config: Its configuration.
        code_zip: Its code.
    """

    def __init__(self, func_name: str, config: Json, code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.code_zip = code_zip
        self.in_use = False
        self.last_used = time.time()
        self._proc: subprocess.Popen[bytes] | None = None
        self._current: _Process | None = None

    def invoke(
        self,
        event: object,
        request_id: str,
        *,
        trace_id: str | None = None,
        invoked_function_arn: str | None = None,
    ) -> Json:
        """Run one invocation, and return its `result` or `error_payload`, and its `log`."""
        seconds = self.config.get("Timeout", 3)
        cold = self._current is None or self._current.process.poll() is not None
        if cold:
            self._discard_tmpdir()
            self._current = self._start()
            self._proc = self._current.process
        current = self._current
        if current is None:
            raise RuntimeError("the environment was discarded")
        if cold:
            runtime_event = self._wait(current, time.monotonic() + _INIT_SECONDS + seconds, "ready")
            if runtime_event.kind != "ready":
                return self._failure(current, runtime_event, request_id, seconds)
        arn = invoked_function_arn or self.config["FunctionArn"]
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": arn,
        } | ({"Lambda-Runtime-Trace-Id": trace_id} if trace_id else {})
        current.api.invocations.put(Invocation(json.dumps(event).encode(), headers))
        runtime_event = self._wait(current, time.monotonic() + seconds)
        if runtime_event.kind == "response":
            result = json.loads(runtime_event.body)
            return {"status": "ok", "result": result, "log": current.output.take()}
        return self._failure(current, runtime_event, request_id, seconds)

    def kill(self) -> None:
        """End the process, and remove its files."""
        lambda_runtime.kill_workers([self])

    def _discard_tmpdir(self) -> None:
        """End the last process, if it is still running, and remove its files."""
        current, self._current, self._proc = self._current, None, None
        if current is not None:
            current.process.kill()
            current.process.wait()
            current.api.close()
            shutil.rmtree(current.temporary, ignore_errors=True)

    def _start(self) -> _Process:
        extracted = lambda_svc._docker_extracted_dir  # noqa: SLF001 (caches extracted files)
        task_root = extracted(self.code_zip, "code")
        layers = [
            extracted(lambda_svc._resolve_layer_zip(layer), "layer")  # noqa: SLF001
            for layer in self.config.get("Layers") or []
        ]
        temporary = tempfile.mkdtemp(prefix=f"{self.func_name}-")
        api = RuntimeApi()
        process = subprocess.Popen(  # noqa: S603 (all of the command is ours)
            # No folder of the tests on the path, and no new bytecode beside the code, which is
            # read-only on Lambda.
            [sys.executable, "-PB", _BOOTSTRAP, _PORTABLE_RUNTIME_CLIENT, *layers],
            cwd=task_root,
            env=environment_variables(
                self.config,
                lambda_runtime.execution_credentials(self.config),
                task_root=task_root,
                runtime_api=api.address,
                temporary=temporary,
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if process.stdout is None:
            raise RuntimeError("the process has no standard output")
        at_end = partial(api.runtime_events.put, _RuntimeEvent("end"))
        return _Process(api, process, Output(process.stdout, at_end), temporary)

    def _wait(self, current: _Process, deadline: float, *kinds: _Kind) -> _RuntimeEvent:
        """Return the event that ends a phase; "ready" ends one only if it is among the kinds."""
        while True:
            try:
                runtime_event = current.api.runtime_events.get(
                    timeout=max(0, deadline - time.monotonic())
                )
            except Empty:
                return _RuntimeEvent("timeout")
            if runtime_event.kind != "ready" or "ready" in kinds:
                return runtime_event

    def _failure(
        self, current: _Process, runtime_event: _RuntimeEvent, request_id: str, seconds: int
    ) -> Json:
        """Return Lambda's answer to a failure, and end the environment unless it can continue."""
        log = ""
        if runtime_event.kind in ("error", "init_error"):
            payload = json.loads(runtime_event.body)
            log = current.output.take()
        else:
            payload = _platform_error(runtime_event.kind, current, request_id, seconds)
            log = current.output.take() + payload["errorMessage"] + "\n"
        if runtime_event.kind != "error":
            self._discard_tmpdir()
        return {"status": "error", "error_payload": payload, "log": log}


def _platform_error(kind: _Kind, current: _Process, request_id: str, seconds: int) -> Json:
    """Return Lambda's error for a failure that the runtime client did not report."""
    if kind == "too_large":
        return {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size "
            f"({LARGEST_RESPONSE_BYTES} bytes).",
        }
    if kind == "timeout":
        error_type, text = "Sandbox.Timedout", f"Task timed out after {seconds}.00 seconds"
    else:
        error_type, text = "Runtime.ExitError", _exit_text(current.process.wait())
    return {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {text}"}


def _exit_text(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    how = f"exit status {code}" if code > 0 else f"signal: {-code}"
    return f"Runtime exited with error: {how}"
