"""Verdicts of reports, log rows and answers, and the intervals of log queries."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.api.reports import DeliveryReport, LogEntry, Status, StatusGroup
from infobip_omni.api.sends import SendResponse, SendResult
from infobip_omni.message import (
    ACCEPTED_OR_FINAL,
    UNPROVEN,
    Evidence,
    MessageState,
)
from infobip_omni.statuses import DUPLICATE_MESSAGE_ID, refusal_of
from infobip_omni.verdicts import (
    LOGS_REACH_BACK,
    NO_RANK,
    SendAnswer,
    check_delay,
    highest,
    read_answer,
    verdict_of,
    verdict_of_logs,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from infobip_omni.verdicts import Verdict

    Row = DeliveryReport | LogEntry

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FINAL_GROUPS = {
    StatusGroup.UNDELIVERABLE: MessageState.UNDELIVERED,
    StatusGroup.DELIVERED: MessageState.DELIVERED,
    StatusGroup.EXPIRED: MessageState.EXPIRED,
    StatusGroup.REJECTED: MessageState.REJECTED,
}


def row(
    kind: type[DeliveryReport | LogEntry] = DeliveryReport,
    channel: str | None = "SMS",
    group: int = StatusGroup.DELIVERED,
    status_id: int = 5,
    done: datetime | None = NOON,
) -> Row:
    """Build a report or a log row."""
    return kind.model_validate(
        {
            "messageId": "m-1",
            "status": {"groupId": group, "id": status_id},
            "channel": channel,
            "sentAt": NOON.isoformat(),
            "doneAt": done and done.isoformat(),
        }
    )


def winner(rows: Iterable[Row], last_step: str | None = "SMS") -> Verdict | None:
    """Return the verdict that wins among those of these rows."""
    return highest(verdict for one in rows if (verdict := verdict_of(one, last_step)))


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


# --- Single rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DeliveryReport, LogEntry])
@pytest.mark.parametrize(("group", "state"), FINAL_GROUPS.items())
def test_final_row_of_last_step_settles(
    group: StatusGroup, state: MessageState, kind: type[DeliveryReport | LogEntry]
) -> None:
    """The id of the group decides; its name differs between Infobip's documents."""
    verdict = verdict_of(row(kind, group=group), "SMS")

    assert verdict is not None
    assert verdict.state is state
    assert (verdict.channel, verdict.done_at) == ("SMS", NOON)
    assert verdict.evidence is (Evidence.REPORT if kind is DeliveryReport else Evidence.LOGS)
    assert verdict.rank > NO_RANK


@pytest.mark.parametrize("group", [StatusGroup.ACCEPTED, StatusGroup.PENDING, 6, 99, -1])
def test_row_that_is_not_final_settles_nothing(group: int) -> None:
    """The message is on its way, or Infobip has added a group."""
    assert verdict_of(row(group=group), "SMS") is None


@pytest.mark.parametrize("channel", ["PUSH", "VIBER", "FACEBOOK", None])
@pytest.mark.parametrize(
    "group", [StatusGroup.UNDELIVERABLE, StatusGroup.EXPIRED, StatusGroup.REJECTED]
)
def test_failure_of_other_step_than_last_settles_nothing(
    group: StatusGroup, channel: str | None
) -> None:
    """The next step follows."""
    assert verdict_of(row(channel=channel, group=group), "SMS") is None


@pytest.mark.parametrize("last_step", ["SMS", None])
@pytest.mark.parametrize("channel", ["PUSH", "SMS", "FACEBOOK", None])
def test_delivery_settles_on_any_step(channel: str | None, last_step: str | None) -> None:
    """No step follows a delivery, whether the flow is known or not."""
    verdict = verdict_of(row(channel=channel), last_step)

    assert verdict is not None
    assert verdict.state is MessageState.DELIVERED


def test_failure_settles_nothing_if_flow_is_unknown() -> None:
    """Another step may follow."""
    assert verdict_of(row(group=StatusGroup.UNDELIVERABLE), None) is None


@pytest.mark.parametrize("last_step", ["SMS", None])
@pytest.mark.parametrize("group", StatusGroup)
def test_refused_duplicate_never_settles(group: StatusGroup, last_step: str | None) -> None:
    """It concerns the id, and says nothing about the message that was sent with it."""
    duplicate = row(group=group, status_id=DUPLICATE_MESSAGE_ID)

    assert verdict_of(duplicate, last_step) is None
    logged = row(LogEntry, group=group, status_id=DUPLICATE_MESSAGE_ID)
    assert isinstance(logged, LogEntry)
    assert verdict_of_logs([logged], last_step, after(60)) is None


# --- Several rows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        # A delivery outranks every failure, however late that is.
        (row(group=StatusGroup.REJECTED, done=after(60)), row(done=after(0))),
        (row(group=StatusGroup.EXPIRED, done=after(60)), row(channel="PUSH", done=None)),
        (row(group=StatusGroup.UNDELIVERABLE), row(LogEntry)),
        # The earliest delivery is the one that the recipient saw.
        (row(channel="SMS", done=after(1)), row(channel="PUSH", done=after(0))),
        (row(done=after(1)), row(LogEntry, done=after(0))),
        (row(done=None), row(done=after(10_000))),
        # Of several failures the latest counts.
        (
            row(group=StatusGroup.REJECTED, done=after(0)),
            row(group=StatusGroup.EXPIRED, done=after(1)),
        ),
        (row(group=StatusGroup.REJECTED, done=None), row(group=StatusGroup.EXPIRED)),
        # Then the id of the status decides, so every process comes to the same verdict.
        (
            row(group=StatusGroup.UNDELIVERABLE, status_id=4),
            row(group=StatusGroup.UNDELIVERABLE, status_id=31),
        ),
        (
            row(DeliveryReport, group=StatusGroup.EXPIRED, status_id=15),
            row(LogEntry, group=StatusGroup.EXPIRED, status_id=29),
        ),
        # Of two equal rows the report wins, since it holds more.
        (row(LogEntry), row(DeliveryReport)),
        (
            row(LogEntry, group=StatusGroup.EXPIRED, status_id=15),
            row(DeliveryReport, group=StatusGroup.EXPIRED, status_id=15),
        ),
    ],
)
def test_higher_of_two_verdicts_wins(lower: Row, higher: Row) -> None:
    """The order of the rows does not matter."""
    expected = verdict_of(higher, "SMS")

    assert winner([lower, higher]) == winner([higher, lower]) == expected


def test_offset_does_not_change_rank() -> None:
    east = row(done=NOON.astimezone(timezone(timedelta(hours=5))))
    west = row(done=NOON.astimezone(timezone(-timedelta(hours=3))))

    assert ranks([east]) == ranks([west]) == ranks([row()])


def ranks(rows: Iterable[Row]) -> list[str]:
    """Return the ranks of rows that settle."""
    return [verdict.rank for one in rows if (verdict := verdict_of(one, "SMS"))]


#: Mostly from a few values, so many are equal.
DONE_TIMES = st.none() | st.integers(0, 4).map(after) | st.datetimes(timezones=st.just(UTC))
ROWS = st.builds(
    row,
    kind=st.sampled_from([DeliveryReport, LogEntry]),
    channel=st.sampled_from(["PUSH", "SMS", "FACEBOOK", None]),
    group=st.integers(-1, 7),
    status_id=st.sampled_from([0, 4, 5, 9, 15, DUPLICATE_MESSAGE_ID, -1, 10**9]),
    done=DONE_TIMES,
)


def test_rows_before_1970_have_stable_winner() -> None:
    """Ranks do not sort by times before 1970, but the same one of two rows always wins."""
    one, other = (
        row(LogEntry, "SMS", group=2, status_id=9, done=datetime(year, 1, 1, tzinfo=UTC))
        for year in (1960, 1961)
    )

    assert winner([one, other], "SMS") == winner([other, one], "SMS")


@given(
    st.lists(ROWS, max_size=8),
    st.sampled_from(["SMS", "PUSH", None]),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_order_repetition_and_paging_do_not_change_verdict(
    rows: list[Row], last_step: str | None, chance: random.Random, data: st.DataObject
) -> None:
    """Reports and log rows come in any order, several times, and in pages cut anywhere."""
    stream = rows + (data.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else [])
    chance.shuffle(stream)
    cut = chance.randint(0, len(stream))
    pages = (stream[:cut], stream[cut:])
    by_page = highest(verdict for page in pages if (verdict := winner(page, last_step)) is not None)

    assert stored(by_page) == stored(winner(rows, last_step))


def stored(verdict: Verdict | None) -> object:
    """Return what is stored of a verdict; times are cut to the millisecond."""
    if verdict is None:
        return None
    done = verdict.done_at
    milliseconds = done and done.replace(microsecond=done.microsecond // 1000 * 1000)
    return verdict.state, verdict.evidence, verdict.channel, verdict.status, milliseconds


@given(ROWS, ROWS)
def test_ranks_compare_as_text(one: Row, other: Row) -> None:
    """DynamoDB compares ranks as text: they need one length, and deliveries the highest."""
    first, second = verdict_of(one, "SMS"), verdict_of(other, "SMS")
    if first is None or second is None:
        return
    assert len(first.rank) == len(second.rank)
    if first.state is MessageState.DELIVERED and second.state is not MessageState.DELIVERED:
        assert first.rank > second.rank


# --- Logs of an unknown flow -----------------------------------------------------------------


def logged(channel: str, group: int, minutes: float | None, status_id: int = 4) -> LogEntry:
    """Build a log row whose step ended so many minutes after noon."""
    done = None if minutes is None else after(minutes)
    made = row(LogEntry, channel, group, status_id, done)
    assert isinstance(made, LogEntry)
    return made


PUSH_FAILED = logged("PUSH", StatusGroup.UNDELIVERABLE, 1, 66)
SMS_EXPIRED = logged("SMS", StatusGroup.EXPIRED, 5, 15)
SMS_PENDING = logged("SMS", StatusGroup.PENDING, None, 7)


@pytest.mark.parametrize(
    ("rows", "settled_before", "state"),
    [
        ([PUSH_FAILED, SMS_EXPIRED], after(5), MessageState.EXPIRED),
        ([SMS_EXPIRED, PUSH_FAILED], after(50), MessageState.EXPIRED),
        ([PUSH_FAILED], after(1), MessageState.UNDELIVERED),
        # Another step may follow at any time.
        ([PUSH_FAILED, SMS_EXPIRED], after(4.9), None),
        ([PUSH_FAILED], after(0), None),
        # Another step has followed.
        ([PUSH_FAILED, SMS_PENDING], after(500), None),
        ([PUSH_FAILED, logged("SMS", StatusGroup.PENDING, 2)], after(500), None),
        ([logged("PUSH", StatusGroup.UNDELIVERABLE, None)], after(500), None),
        ([PUSH_FAILED, logged("SMS", StatusGroup.REJECTED, 2, 23)], after(500), None),
        ([], after(500), None),
        # A delivery is final.
        ([logged("PUSH", StatusGroup.DELIVERED, 2, 5)], after(0), MessageState.DELIVERED),
        (
            [PUSH_FAILED, logged("SMS", StatusGroup.DELIVERED, 2, 5), SMS_EXPIRED],
            after(500),
            MessageState.DELIVERED,
        ),
    ],
)
def test_message_with_unknown_flow_fails_if_no_step_follows_for_a_while(
    rows: list[LogEntry], settled_before: datetime, state: MessageState | None
) -> None:
    """The logs list every step that was begun."""
    for order in itertools.permutations(rows):
        verdict = verdict_of_logs(order, None, settled_before)
        assert (verdict and verdict.state) == state


def test_last_step_alone_decides_failure_if_flow_is_known() -> None:
    """The time since a failure does not matter."""
    assert verdict_of_logs([PUSH_FAILED], "SMS", after(500)) is None
    verdict = verdict_of_logs([PUSH_FAILED, SMS_EXPIRED], "SMS", after(0))
    assert verdict is not None
    assert (verdict.state, verdict.channel) == (MessageState.EXPIRED, "SMS")


# --- Intervals of log queries ----------------------------------------------------------------


def test_intervals_of_log_queries_double_up_to_six_hours() -> None:
    """A message needs few log queries, and the last is made while the logs still hold it."""
    first = timedelta(minutes=10)
    age, intervals = first, []
    while (interval := check_delay(age, first)) is not None:
        intervals.append(interval)
        age += interval

    assert intervals[:6] == [first * 2**number for number in range(6)]
    assert max(intervals) == timedelta(hours=6)
    assert all(later >= earlier for earlier, later in itertools.pairwise(intervals[:-1]))
    assert LOGS_REACH_BACK - timedelta(hours=2) < age < LOGS_REACH_BACK
    assert len(intervals) < 20


@given(
    st.timedeltas(-timedelta(days=180), timedelta(days=200)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=1)),
)
def test_next_log_query_is_in_the_future_and_in_time(age: timedelta, first: timedelta) -> None:
    """Before `sendAt` an age is negative, and log queries continue."""
    delay = check_delay(age, first)

    if delay is None:
        assert age >= LOGS_REACH_BACK - timedelta(hours=1)
    else:
        assert timedelta(0) < delay <= timedelta(hours=6)
        assert age + delay < LOGS_REACH_BACK


# --- States ----------------------------------------------------------------------------------


def test_every_state_is_either_proven_or_unproven() -> None:
    assert set(MessageState) == ACCEPTED_OR_FINAL | UNPROVEN
    assert not ACCEPTED_OR_FINAL & UNPROVEN


# --- The answer to a send --------------------------------------------------------------------

TAKEN_STATUS = Status(group_id=StatusGroup.PENDING, id=26)
NO_CREDIT = Status(group_id=StatusGroup.REJECTED, id=12)
REPEATED = Status(group_id=StatusGroup.REJECTED, id=DUPLICATE_MESSAGE_ID)
ACCEPTED = SendAnswer(MessageState.ACCEPTED, Evidence.RESPONSE)
UNKNOWN = SendAnswer(MessageState.UNKNOWN)
NOT_PAID = SendAnswer(
    MessageState.WAITING,
    Evidence.RESPONSE,
    NO_CREDIT,
    account_refused=True,
    refusal=refusal_of(NO_CREDIT),
    refused_by=12,
)


@pytest.mark.parametrize(
    ("entries", "answers"),
    [
        ([("b", NO_CREDIT), ("a", TAKEN_STATUS)], [ACCEPTED, NOT_PAID]),
        ([(None, TAKEN_STATUS), (None, NO_CREDIT)], [ACCEPTED, NOT_PAID]),
        ([(None, TAKEN_STATUS)], [UNKNOWN, UNKNOWN]),
        ([("b", TAKEN_STATUS)], [UNKNOWN, ACCEPTED]),
        ([("c", TAKEN_STATUS), ("b", None)], [UNKNOWN, UNKNOWN]),
        (
            [("a", REPEATED), ("b", Status(group_id=9, id=99))],
            [SendAnswer(MessageState.UNKNOWN, Evidence.DUPLICATE_ID, REPEATED), UNKNOWN],
        ),
        # An entry that cannot be read keeps its place.
        ([(None, None), (None, TAKEN_STATUS)], [UNKNOWN, ACCEPTED]),
    ],
)
def test_message_without_clear_answer_is_unknown(
    entries: list[tuple[str | None, Status | None]], answers: list[SendAnswer]
) -> None:
    """Entries are matched by id; by position only if they have no id and none is missing."""
    results = tuple(SendResult(message_id=one, status=status) for one, status in entries)

    assert read_answer(SendResponse(messages=results), ["a", "b"]) == answers


@pytest.mark.parametrize(
    "part",
    [
        {"groupId": 1},
        {"groupId": "0"},
        {"groupName": "PENDING"},
        {"groupName": "Ok"},
        {"id": 26},
        {"name": "PENDING_ENROUTE"},
        {"groupId": 3, "id": None, "name": [], "groupName": {}, "description": 1e400},
    ],
)
def test_any_part_of_status_tells_that_message_is_accepted(part: dict[str, object]) -> None:
    assert answered(part) == ACCEPTED


@pytest.mark.parametrize(
    "part",
    [{}, {"id": 12345}, {"id": 87}, {"name": "NEW"}, {"groupId": True}, {"description": "x"}],
)
def test_message_whose_status_tells_no_group_is_unknown(part: dict[str, object]) -> None:
    assert answered(part) == UNKNOWN


@pytest.mark.parametrize("group", [{"groupId": 5}, {"groupName": "REJECTED"}, {}])
@pytest.mark.parametrize("reason", [{"id": 12}, {"name": "REJECTED_NOT_ENOUGH_CREDITS"}])
def test_refusal_that_ends_is_known_by_any_part(
    group: dict[str, object], reason: dict[str, object]
) -> None:
    """The id under which the attempt is remembered is that of the name."""
    answer = answered(group | reason)

    assert (answer.state, answer.refused_by) == (MessageState.WAITING, 12)
    assert answer.account_refused


def test_repeated_id_is_known_by_its_name() -> None:
    answer = answered({"groupName": "REJECTED", "name": "REJECTED_DUPLICATE_MESSAGE_ID"})

    assert (answer.state, answer.evidence) == (MessageState.UNKNOWN, Evidence.DUPLICATE_ID)


@pytest.mark.parametrize("part", [{"groupId": 5}, {"groupName": "Rejected"}])
def test_refusal_without_reason_is_for_good_and_alarmed(part: dict[str, object]) -> None:
    answer = answered(part)

    assert (answer.state, answer.refused_by) == (MessageState.REJECTED, None)
    assert answer.is_unlisted
    assert answer.is_unexplained


def answered(status: dict[str, object]) -> SendAnswer:
    """Read the answer about one message."""
    body = {"messages": [{"messageId": "a", "status": status}]}
    (answer,) = read_answer(SendResponse.model_validate(body), ["a"])
    return answer


@pytest.mark.parametrize("kind", [DeliveryReport, LogEntry])
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"groupId": 3}, MessageState.DELIVERED),
        ({"groupName": "Delivered"}, MessageState.DELIVERED),
        ({"id": 5}, MessageState.DELIVERED),
        ({"name": "DELIVERED_TO_HANDSET"}, MessageState.DELIVERED),
        ({"groupId": 2}, MessageState.UNDELIVERED),
        ({"name": "EXPIRED_EXPIRED"}, MessageState.EXPIRED),
        ({"groupName": "REJECTED"}, MessageState.REJECTED),
        ({"groupName": "PENDING", "id": 5}, None),
        ({"id": 87}, None),
        ({"id": 12345}, None),
        ({"name": "REJECTED_DUPLICATE_MESSAGE_ID"}, None),
    ],
)
def test_row_settles_by_whichever_part_tells_its_group(
    status: dict[str, object],
    state: MessageState | None,
    kind: type[DeliveryReport | LogEntry],
) -> None:
    written = {"messageId": "m", "channel": "SMS", "status": status}

    verdict = verdict_of(kind.model_validate(written), "SMS")

    assert (verdict and verdict.state) == state
