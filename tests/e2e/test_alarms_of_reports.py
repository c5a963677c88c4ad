"""Each alarm about delivery reports fires for its cause, and recovers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.aws_emulator import ROOT
from tests.local_world.world import wait_until

from .alarms import EXTRA_PERIODS, MINUTE, Json, check_that_alarm_fires_and_recovers, waits_in
from .permissions import denied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .alarms import Cause, Scene

#: A webhook call with one report; its URL is signed with the local webhook key.
CALL: Json = json.loads((ROOT / "events/delivery_reports_webhook.json").read_text())


def no_reports_are_pulled(scene: Scene) -> Iterator[None]:
    """Make every pull fail for all periods that the alarm evaluates."""
    fault = scene.world.simulator.add_fault("take_reports", "error_before", times=0)
    periods = scene.alarms["NoReportsPulledAlarm"]["EvaluationPeriods"]
    for _ in range(0, periods + max(EXTRA_PERIODS) + 1, 5):
        scene.pull()
        scene.skip(5 * MINUTE)
    yield
    scene.world.simulator.end_fault(fault)
    scene.pull()


def parked_reports_stay_parked(scene: Scene) -> Iterator[None]:
    """Deny the table to parked reports for twenty-five minutes."""
    with parked_page(scene, {"VisibilityTimeout": "1"}):
        scene.see_queues()
        scene.skip(25 * MINUTE)
        yield
    wait_until(lambda: waits_in(scene, "ParkedReportsQueue") == 0, 60, "reports are recorded")


def parked_reports_are_dead_lettered(scene: Scene) -> Iterator[None]:
    """Deny the table to parked reports until SQS dead-letters them, here after one receive."""
    queue = scene.queue_url("ParkedReportsQueue")
    found = scene.world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
    policy = json.loads(found["Attributes"]["RedrivePolicy"])
    hasty = {
        "VisibilityTimeout": "1",
        "RedrivePolicy": json.dumps(policy | {"maxReceiveCount": 1}),
    }
    with parked_page(scene, hasty):
        yield
    scene.world.sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    scene.world.sqs.purge_queue(QueueUrl=scene.queue_url("ParkedReportsDeadLetterQueue"))


@contextmanager
def parked_page(
    scene: Scene,
    attributes: Any,  # noqa: ANN401 (the stubs list every attribute)
) -> Iterator[None]:
    """Park a page, and deny the table when the queue delivers it."""
    queue = scene.queue_url("ParkedReportsQueue")
    scene.world.sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    scene.send_from_another_deployment(1)
    with (
        denied(scene.world, "PullDeliveryReportsFunction", "dynamodb:BatchWriteItem"),
        denied(scene.world, "RecordParkedReportsFunction", "dynamodb:*"),
    ):
        wait_until(lambda: scene.pull()["parked"], 60, "a page is parked")
        yield
    scene.world.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "360"})


def report_page_is_lost(scene: Scene) -> Iterator[None]:
    """Deny table and queue to a page that Infobip hands out only once."""
    scene.send_from_another_deployment(1)
    storage = ("dynamodb:BatchWriteItem", "sqs:SendMessage")
    with denied(scene.world, "PullDeliveryReportsFunction", *storage):
        wait_until(lambda: scene.pull()["lost"], 60, "a page is lost")
        yield


def report_is_unreadable(scene: Scene) -> Iterator[None]:
    """Corrupt one entry of a page."""
    scene.send_from_another_deployment(1)
    scene.world.simulator.add_fault("take_reports", "malformed_entry")
    wait_until(lambda: scene.pull()["unreadable"], 60, "a report is unreadable")
    yield


def another_deployment_uses_the_account(scene: Scene) -> Iterator[None]:
    """Pull more reports of another deployment's messages than of our own."""
    scene.send_from_another_deployment(20)
    taken: int = 0

    def pull() -> bool:
        nonlocal taken
        taken += scene.pull()["unmatched"]
        return taken >= 20

    wait_until(pull, 60, "all of their reports are pulled")
    yield


def webhook_cannot_store_reports(scene: Scene) -> Iterator[None]:
    """Deny the table to the reports that Infobip pushes."""
    with denied(scene.world, "ReceiveDeliveryReportFunction", "dynamodb:*"):
        for _ in range(int(scene.alarms["WebhookRefusesAlarm"]["Threshold"]) + 1):
            assert scene.call_webhook(CALL["rawPath"], CALL["body"]) == 503
        yield


def webhook_urls_are_guessed(scene: Scene) -> Iterator[None]:
    """Call the webhook without a signature, more often than the alarm tolerates."""
    for _ in range(int(scene.alarms["WebhookAbuseAlarm"]["Threshold"]) + 1):
        assert scene.call_webhook("/reports/bulk/guess") == 404
    yield


CAUSES: dict[str, Cause] = {
    "NoReportsPulledAlarm": no_reports_are_pulled,
    "ReportsStillParkedAlarm": parked_reports_stay_parked,
    "ParkedReportsDeadLetterAlarm": parked_reports_are_dead_lettered,
    "ReportPagesLostAlarm": report_page_is_lost,
    "ReportsUnreadableAlarm": report_is_unreadable,
    "ForeignReportsAlarm": another_deployment_uses_the_account,
    "WebhookRefusesAlarm": webhook_cannot_store_reports,
    "WebhookAbuseAlarm": webhook_urls_are_guessed,
}


@pytest.mark.parametrize(
    "name",
    [
        # It calls the webhook more than 1,000 times.
        pytest.param(name, marks=[pytest.mark.thorough] if name == "WebhookAbuseAlarm" else [])
        for name in CAUSES
    ],
)
def test_alarm_fires_for_its_cause_and_recovers(scene: Scene, name: str) -> None:
    """Each starts OK, long after other causes and just after a run of both schedules."""
    check_that_alarm_fires_and_recovers(scene, name, CAUSES[name])
