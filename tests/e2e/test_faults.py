"""Faults of Infobip and the network delay messages, but lose and duplicate none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.local_world.world import API_KEY, wait_until

from .upstream import CANARY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import Json, World

    from .upstream import Upstream

RETRY_AFTER_SECONDS = 6


@dataclass(frozen=True)
class Faulty:
    """Events that each meet a different fault, or none, at their first request."""

    answer_lost: Json
    never_accepted: Json
    must_arrive: Json
    throttled: Json
    unaffected: Json

    def all(self) -> tuple[Json, ...]:
        """Return all events."""
        return tuple(vars(self).values())


@pytest.fixture(scope="module")
def faulty(upstream: Upstream) -> Faulty:
    """Send all of them in one batch, and reconcile until no record is left in the queue."""
    events = Faulty(
        answer_lost=upstream.event(),
        never_accepted=upstream.event(),
        must_arrive=upstream.event(onUnknown="must-arrive"),
        throttled=upstream.event(),
        unaffected=upstream.event(),
    )
    for event, kind, members in (
        (events.answer_lost, "reset_after", {}),
        (events.never_accepted, "reset_before", {}),
        (events.must_arrive, "error_before", {"status": 503}),
        (events.throttled, "rate_limit", {"retryAfter": RETRY_AFTER_SECONDS}),
    ):
        ids = [event["messageId"]]
        upstream.world.simulator.add_fault("send_advanced", kind, messageIds=ids, **members)
    upstream.send_together(events.all())
    # Once the records were redelivered without a result, they stay hidden for longer than three log
    # queries take. Reconciling immediately works as well, but meets some of them in between.
    wait_until(
        lambda: is_overdue(upstream, events.must_arrive), 60, "the log query is due", every=0.2
    )
    wait_until(lambda: is_over(upstream), 60, "the queue is empty", every=0.5)
    return events


@pytest.fixture
def changed_key(world: World) -> Iterator[str]:
    """Change the API key at Infobip but not in the parameter, and restore both afterwards."""
    world.simulator.change_credentials(apiKey=CANARY_KEY)
    yield CANARY_KEY
    world.simulator.change_credentials(apiKey=API_KEY)
    store_key(world, API_KEY)


def is_overdue(upstream: Upstream, event: Json) -> bool:
    """Return whether the log query for a message was due a second ago."""
    item = upstream.wait_for(event["messageId"], "UNKNOWN")
    due: str = item["nextCheckAt"]
    return datetime.fromisoformat(due) + timedelta(seconds=1) <= datetime.now(UTC)


def is_over(upstream: Upstream) -> bool:
    """Reconcile, and return whether the queue is empty."""
    upstream.reconcile()
    return upstream.world.waiting() == 0


def store_key(world: World, key: str) -> None:
    """Store an API key in the parameter that the functions read."""
    world.ssm.put_parameter(
        Name="/omni/local/infobip/credentials",
        Value=json.dumps({"apiKey": key}),
        Type="SecureString",
        Overwrite=True,
    )


def test_message_whose_answer_was_lost_is_not_sent_again(
    upstream: Upstream, faulty: Faulty
) -> None:
    """The logs show that Infobip has accepted it."""
    message_id = faulty.answer_lost["messageId"]

    item = upstream.settle(message_id)

    assert (item["state"], item["channel"], item["attempts"]) == ("DELIVERED", "PUSH", 1)
    assert "unknownAt" in item
    assert len(upstream.attempts(message_id)) == 1
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_message_that_is_not_in_the_logs_is_quarantined(upstream: Upstream, faulty: Faulty) -> None:
    """After three log queries it is dead-lettered with its content, and never resent blindly."""
    message_id = faulty.never_accepted["messageId"]

    item = upstream.wait_for(message_id, "QUARANTINED")

    (record,) = upstream.dead_lettered_records([json.dumps(faulty.never_accepted)])
    queries = [
        query
        for query in upstream.world.simulator.requests("search_logs")
        if message_id in query["messageIds"] and query["status"] == 200
    ]
    assert len(queries) >= 3
    assert item["attempts"] == 1
    assert record["attributes"]["reason"] == "QUARANTINED"
    assert len(upstream.attempts(message_id)) == 1


def test_message_that_must_arrive_is_resent_if_it_is_not_in_the_logs(
    upstream: Upstream, faulty: Faulty
) -> None:
    """It is sent under the same id, is delivered, and is accepted once."""
    message_id = faulty.must_arrive["messageId"]

    item = upstream.settle(message_id)

    assert (item["state"], item["attempts"]) == ("DELIVERED", 2)
    assert [attempt["status"] for attempt in upstream.attempts(message_id)] == [503, 200]
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_throttled_message_waits_as_long_as_infobip_asks(
    upstream: Upstream, faulty: Faulty
) -> None:
    """It is resent, but not before the time that the Retry-After header names."""
    message_id = faulty.throttled["messageId"]

    item = upstream.settle(message_id)

    first, second = upstream.attempts(message_id)
    wait = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert (first["status"], second["status"]) == (429, 200)
    assert wait >= timedelta(seconds=RETRY_AFTER_SECONDS)
    assert (item["state"], item["attempts"]) == ("DELIVERED", 2)


def test_fault_affects_no_other_message(upstream: Upstream, faulty: Faulty) -> None:
    """A message without a fault is delivered at its first attempt."""
    item = upstream.settle(faulty.unaffected["messageId"])

    assert (item["state"], item["attempts"]) == ("DELIVERED", 1)


def test_wrong_credentials_lose_nothing(world: World, upstream: Upstream, changed_key: str) -> None:
    """The record waits in the queue, and is sent as soon as the parameter holds the right key."""
    message_id = upstream.send()
    upstream.wait_for(message_id, "WAITING")
    assert world.waiting() == 1
    assert upstream.acceptances(message_id) == {message_id: 0}

    store_key(world, changed_key)

    assert upstream.settle(message_id)["state"] == "DELIVERED"
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_outage_loses_no_message(upstream: Upstream) -> None:
    """Records wait while Infobip throttles every request; afterwards each is sent once."""
    # Two messages, each tried twice, do not open the circuit, which would delay other tests.
    events = [upstream.event() for _ in range(2)]
    ids = [event["messageId"] for event in events]
    fault = upstream.world.simulator.add_fault(
        "send_advanced", "rate_limit", times=0, retryAfter=0, messageIds=ids
    )
    bodies = upstream.send_together(events)
    for message_id in ids:
        upstream.wait_for(message_id, "WAITING")
    wait_until(
        lambda: len(upstream.attempts(ids[0])) > 1,
        60,
        "a message is retried during the outage",
        every=0.2,
    )

    upstream.world.simulator.end_fault(fault)

    for message_id in ids:
        upstream.wait_for(message_id, "ACCEPTED", "DELIVERED", within_seconds=60)
        assert upstream.settle(message_id)["state"] == "DELIVERED"
    assert set(upstream.acceptances(*ids).values()) == {1}
    assert upstream.dead_lettered_records(bodies) == []
