"""Parked reports are recorded once the table accepts writes again."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.record_parked_reports import app
from functions.record_parked_reports.app import Dependencies
from infobip_omni.delivery_reports import DeliveryReports
from tests.fakes import Clock, FakeLedger, make_claim

from .conftest import CONTEXT, PHONE, TEXT, metrics_in, page_of, report_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

    from .conftest import Printed


@dataclass
class Harness:
    """The function and its fakes."""

    ledger: FakeLedger
    reports: DeliveryReports

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.reports)

    def run(self, *bodies: str) -> list[str]:
        """Run the function on a batch; return the numbers of the failed records."""
        records = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]
        answer = self.invoke({"Records": records})
        return [str(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose ledger holds two messages."""
    clock = Clock()
    ledger = FakeLedger(clock)
    ledger.claim([make_claim("m-1"), make_claim("m-2")], timedelta(minutes=2))
    harness = Harness(ledger, DeliveryReports(ledger.table, ledger, clock))
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def packed(body: bytes) -> str:
    """Encode a page as it is parked."""
    return base64.b64encode(gzip.compress(body, mtime=0)).decode()


def page(*message_ids: str) -> str:
    """Build a parked page of delivery reports."""
    return packed(page_of(*[report_of(message_id) for message_id in message_ids]))


def test_parked_reports_settle_their_messages(harness: Harness) -> None:
    """They are recorded as if they had just arrived."""
    assert harness.run(page("m-1", "other"), page("m-2")) == []

    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED"}
    assert len(harness.ledger.table.entries("REPORT#")) == 3


def test_redelivered_record_changes_nothing(harness: Harness) -> None:
    """SQS may deliver a record twice, and part of its page may be recorded already."""
    harness.run(page("m-1"))
    before = dict(harness.ledger.table.items)

    assert harness.run(page("m-1")) == []

    assert harness.ledger.table.items == before


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_record_is_redelivered_while_the_table_fails(harness: Harness, method: str) -> None:
    """The other record of the batch is done."""
    harness.ledger.table.failures[method] = 1

    assert harness.run(page("m-1"), page("m-2")) == ["0"]
    assert harness.ledger.states()["m-2"] == "DELIVERED"

    assert harness.run(page("m-1")) == []
    assert harness.ledger.states()["m-1"] == "DELIVERED"


@pytest.mark.parametrize("body", ["not packed", packed(b"not JSON"), packed(b'[{"a": ')])
def test_unreadable_page_is_stored_raw(harness: Harness, body: str) -> None:
    """It would be unreadable on the next delivery, too."""
    assert harness.run(body) == []

    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


def test_log_and_metrics_hold_counts_only(harness: Harness, printed: Printed) -> None:
    """No personal data is printed, whether or not a page is recorded."""
    harness.ledger.table.failures["put_all"] = 1

    harness.run(page("m-1"), page("m-1"), packed(TEXT.encode()))

    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = metrics_in(text)
    assert (numbers["ReportsRecorded"], numbers["ReportsUnreadable"]) == ([1.0], [1.0])


def test_report_on_an_unreadable_message_waits_alone(harness: Harness) -> None:
    """The table holds it until a later run can record it; the others are recorded immediately."""
    harness.ledger.alter("m-1", state="SEEN")

    assert harness.run(page("m-1", "m-2"), page("m-1", "other")) == []

    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "DELIVERED"}
    assert len(harness.ledger.table.entries("PAGE#")) == 2
    harness.ledger.alter("m-1", state="ACCEPTED")
    assert isinstance(harness.ledger.clock, Clock)
    harness.ledger.clock.pass_by(minutes=16)
    assert harness.reports.record_abandoned_pages().settled == 1
    assert harness.ledger.states()["m-1"] == "DELIVERED"
