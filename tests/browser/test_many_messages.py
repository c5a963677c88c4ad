"""The page stays usable with 10,000 messages."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.local_world.page.server import page
from tests.local_world.world import World, wait_until

from .scene import PUSH_TEXT, SCENARIO, SMS_TEXT, Scene
from .visits import visiting
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

RECORDS, DESTINATIONS = 100, 100
MESSAGES = RECORDS * DESTINATIONS
#: Of JavaScript; times are printed, not judged, since machines differ.
_MOST_MEGABYTES = 100
_FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


@pytest.fixture(scope="module")
def crowded() -> Iterator[Scene]:
    """Deploy, and send 10,000 messages, each to a phone of its own."""
    parameters = {"SendMaximumConcurrency": "2"}
    with World(parameters=parameters) as world, page(world) as served:
        world.invoke("CreateScenarioFunctionName", SCENARIO)
        for record in range(RECORDS):
            destinations = [
                {
                    "messageId": f"crowd-{record}-{number}",
                    "to": {"phoneNumber": f"38599{record:03d}{number:03d}1"},
                }
                for number in range(DESTINATIONS)
            ]
            contents = {"push": {"text": PUSH_TEXT}, "sms": {"text": SMS_TEXT}}
            world.put_message(
                {"scenario": "order-updates", "destinations": destinations, **contents}
            )
        wait_until(
            lambda: world.simulator.totals()["messages"] == MESSAGES,
            120,
            "Infobip has accepted all",
            every=0.5,
        )
        yield Scene(world, served.page_url)


def test_page_with_ten_thousand_messages_stays_usable(
    crowded: Scene, browser: Browser, note_figure: Callable[[str], None]
) -> None:
    """Its list scrolls, its search finds, and what happens now is shown within seconds."""
    with visiting(browser, crowded.url) as visit:
        window = Window(visit)
        started = time.monotonic()
        expect(window.page.get_by_role("button", name=re.compile(r"^All 10,?000$"))).to_be_visible()
        filled = time.monotonic() - started
        painted = visit.page.evaluate(_FIRST_PAINT)

        items = window.phones.get_by_role("listitem")
        assert items.count() < 100
        expect(items.first).to_have_attribute("aria-setsize", str(MESSAGES))
        items.first.get_by_role("button").focus()
        visit.page.keyboard.press("End")
        expect(items.last).to_have_attribute("aria-posinset", str(MESSAGES))

        search = window.phones.get_by_role("searchbox")
        search.fill("crowd-42-17")
        expect(items).to_have_count(1)
        expect(window.phone_button("385990420171")).to_be_visible()
        search.fill("")

        heap = heap_megabytes(window)
        event = crowded.event()
        sent = time.monotonic()
        crowded.put(event)
        expect(window.phone_button(event["to"]["phoneNumber"])).to_be_visible()
        updated = time.monotonic() - sent

    note_figure(
        f"{MESSAGES} messages: first paint after {painted:.0f} ms, all listed after {filled:.1f} s,"
        f" {heap:.0f} MB of JavaScript, a new message shown {updated:.1f} s after it was queued"
    )
    assert heap < _MOST_MEGABYTES


def heap_megabytes(window: Window) -> float:
    """Return how much memory the page's JavaScript uses after a collection."""
    developer = window.page.context.new_cdp_session(window.page)
    developer.send("HeapProfiler.collectGarbage")
    developer.send("Performance.enable")
    metrics = {
        each["name"]: each["value"] for each in developer.send("Performance.getMetrics")["metrics"]
    }
    developer.detach()
    return float(metrics["JSHeapUsedSize"]) / 1e6
