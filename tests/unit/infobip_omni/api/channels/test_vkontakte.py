"""A VKontakte message is a text, or a template with its data."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import VKontakteContent
from infobip_omni.events.errors import read_as

from .refusals import refusal

Json = dict[str, Any]


@pytest.mark.parametrize(
    "content",
    [
        {"text": "Hello"},
        {"templateName": "welcome"},
        {"templateName": "welcome", "templateData": {"name": "Ada"}},
        {"templateName": "welcome", "templateData": {"a": 1, "b": [None], "c": {"d": True}}},
        {"text": "Hello", "templateName": "welcome", "templateData": {}},
        {"text": "Hello", "templateData": {}},
    ],
)
def test_text_and_template_are_accepted(content: Json) -> None:
    """Values are objects in Infobip's schema and texts in its examples, so any JSON passes."""
    read_as(VKontakteContent, content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "body: must hold at least one of text, templateName"),
        ({"text": "a", "templateData": {"a": "b"}}, "templateName: is required with templateData"),
        ({"templateName": "a", "templateData": ["b"]}, "templateData: must be an object"),
        ({"templateName": 1}, "templateName: must be a string"),
        ({"text": "a", "language": "en"}, "language: is not a field of this object"),
    ],
)
def test_broken_rule_is_named_with_its_member(content: Json, error: str) -> None:
    assert refusal(VKontakteContent, content) == error
