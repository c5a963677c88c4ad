"""Whatever a message holds, the page shows it as text, and keeps its form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .scene import Scene, as_text
from .visits import NARROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local_world.world import Json, World

    from .window import Window

#: Each would set this variable of the window if it ran.
_RUN = "window.hostile = true"
TEXTS = {
    "script": f"<script>{_RUN}</script>",
    "event handler": f'<img src="x:" onerror="{_RUN}"><svg onload="{_RUN}">',
    "end of an attribute": f'" autofocus onfocus="{_RUN}" x="',
    "template": "${" + _RUN + "} {{" + _RUN + "}}",
    "right to left": "\u202egnp.exe\u202c \u2067\u05e9\u05dc\u05d5\u05dd\u2069 \u202e",
    "long word": "W" * 2000,
    "long text": "Your parcel is late. " * 95,
    "emoji": "📦👩‍👩‍👧‍👦🇭🇷 ✅",
    "many marks": "Z̷̡̢̛̛͓̺̰" * 40,
    "line breaks": "first\nsecond\r\nthird",
}
#: Elements and attributes that only a text could have brought.
_MADE_OF_TEXT = "main :is(script, img, iframe, [onerror], [onload], [onfocus], [autofocus])"
_WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


@pytest.fixture(scope="module")
def sent(world: World) -> dict[str, Json]:
    """Send each text as PUSH and SMS to a phone of its own, and return the events."""
    scene = Scene(world, "")
    events = {
        name: scene.event(push={"text": text}, sms={"text": text}) for name, text in TEXTS.items()
    }
    for event in events.values():
        scene.put(event)
    return events


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_is_shown_as_text(
    scene: Scene, open_window: Callable[..., Window], sent: dict[str, Json], name: str
) -> None:
    """Nothing runs, no element is made of it, and nothing is wider than a phone's screen."""
    window = open_window(scene.link(sent[name], "phone"), viewport=NARROW)

    expect(window.phone).to_contain_text(TEXTS[name])
    check_form(window)
    window.open_tab("Message")
    expect(window.steps.first).to_contain_text(TEXTS[name])
    check_form(window)


def check_form(window: Window) -> None:
    """Check that the page has only elements of its own, and fits the window."""
    expect(window.page.locator(_MADE_OF_TEXT)).to_have_count(0)
    assert window.page.evaluate("window.hostile") is None
    width, room = window.page.evaluate(_WIDTHS)
    assert width <= room


def test_hostile_message_id_is_shown_as_text(
    scene: Scene, open_window: Callable[..., Window]
) -> None:
    """Upstream apps choose the ids."""
    event = scene.event(messageId=f'"><img src="x:" onerror="{_RUN}">')
    window = open_window(scene.link(event))

    scene.put(event)

    window.expect_state("DELIVERED")
    expect(window.page.get_by_role("heading", name=event["messageId"])).to_be_visible()
    check_form(window)


def test_hostile_event_is_checked_as_text(scene: Scene, window: Window) -> None:
    """What breaks a rule is named as it was written."""
    window.compose(as_text(scene.event() | {f"<img src=x: onerror={_RUN}>": 1}))

    expect(window.check).to_contain_text("<img src=x:")
    check_form(window)
