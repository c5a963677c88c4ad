"""Each page is safe before the next one is taken, so failures do not lose reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from functions.pull_delivery_reports import app
from functions.pull_delivery_reports.app import (
    REPORTS_PER_PAGE,
    Dependencies,
    Pull,
    pull_delivery_reports,
)
from infobip_omni.api.errors import AuthenticationError, OutcomeUnknownError, RateLimitedError
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.delivery_reports import DeliveryReports, Page, Recorded
from infobip_omni.dynamodb import from_wire, to_wire
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.parked_reports import ParkedReports
from tests.fakes import Clock, FakeClient, FakeLedger, FakeTable, make_claim

from .conftest import CONTEXT, PHONE, TEXT, metrics_in, page_of, report_of

if TYPE_CHECKING:
    from .conftest import Printed


class Parking(ParkedReports):
    """The queue of parked pages."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.available = True

    def park(self, body: bytes) -> None:
        if not self.available:
            raise QueueUnavailableError("SQS did not accept it")
        self.bodies.append(body)


@dataclass
class Harness:
    """The function and its fakes."""

    clock: Clock
    ledger: FakeLedger
    reports: DeliveryReports
    client: FakeClient = field(default_factory=FakeClient)
    parking: Parking = field(default_factory=Parking)
    seconds_left: float = 300.0

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.client, self.reports, self.parking)

    @property
    def table(self) -> FakeTable:
        return self.ledger.table

    def run(self) -> Pull:
        return pull_delivery_reports(self.dependencies, lambda: self.seconds_left)

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        return app.lambda_handler(event, CONTEXT)

    def stored_pages(self) -> int:
        """Return how many parts of pages are still stored."""
        return len(self.table.entries("PAGE#"))


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose ledger holds three messages."""
    clock = Clock()
    ledger = FakeLedger(clock)
    ledger.claim([make_claim(f"m-{number}") for number in (1, 2, 3)], timedelta(minutes=2))
    harness = Harness(clock, ledger, DeliveryReports(ledger.table, ledger, clock))
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def full_page() -> bytes:
    """Build a page after which there may be another."""
    return page_of(*[report_of(f"other-{number}") for number in range(REPORTS_PER_PAGE)])


# --- Taking pages --------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [b'{"results": []}', b'{"results": [], "cursor": null}'])
def test_reports_are_taken_until_a_page_is_empty(harness: Harness, empty: bytes) -> None:
    """A page may be short although more reports are there."""
    harness.client.pages = [
        full_page(),
        page_of(report_of("m-1")),
        full_page(),
        page_of(report_of("m-2")),
        empty,
        page_of(report_of("m-3")),
    ]

    pull = harness.run()

    assert pull.stopped_by is None
    assert pull.recorded.reports == 2 * REPORTS_PER_PAGE + 2
    assert pull.recorded.settled == 2
    assert pull.recorded.unmatched == 2 * REPORTS_PER_PAGE
    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "DELIVERED", "m-3": "CLAIMED"}
    assert len(harness.client.pages) == 1


def small_page(size: int = 49) -> bytes:
    return page_of(*[report_of(f"other-{number}") for number in range(size)])


def test_reports_that_trickle_in_do_not_keep_a_run_alive(harness: Harness) -> None:
    """Ten small pages in a row end a run before its time is over; others do not count."""
    harness.client.pages = [
        *[small_page() for _ in range(9)],
        small_page(50),
        *[small_page() for _ in range(9)],
        small_page(1),
        page_of(report_of("m-1")),
    ]

    pull = harness.run()

    assert (pull.pages, pull.stopped_by) == (20, None)
    assert harness.ledger.states()["m-1"] == "CLAIMED"
    assert len(harness.client.pages) == 1


def test_backlog_is_taken_until_the_time_is_nearly_over(harness: Harness) -> None:
    harness.client.pages = [full_page() for _ in range(5)]
    harness.client.before_page = lambda: setattr(
        harness, "seconds_left", harness.seconds_left - 100
    )

    pull = harness.run()

    assert (pull.pages, pull.stopped_by) == (3, "TIME")
    assert len(harness.client.pages) == 2


def test_empty_page_is_not_stored(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(DeliveryReports, "store_page")
    harness.client.pages = [b'\n{ "results" : [ ] }\n']

    pull = harness.run()

    assert (pull.pages, pull.stopped_by) == (0, None)
    assert pull.recorded == Recorded()


@pytest.mark.parametrize(
    "body",
    [
        b'{"results": [], "results": []}',
        b'{"results": [], "nextToken": "more"}',
        b'{"results": [{}]}',
        b'{"results": [null]}',
        b'{"results": {}}',
        b'{"Results": []}',
        b'[{"results": []}]',
        b"[]",
        b"{}",
        b"",
    ],
)
def test_page_that_is_not_exactly_empty_is_stored_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    stored: list[bytes] = []
    store_page = harness.reports.store_page

    def store(body: bytes) -> Page:
        stored.append(body)
        return store_page(body)

    monkeypatch.setattr(harness.reports, "store_page", store)
    harness.client.pages = [body]

    harness.run()

    assert stored == [body]
    assert harness.stored_pages() == 0


def test_overlapping_runs_record_each_report_once(harness: Harness) -> None:
    """Another run takes and records pages while this one waits for Infobip."""
    harness.client.pages = [full_page(), page_of(report_of("m-1")), page_of(report_of("m-2"))]
    other: list[Pull] = []

    def run_another() -> None:
        harness.client.before_page = lambda: None
        other.append(harness.run())
        harness.client.pages = [page_of(report_of("m-3"))]

    harness.client.before_page = run_another

    pull = harness.run()

    assert (other[0].recorded.settled, pull.recorded.settled) == (2, 1)
    assert harness.ledger.states() == dict.fromkeys(("m-1", "m-2", "m-3"), "DELIVERED")
    assert harness.stored_pages() == 0


def test_page_is_recorded_before_the_next_is_taken(harness: Harness) -> None:
    """Whenever Infobip is called, all reports that it returned before are in the table."""
    harness.client.pages = [full_page(), full_page()]
    seen: list[tuple[int, int]] = []
    harness.client.before_page = lambda: seen.append(
        (len(harness.table.entries("REPORT#")), harness.stored_pages())
    )
    harness.run()

    assert seen == [(0, 0), (REPORTS_PER_PAGE, 0), (REPORTS_PER_PAGE, 0)]


def test_page_is_stored_before_it_is_read(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed while it records a page leaves it behind, and the next run records it."""

    def killed(*_: object) -> None:
        raise SystemExit

    harness.client.pages = [page_of(report_of("m-1"))]
    with monkeypatch.context() as patch:
        patch.setattr(harness.reports, "record_page", killed)
        with pytest.raises(SystemExit):
            harness.run()
    assert harness.stored_pages() == 1
    assert harness.ledger.states()["m-1"] == "CLAIMED"

    harness.clock.pass_by(hours=1)
    recorded = harness.run().recorded

    assert (recorded.reports, recorded.settled) == (1, 1)
    assert harness.ledger.states()["m-1"] == "DELIVERED"
    assert harness.stored_pages() == 0


def test_abandoned_pages_are_recorded_first(harness: Harness) -> None:
    """Infobip is asked for more only afterwards."""
    harness.reports.store_page(page_of(report_of("m-1")))
    harness.clock.pass_by(hours=1)
    seen: list[str] = []
    harness.client.before_page = lambda: seen.append(harness.ledger.states()["m-1"])
    harness.run()

    assert seen == ["DELIVERED"]


def test_page_of_a_concurrent_run_is_left_alone(harness: Harness) -> None:
    """A page stored a moment ago is still being recorded by its own run."""
    harness.reports.store_page(page_of(report_of("m-1")))

    assert harness.run().recorded.reports == 0
    assert harness.stored_pages() == 1


def test_unreadable_entry_does_not_affect_its_page(harness: Harness) -> None:
    """It is stored raw, and the other entries are recorded."""
    broken = [{"messageId": "m-2", "status": "new"}, 7, None, {"status": {"groupId": 3}}]
    harness.client.pages = [page_of(report_of("m-1"), *broken, report_of("m-3"))]

    pull = harness.run()

    assert (pull.recorded.reports, pull.recorded.unreadable) == (2, 4)
    assert len(harness.table.entries("UNREADABLE#")) == 4
    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "CLAIMED", "m-3": "DELIVERED"}


def test_unreadable_entries_count_towards_a_full_page(harness: Harness) -> None:
    entries = [report_of(f"other-{number}") for number in range(REPORTS_PER_PAGE - 1)]
    harness.client.pages = [page_of(*entries, 7), page_of(report_of("m-1"))]

    assert harness.run().pages == 2


@pytest.mark.parametrize("body", [b"not JSON", b"[]", b'{"results": 7}', b"\xff\xfe"])
def test_unreadable_page_is_stored_raw_and_ends_the_run(harness: Harness, body: bytes) -> None:
    harness.client.pages = [body, page_of(report_of("m-1"))]

    pull = harness.run()

    assert (pull.pages, pull.recorded.unreadable, pull.stopped_by) == (1, 1, None)
    assert len(harness.table.entries("UNREADABLE#")) == 1
    assert harness.stored_pages() == 0


# --- Outages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (RateLimitedError("slow down", status=429), "RateLimited"),
        (AuthenticationError("no", status=403), "Authentication"),
        (OutcomeUnknownError("no answer", status=500), "OutcomeUnknown"),
        (ParameterUnavailableError("SSM cannot be read"), "ParameterUnavailable"),
    ],
)
def test_failure_ends_the_run(harness: Harness, error: Exception, name: str) -> None:
    """The answer names the failure, and the pages before it stay recorded."""
    harness.client.pages = [full_page(), error, page_of(report_of("m-1"))]

    pull = harness.run()

    assert (pull.pages, pull.stopped_by) == (1, name)
    assert pull.recorded.reports == REPORTS_PER_PAGE
    assert harness.ledger.states()["m-1"] == "CLAIMED"
    assert harness.run().stopped_by is None
    assert harness.ledger.states()["m-1"] == "DELIVERED"


def test_page_that_cannot_be_stored_is_still_recorded(harness: Harness) -> None:
    """Recording may succeed after storing has failed."""
    harness.table.failures["put_all"] = 1
    harness.client.pages = [page_of(report_of("m-1"))]

    pull = harness.run()

    assert (pull.recorded.settled, pull.parked, pull.stopped_by) == (1, 0, None)
    assert harness.ledger.states()["m-1"] == "DELIVERED"


def test_page_that_the_table_does_not_accept_is_parked(harness: Harness) -> None:
    """The queue gets it unchanged, and no other page is taken."""
    harness.table.failures["put_all"] = 2
    harness.client.pages = [full_page(), page_of(report_of("m-1"))]
    body = harness.client.pages[0]

    pull = harness.run()

    assert harness.parking.bodies == [body]
    assert (pull.parked, pull.lost, pull.stopped_by) == (1, 0, "TableUnavailable")
    assert len(harness.client.pages) == 1


def test_page_that_neither_table_nor_queue_accepts_is_counted(harness: Harness) -> None:
    """The logs still hold the outcomes, and an operator is notified."""
    harness.table.failures["put_all"] = 2
    harness.parking.available = False
    harness.client.pages = [page_of(report_of("m-1"))]

    pull = harness.run()

    assert (pull.parked, pull.lost, pull.stopped_by) == (0, 1, "TableUnavailable")


@pytest.mark.parametrize("method", ["get_all", "execute", "delete"])
def test_page_that_cannot_be_recorded_stays_stored(harness: Harness, method: str) -> None:
    """The run ends, and a later one records the page."""
    harness.table.failures[method] = 1
    harness.client.pages = [full_page()[:-2] + b"," + json.dumps(report_of("m-1")).encode() + b"]}"]

    pull = harness.run()

    assert pull.stopped_by == "TableUnavailable"
    assert harness.stored_pages() > 0
    assert harness.parking.bodies == []
    harness.clock.pass_by(hours=1)
    harness.run()
    assert harness.stored_pages() == 0
    assert harness.ledger.states()["m-1"] == "DELIVERED"


def test_unavailable_table_ends_the_run_before_a_page_is_taken(harness: Harness) -> None:
    """Reports that could not be recorded are better left at Infobip."""
    harness.table.failures["query"] = 1
    harness.client.pages = [page_of(report_of("m-1"))]

    assert harness.run().stopped_by == "TableUnavailable"
    assert len(harness.client.pages) == 1


@pytest.mark.parametrize(("seconds_left", "pages"), [(65.0, 0), (67.0, 1)])
def test_page_is_taken_only_with_the_time_to_record_it(
    harness: Harness, seconds_left: float, pages: int
) -> None:
    """A page that is taken too late would be lost when the function times out."""
    harness.seconds_left = seconds_left
    harness.client.pages = [page_of(report_of("m-1"))]

    pull = harness.run()

    assert pull.pages == pages
    assert pull.stopped_by == (None if pages else "TIME")


def test_slow_recording_shortens_the_run(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run allows for a page that takes twice as long as the slowest one so far."""
    times = iter([0.0, 40.0])
    monkeypatch.setattr(app, "time", SimpleNamespace(monotonic=lambda: next(times)))
    harness.seconds_left = 120.0
    harness.client.pages = [full_page(), full_page()]

    pull = harness.run()

    assert (pull.pages, pull.stopped_by) == (1, "TIME")


# --- The handler ---------------------------------------------------------------------------


def test_handler_returns_counts(harness: Harness, printed: Printed) -> None:
    """Answer, log line and metrics hold counts, and no personal data."""
    harness.client.pages = [
        page_of(report_of("m-1"), report_of("other"), {"to": PHONE, "text": TEXT})
    ]

    answer = harness.invoke({})

    assert {name: count for name, count in answer.items() if count} == {
        "pages": 1,
        "reports": 2,
        "settled": 1,
        "unmatched": 1,
        "unreadable": 1,
    }
    text = printed()
    assert PHONE not in text
    assert "canary" not in text
    (numbers,) = metrics_in(text)
    assert (numbers["ReportsRecorded"], numbers["PullsSucceeded"]) == ([2.0], [1.0])
    assert "PullsFailed" not in numbers


@pytest.mark.parametrize("failure", ["infobip", "table"])
def test_handler_raises_nothing(harness: Harness, printed: Printed, failure: str) -> None:
    """Failures are counted; a raised error would only make the scheduler repeat the call."""
    if failure == "infobip":
        harness.client.pages = [OutcomeUnknownError("no answer", text=TEXT)]
    else:
        harness.table.failures["query"] = 1

    answer = harness.invoke({})

    names = {"infobip": "OutcomeUnknown", "table": "TableUnavailable"}
    assert answer["stoppedBy"] == names[failure]
    text = printed()
    assert "canary" not in text
    (numbers,) = metrics_in(text)
    assert numbers["PullsFailed"] == [1.0]


@pytest.mark.parametrize(
    ("failure", "refusals"),
    [(OutcomeUnknownError("no answer"), None), (AuthenticationError("no", status=403), [1.0])],
)
def test_failed_run_does_not_count_as_success(
    harness: Harness, printed: Printed, failure: Exception, refusals: list[float] | None
) -> None:
    """One alarm watches the successes; another one tells that the account is the cause."""
    harness.client.pages = [failure]

    harness.invoke({})

    (numbers,) = metrics_in(printed())
    assert "PullsSucceeded" not in numbers
    assert numbers["PullsFailed"] == [1.0]
    assert numbers.get("AccountRefusals") == refusals


def test_rejection_for_the_account_in_a_report_is_counted(
    harness: Harness, printed: Printed
) -> None:
    """An accepted message may still be rejected because the credit is used up."""
    status = {
        "groupId": 5,
        "groupName": "REJECTED",
        "id": 12,
        "name": "REJECTED_NOT_ENOUGH_CREDITS",
    }
    harness.client.pages = [page_of(report_of("m-1") | {"status": status}, report_of("m-2"))]

    harness.invoke({})

    (numbers,) = metrics_in(printed())
    assert numbers["AccountRefusals"] == [1.0]


# --- Items of another version --------------------------------------------------------------


def test_report_on_an_unreadable_message_waits_alone(harness: Harness) -> None:
    """The others are recorded immediately, this one as soon as the message can be read."""
    harness.ledger.alter("m-2", state="SEEN")
    harness.client.pages = [page_of(report_of("m-1"), report_of("m-2"), report_of("m-3"))]

    pull = harness.run()

    assert (pull.stopped_by, pull.recorded.settled, pull.recorded.waiting) == (None, 2, 1)
    assert pull.recorded.entries == 3
    assert harness.ledger.states() == {"m-1": "DELIVERED", "m-2": "SEEN", "m-3": "DELIVERED"}
    assert harness.stored_pages() == 1

    harness.clock.pass_by(minutes=16)
    assert harness.run().recorded == Recorded(waiting=1)
    assert harness.stored_pages() == 1

    harness.ledger.alter("m-2", state="CLAIMED")
    harness.clock.pass_by(minutes=16)
    assert harness.run().recorded == Recorded(reports=1, settled=1)
    assert harness.ledger.states()["m-2"] == "DELIVERED"
    assert harness.stored_pages() == 0
    (kept,) = [each for each in harness.table.entries("REPORT#") if each["messageId"] == "m-2"]
    assert json.loads(kept["report"]) == report_of("m-2")


@pytest.mark.parametrize("chunk", [b"not packed", "text", None])
def test_unreadable_stored_page_does_not_stop_the_others(harness: Harness, chunk: object) -> None:
    """It stays stored."""
    harness.reports.store_page(page_of(report_of("m-1")))
    harness.reports.store_page(page_of(report_of("m-2")))
    (key, _) = sorted(key for key in harness.table.items if key[1].startswith("PAGE#"))
    stored = {"messageId": key[0], "entry": key[1], "chunk": chunk}
    harness.table.items[key] = from_wire(to_wire(stored))
    harness.clock.pass_by(minutes=16)

    assert harness.run().recorded.settled == 1
    assert harness.stored_pages() == 1
