"""Dead-lettered records can be listed, redriven, released and closed individually."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.world import FunctionFailedError, wait_until

from .upstream import CANARY_NUMBER, CANARY_TEXT

if TYPE_CHECKING:
    from tests.local_world.world import Json, World

    from .upstream import Upstream

RECORDED = {"by": "an operator", "why": "the recipient called"}


def command(world: World, action: str, **members: Any) -> Json:  # noqa: ANN401 (any JSON)
    """Run a command, as an operator does."""
    answer: Json = world.invoke("RedriveMessagesFunctionName", {"action": action} | members)
    return answer


def dead_letters_of(world: World, message_id: str) -> list[Json]:
    """List the dead-lettered records that hold a message."""
    found = command(world, "list", limit=1000)["records"]
    return [record for record in found if message_id in record["messageIds"]]


@pytest.fixture(scope="module")
def quarantined(upstream: Upstream) -> tuple[str, str]:
    """Send one record with two messages that Infobip never accepts, so both end quarantined."""
    event = upstream.event()
    ids = (f"{event['messageId']}-a", f"{event.pop('messageId')}-b")
    to = event.pop("to")
    destinations = [{"messageId": message_id, "to": to} for message_id in ids]
    world = upstream.world
    world.simulator.add_fault("send_advanced", "reset_before", messageIds=list(ids))
    world.put_message(event | {"destinations": destinations})
    upstream.wait_for(ids[0], "UNKNOWN")

    def is_dead_lettered() -> bool:
        upstream.reconcile()
        return bool(dead_letters_of(world, ids[0]))

    wait_until(is_dead_lettered, 60, "the record is dead-lettered", every=0.5)
    return ids


def test_record_that_was_dead_lettered_wrongly_can_be_redriven(upstream: Upstream) -> None:
    """A dry run announces it, and the message id derived from the record stays the same."""
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

    dry = command(world, "redrive", reason="OUTAGE")
    wet = command(world, "redrive", reason="OUTAGE", dryRun=False)

    assert (dry["found"], dry["redriven"]) == ({"OUTAGE": 1}, 0)
    assert (wet["found"], wet["redriven"]) == ({"OUTAGE": 1}, 1)
    upstream.wait_for("first-1-0", "ACCEPTED", "DELIVERED")
    assert dead_letters_of(world, "first-1-0") == []


def test_refused_record_is_found_by_its_message_id(upstream: Upstream) -> None:
    """It names its records, keeps what its caller attached, and blocks no corrected event."""
    world, event = upstream.world, upstream.event()
    message_id, body = event["messageId"], json.dumps(event | {"wrong": True})
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def refused(times: int) -> Json:
        answer: Json = world.invoke("FindMessagesFunctionName", {"messageId": message_id})
        return answer if len(answer.get("refused", [])) == times else {}

    sqs_id = world.put_message(body, traceparent=trace)
    wait_until(lambda: refused(1), 60, "its message id leads to it", every=0.2)
    command(world, "redrive", originalMessageId=sqs_id, dryRun=False)
    answer = wait_until(lambda: refused(2), 60, "it is refused again", every=0.2)
    (listed,) = dead_letters_of(world, message_id)
    (record,) = upstream.dead_lettered_records([body])
    world.put_message(event)

    assert (answer["found"], answer["message"]) == (True, None)
    assert [each["field"] for each in answer["refused"]] == ["wrong", "wrong"]
    assert listed["recordId"] in {each["deadLetterId"] for each in answer["refused"]}
    assert record["attributes"]["traceparent"] == trace
    assert json.loads(record["attributes"]["messageIds"]) == {"count": 1, "first": [message_id]}
    upstream.wait_for(message_id, "ACCEPTED", "DELIVERED")


def test_quarantined_messages_are_released_or_closed_individually(
    upstream: Upstream, quarantined: tuple[str, str]
) -> None:
    """The released one is sent; the other never is, and closing it deletes its record."""
    world = upstream.world
    released, closed = quarantined
    (record,) = dead_letters_of(world, released)
    skipped = command(world, "redrive", dryRun=False, originalMessageId=record["originalMessageId"])

    answer = command(world, "release", messageId=released, **RECORDED)
    item = upstream.wait_for(released, "ACCEPTED", "DELIVERED")
    (again,) = wait_until(
        lambda: dead_letters_of(world, closed), 60, "it is dead-lettered again", every=0.2
    )
    end = command(world, "close", messageId=closed, **RECORDED)

    assert record["quarantinedMessageIds"] == [released, closed]
    assert (skipped["redriven"], skipped["skippedQuarantined"]) == (0, 1)
    assert answer["recordsRedriven"] == 1
    assert (item["releasedBy"], item["attempts"]) == (RECORDED["by"], 2)
    assert again["quarantinedMessageIds"] == [closed]
    assert again["originalMessageId"] == record["originalMessageId"]
    assert (end["state"], end["recordsDeleted"]) == ("QUARANTINED", 1)
    assert upstream.acceptances(released, closed) == {released: 1, closed: 0}


def test_list_shows_no_personal_data_by_default(upstream: Upstream) -> None:
    """Numbers and texts are shown only on request."""
    upstream.world.put_message(upstream.event(wrong=True))
    wait_until(
        lambda: command(upstream.world, "list", reason="INVALID")["records"],
        60,
        "it is dead-lettered",
        every=0.2,
    )

    plain = json.dumps(command(upstream.world, "list"))
    full = json.dumps(command(upstream.world, "list", showContent=True))

    assert CANARY_NUMBER not in plain
    assert CANARY_TEXT not in plain
    assert CANARY_NUMBER in full


def test_wrong_command_fails_and_names_the_field(world: World) -> None:
    """An operator who mistypes a command learns which field is wrong, and nothing is done."""
    with pytest.raises(FunctionFailedError, match="dryrun: "):
        command(world, "redrive", dryrun=False)
