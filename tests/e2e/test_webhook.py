"""Infobip pushes delivery reports to the webhook, if the deployment enables it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from tests.local_world.aws_emulator import ROOT
from tests.local_world.world import World, wait_until

from .permissions import denied
from .upstream import PUSH_FAILS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import Json


@pytest.fixture(scope="module")
def webhook() -> Iterator[Upstream]:
    """Deploy with the webhook, and with schedules so rare that only tests pull or reconcile."""
    parameters = {
        "DeliveryReportWebhook": "enabled",
        "ReportSchedule": "rate(1 day)",
        "ReconcileSchedule": "rate(1 day)",
    }
    with World(parameters=parameters) as world:
        yield Upstream(world)


def post(world: World, path: str, body: str) -> int:
    """Call the function URL at the emulator's address, and return the HTTP status."""
    host = urlsplit(world.outputs["DeliveryReportWebhookUrl"]).netloc
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Host": host, "Content-Type": "application/json"}
        url = world.emulator.url + path
        return session.post(url, body, headers=headers, timeout=30).status_code


def entries(upstream: Upstream, message_id: str, kind: str) -> list[Json]:
    """Return the items of a message that are of a kind, such as REPORT."""
    items = upstream.world.entries(message_id)
    return [item for item in items if item["entry"].startswith(f"{kind}#")]


def notify_url(upstream: Upstream, message_id: str) -> str | None:
    """Return the URL that Infobip was asked to call."""
    (attempt,) = upstream.attempts(message_id)
    url: str | None = attempt["body"].get("notifyUrl")
    return url


def test_report_arrives_without_a_pull(webhook: Upstream) -> None:
    """Both steps report to the webhook, and these reports settle the message."""
    message_id = webhook.send(PUSH_FAILS)

    item = webhook.wait_for(message_id, "DELIVERED")

    assert (item["channel"], item["evidence"]) == ("SMS", "report")
    assert len(entries(webhook, message_id, "REPORT")) == 2
    url = notify_url(webhook, message_id) or ""
    assert url.startswith(webhook.world.outputs["DeliveryReportWebhookUrl"] + "reports/")
    assert "take_reports" not in webhook.world.simulator.totals()["requests"]


def test_any_caller_bulk_id_is_accepted(webhook: Upstream) -> None:
    """Slashes, dots, spaces and non-ASCII characters survive the URL."""
    message_id = webhook.send(bulkId="März/../a?b#c%2Fd e+f")

    webhook.wait_for(message_id, "DELIVERED")


def test_report_options_of_an_event_take_precedence(webhook: Upstream) -> None:
    """An event's own URL, or its wish for no reports, overrides the webhook."""
    own = webhook.send(notifyUrl="https://upstream.example/reports")
    silent = webhook.send(notify=False)

    webhook.wait_for(own, "ACCEPTED")
    webhook.wait_for(silent, "ACCEPTED")

    assert notify_url(webhook, own) == "https://upstream.example/reports"
    assert notify_url(webhook, silent) is None


def test_seen_message_stays_delivered(webhook: Upstream) -> None:
    """The seen report is stored beside the delivery reports."""
    message_id = webhook.send()
    webhook.wait_for(message_id, "DELIVERED")

    webhook.world.simulator.let_see(message_id)

    wait_until(lambda: entries(webhook, message_id, "SEEN"), 60, "the seen report is kept")
    item = webhook.world.message(message_id)
    assert item is not None
    assert item["state"] == "DELIVERED"


def test_reports_can_be_pushed_and_pulled(webhook: Upstream) -> None:
    """A report that arrives both ways is stored once."""
    webhook.world.simulator.change_settings(pushedReports="both")
    try:
        message_id = webhook.send(PUSH_FAILS)
        webhook.wait_for(message_id, "DELIVERED")
        webhook.pull()
    finally:
        webhook.world.simulator.change_settings(pushedReports="push-only")

    item = webhook.world.message(message_id)
    assert item is not None
    assert item["state"] == "DELIVERED"
    assert len(entries(webhook, message_id, "REPORT")) == 2


def test_unsigned_calls_change_nothing(webhook: Upstream) -> None:
    """Neither an invented URL nor the URL of another bulk changes a message."""
    message_id = webhook.send()
    webhook.wait_for(message_id, "DELIVERED")
    other = webhook.send()
    item = webhook.wait_for(other, "DELIVERED")
    body = json.dumps(
        {"results": [{"messageId": message_id, "status": {"groupId": 3, "id": 5}, "channel": "X"}]}
    )
    path = urlsplit(notify_url(webhook, message_id) or "").path
    others = urlsplit(notify_url(webhook, other) or "").path

    assert post(webhook.world, f"/reports/{item['bulkId']}/guess", body) == 404
    assert post(webhook.world, path[:-1], body) == 404
    assert post(webhook.world, "/", body) == 404
    assert post(webhook.world, others, body) == 200  # accepted, and stored apart

    (report,) = entries(webhook, message_id, "REPORT")
    assert report["entry"].startswith("REPORT#PUSH#")
    assert len(webhook.world.entries("#foreign")) == 1


def test_example_of_a_call_works(webhook: Upstream) -> None:
    """Its URL is signed with the local webhook key."""
    event = json.loads((ROOT / "events/delivery_reports_webhook.json").read_text())

    answer = webhook.world.invoke("ReceiveDeliveryReportFunctionName", event)

    assert answer == {"statusCode": 200}
    assert len(entries(webhook, "parcel-1001", "REPORT")) == 1


def test_page_that_cannot_be_stored_is_parked_and_recorded(webhook: Upstream) -> None:
    """While the puller may not write, the queue keeps the page, which Infobip hands out once."""
    world = webhook.world
    message_id = webhook.send(notifyContentType="application/xml", notifyUrl="http://127.0.0.1/")
    webhook.wait_for(message_id, "ACCEPTED")

    with denied(world, "PullDeliveryReportsFunction", "dynamodb:BatchWriteItem"):
        (pulled,) = wait_until(lambda: _parking_pulls(world), 60, "a page is parked")

    assert (pulled["lost"], pulled["stoppedBy"]) == (0, "TableUnavailable")
    webhook.wait_for(message_id, "DELIVERED")


def _parking_pulls(world: World) -> list[Json]:
    """Pull reports, and return the answer if a page was parked."""
    answer: Json = world.invoke("PullDeliveryReportsFunctionName", {})
    return [answer] if answer["parked"] else []
