"""An operator can look at what was set aside, and what is sent again is sent at most once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.redrive_messages import app
from functions.redrive_messages.app import Dependencies, redrive_messages
from infobip_omni import dead_letter_queue, transitions
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dead_letter_queue import DeadLetterQueue
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.redrive_messages import parse
from infobip_omni.message import Evidence, MessageState
from infobip_omni.transitions import AttemptResult
from tests.fakes import Clock, FakeLedger, make_claim

from .conftest import CONTEXT, PHONE, TEXT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from infobip_omni.dynamodb import Item

    from .conftest import Printed

Json = dict[str, Any]

WORDS = {"by": "canary operator", "why": "canary reason"}
LEASE = timedelta(minutes=2)


class Harness:
    """The function and what it talks to."""

    def __init__(self, client: SQSClient) -> None:
        self.client = client
        self.send_url = client.create_queue(QueueName="send")["QueueUrl"]
        self.dead_url = client.create_queue(QueueName="dead")["QueueUrl"]
        self.queue = DeadLetterQueue(self.dead_url, self.send_url, client)
        self.clock = Clock()
        self.ledger = FakeLedger(self.clock)
        self.seconds_left = 60.0

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(self.queue, self.ledger)

    def run(self, action: str, **members: object) -> Json:
        """Let the function carry out a command."""
        wanted = parse({"action": action} | members)
        return redrive_messages(wanted, self.dependencies, lambda: self.seconds_left, self.clock)

    def invoke(self, event: object) -> Json:
        """Invoke the function as Lambda does."""
        return app.lambda_handler(event, CONTEXT)

    def set_aside(self, *message_ids: str, reason: str = "OUTAGE", **attributes: str) -> str:
        """Put a record with these messages into the dead-letter queue, and return its id."""
        body = {
            "sms": {"text": TEXT},
            "destinations": [
                {"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids
            ],
        }
        return self.set_aside_raw(json.dumps(body), reason=reason, **attributes)

    def set_aside_raw(self, body: str, **attributes: str) -> str:
        """Put a record with this body there."""
        answer = self.client.send_message(
            QueueUrl=self.dead_url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
        return answer["MessageId"]

    def quarantine(self, *message_ids: str) -> None:
        """Let nobody know what became of these messages."""
        for message_id in message_ids:
            self.claim(message_id)
            self.clock.pass_by(seconds=121)
            self.ledger.change(
                transitions.lease_expired,
                self.ledger.message(message_id),
                self.ledger.clock(),
                self.ledger.check_after,
            )
            self.ledger.change(
                transitions.quarantined, self.ledger.message(message_id), self.ledger.clock()
            )

    def claim(self, message_id: str) -> str:
        """Claim a message, as a sender does, and return the token."""
        claim = make_claim(message_id, steps=None)
        (claim_status,) = self.ledger.claim([claim], LEASE)
        return claim_status.token or ""

    def accept(self, message_id: str) -> None:
        """Let the sender send a message and Infobip take it."""
        token = self.claim(message_id)
        self.ledger.save(
            [AttemptResult(message_id, token, MessageState.ACCEPTED, Evidence.RESPONSE)]
        )

    def prove(self, message_id: str) -> None:
        """Let a report tell that Infobip has a message after all."""
        self.ledger.change(
            transitions.proven_accepted,
            self.ledger.message(message_id),
            Evidence.REPORT,
            self.ledger.clock(),
            self.ledger.check_after,
        )

    def left(self) -> set[str]:
        """Return the ids of the records that are in the dead-letter queue, and hold them."""
        found: set[str] = set()
        while records := self.queue.receive():
            found |= {record.record_id for record in records}
        return found

    def sent_again(self) -> list[tuple[str, list[str]]]:
        """Take the send queue's records: the first id and the message ids of each."""
        records: list[tuple[str, list[str]]] = []
        while found := self.client.receive_message(
            QueueUrl=self.send_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for record in found:
                first_id = record["MessageAttributes"]["originalMessageId"]["StringValue"]
                destinations = json.loads(record["Body"])["destinations"]
                records.append((first_id, [each["messageId"] for each in destinations]))
        return records


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, sqs: SQSClient) -> Harness:
    """Return a harness whose queues and ledger are empty."""
    monkeypatch.setattr(dead_letter_queue, "WAIT_SECONDS", 0)
    harness = Harness(sqs)
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


# --- Commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (None, "action"),
        ([], "action"),
        ({}, "action"),
        ({"action": "purge"}, "action"),
        ({"action": ["list"]}, "action"),
        ({"action": "list", "dryRun": True}, "dryRun"),
        ({"action": "list", "limit": 0}, "limit"),
        ({"action": "list", "limit": 1001}, "limit"),
        ({"action": "list", "limit": "10"}, "limit"),
        ({"action": "list", "reason": "WHATEVER"}, "reason"),
        ({"action": "list", "reason": 1}, "reason"),
        ({"action": "list", "showContent": "yes"}, "showContent"),
        ({"action": "redrive", "dryRun": 0}, "dryRun"),
        ({"action": "redrive", "dryrun": False}, "dryrun"),
        ({"action": "redrive", "originalMessageId": ""}, "originalMessageId"),
        ({"action": "release", "by": "a", "why": "b"}, "messageId"),
        ({"action": "release", "messageId": "m-1", "why": "b"}, "by"),
        ({"action": "close", "messageId": "m-1", "by": "a"}, "why"),
        ({"action": "close", "messageId": "m-1", "by": " ", "why": "b"}, "by"),
    ],
)
def test_order_that_breaks_a_rule_is_refused_by_naming_the_field(event: object, field: str) -> None:
    """Nothing is done on a guess of what was meant."""
    with pytest.raises(InvalidEventError) as caught:
        parse(event)

    assert caught.value.field == field


def test_error_does_not_quote_the_order() -> None:
    """A value may be anything, a phone number in the wrong place included."""
    with pytest.raises(InvalidEventError) as caught:
        parse({"action": "list", "reason": PHONE})

    assert PHONE not in str(caught.value)


# --- List ------------------------------------------------------------------------------------


def test_list_tells_why_and_since_when_and_about_which_messages(harness: Harness) -> None:
    """That is what a decision takes; what the record says to whom is not shown."""
    record_id = harness.set_aside(
        "m-1",
        "m-2",
        reason="INVALID",
        field="scenario",
        rule="must be the name or slug of a registered scenario",
        originalMessageId="first-1",
    )

    answer = harness.run("list")

    (record,) = answer["records"]
    assert record.pop("sentAt").endswith("Z")
    assert record.pop("ageSeconds") < 10
    assert record == {
        "recordId": record_id,
        "originalMessageId": "first-1",
        "reason": "INVALID",
        "field": "scenario",
        "rule": "must be the name or slug of a registered scenario",
        "destinations": 2,
        "messageIds": ["m-1", "m-2"],
    }
    assert (answer["complete"], answer["approximateSize"]) == (True, 1)


def test_list_shows_content_only_when_asked_to(harness: Harness) -> None:
    """A body holds personal data."""
    harness.set_aside("m-1")

    plain = json.dumps(harness.run("list"))
    full = json.dumps(harness.run("list", showContent=True))

    assert PHONE not in plain
    assert TEXT not in plain
    assert PHONE in full
    assert TEXT in full


def test_list_shows_what_cannot_be_read(harness: Harness) -> None:
    """A body that is no event has no messages, and is listed all the same."""
    harness.set_aside_raw("not JSON", reason="INVALID", field="body", rule="must be JSON in UTF-8")

    (record,) = harness.run("list")["records"]

    assert record["messageIds"] == []
    assert "destinations" not in record


def test_list_derives_message_ids_as_the_sender_does(harness: Harness) -> None:
    """A destination without an id has one by the id under which the record was first queued."""
    body = {"sms": {"text": TEXT}, "destinations": [{"to": {"phoneNumber": PHONE}}] * 2}
    harness.set_aside_raw(json.dumps(body), reason="OUTAGE", originalMessageId="first-1")

    (record,) = harness.run("list")["records"]

    assert record["messageIds"] == ["first-1-0", "first-1-1"]


def test_list_can_be_of_one_reason(harness: Harness) -> None:
    """A record without a reason, which SQS has moved by itself, counts as OTHER."""
    for reason in ("OUTAGE", "CONFLICT", "QUARANTINED", "INVALID"):
        harness.set_aside("m-1", reason=reason)
    harness.set_aside_raw("{}")

    for reason in ("OUTAGE", "CONFLICT", "QUARANTINED", "INVALID", "OTHER"):
        records = harness.run("list", reason=reason)["records"]
        assert [record["reason"] for record in records] == [reason]


def test_list_that_is_cut_says_so(harness: Harness) -> None:
    """Neither the limit nor the end of time makes it look as if there were no more."""
    for number in range(25):
        harness.set_aside(f"m-{number}")

    short = harness.run("list", limit=20)
    full = harness.run("list", limit=26)
    harness.seconds_left = 1
    hurried = harness.run("list")

    assert (len(short["records"]), short["complete"]) == (20, False)
    assert (len(full["records"]), full["complete"]) == (25, True)
    assert (len(hurried["records"]), hurried["complete"]) == (0, False)
    assert hurried["approximateSize"] == 25


@pytest.mark.parametrize(
    "record", ["x", '"', "\u0161", "\U0001f600"], ids=["plain", "quote", "two-bytes", "four-bytes"]
)
def test_list_fits_the_answer_of_a_function(harness: Harness, record: str) -> None:
    """Lambda drops an answer of more than 6 MB altogether; what is left out is not concealed."""
    for _ in range(12):
        harness.set_aside_raw(record * (262_144 // len(record.encode())), reason="INVALID")

    answer = harness.run("list", showContent=True)

    assert 1 < len(answer["records"]) < 12
    assert not answer["complete"]
    assert len(json.dumps(answer)) < 6 * 1024 * 1024


def test_list_of_the_longest_ids_fits_the_answer_of_a_function(harness: Harness) -> None:
    """They are told twice where each of them has to be decided about."""
    ids = [f"{number:03d}" + "\u0161" * 197 for number in range(500)]
    harness.quarantine(*ids)
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in ids]
    body = {"sms": {"text": TEXT}, "destinations": destinations}
    for _ in range(8):
        harness.set_aside_raw(json.dumps(body, ensure_ascii=False), reason="QUARANTINED")

    answer = harness.run("list", showContent=True)

    assert answer["records"][0]["quarantinedMessageIds"] == ids
    assert 1 < len(answer["records"]) < 8
    assert not answer["complete"]
    assert len(json.dumps(answer)) < 6 * 1024 * 1024


def test_list_names_the_messages_that_wait_for_a_decision(harness: Harness) -> None:
    """Of all the messages of a quarantined record, these are the ones to release or close."""
    harness.quarantine("m-1", "m-2", "m-3")
    harness.accept("m-4")
    harness.set_aside("m-1", "m-2", "m-3", "m-4", reason="QUARANTINED")
    harness.prove("m-2")
    harness.run("close", messageId="m-3", **WORDS)

    (record,) = harness.run("list")["records"]

    assert record["quarantinedMessageIds"] == ["m-1"]


# --- Redrive ---------------------------------------------------------------------------------


def test_redrive_only_tells_what_it_would_do_unless_told_otherwise(harness: Harness) -> None:
    """Nothing moves in a dry run."""
    ids = {harness.set_aside(f"m-{number}") for number in range(3)}
    ids.add(harness.set_aside("m-9", reason="CONFLICT"))

    answer = harness.run("redrive")

    assert answer["dryRun"] is True
    assert answer["found"] == {"OUTAGE": 3, "CONFLICT": 1}
    assert (answer["redriven"], answer["failed"]) == (0, 0)
    assert harness.sent_again() == []
    assert harness.left() == ids


def test_redrive_moves_letters_under_their_first_id(harness: Harness) -> None:
    """More than SQS hands out at once, each with what its message ids derive from."""
    for number in range(23):
        harness.set_aside(f"m-{number}", originalMessageId=f"first-{number}")

    answer = harness.run("redrive", dryRun=False)

    expected = [(f"first-{number}", [f"m-{number}"]) for number in range(23)]
    assert (answer["redriven"], answer["complete"]) == (23, True)
    assert sorted(harness.sent_again()) == sorted(expected)
    assert harness.left() == set()


def test_redrive_leaves_quarantined_messages_alone(harness: Harness) -> None:
    """They were perhaps sent: only a release sends them again, one by one."""
    harness.set_aside("m-1")
    quarantined = harness.set_aside("m-2", reason="QUARANTINED")

    answer = harness.run("redrive", dryRun=False)

    assert (answer["redriven"], answer["skippedQuarantined"]) == (1, 1)
    assert [ids for _, ids in harness.sent_again()] == [["m-1"]]
    assert harness.left() == {quarantined}


def test_redrive_can_be_of_one_reason_or_record(harness: Harness) -> None:
    """What else is there stays."""
    harness.set_aside("m-1", originalMessageId="first-1")
    other = harness.set_aside("m-2", originalMessageId="first-2")
    conflict = harness.set_aside("m-3", reason="CONFLICT", originalMessageId="first-1")

    answer = harness.run("redrive", dryRun=False, reason="OUTAGE", originalMessageId="first-1")

    assert answer["found"] == {"OUTAGE": 1}
    assert harness.left() == {other, conflict}


def test_redrive_stops_at_its_limit(harness: Harness) -> None:
    """It says that there may be more."""
    for number in range(5):
        harness.set_aside(f"m-{number}")

    answer = harness.run("redrive", dryRun=False, limit=2)

    assert (answer["redriven"], answer["complete"]) == (2, False)
    assert len(harness.left()) == 3


def test_letter_that_cannot_be_redriven_does_not_stop_the_others(harness: Harness) -> None:
    """It stays where it is, and is counted."""
    harness.set_aside("m-1")
    harness.client.delete_queue(QueueUrl=harness.send_url)

    answer = harness.run("redrive", dryRun=False)

    assert (answer["redriven"], answer["failed"]) == (0, 1)
    assert len(harness.left()) == 1


def test_redrive_again_after_a_crash_in_between_makes_a_harmless_copy(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both records derive the same message ids, which can be claimed once."""
    harness.set_aside("m-1", originalMessageId="first-1")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("redrive", dryRun=False)

    harness.run("redrive", dryRun=False)

    assert harness.sent_again() == [("first-1", ["m-1"])] * 2
    assert harness.left() == set()


# --- Release ---------------------------------------------------------------------------------


def test_released_message_can_be_claimed_again(harness: Harness) -> None:
    """Its record goes back to the sender, and its item says who has decided that, and why."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED", originalMessageId="first-1")

    answer = harness.run("release", messageId="m-1", **WORDS)

    item = harness.ledger.item("m-1")
    assert (answer["state"], answer["recordsRedriven"]) == ("WAITING", 1)
    assert (item["releasedBy"], item["releasedWhy"]) == (WORDS["by"], WORDS["why"])
    assert item["releasedAt"].endswith("Z")
    assert harness.sent_again() == [("first-1", ["m-1"])]
    assert harness.left() == set()
    harness.accept("m-1")
    assert harness.ledger.item("m-1")["state"] == "ACCEPTED"
    assert harness.ledger.item("m-1")["releasedBy"] == WORDS["by"]


def test_release_leaves_other_quarantined_messages_as_they_are(harness: Harness) -> None:
    """The sender sends one message of the record, and sets it aside again for the others."""
    harness.quarantine("m-1", "m-2")
    harness.set_aside("m-1", "m-2", reason="QUARANTINED")
    other = harness.set_aside("m-3", reason="QUARANTINED")

    harness.run("release", messageId="m-1", **WORDS)

    assert harness.ledger.states() == {"m-1": "WAITING", "m-2": "QUARANTINED"}
    assert [ids for _, ids in harness.sent_again()] == [["m-1", "m-2"]]
    assert harness.left() == {other}


@pytest.mark.parametrize("reason", ["INVALID", "CONFLICT"])
def test_release_sends_no_record_that_is_wrong_itself(reason: str, harness: Harness) -> None:
    """A record with other content under the same id is not what was released."""
    harness.quarantine("m-1")
    wrong = harness.set_aside("m-1", reason=reason)

    answer = harness.run("release", messageId="m-1", **WORDS)

    assert (answer["recordsRedriven"], answer["complete"]) == (0, True)
    assert harness.left() == {wrong}


def test_release_finds_the_record_of_an_outage(harness: Harness) -> None:
    """A record may be set aside before the logs were asked about one of its messages."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="OUTAGE")

    assert harness.run("release", messageId="m-1", **WORDS)["recordsRedriven"] == 1


@pytest.mark.parametrize("step", ["size", "receive", "send_back", "delete"])
def test_release_that_was_killed_is_finished_by_the_next(
    step: str, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was killed, the record is in the send queue in the end, and nowhere else."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED", originalMessageId="first-1")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, step, killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("release", messageId="m-1", **WORDS)

    harness.run("release", messageId="m-1", by="somebody else", why="again")

    copies = 2 if step == "delete" else 1
    assert harness.sent_again() == [("first-1", ["m-1"])] * copies
    assert harness.left() == set()


def test_release_whose_write_seems_to_fail_goes_on(harness: Harness) -> None:
    """DynamoDB may have done what it did not confirm; the item tells."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")
    harness.ledger.table.lost_answers = 1

    with pytest.raises(TableUnavailableError):
        harness.run("release", messageId="m-1", **WORDS)

    assert harness.run("release", messageId="m-1", **WORDS)["recordsRedriven"] == 1


@pytest.mark.parametrize("settled", [True, False])
def test_message_that_is_not_quarantined_is_not_released(settled: bool, harness: Harness) -> None:  # noqa: FBT001
    """Proof that arrives meanwhile, or a sender at work, leaves nothing to decide."""
    harness.quarantine("m-1")
    harness.prove("m-1")
    if not settled:
        harness.claim("m-2")
    record = harness.set_aside("m-1", "m-2", reason="QUARANTINED")

    with pytest.raises(InvalidEventError) as caught:
        harness.run("release", messageId="m-1" if settled else "m-2", **WORDS)

    state = "ACCEPTED" if settled else "CLAIMED"
    assert caught.value.field == "messageId"
    assert caught.value.rule == (
        f"names a message that is {state}, not quarantined: there is nothing to decide"
    )
    assert harness.sent_again() == []
    assert harness.left() == {record}


def test_released_message_that_was_sent_is_not_released_again(harness: Harness) -> None:
    """A record that turns up later stays where it is."""
    harness.quarantine("m-1")
    harness.run("release", messageId="m-1", **WORDS)
    harness.accept("m-1")
    record = harness.set_aside("m-1", reason="QUARANTINED")

    with pytest.raises(InvalidEventError, match="that is ACCEPTED, not quarantined"):
        harness.run("release", messageId="m-1", **WORDS)

    assert harness.left() == {record}


def test_proof_that_arrives_while_a_message_is_released_wins(harness: Harness) -> None:
    """The write is made only over the item that was read."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")
    harness.ledger.table.before_execute = lambda: harness.prove("m-1")

    with pytest.raises(InvalidEventError, match="ACCEPTED"):
        harness.run("release", messageId="m-1", **WORDS)

    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.sent_again() == []


@pytest.mark.parametrize("action", ["release", "close"])
def test_unknown_message_is_told_as_such(action: str, harness: Harness) -> None:
    """A typing error in an id does not look like success."""
    with pytest.raises(InvalidEventError, match="names no known message"):
        harness.run(action, messageId="m-1", **WORDS)


# --- Close -----------------------------------------------------------------------------------


def test_closed_message_stays_quarantined_and_its_letter_goes(harness: Harness) -> None:
    """Its item says who has decided that, and why; nothing is sent."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")

    answer = harness.run("close", messageId="m-1", **WORDS)

    item = harness.ledger.item("m-1")
    assert (answer["state"], answer["recordsDeleted"], answer["recordsKept"]) == (
        "QUARANTINED",
        1,
        0,
    )
    assert (item["closedBy"], item["closedWhy"]) == (WORDS["by"], WORDS["why"])
    assert "checkShard" not in item
    assert harness.left() == set()
    assert harness.sent_again() == []


def test_letter_goes_with_the_last_of_its_messages(harness: Harness) -> None:
    """Until then it is kept for those that may still be released."""
    harness.quarantine("m-1", "m-2")
    harness.accept("m-3")
    harness.set_aside("m-1", "m-2", "m-3", reason="QUARANTINED")

    first = harness.run("close", messageId="m-1", **WORDS)
    second = harness.run("close", messageId="m-2", **WORDS)

    assert (first["recordsDeleted"], first["recordsKept"]) == (0, 1)
    assert (second["recordsDeleted"], second["recordsKept"]) == (1, 0)


def test_letter_whose_message_was_released_is_not_deleted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release may have been killed before it has sent the record."""
    harness.quarantine("m-1", "m-2")
    harness.set_aside("m-1", "m-2", reason="QUARANTINED")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "receive", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("release", messageId="m-1", **WORDS)

    answer = harness.run("close", messageId="m-2", **WORDS)

    assert (answer["recordsDeleted"], answer["recordsKept"]) == (0, 1)


def test_closing_again_changes_nothing_but_finishes_what_was_begun(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first decision stands."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("close", messageId="m-1", **WORDS)

    answer = harness.run("close", messageId="m-1", by="somebody else", why="again")

    assert answer["recordsDeleted"] == 1
    assert harness.ledger.item("m-1")["closedBy"] == WORDS["by"]


def test_message_with_a_verdict_is_not_closed_but_its_letter_goes(harness: Harness) -> None:
    """Proof that has arrived meanwhile has made the decision."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")
    harness.prove("m-1")

    answer = harness.run("close", messageId="m-1", **WORDS)

    assert (answer["state"], answer["recordsDeleted"]) == ("ACCEPTED", 1)
    assert "closedAt" not in harness.ledger.item("m-1")


def test_message_that_is_still_to_be_sent_is_not_closed(harness: Harness) -> None:
    """Its record comes round by itself."""
    harness.claim("m-1")
    record = harness.set_aside("m-1", reason="QUARANTINED")

    with pytest.raises(InvalidEventError, match="CLAIMED, not quarantined"):
        harness.run("close", messageId="m-1", **WORDS)

    assert harness.left() == {record}


def test_closed_message_is_not_released(harness: Harness) -> None:
    """Its content may be gone."""
    harness.quarantine("m-1")
    harness.run("close", messageId="m-1", **WORDS)

    with pytest.raises(InvalidEventError, match="CLOSED, not quarantined"):
        harness.run("release", messageId="m-1", **WORDS)


def test_of_a_release_and_a_close_at_once_one_wins(harness: Harness) -> None:
    """A message is not sent whose content is about to be deleted."""
    harness.quarantine("m-1")
    harness.set_aside("m-1", reason="QUARANTINED")
    met: Item = harness.ledger.item("m-1")

    def close() -> None:
        harness.ledger.change(
            transitions.closed, met, "somebody else", "enough", harness.ledger.clock()
        )

    harness.ledger.table.before_execute = close

    with pytest.raises(InvalidEventError, match="CLOSED"):
        harness.run("release", messageId="m-1", **WORDS)

    assert harness.ledger.states() == {"m-1": "QUARANTINED"}
    assert harness.sent_again() == []


def test_message_that_reuses_an_expired_id_inherits_no_decision(harness: Harness) -> None:
    """A decision about one message says nothing about another."""
    harness.quarantine("m-1")
    harness.run("close", messageId="m-1", **WORDS)
    harness.clock.pass_by(days=91)

    harness.accept("m-1")

    item = harness.ledger.item("m-1")
    assert item["state"] == "ACCEPTED"
    assert not {"closedAt", "closedBy", "closedWhy"} & item.keys()


# --- The function ----------------------------------------------------------------------------


def test_function_logs_nothing_personal(harness: Harness, printed: Printed) -> None:
    """Neither what a record holds, nor what the operator has said."""
    harness.quarantine("m-1", "m-2")
    for message_id in ("m-1", "m-2"):
        harness.set_aside(message_id, reason="QUARANTINED")
    harness.set_aside("m-3")
    harness.set_aside("m-4", originalMessageId=TEXT)

    for event in (
        {"action": "list", "showContent": True},
        {"action": "redrive", "dryRun": False},
        {"action": "release", "messageId": "m-1"} | WORDS,
        {"action": "close", "messageId": "m-2"} | WORDS,
    ):
        answer = harness.invoke(event)
        assert answer["action"] == event["action"]

    told = printed()
    for name in ("RecordsRedriven", "MessagesReleased", "MessagesClosed"):
        assert name in told
    assert "record redriven" in told
    for canary in (PHONE, TEXT, *WORDS.values()):
        assert canary not in told


def test_order_that_sqs_does_not_carry_out_fails(harness: Harness) -> None:
    """The operator is not told that there was nothing."""
    harness.client.delete_queue(QueueUrl=harness.dead_url)

    with pytest.raises(QueueUnavailableError):
        harness.invoke({"action": "list"})


def killed(*_: object) -> None:
    """Let nothing after this happen."""
    raise KeyboardInterrupt


# --- What another version has written --------------------------------------------------------


def test_list_names_messages_that_cannot_be_read(harness: Harness) -> None:
    """The others are listed as ever."""
    harness.quarantine("m-1", "m-2", "m-3")
    harness.ledger.alter("m-2", state="SEEN")
    harness.set_aside("m-1", "m-2", reason="QUARANTINED")
    harness.set_aside("m-3", reason="QUARANTINED")

    records = harness.run("list")["records"]

    named = {
        tuple(each["quarantinedMessageIds"]): each.get("unreadableMessageIds") for each in records
    }
    assert named == {("m-1",): ["m-2"], ("m-3",): None}


@pytest.mark.parametrize("action", ["release", "close"])
def test_message_that_cannot_be_read_is_not_decided_about(harness: Harness, action: str) -> None:
    """Its record stays; a neighbour in it can be decided about."""
    harness.quarantine("m-1", "m-2")
    harness.ledger.alter("m-2", state="SEEN")
    harness.set_aside("m-1", "m-2", reason="QUARANTINED")

    with pytest.raises(InvalidEventError) as caught:
        harness.run(action, messageId="m-2", **WORDS)
    assert (caught.value.field, caught.value.rule) == (
        "messageId",
        "names a message that this version cannot read: deploy the version that wrote it",
    )

    answer = harness.run(action, messageId="m-1", **WORDS)
    if action == "close":
        assert (answer["recordsKept"], answer["unreadableMessageIds"]) == (1, ["m-2"])
    else:
        assert [ids for _, ids in harness.sent_again()] == [["m-1", "m-2"]]
    assert harness.ledger.states()["m-2"] == "SEEN"
