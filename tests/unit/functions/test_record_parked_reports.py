"""What the table did not take is recorded once it does."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.record_parked_reports import app
from infobip_omni.api.channels import Channel
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.transitions import Claim
from tests.fakes import Clock, FakeLedger

from .conftest import CONTEXT

if TYPE_CHECKING:
    from .conftest import Printed

PHONE = "385991234567"
TEXT = "canary text"


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> FakeLedger:
    """Give the function a ledger with two messages."""
    clock = Clock()
    ledger = FakeLedger(clock)
    ledger.claim([claim("m-1"), claim("m-2")], timedelta(minutes=2))
    reports = DeliveryReports(ledger.table, ledger, clock)
    monkeypatch.setattr(app, "dependencies", lambda: app.Dependencies(reports))
    return ledger


def claim(message_id: str) -> Claim:
    """Make a claim."""
    return Claim(
        message_id=message_id,
        content_hash="content",
        recipient=Recipient(phone_number=PHONE),
        scenario="otp",
        scenario_key=None,
        steps=(Channel.PUSH, Channel.SMS),
        bulk_id="bulk-1",
        send_at=None,
        validity=timedelta(hours=1),
        on_unknown="never-duplicate",
    )


def packed(body: bytes) -> str:
    """Write a page as it is parked."""
    return base64.b64encode(gzip.compress(body, mtime=0)).decode()


def page(*message_ids: str) -> str:
    """Park a page of deliveries."""
    results = [
        {
            "messageId": message_id,
            "to": PHONE,
            "doneAt": "2026-01-31T12:00:05.000+0000",
            "channel": "PUSH",
            "status": {"groupId": 3, "id": 5},
            "callbackData": TEXT,
        }
        for message_id in message_ids
    ]
    return packed(json.dumps({"results": results}).encode())


def run(*bodies: str) -> list[str]:
    """Hand the function a batch, and return the numbers of the records that come back."""
    records: list[dict[str, Any]] = [
        {"messageId": str(number), "body": body} for number, body in enumerate(bodies)
    ]
    answer = app.lambda_handler({"Records": records}, CONTEXT)
    return [str(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]


def test_parked_reports_settle_their_messages(ledger: FakeLedger) -> None:
    """They are recorded as if they had come now."""
    assert run(page("m-1", "other"), page("m-2")) == []

    assert ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED"}
    assert len(ledger.table.entries("REPORT#")) == 3


def test_repeat_changes_nothing(ledger: FakeLedger) -> None:
    """SQS may hand a record out twice, and a part of a page may have been recorded before."""
    run(page("m-1"))
    before = dict(ledger.table.items)

    assert run(page("m-1")) == []

    assert ledger.table.items == before


@pytest.mark.parametrize("method", ["put_all", "get_all", "execute"])
def test_record_that_the_table_does_not_take_comes_round_again(
    ledger: FakeLedger, method: str
) -> None:
    """Its neighbour in the batch is done with."""
    ledger.table.failures[method] = 1

    assert run(page("m-1"), page("m-2")) == ["0"]
    assert ledger.states()["m-2"] == "DELIVERED"

    assert run(page("m-1")) == []
    assert ledger.states()["m-1"] == "DELIVERED"


@pytest.mark.parametrize("body", ["not packed", packed(b"not JSON"), packed(b'[{"a": ')])
def test_what_is_no_page_is_kept_raw(ledger: FakeLedger, body: str) -> None:
    """It would be no page the next time either."""
    assert run(body) == []

    assert len(ledger.table.entries("UNREADABLE#")) == 1


def test_log_and_metrics_hold_counts_only(ledger: FakeLedger, printed: Printed) -> None:
    """Nothing personal is printed, whether it is recorded or not."""
    ledger.table.failures["put_all"] = 1

    run(page("m-1"), page("m-1"), packed(TEXT.encode()))

    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = [json.loads(line) for line in text.splitlines() if "_aws" in line]
    assert (numbers["ReportsRecorded"], numbers["ReportsUnreadable"]) == ([1.0], [1.0])


def test_report_on_a_message_that_cannot_be_read_waits_by_itself(ledger: FakeLedger) -> None:
    """The table holds it until a later run can record it; its neighbours are recorded at once."""
    ledger.alter("m-1", state="SEEN")

    assert run(page("m-1", "m-2"), page("m-1", "other")) == []

    assert ledger.states() == {"m-1": "SEEN", "m-2": "DELIVERED"}
    assert len(ledger.table.entries("PAGE#")) == 2
    ledger.alter("m-1", state="ACCEPTED")
    assert isinstance(ledger.clock, Clock)
    ledger.clock.pass_by(minutes=16)
    assert app.dependencies().reports.record_abandoned_pages().settled == 1
    assert ledger.states()["m-1"] == "DELIVERED"
