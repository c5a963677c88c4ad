"""Messages are found by id, by recipient, and by open state, page by page."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.find_messages.app import LARGEST_PAGE_BYTES, Dependencies, find_messages
from infobip_omni import transitions
from infobip_omni.api.reports import DeliveryReport, LogEntry, RawEntry
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.find_messages import parse
from infobip_omni.message import Evidence, MessageState, RefusedRecord
from infobip_omni.message_search import QUARANTINED, UNRESOLVED, UNSETTLED, MessageSearch
from infobip_omni.timestamps import utc_now
from infobip_omni.transitions import AttemptResult
from infobip_omni.verdicts import verdict_of
from tests.fakes import OpenLedger, make_claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from infobip_omni.dynamodb import Table
    from infobip_omni.message_search import Found, Place

LEASE = timedelta(minutes=2)
CHECK_AFTER = timedelta(minutes=10)
RETENTION = timedelta(days=35)
PHONE_NUMBER = "385991234567"


class Clock:
    """A clock that each reading advances by a second, and tests by more."""

    def __init__(self) -> None:
        self.time = utc_now().replace(microsecond=0)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


class Store:
    """A table with the ledger and the reports that write to it, and the search that reads it."""

    def __init__(self, table: Table) -> None:
        self.clock = Clock()
        self.table = table
        self.ledger = OpenLedger(self.table, self.clock, RETENTION, CHECK_AFTER)
        self.reports = DeliveryReports(self.table, self.ledger, self.clock)
        self.search = MessageSearch(self.table, LARGEST_PAGE_BYTES, self.clock)

    def put(
        self,
        message_id: str,
        state: str = "ACCEPTED",
        *,
        callback_data: str = "order 7",
        **address: str,
    ) -> None:
        """Claim a message, and bring it to a state through the transitions that lead there."""
        recipient = Recipient.model_validate(address or {"phoneNumber": PHONE_NUMBER})
        claim = make_claim(message_id, recipient=recipient, steps=None, callback_data=callback_data)
        [claim_status] = self.ledger.claim([claim], LEASE)
        if state == "CLAIMED":
            return
        first = MessageState.UNKNOWN if state == "QUARANTINED" else MessageState(state)
        self.ledger.save([AttemptResult(message_id, claim_status.token or "", first)])
        if state == "QUARANTINED":
            self.ledger.change(transitions.quarantined, self.item(message_id), self.ledger.clock())

    def item(self, message_id: str) -> dict[str, Any]:
        item = self.search.message(message_id)
        assert item is not None
        return item

    def save_reports(self, entries: list[dict[str, Any]]) -> None:
        self.reports.record_body(json.dumps({"results": entries}).encode())

    def settle(self, message_id: str) -> None:
        self.save_reports([report(message_id, "SMS", 3, 5, "2026-01-31T12:00:00.000+0000")])


@pytest.fixture
def store(table: Table) -> Store:
    return Store(table)


def report(message_id: str, channel: str, group: int, status: int, done_at: str | None) -> Any:  # noqa: ANN401
    return {
        "messageId": message_id,
        "channel": channel,
        "to": PHONE_NUMBER,
        "doneAt": done_at,
        "status": {"groupId": group, "id": status},
    }


def no_bytes(_: object) -> int:
    """Return a size of 0 for any item, for tests in which only the number of items counts."""
    return 0


def answers(store: Store, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Invoke find_messages until its answer has no next token, and return all answers."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while len(found) < 100:
        found.append(find_messages(parse(query | token), Dependencies(store.search)))
        if "nextToken" not in found[-1]:
            return found
        token = {"nextToken": found[-1]["nextToken"]}
    raise AssertionError("find_messages returned a next token 100 times")


def ids(found: Found) -> list[str]:
    return [item["messageId"] for item in found.items]


def all_pages(ask: Callable[[dict[str, Place]], Found]) -> list[str]:
    """Return the ids on all pages, in order."""
    places: dict[str, Place] = {}
    found: list[str] = []
    for _ in range(100):
        page = ask(places)
        found += ids(page)
        places = page.places
        if not places:
            return found
    raise AssertionError("the search returned a further page 100 times")


# --- One message ---------------------------------------------------------------------------


def test_unknown_message_is_not_found(store: Store) -> None:
    assert store.search.message("m-1") is None
    assert store.search.history("m-1", 100, {}, no_bytes).items == []


def test_history_is_in_order_of_occurrence(store: Store) -> None:
    """Entries are ordered by when they happened, not by when they were stored."""
    store.put("m-1")
    store.save_reports(
        [
            report("m-1", "SMS", 3, 5, "2026-01-31T12:00:09.000+0000"),
            report("m-1", "PUSH", 2, 66, "2026-01-31T12:00:03.000+0000"),
            {"messageId": "m-1", "status": "unreadable"},
        ]
    )
    row = report("m-1", "SMS", 3, 5, "2026-01-31T12:00:06.000+0000")
    store.reports.record_logs([RawEntry(json.dumps(row), LogEntry.model_validate(row))])

    kinds = [
        item["entry"].split("#")[:2]
        for item in store.search.history("m-1", 100, {}, no_bytes).items
    ]

    assert kinds[:3] == [["REPORT", "PUSH"], ["LOG", "SMS"], ["REPORT", "SMS"]]
    assert [kind[0] for kind in kinds[3:]] == ["UNREADABLE"]


def test_long_history_is_read_page_by_page(store: Store) -> None:
    """Each entry is returned once, however small the pages are."""
    store.put("m-1")
    timestamps = [f"2026-01-31T12:00:0{second}.000+0000" for second in range(7)]
    store.save_reports([report("m-1", "SMS", 1, 7, timestamp) for timestamp in timestamps])

    entries: list[str] = []
    places: dict[str, Place] = {}
    while len(entries) < 100:
        page = store.search.history("m-1", 2, places, no_bytes)
        entries += [item["entry"] for item in page.items]
        places = page.places
        if not places:
            break

    assert entries == [f"REPORT#SMS#7#2026-01-31T12:00:0{second}.000Z" for second in range(7)]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_refused_records_are_found_by_message_id(store: Store, limit: int) -> None:
    """Each is shown once, over all pages, whether or not the message was sent later."""
    records = [
        RefusedRecord("m-1", f"r-{number}", f"d-{number}", DeadLetterReason.INVALID, "sms", "x")
        for number in range(3)
    ]
    store.ledger.keep_refused(records)

    def found() -> tuple[list[bool], list[str]]:
        pages = answers(store, {"messageId": "m-1", "limit": limit})
        refused = [each for page in pages for each in page.get("refused", [])]
        assert [entry for page in pages for entry in page["history"]] == []
        return [page["message"] is not None for page in pages], [
            each["deadLetterId"] for each in refused
        ]

    has_message, dead_letter_ids = found()
    assert not any(has_message)
    assert dead_letter_ids == ["d-0", "d-1", "d-2"]
    store.put("m-1")
    has_message, dead_letter_ids = found()
    assert all(has_message)
    assert dead_letter_ids == ["d-0", "d-1", "d-2"]


# --- A recipient ---------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_messages_to_a_recipient_come_newest_first(store: Store, limit: int) -> None:
    """Each is returned once over all pages, in any state, and no other recipient's message is."""
    for number in range(5):
        store.put(f"m-{number}")
        store.put(f"other-{number}", phoneNumber="385990000000")
    store.settle("m-3")

    found = all_pages(
        lambda places: store.search.to_recipient(PHONE_NUMBER, limit, places, no_bytes)
    )

    assert found == ["m-4", "m-3", "m-2", "m-1", "m-0"]


def test_message_with_several_addresses_is_found_by_the_first(store: Store) -> None:
    """The phone number comes before the e-mail address."""
    store.put("m-1", phoneNumber=PHONE_NUMBER, emailAddress="ana@example.com")
    store.put("m-2", emailAddress="ana@example.com")

    assert ids(store.search.to_recipient(PHONE_NUMBER, 100, {}, no_bytes)) == ["m-1"]
    assert ids(store.search.to_recipient("ana@example.com", 100, {}, no_bytes)) == ["m-2"]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_messages_of_earlier_versions_are_found_by_any_spelling(store: Store, limit: int) -> None:
    """They were indexed as they were written; pages continue in the order of time."""
    store.put("m-1")
    store.put("m-2", phoneNumber="385990000000")
    as_written = hashlib.sha256(b"00385991234567").hexdigest()
    store.table.put_all([store.item("m-2") | {"recipient": as_written}])
    store.put("m-3", phoneNumber="+385 99 123-4567")

    found = all_pages(
        lambda places: store.search.to_recipient("+385 (99) 1234567", limit, places, no_bytes)
    )

    assert found == ["m-3", "m-2", "m-1"]


# --- Open messages -------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_unsettled_messages_come_oldest_first(store: Store, limit: int) -> None:
    """Each is returned once over all shards of the index; settled messages are not."""
    for number in range(12):
        store.put(f"m-{number}")
    store.put("claimed", "CLAIMED")
    store.put("unknown", "UNKNOWN")
    store.put("waiting", "WAITING")
    store.put("rejected", "REJECTED")
    store.put("quarantined", "QUARANTINED")
    store.settle("m-5")

    found = all_pages(lambda places: store.search.listed(UNSETTLED, limit, places, no_bytes))

    accepted = [f"m-{number}" for number in range(12) if number != 5]
    assert found == [*accepted, "claimed", "unknown", "waiting"]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_waiting_messages_come_oldest_first(store: Store, limit: int) -> None:
    """Each is returned once over all shards; messages of other states are not, nor lost ones."""
    for number in range(12):
        store.put(f"m-{number}")
        store.put(f"waiting-{number:02d}", "WAITING")
    for state in ("CLAIMED", "UNKNOWN", "REJECTED", "QUARANTINED"):
        store.put(state.lower(), state)
    store.put("later")
    store.ledger.change(
        transitions.check_postponed,
        store.item("later"),
        store.ledger.clock() + timedelta(days=5),
        absent=False,
    )
    store.ledger.change(transitions.record_lost, store.item("waiting-03"))
    store.clock.time += timedelta(days=8)

    found = all_pages(lambda places: store.search.waiting(limit, places, no_bytes))

    assert found == [f"waiting-{number:02d}" for number in range(12) if number != 3]


def test_unresolved_message_is_also_listed_as_unsettled(store: Store) -> None:
    """An alarm tells an operator to look for the unresolved ones."""
    store.put("m-1")
    store.put("m-2")
    store.ledger.change(transitions.left_unresolved, store.item("m-1"), store.ledger.clock())

    assert ids(store.search.listed(UNRESOLVED, 100, {}, no_bytes)) == ["m-1"]
    assert sorted(ids(store.search.listed(UNSETTLED, 100, {}, no_bytes))) == ["m-1", "m-2"]


def test_quarantined_messages_come_oldest_first_and_are_not_checked_again(store: Store) -> None:
    """They wait for an operator, however much time passes."""
    for message_id in ("m-1", "m-2"):
        store.put(message_id, "QUARANTINED")
    store.clock.time += timedelta(days=3)

    assert ids(store.search.listed(QUARANTINED, 100, {}, no_bytes)) == ["m-1", "m-2"]
    assert list(store.ledger.due()) == []


@pytest.mark.parametrize("way", ["settled", "accepted", "released"])
def test_message_that_leaves_quarantine_leaves_the_list(store: Store, way: str) -> None:
    """It is settled, or is checked again like any other message."""
    store.put("m-1", "QUARANTINED")
    item = store.item("m-1")

    if way == "settled":
        row = DeliveryReport.model_validate(report("m-1", "SMS", 3, 5, None))
        verdict = verdict_of(row, None)
        assert verdict is not None
        assert store.ledger.settle({"m-1": verdict}) == 1
    elif way == "accepted":
        assert (
            store.ledger.change(
                transitions.proven_accepted,
                item,
                Evidence.LOGS,
                store.ledger.clock(),
                store.ledger.check_after,
            )
            == 1
        )
    else:
        assert (
            store.ledger.change(
                transitions.released, item, "ana", "the recipient asks for it", store.ledger.clock()
            )
            == 1
        )

    assert ids(store.search.listed(QUARANTINED, 100, {}, no_bytes)) == []
    assert ids(store.search.listed(UNSETTLED, 100, {}, no_bytes)) == (
        [] if way == "settled" else ["m-1"]
    )


def test_stale_index_entry_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index may lag behind the table; the table decides."""
    store.put("m-1")
    item = store.item("m-1")
    store.settle("m-1")
    monkeypatch.setattr(store.table, "query", lambda *_, **__: iter([item]))

    assert ids(store.search.listed(UNSETTLED, 1, {}, no_bytes)) == []


# --- Expired messages ----------------------------------------------------------------------


def test_expired_messages_are_not_found(store: Store) -> None:
    """DynamoDB deletes expired items only some days later."""
    store.put("m-1")
    store.put("m-2", "QUARANTINED")
    store.save_reports([report("m-1", "SMS", 1, 7, None)])
    store.clock.time += RETENTION + timedelta(hours=2)

    assert store.search.message("m-1") is None
    assert store.search.history("m-1", 100, {}, no_bytes).items == []
    assert ids(store.search.to_recipient(PHONE_NUMBER, 100, {}, no_bytes)) == []
    assert ids(store.search.listed((*UNSETTLED, *QUARANTINED), 100, {}, no_bytes)) == []


def test_callback_data_is_kept_with_the_message(store: Store) -> None:
    """Upstream apps can read it back, whatever the outcome."""
    store.put("m-1", "REJECTED")

    assert store.item("m-1")["callbackData"] == "order 7"


# --- Lambda's limit on answers -------------------------------------------------------------

#: Lambda drops larger answers.
MOST_ANSWER_BYTES = 6 * 1024 * 1024


def largest(found: list[dict[str, Any]]) -> int:
    """Return the size of the largest answer in bytes, in the encoding that takes most of them."""
    return max(len(json.dumps(answer)) for answer in found)


@pytest.mark.parametrize("show_recipients", [True, False])
def test_history_of_large_reports_fits_lambdas_limit(
    store: Store,
    show_recipients: bool,  # noqa: FBT001
) -> None:
    """Each entry is returned once, though the history is twice as large as one answer may be."""
    store.put("m-1")
    timestamps = [f"2026-01-31T12:00:{second:02d}.000+0000" for second in range(36)]
    for timestamp in timestamps:
        written = report("m-1", "SMS", 1, 7, timestamp) | {"callbackData": "x" * 349_000}
        store.save_reports([written])

    found = answers(store, {"messageId": "m-1", "showRecipients": show_recipients})

    assert largest(found) < MOST_ANSWER_BYTES
    entries = [entry for answer in found for entry in answer["history"]]
    assert [entry["report"]["doneAt"] for entry in entries] == timestamps
    # Omitted members take no room.
    assert len(found) == (5 if show_recipients else 1)


def test_largest_single_entry_is_still_answered(store: Store) -> None:
    """It is an unreadable body, which JSON escapes to six times its size."""
    store.put("m-1")
    for number in range(3):
        store.reports.record_body(f"{number}".encode() + b"\x01" * 400_000)

    found = answers(store, {"messageId": "#unreadable", "showRecipients": True})

    assert [len(answer["history"]) for answer in found] == [1, 1, 1]
    assert 2_000_000 < largest(found) < MOST_ANSWER_BYTES


@pytest.mark.parametrize("query", [{"recipient": PHONE_NUMBER}, {"unsettled": True}])
def test_many_large_messages_fit_lambdas_limit(store: Store, query: dict[str, Any]) -> None:
    """Each message is returned once, in the order of the list."""
    for number in range(130):
        store.put(f"m-{number:03d}", callback_data="\u0161" * 12_000)

    found = answers(store, query | {"limit": 1000, "showRecipients": True})

    assert len(found) == 4
    assert largest(found) < MOST_ANSWER_BYTES
    shown = [message["messageId"] for answer in found for message in answer["messages"]]
    oldest_first = [f"m-{number:03d}" for number in range(130)]
    assert shown == (oldest_first if "unsettled" in query else oldest_first[::-1])
