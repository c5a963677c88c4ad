"""A call is believed for the bulk that its URL is for, and for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.receive_delivery_report import app
from functions.receive_delivery_report.app import Dependencies
from infobip_omni.delivery_reports import FOREIGN_ID, DeliveryReports
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.webhook import report_path
from tests.fakes import Clock, FakeLedger, make_claim

from .conftest import CONTEXT, PHONE, TEXT, metrics_in, page_of, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .conftest import Printed

KEY = b"canary-key-of-thirty-two-letters"


@dataclass
class Harness:
    """The function and what it talks to."""

    ledger: FakeLedger
    reports: DeliveryReports
    keys: Callable[[], Sequence[bytes]] = lambda: [KEY]

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(self.keys, self.reports)

    def run(
        self,
        body: bytes,
        *,
        path: str = "/" + report_path("bulk-1", KEY),
        method: str = "POST",
        encoded: bool = False,
    ) -> int:
        """Call the function's URL, and return the status that it answers."""
        event = {
            "version": "2.0",
            "rawPath": path,
            "requestContext": {"http": {"method": method, "path": path}},
            "body": base64.b64encode(body).decode() if encoded else body.decode(),
            "isBase64Encoded": encoded,
        }
        answer = self.invoke(event)
        assert answer.keys() == {"statusCode"}
        return int(answer["statusCode"])

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function as Lambda does."""
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose ledger holds two messages of one bulk, and one of another."""
    clock = Clock()
    ledger = FakeLedger(clock)
    claims = [make_claim("m-1"), make_claim("m-2"), make_claim("foreign-1", bulk_id="bulk-2")]
    ledger.claim(claims, timedelta(minutes=2))
    harness = Harness(ledger, DeliveryReports(ledger.table, ledger, clock))
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def seen(message_id: str, **changes: object) -> dict[str, Any]:
    """Write a seen report as Infobip documents it."""
    return {
        "messageId": message_id,
        "from": "acme-app",
        "to": PHONE,
        "sendAt": "2026-01-31T12:00:00.000+0000",
        "seenAt": "2026-01-31T12:05:00.000+0100",
    } | changes


# --- Reports -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoded", [False, True])
def test_report_settles_its_message(harness: Harness, *, encoded: bool) -> None:
    """It is recorded as a pulled one is, however AWS hands the body over."""
    assert harness.run(page_of(report_of("m-1"), report_of("m-2")), encoded=encoded) == 200

    assert harness.ledger.states() == {
        "m-1": "DELIVERED",
        "m-2": "DELIVERED",
        "foreign-1": "CLAIMED",
    }
    assert harness.ledger.item("m-1")["evidence"] == "report"
    assert len(harness.ledger.table.entries("REPORT#")) == 2


def test_repeated_report_changes_nothing(harness: Harness) -> None:
    """Infobip may call twice, and the same report may be pulled as well."""
    harness.run(page_of(report_of("m-1")))
    before = dict(harness.ledger.table.items)

    assert harness.run(page_of(report_of("m-1"))) == 200

    assert harness.ledger.table.items == before


def test_report_of_an_unknown_message_is_kept(harness: Harness) -> None:
    """As with pulled reports, it makes no message."""
    assert harness.run(page_of(report_of("other"))) == 200

    assert [item["messageId"] for item in harness.ledger.table.entries("REPORT#")] == ["other"]
    assert "other" not in harness.ledger.states()


def test_report_of_another_bulk_is_kept_apart(harness: Harness) -> None:
    """A URL that got into wrong hands does not open the way to all messages."""
    assert harness.run(page_of(report_of("foreign-1"), seen("foreign-1"), report_of("m-1"))) == 200

    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "CLAIMED", "foreign-1": "CLAIMED"}
    kept = harness.ledger.table.entries("FOREIGN#")
    assert {item["messageId"] for item in kept} == {FOREIGN_ID}
    raw = json.dumps(report_of("foreign-1"))
    assert raw in [item["raw"] for item in kept]
    assert f"FOREIGN#{hashlib.sha256(raw.encode()).hexdigest()}" in [item["entry"] for item in kept]
    assert [key for key in harness.ledger.table.items if key[0] == "foreign-1"] == [
        ("foreign-1", "MESSAGE")
    ]


def test_unreadable_entry_costs_only_itself(harness: Harness) -> None:
    """It is kept raw, and its neighbour is recorded."""
    assert harness.run(page_of({"messageId": "m-2", "status": "new"}, report_of("m-1"))) == 200

    assert harness.ledger.states()["m-1"] == "DELIVERED"
    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"results": 7}', b"\xff"])
def test_body_that_is_no_list_of_reports_is_kept(harness: Harness, body: bytes) -> None:
    """Another call would say the same, so that Infobip is not asked for one."""
    assert harness.run(body, encoded=True) == 200

    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


# --- Seen reports and messages from recipients ---------------------------------------------


def test_seen_report_is_kept_beside_the_others(harness: Harness) -> None:
    """It is told by `seenAt`, and is no delivery report: the state stays what it was."""
    assert (
        harness.run(page_of(report_of("m-1", status={"groupId": 1, "id": 7}), seen("m-1"))) == 200
    )

    (kept,) = harness.ledger.table.entries("SEEN#")
    assert (kept["messageId"], kept["entry"]) == ("m-1", "SEEN#-#2026-01-31T11:05:00.000Z")
    assert json.loads(kept["report"]) == seen("m-1")
    assert kept["expiresAt"] == harness.ledger.item("m-1")["expiresAt"]
    assert harness.ledger.states()["m-1"] == "ACCEPTED"
    assert len(harness.ledger.table.entries("REPORT#")) == 1


def test_seen_report_may_name_its_channel(harness: Harness) -> None:
    """A message that was seen twice has two entries."""
    later = seen("m-1", channel="VIBER", seenAt="2026-01-31T13:00:00.000+0000")

    assert harness.run(page_of(seen("m-1"), later)) == 200

    assert [item["entry"] for item in harness.ledger.table.entries("SEEN#")] == [
        "SEEN#-#2026-01-31T11:05:00.000Z",
        "SEEN#VIBER#2026-01-31T13:00:00.000Z",
    ]


@pytest.mark.parametrize("moment", [None, "", "soon", 7])
def test_seen_report_without_a_moment_is_unreadable(harness: Harness, moment: object) -> None:
    """It is kept raw."""
    assert harness.run(page_of(seen("m-1", seenAt=moment))) == 200

    assert harness.ledger.table.entries("SEEN#") == []
    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


def test_message_from_a_recipient_is_not_kept(harness: Harness, printed: Printed) -> None:
    """It is only counted: nobody here listens, and it is personal."""
    inbound = {"integrationType": "WHATSAPP", "from": PHONE, "message": {"text": TEXT}}
    before = dict(harness.ledger.table.items)

    assert harness.run(page_of(inbound, inbound)) == 200

    assert harness.ledger.table.items == before
    numbers = metrics_in(printed())
    assert numbers[0]["InboundMessagesIgnored"] == [2.0]


def test_report_with_an_integration_is_a_report(harness: Harness) -> None:
    """What has a message id and a status is never taken for a message from a recipient."""
    assert harness.run(page_of(report_of("m-1", integrationType="WHATSAPP"))) == 200

    assert harness.ledger.states()["m-1"] == "DELIVERED"


# --- Who may call --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/reports/bulk-1",
        "/reports/bulk-1/guess",
        "/" + report_path("bulk-1", b"some other key of enough letters"),
        "/" + report_path("bulk-2", KEY).replace("bulk-2", "bulk-1"),
        "/robots.txt",
    ],
)
def test_wrong_url_is_not_found(harness: Harness, path: str) -> None:
    """The answer does not tell what is wrong, and nothing is read or kept."""
    before = dict(harness.ledger.table.items)
    harness.ledger.table.failures.update(put_all=1, get_all=1)

    assert harness.run(page_of(report_of("m-1")), path=path) == 404

    assert harness.ledger.table.items == before


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
def test_other_methods_are_not_found(harness: Harness, method: str) -> None:
    """Only POST brings reports."""
    assert harness.run(page_of(report_of("m-1")), method=method) == 404
    assert harness.ledger.states()["m-1"] == "CLAIMED"


def test_url_is_checked_before_the_body(harness: Harness) -> None:
    """Strangers cannot have large or broken bodies read."""
    assert harness.ledger.states()["m-1"] == "CLAIMED"
    event: dict[str, Any] = {
        "rawPath": "/reports/bulk-1/guess",
        "requestContext": {"http": {"method": "POST"}},
        "body": "no base64",
        "isBase64Encoded": True,
    }

    assert harness.invoke(event) == {"statusCode": 404}


@pytest.mark.parametrize(("length", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413)])
@pytest.mark.parametrize("encoded", [False, True])
def test_body_has_a_largest_size(
    harness: Harness, length: int, status: int, *, encoded: bool
) -> None:
    """It is a mebibyte, counted in bytes."""
    body = page_of(report_of("m-1"))

    assert harness.run(body + b" " * (length - len(body)), encoded=encoded) == status
    assert harness.ledger.states()["m-1"] == ("DELIVERED" if status == 200 else "CLAIMED")


# --- Trouble -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_infobip_is_told_to_call_again_until_the_table_has_it(
    harness: Harness, method: str
) -> None:
    """All is well only after the write."""
    harness.ledger.table.failures[method] = 1

    assert harness.run(page_of(report_of("m-1"))) == 503
    assert harness.ledger.states()["m-1"] == "CLAIMED"

    assert harness.run(page_of(report_of("m-1"))) == 200
    assert harness.ledger.states()["m-1"] == "DELIVERED"


def test_infobip_is_told_to_call_again_without_the_key(harness: Harness, printed: Printed) -> None:
    """Whether the caller may call is not known yet; the log names the parameter."""

    def fail() -> list[bytes]:
        raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")

    harness.keys = fail

    assert harness.run(page_of(report_of("m-1"))) == 503

    assert harness.ledger.states()["m-1"] == "CLAIMED"
    assert "/omni/dev/webhook/key" in printed()


def test_nothing_personal_is_printed(harness: Harness, printed: Printed) -> None:
    """Neither the body nor the URL gets into log lines and metrics, whatever comes of a call."""
    path = "/" + report_path("bulk-1", KEY)
    harness.run(
        page_of(report_of("m-1"), report_of("foreign-1"), seen("m-1"), {"to": PHONE, "text": TEXT})
    )
    harness.run(TEXT.encode())
    harness.run(TEXT.encode(), path=path + "x")
    harness.ledger.table.failures["put_all"] = 1
    harness.run(page_of(report_of("m-2")))

    text = printed()

    assert PHONE not in text
    assert "canary" not in text
    assert path.rpartition("/")[2] not in text
    answers = metrics_in(text)
    counted = [name for line in answers for name in line if name.startswith("WebhookAnswers")]
    assert counted == [f"WebhookAnswers{status}" for status in (200, 200, 404, 503)]


# --- What another version has written --------------------------------------------------------


def test_report_on_a_message_that_cannot_be_read_waits_by_itself(harness: Harness) -> None:
    """Infobip need not call again; what a call says of another bulk's message is kept apart."""
    harness.ledger.alter("m-1", state="SEEN")
    harness.ledger.alter("foreign-1", state="SEEN")

    assert harness.run(page_of(report_of("m-1"), report_of("m-2"), report_of("foreign-1"))) == 200

    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "DELIVERED", "foreign-1": "SEEN"}
    assert [each["messageId"] for each in harness.ledger.table.entries("FOREIGN#")] == [FOREIGN_ID]
    harness.ledger.alter("m-1", state="ACCEPTED")
    harness.ledger.alter("foreign-1", state="ACCEPTED")
    assert isinstance(harness.ledger.clock, Clock)
    harness.ledger.clock.pass_by(minutes=16)
    harness.reports.record_abandoned_pages()
    assert harness.ledger.states() == {
        "m-1": "DELIVERED",
        "m-2": "DELIVERED",
        "foreign-1": "ACCEPTED",
    }


def test_report_that_can_neither_be_recorded_nor_wait_is_called_with_again(
    harness: Harness,
) -> None:
    """Nothing of it is lost."""
    harness.ledger.alter("m-1", state="SEEN")
    harness.ledger.table.failures["put_all"] = 1

    assert harness.run(page_of(report_of("m-1"))) == 503
