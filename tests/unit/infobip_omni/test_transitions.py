"""Each transition makes its changes, if the message is still as it was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni import transitions
from infobip_omni.api.reports import DeliveryReport, Status
from infobip_omni.dynamodb import Comparison, Expectation, from_wire, to_wire
from infobip_omni.message import (
    ACCEPTED_OR_FINAL,
    CHECK_SHARDS,
    QUARANTINED_SHARD,
    UNRESOLVED_SHARD,
    Evidence,
    Message,
    MessageState,
)
from infobip_omni.timestamps import format_utc
from infobip_omni.transitions import (
    LONGEST_WAIT,
    AttemptResult,
    Claim,
    ClaimStatus,
    Lease,
    Leave,
    Past,
    Periods,
    Write,
)
from infobip_omni.verdicts import verdict_of
from tests.fakes import make_claim, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from infobip_omni.dynamodb import Update

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CHECK_AFTER = timedelta(minutes=10)
PERIODS = Periods(retention=timedelta(days=90), check_after=CHECK_AFTER)
LEASE = Lease("token", NOW, NOW + timedelta(minutes=2))
CLAIM = make_claim(content_hash="hash")
OTHER_LEASE = Lease("another's", NOW - timedelta(minutes=1), NOW + timedelta(minutes=1))


def found(claim: Claim = CLAIM, lease: Lease = OTHER_LEASE, **changes: Any) -> Message:  # noqa: ANN401
    """Return a message that another run has claimed before."""
    item = dict(transitions.claimed(claim, lease, PERIODS).item)
    (message,) = readable([Message.from_item(from_wire(to_wire(item)))])
    return replace(message, **changes)


def met(message: Message, claim: Claim = CLAIM) -> Leave | Write:
    """Return the decision about a claim whose message already exists."""
    return transitions.meet(claim, LEASE, message, PERIODS)


def changes(update: Update) -> dict[str, object]:
    """Return the changes of an update, without the shard of the index."""
    changed = dict(update.changes)
    if changed.get("checkShard") in {str(shard) for shard in range(CHECK_SHARDS)}:
        del changed["checkShard"]
    return changed


def as_read(message: Message) -> set[tuple[str, object]]:
    """Return the conditions that a message which was read must still meet."""
    check = message.next_check_at
    return {
        ("state", message.state.value),
        ("claimToken", message.claim_token),
        *([("nextCheckAt", format_utc(check))] if check else []),
    }


def expected(update: Update) -> set[tuple[str, object]]:
    """Return the conditions of an update."""
    return {(each.name, each.value) for each in update.expected}


# --- Claims ----------------------------------------------------------------------------------


def test_claim_holds_all_known_attributes() -> None:
    """Unknown attributes have no value."""
    item = transitions.claimed(CLAIM, LEASE, PERIODS).item

    assert {name: value for name, value in item.items() if value is not None} == {
        "messageId": "m-1",
        "entry": "MESSAGE",
        "state": "CLAIMED",
        "contentHash": "hash",
        "scenario": "otp",
        "steps": ["PUSH", "SMS"],
        "to": {"phoneNumber": "385991234567"},
        "recipient": item["recipient"],
        "bulkId": "bulk-1",
        "onUnknown": "never-duplicate",
        "attempts": 1,
        "claimToken": "token",
        "claimedAt": "2026-01-31T12:00:00.000Z",
        "leaseUntil": "2026-01-31T12:02:00.000Z",
        "verdictRank": "",
        "expiresAt": int((NOW + timedelta(days=90, hours=1)).timestamp()),
        "nextCheckAt": "2026-01-31T12:10:00.000Z",
        "checkShard": item["checkShard"],
    }


def test_scheduled_message_is_checked_and_expires_after_send_at() -> None:
    """Until then the logs do not hold it."""
    send_at = NOW + timedelta(days=2)
    item = transitions.claimed(replace(CLAIM, send_at=send_at), LEASE, PERIODS).item

    assert item["nextCheckAt"] == format_utc(send_at + CHECK_AFTER)
    assert item["expiresAt"] == int((send_at + timedelta(days=90, hours=1)).timestamp())


def test_claim_is_not_checked_before_lease_ends() -> None:
    """Its holder may be sending."""
    long = replace(LEASE, ends=NOW + timedelta(hours=1))

    item = transitions.claimed(CLAIM, long, PERIODS).item
    assert item["nextCheckAt"] == item["leaseUntil"]


def test_own_claim_is_recognised() -> None:
    """DynamoDB's answer to the claim was lost."""
    assert met(found(lease=LEASE)) == Leave(ClaimStatus(MessageState.CLAIMED, token="token"))  # noqa: S106


def test_own_claim_of_settled_message_is_not_held() -> None:
    """A report of an earlier message with the same id may arrive first."""
    settled = found(lease=LEASE, state=MessageState.DELIVERED)

    assert met(settled) == Leave(ClaimStatus(MessageState.DELIVERED))


def test_claim_of_other_run_is_left_alone_until_lease_ends() -> None:
    assert met(found()) == Leave(ClaimStatus(MessageState.CLAIMED, until=OTHER_LEASE.ends))


@pytest.mark.parametrize("conflict", [False, True])
def test_expired_lease_is_never_taken_over(*, conflict: bool) -> None:
    """Its holder may have sent, so the message is unknown until the logs are queried."""
    message = found(lease_until=NOW)
    claim = replace(CLAIM, content_hash="other") if conflict else CLAIM
    decision = met(message, claim)

    until = NOW + CHECK_AFTER
    assert decision == Write(
        transitions.lease_expired(message, NOW, CHECK_AFTER),
        ClaimStatus(MessageState.UNKNOWN, conflict=conflict, until=until),
        ClaimStatus(MessageState.CLAIMED, conflict=conflict, until=NOW),
    )


def test_waiting_message_is_taken_over() -> None:
    """The attempt is counted, and the result of the last one is removed."""
    message = found(state=MessageState.WAITING, attempts=2)
    decision = met(message)

    assert isinstance(decision, Write)
    assert decision.claim_status == ClaimStatus(
        MessageState.CLAIMED,
        token="token",  # noqa: S106
        past=Past(attempt=3),
    )
    assert decision.fallback == ClaimStatus(MessageState.WAITING, until=message.next_check_at)
    changed = decision.update.changes
    assert (changed["state"], changed["attempts"], changed["claimToken"]) == ("CLAIMED", 3, "token")
    removed = {name for name, value in changed.items() if value is None}
    assert {"evidence", "status", "deadLetterReason", "absentAnswers"} <= removed
    assert not removed & {"releasedAt", "unknownAt"}
    assert expected(decision.update) == {
        ("state", "WAITING"),
        ("claimToken", "another's"),
        ("expiresAt", message.expires_at),
    }


def test_claim_knows_the_attempts_before_its_own() -> None:
    """Also if the answer to its write was lost, and the item is read again."""
    waiting = replace(
        found(state=MessageState.WAITING, attempts=1),
        refused_bulk_ids={12: ("bulk-1",)},
        refused_attempt=1,
        follows_unknown=True,
    )
    decision = met(waiting)
    assert isinstance(decision, Write)
    own = replace(waiting, state=MessageState.CLAIMED, attempts=2, claim_token=LEASE.token)

    expected_past = Past(2, {12: ("bulk-1",)}, has_unknown=True)
    assert decision.claim_status.past == expected_past
    assert transitions.claim_status_of(CLAIM, LEASE, own).past == expected_past
    assert met(own).claim_status.past == expected_past


def test_waiting_message_with_other_content_is_conflict() -> None:
    """It is left to its own record."""
    decision = met(found(state=MessageState.WAITING), replace(CLAIM, content_hash="other"))

    assert isinstance(decision, Leave)
    assert decision.claim_status.conflict


@pytest.mark.parametrize("state", MessageState)
def test_expired_message_counts_as_absent(state: MessageState) -> None:
    """Its attributes do not apply to a new message, even if the table does not answer."""
    message = found(state=state, expires_at=int(NOW.timestamp()), attempts=5)
    decision = met(message, replace(CLAIM, content_hash="other"))

    assert isinstance(decision, Write)
    assert decision.claim_status == ClaimStatus(MessageState.CLAIMED, token="token")  # noqa: S106
    assert decision.fallback == ClaimStatus(None)
    assert decision.update.changes["attempts"] == 1
    removed = {name for name, value in decision.update.changes.items() if value is None}
    assert {"releasedAt", "closedAt", "unknownAt", "evidence"} <= removed


@pytest.mark.parametrize(
    "state", sorted(set(MessageState) - {MessageState.CLAIMED, MessageState.WAITING})
)
def test_message_in_any_other_state_is_left_alone(state: MessageState) -> None:
    """If its outcome is open, the claim status says when to look at it again."""
    message = found(state=state)

    until = None if state in ACCEPTED_OR_FINAL else message.next_check_at
    assert met(message) == Leave(ClaimStatus(state, until=until))


def test_expired_lease_makes_message_unknown() -> None:
    """The logs are first queried a while after now, or after `sendAt` if that is later."""
    scheduled = found(replace(CLAIM, send_at=NOW + timedelta(days=1)))
    update = transitions.lease_expired(scheduled, NOW, CHECK_AFTER)

    assert changes(update) == {
        "state": "UNKNOWN",
        "unknownAt": format_utc(NOW),
        "nextCheckAt": format_utc(NOW + timedelta(days=1) + CHECK_AFTER),
    }
    assert expected(update) == as_read(scheduled)


# --- Results of attempts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason", "more"),
    [
        (MessageState.ACCEPTED, None, {"sentAt": format_utc(NOW)}),
        (
            MessageState.UNKNOWN,
            None,
            {"unknownAt": format_utc(NOW), "nextCheckAt": format_utc(NOW + CHECK_AFTER)},
        ),
        (MessageState.WAITING, None, {"nextCheckAt": format_utc(NOW + LONGEST_WAIT)}),
        (MessageState.WAITING, "CONFLICT", {"nextCheckAt": None, "checkShard": None}),
        (
            MessageState.REJECTED,
            None,
            {"nextCheckAt": None, "checkShard": None, "doneAt": format_utc(NOW)},
        ),
    ],
)
def test_result_is_saved_by_holder_of_claim(
    state: MessageState, reason: str | None, more: dict[str, object]
) -> None:
    """An accepted message keeps the check that its claim has set."""
    result = AttemptResult("m-1", "token", state, Evidence.RESPONSE, dead_letter_reason=reason)
    update = transitions.result_saved(result, NOW, CHECK_AFTER)

    assert (
        changes(update)
        == {
            "state": state,
            "evidence": "response",
            "deadLetterReason": reason,
        }
        | more
    )
    assert expected(update) == {("state", "CLAIMED"), ("claimToken", "token")}


@pytest.mark.parametrize("status", [Status(group_id=5, id=51), {"groupId": 5, "id": 51}])
def test_result_may_have_status(status: Any) -> None:  # noqa: ANN401 (either)
    """It is Infobip's, or that of the rejected request."""
    result = AttemptResult("m-1", "token", MessageState.REJECTED, status=status)

    update = transitions.result_saved(result, NOW, CHECK_AFTER)
    assert update.changes["status"] == {"groupId": 5, "id": 51}


def test_message_of_dead_lettered_record_stops_waiting() -> None:
    """The condition is that it was waiting."""
    update = transitions.waiting_stopped("m-1", "OUTAGE")

    assert update.changes == {
        "deadLetterReason": "OUTAGE",
        "nextCheckAt": None,
        "checkShard": None,
    }
    assert expected(update) == {("state", "WAITING")}


def test_message_of_lost_record_is_marked_as_lost() -> None:
    """No sender will handle it."""
    waiting = found(state=MessageState.WAITING)
    update = transitions.record_lost(waiting)

    assert update.changes == {"deadLetterReason": "LOST", "nextCheckAt": None, "checkShard": None}
    assert expected(update) == as_read(waiting)


# --- Reports and logs ------------------------------------------------------------------------


def test_verdict_is_stored_over_lower_rank() -> None:
    """The state and the holder of the claim do not matter."""
    report = DeliveryReport.model_validate(
        {
            "messageId": "m-1",
            "channel": "SMS",
            "status": {"groupId": 3, "id": 5},
            "doneAt": "2026-01-31T12:00:00.000+0000",
        }
    )
    verdict = verdict_of(report, "SMS")
    assert verdict is not None
    update = transitions.settled(found(state=MessageState.QUARANTINED), verdict)

    assert update.changes == {
        "state": "DELIVERED",
        "verdictRank": verdict.rank,
        "evidence": "report",
        "channel": "SMS",
        "status": {"groupId": 3, "id": 5},
        "sentAt": None,
        "doneAt": "2026-01-31T12:00:00.000Z",
        "price": None,
        "nextCheckAt": None,
        "checkShard": None,
    }
    assert update.expected == (Expectation("verdictRank", verdict.rank, Comparison.BELOW),)


def test_proof_makes_message_accepted() -> None:
    """Its outcome is checked later."""
    unknown = found(state=MessageState.UNKNOWN, absent_answers=2)
    update = transitions.proven_accepted(unknown, Evidence.LOGS, NOW, CHECK_AFTER)

    assert changes(update) == {
        "state": "ACCEPTED",
        "evidence": "logs",
        "absentAnswers": None,
        "nextCheckAt": format_utc(NOW + CHECK_AFTER),
    }
    assert expected(update) == as_read(unknown)


@pytest.mark.parametrize(("absent", "answers"), [(True, 3), (False, 2)])
def test_only_absence_from_logs_is_counted(*, absent: bool, answers: int) -> None:
    """An answer that proves nothing only postpones the check."""
    unknown = found(state=MessageState.UNKNOWN, absent_answers=2)
    update = transitions.check_postponed(unknown, NOW, absent=absent)

    assert changes(update) == {"absentAnswers": answers, "nextCheckAt": format_utc(NOW)}
    assert expected(update) == as_read(unknown)


@pytest.mark.parametrize(
    ("transition", "changed"),
    [
        (
            transitions.left_unresolved,
            {"unresolvedAt": format_utc(NOW), "checkShard": UNRESOLVED_SHARD},
        ),
        (transitions.quarantined, {"state": "QUARANTINED", "checkShard": QUARANTINED_SHARD}),
    ],
)
def test_message_that_is_no_longer_checked_is_listed(
    transition: Any,  # noqa: ANN401
    changed: dict[str, object],
) -> None:
    """Unresolved and quarantined messages have a list each, by the time of their entry."""
    unknown = found(state=MessageState.UNKNOWN)
    update = transition(unknown, NOW)

    assert update.changes == changed | {"nextCheckAt": format_utc(NOW)}
    assert expected(update) == as_read(unknown)


def test_message_with_duplicate_id_is_rejected() -> None:
    """Infobip sent nothing for it."""
    update = transitions.rejected_as_duplicate(found(state=MessageState.UNKNOWN), NOW)

    assert update.changes == {
        "state": "REJECTED",
        "evidence": "duplicate-id",
        "doneAt": format_utc(NOW),
        "nextCheckAt": None,
        "checkShard": None,
    }


def test_message_that_must_arrive_waits_to_be_sent_again() -> None:
    """Its absences are reset, since another attempt follows."""
    update = transitions.sent_again(found(state=MessageState.UNKNOWN), NOW)

    assert changes(update) == {
        "state": "WAITING",
        "earlierBulkIds": ["bulk-1"],
        "absentAnswers": None,
        "firstUnknownAttemptAt": format_utc(OTHER_LEASE.begins),
        "nextCheckAt": format_utc(NOW + LONGEST_WAIT),
    }


# --- The operator ----------------------------------------------------------------------------


def test_released_message_waits_to_be_sent_again() -> None:
    """It holds who decided that, and why."""
    quarantined = found(state=MessageState.QUARANTINED)
    update = transitions.released(quarantined, "ada", "asked for", NOW)

    assert changes(update) == {
        "state": "WAITING",
        "earlierBulkIds": ["bulk-1"],
        "absentAnswers": None,
        "firstUnknownAttemptAt": format_utc(OTHER_LEASE.begins),
        "releasedAt": format_utc(NOW),
        "releasedBy": "ada",
        "releasedWhy": "asked for",
        "nextCheckAt": format_utc(NOW + LONGEST_WAIT),
    }
    assert expected(update) == as_read(quarantined)


def test_closed_message_gets_other_token() -> None:
    """So the condition of a release that has read it before fails."""
    quarantined = found(state=MessageState.QUARANTINED)
    closed = dict(transitions.closed(quarantined, "ada", "too late", NOW).changes)
    release = transitions.released(quarantined, "bob", "asked for", NOW)

    assert ("claimToken", closed.pop("claimToken")) not in expected(release)
    assert closed == {
        "closedAt": format_utc(NOW),
        "closedBy": "ada",
        "closedWhy": "too late",
        "nextCheckAt": None,
        "checkShard": None,
    }


# --- The first log query about an accepted message -------------------------------------------


@pytest.mark.parametrize(
    ("validity", "wait"),
    [
        (timedelta(minutes=11), timedelta(minutes=11)),
        (timedelta(hours=12), timedelta(hours=12)),
        (timedelta(hours=48), timedelta(hours=12)),
    ],
)
def test_first_log_query_waits_for_the_first_step(validity: timedelta, wait: timedelta) -> None:
    """But leaves time for two within the 48 hours of the logs."""
    result = AttemptResult("m-1", "token", MessageState.ACCEPTED, first_step_validity=validity)
    update = transitions.result_saved(result, NOW, CHECK_AFTER)

    assert update.changes["nextCheckAt"] == format_utc(NOW + wait)
    assert "checkShard" not in update.changes


def test_first_step_begins_when_the_message_is_sent() -> None:
    send_at = NOW + timedelta(days=5)
    validity = timedelta(hours=1)
    result = AttemptResult(
        "m-1", "token", MessageState.ACCEPTED, send_at=send_at, first_step_validity=validity
    )
    update = transitions.result_saved(result, NOW, CHECK_AFTER)

    assert update.changes["nextCheckAt"] == format_utc(send_at + validity)


@pytest.mark.parametrize("validity", [None, timedelta(minutes=1), CHECK_AFTER])
def test_short_or_unknown_first_step_changes_no_check(validity: timedelta | None) -> None:
    """The claim has set it, so the index is not written again."""
    result = AttemptResult("m-1", "token", MessageState.ACCEPTED, first_step_validity=validity)
    update = transitions.result_saved(result, NOW, CHECK_AFTER)

    assert "nextCheckAt" not in update.changes


@pytest.mark.parametrize("state", [MessageState.UNKNOWN, MessageState.WAITING])
def test_validity_of_the_first_step_delays_no_other_check(state: MessageState) -> None:
    result = AttemptResult("m-1", "token", state, first_step_validity=timedelta(hours=6))
    without = AttemptResult("m-1", "token", state)

    saved = transitions.result_saved(result, NOW, CHECK_AFTER)
    assert saved == transitions.result_saved(without, NOW, CHECK_AFTER)


@pytest.mark.parametrize(
    "transition",
    [
        lambda message: transitions.sent_again(message, NOW),
        lambda message: transitions.released(message, "ada", "because", NOW),
    ],
    ids=["sent again", "released"],
)
def test_first_attempt_of_unknown_outcome_is_remembered(
    transition: Callable[[Message], Update],
) -> None:
    """Absence from the logs can be proven only within 47 hours of it."""
    first = found(state=MessageState.QUARANTINED)
    update = transition(first)
    assert update.changes["firstUnknownAttemptAt"] == format_utc(first.claimed_at)

    earlier = first.claimed_at - timedelta(hours=3)
    second = found(state=MessageState.QUARANTINED, first_unknown_attempt_at=earlier)
    assert transition(second).changes["firstUnknownAttemptAt"] == format_utc(earlier)
