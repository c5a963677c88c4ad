"""Events of functions are read as JSON, and as the text of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni.events import create_scenario, find_messages, redrive_messages
from infobip_omni.events.errors import InvalidEventError, opened

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS: list[tuple[Callable[[object], object], dict[str, Any]]] = [
    (create_scenario.parse, {"name": "otp", "flow": [{"from": "Acme", "channel": "SMS"}]}),
    (find_messages.parse, {"messageId": "m-1"}),
    (redrive_messages.parse, {"action": "list"}),
]


@pytest.mark.parametrize(("parse", "event"), EVENTS)
@pytest.mark.parametrize("around", ["", "\ufeff", " \r\n", "\n\ufeff\xa0"])
def test_text_of_event_is_read_like_event(
    parse: Callable[[object], object], event: dict[str, Any], around: str
) -> None:
    """Some tools pass a file's text, with what an editor has put around it."""
    assert parse(f"{around}{json.dumps(event)}{around}") == parse(event)


@pytest.mark.parametrize(("parse", "_"), EVENTS)
@pytest.mark.parametrize("event", ["canary", '{"canary": ', "[" * 100_000, "9" * 5000, '"{}"'])
def test_text_that_is_no_event_is_refused(
    parse: Callable[[object], object], _: object, event: str
) -> None:
    with pytest.raises(InvalidEventError) as refused:
        parse(event)

    assert "canary" not in str(refused.value)


def test_text_is_opened_once() -> None:
    assert opened(json.dumps('{"a": 1}')) == '{"a": 1}'
