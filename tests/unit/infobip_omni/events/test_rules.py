"""Errors of invalid events use our own words, whatever is wrong."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni.events import create_scenario, find_messages, redrive_messages
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent

from .json_paths import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PHONE = "385991234567"
CONTENTS: dict[str, Any] = {
    "sms": {"text": "a", "language": {"languageCode": "TR"}, "validityPeriod": 1},
    "push": {"text": "a", "customPayload": {"a": 1}, "notificationOptions": {"sandbox": True}},
}
EVENTS: dict[str, tuple[Callable[[Any], object], Any]] = {
    "send, one recipient": (
        lambda event: SendEvent.parse(json.dumps(event), "record-1", datetime.now(UTC)),
        CONTENTS
        | {
            "scenario": "otp",
            "messageId": "m-1",
            "to": {"phoneNumber": PHONE},
            "bulkId": "b",
            "onUnknown": "must-arrive",
            "notify": False,
            "callbackData": "c",
            "sendAt": "2026-01-31T12:00:00.000+0000",
        },
    ),
    "send, several recipients": (
        lambda event: SendEvent.parse(json.dumps(event), "record-1", datetime.now(UTC)),
        CONTENTS | {"destinations": [{"messageId": "m-1", "to": {"phoneNumber": PHONE}}]},
    ),
    "create_scenario": (
        create_scenario.parse,
        {"name": "otp", "flow": [{"from": "Acme", "channel": "SMS"}], "default": True},
    ),
    "find_messages": (
        find_messages.parse,
        {"recipient": PHONE, "limit": 5, "showRecipients": True, "nextToken": "a"},
    ),
    "redrive_messages, list": (
        redrive_messages.parse,
        {"action": "list", "reason": "OUTAGE", "limit": 5, "showContent": True},
    ),
    "redrive_messages, close": (
        redrive_messages.parse,
        {"action": "close", "messageId": "m-1", "by": "ada", "why": "done"},
    ),
}
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "canary",
    "\ud800",
    "canary" * 20_000,
    [],
    ["canary"],
    {},
    {"x": 1},
]
#: The beginnings of pydantic's texts; see https://docs.pydantic.dev/latest/errors/validation_errors/.
OF_LIBRARY = re.compile(
    r"\b(Input |Field |Extra |String |List |Tuple |Dictionary |Value |Object |Decimal |URL |Keys |"
    r"Unable |Datetime |after validation|instance of)"
)


def variants(event: Any) -> Iterator[Any]:  # noqa: ANN401 (any JSON)
    """Replace and remove each part of an event in turn, and add a member beside it."""
    for path in paths(event):
        for value in ODD:
            copied, holder = copy_of(event, path)
            holder[path[-1]] = value
            yield copied
        copied, holder = copy_of(event, path)
        del holder[path[-1]]
        yield copied
        copied, holder = copy_of(event, path)
        holder["more"] = 1
        yield copied
    yield from ODD


def copy_of(event: Any, path: tuple[Any, ...]) -> tuple[Any, Any]:  # noqa: ANN401
    """Return a copy of an event, and the object in it that holds the part at a path."""
    copied = holder = copy.deepcopy(event)
    for part in path[:-1]:
        holder = holder[part]
    return copied, holder


@pytest.mark.parametrize("name", EVENTS)
def test_rules_are_in_our_words(name: str) -> None:
    """No rule is pydantic's text or our fallback, and none quotes a value."""
    parse, event = EVENTS[name]
    rules = set()
    for variant in variants(event):
        try:
            parse(variant)
        except InvalidEventError as error:
            rules.add(error.rule)

    assert len(rules) > 3
    assert [rule for rule in rules if OF_LIBRARY.search(rule)] == []
    assert "must be as the README describes it" not in rules
    assert not any("canary" in rule or "\ud800" in rule for rule in rules)
