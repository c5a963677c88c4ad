"""Each alarm about sending fires for its cause, and recovers."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_alarms import period_of
from tests.local_world.world import API_KEY, FunctionFailedError, wait_until

from .alarms import (
    HOUR,
    MINUTE,
    check_that_alarm_fires_and_recovers,
    formatted,
    wait_until_queue_is_empty,
    waits_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .alarms import Cause, Scene


def record_is_dead_lettered(scene: Scene) -> Iterator[None]:
    """Send an invalid event."""
    scene.world.put_message(scene.upstream.event(wrong=True))
    yield
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendDeadLetterQueue"))


def dead_lettered_record_is_forgotten(scene: Scene) -> Iterator[None]:
    """Leave a record in the dead-letter queue for over a week, and receive it three times."""
    scene.world.put_message(scene.upstream.event(wrong=True))
    wait_until(lambda: waits_in(scene, "SendDeadLetterQueue"), 60, "a record is dead-lettered")
    for _ in range(3):
        scene.world.dead_lettered_records()
    scene.see_queues()
    scene.skip_out_of_sight("DeadLetterAgeAlarm")
    yield
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendDeadLetterQueue"))


@contextmanager
def unsendable_message(scene: Scene, kind: str, **members: object) -> Iterator[str]:
    """Queue a message whose sends meet a fault while the context lasts, and yield its id."""
    event = scene.upstream.event()
    message_id: str = event["messageId"]
    fault = scene.world.simulator.add_fault(
        "send_advanced", kind, times=0, messageIds=[message_id], **members
    )
    scene.world.put_message(event)
    yield message_id
    scene.world.simulator.end_fault(fault)


def message_is_throttled_for_an_hour(scene: Scene) -> Iterator[None]:
    """Throttle one message until SQS leaves it out of its oldest age, then skip an hour."""
    with unsendable_message(scene, "rate_limit", retryAfter=0) as message_id:
        wait_until(
            lambda: len(scene.upstream.attempts(message_id)) > 2,
            60,
            "it was attempted three times",
            every=0.5,
        )
        scene.see_queues()
        scene.skip(HOUR + MINUTE)
        yield
    scene.upstream.wait_for(message_id, "ACCEPTED", "DELIVERED", within_seconds=60)
    wait_until_queue_is_empty(scene)


def senders_crash(scene: Scene) -> Iterator[None]:
    """Invoke the sender with an event that SQS would not send, in each period that counts."""
    alarm = scene.alarms["SendMessageErrorsAlarm"]
    for number in range(alarm["DatapointsToAlarm"]):
        scene.skip(period_of(alarm) if number else 0)
        with pytest.raises(FunctionFailedError):
            scene.world.invoke("SendMessageFunctionName", {"Records": [{}]})
    yield


def infobip_refuses_credentials(scene: Scene) -> Iterator[None]:
    """Change the API key at Infobip but not in the parameter."""
    scene.world.simulator.change_credentials(apiKey="another")
    scene.pull()
    message_id = scene.upstream.send()
    scene.upstream.wait_for(message_id, "WAITING")
    yield
    scene.world.simulator.change_credentials(apiKey=API_KEY)
    wait_until_queue_is_empty(scene)


def message_is_quarantined(scene: Scene) -> Iterator[None]:
    """Reset the connection before Infobip accepts a message, so its logs do not have it."""
    event = scene.upstream.event()
    message_id = event["messageId"]
    scene.world.simulator.add_fault("send_advanced", "reset_before", messageIds=[message_id])
    scene.world.put_message(event)
    scene.upstream.wait_for(message_id, "UNKNOWN")

    def is_quarantined() -> bool:
        scene.upstream.reconcile()
        return (scene.world.message(message_id) or {}).get("state") == "QUARANTINED"

    wait_until(is_quarantined, 60, "the message is quarantined", every=0.5)
    scene.upstream.reconcile()
    yield
    close = {"action": "close", "messageId": message_id, "by": "an operator", "why": "a test"}
    scene.world.invoke("RedriveMessagesFunctionName", close)


def record_is_purged(scene: Scene) -> Iterator[None]:
    """Purge the send queue while a message waits, and reconcile once its record is overdue."""
    with unsendable_message(scene, "rate_limit", retryAfter=0) as message_id:
        scene.upstream.wait_for(message_id, "WAITING")
        scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("SendQueue"))
        past = datetime.now(UTC) - timedelta(seconds=1)
        scene.change_item(message_id, nextCheckAt=formatted(past))
        scene.upstream.reconcile()
        yield


def another_server_answers(scene: Scene) -> Iterator[None]:
    """Answer a send with the page of another server, as at a mistyped host."""
    with unsendable_message(scene, "page_before", status=404) as message_id:
        scene.upstream.wait_for(message_id, "WAITING")
        yield
    scene.upstream.wait_for(message_id, "ACCEPTED", within_seconds=60)


def infobip_refuses_by_an_unlisted_status(scene: Scene) -> Iterator[None]:
    """Refuse a message by a status that is on no page of Infobip's."""
    scene.world.simulator.change_settings(refuseAll="REJECTED_FOR_A_NEW_REASON")
    scene.upstream.wait_for(scene.upstream.send(), "REJECTED")
    scene.world.simulator.change_settings(refuseAll="")
    yield


CAUSES: dict[str, Cause] = {
    "SendDeadLetterAlarm": record_is_dead_lettered,
    "DeadLetterAgeAlarm": dead_lettered_record_is_forgotten,
    "OldestRecordAlarm": message_is_throttled_for_an_hour,
    "SendMessageErrorsAlarm": senders_crash,
    "AccountRefusedAlarm": infobip_refuses_credentials,
    "SendsRefusedUnreadAlarm": another_server_answers,
    "UnlistedRefusalAlarm": infobip_refuses_by_an_unlisted_status,
    "QuarantinedAlarm": message_is_quarantined,
    "RecordsLostAlarm": record_is_purged,
}


@pytest.mark.parametrize(
    "name",
    [
        # It waits for backoffs of 75 seconds.
        pytest.param(name, marks=[pytest.mark.thorough] if name == "OldestRecordAlarm" else [])
        for name in CAUSES
    ],
)
def test_alarm_fires_for_its_cause_and_recovers(scene: Scene, name: str) -> None:
    """Each starts OK, long after other causes and just after a run of both schedules."""
    check_that_alarm_fires_and_recovers(scene, name, CAUSES[name])
