"""Answers of redrive_messages say what an operator can do next."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from functions.redrive_messages.app import Dependencies, redrive_messages
from infobip_omni.dead_letter_queue import DeadLetteredRecord
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.redrive_messages import HINTS, parse
from infobip_omni.message import Message, MessageState
from tests.fakes import make_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infobip_omni.dead_letter_queue import DeadLetterQueue
    from infobip_omni.message_ledger import MessageLedger

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DECISION = {"by": "Ana", "why": "the customer called"}


def record(reason: DeadLetterReason, *message_ids: str) -> DeadLetteredRecord:
    destinations = [{"messageId": each, "to": {"phoneNumber": "38591"}} for each in message_ids]
    return DeadLetteredRecord(
        record_id=f"{reason}-{'-'.join(message_ids)}",
        original_id="first-1",
        reason=reason,
        field_name=None,
        rule=None,
        sent_at=NOW,
        receipt_handle="",
        body=json.dumps({"sms": {"text": "x"}, "destinations": destinations}),
    )


@dataclass
class Queue:
    """A dead-letter queue in memory."""

    records: list[DeadLetteredRecord]

    def size(self) -> int:
        return len(self.records)

    def receive(self) -> list[DeadLetteredRecord]:
        received, self.records = self.records, []
        return received

    def send_back(self, record: DeadLetteredRecord) -> None:
        pass

    def delete(self, record: DeadLetteredRecord) -> None:
        pass

    def release_visibility(self, *_: object) -> None:
        pass


@dataclass
class Ledger:
    """A ledger in memory, whose only change is that a message is closed."""

    messages: dict[str, Message] = field(default_factory=dict)

    def find(self, message_ids: Iterable[str]) -> dict[str, Message]:
        return {each: self.messages[each] for each in message_ids if each in self.messages}

    def apply(self, updates: Iterable[Any]) -> int:
        for update in updates:
            found = self.messages[update.message_id]
            self.messages[found.id] = replace(found, is_closed="closedAt" in update.changes)
        return 1


def run(
    command: dict[str, object], records: list[DeadLetteredRecord], *messages: Message
) -> dict[str, Any]:
    deps = Dependencies(
        queue=cast("DeadLetterQueue", Queue(records)),
        ledger=cast("MessageLedger", Ledger({each.id: each for each in messages})),
    )
    return redrive_messages(parse(command), deps, lambda: 60.0, lambda: NOW)


@pytest.mark.parametrize("selection", [{}, {"reason": "QUARANTINED"}])
@pytest.mark.parametrize("dry_run", [True, False])
def test_redrive_of_quarantined_records_hints_at_release_and_close(
    dry_run: bool,  # noqa: FBT001
    selection: dict[str, object],
) -> None:
    records = [record(DeadLetterReason.QUARANTINED, "m-1")]

    answer = run({"action": "redrive", "dryRun": dry_run, **selection}, records)

    assert answer["skippedQuarantined"] == 1
    assert "release or close" in answer["hint"]


def test_redrive_skips_records_whose_id_is_spent() -> None:
    records = [record(DeadLetterReason.ID_SPENT, "m-1")]

    answer = run({"action": "redrive"}, records)

    assert (answer["redriven"], answer["skippedQuarantined"]) == (0, 1)
    assert "new messageId" in answer["hint"]


def spent(message_id: str) -> Message:
    return replace(make_message(message_id), dead_letter_reason=DeadLetterReason.ID_SPENT)


def test_message_whose_id_is_spent_cannot_be_released() -> None:
    """Infobip would refuse it again; its record stays."""
    records = [record(DeadLetterReason.ID_SPENT, "m-1")]

    with pytest.raises(InvalidEventError, match="messageId: names a message whose id Infobip"):
        run({"action": "release", "messageId": "m-1", **DECISION}, records, spent("m-1"))

    assert records == [record(DeadLetterReason.ID_SPENT, "m-1")]


def test_message_whose_id_is_spent_can_be_closed() -> None:
    records = [record(DeadLetterReason.ID_SPENT, "m-1")]

    listed = run({"action": "list"}, list(records), spent("m-1"))
    closed = run({"action": "close", "messageId": "m-1", **DECISION}, records, spent("m-1"))

    assert listed["records"][0]["quarantinedMessageIds"] == ["m-1"]
    assert (closed["state"], closed["recordsDeleted"]) == ("QUARANTINED", 1)


def test_redrive_that_skips_nothing_has_no_hint() -> None:
    answer = run({"action": "redrive"}, [record(DeadLetterReason.OUTAGE, "m-1")])

    assert answer["found"] == {"OUTAGE": 1}
    assert "hint" not in answer


@pytest.mark.parametrize("reason", DeadLetterReason)
def test_list_hints_at_the_next_step_for_each_listed_reason(reason: DeadLetterReason) -> None:
    answer = run({"action": "list"}, [record(reason, "m-1"), record(reason, "m-2")])

    assert answer["hints"] == {reason.value: HINTS[reason]}


def test_empty_list_has_no_hints() -> None:
    assert run({"action": "list"}, [])["hints"] == {}


def test_close_explains_that_the_state_stays_quarantined() -> None:
    records = [record(DeadLetterReason.QUARANTINED, "m-1")]

    answer = run({"action": "close", "messageId": "m-1", **DECISION}, records, make_message("m-1"))

    assert (answer["state"], answer["recordsDeleted"]) == ("QUARANTINED", 1)
    assert "keeps the state QUARANTINED; closedAt" in answer["hint"]
    assert "Records were kept" not in answer["hint"]


def test_close_explains_why_records_are_kept() -> None:
    records = [record(DeadLetterReason.QUARANTINED, "m-1", "m-2")]

    answer = run(
        {"action": "close", "messageId": "m-1", **DECISION},
        records,
        make_message("m-1"),
        make_message("m-2"),
    )

    assert (answer["recordsDeleted"], answer["recordsKept"]) == (0, 1)
    assert "Records were kept for their other messages" in answer["hint"]


def test_close_of_a_settled_message_has_no_hint() -> None:
    records = [record(DeadLetterReason.QUARANTINED, "m-1")]
    delivered = make_message("m-1", state=MessageState.DELIVERED)

    answer = run({"action": "close", "messageId": "m-1", **DECISION}, records, delivered)

    assert answer["state"] == "DELIVERED"
    assert "hint" not in answer
