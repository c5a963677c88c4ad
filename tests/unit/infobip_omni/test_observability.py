"""Every function logs, counts and traces the same way, and shows nothing personal."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from infobip_omni.events.errors import InvalidEventError
from infobip_omni.observability import (
    UnexpectedError,
    count,
    logger,
    masked,
    metrics,
    observed,
    time_left,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

CANARY = "385915551234"
CONTEXT = cast(
    "LambdaContext",
    SimpleNamespace(
        function_name="send",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:send",
        aws_request_id="request-1",
    ),
)


@pytest.fixture(autouse=True)
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the namespace and the service, as the template does."""
    monkeypatch.setattr(metrics.provider, "namespace", "InfobipOmni")
    monkeypatch.setattr(metrics.provider, "service", "send_message")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Capture the output of the logger."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Parse the printed lines, each a JSON object."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_handler_is_called_with_event_and_context() -> None:
    handler = observed(lambda event, context: (event, context.aws_request_id))

    assert handler({"a": 1}, CONTEXT) == ({"a": 1}, "request-1")


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_event_is_never_logged(
    wanted: str, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    """Not even if the environment asks for it."""
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", wanted)

    observed(lambda event, _: event)({"to": CANARY}, CONTEXT)

    assert log.getvalue() == ""


def test_our_error_passes_through_unlogged(log: io.StringIO) -> None:
    """Its text names only a field and a rule, and Lambda logs it once already."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        raise InvalidEventError("to.phoneNumber", "must be 5 to 20 digits")

    with pytest.raises(InvalidEventError, match=r"to\.phoneNumber: must be 5 to 20 digits"):
        handler({}, CONTEXT)

    assert log.getvalue() == ""


def test_other_error_is_reduced_to_type_and_place(log: io.StringIO) -> None:
    """Lambda logs and traces the text of an error, and a library's text may quote anything."""

    @observed
    def handler(event: dict[str, str], _: LambdaContext) -> None:
        try:
            int(event["to"])
        except ValueError as error:
            raise KeyError(event["to"]) from error

    with pytest.raises(UnexpectedError) as caught:
        handler({"to": f"+{CANARY}x"}, CONTEXT)

    written = "".join(traceback.format_exception(caught.value)) + log.getvalue()
    assert CANARY not in written
    here = Path(__file__).name
    assert re.match(
        rf"KeyError at {here}:\d+ handler, .* <- ValueError at {here}", str(caught.value)
    )


def test_metrics_are_written_even_if_handler_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @observed
    def handler(_: object, __: LambdaContext) -> None:
        metrics.add_metric("MessagesQuarantined", MetricUnit.Count, 2)
        raise RuntimeError

    with pytest.raises(UnexpectedError):
        handler({}, CONTEXT)

    (written,) = lines(capsys)
    assert written["MessagesQuarantined"] == [2.0]
    assert written["service"] == "send_message"
    assert written["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "InfobipOmni"


def test_invocation_without_metrics_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    observed(lambda *_: None)({}, CONTEXT)

    assert lines(capsys) == []


def test_log_lines_are_json_with_utc_time(log: io.StringIO) -> None:
    """Each line can be searched by its fields, and names its request."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        logger.info("message handled", message_id="m-1")

    handler({}, CONTEXT)

    line = json.loads(log.getvalue())
    assert line["level"] == "INFO"
    assert line["message"] == "message handled"
    assert line["message_id"] == "m-1"
    assert line["function_request_id"] == "request-1"
    assert line["timestamp"].endswith("+00:00")


def test_log_lines_have_trace_id_of_lambda(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda traces each invocation without a library in the function."""
    root = "1-5759e988-bd862e3fe1be46a994272793"
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1")

    observed(lambda *_: logger.info("message handled"))({}, CONTEXT)

    assert json.loads(log.getvalue())["xray_trace_id"] == root


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("385915551234", "**********34"),
        ("ana@example.com", "*************om"),
        ("12345", "***45"),
        ("1234", "****"),
        ("", ""),
    ],
)
def test_masked_address_shows_at_most_its_end(address: str, shown: str) -> None:
    """That tells two recipients apart in a demonstration, and shows no more."""
    assert masked(address) == shown


#: Runs in a process of its own and forks for each case, because a function reads the log level of
#: Lambda on import. Modules that no log level affects are imported once, before the forks.
_AT_EACH_LEVEL = f"""
import json, logging, os, sys, warnings
import aws_lambda_powertools.metrics, boto3, botocore.session, pydantic, requests
session = botocore.session.get_session()
def ssm():
    return session.create_client(
        "ssm", "eu-central-1", aws_access_key_id="{CANARY}", aws_secret_access_key="{CANARY}"
    )
ssm()  # loads the description of the service, which all forks share
for level, log_format in json.loads(sys.argv[1]):
    print("case", level, log_format, flush=True)
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    os.environ.update(AWS_LAMBDA_LOG_LEVEL=level, AWS_LAMBDA_LOG_FORMAT=log_format)
    # The runtime does this before it imports a function.
    logging.getLogger().setLevel({{"TRACE": "DEBUG", "FATAL": "CRITICAL"}}.get(level, level))
    logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("talkative").setLevel("DEBUG")
    from infobip_omni.observability import logger
    for name in ("botocore.endpoint", "urllib3.connectionpool", "talkative"):
        logging.getLogger(name).critical("{CANARY}")
    warnings.warn("{CANARY}", stacklevel=1)
    client = ssm()
    def stop(**_):
        raise RuntimeError("nothing is sent")
    client.meta.events.register("before-send", stop)
    try:
        client.get_parameter(Name="{CANARY}")
    except RuntimeError:
        pass
    logger.critical("our own line")
    sys.stdout.flush()
    os._exit(0)
"""
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_FORMATS = ("JSON", "Text")


@pytest.fixture(scope="module")
def written_at_each_level() -> dict[tuple[str, str], str]:
    """Return the output of a function at each of Lambda's log levels, in each log format."""
    cases = [(level, log_format) for level in _LEVELS for log_format in _FORMATS]
    done = subprocess.run(  # noqa: S603 (all of the command is ours)
        [sys.executable, "-c", _AT_EACH_LEVEL, json.dumps(cases)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    _, *texts = re.split(r"^case .*$", done.stdout, flags=re.MULTILINE)
    return dict(zip(cases, texts, strict=True))


@pytest.mark.thorough
@pytest.mark.parametrize("log_format", _FORMATS)
@pytest.mark.parametrize("level", _LEVELS)
def test_libraries_write_nothing_at_any_log_level(
    level: str, log_format: str, written_at_each_level: dict[tuple[str, str], str]
) -> None:
    """Neither botocore's requests nor a warning reaches the log; our own lines do."""
    written = written_at_each_level[level, log_format]

    assert "our own line" in written
    assert CANARY not in written


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARN", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_each_log_level_takes_effect(level: str, written: list[str]) -> None:
    """The template sets no log level of Lambda's, so ours decides what is written."""
    script = """
from infobip_omni.observability import logger
for name in ("debug", "info", "warning", "error"):
    getattr(logger, name)(name)
"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "POWERTOOLS_LOG_LEVEL": level}

    done = subprocess.run(  # noqa: S603 (all of the command is ours)
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )

    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == written


def test_zero_count_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch bills a metric for every hour in which it is written."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        count({"ReportsRecorded": 0, "PullsSucceeded": 1})

    handler({}, CONTEXT)

    (written,) = lines(capsys)
    assert written["PullsSucceeded"] == [1.0]
    assert "ReportsRecorded" not in written


def test_time_left_is_current_and_in_seconds() -> None:
    """Lambda counts milliseconds, which run down while the function works."""
    remaining = iter([300_000, 1_500])
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: next(remaining))

    seconds_left = time_left(cast("LambdaContext", context))

    assert (seconds_left(), seconds_left()) == (300.0, 1.5)
