"""A row in the logs is proof; its absence is believed after three answers, and never sooner."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from functions.reconcile_messages import app
from functions.reconcile_messages.app import Dependencies, reconcile_messages
from infobip_omni import transitions
from infobip_omni.api.channels import Channel
from infobip_omni.api.client import LONGEST_LOG_QUERY, log_query_length
from infobip_omni.api.errors import AuthenticationError, OutcomeUnknownError, RateLimitedError
from infobip_omni.api.reports import LogEntry
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery import Evidence, MessageState
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.moments import to_text
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.transitions import Claim, Outcome
from tests.fakes import Clock, FakeClient, FakeLedger

from .conftest import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Sized

    from infobip_omni.dynamodb import Item

    from .conftest import Printed

PHONE = "385991234567"
TEXT = "canary text"
LEASE = timedelta(minutes=2)


@dataclass
class World:
    """The function and what it talks to."""

    clock: Clock
    client: FakeClient
    ledger: FakeLedger
    reports: DeliveryReports
    seconds_left: float = 300.0

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function talks to."""
        return Dependencies(self.client, self.ledger, self.reports)

    def run(self) -> dict[str, int]:
        """Let the function run once."""
        reconciliation = reconcile_messages(
            self.dependencies, lambda: self.seconds_left, self.clock
        )
        return reconciliation.answer()

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
        members: dict[str, Any] = {
            "message_id": message_id,
            "content_hash": "content",
            "recipient": Recipient(phone_number=PHONE),
            "scenario": "otp",
            "scenario_key": None,
            "steps": (Channel.PUSH, Channel.SMS),
            "bulk_id": "bulk-1",
            "send_at": None,
            "validity": timedelta(hours=1),
            "on_unknown": "never-duplicate",
        }
        claim = Claim(**members | changes)
        (standing,) = self.ledger.claim([claim], LEASE)
        if state is not MessageState.CLAIMED:
            token = standing.token or ""
            outcome = Outcome(message_id, token, state, evidence, send_at=claim.send_at)
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


@pytest.fixture
def world() -> World:
    """Return a world without messages."""
    return new_world()


def new_world() -> World:
    """Make a world without messages."""
    clock = Clock()
    ledger = FakeLedger(clock)
    return World(clock, FakeClient(), ledger, DeliveryReports(ledger.table, ledger, clock))


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


def test_message_that_the_logs_know_is_accepted(world: World) -> None:
    """A row of a message that is under way proves that Infobip has it."""
    world.add(MessageState.UNKNOWN)
    world.show(group_id=1, status_id=7, doneAt=None)

    assert world.run_after(minutes=10) == {"Questions": 1, "MessagesAccepted": 1}
    assert (world.state(), world.item()["evidence"]) == ("ACCEPTED", "logs")


def test_message_that_the_logs_have_settled_is_settled(world: World) -> None:
    """The verdict is taken over, and the row that says so is kept."""
    world.add(MessageState.UNKNOWN)
    world.show()

    assert world.run_after(minutes=10) == {"Questions": 1, "MessagesSettled": 1}
    item = world.item()
    assert (item["state"], item["channel"], item["evidence"]) == ("DELIVERED", "SMS", "logs")
    assert len(world.ledger.table.entries("LOG#")) == 1
    assert "nextCheckAt" not in item


def test_failed_earlier_step_proves_acceptance_only(world: World) -> None:
    """The next step may still deliver."""
    world.add(MessageState.UNKNOWN)
    world.show(group_id=2, channel="PUSH")
    world.run_after(minutes=10)

    assert world.state() == "ACCEPTED"


def test_failed_last_step_is_the_verdict(world: World) -> None:
    """After it nothing more can come."""
    world.add(MessageState.UNKNOWN)
    world.show(group_id=2, channel="PUSH")
    world.show(group_id=2, channel="SMS")
    world.run_after(minutes=10)

    assert world.state() == "UNDELIVERED"


def test_nothing_is_asked_too_early(world: World) -> None:
    """The logs lag behind: the first question comes ten minutes after the send."""
    world.add(MessageState.UNKNOWN)

    assert world.run_after(minutes=9) == {}
    assert world.client.questions == []


@pytest.mark.parametrize("state", [MessageState.UNKNOWN, MessageState.ACCEPTED])
def test_nothing_is_asked_before_a_message_is_due_to_be_sent(
    world: World, state: MessageState
) -> None:
    """Before `sendAt` the logs know nothing, which means nothing."""
    world.add(state, send_at=world.clock.now + timedelta(days=5))

    assert world.run_after(days=5) == {}
    assert world.run_after(minutes=10)["Questions"] == 1


# --- Unknown outcomes: absent --------------------------------------------------------------


def test_message_is_quarantined_after_three_answers(world: World) -> None:
    """The answers are ten minutes apart, and the last question is for this message alone."""
    world.add(MessageState.UNKNOWN, "m-1")
    world.add(MessageState.UNKNOWN, "m-2")
    world.show("m-2", group_id=1, status_id=7, doneAt=None)
    world.run_after(minutes=10)
    world.add(MessageState.UNKNOWN, "m-3")
    assert world.run_after(minutes=9) == {}
    world.run_after(minutes=1)
    assert world.state() == "UNKNOWN"

    counts = world.run_after(minutes=10)

    assert counts["MessagesQuarantined"] == 1
    assert world.client.questions[-1] == ["m-1"]
    assert world.client.questions[-2] != ["m-1"]
    assert (world.state("m-1"), world.state("m-3")) == ("QUARANTINED", "UNKNOWN")


def test_row_that_shows_up_late_is_believed(world: World) -> None:
    """Two absences do not outweigh a row."""
    world.add(MessageState.UNKNOWN)
    world.run_after(minutes=10)
    world.run_after(minutes=10)
    world.show()
    world.run_after(minutes=10)

    assert world.state() == "DELIVERED"


def test_last_question_may_still_find_the_message(world: World) -> None:
    """A row that shows up between the group's question and the last one counts."""
    world.add(MessageState.UNKNOWN)
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    def appear() -> None:
        if len(world.client.questions) == 4:
            world.show()

    world.client.before_rows = appear
    counts = world.run_after(minutes=10)

    assert counts == {"Questions": 2, "MessagesSettled": 1}
    assert world.state() == "DELIVERED"


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow down", status=429),
        OutcomeUnknownError("no answer"),
        ParameterUnavailableError("SSM cannot be read"),
    ],
)
def test_failed_question_does_not_count(world: World, error: Exception) -> None:
    """Only answers say that a message is absent; the run ends and raises nothing."""
    world.add(MessageState.UNKNOWN)

    def fail() -> None:
        raise error

    world.client.before_rows = fail
    for _ in range(5):
        counts = world.run_after(minutes=10)
        assert counts == {"Questions": 1, "ReconciliationsFailed": 1}
    assert world.state() == "UNKNOWN"

    world.client.before_rows = lambda: None
    world.run_after(minutes=10)
    world.run_after(minutes=10)
    assert world.state() == "UNKNOWN"
    world.run_after(minutes=10)
    assert world.state() == "QUARANTINED"


def test_last_question_that_fails_is_asked_again(world: World) -> None:
    """Without an answer to it, nothing is decided."""
    world.add(MessageState.UNKNOWN)
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    def fail() -> None:
        if len(world.client.questions) == 4:
            raise OutcomeUnknownError("no answer")

    world.client.before_rows = fail
    world.run_after(minutes=10)
    assert world.state() == "UNKNOWN"

    world.run_after(minutes=5)
    assert world.state() == "QUARANTINED"


def absent(world: World) -> dict[str, int]:
    """Let three answers not mention the messages."""
    world.run_after(minutes=10)
    world.run_after(minutes=10)
    return world.run_after(minutes=10)


def test_message_that_must_arrive_is_handed_back(world: World) -> None:
    """The sender sends it again, with the same id, when its record comes round."""
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")

    assert absent(world)["MessagesSentAgain"] == 1
    assert world.state() == "WAITING"
    assert "absentAnswers" not in world.item()


def test_absences_are_counted_anew_after_another_attempt(world: World) -> None:
    """What the logs did not know of the first attempt says nothing of the second."""
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    absent(world)
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    assert world.state() == "UNKNOWN"
    assert world.item()["attempts"] == 2


def test_message_that_the_logs_may_have_forgotten_is_not_sent_again(world: World) -> None:
    """After 48 hours an absent row means nothing: an operator decides, whatever the policy."""
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    world.clock.pass_by(hours=48)

    assert absent(world)["MessagesQuarantined"] == 1
    assert world.state() == "QUARANTINED"


def test_late_loss_of_a_lease_does_not_hide_the_age_of_a_message(world: World) -> None:
    """What counts is when it may have been sent, not when somebody has noticed."""
    world.add(MessageState.CLAIMED, on_unknown="must-arrive")
    world.run_after(hours=48)
    assert world.state() == "UNKNOWN"

    absent(world)
    assert world.state() == "QUARANTINED"


def test_message_that_is_sent_later_is_not_old_before(world: World) -> None:
    """The 48 hours begin at `sendAt`, before which the logs cannot know the message."""
    send_at = world.clock.now + timedelta(days=5)
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive", send_at=send_at)
    world.clock.pass_by(days=5)

    assert absent(world)["MessagesSentAgain"] == 1


# --- Other people's messages ---------------------------------------------------------------


def test_row_of_an_address_that_does_not_compare_is_proof(world: World) -> None:
    """A push may be logged for a device that the message did not name."""
    world.add(MessageState.UNKNOWN)
    world.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    world.run_after(minutes=10)

    assert world.state() == "ACCEPTED"


def test_after_a_refused_id_only_a_row_for_the_recipient_is_proof(world: World) -> None:
    """It may be of the message that the id was refused for; nobody is sure, and nobody sends."""
    world.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    world.show(to="a-device", group_id=1, status_id=7, doneAt=None)
    for _ in range(3):
        world.run_after(minutes=10)

    assert world.state() == "QUARANTINED"


def test_row_that_cannot_be_read_proves_no_absence(world: World) -> None:
    """The message is there, so that it must not be sent again."""
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    world.client.unread_ids.add("m-1")
    for _ in range(4):
        world.run_after(minutes=10)

    assert world.state() == "UNKNOWN"


def test_row_of_another_recipient_proves_nothing(world: World) -> None:
    """Somebody else has used the id: this message is as absent as without the row."""
    world.add(MessageState.UNKNOWN)
    world.show(to="385998888888")

    counts = absent(world)

    assert counts == {"Questions": 2, "MessagesQuarantined": 1}
    assert world.state() == "QUARANTINED"


def test_id_that_another_message_has_is_refused(world: World) -> None:
    """Infobip has refused the id, and the logs show whose it is."""
    world.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    world.show(to="385998888888")

    assert world.run_after(minutes=10) == {"Questions": 1, "MessagesRejected": 1}
    assert (world.state(), world.item()["evidence"]) == ("REJECTED", "duplicate-id")


def test_refused_id_of_an_own_message_is_an_acceptance(world: World) -> None:
    """The logs show that it went to the same recipient."""
    world.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID)
    world.show(group_id=1, status_id=7, to=f"+{PHONE}", doneAt=None)
    world.run_after(minutes=10)

    assert world.state() == "ACCEPTED"


def test_row_of_a_refused_repeat_proves_no_acceptance(world: World) -> None:
    """That Infobip has refused the id says that this post was not accepted."""
    world.add(MessageState.UNKNOWN)
    world.show(group_id=5, status_id=23)
    world.run_after(minutes=10)

    assert world.state() == "UNKNOWN"


def test_refused_id_is_not_tried_again(world: World) -> None:
    """Infobip would refuse it once more, which would look like a proof of acceptance."""
    world.add(MessageState.UNKNOWN, evidence=Evidence.DUPLICATE_ID, on_unknown="must-arrive")

    assert absent(world)["MessagesQuarantined"] == 1
    assert world.state() == "QUARANTINED"


# --- Claims, waiting, accepted -------------------------------------------------------------


def test_lease_that_ran_out_makes_a_message_unknown(world: World) -> None:
    """Nobody knows whether its sender has sent it; the logs are asked ten minutes later."""
    world.add(MessageState.CLAIMED)

    assert world.run_after(minutes=10) == {"LeasesLost": 1}
    assert world.state() == "UNKNOWN"
    assert world.client.questions == []
    assert world.run_after(minutes=10)["Questions"] == 1


def test_message_whose_record_is_lost_is_counted(world: World) -> None:
    """A message that waits longer than any record lives will not be sent by anybody."""
    world.add(MessageState.WAITING)

    assert world.run_after(days=10) == {}
    assert world.run_after(days=1) == {"RecordsLost": 1}
    assert world.run_after(days=1) == {}
    assert (world.state(), world.item()["deadLetterReason"]) == ("WAITING", "LOST")


def test_accepted_message_is_asked_about_at_growing_intervals(world: World) -> None:
    """The gaps double up to six hours; after 48 hours the message is unresolved, once."""
    world.add(MessageState.ACCEPTED)
    began = world.clock.now
    asked: list[float] = []
    unresolved = 0
    for _ in range(60 * 6):
        counts = world.run_after(minutes=10)
        unresolved += counts.get("MessagesUnresolved", 0)
        if counts.get("Questions"):
            asked.append((world.clock.now - began) / timedelta(minutes=10))

    assert asked[:6] == [1, 2, 4, 8, 16, 32]
    gaps = [after - before for before, after in pairwise(asked)]
    assert max(gaps) == 36
    assert 46 * 6 <= asked[-1] <= 48 * 6
    assert unresolved == 1
    assert "unresolvedAt" in world.item()
    assert world.state() == "ACCEPTED"


def test_accepted_message_is_settled_by_the_logs(world: World) -> None:
    """What no report has told, the logs do."""
    world.add(MessageState.ACCEPTED)
    world.show()

    assert world.run_after(minutes=10) == {"Questions": 1, "MessagesSettled": 1}
    assert world.state() == "DELIVERED"


def test_accepted_message_is_never_sent_again(world: World) -> None:
    """Infobip has it: that the logs do not show it changes nothing."""
    world.add(MessageState.ACCEPTED, on_unknown="must-arrive")
    for _ in range(300):
        world.run_after(minutes=10)

    assert world.state() == "ACCEPTED"


def test_failure_in_an_unknown_flow_counts_when_all_is_quiet(world: World) -> None:
    """Where nobody knows the steps, a last failure is one that nothing has followed."""
    world.add(MessageState.ACCEPTED, steps=None)
    world.show(group_id=2, channel="PUSH", doneAt="2026-01-31T12:09:00.000+0000")
    world.run_after(minutes=10)
    assert world.state() == "ACCEPTED"

    world.run_after(minutes=10)
    assert world.state() == "UNDELIVERED"


# --- Many messages at once -----------------------------------------------------------------


def test_verdicts_of_one_answer_are_written_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
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
        world.add(MessageState.ACCEPTED, f"m-{number}")
        world.show(f"m-{number}")
    watch(world.reports, "record_logs")
    watch(world.ledger, "apply")
    watch(world.ledger.table, "execute")

    assert world.run_after(minutes=10) == {"Questions": 1, "MessagesSettled": 100}
    assert written == [("record_logs", 100), ("apply", 100), ("execute", 100)]
    assert set(world.ledger.states().values()) == {"DELIVERED"}
    assert len(world.ledger.table.entries("LOG#")) == 100


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
    assert checks["asked about in 6 hours"] == to_text(began + timedelta(hours=6))
    assert checks["asked about in 2 hours"] == to_text(began + timedelta(hours=2))
    assert checks["unreadable"] == checks["absent"] == to_text(began + timedelta(minutes=10))
    absences = {kind: item.get("absentAnswers") for kind, item in together.items()}
    assert (absences["unreadable"], absences["absent"], absences["quarantined"]) == (0, 1, 2)


def ends_of(*kinds: str) -> tuple[dict[str, Item], Counter[str]]:
    """Let one question be asked about messages; return what they are then, and the counts."""
    world = new_world()
    began = world.clock.now + timedelta(hours=47)
    for kind in kinds:
        age, state, evidence, shown = KINDS[kind]
        world.clock.now = began - timedelta(hours=age)
        world.add(state, kind, evidence)
        if shown is not None:
            world.show(kind, **shown)
    world.clock.now = began
    world.client.unread_ids.add("unreadable")
    for _ in range(2 * ("quarantined" in kinds)):
        world.ledger.change(
            transitions.check_postponed, world.item("quarantined"), began, absent=True
        )
    counts = Counter(world.run())
    assert counts.pop("Questions") == 1 + ("quarantined" in kinds)
    # Tokens are random.
    return {kind: world.item(kind) | {"claimToken": ""} for kind in kinds}, counts


# --- Limits --------------------------------------------------------------------------------


def test_messages_are_asked_about_together(world: World) -> None:
    """A hundred fit into one question."""
    for number in range(150):
        world.add(MessageState.UNKNOWN, f"m-{number}")
    world.run_after(minutes=10)

    assert sorted(map(len, world.client.questions)) == [50, 100]


def test_answer_has_room_for_all_steps(world: World) -> None:
    """Where flows are unknown, fewer messages go into a question."""
    for number in range(150):
        world.add(MessageState.UNKNOWN, f"m-{number}", steps=None)
    world.run_after(minutes=10)

    assert max(map(len, world.client.questions)) < 100


def test_cut_answer_proves_no_absence(world: World) -> None:
    """A full page may have left out just the row in question."""
    world.add(MessageState.UNKNOWN, "m-1")
    world.add(MessageState.UNKNOWN, "m-2")
    for _ in range(1000):
        world.show("m-2", group_id=1, status_id=7, doneAt=None)
    world.show("m-1", group_id=1, status_id=7, doneAt=None)
    for _ in range(4):
        world.run_after(minutes=10)

    assert world.ledger.states() == {"m-1": "ACCEPTED", "m-2": "ACCEPTED"}


def test_cut_answer_about_one_message_proves_no_absence(world: World) -> None:
    """Rows of others under its id may have pushed its own row out."""
    world.add(MessageState.UNKNOWN)
    for _ in range(1000):
        world.show(to="385998888888")
    for _ in range(4):
        world.run_after(minutes=10)

    assert world.state() == "UNKNOWN"


def test_flood_of_rows_hides_its_neighbours_only_once(world: World) -> None:
    """After an answer that was cut, each half of the group is asked about by itself."""
    for number in range(8):
        world.add(MessageState.ACCEPTED, f"m-{number}")
        world.show(f"m-{number}")
    for _ in range(1000):
        world.client.rows.insert(0, row("m-3", group_id=1, status_id=7, doneAt=None))
    world.run_after(minutes=10)

    states = world.ledger.states()
    assert {name for name, state in states.items() if state != "DELIVERED"} == {"m-3"}
    assert len(world.client.questions) == 1 + 2 + 2 + 2


def test_question_about_long_ids_still_takes_one_call(world: World) -> None:
    """Else the limit of questions a minute, and the time of the run, would not be kept."""
    for number in range(40):
        world.add(MessageState.ACCEPTED, f"{number:03d}" + "ü" * 90)
    world.run_after(minutes=10)

    lengths = [sum(map(log_query_length, ids)) for ids in world.client.questions]
    assert sum(map(len, world.client.questions)) == 40
    assert max(lengths) <= LONGEST_LOG_QUERY < sum(lengths)


def test_run_asks_no_more_than_its_share(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Infobip's limit is shared with other runs and people; the rest is done next time."""
    monkeypatch.setattr(app, "IDS_PER_QUESTION", 1)
    for number in range(120):
        world.add(MessageState.ACCEPTED, f"m-{number}")
        world.show(f"m-{number}")

    assert world.run_after(minutes=10)["Questions"] == 100
    assert world.run_after(minutes=1)["Questions"] == 20
    assert set(world.ledger.states().values()) == {"DELIVERED"}


def test_last_questions_are_within_the_share(world: World) -> None:
    """Absent messages cost a question each, and those that are left over cost nothing more."""
    for number in range(120):
        world.add(MessageState.UNKNOWN, f"m-{number}")
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    assert world.run_after(minutes=10)["Questions"] == 100
    counts = world.run_after(minutes=1)
    assert set(world.ledger.states().values()) == {"QUARANTINED"}
    assert counts["Questions"] < 100


def test_nothing_is_asked_without_the_time_for_the_answer(world: World) -> None:
    """The function must not be ended between an answer and what is made of it."""
    world.add(MessageState.UNKNOWN)
    world.seconds_left = 50.0

    assert world.run_after(minutes=10) == {}
    world.seconds_left = 52.0
    assert world.run() == {"Questions": 1}


# --- Runs at once, and what cannot be reached ----------------------------------------------


def test_overlapping_runs_count_an_absence_once(world: World) -> None:
    """Both have read the message; one of them counts the answer, and both got one."""
    world.add(MessageState.UNKNOWN)

    def overtake() -> None:
        world.client.before_rows = lambda: None
        world.run()

    world.client.before_rows = overtake
    world.run_after(minutes=10)

    assert len(world.client.questions) == 2
    assert world.item()["absentAnswers"] == 1


def test_overlapping_runs_decide_once(world: World) -> None:
    """Only one of them hands the message back, and the other leaves the new claim alone."""
    world.add(MessageState.UNKNOWN, on_unknown="must-arrive")
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    def overtake() -> None:
        if len(world.client.questions) == 4:
            world.client.before_rows = lambda: None
            assert world.run()["MessagesSentAgain"] == 1
            world.add(MessageState.CLAIMED, on_unknown="must-arrive")

    world.client.before_rows = overtake
    counts = world.run_after(minutes=10)

    assert counts["MessagesSentAgain"] == 0
    assert world.state() == "CLAIMED"


def test_report_during_the_question_wins(world: World) -> None:
    """A message that is settled meanwhile is not quarantined."""
    world.add(MessageState.UNKNOWN)
    world.run_after(minutes=10)
    world.run_after(minutes=10)

    def settle() -> None:
        if len(world.client.questions) == 4:
            entry = json.loads(row().model_dump_json(by_alias=True))
            world.reports.record([entry])

    world.client.before_rows = settle
    counts = world.run_after(minutes=10)

    assert counts["MessagesQuarantined"] == 0
    assert world.state() == "DELIVERED"


@pytest.mark.parametrize("method", ["query", "get_all", "put_all", "execute"])
def test_unavailable_table_ends_the_run(world: World, method: str) -> None:
    """What was not written is done by the next run."""
    world.add(MessageState.UNKNOWN)
    world.show()
    world.ledger.table.failures[method] = 1

    assert world.run_after(minutes=10)["ReconciliationsFailed"] == 1
    assert world.state() == "UNKNOWN"
    world.run()
    assert world.state() == "DELIVERED"


def test_abandoned_pages_are_recorded(world: World) -> None:
    """A page that a killed pull has left behind settles its messages without a question."""
    world.add(MessageState.ACCEPTED)
    entry = json.loads(row().model_dump_json(by_alias=True))
    world.reports.store_page(json.dumps({"results": [entry]}).encode())

    assert world.run_after(minutes=20) == {}
    assert world.item()["evidence"] == "report"
    assert world.state() == "DELIVERED"


# --- The handler ---------------------------------------------------------------------------


def test_handler_tells_what_was_done(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """Answer, log line and metrics hold counts, and nothing personal."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    began = datetime.now(world.clock.now.tzinfo)
    world.clock.now = began - timedelta(hours=1)
    world.add(MessageState.UNKNOWN)
    world.clock.now = began
    world.show()

    assert app.lambda_handler({}, CONTEXT) == {"Questions": 1, "MessagesSettled": 1}
    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = [json.loads(line) for line in text.splitlines() if "_aws" in line]
    assert (numbers["Questions"], numbers["MessagesSettled"]) == ([1.0], [1.0])


def test_trouble_is_told_without_infobips_words(world: World, printed: Printed) -> None:
    """They may quote the request."""
    world.add(MessageState.UNKNOWN)

    def fail() -> None:
        raise OutcomeUnknownError("no answer", status=500, text=f"{PHONE} {TEXT}")

    world.client.before_rows = fail
    world.run_after(minutes=10)

    text = printed()
    assert "the logs cannot be asked" in text
    assert PHONE not in text
    assert "canary" not in text


def counted(world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed) -> dict[str, Any]:
    """Let the function run, and return the metrics that it wrote."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    monkeypatch.setattr(app.reconcile_messages, "__defaults__", (world.clock,))
    app.lambda_handler({}, CONTEXT)
    written = [json.loads(line) for line in printed().splitlines() if "_aws" in line]
    return written[-1] if written else {}


def test_run_without_trouble_is_a_sign_of_life(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """An alarm misses it, though nothing was due."""
    assert counted(world, monkeypatch, printed)["ReconciliationsSucceeded"] == [1.0]


def test_run_that_fails_is_no_sign_of_life(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """Infobip refuses the credentials: the run counts as failed, and the account as refused."""
    world.add(MessageState.UNKNOWN)
    world.clock.pass_by(minutes=11)

    def refuse() -> None:
        raise AuthenticationError("not let in", status=401)

    world.client.before_rows = refuse

    written = counted(world, monkeypatch, printed)

    assert "ReconciliationsSucceeded" not in written
    assert (written["ReconciliationsFailed"], written["AccountRefusals"]) == ([1.0], [1.0])


def test_every_run_counts_what_waits_for_an_operator(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """A quarantined message is counted until it is decided, so that its alarm stays on."""
    world.add(MessageState.UNKNOWN)
    for _ in range(3):
        world.run_after(minutes=11)
    assert world.state() == MessageState.QUARANTINED

    for _ in range(2):
        assert counted(world, monkeypatch, printed)["MessagesInQuarantine"] == [1.0]
    world.ledger.change(
        transitions.closed, world.item(), "ada", "no longer needed", world.ledger.clock()
    )
    assert "MessagesInQuarantine" not in counted(world, monkeypatch, printed)


def test_log_row_that_refuses_the_account_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """The credit is used up: that concerns all messages that follow."""
    world.add(MessageState.ACCEPTED)
    world.show(group_id=5, status_id=12)
    world.clock.pass_by(minutes=11)

    assert counted(world, monkeypatch, printed)["AccountRefusals"] == [1.0]
