"""What stands behind the page in a test: a deployment, and an app that sends through it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.local_world.aws_emulator import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.local_world.world import Json, World

#: The scenario that the page offers where there is none.
SCENARIO: Json = json.loads((ROOT / "events/create_scenario.json").read_text())
PUSH_TEXT = "Your parcel is on its way."
SMS_TEXT = "Acme: your parcel is on its way."
#: Endings of numbers that no test uses decide what the simulator does; this one decides nothing.
_ENDING = "5555"


class Scene:
    """A deployment with the page in front of it.

    Args:
        world: The deployment.
        url: Of the page.
    """

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url

    def new_phone(self) -> str:
        """Return a number that no other message has gone to."""
        return f"38591{next(self._numbers):03d}{_ENDING}"

    def link(self, event: Json, tab: str = "message") -> str:
        """Return the URL that shows a message and its phone, even before it is sent."""
        shown = {"phone": event["to"]["phoneNumber"], "message": event["messageId"], "tab": tab}
        return f"{self.url}#{urlencode(shown)}"

    def event(self, **members: object) -> Json:
        """Build an event for the send queue, whose phone gets no other message."""
        return {
            "scenario": "order-updates",
            "messageId": f"parcel-{next(self._numbers)}",
            "to": {"phoneNumber": self.new_phone()},
            "push": {"text": PUSH_TEXT},
            "sms": {"text": SMS_TEXT},
        } | members

    def put(self, event: Json) -> None:
        """Put an event on the send queue."""
        self.world.put_message(event)

    def acceptances(self, event: Json) -> int:
        """Return how often Infobip has really accepted a message."""
        found = self.world.simulator.messages(event["messageId"])
        return sum(each["acceptances"] for each in found)


def as_text(event: Mapping[str, object]) -> str:
    """Return an event as a developer writes it."""
    return json.dumps(event, indent=2)
