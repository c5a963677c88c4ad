"""Functions in the local world get Lambda's environment, and fail as they do on Lambda."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_world.aws_emulator import (
    REGION,
    ROOT,
    AwsEmulator,
)
from tests.local_world.clients import options, session
from tests.local_world.lambda_environment import (
    LARGEST_ASYNCHRONOUS_REQUEST_BYTES,
    LARGEST_RESPONSE_BYTES,
    TOO_LARGE_REQUEST_BYTES,
    Output,
)
from tests.local_world.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Json = dict[str, Any]

ACCOUNT = "000000000000"
PORTABLE = str(ROOT / "tests/local_world/portable_runtime_client")
NUMBERS = count()
SOURCE = """
import logging, os, sys, time

COUNT = [0]

def lambda_handler(event, context):
    return globals()[event.pop("do")](context, **event)

def environment(context):
    return dict(os.environ)

def paths(context):
    import runtime_client
    return {"sys": sys.path, "cwd": os.getcwd(), "client": runtime_client.__file__}

def context_values(context):
    return {
        "request": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "milliseconds": context.get_remaining_time_in_millis(),
        "name": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
    }

def counted(context):
    COUNT[0] += 1
    return [COUNT[0], os.getpid()]

def failing(context):
    raise LookupError("nowhere: čaršija")

def sleeping(context, seconds):
    time.sleep(seconds)

def exiting(context, code):
    os._exit(code)

def sized(context, size):
    return "x" * (size - 2)  # plus two quotes

def length(context, text):
    return len(text)

def logging_(context):
    print("printed")
    logging.debug("a debug line")
    logging.info("an info line")
    logging.warning("a warning")

def talkative(context, lines):
    for _ in range(lines):
        print("printed")

def place(context, module):
    return __import__(module).WHERE
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    with AwsEmulator() as running:
        yield running


def client(emulator: AwsEmulator, service: Any) -> Any:  # noqa: ANN401 (any service, any client)
    """Create a client of the emulator that does not retry."""
    once = {"total_max_attempts": 1}
    return session().client(service, **options(emulator.url, retries=once))


class Functions:
    """Creates functions from source code, and invokes them."""

    def __init__(self, client_of: Callable[[Any], Any]) -> None:
        self.client = client_of("lambda")
        self.logs = client_of("logs")
        trust = {"Version": "2012-10-17", "Statement": []}
        self._role = client_of("iam").create_role(
            RoleName="functions", AssumeRolePolicyDocument=json.dumps(trust)
        )["Role"]["Arn"]

    def create(
        self, source: str = SOURCE, variables: dict[str, str] | None = None, **members: object
    ) -> str:
        """Create a function, and return its name."""
        name = f"function-{next(NUMBERS)}"
        self.client.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.13",
                "Role": self._role,
                "Handler": "app.lambda_handler",
                "Code": {"ZipFile": zipped({"app.py": source})},
                "Environment": {"Variables": variables or {}},
                "Timeout": 5,
            }
            | members
        )
        return name

    def invoke(self, name: str, event: object, **members: object) -> Any:  # noqa: ANN401 (JSON)
        """Invoke a function, and return its answer or its error."""
        answer = self.client.invoke(FunctionName=name, Payload=json.dumps(event), **members)
        return json.loads(answer["Payload"].read())

    def call(self, name: str, do: str, **event: object) -> Any:  # noqa: ANN401 (JSON)
        """Invoke one of the operations of a function made from `SOURCE`."""
        return self.invoke(name, {"do": do} | event)

    def lines(self, name: str) -> list[str]:
        """Return the log lines of a function."""
        found = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        return [event["message"] for event in found]


@pytest.fixture(scope="module")
def functions(emulator: AwsEmulator) -> Functions:
    return Functions(partial(client, emulator))


@pytest.fixture(scope="module")
def plain(functions: Functions) -> str:
    return functions.create()


@pytest.fixture(scope="module", params=["compiled", "portable"])
def function(functions: Functions, request: pytest.FixtureRequest) -> str:
    """Create a function that runs under the compiled client, then one under the portable client."""
    return functions.create(
        variables={} if request.param == "compiled" else {"PYTHONPATH": PORTABLE},
        TracingConfig={"Mode": "Active"},
    )


def zipped(files: dict[str, str]) -> bytes:
    """Return a zip archive of files, given by path."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def test_compiled_runtime_client_is_the_default(functions: Functions, plain: str) -> None:
    """AWS's compiled client is used wherever it can be imported."""
    assert functions.call(plain, "paths")["client"].endswith(".so")


def test_portable_client_is_used_if_it_is_found_first(functions: Functions) -> None:
    """Other tests in this file rely on it to run under both clients."""
    name = functions.create(variables={"PYTHONPATH": PORTABLE})

    assert functions.call(name, "paths")["client"] == f"{PORTABLE}/runtime_client.py"


def test_portable_client_replaces_one_that_cannot_be_imported(tmp_path: Path) -> None:
    """On macOS, `make setup` installs a client that is compiled for another system."""
    other_version = "3.12" if sys.version_info[:2] == (3, 13) else "3.13"
    subprocess.run(  # noqa: S603 (no untrusted input)
        [
            *("make", "-C", str(ROOT), "runtime-elsewhere", f"FUNCTIONS_VENV={tmp_path}/venv"),
            f"ELSEWHERE=--python-version {other_version} --python-platform x86_64-manylinux_2_28",
        ],
        capture_output=True,
        check=True,
    )

    with AwsEmulator(functions_python=tmp_path / "venv/bin/python") as emulator:
        functions = Functions(partial(client, emulator))
        name = functions.create()
        paths, error = functions.call(name, "paths"), functions.call(name, "failing")

    assert paths["client"] == f"{PORTABLE}/runtime_client.py"
    assert error["errorType"] == "LookupError"


def test_portable_client_is_last_on_the_path(functions: Functions, plain: str) -> None:
    """It never shadows the compiled client."""
    assert functions.call(plain, "paths")["sys"][-1] == PORTABLE


def test_context_describes_the_invocation_as_on_lambda(functions: Functions, function: str) -> None:
    first, second = (functions.call(function, "context_values") for _ in range(2))

    assert first["request"] != second["request"]
    assert first["arn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    assert (first["name"], first["version"], first["memory"]) == (function, "$LATEST", "128")
    assert first["group"] == f"/aws/lambda/{function}"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", first["stream"])
    assert first["stream"] == second["stream"]


def test_remaining_time_restarts_with_each_invocation(functions: Functions, function: str) -> None:
    functions.call(function, "sleeping", seconds=0.5)

    assert 4500 < functions.call(function, "context_values")["milliseconds"] <= 5000


def test_trace_id_changes_with_each_invocation(functions: Functions, function: str) -> None:
    first, second = (functions.call(function, "context_values")["trace"] for _ in range(2))

    assert first != second
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=1", first)


def test_arn_has_the_qualifier_that_was_invoked(functions: Functions, function: str) -> None:
    """The version in the context is the one that the qualifier points to."""
    version = functions.client.publish_version(FunctionName=function)["Version"]
    functions.client.create_alias(FunctionName=function, Name="live", FunctionVersion=version)

    by_version, by_alias = (
        functions.invoke(function, {"do": "context_values"}, Qualifier=qualifier)
        for qualifier in (version, "live")
    )

    assert by_version["arn"].endswith(f":function:{function}:{version}")
    assert by_alias["arn"].endswith(f":function:{function}:live")
    assert by_version["version"] == by_alias["version"] == version


def test_environment_is_reused(functions: Functions, function: str) -> None:
    """Module state survives until the next invocation, in the same process."""
    (first, process), (second, same) = (functions.call(function, "counted") for _ in range(2))

    assert (second, same) == (first + 1, process)


def test_error_has_type_message_and_stack_trace(functions: Functions, function: str) -> None:
    error = functions.call(function, "failing")

    assert (error["errorType"], error["errorMessage"]) == ("LookupError", "nowhere: čaršija")
    assert error["requestId"]
    assert 'app.py", line' in error["stackTrace"][-1]


def test_environment_survives_an_error(functions: Functions, function: str) -> None:
    """The next invocation runs in the process that raised."""
    process = functions.call(function, "counted")[1]
    functions.call(function, "failing")

    assert functions.call(function, "counted")[1] == process


def test_function_that_exits_fails_and_is_restarted(functions: Functions, function: str) -> None:
    """The caller gets the exit status; the next invocation runs in a new process."""
    process = functions.call(function, "counted")[1]
    error = functions.call(function, "exiting", code=7)

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: exit status 7")
    assert functions.call(function, "counted")[1] != process


def test_module_that_cannot_be_imported_fails_each_invocation(functions: Functions) -> None:
    """The caller gets the runtime's own error."""
    name = functions.create("import not_there")

    errors = [functions.invoke(name, {}) for _ in range(2)]

    assert [error["errorType"] for error in errors] == ["Runtime.ImportModuleError"] * 2
    assert "No module named 'not_there'" in errors[0]["errorMessage"]


def test_module_that_exits_fails_the_invocation(functions: Functions) -> None:
    """The error has the exit status of a process that ends before it asks for an event."""
    error = functions.invoke(functions.create("import os; os._exit(3)"), {})

    assert error["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in error["errorMessage"]


def test_function_that_times_out_is_restarted(functions: Functions) -> None:
    """The caller gets the timeout; the next invocation runs in a new process."""
    name = functions.create(Timeout=1)
    process = functions.call(name, "counted")[1]

    error = functions.call(name, "sleeping", seconds=60)

    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert functions.call(name, "counted")[1] != process


def test_environment_has_no_unexpected_variables(functions: Functions) -> None:
    """Only Lambda's variables, the declared ones, the emulator's URL and TMPDIR are set."""
    name = functions.create(variables={"DECLARED": "value"}, MemorySize=256)

    found = functions.call(name, "environment")

    # Python itself sets LC_CTYPE on machines without the locale of LANG.
    assert found.keys() - {"LC_CTYPE"} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "DECLARED",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "LANG",
        "PATH",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
        "_HANDLER",
    }
    assert {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_REGION": REGION,
        "DECLARED": "value",
        "LANG": "en_US.UTF-8",
        "PYTHONPATH": found["LAMBDA_RUNTIME_DIR"],
        "TZ": ":UTC",
        "_HANDLER": "app.lambda_handler",
    }.items() <= found.items()


def test_credentials_are_temporary(functions: Functions, plain: str) -> None:
    """Temporary keys come with a session token."""
    found = functions.call(plain, "environment")

    assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert found["AWS_SESSION_TOKEN"]


def test_reserved_variables_cannot_be_overridden(
    functions: Functions, emulator: AwsEmulator
) -> None:
    """A function can declare neither another endpoint nor another name for itself."""
    name = functions.create(
        variables={"AWS_ENDPOINT_URL": "https://aws.test", "AWS_LAMBDA_FUNCTION_NAME": "other"}
    )

    found = functions.call(name, "environment")

    assert found["AWS_ENDPOINT_URL"] == emulator.url
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == name


@pytest.mark.parametrize(
    ("logging", "variables"),
    [
        ({"LogFormat": "Text"}, {"AWS_LAMBDA_LOG_FORMAT": "Text"}),
        (
            {"LogFormat": "JSON"},
            {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"},
        ),
        (
            {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
            {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"},
        ),
    ],
    ids=["text", "json", "debug"],
)
def test_logging_configuration_reaches_the_runtime(
    functions: Functions, logging: Json, variables: dict[str, str]
) -> None:
    """The format is always set, the level only for JSON, where INFO is the default."""
    name = functions.create(LoggingConfig=logging)

    found = functions.call(name, "environment")

    names = ("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL")
    assert {key: found[key] for key in names if key in found} == variables


def test_platform_log_level_applies_to_the_root_logger(functions: Functions) -> None:
    """With DEBUG, lines of every library are logged as JSON, as by Lambda's runtime."""
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"}
    name = functions.create(LoggingConfig=logging)

    functions.call(name, "logging_")

    written = [json.loads(line) for line in functions.lines(name) if line.startswith("{")]
    assert [line["message"] for line in written] == ["a debug line", "an info line", "a warning"]
    assert "printed" in functions.lines(name)


def test_text_logs_keep_pythons_default_level(functions: Functions) -> None:
    """The text format has no level, so the root logger logs warnings and errors."""
    name = functions.create()

    functions.call(name, "logging_")

    text = "\n".join(functions.lines(name))
    assert "a warning" in text
    assert "an info line" not in text


def test_log_is_complete_when_the_invocation_returns(functions: Functions, function: str) -> None:
    """No line is left for the next invocation, however many there are."""
    functions.call(function, "talkative", lines=3000)
    first = functions.lines(function)
    functions.call(function, "counted")

    assert first.count("printed") == 3000
    assert functions.lines(function).count("printed") == 3000


def test_printed_output_can_be_taken_immediately() -> None:
    """This does not depend on whether the reading thread has already read it."""
    reading, writing = os.pipe()
    ended = threading.Event()
    taken = []

    with os.fdopen(reading, "rb") as stream:
        output = Output(stream, ended.set)
        for _ in range(500):
            os.write(writing, b"printed\n")
            taken.append(output.take())
        os.close(writing)
        assert ended.wait(5)

    assert taken == ["printed\n"] * 500


def test_code_precedes_the_layer_and_the_layer_the_runtime(functions: Functions) -> None:
    """The import path is Lambda's: the code, the layer's two folders, the runtime's packages."""
    python = functions.call(functions.create(), "environment")["LAMBDA_RUNTIME_DIR"].split("/")[-2]
    library = f"python/lib/{python}/site-packages"
    layer = functions.client.publish_layer_version(
        LayerName="layer",
        Content={
            "ZipFile": zipped(
                {
                    "python/in_code.py": "WHERE = 'layer'",
                    "python/in_layer.py": "WHERE = 'layer'",
                    "python/in_library.py": "WHERE = 'layer'",
                    f"{library}/in_library.py": "WHERE = 'library'",
                }
            )
        },
    )["LayerVersionArn"]
    code = {"app.py": SOURCE, "in_code.py": "WHERE = 'code'"}
    name = functions.create(Layers=[layer], Code={"ZipFile": zipped(code)})

    found = {
        module: functions.call(name, "place", module=module)
        for module in ("in_code", "in_layer", "in_library")
    }
    paths = functions.call(name, "paths")
    environment = functions.call(name, "environment")

    assert found == {"in_code": "code", "in_layer": "layer", "in_library": "library"}
    task_root, in_library, in_layer, *rest = paths["sys"]
    assert task_root == paths["cwd"] == environment["LAMBDA_TASK_ROOT"]
    assert in_library.endswith(f"/{library}")
    assert in_layer == in_library.removesuffix(f"/lib/{python}/site-packages")
    assert environment["LAMBDA_RUNTIME_DIR"] in rest
    assert not [path for path in rest if path == str(ROOT) or "/.venv/" in path]


def test_request_may_be_just_below_six_megabytes(functions: Functions, plain: str) -> None:
    event = json.dumps({"do": "length", "text": ""})
    text = "x" * (TOO_LARGE_REQUEST_BYTES - len(event) - 1)

    assert functions.call(plain, "length", text=text) == len(text)


def test_request_of_six_megabytes_is_refused(functions: Functions, plain: str) -> None:
    """Lambda's API answers 413."""
    event = json.dumps({"do": "length", "text": ""})
    text = "x" * (TOO_LARGE_REQUEST_BYTES - len(event))

    with pytest.raises(ClientError, match="smaller than 6291456 bytes") as raised:
        functions.call(plain, "length", text=text)

    assert raised.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.parametrize("surplus", [0, 1])
def test_asynchronous_request_may_be_one_megabyte(
    functions: Functions, plain: str, surplus: int
) -> None:
    """One byte more is refused."""
    event = json.dumps({"do": "length", "text": ""})
    text = "x" * (LARGEST_ASYNCHRONOUS_REQUEST_BYTES - len(event) + surplus)
    payload = json.dumps({"do": "length", "text": text})

    def status() -> int:
        answer = functions.client.invoke(
            FunctionName=plain, InvocationType="Event", Payload=payload
        )
        found: int = answer["StatusCode"]
        return found

    if surplus:
        with pytest.raises(functions.client.exceptions.RequestTooLargeException):
            status()
    else:
        assert status() == 202


def test_answer_may_be_six_megabytes(functions: Functions, function: str) -> None:
    answer = functions.call(function, "sized", size=LARGEST_RESPONSE_BYTES)

    assert len(answer) == LARGEST_RESPONSE_BYTES - 2


def test_larger_answer_is_an_error(functions: Functions, function: str) -> None:
    """The caller gets the error, and the next invocation succeeds."""
    error = functions.call(function, "sized", size=LARGEST_RESPONSE_BYTES + 1)

    assert error == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size "
        "(6291556 bytes).",
    }
    assert functions.call(function, "counted")


def test_concurrent_invocations_have_separate_environments(functions: Functions) -> None:
    """One environment handles one invocation at a time."""
    name = functions.create()
    first = functions.call(name, "counted")[1]
    functions.client.invoke(
        FunctionName=name,
        InvocationType="Event",
        Payload=json.dumps({"do": "sleeping", "seconds": 1}),
    )

    wait_until(lambda: functions.call(name, "counted")[1] != first, 1, "another process answers")
