"""Each alarm about delivery reports rings for its cause, and stops after it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.aws_emulator import ROOT
from tests.local_world.world import wait_until

from .alarms import EXTRA_PERIODS, MINUTE, Json, check_that_alarm_rings_and_stops, waits_in
from .permissions import denied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .alarms import Cause, Scene

#: Calls the webhook with a report, by a URL that was made with the key of the local world.
CALL: Json = json.loads((ROOT / "events/delivery_reports_webhook.json").read_text())


def no_reports_are_taken(scene: Scene) -> Iterator[None]:
    """Let every pull fail, for as long as the alarm is patient."""
    fault = scene.world.simulator.add_fault("take_reports", "error_before", times=0)
    periods = scene.alarms["NoReportsPulledAlarm"]["EvaluationPeriods"]
    for _ in range(0, periods + max(EXTRA_PERIODS) + 1, 5):
        scene.pull()
        scene.skip(5 * MINUTE)
    yield
    scene.world.simulator.end_fault(fault)
    scene.pull()


def parked_reports_stay_parked(scene: Scene) -> Iterator[None]:
    """Let the table refuse what was parked, for twenty-five minutes."""
    with a_parked_page(scene, {"VisibilityTimeout": "1"}):
        scene.see_queues()
        scene.skip(25 * MINUTE)
        yield
    wait_until(lambda: waits_in(scene, "ParkedReportsQueue") == 0, 20, "reports are recorded")


def parked_reports_are_given_up(scene: Scene) -> Iterator[None]:
    """Let the table refuse them until the queue gives up, which here is at once."""
    queue = scene.queue_url("ParkedReportsQueue")
    found = scene.world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
    policy = json.loads(found["Attributes"]["RedrivePolicy"])
    impatient = {
        "VisibilityTimeout": "1",
        "RedrivePolicy": json.dumps(policy | {"maxReceiveCount": 1}),
    }
    with a_parked_page(scene, impatient):
        yield
    scene.world.sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("ParkedReportsDeadLetterQueue"))


@contextmanager
def a_parked_page(
    scene: Scene,
    attributes: Any,  # noqa: ANN401 (the stubs list every attribute)
) -> Iterator[None]:
    """Let the table refuse a page when it comes, and again when it comes round."""
    queue = scene.queue_url("ParkedReportsQueue")
    scene.world.sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    scene.send_as_somebody_else(1)
    with (
        denied(scene.world, "PullDeliveryReportsFunction", "dynamodb:BatchWriteItem"),
        denied(scene.world, "RecordParkedReportsFunction", "dynamodb:*"),
    ):
        wait_until(lambda: scene.pull()["parked"], 20, "a page is parked")
        yield
    scene.world.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "360"})


def a_page_of_reports_is_lost(scene: Scene) -> Iterator[None]:
    """Let neither the table nor the queue take what Infobip hands out once."""
    scene.send_as_somebody_else(1)
    nowhere = ("dynamodb:BatchWriteItem", "sqs:SendMessage")
    with denied(scene.world, "PullDeliveryReportsFunction", *nowhere):
        wait_until(lambda: scene.pull()["lost"], 20, "a page is lost")
        yield


def a_report_cannot_be_read(scene: Scene) -> Iterator[None]:
    """Spoil an entry of a page."""
    scene.send_as_somebody_else(1)
    scene.world.simulator.add_fault("take_reports", "malformed_entry")
    wait_until(lambda: scene.pull()["unreadable"], 20, "a report is unreadable")
    yield


def somebody_else_uses_the_account(scene: Scene) -> Iterator[None]:
    """Take reports of more messages of another deployment than of our own."""
    scene.send_as_somebody_else(20)
    taken: int = 0

    def pull() -> bool:
        nonlocal taken
        taken += scene.pull()["unmatched"]
        return taken >= 20

    wait_until(pull, 30, "all of their reports are taken")
    yield


def the_webhook_cannot_record(scene: Scene) -> Iterator[None]:
    """Let the table refuse what Infobip calls with."""
    with denied(scene.world, "ReceiveDeliveryReportFunction", "dynamodb:*"):
        for _ in range(int(scene.alarms["WebhookRefusesAlarm"]["Threshold"]) + 1):
            assert scene.call_webhook(CALL["rawPath"], CALL["body"]) == 503
        yield


def the_webhook_is_guessed_at(scene: Scene) -> Iterator[None]:
    """Call it without a key, more often than the alarm bears."""
    for _ in range(int(scene.alarms["WebhookAbuseAlarm"]["Threshold"]) + 1):
        assert scene.call_webhook("/reports/bulk/guess") == 404
    yield


CAUSES: dict[str, Cause] = {
    "NoReportsPulledAlarm": no_reports_are_taken,
    "ReportsStillParkedAlarm": parked_reports_stay_parked,
    "ParkedReportsDeadLetterAlarm": parked_reports_are_given_up,
    "ReportPagesLostAlarm": a_page_of_reports_is_lost,
    "ReportsUnreadableAlarm": a_report_cannot_be_read,
    "ForeignReportsAlarm": somebody_else_uses_the_account,
    "WebhookRefusesAlarm": the_webhook_cannot_record,
    "WebhookAbuseAlarm": the_webhook_is_guessed_at,
}


@pytest.mark.parametrize("name", CAUSES)
def test_alarm_rings_for_its_cause_and_stops_after_it(scene: Scene, name: str) -> None:
    """Long after everything else, and with runs of both schedules just before, it is silent."""
    check_that_alarm_rings_and_stops(scene, name, CAUSES[name])
