"""When an answer of the message logs proves that Infobip does not know a message. Pure.

A row proves presence. A missing row alone proves nothing: a server may read only some of the
ids that it was asked for, ignore them, cut its answer, spell ids in its own way, or have forgotten
what is that old. So a list of ids carries witnesses, messages that Infobip knows:

* the first and the last id are witnesses, and both have rows in the answer, so the list was read
  from end to end;
* one is older than the candidate and one is younger, so the logs cover the whole time in which the
  candidate may have arrived. A witness counts as old as all that is known of it: its claim, and
  every row of it in this very answer;
* a list of witnesses that is at least as long came back complete earlier in the same run, so a
  server does not read just some ids of a list of this length, or return just some of so many rows.

Where no such list can be made, a log query for the candidate alone remains. It needs no witness,
but takes the logs' word for how far they reach back.

Taken for granted: within one run, a server that reads ids or returns rows in an order of its own
does not come to read fewer than it did for the calibration.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from infobip_omni.api.client import log_query_length
from infobip_omni.verdicts import LOGS_REACH_BACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

#: After so many void answers in a run, messages are asked about alone for the rest of it.
VOID_ANSWERS_ALLOWED = 2
#: For so long after its first attempt the absence of a message can be proven. The hour that is left
#: is for clocks that differ.
PROVABLE_FOR = LOGS_REACH_BACK - timedelta(hours=1)


# --- What is asked and answered --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an answer. One that cannot be read but for its id has no times."""

    id: str
    sent_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the logs answer."""

    rows: tuple[Row, ...]
    #: The body was read to its end, every row has a readable id, and there are fewer rows than the
    #: query's limit.
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that Infobip may not know."""

    id: str
    #: The claim of the first attempt whose outcome is unknown.
    first_attempt_at: datetime
    #: From then on, no attempt can still be on its way: the end of the last lease.
    over_at: datetime
    send_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        """When the latest of its rows may have been made, if Infobip knows it."""
        return max(self.over_at, self.send_at or self.over_at)


@dataclass(frozen=True, slots=True)
class Witness:
    """A message that the logs have shown in this run, and the times that are known of it."""

    id: str
    claimed_at: datetime
    earliest: datetime
    latest: datetime

    @classmethod
    def shown(cls, message_id: str, claimed_at: datetime, rows: Iterable[Row]) -> Self | None:
        """Return the witness that a message's rows make; None without rows, or if one has no time.

        Args:
            message_id: The message.
            claimed_at: Its last claim.
            rows: All rows that one answer holds of it.
        """
        rows = tuple(rows)
        sent = [row.sent_at for row in rows if row.sent_at]
        if not rows or len(sent) < len(rows):
            return None
        times = [claimed_at, *sent, *(row.done_at for row in rows if row.done_at)]
        return cls(message_id, claimed_at, min(times), max(times))

    def is_older_than(self, candidate: Candidate) -> bool:
        """Whether all that is known of it happened before the candidate's first attempt."""
        return self.latest <= candidate.first_attempt_at

    def is_younger_than(self, candidate: Candidate) -> bool:
        """Whether all that is known of it happened after the candidate's last attempt."""
        return self.earliest >= candidate.due_at


@dataclass(frozen=True, slots=True)
class Calibration:
    """The length of a list of ids that the logs have read to its end in this run."""

    ids: int
    #: What the ids add to the query, as `log_query_length` counts it.
    length: int


@dataclass(frozen=True)
class LogQuery:
    """Ids to ask the logs about together, in this order."""

    ids: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    witnesses: tuple[Witness, ...] = ()
    calibration: Calibration = Calibration(0, 0)

    @classmethod
    def alone(cls, candidate: Candidate) -> Self:
        """Ask about one message alone."""
        return cls((candidate.id,), (candidate,))

    @classmethod
    def between(
        cls,
        older: Witness,
        candidates: Sequence[Candidate],
        younger: Witness,
        calibration: Calibration,
    ) -> Self:
        """Ask about messages between two witnesses."""
        ids = (older.id, *(candidate.id for candidate in candidates), younger.id)
        return cls(ids, tuple(candidates), (older, younger), calibration)

    @functools.cached_property
    def length(self) -> int:
        """What its ids add to the length of the request."""
        return _length(self.ids)

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether even a careless server takes no two of its ids for the same."""
        return _are_distinct(self.ids)


# --- What an answer says ---------------------------------------------------------------------


class Doubt(StrEnum):
    """Why an answer does not prove that a message is absent."""

    CUT = "cut"  #: it is not whole
    FOREIGN_ROW = "foreign row"  #: a row's id is not, byte for byte, one that was asked for
    SIMILAR_IDS = "similar ids"  #: ids of the list differ in case or spaces only
    FIRST_ID_MISSING = "first id missing"
    LAST_ID_MISSING = "last id missing"
    NO_OLDER_WITNESS = "no older witness"
    NO_YOUNGER_WITNESS = "no younger witness"
    TOO_MANY_IDS = "too many ids"  #: more than the calibration had
    TOO_LONG = "too long"  #: longer than the calibration was
    TOO_MANY_ROWS = "too many rows"  #: more may exist than the logs return
    TOO_OLD = "too old"  #: the logs may have forgotten the message
    TOO_EARLY = "too early"  #: an attempt may be on its way, or its `sendAt` is to come


#: An answer of which one of these holds is void: it does not even count as an answered log query.
VOIDING = frozenset(
    {
        Doubt.CUT,
        Doubt.FOREIGN_ROW,
        Doubt.SIMILAR_IDS,
        Doubt.FIRST_ID_MISSING,
        Doubt.LAST_ID_MISSING,
        Doubt.TOO_EARLY,
    }
)


class Finding(StrEnum):
    """What an answer says of a message."""

    PRESENT = "present"
    ABSENT = "absent"  #: proven
    UNPROVEN = "unproven"  #: no row, which counts as an answered log query and proves nothing
    VOID = "void"  #: no row, which counts for nothing


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer says of a message, and what there is to be said against its absence."""

    is_present: bool
    doubts: frozenset[Doubt]

    @property
    def finding(self) -> Finding:
        """What the answer says of the message."""
        if self.is_present:
            return Finding.PRESENT
        if self.doubts & VOIDING:
            return Finding.VOID
        return Finding.UNPROVEN if self.doubts else Finding.ABSENT


def judge(query: LogQuery, answer: Answer, now: datetime) -> dict[str, Judgement]:
    """Judge by an answer of the logs about the candidates of a query.

    Args:
        query: What was asked.
        answer: What was answered.
        now: When the answer came.

    Returns:
        A judgement for each candidate, by its id.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in answer.rows:
        rows[row.id].append(row)
    shared = frozenset(_doubts_about_answer(query, answer, rows))
    shown: list[Witness] | None = None
    if len(query.ids) > 1:
        again = (
            Witness.shown(one.id, one.claimed_at, rows.get(one.id, ())) for one in query.witnesses
        )
        shown = [witness for witness in again if witness]
    return {
        candidate.id: Judgement(candidate.id in rows, shared | _doubts_about(candidate, shown, now))
        for candidate in query.candidates
    }


def _doubts_about_answer(
    query: LogQuery, answer: Answer, rows: Mapping[str, Sequence[Row]]
) -> Iterable[Doubt]:
    """Yield what speaks against an answer, whichever message it is about."""
    ids, calibration = query.ids, query.calibration
    if not answer.is_whole:
        yield Doubt.CUT
    if not rows.keys() <= set(ids):
        yield Doubt.FOREIGN_ROW
    if len(ids) == 1:
        return
    if not query.is_plain:
        yield Doubt.SIMILAR_IDS
    if query.witnesses and ids[0] not in rows:
        yield Doubt.FIRST_ID_MISSING
    if query.witnesses and ids[-1] not in rows:
        yield Doubt.LAST_ID_MISSING
    if len(ids) > calibration.ids:
        yield Doubt.TOO_MANY_IDS
    if query.length > calibration.length:
        yield Doubt.TOO_LONG
    # Of so many ids each had a row. A server that returns no more rows than that may have cut.
    if len(answer.rows) >= calibration.ids:
        yield Doubt.TOO_MANY_ROWS


def _doubts_about(
    candidate: Candidate, witnesses: Sequence[Witness] | None, now: datetime
) -> frozenset[Doubt]:
    """Return what speaks against the absence of one message.

    Args:
        candidate: The message.
        witnesses: Those of its list; None where it is asked about alone.
        now: When the answer comes.
    """
    doubts = {
        Doubt.TOO_OLD: now - candidate.first_attempt_at >= PROVABLE_FOR,
        Doubt.TOO_EARLY: now < candidate.due_at,
    }
    if witnesses is not None:
        doubts |= {
            Doubt.NO_OLDER_WITNESS: not any(each.is_older_than(candidate) for each in witnesses),
            Doubt.NO_YOUNGER_WITNESS: not any(
                each.is_younger_than(candidate) for each in witnesses
            ),
        }
    return frozenset(doubt for doubt, holds in doubts.items() if holds)


# --- What to ask -----------------------------------------------------------------------------


def calibration_ids(witnesses: Iterable[Witness], most: int, longest: int) -> tuple[str, ...]:
    """Choose the ids of a query that finds out how long a list the logs read.

    Args:
        witnesses: The messages that the logs have shown in this run.
        most: Most ids of a query.
        longest: What they may add to its length.
    """
    chosen: list[str] = []
    for witness in witnesses:
        wider = [*chosen, witness.id]
        if len(wider) <= most and _length(wider) <= longest and _are_distinct(wider):
            chosen = wider
    return tuple(chosen)


def calibrated_by(ids: Sequence[str], answer: Answer) -> Calibration | None:
    """Return what an answer about witnesses alone proves; None where it is not complete.

    Args:
        ids: What was asked.
        answer: What was answered.
    """
    shown = {row.id for row in answer.rows}
    is_complete = answer.is_whole and shown == set(ids) and _are_distinct(ids)
    return Calibration(len(ids), _length(ids)) if is_complete else None


def arrange(
    candidates: Iterable[Candidate],
    witnesses: Sequence[Witness],
    calibration: Calibration | None,
    now: datetime,
) -> list[LogQuery]:
    """Divide candidates among log queries whose answers can prove their absence.

    Args:
        candidates: The messages to ask about.
        witnesses: The messages that the logs have shown in this run.
        calibration: What the logs have read in this run; None asks about each candidate alone.
        now: The time.

    Returns:
        Lists between two witnesses as far as the witnesses' times and the calibration allow, each
        candidate that no list can prove the absence of alone.
    """
    # Older ones may be gone before they are asked for.
    fresh = [each for each in witnesses if now - each.earliest < PROVABLE_FOR]
    older = min(fresh, key=lambda each: each.latest, default=None)
    younger = max(fresh, key=lambda each: each.earliest, default=None)
    if calibration is None or older is None or younger is None or older.id == younger.id:
        return [LogQuery.alone(candidate) for candidate in candidates]
    room = Calibration(calibration.ids - 2, calibration.length - _length((older.id, younger.id)))
    listed: list[Candidate] = []
    alone: list[Candidate] = []
    for candidate in candidates:
        fits = room.ids >= 1 and log_query_length(candidate.id) <= room.length
        is_plain = _are_distinct((older.id, candidate.id, younger.id))
        doubts = _doubts_about(candidate, (older, younger), now)
        (listed if fits and is_plain and not doubts else alone).append(candidate)
    return [
        *(LogQuery.between(older, group, younger, calibration) for group in _groups(listed, room)),
        *(LogQuery.alone(candidate) for candidate in alone),
    ]


def _groups(candidates: Iterable[Candidate], most: Calibration) -> Iterable[list[Candidate]]:
    """Divide candidates so that no group is longer than a list of that length."""
    group: list[Candidate] = []
    length, taken = 0, set[str]()
    for candidate in candidates:
        own, key = log_query_length(candidate.id), folded(candidate.id)
        if group and (len(group) == most.ids or length + own > most.length or key in taken):
            yield group
            group, length, taken = [], 0, set()
        group.append(candidate)
        length += own
        taken.add(key)
    if group:
        yield group


def _are_distinct(ids: Sequence[str]) -> bool:
    """Whether even a careless server takes no two ids for the same."""
    return len(set(map(folded, ids))) == len(ids)


def folded(message_id: str) -> str:
    """Write an id so that it is equal to those that a careless server takes for the same."""
    return message_id.strip().casefold()


def _length(ids: Iterable[str]) -> int:
    return sum(map(log_query_length, ids))
