"""A row in the logs is proof; its absence is believed after three answers, and never sooner."""

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
    """The function and what it talks to."""

    clock: Clock
    ledger: FakeLedger
    reports: DeliveryReports
    client: FakeClient = field(default_factory=FakeClient)
    seconds_left: float = 300.0

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(self.client, self.ledger, self.reports)

    def run(self) -> dict[str, int]:
        """Let the function run once."""
        reconciliation = reconcile_messages(
            self.dependencies, lambda: self.seconds_left, self.clock
        )
        return reconciliation.answer()

    def invoke(self, event: dict[str, Any]) -> dict[str, int]:
        """Invoke the function as Lambda does."""
        return app.lambda_handler(event, CONTEXT)

    def run_after(self, **duration: float) -> dict[str, int]:
        """Let the function run a while later."""
        self.clock.pass_by(**duration)
        return self.run()

    def add(
        self,
        state: MessageState,
        message_id: str = "m-1",
        evidence: Evidence | None = None,
        **changes: Any,  # noqa: ANN401 (members of a claim)
    ) -> None:
        """Let a sender leave a message in a state."""
        claim = make_claim(message_id, **changes)
        (claim_status,) = self.ledger.claim([claim], LEASE)
        if state is not MessageState.CLAIMED:
            token = claim_status.token or ""
            outcome = AttemptResult(message_id, token, state, evidence, send_at=claim.send_at)
            self.ledger.save([outcome])

    def show(self, message_id: str = "m-1", **changes: Any) -> None:  # noqa: ANN401 (of a row)
        """Let the logs show a row, of a delivery by default."""
        self.client.rows.append(row(message_id, **changes))

    def item(self, message_id: str = "m-1") -> Item:
        """Return a message."""
        return self.ledger.item(message_id)

    def state(self, message_id: str = "m-1") -> str:
        """Return the state of a message."""
        return str(self.item(message_id)["state"])


def new_harness() -> Harness:
    """Make a harness whose ledger is empty."""
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
    """Write a row of the logs."""
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


def test_message_that_the_logs_know_is_accepted(harness: Harness) -> None:
    """A row of a message that is under way proves that Infobip has it."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=1, status_id=7, doneAt=None)

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesAccepted": 1}
    assert (harness.state(), harness.item()["evidence"]) == ("ACCEPTED", "logs")


def test_message_that_the_logs_have_settled_is_settled(harness: Harness) -> None:
    """The verdict is taken over, and the row that says so is kept."""
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
    """After it nothing more can come."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=2, channel="PUSH")
    harness.show(group_id=2, channel="SMS")
    harness.run_after(minutes=10)

    assert harness.state() == "UNDELIVERED"


def test_nothing_is_asked_too_early(harness: Harness) -> None:
    """The logs lag behind: the first question comes ten minutes after the send."""
    harness.add(MessageState.UNKNOWN)

    assert harness.run_after(minutes=9) == {}
    assert harness.client.questions == []


@pytest.mark.parametrize("state", [MessageState.UNKNOWN, MessageState.ACCEPTED])
def test_nothing_is_asked_before_a_message_is_due_to_be_sent(
    harness: Harness, state: MessageState
) -> None:
    """Before `sendAt` the logs know nothing, which means nothing."""
    harness.add(state, send_at=harness.clock.now + timedelta(days=5))

    assert harness.run_after(days=5) == {}
    assert harness.run_after(minutes=10)["LogQueries"] == 1


# --- Unknown outcomes: absent --------------------------------------------------------------


def test_message_is_quarantined_after_three_answers(harness: Harness) -> None:
    """The answers are ten minutes apart, and the last question is for this message alone."""
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
    assert harness.client.questions[-1] == ["m-1"]
    assert harness.client.questions[-2] != ["m-1"]
    assert (harness.state("m-1"), harness.state("m-3")) == ("QUARANTINED", "UNKNOWN")


def test_row_that_shows_up_late_is_believed(harness: Harness) -> None:
    """Two absences do not outweigh a row."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)
    harness.show()
    harness.run_after(minutes=10)

    assert harness.state() == "DELIVERED"


def test_last_question_may_still_find_the_message(harness: Harness) -> None:
    """A row that shows up between the group's question and the last one counts."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def appear() -> None:
        if len(harness.client.questions) == 4:
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
def test_failed_question_does_not_count(harness: Harness, error: Exception) -> None:
    """Only answers say that a message is absent; the run ends and raises nothing."""
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


def test_last_question_that_fails_is_asked_again(harness: Harness) -> None:
    """Without an answer to it, nothing is decided."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def fail() -> None:
        if len(harness.client.questions) == 4:
            raise OutcomeUnknownError("no answer")

    harness.client.before_rows = fail
    harness.run_after(minutes=10)
    assert harness.state() == "UNKNOWN"

    harness.run_after(minutes=5)
    assert harness.state() == "QUARANTINED"


def absent(harness: Harness) -> dict[str, int]:
    """Let three answers not mention the messages."""
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)
    return harness.run_after(minutes=10)


def test_message_that_must_arrive_is_handed_back(harness: Harness) -> None:
    """The sender sends it again, with the same id, when its record comes round."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")

    assert absent(harness)["MessagesSentAgain"] == 1
    assert harness.state() == "WAITING"
    assert "absentAnswers" not in harness.item()


def test_absences_are_counted_anew_after_another_attempt(harness: Harness) -> None:
    """What the logs did not know of the first attempt says nothing of the second."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    absent(harness)
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"
    assert harness.item()["attempts"] == 2


def test_message_that_the_logs_may_have_forgotten_is_not_sent_again(harness: Harness) -> None:
    """After 48 hours an absent row means nothing: an operator decides, whatever the policy."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.clock.pass_by(hours=48)

    assert absent(harness)["MessagesQuarantined"] == 1
    assert harness.state() == "QUARANTINED"


def test_late_loss_of_a_lease_does_not_hide_the_age_of_a_message(harness: Harness) -> None:
    """What counts is when it may have been sent, not when somebody has noticed."""
    harness.add(MessageState.CLAIMED, on_unknown="must-arrive")
    harness.run_after(hours=48)
    assert harness.state() == "UNKNOWN"

    absent(harness)
    assert harness.state() == "QUARANTINED"


def test_message_that_is_sent_later_is_not_old_before(harness: Harness) -> None:
    """The 48 hours begin at `sendAt`, before which the logs cannot know the message."""
    send_at = harness.clock.now + timedelta(days=5)
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive", send_at=send_at)
    harness.clock.pass_by(days=5)

    assert absent(harness)["MessagesSentAgain"] == 1


# --- Other people's messages ---------------------------------------------------------------


def test_row_of_an_address_that_does_not_compare_is_proof(harness: Harness) -> None:
    """A push may be logged for a device that the message did not name."""
    harness.add(MessageState.UNKNOWN)
    harness.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_after_a_refused_id_only_a_row_for_the_recipient_is_proof(harness: Harness) -> None:
    """It may be of the message that the id was refused for; nobody is sure, and nobody sends."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    for _ in range(3):
        harness.run_after(minutes=10)

    assert harness.state() == "QUARANTINED"


def test_row_that_cannot_be_read_proves_no_absence(harness: Harness) -> None:
    """The message is there, so that it must not be sent again."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.client.unread_ids.add("m-1")
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_row_of_another_recipient_proves_nothing(harness: Harness) -> None:
    """Somebody else has used the id: this message is as absent as without the row."""
    harness.add(MessageState.UNKNOWN)
    harness.show(to="385998888888")

    counts = absent(harness)

    assert counts == {"LogQueries": 2, "MessagesQuarantined": 1}
    assert harness.state() == "QUARANTINED"


def test_id_that_another_message_has_is_refused(harness: Harness) -> None:
    """Infobip has refused the id, and the logs show whose it is."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(to="385998888888")

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesRejected": 1}
    assert (harness.state(), harness.item()["evidence"]) == ("REJECTED", "duplicate-id")


def test_refused_id_of_an_own_message_is_an_acceptance(harness: Harness) -> None:
    """The logs show that it went to the same recipient."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    harness.show(group_id=1, status_id=7, to=f"+{PHONE}", doneAt=None)
    harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_row_of_a_refused_repeat_proves_no_acceptance(harness: Harness) -> None:
    """That Infobip has refused the id says that this post was not accepted."""
    harness.add(MessageState.UNKNOWN)
    harness.show(group_id=5, status_id=23)
    harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_refused_id_is_not_tried_again(harness: Harness) -> None:
    """Infobip would refuse it once more, which would look like a proof of acceptance."""
    harness.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID, on_unknown="must-arrive")

    assert absent(harness)["MessagesQuarantined"] == 1
    assert harness.state() == "QUARANTINED"


# --- Claims, waiting, accepted -------------------------------------------------------------


def test_lease_that_ran_out_makes_a_message_unknown(harness: Harness) -> None:
    """Nobody knows whether its sender has sent it; the logs are asked ten minutes later."""
    harness.add(MessageState.CLAIMED)

    assert harness.run_after(minutes=10) == {"LeasesExpired": 1}
    assert harness.state() == "UNKNOWN"
    assert harness.client.questions == []
    assert harness.run_after(minutes=10)["LogQueries"] == 1


def test_message_whose_record_is_lost_is_counted(harness: Harness) -> None:
    """A message that waits longer than any record lives will not be sent by anybody."""
    harness.add(MessageState.WAITING)

    assert harness.run_after(days=10) == {}
    assert harness.run_after(days=1) == {"RecordsLost": 1}
    assert harness.run_after(days=1) == {}
    assert (harness.state(), harness.item()["deadLetterReason"]) == ("WAITING", "LOST")


def test_accepted_message_is_asked_about_at_growing_intervals(harness: Harness) -> None:
    """The gaps double up to six hours; after 48 hours the message is unresolved, once."""
    harness.add(MessageState.ACCEPTED)
    began = harness.clock.now
    asked: list[float] = []
    unresolved = 0
    for _ in range(60 * 6):
        counts = harness.run_after(minutes=10)
        unresolved += counts.get("MessagesUnresolved", 0)
        if counts.get("LogQueries"):
            asked.append((harness.clock.now - began) / timedelta(minutes=10))

    assert asked[:6] == [1, 2, 4, 8, 16, 32]
    gaps = [after - before for before, after in pairwise(asked)]
    assert max(gaps) == 36
    assert 46 * 6 <= asked[-1] <= 48 * 6
    assert unresolved == 1
    assert "unresolvedAt" in harness.item()
    assert harness.state() == "ACCEPTED"


def test_accepted_message_is_settled_by_the_logs(harness: Harness) -> None:
    """What no report has told, the logs do."""
    harness.add(MessageState.ACCEPTED)
    harness.show()

    assert harness.run_after(minutes=10) == {"LogQueries": 1, "MessagesSettled": 1}
    assert harness.state() == "DELIVERED"


def test_accepted_message_is_never_sent_again(harness: Harness) -> None:
    """Infobip has it: that the logs do not show it changes nothing."""
    harness.add(MessageState.ACCEPTED, on_unknown="must-arrive")
    for _ in range(300):
        harness.run_after(minutes=10)

    assert harness.state() == "ACCEPTED"


def test_failure_in_an_unknown_flow_counts_when_all_is_quiet(harness: Harness) -> None:
    """Where nobody knows the steps, a last failure is one that nothing has followed."""
    harness.add(MessageState.ACCEPTED, steps=None)
    harness.show(group_id=2, channel="PUSH", doneAt="2026-01-31T12:09:00.000+0000")
    harness.run_after(minutes=10)
    assert harness.state() == "ACCEPTED"

    harness.run_after(minutes=10)
    assert harness.state() == "UNDELIVERED"


# --- Many messages at once -----------------------------------------------------------------


def test_verdicts_of_one_answer_are_written_at_once(
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


UNDER_WAY = {"group_id": 1, "status_id": 7, "doneAt": None}
#: By what is to come of a message: its age in hours, its state and evidence, and a row of the logs.
KINDS: dict[str, tuple[float, MessageState, Evidence | None, dict[str, Any] | None]] = {
    "unresolved": (47, MessageState.ACCEPTED, None, None),
    "asked about in 6 hours": (10, MessageState.ACCEPTED, None, UNDER_WAY),
    "asked about in 2 hours": (2, MessageState.ACCEPTED, None, None),
    "settled": (1, MessageState.UNKNOWN, None, {}),
    "settled without a report": (1, MessageState.ACCEPTED, None, {}),
    "accepted": (1, MessageState.UNKNOWN, None, UNDER_WAY),
    "rejected": (1, MessageState.UNKNOWN, Evidence.DUPLICATE_ID, {"to": "385998888888"}),
    "unreadable": (1, MessageState.UNKNOWN, None, None),
    "absent": (1, MessageState.UNKNOWN, None, None),
    "quarantined": (1, MessageState.UNKNOWN, None, None),
}


def test_messages_of_one_answer_end_as_each_by_itself() -> None:
    """Nothing that happens to a message depends on which others were asked about with it."""
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
    assert checks["asked about in 6 hours"] == format_utc(began + timedelta(hours=6))
    assert checks["asked about in 2 hours"] == format_utc(began + timedelta(hours=2))
    assert checks["unreadable"] == checks["absent"] == format_utc(began + timedelta(minutes=10))
    absences = {kind: item.get("absentAnswers") for kind, item in together.items()}
    assert (absences["unreadable"], absences["absent"], absences["quarantined"]) == (0, 1, 2)


def ends_of(*kinds: str) -> tuple[dict[str, Item], Counter[str]]:
    """Let one question be asked about messages; return what they are then, and the counts."""
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


def test_messages_are_asked_about_together(harness: Harness) -> None:
    """A hundred fit into one question."""
    for number in range(150):
        harness.add(MessageState.UNKNOWN, f"m-{number}")
    harness.run_after(minutes=10)

    assert sorted(map(len, harness.client.questions)) == [50, 100]


def test_answer_has_room_for_all_steps(harness: Harness) -> None:
    """Where flows are unknown, fewer messages go into a question."""
    for number in range(150):
        harness.add(MessageState.UNKNOWN, f"m-{number}", steps=None)
    harness.run_after(minutes=10)

    assert max(map(len, harness.client.questions)) < 100


def test_cut_answer_proves_no_absence(harness: Harness) -> None:
    """A full page may have left out just the row in question."""
    harness.add(MessageState.UNKNOWN, "m-1")
    harness.add(MessageState.UNKNOWN, "m-2")
    for _ in range(1000):
        harness.show("m-2", group_id=1, status_id=7, doneAt=None)
    harness.show("m-1", group_id=1, status_id=7, doneAt=None)
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "ACCEPTED"}


def test_cut_answer_about_one_message_proves_no_absence(harness: Harness) -> None:
    """Rows of others under its id may have pushed its own row out."""
    harness.add(MessageState.UNKNOWN)
    for _ in range(1000):
        harness.show(to="385998888888")
    for _ in range(4):
        harness.run_after(minutes=10)

    assert harness.state() == "UNKNOWN"


def test_flood_of_rows_hides_its_neighbours_only_once(harness: Harness) -> None:
    """After an answer that was cut, each half of the group is asked about by itself."""
    for number in range(8):
        harness.add(MessageState.ACCEPTED, f"m-{number}")
        harness.show(f"m-{number}")
    for _ in range(1000):
        harness.client.rows.insert(0, row("m-3", group_id=1, status_id=7, doneAt=None))
    harness.run_after(minutes=10)

    states = harness.ledger.states()
    assert {name for name, state in states.items() if state != "DELIVERED"} == {"m-3"}
    assert len(harness.client.questions) == 1 + 2 + 2 + 2


def test_question_about_long_ids_still_takes_one_call(harness: Harness) -> None:
    """Else the limit of questions a minute, and the time of the run, would not be kept."""
    for number in range(40):
        harness.add(MessageState.ACCEPTED, f"{number:03d}" + "ü" * 90)
    harness.run_after(minutes=10)

    lengths = [sum(map(log_query_length, ids)) for ids in harness.client.questions]
    assert sum(map(len, harness.client.questions)) == 40
    assert max(lengths) <= LONGEST_LOG_QUERY < sum(lengths)


def test_run_asks_no_more_than_its_share(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Infobip's limit is shared with other runs and people; the rest is done next time."""
    monkeypatch.setattr(app, "IDS_PER_LOG_QUERY", 1)
    for number in range(120):
        harness.add(MessageState.ACCEPTED, f"m-{number}")
        harness.show(f"m-{number}")

    assert harness.run_after(minutes=10)["LogQueries"] == 100
    assert harness.run_after(minutes=1)["LogQueries"] == 20
    assert set(harness.ledger.states().values()) == {"DELIVERED"}


def test_last_questions_are_within_the_share(harness: Harness) -> None:
    """Absent messages cost a question each, and those that are left over cost nothing more."""
    for number in range(120):
        harness.add(MessageState.UNKNOWN, f"m-{number}")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    assert harness.run_after(minutes=10)["LogQueries"] == 100
    counts = harness.run_after(minutes=1)
    assert set(harness.ledger.states().values()) == {"QUARANTINED"}
    assert counts["LogQueries"] < 100


def test_nothing_is_asked_without_the_time_for_the_answer(harness: Harness) -> None:
    """The function must not be ended between an answer and what is made of it."""
    harness.add(MessageState.UNKNOWN)
    harness.seconds_left = 50.0

    assert harness.run_after(minutes=10) == {}
    harness.seconds_left = 52.0
    assert harness.run() == {"LogQueries": 1}


# --- Runs at once, and what cannot be reached ----------------------------------------------


def test_overlapping_runs_count_an_absence_once(harness: Harness) -> None:
    """Both have read the message; one of them counts the answer, and both got one."""
    harness.add(MessageState.UNKNOWN)

    def overtake() -> None:
        harness.client.before_rows = lambda: None
        harness.run()

    harness.client.before_rows = overtake
    harness.run_after(minutes=10)

    assert len(harness.client.questions) == 2
    assert harness.item()["absentAnswers"] == 1


def test_overlapping_runs_decide_once(harness: Harness) -> None:
    """Only one of them hands the message back, and the other leaves the new claim alone."""
    harness.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def overtake() -> None:
        if len(harness.client.questions) == 4:
            harness.client.before_rows = lambda: None
            assert harness.run()["MessagesSentAgain"] == 1
            harness.add(MessageState.CLAIMED, on_unknown="must-arrive")

    harness.client.before_rows = overtake
    counts = harness.run_after(minutes=10)

    assert counts["MessagesSentAgain"] == 0
    assert harness.state() == "CLAIMED"


def test_report_during_the_question_wins(harness: Harness) -> None:
    """A message that is settled meanwhile is not quarantined."""
    harness.add(MessageState.UNKNOWN)
    harness.run_after(minutes=10)
    harness.run_after(minutes=10)

    def settle() -> None:
        if len(harness.client.questions) == 4:
            entry = row().model_dump_json(by_alias=True)
            harness.reports.record_body(f'{{"results": [{entry}]}}'.encode())

    harness.client.before_rows = settle
    counts = harness.run_after(minutes=10)

    assert counts["MessagesQuarantined"] == 0
    assert harness.state() == "DELIVERED"


@pytest.mark.parametrize("method", ["query", "get_all", "put_all", "execute"])
def test_unavailable_table_ends_the_run(harness: Harness, method: str) -> None:
    """What was not written is done by the next run."""
    harness.add(MessageState.UNKNOWN)
    harness.show()
    harness.ledger.table.failures[method] = 1

    assert harness.run_after(minutes=10)["ReconciliationsFailed"] == 1
    assert harness.state() == "UNKNOWN"
    harness.run()
    assert harness.state() == "DELIVERED"


def test_abandoned_pages_are_recorded(harness: Harness) -> None:
    """A page that a killed pull has left behind settles its messages without a question."""
    harness.add(MessageState.ACCEPTED)
    entry = json.loads(row().model_dump_json(by_alias=True))
    harness.reports.store_page(json.dumps({"results": [entry]}).encode())

    assert harness.run_after(minutes=20) == {}
    assert harness.item()["evidence"] == "report"
    assert harness.state() == "DELIVERED"


# --- The handler ---------------------------------------------------------------------------


def test_handler_tells_what_was_done(harness: Harness, printed: Printed) -> None:
    """Answer, log line and metrics hold counts, and nothing personal."""
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


def test_trouble_is_told_without_infobips_words(harness: Harness, printed: Printed) -> None:
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
    """Return what lets the function run, and returns the metrics that it wrote."""
    monkeypatch.setattr(app.reconcile_messages, "__defaults__", (harness.clock,))

    def run() -> dict[str, Any]:
        harness.invoke({})
        written = metrics_in(printed())
        return written[-1] if written else {}

    return run


def test_run_without_trouble_is_a_sign_of_life(
    counted: Callable[[], dict[str, Any]],
) -> None:
    """An alarm misses it, though nothing was due."""
    assert counted()["ReconciliationsSucceeded"] == [1.0]


def test_run_that_fails_is_no_sign_of_life(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """Infobip refuses the credentials: the run counts as failed, and the account as refused."""
    harness.add(MessageState.UNKNOWN)
    harness.clock.pass_by(minutes=11)

    def refuse() -> None:
        raise AuthenticationError("not let in", status=401)

    harness.client.before_rows = refuse

    written = counted()

    assert "ReconciliationsSucceeded" not in written
    assert (written["ReconciliationsFailed"], written["AccountRefusals"]) == ([1.0], [1.0])


def test_every_run_counts_what_waits_for_an_operator(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """A quarantined message is counted until it is decided, so that its alarm stays on."""
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


def test_log_row_that_refuses_the_account_is_counted(
    harness: Harness, counted: Callable[[], dict[str, Any]]
) -> None:
    """The credit is used up: that concerns all messages that follow."""
    harness.add(MessageState.ACCEPTED)
    harness.show(group_id=5, status_id=12)
    harness.clock.pass_by(minutes=11)

    assert counted()["AccountRefusals"] == [1.0]


# --- What another version has written --------------------------------------------------------


@pytest.mark.parametrize("attributes", [{"state": "SEEN"}, {"to": 5}, {"expiresAt": "never"}])
def test_message_that_cannot_be_read_is_named_and_holds_up_no_other(
    harness: Harness, log: Log, attributes: dict[str, Any]
) -> None:
    """It is left as it is, and not asked about."""
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

    assert sorted(harness.client.questions[0]) == ["m-1", "m-3"]
    assert (harness.state("m-1"), harness.state("m-3")) == ("DELIVERED", "DELIVERED")
    assert harness.item("m-2") == altered
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["message_id"]) == ("a message cannot be read", "m-2")


def test_messages_that_cannot_be_read_take_no_place_of_others(harness: Harness) -> None:
    """However many of them are due."""
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
