"""What a person finds on the page, by the names that a screen reader says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .visits import Visit

EXAMPLE_SCENARIO = "Create the example scenario"


class Window:
    """The page as its user sees it.

    Args:
        visit: The visit that shows it.
    """

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.page = visit.page

    @property
    def phones(self) -> Locator:
        return self.page.get_by_role("region", name="Phones", exact=True)

    @property
    def phone(self) -> Locator:
        """The selected phone."""
        return self.page.get_by_role("region", name="Phone", exact=True)

    @property
    def connection(self) -> Locator:
        """Whether the page is connected to its server."""
        return self.page.get_by_role("status").filter(has_text=re.compile("Live|onnecting"))

    @property
    def state(self) -> Locator:
        """The state of the selected message in the table."""
        return self.page.get_by_test_id("state")

    def expect_state(self, state: str) -> None:
        """Wait until the selected message has a state in the table."""
        expect(self.state).to_have_text(state)

    def expect_fact(self, term: str, text: str) -> None:
        """Wait until a fact about the selected message in the table has a text."""
        name = self.page.get_by_role("term").filter(has_text=re.compile(f"^{term}$"))
        expect(name.locator("+ dd")).to_have_text(text)

    @property
    def steps(self) -> Locator:
        return self.page.get_by_role("list", name="Steps", exact=True).get_by_role("listitem")

    @property
    def check(self) -> Locator:
        """What is wrong with the event that is being composed."""
        return self.page.get_by_test_id("check")

    def disclose(self, name: str) -> Locator:
        """Show details of the selected message, and return them."""
        summary = self.page.locator("summary").filter(has_text=re.compile(rf"^{name}\b"))
        details = self.page.get_by_role("group").filter(has=summary)
        if details.get_attribute("open") is None:
            summary.click()
        return details

    def open_tab(self, name: str) -> Locator:
        """Select a tab, and return its panel."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        panel = self.page.get_by_role("tabpanel", name=name, exact=True)
        expect(panel).to_be_visible()
        return panel

    def phone_button(self, phone: str) -> Locator:
        """Return the entry of a phone in the list of phones."""
        name = re.compile(rf"^\+?{re.escape(phone)}, [0-9,]+ unread")
        return self.phones.get_by_role("button", name=name)

    def select_phone(self, phone: str) -> Locator:
        """Select a phone in the list, and return its device."""
        self.phone_button(phone).click()
        expect(self.phone).to_contain_text(phone)
        return self.phone

    def behave(self, behaviour: str) -> None:
        """Choose how the selected phone behaves, and wait until the simulator knows it."""
        select = self.phone.get_by_role("combobox", name="Behaviour of this phone")
        with self.page.expect_response(lambda answer: answer.request.method == "POST"):
            select.select_option(behaviour)

    def compose(self, text: str) -> None:
        """Write an event as JSON."""
        self.open_tab("Compose").get_by_role("textbox", name="Event as JSON").fill(text)

    def show_phone(self) -> None:
        """Show the phone of the event that is being composed, which may have no message yet."""
        self.page.get_by_role("button", name="Show its phone", exact=True).click()

    def put_on_queue(self) -> None:
        self.page.get_by_role("button", name="Put it on the queue", exact=True).click()

    def switch(self, name: str) -> Locator:
        """Return a switch of Infobip."""
        return self.open_tab("Infobip").get_by_role("switch", name=name, exact=True)

    def turn(self, name: str, *, on: bool) -> None:
        """Turn a switch of Infobip on or off, and wait until the simulator has it."""
        switch = self.switch(name)
        if (switch.get_attribute("aria-checked") == "true") != on:
            switch.click()
        expect(switch).to_be_checked(checked=on)
