"""A deployment whose alarms are judged at a time of its own.

The alarms are those that were deployed, judged by `aws_alarms` over what `aws_metrics` has measured
of real traffic. Only the clock is helped: where an alarm looks back over minutes, hours or days,
the scene skips them. What was measured is then later by as much, an age that goes back to before
a skip grows by it, and queues are taken to have held all the while what they held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from boto3.dynamodb.types import TypeSerializer

from tests.local_world.aws_alarms import each_minute, period_of, states
from tests.local_world.aws_metrics import collected, skipped
from tests.local_world.world import API_KEY, wait_until

from .upstream import SCENARIO, Upstream

if TYPE_CHECKING:
    from datetime import datetime

    from tests.local_world.aws_alarms import State
    from tests.local_world.aws_metrics import Series
    from tests.local_world.world import World

Json = dict[str, Any]

#: Everything that the template can have; nothing happens unless a test makes it happen.
PARAMETERS = {
    "ReconcileAfterSeconds": 1,
    "DeliveryReportWebhook": "enabled",
    "OutcomeEventBusName": "outcomes",
    "ReportSchedule": "rate(1 day)",
    "ReconcileSchedule": "rate(1 day)",
}
MINUTE, HOUR, DAY = 60, 3600, 86_400
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


#: Makes what an alarm is for, and when it is gone on with, ends that.
Cause = Callable[[Scene], Iterator[None]]


def check_that_alarm_rings_and_stops(scene: Scene, name: str, cause: Cause) -> None:
    """Check that an alarm is silent long after everything else, and rings while its cause lasts."""
    scene.skip_out_of_sight(name)
    scene.pull()
    scene.upstream.reconcile()
    assert scene.is_silent(name)

    with contextmanager(cause)(scene):
        wait_until(lambda: scene.rings(name), 60, f"{name} rings", every=0.2)

    if not scene.is_silent(name):
        scene.skip_out_of_sight(name)
    assert scene.is_silent(name)


def waits_in(scene: Scene, queue: str) -> int:
    """Count what a queue holds, in flight or not."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = scene.world.sqs.get_queue_attributes(
        QueueUrl=scene.queue_url(queue), AttributeNames=names
    )
    return sum(int(value) for value in answer["Attributes"].values())


def wait_until_nothing_waits(scene: Scene) -> None:
    """Wait until all records have left the send queue."""
    wait_until(lambda: scene.world.waiting() == 0, 60, "no record waits", every=0.2)


def written(moment: datetime) -> str:
    """Write a moment as the table does."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
