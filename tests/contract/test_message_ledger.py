"""The ledger on DynamoDB grants one claim at a time, and overwrites only states that may change."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from infobip_omni import transitions
from infobip_omni.api.reports import DeliveryReport, LogEntry, StatusGroup
from infobip_omni.api.sends import Recipient
from infobip_omni.dynamodb import Query, Table, TableUnavailableError, Update
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.message import (
    ACCEPTED_OR_FINAL,
    CHECK_SHARDS,
    MESSAGE_ENTRY,
    UNPROVEN,
    Evidence,
    MessageState,
    RefusedRecord,
)
from infobip_omni.timestamps import format_utc
from infobip_omni.transitions import LONGEST_WAIT, AttemptResult, Claim, ClaimStatus
from infobip_omni.verdicts import highest, verdict_of
from tests.fakes import Clock, OpenLedger, make_claim, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from infobip_omni.dynamodb import Item
    from infobip_omni.verdicts import Verdict

LEASE = timedelta(minutes=2)
RETENTION = timedelta(days=90)
CHECK_AFTER = timedelta(minutes=10)
VALIDITY = timedelta(hours=1)
PHONE = "385995550123"
CLAIM = make_claim(
    content_hash="hash",
    recipient=Recipient(phone_number=PHONE),
    scenario="order-updates",
    bulk_id="bulk",
    validity=VALIDITY,
)

pytestmark = pytest.mark.usefixtures("_without_backoff")


class Unreliable:
    """A client whose calls fail as scripted, before or after they execute."""

    def __init__(self, client: DynamoDBClient) -> None:
        #: For the next calls of each method: whether the call executes before it fails. None is
        #: a call that succeeds.
        self.script: dict[str, Any] = {}
        self._client = client

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (any method of the client)
        method = getattr(self._client, name)
        script = self.script.get(name, [])

        def call(**arguments: Any) -> Any:  # noqa: ANN401 (passed through)
            executed = script.pop(0) if script else None
            if executed is None:
                return method(**arguments)
            if executed:
                method(**arguments)
            raise ReadTimeoutError(endpoint_url="https://dynamodb")

        return call


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(dynamodb: DynamoDBClient) -> Unreliable:
    return Unreliable(dynamodb)


@pytest.fixture
def ledger(table_name: str, client: Any, clock: Clock) -> OpenLedger:  # noqa: ANN401
    return OpenLedger(Table(table_name, client), clock, RETENTION, CHECK_AFTER)


def claimed(ledger: OpenLedger, claim: Claim = CLAIM) -> str:
    """Claim a message, and return its claim token."""
    (claim_status,) = ledger.claim([claim], LEASE)
    assert claim_status.state is MessageState.CLAIMED
    assert claim_status.token is not None
    return claim_status.token


def saved(ledger: OpenLedger, token: str, state: MessageState, **members: Any) -> ClaimStatus:  # noqa: ANN401
    (claim_status,) = ledger.save([AttemptResult("m-1", token, state, **members)])
    return claim_status


def item(ledger: OpenLedger, message_id: str = "m-1") -> Item:
    assert message_id in ledger.find([message_id])
    return ledger.item(message_id)


def brought_to(ledger: OpenLedger, state: MessageState) -> Item:
    """Bring a message to a state through the transitions that lead there, and return its item."""
    token = claimed(ledger)
    if state is MessageState.CLAIMED:
        return item(ledger)
    if state is MessageState.QUARANTINED:
        saved(ledger, token, MessageState.UNKNOWN)
        assert ledger.change(transitions.quarantined, item(ledger), ledger.clock()) == 1
    elif state in (MessageState.DELIVERED, MessageState.UNDELIVERED, MessageState.EXPIRED):
        groups = {
            MessageState.DELIVERED: StatusGroup.DELIVERED,
            MessageState.UNDELIVERED: StatusGroup.UNDELIVERABLE,
            MessageState.EXPIRED: StatusGroup.EXPIRED,
        }
        assert ledger.settle({"m-1": verdict(group=groups[state])}) == 1
    else:
        saved(ledger, token, state)
    found = item(ledger)
    assert found["state"] == state
    return found


def row(
    kind: type[DeliveryReport | LogEntry] = DeliveryReport,
    channel: str = "SMS",
    group: int = StatusGroup.DELIVERED,
    minute: int = 0,
) -> DeliveryReport | LogEntry:
    return kind.model_validate(
        {
            "messageId": "m-1",
            "channel": channel,
            "status": {"groupId": group, "id": group + 1, "name": "NAME"},
            "sentAt": "2026-01-31T12:00:00.000+0000",
            "doneAt": f"2026-01-31T12:{minute:02d}:00.000+0000",
            "price": {"pricePerMessage": "0.0210", "currency": "EUR"},
        }
    )


def verdict(**members: Any) -> Verdict:  # noqa: ANN401 (as of `row`)
    made = verdict_of(row(**members), "SMS")
    assert made is not None
    return made


# --- Claims ----------------------------------------------------------------------------------


def test_absent_message_is_claimed(ledger: OpenLedger, clock: Clock) -> None:
    """Its item has all that is known; unknown values have no attribute."""
    (claim_status,) = ledger.claim([CLAIM], LEASE)

    assert claim_status == ClaimStatus(MessageState.CLAIMED, token=claim_status.token)
    assert claim_status.token is not None
    found = item(ledger)
    assert found["claimToken"] == claim_status.token
    assert found["steps"] == ["PUSH", "SMS"]
    assert found["to"] == {"phoneNumber": PHONE}
    assert PHONE not in found["recipient"]
    assert (found["scenario"], found["bulkId"], found["attempts"]) == ("order-updates", "bulk", 1)
    assert (found["claimedAt"], found["leaseUntil"]) == (
        format_utc(clock.now),
        format_utc(clock.now + LEASE),
    )
    assert not found.keys() & {"scenarioKey", "sendAt", "unknownAt", "channel", "sentAt", "doneAt"}


def test_claimed_message_is_busy_until_its_lease_ends(ledger: OpenLedger, clock: Clock) -> None:
    """A second consumer of the same record does not send."""
    claimed(ledger)
    clock.pass_by(seconds=119)

    (claim_status,) = ledger.claim([CLAIM], LEASE)

    assert claim_status == ClaimStatus(MessageState.CLAIMED, until=clock.now + timedelta(seconds=1))
    assert claim_status.token is None


def test_expired_lease_becomes_unknown_and_is_never_taken_over(
    ledger: OpenLedger, clock: Clock
) -> None:
    """Its holder may have sent the message, or may still be about to."""
    token = claimed(ledger)
    clock.pass_by(seconds=120)

    (claim_status,) = ledger.claim([CLAIM], LEASE)
    (again,) = ledger.claim([CLAIM], LEASE)

    assert claim_status == again == ClaimStatus(MessageState.UNKNOWN, until=clock.now + CHECK_AFTER)
    found = item(ledger)
    assert (found["state"], found["claimToken"]) == ("UNKNOWN", token)
    assert found["unknownAt"] == format_utc(clock.now)


@pytest.mark.parametrize(
    "state", sorted(set(MessageState) - {MessageState.CLAIMED, MessageState.WAITING})
)
def test_message_that_is_neither_absent_nor_waiting_is_not_claimed(
    ledger: OpenLedger, clock: Clock, state: MessageState
) -> None:
    """A record may be redelivered in every state, and at any time."""
    before = brought_to(ledger, state)
    clock.pass_by(days=89)

    (claim_status,) = ledger.claim([CLAIM], LEASE)

    assert (claim_status.state, claim_status.token, claim_status.conflict) == (state, None, False)
    assert item(ledger) == before
    assert (claim_status.until is None) == (state in ACCEPTED_OR_FINAL)


def test_waiting_message_is_claimed_again(ledger: OpenLedger, clock: Clock) -> None:
    """Its attempts are counted, and nothing of the previous attempt is kept."""
    saved(
        ledger,
        claimed(ledger),
        MessageState.WAITING,
        status={"httpStatus": 429},
        dead_letter_reason="OUTAGE",
    )
    clock.pass_by(days=3)

    (claim_status,) = ledger.claim([replace(CLAIM, bulk_id="other")], LEASE)

    assert claim_status.token is not None
    found = item(ledger)
    assert (found["state"], found["attempts"], found["bulkId"]) == ("CLAIMED", 2, "other")
    assert found["claimToken"] == claim_status.token
    assert found["leaseUntil"] == format_utc(clock.now + LEASE)
    assert not found.keys() & {"status", "deadLetterReason"}


@pytest.mark.parametrize("state", MessageState)
def test_same_id_with_other_content_is_a_conflict(
    ledger: OpenLedger, clock: Clock, state: MessageState
) -> None:
    """This holds in every state, and nothing of the first message changes."""
    before = brought_to(ledger, state)

    (claim_status,) = ledger.claim([replace(CLAIM, content_hash="other")], LEASE)
    assert (claim_status.conflict, claim_status.token, claim_status.state) == (True, None, state)
    assert item(ledger) == before

    clock.pass_by(seconds=120)
    assert ledger.claim([replace(CLAIM, content_hash="other")], LEASE)[0].conflict


@pytest.mark.parametrize("state", MessageState)
def test_expired_message_counts_as_absent(
    ledger: OpenLedger, clock: Clock, state: MessageState
) -> None:
    """DynamoDB deletes expired items later; until then the ledger ignores them."""
    brought_to(ledger, state)
    clock.pass_by(days=90, hours=1)
    assert ledger.find(["m-1"]) == {}

    (claim_status,) = ledger.claim([replace(CLAIM, content_hash="other")], LEASE)

    assert (claim_status.token is not None, claim_status.conflict) == (True, False)
    found = item(ledger)
    assert (found["state"], found["attempts"], found["contentHash"]) == ("CLAIMED", 1, "other")
    fresh = {"claimedAt", "claimToken", "contentHash", "expiresAt", "leaseUntil", "nextCheckAt"}
    claimed(ledger, replace(CLAIM, message_id="m-2"))
    other = item(ledger, "m-2")
    assert found.keys() == other.keys()
    differing = {name for name in found if found[name] != other[name]}
    assert differing <= fresh | {"messageId", "checkShard"}


def test_failed_claim_of_an_expired_message_returns_no_state(
    ledger: OpenLedger, client: Unreliable, clock: Clock
) -> None:
    """With its old state, the record would be acknowledged and the new message never sent."""
    brought_to(ledger, MessageState.DELIVERED)
    clock.pass_by(days=90, hours=1)
    client.script["batch_execute_statement"] = [None, *10 * [False]]

    assert ledger.claim([CLAIM], LEASE) == [ClaimStatus(None)]


def test_messages_of_one_call_are_claimed_individually(ledger: OpenLedger, clock: Clock) -> None:
    """There are more messages than one DynamoDB call takes; answers keep their order."""
    claims = [replace(CLAIM, message_id=f"m-{number}") for number in range(60)]
    tokens = [claim_status.token or "" for claim_status in ledger.claim(claims[:30], LEASE)]
    ledger.save(
        [
            AttemptResult(f"m-{number}", token, state)
            for number, (token, state) in enumerate(
                zip(tokens, itertools.cycle([MessageState.WAITING, MessageState.ACCEPTED]))
            )
        ]
    )
    ledger.claim(claims[30:35], LEASE)
    clock.pass_by(seconds=60)

    claim_statuses = ledger.claim(claims, LEASE)

    assert [claim_status.state for claim_status in claim_statuses[:30]] == 15 * [
        MessageState.CLAIMED,
        MessageState.ACCEPTED,
    ]
    assert [claim_status.token is not None for claim_status in claim_statuses] == [
        *(15 * [True, False]),
        *(5 * [False]),
        *(25 * [True]),
    ]
    assert len({claim_status.token for claim_status in claim_statuses if claim_status.token}) == 40


def test_two_destinations_have_separate_claims(ledger: OpenLedger) -> None:
    first, second = ledger.claim([CLAIM, replace(CLAIM, message_id="m-2")], LEASE)

    assert first.token
    assert second.token
    assert first.token != second.token


# --- Lost answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("reclaimed", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 6])
def test_own_claim_is_recognised_after_a_lost_answer(
    ledger: OpenLedger, client: Unreliable, lost: int, *, reclaimed: bool
) -> None:
    """The write succeeded, but the call seemed to fail, once or with every retry."""
    if reclaimed:
        saved(ledger, claimed(ledger), MessageState.WAITING)
    before = [None] if reclaimed else []
    client.script["batch_execute_statement"] = [*before, *lost * [True]]

    (claim_status,) = ledger.claim([CLAIM], LEASE)

    if reclaimed and lost == 6:
        # No answer arrived, so the claim is never used, and its lease expires.
        assert claim_status.token is None
        assert claim_status.state not in ACCEPTED_OR_FINAL
    else:
        assert claim_status.token is not None
        assert item(ledger)["claimToken"] == claim_status.token


def test_table_that_does_not_answer_claims_nothing(ledger: OpenLedger, client: Unreliable) -> None:
    """The sender then does not send."""
    client.script["batch_execute_statement"] = 20 * [False]
    client.script["batch_get_item"] = 20 * [False]

    assert ledger.claim([CLAIM], LEASE) == [ClaimStatus(None)]


def test_failed_claim_of_an_absent_message_returns_no_state(
    ledger: OpenLedger, client: Unreliable
) -> None:
    """A read shows that there is no claim."""
    client.script["batch_execute_statement"] = 6 * [False]

    assert ledger.claim([CLAIM], LEASE) == [ClaimStatus(None)]


@pytest.mark.parametrize(
    "state",
    [
        MessageState.ACCEPTED,
        MessageState.REJECTED,
        MessageState.WAITING,
        MessageState.UNKNOWN,
    ],
)
def test_outcome_is_saved_once_despite_a_lost_answer(
    ledger: OpenLedger, client: Unreliable, state: MessageState
) -> None:
    """The retry finds the state that the first call wrote."""
    token = claimed(ledger)
    client.script["batch_execute_statement"] = [True]

    assert saved(ledger, token, state).state is state
    assert item(ledger)["state"] == state


def test_outcome_that_was_not_saved_returns_no_state(
    ledger: OpenLedger, client: Unreliable
) -> None:
    """The sender must then report the record as failed."""
    token = claimed(ledger)
    client.script["batch_execute_statement"] = 20 * [False]

    assert saved(ledger, token, MessageState.ACCEPTED) == ClaimStatus(None)


# --- Outcomes --------------------------------------------------------------------------------


def test_accepted_message_costs_no_index_write(ledger: OpenLedger, clock: Clock) -> None:
    """The time of the next check, set by the claim, stays valid."""
    token = claimed(ledger)
    before = item(ledger)
    clock.pass_by(seconds=1)

    claim_status = saved(ledger, token, MessageState.ACCEPTED, evidence=Evidence.RESPONSE)

    assert claim_status == ClaimStatus(MessageState.ACCEPTED)
    assert item(ledger) == before | {
        "state": "ACCEPTED",
        "evidence": "response",
        "sentAt": format_utc(clock.now),
    }


def test_rejected_message_is_final(ledger: OpenLedger, clock: Clock) -> None:
    """Its status is stored, and it is not checked again."""
    status = {"groupId": 5, "id": 51, "name": "MISSING_TO"}
    saved(ledger, claimed(ledger), MessageState.REJECTED, evidence=Evidence.RESPONSE, status=status)

    found = item(ledger)
    assert (found["status"], found["doneAt"]) == (status, format_utc(clock.now))
    assert not found.keys() & {"nextCheckAt", "checkShard"}


def test_message_of_unknown_outcome_is_checked_later(ledger: OpenLedger, clock: Clock) -> None:
    """The sender gets the time of the check."""
    clock.pass_by(seconds=20)
    claim_status = saved(ledger, claimed(ledger), MessageState.UNKNOWN)

    assert claim_status == ClaimStatus(MessageState.UNKNOWN, until=clock.now + CHECK_AFTER)
    assert item(ledger)["nextCheckAt"] == format_utc(clock.now + CHECK_AFTER)


def test_scheduled_message_is_not_checked_before_send_at(ledger: OpenLedger, clock: Clock) -> None:
    """The logs cannot list it earlier."""
    send_at = clock.now + timedelta(days=2)
    token = claimed(ledger, replace(CLAIM, send_at=send_at))
    assert item(ledger)["nextCheckAt"] == format_utc(send_at + CHECK_AFTER)

    claim_status = saved(ledger, token, MessageState.UNKNOWN, send_at=send_at)

    assert claim_status.until == send_at + CHECK_AFTER
    assert ledger.message().age(clock.now) == timedelta(days=-2)
    clock.pass_by(days=2, hours=1)
    assert ledger.message().age(clock.now) == timedelta(hours=1)


@pytest.mark.parametrize("state", [MessageState.ACCEPTED, MessageState.WAITING])
def test_outcome_needs_the_current_token(ledger: OpenLedger, state: MessageState) -> None:
    """The former holder of a claim cannot decide about a later one."""
    claimed(ledger)
    before = item(ledger)

    assert saved(ledger, "another-token", state) == ClaimStatus(MessageState.CLAIMED)
    assert item(ledger) == before


@pytest.mark.parametrize(
    "outcome", [MessageState.ACCEPTED, MessageState.REJECTED, MessageState.WAITING]
)
@pytest.mark.parametrize("state", sorted(set(MessageState) - {MessageState.CLAIMED}))
def test_former_holder_gets_the_current_state(
    ledger: OpenLedger, state: MessageState, outcome: MessageState
) -> None:
    """A slow sender, or one overtaken by a report, changes nothing."""
    before = brought_to(ledger, state)

    claim_status = saved(ledger, before["claimToken"], outcome)

    assert claim_status.state is state
    assert item(ledger) == before


def test_outcome_of_an_absent_message_creates_no_item(ledger: OpenLedger) -> None:
    """An update must not create an incomplete item."""
    assert saved(ledger, "token", MessageState.ACCEPTED) == ClaimStatus(None)
    assert ledger.find(["m-1"]) == {}


# --- Retention -------------------------------------------------------------------------------


@pytest.mark.parametrize("send_in_days", [None, -5, 0, 100])
def test_retention_starts_when_a_message_can_no_longer_change(
    ledger: OpenLedger, clock: Clock, send_in_days: int | None
) -> None:
    """A scheduled message counts from `sendAt`, not from when it was queued."""
    send_at = None if send_in_days is None else clock.now + timedelta(days=send_in_days)
    claimed(ledger, replace(CLAIM, send_at=send_at))

    begins = clock.now + timedelta(days=max(send_in_days or 0, 0))
    assert item(ledger)["expiresAt"] == int((begins + VALIDITY + RETENTION).timestamp())
    clock.now = begins + VALIDITY + RETENTION - timedelta(seconds=1)
    assert "m-1" in ledger.find(["m-1"])
    clock.pass_by(seconds=1)
    assert ledger.find(["m-1"]) == {}


def test_send_at_in_the_distant_past_is_accepted(ledger: OpenLedger, clock: Clock) -> None:
    """Infobip treats a past `sendAt` as now; even years before 1000 must not cause an error."""
    send_at = clock.now.replace(year=1)
    claimed(ledger, replace(CLAIM, send_at=send_at))
    clock.pass_by(minutes=10)

    (due,) = readable(ledger.due())
    assert due.age(clock.now) == timedelta(minutes=10)
    assert ledger.change(transitions.lease_expired, due, ledger.clock(), ledger.check_after) == 1


# --- Proofs and verdicts ---------------------------------------------------------------------


@pytest.mark.parametrize("state", MessageState)
def test_verdict_overrides_every_state(
    ledger: OpenLedger, clock: Clock, state: MessageState
) -> None:
    """Whatever the ledger assumed, Infobip had the message."""
    brought_to(ledger, state)
    clock.pass_by(minutes=30)

    assert ledger.settle({"m-1": verdict(minute=0), "unknown": verdict()}) == (
        state is not MessageState.DELIVERED
    )

    found = item(ledger)
    assert (found["state"], found["evidence"], found["channel"]) == ("DELIVERED", "report", "SMS")
    assert found["status"] == {"groupId": 3, "id": 4, "name": "NAME"}
    assert str(found["price"]["pricePerMessage"]) == "0.0210"
    assert found["doneAt"] == "2026-01-31T12:00:00.000Z"
    assert not found.keys() & {"nextCheckAt", "checkShard"}
    assert ledger.find(["unknown"]) == {}


@pytest.mark.parametrize("state", sorted(UNPROVEN))
def test_proof_of_acceptance_overrides_unproven_states(
    ledger: OpenLedger, clock: Clock, state: MessageState
) -> None:
    """The proof is a report on an earlier step or a log row; the claim's holder does not matter."""
    before = brought_to(ledger, state)
    clock.pass_by(minutes=30)

    assert (
        ledger.change(
            transitions.proven_accepted, before, Evidence.REPORT, ledger.clock(), ledger.check_after
        )
        == 1
    )

    found = item(ledger)
    assert (found["state"], found["evidence"]) == ("ACCEPTED", "report")
    assert found["nextCheckAt"] == format_utc(clock.now + CHECK_AFTER)
    assert found["checkShard"] in {str(shard) for shard in range(CHECK_SHARDS)}
    # Later writes by the sender or the reconciler change nothing.
    assert saved(ledger, before["claimToken"], MessageState.WAITING).state == "ACCEPTED"
    assert ledger.change(transitions.quarantined, before, ledger.clock()) == 0
    assert ledger.change(transitions.sent_again, before, ledger.clock()) == 0
    assert ledger.claim([CLAIM], LEASE)[0].token is None


def test_proof_does_not_undo_a_verdict(ledger: OpenLedger) -> None:
    """The verdict was written between the read and the proof."""
    before = brought_to(ledger, MessageState.UNKNOWN)
    ledger.settle({"m-1": verdict()})

    assert (
        ledger.change(
            transitions.proven_accepted, before, Evidence.LOGS, ledger.clock(), ledger.check_after
        )
        == 0
    )
    assert item(ledger)["state"] == "DELIVERED"


ROWS = [
    row(DeliveryReport, "PUSH", StatusGroup.UNDELIVERABLE, 1),
    row(DeliveryReport, "SMS", StatusGroup.UNDELIVERABLE, 2),
    row(DeliveryReport, "SMS", StatusGroup.EXPIRED, 3),
    row(LogEntry, "SMS", StatusGroup.REJECTED, 3),
    row(LogEntry, "SMS", StatusGroup.DELIVERED, 5),
    row(DeliveryReport, "SMS", StatusGroup.DELIVERED, 5),
    row(DeliveryReport, "PUSH", StatusGroup.DELIVERED, 6),
    row(LogEntry, "SMS", StatusGroup.PENDING, 0),
]


@pytest.mark.parametrize("seed", range(25))
def test_final_state_is_independent_of_the_order_of_verdicts(ledger: OpenLedger, seed: int) -> None:
    """Each verdict is written as it arrives; the table alone decides which one stays."""
    chance = random.Random(seed)
    rows = chance.sample(ROWS, chance.randint(1, len(ROWS)))
    verdicts = [each for one in rows if (each := verdict_of(one, "SMS"))]
    brought_to(ledger, chance.choice(list(UNPROVEN | {MessageState.ACCEPTED})))

    for each in chance.sample(verdicts * 2, len(verdicts) * 2):
        ledger.settle({"m-1": each})

    expected = highest(verdicts)
    if expected is not None:
        found = item(ledger)
        assert (found["state"], found["verdictRank"]) == (expected.state, expected.rank)
        assert (found["evidence"], found["channel"]) == (expected.evidence, expected.channel)


# --- The reconciler --------------------------------------------------------------------------


def test_messages_are_found_when_their_check_is_due(
    ledger: OpenLedger,
    client: Unreliable,
    clock: Clock,
    dynamodb: DynamoDBClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each shard lists the longest overdue first; settled messages are not found."""

    def out_of_order(**arguments: Any) -> Any:  # noqa: ANN401 (DynamoDB promises no order)
        answer = dynamodb.batch_get_item(**arguments)
        for items in answer["Responses"].values():
            items.reverse()
        return answer

    monkeypatch.setattr(client, "batch_get_item", out_of_order, raising=False)
    for number in range(40):
        claimed(ledger, replace(CLAIM, message_id=f"m-{number}"))
        clock.pass_by(seconds=1)
    ledger.settle({"m-7": verdict()})
    assert list(ledger.due()) == []
    clock.pass_by(minutes=9, seconds=50)

    due = [each.id for each in ledger.due()]

    assert set(due) == {f"m-{number}" for number in range(31)} - {"m-7"}
    numbers = [int(message_id.removeprefix("m-")) for message_id in due]
    assert numbers == sorted(numbers)
    assert len({item(ledger, message_id)["checkShard"] for message_id in due}) > 1


def test_messages_in_the_shards_of_earlier_versions_are_found(
    ledger: OpenLedger, clock: Clock
) -> None:
    """They had eight, and each message stays in its shard until its next check is set."""
    for number in range(8):
        claimed(ledger, replace(CLAIM, message_id=f"m-{number}"))
        ledger.apply([Update(f"m-{number}", MESSAGE_ENTRY, {"checkShard": str(number)}, ())])
    clock.pass_by(hours=1)

    assert {each.id for each in ledger.due()} == {f"m-{number}" for number in range(8)}


def test_more_messages_than_a_page_are_due_in_one_order(ledger: OpenLedger, clock: Clock) -> None:
    for number in range(5):
        claims = [replace(CLAIM, message_id=f"m-{number}-{each}") for each in range(100)]
        ledger.claim(claims, LEASE)
        clock.pass_by(seconds=1)
    clock.pass_by(hours=1)

    due = [each.id.split("-")[1] for each in ledger.due()]
    assert due == [str(number) for number in range(5) for _ in range(100)]


def test_expired_messages_are_not_checked(ledger: OpenLedger, clock: Clock) -> None:
    claimed(ledger)
    clock.pass_by(days=91)

    assert list(ledger.due()) == []


def test_expired_lease_becomes_unknown_once(ledger: OpenLedger, clock: Clock) -> None:
    """A second run, and the late holder of the lease, change nothing."""
    token = claimed(ledger)
    before = item(ledger)
    clock.pass_by(minutes=10)

    assert ledger.change(transitions.lease_expired, before, ledger.clock(), ledger.check_after) == 1
    assert ledger.change(transitions.lease_expired, before, ledger.clock(), ledger.check_after) == 0

    found = item(ledger)
    assert (found["state"], found["unknownAt"]) == ("UNKNOWN", format_utc(clock.now))
    assert found["nextCheckAt"] == format_utc(clock.now + CHECK_AFTER)
    assert saved(ledger, token, MessageState.ACCEPTED).state is MessageState.UNKNOWN


def test_overlapping_runs_count_an_absence_once(ledger: OpenLedger, clock: Clock) -> None:
    """Otherwise two absences could count as three."""
    before = brought_to(ledger, MessageState.UNKNOWN)
    until = clock.now + CHECK_AFTER + CHECK_AFTER

    assert ledger.change(transitions.check_postponed, before, until, absent=True) == 1
    assert ledger.change(transitions.check_postponed, before, until, absent=True) == 0

    found = item(ledger)
    assert (found["absentAnswers"], found["nextCheckAt"]) == (1, format_utc(until))
    assert ledger.change(transitions.check_postponed, found, until + CHECK_AFTER, absent=False) == 1
    assert item(ledger)["absentAnswers"] == 1


def test_quarantine_needs_the_message_as_it_was_read(ledger: OpenLedger, clock: Clock) -> None:
    """Each decision is made once, and only on the item that was read."""
    before = brought_to(ledger, MessageState.UNKNOWN)
    clock.pass_by(minutes=10)
    ledger.change(transitions.check_postponed, before, clock.now + CHECK_AFTER, absent=True)

    assert ledger.change(transitions.quarantined, before, ledger.clock()) == 0
    assert ledger.change(transitions.quarantined, item(ledger), ledger.clock()) == 1
    assert (
        ledger.change(transitions.sent_again, item(ledger) | {"state": "UNKNOWN"}, ledger.clock())
        == 0
    )
    assert item(ledger)["state"] == "QUARANTINED"
    clock.pass_by(days=30)
    assert list(ledger.due()) == []


def test_message_to_be_sent_again_waits_for_its_sender(ledger: OpenLedger, clock: Clock) -> None:
    """Its absences are reset, because another attempt follows."""
    brought_to(ledger, MessageState.UNKNOWN)
    ledger.change(transitions.check_postponed, item(ledger), clock.now + CHECK_AFTER, absent=True)

    assert ledger.change(transitions.sent_again, item(ledger), ledger.clock()) == 1

    found = item(ledger)
    assert found["state"] == "WAITING"
    assert "absentAnswers" not in found
    assert claimed(ledger)
    assert item(ledger)["attempts"] == 2


def test_message_with_a_duplicate_id_is_rejected(ledger: OpenLedger, clock: Clock) -> None:
    """Infobip sent nothing under this id."""
    brought_to(ledger, MessageState.UNKNOWN)

    assert ledger.change(transitions.rejected_as_duplicate, item(ledger), ledger.clock()) == 1

    found = item(ledger)
    assert (found["state"], found["evidence"]) == ("REJECTED", "duplicate-id")
    clock.pass_by(days=30)
    assert list(ledger.due()) == []


def test_unresolved_message_may_still_be_settled(ledger: OpenLedger, clock: Clock) -> None:
    """It stays accepted, and the logs are no longer queried for it."""
    brought_to(ledger, MessageState.ACCEPTED)
    clock.pass_by(hours=47)
    (due,) = readable(ledger.due())

    assert ledger.change(transitions.left_unresolved, due, ledger.clock()) == 1

    found = item(ledger)
    assert (found["state"], found["unresolvedAt"]) == ("ACCEPTED", format_utc(clock.now))
    clock.pass_by(days=30)
    assert list(ledger.due()) == []
    assert ledger.settle({"m-1": verdict()}) == 1


def test_message_that_outlives_its_record_is_found(ledger: OpenLedger, clock: Clock) -> None:
    """After a purge of the queue, it must not wait forever without an alarm."""
    brought_to(ledger, MessageState.WAITING)
    clock.now += LONGEST_WAIT - timedelta(seconds=1)
    assert list(ledger.due()) == []
    clock.pass_by(seconds=1)
    (due,) = readable(ledger.due())

    assert ledger.change(transitions.record_lost, due) == 1

    assert item(ledger)["deadLetterReason"] == "LOST"
    assert list(ledger.due()) == []
    assert claimed(ledger)
    assert "deadLetterReason" not in item(ledger)


# --- Failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger, _: ledger.settle({"m-1": verdict()}),
        lambda ledger, found: ledger.change(
            transitions.proven_accepted, found, Evidence.LOGS, ledger.clock(), ledger.check_after
        ),
        lambda ledger, found: ledger.change(transitions.quarantined, found, ledger.clock()),
        lambda ledger, found: ledger.change(transitions.sent_again, found, ledger.clock()),
        lambda ledger, found: ledger.change(
            transitions.lease_expired, found, ledger.clock(), ledger.check_after
        ),
    ],
    ids=["settle", "prove", "quarantine", "send again", "expire lease"],
)
@pytest.mark.parametrize("code", ["ThrottlingError", "AccessDenied", "ResourceNotFound"])
def test_change_that_was_not_made_is_an_error(
    ledger: OpenLedger,
    monkeypatch: pytest.MonkeyPatch,
    client: Unreliable,
    code: str,
    change: Callable[[OpenLedger, Item], int],
) -> None:
    """No page may be deleted, and no proof lost, because the table refused a write."""
    found = brought_to(ledger, MessageState.UNKNOWN)

    def refuse(**arguments: Any) -> Any:  # noqa: ANN401
        return {"Responses": len(arguments["Statements"]) * [{"Error": {"Code": code}}]}

    monkeypatch.setattr(client, "batch_execute_statement", refuse, raising=False)

    with pytest.raises(TableUnavailableError, match="1 of 1 messages may not have been changed"):
        change(ledger, found)


def test_change_is_made_once_despite_a_lost_answer(
    ledger: OpenLedger, client: Unreliable, clock: Clock
) -> None:
    """The retry finds the change, and does not count it again."""
    before = brought_to(ledger, MessageState.UNKNOWN)
    client.script["batch_execute_statement"] = [True]

    ledger.change(
        transitions.check_postponed, before, clock.now + CHECK_AFTER + CHECK_AFTER, absent=True
    )

    assert item(ledger)["absentAnswers"] == 1


def test_failed_read_is_an_error(ledger: OpenLedger, client: Unreliable, clock: Clock) -> None:
    """An unread message must not count as unknown."""
    brought_to(ledger, MessageState.UNKNOWN)
    clock.pass_by(hours=1)
    client.script["batch_get_item"] = [False]
    with pytest.raises(TableUnavailableError):
        ledger.find(["m-1"])
    client.script["query"] = [False]
    with pytest.raises(TableUnavailableError):
        list(ledger.due())


def test_report_entries_are_not_messages(ledger: OpenLedger, table: Table) -> None:
    """They share the message's partition under other keys."""
    table.put_all([{"messageId": "m-1", "entry": "REPORT#SMS#5#-", "expiresAt": 2**40}])

    assert ledger.find(["m-1"]) == {}
    assert claimed(ledger)
    assert item(ledger)["entry"] == MESSAGE_ENTRY


# --- Refused records -----------------------------------------------------------------------

REFUSED = RefusedRecord("m-1", "r-1", "d-1", DeadLetterReason.INVALID, "sms.text", "is required")


def test_refused_record_neither_claims_its_ids_nor_is_it_stored_twice(
    ledger: OpenLedger, table: Table, clock: Clock
) -> None:
    """Its entry expires like a message, and a corrected record can claim the id."""
    other = replace(REFUSED, record_id="r-2", reason=DeadLetterReason.CONFLICT, field="", rule="")

    assert ledger.keep_refused([REFUSED, REFUSED, other])
    assert ledger.keep_refused([replace(REFUSED, dead_letter_id="d-2")])

    assert ledger.find(["m-1"]) == {}
    assert claimed(ledger)
    message, first, second = table.query(Query("m-1"))
    assert message["entry"] == "MESSAGE"
    assert first == {
        "messageId": "m-1",
        "entry": "REFUSED#r-1",
        "deadLetterId": "d-1",
        "reason": "INVALID",
        "field": "sms.text",
        "rule": "is required",
        "refusedAt": format_utc(clock()),
        "expiresAt": int((clock() + RETENTION).timestamp()),
    }
    assert (second["entry"], second["reason"]) == ("REFUSED#r-2", "CONFLICT")
    assert "field" not in second


def test_refused_record_that_was_not_stored_is_reported(
    ledger: OpenLedger, client: Unreliable
) -> None:
    client.script["batch_execute_statement"] = [False] * 10

    assert not ledger.keep_refused([REFUSED])
