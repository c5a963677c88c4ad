"""What Infobip and the network do wrong costs time, but no message and no duplicate."""

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
class Harmed:
    """Events, each of which met a fault of its own at its first request."""

    answer_lost: Json
    never_accepted: Json
    must_arrive: Json
    throttled: Json
    unharmed: Json

    def all(self) -> tuple[Json, ...]:
        """Return all of them."""
        return tuple(vars(self).values())


@pytest.fixture(scope="module")
def harmed(upstream: Upstream) -> Harmed:
    """Send messages through an outage, together, and ask the logs until none is open."""
    events = Harmed(
        answer_lost=upstream.event(),
        never_accepted=upstream.event(),
        must_arrive=upstream.event(onUnknown="must-arrive"),
        throttled=upstream.event(),
        unharmed=upstream.event(),
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
    # Once the records have come round without news, they stay away for longer than it takes to ask
    # three times. Asking at once works as well, but meets some of them in between.
    wait_until(lambda: is_overdue(upstream, events.must_arrive), 20, "the logs are to be asked")
    wait_until(lambda: is_over(upstream), 60, "every record has left the queue", every=0.2)
    return events


@pytest.fixture
def changed_key(world: World) -> Iterator[str]:
    """Change the API key at Infobip, and nowhere else; what the test did is undone afterwards."""
    world.simulator.change_credentials(apiKey=CANARY_KEY)
    yield CANARY_KEY
    world.simulator.change_credentials(apiKey=API_KEY)
    store_key(world, API_KEY)


def is_overdue(upstream: Upstream, event: Json) -> bool:
    """Return whether the logs should have been asked about a message a second ago."""
    item = upstream.wait_for(event["messageId"], "UNKNOWN")
    due: str = item["nextCheckAt"]
    return datetime.fromisoformat(due) + timedelta(seconds=1) <= datetime.now(UTC)


def is_over(upstream: Upstream) -> bool:
    """Ask the logs what they are to be asked, and return whether no record waits any more."""
    upstream.reconcile()
    return upstream.world.waiting() == 0


def store_key(world: World, key: str) -> None:
    """Put an API key where the functions look for it."""
    world.ssm.put_parameter(
        Name="/omni/local/infobip/credentials",
        Value=json.dumps({"apiKey": key}),
        Type="SecureString",
        Overwrite=True,
    )


def test_message_whose_answer_was_lost_is_not_sent_again(
    upstream: Upstream, harmed: Harmed
) -> None:
    """The logs tell that Infobip has it."""
    message_id = harmed.answer_lost["messageId"]

    item = upstream.settle(message_id)

    assert (item["state"], item["channel"], item["attempts"]) == ("DELIVERED", "PUSH", 1)
    assert "unknownAt" in item
    assert len(upstream.attempts(message_id)) == 1
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_message_that_the_logs_do_not_know_is_quarantined(
    upstream: Upstream, harmed: Harmed
) -> None:
    """After three questions it is set aside with its content, and never sent again blindly."""
    message_id = harmed.never_accepted["messageId"]

    item = upstream.wait_for(message_id, "QUARANTINED")

    (letter,) = upstream.dead_lettered_records([json.dumps(harmed.never_accepted)])
    questions = [
        question
        for question in upstream.world.simulator.requests("search_logs")
        if message_id in question["messageIds"] and question["status"] == 200
    ]
    assert len(questions) >= 3
    assert item["attempts"] == 1
    assert letter["attributes"]["reason"] == "QUARANTINED"
    assert len(upstream.attempts(message_id)) == 1


def test_message_that_must_arrive_is_sent_again_when_the_logs_do_not_know_it(
    upstream: Upstream, harmed: Harmed
) -> None:
    """It goes out under the same id, is delivered, and was accepted once."""
    message_id = harmed.must_arrive["messageId"]

    item = upstream.settle(message_id)

    assert (item["state"], item["attempts"]) == ("DELIVERED", 2)
    assert [attempt["status"] for attempt in upstream.attempts(message_id)] == [503, 200]
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_message_that_was_throttled_waits_for_as_long_as_infobip_asks(
    upstream: Upstream, harmed: Harmed
) -> None:
    """It is sent again, but not sooner than the Retry-After header says."""
    message_id = harmed.throttled["messageId"]

    item = upstream.settle(message_id)

    first, second = upstream.attempts(message_id)
    pause = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert (first["status"], second["status"]) == (429, 200)
    assert pause >= timedelta(seconds=RETRY_AFTER_SECONDS)
    assert (item["state"], item["attempts"]) == ("DELIVERED", 2)


def test_fault_touches_no_other_message(upstream: Upstream, harmed: Harmed) -> None:
    """A message that met no fault is delivered at its first attempt."""
    item = upstream.settle(harmed.unharmed["messageId"])

    assert (item["state"], item["attempts"]) == ("DELIVERED", 1)


def test_wrong_credentials_lose_nothing(world: World, upstream: Upstream, changed_key: str) -> None:
    """The record waits in the queue, and is sent once the parameter holds the right key."""
    message_id = upstream.send()
    upstream.wait_for(message_id, "WAITING")
    assert world.waiting() == 1
    assert upstream.acceptances(message_id) == {message_id: 0}

    store_key(world, changed_key)

    assert upstream.settle(message_id)["state"] == "DELIVERED"
    assert upstream.acceptances(message_id) == {message_id: 1}


def test_outage_that_ends_costs_no_message(upstream: Upstream) -> None:
    """While Infobip turns every request away records wait; after that, each is sent once."""
    # Two, tried twice, are too few to open the circuit, for which other tests would have to wait.
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
        30,
        "a message was tried again during the outage",
    )

    upstream.world.simulator.end_fault(fault)

    for message_id in ids:
        upstream.wait_for(message_id, "ACCEPTED", "DELIVERED", within_seconds=60)
        assert upstream.settle(message_id)["state"] == "DELIVERED"
    assert set(upstream.acceptances(*ids).values()) == {1}
    assert upstream.dead_lettered_records(bodies) == []
