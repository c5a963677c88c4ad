"""What became of messages is looked up, and told to apps upstream on an event bus."""

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
    """An app upstream that hears what is told on the bus, by the rule and queue of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heard: list[Json] = []

    def details(self, message_id: str) -> list[Json]:
        """Return what was told about a message so far."""
        self.heard += [event["detail"] for event in self.world.take_outcome_events()]
        return [detail for detail in self.heard if detail["messageId"] == message_id]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Deploy with a bus to tell."""
    with World(parameters={"ReconcileAfterSeconds": 1, "OutcomeEventBusName": BUS}) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(world: World) -> Upstream:
    """Create the scenario, and return an app that sends by it."""
    return Upstream(world)


@pytest.fixture(scope="module")
def listener(world: World) -> Listener:
    """Listen to the bus."""
    return Listener(world)


def write(world: World, *items: Json) -> None:
    """Write a message's item over itself, one change after the other."""
    serialize = TypeSerializer().serialize
    for item in items:
        wire = {name: serialize(value) for name, value in item.items()}
        world.dynamodb.put_item(TableName=world.outputs["MessagesTableName"], Item=wire)


def find(world: World, **event: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Ask a question."""
    answer: Json = world.invoke("FindMessagesFunctionName", event)
    return answer


def test_app_upstream_is_told_once_for_each_state_that_a_message_settles_in(
    upstream: Upstream, listener: Listener
) -> None:
    """Not while it is under way, and not again for a change of anything else."""
    message_id = upstream.send(PUSH_FAILS, callbackData="order 7")
    delivered = upstream.settle(message_id)
    wait_until(lambda: listener.details(message_id), 20, "the app upstream is told")

    write(upstream.world, delivered | {"evidence": "logs"}, delivered | {"state": "UNDELIVERED"})
    wait_until(lambda: len(listener.details(message_id)) > 1, 20, "the app upstream is told")

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


def test_message_and_its_history_are_found_by_its_id(upstream: Upstream) -> None:
    """State, and the reports of both steps in their order; the recipient is masked."""
    message_id = upstream.send(PUSH_FAILS)
    upstream.settle(message_id)

    answer = find(upstream.world, messageId=message_id)

    assert (answer["found"], answer["message"]["state"]) == (True, "DELIVERED")
    assert [entry["report"]["channel"] for entry in answer["history"]] == ["PUSH", "SMS"]
    assert CANARY_NUMBER not in json.dumps(answer)


def test_messages_are_found_by_recipient_and_by_what_is_open(upstream: Upstream) -> None:
    """Until a message settles it is among the unsettled ones, and always among its recipient's."""
    event = upstream.event(PUSH_STAYS_SILENT)
    upstream.world.put_message(event)
    message_id, number = event["messageId"], event["to"]["phoneNumber"]
    upstream.wait_for(message_id, "ACCEPTED")

    unsettled = find(upstream.world, unsettled=True)["messages"]
    to_recipient = find(upstream.world, recipient=number, showRecipients=True)["messages"]

    assert message_id in [message["messageId"] for message in unsettled]
    assert [message["messageId"] for message in to_recipient] == [message_id]
    assert to_recipient[0]["to"] == {"phoneNumber": number}


def test_nothing_is_found_where_nothing_is(upstream: Upstream) -> None:
    """Each question is allowed to be asked, and has an answer that is no error."""
    world = upstream.world

    assert find(world, messageId="never-sent")["found"] is False
    assert find(world, recipient="nobody@example.com") == {"messages": []}
    assert find(world, quarantined=True) == {"messages": []}
    assert find(world, unresolved=True) == {"messages": []}


def test_wrong_question_is_refused_with_the_field_that_is_wrong(upstream: Upstream) -> None:
    """The caller learns what to put right."""
    with pytest.raises(FunctionFailedError, match="limit: must be at least 1"):
        find(upstream.world, unsettled=True, limit=0)


def test_neither_events_nor_logs_hold_recipients_or_texts(
    upstream: Upstream, listener: Listener
) -> None:
    """Whoever listens learns outcomes, and no more."""
    message_id = upstream.send(PUSH_FAILS)
    upstream.settle(message_id)
    wait_until(lambda: listener.details(message_id), 20, "the app upstream is told")

    said = json.dumps(listener.heard) + upstream.world.logs()
    assert "outcomes published" in said
    assert CANARY_NUMBER not in said
    assert CANARY_TEXT not in said
