"""`make bench`: measure the delay until an outcome is recorded.

The template is deployed on this machine with its default schedules: reports are pulled once a
minute.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infobip_omni.timestamps import parse_utc
from tests.local_world.world import World, wait_until

if TYPE_CHECKING:
    from tests.progress import Progress

_MESSAGES = 120
_SECONDS_BETWEEN = 1.0
_SECONDS_TO_SETTLE = 150
_SCENARIO = {
    "name": "Bench",
    "flow": [{"from": "app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
}


@dataclass(frozen=True, slots=True)
class OutcomeDelays:
    """How long the outcomes of messages took to be recorded."""

    #: The delay of each message in seconds, in the order in which the messages were sent.
    seconds: list[float]
    #: How many messages each channel has delivered.
    channels: Counter[str]

    def described(self) -> list[str]:
        """Return the figures as lines."""
        sent = f"{len(self.seconds)} messages, one a second"
        median, worst = statistics.median(self.seconds), max(self.seconds)
        recorded = "from the end of the deciding step until it is recorded"
        return [
            f"{sent}, reports pulled once a minute: {dict(self.channels)}",
            f"{recorded}: median {median:.1f} s, worst {worst:.1f} s",
        ]


def _send(world: World, number: int) -> str:
    """Queue a message; every other push fails over to SMS."""
    ending = "0002" if number % 2 else "0100"
    message_id = f"bench-{number}"
    world.put_message(
        {
            "scenario": "bench",
            "messageId": message_id,
            "to": {"phoneNumber": f"38591{number:04d}{ending}"},
            "push": {"text": "Your parcel is on its way."},
            "sms": {"text": "Acme: your parcel is on its way."},
        }
    )
    return message_id


def _seconds_to_record(world: World, message_id: str) -> float:
    """Return the seconds from the end of the deciding step until it was recorded."""
    report = next(
        entry
        for entry in reversed(world.entries(message_id))
        if entry["entry"].startswith("REPORT#") and "#5#" in entry["entry"]
    )
    done_at = parse_utc(report["entry"].rpartition("#")[2])
    return (parse_utc(report["receivedAt"]) - done_at).total_seconds()


def measure(progress: Progress) -> OutcomeDelays:
    """Send messages for two minutes, wait until all are delivered, and return the delays."""
    local = World()
    local.during = progress.step
    with local as world:
        world.invoke("CreateScenarioFunctionName", _SCENARIO)
        started_at = time.monotonic()
        ids = []
        with progress.count("send", "messages", _MESSAGES):
            for number in range(_MESSAGES):
                ids.append(_send(world, number))
                progress.update(number + 1)
                next_at = started_at + (number + 1) * _SECONDS_BETWEEN
                time.sleep(max(0.0, next_at - time.monotonic()))

        def are_delivered() -> bool:
            states = [(world.message(each) or {}).get("state") for each in ids]
            progress.update(states.count("DELIVERED"))
            return all(state == "DELIVERED" for state in states)

        with progress.count("settle", "messages delivered", _MESSAGES):
            wait_until(are_delivered, _SECONDS_TO_SETTLE, "all messages are delivered", every=1)
        items = [world.message(each) or {} for each in ids]
        delays = [_seconds_to_record(world, each) for each in ids]
    return OutcomeDelays(delays, Counter(item["channel"] for item in items))
