"""The books: what went in, what came out, and what Infobip truly did."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from infobip_omni.delivery_reports import FOREIGN_ID
from infobip_omni.message import MESSAGE_ENTRY, TAKEN, Evidence, MessageState

from .traffic import PERSONAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .traffic import Event

Json = dict[str, Any]

_STATES = {
    "DELIVERED": MessageState.DELIVERED,
    "UNDELIVERABLE": MessageState.UNDELIVERED,
    "EXPIRED": MessageState.EXPIRED,
    "REJECTED": MessageState.REJECTED,
}
_CONTEXT = 60
#: Message id, channel, name of the status, and when the step was done.
ReportKey = tuple[str, str, str, str]


class PageEnd(StrEnum):
    """What has become of a page that a run has received."""

    SAFE = "safe"
    RUN_DIED = "the run was killed before it was safe"
    NOWHERE = "neither table nor queue took it, and that was counted"
    UNNOTICED = "the run let it go without a word"


@dataclass(slots=True)
class TakenPage:
    """A page of reports that a run has received."""

    reports: frozenset[ReportKey]
    end: PageEnd = PageEnd.UNNOTICED


def reports_on(body: bytes) -> frozenset[ReportKey]:
    """List the reports on a page that can be read; where nothing can be, there are none."""
    try:
        entries = json.loads(body)["results"]
    except ValueError:
        return frozenset()
    return frozenset(filter(None, map(_key_of, entries)))


def _key_of(entry: Json) -> ReportKey | None:
    status = entry.get("status")
    name = status.get("name") if isinstance(status, dict) else None
    key = (entry.get("messageId"), entry.get("channel"), name, entry.get("doneAt"))
    return key if all(key) else None  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was not kept."""

    promise: str
    what: str
    #: The message or record that it was not kept for.
    subject: str = ""
    #: Nothing that comes later can mend it.
    is_final: bool = False


@dataclass(slots=True)
class Books:
    """All that is known after a run."""

    events: list[Event]
    foreign_ids: frozenset[str]
    #: Every item of the table.
    items: list[Json]
    #: What the simulator knows of each message id.
    truth: dict[str, Json]
    #: The id of the record, and the reason.
    dead_letters: list[tuple[str, str]]
    #: The records that were deleted from the queue as dealt with.
    acknowledged: set[str]
    records_left: int
    outputs: list[Path]
    #: What the pullers have received.
    pages: list[TakenPage]
    #: How many pulls ended without an answer that they could use: killed, or given up.
    pulls_cut: int
    messages: dict[str, Json] = field(init=False)
    reasons: dict[str, set[str]] = field(init=False)
    #: The reports that the table holds.
    recorded: set[ReportKey] = field(init=False)
    #: Those that Infobip has made.
    _reports: dict[ReportKey, Json] = field(init=False)
    #: What has become of the pages that a report was on, the last one last.
    _ends: dict[ReportKey, list[PageEnd]] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = {
            item["messageId"]: item for item in self.items if item["entry"] == MESSAGE_ENTRY
        }
        self.reasons = defaultdict(set)
        for record_id, reason in self.dead_letters:
            self.reasons[record_id].add(reason)
        self.recorded = self._recorded_reports()
        self._reports = {
            (message_id, report["channel"], report["status"], report["doneAt"]): report
            for message_id, entry in self.truth.items()
            for report in entry["reports"]
        }
        self._ends = defaultdict(list)
        for page in self.pages:
            for key in page.reports:
                self._ends[key].append(page.end)

    # --- What is counted ---------------------------------------------------------------------

    def accepted_by_infobip(self, message_id: str) -> int:
        """Count how often Infobip has accepted a message from us."""
        entry = self.truth.get(message_id)
        foreign = message_id in self.foreign_ids
        return entry["acceptances"] - foreign if entry else 0

    def states(self) -> Counter[str]:
        """Count the messages by state."""
        return Counter(str(message["state"]) for message in self.messages.values())

    def duplicates_of_must_arrive(self) -> list[str]:
        """List the messages that went out twice though their events asked for it at worst."""
        return [each for each in self._twice() if each in self._must_arrive()]

    def balance(self) -> Counter[str]:
        """Count each message id once, by where it has ended."""
        ends: Counter[str] = Counter()
        for message_id, records in self._records_of().items():
            ends[self._end_of(message_id, records)] += 1
        ends["dead-lettered"] += sum(event.kind == "poison" for event in self.events)
        return ends

    def reports(self) -> Counter[str]:
        """Count the reports that Infobip has made, by what has become of them."""
        return Counter(
            "recorded" if key in self.recorded else self._why_missing(key) for key in self._reports
        )

    def verdicts(self) -> Counter[str]:
        """Count the final states by how they were learnt."""
        final = set(_STATES.values())
        counts = Counter(
            str(message["evidence"])
            for message in self.messages.values()
            if message["state"] in final
        )
        counts["logs, and no report could have told"] = sum(map(self._needed_logs, self.messages))
        return counts

    def quarantined_in_vain(self) -> int:
        """Count the messages in quarantine that Infobip has."""
        return sum(
            message["state"] == MessageState.QUARANTINED
            and self.accepted_by_infobip(message_id) > 0
            for message_id, message in self.messages.items()
        )

    # --- What must hold ----------------------------------------------------------------------

    def breaches(self) -> Iterator[Breach]:
        """Hold everything against everything."""
        yield from self._at_most_once()
        yield from self._verdicts()
        yield from self._conflicts()
        yield from self._balances()
        yield from self._truthful()
        yield from self._no_report_lost()
        yield from self._nothing_personal()

    def _at_most_once(self) -> Iterator[Breach]:
        must_arrive = self._must_arrive()
        for message_id in self._twice():
            count = self.accepted_by_infobip(message_id)
            policy = "must-arrive" if message_id in must_arrive else "never-duplicate"
            what = f"Infobip has accepted it {count} times ({policy})"
            yield Breach("P1", what, message_id, is_final=True)

    def _verdicts(self) -> Iterator[Breach]:
        if self.records_left:
            yield Breach("P2", f"{self.records_left} records are left on the queue")
        for event in self.events:
            reasons = self.reasons.get(event.record_id, set())
            if event.kind == "poison":
                if reasons != {"INVALID"}:
                    found = ", ".join(sorted(reasons)) or "nowhere"
                    yield Breach("P2", f"poison is not dead-lettered: {found}", event.record_id)
            elif "INVALID" in reasons:
                yield Breach("P2", "a valid event is dead-lettered as INVALID", event.record_id)
            else:
                yield from self._verdict_of(event, reasons)

    def _verdict_of(self, event: Event, reasons: set[str]) -> Iterator[Breach]:
        for message_id in event.message_ids:
            message = self.messages.get(str(message_id))
            state = message["state"] if message else None
            if state == MessageState.QUARANTINED and not reasons:
                yield Breach("P2", "it is quarantined, its record nowhere", str(message_id))
            if state in (MessageState.CLAIMED, MessageState.UNKNOWN):
                yield Breach("P2", f"it has remained {state}", str(message_id))
            if state not in TAKEN and state != MessageState.QUARANTINED and not reasons:
                gone = event.record_id in self.acknowledged
                what = "acknowledged" if gone else "lost"
                yield Breach(
                    "P2",
                    f"its record is {what}, its state is {state}",
                    str(message_id),
                    is_final=gone,
                )

    def _conflicts(self) -> Iterator[Breach]:
        """Of several contents under one id, all but one must be dead-lettered."""
        by_id: dict[str, dict[str, list[Event]]] = defaultdict(lambda: defaultdict(list))
        for event in self.events:
            for message_id in event.message_ids:
                by_id[str(message_id)][event.variant].append(event)
        for message_id, variants in by_id.items():
            unrefused = [
                variant
                for variant, events in variants.items()
                if not all("CONFLICT" in self.reasons.get(each.record_id, ()) for each in events)
            ]
            if len(unrefused) > 1:
                yield Breach("P2", "a conflict has gone unnoticed", message_id)

    def _balances(self) -> Iterator[Breach]:
        lost = self.balance()["lost"]
        if lost:
            yield Breach("P4", f"{lost} messages are neither settled, quarantined nor set aside")
        accepted_here = sum(map(self._counts_as_accepted, self.messages))
        at_infobip = sum(self.accepted_by_infobip(each) > 0 for each in self._records_of())
        quarantined = self.states()[MessageState.QUARANTINED]
        if not accepted_here <= at_infobip <= accepted_here + quarantined:
            what = f"accepted here {accepted_here}, at Infobip {at_infobip}"
            yield Breach("P4", f"{what}, quarantined {quarantined}")
        for message_id in self.messages:
            if self._counts_as_accepted(message_id) and not self.accepted_by_infobip(message_id):
                yield Breach(
                    "P4", "it counts as accepted, and Infobip does not know it", message_id
                )

    def _truthful(self) -> Iterator[Breach]:
        for message_id in self._records_of():
            if self.accepted_by_infobip(message_id) == 0:
                continue
            message = self.messages.get(message_id)
            state = message["state"] if message else None
            if state == MessageState.QUARANTINED:
                continue
            final = self._final_status(message_id)
            if state != final:
                yield Breach("P3", f"it counts as {state}, in truth it is {final}", message_id)
        for item in self.items:
            if item["entry"].startswith("PAGE#"):
                yield Breach("P3", "a page of reports is not recorded", item["entry"])

    def _no_report_lost(self) -> Iterator[Breach]:
        """Hold the table against what Infobip has handed out: what is missing needs an excuse."""
        unread: set[int] = set()
        for key in self._reports.keys() - self.recorded:
            report, ends = self._reports[key], self._ends.get(key, [])
            if report["pushes"]:
                yield Breach("P3", "a report is missing whose call was answered with 2xx", key[0])
            for end in (PageEnd.SAFE, PageEnd.UNNOTICED):
                if end in ends:
                    yield Breach("P3", f"a report is missing; its page: {end}", key[0])
            if not ends:
                unread.update(page["page"] for page in report["pages"] if page["fault"] is None)
        if len(unread) > self.pulls_cut:
            what = f"{len(unread)} sound pages were not read by anybody, {self.pulls_cut} pulls cut"
            yield Breach("P3", what)
        for key in self.recorded - self._reports.keys():
            yield Breach("P3", "it has a report that Infobip has never made", key[0])

    def _nothing_personal(self) -> Iterator[Breach]:
        for path in self.outputs:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
                if found := PERSONAL.search(line):
                    around = line[max(found.start() - _CONTEXT, 0) : found.start()]
                    what = f"line {number} is personal after {around!r}"
                    yield Breach("P5", what, path.name, is_final=True)

    def history(self, subject: str) -> list[str]:
        """Tell what is known of a message or record, without anything personal."""
        if not subject:
            return []
        lines = [
            f"event {event.kind}, record {event.record_id}, dead-lettered"
            f" {sorted(self.reasons.get(event.record_id, ())) or 'never'}"
            for event in self.events
            if subject in event.message_ids or subject == event.record_id
        ]
        hidden = ("to", "recipient", "report", "row", "raw", "contentHash")
        for item in self.items:
            if item["messageId"] == subject:
                shown = {name: value for name, value in item.items() if name not in hidden}
                lines.append("table " + " ".join(f"{n}={v}" for n, v in sorted(shown.items())))
        if entry := self.truth.get(subject):
            known = ("acceptances", "acceptedAt", "finalStatus", "steps", "reportsHandedOut")
            lines.append("truth " + " ".join(f"{name}={entry[name]}" for name in known))
        for path in self.outputs:
            lines += [
                f"{path.name}: {line}"
                for line in path.read_text(errors="replace").splitlines()
                if f'"{subject}"' in line
            ]
        return lines

    # --- Reports -----------------------------------------------------------------------------

    def _recorded_reports(self) -> set[ReportKey]:
        """Find the reports in the table, those of a call about another bulk's message included."""
        raw = (
            item["raw"] if item["messageId"] == FOREIGN_ID else item["report"]
            for item in self.items
            if item["messageId"] == FOREIGN_ID or item["entry"].startswith("REPORT#")
        )
        return set(filter(None, map(_key_of, map(json.loads, raw))))

    def _why_missing(self, key: ReportKey) -> str:
        """Tell why a report is not in the table."""
        faults = [page["fault"] for page in self._reports[key]["pages"]]
        if key in self._ends:
            return f"lost: {self._ends[key][-1]}"
        if None in faults:
            return "lost: nobody was there to read the answer"
        return "lost: on the wire, or made unreadable there" if faults else "never handed out"

    def _needed_logs(self, message_id: str) -> bool:
        """Tell whether a message has a verdict, and its report has not come."""
        message, entry = self.messages[message_id], self.truth.get(message_id)
        if message.get("evidence") != Evidence.LOGS or not entry or not entry["finalStatus"]:
            return False
        final = entry["finalStatus"]
        return not any(
            (message_id, final["channel"], final["name"], report["doneAt"]) in self.recorded
            for report in entry["reports"]
        )

    # --- Helpers -----------------------------------------------------------------------------

    def _records_of(self) -> dict[str, list[str]]:
        records: dict[str, list[str]] = defaultdict(list)
        for event in self.events:
            for message_id in event.message_ids:
                records[str(message_id)].append(event.record_id)
        return records

    def _must_arrive(self) -> set[str]:
        return {
            str(each) for event in self.events if event.must_arrive for each in event.message_ids
        }

    def _twice(self) -> list[str]:
        return [each for each in self._records_of() if self.accepted_by_infobip(each) > 1]

    def _end_of(self, message_id: str, records: list[str]) -> str:
        message = self.messages.get(message_id)
        state = message["state"] if message else None
        if state in TAKEN:
            return "settled"
        if state == MessageState.QUARANTINED:
            return "quarantined"
        return "dead-lettered" if any(map(self.reasons.get, records)) else "lost"

    def _counts_as_accepted(self, message_id: str) -> bool:
        """Tell whether we hold a message for accepted: refused ones are settled, but were not."""
        message = self.messages[message_id]
        refused = message["state"] == MessageState.REJECTED and not message.get("verdictRank")
        return message["state"] in TAKEN and not refused

    def _final_status(self, message_id: str) -> str | None:
        entry = self.truth[message_id]
        if message_id not in self.foreign_ids:
            final = entry["finalStatus"]
            return _STATES[final["groupName"]] if final else None
        ours = [step["groupName"] for step in entry["steps"] if step["acceptance"] > 1]
        return _STATES.get("DELIVERED" if "DELIVERED" in ours else ours[-1])
