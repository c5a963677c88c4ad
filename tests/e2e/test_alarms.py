"""Each alarm rings for its cause, stops after it, and stays silent in an hour of good traffic.

The alarms are those that were deployed, judged by `aws_alarms` over what `aws_metrics` has measured
of real traffic. Only the clock is helped: where an alarm looks back over minutes, hours or days,
the scene skips them. What was measured is then later by as much, an age that goes back to before
a skip grows by it, and queues are taken to have held all the while what they held.
"""

from __future__ import annotations

import functools
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from tests.local_world.aws_alarms import (
    check_limits,
    each_minute,
    metrics_of,
    period_of,
    states,
)
from tests.local_world.aws_emulator import ROOT
from tests.local_world.aws_metrics import collected, skipped
from tests.local_world.clients import options, session
from tests.local_world.template import read_template
from tests.local_world.world import API_KEY, FunctionFailedError, World, wait_until

from .permissions import denied
from .upstream import PUSH_STAYS_SILENT, SCENARIO, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.local_world.aws_alarms import State
    from tests.local_world.aws_metrics import Series

Json = dict[str, Any]

TEMPLATE: Json = read_template()
ALARMS = [
    name
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
]
#: Everything that the template can have; nothing happens unless a test makes it happen.
PARAMETERS = {
    "ReconcileAfterSeconds": 1,
    "DeliveryReportWebhook": "enabled",
    "OutcomeEventBusName": "outcomes",
    "ReportSchedule": "rate(1 day)",
    "ReconcileSchedule": "rate(1 day)",
}
#: Calls the webhook with a report, by a URL that was made with the key of the local world.
CALL: Json = json.loads((ROOT / "events/delivery_reports_webhook.json").read_text())
MINUTE, HOUR, DAY = 60, 3600, 86_400
OUTAGE_MINUTE = 20
#: What is tried, since AWS does not tell for how many periods more than it needs it looks back.
EXTRA_PERIODS = (0, 2, 5)


class Scene:
    """A deployment whose alarms are judged at a time of its own.

    Args:
        world: The deployment.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.upstream = Upstream(world)
        self.alarms = world.alarms()
        self.resources = world.resources()
        self._skips: list[tuple[float, float]] = []
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy would not reach this machine

    def now(self) -> float:
        """Return the scene's time, in seconds since 1970."""
        return time.time() + sum(length for _, length in self._skips)

    def skip(self, seconds: float) -> None:
        """Let time pass, in which nothing happens."""
        self._skips.append((time.time(), seconds))

    def see_queues(self) -> None:
        """Wait until all queues have been measured anew."""
        begin = time.time()

        def is_measured() -> bool:
            name = "ApproximateNumberOfMessagesVisible"  # each queue that is in use has one
            measured = collected(self.world.emulator.directory, logs="")
            times = [v[-1][0] for metric, v in measured.items() if metric.name == name]
            return min(times) > begin

        wait_until(is_measured, 10, "all queues are measured", every=0.2)

    def skip_out_of_sight(self, name: str) -> None:
        """Let so much time pass that an alarm looks at nothing of what is now."""
        alarm = self.alarms[name]
        self.see_queues()
        self.skip((alarm["EvaluationPeriods"] + max(EXTRA_PERIODS) + 1) * period_of(alarm))

    def data(self) -> Series:
        """Return what was measured until now."""
        return skipped(self._measured(), self._skips)

    def states(self, name: str) -> set[State]:
        """Return the state that an alarm will have at the next full minute.

        It is one, unless it depends on how far CloudWatch looks back, which AWS does not tell.
        """
        alarm, data, now = self.alarms[name], self.data(), self.now()
        clock = each_minute(now - 5 * MINUTE, now + MINUTE)
        return {states(alarm, data, clock, extra_periods=n)[-1][1] for n in EXTRA_PERIODS}

    def rings(self, name: str) -> bool:
        """Return whether an alarm will ring at the next full minute."""
        return self.states(name) == {"ALARM"}

    def is_silent(self, name: str) -> bool:
        """Return whether an alarm will be OK at the next full minute."""
        return self.states(name) == {"OK"}

    def pull(self) -> Json:
        """Take reports, as the schedule does."""
        answer: Json = self.world.invoke("PullDeliveryReportsFunctionName", {})
        return answer

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue by its name in the template."""
        return self.resources[name]

    def _measured(self) -> Series:
        # Of all the lines, these alone are in the embedded metric format.
        logs = self.world.logs(containing="CloudWatchMetrics")
        return collected(self.world.emulator.directory, logs)

    def call_webhook(self, path: str, body: str = "{}") -> int:
        """Call the function URL, whose host is here only under another address."""
        host = urlsplit(self.world.outputs["DeliveryReportWebhookUrl"]).netloc
        url = self.world.emulator.url + path
        return self._http.post(url, body, headers={"Host": host}, timeout=30).status_code

    def send_as_somebody_else(self, count: int) -> None:
        """Send messages by the same Infobip account that this deployment knows nothing of."""
        key = self.world.invoke("CreateScenarioFunctionName", SCENARIO)["key"]
        for number in range(count):
            to = {"phoneNumber": f"38591000{number:04d}5555"}
            message_id = f"foreign-{time.time_ns()}"
            text = {"text": "canary text"}
            response = self._http.post(
                f"{self.world.simulator.url}/omni/1/advanced",
                json={
                    "scenarioKey": key,
                    "destinations": [{"messageId": message_id, "to": to}],
                    "push": text,
                    "sms": text,
                },
                headers={"Authorization": f"App {API_KEY}"},
                timeout=30,
            )
            response.raise_for_status()

    def change_item(self, message_id: str, **members: Any) -> None:  # noqa: ANN401 (any JSON)
        """Write over a message's item, as time would, or an operator."""
        item = (self.world.message(message_id) or {}) | members
        serialize = TypeSerializer().serialize
        self.world.dynamodb.put_item(
            TableName=self.world.outputs["MessagesTableName"],
            Item={name: serialize(value) for name, value in item.items()},
        )


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Deploy for these tests alone, since alarms hear everything."""
    with World(parameters=PARAMETERS) as world:
        world.simulator.change_settings(defaultValiditySeconds=1)
        yield Scene(world)


@pytest.fixture(autouse=True)
def _nothing_left(scene: Scene) -> Iterator[None]:
    """Let no test that fails spoil the next one."""
    yield
    scene.world.simulator.clear_faults()
    scene.world.simulator.change_credentials(apiKey=API_KEY)
    for url in scene.world.sqs.list_queues()["QueueUrls"]:
        scene.world.sqs.purge_queue(QueueUrl=url)


# Causes: each makes what its alarm is for, and when it is gone on with, ends that.


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
        scene.world.dead_lettered_records()
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


def the_logs_are_not_asked(scene: Scene) -> Iterator[None]:
    """Let the schedule invoke nothing, for as long as the alarm is patient."""
    scene.skip_out_of_sight("NotReconciledAlarm")
    yield
    scene.upstream.reconcile()


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


def waits_in(scene: Scene, queue: str) -> int:
    """Count what a queue holds, in flight or not."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = scene.world.sqs.get_queue_attributes(
        QueueUrl=scene.queue_url(queue), AttributeNames=names
    )
    return sum(int(value) for value in answer["Attributes"].values())


def a_page_of_reports_is_lost(scene: Scene) -> Iterator[None]:
    """Let neither the table nor the queue take what Infobip hands out once."""
    scene.send_as_somebody_else(1)
    nowhere = ("dynamodb:BatchWriteItem", "sqs:SendMessage")
    with denied(scene.world, "PullDeliveryReportsFunction", *nowhere):
        wait_until(lambda: scene.pull()["lost"], 20, "a page is lost")
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


def the_webhook_is_guessed_at(scene: Scene) -> Iterator[None]:
    """Call it without a key, more often than the alarm bears."""
    for _ in range(int(scene.alarms["WebhookAbuseAlarm"]["Threshold"]) + 1):
        assert scene.call_webhook("/reports/bulk/guess") == 404
    yield


def the_webhook_cannot_record(scene: Scene) -> Iterator[None]:
    """Let the table refuse what Infobip calls with."""
    with denied(scene.world, "ReceiveDeliveryReportFunction", "dynamodb:*"):
        for _ in range(int(scene.alarms["WebhookRefusesAlarm"]["Threshold"]) + 1):
            assert scene.call_webhook(CALL["rawPath"], CALL["body"]) == 503
        yield


def a_function_is_throttled(scene: Scene) -> Iterator[None]:
    """Leave a function no concurrency, and invoke it in each period that counts."""
    alarm = scene.alarms["ThrottlesAlarm"]
    name = scene.resources["FindMessagesFunction"]
    once = {"total_max_attempts": 1}
    functions = session().client("lambda", **options(scene.world.emulator.url, retries=once))
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    for number in range(alarm["DatapointsToAlarm"]):
        scene.skip(period_of(alarm) if number else 0)
        with pytest.raises(ClientError, match="TooManyRequests"):
            functions.invoke(FunctionName=name, Payload=b"{}")
    yield
    functions.delete_function_concurrency(FunctionName=name)


def senders_crash(scene: Scene) -> Iterator[None]:
    """Invoke the sender with what is no event of a queue, in each period that counts."""
    alarm = scene.alarms["SendMessageErrorsAlarm"]
    for number in range(alarm["DatapointsToAlarm"]):
        scene.skip(period_of(alarm) if number else 0)
        with pytest.raises(FunctionFailedError):
            scene.world.invoke("SendMessageFunctionName", {"Records": [{}]})
    yield


def outcomes_are_told_late(scene: Scene) -> Iterator[None]:
    """Let nobody read the table's stream for more than an hour."""
    found = scene.world.functions.list_event_source_mappings()["EventSourceMappings"]
    (mapping,) = (each["UUID"] for each in found if ":dynamodb:" in each["EventSourceArn"])
    scene.world.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    scene.upstream.settle(scene.upstream.send())
    scene.skip(HOUR + MINUTE)
    scene.world.functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    yield


def an_outcome_is_too_large(scene: Scene) -> Iterator[None]:
    """Settle a message anew with more than fits an event."""
    message_id = scene.upstream.send()
    scene.upstream.settle(message_id)
    scene.change_item(message_id, state="UNDELIVERED", callbackData="x" * 300_000)
    yield


def wait_until_nothing_waits(scene: Scene) -> None:
    """Wait until all records have left the send queue."""
    wait_until(lambda: scene.world.waiting() == 0, 60, "no record waits", every=0.2)


def waits(scene: Scene, *message_ids: str) -> bool:
    """Return whether one of these messages is put off."""
    items = [scene.world.message(message_id) or {} for message_id in message_ids]
    return any(item.get("state") == "WAITING" for item in items)


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


def a_message_never_gets_a_final_report(scene: Scene) -> Iterator[None]:
    """Let a recipient stay silent, and make the message as old as the logs reach back."""
    scene.world.simulator.change_settings(defaultValiditySeconds=3 * DAY)
    message_id = scene.upstream.send(PUSH_STAYS_SILENT)
    scene.upstream.wait_for(message_id, "ACCEPTED")
    scene.world.simulator.change_settings(defaultValiditySeconds=1)
    past = datetime.now(UTC) - timedelta(days=2)
    scene.change_item(message_id, claimedAt=written(past), nextCheckAt=written(past))
    scene.upstream.reconcile()
    yield


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


def a_later_version_has_written_a_message(scene: Scene) -> Iterator[None]:
    """Give a message a state that this version does not know, until a roll back is undone."""
    message_id = scene.upstream.send()
    scene.upstream.wait_for(message_id, "ACCEPTED")
    past = datetime.now(UTC) - timedelta(seconds=1)
    scene.change_item(message_id, state="SEEN", nextCheckAt=written(past))
    scene.upstream.reconcile()
    yield
    scene.change_item(message_id, state="ACCEPTED")


def written(moment: datetime) -> str:
    """Write a moment as the table does."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


CAUSES: dict[str, Callable[[Scene], Iterator[None]]] = {
    "SendDeadLetterAlarm": a_record_is_set_aside,
    "DeadLetterAgeAlarm": a_letter_is_forgotten,
    "OldestRecordAlarm": a_message_cannot_be_sent_for_an_hour,
    "SendMessageErrorsAlarm": senders_crash,
    "AccountRefusedAlarm": infobip_refuses_the_credentials,
    "NoReportsPulledAlarm": no_reports_are_taken,
    "NotReconciledAlarm": the_logs_are_not_asked,
    "ReportsStillParkedAlarm": parked_reports_stay_parked,
    "ParkedReportsDeadLetterAlarm": parked_reports_are_given_up,
    "ReportPagesLostAlarm": a_page_of_reports_is_lost,
    "ReportsUnreadableAlarm": a_report_cannot_be_read,
    "ForeignReportsAlarm": somebody_else_uses_the_account,
    "QuarantinedAlarm": a_message_is_quarantined,
    "UnresolvedAlarm": a_message_never_gets_a_final_report,
    "RecordsLostAlarm": a_record_is_purged,
    "MessagesUnreadableAlarm": a_later_version_has_written_a_message,
    "ThrottlesAlarm": a_function_is_throttled,
    "WebhookRefusesAlarm": the_webhook_cannot_record,
    "WebhookAbuseAlarm": the_webhook_is_guessed_at,
    "OutcomeEventsLagAlarm": outcomes_are_told_late,
    "OutcomesUnpublishableAlarm": an_outcome_is_too_large,
}
#: What cannot be made here, as SQS or Lambda would write it: a value each minute.
WRITTEN: dict[str, float] = {"SendQueueInFlightAlarm": 100_001, "OutcomeEventsDeadLetterAlarm": 1}


def test_no_alarm_rings_in_an_hour_of_good_traffic_with_an_outage_of_a_minute(
    scene: Scene,
) -> None:
    """Each minute messages are sent and reports are taken; in one, Infobip turns all away.

    A minute takes less than a second here, and the rest of it is skipped. After the outage nothing
    is, until all records have left the queue: they wait for as long as they would.
    """
    scene.pull()
    scene.upstream.reconcile()
    begin = scene.now()
    sent = []
    for minute in range(60):
        if minute == OUTAGE_MINUTE:
            wait_until_nothing_waits(scene)
            scene.world.simulator.add_fault("*", "rate_limit", times=0, retryAfter=1)
        new = [scene.upstream.send() for _ in range(2)]
        sent += new
        scene.pull()
        if minute % 5 == 0:
            scene.upstream.reconcile()
        if minute == OUTAGE_MINUTE:
            wait_until(functools.partial(waits, scene, *new), 20, "a message waits")
        scene.skip(max(0, begin + (minute + 1) * MINUTE - scene.now()))
        if minute == OUTAGE_MINUTE:
            scene.world.simulator.clear_faults()
            scene.pull()
            wait_until_nothing_waits(scene)
    for message_id in sent:
        scene.upstream.settle(message_id)

    data, clock = scene.data(), each_minute(begin, scene.now() + MINUTE)
    rang = {
        name: [
            at - begin
            for number in EXTRA_PERIODS
            for at, state in states(alarm, data, clock, extra_periods=number)
            if state == "ALARM"
        ]
        for name, alarm in scene.alarms.items()
    }

    assert {name: moments for name, moments in rang.items() if moments} == {}


@pytest.mark.parametrize("name", CAUSES)
def test_alarm_rings_for_its_cause_and_stops_after_it(scene: Scene, name: str) -> None:
    """Long after everything else, and with runs of both schedules just before, it is silent."""
    scene.skip_out_of_sight(name)
    scene.pull()
    scene.upstream.reconcile()
    assert scene.is_silent(name)

    with contextmanager(CAUSES[name])(scene):
        wait_until(lambda: scene.rings(name), 60, f"{name} rings", every=0.2)

    if not scene.is_silent(name):
        scene.skip_out_of_sight(name)
    assert scene.is_silent(name)


@pytest.mark.parametrize("name", WRITTEN)
def test_alarm_rings_from_a_written_series(scene: Scene, name: str) -> None:
    """At the value that is one too many it rings, and one below it does not."""
    alarm = scene.alarms[name]
    moments = [float(minute * MINUTE) for minute in range(60)]

    def rings(value: float) -> bool:
        data = {metric: [(at, value) for at in moments] for metric in metrics_of(alarm)}
        return states(alarm, data, each_minute(HOUR, HOUR))[-1][1] == "ALARM"

    assert rings(WRITTEN[name])
    assert not rings(WRITTEN[name] - 1)


@pytest.mark.parametrize("minute", range(5))
def test_reports_that_one_attempt_failed_for_ring_nothing_from_a_written_series(
    scene: Scene, minute: int
) -> None:
    """A page that is refused once is hidden for six minutes, whichever periods these touch."""
    alarm = scene.alarms["ReportsStillParkedAlarm"]
    parked = range(minute, minute + 7)
    data = {
        metric: [(float(at * MINUTE), float(at in parked)) for at in range(60)]
        for metric in metrics_of(alarm)
    }

    found = states(alarm, data, each_minute(0, HOUR))

    assert "ALARM" not in {state for _, state in found}


def test_no_alarm_is_without_a_test(scene: Scene) -> None:
    """Each is deployed here, within CloudWatch's limits, and rings in a test."""
    for alarm in scene.alarms.values():
        check_limits(alarm)

    assert sorted(scene.alarms) == sorted(ALARMS)
    assert sorted([*CAUSES, *WRITTEN]) == sorted(ALARMS)
