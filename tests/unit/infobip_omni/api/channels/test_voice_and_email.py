"""The contents of calls and e-mails are checked against Infobip's limits."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import Content, EmailContent, VoiceContent
from infobip_omni.events.errors import read_as

from .refusals import refusal

PERIOD = {"validityPeriod": 2, "validityPeriodTimeUnit": "DAYS"}


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (VoiceContent, {"text": "hi"}),
        (VoiceContent, {"text": "hi", "language": "en-gb"} | PERIOD),
        (VoiceContent, {"text": "hi", "language": None} | dict.fromkeys(PERIOD)),
        (EmailContent, {"text": "hi"}),
        (EmailContent, {"text": "hi", "subject": "x" * 1000} | PERIOD),
        (EmailContent, {"text": "hi", "subject": None} | dict.fromkeys(PERIOD)),
    ],
    ids=[
        f"{model}, {members}"
        for model in ("voice", "e-mail")
        for members in ("text", "all members", "nulls")
    ],
)
def test_content_is_accepted(model: type[Content], content: dict[str, Any]) -> None:
    read_as(model, content)


@pytest.mark.parametrize(
    ("model", "content", "error"),
    [
        (VoiceContent, {}, "text: is required"),
        (VoiceContent, {"text": ""}, "text: must not be empty"),
        (VoiceContent, {"text": "x" * 262_145}, "text: must have at most 262144 characters"),
        (VoiceContent, {"text": "hi", "language": 1}, "language: must be a string"),
        (
            VoiceContent,
            {"text": "hi", "language": "x" * 201},
            "language: must have at most 200 characters",
        ),
        (VoiceContent, {"text": "hi", "speed": 1}, "speed: is not a field of this object"),
        (EmailContent, {"subject": "hi"}, "text: is required"),
        (EmailContent, {"text": ""}, "text: must not be empty"),
        (EmailContent, {"text": "hi", "subject": ["a"]}, "subject: must be a string"),
        (
            EmailContent,
            {"text": "hi", "subject": "x" * 262_145},
            "subject: must have at most 262144 characters",
        ),
        (EmailContent, {"text": "hi", "html": "<p>"}, "html: is not a field of this object"),
    ],
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_broken_rule_is_named(model: type[Content], content: dict[str, Any], error: str) -> None:
    assert refusal(model, content) == error
