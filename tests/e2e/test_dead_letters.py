"""What was set aside can be looked at, sent again, released and closed, one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.world import FunctionFailedError, wait_until

from .upstream import CANARY_NUMBER, CANARY_TEXT

if TYPE_CHECKING:
    from tests.local_world.world import Json, World

    from .upstream import Upstream

WORDS = {"by": "an operator", "why": "the recipient has called"}


def order(world: World, action: str, **members: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Give an order, as an operator does."""
    answer: Json = world.invoke("RedriveMessagesFunctionName", {"action": action} | members)
    return answer


def letters_about(world: World, message_id: str) -> list[Json]:
    """List the dead letters that hold a message."""
    letters = order(world, "list", limit=1000)["records"]
    return [letter for letter in letters if message_id in letter["messageIds"]]


@pytest.fixture(scope="module")
def quarantined(upstream: Upstream) -> tuple[str, str]:
    """Send one record with two messages, of which neither Infobip nor we know anything."""
    event = upstream.event()
    ids = (f"{event['messageId']}-a", f"{event.pop('messageId')}-b")
    to = event.pop("to")
    destinations = [{"messageId": message_id, "to": to} for message_id in ids]
    world = upstream.world
    world.simulator.add_fault("send_advanced", "reset_before", messageIds=list(ids))
    world.put_message(event | {"destinations": destinations})
    upstream.wait_for(ids[0], "UNKNOWN")

    def is_set_aside() -> bool:
        upstream.reconcile()
        return bool(letters_about(world, ids[0]))

    wait_until(is_set_aside, 60, "the record is set aside")
    return ids


def test_record_that_was_set_aside_wrongly_can_be_sent_again(upstream: Upstream) -> None:
    """A dry run tells so beforehand; the message id that derives from the record stays the same."""
    world = upstream.world
    event = upstream.event()
    del event["messageId"]
    world.sqs.send_message(
        QueueUrl=world.outputs["SendDeadLetterQueueUrl"],
        MessageBody=json.dumps(event),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in {"reason": "OUTAGE", "originalMessageId": "first-1"}.items()
        },
    )

    dry = order(world, "redrive", reason="OUTAGE")
    wet = order(world, "redrive", reason="OUTAGE", dryRun=False)

    assert (dry["found"], dry["redriven"]) == ({"OUTAGE": 1}, 0)
    assert (wet["found"], wet["redriven"]) == ({"OUTAGE": 1}, 1)
    upstream.wait_for("first-1-0", "ACCEPTED", "DELIVERED")
    assert letters_about(world, "first-1-0") == []


def test_quarantined_messages_are_released_or_closed_one_by_one(
    upstream: Upstream, quarantined: tuple[str, str]
) -> None:
    """The released one is sent; the other never is, and its letter goes when it is closed."""
    world = upstream.world
    released, closed = quarantined
    (letter,) = letters_about(world, released)
    skipped = order(world, "redrive", dryRun=False, originalMessageId=letter["originalMessageId"])

    answer = order(world, "release", messageId=released, **WORDS)
    item = upstream.wait_for(released, "ACCEPTED", "DELIVERED")
    (again,) = wait_until(lambda: letters_about(world, closed), 20, "it is set aside again")
    end = order(world, "close", messageId=closed, **WORDS)

    assert letter["quarantinedMessageIds"] == [released, closed]
    assert (skipped["redriven"], skipped["skippedQuarantined"]) == (0, 1)
    assert answer["recordsRedriven"] == 1
    assert (item["releasedBy"], item["attempts"]) == (WORDS["by"], 2)
    assert again["quarantinedMessageIds"] == [closed]
    assert again["originalMessageId"] == letter["originalMessageId"]
    assert (end["state"], end["recordsDeleted"]) == ("QUARANTINED", 1)
    assert upstream.acceptances(released, closed) == {released: 1, closed: 0}


def test_list_shows_nothing_personal(upstream: Upstream) -> None:
    """Numbers and texts are shown only to those who ask for them."""
    upstream.world.put_message(upstream.event(wrong=True))
    wait_until(
        lambda: order(upstream.world, "list", reason="INVALID")["records"], 20, "it is set aside"
    )

    plain = json.dumps(order(upstream.world, "list"))
    full = json.dumps(order(upstream.world, "list", showContent=True))

    assert CANARY_NUMBER not in plain
    assert CANARY_TEXT not in plain
    assert CANARY_NUMBER in full


def test_wrong_order_fails_by_naming_the_field(world: World) -> None:
    """Whoever mistypes an order learns what was wrong, and nothing was done."""
    with pytest.raises(FunctionFailedError, match="dryrun: "):
        order(world, "redrive", dryrun=False)
