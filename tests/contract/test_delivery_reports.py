"""Reports are stored complete, once, and independently of their neighbours."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni import delivery_reports, transitions
from infobip_omni.api.reports import LogEntry, RawEntry, StatusGroup, parse_page
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import (
    FOREIGN_ID,
    PAGES_ID,
    UNREADABLE_ID,
    DeliveryReports,
    Page,
    Recorded,
)
from infobip_omni.dynamodb import Query, Table, TableUnavailableError
from infobip_omni.message import MessageState
from infobip_omni.timestamps import format_utc
from infobip_omni.transitions import AttemptResult
from tests.fakes import Clock, OpenLedger, make_claim, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from infobip_omni.dynamodb import Answer, Insert, Item, Update

RETENTION = timedelta(days=90)
CHECK_AFTER = timedelta(minutes=10)
DELIVERED = "2026-01-31T12:00:05.000+0000"
CLAIM = make_claim(
    content_hash="hash",
    recipient=Recipient(phone_number="385995550123"),
    scenario="order-updates",
    bulk_id="bulk",
)

pytestmark = pytest.mark.usefixtures("_without_backoff")


class UnreliableTable(Table):
    """A table that refuses calls on demand."""

    #: The methods that fail.
    refused: frozenset[str] = frozenset()
    #: How many deletes succeed before they are refused.
    deletes = 10**6

    def execute(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        self._refuse("execute")
        return super().execute(writes)

    def put_all(self, items: Any) -> None:  # noqa: ANN401 (passed through)
        self._refuse("put_all")
        super().put_all(items)

    def delete(self, message_id: str, entry: str) -> None:
        if not self.deletes:
            raise TableUnavailableError("refused")
        self.deletes -= 1
        super().delete(message_id, entry)

    def _refuse(self, method: str) -> None:
        if method in self.refused:
            raise TableUnavailableError("refused")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(table_name: str, dynamodb: Any) -> UnreliableTable:  # noqa: ANN401
    return UnreliableTable(table_name, dynamodb)


@pytest.fixture
def ledger(table: Table, clock: Clock) -> OpenLedger:
    return OpenLedger(table, clock, RETENTION, CHECK_AFTER)


@pytest.fixture
def reports(table: Table, ledger: OpenLedger, clock: Clock) -> DeliveryReports:
    return DeliveryReports(table, ledger, clock)


def accept(
    ledger: OpenLedger,
    *message_ids: str,
    state: MessageState = MessageState.ACCEPTED,
    **changes: Any,  # noqa: ANN401 (members of a claim)
) -> None:
    """Claim messages and save the result of an attempt."""
    claims = [replace(CLAIM, message_id=message_id, **changes) for message_id in message_ids]
    claim_statuses = ledger.claim(claims, timedelta(minutes=2))
    if state is not MessageState.CLAIMED:
        ledger.save(
            [
                AttemptResult(claim.message_id, claim_status.token or "", state)
                for claim, claim_status in zip(claims, claim_statuses, strict=True)
            ]
        )


def report(
    message_id: str = "m-1",
    channel: str | None = "SMS",
    group: int = StatusGroup.DELIVERED,
    status_id: int = 5,
    **members: object,
) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "channel": channel,
        "to": "385995550123",
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": DELIVERED,
        "status": {"groupId": group, "id": status_id, "name": "NAME"},
        "price": {"pricePerMessage": 0.021, "currency": "EUR"},
    } | members


def page(*entries: object) -> bytes:
    """Return the body of a page of reports."""
    return json.dumps({"results": entries}).encode()


def log_row(written: dict[str, Any]) -> RawEntry[LogEntry]:
    (entry,) = parse_page(page(written))
    row = entry.read(LogEntry)
    assert row is not None
    return row


def entries(table: Table, message_id: str, prefix: str = "") -> list[Item]:
    """Return the entries of a message whose keys start with the prefix."""
    found = table.query(Query(message_id))
    return [item for item in found if item["entry"].startswith(prefix)]


def names(table: Table, message_id: str) -> list[str]:
    return [each["entry"] for each in entries(table, message_id)]


def state_of(ledger: OpenLedger, message_id: str = "m-1") -> str:
    return str(ledger.item(message_id)["state"])


# --- Single reports --------------------------------------------------------------------------


def test_report_is_stored_complete_and_settles_its_message(
    reports: DeliveryReports, ledger: OpenLedger, table: Table, clock: Clock
) -> None:
    """Members unknown to this code are stored as well."""
    accept(ledger, "m-1")
    written = report(callbackData="order", brandNew={"a": [1, None, "ü", 0.1]})

    assert reports.record_body(page(written)) == Recorded(reports=1, settled=1)

    (kept,) = entries(table, "m-1", "REPORT#")
    assert kept["entry"] == "REPORT#SMS#5#2026-01-31T12:00:05.000Z"
    assert json.loads(kept["report"]) == written
    assert kept["receivedAt"] == format_utc(clock.now)
    message = ledger.item("m-1")
    assert kept["expiresAt"] == message["expiresAt"]
    assert (message["state"], message["channel"]) == ("DELIVERED", "SMS")


def test_repeated_report_changes_nothing(
    reports: DeliveryReports, ledger: OpenLedger, table: Table
) -> None:
    """The webhook retries, and a page may be recorded twice."""
    accept(ledger, "m-1")
    body = page(report(), report())
    reports.record_body(body)
    message = ledger.item("m-1")

    assert reports.record_body(body) == Recorded(reports=2)

    assert ledger.item("m-1") == message
    assert len(entries(table, "m-1", "REPORT#")) == 1


def test_reports_of_all_steps_are_kept_and_the_last_step_decides(
    reports: DeliveryReports, ledger: OpenLedger, table: Table
) -> None:
    """A failed push only proves that Infobip has the message."""
    accept(ledger, "m-1", state=MessageState.UNKNOWN)
    push = report(channel="PUSH", group=StatusGroup.UNDELIVERABLE, status_id=66)

    assert reports.record_body(page(push)) == Recorded(reports=1)
    assert state_of(ledger) == "ACCEPTED"
    assert reports.record_body(page(report())) == Recorded(reports=1, settled=1)

    assert state_of(ledger) == "DELIVERED"
    assert len(entries(table, "m-1", "REPORT#")) == 2


@pytest.mark.parametrize(
    "state",
    [
        MessageState.CLAIMED,
        MessageState.WAITING,
        MessageState.UNKNOWN,
        MessageState.QUARANTINED,
    ],
)
@pytest.mark.parametrize("group", [StatusGroup.PENDING, StatusGroup.EXPIRED, 99])
def test_any_report_proves_that_infobip_has_the_message(
    reports: DeliveryReports, ledger: OpenLedger, state: MessageState, group: int
) -> None:
    """Even if it settles nothing, the message is not sent again and needs no operator."""
    unknown = MessageState.UNKNOWN
    accept(ledger, "m-1", state=unknown if state is MessageState.QUARANTINED else state)
    if state is MessageState.QUARANTINED:
        ledger.change(transitions.quarantined, ledger.item("m-1"), ledger.clock())

    reports.record_body(page(report(channel="PUSH", group=group)))

    assert state_of(ledger) == "ACCEPTED"


def test_refused_duplicate_proves_nothing(reports: DeliveryReports, ledger: OpenLedger) -> None:
    """It may concern another sender's message with that id."""
    accept(ledger, "m-1", state=MessageState.UNKNOWN)

    reports.record_body(page(report(group=StatusGroup.REJECTED, status_id=23)))

    assert state_of(ledger) == "UNKNOWN"


def test_proof_overrides_a_concurrent_change(
    reports: DeliveryReports, ledger: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender writes WAITING between the read and the write of the proof."""
    accept(ledger, "m-1", state=MessageState.CLAIMED)
    token = ledger.item("m-1")["claimToken"]
    apply = ledger.apply

    def after_the_sender(updates: Iterable[Update]) -> int:
        if updates := list(updates):
            ledger.save([AttemptResult("m-1", token, MessageState.WAITING)])
        return apply(updates)

    monkeypatch.setattr(ledger, "apply", after_the_sender)
    reports.record_body(page(report(channel="PUSH", group=StatusGroup.PENDING)))

    assert state_of(ledger) == "ACCEPTED"


def test_failure_settles_nothing_if_the_flow_is_unknown(
    reports: DeliveryReports, ledger: OpenLedger
) -> None:
    """A delivery does, because no step follows it."""
    accept(ledger, "m-1", steps=None)
    assert ledger.message("m-1").last_step is None

    reports.record_body(page(report(group=StatusGroup.UNDELIVERABLE)))
    assert state_of(ledger) == "ACCEPTED"
    reports.record_body(page(report()))
    assert state_of(ledger) == "DELIVERED"


def test_report_on_an_unknown_message_only_stores_its_entry(
    reports: DeliveryReports, table: Table, clock: Clock
) -> None:
    """Other systems may send from the same account; what names their recipients expires early."""
    assert reports.record_body(page(report("unmatched"))) == Recorded(reports=1, unmatched=1)

    (kept,) = entries(table, "unmatched")
    assert kept["entry"].startswith("REPORT#")
    assert kept["expiresAt"] == int((clock.now + timedelta(days=7)).timestamp())


def test_report_on_an_expired_message_is_unmatched(
    reports: DeliveryReports, ledger: OpenLedger, clock: Clock
) -> None:
    """Its id may be reused at any time."""
    accept(ledger, "m-1")
    clock.pass_by(days=91)

    assert reports.record_body(page(report())) == Recorded(reports=1, unmatched=1)


@pytest.mark.parametrize("seed", range(12))
def test_outcome_is_independent_of_order_and_page_breaks(
    reports: DeliveryReports, ledger: OpenLedger, table: Table, seed: int
) -> None:
    """Infobip guarantees no order."""
    every = [
        report(channel="PUSH", group=StatusGroup.UNDELIVERABLE, doneAt="2026-01-31T12:00:01Z"),
        report(channel="PUSH", group=StatusGroup.PENDING, status_id=7, doneAt=None),
        report(group=StatusGroup.EXPIRED, status_id=15, doneAt="2026-01-31T12:00:09.000+0100"),
        report(doneAt="2026-01-31T12:00:07Z"),
        report(doneAt="2026-01-31T12:00:05Z"),
        report(group=StatusGroup.REJECTED, status_id=23),
    ]
    accept(ledger, "m-1", state=MessageState.UNKNOWN)
    chance = random.Random(seed)
    stream = chance.sample(every + every, 12)
    cut = chance.randint(0, 12)

    reports.record_body(page(*stream[:cut]))
    reports.record_body(page(*stream[cut:]))

    message = ledger.item("m-1")
    assert (message["state"], message["doneAt"]) == ("DELIVERED", "2026-01-31T12:00:05.000Z")
    assert len(entries(table, "m-1", "REPORT#")) == len(every)


# --- Unreadable reports and pages ------------------------------------------------------------


@pytest.mark.parametrize(
    ("malformed", "kept_under"),
    [
        ({"messageId": "m-1"}, "m-1"),
        ({"messageId": "m-1", "status": None}, "m-1"),
        ({"messageId": "m-1", "status": {"groupId": "x", "id": 10**40}}, "m-1"),
        (report(None), UNREADABLE_ID),  # type: ignore[arg-type]
        (report(""), UNREADABLE_ID),
        (report(3000 * "m"), UNREADABLE_ID),
        (report("lone \ud83d"), UNREADABLE_ID),
        (5, UNREADABLE_ID),
        (None, UNREADABLE_ID),
        ([], UNREADABLE_ID),
        ("text", UNREADABLE_ID),
    ],
)
def test_malformed_report_is_stored_raw_and_affects_no_neighbour(
    reports: DeliveryReports,
    ledger: OpenLedger,
    table: Table,
    malformed: object,
    kept_under: str,
) -> None:
    """It is stored with its message if it names one."""
    accept(ledger, "m-1", "m-2")

    recorded = reports.record_body(page(report("m-2"), malformed, report("m-3")))

    assert recorded == Recorded(reports=2, settled=1, unmatched=1, unreadable=1)
    assert state_of(ledger, "m-2") == "DELIVERED"
    (kept,) = entries(table, kept_under, "UNREADABLE#")
    assert kept["raw"]
    assert json.dumps(malformed).startswith(kept["raw"][:100])
    assert state_of(ledger, "m-1") == "ACCEPTED"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("doneAt", "yesterday"),
        ("doneAt", 1769860805000),
        ("sentAt", "0001-01-01T00:00:00.000+0000"),
        ("doneAt", "0001-01-01T00:00:00.000+0000"),
        ("doneAt", "9999-12-31T23:59:59.999-1200"),
        ("channel", None),
        ("channel", 5000 * "C"),
        ("channel", "FACEBOOK"),
        ("price", {"pricePerMessage": 10**60, "currency": "EUR"}),
        ("price", {"pricePerMessage": 0.1 + 0.2, "currency": None}),
        ("price", "free"),
        ("price", None),
        ("error", "none"),
        ("messageCount", "many"),
        ("status", {"groupId": 3, "id": 2**62, "name": 7, "description": None, "action": "x"}),
    ],
)
def test_invalid_optional_member_is_ignored(
    reports: DeliveryReports, ledger: OpenLedger, member: str, value: object
) -> None:
    """Only the members that settle a message are required."""
    accept(ledger, "m-1")

    assert reports.record_body(page(report(**{member: value}))).settled == 1  # type: ignore[arg-type]
    assert state_of(ledger) == "DELIVERED"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b'{"results": {}}',
        b'{"results": null}',
        b'{"reports": []}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_unreadable_page_is_stored_raw(reports: DeliveryReports, table: Table, body: bytes) -> None:
    """An operator can analyse it later."""
    assert reports.record_body(body) == Recorded(unreadable=1)
    reports.record_body(body)

    (kept,) = entries(table, UNREADABLE_ID)
    assert kept["raw"] == body.decode(errors="backslashreplace")


def test_invalid_utf_8_affects_only_its_own_text(
    reports: DeliveryReports, ledger: OpenLedger
) -> None:
    """A byte order mark does not make a page unreadable either."""
    accept(ledger, "m-1", "m-2")
    body = page(report(callbackData="x"), report("m-2")).replace(b'"x"', b'"\xff"')

    assert reports.record_body(b"\xef\xbb\xbf" + body).settled == 2


def test_empty_page_records_nothing(reports: DeliveryReports) -> None:
    """Every pull ends with an empty page."""
    assert reports.record_body(page()) == Recorded()
    assert Recorded().entries == 0


# --- The webhook -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "state"),
    [("+385 99 555 0123", "DELIVERED"), ("a-device", "DELIVERED"), ("385998888888", "ACCEPTED")],
)
def test_report_on_another_number_settles_nothing(
    reports: DeliveryReports, ledger: OpenLedger, to: str, state: str
) -> None:
    """Another sender may use the same id. An address that cannot be compared is ignored."""
    accept(ledger, "m-1")

    reports.record_body(page(report(to=to)))

    assert ledger.item("m-1")["state"] == state


def test_report_on_a_message_of_another_bulk_changes_nothing(
    reports: DeliveryReports, ledger: OpenLedger, table: Table
) -> None:
    """It is stored separately; the bulk's own messages are settled."""
    accept(ledger, "own")
    accept(ledger, "other", bulk_id="another bulk")

    recorded = reports.record_body(page(report("own"), report("other")), bulk_id="bulk")

    assert recorded == Recorded(reports=1, settled=1, foreign=1)
    assert (state_of(ledger, "own"), state_of(ledger, "other")) == ("DELIVERED", "ACCEPTED")
    assert names(table, "other") == ["MESSAGE"]
    assert len(entries(table, FOREIGN_ID)) == 1


# --- Pages -----------------------------------------------------------------------------------


def test_stored_page_is_deleted_once_it_is_recorded(
    reports: DeliveryReports, ledger: OpenLedger, table: Table
) -> None:
    """It is stored before anything parses it, and deleted when it is no longer needed."""
    accept(ledger, "m-1")
    stored = reports.store_page(page(report()))
    (chunk,) = entries(table, PAGES_ID)
    assert gzip.decompress(bytes(chunk["chunk"])) == page(report())
    assert state_of(ledger) == "ACCEPTED"

    assert reports.record_page(stored) == Recorded(reports=1, settled=1)

    assert entries(table, PAGES_ID) == []
    assert state_of(ledger) == "DELIVERED"


def test_page_of_a_killed_run_is_recorded_by_a_later_one(
    reports: DeliveryReports, ledger: OpenLedger, table: Table, clock: Clock
) -> None:
    """It is recorded once, and not before the killed run would have ended."""
    accept(ledger, "m-1")
    reports.store_page(page(report()))
    clock.pass_by(minutes=15)
    assert reports.record_abandoned_pages() == Recorded()
    clock.pass_by(seconds=1)

    assert reports.record_abandoned_pages() == Recorded(reports=1, settled=1)

    assert state_of(ledger) == "DELIVERED"
    assert entries(table, PAGES_ID) == []
    assert reports.record_abandoned_pages() == Recorded()


@pytest.mark.parametrize("refused", ["execute", "put_all"])
def test_partly_recorded_page_stays_and_is_recorded_again(
    reports: DeliveryReports,
    ledger: OpenLedger,
    table: UnreliableTable,
    clock: Clock,
    refused: str,
) -> None:
    """The table fails between the entries and the states, or earlier."""
    accept(ledger, "m-1", "m-2")
    stored = reports.store_page(page(report(), report("m-2")))
    table.refused = frozenset({refused})
    with pytest.raises(TableUnavailableError):
        reports.record_page(stored)
    table.refused = frozenset()
    assert len(entries(table, PAGES_ID)) == 1
    clock.pass_by(minutes=16)

    assert reports.record_abandoned_pages() == Recorded(reports=2, settled=2)
    assert entries(table, PAGES_ID) == []


def test_large_page_is_split_into_chunks_and_reassembled(
    reports: DeliveryReports,
    ledger: OpenLedger,
    table: UnreliableTable,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several pages of several chunks are stored side by side; each chunk fits into an item."""
    accept(ledger, "m-1", "m-2")
    chance = random.Random(1)
    noise = [f"{chance.getrandbits(400_000):x}" for _ in range(20)]
    whole = page(report(), *(report("unmatched", callbackData=each) for each in noise))
    with monkeypatch.context() as patch:
        patch.setattr(delivery_reports, "_CHUNK_BYTES", 100_000)
        first = reports.store_page(whole)
        second = reports.store_page(whole.replace(b'"m-1"', b'"m-2"'))
    assert min(len(first.entries), len(second.entries)) > 9
    assert not set(first.entries) & set(second.entries)
    assert all(len(bytes(each["chunk"])) <= 100_000 for each in entries(table, PAGES_ID))
    clock.pass_by(minutes=16)

    recorded = reports.record_abandoned_pages()

    assert (recorded.settled, recorded.reports) == (2, 2 * 21)
    assert entries(table, PAGES_ID) == []


def test_incomplete_page_does_not_affect_other_pages(
    reports: DeliveryReports,
    ledger: OpenLedger,
    table: UnreliableTable,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One page is stored in part, one is recorded but deleted in part, and one is complete."""
    accept(ledger, "m-1", "m-2")
    with monkeypatch.context() as patch:
        patch.setattr(delivery_reports, "_CHUNK_BYTES", 100)
        cut = reports.store_page(page(report("unmatched", callbackData="cut")))
        recorded = reports.store_page(page(report(callbackData="recorded")))
        reports.store_page(page(report("m-2")))
    table.delete(PAGES_ID, cut.entries[1])
    table.deletes = 1
    with pytest.raises(TableUnavailableError):
        reports.record_page(recorded)
    table.deletes = 10**6
    clock.pass_by(minutes=16)

    assert reports.record_abandoned_pages() == Recorded(reports=1, settled=1)
    assert state_of(ledger, "m-1") == state_of(ledger, "m-2") == "DELIVERED"
    left = {name.rpartition("#")[0] for name in names(table, PAGES_ID)}
    assert left == {name.rpartition("#")[0] for name in cut.entries + recorded.entries}


def test_unreadable_page_is_not_recorded_again(reports: DeliveryReports, table: Table) -> None:
    """It is stored under another id, no longer among the pages to record."""
    reports.record_page(reports.store_page(b"<html>"))

    assert entries(table, PAGES_ID) == []
    assert len(entries(table, UNREADABLE_ID)) == 1


def test_page_that_is_not_stored_is_an_error(
    reports: DeliveryReports, table: UnreliableTable
) -> None:
    """The caller still has the page."""
    table.refused = frozenset({"put_all"})

    with pytest.raises(TableUnavailableError):
        reports.store_page(page(report()))


def test_stored_pages_expire(reports: DeliveryReports, table: Table, clock: Clock) -> None:
    """A page that can never be reassembled is not stored forever."""
    reports.store_page(page())

    (chunk,) = entries(table, PAGES_ID)
    assert chunk["expiresAt"] == int((clock.now + RETENTION).timestamp())


def test_full_page_is_recorded(reports: DeliveryReports, ledger: OpenLedger, table: Table) -> None:
    """Its messages exceed the limit of every single DynamoDB call."""
    ids = [f"m-{number}" for number in range(260)]
    accept(ledger, *ids)
    steps = [
        ("PUSH", StatusGroup.PENDING, 7),
        ("PUSH", StatusGroup.UNDELIVERABLE, 66),
        ("SMS", StatusGroup.DELIVERED, 5),
    ]
    body = page(*(report(each, *step) for step in steps for each in ids), *(5, 6, 5))

    recorded = reports.record_page(reports.store_page(body))

    assert recorded == Recorded(reports=780, settled=260, unreadable=3)
    assert {message.state for message in readable(ledger.find(ids).values())} == {"DELIVERED"}
    assert len(entries(table, "m-259")) == 4
    assert len(entries(table, UNREADABLE_ID)) == 2


@pytest.mark.parametrize("text", ["c" * 400_000, "\u0161" * 200_000])
def test_report_too_large_for_an_item_is_truncated_and_settles(
    reports: DeliveryReports, ledger: OpenLedger, table: Table, text: str
) -> None:
    """The verdict does not need the member that is so long."""
    accept(ledger, "m-1")

    recorded = reports.record_body(page(report(callbackData=text)))

    assert recorded == Recorded(reports=1, settled=1)
    assert state_of(ledger, "m-1") == "DELIVERED"
    (cut,) = entries(table, "m-1", "UNREADABLE#")
    assert 300_000 < len(cut["raw"].encode()) <= 350_000


def test_report_with_broken_text_is_stored_as_it_came(
    reports: DeliveryReports, ledger: OpenLedger, table: Table
) -> None:
    """DynamoDB takes it: the halves of characters stay escaped, and other bytes are replaced."""
    accept(ledger, "m-1")
    entry = b'{"messageId":"m-1","channel":"SMS\xff","status":{"groupId":3,"id":5},'
    entry += b'"callbackData":"\\ud83d \\u0000 \x00 \x1f","to":"\\udc00"}'

    recorded = reports.record_body(b'{"results":[' + entry + b"]}")

    assert recorded == Recorded(reports=1, settled=1)
    (kept,) = entries(table, "m-1", "REPORT#")
    assert kept["report"] == entry.decode(errors="replace")


# --- Logs ------------------------------------------------------------------------------------


def test_log_rows_are_stored(reports: DeliveryReports, table: Table) -> None:
    """They are stored beside the reports, some of whose members they lack."""
    row = log_row(report(text="Hello", **{"from": "Acme"}))  # type: ignore[arg-type]
    reports.record_logs([row, row])
    reports.record_logs([row])

    (kept,) = entries(table, "m-1")
    assert kept["entry"] == "LOG#SMS#5#2026-01-31T12:00:05.000Z"
    assert json.loads(kept["row"])["from"] == "Acme"


def test_reports_and_log_rows_are_stored_verbatim(reports: DeliveryReports, table: Table) -> None:
    """Digits, unknown members and truncated characters stay as they were sent."""
    written = """{"messageId":"m-1", "status":{"groupId": 3,"id":5}, "price": 0.10,
        "new": [1e999, null, "\u00fc\\u00fc"]}"""
    cut = written.replace("null", r'"\ud83d"')

    reports.record_body(f'{{"results": [{written}]}}'.encode())
    (row,) = parse_page(f'{{"results": [{cut}]}}'.encode())
    read = row.read(LogEntry)
    assert read is not None
    reports.record_logs([read])

    assert [each["report"] for each in entries(table, "m-1", "REPORT#")] == [written]
    assert [each["row"] for each in entries(table, "m-1", "LOG#")] == [cut]


def test_log_row_too_large_for_an_item_is_truncated(reports: DeliveryReports, table: Table) -> None:
    """Its neighbours, and the verdicts that follow, are still written."""
    long, short = (
        log_row(report(message_id, text=text))
        for message_id, text in (("m-1", "\u0161" * 200_000), ("m-2", "Hello"))
    )
    reports.record_logs([long, short])

    (cut,), (kept,) = entries(table, "m-1"), entries(table, "m-2")
    assert cut["entry"].startswith("UNREADABLE#")
    assert json.loads(kept["row"])["text"] == "Hello"


def test_counts_add_up() -> None:
    one = Recorded(1, 2, 3, 4, 5, 6, 7)

    assert one + Recorded() == one
    assert one + one == Recorded(2, 4, 6, 8, 10, 12, 14)
    assert Page(b"", ()).entries == ()
