"""Messages are found by id, by recipient, and by what is open about them, page by page."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from functions.find_messages.app import LARGEST_PAGE_BYTES, Dependencies, find_messages
from infobip_omni import transitions
from infobip_omni.api.reports import DeliveryReport, LogEntry, RawEntry
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.events.find_messages import parse
from infobip_omni.message import Evidence, MessageState
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
    """A clock that stands still until it is moved; each reading makes a second pass."""

    def __init__(self) -> None:
        self.time = utc_now().replace(microsecond=0)

    def __call__(self) -> datetime:
        """Return the time."""
        self.time += timedelta(seconds=1)
        return self.time


class Shelf:
    """A table, with what writes to it and what searches it."""

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
        """Claim a message, and let it come to a state by the way that leads there."""
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
        """Read a message."""
        item = self.search.message(message_id)
        assert item is not None
        return item

    def record(self, entries: list[dict[str, Any]]) -> None:
        """Record reports."""
        self.reports.record_body(json.dumps({"results": entries}).encode())

    def settle(self, message_id: str) -> None:
        """Let a report deliver a message."""
        self.record([report(message_id, "SMS", 3, 5, "2026-01-31T12:00:00.000+0000")])


@pytest.fixture
def shelf(table: Table) -> Shelf:
    """Return an empty shelf."""
    return Shelf(table)


def report(message_id: str, channel: str, group: int, status: int, done_at: str | None) -> Any:  # noqa: ANN401
    """Write a delivery report."""
    return {
        "messageId": message_id,
        "channel": channel,
        "to": PHONE_NUMBER,
        "doneAt": done_at,
        "status": {"groupId": group, "id": status},
    }


def nothing(_: object) -> int:
    """Let an item take nothing of a page, where only their number counts."""
    return 0


def answers(shelf: Shelf, question: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask a question until the answer is at its end, as whoever invokes the function would."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while len(found) < 100:
        found.append(find_messages(parse(question | token), Dependencies(shelf.search)))
        if "nextToken" not in found[-1]:
            return found
        token = {"nextToken": found[-1]["nextToken"]}
    raise AssertionError("the answers have no end")


def ids(found: Found) -> list[str]:
    """Name the messages of a page."""
    return [item["messageId"] for item in found.items]


def all_pages(ask: Callable[[dict[str, Place]], Found]) -> list[str]:
    """Go through all pages; none may be larger than the first, and each but the last must go on."""
    places: dict[str, Place] = {}
    found: list[str] = []
    for _ in range(100):
        page = ask(places)
        found += ids(page)
        places = page.places
        if not places:
            return found
    raise AssertionError("the pages have no end")


# --- One message ---------------------------------------------------------------------------


def test_unknown_message_is_not_found(shelf: Shelf) -> None:
    """Nothing is known of an id that was never used."""
    assert shelf.search.message("m-1") is None
    assert shelf.search.history("m-1", 100, {}, nothing).items == []


def test_history_is_in_the_order_in_which_things_happened(shelf: Shelf) -> None:
    """However late and in whatever order it was learnt."""
    shelf.put("m-1")
    shelf.record(
        [
            report("m-1", "SMS", 3, 5, "2026-01-31T12:00:09.000+0000"),
            report("m-1", "PUSH", 2, 66, "2026-01-31T12:00:03.000+0000"),
            {"messageId": "m-1", "status": "unreadable"},
        ]
    )
    row = report("m-1", "SMS", 3, 5, "2026-01-31T12:00:06.000+0000")
    shelf.reports.record_logs([RawEntry(json.dumps(row), LogEntry.model_validate(row))])

    kinds = [
        item["entry"].split("#")[:2] for item in shelf.search.history("m-1", 100, {}, nothing).items
    ]

    assert kinds[:3] == [["REPORT", "PUSH"], ["LOG", "SMS"], ["REPORT", "SMS"]]
    assert [kind[0] for kind in kinds[3:]] == ["UNREADABLE"]


def test_long_history_is_read_page_by_page(shelf: Shelf) -> None:
    """Each entry comes once, however small the pages are."""
    shelf.put("m-1")
    moments = [f"2026-01-31T12:00:0{second}.000+0000" for second in range(7)]
    shelf.record([report("m-1", "SMS", 1, 7, moment) for moment in moments])

    entries: list[str] = []
    places: dict[str, Place] = {}
    while len(entries) < 100:
        page = shelf.search.history("m-1", 2, places, nothing)
        entries += [item["entry"] for item in page.items]
        places = page.places
        if not places:
            break

    assert entries == [f"REPORT#SMS#7#2026-01-31T12:00:0{second}.000Z" for second in range(7)]


# --- A recipient ---------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_messages_to_a_recipient_come_newest_first(shelf: Shelf, limit: int) -> None:
    """Each once, over all pages, whatever became of it; and nobody else's."""
    for number in range(5):
        shelf.put(f"m-{number}")
        shelf.put(f"other-{number}", phoneNumber="385990000000")
    shelf.settle("m-3")

    found = all_pages(
        lambda places: shelf.search.to_recipient(PHONE_NUMBER, limit, places, nothing)
    )

    assert found == ["m-4", "m-3", "m-2", "m-1", "m-0"]


def test_message_with_several_addresses_is_found_by_the_first(shelf: Shelf) -> None:
    """The phone number comes before the e-mail address."""
    shelf.put("m-1", phoneNumber=PHONE_NUMBER, emailAddress="ana@example.com")
    shelf.put("m-2", emailAddress="ana@example.com")

    assert ids(shelf.search.to_recipient(PHONE_NUMBER, 100, {}, nothing)) == ["m-1"]
    assert ids(shelf.search.to_recipient("ana@example.com", 100, {}, nothing)) == ["m-2"]


# --- What is open --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_unsettled_messages_come_oldest_first(shelf: Shelf, limit: int) -> None:
    """Over all parts of the index, each once; a message that has settled is not among them."""
    for number in range(12):
        shelf.put(f"m-{number}")
    shelf.put("claimed", "CLAIMED")
    shelf.put("unknown", "UNKNOWN")
    shelf.put("waiting", "WAITING")
    shelf.put("rejected", "REJECTED")
    shelf.put("quarantined", "QUARANTINED")
    shelf.settle("m-5")

    found = all_pages(lambda places: shelf.search.listed(UNSETTLED, limit, places, nothing))

    accepted = [f"m-{number}" for number in range(12) if number != 5]
    assert found == [*accepted, "claimed", "unknown", "waiting"]


def test_unresolved_message_is_unsettled_and_has_a_list_of_its_own(shelf: Shelf) -> None:
    """An alarm sends an operator to look for just these."""
    shelf.put("m-1")
    shelf.put("m-2")
    shelf.ledger.change(transitions.left_unresolved, shelf.item("m-1"), shelf.ledger.clock())

    assert ids(shelf.search.listed(UNRESOLVED, 100, {}, nothing)) == ["m-1"]
    assert sorted(ids(shelf.search.listed(UNSETTLED, 100, {}, nothing))) == ["m-1", "m-2"]


def test_quarantined_messages_come_oldest_first_and_are_not_checked_again(shelf: Shelf) -> None:
    """They wait for an operator, however much time passes."""
    for message_id in ("m-1", "m-2"):
        shelf.put(message_id, "QUARANTINED")
    shelf.clock.time += timedelta(days=3)

    assert ids(shelf.search.listed(QUARANTINED, 100, {}, nothing)) == ["m-1", "m-2"]
    assert list(shelf.ledger.due()) == []


@pytest.mark.parametrize("way", ["settled", "accepted", "released"])
def test_message_that_leaves_quarantine_leaves_the_list(shelf: Shelf, way: str) -> None:
    """It is settled, or is checked again like any other."""
    shelf.put("m-1", "QUARANTINED")
    item = shelf.item("m-1")

    if way == "settled":
        row = DeliveryReport.model_validate(report("m-1", "SMS", 3, 5, None))
        verdict = verdict_of(row, None)
        assert verdict is not None
        assert shelf.ledger.settle({"m-1": verdict}) == 1
    elif way == "accepted":
        assert (
            shelf.ledger.change(
                transitions.proven_accepted,
                item,
                Evidence.LOGS,
                shelf.ledger.clock(),
                shelf.ledger.check_after,
            )
            == 1
        )
    else:
        assert (
            shelf.ledger.change(
                transitions.released, item, "ana", "the recipient asks for it", shelf.ledger.clock()
            )
            == 1
        )

    assert ids(shelf.search.listed(QUARANTINED, 100, {}, nothing)) == []
    assert ids(shelf.search.listed(UNSETTLED, 100, {}, nothing)) == (
        [] if way == "settled" else ["m-1"]
    )


def test_message_that_the_index_lists_wrongly_is_left_out(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index may lag behind its table; what the table says counts."""
    shelf.put("m-1")
    item = shelf.item("m-1")
    shelf.settle("m-1")
    monkeypatch.setattr(shelf.table, "query", lambda *_, **__: iter([item]))

    assert ids(shelf.search.listed(UNSETTLED, 1, {}, nothing)) == []


# --- What has expired ----------------------------------------------------------------------


def test_expired_messages_are_not_found(shelf: Shelf) -> None:
    """DynamoDB deletes what has expired only some days later; nobody notices."""
    shelf.put("m-1")
    shelf.put("m-2", "QUARANTINED")
    shelf.record([report("m-1", "SMS", 1, 7, None)])
    shelf.clock.time += RETENTION + timedelta(hours=2)

    assert shelf.search.message("m-1") is None
    assert shelf.search.history("m-1", 100, {}, nothing).items == []
    assert ids(shelf.search.to_recipient(PHONE_NUMBER, 100, {}, nothing)) == []
    assert ids(shelf.search.listed((*UNSETTLED, *QUARANTINED), 100, {}, nothing)) == []


def test_callback_data_is_kept_with_the_message(shelf: Shelf) -> None:
    """Whatever becomes of it, the app upstream can get it back."""
    shelf.put("m-1", "REJECTED")

    assert shelf.item("m-1")["callbackData"] == "order 7"


# --- Answers of Lambda -----------------------------------------------------------------------

#: Where Lambda drops an answer.
MOST_ANSWER_BYTES = 6 * 1024 * 1024


def largest(found: list[dict[str, Any]]) -> int:
    """Count the bytes of the largest answer, in the encoding that takes most of them."""
    return max(len(json.dumps(answer)) for answer in found)


@pytest.mark.parametrize("show_recipients", [True, False])
def test_history_of_the_largest_reports_comes_in_answers_that_lambda_takes(
    shelf: Shelf,
    show_recipients: bool,  # noqa: FBT001
) -> None:
    """Each of them once, though all together are twice what an answer may hold."""
    shelf.put("m-1")
    moments = [f"2026-01-31T12:00:{second:02d}.000+0000" for second in range(36)]
    for moment in moments:
        written = report("m-1", "SMS", 1, 7, moment) | {"callbackData": "x" * 349_000}
        shelf.record([written])

    found = answers(shelf, {"messageId": "m-1", "showRecipients": show_recipients})

    assert largest(found) < MOST_ANSWER_BYTES
    entries = [entry for answer in found for entry in answer["history"]]
    assert [entry["report"]["doneAt"] for entry in entries] == moments
    # What is not shown takes no room.
    assert len(found) == (5 if show_recipients else 1)


def test_what_takes_most_room_by_itself_is_still_answered(shelf: Shelf) -> None:
    """A body that nobody could read, and of which JSON makes six times as much."""
    shelf.put("m-1")
    for number in range(3):
        shelf.reports.record_body(f"{number}".encode() + b"\x01" * 400_000)

    found = answers(shelf, {"messageId": "#unreadable", "showRecipients": True})

    assert [len(answer["history"]) for answer in found] == [1, 1, 1]
    assert 2_000_000 < largest(found) < MOST_ANSWER_BYTES


@pytest.mark.parametrize("question", [{"recipient": PHONE_NUMBER}, {"unsettled": True}])
def test_many_large_messages_come_in_answers_that_lambda_takes(
    shelf: Shelf, question: dict[str, Any]
) -> None:
    """Each of them once, in the order in which they were asked for."""
    for number in range(130):
        shelf.put(f"m-{number:03d}", callback_data="\u0161" * 12_000)

    found = answers(shelf, question | {"limit": 1000, "showRecipients": True})

    assert len(found) == 4
    assert largest(found) < MOST_ANSWER_BYTES
    shown = [message["messageId"] for answer in found for message in answer["messages"]]
    oldest_first = [f"m-{number:03d}" for number in range(130)]
    assert shown == (oldest_first if "unsettled" in question else oldest_first[::-1])
