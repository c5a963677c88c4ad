"""Operators can inspect dead-lettered records; redriven messages are sent at most once."""

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

DECISION = {"by": "canary operator", "why": "canary reason"}
LEASE = timedelta(minutes=2)


class Harness:
    """The function and its fakes."""

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
        return Dependencies(self.queue, self.ledger)

    def run(self, action: str, **members: object) -> Json:
        """Run a command."""
        wanted = parse({"action": action} | members)
        return redrive_messages(wanted, self.dependencies, lambda: self.seconds_left, self.clock)

    def invoke(self, event: object) -> Json:
        return app.lambda_handler(event, CONTEXT)

    def dead_letter(self, *message_ids: str, reason: str = "OUTAGE", **attributes: str) -> str:
        """Dead-letter a record with these messages, and return its id."""
        body = {
            "sms": {"text": TEXT},
            "destinations": [
                {"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids
            ],
        }
        return self.dead_letter_raw(json.dumps(body), reason=reason, **attributes)

    def dead_letter_raw(self, body: str, **attributes: str) -> str:
        """Dead-letter a record with this body, and return its id."""
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
        """Quarantine messages whose lease has expired."""
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
        """Claim a message, and save that Infobip has accepted it."""
        token = self.claim(message_id)
        self.ledger.save(
            [AttemptResult(message_id, token, MessageState.ACCEPTED, Evidence.RESPONSE)]
        )

    def prove(self, message_id: str) -> None:
        """Apply the proof of a report that Infobip has a message after all."""
        self.ledger.change(
            transitions.proven_accepted,
            self.ledger.message(message_id),
            Evidence.REPORT,
            self.ledger.clock(),
            self.ledger.check_after,
        )

    def left(self) -> set[str]:
        """Receive all dead-lettered records, which become invisible, and return their ids."""
        found: set[str] = set()
        while records := self.queue.receive():
            found |= {record.record_id for record in records}
        return found

    def sent_again(self) -> list[tuple[str, list[str]]]:
        """Receive the send queue's records; return the original id and message ids of each."""
        records: list[tuple[str, list[str]]] = []
        while found := self.client.receive_message(
            QueueUrl=self.send_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for record in found:
                original_id = record["MessageAttributes"]["originalMessageId"]["StringValue"]
                destinations = json.loads(record["Body"])["destinations"]
                records.append((original_id, [each["messageId"] for each in destinations]))
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
def test_command_that_breaks_a_rule_is_rejected_with_its_field(event: object, field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse(event)

    assert caught.value.field == field


def test_error_does_not_quote_the_command() -> None:
    """Any value may be personal, such as a phone number in the wrong field."""
    with pytest.raises(InvalidEventError) as caught:
        parse({"action": "list", "reason": PHONE})

    assert PHONE not in str(caught.value)


# --- List ------------------------------------------------------------------------------------


def test_list_shows_reason_age_and_message_ids(harness: Harness) -> None:
    """A decision needs these; recipients and contents are not shown."""
    record_id = harness.dead_letter(
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


def test_list_shows_content_only_on_request(harness: Harness) -> None:
    """A body holds personal data."""
    harness.dead_letter("m-1")

    plain = json.dumps(harness.run("list"))
    full = json.dumps(harness.run("list", showContent=True))

    assert PHONE not in plain
    assert TEXT not in plain
    assert PHONE in full
    assert TEXT in full


def test_list_shows_unreadable_records(harness: Harness) -> None:
    """They are listed without message ids."""
    harness.dead_letter_raw(
        "not JSON", reason="INVALID", field="body", rule="must be JSON in UTF-8"
    )

    (record,) = harness.run("list")["records"]

    assert record["messageIds"] == []
    assert "destinations" not in record


def test_list_derives_message_ids_as_the_sender_does(harness: Harness) -> None:
    """A destination without an id gets one from the id under which the record was first queued."""
    body = {"sms": {"text": TEXT}, "destinations": [{"to": {"phoneNumber": PHONE}}] * 2}
    harness.dead_letter_raw(json.dumps(body), reason="OUTAGE", originalMessageId="first-1")

    (record,) = harness.run("list")["records"]

    assert record["messageIds"] == ["first-1-0", "first-1-1"]


def test_list_can_be_limited_to_one_reason(harness: Harness) -> None:
    """A record without a reason was moved by SQS automatically, and counts as OTHER."""
    for reason in ("OUTAGE", "CONFLICT", "QUARANTINED", "INVALID"):
        harness.dead_letter("m-1", reason=reason)
    harness.dead_letter_raw("{}")

    for reason in ("OUTAGE", "CONFLICT", "QUARANTINED", "INVALID", "OTHER"):
        records = harness.run("list", reason=reason)["records"]
        assert [record["reason"] for record in records] == [reason]


def test_incomplete_list_says_so(harness: Harness) -> None:
    """Neither the limit nor the end of the time makes it look complete."""
    for number in range(25):
        harness.dead_letter(f"m-{number}")

    short = harness.run("list", limit=20)
    full = harness.run("list", limit=26)
    harness.seconds_left = 1
    hurried = harness.run("list")

    assert (len(short["records"]), short["complete"]) == (20, False)
    assert (len(full["records"]), full["complete"]) == (25, True)
    assert (len(hurried["records"]), hurried["complete"]) == (0, False)
    assert hurried["approximateSize"] == 25


def pages(harness: Harness, **members: object) -> list[Json]:
    """Return the answers to a list and to its next tokens, until there are no more."""
    found = [harness.run("list", **members)]
    while "nextToken" in found[-1]:
        found.append(harness.run("list", **members, nextToken=found[-1]["nextToken"]))
        assert len(found) < 100
    return found


@pytest.mark.parametrize("limit", [2, 5])
def test_list_leads_to_its_next_page(
    harness: Harness, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is listed once, the oldest first, and only the last page is complete."""
    receive = harness.queue.receive
    # SQS promises no order.
    monkeypatch.setattr(harness.queue, "receive", lambda: receive()[::-1])
    ids = [harness.dead_letter(f"m-{number}") for number in range(5)]
    harness.dead_letter("m-5", reason="INVALID")

    found = pages(harness, limit=limit, reason="OUTAGE")

    listed = [record for page in found for record in page["records"]]
    assert sorted(record["recordId"] for record in listed) == sorted(ids)
    assert [record["sentAt"] for record in listed] == sorted(each["sentAt"] for each in listed)
    assert all(len(page["records"]) <= limit for page in found)
    assert [page["complete"] for page in found] == [False] * (len(found) - 1) + [True]
    assert len(found) == -(-5 // limit)


def test_record_that_arrives_between_two_pages_is_on_the_last(harness: Harness) -> None:
    """The token names a place and not a number, so redriven records do not matter either."""
    first, second = harness.dead_letter("m-1"), harness.dead_letter("m-2")
    token = harness.run("list", limit=1)["nextToken"]
    third = harness.dead_letter("m-3")

    answer = harness.run("list", nextToken=token)

    listed = {record["recordId"] for record in answer["records"]}
    assert listed in ({second, third}, {first, third})


@pytest.mark.parametrize(
    "token", ["", "x", "bm9uc2Vuc2U=", "WzEsMl0=", "WyJhIl0=", "e30=", "bnVsbA==", "š"]
)
def test_token_of_another_list_is_rejected(harness: Harness, token: str) -> None:
    with pytest.raises(InvalidEventError, match="nextToken: must be the nextToken of the last"):
        harness.run("list", nextToken=token)


@pytest.mark.thorough
@pytest.mark.parametrize("character", ['"', "\U0001f600"], ids=["quote", "four-bytes"])
def test_list_fits_into_an_answer(harness: Harness, character: str) -> None:
    """Lambda drops an answer of more than 6 MB, so the list goes on on further pages."""
    for _ in range(7):
        harness.dead_letter_raw(character * (262_144 // len(character.encode())), reason="INVALID")

    first, *others = pages(harness, showContent=True)

    assert 1 < len(first["records"]) < 7
    listed = [record["recordId"] for page in (first, *others) for record in page["records"]]
    assert len(set(listed)) == len(listed) == 7
    assert max(len(json.dumps(page)) for page in (first, *others)) < 6 * 1024 * 1024


@pytest.mark.thorough
def test_list_of_the_longest_ids_fits_into_an_answer(harness: Harness) -> None:
    """Ids of messages that need a decision are listed twice."""
    ids = [f"{number:03d}" + "\u0161" * 197 for number in range(500)]
    harness.quarantine(*ids)
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in ids]
    body = {"sms": {"text": TEXT}, "destinations": destinations}
    for _ in range(8):
        harness.dead_letter_raw(json.dumps(body, ensure_ascii=False), reason="QUARANTINED")

    answer = harness.run("list", showContent=True)

    assert answer["records"][0]["quarantinedMessageIds"] == ids
    assert 1 < len(answer["records"]) < 8
    assert not answer["complete"]
    assert len(json.dumps(answer)) < 6 * 1024 * 1024


def test_list_names_the_messages_that_need_a_decision(harness: Harness) -> None:
    """Of all messages of the record, these are the ones to release or close."""
    harness.quarantine("m-1", "m-2", "m-3")
    harness.accept("m-4")
    harness.dead_letter("m-1", "m-2", "m-3", "m-4", reason="QUARANTINED")
    harness.prove("m-2")
    harness.run("close", messageId="m-3", **DECISION)

    (record,) = harness.run("list")["records"]

    assert record["quarantinedMessageIds"] == ["m-1"]


# --- Redrive ---------------------------------------------------------------------------------


def test_redrive_is_a_dry_run_by_default(harness: Harness) -> None:
    ids = {harness.dead_letter(f"m-{number}") for number in range(3)}
    ids.add(harness.dead_letter("m-9", reason="CONFLICT"))

    answer = harness.run("redrive")

    assert answer["dryRun"] is True
    assert answer["found"] == {"OUTAGE": 3, "CONFLICT": 1}
    assert (answer["redriven"], answer["failed"]) == (0, 0)
    assert harness.sent_again() == []
    assert harness.left() == ids


def test_redrive_moves_records_with_their_original_ids(harness: Harness) -> None:
    """Message ids derive from them. SQS needs several calls to deliver 23 records."""
    for number in range(23):
        harness.dead_letter(f"m-{number}", originalMessageId=f"first-{number}")

    answer = harness.run("redrive", dryRun=False)

    expected = [(f"first-{number}", [f"m-{number}"]) for number in range(23)]
    assert (answer["redriven"], answer["complete"]) == (23, True)
    assert sorted(harness.sent_again()) == sorted(expected)
    assert harness.left() == set()


def test_redrive_skips_quarantined_messages(harness: Harness) -> None:
    """They may have been sent: only a release sends them again, one by one."""
    harness.dead_letter("m-1")
    quarantined = harness.dead_letter("m-2", reason="QUARANTINED")

    answer = harness.run("redrive", dryRun=False)

    assert (answer["redriven"], answer["skippedQuarantined"]) == (1, 1)
    assert [ids for _, ids in harness.sent_again()] == [["m-1"]]
    assert harness.left() == {quarantined}


def test_redrive_can_be_limited_to_one_reason_and_record(harness: Harness) -> None:
    harness.dead_letter("m-1", originalMessageId="first-1")
    other = harness.dead_letter("m-2", originalMessageId="first-2")
    conflict = harness.dead_letter("m-3", reason="CONFLICT", originalMessageId="first-1")

    answer = harness.run("redrive", dryRun=False, reason="OUTAGE", originalMessageId="first-1")

    assert answer["found"] == {"OUTAGE": 1}
    assert harness.left() == {other, conflict}


def test_redrive_stops_at_its_limit(harness: Harness) -> None:
    """It says that there may be more."""
    for number in range(5):
        harness.dead_letter(f"m-{number}")

    answer = harness.run("redrive", dryRun=False, limit=2)

    assert (answer["redriven"], answer["complete"]) == (2, False)
    assert len(harness.left()) == 3


def test_record_that_cannot_be_redriven_stays_and_is_counted(harness: Harness) -> None:
    harness.dead_letter("m-1")
    harness.client.delete_queue(QueueUrl=harness.send_url)

    answer = harness.run("redrive", dryRun=False)

    assert (answer["redriven"], answer["failed"]) == (0, 1)
    assert len(harness.left()) == 1


def test_redrive_after_a_crash_leaves_a_harmless_copy(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both records derive the same message ids, which can be claimed once."""
    harness.dead_letter("m-1", originalMessageId="first-1")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("redrive", dryRun=False)

    harness.run("redrive", dryRun=False)

    assert harness.sent_again() == [("first-1", ["m-1"])] * 2
    assert harness.left() == set()


# --- Release ---------------------------------------------------------------------------------


def test_released_message_can_be_claimed_again(harness: Harness) -> None:
    """Its record goes back to the sender, and its item says who decided, and why."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED", originalMessageId="first-1")

    answer = harness.run("release", messageId="m-1", **DECISION)

    item = harness.ledger.item("m-1")
    assert (answer["state"], answer["recordsRedriven"]) == ("WAITING", 1)
    assert (item["releasedBy"], item["releasedWhy"]) == (DECISION["by"], DECISION["why"])
    assert item["releasedAt"].endswith("Z")
    assert harness.sent_again() == [("first-1", ["m-1"])]
    assert harness.left() == set()
    harness.accept("m-1")
    assert harness.ledger.item("m-1")["state"] == "ACCEPTED"
    assert harness.ledger.item("m-1")["releasedBy"] == DECISION["by"]


def test_release_does_not_change_other_quarantined_messages(harness: Harness) -> None:
    """The sender sends one message of the record, and dead-letters it again for the others."""
    harness.quarantine("m-1", "m-2")
    harness.dead_letter("m-1", "m-2", reason="QUARANTINED")
    other = harness.dead_letter("m-3", reason="QUARANTINED")

    harness.run("release", messageId="m-1", **DECISION)

    assert harness.ledger.states() == {"m-1": "WAITING", "m-2": "QUARANTINED"}
    assert [ids for _, ids in harness.sent_again()] == [["m-1", "m-2"]]
    assert harness.left() == {other}


@pytest.mark.parametrize("reason", ["INVALID", "CONFLICT"])
def test_release_redrives_no_invalid_or_conflicting_record(reason: str, harness: Harness) -> None:
    """A record with other content under the same id is not what was released."""
    harness.quarantine("m-1")
    wrong = harness.dead_letter("m-1", reason=reason)

    answer = harness.run("release", messageId="m-1", **DECISION)

    assert (answer["recordsRedriven"], answer["complete"]) == (0, True)
    assert harness.left() == {wrong}


def test_release_redrives_the_record_of_an_outage(harness: Harness) -> None:
    """A record may be dead-lettered before the logs are queried about one of its messages."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="OUTAGE")

    assert harness.run("release", messageId="m-1", **DECISION)["recordsRedriven"] == 1


@pytest.mark.parametrize("step", ["size", "receive", "send_back", "delete"])
def test_killed_release_is_finished_by_the_next(
    step: str, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was killed, the record ends in the send queue, and nowhere else."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED", originalMessageId="first-1")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, step, killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("release", messageId="m-1", **DECISION)

    harness.run("release", messageId="m-1", by="another operator", why="again")

    copies = 2 if step == "delete" else 1
    assert harness.sent_again() == [("first-1", ["m-1"])] * copies
    assert harness.left() == set()


def test_release_whose_write_seems_to_fail_can_be_repeated(harness: Harness) -> None:
    """DynamoDB may have stored a write that it did not confirm; the item shows it."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")
    harness.ledger.table.lost_answers = 1

    with pytest.raises(TableUnavailableError):
        harness.run("release", messageId="m-1", **DECISION)

    assert harness.run("release", messageId="m-1", **DECISION)["recordsRedriven"] == 1


@pytest.mark.parametrize("settled", [True, False])
def test_unquarantined_message_cannot_be_released(settled: bool, harness: Harness) -> None:  # noqa: FBT001
    """Proof that has arrived meanwhile, or an active sender, leaves nothing to decide."""
    harness.quarantine("m-1")
    harness.prove("m-1")
    if not settled:
        harness.claim("m-2")
    record = harness.dead_letter("m-1", "m-2", reason="QUARANTINED")

    with pytest.raises(InvalidEventError) as caught:
        harness.run("release", messageId="m-1" if settled else "m-2", **DECISION)

    state = "ACCEPTED" if settled else "CLAIMED"
    assert caught.value.field == "messageId"
    assert caught.value.rule == (
        f"names a message that is {state}, not quarantined: there is nothing to decide"
    )
    assert harness.sent_again() == []
    assert harness.left() == {record}


def test_released_message_that_was_sent_cannot_be_released_again(harness: Harness) -> None:
    """A record that turns up later stays in the dead-letter queue."""
    harness.quarantine("m-1")
    harness.run("release", messageId="m-1", **DECISION)
    harness.accept("m-1")
    record = harness.dead_letter("m-1", reason="QUARANTINED")

    with pytest.raises(InvalidEventError, match="that is ACCEPTED, not quarantined"):
        harness.run("release", messageId="m-1", **DECISION)

    assert harness.left() == {record}


def test_proof_that_arrives_during_a_release_wins(harness: Harness) -> None:
    """The write takes effect only on the item that was read."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")
    harness.ledger.table.before_execute = lambda: harness.prove("m-1")

    with pytest.raises(InvalidEventError, match="ACCEPTED"):
        harness.run("release", messageId="m-1", **DECISION)

    assert harness.ledger.states() == {"m-1": "ACCEPTED"}
    assert harness.sent_again() == []


@pytest.mark.parametrize("action", ["release", "close"])
def test_unknown_message_is_an_error(action: str, harness: Harness) -> None:
    """A mistyped id does not look like success."""
    with pytest.raises(InvalidEventError, match="names no known message"):
        harness.run(action, messageId="m-1", **DECISION)


# --- Close -----------------------------------------------------------------------------------


def test_closed_message_stays_quarantined_and_its_record_is_deleted(harness: Harness) -> None:
    """Its item says who decided, and why; nothing is sent."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")

    answer = harness.run("close", messageId="m-1", **DECISION)

    item = harness.ledger.item("m-1")
    assert (answer["state"], answer["recordsDeleted"], answer["recordsKept"]) == (
        "QUARANTINED",
        1,
        0,
    )
    assert (item["closedBy"], item["closedWhy"]) == (DECISION["by"], DECISION["why"])
    assert "checkShard" not in item
    assert harness.left() == set()
    assert harness.sent_again() == []


def test_record_is_deleted_with_the_last_of_its_messages(harness: Harness) -> None:
    """Until then it is kept for those that may still be released."""
    harness.quarantine("m-1", "m-2")
    harness.accept("m-3")
    harness.dead_letter("m-1", "m-2", "m-3", reason="QUARANTINED")

    first = harness.run("close", messageId="m-1", **DECISION)
    second = harness.run("close", messageId="m-2", **DECISION)

    assert (first["recordsDeleted"], first["recordsKept"]) == (0, 1)
    assert (second["recordsDeleted"], second["recordsKept"]) == (1, 0)


def test_record_of_a_released_message_is_not_deleted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release may have been killed before it redrove the record."""
    harness.quarantine("m-1", "m-2")
    harness.dead_letter("m-1", "m-2", reason="QUARANTINED")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "receive", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("release", messageId="m-1", **DECISION)

    answer = harness.run("close", messageId="m-2", **DECISION)

    assert (answer["recordsDeleted"], answer["recordsKept"]) == (0, 1)


def test_repeated_close_finishes_the_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first decision stays."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")
    with monkeypatch.context() as patched:
        patched.setattr(harness.queue, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.run("close", messageId="m-1", **DECISION)

    answer = harness.run("close", messageId="m-1", by="another operator", why="again")

    assert answer["recordsDeleted"] == 1
    assert harness.ledger.item("m-1")["closedBy"] == DECISION["by"]


def test_message_with_a_verdict_is_not_closed_but_its_record_is_deleted(harness: Harness) -> None:
    """Proof that has arrived meanwhile has made the decision."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")
    harness.prove("m-1")

    answer = harness.run("close", messageId="m-1", **DECISION)

    assert (answer["state"], answer["recordsDeleted"]) == ("ACCEPTED", 1)
    assert "closedAt" not in harness.ledger.item("m-1")


def test_message_that_is_still_to_be_sent_cannot_be_closed(harness: Harness) -> None:
    """SQS redelivers its record automatically."""
    harness.claim("m-1")
    record = harness.dead_letter("m-1", reason="QUARANTINED")

    with pytest.raises(InvalidEventError, match="CLAIMED, not quarantined"):
        harness.run("close", messageId="m-1", **DECISION)

    assert harness.left() == {record}


def test_closed_message_cannot_be_released(harness: Harness) -> None:
    """Its content may be deleted."""
    harness.quarantine("m-1")
    harness.run("close", messageId="m-1", **DECISION)

    with pytest.raises(InvalidEventError, match="CLOSED, not quarantined"):
        harness.run("release", messageId="m-1", **DECISION)


def test_concurrent_release_and_close_have_one_winner(harness: Harness) -> None:
    """A message is not sent while its content is being deleted."""
    harness.quarantine("m-1")
    harness.dead_letter("m-1", reason="QUARANTINED")
    met: Item = harness.ledger.item("m-1")

    def close() -> None:
        harness.ledger.change(
            transitions.closed, met, "another operator", "enough", harness.ledger.clock()
        )

    harness.ledger.table.before_execute = close

    with pytest.raises(InvalidEventError, match="CLOSED"):
        harness.run("release", messageId="m-1", **DECISION)

    assert harness.ledger.states() == {"m-1": "QUARANTINED"}
    assert harness.sent_again() == []


def test_message_that_reuses_an_expired_id_inherits_no_decision(harness: Harness) -> None:
    """A decision about one message says nothing about another."""
    harness.quarantine("m-1")
    harness.run("close", messageId="m-1", **DECISION)
    harness.clock.pass_by(days=91)

    harness.accept("m-1")

    item = harness.ledger.item("m-1")
    assert item["state"] == "ACCEPTED"
    assert not {"closedAt", "closedBy", "closedWhy"} & item.keys()


# --- The function ----------------------------------------------------------------------------


def test_no_personal_data_is_logged(harness: Harness, printed: Printed) -> None:
    """Neither the content of a record nor the operator's reason."""
    harness.quarantine("m-1", "m-2")
    for message_id in ("m-1", "m-2"):
        harness.dead_letter(message_id, reason="QUARANTINED")
    harness.dead_letter("m-3")
    harness.dead_letter("m-4", originalMessageId=TEXT)

    for event in (
        {"action": "list", "showContent": True},
        {"action": "redrive", "dryRun": False},
        {"action": "release", "messageId": "m-1"} | DECISION,
        {"action": "close", "messageId": "m-2"} | DECISION,
    ):
        answer = harness.invoke(event)
        assert answer["action"] == event["action"]

    output = printed()
    for name in ("RecordsRedriven", "MessagesReleased", "MessagesClosed"):
        assert name in output
    assert "record redriven" in output
    for canary in (PHONE, TEXT, *DECISION.values()):
        assert canary not in output


def test_command_fails_while_sqs_is_unavailable(harness: Harness) -> None:
    """An empty list would suggest that there are no records."""
    harness.client.delete_queue(QueueUrl=harness.dead_url)

    with pytest.raises(QueueUnavailableError):
        harness.invoke({"action": "list"})


def killed(*_: object) -> None:
    raise KeyboardInterrupt


# --- Items of another version --------------------------------------------------------------


def test_list_names_unreadable_messages(harness: Harness) -> None:
    """The others are listed as usual."""
    harness.quarantine("m-1", "m-2", "m-3")
    harness.ledger.alter("m-2", state="SEEN")
    harness.dead_letter("m-1", "m-2", reason="QUARANTINED")
    harness.dead_letter("m-3", reason="QUARANTINED")

    records = harness.run("list")["records"]

    named = {
        tuple(each["quarantinedMessageIds"]): each.get("unreadableMessageIds") for each in records
    }
    assert named == {("m-1",): ["m-2"], ("m-3",): None}


@pytest.mark.parametrize("action", ["release", "close"])
def test_unreadable_message_can_be_neither_released_nor_closed(
    harness: Harness, action: str
) -> None:
    """Its record stays; the other message of the record can be decided about."""
    harness.quarantine("m-1", "m-2")
    harness.ledger.alter("m-2", state="SEEN")
    harness.dead_letter("m-1", "m-2", reason="QUARANTINED")

    with pytest.raises(InvalidEventError) as caught:
        harness.run(action, messageId="m-2", **DECISION)
    assert (caught.value.field, caught.value.rule) == (
        "messageId",
        "names a message that this version cannot read: deploy the version that wrote it",
    )

    answer = harness.run(action, messageId="m-1", **DECISION)
    if action == "close":
        assert (answer["recordsKept"], answer["unreadableMessageIds"]) == (1, ["m-2"])
    else:
        assert [ids for _, ids in harness.sent_again()] == [["m-1", "m-2"]]
    assert harness.ledger.states()["m-2"] == "SEEN"
