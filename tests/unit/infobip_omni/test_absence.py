"""When an answer of the message logs proves that Infobip does not know a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.absence import (
    PROVABLE_FOR,
    VOIDING,
    Answer,
    Calibration,
    Candidate,
    Doubt,
    Finding,
    Judgement,
    LogQuery,
    Row,
    Witness,
    arrange,
    calibrated_by,
    calibration_ids,
    judge,
)
from infobip_omni.api.client import log_query_length

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MOST = Calibration(100, 6000)


def ago(hours: float) -> datetime:
    """Return the time some hours before now."""
    return NOW - timedelta(hours=hours)


def row(message_id: str, hours: float) -> Row:
    """Make a row that was sent and done at a time."""
    return Row(message_id, ago(hours), ago(hours))


def seen(message_id: str, hours: float) -> Witness:
    """Make a witness that was claimed, sent and done at a time."""
    return Witness(message_id, ago(hours), ago(hours), ago(hours))


OLDER, YOUNGER = seen("older", 40), seen("younger", 1)
CANDIDATE = Candidate("candidate", ago(30), ago(29))
LIST = LogQuery.between(OLDER, [CANDIDATE], YOUNGER, MOST)
PROOF = Answer((row("older", 40), row("younger", 1)))


def found(query: LogQuery, answer: Answer, now: datetime = NOW) -> Judgement:
    """Judge about the first candidate of a query."""
    return judge(query, answer, now)[query.candidates[0].id]


# --- Judgements ------------------------------------------------------------------------------


def test_list_that_was_read_proves_absence() -> None:
    """Both witnesses are there, and nothing else is."""
    assert found(LIST, PROOF) == Judgement(is_present=False, doubts=frozenset())
    assert found(LIST, PROOF).finding is Finding.ABSENT


def test_message_that_is_shown_is_present() -> None:
    """Of a row that cannot be read, the id is enough; and it counts in a void answer too."""
    for answer in (
        Answer((*PROOF.rows, Row("candidate"))),
        Answer((Row("candidate"), Row("foreign")), is_whole=False),
    ):
        assert found(LIST, answer).finding is Finding.PRESENT


@pytest.mark.parametrize(
    ("doubt", "query", "answer"),
    [
        (Doubt.CUT, LIST, replace(PROOF, is_whole=False)),
        (Doubt.FOREIGN_ROW, LIST, Answer((*PROOF.rows, row("Candidate", 30)))),
        (
            Doubt.SIMILAR_IDS,
            replace(LIST, ids=("older", "candidate", " OLDER", "younger")),
            PROOF,
        ),
        (
            Doubt.FIRST_ID_MISSING,
            replace(LIST, ids=("candidate", "older", "younger")),
            PROOF,
        ),
        (
            Doubt.LAST_ID_MISSING,
            replace(LIST, ids=("older", "younger", "candidate")),
            PROOF,
        ),
        (
            Doubt.NO_OLDER_WITNESS,
            LIST,
            Answer((row("older", 29.9), row("younger", 1))),
        ),
        (
            Doubt.NO_OLDER_WITNESS,
            LIST,
            Answer((Row("older", ago(40), ago(10)), row("younger", 1))),
        ),
        (
            Doubt.NO_OLDER_WITNESS,
            LIST,
            Answer((row("older", 40), row("older", 2), row("younger", 1))),
        ),
        (Doubt.NO_OLDER_WITNESS, LIST, Answer((Row("older"), row("younger", 1)))),
        (
            Doubt.NO_OLDER_WITNESS,
            LogQuery.between(seen("older", 29.9), [CANDIDATE], YOUNGER, MOST),
            PROOF,
        ),
        (
            Doubt.NO_YOUNGER_WITNESS,
            LIST,
            Answer((row("older", 40), row("younger", 29.1))),
        ),
        (
            Doubt.NO_YOUNGER_WITNESS,
            LogQuery.between(OLDER, [CANDIDATE], seen("younger", 29.1), MOST),
            PROOF,
        ),
        (
            Doubt.NO_YOUNGER_WITNESS,
            LogQuery.between(OLDER, [replace(CANDIDATE, send_at=ago(0.5))], YOUNGER, MOST),
            PROOF,
        ),
        (Doubt.TOO_MANY_IDS, replace(LIST, calibration=Calibration(2, 6000)), PROOF),
        (Doubt.TOO_LONG, replace(LIST, calibration=Calibration(100, 53)), PROOF),
        (
            Doubt.TOO_MANY_ROWS,
            replace(LIST, calibration=Calibration(3, 6000)),
            Answer((*PROOF.rows, row("younger", 0.9))),
        ),
    ],
)
def test_doubtful_list_proves_nothing(doubt: Doubt, query: LogQuery, answer: Answer) -> None:
    """One thing that is wrong is enough."""
    judgement = found(query, answer)

    assert doubt in judgement.doubts
    assert judgement.finding is (Finding.VOID if doubt in VOIDING else Finding.UNPROVEN)


def test_list_without_witnesses_is_answered_and_proves_nothing() -> None:
    """It counts as one of three answered log queries, of which it cannot be the last."""
    others = replace(CANDIDATE, id="other")
    query = LogQuery(("candidate", "other"), (CANDIDATE, others))

    assert found(query, Answer(())).finding is Finding.UNPROVEN


def test_nothing_found_about_one_message_alone_proves_absence() -> None:
    """It takes neither witnesses nor a calibration, but an answer without a foreign row."""
    query = LogQuery.alone(CANDIDATE)

    assert found(query, Answer(())).finding is Finding.ABSENT
    assert found(query, Answer((row("CANDIDATE", 30),))).finding is Finding.VOID
    assert found(query, Answer((), is_whole=False)).finding is Finding.VOID


@pytest.mark.parametrize("query", [LogQuery.alone(CANDIDATE), LIST])
def test_absence_is_provable_for_47_hours(query: LogQuery) -> None:
    """The logs reach back for 48; what they have forgotten, they cannot disprove."""
    until = CANDIDATE.first_attempt_at + PROVABLE_FOR
    answer = PROOF if query.witnesses else Answer(())

    assert timedelta(hours=47) == PROVABLE_FOR
    assert found(query, answer, until - timedelta(seconds=1)).finding is Finding.ABSENT
    assert found(query, answer, until).finding is Finding.UNPROVEN
    assert found(query, answer, until).doubts == {Doubt.TOO_OLD}


@pytest.mark.parametrize(
    "early", [replace(CANDIDATE, over_at=ago(-1)), replace(CANDIDATE, send_at=ago(-1))]
)
def test_answer_that_comes_too_early_counts_for_nothing(early: Candidate) -> None:
    """An attempt is on its way, or the message is scheduled."""
    judgement = found(LogQuery.alone(early), Answer(()))

    assert judgement.doubts == {Doubt.TOO_EARLY}
    assert judgement.finding is Finding.VOID


# --- Calibrations ----------------------------------------------------------------------------


def test_complete_answer_calibrates() -> None:
    """However many rows there are of each."""
    answer = Answer((row("b", 1), row("a", 1), row("a", 2)))

    assert calibrated_by(("a", "b"), answer) == Calibration(2, 2 * log_query_length("a"))


@pytest.mark.parametrize(
    ("ids", "answer"),
    [
        (("a", "b"), Answer((row("a", 1),))),
        (("a", "b"), Answer((row("a", 1), row("b", 1)), is_whole=False)),
        (("a", "b"), Answer((row("a", 1), row("b", 1), row("c", 1)))),
        (("a", "A"), Answer((row("a", 1), row("A", 1)))),
        (("a", "a"), Answer((row("a", 1),))),
    ],
)
def test_incomplete_answer_does_not_calibrate(ids: tuple[str, ...], answer: Answer) -> None:
    """One that is cut, foreign or ambiguous does not either."""
    assert calibrated_by(ids, answer) is None


def test_calibration_asks_for_as_many_witnesses_as_a_query_takes() -> None:
    """Those that differ by their case only count as one."""
    witnesses = [seen(name, 1) for name in ("one", "ONE", "two", "long" * 9, "three", "four")]

    assert calibration_ids(witnesses, 3, 45) == ("one", "two", "three")


def test_witness_needs_rows_with_times() -> None:
    """The age of one without times is unknown."""
    assert Witness.shown("a", ago(3), []) is None
    assert Witness.shown("a", ago(3), [row("a", 1), Row("a", None, ago(1))]) is None
    assert Witness.shown("a", ago(3), [Row("a", ago(2)), row("a", 1)]) == Witness(
        "a", ago(3), ago(3), ago(1)
    )


# --- Lists -----------------------------------------------------------------------------------


def test_candidates_are_divided_among_lists_between_witnesses() -> None:
    """Each is as long as the calibration was."""
    candidates = [replace(CANDIDATE, id=f"c{number}") for number in range(7)]

    queries = arrange(candidates, [YOUNGER, OLDER], Calibration(5, 6000), NOW)

    assert [query.ids for query in queries] == [
        ("older", "c0", "c1", "c2", "younger"),
        ("older", "c3", "c4", "c5", "younger"),
        ("older", "c6", "younger"),
    ]


def test_what_no_list_can_prove_is_asked_about_alone() -> None:
    """It is too old or too young for the witnesses, or too long for the calibration."""
    alone = [
        Candidate("before", ago(41), ago(40)),
        Candidate("after", ago(2), ago(0.5)),
        replace(CANDIDATE, id="long" * 20),
        replace(CANDIDATE, id="OLDER"),
    ]

    queries = arrange([CANDIDATE, *alone], [OLDER, YOUNGER], Calibration(9, 90), NOW)

    assert queries == [
        LogQuery.between(OLDER, [CANDIDATE], YOUNGER, Calibration(9, 90)),
        *map(LogQuery.alone, alone),
    ]


@pytest.mark.parametrize(
    ("witnesses", "calibration"),
    [
        ([OLDER, YOUNGER], None),
        ([OLDER, YOUNGER], Calibration(2, 6000)),
        ([OLDER], MOST),
        ([], MOST),
        ([seen("older", 47.5), YOUNGER], MOST),
    ],
)
def test_without_witnesses_and_calibration_each_is_asked_about_alone(
    witnesses: list[Witness], calibration: Calibration | None
) -> None:
    """A witness that may be forgotten before it is asked for is none."""
    assert arrange([CANDIDATE], witnesses, calibration, NOW) == [LogQuery.alone(CANDIDATE)]


IDS = st.text("aA b", min_size=1, max_size=4)
HOURS = st.floats(0, 50)
CANDIDATES = st.builds(
    lambda name, hours, send_at: Candidate(name, ago(hours), ago(hours * 0.9), send_at),
    IDS,
    HOURS,
    st.none() | HOURS.map(ago),
)
WITNESSES = st.builds(seen, IDS, HOURS)


@given(
    st.lists(CANDIDATES, max_size=9, unique_by=lambda each: each.id),
    st.lists(WITNESSES, max_size=4, unique_by=lambda each: each.id),
    st.none() | st.builds(Calibration, st.integers(0, 6), st.integers(0, 99)),
)
def test_each_candidate_is_asked_about_once_and_honest_lists_prove(
    candidates: list[Candidate], witnesses: list[Witness], calibration: Calibration | None
) -> None:
    """No list is longer than the calibration, and the witnesses alone prove all others absent."""
    queries = arrange(candidates, witnesses, calibration, NOW)

    asked = [candidate.id for query in queries for candidate in query.candidates]
    assert sorted(asked) == sorted(candidate.id for candidate in candidates)
    for query in queries:
        rows = tuple(row for each in query.witnesses for row in (Row(each.id, each.latest),))
        findings = {each.finding for each in judge(query, Answer(rows), NOW).values()}
        assert findings <= {Finding.ABSENT} or not query.witnesses
        assert query.witnesses or len(query.ids) == 1


@given(
    candidates=st.lists(CANDIDATES, min_size=1, max_size=4, unique_by=lambda each: each.id),
    rows=st.lists(st.builds(row, IDS, HOURS), max_size=6),
    is_whole=st.booleans(),
)
def test_row_is_presence_and_more_rows_never_prove_absence(
    *, candidates: list[Candidate], rows: list[Row], is_whole: bool
) -> None:
    """A message with a row is present; one that is absent stays so without the last row."""
    query = LogQuery.between(OLDER, candidates, YOUNGER, Calibration(9, 999))
    answer = Answer((*PROOF.rows, *rows), is_whole)

    judgements = judge(query, answer, NOW)

    for candidate in candidates:
        judgement = judgements[candidate.id]
        is_shown = candidate.id in {row.id for row in answer.rows}
        assert (judgement.finding is Finding.PRESENT) is is_shown
        if judgement.finding is Finding.ABSENT:
            assert judge(query, PROOF, NOW)[candidate.id].finding is Finding.ABSENT
