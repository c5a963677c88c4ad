"""The main purpose: a PUSH, an SMS if the push fails, and the outcome in the table."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from .upstream import ALL_FAIL, PUSH_ARRIVES, PUSH_FAILS, PUSH_STAYS_SILENT, REFUSED

if TYPE_CHECKING:
    from tests.local_world.world import World

    from .upstream import Upstream


def reports(world: World, message_id: str) -> dict[str, str]:
    """Return the status id of each of a message's reports, by channel."""
    entries = [item["entry"].split("#") for item in world.entries(message_id)]
    return {entry[1]: entry[2] for entry in entries if entry[0] == "REPORT"}


def test_push_that_arrives_is_delivered_as_push(upstream: Upstream) -> None:
    """The recipient gets the push, and no SMS."""
    message_id = upstream.send(PUSH_ARRIVES)

    item = upstream.settle(message_id)

    (truth,) = upstream.world.simulator.messages(message_id)
    assert (item["state"], item["channel"], item["evidence"]) == ("DELIVERED", "PUSH", "report")
    assert [step["channel"] for step in truth["steps"]] == ["PUSH"]
    assert truth["acceptances"] == 1


def test_push_that_fails_becomes_an_sms(upstream: Upstream) -> None:
    """The item holds channel, time and price of the delivery by SMS; both reports are kept."""
    message_id = upstream.send(PUSH_FAILS)

    item = upstream.settle(message_id)

    assert (item["state"], item["channel"], item["evidence"]) == ("DELIVERED", "SMS", "report")
    assert item["price"] == {"pricePerMessage": Decimal("0.01"), "currency": "EUR"}
    assert item["status"]["name"] == "DELIVERED_TO_HANDSET"
    assert item["claimedAt"] < item["doneAt"]
    assert (item["scenario"], item["steps"]) == ("order-updates", ["PUSH", "SMS"])
    assert reports(upstream.world, message_id) == {"PUSH": "66", "SMS": "5"}


def test_push_without_a_report_becomes_an_sms(upstream: Upstream) -> None:
    """If the push expires without a report, SMS is tried."""
    message_id = upstream.send(PUSH_STAYS_SILENT)

    item = upstream.settle(message_id)

    assert (item["state"], item["channel"]) == ("DELIVERED", "SMS")
    assert reports(upstream.world, message_id) == {"PUSH": "15", "SMS": "5"}


def test_message_that_no_step_delivers_is_undelivered(upstream: Upstream) -> None:
    """The last step decides the outcome."""
    message_id = upstream.send(ALL_FAIL)

    item = upstream.settle(message_id)

    assert (item["state"], item["channel"]) == ("UNDELIVERED", "SMS")
    assert item["status"]["name"] == "UNDELIVERABLE_NOT_DELIVERED"


def test_message_that_infobip_refuses_is_rejected_immediately(upstream: Upstream) -> None:
    """No report is needed, and the record is not redelivered."""
    message_id = upstream.send(REFUSED)

    item = upstream.wait_for(message_id, "REJECTED")

    assert item["evidence"] == "response"
    assert item["status"]["name"] == "REJECTED_DESTINATION_BLOCKLISTED"
    assert upstream.acceptances(message_id) == {message_id: 0}
    assert len(upstream.attempts(message_id)) == 1
