"""`make bench`: measure the delay until an outcome is recorded.

The template is deployed on this machine with its default schedules: reports are pulled once a
minute.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter

from infobip_omni.timestamps import parse_utc
from tests.local_world.world import World, wait_until

_MESSAGES = 120
_SECONDS_BETWEEN = 1.0
_SECONDS_TO_SETTLE = 150
_SCENARIO = {
    "name": "Bench",
    "flow": [{"from": "app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
}


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


def measure() -> None:
    """Send messages for two minutes, wait until all are delivered, and print the delays."""
    with World() as world:
        world.invoke("CreateScenarioFunctionName", _SCENARIO)
        started_at = time.monotonic()
        ids = []
        for number in range(_MESSAGES):
            ids.append(_send(world, number))
            time.sleep(max(0.0, started_at + (number + 1) * _SECONDS_BETWEEN - time.monotonic()))
        wait_until(
            lambda: all((world.message(each) or {}).get("state") == "DELIVERED" for each in ids),
            _SECONDS_TO_SETTLE,
            "all messages are delivered",
            every=1,
        )
        items = [world.message(each) or {} for each in ids]
        delays = sorted(_seconds_to_record(world, each) for each in ids)
    channels = Counter(item["channel"] for item in items)
    sys.stdout.write(
        f"{len(ids)} messages, one a second, reports pulled once a minute: {dict(channels)}\n"
        "from the end of the deciding step until it is recorded:"
        f" median {statistics.median(delays):.1f} s, worst {delays[-1]:.1f} s\n"
    )
