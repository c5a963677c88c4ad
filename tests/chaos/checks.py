"""The checks of a history, one function each.

The promises: P1, no message is sent twice; P2, every event gets a verdict; P3, the verdicts are
true; P4, the counts add up; P5, no personal data is printed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infobip_omni.message import ACCEPTED_OR_FINAL, MessageState

from .history import MessageEnd, PageEnd
from .traffic import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .history import History
    from .traffic import Event

    Check = Callable[[History], Iterator["Violation"]]

#: How many characters in front of personal data a violation shows.
_CONTEXT = 60


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise."""

    promise: str
    what: str
    #: The id of the message or record; empty if the violation concerns the whole run.
    subject: str = ""
    #: Whether nothing later in the run can repair it.
    is_final: bool = False


def violations(history: History) -> Iterator[Violation]:
    """Run all checks."""
    for check in CHECKS:
        yield from check(history)


def final_violations(history: History) -> Iterator[Violation]:
    """Run all checks, and omit violations that the rest of the run may still repair."""
    for violation in violations(history):
        if violation.is_final or history.is_drained:
            yield violation


# --- P1 --------------------------------------------------------------------------------------


def at_most_once(history: History) -> Iterator[Violation]:
    """Infobip accepts each message at most once, even if its event prefers a duplicate."""
    for message_id in history.sent_twice:
        count = history.acceptances(message_id)
        policy = "must-arrive" if message_id in history.must_arrive else "never-duplicate"
        what = f"Infobip accepted it {count} times ({policy})"
        yield Violation("P1", what, message_id, is_final=True)


# --- P2 --------------------------------------------------------------------------------------


def functions_do_not_raise(history: History) -> Iterator[Violation]:
    """No function raises, whichever fault fires."""
    for error in history.raised:
        yield Violation("P2", f"a function raised {error}")


def everything_is_drained(history: History) -> Iterator[Violation]:
    """Once the faults have stopped, every event gets its verdict in time."""
    if not history.is_drained:
        yield Violation("P2", "the run did not drain in time")
    if history.records_left:
        yield Violation("P2", f"{history.records_left} records are left on the queues")


def invalid_events_are_dead_lettered(history: History) -> Iterator[Violation]:
    """Invalid events are dead-lettered as INVALID, and valid events are not."""
    for event in history.events:
        reasons = history.reasons.get(event.record_id, set())
        if event.kind == "poison":
            if reasons != {"INVALID"}:
                found = ", ".join(sorted(reasons)) or "none"
                what = f"an invalid event must be dead-lettered as INVALID; reasons: {found}"
                yield Violation("P2", what, event.record_id)
        elif "INVALID" in reasons:
            yield Violation("P2", "a valid event is dead-lettered as INVALID", event.record_id)


def always_resolved(history: History) -> Iterator[Violation]:
    """Each message of a valid event gets a verdict, or its record is dead-lettered."""
    for event in history.events:
        reasons = history.reasons.get(event.record_id, set())
        if event.kind != "poison" and "INVALID" not in reasons:
            for message_id in map(str, event.message_ids):
                yield from _unresolved(history, event, message_id, reasons)


def _unresolved(
    history: History, event: Event, message_id: str, reasons: set[str]
) -> Iterator[Violation]:
    state = history.state(message_id)
    if state == MessageState.QUARANTINED and not reasons:
        yield Violation("P2", "it is quarantined, but its record is not dead-lettered", message_id)
    if state in (MessageState.CLAIMED, MessageState.UNKNOWN):
        yield Violation("P2", f"its state is still {state}", message_id)
    if state not in ACCEPTED_OR_FINAL and state != MessageState.QUARANTINED and not reasons:
        gone = event.record_id in history.acknowledged
        what = f"its record is {'acknowledged' if gone else 'lost'}, its state is {state}"
        yield Violation("P2", what, message_id, is_final=gone)


def conflicts_are_refused(history: History) -> Iterator[Violation]:
    """Of events with the same message id and different contents, one content is not refused."""
    by_id: dict[str, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for event in history.events:
        for message_id in event.message_ids:
            by_id[str(message_id)][event.variant].append(event)
    for message_id, variants in by_id.items():
        unrefused = [
            variant
            for variant, events in variants.items()
            if not all("CONFLICT" in history.reasons.get(each.record_id, ()) for each in events)
        ]
        if len(unrefused) > 1:
            yield Violation("P2", "a conflict went unnoticed", message_id)


# --- P3 --------------------------------------------------------------------------------------


def states_are_true(history: History) -> Iterator[Violation]:
    """The table has each accepted message in the state that Infobip has."""
    for message_id in history.records_of:
        state = history.state(message_id)
        if history.acceptances(message_id) == 0 or state == MessageState.QUARANTINED:
            continue
        truth = history.true_state(message_id)
        if state != truth:
            yield Violation("P3", f"the table has it as {state}, Infobip as {truth}", message_id)


def pages_are_recorded(history: History) -> Iterator[Violation]:
    """Every stored page of reports is recorded in the end."""
    for item in history.items:
        if item["entry"].startswith("PAGE#"):
            yield Violation("P3", "a page of reports is not recorded", item["entry"])


def no_report_is_lost(history: History) -> Iterator[Violation]:
    """The table has each report that Infobip has delivered, unless a fault explains the loss."""
    unread: set[int] = set()
    for key in history.reports_made.keys() - history.reports_recorded:
        report, ends = history.reports_made[key], history.page_ends.get(key, [])
        if report["pushes"]:
            what = "a report is missing although its call was answered with 2xx"
            yield Violation("P3", what, key[0], is_final=True)
        for end in (PageEnd.SAFE, PageEnd.DROPPED):
            if end in ends:
                yield Violation("P3", f"a report is missing; its page: {end}", key[0])
        if not ends:
            unread.update(page["page"] for page in report["pages"] if page["fault"] is None)
    if len(unread) > history.interrupted_pulls:
        interrupted = history.interrupted_pulls
        pages = f"{len(unread)} intact pages"
        what = f"no run read {pages}, but only {interrupted} pulls were interrupted"
        yield Violation("P3", what)


def no_report_is_made_up(history: History) -> Iterator[Violation]:
    """The table has no report that Infobip has not made."""
    for key in history.reports_recorded - history.reports_made.keys():
        yield Violation("P3", "the table has a report that Infobip never made", key[0])


# --- P4 --------------------------------------------------------------------------------------


def no_message_is_lost(history: History) -> Iterator[Violation]:
    """Each message is settled, quarantined or dead-lettered."""
    lost = sum(history.end_of(each) is MessageEnd.LOST for each in history.records_of)
    if lost:
        yield Violation("P4", f"{lost} messages are neither settled, quarantined nor dead-lettered")


def accepted_adds_up(history: History) -> Iterator[Violation]:
    """The table has as many accepted messages as Infobip, apart from quarantined ones."""
    in_table = sum(map(history.counts_as_accepted, history.messages))
    at_infobip = sum(history.acceptances(each) > 0 for each in history.records_of)
    quarantined = sum(
        message["state"] == MessageState.QUARANTINED for message in history.messages.values()
    )
    if not in_table <= at_infobip <= in_table + quarantined:
        accepted = f"accepted in the table {in_table}, at Infobip {at_infobip}"
        what = f"{accepted}; quarantined {quarantined}"
        yield Violation("P4", what)


def accepted_is_at_infobip(history: History) -> Iterator[Violation]:
    """Infobip knows each message that the table has as accepted."""
    for message_id in history.messages:
        if history.counts_as_accepted(message_id) and not history.acceptances(message_id):
            what = "the table has it as accepted, but Infobip does not know it"
            yield Violation("P4", what, message_id)


# --- P5 --------------------------------------------------------------------------------------


def nothing_personal_is_printed(history: History) -> Iterator[Violation]:
    """No function prints phone numbers, texts, push registrations or keys."""
    for name, output in history.outputs.items():
        for number, line in enumerate(output.splitlines(), start=1):
            if found := PERSONAL.search(line):
                around = line[max(found.start() - _CONTEXT, 0) : found.start()]
                what = f"line {number} holds personal data after {around!r}"
                yield Violation("P5", what, name, is_final=True)


CHECKS: tuple[Check, ...] = (
    functions_do_not_raise,
    everything_is_drained,
    at_most_once,
    invalid_events_are_dead_lettered,
    always_resolved,
    conflicts_are_refused,
    no_message_is_lost,
    accepted_adds_up,
    accepted_is_at_infobip,
    states_are_true,
    pages_are_recorded,
    no_report_is_lost,
    no_report_is_made_up,
    nothing_personal_is_printed,
)
