"""Each alarm about sending rings for its cause, and stops after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_alarms import period_of
from tests.local_world.world import API_KEY, FunctionFailedError, wait_until

from .alarms import (
    HOUR,
    MINUTE,
    check_that_alarm_rings_and_stops,
    wait_until_nothing_waits,
    waits_in,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .alarms import Cause, Scene


def a_record_is_set_aside(scene: Scene) -> Iterator[None]:
    """Send what is no event."""
    scene.world.put_message(scene.upstream.event(wrong=True))
    yield
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendDeadLetterQueue"))


def a_letter_is_forgotten(scene: Scene) -> Iterator[None]:
    """Let a record lie in the dead-letter queue for more than a week, looked at three times."""
    scene.world.put_message(scene.upstream.event(wrong=True))
    wait_until(lambda: waits_in(scene, "SendDeadLetterQueue"), 20, "a record is set aside")
    for _ in range(3):
        scene.world.dead_letters()
    scene.see_queues()
    scene.skip_out_of_sight("DeadLetterAgeAlarm")
    yield
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendDeadLetterQueue"))


def a_message_cannot_be_sent_for_an_hour(scene: Scene) -> Iterator[None]:
    """Throttle a single message until SQS no longer counts it as old, and let an hour pass."""
    event = scene.upstream.event()
    message_id = event["messageId"]
    fault = scene.world.simulator.add_fault(
        "send_advanced", "rate_limit", times=0, retryAfter=0, messageIds=[message_id]
    )
    scene.world.put_message(event)
    wait_until(lambda: len(scene.upstream.attempts(message_id)) > 2, 60, "it was tried thrice")
    scene.see_queues()
    scene.skip(HOUR + MINUTE)
    yield
    scene.world.simulator.end_fault(fault)
    scene.upstream.wait_for(message_id, "ACCEPTED", "DELIVERED", within_seconds=60)
    wait_until_nothing_waits(scene)


def senders_crash(scene: Scene) -> Iterator[None]:
    """Invoke the sender with what is no event of a queue, in each period that counts."""
    alarm = scene.alarms["SendMessageErrorsAlarm"]
    for number in range(alarm["DatapointsToAlarm"]):
        scene.skip(period_of(alarm) if number else 0)
        with pytest.raises(FunctionFailedError):
            scene.world.invoke("SendMessageFunctionName", {"Records": [{}]})
    yield


def infobip_refuses_the_credentials(scene: Scene) -> Iterator[None]:
    """Change the API key at Infobip, and nowhere else."""
    scene.world.simulator.change_credentials(apiKey="another")
    scene.pull()
    message_id = scene.upstream.send()
    scene.upstream.wait_for(message_id, "WAITING")
    yield
    scene.world.simulator.change_credentials(apiKey=API_KEY)
    wait_until_nothing_waits(scene)


def a_message_is_quarantined(scene: Scene) -> Iterator[None]:
    """Reset the connection before Infobip takes a message; its logs do not know it."""
    event = scene.upstream.event()
    message_id = event["messageId"]
    scene.world.simulator.add_fault("send_advanced", "reset_before", messageIds=[message_id])
    scene.world.put_message(event)
    scene.upstream.wait_for(message_id, "UNKNOWN")

    def is_quarantined() -> bool:
        scene.upstream.reconcile()
        return (scene.world.message(message_id) or {}).get("state") == "QUARANTINED"

    wait_until(is_quarantined, 30, "the message is quarantined")
    scene.upstream.reconcile()
    yield
    close = {"action": "close", "messageId": message_id, "by": "an operator", "why": "a test"}
    scene.world.invoke("RedriveMessagesFunctionName", close)


def a_record_is_purged(scene: Scene) -> Iterator[None]:
    """Purge the send queue while a message waits, and come to where its record is missed."""
    event = scene.upstream.event()
    message_id = event["messageId"]
    fault = scene.world.simulator.add_fault(
        "send_advanced", "rate_limit", times=0, retryAfter=0, messageIds=[message_id]
    )
    scene.world.put_message(event)
    scene.upstream.wait_for(message_id, "WAITING")
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendQueue"))
    past = datetime.now(UTC) - timedelta(seconds=1)
    scene.change_item(message_id, nextCheckAt=written(past))
    scene.upstream.reconcile()
    yield
    scene.world.simulator.end_fault(fault)


CAUSES: dict[str, Cause] = {
    "SendDeadLetterAlarm": a_record_is_set_aside,
    "DeadLetterAgeAlarm": a_letter_is_forgotten,
    "OldestRecordAlarm": a_message_cannot_be_sent_for_an_hour,
    "SendMessageErrorsAlarm": senders_crash,
    "AccountRefusedAlarm": infobip_refuses_the_credentials,
    "QuarantinedAlarm": a_message_is_quarantined,
    "RecordsLostAlarm": a_record_is_purged,
}


@pytest.mark.parametrize("name", CAUSES)
def test_alarm_rings_for_its_cause_and_stops_after_it(scene: Scene, name: str) -> None:
    """Long after everything else, and with runs of both schedules just before, it is silent."""
    check_that_alarm_rings_and_stops(scene, name, CAUSES[name])
