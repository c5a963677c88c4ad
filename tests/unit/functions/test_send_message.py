"""A message is posted at most once, and its record stays queued until it has a verdict."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.send_message import app
from functions.send_message.app import (
    MOST_CALLS_PER_REQUEST,
    Dependencies,
    Policy,
    send_messages,
)
from infobip_omni import transitions
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedUnreadError,
    RequestRejectedError,
)
from infobip_omni.api.reports import Status
from infobip_omni.api.scenarios import LONGEST_SCENARIO_KEY, ScenarioStep
from infobip_omni.api.sends import LONGEST_BULK_ID, LONGEST_CALLBACK_DATA, SendResponse, SendResult
from infobip_omni.api.violations import Violation
from infobip_omni.circuit_breaker import CircuitBreaker
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.send_message import LARGEST_EVENT_BYTES, MOST_DESTINATIONS
from infobip_omni.message import Evidence
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import RegisteredScenario
from infobip_omni.send_queue import OLDEST_RECORD, Record
from infobip_omni.webhook import Webhook
from tests.fakes import (
    Clock,
    FakeClient,
    FakeLedger,
    FakeScenarioRegistry,
    FakeSendQueue,
    accept_all,
    answer_to,
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
REFUSED = Status(group_id=5, id=14, name="REJECTED_DESTINATION_BLOCKLISTED")
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
    """The function and its fakes."""

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
        """Run the function on a batch; return the ids of the failed records."""
        failed = send_messages(records, self.dependencies, lambda: self.seconds_left)
        return [each.sqs_id for each in failed]

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        return app.lambda_handler(event, CONTEXT)

    def record(self, number: int = 1, **changes: object) -> Record:
        """Build a record that was just queued."""
        return Record(
            sqs_id=f"record-{number}",
            original_id=f"record-{number}",
            receipt_handle=f"handle-{number}",
            body=json.dumps(BODY | {"messageId": f"m-{number}"} | changes),
            sent_at=self.clock.now,
            receive_count=1,
        )

    def dead(self) -> list[tuple[str, DeadLetterReason, str]]:
        """Return id, reason and field of each dead-lettered record."""
        return [(record.sqs_id, reason, name) for record, reason, name, _ in self.queue.dead]

    def fail(self, error: Exception) -> None:
        """Make all further posts fail."""

        def answer(_: AdvancedRequest) -> SendResponse:
            raise error

        self.client.answer = answer


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness without failures."""
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
    """Build destinations with ids of their own."""
    return [
        {"messageId": f"d-{each}", "to": {"phoneNumber": str(10**10 + each)}}
        for each in range(number)
    ]


# --- Accepted ------------------------------------------------------------------------------


def test_accepted_message_is_acknowledged(harness: Harness) -> None:
    """One record leads to one post under the scenario's key."""
    failed = harness.run(harness.record())

    assert failed == []
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    (request,) = harness.client.sent
    body = json.loads(request.to_json())
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
    """SQS may deliver a record any number of times."""
    for _ in range(3):
        failed = harness.run(harness.record())
        assert failed == []

    assert harness.client.posted_ids() == ["m-1"]


def test_repeated_content_in_a_new_record_is_not_sent(harness: Harness) -> None:
    """A repeat is recognised by the message id, not by the record."""
    harness.run(harness.record(1))
    failed = harness.run(harness.record(2, messageId="m-1"))

    assert failed == []
    assert harness.client.posted_ids() == ["m-1"]


def test_caller_may_set_scenario_key_and_bulk_id(harness: Harness) -> None:
    """Infobip's own body passes unchanged, without a lookup in the registry."""
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
    """A record that was redriven under a new SQS id is still the same message."""
    body = json.dumps({name: BODY[name] for name in BODY if name != "messageId"})
    harness.run(replace(harness.record(1), body=body))
    harness.run(replace(harness.record(2), body=body, original_id="record-1"))

    assert harness.client.posted_ids() == ["record-1-0"]


def test_claim_survives_a_lost_answer_of_the_table(harness: Harness) -> None:
    """The write seemed to fail but took effect; the claim is recognised and used."""
    harness.ledger.table.lost_answers = 1
    failed = harness.run(harness.record())

    assert harness.client.posted_ids() == ["m-1"]
    assert failed == []


# --- Grouped -------------------------------------------------------------------------------


def test_records_with_the_same_content_share_a_request(harness: Harness) -> None:
    """Ten records that differ only in their recipients cost one post."""
    failed = harness.run(
        *[harness.record(number, to={"phoneNumber": f"38599{number:07}"}) for number in range(10)]
    )

    assert [len(request.destinations) for request in harness.client.sent] == [10]
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}
    assert failed == []


def test_large_event_is_split_into_requests(harness: Harness) -> None:
    """No request has more than a hundred destinations, and none gets lost."""
    failed = harness.run(harness.record(messageId=None, to=None, destinations=many(250)))

    assert sorted(len(request.destinations) for request in harness.client.sent) == [50, 100, 100]
    assert len({request.bulk_id for request in harness.client.sent}) == 1
    assert sorted(map(str, harness.client.posted_ids())) == sorted(f"d-{n}" for n in range(250))
    assert failed == []


def test_different_contents_are_posted_concurrently(harness: Harness) -> None:
    together = threading.Barrier(10, timeout=10)

    def answer(request: AdvancedRequest) -> SendResponse:
        together.wait()
        return accept_all(request)

    harness.client.answer = answer
    harness.run(*[harness.record(number, sms={"text": f"text {number}"}) for number in range(10)])

    assert len(harness.client.sent) == 10
    assert len({request.bulk_id for request in harness.client.sent}) == 10
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}


def test_same_message_in_two_records_is_sent_once(harness: Harness) -> None:
    """Both records of the batch share the message's one claim."""
    failed = harness.run(harness.record(1), harness.record(2, messageId="m-1"))

    assert harness.client.posted_ids() == ["m-1"]
    assert failed == []


def test_same_id_with_other_content_in_one_batch_is_a_conflict(harness: Harness) -> None:
    """The first record wins; the second is dead-lettered."""
    failed = harness.run(
        harness.record(1), harness.record(2, messageId="m-1", sms={"text": "other"})
    )

    assert harness.client.posted_ids() == ["m-1"]
    assert failed == []
    assert harness.dead() == [("record-2", DeadLetterReason.CONFLICT, "messageId")]


# --- Invalid or conflicting ----------------------------------------------------------------


def test_poison_does_not_affect_its_batch(harness: Harness) -> None:
    """It is dead-lettered immediately, with field and rule; the nine others are sent."""
    poison = harness.record(0, sms={"text": TEXT, "colour": "red"})
    failed = harness.run(poison, *[harness.record(number) for number in range(1, 10)])

    assert failed == []
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
        ({"to": {"phoneNumber": "099 123 4567"}}, "to.phoneNumber"),
        ({"scenario": None, "scenarioKey": 201 * "k"}, "scenarioKey"),
        ({"bulkId": 201 * "b"}, "bulkId"),
        ({"sms": {"text": TEXT}, "push": {"text": TEXT, "customPayload": {"a": LARGE}}}, "body"),
    ],
)
def test_unsendable_event_is_dead_lettered_with_its_field(
    harness: Harness, change: dict[str, Any], name: str
) -> None:
    """An unregistered scenario, or contents that do not fit the flow, are rejected unsent."""
    failed = harness.run(harness.record(**change))

    assert harness.client.sent == []
    assert harness.ledger.states() == {}
    assert failed == []
    assert harness.dead() == [("record-1", DeadLetterReason.INVALID, name)]


def test_refused_record_is_found_by_its_message_ids(harness: Harness) -> None:
    """A redelivery changes nothing, and no value of the body is stored."""
    two = [*many(1), {"to": {"phoneNumber": PHONE}, "wrong": True}]
    record = harness.record(messageId=None, to=None, destinations=two)
    harness.run(record)
    harness.clock.pass_by(seconds=30)
    harness.run(record)

    assert harness.queue.dead_message_ids == {"record-1": ["d-0", "record-1-1"]}
    assert harness.ledger.states() == {}
    items = harness.ledger.table.entries("REFUSED#")
    assert items == [
        {
            "messageId": message_id,
            "entry": "REFUSED#record-1",
            "deadLetterId": "dead-record-1",
            "reason": "INVALID",
            "field": "destinations[1].wrong",
            "rule": "is not a field of this object",
            "refusedAt": "2026-01-31T12:00:00.000Z",
            "expiresAt": int((harness.clock.now - timedelta(seconds=30)).timestamp()) + 90 * 86400,
        }
        for message_id in ("d-0", "record-1-1")
    ]
    assert PHONE not in json.dumps(items, default=str)


def test_id_of_a_refused_record_can_be_used_by_the_corrected_one(harness: Harness) -> None:
    harness.run(harness.record(1, colour="red"))
    failed = harness.run(harness.record(2, messageId="m-1"))

    assert failed == []
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.client.posted_ids() == ["m-1"]


def test_conflicting_record_is_found_by_its_message_id(harness: Harness) -> None:
    """The message of the other record stays as it is."""
    harness.run(harness.record(1))
    harness.run(harness.record(2, messageId="m-1", sms={"text": "other"}))

    (item,) = harness.ledger.table.entries("REFUSED#")
    assert (item["messageId"], item["reason"], item["field"]) == ("m-1", "CONFLICT", "messageId")
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}


def test_refused_record_is_acknowledged_even_if_its_ids_cannot_be_stored(
    harness: Harness, log: Log
) -> None:
    """It is in the dead-letter queue, where its attributes name them."""
    harness.ledger.table.failures["execute"] = 10
    failed = harness.run(harness.record(1, colour="red"))

    assert failed == []
    assert harness.ledger.table.entries("") == []
    assert harness.queue.dead_message_ids == {"record-1": ["m-1"]}
    assert "refused records cannot be found by all their message ids" in str(log())


def test_record_without_readable_ids_stores_nothing(harness: Harness) -> None:
    harness.run(replace(harness.record(), body="{"))

    assert harness.queue.dead_message_ids == {"record-1": []}
    assert harness.ledger.table.entries("") == []


def test_record_with_an_invalid_original_id_is_dead_lettered_whole(harness: Harness) -> None:
    """Its attribute is named, the other record is sent, and no content is lost."""
    wrong = replace(harness.record(1), original_id="a,b" + 1000 * "x")

    failed = harness.run(wrong, harness.record(2))

    assert failed == []
    assert harness.ledger.states() == {"m-2": "ACCEPTED"}
    assert harness.queue.dead == [
        (
            wrong,
            DeadLetterReason.INVALID,
            "originalMessageId",
            "must be 1 to 100 visible characters of ASCII, without a comma",
        )
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("character", ["x", "\u0161", "\U0001f600"])
def test_size_of_the_items_of_one_record_is_limited(harness: Harness, character: str) -> None:
    """Values shared by all its messages are stored with each of them: 9.1 MB at most."""
    shared = {
        "scenario": None,
        "scenarioKey": character * LONGEST_SCENARIO_KEY,
        "bulkId": character * (LONGEST_BULK_ID // len(character.encode())),
        "callbackData": character * LONGEST_CALLBACK_DATA,
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


def test_conflict_releases_the_other_claims(harness: Harness) -> None:
    """One destination with a used id fails its record, and leaves no message claimed."""
    harness.run(harness.record(1, messageId=None, to=None, destinations=many(2)))
    others = [*many(3)[2:], *many(1)]
    failed = harness.run(
        harness.record(2, messageId=None, to=None, destinations=others, sms={"text": "other"})
    )

    assert harness.client.posted_ids() == ["d-0", "d-1"]
    assert failed == []
    assert harness.dead() == [("record-2", DeadLetterReason.CONFLICT, "destinations[1].messageId")]
    assert harness.ledger.states() == {"d-0": "ACCEPTED", "d-1": "ACCEPTED", "d-2": "WAITING"}
    assert harness.ledger.item("d-2")["deadLetterReason"] == "CONFLICT"
    assert "nextCheckAt" not in harness.ledger.item("d-2")


def test_conflict_does_not_stop_a_record_that_shares_the_claim(harness: Harness) -> None:
    """A message released by a conflicting record is sent for the other record that holds it."""
    harness.run(harness.record(1, sms={"text": "other"}))
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in ("m-1", "m-2")]
    both = harness.record(3, messageId=None, to=None, destinations=destinations)
    failed = harness.run(both, harness.record(2))
    assert failed == ["record-2"]

    failed = harness.run(harness.record(2))

    assert failed == []
    assert harness.client.posted_ids() == ["m-1", "m-2"]
    assert harness.dead() == [("record-3", DeadLetterReason.CONFLICT, "destinations[0].messageId")]


def test_record_that_cannot_be_dead_lettered_is_redelivered(harness: Harness) -> None:
    """While the dead-character queue is unavailable, the send queue keeps the content."""
    harness.queue.available = False
    failed = harness.run(harness.record(1, colour="red"), harness.record(2, scenario="unknown"))
    assert failed == ["record-1", "record-2"]

    harness.queue.available = True
    failed = harness.run(harness.record(1, colour="red"), harness.record(2, scenario="unknown"))
    assert failed == []
    assert len(harness.queue.dead) == 2


# --- Not processed -------------------------------------------------------------------------


@pytest.mark.parametrize("error", NOT_PROCESSED, ids=str)
def test_unprocessed_message_waits(harness: Harness, error: Exception) -> None:
    """It was certainly not sent, so its record is redelivered and then sent, not dead-lettered."""
    harness.fail(error)
    failed = harness.run(harness.record())
    assert failed == ["record-1"]
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert timedelta(seconds=3.75) <= harness.queue.delays["record-1"] <= timedelta(seconds=5)

    harness.client.answer = accept_all
    failed = harness.run(harness.record())

    assert failed == []
    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.ledger.item("m-1")["attempts"] == 2
    assert harness.queue.dead == []


def test_retry_after_is_honoured(harness: Harness) -> None:
    """It applies if it is longer than our own delay, also to the other records of the request."""
    harness.fail(RateLimitedError("slow down", status=429, retry_after_seconds=77))
    harness.run(harness.record(1), harness.record(2))

    assert set(harness.queue.delays.values()) == {timedelta(seconds=77)}


def test_longest_backoff_of_a_record_counts(harness: Harness) -> None:
    """Of the requests of one record, the one with the longest wait decides."""
    waits = iter([77.0, None, 5.0])
    lock = threading.Lock()

    def answer(_: AdvancedRequest) -> SendResponse:
        with lock:
            wait = next(waits)
        raise RateLimitedError("slow down", status=429, retry_after_seconds=wait)

    harness.client.answer = answer
    harness.run(harness.record(messageId=None, to=None, destinations=many(300)))

    assert harness.queue.delays == {"record-1": timedelta(seconds=77)}


def test_delay_grows_with_every_receive(harness: Harness) -> None:
    harness.fail(NotProcessedError("not reached"))
    harness.run(replace(harness.record(), receive_count=6))

    assert timedelta(seconds=120) <= harness.queue.delays["record-1"] <= timedelta(seconds=160)


def test_failed_change_of_visibility_loses_nothing(harness: Harness) -> None:
    """The record still goes back to the queue."""
    harness.fail(NotProcessedError("not reached"))
    harness.queue.available = False
    failed = harness.run(harness.record())

    assert failed == ["record-1"]


@pytest.mark.parametrize(
    ("age", "dead"),
    [(timedelta(days=8, hours=23), False), (timedelta(days=9), True)],
)
def test_old_record_is_dead_lettered_before_the_queue_drops_it(
    harness: Harness, age: timedelta, *, dead: bool
) -> None:
    """After nine days of outage the content goes to the dead-character queue, and not before."""
    harness.fail(NotProcessedError("not reached"))
    record = harness.record()
    harness.clock.now += age
    failed = harness.run(record)

    assert harness.dead() == ([("record-1", DeadLetterReason.OUTAGE, "")] if dead else [])
    assert failed == ([] if dead else ["record-1"])
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert harness.ledger.item("m-1").get("deadLetterReason") == ("OUTAGE" if dead else None)


def test_record_of_an_outage_says_what_infobip_answered_last(harness: Harness) -> None:
    """The operator reads what to cure before the redrive; without an answer there is no rule."""
    violations = (Violation("scenarioKey", "must not be blank"),)
    refused = RefusedUnreadError("no", status=404, error_id="NOT_FOUND", violations=violations)
    records = [harness.record(number) for number in range(3)]
    harness.clock.now += OLDEST_RECORD

    harness.fail(NotProcessedError("not reached"))
    harness.run(records[0])
    harness.fail(refused)
    harness.run(records[1])
    harness.breaker.refused({"httpStatus": 403, "name": "FORBIDDEN"})
    harness.run(records[2])

    assert [rule for _, _, _, rule in harness.queue.dead] == [
        "",
        "Infobip answered HTTP 404, NOT_FOUND, scenarioKey: must not be blank",
        "Infobip answered HTTP 403, FORBIDDEN",
    ]


def test_old_record_is_still_tried(harness: Harness) -> None:
    """Age alone is no reason to dead-character a record."""
    record = harness.record()
    harness.clock.pass_by(days=9)
    harness.run(record)

    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.queue.dead == []


# --- Rejected ------------------------------------------------------------------------------


def test_rejected_request_settles_its_message(harness: Harness) -> None:
    """The same request can never succeed, so the record is acknowledged."""
    violations = (Violation("destinations[0].to.emailAddress", "must not be blank"),)
    harness.fail(
        RequestRejectedError(
            "no", status=400, error_id="BAD_REQUEST", text="why", violations=violations
        )
    )
    failed = harness.run(harness.record())

    assert failed == []
    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("REJECTED", "response")
    assert item["status"] == {
        "httpStatus": 400,
        "name": "BAD_REQUEST",
        "description": "why",
        "violations": [{"field": "destinations[0].to.emailAddress", "rule": "must not be blank"}],
    }
    harness.run(harness.record())
    assert len(harness.client.sent) == 1


def refuse(*faulty: str) -> Callable[[AdvancedRequest], SendResponse]:
    """Refuse every request that has one of these destinations; accept all others."""

    def answer(request: AdvancedRequest) -> SendResponse:
        if any(each.message_id in faulty for each in request.destinations):
            raise RequestRejectedError("no", status=400)
        return accept_all(request)

    return answer


def test_rejection_of_a_group_fails_only_the_faulty_record(harness: Harness) -> None:
    """A rejected request for several records is divided; none was sent yet."""
    harness.client.answer = refuse("m-2")
    failed = harness.run(*[harness.record(number) for number in (1, 2, 3)])

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED", "m-3": "ACCEPTED"}
    assert failed == []


@pytest.mark.parametrize("faulty", [["d-99"], ["d-7", "d-8", "d-60"]])
def test_faulty_destination_costs_no_other_of_its_record(
    harness: Harness, faulty: list[str]
) -> None:
    """A rejected request is divided until only the faulty destinations are rejected."""
    harness.client.answer = refuse(*faulty)
    failed = harness.run(harness.record(messageId=None, to=None, destinations=many(100)))

    states = harness.ledger.states()
    assert {each for each, state in states.items() if state == "REJECTED"} == set(faulty)
    assert list(states.values()).count("ACCEPTED") == 100 - len(faulty)
    assert len(harness.client.sent) <= 15 * len(faulty)
    assert {request.bulk_id for request in harness.client.sent} == {
        harness.ledger.item("d-0")["bulkId"]
    }
    assert (failed, harness.queue.dead) == ([], [])


def test_only_faulty_destinations_are_rejected_over_several_runs(harness: Harness) -> None:
    """A run makes a limited number of calls; the rest waits, and each run gets further."""
    faulty = [f"d-{number}" for number in range(99)]
    harness.client.answer = refuse(*faulty)
    record = harness.record(messageId=None, to=None, destinations=many(100))

    runs = 1
    while harness.run(record):
        assert len(harness.client.sent) <= runs * MOST_CALLS_PER_REQUEST
        assert set(harness.ledger.states().values()) == {"REJECTED", "WAITING"}
        runs += 1

    assert runs == 4
    assert sorted(harness.ledger.states().values()) == [
        "ACCEPTED",
        *["REJECTED"] * 99,
    ]


def test_division_stops_when_the_time_is_over(harness: Harness) -> None:
    """The messages that are left wait for the next run, which rejects the faulty one."""

    def answer(request: AdvancedRequest) -> SendResponse:
        harness.seconds_left -= 15
        return refuse("d-2")(request)

    harness.client.answer = answer
    record = harness.record(messageId=None, to=None, destinations=many(4))

    assert harness.run(record) == ["record-1"]
    assert harness.ledger.states() == {
        "d-0": "ACCEPTED",
        "d-1": "ACCEPTED",
        "d-2": "REJECTED",
        "d-3": "WAITING",
    }
    harness.seconds_left = 60
    assert harness.run(record) == []
    assert harness.ledger.states()["d-3"] == "ACCEPTED"
    assert harness.client.posted_ids().count("d-3") == 3


def test_lost_answer_during_a_division_leaves_its_part_unknown(harness: Harness) -> None:
    """What was refused may be sent again, but what may have been accepted may not."""

    def answer(request: AdvancedRequest) -> SendResponse:
        if len(request.destinations) == 1:
            raise OutcomeUnknownError("no answer")
        raise RequestRejectedError("no", status=400)

    harness.client.answer = answer
    record = harness.record(messageId=None, to=None, destinations=many(2))
    harness.run(record)
    harness.run(record)

    assert harness.ledger.states() == {"d-0": "UNKNOWN", "d-1": "UNKNOWN"}
    assert [len(request.destinations) for request in harness.client.sent] == [2, 1, 1]


def test_rejected_destination_does_not_affect_the_others(harness: Harness) -> None:
    """Infobip decides on each destination individually."""

    def answer(request: AdvancedRequest) -> SendResponse:
        good, bad = accept_all(request), answer_to(request, REFUSED)
        return SendResponse(messages=(good.messages[0], bad.messages[1]))

    harness.client.answer = answer
    failed = harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED"}
    assert harness.ledger.item("m-2")["status"]["id"] == 14
    assert failed == []


# --- Unknown -------------------------------------------------------------------------------


def without_entries(_: AdvancedRequest) -> SendResponse:
    """Return an answer without entries."""
    return SendResponse(messages=())


def without_status(request: AdvancedRequest) -> SendResponse:
    """Return an answer whose entries have no status."""
    return answer_to(request, None)


def with_new_group(request: AdvancedRequest) -> SendResponse:
    """Return a status group that is not documented."""
    return answer_to(request, Status(group_id=9, id=99))


def about_another(request: AdvancedRequest) -> SendResponse:
    """Return an answer about another message."""
    status = accept_all(request).messages[0].status
    return SendResponse(messages=(SendResult(message_id="other", status=status),))


def lost(_: AdvancedRequest) -> SendResponse:
    raise OutcomeUnknownError("no answer")


@pytest.mark.parametrize(
    "answer", [lost, without_entries, without_status, with_new_group, about_another]
)
def test_message_of_unknown_outcome_is_never_posted_again(
    harness: Harness, answer: Callable[[AdvancedRequest], SendResponse]
) -> None:
    """If the answer does not settle a message, its redelivered record only checks the state."""
    harness.client.answer = answer
    failed = harness.run(harness.record())
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}
    assert failed == ["record-1"]
    assert harness.queue.delays == {"record-1": harness.ledger.check_after}

    harness.client.answer = accept_all
    for _ in range(3):
        harness.clock.pass_by(hours=1)
        failed = harness.run(harness.record())
        assert failed == ["record-1"]

    assert harness.client.posted_ids() == ["m-1"]
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}
    assert harness.queue.dead == []


def test_entries_without_ids_are_matched_by_position(harness: Harness) -> None:
    """This needs an answer with all entries."""

    def answer(request: AdvancedRequest) -> SendResponse:
        statuses = (accept_all(request).messages[0].status, REFUSED)
        return SendResponse(messages=tuple(SendResult(status=status) for status in statuses))

    harness.client.answer = answer
    harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "ACCEPTED", "m-2": "REJECTED"}


def test_missing_entry_affects_only_its_message(harness: Harness) -> None:
    """The other entries are found by their ids."""
    harness.client.answer = lambda request: SendResponse(messages=accept_all(request).messages[1:])
    failed = harness.run(harness.record(1), harness.record(2))

    assert harness.ledger.states() == {"m-1": "UNKNOWN", "m-2": "ACCEPTED"}
    assert failed == ["record-1"]


@pytest.mark.parametrize("earlier", [None, lost])
def test_duplicate_id_proves_nothing(
    harness: Harness, earlier: Callable[[AdvancedRequest], SendResponse] | None
) -> None:
    """Infobip may know the id from an earlier attempt or another sender; the logs decide."""
    if earlier is not None:
        harness.client.answer = earlier
        harness.run(harness.record())
        harness.ledger.change(
            transitions.sent_again, harness.ledger.message("m-1"), harness.ledger.clock()
        )
    harness.client.answer = lambda request: answer_to(request, DUPLICATE)
    failed = harness.run(harness.record())

    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("UNKNOWN", "duplicate-id")
    assert failed == ["record-1"]


def test_message_of_a_killed_run_is_not_posted_again(harness: Harness) -> None:
    """The run may have posted before it was killed, so the expired lease becomes unknown."""

    def killed(_: AdvancedRequest) -> SendResponse:
        raise SystemExit

    harness.client.answer = killed
    with pytest.raises(SystemExit):
        harness.run(harness.record())
    harness.client.answer = accept_all
    failed = harness.run(harness.record())
    assert (harness.ledger.states(), failed) == ({"m-1": "CLAIMED"}, ["record-1"])
    assert harness.queue.delays["record-1"] <= timedelta(seconds=120)

    harness.clock.pass_by(minutes=3)
    failed = harness.run(harness.record())

    assert (harness.ledger.states(), failed) == ({"m-1": "UNKNOWN"}, ["record-1"])
    assert harness.client.posted_ids() == ["m-1"]


def test_quarantined_message_is_dead_lettered_with_its_content(harness: Harness) -> None:
    """The operator who decides finds all that is needed to send it."""
    harness.client.answer = lost
    record = harness.record()
    harness.run(record)
    harness.ledger.change(
        transitions.quarantined, harness.ledger.message("m-1"), harness.ledger.clock()
    )
    failed = harness.run(record)

    assert failed == []
    assert harness.dead() == [("record-1", DeadLetterReason.QUARANTINED, "")]
    assert harness.queue.dead[0][0].body == record.body
    assert harness.client.posted_ids() == ["m-1"]


def test_record_stays_until_each_of_its_messages_has_a_verdict(harness: Harness) -> None:
    destinations = many(2)
    record = harness.record(messageId=None, to=None, destinations=destinations)
    harness.client.answer = lost
    harness.run(record)
    harness.ledger.change(
        transitions.quarantined, harness.ledger.message("d-0"), harness.ledger.clock()
    )
    failed = harness.run(record)
    assert (failed, harness.queue.dead) == (["record-1"], [])

    harness.ledger.change(
        transitions.proven_accepted,
        harness.ledger.message("d-1"),
        Evidence.LOGS,
        harness.ledger.clock(),
        harness.ledger.check_after,
    )
    failed = harness.run(record)
    assert (failed, harness.dead()) == ([], [("record-1", DeadLetterReason.QUARANTINED, "")])


@pytest.mark.parametrize("policy", ["never-duplicate", "must-arrive"])
def test_event_overrides_the_policy(harness: Harness, policy: str) -> None:
    """The caller decides about unknown outcomes; otherwise the deployment's policy applies."""
    harness.policy = Policy(timedelta(seconds=120), "must-arrive")
    harness.run(harness.record(1, onUnknown=policy), harness.record(2))

    assert harness.ledger.item("m-1")["onUnknown"] == policy
    assert harness.ledger.item("m-2")["onUnknown"] == "must-arrive"


# --- Where reports go ----------------------------------------------------------------------


def test_reports_go_to_the_webhook_of_their_bulk(harness: Harness) -> None:
    """Every request gives Infobip a URL that only its own bulk has."""
    harness.webhook = Webhook("https://reports.example/", lambda: [b"k" * 32])
    harness.run(harness.record())

    (request,) = harness.client.sent
    assert request.bulk_id
    assert request.notify_url == harness.webhook.url_for(request.bulk_id)
    assert json.loads(request.to_json())["notifyContentType"] == "application/json"


@pytest.mark.parametrize("own", [{"notifyUrl": "https://caller.example/"}, {"notify": False}])
def test_report_settings_of_an_event_are_kept(harness: Harness, own: dict[str, Any]) -> None:
    harness.webhook = Webhook("https://reports.example/", lambda: [b"k" * 32])
    harness.run(harness.record(**own))

    (request,) = harness.client.sent
    assert json.loads(request.to_json()).get("notifyUrl") == own.get("notifyUrl")


def test_message_waits_without_the_webhook_key(harness: Harness) -> None:
    """Its reports could not be addressed to the webhook."""

    def no_key() -> list[bytes]:
        raise ParameterUnavailableError("SSM parameter /omni/dev/webhook/key cannot be read")

    harness.webhook = Webhook("https://reports.example/", no_key)
    failed = harness.run(harness.record())

    assert harness.client.sent == []
    assert (harness.ledger.states(), failed) == ({"m-1": "WAITING"}, ["record-1"])


# --- Outages -------------------------------------------------------------------------------


def test_unavailable_registry_delays_a_record_without_a_claim(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known of the scenario, so nothing is claimed, rejected or posted."""

    def find(_: str) -> RegisteredScenario | None:
        raise ParameterUnavailableError("SSM cannot be read")

    monkeypatch.setattr(harness.scenarios, "find", find)
    failed = harness.run(harness.record(1), harness.record(2, scenario=None, scenarioKey="key-2"))

    assert failed == ["record-1"]
    assert harness.ledger.states() == {"m-2": "ACCEPTED"}
    assert harness.queue.dead == []


@dataclass
class UnreadableParameters:
    """SSM during an outage: no parameter can be read."""

    error: ParameterUnavailableError | None = field(
        default_factory=lambda: ParameterUnavailableError("SSM parameter cannot be read")
    )

    def keys(self) -> list[bytes]:
        self.read()
        return [b"k" * 32]

    def answer(self, request: AdvancedRequest) -> SendResponse:
        """Accept a request after its credentials were read."""
        self.read()
        return accept_all(request)

    def read(self) -> None:
        if self.error is not None:
            raise self.error


def break_parameter(harness: Harness, parameter: str) -> UnreadableParameters:
    """Make SSM fail for the webhook's key or for the credentials."""
    ssm = UnreadableParameters()
    if parameter == "key":
        harness.client.answer = accept_all
        harness.webhook = Webhook("https://reports.example/", ssm.keys)
    else:
        harness.client.answer = ssm.answer
    return ssm


@pytest.mark.parametrize("parameter", ["key", "credentials"])
def test_ssm_outage_does_not_open_the_circuit(harness: Harness, parameter: str) -> None:
    """The records wait, and Infobip gets them once SSM is back."""
    ssm = break_parameter(harness, parameter)
    records = [harness.record(number, sms={"text": f"text {number}"}) for number in range(12)]
    for _ in range(3):
        failed = harness.run(*records)

        assert failed == [record.sqs_id for record in records]
        assert set(harness.ledger.states().values()) == {"WAITING"}
        assert harness.breaker.retry_in_seconds() == 0
    assert harness.queue.dead == []

    ssm.error = None
    failed = harness.run(*records)

    assert failed == []
    assert set(harness.ledger.states().values()) == {"ACCEPTED"}


@pytest.mark.parametrize("parameter", ["key", "credentials"])
def test_ssm_outage_does_not_use_up_the_probe(harness: Harness, parameter: str) -> None:
    """The next record is the probe, immediately; the backoff has not grown."""
    open_circuit(harness)
    harness.clock.pass_by(seconds=5)
    ssm = break_parameter(harness, parameter)
    for _ in range(3):
        failed = harness.run(harness.record(2))
        assert failed == ["record-2"]
        assert harness.breaker.retry_in_seconds() == 0

    ssm.error = None
    harness.fail(NotProcessedError("not reached"))
    harness.run(harness.record(2))
    assert harness.breaker.retry_in_seconds() == 10
    harness.clock.pass_by(seconds=10)
    harness.client.answer = accept_all
    failed = harness.run(harness.record(2))

    assert failed == []
    assert harness.ledger.states()["m-2"] == "ACCEPTED"


def open_circuit(harness: Harness) -> None:
    """Open the circuit with five failed posts."""
    harness.fail(NotProcessedError("not reached"))
    for _ in range(5):
        harness.run(harness.record(1))


def test_open_circuit_claims_and_posts_nothing(harness: Harness) -> None:
    """While Infobip is down, a batch costs neither a write nor a call."""
    open_circuit(harness)
    posted = len(harness.client.sent)
    failed = harness.run(harness.record(2), harness.record(3))

    assert len(harness.client.sent) == posted
    assert harness.ledger.states() == {"m-1": "WAITING"}
    assert failed == ["record-2", "record-3"]
    assert all(delay >= timedelta(seconds=3.75) for delay in harness.queue.delays.values())


def test_half_open_circuit_allows_one_probe(harness: Harness) -> None:
    """After the backoff one request is tried; the others wait for its result."""
    open_circuit(harness)
    posted = len(harness.client.sent)
    harness.clock.pass_by(seconds=5)
    batch = [harness.record(number, sms={"text": f"text {number}"}) for number in (2, 3, 4)]
    failed = harness.run(*batch)
    assert len(harness.client.sent) == posted + 1
    assert len(failed) == 3

    harness.clock.pass_by(seconds=10)
    harness.client.answer = accept_all
    harness.run(batch[0])
    failed = harness.run(*batch)
    assert failed == []
    assert set(harness.ledger.states().values()) == {"WAITING", "ACCEPTED"}


@pytest.mark.parametrize(
    ("seconds_left", "lease", "posted"),
    [(60.0, 120, True), (14.0, 120, False), (60.0, 50, False)],
)
def test_message_waits_without_the_time_to_finish_its_post(
    harness: Harness, seconds_left: float, lease: int, *, posted: bool
) -> None:
    """A post must end within the lease, and leave the function time to write the result."""
    harness.policy = Policy(timedelta(seconds=lease), "never-duplicate")
    harness.seconds_left = seconds_left
    failed = harness.run(harness.record())

    assert len(harness.client.sent) == int(posted)
    assert harness.ledger.states() == {"m-1": "ACCEPTED" if posted else "WAITING"}
    assert failed == ([] if posted else ["record-1"])


def test_record_is_redelivered_while_the_ledger_is_unavailable(harness: Harness) -> None:
    """Without a claim nothing is posted."""
    harness.ledger.table.failures.update({"execute": 9, "get_all": 9})
    failed = harness.run(harness.record())

    assert harness.client.sent == []
    assert failed == ["record-1"]
    assert harness.queue.dead == []


def test_message_whose_result_cannot_be_written_becomes_unknown(harness: Harness) -> None:
    """It was posted, but the lease expires without a result."""

    def answer(request: AdvancedRequest) -> SendResponse:
        harness.ledger.table.failures["execute"] = 1
        return accept_all(request)

    harness.client.answer = answer
    failed = harness.run(harness.record())
    assert failed == ["record-1"]

    harness.clock.pass_by(minutes=3)
    harness.run(harness.record())
    assert harness.client.posted_ids() == ["m-1"]
    assert harness.ledger.states() == {"m-1": "UNKNOWN"}


def test_report_that_is_faster_than_the_answer_wins(harness: Harness) -> None:
    """A message that is proven accepted before its answer arrives keeps that state."""

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
    failed = harness.run(harness.record())

    item = harness.ledger.item("m-1")
    assert (item["state"], item["evidence"]) == ("ACCEPTED", "report")
    assert failed == []


# --- The handler ---------------------------------------------------------------------------


def event_of(*records: Record) -> dict[str, Any]:
    """Build the event that Lambda passes for a batch."""
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


def test_handler_returns_the_failed_records(harness: Harness) -> None:
    """Only records without a verdict are redelivered, even if that is the whole batch."""
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
        (accept_all, "ACCEPTED"),
        (lambda request: answer_to(request, REFUSED), "REJECTED"),
        (lost, "UNKNOWN"),
    ],
)
def test_no_personal_data_is_printed(
    harness: Harness,
    printed: Printed,
    answer: Callable[[AdvancedRequest], SendResponse],
    state: MessageState,
) -> None:
    """Log lines and metrics hold ids and states, but no number, text or body."""
    harness.client.answer = answer
    bodies = [
        BODY,
        BODY | {"messageId": "m-2", "sms": {"text": [TEXT]}},
        BODY | {"messageId": "m-3", "to": {"phoneNumber": f"0{PHONE}"}},
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


def test_error_texts_of_infobip_are_not_printed(harness: Harness, printed: Printed) -> None:
    """They may quote the request; only the table stores them."""
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
def test_refusal_of_the_account_is_counted(
    harness: Harness, printed: Printed, error: Exception, refusals: list[float] | None
) -> None:
    """Rejected credentials need an operator; throttling and outages end without one."""
    harness.fail(error)

    harness.invoke(event_of(harness.record()))

    assert numbers(printed).get("AccountRefusals") == refusals


@pytest.mark.parametrize(
    ("status_id", "refusals"), [(12, [1.0]), (13, [1.0]), (17, [1.0]), (14, None), (6, None)]
)
def test_rejection_for_the_account_is_counted(
    harness: Harness, printed: Printed, status_id: int, refusals: list[float] | None
) -> None:
    """Credit, sender and package count; reasons that concern one recipient do not."""
    harness.client.answer = lambda request: answer_to(request, Status(group_id=5, id=status_id))

    harness.invoke(event_of(harness.record()))

    assert numbers(printed).get("AccountRefusals") == refusals


def test_age_of_the_oldest_failed_record_is_published(harness: Harness, printed: Printed) -> None:
    """SQS's own metric ignores records that it has delivered three times."""
    harness.fail(NotProcessedError("not reached"))
    old = replace(
        harness.record(1), sent_at=harness.clock.now - timedelta(hours=5), receive_count=40
    )

    harness.invoke(event_of(harness.record(2), old))

    assert numbers(printed)["OldestRecordSeconds"] == [5 * 3600.0]


def test_age_of_a_record_behind_an_open_circuit_is_published(
    harness: Harness, printed: Printed
) -> None:
    """Nothing is claimed for the record, but it waits."""
    for _ in range(5):
        harness.breaker.failed()
    old = replace(harness.record(), sent_at=harness.clock.now - timedelta(hours=2))

    harness.invoke(event_of(old))

    assert numbers(printed)["OldestRecordSeconds"] == [2 * 3600.0]


def test_no_age_is_published_for_acknowledged_records(harness: Harness, printed: Printed) -> None:
    """A metric that no alarm needs would only cost money."""
    harness.invoke(event_of(harness.record()))

    assert "OldestRecordSeconds" not in numbers(printed)


# --- Items of another version --------------------------------------------------------------

OF_ANOTHER_VERSION: list[dict[str, Any]] = [
    {"state": "SEEN"},
    {"state": None},
    {"to": "everybody"},
    {"claimedAt": "yesterday"},
    {"leaseUntil": "2026-01-31T12:00:00"},
    {"attempts": [1]},
]


@pytest.mark.parametrize("attributes", OF_ANOTHER_VERSION)
def test_unreadable_message_does_not_affect_its_batch(
    harness: Harness, log: Log, attributes: dict[str, Any]
) -> None:
    """Only its own record is redelivered, and the message is not changed."""
    harness.run(harness.record(2))
    before = dict(harness.ledger.item("m-2"))
    harness.ledger.alter("m-2", **attributes)
    altered = harness.ledger.item("m-2")

    failed = harness.run(harness.record(1), harness.record(2), harness.record(3))

    assert failed == ["record-2"]
    assert harness.client.posted_ids() == ["m-2", "m-1", "m-3"]
    assert harness.ledger.item("m-2") == altered
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["message_id"]) == ("a message cannot be read", "m-2")

    harness.ledger.alter("m-2", **before)
    assert harness.run(harness.record(2)) == []


def test_result_does_not_overwrite_a_state_of_another_version(
    harness: Harness,
) -> None:
    """A later version was faster: its state stays, and the other message is not affected."""

    def answer(request: AdvancedRequest) -> SendResponse:
        harness.ledger.alter("m-1", state="SEEN")
        return accept_all(request)

    harness.client.answer = answer
    failed = harness.run(harness.record(1), harness.record(2))

    assert failed == ["record-1"]
    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "ACCEPTED"}


def test_expired_lease_of_a_message_made_unreadable_does_not_affect_its_batch(
    harness: Harness,
) -> None:
    """The message changes between its read and its write."""
    harness.fail(OutcomeUnknownError("no answer"))
    harness.run(harness.record(1))
    harness.ledger.alter("m-1", state="CLAIMED")
    harness.clock.pass_by(minutes=5)

    def interfere() -> None:
        harness.ledger.table.before_execute = lambda: harness.ledger.alter("m-1", state="SEEN")

    harness.ledger.table.before_execute = interfere
    harness.client.answer = accept_all
    failed = harness.run(harness.record(1), harness.record(2))

    assert failed == ["record-1"]
    assert harness.ledger.states() == {"m-1": "SEEN", "m-2": "ACCEPTED"}
