"""The version that functions log is the one that CHANGELOG.md describes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from infobip_omni import __version__
from infobip_omni.observability import logger, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

ROOT = Path(__file__).parents[3]
CONTEXT = cast(
    "LambdaContext",
    SimpleNamespace(
        function_name="send",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:send",
        aws_request_id="request-1",
    ),
)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def test_version_is_the_newest_of_the_changelog() -> None:
    """A release that forgets one of the two fails here."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\d+\.\d+\.\d+)\b", text, re.MULTILINE)

    assert __version__ == headings[0]


def test_every_log_line_holds_the_version(log: io.StringIO) -> None:
    """Also in the second invocation of an environment, whose logger starts without keys."""

    @observed
    def handler(_: object, __: LambdaContext) -> None:
        logger.append_keys(message_id="m-1")
        logger.info("message handled")
        logger.warning("records keep the queue's visibility timeout", count=1)

    handler({}, CONTEXT)
    handler({}, CONTEXT)
    logger.info("outside of an invocation")

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["version"] for line in lines] == [__version__] * 5
