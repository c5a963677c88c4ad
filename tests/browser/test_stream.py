"""A page that loses its server says so, and shows afterwards what happened meanwhile."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.local_world.page.server import page
from tests.local_world.world import wait_until

from .scene import Scene
from .visits import visiting
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser

    from tests.local_world.world import World

RETURNS = {"name": "Returns", "flow": [{"from": "acme-mobile-app", "channel": "PUSH"}]}
#: The server is gone, and then another one refuses the token of its predecessor, once.
_EXPECTED = r"net::ERR_(CONNECTION|INCOMPLETE|EMPTY)_?|status of 403"


def test_page_goes_on_without_reload_after_its_server_was_gone(
    world: World, browser: Browser
) -> None:
    """It says meanwhile that it reconnects; what it can change works with the new server, too."""
    scene = Scene(world, "")
    before, meanwhile, after = scene.event(), scene.event(), scene.event()
    with ExitStack() as server:
        url = server.enter_context(page(world)).page_url
        with visiting(browser, url) as visit:
            visit.expect_in_console(_EXPECTED)
            window = Window(visit)
            expect(window.connection).to_have_text("Live")
            scene.put(before)
            expect(window.phone_button(before["to"]["phoneNumber"])).to_be_visible()
            visit.page.evaluate("window.isSameDocument = true")

            server.close()
            expect(window.connection).to_contain_text("Reconnecting")
            scene.put(meanwhile)
            world.invoke("CreateScenarioFunctionName", RETURNS)
            server.enter_context(page(world, urlsplit(url).port or 0))

            expect(window.phone_button(meanwhile["to"]["phoneNumber"])).to_be_visible()
            expect(window.connection).to_have_text("Live")
            expect(window.open_tab("Compose").get_by_label("Scenario")).to_contain_text("Returns")
            window.turn("Out of credit", on=True)
            window.turn("Out of credit", on=False)
            scene.put(after)
            expect(window.phone_button(after["to"]["phoneNumber"])).to_be_visible()
            assert visit.page.evaluate("window.isSameDocument")


def test_two_windows_show_same_message(scene: Scene, open_window: Callable[..., Window]) -> None:
    one, other = open_window(), open_window()
    event = scene.event()

    scene.put(event)

    for window in (one, other):
        window.select_phone(event["to"]["phoneNumber"])
        window.expect_state("DELIVERED")


def test_window_that_goes_away_leaves_no_thread_behind(scene: Scene, browser: Browser) -> None:
    """The server notices when it next has something to tell."""
    before = set(threading.enumerate())
    with visiting(browser, scene.url) as visit:
        expect(Window(visit).connection).to_have_text("Live")
        serving = set(threading.enumerate()) - before
        assert serving

    scene.put(scene.event())

    wait_until(
        lambda: not any(each.is_alive() for each in serving), 30, "its thread ends", every=0.1
    )
