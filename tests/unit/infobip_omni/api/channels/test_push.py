"""The content of a push is checked against Infobip's limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infobip_omni.api.channels import PushContent
from infobip_omni.events.errors import read_as

from .refusals import brief, refusal

WHOLE: dict[str, Any] = {
    "text": "Your code is 1234",
    "validityPeriod": 31,
    "validityPeriodTimeUnit": "SECONDS",
    "customPayload": {"order": 1, "total": 1.5, "tags": ["a", None], "to": {"name": "š"}},
    "notificationOptions": {
        "vibrationEnabled": True,
        "soundEnabled": False,
        "soundName": "ding",
        "badge": -1,
        "contentUrl": "https://example.com/a.png",
        "category": "orders",
        "inAppStyle": "MODAL",
        "title": "Acme",
        "isSilent": True,
        "webViewUrl": "https://example.com",
        "inboxTopic": "orders",
    },
    "targetOnlyPrimaryDevices": True,
    "includeNotificationsDisabledDevices": False,
    "personSubscriptions": ["news", "orders"],
    "deviceSubscriptions": [],
}


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        dict.fromkeys(WHOLE) | {"text": "hi"},
        {"text": "hi", "notificationOptions": dict.fromkeys(WHOLE["notificationOptions"])},
        {"text": "x" * 2000, "customPayload": {}, "notificationOptions": {}},
        {"text": "hi", "notificationOptions": {"badge": -(2**31)}},
        {"text": "hi", "notificationOptions": {"badge": 2**31 - 1}},
        {"text": "hi", "notificationOptions": {"inAppStyle": "BANNER", "contentUrl": "acme://a"}},
        {"customPayload": {"a": 1}},
        {"notificationOptions": {"isSilent": True}, "text": None},
    ],
    ids=[
        "all members",
        "nulls",
        "options of null",
        "longest text",
        "lowest badge",
        "highest badge",
        "banner",
        "data without text",
        "options without text",
    ],
)
def test_push_is_accepted(content: dict[str, Any]) -> None:
    read_as(PushContent, content)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"text": ""}, "text: must not be empty"),
        ({"text": "x" * 2001}, "text: must have at most 2000 characters"),
        ({"text": 5}, "text: must be a string"),
        ({"customPayload": "{}"}, "customPayload: must be an object"),
        ({"notificationOptions": True}, "notificationOptions: must be an object"),
        ({"targetOnlyPrimaryDevices": "true"}, "targetOnlyPrimaryDevices: must be true or false"),
        (
            {"includeNotificationsDisabledDevices": 1},
            "includeNotificationsDisabledDevices: must be true or false",
        ),
        ({"personSubscriptions": ["a", "b", "a"]}, "personSubscriptions: must not repeat an entry"),
        ({"deviceSubscriptions": ["a", "a"]}, "deviceSubscriptions: must not repeat an entry"),
        ({"deviceSubscriptions": "a"}, "deviceSubscriptions: must be a list"),
        ({"deviceSubscriptions": ["a", 1]}, "deviceSubscriptions[1]: must be a string"),
        (
            {"personSubscriptions": ["x" * 201]},
            "personSubscriptions[0]: must have at most 200 characters",
        ),
        ({"title": "Acme"}, "title: is not a field of this object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_rule_is_named(members: dict[str, Any], error: str) -> None:
    assert refusal(PushContent, {"text": "hi"} | members) == error


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"vibrationEnabled": 1}, "vibrationEnabled: must be true or false"),
        ({"soundEnabled": "yes"}, "soundEnabled: must be true or false"),
        ({"soundName": "x" * 4001}, "soundName: must have at most 4000 characters"),
        ({"badge": "5"}, "badge: must be a whole number"),
        ({"badge": 2**31}, "badge: must be at most 2147483647"),
        ({"badge": -(2**31) - 1}, "badge: must be at least -2147483648"),
        ({"contentUrl": "a.png"}, "contentUrl: must be a URL, with its scheme like https://"),
        (
            {"contentUrl": "https://a/" + "x" * 3991},
            "contentUrl: must have at most 4000 characters",
        ),
        ({"category": 1}, "category: must be a string"),
        ({"inAppStyle": "banner"}, "inAppStyle: must be one of BANNER, MODAL"),
        ({"title": "x" * 4001}, "title: must have at most 4000 characters"),
        ({"isSilent": 0}, "isSilent: must be true or false"),
        ({"webViewUrl": "/a"}, "webViewUrl: must be a URL, with its scheme like https://"),
        ({"inboxTopic": ["a"]}, "inboxTopic: must be a string"),
        ({"sandbox": True}, "sandbox: is not a field of this object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_rule_of_notification_options_is_named(members: dict[str, Any], error: str) -> None:
    content = {"text": "hi", "notificationOptions": members}

    assert refusal(PushContent, content) == f"notificationOptions.{error}"


@pytest.mark.parametrize("members", [{}, {"text": None}, {"customPayload": {}}], ids=repr)
def test_push_of_nothing_is_refused(members: dict[str, Any]) -> None:
    rule = "is required, unless there is customPayload or notificationOptions"

    assert refusal(PushContent, {"targetOnlyPrimaryDevices": True} | members) == f"text: {rule}"


def payload(characters: int, character: str = "x") -> dict[str, Any]:
    """Return a payload that takes a number of characters as compact JSON."""
    return {"data": character * (characters - len('{"data":""}'))}


@pytest.mark.parametrize(
    ("text", "custom_payload"),
    [
        ("x" * 2000, payload(2000)),
        ("x", payload(3999)),
        ("\u8a9e" * 2000, payload(2000, "\u8a9e")),
        ("\U0001f600" * 2000, payload(2000, "\U0001f600")),
        # Python writes 1e5 as 100000.0.
        ("x" * 2000, {"data": [1e5] * 900}),
        ("x" * 2000, {"data": "\ud83d"}),
    ],
    ids=["half", "all", "wide", "wider", "fractions", "broken text"],
)
def test_push_may_take_what_platform_takes(text: str, custom_payload: dict[str, Any]) -> None:
    """It counts characters, not bytes, of the shortest JSON."""
    read_as(PushContent, {"text": text, "customPayload": custom_payload})


@pytest.mark.parametrize(
    ("text", "custom_payload", "count"),
    [
        ("x" * 1900, payload(6000), 7900),
        ("x" * 2000, payload(2001), 4001),
        ("x", payload(4000), 4001),
        (None, payload(4001), 4001),
        ("x" * 2000, payload(2001, "\u8a9e"), 4001),
        ("x" * 2000, {"data": [1e5] * 1000}, 4010),
    ],
    ids=brief,
)
def test_push_that_is_too_large_is_refused(
    text: str | None, custom_payload: dict[str, Any], count: int
) -> None:
    """Infobip would refuse the push, and a paid SMS would follow."""
    content = {"text": text, "customPayload": custom_payload}

    rule = f"must fit into 4000 characters together with text; they take {count}"
    assert refusal(PushContent, content) == f"customPayload: {rule}"


def test_white_space_of_payload_does_not_count() -> None:
    written = json.dumps({"data": list(range(500))}, indent=8)

    assert len(written) > 4000
    read_as(PushContent, {"text": "hi", "customPayload": json.loads(written)})
