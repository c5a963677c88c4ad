"""Records what Infobip reports: every report whole, and the state that it gives its message.

Pull, webhook and whatever comes later record here, so that all follow the same rules.
Infobip hands a report out once. A pulled page is therefore stored as it came before anything
reads it, and deleted when all of its reports are recorded.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import uuid
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from infobip_omni import transitions
from infobip_omni.api.reports import (
    LONGEST_KEY_BYTES,
    DeliveryReport,
    LogEntry,
    SeenReport,
    UnreadablePageError,
    page_of,
    parse_page,
)
from infobip_omni.dynamodb import Query
from infobip_omni.message import (
    UNPROVEN,
    Chunk,
    Contents,
    Entry,
    Evidence,
    Message,
    UnreadableMessage,
)
from infobip_omni.recipients import is_somebody_else
from infobip_omni.timestamps import format_utc, utc_now
from infobip_omni.verdicts import (
    DUPLICATE_MESSAGE_ID,
    highest,
    refuses_account,
    verdict_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from infobip_omni.api.reports import RawEntry
    from infobip_omni.dynamodb import Item, Table, Update
    from infobip_omni.message_ledger import MessageLedger

    Report = RawEntry[DeliveryReport | SeenReport]

#: Under the first of these message ids stand the pages that are not recorded yet, under the second
#: what names no message, and under the third what came to the webhook of another message; none of
#: them is a message.
PAGES_ID = "#pages"
UNREADABLE_ID = "#unreadable"
FOREIGN_ID = "#foreign"
#: DynamoDB's items end at 400 KB.
_CHUNK_BYTES = 350_000
_LONGEST_ENTRY_PART = 64
#: How JSON begins to write half of a character; the other half may follow.
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
#: A page that is older than any run of the puller was left behind by one that died.
_ABANDONED_AFTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of reports as it came, and the entries of the table that hold it."""

    body: bytes = field(repr=False)
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the entries of a page."""

    reports: int = 0  #: delivery reports, repeats included
    settled: int = 0  #: messages whose state has changed for good
    unmatched: int = 0  #: delivery reports of messages that the ledger does not know
    unreadable: int = 0  #: entries that are kept raw
    seen: int = 0  #: entries that say when a message was seen
    foreign: int = 0  #: entries of messages that the webhook they came to is not for
    inbound: int = 0  #: messages from recipients, which are no reports and are not kept
    account_refusals: int = 0  #: reports by which Infobip refuses the account, not the message
    #: Reports on messages that cannot be read: a page by themselves holds them until these can.
    waiting: int = 0

    @property
    def entries(self) -> int:
        """Count the entries."""
        known = self.reports + self.unreadable + self.seen + self.foreign
        return known + self.inbound + self.waiting

    def __add__(self, other: Recorded) -> Recorded:
        """Add up."""
        return Recorded(
            self.reports + other.reports,
            self.settled + other.settled,
            self.unmatched + other.unmatched,
            self.unreadable + other.unreadable,
            self.seen + other.seen,
            self.foreign + other.foreign,
            self.inbound + other.inbound,
            self.account_refusals + other.account_refusals,
            self.waiting + other.waiting,
        )

    def counts(self) -> dict[str, int]:
        """Return what there is to be counted, by the name of its metric."""
        return {
            "ReportsRecorded": self.reports,
            "ReportsUnreadable": self.unreadable,
            "ReportsUnmatched": self.unmatched,
            "ReportsForeign": self.foreign,
            "ReportsWaiting": self.waiting,
            "InboundMessagesIgnored": self.inbound,
            "MessagesSettled": self.settled,
            "AccountRefusals": self.account_refusals,
        }


class DeliveryReports:
    """The reports in the messages table."""

    def __init__(
        self, table: Table, ledger: MessageLedger, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._table = table
        self._ledger = ledger
        self._now = now

    def store_page(self, body: bytes) -> Page:
        """Make a page of reports safe before it is read.

        Raises:
            TableUnavailableError: The page, or a part of it, was not stored.
        """
        packed = gzip.compress(body, compresslevel=1)
        parts = [
            packed[start : start + _CHUNK_BYTES] for start in range(0, len(packed), _CHUNK_BYTES)
        ]
        name = f"PAGE#{format_utc(self._now())}#{uuid.uuid4().hex}"
        chunks = [
            Chunk(f"{name}#{number:03d}-{len(parts):03d}", part)
            for number, part in enumerate(parts, start=1)
        ]
        self._table.put_all(chunk.to_item(PAGES_ID, self._expiry()) for chunk in chunks)
        return Page(body, tuple(chunk.name for chunk in chunks))

    def record_abandoned_pages(self) -> Recorded:
        """Record the pages that a run has stored but not lived to record.

        Raises:
            TableUnavailableError: Some are still there.
        """
        return sum(map(self.record_page, self._abandoned_pages()), Recorded())

    def _abandoned_pages(self) -> Iterator[Page]:
        """Read the pages that were left behind.

        A page of which a part is missing was cut while it was stored. Like one of which a part is
        not as it was written, it cannot be read and is left where it is.
        """
        before = format_utc(self._now() - _ABANDONED_AFTER)
        parts: dict[str, list[Chunk]] = defaultdict(list)
        found = self._table.query(Query(PAGES_ID, first="PAGE#", last=f"PAGE#{before}"))
        for chunk in filter(None, map(Chunk.from_item, found)):
            name, _, place = chunk.name.rpartition("#")
            parts[name].append(chunk)
            if place.partition("-")[2] == f"{len(parts[name]):03d}":
                chunks = parts.pop(name)
                packed = b"".join(part.data for part in chunks)
                try:
                    body = gzip.decompress(packed)
                except (EOFError, OSError, zlib.error):
                    continue
                yield Page(body, tuple(part.name for part in chunks))

    def record_page(self, page: Page) -> Recorded:
        """Record all reports of a stored page, then delete the page.

        Raises:
            TableUnavailableError: Something was not recorded; the page is still there.
        """
        recorded = self.record_body(page.body)
        for entry in page.entries:
            self._table.delete(PAGES_ID, entry)
        return recorded

    def record_body(self, body: bytes, bulk_id: str | None = None) -> Recorded:
        """Record all reports of a body as it came; one without a list of reports is kept raw.

        Args:
            body: What Infobip has sent.
            bulk_id: The only bulk whose messages these reports may be about; None is any. A
                report on another message is kept apart, and changes nothing.

        Raises:
            TableUnavailableError: Something was not recorded; recording all of it again is right.
        """
        try:
            entries = parse_page(body)
        except UnreadablePageError:
            raw = body.decode(errors="backslashreplace")
            self._table.put_all([self._unreadable(UNREADABLE_ID, raw)])
            return Recorded(unreadable=1)
        return self._record(entries, bulk_id)

    def _record(self, entries: Iterable[RawEntry[Any]], bulk_id: str | None) -> Recorded:
        """Record reports, in any order and however often they come.

        One that cannot be read is kept raw, and costs the others nothing.
        """
        page = _read_entries(entries)
        found = self._ledger.find([report.parsed.message_id for report in page.reports])
        messages = {one.id: one for one in found.values() if isinstance(one, Message)}
        divided = _divide(page.reports, found, bulk_id)
        self._table.put_all(
            [
                *(self._unreadable(_message_id(each.parsed), each.raw) for each in page.unreadable),
                *(self._kept_raw(FOREIGN_ID, "FOREIGN", each.raw) for each in divided.foreign),
                *(
                    self._kept_row(each, messages.get(each.parsed.message_id))
                    for each in divided.own
                ),
            ]
        )
        if divided.waiting:
            # Like a page that was left behind, it is recorded later.
            self.store_page(page_of(divided.waiting))
        reports = [each.parsed for each in divided.own if isinstance(each.parsed, DeliveryReport)]
        return Recorded(
            reports=len(reports),
            settled=self._settle(reports, messages),
            unmatched=sum(report.message_id not in messages for report in reports),
            unreadable=len(page.unreadable),
            seen=len(divided.own) - len(reports),
            foreign=len(divided.foreign),
            inbound=page.inbound,
            waiting=len(divided.waiting),
            account_refusals=sum(refuses_account(report.status) for report in reports),
        )

    def record_logs(self, rows: Iterable[RawEntry[LogEntry]]) -> None:
        """Keep the log rows that have decided about messages.

        Raises:
            TableUnavailableError: Some were not kept.
        """
        self._table.put_all(
            self._kept_row(row) if _fits(row) else self._unreadable(row.parsed.message_id, row.raw)
            for row in rows
        )

    def _settle(self, reports: Iterable[DeliveryReport], messages: dict[str, Message]) -> int:
        """Give the messages the states that their reports say.

        A report on another recipient is of somebody else's message with the same id.
        """
        by_message: dict[str, list[DeliveryReport]] = defaultdict(list)
        for report in reports:
            message = messages.get(report.message_id)
            if message and not is_somebody_else(message.to, report.to):
                by_message[message.id].append(report)
        settled: list[Update] = []
        accepted: list[Message] = []
        for message_id, its_reports in by_message.items():
            message = messages[message_id]
            judged = (verdict_of(report, message.last_step) for report in its_reports)
            verdict = highest(verdict for verdict in judged if verdict)
            if verdict is not None:
                if verdict.rank > message.verdict_rank:
                    settled.append(transitions.settled(message_id, verdict))
            elif message.state in UNPROVEN and any(
                report.status.id != DUPLICATE_MESSAGE_ID for report in its_reports
            ):
                accepted.append(message)
        changed = self._ledger.apply(settled)
        self._prove_accepted(accepted)
        return changed

    def _prove_accepted(self, messages: list[Message]) -> None:
        """Write the proof, also over a state that changes at the same time."""
        while messages:
            now, check_after = self._now(), self._ledger.check_after
            self._ledger.apply(
                transitions.proven_accepted(message, Evidence.REPORT, now, check_after)
                for message in messages
            )
            seen = self._ledger.find([message.id for message in messages])
            messages = [
                message
                for message in seen.values()
                if isinstance(message, Message) and message.state in UNPROVEN
            ]

    def _kept_row(
        self,
        entry: RawEntry[DeliveryReport | SeenReport | LogEntry],
        message: Message | None = None,
    ) -> Item:
        """Make the item of a report or log row, which keeps it as it came."""
        row = entry.parsed
        contents = Contents.ROW if isinstance(row, LogEntry) else Contents.REPORT
        expires_at = message.expires_at if message else None
        return self._kept(row.message_id, _entry(row), contents, entry.raw, expires_at)

    def _unreadable(self, message_id: str, raw: str) -> Item:
        return self._kept_raw(message_id, "UNREADABLE", raw)

    def _kept_raw(self, message_id: str, kind: str, raw: str) -> Item:
        written = raw.encode()
        name = f"{kind}#{hashlib.sha256(written).hexdigest()}"
        # Cut by bytes, which DynamoDB counts; a character that the cut halves is left out.
        cut = written[:_CHUNK_BYTES].decode(errors="ignore")
        return self._kept(message_id, name, Contents.RAW, cut)

    def _kept(
        self,
        message_id: str,
        name: str,
        contents: Contents,
        text: str,
        expires_at: int | None = None,
    ) -> Item:
        """Make the item of an entry, which lives as long as its message, if that is known."""
        expiry = self._expiry() if expires_at is None else expires_at
        return Entry(message_id, name, contents, text, self._now(), expiry).to_item()

    def _expiry(self) -> int:
        return int((self._now() + self._ledger.retention).timestamp())


def _entry(row: DeliveryReport | SeenReport | LogEntry) -> str:
    """Write the sort key, under which a repeat of a row meets the first."""
    channel = (row.channel or "-")[:_LONGEST_ENTRY_PART]
    if isinstance(row, SeenReport):
        return f"SEEN#{channel}#{format_utc(row.seen_at)}"
    kind = "LOG" if isinstance(row, LogEntry) else "REPORT"
    done_at = format_utc(row.done_at) if row.done_at else "-"
    return f"{kind}#{channel}#{row.status.id}#{done_at}"


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a page, by what they are."""

    reports: list[Report]
    unreadable: list[RawEntry[Any]]
    inbound: int  #: messages from recipients


def _read_entries(entries: Iterable[RawEntry[Any]]) -> _Entries:
    """Read each entry of a page; a report that no item can hold whole counts as unreadable."""
    reports: list[Report] = []
    unreadable: list[RawEntry[Any]] = []
    inbound = 0
    for entry in entries:
        report = _read(entry)
        if report is not None and _fits(report):
            reports.append(report)
        elif _is_inbound(entry.parsed):
            inbound += 1
        else:
            unreadable.append(entry)
    return _Entries(reports, unreadable, inbound)


@dataclass(frozen=True, slots=True)
class _Divided:
    """Reports, by what is to be done with them."""

    own: list[Report]  #: to be recorded
    foreign: list[Report]  #: to be kept apart: not for the webhook that they came to
    waiting: list[Report]  #: to be put off: their messages cannot be read


def _divide(
    reports: Iterable[Report],
    messages: Mapping[str, Message | UnreadableMessage],
    bulk_id: str | None,
) -> _Divided:
    """Divide reports by the messages that they are about."""
    divided = _Divided([], [], [])
    for report in reports:
        message = messages.get(report.parsed.message_id)
        # A message that is not known is of no bulk.
        if message is not None and bulk_id not in (None, message.bulk_id):
            divided.foreign.append(report)
        elif isinstance(message, UnreadableMessage):
            divided.waiting.append(report)
        else:
            divided.own.append(report)
    return divided


def _read(entry: RawEntry[Any]) -> Report | None:
    """Read a report, unless its key would be none, or it holds what UTF-8 cannot carry."""
    if _HALF_CHARACTER.search(entry.raw) and not _is_encodable(entry.parsed):
        return None
    report: Report | None = entry.read(DeliveryReport)
    if report is None:
        # A report that says when a message was seen has no status.
        report = entry.read(SeenReport)
    return report if report is not None and _is_key(report.parsed.message_id) else None


def _is_encodable(parsed: object) -> bool:
    try:
        json.dumps(parsed, default=float, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(entry: RawEntry[Any]) -> bool:
    """Return whether an item can hold an entry whole."""
    return len(entry.raw.encode()) <= _CHUNK_BYTES


def _is_inbound(entry: object) -> bool:
    """Return whether an entry is a message from a recipient, to whom nobody here listens."""
    return isinstance(entry, dict) and entry.get("integrationType") is not None


def _message_id(entry: object) -> str:
    """Find the message that an unreadable entry belongs to, if it says so."""
    message_id = entry.get("messageId") if isinstance(entry, dict) else None
    return message_id if isinstance(message_id, str) and _is_key(message_id) else UNREADABLE_ID


def _is_key(message_id: str) -> bool:
    """Return whether the table can hold this id."""
    try:
        return 0 < len(message_id.encode()) <= LONGEST_KEY_BYTES
    except UnicodeEncodeError:
        return False
