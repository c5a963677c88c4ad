"""A model of servers that read lists of ids, small enough to try every list and every answer.

`infobip_omni.absence` decides when an answer of the message logs proves that a message is absent.
`search` asks every server below about every list of a few ids, lets it calibrate the decision as
well as it can, plays each answer that it may give, and looks for one that declares a message absent
which Infobip knows.

Every condition of the decision is a field of `Guards`. Without any one of them a known message is
declared absent:

    python -m tests.protocol.lists                  # tries all servers, and prints their sizes
    python -m tests.protocol.lists --without NAME   # the first list, answer and message found

What the model takes for granted: a server that reads ids or returns rows in an order of its own
reads no fewer of them than it did for the calibration. All others may begin to misread at any time.
About one message alone, the logs are taken at their word for how far they reach back, and for how
soon they show a row.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from infobip_omni.absence import (
    VOID_ANSWERS_ALLOWED,
    Answer,
    Calibration,
    Candidate,
    Doubt,
    Finding,
    LogQuery,
    Row,
    Witness,
    arrange,
    calibrated_by,
    calibration_ids,
    judge,
)
from infobip_omni.api.client import log_query_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    #: When each was sent and done, in hours before now.
    Rows = tuple[tuple[float, float], ...]

T = TypeVar("T")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

#: For how many hours the logs know a row, as documented.
REACH = 48.0


@dataclass(frozen=True, slots=True)
class Guards:
    """The conditions of the decision; False removes one."""

    #: A cut answer proves nothing.
    whole_answer: bool = True
    #: An answer with a row of an id that was not asked for proves nothing.
    no_foreign_row: bool = True
    #: The ids of a list also differ for a server that takes no account of case and spaces.
    distinct_ids: bool = True
    first_id_shown: bool = True
    last_id_shown: bool = True
    older_witness: bool = True
    younger_witness: bool = True
    #: A witness is as old as its rows in this very answer ...
    witness_by_rows: bool = True
    #: ... and as its claim, since the clock of the rows is not ours.
    witness_by_claim: bool = True
    #: A list counts only if one of witnesses alone came back complete ...
    calibrated: bool = True
    #: ... that had as many ids ...
    calibrated_ids: bool = True
    #: ... and was as long ...
    calibrated_length: bool = True
    #: ... and proved that so many rows are returned ...
    calibrated_rows: bool = True
    #: ... and one more, since a server that cuts at so many looks just the same.
    one_row_to_spare: bool = True
    #: A row that came twice does not prove that two rows are returned.
    rows_counted_by_id: bool = True
    #: What the logs may have forgotten, they cannot disprove.
    young_enough: bool = True
    #: No attempt is on its way, and `sendAt` is past.
    attempts_over: bool = True


GUARDS = Guards()
_IGNORED: dict[str, frozenset[Doubt]] = {
    "whole_answer": frozenset({Doubt.CUT}),
    "no_foreign_row": frozenset({Doubt.FOREIGN_ROW}),
    "distinct_ids": frozenset({Doubt.SIMILAR_IDS}),
    "first_id_shown": frozenset({Doubt.FIRST_ID_MISSING}),
    "last_id_shown": frozenset({Doubt.LAST_ID_MISSING}),
    "older_witness": frozenset({Doubt.NO_OLDER_WITNESS}),
    "younger_witness": frozenset({Doubt.NO_YOUNGER_WITNESS}),
    "calibrated": frozenset({Doubt.TOO_MANY_IDS, Doubt.TOO_LONG, Doubt.TOO_MANY_ROWS}),
    "calibrated_ids": frozenset({Doubt.TOO_MANY_IDS}),
    "calibrated_length": frozenset({Doubt.TOO_LONG}),
    "calibrated_rows": frozenset({Doubt.TOO_MANY_ROWS}),
    "young_enough": frozenset({Doubt.TOO_OLD}),
    "attempts_over": frozenset({Doubt.TOO_EARLY}),
}


# --- The account and its servers -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it truly is; times in hours before now."""

    id: str
    claimed: float
    #: When each of its rows was sent and done; none where Infobip does not know it (yet).
    rows: Rows = ()
    #: When no attempt can be on its way any more; negative is to come. None: its outcome is known.
    over: float | None = None
    send_at: float | None = None

    def candidate(self) -> Candidate:
        """Take it for a message of unknown outcome."""
        send_at = None if self.send_at is None else _ago(self.send_at)
        return Candidate(self.id, _ago(self.claimed), _ago(self.over or 0), send_at)

    def witness(self) -> Witness:
        """Take it for a message that the logs have shown."""
        claimed = _ago(self.claimed)
        return Witness(self.id, claimed, claimed, claimed)


class Account:
    """The messages of an account, and what the logs show of them.

    Args:
        messages: The messages.
        clock: By how many hours the clock that times the rows goes wrong.
    """

    def __init__(self, messages: Iterable[Message], clock: float = 0.0) -> None:
        self.messages = {message.id: message for message in messages}
        self._rows = {
            message.id: tuple(
                (sent, Row(message.id, _ago(sent + clock), _ago(done + clock)))
                for sent, done in message.rows
                if 0 <= sent <= REACH
            )
            for message in self.messages.values()
        }

    def rows(self, ids: Iterable[str], at_most: float = REACH, at_least: float = 0) -> list[Row]:
        """Return the rows of messages, in this order.

        Args:
            ids: The messages.
            at_most: How many hours old the rows are at most.
            at_least: How many hours old the rows are at least.
        """
        return [
            row
            for each in ids
            for sent, row in self._rows.get(each, ())
            if at_least <= sent <= at_most
        ]

    def by_age(self, ids: Iterable[str]) -> list[Row]:
        """Return the rows of messages, the newest first."""
        found = [pair for each in ids for pair in self._rows.get(each, ())]
        return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def _subsets(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    for size in range(len(items) + 1):
        yield from itertools.combinations(items, size)


@dataclass(frozen=True, slots=True)
class Server:
    """A way of reading a list of ids."""

    name: str
    #: Yields all lists of rows that it may answer with.
    reads: Callable[[Account, Sequence[str]], Iterable[Sequence[Row]]]
    #: It may have read everything when the calibration was made, and misread only since.
    may_begin_later: bool = True
    #: Whether its answer is whole, as far as the client can tell.
    is_whole: bool = True
    #: It shows what is as old and as young as the logs of Infobip show it.
    reaches_back: bool = True
    #: Asked about one message alone that it does not know, it answers that nothing was found.
    is_plain_alone: bool = True

    def answers(self, account: Account, ids: Sequence[str]) -> Iterator[Answer]:
        """Yield all answers that it may give."""
        for rows in self.reads(account, ids):
            yield Answer(tuple(rows), self.is_whole)

    def calibrations(self, account: Account, witnesses: Sequence[str]) -> list[Passed]:
        """Return the calibrations that it lets pass, and that no greater one makes needless."""
        found = {Passed(Calibration(0, 0), 0)}
        for size in range(2, len(witnesses) + 1):
            ids = witnesses[:size]
            honest = [Answer(tuple(account.rows(ids)))] if self.may_begin_later else []
            for answer in (*honest, *self.answers(account, ids)):
                if passed := calibrated_by(ids, answer):
                    found.add(Passed(passed, len(answer.rows)))
        return [one for one in found if not any(one.is_within(other) for other in found - {one})]


class Passed(NamedTuple):
    """A calibration, and how many rows its answer had."""

    calibration: Calibration
    rows: int

    def is_within(self, other: Passed) -> bool:
        """Return whether another one allows all that this one does."""
        one, wider = self.calibration, other.calibration
        return one.ids <= wider.ids and one.length <= wider.length and self.rows <= other.rows


# --- How lists are read ----------------------------------------------------------------------


def _all(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
    yield account.rows(ids)


def _first(count: int) -> Server:
    return Server(f"only the first {count}", lambda account, ids: [account.rows(ids[:count])])


def _last(count: int) -> Server:
    return Server(f"only the last {count}", lambda account, ids: [account.rows(ids[-count:])])


def _any(count: int) -> Server:
    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        yield from map(account.rows, itertools.combinations(ids, min(count, len(ids))))

    return Server(f"any {count}", reads, may_begin_later=False)


def _any_two_thirds(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
    yield from map(account.rows, itertools.combinations(ids, -(-len(ids) * 2 // 3)))


def _any_length(longest: int) -> Server:
    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        length = sum(map(log_query_length, ids))
        if length <= longest or len(ids) == 1:
            yield account.rows(ids)
            return
        for some in _subsets(ids):
            if sum(map(log_query_length, some)) <= longest:
                yield account.rows(some)

    return Server(f"any of {longest} bytes", reads, may_begin_later=False)


def _filter_ignored(count: int) -> Server:
    def reads(account: Account, _: Sequence[str]) -> Iterator[Sequence[Row]]:
        yield account.by_age(account.messages)[:count]

    return Server(f"the filter ignored, the newest {count}", reads, is_plain_alone=False)


def _newest(count: int) -> Server:
    return Server(
        f"capped at the newest {count}", lambda account, ids: [account.by_age(ids)[:count]]
    )


def _oldest(count: int) -> Server:
    return Server(
        f"capped at the oldest {count}", lambda account, ids: [account.by_age(ids)[-count:]]
    )


def _capped(count: int) -> Server:
    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        rows = account.rows(ids)
        yield from itertools.combinations(rows, min(count, len(rows)))

    return Server(f"capped at any {count}", reads, may_begin_later=False)


def _capped_and_doubled(count: int) -> Server:
    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        rows = account.rows(ids)
        for some in itertools.combinations(rows, min(count, len(rows))):
            yield some
            for row in some:
                yield (*some, row)

    return Server(f"capped at any {count}, a row doubled", reads, may_begin_later=False)


def _respelled(name: str, respell: Callable[[str], str]) -> Server:
    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        asked = {respell(each) for each in ids}
        alike = [each for each in account.messages if respell(each) in asked]
        yield [replace(row, id=respell(row.id)) for row in account.rows(alike)]

    return Server(f"answered {name}", reads)


def _cut(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
    yield from _subsets(account.rows(ids))


def _with_foreign_row(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
    for some in _subsets(account.rows(ids)):
        yield (*some, Row("foreign", _ago(1), _ago(1)))


def _witnesses_vanish(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
    witnesses = [each for each in ids if account.messages[each].over is None]
    for gone in _subsets(witnesses):
        yield account.rows(each for each in ids if each not in gone)


def _forgetful(hours: float, by: Literal["row", "first row", "last row", "end"]) -> Server:
    def age(message: Message) -> float:
        if by == "end":
            return min(done for _, done in message.rows)
        sent = [sent for sent, _ in message.rows]
        return max(sent) if by == "first row" else min(sent)

    def reads(account: Account, ids: Sequence[str]) -> Iterator[Sequence[Row]]:
        if by == "row":
            yield account.rows(ids, at_most=hours)
            return
        asked = (account.messages[each] for each in ids if each in account.messages)
        yield account.rows(each.id for each in asked if each.rows and age(each) <= hours)

    name = f"forgetful after {hours:g} hours, by {by}"
    return Server(name, reads, reaches_back=hours >= REACH)


def _lagging(hours: float) -> Server:
    return Server(
        f"{hours:g} hours behind",
        lambda account, ids: [account.rows(ids, at_least=hours)],
        reaches_back=False,
    )


READS_ALL = Server("all", _all)
#: Which rows these show depends on how old they are.
_BY_AGE = (
    READS_ALL,
    *map(_newest, (1, 2)),
    *map(_oldest, (1, 2)),
    *(
        _forgetful(hours, by)
        for hours in (5, 20, 29.5, REACH)
        for by in ("row", "first row", "last row", "end")
    ),
    *map(_lagging, (0.3, 1.5, 12)),
)
SERVERS = (
    *_BY_AGE,
    *map(_first, range(1, 5)),
    *map(_last, range(1, 5)),
    *map(_any, range(1, 7)),
    Server("any two thirds", _any_two_thirds, may_begin_later=False),
    *map(_any_length, (24, 48, 60)),
    *map(_filter_ignored, range(1, 10)),
    *map(_newest, (3, 4, 5)),
    *map(_oldest, (3, 4, 5)),
    *map(_capped, range(1, 6)),
    *map(_capped_and_doubled, (2, 3)),
    _respelled("in lower case", str.lower),
    _respelled("in upper case", str.upper),
    _respelled("without spaces", str.strip),
    Server("cut", _cut, is_whole=False, is_plain_alone=False),
    Server("with a foreign row", _with_foreign_row, is_plain_alone=False),
    Server("witnesses vanish", _witnesses_vanish),
)


# --- What they are asked ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class World:
    """An account, and the lists that its servers are asked for."""

    name: str
    account: Account
    lists: Sequence[tuple[str, ...]]
    #: The messages of unknown outcome that Infobip knows: none may be declared absent.
    known: frozenset[str]
    #: Witnesses of which calibrations are made. Without any, each server that may begin to misread
    #: later has let one pass that is large enough for everything.
    calibrations: tuple[Sequence[str], ...] = ()
    servers: Sequence[Server] = SERVERS
    #: The time as our clock has it.
    now: datetime = NOW

    def query(self, ids: tuple[str, ...], calibration: Calibration) -> LogQuery:
        """Make the query that asks for a list."""
        messages = [self.account.messages[each] for each in ids]
        return LogQuery(
            ids,
            tuple(each.candidate() for each in messages if each.over is not None),
            tuple(each.witness() for each in messages if each.over is None),
            calibration,
        )

    def passed(self, server: Server) -> Iterable[Passed]:
        """Return the calibrations that a server lets pass here."""
        if not self.calibrations:
            return (Passed(Calibration(9, 999), 9),)
        each = (server.calibrations(self.account, ids) for ids in self.calibrations)
        return {passed for some in each for passed in some}

    def queries(self, server: Server) -> Iterator[tuple[LogQuery, Passed]]:
        """Yield what a server is asked."""
        for passed, ids in itertools.product(self.passed(server), self.lists):
            # About one message alone, the logs are taken at their word.
            if len(ids) > 1 or server.reaches_back:
                yield self.query(ids, passed.calibration), passed


def _lists(ids: Sequence[str], known: Iterable[str], longest: int) -> list[tuple[str, ...]]:
    """Put ids in all orders, of which one must be known."""
    known = {*known}
    return [
        some
        for size in range(1, longest + 1)
        for some in itertools.permutations(ids, size)
        if known & {*some}
    ]


def _world(
    name: str,
    witnesses: Sequence[Message],
    candidates: Sequence[Message],
    longest: int,
    further: Sequence[Message] = (),
) -> World:
    """Ask for all lists of some messages, in all orders.

    Args:
        name: Of the world.
        witnesses: Messages that the logs have shown, which are in the lists.
        candidates: Messages of unknown outcome; Infobip knows those that have rows.
        longest: Most ids of a list.
        further: Witnesses of which alone another calibration is made.
    """
    more = [Message(each, 12, ((12, 12),)) for each in "pqrs"]
    ids = [message.id for message in (*witnesses, *candidates)]
    known = frozenset(candidate.id for candidate in candidates if candidate.rows)
    calibrations = ([*witnesses, *more], further) if further else ([*witnesses, *more],)
    return World(
        name,
        Account([*witnesses, *candidates, *more, *further]),
        _lists(ids, known, longest),
        known,
        tuple([witness.id for witness in some] for some in calibrations),
    )


def _accepted(name: str) -> Message:
    return Message(name, 30, ((30, 29),), over=29.9)


_OLD, _MIDDLE, _YOUNG = (
    Message(name, age, ((age, age),)) for name, age in zip("amb", (40, 20, 1), strict=True)
)
_TWO_STEPS = Message("t", 2, ((2, 1.9), (1.8, 1.7)))
_ABSENT = Message("z", 30, over=29.9)
#: Witnesses, some of which are older or younger than they look.
_WITNESSES: dict[str, tuple[float, Rows]] = {
    "old": (40, ((40, 40),)),
    "old, sent late": (40, ((10, 10),)),
    "old, two steps": (40, ((40, 39), (10, 10))),
    "old, done late": (40, ((40, 10),)),
    "middle": (28, ((28, 28),)),
    "young": (1, ((1, 1),)),
    "young, sent by an earlier attempt": (1, ((40, 40),)),
    "young, two steps": (1.1, ((1, 0.9), (0.8, 0.7))),
    "very young": (0.1, ((0.1, 0.1),)),
    "very old": (47.8, ((47.8, 47.8),)),
}
#: Messages that Infobip knows, though the ledger does not know that it does.
_CANDIDATES = {
    "accepted": Message("x", 30, ((30, 29),), over=29.9),
    "accepted late": Message("x", 30, ((28.5, 28.4),), over=28.4),
    "accepted at the second attempt": Message("x", 30, ((1.2, 1.1),), over=1.1),
    "accepted lately": Message("x", 0.5, ((0.5, 0.4),), over=0.4),
    "nearly forgotten": Message("x", 46.9, ((46.9, 46.9),), over=46.8),
    "about to be forgotten": Message("x", 47.9, ((47.9, 47.9),), over=47.8),
    "forgotten": Message("x", 49, ((49, 49),), over=48.9),
    "forgotten, sent again": Message("x", 49, ((49, 49),), over=1.1),
    "under way": Message("x", 0.05, over=-0.1),
    "sent again and under way": Message("x", 30, over=-0.1),
    "scheduled": Message("x", 30, over=29.9, send_at=-2),
    "sent when scheduled": Message("x", 30, ((5, 5),), over=29.9, send_at=5),
}


def _ages() -> Iterator[World]:
    """Ask for each message alone and between two witnesses, at all ages."""
    keeping = [server for server in _BY_AGE if server.reaches_back]
    pairs = [
        (f"{one} and {other}", Message("a", *_WITNESSES[one]), Message("b", *_WITNESSES[other]))
        for one, other in itertools.combinations(_WITNESSES, 2)
    ]
    for (name, candidate), (clock, late) in itertools.product(
        _CANDIDATES.items(), ((0, 0), (1, 0), (-1, 0), (0, 1))
    ):
        # With a clock that is wrong, nothing is left to go by where logs forget too early.
        servers = keeping if clock or late else _BY_AGE
        now = NOW - timedelta(hours=late)
        alone = Account([candidate], clock)
        yield World(f"{name}, alone", alone, [("x",)], frozenset("x"), (), servers, now)
        for between, *witnesses in pairs:
            account = Account([*witnesses, candidate], clock)
            name_of_world = f"{name}, between {between}"
            yield World(name_of_world, account, [("a", "x", "b")], frozenset("x"), (), servers, now)


@functools.cache
def worlds() -> tuple[World, ...]:
    """Return all worlds."""
    similar = (_accepted("K"), _accepted("k "))
    long = [Message(each * 30, 12, ((12, 12),)) for each in "pqr"]
    return (
        _world("lists", (_OLD, _MIDDLE, _YOUNG), (_accepted("x"), _ABSENT), 5),
        _world("several rows", (_OLD, _TWO_STEPS, _YOUNG), (_accepted("x"),), 4),
        _world("long ids", (_OLD, _YOUNG), (_accepted("x" * 15), _ABSENT), 4, long),
        _world("similar ids", (_OLD, _YOUNG, replace(_MIDDLE, id="k")), similar, 4),
        *_ages(),
    )


# --- The search ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """What a search has found."""

    #: How many answers were judged.
    answers: int
    #: In words, a message that was declared absent though Infobip knows it; empty if there is none.
    counterexample: str = ""


def search(guards: Guards = GUARDS, world: str = "", server: str = "") -> Search:
    """Play all answers, until a message is declared absent that Infobip knows.

    Args:
        guards: The conditions of the decision.
        world: How the names of the worlds to look at begin.
        server: How the names of the servers to look at begin.
    """
    answers = 0
    for one in worlds():
        if not one.name.startswith(world):
            continue
        for reader in one.servers:
            if not reader.name.startswith(server):
                continue
            for query, passed in one.queries(reader):
                for answer in reader.answers(one.account, query.ids):
                    answers += 1
                    if one.known.intersection(query.ids) <= {row.id for row in answer.rows}:
                        continue
                    absent = declared_absent(query, answer, passed, one.now, guards)
                    if wrong := one.known.intersection(absent):
                        return Search(
                            answers,
                            f"{one.name}: asked for {[*query.ids]}, a server that reads "
                            f"{reader.name}, and has read {passed.calibration.ids} ids before, "
                            f"answers {[row.id for row in answer.rows]}; absent: {[*wrong]}",
                        )
    return Search(answers)


def declared_absent(
    query: LogQuery, answer: Answer, passed: Passed, now: datetime, guards: Guards
) -> list[str]:
    """Return which candidates an answer proves absent, by the conditions that are left."""
    if not guards.witness_by_rows:
        claims = {witness.id: witness.claimed_at for witness in query.witnesses}
        rows = (
            Row(row.id, claims[row.id], claims[row.id]) if row.id in claims else row
            for row in answer.rows
        )
        answer = replace(answer, rows=tuple(rows))
    if not guards.witness_by_claim:
        sent = {row.id: row.sent_at for row in answer.rows if row.sent_at}
        witnesses = (
            replace(witness, claimed_at=sent.get(witness.id, witness.claimed_at))
            for witness in query.witnesses
        )
        query = replace(query, witnesses=tuple(witnesses))
    ignored = frozenset[Doubt]().union(
        *(doubts for name, doubts in _IGNORED.items() if not getattr(guards, name))
    )
    if not guards.one_row_to_spare and len(answer.rows) <= passed.rows:
        ignored |= {Doubt.TOO_MANY_ROWS}
    if not guards.rows_counted_by_id and len(answer.rows) < passed.rows:
        ignored |= {Doubt.TOO_MANY_ROWS}
    judgements = judge(query, answer, now).items()
    return [
        message_id
        for message_id, judgement in judgements
        if replace(judgement, doubts=judgement.doubts - ignored).finding is Finding.ABSENT
    ]


# --- A run -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the reconciler has found out."""

    findings: dict[str, Finding]
    queries: int


def run(server: Server, account: Account, choice: int = 0) -> Run:
    """Ask as `reconcile_messages` does: calibrate, ask by lists, and about the others alone.

    Args:
        server: Which of the ways the logs are read.
        account: Its messages; those of unknown outcome are asked about for the third time.
        choice: Which of all possible answers come.
    """
    asked = 0

    def ask(ids: Sequence[str]) -> Answer:
        nonlocal asked
        asked += 1
        answers = [*server.answers(account, ids)]
        return answers[choice % len(answers)]

    messages = account.messages.values()
    candidates = [message.candidate() for message in messages if message.over is not None]
    seen = (
        Witness.shown(message.id, _ago(message.claimed), account.rows([message.id]))
        for message in messages
        if message.over is None
    )
    witnesses = [witness for witness in seen if witness]
    ids = calibration_ids(witnesses, 100, 6000)
    calibration = calibrated_by(ids, ask(ids))
    findings = dict.fromkeys((candidate.id for candidate in candidates), Finding.UNPROVEN)
    void = 0
    left = arrange(candidates, witnesses, calibration, NOW)
    while left:
        query = left.pop(0)
        judgements = judge(query, ask(query.ids), NOW)
        found = {name: judgement.finding for name, judgement in judgements.items()}
        findings |= found
        void += Finding.VOID in found.values()
        unproven = [
            candidate
            for candidate in query.candidates
            if findings[candidate.id] not in {Finding.PRESENT, Finding.ABSENT}
        ]
        if len(query.ids) > 1:
            left += map(LogQuery.alone, unproven)
        if void == VOID_ANSWERS_ALLOWED:
            left = [LogQuery.alone(each) for query in left for each in query.candidates]
    return Run(findings, asked)


def main() -> int:
    """Try all servers, as a whole or without one guard.

    Returns:
        The exit code: 1 when a known message is declared absent.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.lists")
    names = [guard.name for guard in fields(Guards)]
    parser.add_argument("--without", choices=names, metavar="GUARD", help=", ".join(names))
    without = parser.parse_args().without
    found = search(replace(GUARDS, **{without: False}) if without else GUARDS)
    outcome = found.counterexample or "no known message is declared absent"
    sys.stdout.write(
        f"{len(SERVERS)} servers, {len(worlds())} worlds, {found.answers} answers: {outcome}\n"
    )
    return 1 if found.counterexample else 0


if __name__ == "__main__":
    sys.exit(main())
