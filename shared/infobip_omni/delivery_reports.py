"""Records delivery reports: each report whole, and the state that it gives its message.

Pulled and pushed reports are both recorded here, so the same rules apply to all. Infobip returns a
report once. A pulled page is therefore stored as it came before it is parsed, and deleted when all
of its reports are recorded.
"""

from __future__ import annotations

import gzip
import hashlib
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
    StatusGroup,
    UnreadablePageError,
    page_of,
    parse_page,
)
from infobip_omni.attempts import Bearing, bearing_of
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
from infobip_omni.recipients import is_another_recipient
from infobip_omni.statuses import (
    group_of,
    id_of,
    is_duplicate,
    is_unlisted,
    may_end,
    refuses_account,
)
from infobip_omni.timestamps import format_utc, utc_now
from infobip_omni.verdicts import highest, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from infobip_omni.api.reports import RawEntry, Status
    from infobip_omni.dynamodb import Item, Table, Update
    from infobip_omni.message_ledger import MessageLedger

    Report = RawEntry[DeliveryReport | SeenReport]

#: Partition keys of entries that belong to no message: pages that are not recorded yet, entries
#: that name no message, and reports that came to the webhook of another message's bulk.
PAGES_ID = "#pages"
UNREADABLE_ID = "#unreadable"
FOREIGN_ID = "#foreign"
#: DynamoDB's limit for an item is 400 KB.
_CHUNK_BYTES = 350_000
_LONGEST_ENTRY_PART = 64
#: A page that is older than the longest run of the puller was left by a run that was killed.
_ABANDONED_AFTER = timedelta(minutes=15)
#: How long a report about an unknown message is stored. It names a recipient of another system that
#: uses the same Infobip account; operators need it only to find out which system that is.
_UNMATCHED_STORED = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of reports as it came, and the sort keys of the items that store it."""

    body: bytes = field(repr=False)
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The entries of a page, counted by what was done with them."""

    reports: int = 0  #: delivery reports, repeats included
    settled: int = 0  #: messages that were settled
    unmatched: int = 0  #: delivery reports of messages that the ledger does not know
    unreadable: int = 0  #: entries that are stored raw
    seen: int = 0  #: entries that say when a message was seen
    foreign: int = 0  #: entries about messages of another bulk than the webhook's
    inbound: int = 0  #: inbound messages, which are ignored
    account_refusals: int = 0  #: reports by which Infobip refuses the account, not the message
    unlisted_refusals: int = 0  #: reports that refuse a message by a status that is not listed
    #: Reports about messages that cannot be read: they are stored as a page of their own.
    waiting: int = 0

    @property
    def entries(self) -> int:
        """The number of entries."""
        known = self.reports + self.unreadable + self.seen + self.foreign
        return known + self.inbound + self.waiting

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(
            self.reports + other.reports,
            self.settled + other.settled,
            self.unmatched + other.unmatched,
            self.unreadable + other.unreadable,
            self.seen + other.seen,
            self.foreign + other.foreign,
            self.inbound + other.inbound,
            self.account_refusals + other.account_refusals,
            self.unlisted_refusals + other.unlisted_refusals,
            self.waiting + other.waiting,
        )

    def counts(self) -> dict[str, int]:
        """Return the counts by the name of their metric."""
        return {
            "ReportsRecorded": self.reports,
            "ReportsUnreadable": self.unreadable,
            "ReportsUnmatched": self.unmatched,
            "ReportsForeign": self.foreign,
            "ReportsWaiting": self.waiting,
            "InboundMessagesIgnored": self.inbound,
            "MessagesSettled": self.settled,
            "AccountRefusals": self.account_refusals,
            "RefusalsUnlisted": self.unlisted_refusals,
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
        """Store a page of reports before it is parsed.

        Args:
            body: The page as it came.

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
        """Record the pages stored by runs that were killed before recording them.

        Raises:
            TableUnavailableError: Some pages are still not recorded.
        """
        return sum(map(self.record_page, self._abandoned_pages()), Recorded())

    def _abandoned_pages(self) -> Iterator[Page]:
        """Read the pages that killed runs have left.

        A page with a missing or damaged chunk cannot be read, and is left in the table.
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
            TableUnavailableError: Some reports may not be recorded; the page is still stored.
        """
        recorded = self.record_body(page.body)
        for entry in page.entries:
            self._table.delete(PAGES_ID, entry)
        return recorded

    def record_body(self, body: bytes, bulk_id: str | None = None) -> Recorded:
        """Record all reports of a body; store a body without a list of reports raw.

        Args:
            body: The page as it came.
            bulk_id: The only bulk that the reports may be about; None allows any. A report about a
                message of another bulk is stored separately, and changes no message.

        Raises:
            TableUnavailableError: Some reports may not be recorded; the call can be repeated.
        """
        try:
            entries = parse_page(body)
        except UnreadablePageError:
            raw = body.decode(errors="backslashreplace")
            self._table.put_all([self._unreadable(UNREADABLE_ID, raw)])
            return Recorded(unreadable=1)
        return self._record(entries, bulk_id)

    def _record(self, entries: Iterable[RawEntry[Any]], bulk_id: str | None) -> Recorded:
        """Record reports, which may come in any order and repeatedly.

        An unreadable entry is stored raw, and does not affect the others.
        """
        page = _read_entries(entries)
        found = self._ledger.find([report.parsed.message_id for report in page.reports])
        messages = {one.id: one for one in found.values() if isinstance(one, Message)}
        divided = _divide(page.reports, found, bulk_id)
        unmatched_expiry = self._expiry(_UNMATCHED_STORED)

        def expires_at(report: Report) -> int:
            message = messages.get(report.parsed.message_id)
            return message.expires_at if message else unmatched_expiry

        self._table.put_all(
            [
                *(self._unreadable(_message_id(each.parsed), each.raw) for each in page.unreadable),
                *(self._kept_raw(FOREIGN_ID, "FOREIGN", each.raw) for each in divided.foreign),
                *(self._kept_row(each, expires_at(each)) for each in divided.own),
            ]
        )
        if divided.waiting:
            # It is recorded later, like a page that a killed run has left.
            self.store_page(page_of(divided.waiting))
        reports = [each.parsed for each in divided.own if isinstance(each.parsed, DeliveryReport)]
        counted = [
            report.status
            for report in reports
            if _bearing(report, messages, bulk_id) is not Bearing.REFUSED
        ]
        return Recorded(
            reports=len(reports),
            settled=self._settle(reports, messages, bulk_id),
            unmatched=sum(report.message_id not in messages for report in reports),
            unreadable=len(page.unreadable),
            seen=len(divided.own) - len(reports),
            foreign=len(divided.foreign),
            inbound=page.inbound,
            waiting=len(divided.waiting),
            account_refusals=sum(map(refuses_account, counted)),
            unlisted_refusals=sum(map(is_unlisted, counted)),
        )

    def record_logs(self, rows: Iterable[RawEntry[LogEntry]]) -> None:
        """Store the log rows that verdicts are based on.

        Raises:
            TableUnavailableError: Some rows were not stored.
        """
        self._table.put_all(map(self._kept_row, rows))

    def _settle(
        self,
        reports: Iterable[DeliveryReport],
        messages: Mapping[str, Message],
        bulk_id: str | None,
    ) -> int:
        """Settle messages by their reports, and return the number of settled messages.

        A report that names another recipient is about another system's message with the same id.
        One about a refused attempt changes nothing.
        """
        by_message: dict[str, list[DeliveryReport]] = defaultdict(list)
        for report in reports:
            message = messages.get(report.message_id)
            if message and not is_another_recipient(message.to, report.to):
                by_message[message.id].append(report)
        settled = 0
        while by_message:
            now, check_after = self._now(), self._ledger.check_after
            changes = [
                change
                for message_id, its_reports in by_message.items()
                if (change := _change(messages[message_id], its_reports, bulk_id, now, check_after))
            ]
            settled += self._ledger.apply(each.update for each in changes if each.settles)
            self._ledger.apply(each.update for each in changes if not each.settles)
            # Those that have changed at the same time are decided again.
            needs_read = [each.update.message_id for each in changes if each.needs_read]
            found = self._ledger.find(needs_read) if needs_read else {}
            messages = {one.id: one for one in found.values() if isinstance(one, Message)}
            by_message = {message_id: by_message[message_id] for message_id in messages}
        return settled

    def _kept_row(
        self,
        entry: RawEntry[DeliveryReport | SeenReport | LogEntry],
        expires_at: int | None = None,
    ) -> Item:
        """Build the item that stores a report or log row as it came, cut if it is too large."""
        row = entry.parsed
        if not _fits(entry):
            return self._unreadable(row.message_id, entry.raw)
        contents = Contents.ROW if isinstance(row, LogEntry) else Contents.REPORT
        return self._kept(row.message_id, _entry(row), contents, entry.raw, expires_at)

    def _unreadable(self, message_id: str, raw: str) -> Item:
        return self._kept_raw(message_id, "UNREADABLE", raw)

    def _kept_raw(self, message_id: str, kind: str, raw: str) -> Item:
        written = raw.encode()
        name = f"{kind}#{hashlib.sha256(written).hexdigest()}"
        # DynamoDB counts bytes, so the text is cut by bytes; a character cut in half is dropped.
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
        """Build the item of an entry, which expires with its message if that is known."""
        expiry = self._expiry() if expires_at is None else expires_at
        return Entry(message_id, name, contents, text, self._now(), expiry).to_item()

    def _expiry(self, stored: timedelta | None = None) -> int:
        """Return when an item expires that is stored for this long, by default for `retention`."""
        return int((self._now() + (stored or self._ledger.retention)).timestamp())


def _entry(row: DeliveryReport | SeenReport | LogEntry) -> str:
    """Return the sort key of a row; a repeat of a row has the same."""
    channel = (row.channel or "-")[:_LONGEST_ENTRY_PART]
    if isinstance(row, SeenReport):
        return f"SEEN#{channel}#{format_utc(row.seen_at)}"
    kind = "LOG" if isinstance(row, LogEntry) else "REPORT"
    done_at = format_utc(row.done_at) if row.done_at else "-"
    return f"{kind}#{channel}#{_written(row.status)}#{done_at}"


def _written(status: Status) -> str:
    """Return a status as it is written in a sort key: its id, else its group."""
    status_id, group = id_of(status), group_of(status)
    if status_id is not None:
        return str(status_id)
    return StatusGroup(group).name if group in set(StatusGroup) else "-"


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a page, by their kind."""

    reports: list[Report]
    unreadable: list[RawEntry[Any]]
    inbound: int  #: the number of inbound messages


def _read_entries(entries: Iterable[RawEntry[Any]]) -> _Entries:
    """Parse the entries of a page."""
    reports: list[Report] = []
    unreadable: list[RawEntry[Any]] = []
    inbound = 0
    for entry in entries:
        report = _read(entry)
        if report is not None:
            reports.append(report)
        elif _is_inbound(entry.parsed):
            inbound += 1
        else:
            unreadable.append(entry)
    return _Entries(reports, unreadable, inbound)


@dataclass(frozen=True, slots=True)
class _Divided:
    """Reports, by how they are recorded."""

    own: list[Report]  #: recorded
    foreign: list[Report]  #: stored separately: their bulk is not that of the webhook
    waiting: list[Report]  #: stored as a page for later: their messages cannot be read


def _divide(
    reports: Iterable[Report],
    messages: Mapping[str, Message | UnreadableMessage],
    bulk_id: str | None,
) -> _Divided:
    """Divide reports by how they are recorded."""
    divided = _Divided([], [], [])
    for report in reports:
        message = messages.get(report.parsed.message_id)
        # An unknown message belongs to no bulk.
        if message is not None and bulk_id is not None and bulk_id not in message.bulk_ids:
            divided.foreign.append(report)
        elif isinstance(message, UnreadableMessage):
            divided.waiting.append(report)
        else:
            divided.own.append(report)
    return divided


@dataclass(frozen=True, slots=True)
class _Change:
    """The change of a message that follows from reports."""

    update: Update
    settles: bool  #: otherwise it proves that Infobip has accepted the message
    needs_read: bool  #: it is made only if the message is as it was read


def _change(
    message: Message,
    reports: Iterable[DeliveryReport],
    bulk_id: str | None,
    now: datetime,
    check_after: timedelta,
) -> _Change | None:
    """Decide what a message's reports change; nothing if they are about refused attempts."""
    counted = [
        report for report in reports if bearing_of(report, message, bulk_id) is Bearing.COUNTS
    ]
    judged = (verdict_of(report, message.last_step) for report in counted)
    verdict = highest(verdict for verdict in judged if verdict)
    if verdict is not None:
        if verdict.rank <= message.verdict_rank:
            return None
        return _Change(
            transitions.settled(message, verdict),
            settles=True,
            needs_read=may_end(verdict.status),
        )
    if message.state in UNPROVEN and not all(is_duplicate(each.status) for each in counted):
        proven = transitions.proven_accepted(message, Evidence.REPORT, now, check_after)
        return _Change(proven, settles=False, needs_read=True)
    return None


def _bearing(
    report: DeliveryReport, messages: Mapping[str, Message], bulk_id: str | None
) -> Bearing:
    message = messages.get(report.message_id)
    return Bearing.COUNTS if message is None else bearing_of(report, message, bulk_id)


def _read(entry: RawEntry[Any]) -> Report | None:
    """Parse a report; return None if it cannot be read, or its id cannot be a key."""
    report: Report | None = entry.read(DeliveryReport)
    if report is None:
        # A report about a seen message has no status.
        report = entry.read(SeenReport)
    return report if report is not None and _is_key(report.parsed.message_id) else None


def _fits(entry: RawEntry[Any]) -> bool:
    """Return whether an item can hold the whole entry."""
    return len(entry.raw.encode()) <= _CHUNK_BYTES


def _is_inbound(entry: object) -> bool:
    """Return whether an entry is an inbound message, which is ignored."""
    return isinstance(entry, dict) and entry.get("integrationType") is not None


def _message_id(entry: object) -> str:
    """Return the message id that an unreadable entry names, otherwise `UNREADABLE_ID`."""
    message_id = entry.get("messageId") if isinstance(entry, dict) else None
    return message_id if isinstance(message_id, str) and _is_key(message_id) else UNREADABLE_ID


def _is_key(message_id: str) -> bool:
    """Return whether a message id can be a key of the table."""
    try:
        return 0 < len(message_id.encode()) <= LONGEST_KEY_BYTES
    except UnicodeEncodeError:
        return False
