"""Which report or log row decides about a message, and when the logs are asked again."""

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
from infobip_omni.verdicts import (
    DUPLICATE_MESSAGE_ID,
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
    """Make a report or a row of the logs."""
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
    """Return the verdict that stands after these rows."""
    return highest(verdict for one in rows if (verdict := verdict_of(one, last_step)))


def after(minutes: float) -> datetime:
    """Return a time after noon."""
    return NOON + timedelta(minutes=minutes)


# --- Single rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DeliveryReport, LogEntry])
@pytest.mark.parametrize(("group", "state"), FINAL_GROUPS.items())
def test_final_row_of_the_last_step_settles(
    group: StatusGroup, state: MessageState, kind: type[DeliveryReport | LogEntry]
) -> None:
    """The group decides, whatever its name is in this document or that."""
    verdict = verdict_of(row(kind, group=group), "SMS")

    assert verdict is not None
    assert verdict.state is state
    assert (verdict.channel, verdict.done_at) == ("SMS", NOON)
    assert verdict.evidence is (Evidence.REPORT if kind is DeliveryReport else Evidence.LOGS)
    assert verdict.rank > NO_RANK


@pytest.mark.parametrize("group", [StatusGroup.ACCEPTED, StatusGroup.PENDING, 6, 99, -1])
def test_row_that_is_not_final_settles_nothing(group: int) -> None:
    """The message is under way, or Infobip has a new word for something."""
    assert verdict_of(row(group=group), "SMS") is None


@pytest.mark.parametrize("channel", ["PUSH", "VIBER", "FACEBOOK", None])
@pytest.mark.parametrize(
    "group", [StatusGroup.UNDELIVERABLE, StatusGroup.EXPIRED, StatusGroup.REJECTED]
)
def test_failure_of_another_step_than_the_last_settles_nothing(
    group: StatusGroup, channel: str | None
) -> None:
    """The next step follows."""
    assert verdict_of(row(channel=channel, group=group), "SMS") is None


@pytest.mark.parametrize("last_step", ["SMS", None])
@pytest.mark.parametrize("channel", ["PUSH", "SMS", "FACEBOOK", None])
def test_delivery_settles_on_any_step(channel: str | None, last_step: str | None) -> None:
    """No step follows a delivery, also where the flow is unknown."""
    verdict = verdict_of(row(channel=channel), last_step)

    assert verdict is not None
    assert verdict.state is MessageState.DELIVERED


def test_failure_settles_nothing_where_the_flow_is_unknown() -> None:
    """Nobody knows whether the step was the last."""
    assert verdict_of(row(group=StatusGroup.UNDELIVERABLE), None) is None


@pytest.mark.parametrize("last_step", ["SMS", None])
@pytest.mark.parametrize("group", StatusGroup)
def test_refused_duplicate_never_settles(group: StatusGroup, last_step: str | None) -> None:
    """It is about the id of a message, and says nothing of the message that has it."""
    duplicate = row(group=group, status_id=DUPLICATE_MESSAGE_ID)

    assert verdict_of(duplicate, last_step) is None
    logged = row(LogEntry, group=group, status_id=DUPLICATE_MESSAGE_ID)
    assert isinstance(logged, LogEntry)
    assert verdict_of_logs([logged], last_step, after(60)) is None


# --- Several rows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        # A delivery outranks whatever else is said, and however late.
        (row(group=StatusGroup.REJECTED, done=after(60)), row(done=after(0))),
        (row(group=StatusGroup.EXPIRED, done=after(60)), row(channel="PUSH", done=None)),
        (row(group=StatusGroup.UNDELIVERABLE), row(LogEntry)),
        # The earliest delivery is the one that the recipient saw.
        (row(channel="SMS", done=after(1)), row(channel="PUSH", done=after(0))),
        (row(done=after(1)), row(LogEntry, done=after(0))),
        (row(done=None), row(done=after(10_000))),
        # Of failures the latest is the end.
        (
            row(group=StatusGroup.REJECTED, done=after(0)),
            row(group=StatusGroup.EXPIRED, done=after(1)),
        ),
        (row(group=StatusGroup.REJECTED, done=None), row(group=StatusGroup.EXPIRED)),
        # Then the number decides, so that two computers come to the same end.
        (
            row(group=StatusGroup.UNDELIVERABLE, status_id=4),
            row(group=StatusGroup.UNDELIVERABLE, status_id=31),
        ),
        (
            row(DeliveryReport, group=StatusGroup.EXPIRED, status_id=15),
            row(LogEntry, group=StatusGroup.EXPIRED, status_id=29),
        ),
        # Of the same said twice, the report has more to say.
        (row(LogEntry), row(DeliveryReport)),
        (
            row(LogEntry, group=StatusGroup.EXPIRED, status_id=15),
            row(DeliveryReport, group=StatusGroup.EXPIRED, status_id=15),
        ),
    ],
)
def test_of_two_verdicts_the_higher_stands(lower: Row, higher: Row) -> None:
    """It does so whichever comes first."""
    expected = verdict_of(higher, "SMS")

    assert winner([lower, higher]) == winner([higher, lower]) == expected


def test_offset_is_no_difference() -> None:
    """Two ways to write a moment are one moment."""
    east = row(done=NOON.astimezone(timezone(timedelta(hours=5))))
    west = row(done=NOON.astimezone(timezone(-timedelta(hours=3))))

    assert ranks([east]) == ranks([west]) == ranks([row()])


def ranks(rows: Iterable[Row]) -> list[str]:
    """Return the ranks of rows that settle."""
    return [verdict.rank for one in rows if (verdict := verdict_of(one, "SMS"))]


#: Mostly few, so that many are equal.
MOMENTS = st.none() | st.integers(0, 4).map(after) | st.datetimes(timezones=st.just(UTC))
ROWS = st.builds(
    row,
    kind=st.sampled_from([DeliveryReport, LogEntry]),
    channel=st.sampled_from(["PUSH", "SMS", "FACEBOOK", None]),
    group=st.integers(-1, 7),
    status_id=st.sampled_from([0, 4, 5, 9, 15, DUPLICATE_MESSAGE_ID, -1, 10**9]),
    done=MOMENTS,
)


def test_moments_that_cannot_be_sorted_are_told_apart() -> None:
    """Before 1970 there is no order, but of two rows always the same one counts."""
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
def test_no_order_repetition_or_interleaving_changes_the_end(
    rows: list[Row], last_step: str | None, chance: random.Random, data: st.DataObject
) -> None:
    """Reports and logs come in any order, several times, and in pages cut anywhere."""
    stream = rows + (data.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else [])
    chance.shuffle(stream)
    cut = chance.randint(0, len(stream))
    pages = (stream[:cut], stream[cut:])
    by_page = highest(verdict for page in pages if (verdict := winner(page, last_step)) is not None)

    assert told(by_page) == told(winner(rows, last_step))


def told(verdict: Verdict | None) -> object:
    """Return what is recorded of a verdict; moments to the millisecond."""
    if verdict is None:
        return None
    done = verdict.done_at
    milliseconds = done and done.replace(microsecond=done.microsecond // 1000 * 1000)
    return verdict.state, verdict.evidence, verdict.channel, verdict.status, milliseconds


@given(ROWS, ROWS)
def test_ranks_have_one_length_and_no_surprises(one: Row, other: Row) -> None:
    """Ranks are compared as text by the table, which must mean what is meant here."""
    first, second = verdict_of(one, "SMS"), verdict_of(other, "SMS")
    if first is None or second is None:
        return
    assert len(first.rank) == len(second.rank)
    if first.state is MessageState.DELIVERED and second.state is not MessageState.DELIVERED:
        assert first.rank > second.rank


# --- Logs where the flow is unknown ----------------------------------------------------------


def logged(channel: str, group: int, minutes: float | None, status_id: int = 4) -> LogEntry:
    """Make a row of the logs."""
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
        # Another step may follow at any moment.
        ([PUSH_FAILED, SMS_EXPIRED], after(4.9), None),
        ([PUSH_FAILED], after(0), None),
        # It has.
        ([PUSH_FAILED, SMS_PENDING], after(500), None),
        ([PUSH_FAILED, logged("SMS", StatusGroup.PENDING, 2)], after(500), None),
        ([logged("PUSH", StatusGroup.UNDELIVERABLE, None)], after(500), None),
        ([PUSH_FAILED, logged("SMS", StatusGroup.REJECTED, 2, 23)], after(500), None),
        ([], after(500), None),
        # A delivery is the end.
        ([logged("PUSH", StatusGroup.DELIVERED, 2, 5)], after(0), MessageState.DELIVERED),
        (
            [PUSH_FAILED, logged("SMS", StatusGroup.DELIVERED, 2, 5), SMS_EXPIRED],
            after(500),
            MessageState.DELIVERED,
        ),
    ],
)
def test_message_of_unknown_flow_has_failed_when_no_step_followed_for_a_while(
    rows: list[LogEntry], settled_before: datetime, state: MessageState | None
) -> None:
    """The logs list every step that was begun."""
    for order in itertools.permutations(rows):
        verdict = verdict_of_logs(order, None, settled_before)
        assert (verdict and verdict.state) == state


def test_where_the_flow_is_known_the_last_step_alone_decides_a_failure() -> None:
    """Time plays no part then."""
    assert verdict_of_logs([PUSH_FAILED], "SMS", after(500)) is None
    verdict = verdict_of_logs([PUSH_FAILED, SMS_EXPIRED], "SMS", after(0))
    assert verdict is not None
    assert (verdict.state, verdict.channel) == (MessageState.EXPIRED, "SMS")


# --- When the logs are asked again -----------------------------------------------------------


def test_questions_double_their_gaps_up_to_six_hours_until_the_logs_forget() -> None:
    """An accepted message costs few questions, and the last falls while the logs still know it."""
    first = timedelta(minutes=10)
    age, gaps = first, []
    while (gap := check_delay(age, first)) is not None:
        gaps.append(gap)
        age += gap

    assert gaps[:6] == [first * 2**number for number in range(6)]
    assert max(gaps) == timedelta(hours=6)
    assert all(later >= earlier for earlier, later in itertools.pairwise(gaps[:-1]))
    assert LOGS_REACH_BACK - timedelta(hours=2) < age < LOGS_REACH_BACK
    assert len(gaps) < 20


@given(
    st.timedeltas(-timedelta(days=180), timedelta(days=200)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=1)),
)
def test_next_question_is_in_the_future_and_in_time(age: timedelta, first: timedelta) -> None:
    """Before `sendAt` an age is negative; also then the questions go on."""
    delay = check_delay(age, first)

    if delay is None:
        assert age >= LOGS_REACH_BACK - timedelta(hours=1)
    else:
        assert timedelta(0) < delay <= timedelta(hours=6)
        assert age + delay < LOGS_REACH_BACK


# --- States ----------------------------------------------------------------------------------


def test_every_state_is_either_proven_or_not() -> None:
    """What Infobip certainly has, and what it may have, are all there is."""
    assert set(MessageState) == ACCEPTED_OR_FINAL | UNPROVEN
    assert not ACCEPTED_OR_FINAL & UNPROVEN


# --- The answer to a send --------------------------------------------------------------------

TAKEN_STATUS = Status(group_id=StatusGroup.PENDING, id=26)
NO_CREDIT = Status(group_id=StatusGroup.REJECTED, id=12)
REPEATED = Status(group_id=StatusGroup.REJECTED, id=DUPLICATE_MESSAGE_ID)
ACCEPTED = SendAnswer(MessageState.ACCEPTED, Evidence.RESPONSE)
UNKNOWN = SendAnswer(MessageState.UNKNOWN)
NOT_PAID = SendAnswer(MessageState.REJECTED, Evidence.RESPONSE, NO_CREDIT, account_refused=True)


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
    ],
)
def test_what_an_answer_does_not_say_is_unknown(
    entries: list[tuple[str | None, Status | None]], answers: list[SendAnswer]
) -> None:
    """An entry is found by its id, and by its place only where it has none and none is missing."""
    results = tuple(SendResult(message_id=one, status=status) for one, status in entries)

    assert read_answer(SendResponse(messages=results), ["a", "b"]) == answers
