"""Infobip calls with delivery reports, where the deployment wants it to."""

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
def called() -> Iterator[Upstream]:
    """Deploy with the webhook; nothing takes reports or asks the logs unless a test does."""
    parameters = {
        "DeliveryReportWebhook": "enabled",
        "ReportSchedule": "rate(1 day)",
        "ReconcileSchedule": "rate(1 day)",
    }
    with World(parameters=parameters) as world:
        yield Upstream(world)


def post(world: World, path: str, body: str) -> int:
    """Call the function URL, whose host is here only under another address."""
    host = urlsplit(world.outputs["DeliveryReportWebhookUrl"]).netloc
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Host": host, "Content-Type": "application/json"}
        url = world.emulator.url + path
        return session.post(url, body, headers=headers, timeout=30).status_code


def entries(upstream: Upstream, message_id: str, kind: str) -> list[Json]:
    """Read the items of a message whose entry begins so."""
    items = upstream.world.entries(message_id)
    return [item for item in items if item["entry"].startswith(f"{kind}#")]


def notify_url(upstream: Upstream, message_id: str) -> str | None:
    """Return where Infobip was asked to call."""
    (attempt,) = upstream.attempts(message_id)
    url: str | None = attempt["body"].get("notifyUrl")
    return url


def test_report_arrives_without_being_taken(called: Upstream) -> None:
    """Both steps report by the webhook, and the message is settled by them."""
    message_id = called.send(PUSH_FAILS)

    item = called.wait_for(message_id, "DELIVERED")

    assert (item["channel"], item["evidence"]) == ("SMS", "report")
    assert len(entries(called, message_id, "REPORT")) == 2
    url = notify_url(called, message_id) or ""
    assert url.startswith(called.world.outputs["DeliveryReportWebhookUrl"] + "reports/")
    assert "take_reports" not in called.world.simulator.totals()["requests"]


def test_any_bulk_id_of_the_caller_will_do(called: Upstream) -> None:
    """Slashes, dots, spaces and foreign letters find their way through the URL."""
    message_id = called.send(bulkId="März/../a?b#c%2Fd e+f")

    called.wait_for(message_id, "DELIVERED")


def test_what_an_event_says_about_reports_is_left_alone(called: Upstream) -> None:
    """An own URL, or no wish for reports, outranks the webhook."""
    own = called.send(notifyUrl="https://upstream.example/reports")
    silent = called.send(notify=False)

    called.wait_for(own, "ACCEPTED")
    called.wait_for(silent, "ACCEPTED")

    assert notify_url(called, own) == "https://upstream.example/reports"
    assert notify_url(called, silent) is None


def test_seen_message_stays_delivered(called: Upstream) -> None:
    """When it was seen stands beside its reports."""
    message_id = called.send()
    called.wait_for(message_id, "DELIVERED")

    called.world.simulator.let_see(message_id)

    wait_until(lambda: entries(called, message_id, "SEEN"), 20, "the seen report is kept")
    item = called.world.message(message_id)
    assert item is not None
    assert item["state"] == "DELIVERED"


def test_reports_may_be_pushed_and_taken(called: Upstream) -> None:
    """The same report by both ways is one report."""
    called.world.simulator.change_settings(pushedReports="both")
    try:
        message_id = called.send(PUSH_FAILS)
        called.wait_for(message_id, "DELIVERED")
        called.pull()
    finally:
        called.world.simulator.change_settings(pushedReports="push-only")

    item = called.world.message(message_id)
    assert item is not None
    assert item["state"] == "DELIVERED"
    assert len(entries(called, message_id, "REPORT")) == 2


def test_stranger_gets_nowhere(called: Upstream) -> None:
    """Neither a made-up URL nor that of another bulk changes a message."""
    message_id = called.send()
    called.wait_for(message_id, "DELIVERED")
    other = called.send()
    item = called.wait_for(other, "DELIVERED")
    body = json.dumps(
        {"results": [{"messageId": message_id, "status": {"groupId": 3, "id": 5}, "channel": "X"}]}
    )
    path = urlsplit(notify_url(called, message_id) or "").path
    others = urlsplit(notify_url(called, other) or "").path

    assert post(called.world, f"/reports/{item['bulkId']}/guess", body) == 404
    assert post(called.world, path[:-1], body) == 404
    assert post(called.world, "/", body) == 404
    assert post(called.world, others, body) == 200  # taken, and kept apart

    (report,) = entries(called, message_id, "REPORT")
    assert report["entry"].startswith("REPORT#PUSH#")
    assert len(called.world.entries("#foreign")) == 1


def test_example_of_a_call_is_a_true_one(called: Upstream) -> None:
    """It carries a URL that was made with the key of the local world."""
    event = json.loads((ROOT / "events/delivery_reports_webhook.json").read_text())

    answer = called.world.invoke("ReceiveDeliveryReportFunctionName", event)

    assert answer == {"statusCode": 200}
    assert len(entries(called, "parcel-1001", "REPORT")) == 1


def test_page_that_the_table_refuses_is_parked_and_recorded(called: Upstream) -> None:
    """While the puller may not write, the queue keeps what Infobip hands out only once."""
    world = called.world
    message_id = called.send(notifyContentType="application/xml", notifyUrl="http://127.0.0.1/")
    called.wait_for(message_id, "ACCEPTED")

    with denied(world, "PullDeliveryReportsFunction", "dynamodb:BatchWriteItem"):
        (pulled,) = wait_until(lambda: _parking_pulls(world), 20, "a page is parked")

    assert (pulled["lost"], pulled["stoppedBy"]) == (0, "TableUnavailable")
    called.wait_for(message_id, "DELIVERED")


def _parking_pulls(world: World) -> list[Json]:
    """Take reports, and return the answer if a page had to be parked."""
    answer: Json = world.invoke("PullDeliveryReportsFunctionName", {})
    return [answer] if answer["parked"] else []
