"""Every function logs, counts and traces in the same way, and shows nothing personal."""

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
    """Give the metrics a namespace, as the template does."""
    monkeypatch.setattr(metrics.provider, "namespace", "InfobipOmni")
    monkeypatch.setattr(metrics.provider, "service", "send_message")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Catch what the logger writes."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read what was printed; each line is a JSON object."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_handler_is_called_with_event_and_context() -> None:
    """The decorated handler answers what the handler answers."""
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


def test_error_of_ours_passes_through_unlogged(log: io.StringIO) -> None:
    """An error whose text names a field and a rule reaches the caller; Lambda reports it, once."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        raise InvalidEventError("to.phoneNumber", "must be 5 to 20 digits")

    with pytest.raises(InvalidEventError, match=r"to\.phoneNumber: must be 5 to 20 digits"):
        handler({}, CONTEXT)

    assert log.getvalue() == ""


def test_error_that_is_not_ours_leaves_with_its_type_and_place_alone(log: io.StringIO) -> None:
    """Lambda logs and traces the text of an error, and that of a library may quote anything."""

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


def test_metrics_are_written_even_when_the_handler_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was counted before an error counts."""

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


def test_nothing_is_written_where_nothing_was_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """An invocation without metrics neither prints nor warns."""
    observed(lambda *_: None)({}, CONTEXT)

    assert lines(capsys) == []


def test_log_lines_are_json_with_utc_time(log: io.StringIO) -> None:
    """Each line can be searched by its fields, and names the request."""

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


def test_log_lines_carry_the_trace_id_of_lambda(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line leads to its trace, which Lambda records without a library in the function."""
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
def test_masked_address_shows_its_end_at_most(address: str, shown: str) -> None:
    """Enough to tell two recipients apart in a demonstration, and no more."""
    assert masked(address) == shown


#: Runs in a process of its own, which a fork is for each case: the platform's level is read where
#: a function is imported. Only what no level has a say in is imported once for all.
_AT_EACH_LEVEL = f"""
import json, logging, os, sys, warnings
import aws_lambda_powertools.metrics, boto3, botocore.session, pydantic, requests
session = botocore.session.get_session()
def ssm():
    return session.create_client(
        "ssm", "eu-central-1", aws_access_key_id="{CANARY}", aws_secret_access_key="{CANARY}"
    )
ssm()  # reads the descriptions of the service, which all share
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
    """Return what a function writes at each level of Lambda's, in each of its formats."""
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


@pytest.mark.parametrize("log_format", _FORMATS)
@pytest.mark.parametrize("level", _LEVELS)
def test_no_library_writes_whatever_level_lambda_has_set(
    level: str, log_format: str, written_at_each_level: dict[tuple[str, str], str]
) -> None:
    """Neither botocore's requests nor a warning reaches the log; our own lines do."""
    written = written_at_each_level[level, log_format]

    assert "our own line" in written
    assert CANARY not in written


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARN", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_log_level_takes_effect_at_each_of_its_values(level: str, written: list[str]) -> None:
    """Without a level of Lambda's, as the template leaves it, ours decides what is written."""
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


def test_zero_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch bills a metric for every hour in which it is written."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        count({"ReportsRecorded": 0, "PullsSucceeded": 1})

    handler({}, CONTEXT)

    (written,) = lines(capsys)
    assert written["PullsSucceeded"] == [1.0]
    assert "ReportsRecorded" not in written


def test_time_left_is_told_in_seconds_and_as_of_now() -> None:
    """Lambda counts milliseconds, and they run while the function does."""
    remaining = iter([300_000, 1_500])
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: next(remaining))

    seconds_left = time_left(cast("LambdaContext", context))

    assert (seconds_left(), seconds_left()) == (300.0, 1.5)
