"""The report of a run: counts and violations, formatted for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infobip_omni.message import Evidence, MessageState

from .history import FINAL_STATES, MessageEnd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checks import Violation
    from .history import History, ReportKey

_SHOWN_VIOLATIONS = 10
_OMITTED_ATTRIBUTES = ("to", "recipient", "report", "row", "raw", "contentHash")
_SHOWN_TRUTH = ("acceptances", "acceptedAt", "finalStatus", "steps", "reportsHandedOut")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    seed: int
    seconds: float
    #: How long it took from the last fault to the last verdict.
    drain_seconds: float
    fired: Counter[str]
    #: The crash points at which no run was killed.
    points_left: list[str]
    history: History
    violations: list[Violation]


def text(result: Result) -> str:
    """Format the report of a run."""
    return "\n".join((*_summary(result), *_counts(result), *_findings(result)))


def _summary(result: Result) -> Iterator[str]:
    events = result.history.events
    messages = sum(len(event.message_ids) for event in events)
    rate = messages / result.seconds
    yield f"Seed {result.seed}: {messages} messages in {len(events)} events"
    yield f"{result.seconds:.0f} s, {rate:.0f} messages a second, faults and drain included"
    yield f"{result.drain_seconds:.1f} s from the last fault to the last verdict"
    yield ""


def _counts(result: Result) -> Iterator[str]:
    history = result.history
    for title, counts in (
        ("Messages by state", states(history)),
        ("Messages by end state", ends(history)),
        ("Dead-lettered records by reason", Counter(reason for _, reason in history.dead_lettered)),
        ("Reports by result", reports(history)),
        ("Verdicts by evidence", verdicts(history)),
        ("Events by kind", Counter(event.kind for event in history.events)),
        ("Faults fired", result.fired),
    ):
        yield title
        yield from (f"  {count:7d}  {name}" for name, count in sorted(counts.items()))
        yield ""


def _findings(result: Result) -> Iterator[str]:
    history = result.history
    twice = sum(each in history.must_arrive for each in history.sent_twice)
    yield f"Sent twice under must-arrive: {twice}"
    yield f"Quarantined although accepted by Infobip: {quarantined_but_accepted(history)}"
    yield f"Crash points not reached: {', '.join(result.points_left) or 'none'}"
    yield f"Violations: {len(result.violations)}"
    for violation in result.violations[:_SHOWN_VIOLATIONS]:
        yield f"  {violation.promise} {violation.subject}: {violation.what}"
        yield from (f"      {line}" for line in _facts_about(violation.subject, history))


def states(history: History) -> Counter[str]:
    """Count the messages by state."""
    return Counter(str(message["state"]) for message in history.messages.values())


def ends(history: History) -> Counter[str]:
    """Count the messages, each id once, and the invalid events by their end state."""
    counts = Counter(str(history.end_of(each)) for each in history.records_of)
    counts[MessageEnd.DEAD_LETTERED] += sum(event.kind == "poison" for event in history.events)
    return counts


def reports(history: History) -> Counter[str]:
    """Count the reports that Infobip has made by whether they were recorded, and if not, why."""
    return Counter(
        "recorded" if key in history.reports_recorded else _why_missing(key, history)
        for key in history.reports_made
    )


def verdicts(history: History) -> Counter[str]:
    """Count the final states by their evidence."""
    final = set(FINAL_STATES.values())
    counts = Counter(
        str(message["evidence"])
        for message in history.messages.values()
        if message["state"] in final
    )
    counts["of LOGS: its final report was not recorded"] = sum(
        _needed_logs(each, history) for each in history.messages
    )
    return counts


def quarantined_but_accepted(history: History) -> int:
    """Return how many quarantined messages Infobip has accepted."""
    return sum(
        message["state"] == MessageState.QUARANTINED and history.acceptances(message_id) > 0
        for message_id, message in history.messages.items()
    )


def _why_missing(key: ReportKey, history: History) -> str:
    faults = [page["fault"] for page in history.reports_made[key]["pages"]]
    if key in history.page_ends:
        return f"lost: {history.page_ends[key][-1]}"
    if None in faults:
        return "lost: the pull ended before it read the response"
    return "lost: cut off or corrupted in transit" if faults else "never pulled or pushed"


def _needed_logs(message_id: str, history: History) -> bool:
    """Whether a message has its verdict from the logs, and its final report was not recorded."""
    message, entry = history.messages[message_id], history.truth.get(message_id)
    if message.get("evidence") != Evidence.LOGS or not entry or not entry["finalStatus"]:
        return False
    final = entry["finalStatus"]
    return not any(
        (message_id, final["channel"], final["name"], report["doneAt"]) in history.reports_recorded
        for report in entry["reports"]
    )


def _facts_about(subject: str, history: History) -> Iterator[str]:
    """Yield what is known of a message or record, without personal data."""
    if not subject:
        return
    for event in history.events:
        if subject in event.message_ids or subject == event.record_id:
            reasons = sorted(history.reasons.get(event.record_id, ())) or "never"
            yield f"event {event.kind}, record {event.record_id}, dead-lettered {reasons}"
    for item in history.items:
        if item["messageId"] == subject:
            shown = {name: each for name, each in item.items() if name not in _OMITTED_ATTRIBUTES}
            yield "table " + " ".join(f"{name}={each}" for name, each in sorted(shown.items()))
    if entry := history.truth.get(subject):
        yield "truth " + " ".join(f"{name}={entry[name]}" for name in _SHOWN_TRUTH)
    for name, output in history.outputs.items():
        yield from (f"{name}: {line}" for line in output.splitlines() if f'"{subject}"' in line)
