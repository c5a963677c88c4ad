"""An app upstream of the deployed application: what it sends, and what it can look up."""

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
#: Stand in everything that is sent, so that they can be looked for where they do not belong.
CANARY_NUMBER = "38598"
CANARY_TEXT = "canary text"
CANARY_KEY = "canary-key"

# Endings of phone numbers, by which the simulator chooses how messages fare.
PUSH_ARRIVES = "5555"
PUSH_FAILS = "0002"
ALL_FAIL = "0003"
REFUSED = "0004"
PUSH_STAYS_SILENT = "0005"

_SETTLED = ("DELIVERED", "UNDELIVERED", "EXPIRED", "REJECTED")


class Upstream:
    """Sends messages, each with an id, a recipient and a text of its own.

    Args:
        world: The deployed application; the scenario is created in it.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._numbers = count(1)
        world.invoke("CreateScenarioFunctionName", SCENARIO)

    def event(self, ending: str = PUSH_ARRIVES, **members: Any) -> Json:  # noqa: ANN401 (any JSON)
        """Write an event for the send queue; *ending* is that of the recipient's number."""
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
        """Put such an event on the queue and return its message id."""
        event = self.event(ending, **members)
        self.world.put_message(event)
        return str(event["messageId"])

    def send_together(self, events: Iterable[Json]) -> list[str]:
        """Put up to ten events on the queue as one batch, and return their bodies."""
        bodies = [json.dumps(event) for event in events]
        self.world.sqs.send_message_batch(
            QueueUrl=self.world.outputs["SendQueueUrl"],
            Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)],
        )
        return bodies

    def wait_for(self, message_id: str, *states: str, within_seconds: float = 20) -> Json:
        """Wait until a message has one of these states, and return its item."""
        return wait_until(
            lambda: self._item_in(message_id, states),
            within_seconds,
            f"{message_id} is {' or '.join(states)}",
        )

    def settle(self, message_id: str) -> Json:
        """Take reports until they settle a message, and return its item."""

        def item() -> Json:
            self.pull()
            return self._item_in(message_id, _SETTLED)

        return wait_until(item, 20, f"{message_id} is settled", every=0.1)

    def pull(self) -> Json:
        """Pull the delivery reports, as the schedule does, and return the function's answer."""
        answer: Json = self.world.invoke("PullDeliveryReportsFunctionName", {})
        return answer

    def reconcile(self) -> None:
        """Ask the logs, as the schedule does."""
        self.world.invoke("ReconcileMessagesFunctionName", {})

    def acceptances(self, *message_ids: str) -> dict[str, int]:
        """Return how many times Infobip has truly accepted each of these messages."""
        truth = self.world.simulator.messages(*message_ids)
        counts = dict.fromkeys(message_ids, 0)
        return counts | {entry["messageId"]: entry["acceptances"] for entry in truth}

    def attempts(self, message_id: str) -> list[Json]:
        """Return the requests that named a message, as they reached Infobip."""
        requests = self.world.simulator.requests("send_advanced")
        return [request for request in requests if message_id in request["messageIds"]]

    def dead_lettered_records(self, bodies: Collection[str]) -> list[Json]:
        """Return those dead letters that have one of these bodies."""
        return [letter for letter in self.world.dead_lettered_records() if letter["body"] in bodies]

    def wait_for_dead_lettered(self, bodies: Collection[str]) -> list[Json]:
        """Wait until records with some of these bodies were set aside, and return them."""
        return wait_until(
            lambda: self.dead_lettered_records(bodies), 20, "a record is dead-lettered"
        )

    def _item_in(self, message_id: str, states: tuple[str, ...]) -> Json:
        """Read a message's item; it is empty when there is none, or in another state."""
        item = self.world.message(message_id) or {}
        return item if item.get("state") in states else {}
