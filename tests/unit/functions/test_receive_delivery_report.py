"""A webhook call can affect only the bulk that its URL belongs to."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.receive_delivery_report import app
from functions.receive_delivery_report.app import Dependencies, Keys
from infobip_omni.delivery_reports import FOREIGN_ID, DeliveryReports
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.webhook import report_path
from tests.fakes import Clock, FakeLedger, make_claim

from .conftest import CONTEXT, PHONE, TEXT, metrics_in, page_of, report_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .conftest import Printed

KEY = b"canary-key-with-thirty-two-bytes"


NEW_KEY = b"new-canary-key-with-32-bytes-now"


def one_key(*, refresh: bool = False) -> Sequence[bytes]:  # noqa: ARG001 (the real one's)
    return [KEY]


@dataclass
class Harness:
    """The function and its fakes."""

    ledger: FakeLedger
    reports: DeliveryReports
    keys: Keys = one_key

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.keys, self.reports)

    def run(
        self,
        body: bytes,
        *,
        path: str = "/" + report_path("bulk-1", KEY),
        method: str = "POST",
        encoded: bool = False,
    ) -> int:
        """Call the function's URL, and return the status of the answer."""
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
    """Build a seen report as Infobip documents it."""
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
    """It is recorded like a pulled one, whether or not AWS encodes the body in base64."""
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


def test_report_of_an_unknown_message_is_stored(harness: Harness) -> None:
    """Like a pulled report, it creates no message."""
    assert harness.run(page_of(report_of("other"))) == 200

    assert [item["messageId"] for item in harness.ledger.table.entries("REPORT#")] == ["other"]
    assert "other" not in harness.ledger.states()


def test_report_of_another_bulk_is_stored_apart(harness: Harness) -> None:
    """A leaked URL gives no access to messages of other bulks."""
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


def test_unreadable_entry_does_not_affect_its_neighbour(harness: Harness) -> None:
    """It is stored raw, and its neighbour is recorded."""
    assert harness.run(page_of({"messageId": "m-2", "status": "new"}, report_of("m-1"))) == 200

    assert harness.ledger.states()["m-1"] == "DELIVERED"
    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"results": 7}', b"\xff"])
def test_body_without_a_list_of_reports_is_stored_raw(harness: Harness, body: bytes) -> None:
    """A second call would have the same body, so Infobip is not asked for one."""
    assert harness.run(body, encoded=True) == 200

    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


@pytest.mark.parametrize("around", [b"\xef\xbb\xbf", b" \r\n\t"])
def test_invisible_characters_around_body_are_dropped(harness: Harness, around: bytes) -> None:
    assert harness.run(around + page_of(report_of("m-1")) + around, encoded=True) == 200

    assert harness.ledger.states()["m-1"] == "DELIVERED"


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "text",
        {},
        {"requestContext": None, "rawPath": "/"},
        {"requestContext": {"http": {"method": "POST"}}},
        {"requestContext": {"http": {"method": "POST"}}, "rawPath": ["/"]},
        {"requestContext": {"http": {"method": 7}}, "rawPath": "/"},
    ],
)
def test_event_that_is_no_call_of_url_is_not_found(harness: Harness, event: Any) -> None:  # noqa: ANN401
    assert harness.invoke(event) == {"statusCode": 404}


@pytest.mark.parametrize(
    "changes", [{"body": None}, {"body": 7}, {"body": "a", "isBase64Encoded": True}]
)
def test_body_of_another_form_is_stored_raw(harness: Harness, changes: dict[str, object]) -> None:
    event = {
        "rawPath": "/" + report_path("bulk-1", KEY),
        "requestContext": {"http": {"method": "POST"}},
    }

    assert harness.invoke(event | changes) == {"statusCode": 200}
    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


# --- Seen reports and inbound messages -----------------------------------------------------


def test_seen_report_is_stored_beside_the_delivery_report(harness: Harness) -> None:
    """It is recognised by `seenAt`, and does not change the state."""
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


@pytest.mark.parametrize("seen_at", [None, "", "soon", 7])
def test_seen_report_without_a_time_is_stored_raw(harness: Harness, seen_at: object) -> None:
    assert harness.run(page_of(seen("m-1", seenAt=seen_at))) == 200

    assert harness.ledger.table.entries("SEEN#") == []
    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


def test_inbound_message_is_only_counted(harness: Harness, printed: Printed) -> None:
    """It is personal, and this project does not use it."""
    inbound = {"integrationType": "WHATSAPP", "from": PHONE, "message": {"text": TEXT}}
    before = dict(harness.ledger.table.items)

    assert harness.run(page_of(inbound, inbound)) == 200

    assert harness.ledger.table.items == before
    numbers = metrics_in(printed())
    assert numbers[0]["InboundMessagesIgnored"] == [2.0]


def test_report_with_an_integration_type_is_recorded(harness: Harness) -> None:
    """An entry with message id and status is never mistaken for an inbound message."""
    assert harness.run(page_of(report_of("m-1", integrationType="WHATSAPP"))) == 200

    assert harness.ledger.states()["m-1"] == "DELIVERED"


# --- Authorization -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/reports/bulk-1",
        "/reports/bulk-1/guess",
        "/" + report_path("bulk-1", b"some other key with enough bytes"),
        "/" + report_path("bulk-2", KEY).replace("bulk-2", "bulk-1"),
        "/robots.txt",
    ],
)
def test_wrong_url_is_not_found(harness: Harness, path: str) -> None:
    """The answer does not say what is wrong, and the table is neither read nor written."""
    before = dict(harness.ledger.table.items)
    harness.ledger.table.failures.update(put_all=1, get_all=1)

    assert harness.run(page_of(report_of("m-1")), path=path) == 404

    assert harness.ledger.table.items == before


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
def test_other_methods_are_not_found(harness: Harness, method: str) -> None:
    assert harness.run(page_of(report_of("m-1")), method=method) == 404
    assert harness.ledger.states()["m-1"] == "CLAIMED"


def test_url_is_checked_before_the_body(harness: Harness) -> None:
    """Unsigned callers cannot have large or broken bodies read."""
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
def test_size_of_a_body_is_limited(
    harness: Harness, length: int, status: int, *, encoded: bool
) -> None:
    """The limit is a mebibyte, counted in bytes."""
    body = page_of(report_of("m-1"))

    assert harness.run(body + b" " * (length - len(body)), encoded=encoded) == status
    assert harness.ledger.states()["m-1"] == ("DELIVERED" if status == 200 else "CLAIMED")


# --- Outages -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_answer_is_503_until_the_table_has_the_report(harness: Harness, method: str) -> None:
    """Infobip then calls again."""
    harness.ledger.table.failures[method] = 1

    assert harness.run(page_of(report_of("m-1"))) == 503
    assert harness.ledger.states()["m-1"] == "CLAIMED"

    assert harness.run(page_of(report_of("m-1"))) == 200
    assert harness.ledger.states()["m-1"] == "DELIVERED"


def test_answer_is_503_without_the_key(harness: Harness, printed: Printed) -> None:
    """The URL cannot be checked yet; the log names the parameter."""

    def fail(*, refresh: bool = False) -> list[bytes]:  # noqa: ARG001 (the real one's)
        raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")

    harness.keys = fail

    assert harness.run(page_of(report_of("m-1"))) == 503

    assert harness.ledger.states()["m-1"] == "CLAIMED"
    assert "/omni/dev/webhook/key" in printed()


def test_keys_are_read_again_before_a_call_is_refused(harness: Harness) -> None:
    """The sender reads a new key within five minutes, and this function may know only the old."""
    reads = []

    def keys(*, refresh: bool = False) -> Sequence[bytes]:
        reads.append(refresh)
        return [NEW_KEY] if refresh else [KEY]

    harness.keys = keys

    assert harness.run(page_of(report_of("m-1")), path="/" + report_path("bulk-1", NEW_KEY)) == 200
    assert (
        harness.run(page_of(report_of("m-1")), path="/" + report_path("bulk-1", b"x" * 32)) == 404
    )
    assert harness.run(page_of(report_of("m-1"))) == 200
    assert reads == [False, True, False, True, False]


def test_call_is_not_refused_while_the_keys_cannot_be_read_again(harness: Harness) -> None:
    """Infobip calls again after a 503."""

    def keys(*, refresh: bool = False) -> Sequence[bytes]:
        if refresh:
            raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")
        return [KEY]

    harness.keys = keys

    assert harness.run(page_of(report_of("m-1")), path="/" + report_path("bulk-1", NEW_KEY)) == 503


def test_no_personal_data_is_printed(harness: Harness, printed: Printed) -> None:
    """Log lines and metrics hold neither body nor URL, whatever the answer."""
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


# --- Items of another version --------------------------------------------------------------


def test_report_on_an_unreadable_message_waits_alone(harness: Harness) -> None:
    """Infobip need not call again; reports on messages of another bulk are still stored apart."""
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


def test_answer_is_503_if_a_report_can_neither_be_recorded_nor_wait(
    harness: Harness,
) -> None:
    """Infobip then calls again."""
    harness.ledger.alter("m-1", state="SEEN")
    harness.ledger.table.failures["put_all"] = 1

    assert harness.run(page_of(report_of("m-1"))) == 503
