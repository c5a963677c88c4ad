"""Volume: messages that need several requests, pages and batches all get their outcome."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from boto3.dynamodb.types import TypeDeserializer

from tests.local_world.world import wait_until

from .upstream import CANARY_NUMBER

if TYPE_CHECKING:
    from tests.local_world.world import World

    from .upstream import Upstream

EVENTS = 3
DESTINATIONS = 500
REPORTS_PER_PAGE = 1000


def states(world: World, prefix: str) -> Counter[str]:
    """Count the messages whose ids have a prefix, by state."""
    pages = world.dynamodb.get_paginator("scan").paginate(
        TableName=world.outputs["MessagesTableName"],
        FilterExpression="begins_with(messageId, :prefix) AND entry = :entry",
        ExpressionAttributeValues={":prefix": {"S": prefix}, ":entry": {"S": "MESSAGE"}},
    )
    read = TypeDeserializer().deserialize
    return Counter(read(item["state"]) for page in pages for item in page["Items"])


def pages_pulled(world: World) -> int:
    """Return how many pages of reports were pulled from Infobip."""
    pulled: int = world.simulator.totals()["requests"].get("take_reports", {}).get("200", 0)
    return pulled


def test_messages_whose_reports_fill_several_pages_all_get_their_outcome(
    world: World, upstream: Upstream
) -> None:
    """Three events with 500 destinations each become 1500 messages, each delivered once.

    Two overlapping runs pull their reports. No two runs get the same report, and each run continues
    after a page that is not full, until one is empty.
    """
    count = EVENTS * DESTINATIONS
    ids = [f"many-{number}" for number in range(count)]
    destinations = [
        # None of these numbers ends in digits that make the simulator fail.
        {"messageId": message_id, "to": {"phoneNumber": f"{CANARY_NUMBER}{1_002_000 + number}"}}
        for number, message_id in enumerate(ids)
    ]
    for start in range(0, count, DESTINATIONS):
        event = upstream.event(destinations=destinations[start : start + DESTINATIONS])
        del event["to"], event["messageId"]
        world.put_message(event)
    # Each look scans the table.
    wait_until(lambda: states(world, "many-")["ACCEPTED"] == count, 60, "all are accepted", every=1)
    before = pages_pulled(world)

    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: upstream.pull(), range(2)))

    wait_until(
        lambda: states(world, "many-") == {"DELIVERED": count}, 60, "all are delivered", every=1
    )
    assert pages_pulled(world) - before > count // REPORTS_PER_PAGE
    # The schedule may have pulled meanwhile as well.
    assert pages_pulled(world) - before >= sum(run["pages"] for run in runs) + len(runs)
    assert [run["stoppedBy"] for run in runs] == [None, None]
    truth = world.simulator.messages(*ids[:500])
    assert {entry["acceptances"] for entry in truth} == {1}
