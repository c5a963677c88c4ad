"""Events can be resumed, and a page of another start begins anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.local_world.page import feed as feed_module
from tests.local_world.page.feed import MOST_ROWS, Feed

from .entries import entry

if TYPE_CHECKING:
    from collections.abc import Iterator


class Event(NamedTuple):
    id: str
    data: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.data["messages"]]


@pytest.fixture(autouse=True)
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_SECONDS_BETWEEN", 0)
    monkeypatch.setattr(feed_module, "_SECONDS_OF_SILENCE", 0.01)


@pytest.fixture
def feed() -> Feed:
    found = Feed()
    put(found, 3)
    return found


def put(feed: Feed, count: int, first: int = 0) -> None:
    with feed.changing() as board:
        board.put_simulated(entry(f"m-{first + number}") for number in range(count))


def read(events: Iterator[str]) -> Event:
    kind, event_id, data, *rest = next(events).split("\n")
    assert (kind, rest) == ("event: state", ["", ""])
    return Event(event_id.removeprefix("id: "), json.loads(data.removeprefix("data: ")))


def test_new_reader_gets_all_rows_and_status(feed: Feed) -> None:
    feed.set_queue(waiting=2, dead_lettered=1)

    event = read(feed.events(None))

    assert event.ids == ["m-0", "m-1", "m-2"]
    assert event.data["reset"] is True
    assert event.data["queue"] == {"waiting": 2, "deadLettered": 1}
    assert (event.data["schedules"], event.data["problem"]) == ("every-2-seconds", None)


def test_all_rows_come_in_portions(feed: Feed) -> None:
    put(feed, MOST_ROWS, first=3)
    events = feed.events(None)

    first, second = read(events), read(events)

    assert (len(first.ids), first.data["reset"]) == (MOST_ROWS, True)
    assert (len(second.ids), second.data["reset"]) == (3, False)


def test_reader_resumes_after_its_last_event(feed: Feed) -> None:
    last = read(feed.events(None))
    put(feed, 1, first=1)

    event = read(feed.events(last.id))

    assert (event.ids, event.data["reset"]) == (["m-1"], False)


@pytest.mark.parametrize("event_id", ["", "x", "other-1", "{start}-999", "{start}-x", "{start}--1"])
def test_reader_of_another_start_begins_anew(feed: Feed, event_id: str) -> None:
    """So does one whose id this start has never given."""
    start = read(feed.events(None)).id.partition("-")[0]

    event = read(feed.events(event_id.format(start=start)))

    assert (len(event.ids), event.data["reset"]) == (3, True)


def test_reader_gets_comment_while_nothing_happens(feed: Feed) -> None:
    events = feed.events(None)
    read(events)

    assert next(events) == ":\n\n"


def test_problem_is_shown_until_it_is_over(feed: Feed) -> None:
    events = feed.events(None)
    read(events)

    feed.set_problem("table", "the table is gone")
    shown = read(events)
    feed.set_problem("queues", None)
    feed.set_problem("table", None)
    over = read(events)

    assert (shown.data["problem"], shown.ids) == ("the table is gone", [])
    assert over.data["problem"] is None


def test_advanced_clock_is_news_and_running_one_is_not(feed: Feed) -> None:
    events = feed.events(None)
    read(events)

    feed.set_clock(feed.now() + 0.1)
    assert next(events).startswith(":")

    feed.set_clock(feed.now() + 60)
    assert read(events).data["now"] == pytest.approx(feed.now(), abs=1)


def test_readers_are_counted_while_they_read(feed: Feed) -> None:
    events = feed.events(None)
    read(events)
    assert feed.readers == 1

    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert feed.readers == 0


def test_events_end_with_server(feed: Feed) -> None:
    events = feed.events(None)
    read(events)

    feed.stop()

    assert list(events) == []
