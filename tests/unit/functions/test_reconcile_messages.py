"""A row in the logs is proof; its absence counts as proof only after three answers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from functions.reconcile_messages import app
from functions.reconcile_messages.app import Dependencies, reconcile_messages
from infobip_omni import transitions
from infobip_omni.api.client import LONGEST_LOG_QUERY, log_query_length
from infobip_omni.api.errors import AuthenticationError, OutcomeUnknownError, RateLimitedError
from infobip_omni.api.reports import LogEntry
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.message import Evidence, Message, MessageState
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.timestamps import format_utc
from infobip_omni.transitions import AttemptResult
from tests.fakes import Clock, FakeClient, FakeLedger, make_claim

from .conftest import CONTEXT, PHONE, TEXT, metrics_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from infobip_omni.dynamodb import Item

    from .conftest import Log, Printed

LEASE = timedelta(minutes=2)


@dataclass
class Harness:
    """The function and its fakes."""

    clock: Clock
    ledger: FakeLedger
    reports: DeliveryReports
    client: FakeClient = field(default_factory=FakeClient)
    seconds_left: float = 300.0

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.client, self.ledger, self.reports)

    def run(self) -> dict[str, int]:
        """Run the function once, and return its answer."""
        reconciliation = reconcile_messages(
            self.dependencies, lambda: self.seconds_left, self.clock
        )
        return reconciliation.answer()

    def invoke(self, event: dict[str, Any]) -> dict[str, int]:
        return app.lambda_handler(event, CONTEXT)

    def run_after(self, **duration: float) -> dict[str, int]:
        """Run the function after a wait."""
        self.clock.pass_by(**duration)
        return self.run()

    def add(
        self,
        state: MessageState,
        message_id: str = "m-1",
        evidence: Evidence | None = None,
        **changes: Any,  # noqa: ANN401 (members of a claim)
    ) -> None:
        """Store a message in the state in which a sender left it."""
        claim = make_claim(message_id, **changes)
        (claim_status,) = self.ledger.claim([claim], LEASE)
        if state is not MessageState.CLAIMED:
            token = claim_status.token or ""
            outcome = AttemptResult(message_id, token, state, evidence, send_at=claim.send_at)
            self.ledger.save([outcome])

    def show(self, message_id: str = "m-1", **changes: Any) -> None:  # noqa: ANN401 (of a row)
        """Add a row to the logs, by default of a delivery."""
        self.client.rows.append(row(message_id, **changes))

    def item(self, message_id: str = "m-1") -> Item:
        return self.ledger.item(message_id)

    def state(self, message_id: str = "m-1") -> str:
        return str(self.item(message_id)["state"])


def new_harness() -> Harness:
    """Build a harness whose ledger is empty."""
    clock = Clock()
    ledger = FakeLedger(clock)
    return Harness(clock, ledger, DeliveryReports(ledger.table, ledger, clock))


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose ledger is empty."""
    harness = new_harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def row(message_id: str = "m-1", group_id: int = 3, status_id: int = 5, **rest: object) -> LogEntry:
    """Build a row of the logs."""
    members = {
        "messageId": message_id,
        "to": PHONE,
        "from": "Acme",
        "text": TEXT,
        "channel": "SMS",
        "status": {"groupId": group_id, "id": status_id},
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": "2026-01-31T12:00:05.000+0000",
    }
    return LogEntry.model_validate(members | rest)


# --- Unknown outcomes: found ---------------------------------------------------------------


def test_message_in_transit_in_the_logs_is_accepted(harness: Harness) -> None:
    """The row proves that Infobip has the message."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=1, status_id=7, doneAt=None)

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesAccepted": 1}
    assert (harness.state(), harness.item()["evidence"]) == ("ACCEPTED", "logs")


def test_message_with_a_final_row_is_settled(harness: Harness) -> None:
    """The verdict is taken from the row, which is stored."""
    harness.add(MessageState.UNKNOWN)
    harness.show()

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesSettled": 1}
    item = harness.item()
    assert (item["state"], item["channel"], item["evidence"]) == ("DELIVERED", "SMS", "logs")
    assert len(harness.ledger.table.entries("LOG#")) == 1
    assert "nextCheckAt" not in item


def test_failed_earlier_step_proves_acceptance_only(harness: Harness) -> None:
    """The next step may still deliver."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=2, channel="PUSH")
    harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_failed_last_step_is_the_verdict(harness: Harness) -> None:
    """No other step can follow it."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=2, channel="PUSH")
    harness.show(group_id=2, channel="SMS")
    harness.run_after(minutes=10)

    assert harness.state() == "UNDELIVERED"


def test_first_log_query_waits_ten_minutes(harness: Harness) -> None:
    """The logs lag behind the send."""
    harness.add(MessageState.UNKNOWN)

    assert harness.run_after(minutes=9) == {}
    assert harness.client.log_queries == []


@pytest.mark.parametrize("state", [MessageState.UNKNOWN, MessageState.ACCEPTED])
def test_message_is_not_queried_before_it_is_due_to_be_sent(
    harness: Harness, state: MessageState
) -> None:
    """Before `sendAt`, an absence from the logs means nothing."""
    harness.add(state, send_at=harness.clock.now + timedelta(days=5))

    assert harness.run_after(days=5) == {}
    assert harness.run_after(minutes=10)["LogQueries"] == 1


# --- Unknown outcomes: absent --------------------------------------------------------------


def test_message_is_quarantined_after_three_answers(harness: Harness) -> None:
    """The answers are ten minutes apart, and the last log query is for this message alone."""
    harness.add(MessageState.UNKNOWN, "m-1")
    harness.add(MessageState.UNKNOWN, "m-2")
    harness.show("m-2", group_id=1, status_id=7, doneAt=None)
    harness.run_after(minutes=10)
    harness.add(MessageState.UNKNOWN, "m-3")
    assert harness.run_after(minutes=9) == {}
    harness.run_after(minutes=1)
    assert harness.state() == "UNKNOWN"

    counts = harness.run_after(minutes=10)

    assert counts["MessagesQuarantined"] == 1
    assert harness.client.log_queries[-1] == ["m-1"]
    assert harness.client.log_queries[-2] != ["m-1"]
    assert (harness.state("m-1"), harness.state("m-3")) == ("QUARANTINED", "UNKNOWN")


def test_late_row_outweighs_two_absences(harness: Harness) -> None:
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)
    harness.show()
    harness.run_after(minutes=10)

    assert harness.state() == "DELIVERED"


def test_last_log_query_may_still_find_the_message(harness: Harness) -> None:
    """A row counts that appears between the group's log query and the last one."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def appear() -> None:
        if len(harness.client.log_queries) == 4:
            harness.show()

    harness.client.before_rows = appear
    counts = harness.run_after(minutes=10)

    assert counts == {"LogQueries": 2, "MessagesSettled": 1}
    assert harness.state() == "DELIVERED"


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow down", status=429),
        OutcomeUnknownError("no answer"),
        ParameterUnavailableError("SSM cannot be read"),
    ],
)
def test_failed_log_query_does_not_count(harness: Harness, error: Exception) -> None:
    """Only an answer can say that a message is absent; the run ends and raises nothing."""
    harness.add(MessageState.UNKNOWN)

    def fail() -> None:
        raise error

    harness.client.before_rows = fail
    for _ in range(5):
        counts = harness.run_after(minutes=10)
        assert counts == {"LogQueries": 1, "ReconciliationsFailed": 1}
    assert harness.state() == "UNKNOWN"

    harness.client.before_rows = lambda: None
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)
    assert harness.state() == "UNKNOWN"
    harness.run_after(minutes=10)
    assert harness.state() == "QUARANTINED"


def test_last_log_query_that_fails_is_repeated(harness: Harness) -> None:
    """Without its answer, nothing is decided."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def fail() -> None:
        if len(harness.client.log_queries) == 4:
            raise OutcomeUnknownError("no answer")

    harness.client.before_rows = fail
    harness.run_after(minutes=10)
    assert harness.state() == "UNKNOWN"

    harness.run_after(minutes=5)
    assert harness.state() == "QUARANTINED"


def absent(harness: Harness) -> dict[str, int]:
    """Run three times, ten minutes apart, and return the counts of the last run."""
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)
    return harness.run_after(minutes=10)


def test_message_that_must_arrive_goes_back_to_waiting(harness: Harness) -> None:
    """The sender sends it again, with the same id, when its record is redelivered."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")

    assert absent(harness)["MessagesSentAgain"] == 1
    assert harness.state() == "WAITING"
    assert "absentAnswers" not in harness.item()


def test_another_attempt_resets_the_count_of_absences(harness: Harness) -> None:
    """Answers about the first attempt say nothing about the second."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    absent(harness)
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"
    assert harness.item()["attempts"] == 2


def test_message_that_is_older_than_the_logs_is_not_sent_again(harness: Harness) -> None:
    """After 48 hours an absent row means nothing: an operator decides, whatever the policy."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.clock.pass_by(hours=48)

    assert absent(harness)["MessagesQuarantined"] == 1
    assert harness.state() == "QUARANTINED"


def test_late_expiry_of_a_lease_does_not_reset_the_age_of_a_message(harness: Harness) -> None:
    """The age counts from when the message may have been sent, not from the run that notices."""
    harness.add(MessageState.CLAIMED, on_unknown="must-arrive")
    harness.run_after(hours=48)
    assert harness.state() == "UNKNOWN"

    absent(harness)
    assert harness.state() == "QUARANTINED"


def test_age_of_a_scheduled_message_begins_at_send_at(harness: Harness) -> None:
    """The logs cannot know the message earlier."""
    send_at = harness.clock.now + timedelta(days=5)
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive", send_at=send_at)
    harness.clock.pass_by(days=5)

    assert absent(harness)["MessagesSentAgain"] == 1


# --- Messages of other senders -------------------------------------------------------------


def test_row_with_an_incomparable_address_is_proof(harness: Harness) -> None:
    """A push may be logged for a device that the message did not name."""
    harness.add(MessageState.UNKNOWN)
    harness.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_duplicate_id_needs_a_row_for_the_recipient_as_proof(harness: Harness) -> None:
    """Another row may be of the message that had the id first."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    for _ in range(3):
        harness.run_after(minutes=10)

    assert harness.state() == "QUARANTINED"


def test_unreadable_row_proves_no_absence(harness: Harness) -> None:
    """The message is there, so it must not be sent again."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.client.unread_ids.add("m-1")
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_row_of_another_recipient_proves_nothing(harness: Harness) -> None:
    """Another sender has used the id: this message is as absent as without the row."""
    harness.add(MessageState.UNKNOWN)
    harness.show(to="385998888888")

    counts = absent(harness)

    assert counts == {"LogQueries": 2, "MessagesQuarantined": 1}
    assert harness.state() == "QUARANTINED"


def test_message_whose_id_another_recipient_has_is_rejected(harness: Harness) -> None:
    """Infobip has rejected the id as a duplicate, and the logs show the other recipient."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(to="385998888888")

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesRejected": 1}
    assert (harness.state(), harness.item()["evidence"]) == ("REJECTED", "duplicate-id")


def test_duplicate_id_with_a_row_for_the_recipient_is_accepted(harness: Harness) -> None:
    """The logs show that the message went to the same recipient."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(group_id=1, status_id=7, to=f"+{PHONE}", doneAt=None)
    harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_row_of_a_rejected_repeat_proves_no_acceptance(harness: Harness) -> None:
    """Infobip has rejected the id, so it did not accept this post."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=5, status_id=23)
    harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_duplicate_id_is_not_sent_again(harness: Harness) -> None:
    """Infobip would reject it once more, which would look like a proof of acceptance."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID, on_unknown="must-arrive")

    assert absent(harness)["MessagesQuarantined"] == 1
    assert harness.state() == "QUARANTINED"


# --- Claims, waiting, accepted -------------------------------------------------------------


def test_expired_lease_becomes_unknown(harness: Harness) -> None:
    """The sender may have sent the message; the logs are queried ten minutes later."""
    harness.add(MessageState.CLAIMED)

    assert harness.run_after(minutes=10) == {"LeasesExpired": 1}
    assert harness.state() == "UNKNOWN"
    assert harness.client.log_queries == []
    assert harness.run_after(minutes=10)["LogQueries"] == 1


def test_message_whose_record_is_lost_is_counted(harness: Harness) -> None:
    """A message that waits longer than any record lives will never be sent."""
    harness.add(MessageState.WAITING)

    assert harness.run_after(days=10) == {}
    assert harness.run_after(days=1) == {"RecordsLost": 1}
    assert harness.run_after(days=1) == {}
    assert (harness.state(), harness.item()["deadLetterReason"]) == ("WAITING", "LOST")


def test_accepted_message_is_queried_at_growing_intervals(harness: Harness) -> None:
    """The gaps double up to six hours; after 48 hours the message is unresolved, once."""
    harness.add(MessageState.ACCEPTED)
    began = harness.clock.now
    queried_at: list[float] = []
    unresolved = 0
    for _ in range(60 * 6):
        counts = harness.run_after(minutes=10)
        unresolved += counts.get("MessagesUnresolved", 0)
        if counts.get("LogQueries"):
            queried_at.append((harness.clock.now - began) / timedelta(minutes=10))

    assert queried_at[:6] == [1, 2, 4, 8, 16, 32]
    gaps = [after - before for before, after in pairwise(queried_at)]
    assert max(gaps) == 36
    assert 46 * 6 <= queried_at[-1] <= 48 * 6
    assert unresolved == 1
    assert "unresolvedAt" in harness.item()
    assert harness.state() == "ACCEPTED"


def test_accepted_message_is_settled_by_the_logs(harness: Harness) -> None:
    """The logs replace a missing report."""
    harness.add(MessageState.ACCEPTED)
    harness.show()

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesSettled": 1}
    assert harness.state() == "DELIVERED"


def test_accepted_message_is_never_sent_again(harness: Harness) -> None:
    """Infobip has it, even if the logs do not show it."""
    harness.add(MessageState.ACCEPTED, on_unknown="must-arrive")
    for _ in range(300):
        harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_last_failure_in_an_unknown_flow_settles_the_message(harness: Harness) -> None:
    """If the steps are unknown, a failure is the last one if nothing has followed it."""
    harness.add(MessageState.ACCEPTED, steps=None)
    harness.show(group_id=2, channel="PUSH", doneAt="2026-01-31T12:09:00.000+0000")
    harness.run_after(minutes=10)
    assert harness.state() == "ACCEPTED"

    harness.run_after(minutes=10)
    assert harness.state() == "UNDELIVERED"


# --- Many messages in one answer -----------------------------------------------------------


def test_verdicts_of_one_answer_are_written_together(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred of them take one write of their rows, and then one of their states."""
    written: list[tuple[str, int]] = []

    def watch(owner: object, method: str) -> None:
        write = getattr(owner, method)

        def watched(those: Sized, **rest: object) -> object:
            if those:
                written.append((method, len(those)))
            return write(those, **rest)

        monkeypatch.setattr(owner, method, watched)

    for number in range(100):
        harness.add(MessageState.ACCEPTED, f"m-{number}")
        harness.show(f"m-{number}")
    watch(harness.reports, "record_logs")
    watch(harness.ledger, "apply")
    watch(harness.ledger.table, "execute")

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesSettled": 100}
    assert written == [("record_logs", 100), ("apply", 100), ("execute", 100)]
    assert set(harness.ledger.states().values()) == {"DELIVERED"}
    assert len(harness.ledger.table.entries("LOG#")) == 100


IN_TRANSIT = {"group_id": 1, "status_id": 7, "doneAt": None}
#: By what is expected of a message: its age in hours, state and evidence, and a row of the logs.
KINDS: dict[str, tuple[float, MessageState, Evidence | None, dict[str, Any] | None]] = {
    "unresolved": (47, MessageState.ACCEPTED, None, None),
    "queried in 6 hours": (10, MessageState.ACCEPTED, None, IN_TRANSIT),
    "queried in 2 hours": (2, MessageState.ACCEPTED, None, None),
    "settled": (1, MessageState.UNKNOWN, None, {}),
    "settled without a report": (1, MessageState.ACCEPTED, None, {}),
    "accepted": (1, MessageState.UNKNOWN, None, IN_TRANSIT),
    "rejected": (1, MessageState.UNKNOWN, Evidence.DUPLICATE_ID, {"to": "385998888888"}),
    "unreadable": (1, MessageState.UNKNOWN, None, None),
    "absent": (1, MessageState.UNKNOWN, None, None),
    "quarantined": (1, MessageState.UNKNOWN, None, None),
}


def test_messages_of_one_answer_end_as_if_queried_individually() -> None:
    together, counts = ends_of(*KINDS)
    alone = [ends_of(kind) for kind in KINDS]

    assert together == {kind: item for items, _ in alone for kind, item in items.items()}
    assert counts == sum((each for _, each in alone), Counter())
    assert counts == {
        "MessagesAccepted": 1,
        "MessagesQuarantined": 1,
        "MessagesRejected": 1,
        "MessagesSettled": 2,
        "MessagesUnresolved": 1,
    }
    began = Clock().now + timedelta(hours=47)
    checks = {kind: item.get("nextCheckAt") for kind, item in together.items()}
    assert checks["queried in 6 hours"] == format_utc(began + timedelta(hours=6))
    assert checks["queried in 2 hours"] == format_utc(began + timedelta(hours=2))
    assert checks["unreadable"] == checks["absent"] == format_utc(began + timedelta(minutes=10))
    absences = {kind: item.get("absentAnswers") for kind, item in together.items()}
    assert (absences["unreadable"], absences["absent"], absences["quarantined"]) == (0, 1, 2)


def ends_of(*kinds: str) -> tuple[dict[str, Item], Counter[str]]:
    """Run one log query about messages; return their items afterwards, and the counts."""
    harness = new_harness()
    began = harness.clock.now + timedelta(hours=47)
    for kind in kinds:
        age, state, evidence, shown = KINDS[kind]
        harness.clock.now = began - timedelta(hours=age)
        harness.add(state, kind, evidence)
        if shown is not None:
            harness.show(kind, **shown)
    harness.clock.now = began
    harness.client.unread_ids.add("unreadable")
    for _ in range(2 * ("quarantined" in kinds)):
        harness.ledger.change(
            transitions.check_postponed, harness.item("quarantined"), began, absent=True
        )
    counts = Counter(harness.run())
    assert counts.pop("LogQueries") == 1 + ("quarantined" in kinds)
    # Tokens are random.
    return {kind: harness.item(kind) | {"claimToken": ""} for kind in kinds}, counts


# --- Limits --------------------------------------------------------------------------------


def test_messages_share_log_queries(harness: Harness) -> None:
    """A hundred fit into one."""
    for number in range(150):
        harness.add(MessageState.UNKNOWN, f"m-{number}")
    harness.run_after(minutes=10)

    assert sorted(map(len, harness.client.log_queries)) == [50, 100]


def test_answer_has_room_for_all_steps(harness: Harness) -> None:
    """If flows are unknown, a log query is for fewer messages."""
    for number in range(150):
        harness.add(MessageState.UNKNOWN, f"m-{number}", steps=None)
    harness.run_after(minutes=10)

    assert max(map(len, harness.client.log_queries)) < 100


def test_truncated_answer_proves_no_absence(harness: Harness) -> None:
    """A full page may have left out the very row in question."""
    harness.add(MessageState.UNKNOWN, "m-1")
    harness.add(MessageState.UNKNOWN, "m-2")
    for _ in range(1000):
        harness.show("m-2", group_id=1, status_id=7, doneAt=None)
    harness.show("m-1", group_id=1, status_id=7, doneAt=None)
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "ACCEPTED"}


def test_truncated_answer_about_one_message_proves_no_absence(harness: Harness) -> None:
    """Other messages with its id may have left no room for its own row."""
    harness.add(MessageState.UNKNOWN)
    for _ in range(1000):
        harness.show(to="385998888888")
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_flood_of_rows_delays_other_messages_only_once(harness: Harness) -> None:
    """After a truncated answer, each half of the group is queried separately."""
    for number in range(8):
        harness.add(MessageState.ACCEPTED, f"m-{number}")
        harness.show(f"m-{number}")
    for _ in range(1000):
        harness.client.rows.insert(0, row("m-3", group_id=1, status_id=7, doneAt=None))
    harness.run_after(minutes=10)

    states = harness.ledger.states()
    assert {name for name, state in states.items() if state != "DELIVERED"} == {"m-3"}
    assert len(harness.client.log_queries) == 1 + 2 + 2 + 2


def test_log_query_about_long_ids_takes_one_call(harness: Harness) -> None:
    """Otherwise a run would exceed its calls per minute, and its time."""
    for number in range(40):
        harness.add(MessageState.ACCEPTED, f"{number:03d}" + "ü" * 90)
    harness.run_after(minutes=10)

    lengths = [sum(map(log_query_length, ids)) for ids in harness.client.log_queries]
    assert sum(map(len, harness.client.log_queries)) == 40
    assert max(lengths) <= LONGEST_LOG_QUERY < sum(lengths)


def test_run_keeps_to_its_share_of_log_queries(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infobip's limit is shared with other runs and with people; the next run does the rest."""
    monkeypatch.setattr(app, "IDS_PER_LOG_QUERY", 1)
    for number in range(120):
        harness.add(MessageState.ACCEPTED, f"m-{number}")
        harness.show(f"m-{number}")

    assert harness.run_after(minutes=10)["LogQueries"] == 100
    assert harness.run_after(minutes=1)["LogQueries"] == 20
    assert set(harness.ledger.states().values()) == {"DELIVERED"}


def test_last_log_queries_keep_to_the_share(harness: Harness) -> None:
    """Absent messages cost a log query each; those left over cost nothing more."""
    for number in range(120):
        harness.add(MessageState.UNKNOWN, f"m-{number}")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    assert harness.run_after(minutes=10)["LogQueries"] == 100
    counts = harness.run_after(minutes=1)
    assert set(harness.ledger.states().values()) == {"QUARANTINED"}
    assert counts["LogQueries"] < 100


def test_log_query_needs_the_time_for_its_answer(harness: Harness) -> None:
    """The function must not time out between an answer and the writes that follow."""
    harness.add(MessageState.UNKNOWN)
    harness.seconds_left = 50.0

    assert harness.run_after(minutes=10) == {}
    harness.seconds_left = 52.0
    assert harness.run() == {"LogQueries": 1}


# --- Concurrent runs and outages -----------------------------------------------------------


def test_overlapping_runs_count_an_absence_once(harness: Harness) -> None:
    """Both runs have read the message and got an answer; one of them counts it."""
    harness.add(MessageState.UNKNOWN)

    def overtake() -> None:
        harness.client.before_rows = lambda: None
        harness.run()

    harness.client.before_rows = overtake
    harness.run_after(minutes=10)

    assert len(harness.client.log_queries) == 2
    assert harness.item()["absentAnswers"] == 1


def test_overlapping_runs_decide_once(harness: Harness) -> None:
    """One run returns the message to WAITING; the other leaves the new claim alone."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def overtake() -> None:
        if len(harness.client.log_queries) == 4:
            harness.client.before_rows = lambda: None
            assert harness.run()["MessagesSentAgain"] == 1
            harness.add(MessageState.CLAIMED, on_unknown="must-arrive")

    harness.client.before_rows = overtake
    counts = harness.run_after(minutes=10)

    assert counts["MessagesSentAgain"] == 0
    assert harness.state() == "CLAIMED"


def test_report_during_a_log_query_wins(harness: Harness) -> None:
    """A message that is settled meanwhile is not quarantined."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def settle() -> None:
        if len(harness.client.log_queries) == 4:
            entry = row().model_dump_json(by_alias=True)
            harness.reports.record_body(f'{{"results": [{entry}]}}'.encode())

    harness.client.before_rows = settle
    counts = harness.run_after(minutes=10)

    assert counts["MessagesQuarantined"] == 0
    assert harness.state() == "DELIVERED"


@pytest.mark.parametrize("method", ["query", "get_all", "put_all", "execute"])
def test_unavailable_table_ends_the_run(harness: Harness, method: str) -> None:
    """The next run does the writes that failed."""
    harness.add(MessageState.UNKNOWN)
    harness.show()
    harness.ledger.table.failures[method] = 1

    assert harness.run_after(minutes=10)["ReconciliationsFailed"] == 1
    assert harness.state() == "UNKNOWN"
    harness.run()
    assert harness.state() == "DELIVERED"


def test_abandoned_pages_are_recorded(harness: Harness) -> None:
    """A page left behind by a killed pull settles its messages without a log query."""
    harness.add(MessageState.ACCEPTED)
    entry = json.loads(row().model_dump_json(by_alias=True))
    harness.reports.store_page(json.dumps({"results": [entry]}).encode())

    assert harness.run_after(minutes=20) == {}
    assert harness.item()["evidence"] == "report"
    assert harness.state() == "DELIVERED"


# --- The handler ---------------------------------------------------------------------------


def test_handler_returns_counts(harness: Harness, printed: Printed) -> None:
    """Answer, log line and metrics hold counts, and no personal data."""
    began = datetime.now(harness.clock.now.tzinfo)
    harness.clock.now = began - timedelta(hours=1)
    harness.add(MessageState.UNKNOWN)
    harness.clock.now = began
    harness.show()

    assert harness.invoke({}) == {"LogQueries": 1, "MessagesSettled": 1}
    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = metrics_in(text)
    assert (numbers["LogQueries"], numbers["MessagesSettled"]) == ([1.0], [1.0])


def test_error_texts_of_infobip_are_not_logged(harness: Harness, printed: Printed) -> None:
    """They may quote the request."""
    harness.add(MessageState.UNKNOWN)

    def fail() -> None:
        raise OutcomeUnknownError("no answer", status=500, text=f"{PHONE} {TEXT}")

    harness.client.before_rows = fail
    harness.run_after(minutes=10)

    text = printed()
    assert "the logs cannot be queried" in text
    assert PHONE not in text
    assert "canary" not in text


@pytest.fixture
def counted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> Callable[[], dict[str, Any]]:
    """Return a helper that runs the function and returns the metrics that it wrote."""
    monkeypatch.setattr(app.reconcile_messages, "__defaults__", (harness.clock,))

    def run() -> dict[str, Any]:
        harness.invoke({})
        written = metrics_in(printed())
        return written[-1] if written else {}

    return run


def test_successful_run_is_counted(
    counted: Callable[[], dict[str, Any]],
) -> None:
    """An alarm watches this count, so it is published even if nothing was due."""
    assert counted()["ReconciliationsSucceeded"] == [1.0]


def test_failed_run_does_not_count_as_success(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """Rejected credentials count as a failed run, and as a refusal of the account."""
    harness.add(MessageState.UNKNOWN)
    harness.clock.pass_by(minutes=11)

    def refuse() -> None:
        raise AuthenticationError("no", status=401)

    harness.client.before_rows = refuse

    written = counted()

    assert "ReconciliationsSucceeded" not in written
    assert (written["ReconciliationsFailed"], written["AccountRefusals"]) == ([1.0], [1.0])


def test_every_run_counts_the_messages_in_quarantine(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """They are counted until an operator decides, so that their alarm stays on."""
    harness.add(MessageState.UNKNOWN)
    for _ in range(3):
        harness.run_after(minutes=11)
    assert harness.state() == MessageState.QUARANTINED

    for _ in range(2):
        assert counted()["MessagesInQuarantine"] == [1.0]
    harness.ledger.change(
        transitions.closed, harness.item(), "ada", "no longer needed", harness.ledger.clock()
    )
    assert "MessagesInQuarantine" not in counted()


def test_rejection_for_the_account_in_a_log_row_is_counted(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """The credit is used up, which concerns all messages that follow."""
    harness.add(MessageState.ACCEPTED)
    harness.show(group_id=5, status_id=12)
    harness.clock.pass_by(minutes=11)

    assert counted()["AccountRefusals"] == [1.0]


# --- Items of another version --------------------------------------------------------------


@pytest.mark.parametrize("attributes", [{"state": "SEEN"}, {"to": 5}, {"expiresAt": "never"}])
def test_unreadable_message_is_logged_and_does_not_stop_the_others(
    harness: Harness, log: Log, attributes: dict[str, Any]
) -> None:
    """It is not changed, and the logs are not queried about it."""
    for message_id in ("m-1", "m-2", "m-3"):
        harness.add(MessageState.UNKNOWN, message_id)
        harness.show(message_id)
    harness.ledger.alter("m-2", **attributes)
    altered = harness.item("m-2")

    assert harness.run_after(minutes=10) == {
        "MessagesUnreadable": 1,
        "LogQueries": 1,
        "MessagesSettled": 2,
    }

    assert sorted(harness.client.log_queries[0]) == ["m-1", "m-3"]
    assert (harness.state("m-1"), harness.state("m-3")) == ("DELIVERED", "DELIVERED")
    assert harness.item("m-2") == altered
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["message_id"]) == ("a message cannot be read", "m-2")


def test_unreadable_messages_do_not_displace_others(harness: Harness) -> None:
    ids = [f"m-{number}" for number in range(40)]
    for message_id in ids:
        harness.add(MessageState.UNKNOWN, message_id)
        harness.clock.pass_by(seconds=1)
    for message_id in ids[:30]:
        harness.ledger.alter(message_id, state="SEEN")
    harness.clock.pass_by(minutes=20)

    due = list(harness.ledger.due(most=2))

    readable = {message.id for message in due if isinstance(message, Message)}
    shards = Counter(harness.item(message_id)["checkShard"] for message_id in ids[30:])
    assert len(readable) == sum(min(count, 2) for count in shards.values())
    assert readable <= set(ids[30:])
