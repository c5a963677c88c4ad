"""Every function logs, counts and traces in the same way, and shows nothing personal."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from infobip_omni.observability import logger, masked, metrics, observed

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


def test_error_passes_through_unlogged(log: io.StringIO) -> None:
    """An error reaches the caller as it is; Lambda reports it, once."""

    @observed
    def handler(event: dict[str, str], _: LambdaContext) -> None:
        raise ValueError(event["to"])

    with pytest.raises(ValueError, match=CANARY):
        handler({"to": CANARY}, CONTEXT)

    assert log.getvalue() == ""


def test_metrics_are_written_even_when_the_handler_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was counted before an error counts."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        metrics.add_metric("MessagesQuarantined", MetricUnit.Count, 2)
        raise RuntimeError

    with pytest.raises(RuntimeError):
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
