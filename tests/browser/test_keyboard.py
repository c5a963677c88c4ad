"""Everything can be done by the keyboard alone, and the focus is always visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from .scene import PUSH_TEXT, as_text

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .scene import Scene
    from .window import Window

#: More elements than the page has that take the focus.
_MOST_STOPS = 80
_HAS_FOCUS = "element => element === document.activeElement"
#: At the end of the page, the body has the focus for one stop.
_HIDES_FOCUS = """
() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const isShown = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return isShown || element === document.body ? null : element.outerHTML;
}
"""


def go_to(window: Window, element: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(_MOST_STOPS):
        if element.evaluate(_HAS_FOCUS):
            break
        window.page.keyboard.press("Tab")
        assert window.page.evaluate(_HIDES_FOCUS) is None
    expect(element).to_be_focused()


def go_to_tab(window: Window, name: str) -> None:
    """Go to the tab that is open, and from there by arrow keys to another."""
    go_to(window, window.page.get_by_role("tab", selected=True))
    wanted = window.page.get_by_role("tab", name=name, exact=True)
    for _ in range(6):
        if wanted.evaluate(_HAS_FOCUS):
            break
        window.page.keyboard.press("ArrowRight")
    expect(wanted).to_be_focused()
    expect(wanted).to_have_attribute("aria-selected", "true")


def test_message_is_sent_and_opened_by_keyboard_alone(scene: Scene, window: Window) -> None:
    """From the first key to the opened banner."""
    event, page = scene.event(), window.page
    go_to_tab(window, "Compose")
    go_to(window, page.get_by_role("textbox", name="Event as JSON"))
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(as_text(event))
    expect(window.check).to_contain_text("follows every rule")
    go_to(window, page.get_by_role("button", name="Put it on the queue", exact=True))
    page.keyboard.press("Enter")
    window.expect_state("DELIVERED")
    expect(page.get_by_role("tab", name="Message", exact=True)).to_be_focused()

    banner = window.phone.get_by_role("button", name=PUSH_TEXT)
    expect(banner).to_contain_text("unread")
    go_to(window, banner)
    page.keyboard.press("Enter")

    expect(banner).to_contain_text("Opened")


def test_list_of_phones_is_walked_by_arrow_keys(scene: Scene, window: Window) -> None:
    """Tab enters it once, whatever its length, and Enter shows a phone."""
    events = [scene.event() for _ in range(2)]
    for event in events:
        scene.put(event)
    for event in events:
        expect(window.phone_button(event["to"]["phoneNumber"])).to_be_visible()
    rows = window.phones.get_by_role("listitem").get_by_role("button")
    go_to(window, rows.and_(window.page.locator("[tabindex='0']")))

    window.page.keyboard.press("Home")
    expect(rows.first).to_be_focused()
    window.page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    window.page.keyboard.press("Enter")

    expect(rows.nth(1)).to_have_attribute("aria-current", "true")
