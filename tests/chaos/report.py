"""The report of a run: counts and violations, formatted for people, as text and as a page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infobip_omni.message import Evidence, MessageState
from tests.report_pages import rendered

from .history import FINAL_STATES, MessageEnd
from .phases import DRAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from .checks import Violation
    from .history import History, ReportKey

#: How many violations the text shows, and how many the page.
_SHOWN_VIOLATIONS, _VIOLATIONS_OF_PAGE = 10, 100
_OMITTED_ATTRIBUTES = ("to", "recipient", "report", "row", "raw", "contentHash")
_SHOWN_TRUTH = ("acceptances", "acceptedAt", "finalStatus", "reportsHandedOut")
#: Of each step; the simulator also knows its recipient and text.
_SHOWN_STEP = ("acceptance", "channel", "status", "groupName", "startedAt", "endedAt")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    seed: int
    #: The name of the mutant; empty for the original system.
    mutant: str
    #: The duration of each phase in seconds, by its name.
    phases: Mapping[str, float]
    fired: Counter[str]
    #: The crash points at which no run was killed.
    points_left: list[str]
    history: History
    violations: list[Violation]

    @property
    def messages(self) -> int:
        """How many messages were queued."""
        return sum(len(event.message_ids) for event in self.history.events)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return sum(self.phases.values())

    @property
    def drain_seconds(self) -> float:
        """How long it took from the last fault to the last verdict."""
        return sum(each for name, each in self.phases.items() if name.startswith(DRAIN))

    @property
    def passed(self) -> bool:
        """Whether no promise was broken and, with the original system, each crash point reached."""
        return not self.violations and (bool(self.mutant) or not self.points_left)


def text(result: Result) -> str:
    """Format the report of a run as text."""
    return "\n".join((*_summary(result), *_counts(result), *_findings(result)))


def page(result: Result, times: Sequence[tuple[str, float, float]], at: datetime) -> str:
    """Format the report of a run as a page of HTML.

    Args:
        result: The result of the run.
        times: The times of the run, as `times.table` returns them.
        at: When the page is written.
    """
    history, shown = result.history, result.violations[:_VIOLATIONS_OF_PAGE]
    longest = max(result.phases.values(), default=0.0)
    return rendered(
        "chaos",
        title=f"Chaos, seed {result.seed}",
        at=at,
        verdict=_verdict(result),
        is_expected=bool(result.violations) if result.mutant else result.passed,
        summary=[
            ("Seed", result.seed),
            ("System", f"without a guard: {result.mutant}" if result.mutant else "the original"),
            ("Messages", result.messages),
            ("Events", len(history.events)),
            ("Duration", f"{result.seconds:.0f} s, faults and drain included"),
            ("Rate", f"{result.messages / result.seconds:.0f} messages a second"),
            ("Drain", f"{result.drain_seconds:.1f} s from the last fault to the last verdict"),
            *_remarks(result),
        ],
        violations=[(each, list(_facts_about(each.subject, history))) for each in shown],
        violations_left_out=len(result.violations) - len(shown),
        counts=[(title, _bars(counts)) for title, counts in _tables(result)],
        phases=[(name, f"{each:.1f}", each / longest) for name, each in result.phases.items()],
        times=[(name, f"{production:g}", f"{here:.3g}") for name, production, here in times],
    )


def _verdict(result: Result) -> str:
    broken = ", ".join(sorted({each.promise for each in result.violations}))
    kept = f"Promises were broken: {broken}." if broken else "No promise was broken."
    if result.mutant:
        return f"{kept} A mutant must break one."
    left = len(result.points_left)
    reached = f"Crash points not reached: {left}." if left else "Every crash point was reached."
    return f"{kept} {reached}"


def _bars(counts: Counter[str]) -> list[tuple[str, int, float]]:
    """Return each count with its share of the greatest one."""
    greatest = max(counts.values(), default=0) or 1
    return [(name, count, count / greatest) for name, count in sorted(counts.items())]


def _summary(result: Result) -> Iterator[str]:
    rate = result.messages / result.seconds
    yield f"Seed {result.seed}: {result.messages} messages in {len(result.history.events)} events"
    yield f"{result.seconds:.0f} s, {rate:.0f} messages a second, faults and drain included"
    yield f"{result.drain_seconds:.1f} s from the last fault to the last verdict"
    yield ""


def _counts(result: Result) -> Iterator[str]:
    for title, counts in _tables(result):
        yield title
        yield from (f"  {count:7d}  {name}" for name, count in sorted(counts.items()))
        yield ""


def _tables(result: Result) -> list[tuple[str, Counter[str]]]:
    history = result.history
    return [
        ("Messages by state", states(history)),
        ("Messages by end state", ends(history)),
        ("Dead-lettered records by reason", Counter(reason for _, reason in history.dead_lettered)),
        ("Reports by result", reports(history)),
        ("Verdicts by evidence", verdicts(history)),
        ("Events by kind", Counter(event.kind for event in history.events)),
        ("Faults fired", result.fired),
    ]


def _remarks(result: Result) -> list[tuple[str, str]]:
    history = result.history
    twice = sum(each in history.must_arrive for each in history.sent_twice)
    return [
        ("Sent twice under must-arrive", f"{twice}"),
        ("Quarantined although accepted by Infobip", f"{quarantined_but_accepted(history)}"),
        ("Crash points not reached", ", ".join(result.points_left) or "none"),
        ("Violations", f"{len(result.violations)}"),
    ]


def _findings(result: Result) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in _remarks(result))
    for violation in result.violations[:_SHOWN_VIOLATIONS]:
        yield f"  {violation.promise} {violation.subject}: {violation.what}"
        yield from (f"      {line}" for line in _facts_about(violation.subject, result.history))


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
        for step in entry["steps"]:
            yield "step " + " ".join(f"{name}={step.get(name)}" for name in _SHOWN_STEP)
    for name, output in history.outputs.items():
        yield from (f"{name}: {line}" for line in output.splitlines() if f'"{subject}"' in line)
