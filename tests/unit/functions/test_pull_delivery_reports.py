"""No page is taken before the last one is safe, and no trouble costs a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import AuthenticationError, OutcomeUnknownError, RateLimitedError
from infobip_omni.api.sends import Recipient
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import from_wire, to_wire
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.transitions import Claim
from infobip_omni.unrecorded_reports import UnrecordedReports
from tests.fakes import Clock, FakeClient, FakeLedger, FakeTable

from .conftest import CONTEXT

if TYPE_CHECKING:
    from .conftest import Printed

PHONE = "385991234567"
TEXT = "canary text"


class Parking(UnrecordedReports):
    """The queue of pages that the table has not taken."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.available = True

    def park(self, body: bytes) -> int:
        """Keep a page."""
        if not self.available:
            raise QueueUnavailableError("SQS did not take it")
        self.bodies.append(body)
        return 1


@dataclass
class World:
    """The function and what it talks to."""

    clock: Clock
    client: FakeClient
    ledger: FakeLedger
    reports: DeliveryReports
    parking: Parking
    seconds_left: float = 300.0

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function talks to."""
        return Dependencies(self.client, self.reports, self.parking)

    @property
    def table(self) -> FakeTable:
        """Return the table."""
        return self.ledger.table

    def run(self) -> Pull:
        """Let the function run once."""
        return pull_delivery_reports(self.dependencies, lambda: self.seconds_left)

    def stored_pages(self) -> int:
        """Count what is left of pages."""
        return len(self.table.entries("PAGE#"))


@pytest.fixture
def world() -> World:
    """Return a world that holds three messages."""
    clock = Clock()
    ledger = FakeLedger(clock)
    ledger.claim([claim(f"m-{number}") for number in (1, 2, 3)], timedelta(minutes=2))
    reports = DeliveryReports(ledger.table, ledger, clock)
    return World(clock, FakeClient(), ledger, reports, Parking())


def claim(message_id: str) -> Claim:
    """Make a claim."""
    return Claim(
        message_id=message_id,
        content_hash="content",
        recipient=Recipient(phone_number=PHONE),
        scenario="otp",
        scenario_key=None,
        steps=(Channel.PUSH, Channel.SMS),
        bulk_id="bulk-1",
        send_at=None,
        validity=timedelta(hours=1),
        on_unknown="never-duplicate",
    )


def report(message_id: str, **changes: object) -> dict[str, Any]:
    """Write a report of a delivery."""
    return {
        "bulkId": "bulk-1",
        "messageId": message_id,
        "to": PHONE,
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": "2026-01-31T12:00:05.000+0000",
        "channel": "SMS",
        "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"},
        "callbackData": TEXT,
    } | changes


def page(*entries: object) -> bytes:
    """Write a page."""
    return json.dumps({"results": entries}).encode()


def full_page() -> bytes:
    """Write a page after which there may be another."""
    return page(*[report(f"other-{number}") for number in range(REPORTS_PER_PAGE)])


# --- Taking --------------------------------------------------------------------------------


def test_reports_are_taken_until_a_page_is_short(world: World) -> None:
    """Full pages are followed by another call, a short one is the last."""
    world.client.pages = [full_page(), full_page(), page(report("m-1")), page(report("m-2"))]

    pull = world.run()

    assert (pull.pages, pull.stopped_by) == (3, None)
    assert pull.recorded.reports == 2 * REPORTS_PER_PAGE + 1
    assert pull.recorded.settled == 1
    assert pull.recorded.unmatched == 2 * REPORTS_PER_PAGE
    assert world.ledger.states() == {"m-1": "DELIVERED", "m-2": "CLAIMED", "m-3": "CLAIMED"}
    assert len(world.client.pages) == 1


def test_page_is_recorded_before_the_next_is_taken(world: World) -> None:
    """Whenever Infobip is asked, all that it has handed out before is in the table."""
    world.client.pages = [full_page(), full_page()]
    seen: list[tuple[int, int]] = []
    world.client.before_page = lambda: seen.append(
        (len(world.table.entries("REPORT#")), world.stored_pages())
    )
    world.run()

    assert seen == [(0, 0), (REPORTS_PER_PAGE, 0), (REPORTS_PER_PAGE, 0)]


def test_page_is_stored_before_it_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies over a page leaves it behind, and the next one records it."""

    def die(*_: object) -> None:
        raise SystemExit

    world.client.pages = [page(report("m-1"))]
    with monkeypatch.context() as patch:
        patch.setattr(world.reports, "record_page", die)
        with pytest.raises(SystemExit):
            world.run()
    assert world.stored_pages() == 1
    assert world.ledger.states()["m-1"] == "CLAIMED"

    world.clock.pass_by(hours=1)
    recorded = world.run().recorded

    assert (recorded.reports, recorded.settled) == (1, 1)
    assert world.ledger.states()["m-1"] == "DELIVERED"
    assert world.stored_pages() == 0


def test_abandoned_pages_come_first(world: World) -> None:
    """What was taken earlier is recorded before Infobip is asked for more."""
    world.reports.store_page(page(report("m-1")))
    world.clock.pass_by(hours=1)
    seen: list[str] = []
    world.client.before_page = lambda: seen.append(world.ledger.states()["m-1"])
    world.run()

    assert seen == ["DELIVERED"]


def test_page_of_another_run_is_left_alone(world: World) -> None:
    """A page that was stored a moment ago is still being recorded by its own run."""
    world.reports.store_page(page(report("m-1")))

    assert world.run().recorded.reports == 0
    assert world.stored_pages() == 1


def test_unreadable_entry_costs_only_itself(world: World) -> None:
    """It is kept raw, its neighbours are recorded."""
    broken = [{"messageId": "m-2", "status": "new"}, 7, None, {"status": {"groupId": 3}}]
    world.client.pages = [page(report("m-1"), *broken, report("m-3"))]

    pull = world.run()

    assert (pull.recorded.reports, pull.recorded.unreadable) == (2, 4)
    assert len(world.table.entries("UNREADABLE#")) == 4
    assert world.ledger.states() == {"m-1": "DELIVERED", "m-2": "CLAIMED", "m-3": "DELIVERED"}


def test_unreadable_entries_count_as_entries(world: World) -> None:
    """A full page with a broken entry is full, and followed by another call."""
    entries = [report(f"other-{number}") for number in range(REPORTS_PER_PAGE - 1)]
    world.client.pages = [page(*entries, 7), page(report("m-1"))]

    assert world.run().pages == 2


@pytest.mark.parametrize("body", [b"not JSON", b"[]", b'{"results": 7}', b"\xff\xfe"])
def test_unreadable_page_is_kept_and_ends_the_run(world: World, body: bytes) -> None:
    """Nobody knows what it says; it is kept as it came."""
    world.client.pages = [body, page(report("m-1"))]

    pull = world.run()

    assert (pull.pages, pull.recorded.unreadable, pull.stopped_by) == (1, 1, None)
    assert len(world.table.entries("UNREADABLE#")) == 1
    assert world.stored_pages() == 0


# --- What cannot be reached ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (RateLimitedError("slow down", status=429), "RateLimited"),
        (AuthenticationError("no", status=403), "Authentication"),
        (OutcomeUnknownError("no answer", status=500), "OutcomeUnknown"),
        (ParameterUnavailableError("SSM cannot be read"), "ParameterUnavailable"),
    ],
)
def test_trouble_ends_the_run(world: World, error: Exception, name: str) -> None:
    """The answer says what has stopped it, and what was recorded until then stays."""
    world.client.pages = [full_page(), error, page(report("m-1"))]

    pull = world.run()

    assert (pull.pages, pull.stopped_by) == (1, name)
    assert pull.recorded.reports == REPORTS_PER_PAGE
    assert world.ledger.states()["m-1"] == "CLAIMED"
    assert world.run().stopped_by is None
    assert world.ledger.states()["m-1"] == "DELIVERED"


def test_page_that_cannot_be_stored_is_recorded_all_the_same(world: World) -> None:
    """Recording may succeed where storing has not."""
    world.table.failures["put_all"] = 1
    world.client.pages = [page(report("m-1"))]

    pull = world.run()

    assert (pull.recorded.settled, pull.parked, pull.stopped_by) == (1, 0, None)
    assert world.ledger.states()["m-1"] == "DELIVERED"


def test_page_that_the_table_does_not_take_is_parked(world: World) -> None:
    """It goes to the queue as it came, and no other page is taken."""
    world.table.failures["put_all"] = 2
    world.client.pages = [full_page(), page(report("m-1"))]
    body = world.client.pages[0]

    pull = world.run()

    assert world.parking.bodies == [body]
    assert (pull.parked, pull.lost, pull.stopped_by) == (1, 0, "TableUnavailable")
    assert len(world.client.pages) == 1


def test_page_that_nobody_takes_is_counted(world: World) -> None:
    """The logs will tell what it has said; an operator hears of it."""
    world.table.failures["put_all"] = 2
    world.parking.available = False
    world.client.pages = [page(report("m-1"))]

    pull = world.run()

    assert (pull.parked, pull.lost, pull.stopped_by) == (0, 1, "TableUnavailable")


@pytest.mark.parametrize("method", ["get_all", "execute", "delete"])
def test_page_that_cannot_be_recorded_stays_stored(world: World, method: str) -> None:
    """The run ends, and a later one records the page."""
    world.table.failures[method] = 1
    world.client.pages = [full_page()[:-2] + b"," + json.dumps(report("m-1")).encode() + b"]}"]

    pull = world.run()

    assert pull.stopped_by == "TableUnavailable"
    assert world.stored_pages() > 0
    assert world.parking.bodies == []
    world.clock.pass_by(hours=1)
    world.run()
    assert world.stored_pages() == 0
    assert world.ledger.states()["m-1"] == "DELIVERED"


def test_unavailable_table_ends_the_run_before_a_page_is_taken(world: World) -> None:
    """What could not be recorded is better left at Infobip."""
    world.table.failures["query"] = 1
    world.client.pages = [page(report("m-1"))]

    assert world.run().stopped_by == "TableUnavailable"
    assert len(world.client.pages) == 1


@pytest.mark.parametrize(("seconds_left", "pages"), [(65.0, 0), (67.0, 1)])
def test_no_page_is_taken_without_the_time_to_record_it(
    world: World, seconds_left: float, pages: int
) -> None:
    """A page that is taken too late would be lost when the function is ended."""
    world.seconds_left = seconds_left
    world.client.pages = [page(report("m-1"))]

    pull = world.run()

    assert pull.pages == pages
    assert pull.stopped_by == (None if pages else "TIME")


def test_slow_recording_shortens_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run allows for a page that takes twice as long as the slowest one so far."""
    times = iter([0.0, 40.0])
    monkeypatch.setattr(app, "time", SimpleNamespace(monotonic=lambda: next(times)))
    world.seconds_left = 120.0
    world.client.pages = [full_page(), full_page()]

    pull = world.run()

    assert (pull.pages, pull.stopped_by) == (1, "TIME")


# --- The handler ---------------------------------------------------------------------------


def test_handler_tells_what_was_done(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """Answer, log line and metrics hold counts, and nothing personal."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    world.client.pages = [page(report("m-1"), report("other"), {"to": PHONE, "text": TEXT})]

    answer = app.lambda_handler({}, CONTEXT)

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
    (numbers,) = [json.loads(line) for line in text.splitlines() if "_aws" in line]
    assert (numbers["ReportsRecorded"], numbers["PullsSucceeded"]) == ([2.0], [1.0])
    assert "PullsFailed" not in numbers


@pytest.mark.parametrize("trouble", ["infobip", "table"])
def test_handler_raises_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed, trouble: str
) -> None:
    """Trouble is counted, where a raised error would only make the scheduler repeat the call."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    if trouble == "infobip":
        world.client.pages = [OutcomeUnknownError("no answer", text=TEXT)]
    else:
        world.table.failures["query"] = 1

    answer = app.lambda_handler({}, CONTEXT)

    names = {"infobip": "OutcomeUnknown", "table": "TableUnavailable"}
    assert answer["stoppedBy"] == names[trouble]
    text = printed()
    assert "canary" not in text
    (numbers,) = [json.loads(line) for line in text.splitlines() if "_aws" in line]
    assert numbers["PullsFailed"] == [1.0]


@pytest.mark.parametrize(
    ("trouble", "refusals"),
    [(OutcomeUnknownError("no answer"), None), (AuthenticationError("no", status=403), [1.0])],
)
def test_run_that_fails_is_no_sign_of_life(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    printed: Printed,
    trouble: Exception,
    refusals: list[float] | None,
) -> None:
    """An alarm misses the runs that succeed; one about the account knows why."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    world.client.pages = [trouble]

    app.lambda_handler({}, CONTEXT)

    (numbers,) = [json.loads(line) for line in printed().splitlines() if "_aws" in line]
    assert "PullsSucceeded" not in numbers
    assert numbers["PullsFailed"] == [1.0]
    assert numbers.get("AccountRefusals") == refusals


def test_report_that_refuses_the_account_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """An accepted message may still be rejected since the credit is used up."""
    monkeypatch.setattr(app, "dependencies", lambda: world.dependencies)
    status = {
        "groupId": 5,
        "groupName": "REJECTED",
        "id": 12,
        "name": "REJECTED_NOT_ENOUGH_CREDITS",
    }
    world.client.pages = [page(report("m-1") | {"status": status}, report("m-2"))]

    app.lambda_handler({}, CONTEXT)

    (numbers,) = [json.loads(line) for line in printed().splitlines() if "_aws" in line]
    assert numbers["AccountRefusals"] == [1.0]


# --- What another version has written --------------------------------------------------------


def test_report_on_a_message_that_cannot_be_read_waits_by_itself(world: World) -> None:
    """Its neighbours are recorded at once, and it is as soon as the message can be read."""
    world.ledger.alter("m-2", state="SEEN")
    world.client.pages = [page(report("m-1"), report("m-2"), report("m-3"))]

    pull = world.run()

    assert (pull.stopped_by, pull.recorded.settled, pull.recorded.waiting) == (None, 2, 1)
    assert pull.recorded.entries == 3
    assert world.ledger.states() == {"m-1": "DELIVERED", "m-2": "SEEN", "m-3": "DELIVERED"}
    assert world.stored_pages() == 1

    world.clock.pass_by(minutes=16)
    assert world.run().recorded == Recorded(waiting=1)
    assert world.stored_pages() == 1

    world.ledger.alter("m-2", state="CLAIMED")
    world.clock.pass_by(minutes=16)
    assert world.run().recorded == Recorded(reports=1, settled=1)
    assert world.ledger.states()["m-2"] == "DELIVERED"
    assert world.stored_pages() == 0
    (kept,) = [each for each in world.table.entries("REPORT#") if each["messageId"] == "m-2"]
    assert json.loads(kept["report"]) == report("m-2")


@pytest.mark.parametrize("chunk", [b"not packed", "text", None])
def test_stored_page_that_cannot_be_read_holds_up_no_other(world: World, chunk: object) -> None:
    """It stays where it is."""
    world.reports.store_page(page(report("m-1")))
    world.reports.store_page(page(report("m-2")))
    (key, _) = sorted(key for key in world.table.items if key[1].startswith("PAGE#"))
    stored = {"messageId": key[0], "entry": key[1], "chunk": chunk}
    world.table.items[key] = from_wire(to_wire(stored))
    world.clock.pass_by(minutes=16)

    assert world.run().recorded.settled == 1
    assert world.stored_pages() == 1
