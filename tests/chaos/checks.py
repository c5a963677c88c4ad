"""What must hold for a history, one function for each thing.

The promises: P1, no message is sent twice; P2, every event gets a verdict; P3, the verdicts are
true; P4, the numbers add up; P5, no personal data is printed.
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

#: How many characters before personal data are shown.
_CONTEXT = 60


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    promise: str
    what: str
    #: The message or record that it was not kept for.
    subject: str = ""
    #: Nothing that comes later can mend it.
    is_final: bool = False


def violations(history: History) -> Iterator[Violation]:
    """Run all checks."""
    for check in CHECKS:
        yield from check(history)


def final_violations(history: History) -> Iterator[Violation]:
    """Run all checks, and leave out what may still be mended while the run goes on."""
    for violation in violations(history):
        if violation.is_final or history.is_drained:
            yield violation


# --- P1 --------------------------------------------------------------------------------------


def at_most_once(history: History) -> Iterator[Violation]:
    """Infobip accepts each message once, whatever its event asks for at worst."""
    for message_id in history.sent_twice:
        count = history.acceptances(message_id)
        policy = "must-arrive" if message_id in history.must_arrive else "never-duplicate"
        what = f"Infobip has accepted it {count} times ({policy})"
        yield Violation("P1", what, message_id, is_final=True)


# --- P2 --------------------------------------------------------------------------------------


def functions_do_not_raise(history: History) -> Iterator[Violation]:
    """No function raises, whatever happens to it."""
    for error in history.raised:
        yield Violation("P2", f"a function has raised {error}")


def everything_is_drained(history: History) -> Iterator[Violation]:
    """Once the faults have stopped, everything gets a verdict in time."""
    if not history.is_drained:
        yield Violation("P2", "not everything has got a verdict in time")
    if history.records_left:
        yield Violation("P2", f"{history.records_left} records are left on the queue")


def invalid_events_are_dead_lettered(history: History) -> Iterator[Violation]:
    """Invalid events are dead-lettered as such, and no others are."""
    for event in history.events:
        reasons = history.reasons.get(event.record_id, set())
        if event.kind == "poison":
            if reasons != {"INVALID"}:
                found = ", ".join(sorted(reasons)) or "nowhere"
                yield Violation("P2", f"poison is not dead-lettered: {found}", event.record_id)
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
        yield Violation("P2", "it is quarantined, its record nowhere", message_id)
    if state in (MessageState.CLAIMED, MessageState.UNKNOWN):
        yield Violation("P2", f"it has remained {state}", message_id)
    if state not in ACCEPTED_OR_FINAL and state != MessageState.QUARANTINED and not reasons:
        gone = event.record_id in history.acknowledged
        what = f"its record is {'acknowledged' if gone else 'lost'}, its state is {state}"
        yield Violation("P2", what, message_id, is_final=gone)


def conflicts_are_refused(history: History) -> Iterator[Violation]:
    """Of several contents under one id, all but one are dead-lettered."""
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
            yield Violation("P2", "a conflict has gone unnoticed", message_id)


# --- P3 --------------------------------------------------------------------------------------


def states_are_true(history: History) -> Iterator[Violation]:
    """Each message that Infobip has accepted counts as what truly became of it."""
    for message_id in history.records_of:
        state = history.state(message_id)
        if history.acceptances(message_id) == 0 or state == MessageState.QUARANTINED:
            continue
        truth = history.true_state(message_id)
        if state != truth:
            yield Violation("P3", f"it counts as {state}, in truth it is {truth}", message_id)


def pages_are_recorded(history: History) -> Iterator[Violation]:
    """No page of reports is left as it came."""
    for item in history.items:
        if item["entry"].startswith("PAGE#"):
            yield Violation("P3", "a page of reports is not recorded", item["entry"])


def no_report_is_lost(history: History) -> Iterator[Violation]:
    """The table has each report that Infobip has handed out, or there is an excuse."""
    unread: set[int] = set()
    for key in history.reports_made.keys() - history.reports_recorded:
        report, ends = history.reports_made[key], history.page_ends.get(key, [])
        if report["pushes"]:
            what = "a report is missing whose call was answered with 2xx"
            yield Violation("P3", what, key[0], is_final=True)
        for end in (PageEnd.SAFE, PageEnd.UNNOTICED):
            if end in ends:
                yield Violation("P3", f"a report is missing; its page: {end}", key[0])
        if not ends:
            unread.update(page["page"] for page in report["pages"] if page["fault"] is None)
    if len(unread) > history.pulls_cut:
        cut = history.pulls_cut
        what = f"{len(unread)} sound pages were not read by anybody, {cut} pulls cut"
        yield Violation("P3", what)


def no_report_is_made_up(history: History) -> Iterator[Violation]:
    """The table has no report that Infobip has not made."""
    for key in history.reports_recorded - history.reports_made.keys():
        yield Violation("P3", "it has a report that Infobip has never made", key[0])


# --- P4 --------------------------------------------------------------------------------------


def no_message_is_lost(history: History) -> Iterator[Violation]:
    """Each message is settled, quarantined or dead-lettered."""
    lost = sum(history.end_of(each) is MessageEnd.LOST for each in history.records_of)
    if lost:
        yield Violation("P4", f"{lost} messages are neither settled, quarantined nor set aside")


def accepted_adds_up(history: History) -> Iterator[Violation]:
    """The table counts as many accepted messages as Infobip, but for quarantined ones."""
    here = sum(map(history.counts_as_accepted, history.messages))
    at_infobip = sum(history.acceptances(each) > 0 for each in history.records_of)
    quarantined = sum(
        message["state"] == MessageState.QUARANTINED for message in history.messages.values()
    )
    if not here <= at_infobip <= here + quarantined:
        what = f"accepted here {here}, at Infobip {at_infobip}, quarantined {quarantined}"
        yield Violation("P4", what)


def accepted_is_at_infobip(history: History) -> Iterator[Violation]:
    """Infobip knows each message that counts as accepted."""
    for message_id in history.messages:
        if history.counts_as_accepted(message_id) and not history.acceptances(message_id):
            what = "it counts as accepted, and Infobip does not know it"
            yield Violation("P4", what, message_id)


# --- P5 --------------------------------------------------------------------------------------


def nothing_personal_is_printed(history: History) -> Iterator[Violation]:
    """No function prints phone numbers, texts, push registrations or keys."""
    for name, output in history.outputs.items():
        for number, line in enumerate(output.splitlines(), start=1):
            if found := PERSONAL.search(line):
                around = line[max(found.start() - _CONTEXT, 0) : found.start()]
                what = f"line {number} is personal after {around!r}"
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
