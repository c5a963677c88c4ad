"""The story that the system is for, as a person plays it: a push fails, and an SMS replaces it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.local_world.page.server import page
from tests.local_world.world import World

from .scene import SMS_TEXT, as_text
from .visits import visiting
from .window import EXAMPLE_SCENARIO, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

#: As in events/send_message.json, but for the ending that decides what the simulator does.
PHONE = "385915551234"
FIRST = {
    "scenario": "order-updates",
    "messageId": "order-4711",
    "to": {"phoneNumber": PHONE},
    "push": {"text": "Thank you for your order."},
    "sms": {"text": "Acme: thank you for your order."},
}
SECOND = FIRST | {
    "messageId": "parcel-1002",
    "push": {"text": "Your parcel is on its way."},
    "sms": {"text": SMS_TEXT},
}


@contextmanager
def played(browser: Browser, script: str = "") -> Iterator[Window]:
    """Play the story in a deployment of its own, and return the window in which it ended.

    It creates the scenario, sends a push that arrives, switches push off, and sends another.

    Args:
        browser: A running Chromium.
        script: Runs before those of the page.
    """
    with (
        World() as world,
        page(world) as served,
        visiting(browser, served.page_url, script=script) as visit,
    ):
        window = Window(visit)
        create = window.open_tab("Compose").get_by_role("button", name=EXAMPLE_SCENARIO)
        create.click()
        expect(create).to_be_hidden()
        window.compose(as_text(FIRST))
        window.put_on_queue()
        expect(window.phone).to_contain_text("Thank you for your order.")
        window.expect_state("DELIVERED")
        window.behave("push-off")
        window.compose(as_text(SECOND))
        window.put_on_queue()
        expect(window.phone).to_contain_text(SMS_TEXT)
        window.expect_state("DELIVERED")
        yield window
