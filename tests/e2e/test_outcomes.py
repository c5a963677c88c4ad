"""Upstream apps look up outcomes, and receive them on an event bus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from tests.local_world.world import FunctionFailedError, World, wait_until

from .upstream import CANARY_NUMBER, CANARY_TEXT, PUSH_FAILS, PUSH_STAYS_SILENT, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import Json

BUS = "outcomes"


class Listener:
    """An upstream app that receives events from the bus, through the world's rule and queue."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.received: list[Json] = []

    def details(self, message_id: str) -> list[Json]:
        """Return the details of all events about a message so far."""
        self.received += [event["detail"] for event in self.world.take_outcome_events()]
        return [detail for detail in self.received if detail["messageId"] == message_id]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Deploy with a bus for outcome events."""
    with World(parameters={"ReconcileAfterSeconds": 1, "OutcomeEventBusName": BUS}) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(world: World) -> Upstream:
    """Create the scenario, and return an upstream app that uses it."""
    return Upstream(world)


@pytest.fixture(scope="module")
def listener(world: World) -> Listener:
    """Return a listener on the bus."""
    return Listener(world)


def write(world: World, *items: Json) -> None:
    """Overwrite a message's item, one change after the other."""
    serialize = TypeSerializer().serialize
    for item in items:
        wire = {name: serialize(value) for name, value in item.items()}
        world.dynamodb.put_item(TableName=world.outputs["MessagesTableName"], Item=wire)


def find(world: World, **event: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Look messages up."""
    answer: Json = world.invoke("FindMessagesFunctionName", event)
    return answer


def test_upstream_app_gets_one_event_for_each_state_that_a_message_settles_in(
    upstream: Upstream, listener: Listener
) -> None:
    """It gets none while the message is in transit, and none for any other change."""
    message_id = upstream.send(PUSH_FAILS, callbackData="order 7")
    delivered = upstream.settle(message_id)
    wait_until(lambda: listener.details(message_id), 60, "the upstream app gets the event")

    write(upstream.world, delivered | {"evidence": "logs"}, delivered | {"state": "UNDELIVERED"})
    wait_until(lambda: len(listener.details(message_id)) > 1, 60, "the upstream app gets the event")

    first, second = listener.details(message_id)
    assert first == {
        "messageId": message_id,
        "state": "DELIVERED",
        "channel": "SMS",
        "scenario": "order-updates",
        "callbackData": "order 7",
        "doneAt": delivered["doneAt"],
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
    }
    assert second == first | {"state": "UNDELIVERED"}


def test_message_and_its_history_are_found_by_id(upstream: Upstream) -> None:
    """The answer holds state and reports of both steps in order, and masks the recipient."""
    message_id = upstream.send(PUSH_FAILS)
    upstream.settle(message_id)

    answer = find(upstream.world, messageId=message_id)

    assert (answer["found"], answer["message"]["state"]) == (True, "DELIVERED")
    assert [entry["report"]["channel"] for entry in answer["history"]] == ["PUSH", "SMS"]
    assert CANARY_NUMBER not in json.dumps(answer)


def test_messages_are_found_by_recipient_and_among_unsettled(upstream: Upstream) -> None:
    """A message is listed as unsettled until it settles, and always for its recipient."""
    event = upstream.event(PUSH_STAYS_SILENT)
    upstream.world.put_message(event)
    message_id, number = event["messageId"], event["to"]["phoneNumber"]
    upstream.wait_for(message_id, "ACCEPTED")

    unsettled = find(upstream.world, unsettled=True)["messages"]
    to_recipient = find(upstream.world, recipient=number, showRecipients=True)["messages"]

    assert message_id in [message["messageId"] for message in unsettled]
    assert [message["messageId"] for message in to_recipient] == [message_id]
    assert to_recipient[0]["to"] == {"phoneNumber": number}


def test_lookup_without_a_match_is_no_error(upstream: Upstream) -> None:
    """Each kind of lookup is allowed, and answers that nothing was found."""
    world = upstream.world

    assert find(world, messageId="never-sent")["found"] is False
    assert find(world, recipient="unknown@example.com") == {"messages": []}
    assert find(world, quarantined=True) == {"messages": []}
    assert find(world, unresolved=True) == {"messages": []}


def test_wrong_lookup_is_refused_and_names_the_field(upstream: Upstream) -> None:
    """The caller learns what to correct."""
    with pytest.raises(FunctionFailedError, match="limit: must be at least 1"):
        find(upstream.world, unsettled=True, limit=0)


def test_neither_events_nor_logs_hold_recipients_or_texts(
    upstream: Upstream, listener: Listener
) -> None:
    """Listeners and readers of logs learn outcomes, and nothing else."""
    message_id = upstream.send(PUSH_FAILS)
    upstream.settle(message_id)
    wait_until(lambda: listener.details(message_id), 60, "the upstream app gets the event")

    written = json.dumps(listener.received) + upstream.world.logs()
    assert "outcomes published" in written
    assert CANARY_NUMBER not in written
    assert CANARY_TEXT not in written
