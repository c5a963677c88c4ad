"""An upstream app: the events that it sends, and what it can look up."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.local_world.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tests.local_world.world import Json, World

SCENARIO: Json = {
    "name": "Order updates",
    "flow": [
        {"from": "canary-app", "channel": "PUSH"},
        {"from": "Acme", "channel": "SMS"},
    ],
}
#: Part of every event sent, so tests can search for them in places where they must not be.
CANARY_NUMBER = "38598"
CANARY_TEXT = "canary text"
CANARY_KEY = "canary-key"

# The last digits of a phone number decide what the simulator does with its messages.
PUSH_ARRIVES = "5555"
PUSH_FAILS = "0002"
ALL_FAIL = "0003"
REFUSED = "0004"
PUSH_STAYS_SILENT = "0005"

_SETTLED = ("DELIVERED", "UNDELIVERED", "EXPIRED", "REJECTED")


class Upstream:
    """Sends messages, each with its own id, recipient and text.

    Args:
        world: The deployed application; the scenario is created in it.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._numbers = count(1)
        world.invoke("CreateScenarioFunctionName", SCENARIO)

    def event(self, ending: str = PUSH_ARRIVES, **members: Any) -> Json:  # noqa: ANN401 (any JSON)
        """Build an event for the send queue; *ending* is the end of the recipient's number."""
        number = next(self._numbers)
        text = f"{CANARY_TEXT} {number}"
        return {
            "scenario": "order-updates",
            "messageId": f"message-{number}",
            "to": {"phoneNumber": f"{CANARY_NUMBER}{number:03d}{ending}"},
            "push": {"text": text},
            "sms": {"text": text},
        } | members

    def send(self, ending: str = PUSH_ARRIVES, **members: Any) -> str:  # noqa: ANN401 (any JSON)
        """Queue such an event, and return its message id."""
        event = self.event(ending, **members)
        self.world.put_message(event)
        return str(event["messageId"])

    def send_together(self, events: Iterable[Json]) -> list[str]:
        """Queue up to ten events as one batch, and return their bodies."""
        bodies = [json.dumps(event) for event in events]
        self.world.sqs.send_message_batch(
            QueueUrl=self.world.outputs["SendQueueUrl"],
            Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)],
        )
        return bodies

    def wait_for(self, message_id: str, *states: str, within_seconds: float = 60) -> Json:
        """Wait until a message has one of these states, and return its item."""
        return wait_until(
            lambda: self._item_in(message_id, states),
            within_seconds,
            f"{message_id} is {' or '.join(states)}",
            every=0.1,
        )

    def settle(self, message_id: str) -> Json:
        """Pull delivery reports until a message is settled, and return its item."""

        def item() -> Json:
            self.pull()
            return self._item_in(message_id, _SETTLED)

        return wait_until(item, 60, f"{message_id} is settled", every=0.2)

    def pull(self) -> Json:
        """Pull delivery reports, as the schedule does, and return the function's answer."""
        answer: Json = self.world.invoke("PullDeliveryReportsFunctionName", {})
        return answer

    def reconcile(self) -> None:
        """Reconcile messages with Infobip's logs, as the schedule does."""
        self.world.invoke("ReconcileMessagesFunctionName", {})

    def acceptances(self, *message_ids: str) -> dict[str, int]:
        """Return how often Infobip has really accepted each of these messages."""
        truth = self.world.simulator.messages(*message_ids)
        counts = dict.fromkeys(message_ids, 0)
        return counts | {entry["messageId"]: entry["acceptances"] for entry in truth}

    def attempts(self, message_id: str) -> list[Json]:
        """Return the requests for a message, as Infobip received them."""
        requests = self.world.simulator.requests("send_advanced")
        return [request for request in requests if message_id in request["messageIds"]]

    def dead_lettered_records(self, bodies: Collection[str]) -> list[Json]:
        """Return the dead-lettered records that have one of these bodies."""
        return [record for record in self.world.dead_lettered_records() if record["body"] in bodies]

    def wait_for_dead_lettered(self, bodies: Collection[str]) -> list[Json]:
        """Wait until records with any of these bodies are dead-lettered, and return them."""
        return wait_until(
            lambda: self.dead_lettered_records(bodies), 60, "a record is dead-lettered", every=0.2
        )

    def _item_in(self, message_id: str, states: tuple[str, ...]) -> Json:
        """Return a message's item, or an empty one if there is none or it has another state."""
        item = self.world.message(message_id) or {}
        return item if item.get("state") in states else {}
