"""Fixtures and helpers shared by the tests of all functions.

Each module has a `Harness` of the same shape. Its fields are the fakes that the function works
with; `dependencies` passes them to the function, `run` calls the function's core, and `invoke`
calls the handler as Lambda does. The fixture `harness` builds one without failures, and makes the
handler use it.
"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from infobip_omni.observability import logger, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext

    Log = Callable[[], list[dict[str, Any]]]
    Printed = Callable[[], str]

PHONE = "385991234567"
TEXT = "canary text"
#: The context that Lambda passes with each event, with enough time left.
CONTEXT = cast(
    "LambdaContext",
    SimpleNamespace(
        function_name="function",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:function",
        aws_request_id="request-1",
        get_remaining_time_in_millis=lambda: 300_000,
    ),
)


def report_of(message_id: str, **changes: object) -> dict[str, Any]:
    """Build a delivery report."""
    return {
        "bulkId": "bulk-1",
        "messageId": message_id,
        "to": PHONE,
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": "2026-01-31T12:00:05.000+0000",
        "channel": "SMS",
        "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"},
        "callbackData": TEXT,
        "contact": None,
    } | changes


def page_of(*entries: object) -> bytes:
    """Build a body of reports, as in Infobip's pages and webhook calls."""
    return json.dumps({"results": entries}).encode()


def metrics_in(text: str) -> list[dict[str, Any]]:
    """Return the metrics of each invocation from printed text."""
    return [json.loads(line) for line in text.splitlines() if "_aws" in line]


@pytest.fixture(autouse=True)
def _metrics_of_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the namespace, as the template does, and keep the metrics of tests apart."""
    monkeypatch.setattr(metrics.provider, "namespace", "InfobipOmni")
    metrics.clear_metrics()
    yield
    metrics.clear_metrics()


@pytest.fixture
def log_stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Capture the logger's output."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def log(log_stream: io.StringIO) -> Log:
    """Return a function that reads the log lines so far."""
    return lambda: [json.loads(line) for line in log_stream.getvalue().splitlines()]


@pytest.fixture
def printed(log_stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that reads the log lines so far, and the metrics since its last call."""
    return lambda: log_stream.getvalue() + capsys.readouterr().out
