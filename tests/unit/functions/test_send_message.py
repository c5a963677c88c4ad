"""A message is posted at most once, and its record stays until the message has a verdict."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.send_message import app
from functions.send_message.app import Dependencies, Policy, send_messages
from infobip_omni import transitions
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.api.reports import Status
from infobip_omni.api.scenarios import LONGEST_SCENARIO_KEY, ScenarioStep
from infobip_omni.api.sends import LONGEST_BULK_ID, LONGEST_CALLBACK_DATA, SendResponse, SendResult
from infobip_omni.circuit_breaker import CircuitBreaker
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.send_message import LARGEST_EVENT_BYTES, MOST_DESTINATIONS
from infobip_omni.message import Evidence
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import RegisteredScenario
from infobip_omni.send_queue import Record
from infobip_omni.webhook import Webhook
from tests.fakes import (
    Clock,
    FakeClient,
    FakeLedger,
    FakeScenarioRegistry,
    FakeSendQueue,
    answer_to,
    taken,
)

from .conftest import CONTEXT, PHONE, TEXT, metrics_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

    from infobip_omni.api.sends import AdvancedRequest
    from infobip_omni.message import MessageState

    from .conftest import Log, Printed

LARGE = "x" * 262_144
OTP = RegisteredScenario(
    key="key-1",
    name="OTP",
    flow=(
        ScenarioStep(sender="acme-app", channel=Channel.PUSH),
        ScenarioStep(sender="Acme", channel=Channel.SMS),
    ),
    default=False,
)
BODY: dict[str, Any] = {
    "scenario": "otp",
    "messageId": "m-1",
    "to": {"phoneNumber": PHONE},
    "push": {"text": TEXT},
    "sms": {"text": TEXT},
}
REFUSED = Status(group_id=5, id=12, name="REJECTED_NOT_ENOUGH_CREDITS")
DUPLICATE = Status(group_id=5, id=23, name="REJECTED_DUPLICATE_MESSAGE_ID")
NOT_PROCESSED = [
    NotProcessedError("not reached"),
    RateLimitedError("slow down", status=429),
    AuthenticationError("no", status=401),
    AuthenticationError("no", status=403),
    ParameterUnavailableError("SSM parameter /omni/dev/infobip/credentials cannot be read"),
]


@dataclass
class Harness:
    """The function and what it talks to."""

    clock: Clock
    client: FakeClient
    scenarios: FakeScenarioRegistry
    ledger: FakeLedger
    queue: FakeSendQueue
    breaker: CircuitBreaker
    policy: Policy
    webhook: Webhook | None = None
    seconds_left: float = 60.0

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(
            client=self.client,
            scenarios=self.scenarios,
            ledger=self.ledger,
            queue=self.queue,
            breaker=self.breaker,
            policy=self.policy,
            webhook=self.webhook,
        )

    def run(self, *records: Record) -> list[str]:
        """Let the function have a batch, and return the ids of the records that it keeps."""
        kept = send_messages(records, self.dependencies, lambda: self.seconds_left)
        return [each.sqs_id for each in kept]

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        """Invoke the function as Lambda does."""
        return app.lambda_handler(event, CONTEXT)

    def record(self, number: int = 1, **changes: object) -> Record:
        """Make a record that has just been queued."""
        return Record(
            sqs_id=f"record-{number}",
            original_id=f"record-{number}",
            receipt_handle=f"handle-{number}",
            body=json.dumps(BODY | {"messageId": f"m-{number}"} | changes),
            sent_at=self.clock.now,
            receive_count=1,
        )

    def dead(self) -> list[tuple[str, DeadLetterReason, str]]:
        """Return record, reason and field of what is in the dead-letter queue."""
        return [(record.sqs_id, reason, name) for record, reason, name, _ in self.queue.dead]

    def fail(self, error: Exception) -> None:
        """Let all posts fail from now on."""

        def answer(_: AdvancedRequest) -> SendResponse:
            raise error

        self.client.answer = answer


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness in which all is well."""
    clock = Clock()
    harness = Harness(
        clock=clock,
        client=FakeClient(),
        scenarios=FakeScenarioRegistry(OTP),
        ledger=FakeLedger(clock),
        queue=FakeSendQueue(),
        breaker=CircuitBreaker(clock.seconds),
        policy=Policy(timedelta(seconds=120), "never-duplicate"),
    )
    monkeypatch.setattr(app, "utc_now", clock)
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def many(number: int) -> list[dict[str, Any]]:
    """Make destinations with ids of their own."""
    return [
        {"messageId": f"d-{each}", "to": {"phoneNumber": str(10**10 + each)}}
        for each in range(number)
    ]


# --- Accepted ------------------------------------------------------------------------------


def test_accepted_message_is_acknowledged(harness: Harness) -> None:
    """One record, one post under the scenario's key, one verdict."""
    kept = harness.run(harness.record())

    assert kept == []
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    (request,) = harness.client.sent
    body = request.model_dump(mode="json", exclude_none=True)
    assert body == {
        "scenarioKey": "key-1",
        "bulkId": harness.ledger.item("m-1")["bulkId"],
        "destinations": [{"messageId": "m-1", "to": {"phoneNumber": PHONE}}],
        "push": {"text": TEXT},
        "sms": {"text": TEXT},
    }
    item = harness.ledger.item("m-1")
    assert item["evidence"] == Evidence.RESPONSE
    assert item["steps"] == ["PUSH", "SMS"]
    assert harness.queue.dead == []


def test_redelivered_record_is_acknowledged_and_not_sent(harness: Harness) -> None:
    """SQS may deliver a record as often as it likes."""
    for _ in range(3):
        kept = harness.run(harness.record())
        assert kept == []

    assert harness.client.posted_ids() == ["m-1"]


def test_repeated_content_in_a_new_record_is_not_sent(harness: Harness) -> None:
    """The message id tells a repeat, not the record."""
    harness.run(harness.record(1))
    kept = harness.run(harness.record(2, messageId="m-1"))

    assert kept == []
    assert harness.client.posted_ids() == ["m-1"]


def test_caller_may_name_key_and_bulk(harness: Harness) -> None:
    """Infobip's own body passes as it stands, without a look into the registry."""
    body = {
        "scenarioKey": "their-key",
        "bulkId": "their-bulk",
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "sms": {"text": TEXT},
    }
    harness.run(replace(harness.record(), body=json.dumps(body)))

    (request,) = harness.client.sent
    assert (request.scenario_key, request.bulk_id) == ("their-key", "their-bulk")
    assert harness.ledger.states() == {"record-1-0": "ACCEPTED"}
    assert "steps" not in harness.ledger.item("record-1-0")


def test_redriven_record_derives_the_same_id(harness: Harness) -> None:
    """A record that comes back under a new SQS id is still the same message."""
    body = json.dumps({name: BODY[name] for name in BODY if name != "messageId"})
    harness.run(replace(harness.record(1), body=body))
    harness.run(replace(harness.record(2), body=body, original_id="record-1"))

    assert harness.client.posted_ids() == ["record-1-0"]


def test_lost_answer_of_the_table_does_not_cost_the_claim(harness: Harness) -> None:
    """A claim that was written, though its write seemed to fail, is recognised and used."""
    harness.ledger.table.lost_answers = 1
    kept = harness.run(harness.record())

    assert harness.client.posted_ids() == ["m-1"]
    assert kept == []


# --- Grouped -------------------------------------------------------------------------------


def test_same_content_goes_as_one_request(harness: Harness) -> None:
    """Ten records that differ only in their recipients cost one post."""
    kept = harness.run(
        *[harness.record(number, to={"phoneNumber": f"38599{number:07}"}) for number in range(10)]
    )

    assert [len(request.destinations) for request in harness.client.sent] == [10]
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}
    assert kept == []


def test_large_event_is_cut_into_requests(harness: Harness) -> None:
    """No request has more than a hundred destinations, and none gets lost."""
    kept = harness.run(harness.record(messageId=None, to=None, destinations=many(250)))

    assert sorted(len(request.destinations) for request in harness.client.sent) == [50, 100, 100]
    assert len({request.bulk_id for request in harness.client.sent}) == 1
    assert sorted(map(str, harness.client.posted_ids())) == sorted(f"d-{n}" for n in range(250))
    assert kept == []


def test_different_contents_are_posted_at_once(harness: Harness) -> None:
    """Ten contents make ten requests, all under way at the same time."""
    together = threading.Barrier(10, timeout=10)

    def answer(request: AdvancedRequest) -> SendResponse:
        together.wait()
        return taken(request)

    harness.client.answer = answer
    harness.run(*[harness.record(number, sms={"text": f"text {number}"}) for number in range(10)])

    assert len(harness.client.sent) == 10
    assert len({request.bulk_id for request in harness.client.sent}) == 10
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}


def test_same_message_in_two_records_is_sent_once(harness: Harness) -> None:
    """Both records of a batch that hold a message live from its one claim."""
    kept = harness.run(harness.record(1), harness.record(2, messageId="m-1"))

    assert harness.client.posted_ids() == ["m-1"]
    assert kept == []


def test_same_id_with_other_content_in_one_batch_is_a_conflict(harness: Harness) -> None:
    """The first record wins, the second is dead-lettered."""
    kept = harness.run(harness.record(1), harness.record(2, messageId="m-1", sms={"text": "other"}))

    assert harness.client.posted_ids() == ["m-1"]
    assert kept == []
    assert harness.dead() == [("record-2", DeadLetterReason.CONFLICT, "messageId")]


# --- Never sendable ------------------------------------------------------------------------


def test_poison_does_not_touch_its_neighbours(harness: Harness) -> None:
    """A broken record is dead-lettered at once, with field and rule; nine others are sent."""
    poison = harness.record(0, sms={"text": TEXT, "colour": "red"})
    kept = harness.run(poison, *[harness.record(number) for number in range(1, 10)])

    assert kept == []
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}
    assert len(harness.ledger.states()) == 9
    ((record, reason, name, rule),) = harness.queue.dead
    assert (record.body, reason, name) == (poison.body, DeadLetterReason.INVALID, "sms.colour")
    assert rule


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scenario": "unknown"}, "scenario"),
        ({"sms": None}, "sms"),
        ({"viber": {"text": TEXT}}, "viber"),
        ({"to": {"phoneNumber": "+385 99"}}, "to.phoneNumber"),
        ({"scenario": None, "scenarioKey": 201 * "k"}, "scenarioKey"),
        ({"bulkId": 201 * "b"}, "bulkId"),
        ({"sms": {"text": TEXT}, "push": {"text": TEXT, "customPayload": {"a": LARGE}}}, "body"),
    ],
)
def test_unsendable_event_names_its_field(
    harness: Harness, change: dict[str, Any], name: str
) -> None:
    """A name that is not registered, or contents that do not fit the flow, are refused unsent."""
    kept = harness.run(harness.record(**change))

    assert harness.client.sent == []
    assert harness.ledger.states() == {}
    assert kept == []
    assert harness.dead() == [("record-1", DeadLetterReason.INVALID, name)]


def test_record_under_an_id_that_is_none_is_set_aside_whole(harness: Harness) -> None:
    """Its attribute is named, its neighbours are sent, and nothing of it is lost."""
    wrong = replace(harness.record(1), original_id="a,b" + 1000 * "x")

    kept = harness.run(wrong, harness.record(2))

    assert kept == []
    assert harness.ledger.states() == {"m-2": "ACCEPTED"}
    assert harness.queue.dead == [
        (
            wrong,
            DeadLetterReason.INVALID,
            "originalMessageId",
            "must be 1 to 100 visible characters of ASCII, without a comma",
        )
    ]


@pytest.mark.parametrize("letter", ["x", "\u0161", "\U0001f600"])
def test_what_one_record_can_make_us_write_is_bounded(harness: Harness, letter: str) -> None:
    """What all its messages share is stored with each of them, 9.1 MB at most."""
    shared = {
        "scenario": None,
        "scenarioKey": letter * LONGEST_SCENARIO_KEY,
        "bulkId": letter * (LONGEST_BULK_ID // len(letter.encode())),
        "callbackData": letter * LONGEST_CALLBACK_DATA,
        "notifyUrl": "https://a.example/" + "x" * 2000,
        "push": None,
        "sms": {"text": "a"},
        "to": None,
        "messageId": None,
    }
    event = {name: value for name, value in (BODY | shared).items() if value is not None}
    to = {"to": {"phoneNumber": "1" * 20, "emailAddress": "x" * 320}}
    event["destinations"] = [to] * MOST_DESTINATIONS
    body = json.dumps(event, ensure_ascii=False)
    assert 200_000 < len(body.encode()) <= LARGEST_EVENT_BYTES

    harness.run(replace(harness.record(), body=body, original_id="r" * 100))

    assert set(harness.ledger.states().values()) == {"ACCEPTED"}
    items = harness.ledger.table.entries("")
    assert len(items) == MOST_DESTINATIONS
    written = json.dumps(items, default=float, ensure_ascii=False).encode()
    assert len(written) < 10_000_000


def test_conflict_gives_back_the_other_claims(harness: Harness) -> None:
    """One destination with a used id costs its record, and leaves no message claimed."""
    harness.run(harness.record(1, messageId=None, to=None, destinations=many(2)))
    others = [*many(3)[2:], *many(1)]
    kept = harness.run(
        harness.record(2, messageId=None, to=None, destinations=others, sms={"text": "other"})
    )

    assert harness.client.posted_ids() == ["d-0", "d-1"]
    assert kept == []
    assert harness.dead() == [("record-2", DeadLetterReason.CONFLICT, "destinations[1].messageId")]
    assert harness.ledger.states() == {"d-0": "ACCEPTED", "d-1": "ACCEPTED", "d-2": "WAITING"}
    assert harness.ledger.item("d-2")["deadLetterReason"] == "CONFLICT"
    assert "nextCheckAt" not in harness.ledger.item("d-2")


def test_conflict_does_not_cost_who_shares_the_claim(harness: Harness) -> None:
    """A message that a refused record has given back is sent for the other record that holds it."""
    harness.run(harness.record(1, sms={"text": "other"}))
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in ("m-1", "m-2")]
    both = harness.record(3, messageId=None, to=None, destinations=destinations)
    kept = harness.run(both, harness.record(2))
    assert kept == ["record-2"]

    kept = harness.run(harness.record(2))

    assert kept == []
    assert harness.client.posted_ids() == ["m-1", "m-2"]
    assert harness.dead() == [("record-3", DeadLetterReason.CONFLICT, "destinations[0].messageId")]


def test_record_that_cannot_be_dead_lettered_stays(harness: Harness) -> None:
    """While the dead-letter queue is unavailable, the send queue keeps the content."""
    harness.queue.available = False
    kept = harness.run(harness.record(1, colour="red"), harness.record(2, scenario="unknown"))
    assert kept == ["record-1", "record-2"]

    harness.queue.available = True
    kept = harness.run(harness.record(1, colour="red"), harness.record(2, scenario="unknown"))
    assert kept == []
    assert len(harness.queue.dead) == 2


# --- Not processed -------------------------------------------------------------------------


@pytest.mark.parametrize("error", NOT_PROCESSED, ids=str)
def test_message_that_was_not_processed_waits(harness: Harness, error: Exception) -> None:
    """It is certainly not sent, so its record comes back and is sent then; nothing is dead."""
    harness.fail(error)
    kept = harness.run(harness.record())
    assert kept == ["record-1"]
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert timedelta(seconds=3.75) <= harness.queue.delays["record-1"] <= timedelta(seconds=5)

    harness.client.answer = taken
    kept = harness.run(harness.record())

    assert kept == []
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.ledger.item("m-1")["attempts"] == 2
    assert harness.queue.dead == []


def test_infobip_gets_the_pause_that_it_asks_for(harness: Harness) -> None:
    """Retry-After is honoured where it is longer than our own delay, also by its neighbours."""
    harness.fail(RateLimitedError("slow down", status=429, retry_after_seconds=77))
    harness.run(harness.record(1), harness.record(2))

    assert set(harness.queue.delays.values()) == {timedelta(seconds=77)}


def test_longest_pause_counts(harness: Harness) -> None:
    """Of the requests of one record, the one that is to wait longest decides."""
    pauses = iter([77.0, None, 5.0])
    lock = threading.Lock()

    def answer(_: AdvancedRequest) -> SendResponse:
        with lock:
            pause = next(pauses)
        raise RateLimitedError("slow down", status=429, retry_after_seconds=pause)

    harness.client.answer = answer
    harness.run(harness.record(messageId=None, to=None, destinations=many(300)))

    assert harness.queue.delays == {"record-1": timedelta(seconds=77)}


def test_delay_grows_with_every_receive(harness: Harness) -> None:
    """An outage is waited out in longer and longer steps."""
    harness.fail(NotProcessedError("not reached"))
    harness.run(replace(harness.record(), receive_count=6))

    assert timedelta(seconds=120) <= harness.queue.delays["record-1"] <= timedelta(seconds=160)


def test_failed_postponement_loses_nothing(harness: Harness) -> None:
    """A record that cannot be hidden still goes back to the queue."""
    harness.fail(NotProcessedError("not reached"))
    harness.queue.available = False
    kept = harness.run(harness.record())

    assert kept == ["record-1"]


@pytest.mark.parametrize(
    ("age", "dead"),
    [(timedelta(days=8, hours=23), False), (timedelta(days=9), True)],
)
def test_old_record_is_saved_before_the_queue_drops_it(
    harness: Harness, age: timedelta, *, dead: bool
) -> None:
    """After nine days of outage the content goes to the dead-letter queue, and not before."""
    harness.fail(NotProcessedError("not reached"))
    record = harness.record()
    harness.clock.now += age
    kept = harness.run(record)

    assert harness.dead() == ([("record-1", DeadLetterReason.OUTAGE, "")] if dead else [])
    assert kept == ([] if dead else ["record-1"])
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert harness.ledger.item("m-1").get("deadLetterReason") == ("OUTAGE" if dead else None)


def test_old_record_is_still_tried(harness: Harness) -> None:
    """Age alone is no reason for the dead-letter queue."""
    record = harness.record()
    harness.clock.pass_by(days=9)
    harness.run(record)

    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.queue.dead == []


# --- Refused -------------------------------------------------------------------------------


def test_refused_request_is_a_verdict(harness: Harness) -> None:
    """The same request can never succeed, so that the record is acknowledged."""
    harness.fail(RequestRejectedError("no", status=400, error_id="BAD_REQUEST", text="why"))
    kept = harness.run(harness.record())

    assert kept == []
    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("REJECTED", "response")
    assert item["status"] == {"httpStatus": 400, "name": "BAD_REQUEST", "description": "why"}
    harness.run(harness.record())
    assert len(harness.client.sent) == 1


def test_refusal_of_a_group_costs_only_the_faulty_record(harness: Harness) -> None:
    """A refused request for several records is repeated for each alone; nothing was sent yet."""

    def answer(request: AdvancedRequest) -> SendResponse:
        if any(each.message_id == "m-2" for each in request.destinations):
            raise RequestRejectedError("no", status=400)
        return taken(request)

    harness.client.answer = answer
    kept = harness.run(*[harness.record(number) for number in (1, 2, 3)])

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED", "m-3": "ACCEPTED"}
    assert kept == []


def test_refused_destination_does_not_cost_the_others(harness: Harness) -> None:
    """Infobip rules on each destination by itself."""

    def answer(request: AdvancedRequest) -> SendResponse:
        good, bad = taken(request), answer_to(request, REFUSED)
        return SendResponse(messages=(good.messages[0], bad.messages[1]))

    harness.client.answer = answer
    kept = harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED"}
    assert harness.ledger.item("m-2")["status"]["id"] == 12
    assert kept == []


# --- Unknown -------------------------------------------------------------------------------


def without_entries(_: AdvancedRequest) -> SendResponse:
    """Answer nothing about any message."""
    return SendResponse(messages=())


def without_status(request: AdvancedRequest) -> SendResponse:
    """Answer entries that do not say what became of the message."""
    return answer_to(request, None)


def with_new_group(request: AdvancedRequest) -> SendResponse:
    """Answer a status group that no document names."""
    return answer_to(request, Status(group_id=9, id=99))


def about_another(request: AdvancedRequest) -> SendResponse:
    """Answer about some other message."""
    status = taken(request).messages[0].status
    return SendResponse(messages=(SendResult(message_id="other", status=status),))


def lost(_: AdvancedRequest) -> SendResponse:
    """Lose the answer."""
    raise OutcomeUnknownError("no answer")


@pytest.mark.parametrize(
    "answer", [lost, without_entries, without_status, with_new_group, about_another]
)
def test_message_of_unknown_outcome_is_never_posted_again(
    harness: Harness, answer: Callable[[AdvancedRequest], SendResponse]
) -> None:
    """What the answer does not say is unknown: the record comes back, and only looks."""
    harness.client.answer = answer
    kept = harness.run(harness.record())
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}
    assert kept == ["record-1"]
    assert harness.queue.delays == {"record-1": harness.ledger.check_after}

    harness.client.answer = taken
    for _ in range(3):
        harness.clock.pass_by(hours=1)
        kept = harness.run(harness.record())
        assert kept == ["record-1"]

    assert harness.client.posted_ids() == ["m-1"]
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}
    assert harness.queue.dead == []


def test_entry_without_an_id_is_told_by_its_place(harness: Harness) -> None:
    """Where all entries are there, their order serves."""

    def answer(request: AdvancedRequest) -> SendResponse:
        statuses = (taken(request).messages[0].status, REFUSED)
        return SendResponse(messages=tuple(SendResult(status=status) for status in statuses))

    harness.client.answer = answer
    harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED"}


def test_missing_entry_costs_only_its_message(harness: Harness) -> None:
    """The others' entries are found by their ids."""
    harness.client.answer = lambda request: SendResponse(messages=taken(request).messages[1:])
    kept = harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "UNKNOWN", "m-2": "ACCEPTED"}
    assert kept == ["record-1"]


@pytest.mark.parametrize("earlier", [None, lost])
def test_refused_id_proves_nothing(
    harness: Harness, earlier: Callable[[AdvancedRequest], SendResponse] | None
) -> None:
    """Infobip may know the id from an earlier attempt or from others: the logs will tell."""
    if earlier is not None:
        harness.client.answer = earlier
        harness.run(harness.record())
        harness.ledger.change(
            transitions.sent_again, harness.ledger.message("m-1"), harness.ledger.clock()
        )
    harness.client.answer = lambda request: answer_to(request, DUPLICATE)
    kept = harness.run(harness.record())

    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("UNKNOWN", "duplicate-id")
    assert kept == ["record-1"]


def test_killed_run_is_not_repeated(harness: Harness) -> None:
    """Who dies between claim and outcome may have posted; when the lease is over, nobody knows."""

    def die(_: AdvancedRequest) -> SendResponse:
        raise SystemExit

    harness.client.answer = die
    with pytest.raises(SystemExit):
        harness.run(harness.record())
    harness.client.answer = taken
    kept = harness.run(harness.record())
    assert (harness.ledger.states(), kept) == ({"m-1": "CLAIMED"}, ["record-1"])
    assert harness.queue.delays["record-1"] <= timedelta(seconds=120)

    harness.clock.pass_by(minutes=3)
    kept = harness.run(harness.record())

    assert (harness.ledger.states(), kept) == ({"m-1": "UNKNOWN"}, ["record-1"])
    assert harness.client.posted_ids() == ["m-1"]


def test_quarantined_message_is_dead_lettered_with_its_content(harness: Harness) -> None:
    """The operator who decides finds all that is needed to send it."""
    harness.client.answer = lost
    record = harness.record()
    harness.run(record)
    harness.ledger.change(
        transitions.quarantined, harness.ledger.message("m-1"), harness.ledger.clock()
    )
    kept = harness.run(record)

    assert kept == []
    assert harness.dead() == [("record-1", DeadLetterReason.QUARANTINED, "")]
    assert harness.queue.dead[0][0].body == record.body
    assert harness.client.posted_ids() == ["m-1"]


def test_quarantined_record_stays_while_another_message_is_open(harness: Harness) -> None:
    """The record is needed until each of its messages has a verdict."""
    destinations = many(2)
    record = harness.record(messageId=None, to=None, destinations=destinations)
    harness.client.answer = lost
    harness.run(record)
    harness.ledger.change(
        transitions.quarantined, harness.ledger.message("d-0"), harness.ledger.clock()
    )
    kept = harness.run(record)
    assert (kept, harness.queue.dead) == (["record-1"], [])

    harness.ledger.change(
        transitions.proven_accepted,
        harness.ledger.message("d-1"),
        Evidence.LOGS,
        harness.ledger.clock(),
        harness.ledger.check_after,
    )
    kept = harness.run(record)
    assert (kept, harness.dead()) == ([], [("record-1", DeadLetterReason.QUARANTINED, "")])


@pytest.mark.parametrize("policy", ["never-duplicate", "must-arrive"])
def test_event_overrides_the_policy(harness: Harness, policy: str) -> None:
    """What becomes of an unknown outcome is the caller's choice, and else the deployment's."""
    harness.policy = Policy(timedelta(seconds=120), "must-arrive")
    harness.run(harness.record(1, onUnknown=policy), harness.record(2))

    assert harness.ledger.item("m-1")["onUnknown"] == policy
    assert harness.ledger.item("m-2")["onUnknown"] == "must-arrive"


# --- Where reports go ----------------------------------------------------------------------


def test_reports_go_to_the_webhook_of_their_bulk(harness: Harness) -> None:
    """Every request tells Infobip the address that only its own bulk has."""
    harness.webhook = Webhook("https://reports.example/", lambda: [b"k" * 32])
    harness.run(harness.record())

    (request,) = harness.client.sent
    assert request.bulk_id
    assert request.notify_url == harness.webhook.url_for(request.bulk_id)
    assert request.notify_content_type == "application/json"


@pytest.mark.parametrize("own", [{"notifyUrl": "https://caller.example/"}, {"notify": False}])
def test_caller_may_have_reports_elsewhere(harness: Harness, own: dict[str, Any]) -> None:
    """What an event says of its own about reports is left alone."""
    harness.webhook = Webhook("https://reports.example/", lambda: [b"k" * 32])
    harness.run(harness.record(**own))

    (request,) = harness.client.sent
    assert request.notify_url == own.get("notifyUrl")


def test_nothing_is_sent_without_the_webhooks_key(harness: Harness) -> None:
    """Its reports could go nowhere, so the message waits."""

    def no_key() -> list[bytes]:
        raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")

    harness.webhook = Webhook("https://reports.example/", no_key)
    kept = harness.run(harness.record())

    assert harness.client.sent == []
    assert (harness.ledger.states(), kept) == ({"m-1": "WAITING"}, ["record-1"])


# --- What cannot be reached ----------------------------------------------------------------


def test_unavailable_registry_postpones_without_a_claim(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known of the scenario, so nothing is claimed, refused or posted."""

    def find(_: str) -> RegisteredScenario | None:
        raise ParameterUnavailableError("SSM cannot be read")

    monkeypatch.setattr(harness.scenarios, "find", find)
    kept = harness.run(harness.record(1), harness.record(2, scenario=None, scenarioKey="key-2"))

    assert kept == ["record-1"]
    assert harness.ledger.states() == {"m-2": "ACCEPTED"}
    assert harness.queue.dead == []


@dataclass
class UnreadableParameters:
    """SSM while it is down: whatever needs the parameter cannot be done."""

    error: ParameterUnavailableError | None = field(
        default_factory=lambda: ParameterUnavailableError("SSM parameter cannot be read")
    )

    def keys(self) -> list[bytes]:
        """Return the webhook's key."""
        self.read()
        return [b"k" * 32]

    def answer(self, request: AdvancedRequest) -> SendResponse:
        """Take a request, whose credentials are read before it is sent."""
        self.read()
        return taken(request)

    def read(self) -> None:
        """Fail while SSM is down."""
        if self.error is not None:
            raise self.error


def break_parameter(harness: Harness, parameter: str) -> UnreadableParameters:
    """Let SSM be down for the webhook's key or for the credentials."""
    ssm = UnreadableParameters()
    if parameter == "key":
        harness.client.answer = taken
        harness.webhook = Webhook("https://reports.example/", ssm.keys)
    else:
        harness.client.answer = ssm.answer
    return ssm


@pytest.mark.parametrize("parameter", ["key", "credentials"])
def test_trouble_with_ssm_does_not_open_the_circuit(harness: Harness, parameter: str) -> None:
    """The records wait and lose nothing; Infobip is well, and gets them once SSM is."""
    ssm = break_parameter(harness, parameter)
    records = [harness.record(number, sms={"text": f"text {number}"}) for number in range(12)]
    for _ in range(3):
        kept = harness.run(*records)

        assert kept == [record.sqs_id for record in records]
        assert set(harness.ledger.states().values()) == {"WAITING"}
        assert harness.breaker.retry_in_seconds() == 0
    assert harness.queue.dead == []

    ssm.error = None
    kept = harness.run(*records)

    assert kept == []
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}


@pytest.mark.parametrize("parameter", ["key", "credentials"])
def test_trouble_with_ssm_does_not_use_up_the_probe(harness: Harness, parameter: str) -> None:
    """The next record is the probe, at once and after the shortest pause."""
    open_circuit(harness)
    harness.clock.pass_by(seconds=5)
    ssm = break_parameter(harness, parameter)
    for _ in range(3):
        kept = harness.run(harness.record(2))
        assert kept == ["record-2"]
        assert harness.breaker.retry_in_seconds() == 0

    ssm.error = None
    harness.fail(NotProcessedError("not reached"))
    harness.run(harness.record(2))
    assert harness.breaker.retry_in_seconds() == 10
    harness.clock.pass_by(seconds=10)
    harness.client.answer = taken
    kept = harness.run(harness.record(2))

    assert kept == []
    assert harness.ledger.states()["m-2"] == "ACCEPTED"


def open_circuit(harness: Harness) -> None:
    """Let five posts fail."""
    harness.fail(NotProcessedError("not reached"))
    for _ in range(5):
        harness.run(harness.record(1))


def test_open_circuit_claims_and_posts_nothing(harness: Harness) -> None:
    """While Infobip is down, a batch costs neither a write nor a call."""
    open_circuit(harness)
    posted = len(harness.client.sent)
    kept = harness.run(harness.record(2), harness.record(3))

    assert len(harness.client.sent) == posted
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert kept == ["record-2", "record-3"]
    assert all(delay >= timedelta(seconds=3.75) for delay in harness.queue.delays.values())


def test_open_circuit_lets_one_probe_through(harness: Harness) -> None:
    """After the pause one request is tried, and the others wait for what becomes of it."""
    open_circuit(harness)
    posted = len(harness.client.sent)
    harness.clock.pass_by(seconds=5)
    batch = [harness.record(number, sms={"text": f"text {number}"}) for number in (2, 3, 4)]
    kept = harness.run(*batch)
    assert len(harness.client.sent) == posted + 1
    assert len(kept) == 3

    harness.clock.pass_by(seconds=10)
    harness.client.answer = taken
    harness.run(batch[0])
    kept = harness.run(*batch)
    assert kept == []
    assert set(harness.ledger.states().values()) == {"WAITING", "ACCEPTED"}


@pytest.mark.parametrize(
    ("seconds_left", "lease", "posted"),
    [(60.0, 120, True), (14.0, 120, False), (60.0, 50, False)],
)
def test_nothing_is_posted_without_the_time_to_finish(
    harness: Harness, seconds_left: float, lease: int, *, posted: bool
) -> None:
    """A post must end within the lease, and leave the function time to write the outcome."""
    harness.policy = Policy(timedelta(seconds=lease), "never-duplicate")
    harness.seconds_left = seconds_left
    kept = harness.run(harness.record())

    assert len(harness.client.sent) == int(posted)
    assert harness.ledger.states() == {"m-1": "ACCEPTED" if posted else "WAITING"}
    assert kept == ([] if posted else ["record-1"])


def test_unavailable_ledger_keeps_the_record(harness: Harness) -> None:
    """Without a claim nothing is posted."""
    harness.ledger.table.failures.update({"execute": 9, "get_all": 9})
    kept = harness.run(harness.record())

    assert harness.client.sent == []
    assert kept == ["record-1"]
    assert harness.queue.dead == []


def test_outcome_that_cannot_be_written_keeps_the_record(harness: Harness) -> None:
    """What was posted and is not written down is unknown when the lease is over."""

    def answer(request: AdvancedRequest) -> SendResponse:
        harness.ledger.table.failures["execute"] = 1
        return taken(request)

    harness.client.answer = answer
    kept = harness.run(harness.record())
    assert kept == ["record-1"]

    harness.clock.pass_by(minutes=3)
    harness.run(harness.record())
    assert harness.client.posted_ids() == ["m-1"]
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}


def test_report_may_be_faster_than_the_outcome(harness: Harness) -> None:
    """A message that was proven while its answer was under way stays as it was proven."""

    def answer(_: AdvancedRequest) -> SendResponse:
        harness.ledger.change(
            transitions.proven_accepted,
            harness.ledger.message("m-1"),
            Evidence.REPORT,
            harness.ledger.clock(),
            harness.ledger.check_after,
        )
        raise OutcomeUnknownError("no answer")

    harness.client.answer = answer
    kept = harness.run(harness.record())

    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("ACCEPTED", "report")
    assert kept == []


# --- The handler ---------------------------------------------------------------------------


def event_of(*records: Record) -> dict[str, Any]:
    """Make the event that Lambda makes of a batch."""
    return {
        "Records": [
            {
                "messageId": record.sqs_id,
                "receiptHandle": record.receipt_handle,
                "body": record.body,
                "attributes": {
                    "ApproximateReceiveCount": str(record.receive_count),
                    "SentTimestamp": str(int(record.sent_at.timestamp() * 1000)),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for record in records
        ]
    }


def test_handler_answers_with_the_records_that_stay(harness: Harness) -> None:
    """Of a batch only what has no verdict comes back; a whole batch that fails raises nothing."""
    event = event_of(harness.record(1), replace(harness.record(2), body="not JSON"))
    harness.client.answer = lost

    answer = harness.invoke(event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "record-1"}]}
    assert harness.dead() == [("record-2", DeadLetterReason.INVALID, "body")]
    harness.ledger.change(
        transitions.proven_accepted,
        harness.ledger.message("m-1"),
        Evidence.LOGS,
        harness.ledger.clock(),
        harness.ledger.check_after,
    )
    assert harness.invoke(event) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (taken, "ACCEPTED"),
        (lambda request: answer_to(request, REFUSED), "REJECTED"),
        (lost, "UNKNOWN"),
    ],
)
def test_nothing_personal_is_printed(
    harness: Harness,
    printed: Printed,
    answer: Callable[[AdvancedRequest], SendResponse],
    state: MessageState,
) -> None:
    """Log lines and metrics tell ids and states, and no number, text or body."""
    harness.client.answer = answer
    bodies = [
        BODY,
        BODY | {"messageId": "m-2", "sms": {"text": [TEXT]}},
        BODY | {"messageId": "m-3", "to": {"phoneNumber": f"+{PHONE}"}},
        BODY | {"messageId": "m-4", PHONE: TEXT},
        BODY | {"sms": {"text": f"other {TEXT}"}},
    ]
    records = [
        replace(harness.record(number), body=json.dumps(body))
        for number, body in enumerate(bodies, start=1)
    ]
    harness.invoke(event_of(*records))

    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    handled = [line for line in lines if line.get("message") == "message handled"]
    assert [(line["message_id"], line["state"]) for line in handled] == [("m-1", state)]
    assert len([line for line in lines if line.get("message") == "record dead-lettered"]) == 4
    (numbers,) = [line for line in lines if "_aws" in line]
    assert numbers["RecordsDeadLettered"] == [1.0] * 4
    assert numbers[f"Messages{state.title()}"] == [1.0]


def test_refusal_does_not_print_infobips_words(harness: Harness, printed: Printed) -> None:
    """They may quote the request; only the table gets them."""
    for number, error in enumerate(
        [
            RequestRejectedError("no", status=400, text=f"bad number {PHONE}"),
            AuthenticationError("no", status=403, text=TEXT),
            OutcomeUnknownError("no answer", status=500, text=TEXT),
        ]
    ):
        harness.fail(error)
        harness.run(harness.record(number))

    text = printed()
    assert PHONE not in text
    assert "canary" not in text


def numbers(printed: Printed) -> dict[str, Any]:
    """Return the metrics that were written last."""
    written = metrics_in(printed())
    return written[-1] if written else {}


@pytest.mark.parametrize(
    ("error", "refusals"),
    [
        (AuthenticationError("no", status=401), [1.0]),
        (AuthenticationError("no", status=403), [1.0]),
        (RateLimitedError("slow down", status=429), None),
        (NotProcessedError("not reached"), None),
    ],
)
def test_refused_account_is_counted(
    harness: Harness, printed: Printed, error: Exception, refusals: list[float] | None
) -> None:
    """Credentials that Infobip does not accept need somebody; a throttle or an outage ends."""
    harness.fail(error)

    harness.invoke(event_of(harness.record()))

    assert numbers(printed).get("AccountRefusals") == refusals


@pytest.mark.parametrize(
    ("status_id", "refusals"), [(12, [1.0]), (13, [1.0]), (17, [1.0]), (14, None), (6, None)]
)
def test_message_that_is_rejected_for_the_account_is_counted(
    harness: Harness, printed: Printed, status_id: int, refusals: list[float] | None
) -> None:
    """Credit, sender or package, and not what concerns one recipient."""
    harness.client.answer = lambda request: answer_to(request, Status(group_id=5, id=status_id))

    harness.invoke(event_of(harness.record()))

    assert numbers(printed).get("AccountRefusals") == refusals


def test_age_of_the_oldest_record_that_stays_is_told(harness: Harness, printed: Printed) -> None:
    """SQS gives no age to records that it has handed out three times."""
    harness.fail(NotProcessedError("not reached"))
    old = replace(
        harness.record(1), sent_at=harness.clock.now - timedelta(hours=5), receive_count=40
    )

    harness.invoke(event_of(harness.record(2), old))

    assert numbers(printed)["OldestRecordSeconds"] == [5 * 3600.0]


def test_record_that_only_waits_for_an_open_circuit_has_an_age_too(
    harness: Harness, printed: Printed
) -> None:
    """Nothing is claimed for it, and still it waits."""
    for _ in range(5):
        harness.breaker.failed()
    old = replace(harness.record(), sent_at=harness.clock.now - timedelta(hours=2))

    harness.invoke(event_of(old))

    assert numbers(printed)["OldestRecordSeconds"] == [2 * 3600.0]


def test_nothing_is_told_of_records_that_are_done(harness: Harness, printed: Printed) -> None:
    """A metric that nobody reads is not paid for."""
    harness.invoke(event_of(harness.record()))

    assert "OldestRecordSeconds" not in numbers(printed)


# --- What another version has written --------------------------------------------------------

OF_ANOTHER_VERSION: list[dict[str, Any]] = [
    {"state": "SEEN"},
    {"state": None},
    {"to": "everybody"},
    {"claimedAt": "yesterday"},
    {"leaseUntil": "2026-01-31T12:00:00"},
    {"attempts": [1]},
]


@pytest.mark.parametrize("attributes", OF_ANOTHER_VERSION)
def test_message_that_cannot_be_read_costs_its_neighbours_nothing(
    harness: Harness, log: Log, attributes: dict[str, Any]
) -> None:
    """Only its own record comes round again, and the message stays as it is."""
    harness.run(harness.record(2))
    before = dict(harness.ledger.item("m-2"))
    harness.ledger.alter("m-2", **attributes)
    altered = harness.ledger.item("m-2")

    kept = harness.run(harness.record(1), harness.record(2), harness.record(3))

    assert kept == ["record-2"]
    assert harness.client.posted_ids() == ["m-2", "m-1", "m-3"]
    assert harness.ledger.item("m-2") == altered
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["message_id"]) == ("a message cannot be read", "m-2")

    harness.ledger.alter("m-2", **before)
    assert harness.run(harness.record(2)) == []


def test_outcome_over_a_state_that_is_not_known_costs_its_neighbours_nothing(
    harness: Harness,
) -> None:
    """A later version was faster: what it has written stands."""

    def answer(request: AdvancedRequest) -> SendResponse:
        harness.ledger.alter("m-1", state="SEEN")
        return taken(request)

    harness.client.answer = answer
    kept = harness.run(harness.record(1), harness.record(2))

    assert kept == ["record-1"]
    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "ACCEPTED"}


def test_lost_lease_of_a_message_that_turned_unreadable_costs_its_neighbours_nothing(
    harness: Harness,
) -> None:
    """It changes between being met and being changed."""
    harness.fail(OutcomeUnknownError("no answer"))
    harness.run(harness.record(1))
    harness.ledger.alter("m-1", state="CLAIMED")
    harness.clock.pass_by(minutes=5)

    def interfere() -> None:
        harness.ledger.table.before_execute = lambda: harness.ledger.alter("m-1", state="SEEN")

    harness.ledger.table.before_execute = interfere
    harness.client.answer = taken
    kept = harness.run(harness.record(1), harness.record(2))

    assert kept == ["record-1"]
    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "ACCEPTED"}
