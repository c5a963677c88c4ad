"""The fake ledger behaves like the real one: both pass the same tests.

The real ledger writes to the emulated DynamoDB. Its own tests define what is right; these tests
compare the fake with it.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from infobip_omni import transitions
from infobip_omni.api.reports import LogEntry
from infobip_omni.delivery_reports import PAGES_ID, DeliveryReports, Recorded
from infobip_omni.message import Evidence, MessageState
from infobip_omni.transitions import AttemptResult, ClaimStatus
from infobip_omni.verdicts import verdict_of
from tests.fakes import Clock, FakeLedger, OpenLedger, make_claim, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from infobip_omni.dynamodb import Item, Table
    from infobip_omni.message import Message

LEASE = timedelta(minutes=2)
_TOKEN = re.compile(r"\b[0-9a-f]{32}\b")
RECORDED = (
    MessageState.ACCEPTED,
    MessageState.REJECTED,
    MessageState.WAITING,
    MessageState.UNKNOWN,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def real(table: Table, clock: Clock) -> OpenLedger:
    return OpenLedger(table, clock)


@pytest.fixture(params=["real", "fake"])
def ledger(request: pytest.FixtureRequest, clock: Clock) -> OpenLedger:
    """Return an empty ledger: the real one, then its fake."""
    if request.param == "fake":
        return FakeLedger(clock)
    ledger: OpenLedger = request.getfixturevalue("real")
    return ledger


def claim_one(ledger: OpenLedger, message_id: str = "m-1") -> ClaimStatus:
    return ledger.claim([make_claim(message_id)], LEASE)[0]


def save_state(ledger: OpenLedger, claim_status: ClaimStatus, state: MessageState) -> ClaimStatus:
    return ledger.save([AttemptResult("m-1", claim_status.token or "", state)])[0]


def item(ledger: OpenLedger, message_id: str = "m-1") -> Item:
    assert message_id in ledger.find([message_id])
    return ledger.item(message_id)


def row(message_id: str = "m-1", group_id: int = 3, **changes: object) -> LogEntry:
    """Return a log row, of a delivery by default."""
    members = {
        "messageId": message_id,
        "status": {"groupId": group_id, "id": 5},
        "channel": "SMS",
        "doneAt": "2026-01-31T12:00:05.000+0000",
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
    }
    return LogEntry.model_validate(members | changes)


# --- Both ----------------------------------------------------------------------------------


def test_first_claim_wins(ledger: OpenLedger, clock: Clock) -> None:
    """A second claim learns when the lease ends, and whether its content conflicts."""
    first = claim_one(ledger)
    second = claim_one(ledger)
    other = ledger.claim([make_claim(content_hash="other")], LEASE)[0]

    assert (first.state, first.token is not None) == (MessageState.CLAIMED, True)
    assert second == ClaimStatus(MessageState.CLAIMED, until=clock.now + LEASE)
    assert other == ClaimStatus(MessageState.CLAIMED, conflict=True, until=clock.now + LEASE)


def test_waiting_message_is_claimed_again(ledger: OpenLedger) -> None:
    """It was certainly not sent; its attempts are counted."""
    save_state(ledger, claim_one(ledger), MessageState.WAITING)

    assert claim_one(ledger).token is not None
    assert item(ledger)["attempts"] == 2


def test_expired_lease_is_not_taken_over(ledger: OpenLedger, clock: Clock) -> None:
    """The next claim changes it to UNKNOWN, and its late holder changes nothing."""
    first = claim_one(ledger)
    clock.pass_by(minutes=3)

    met = claim_one(ledger)

    assert met.state is MessageState.UNKNOWN
    assert met.token is None
    assert met.until == clock.now + ledger.check_after
    assert save_state(ledger, first, MessageState.ACCEPTED) == ClaimStatus(MessageState.UNKNOWN)


def test_expired_message_counts_as_absent(ledger: OpenLedger, clock: Clock) -> None:
    """Its id may be reused, even for other content."""
    save_state(ledger, claim_one(ledger), MessageState.ACCEPTED)
    clock.pass_by(days=91)

    assert ledger.find(["m-1"]) == {}
    assert ledger.claim([make_claim(content_hash="other")], LEASE)[0].token is not None


def test_change_needs_the_message_as_it_was_read(ledger: OpenLedger, clock: Clock) -> None:
    """Of two runs that read the same item, one changes it."""
    save_state(ledger, claim_one(ledger), MessageState.UNKNOWN)
    read = item(ledger)
    clock.pass_by(minutes=10)

    assert (
        ledger.change(
            transitions.check_postponed, read, clock.now + timedelta(minutes=10), absent=True
        )
        == 1
    )
    assert (
        ledger.change(
            transitions.check_postponed, read, clock.now + timedelta(minutes=20), absent=True
        )
        == 0
    )
    assert ledger.change(transitions.quarantined, read, ledger.clock()) == 0
    assert item(ledger)["absentAnswers"] == 1


def test_higher_verdict_wins(ledger: OpenLedger) -> None:
    """A delivery outranks a failure in any order of arrival."""
    claim_one(ledger)
    verdicts = [verdict_of(row(group_id=group), "SMS") for group in (2, 3, 2)]

    changed = [ledger.settle({"m-1": verdict}) for verdict in verdicts if verdict]

    assert changed == [1, 1, 0]
    assert item(ledger)["state"] == MessageState.DELIVERED


def test_due_messages_are_found(ledger: OpenLedger, clock: Clock) -> None:
    """Messages with a postponed check and unresolved ones are not due."""
    for message_id in ("m-1", "m-2", "m-3"):
        claim_one(ledger, message_id)
    assert list(ledger.due(10)) == []
    clock.pass_by(minutes=10)

    due = {each.id: each for each in readable(ledger.due(10))}
    assert sorted(due) == ["m-1", "m-2", "m-3"]
    ledger.change(
        transitions.check_postponed, due["m-1"], clock.now + timedelta(minutes=1), absent=False
    )
    ledger.change(transitions.left_unresolved, due["m-2"], ledger.clock())
    assert [each.id for each in ledger.due(10)] == ["m-3"]


def test_page_is_stored_until_it_is_recorded(ledger: OpenLedger, clock: Clock) -> None:
    """An abandoned page is found later, complete, and deleted once it is recorded."""
    table = ledger.table
    reports = DeliveryReports(table, ledger, clock)
    claim_one(ledger)
    left = {"results": [json.loads(row().model_dump_json(by_alias=True)), "broken"]}
    page = reports.store_page(json.dumps(left).encode())
    keys = [(PAGES_ID, entry) for entry in page.entries]
    assert len(table.get_all(keys)) == len(page.entries)
    assert reports.record_abandoned_pages() == Recorded()

    clock.pass_by(hours=1)

    recorded = reports.record_abandoned_pages()
    assert (recorded.reports, recorded.settled, recorded.unreadable) == (1, 1, 1)
    assert table.get_all(keys) == {}
    assert item(ledger)["state"] == MessageState.DELIVERED


# --- Random histories ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_both_ledgers_agree_on_any_history(real: OpenLedger, clock: Clock, seed: int) -> None:
    began = clock.now
    observed = run_history(real, clock, seed)
    clock.now = began

    assert run_history(FakeLedger(clock), clock, seed) == observed


def run_history(ledger: OpenLedger, clock: Clock, seed: int) -> list[str]:
    """Apply random operations to a few messages, and return all answers and items."""
    chance = random.Random(seed)
    tokens: list[tuple[str, str]] = [("m-1", "unknown-token")]
    read: list[Message] = []
    observed: list[object] = []

    def claims() -> object:
        chosen = chance.sample(["m-1", "m-2", "m-3"], chance.randint(1, 3))
        claim_statuses = ledger.claim(
            [
                make_claim(each, content_hash=chance.choice(["content", "content", "other"]))
                for each in chosen
            ],
            LEASE,
        )
        tokens.extend(
            (each, claim_status.token)
            for each, claim_status in zip(chosen, claim_statuses, strict=True)
            if claim_status.token
        )
        return claim_statuses

    def outcome() -> object:
        message_id, token = chance.choice(tokens)
        reason = chance.choice([None, None, "OUTAGE"])
        state = chance.choice(RECORDED)
        return ledger.save([AttemptResult(message_id, token, state, dead_letter_reason=reason)])

    def reads() -> object:
        due = sorted(readable(ledger.due(10)), key=lambda each: each.id)
        read.extend(due)
        return [asdict(each) for each in due]

    def settles() -> object:
        last_step = chance.choice(["SMS", "PUSH"])
        verdict = verdict_of(row(group_id=chance.choice([2, 3])), last_step)
        return verdict and ledger.settle({chance.choice(["m-1", "m-2"]): verdict})

    def changes() -> object:
        if not read:
            return None
        one = chance.choice(read[-4:])
        change: Callable[[], int] = chance.choice(
            [
                lambda: ledger.change(
                    transitions.lease_expired, one, ledger.clock(), ledger.check_after
                ),
                lambda: ledger.change(transitions.check_postponed, one, clock.now, absent=True),
                lambda: ledger.change(
                    transitions.proven_accepted,
                    one,
                    Evidence.LOGS,
                    ledger.clock(),
                    ledger.check_after,
                ),
                lambda: ledger.change(transitions.quarantined, one, ledger.clock()),
                lambda: ledger.change(transitions.sent_again, one, ledger.clock()),
                lambda: ledger.change(transitions.rejected_as_duplicate, one, ledger.clock()),
                lambda: ledger.change(transitions.left_unresolved, one, ledger.clock()),
                lambda: ledger.change(transitions.record_lost, one),
            ]
        )
        return change()

    ids = ["m-1", "m-2", "m-3"]
    for _ in range(80):
        clock.pass_by(minutes=chance.choice([0, 0, 1, 10, 60, 60 * 24 * 30]))
        observed.append(
            chance.choice([claims, claims, outcome, reads, settles, changes, changes])()
        )
        found = ledger.find(ids)
        observed.append([asdict(found[each]) for each in ids if each in found])
        observed.append([sorted(ledger.item(each).items()) for each in ids if each in found])
    # Tokens are random; in both histories the first becomes 0, the next 1, and so on.
    numbers: dict[str, int] = {}
    return [
        _TOKEN.sub(
            lambda token: str(numbers.setdefault(token[0], len(numbers))),
            json.dumps(each, default=str),
        )
        for each in observed
    ]
