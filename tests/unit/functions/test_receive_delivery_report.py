"""A call is believed for the bulk that its URL is for, and for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.receive_delivery_report import app
from infobip_omni.api.channels import Channel
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import FOREIGN_ID, DeliveryReports
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.transitions import Claim
from infobip_omni.webhook import report_path
from tests.fakes import Clock, FakeLedger

from .conftest import CONTEXT

if TYPE_CHECKING:
    from .conftest import Printed

KEY = b"canary-key-of-thirty-two-letters"
PHONE = "385991234567"
TEXT = "canary text"


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> FakeLedger:
    """Give the function a ledger with two messages of one bulk, and one of another."""
    clock = Clock()
    ledger = FakeLedger(clock)
    claims = [claim("m-1"), claim("m-2"), claim("foreign-1", bulk_id="bulk-2")]
    ledger.claim(claims, timedelta(minutes=2))
    reports = DeliveryReports(ledger.table, ledger, clock)
    deps = app.Dependencies(lambda: [KEY], reports)
    monkeypatch.setattr(app, "dependencies", lambda: deps)
    return ledger


def claim(message_id: str, bulk_id: str = "bulk-1") -> Claim:
    """Make a claim."""
    return Claim(
        message_id=message_id,
        content_hash="content",
        recipient=Recipient(phone_number=PHONE),
        scenario="otp",
        scenario_key=None,
        steps=(Channel.PUSH, Channel.SMS),
        bulk_id=bulk_id,
        send_at=None,
        validity=timedelta(hours=1),
        on_unknown="never-duplicate",
    )


def report(message_id: str, **changes: object) -> dict[str, Any]:
    """Write a report of a delivery."""
    return {
        "bulkId": "bulk-1",
        "messageId": message_id,
        "to": PHONE,
        "doneAt": "2026-01-31T12:00:05.000+0000",
        "channel": "PUSH",
        "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"},
        "callbackData": TEXT,
        "contact": None,
    } | changes


def seen(message_id: str, **changes: object) -> dict[str, Any]:
    """Write a seen report as Infobip documents it."""
    return {
        "messageId": message_id,
        "from": "acme-app",
        "to": PHONE,
        "sendAt": "2026-01-31T12:00:00.000+0000",
        "seenAt": "2026-01-31T12:05:00.000+0100",
    } | changes


def body_of(*entries: object) -> bytes:
    """Write a body."""
    return json.dumps({"results": entries}).encode()


def call(
    body: bytes,
    *,
    path: str = "/" + report_path("bulk-1", KEY),
    method: str = "POST",
    encoded: bool = False,
) -> int:
    """Call the function as its URL does, and return the status that it answers."""
    event = {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": {"method": method, "path": path}},
        "body": base64.b64encode(body).decode() if encoded else body.decode(),
        "isBase64Encoded": encoded,
    }
    answer = app.lambda_handler(event, CONTEXT)
    assert answer.keys() == {"statusCode"}
    return int(answer["statusCode"])


# --- Reports -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoded", [False, True])
def test_report_settles_its_message(ledger: FakeLedger, *, encoded: bool) -> None:
    """It is recorded as a pulled one is, however AWS hands the body over."""
    assert call(body_of(report("m-1"), report("m-2")), encoded=encoded) == 200

    assert ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED", "foreign-1": "CLAIMED"}
    assert ledger.item("m-1")["evidence"] == "report"
    assert len(ledger.table.entries("REPORT#")) == 2


def test_repeated_report_changes_nothing(ledger: FakeLedger) -> None:
    """Infobip may call twice, and the same report may be pulled as well."""
    call(body_of(report("m-1")))
    before = dict(ledger.table.items)

    assert call(body_of(report("m-1"))) == 200

    assert ledger.table.items == before


def test_report_of_an_unknown_message_is_kept(ledger: FakeLedger) -> None:
    """As with pulled reports, it makes no message."""
    assert call(body_of(report("other"))) == 200

    assert [item["messageId"] for item in ledger.table.entries("REPORT#")] == ["other"]
    assert "other" not in ledger.states()


def test_report_of_another_bulk_is_kept_apart(ledger: FakeLedger) -> None:
    """A URL that got into wrong hands does not open the way to all messages."""
    assert call(body_of(report("foreign-1"), seen("foreign-1"), report("m-1"))) == 200

    assert ledger.states() == {"m-1": "DELIVERED", "m-2": "CLAIMED", "foreign-1": "CLAIMED"}
    kept = ledger.table.entries("FOREIGN#")
    assert {item["messageId"] for item in kept} == {FOREIGN_ID}
    raw = json.dumps(report("foreign-1"))
    assert raw in [item["raw"] for item in kept]
    assert f"FOREIGN#{hashlib.sha256(raw.encode()).hexdigest()}" in [item["entry"] for item in kept]
    assert [key for key in ledger.table.items if key[0] == "foreign-1"] == [
        ("foreign-1", "MESSAGE")
    ]


def test_unreadable_entry_costs_only_itself(ledger: FakeLedger) -> None:
    """It is kept raw, and its neighbour is recorded."""
    assert call(body_of({"messageId": "m-2", "status": "new"}, report("m-1"))) == 200

    assert ledger.states()["m-1"] == "DELIVERED"
    assert len(ledger.table.entries("UNREADABLE#")) == 1


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"results": 7}', b"\xff"])
def test_body_that_is_no_list_of_reports_is_kept(ledger: FakeLedger, body: bytes) -> None:
    """Another call would say the same, so that Infobip is not asked for one."""
    assert call(body, encoded=True) == 200

    assert len(ledger.table.entries("UNREADABLE#")) == 1


# --- Seen reports and messages from recipients ---------------------------------------------


def test_seen_report_is_kept_beside_the_others(ledger: FakeLedger) -> None:
    """It is told by `seenAt`, and is no delivery report: the state stays what it was."""
    assert call(body_of(report("m-1", status={"groupId": 1, "id": 7}), seen("m-1"))) == 200

    (kept,) = ledger.table.entries("SEEN#")
    assert (kept["messageId"], kept["entry"]) == ("m-1", "SEEN#-#2026-01-31T11:05:00.000Z")
    assert json.loads(kept["report"]) == seen("m-1")
    assert kept["expiresAt"] == ledger.item("m-1")["expiresAt"]
    assert ledger.states()["m-1"] == "ACCEPTED"
    assert len(ledger.table.entries("REPORT#")) == 1


def test_seen_report_may_name_its_channel(ledger: FakeLedger) -> None:
    """A message that was seen twice has two entries."""
    later = seen("m-1", channel="VIBER", seenAt="2026-01-31T13:00:00.000+0000")

    assert call(body_of(seen("m-1"), later)) == 200

    assert [item["entry"] for item in ledger.table.entries("SEEN#")] == [
        "SEEN#-#2026-01-31T11:05:00.000Z",
        "SEEN#VIBER#2026-01-31T13:00:00.000Z",
    ]


@pytest.mark.parametrize("moment", [None, "", "soon", 7])
def test_seen_report_without_a_moment_is_unreadable(ledger: FakeLedger, moment: object) -> None:
    """It is kept raw."""
    assert call(body_of(seen("m-1", seenAt=moment))) == 200

    assert ledger.table.entries("SEEN#") == []
    assert len(ledger.table.entries("UNREADABLE#")) == 1


def test_message_from_a_recipient_is_not_kept(ledger: FakeLedger, printed: Printed) -> None:
    """It is only counted: nobody here listens, and it is personal."""
    inbound = {"integrationType": "WHATSAPP", "from": PHONE, "message": {"text": TEXT}}
    before = dict(ledger.table.items)

    assert call(body_of(inbound, inbound)) == 200

    assert ledger.table.items == before
    numbers = [json.loads(line) for line in printed().splitlines() if "_aws" in line]
    assert numbers[0]["InboundMessagesIgnored"] == [2.0]


def test_report_with_an_integration_is_a_report(ledger: FakeLedger) -> None:
    """What has a message id and a status is never taken for a message from a recipient."""
    assert call(body_of(report("m-1", integrationType="WHATSAPP"))) == 200

    assert ledger.states()["m-1"] == "DELIVERED"


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
def test_wrong_url_is_not_found(ledger: FakeLedger, path: str) -> None:
    """The answer does not tell what is wrong, and nothing is read or kept."""
    before = dict(ledger.table.items)
    ledger.table.failures.update(put_all=1, get_all=1)

    assert call(body_of(report("m-1")), path=path) == 404

    assert ledger.table.items == before


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
def test_other_methods_are_not_found(ledger: FakeLedger, method: str) -> None:
    """Only POST brings reports."""
    assert call(body_of(report("m-1")), method=method) == 404
    assert ledger.states()["m-1"] == "CLAIMED"


def test_url_is_checked_before_the_body(ledger: FakeLedger) -> None:
    """Strangers cannot have large or broken bodies read."""
    assert ledger.states()["m-1"] == "CLAIMED"
    event: dict[str, Any] = {
        "rawPath": "/reports/bulk-1/guess",
        "requestContext": {"http": {"method": "POST"}},
        "body": "no base64",
        "isBase64Encoded": True,
    }

    assert app.lambda_handler(event, CONTEXT) == {"statusCode": 404}


@pytest.mark.parametrize(("length", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413)])
@pytest.mark.parametrize("encoded", [False, True])
def test_body_has_a_largest_size(
    ledger: FakeLedger, length: int, status: int, *, encoded: bool
) -> None:
    """It is a mebibyte, counted in bytes."""
    body = body_of(report("m-1"))

    assert call(body + b" " * (length - len(body)), encoded=encoded) == status
    assert ledger.states()["m-1"] == ("DELIVERED" if status == 200 else "CLAIMED")


# --- Trouble -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_infobip_is_told_to_call_again_until_the_table_has_it(
    ledger: FakeLedger, method: str
) -> None:
    """All is well only after the write."""
    ledger.table.failures[method] = 1

    assert call(body_of(report("m-1"))) == 503
    assert ledger.states()["m-1"] == "CLAIMED"

    assert call(body_of(report("m-1"))) == 200
    assert ledger.states()["m-1"] == "DELIVERED"


def test_infobip_is_told_to_call_again_without_the_key(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """Whether the caller may call is not known yet; the log names the parameter."""

    def fail() -> list[bytes]:
        raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")

    deps = replace(app.dependencies(), keys=fail)
    monkeypatch.setattr(app, "dependencies", lambda: deps)

    assert call(body_of(report("m-1"))) == 503

    assert ledger.states()["m-1"] == "CLAIMED"
    assert "/omni/dev/webhook/key" in printed()


def test_nothing_personal_is_printed(ledger: FakeLedger, printed: Printed) -> None:
    """Neither the body nor the URL gets into log lines and metrics, whatever comes of a call."""
    path = "/" + report_path("bulk-1", KEY)
    call(body_of(report("m-1"), report("foreign-1"), seen("m-1"), {"to": PHONE, "text": TEXT}))
    call(TEXT.encode())
    call(TEXT.encode(), path=path + "x")
    ledger.table.failures["put_all"] = 1
    call(body_of(report("m-2")))

    text = printed()

    assert PHONE not in text
    assert "canary" not in text
    assert path.rpartition("/")[2] not in text
    answers = [json.loads(line) for line in text.splitlines() if "_aws" in line]
    counted = [name for line in answers for name in line if name.startswith("WebhookAnswers")]
    assert counted == [f"WebhookAnswers{status}" for status in (200, 200, 404, 503)]


# --- What another version has written --------------------------------------------------------


def test_report_on_a_message_that_cannot_be_read_waits_by_itself(ledger: FakeLedger) -> None:
    """Infobip need not call again; what a call says of another bulk's message is kept apart."""
    ledger.alter("m-1", state="SEEN")
    ledger.alter("foreign-1", state="SEEN")

    assert call(body_of(report("m-1"), report("m-2"), report("foreign-1"))) == 200

    assert ledger.states() == {"m-1": "SEEN", "m-2": "DELIVERED", "foreign-1": "SEEN"}
    assert [each["messageId"] for each in ledger.table.entries("FOREIGN#")] == [FOREIGN_ID]
    ledger.alter("m-1", state="ACCEPTED")
    ledger.alter("foreign-1", state="ACCEPTED")
    assert isinstance(ledger.clock, Clock)
    ledger.clock.pass_by(minutes=16)
    app.dependencies().reports.record_abandoned_pages()
    assert ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED", "foreign-1": "ACCEPTED"}


def test_report_that_can_neither_be_recorded_nor_wait_is_called_with_again(
    ledger: FakeLedger,
) -> None:
    """Nothing of it is lost."""
    ledger.alter("m-1", state="SEEN")
    ledger.table.failures["put_all"] = 1

    assert call(body_of(report("m-1"))) == 503
