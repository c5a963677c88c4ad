"""Checks an event as the sender checks it, and lists what one can begin with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent
from infobip_omni.scenario_registry import checked, slug
from infobip_omni.timestamps import utc_now
from tests.local_world.aws_emulator import ROOT
from tests.local_world.commands import parse_object, records
from tests.local_world.running import RefusedError

from .board import phone_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from infobip_omni.scenario_registry import ScenarioRegistry

    Json = dict[str, Any]

#: In place of the id that SQS assigns when the event is queued.
_NO_RECORD_ID = "not-queued-yet"
_EXAMPLES = "send_message*.json"


class Composer:
    """What the page offers to write events.

    Args:
        registry: Returns the registered scenarios, without a cache that is filled already, so what
            was registered a moment ago is found.
    """

    def __init__(self, registry: Callable[[], ScenarioRegistry]) -> None:
        self._registry = registry

    def offered(self) -> Json:
        """Return the registered scenarios, and the example events that belong on the queue.

        Raises:
            ParameterUnavailableError: The scenarios cannot be read.
        """
        scenarios = [
            {"name": each.name, "slug": slug(each.name), "flow": each.to_answer()["flow"]}
            for each in self._registry().all()
        ]
        return {"scenarios": scenarios, "examples": examples()}

    def check(self, text: str) -> Json:
        """Check an event.

        Args:
            text: As it would be queued.

        Returns:
            `ok`, and the `messageIds` that the event itself names and its `phones`; or the `field`
            and the `rule` that it breaks, which never quote a value.

        Raises:
            ParameterUnavailableError: The scenario cannot be read.
        """
        try:
            event = SendEvent.parse(text, _NO_RECORD_ID, utc_now())
            if event.body.scenario is not None:
                checked(event, self._registry().find(event.body.scenario))
        except InvalidEventError as error:
            is_of_all = error.field == "body" and error.rule == "must be JSON"
            rule = _rule_with_place(text) if is_of_all else error.rule
            return {"ok": False, "field": error.field, "rule": rule}
        phones = [phone_of(each.recipient.model_dump(exclude_none=True)) for each in event.messages]
        ids = [
            message.message_id
            for position, message in enumerate(event.messages)
            if message.message_id != f"{_NO_RECORD_ID}-{position}"
        ]
        return {"ok": True, "messageIds": ids, "phones": phones}


def examples() -> list[Json]:
    """Return `name` and `text` of each example event that belongs on the send queue."""
    found = []
    for path in sorted((ROOT / "events").glob(_EXAMPLES)):
        text = path.read_text()
        event = json.loads(text)
        if "Records" not in event:
            found.append({"name": path.name, "text": text})
            continue
        for number, (body, _) in enumerate(records(event), start=1):
            name = f"{path.name}, record {number}"
            found.append({"name": name, "text": json.dumps(json.loads(body), indent=2)})
    return found


def _rule_with_place(text: str) -> str:
    try:
        parse_object(text.lstrip("\ufeff"), "it")
    except RefusedError as error:
        return f"must be JSON: {error}"
    return "must be JSON"
