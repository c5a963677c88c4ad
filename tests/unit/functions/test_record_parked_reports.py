"""What the table did not take is recorded once it does."""

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
    """The function and what it talks to."""

    ledger: FakeLedger
    reports: DeliveryReports

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(self.reports)

    def run(self, *bodies: str) -> list[str]:
        """Let the function have a batch, and return the numbers of the records that it keeps."""
        records = [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]
        answer = self.invoke({"Records": records})
        return [str(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        """Invoke the function as Lambda does."""
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
    """Write a page as it is parked."""
    return base64.b64encode(gzip.compress(body, mtime=0)).decode()


def page(*message_ids: str) -> str:
    """Park a page of deliveries."""
    return packed(page_of(*[report_of(message_id) for message_id in message_ids]))


def test_parked_reports_settle_their_messages(harness: Harness) -> None:
    """They are recorded as if they had come now."""
    assert harness.run(page("m-1", "other"), page("m-2")) == []

    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED"}
    assert len(harness.ledger.table.entries("REPORT#")) == 3


def test_repeat_changes_nothing(harness: Harness) -> None:
    """SQS may hand a record out twice, and a part of a page may have been recorded before."""
    harness.run(page("m-1"))
    before = dict(harness.ledger.table.items)

    assert harness.run(page("m-1")) == []

    assert harness.ledger.table.items == before


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_record_that_the_table_does_not_take_comes_round_again(
    harness: Harness, method: str
) -> None:
    """Its neighbour in the batch is done with."""
    harness.ledger.table.failures[method] = 1

    assert harness.run(page("m-1"), page("m-2")) == ["0"]
    assert harness.ledger.states()["m-2"] == "DELIVERED"

    assert harness.run(page("m-1")) == []
    assert harness.ledger.states()["m-1"] == "DELIVERED"


@pytest.mark.parametrize("body", ["not packed", packed(b"not JSON"), packed(b'[{"a": ')])
def test_what_is_no_page_is_kept_raw(harness: Harness, body: str) -> None:
    """It would be no page the next time either."""
    assert harness.run(body) == []

    assert len(harness.ledger.table.entries("UNREADABLE#")) == 1


def test_log_and_metrics_hold_counts_only(harness: Harness, printed: Printed) -> None:
    """Nothing personal is printed, whether it is recorded or not."""
    harness.ledger.table.failures["put_all"] = 1

    harness.run(page("m-1"), page("m-1"), packed(TEXT.encode()))

    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = metrics_in(text)
    assert (numbers["ReportsRecorded"], numbers["ReportsUnreadable"]) == ([1.0], [1.0])


def test_report_on_a_message_that_cannot_be_read_waits_by_itself(harness: Harness) -> None:
    """The table holds it until a later run can record it; its neighbours are recorded at once."""
    harness.ledger.alter("m-1", state="SEEN")

    assert harness.run(page("m-1", "m-2"), page("m-1", "other")) == []

    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "DELIVERED"}
    assert len(harness.ledger.table.entries("PAGE#")) == 2
    harness.ledger.alter("m-1", state="ACCEPTED")
    assert isinstance(harness.ledger.clock, Clock)
    harness.ledger.clock.pass_by(minutes=16)
    assert harness.reports.record_abandoned_pages().settled == 1
    assert harness.ledger.states()["m-1"] == "DELIVERED"
