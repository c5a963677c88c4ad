"""Refusals that end burn no content: after the cure, each message is sent once.

A deployment of its own, since a refused account delays everything that is sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_alarms import each_minute, states
from tests.local_world.aws_metrics import collected
from tests.local_world.world import World, wait_until

from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.local_world.world import Json

MESSAGES = 200
PER_EVENT = 100
MINUTE = 60


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """Deploy for these tests alone; a refused message has log rows and reports, which come late."""
    parameters = {"ReconcileAfterSeconds": 1, "SendMaximumConcurrency": 2}
    with World(parameters=parameters) as world:
        world.simulator.change_settings(
            defaultValiditySeconds=1, refusedRows="both", reportDelaySeconds=2
        )
        yield Upstream(world)


def found(upstream: Upstream, query: Json) -> list[Json]:
    """Invoke find_messages until there is no next page, and return all messages."""
    messages: list[Json] = []
    token: Json = {}
    while True:
        answer = upstream.world.invoke("FindMessagesFunctionName", query | {"limit": 90} | token)
        messages += answer["messages"]
        if "nextToken" not in answer:
            return messages
        token = {"nextToken": answer["nextToken"]}


def fires(upstream: Upstream, name: str, begin: float) -> bool:
    """Return whether an alarm fires within a minute of a time, by what the functions published."""
    world = upstream.world
    data = collected(world.emulator.directory, world.logs(containing="CloudWatchMetrics"))
    clock = each_minute(begin, time.time() + MINUTE)
    return "ALARM" in {state for _, state in states(world.alarms()[name], data, clock)}


def settled(upstream: Upstream, ids: Sequence[str]) -> bool:
    """Take reports, and return whether all messages are delivered."""
    upstream.pull()
    items = map(upstream.world.message, ids)
    return all((item or {}).get("state") == "DELIVERED" for item in items)


def test_messages_refused_for_credit_are_each_delivered_once_after_the_top_up(
    upstream: Upstream,
) -> None:
    """The alarm fires at the first, and operators see what waits, and for what."""
    simulator = upstream.world.simulator
    simulator.change_settings(refuseAll="REJECTED_NOT_ENOUGH_CREDITS")
    begin = time.time()
    events = []
    for _ in range(MESSAGES // PER_EVENT):
        single = [upstream.event() for _ in range(PER_EVENT)]
        destinations = [{"messageId": one["messageId"], "to": one["to"]} for one in single]
        shared = {name: single[0][name] for name in ("scenario", "push", "sms")}
        events.append(shared | {"destinations": destinations})
    ids = [each["messageId"] for event in events for each in event["destinations"]]
    bodies = upstream.send_together(events)

    def refused() -> list[Json]:
        waiting = found(upstream, {"waiting": True})
        return [item for item in waiting if item.get("status", {}).get("id") == 12]

    wait_until(lambda: len(refused()) == MESSAGES, 60, "all messages wait for credit")
    assert set(upstream.acceptances(*ids).values()) == {0}

    simulator.change_settings(refuseAll="")

    wait_until(lambda: upstream.world.waiting() == 0, 60, "no record waits", every=0.2)
    wait_until(lambda: settled(upstream, ids), 20, "all messages are delivered")
    assert set(upstream.acceptances(*ids).values()) == {1}
    assert upstream.dead_lettered_records(bodies) == []
    assert found(upstream, {"waiting": True}) == []
    assert fires(upstream, "AccountRefusedAlarm", begin)


def test_messages_sent_to_a_wrong_host_are_delivered_once_when_the_url_is_right(
    upstream: Upstream,
) -> None:
    """Another server answers with its 404 page: nothing is rejected, and nothing is lost."""
    simulator = upstream.world.simulator
    begin = time.time()
    fault = simulator.add_fault("send_advanced", "page_before", times=0, status=404)
    events = [upstream.event() for _ in range(3)]
    ids = [event["messageId"] for event in events]
    bodies = upstream.send_together(events)

    def unread() -> set[str]:
        waiting = found(upstream, {"waiting": True})
        return {item["messageId"] for item in waiting if item.get("status") == {"httpStatus": 404}}

    # An environment that has not sent since the account was refused still shows that first.
    wait_until(lambda: unread() == set(ids), 30, "find_messages shows why the messages wait")
    simulator.end_fault(fault)

    wait_until(lambda: upstream.world.waiting() == 0, 60, "no record waits", every=0.2)
    wait_until(lambda: settled(upstream, ids), 20, "all messages are delivered")
    assert set(upstream.acceptances(*ids).values()) == {1}
    assert upstream.dead_lettered_records(bodies) == []
    assert fires(upstream, "SendsRefusedUnreadAlarm", begin)
