"""Each alarm rings for its cause, stops after it, and stays silent in an hour of good traffic.

The alarms about sending and about delivery reports have files of their own.
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
    check_that_alarm_rings_and_stops,
    wait_until_nothing_waits,
    written,
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


def the_logs_are_not_asked(scene: Scene) -> Iterator[None]:
    """Let the schedule invoke nothing, for as long as the alarm is patient."""
    scene.skip_out_of_sight("NotReconciledAlarm")
    yield
    scene.upstream.reconcile()


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


def a_later_version_has_written_a_message(scene: Scene) -> Iterator[None]:
    """Give a message a state that this version does not know, until a roll back is undone."""
    message_id = scene.upstream.send()
    scene.upstream.wait_for(message_id, "ACCEPTED")
    past = datetime.now(UTC) - timedelta(seconds=1)
    scene.change_item(message_id, state="SEEN", nextCheckAt=written(past))
    scene.upstream.reconcile()
    yield
    scene.change_item(message_id, state="ACCEPTED")


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


def waits(scene: Scene, *message_ids: str) -> bool:
    """Return whether one of these messages is put off."""
    items = [scene.world.message(message_id) or {} for message_id in message_ids]
    return any(item.get("state") == "WAITING" for item in items)


CAUSES: dict[str, Cause] = {
    "NotReconciledAlarm": the_logs_are_not_asked,
    "UnresolvedAlarm": a_message_never_gets_a_final_report,
    "MessagesUnreadableAlarm": a_later_version_has_written_a_message,
    "ThrottlesAlarm": a_function_is_throttled,
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
    check_that_alarm_rings_and_stops(scene, name, CAUSES[name])


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
    assert sorted([*CAUSES, *sending.CAUSES, *reports.CAUSES, *WRITTEN]) == sorted(ALARMS)
