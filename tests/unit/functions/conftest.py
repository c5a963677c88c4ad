"""What the tests of all functions need: Lambda's context, and what a function has printed."""

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

#: What Lambda passes along with each event: there is time enough for everything.
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


@pytest.fixture(autouse=True)
def _metrics_of_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the metrics a namespace, as the template does; no test sees those of another."""
    monkeypatch.setattr(metrics.provider, "namespace", "InfobipOmni")
    metrics.clear_metrics()
    yield
    metrics.clear_metrics()


@pytest.fixture
def log_stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Catch what the logger writes."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def log(log_stream: io.StringIO) -> Log:
    """Return what reads the log lines so far."""
    return lambda: [json.loads(line) for line in log_stream.getvalue().splitlines()]


@pytest.fixture
def printed(log_stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return what reads the log lines so far, and the metrics since it was last asked."""
    return lambda: log_stream.getvalue() + capsys.readouterr().out
