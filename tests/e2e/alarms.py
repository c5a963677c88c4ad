"""A deployment whose alarms are evaluated on a clock of its own.

`aws_alarms` evaluates the deployed alarms over what `aws_metrics` has measured of real traffic.
Only the clock is simulated: where an alarm looks back over minutes, hours or days, the scene skips
them. Data points after a skip then come later by its length, an age that began before it grows by
as much, and queues are assumed to have kept their contents throughout.
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

#: Every optional part of the template; schedules are so rare that only tests invoke functions.
PARAMETERS = {
    "ReconcileAfterSeconds": 1,
    "DeliveryReportWebhook": "enabled",
    "OutcomeEventBusName": "outcomes",
    "ReportSchedule": "rate(1 day)",
    "ReconcileSchedule": "rate(1 day)",
}
MINUTE, HOUR, DAY = 60, 3600, 86_400
#: CloudWatch evaluates more periods than an alarm needs; AWS does not document how many more.
EXTRA_PERIODS = (0, 2, 5)


class Scene:
    """A deployment whose alarms are evaluated on a clock of its own.

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
        self._http.trust_env = False  # no proxy leads to this machine

    def now(self) -> float:
        """Return the scene's time, in seconds since 1970."""
        return time.time() + sum(length for _, length in self._skips)

    def skip(self, seconds: float) -> None:
        """Skip a time in which nothing happens."""
        self._skips.append((time.time(), seconds))

    def see_queues(self) -> None:
        """Wait until every queue has been measured again."""
        begin = time.time()

        def is_measured() -> bool:
            name = "ApproximateNumberOfMessagesVisible"  # each queue that is in use has one
            measured = collected(self.world.emulator.directory, logs="")
            times = [v[-1][0] for metric, v in measured.items() if metric.name == name]
            return min(times) > begin

        wait_until(is_measured, 60, "all queues are measured", every=0.2)

    def skip_out_of_sight(self, name: str) -> None:
        """Skip so much time that an alarm no longer sees any present data point."""
        alarm = self.alarms[name]
        self.see_queues()
        self.skip((alarm["EvaluationPeriods"] + max(EXTRA_PERIODS) + 1) * period_of(alarm))

    def data(self) -> Series:
        """Return all data points so far, at the times of the scene."""
        return skipped(self._measured(), self._skips)

    def states(self, name: str) -> set[State]:
        """Return the states that an alarm can have at the next full minute.

        There is more than one only if the state depends on how far CloudWatch looks back.
        """
        alarm, data, now = self.alarms[name], self.data(), self.now()
        clock = each_minute(now - 5 * MINUTE, now + MINUTE)
        return {states(alarm, data, clock, extra_periods=n)[-1][1] for n in EXTRA_PERIODS}

    def fires(self, name: str) -> bool:
        """Return whether an alarm will fire at the next full minute."""
        return self.states(name) == {"ALARM"}

    def is_ok(self, name: str) -> bool:
        """Return whether an alarm will be OK at the next full minute."""
        return self.states(name) == {"OK"}

    def pull(self) -> Json:
        """Pull delivery reports, as the schedule does, and return the function's answer."""
        answer: Json = self.world.invoke("PullDeliveryReportsFunctionName", {})
        return answer

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue by its name in the template."""
        return self.resources[name]

    def _measured(self) -> Series:
        # Only these lines are in the embedded metric format.
        logs = self.world.logs(containing="CloudWatchMetrics")
        return collected(self.world.emulator.directory, logs)

    def call_webhook(self, path: str, body: str = "{}") -> int:
        """Call the function URL at the emulator's address, and return the HTTP status."""
        host = urlsplit(self.world.outputs["DeliveryReportWebhookUrl"]).netloc
        url = self.world.emulator.url + path
        return self._http.post(url, body, headers={"Host": host}, timeout=30).status_code

    def send_from_another_deployment(self, count: int) -> None:
        """Send messages through the same Infobip account that this deployment does not know."""
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
        """Change members of a message's item, as time or an operator would."""
        item = (self.world.message(message_id) or {}) | members
        serialize = TypeSerializer().serialize
        self.world.dynamodb.put_item(
            TableName=self.world.outputs["MessagesTableName"],
            Item={name: serialize(value) for name, value in item.items()},
        )


#: Brings about what an alarm watches for, yields, and then ends it.
Cause = Callable[[Scene], Iterator[None]]


def check_that_alarm_fires_and_recovers(scene: Scene, name: str, cause: Cause) -> None:
    """Check that an alarm is OK at first, fires while its cause lasts, and is OK again later."""
    scene.skip_out_of_sight(name)
    scene.pull()
    scene.upstream.reconcile()
    assert scene.is_ok(name)

    with contextmanager(cause)(scene):
        wait_until(lambda: scene.fires(name), 60, f"{name} fires", every=0.5)

    if not scene.is_ok(name):
        scene.skip_out_of_sight(name)
    assert scene.is_ok(name)


def waits_in(scene: Scene, queue: str) -> int:
    """Return how many messages a queue holds, in flight or not."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = scene.world.sqs.get_queue_attributes(
        QueueUrl=scene.queue_url(queue), AttributeNames=names
    )
    return sum(int(value) for value in answer["Attributes"].values())


def wait_until_queue_is_empty(scene: Scene) -> None:
    """Wait until the send queue is empty."""
    wait_until(lambda: scene.world.waiting() == 0, 60, "the send queue is empty", every=0.2)


def formatted(timestamp: datetime) -> str:
    """Format a timestamp as the table stores it."""
    return timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
