"""Each alarm fires for its cause, recovers, and stays OK in an hour of good traffic.

The alarms about sending and about delivery reports are tested in files of their own.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local_world.aws_alarms import (
    check_limits,
    each_minute,
    metrics_of,
    period_of,
    states,
)
from tests.local_world.clients import options, session
from tests.local_world.template import read_template
from tests.local_world.world import wait_until

from . import test_alarms_of_reports as reports
from . import test_alarms_of_sending as sending
from .alarms import (
    DAY,
    EXTRA_PERIODS,
    HOUR,
    MINUTE,
    check_that_alarm_fires_and_recovers,
    formatted,
    wait_until_queue_is_empty,
)
from .upstream import PUSH_STAYS_SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .alarms import Cause, Scene

ALARMS = [
    name
    for name, resource in read_template()["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
]
OUTAGE_MINUTE = 20


def messages_are_not_reconciled(scene: Scene) -> Iterator[None]:
    """Skip all runs of the schedule in the periods that the alarm evaluates."""
    scene.skip_out_of_sight("NotReconciledAlarm")
    yield
    scene.upstream.reconcile()


def message_gets_no_final_report(scene: Scene) -> Iterator[None]:
    """Keep a message without a final report, and age it beyond what the logs cover."""
    scene.world.simulator.change_settings(defaultValiditySeconds=3 * DAY)
    message_id = scene.upstream.send(PUSH_STAYS_SILENT)
    scene.upstream.wait_for(message_id, "ACCEPTED")
    scene.world.simulator.change_settings(defaultValiditySeconds=1)
    past = datetime.now(UTC) - timedelta(days=2)
    scene.change_item(message_id, claimedAt=formatted(past), nextCheckAt=formatted(past))
    scene.upstream.reconcile()
    yield


def later_version_has_written_a_message(scene: Scene) -> Iterator[None]:
    """Give a message a state that this version does not know, as after a rollback."""
    message_id = scene.upstream.send()
    scene.upstream.wait_for(message_id, "ACCEPTED")
    past = datetime.now(UTC) - timedelta(seconds=1)
    scene.change_item(message_id, state="SEEN", nextCheckAt=formatted(past))
    scene.upstream.reconcile()
    yield
    scene.change_item(message_id, state="ACCEPTED")


def function_is_throttled(scene: Scene) -> Iterator[None]:
    """Reserve no concurrency for a function, and invoke it in each period that counts."""
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


def outcome_events_are_late(scene: Scene) -> Iterator[None]:
    """Disable the reader of the table's stream for more than an hour."""
    found = scene.world.functions.list_event_source_mappings()["EventSourceMappings"]
    (mapping,) = (each["UUID"] for each in found if ":dynamodb:" in each["EventSourceArn"])
    scene.world.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    scene.upstream.settle(scene.upstream.send())
    scene.skip(HOUR + MINUTE)
    scene.world.functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    yield


def outcome_event_is_too_large(scene: Scene) -> Iterator[None]:
    """Settle a message again, with more data than an event can hold."""
    message_id = scene.upstream.send()
    scene.upstream.settle(message_id)
    scene.change_item(message_id, state="UNDELIVERED", callbackData="x" * 300_000)
    yield


def waits(scene: Scene, *message_ids: str) -> bool:
    """Return whether any of these messages is waiting for a retry."""
    items = [scene.world.message(message_id) or {} for message_id in message_ids]
    return any(item.get("state") == "WAITING" for item in items)


CAUSES: dict[str, Cause] = {
    "NotReconciledAlarm": messages_are_not_reconciled,
    "UnresolvedAlarm": message_gets_no_final_report,
    "MessagesUnreadableAlarm": later_version_has_written_a_message,
    "ThrottlesAlarm": function_is_throttled,
    "OutcomeEventsLagAlarm": outcome_events_are_late,
    "OutcomesUnpublishableAlarm": outcome_event_is_too_large,
}
#: Causes that cannot be brought about locally: the value that SQS or Lambda reports each minute.
WRITTEN: dict[str, float] = {"SendQueueInFlightAlarm": 100_001, "OutcomeEventsDeadLetterAlarm": 1}


def test_no_alarm_fires_in_an_hour_of_good_traffic_with_an_outage_of_a_minute(
    scene: Scene,
) -> None:
    """Each minute sends messages and pulls reports; in one of them, Infobip throttles everything.

    A minute takes less than a second here, and its rest is skipped. After the outage nothing is
    skipped until the queue is empty, so records wait for as long as in production.
    """
    scene.pull()
    scene.upstream.reconcile()
    begin = scene.now()
    sent = []
    for minute in range(60):
        if minute == OUTAGE_MINUTE:
            wait_until_queue_is_empty(scene)
            scene.world.simulator.add_fault("*", "rate_limit", times=0, retryAfter=1)
        new = [scene.upstream.send() for _ in range(2)]
        sent += new
        scene.pull()
        if minute % 5 == 0:
            scene.upstream.reconcile()
        if minute == OUTAGE_MINUTE:
            wait_until(functools.partial(waits, scene, *new), 60, "a message waits")
        scene.skip(max(0, begin + (minute + 1) * MINUTE - scene.now()))
        if minute == OUTAGE_MINUTE:
            scene.world.simulator.clear_faults()
            scene.pull()
            wait_until_queue_is_empty(scene)
    for message_id in sent:
        scene.upstream.settle(message_id)

    data, clock = scene.data(), each_minute(begin, scene.now() + MINUTE)
    fired = {
        name: [
            at - begin
            for number in EXTRA_PERIODS
            for at, state in states(alarm, data, clock, extra_periods=number)
            if state == "ALARM"
        ]
        for name, alarm in scene.alarms.items()
    }

    assert {name: times for name, times in fired.items() if times} == {}


@pytest.mark.parametrize("name", CAUSES)
def test_alarm_fires_for_its_cause_and_recovers(scene: Scene, name: str) -> None:
    """Each starts OK, long after other causes and just after a run of both schedules."""
    check_that_alarm_fires_and_recovers(scene, name, CAUSES[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_alarm_fires_from_a_written_series(scene: Scene, name: str) -> None:
    """It fires at the first value beyond its threshold, and not one below."""
    alarm = scene.alarms[name]
    timestamps = [float(minute * MINUTE) for minute in range(60)]

    def fires(value: float) -> bool:
        data = {metric: [(at, value) for at in timestamps] for metric in metrics_of(alarm)}
        return states(alarm, data, each_minute(HOUR, HOUR))[-1][1] == "ALARM"

    assert fires(WRITTEN[name])
    assert not fires(WRITTEN[name] - 1)


@pytest.mark.parametrize("minute", range(5))
def test_reports_that_failed_once_fire_no_alarm_from_a_written_series(
    scene: Scene, minute: int
) -> None:
    """A page that is refused once is hidden for six minutes, whichever periods they overlap."""
    alarm = scene.alarms["ReportsStillParkedAlarm"]
    parked = range(minute, minute + 7)
    data = {
        metric: [(float(at * MINUTE), float(at in parked)) for at in range(60)]
        for metric in metrics_of(alarm)
    }

    found = states(alarm, data, each_minute(0, HOUR))

    assert "ALARM" not in {state for _, state in found}


def test_every_alarm_is_tested(scene: Scene) -> None:
    """Each is deployed here, keeps CloudWatch's limits, and fires in a test."""
    for alarm in scene.alarms.values():
        check_limits(alarm)

    assert sorted(scene.alarms) == sorted(ALARMS)
    assert sorted([*CAUSES, *sending.CAUSES, *reports.CAUSES, *WRITTEN]) == sorted(ALARMS)
