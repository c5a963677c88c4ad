"""A refusal that ends keeps the content, and nothing that is known of it decides about the message.

Sender, reconciler and reports work on one ledger here, with one Infobip in memory.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.reconcile_messages.app import Dependencies as ReconcileDependencies
from functions.reconcile_messages.app import reconcile_messages
from functions.send_message import app
from functions.send_message.app import Dependencies, Policy, send_messages
from infobip_omni import transitions
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import AuthenticationError, OutcomeUnknownError, RefusedUnreadError
from infobip_omni.api.reports import LogEntry, Status, StatusGroup
from infobip_omni.api.scenarios import ScenarioStep
from infobip_omni.circuit_breaker import CircuitBreaker, CircuitBreakers
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.log_query_limiter import LogQueryLimiter
from infobip_omni.observability import metrics
from infobip_omni.scenario_registry import RegisteredScenario
from infobip_omni.send_queue import Record
from infobip_omni.statuses import REFUSALS, RefusalKind, Scope
from infobip_omni.timestamps import format_utc
from tests.fakes import (
    Clock,
    FakeClient,
    FakeLedger,
    FakeScenarioRegistry,
    FakeSendQueue,
    FakeTable,
    accept_all,
    answer_to,
)

from .conftest import PHONE, TEXT, page_of, report_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from infobip_omni.api.sends import AdvancedRequest, SendResponse
    from infobip_omni.dynamodb import Item

NO_CREDIT = Status(group_id=5, id=12, name="REJECTED_NOT_ENOUGH_CREDITS")
FLOODING = Status(group_id=5, id=20, name="REJECTED_FLOODING_FILTER")
DUPLICATE = Status(group_id=5, id=23, name="REJECTED_DUPLICATE_MESSAGE_ID")
LEASE = timedelta(seconds=120)
#: Longer than the longest backoff of the circuits, and than a lease.
BACKOFF = timedelta(minutes=3)


def scenario(name: str) -> RegisteredScenario:
    return RegisteredScenario(
        key=f"key-{name}",
        name=name,
        flow=(
            ScenarioStep(sender="acme-app", channel=Channel.PUSH),
            ScenarioStep(sender="Acme", channel=Channel.SMS),
        ),
        default=False,
    )


@dataclass
class World:
    """The functions and Infobip, in memory."""

    clock: Clock = field(default_factory=Clock)
    client: FakeClient = field(default_factory=FakeClient)
    queue: FakeSendQueue = field(default_factory=FakeSendQueue)
    #: The caller's own bulk id, if it has one.
    bulk_id: str | None = None
    on_unknown: str = "never-duplicate"

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.clock)
        self.reports = DeliveryReports(self.ledger.table, self.ledger, self.clock)
        self.sender = Dependencies(
            client=self.client,
            scenarios=FakeScenarioRegistry(scenario("otp"), scenario("news")),
            ledger=self.ledger,
            queue=self.queue,
            breaker=CircuitBreaker(self.clock.seconds),
            policy=Policy(LEASE, "never-duplicate"),
            scenario_breakers=CircuitBreakers(self.clock.seconds),
        )

    def lose(self) -> None:
        """Send, and lose Infobip's answer; three log queries then show nothing of the message."""
        self.client.answer = lost
        self.send()
        for _ in range(3):
            self.reconcile()

    def record(self, number: int = 1, **changes: object) -> Record:
        body: dict[str, object] = {
            "scenario": "otp",
            "messageId": f"m-{number}",
            "to": {"phoneNumber": PHONE},
            "push": {"text": TEXT},
            "sms": {"text": TEXT},
            "onUnknown": self.on_unknown,
        }
        if self.bulk_id:
            body["bulkId"] = self.bulk_id
        return Record(
            sqs_id=f"record-{number}",
            original_id=f"record-{number}",
            receipt_handle="",
            body=json.dumps(body | changes),
            sent_at=self.clock.now,
            receive_count=1,
        )

    def send(self, *records: Record) -> list[str]:
        """Run the sender, by default on one record; return the ids of the failed ones."""
        failed = send_messages(records or [self.record()], self.sender, lambda: 60.0)
        return [each.sqs_id for each in failed]

    def refuse(self, status: Status = NO_CREDIT) -> None:
        """Send the message while Infobip refuses it, and wait out the backoff."""
        self.client.answer = lambda request: answer_to(request, status)
        assert self.send() == ["record-1"]
        self.clock.now += BACKOFF

    def reconcile(self) -> dict[str, int]:
        self.clock.now += max(self.ledger.check_after, LEASE)
        limiter = LogQueryLimiter(FakeTable(), self.clock, lambda _: None)
        deps = ReconcileDependencies(self.client, self.ledger, self.reports, limiter)
        return reconcile_messages(deps, lambda: 300.0, self.clock).answer()

    def item(self, number: int = 1) -> Item:
        return self.ledger.item(f"m-{number}")

    def state(self, number: int = 1) -> str:
        return str(self.item(number)["state"])

    def posts(self) -> list[str | None]:
        """Return the bulk ids of all posts."""
        return [request.bulk_id for request in self.client.sent]

    def row(self, post: int, status: Status = NO_CREDIT, **changes: object) -> dict[str, Any]:
        """Build a report or log row about a post, which happened a second after the last claim."""
        done_at = format_utc(self.clock.now + timedelta(seconds=1))
        row = report_of("m-1", bulkId=self.posts()[post], sentAt=done_at, doneAt=done_at)
        return row | {"status": status.model_dump(by_alias=True)} | changes

    def report(self, row: dict[str, Any], bulk_id: str | None = None) -> None:
        self.reports.record_body(page_of(row), bulk_id)

    def show(self, row: dict[str, Any]) -> None:
        """Add a row to the logs."""
        self.client.rows.append(LogEntry.model_validate(row))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(app, "utc_now", world.clock)
    return world


class Killed(BaseException):
    """The run was killed."""


def lost(_: AdvancedRequest) -> SendResponse:
    raise OutcomeUnknownError("no answer")


def counted() -> dict[str, list[float]]:
    """Return the metrics since the last call."""
    names = {name: values["Value"] for name, values in metrics.metric_set.items()}
    metrics.clear_metrics()
    return names


# --- The answer to the send ------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [each for each in REFUSALS if each.ends], ids=lambda r: r.name)
def test_refusal_that_ends_keeps_the_content_until_it_has(world: World, refusal: Any) -> None:  # noqa: ANN401
    """The record waits by backoff, the item says why, and the message is then sent once."""
    world.refuse(Status(group_id=5, id=refusal.id, name=refusal.name))

    item = world.item()
    assert (item["state"], item["evidence"]) == ("WAITING", "response")
    assert item["status"] == {"groupId": 5, "id": refusal.id, "name": refusal.name}
    assert item["refusedBulkIds"] == {str(refusal.id): world.posts()}
    assert world.queue.delays["record-1"] <= timedelta(seconds=5)
    assert world.queue.dead == []
    written = counted()
    assert written["RefusalsThatEnd"] == [1.0]
    is_account = refusal.kind is RefusalKind.ACCOUNT
    assert written.get("AccountRefusals") == ([1.0] if is_account else None)

    world.client.answer = accept_all
    assert world.send() == []

    item = world.item()
    assert (item["state"], item["attempts"]) == ("ACCEPTED", 2)
    assert "status" not in item
    assert item["bulkId"] == world.posts()[1] != world.posts()[0]
    assert item["refusedBulkIds"] == {str(refusal.id): world.posts()[:1]}


@pytest.mark.parametrize("refusal", [r for r in REFUSALS if not r.ends], ids=lambda r: r.name)
def test_refusal_for_good_is_the_outcome(world: World, refusal: Any) -> None:  # noqa: ANN401
    world.client.answer = lambda request: answer_to(
        request, Status(group_id=5, id=refusal.id, name=refusal.name)
    )

    assert world.send() == (["record-1"] if refusal.id == DUPLICATE.id else [])
    assert world.state() == ("UNKNOWN" if refusal.id == DUPLICATE.id else "REJECTED")
    assert "refusedBulkIds" not in world.item()
    assert not counted().keys() & {"RefusalsThatEnd", "RefusalsUnlisted", "AccountRefusals"}


def test_unlisted_refusal_is_for_good_and_counted(world: World) -> None:
    world.client.answer = lambda request: answer_to(request, Status(group_id=5, id=12345))

    assert world.send() == []
    assert world.state() == "REJECTED"
    assert counted()["RefusalsUnlisted"] == [1.0]


def test_item_keeps_every_refused_attempt(world: World) -> None:
    """Under each status, with the number of the last one, which only the code needs."""
    for status in (NO_CREDIT, NO_CREDIT, FLOODING):
        world.refuse(status)

    first, second, third = world.posts()
    item = world.item()
    assert item["refusedBulkIds"] == {"12": [first, second], "20": [third]}
    assert (item["refusedAttempt"], item["attempts"]) == (3, 3)
    assert item["bulkId"] == third


def test_callers_own_bulk_id_is_kept_once(world: World) -> None:
    world.bulk_id = "own"
    for _ in range(3):
        world.refuse()

    assert world.item()["refusedBulkIds"] == {"12": ["own"]}


def test_answer_that_contradicts_itself_is_no_refusal(world: World) -> None:
    """One entry refuses the message and another accepts it: whether it was sent is unknown."""

    def answer(request: AdvancedRequest) -> SendResponse:
        refused = answer_to(request, NO_CREDIT)
        both = (*refused.messages, *accept_all(request).messages)
        return refused.model_copy(update={"messages": both})

    world.client.answer = answer
    world.send()

    assert world.state() == "UNKNOWN"


def test_expired_message_leaves_no_refusals_to_the_next_with_its_id(world: World) -> None:
    world.refuse()
    world.ledger.alter("m-1", expiresAt=int(world.clock.now.timestamp()))
    world.client.answer = accept_all
    world.send()

    assert not world.item().keys() & {"refusedBulkIds", "refusedAttempt", "earlierBulkIds"}


# --- One message probes ----------------------------------------------------------------------


def different(world: World, number: int, **changes: object) -> Record:
    """Build a record that is sent in a request of its own."""
    return world.record(number, sms={"text": f"text {number}"}, **changes)


@pytest.mark.parametrize("status_id", [each.id for each in REFUSALS if each.scope is Scope.ACCOUNT])
def test_one_message_probes_while_the_account_is_refused(world: World, status_id: int) -> None:
    """The first refusal stops the rest, which says why it waits; backoffs grow to a minute."""
    status = Status(group_id=5, id=status_id)
    world.client.answer = lambda request: answer_to(request, status)
    world.send(different(world, 1))

    assert world.send(different(world, 2)) == ["record-2"]
    assert world.ledger.states() == {"m-1": "WAITING"}
    waits = []
    for number in itertools.count(3):
        waits.append(world.sender.breaker.retry_in_seconds())
        if len(waits) == 6:
            break
        world.clock.pass_by(seconds=waits[-1])
        batch = [different(world, number), different(world, 100 + number)]
        assert len(world.send(*batch)) == 2

    assert waits == [5, 10, 20, 40, 60, 60]
    assert len(world.client.sent) == 6
    assert all(world.item(number)["status"]["id"] == status_id for number in (3, 103, 7, 107))

    world.clock.pass_by(seconds=60)
    world.client.answer = accept_all
    assert world.send(*(different(world, number) for number in (1, 3))) in ([], ["record-3"])
    assert world.send(*(different(world, number) for number in (1, 2, 3, 103))) == []


def test_probe_of_a_large_request_is_its_first_message(world: World) -> None:
    """A hundred messages of one content are not all refused again to find out."""
    destinations = [
        {"messageId": f"d-{number}", "to": {"phoneNumber": str(10**10 + number)}}
        for number in range(20)
    ]
    event = {"to": None, "messageId": None, "destinations": destinations}
    record = world.record(1, **event)
    body = {name: value for name, value in json.loads(record.body).items() if value is not None}
    record = replace(record, body=json.dumps(body))
    world.client.answer = lambda request: answer_to(request, NO_CREDIT)
    world.send(record)
    world.clock.pass_by(seconds=5)
    world.send(record)
    assert [len(request.destinations) for request in world.client.sent] == [20, 1]
    assert set(world.ledger.states().values()) == {"WAITING"}

    world.clock.pass_by(seconds=10)
    world.client.answer = accept_all
    assert world.send(record) == []
    assert [len(request.destinations) for request in world.client.sent] == [20, 1, 1, 19]


@pytest.mark.parametrize(
    "status_id", [each.id for each in REFUSALS if each.scope is Scope.SCENARIO]
)
def test_refused_sender_delays_no_other_scenario(world: World, status_id: int) -> None:
    refused = Status(group_id=5, id=status_id)

    def answer(request: AdvancedRequest) -> SendResponse:
        is_news = request.scenario_key == "key-news"
        return answer_to(request, refused) if is_news else accept_all(request)

    world.client.answer = answer
    world.send(different(world, 1, scenario="news"))

    assert world.send(different(world, 2, scenario="news")) == ["record-2"]
    assert "m-2" not in world.ledger.states()
    assert world.send(different(world, 3)) == []
    world.clock.pass_by(seconds=5)
    assert world.send(different(world, 2, scenario="news"), different(world, 4)) == ["record-2"]
    assert world.send(different(world, 5, scenario="news"), different(world, 6)) == ["record-5"]

    world.clock.pass_by(seconds=10)
    world.client.answer = accept_all
    assert world.send(*(different(world, n, scenario="news") for n in (1, 2, 5))) in (
        [],
        ["record-1", "record-2"],
        ["record-1", "record-5"],
        ["record-2", "record-5"],
    )
    assert world.send(*(different(world, n, scenario="news") for n in (1, 2, 5))) == []


@pytest.mark.parametrize(
    "status_id", [each.id for each in REFUSALS if each.scope is Scope.MESSAGE and each.ends]
)
def test_refusal_of_one_recipient_delays_no_other_message(world: World, status_id: int) -> None:
    refused = Status(group_id=5, id=status_id)
    world.client.answer = lambda request: answer_to(request, refused)
    world.send(*(different(world, number) for number in range(1, 7)))

    assert len(world.client.sent) == 6
    world.client.answer = accept_all
    assert world.send(different(world, 7)) == []


# --- A refusal that is not about the content -------------------------------------------------


def test_answer_of_another_server_keeps_the_content(world: World) -> None:
    """The message waits, says why, and goes out when the URL is right."""

    def not_found(_: AdvancedRequest) -> SendResponse:
        raise RefusedUnreadError("the answer does not refuse the content", status=404)

    world.client.answer = not_found
    assert world.send() == ["record-1"]

    item = world.item()
    assert (item["state"], item["status"]) == ("WAITING", {"httpStatus": 404})
    assert "refusedBulkIds" not in item
    written = counted()
    assert written["SendsRefusedUnread"] == [1.0]
    assert "AccountRefusals" not in written

    world.client.answer = accept_all
    assert world.send() == []
    assert "status" not in world.item()


def test_refused_credentials_are_named_in_the_item(world: World) -> None:
    def refused(_: AdvancedRequest) -> SendResponse:
        raise AuthenticationError("no", status=401, error_id="UNAUTHORIZED", text="Invalid login")

    world.client.answer = refused
    world.send()

    assert world.item()["status"] == {
        "httpStatus": 401,
        "name": "UNAUTHORIZED",
        "description": "Invalid login",
    }


# --- Rows and reports of refused attempts ----------------------------------------------------

MOMENTS = ("waiting", "claimed", "saved", "asked once", "asked twice")
OUTCOMES = ("accepted", "duplicate", "lost", "lost and accepted", "killed", "refused")


def play(  # noqa: PLR0913 (one story)
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    inject: Callable[[World, dict[str, Any]], None] | None,
    moment: str,
    *,
    bulk_id: str | None,
    on_unknown: str,
    **changes: Any,  # noqa: ANN401 (members of a row)
) -> World:
    """Refuse a message once, try it again, and ask the logs until they have decided.

    Args:
        monkeypatch: Sets the sender's clock.
        outcome: What becomes of the second attempt.
        inject: Shows a row of the refused attempt; None shows none.
        moment: When it does.
        bulk_id: The caller's own bulk id, if any.
        on_unknown: The policy of the event.
        changes: Members of the row.
    """
    world = World(bulk_id=bulk_id, on_unknown=on_unknown)
    monkeypatch.setattr(app, "utc_now", world.clock)
    world.client.answer = lambda request: answer_to(request, NO_CREDIT)
    world.send()
    row = world.row(0, **changes)

    def now(reached: str) -> None:
        if inject and moment == reached:
            inject(world, row)

    now("waiting")
    world.clock.now += BACKOFF

    def second(request: AdvancedRequest) -> SendResponse:
        now("claimed")
        if outcome == "lost and accepted":
            world.show(world.row(1, Status(group_id=3, id=5), channel="PUSH"))
        if outcome == "killed":
            raise Killed
        if outcome.startswith("lost"):
            raise OutcomeUnknownError("no answer")
        return answer_to(request, statuses[outcome])

    statuses = {
        "accepted": Status(group_id=StatusGroup.PENDING, id=7),
        "duplicate": DUPLICATE,
        "refused": NO_CREDIT,
    }
    world.client.answer = second
    try:
        world.send()
    except Killed:
        world.clock.now += LEASE
        world.send()
    now("saved")
    for reached in ("asked once", "asked twice", "asked for the last time"):
        world.reconcile()
        now(reached)
    world.client.answer = accept_all
    world.send()
    return world


def by_report(world: World, row: dict[str, Any]) -> None:
    world.report(row)


def by_webhook(world: World, row: dict[str, Any]) -> None:
    world.report({**row, "bulkId": None}, bulk_id=str(row["bulkId"]))


def by_logs(world: World, row: dict[str, Any]) -> None:
    world.show(row)


@functools.cache
def play_without_a_row(outcome: str, bulk_id: str | None, on_unknown: str) -> World:
    """Return how the same story ends if no row is shown; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        return play(patch, outcome, None, "", bulk_id=bulk_id, on_unknown=on_unknown)


@pytest.mark.parametrize("bulk_id", [None, "own"])
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize(
    ("source", "channel", "on_unknown"),
    [
        (by_report, "PUSH", "never-duplicate"),
        pytest.param(by_report, "SMS", "never-duplicate", marks=pytest.mark.thorough),
        (by_webhook, "SMS", "must-arrive"),
        pytest.param(by_logs, "PUSH", "must-arrive", marks=pytest.mark.thorough),
        pytest.param(by_logs, "SMS", "never-duplicate", marks=pytest.mark.thorough),
        (by_logs, "SMS", "must-arrive"),
    ],
)
def test_row_of_a_refused_attempt_changes_nothing_at_any_moment(  # noqa: PLR0913
    *,
    monkeypatch: pytest.MonkeyPatch,
    source: Callable[[World, dict[str, Any]], None],
    channel: str,
    outcome: str,
    bulk_id: str | None,
    on_unknown: str,
) -> None:
    """The message ends as if there were no such row, and is posted as often; the row is kept."""
    expected = play_without_a_row(outcome, bulk_id, on_unknown)

    for moment in MOMENTS:
        world = play(
            monkeypatch,
            outcome,
            source,
            moment,
            bulk_id=bulk_id,
            on_unknown=on_unknown,
            channel=channel,
        )

        assert world.state() == expected.state()
        assert len(world.posts()) == len(expected.posts())
        assert [each[1] for each in world.queue.dead] == [each[1] for each in expected.queue.dead]
        assert world.item().get("deadLetterReason") == expected.item().get("deadLetterReason")
        if source is not by_logs:
            (kept,) = world.ledger.table.entries(f"REPORT#{channel}#12#")
            assert kept["messageId"] == "m-1"


@pytest.mark.parametrize("source", [by_report, by_logs])
@pytest.mark.parametrize("channel", [pytest.param("PUSH", marks=pytest.mark.thorough), "SMS"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_row_without_a_time_decides_nothing_under_the_callers_bulk_id(
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
    channel: str,
    source: Callable[[World, dict[str, Any]], None],
) -> None:
    """It may be of the refused attempt or of the last one, so it neither settles nor proves."""
    expected = play_without_a_row(outcome, "own", "never-duplicate")

    for moment in MOMENTS:
        world = play(
            monkeypatch,
            outcome,
            source,
            moment,
            bulk_id="own",
            on_unknown="never-duplicate",
            channel=channel,
            sentAt=None,
            doneAt=None,
        )
        assert world.state() == expected.state()
        assert len(world.posts()) == len(expected.posts())


@pytest.mark.parametrize("moment", ["waiting", "saved", "asked once", "asked twice"])
@pytest.mark.parametrize("outcome", ["lost", "killed"])
def test_message_with_an_undecided_row_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, outcome: str, moment: str
) -> None:
    """The row may be the last attempt's, of which nothing else is known."""
    world = play(
        monkeypatch,
        outcome,
        lambda world, row: world.show(row),
        moment,
        bulk_id="own",
        on_unknown="must-arrive",
        sentAt=None,
        doneAt=None,
    )

    assert world.state() == "QUARANTINED"
    assert len(world.posts()) == 2


def test_undecided_row_counts_although_it_is_gone_again(world: World) -> None:
    """What an answer has shown is remembered until the last one."""
    world.bulk_id, world.on_unknown = "own", "must-arrive"
    world.refuse()
    world.client.answer = lost
    world.send()
    world.show(world.row(0, sentAt=None, doneAt=None))
    world.reconcile()
    world.client.rows.clear()
    for _ in range(2):
        world.reconcile()

    assert world.state() == "QUARANTINED"


def test_log_rows_of_refused_attempts_are_kept(world: World) -> None:
    world.refuse()
    world.client.answer = lost
    world.show(world.row(0))
    world.send()
    world.reconcile()

    (kept,) = world.ledger.table.entries("LOG#SMS#12#")
    assert kept["messageId"] == "m-1"
    assert world.state() == "UNKNOWN"
    assert world.item()["absentAnswers"] == 1


def test_row_of_a_refused_attempt_rings_no_alarm_again(world: World) -> None:
    """The credit is back by the time it comes."""
    world.refuse()
    recorded = world.reports.record_body(page_of(world.row(0)))
    unlisted = world.row(0, Status(group_id=5, id=12345))

    assert recorded.account_refusals == 0
    assert world.reports.record_body(page_of(unlisted)).unlisted_refusals == 0


# --- What is said of an accepted attempt still counts ----------------------------------------


@pytest.mark.parametrize("bulk_id", [None, "own"])
@pytest.mark.parametrize("source", [by_report, by_webhook, by_logs])
@pytest.mark.parametrize(("channel", "state"), [("SMS", "REJECTED"), ("PUSH", "ACCEPTED")])
def test_accepted_message_may_be_rejected_for_credit_later(
    *,
    world: World,
    bulk_id: str | None,
    source: Callable[[World, dict[str, Any]], None],
    channel: str,
    state: str,
) -> None:
    """The status alone is no criterion."""
    world.bulk_id = bulk_id
    world.refuse()
    world.client.answer = accept_all
    world.send()
    source(world, world.row(1, channel=channel))
    world.clock.now += timedelta(hours=2)
    world.reconcile()

    assert world.state() == state


def test_first_attempt_may_be_rejected_for_credit_by_report(world: World) -> None:
    world.send()
    world.report(world.row(0))

    assert world.state() == "REJECTED"


def test_refusal_in_a_report_waits_for_the_answer_to_the_send(world: World) -> None:
    """The report comes before the answer that says the same."""

    def answer(request: AdvancedRequest) -> SendResponse:
        for channel in ("SMS", "PUSH"):
            world.report(world.row(0, channel=channel))
        return answer_to(request, NO_CREDIT)

    world.client.answer = answer

    assert world.send() == ["record-1"]
    assert world.state() == "WAITING"


def test_refusal_in_a_report_is_judged_again_if_the_message_has_changed(world: World) -> None:
    """The message was read UNKNOWN, and is claimed for a third time when the report is written."""
    world.on_unknown = "must-arrive"
    world.client.answer = lost
    world.send()
    late = world.row(0)
    for _ in range(3):
        world.reconcile()

    def send() -> None:
        world.client.answer = accept_all
        world.send()

    world.ledger.table.before_execute = send
    world.report(late)

    # Judged again, it is about an attempt that may have been accepted.
    assert world.state() == "REJECTED"
    assert len(world.posts()) == 2
    assert world.item()["attempts"] == 2


def test_refusal_saved_between_read_and_write_of_its_report_wins(world: World) -> None:
    """Between both, the answer to the attempt has marked it as refused."""
    world.refuse()
    # As it was while the outcome was unknown.
    marks = {
        name: world.item()[name] for name in ("refusedBulkIds", "refusedAttempt", "claimToken")
    }
    world.ledger.alter(
        "m-1", state="UNKNOWN", refusedBulkIds=None, refusedAttempt=None, claimToken="earlier"
    )

    def mark() -> None:
        world.ledger.alter("m-1", state="WAITING", **marks)

    world.ledger.table.before_execute = mark
    world.report(world.row(0))

    assert world.state() == "WAITING"


def test_late_report_of_an_earlier_attempt_is_its_own_at_the_webhook(world: World) -> None:
    """It was sent again since, under another bulk id."""
    world.on_unknown = "must-arrive"
    world.lose()
    world.client.answer = accept_all
    world.send()
    first, second = world.posts()
    assert world.item()["earlierBulkIds"] == [first]
    assert first != second

    delivered = world.row(0, Status(group_id=3, id=5))
    recorded = world.reports.record_body(page_of(delivered), str(first))

    assert (recorded.foreign, recorded.settled) == (0, 1)
    assert world.state() == "DELIVERED"
    assert world.reports.record_body(page_of(delivered), "another").foreign == 1


def test_report_of_a_refused_attempt_is_not_foreign_to_the_webhook(world: World) -> None:
    world.refuse()
    world.client.answer = accept_all
    world.send()

    recorded = world.reports.record_body(page_of(world.row(0)), str(world.posts()[0]))

    assert recorded.foreign == 0
    assert world.state() == "ACCEPTED"


# --- Refused as a duplicate ------------------------------------------------------------------


def duplicate(world: World) -> None:
    """Refuse the message, and then its id."""
    world.refuse()
    world.client.answer = lambda request: answer_to(request, DUPLICATE)
    world.send()
    assert world.state() == "UNKNOWN"


@pytest.mark.parametrize("on_unknown", ["never-duplicate", "must-arrive"])
@pytest.mark.parametrize("rows", [0, 1])
def test_spent_id_is_dead_lettered_and_never_posted_again(
    world: World, on_unknown: str, rows: int
) -> None:
    """Nothing was sent: the first attempt was refused, and the second for the first one's id."""
    world.on_unknown = on_unknown
    duplicate(world)
    for _ in range(rows):
        world.show(world.row(0))
    counts = [world.reconcile() for _ in range(3)]

    item = world.item()
    assert (item["state"], item["deadLetterReason"]) == ("QUARANTINED", "ID_SPENT")
    assert counts[-1]["IdsSpent"] == 1
    assert "MessagesQuarantined" not in counts[-1]
    record = world.record()
    assert world.send(record) == []
    assert [(each[0], each[1]) for each in world.queue.dead] == [
        (record, DeadLetterReason.ID_SPENT)
    ]
    world.client.answer = accept_all
    assert world.send() == []
    assert len(world.posts()) == 2


def test_row_of_the_same_recipient_decides_after_a_duplicate(world: World) -> None:
    """It belongs to no refused attempt."""
    duplicate(world)
    world.show(world.row(0, Status(group_id=3, id=5), bulkId="unknown", to=PHONE))
    world.reconcile()

    assert world.state() == "DELIVERED"


@pytest.mark.parametrize("to", [PHONE, None, "device-1"])
def test_row_of_an_earlier_attempt_decides_after_a_duplicate(world: World, to: str | None) -> None:
    """Its bulk id is ours, so it need not name the recipient."""
    world.on_unknown = "must-arrive"
    world.lose()
    world.client.answer = lambda request: answer_to(request, DUPLICATE)
    world.send()
    world.show(world.row(0, Status(group_id=3, id=5), to=to))
    world.reconcile()

    assert world.state() == "DELIVERED"


@pytest.mark.parametrize("refused_rows", [0, 1])
def test_foreign_rows_alone_show_that_the_id_is_anothers(world: World, refused_rows: int) -> None:
    duplicate(world)
    for _ in range(refused_rows):
        world.show(world.row(0))
    world.show(world.row(0, Status(group_id=3, id=5), bulkId="unknown", to="385990000000"))
    world.reconcile()

    assert (world.state(), world.item()["evidence"]) == ("REJECTED", "duplicate-id")


def test_id_is_not_spent_if_an_attempt_may_have_been_sent(world: World) -> None:
    """Lost, sent again, refused, and then its id: the first attempt may have been accepted."""
    world.on_unknown = "must-arrive"
    world.lose()
    world.refuse()
    for _ in range(3):
        world.reconcile()
    world.client.answer = lambda request: answer_to(request, DUPLICATE)
    world.send()
    for _ in range(3):
        world.reconcile()

    assert world.state() == "QUARANTINED"
    assert "deadLetterReason" not in world.item()
    first, second, third = world.posts()
    assert world.item()["earlierBulkIds"] == [first]
    assert world.item()["refusedBulkIds"] == {"12": [second]}
    assert world.item()["bulkId"] == third


def test_proof_reopens_a_message_whose_id_seemed_spent(world: World) -> None:
    duplicate(world)
    for _ in range(3):
        world.reconcile()
    world.report(world.row(1, Status(group_id=3, id=5)))

    assert world.state() == "DELIVERED"
    assert world.send() == []


# --- After an attempt of unknown outcome -----------------------------------------------------


def test_refusal_after_an_unknown_attempt_leaves_the_outcome_unknown(world: World) -> None:
    """It says nothing of the earlier attempt, of which the logs are asked again."""
    world.on_unknown = "must-arrive"
    world.lose()
    assert world.state() == "WAITING"
    world.refuse()

    first, second = world.posts()
    item = world.item()
    assert (item["state"], item["earlierBulkIds"]) == ("UNKNOWN", [first])
    assert item["refusedBulkIds"] == {"12": [second]}
    assert item["status"]["id"] == 12

    world.show(world.row(0, Status(group_id=1, id=7)))
    world.show(world.row(1))
    world.reconcile()
    assert world.state() == "ACCEPTED"


def test_refusal_without_reason_after_an_unknown_attempt_leaves_the_outcome_unknown(
    world: World,
) -> None:
    """It may be for the id, which Infobip then has from the earlier attempt."""
    world.on_unknown = "must-arrive"
    world.lose()
    world.refuse(Status(group_id=5))
    assert world.state() == "UNKNOWN"

    world.show(world.row(0, Status(group_id=1, id=7)))
    world.reconcile()
    assert world.state() == "ACCEPTED"


def test_refusal_after_a_release_leaves_the_outcome_unknown(world: World) -> None:
    world.lose()
    assert world.state() == "QUARANTINED"
    world.ledger.change(transitions.released, "m-1", "ada", "asked for", world.clock.now)
    world.refuse()

    assert world.state() == "UNKNOWN"
    for _ in range(3):
        world.reconcile()
    assert world.state() == "QUARANTINED"
