"""An audit by axe finds nothing wrong, in either theme and at either width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .visits import NARROW, WIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scene import Scene
    from .window import Window

#: At a narrow width, what stands beside the tabs elsewhere are tabs, too.
TABS = {"wide": ["Message", "Compose", "Operate", "Infobip"]}
TABS["narrow"] = ["Phones", "Phone", *TABS["wide"]]
WINDOWS = {"wide": WIDE, "narrow": NARROW}
#: What moves is half transparent for a moment, but for the time limit that runs down.
_IS_STILL = """
document.getAnimations().every(({playState, effect}) =>
  playState !== "running" || effect.target.matches(".limit-bar"))
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WINDOWS)
def test_audit_finds_no_violation(
    scene: Scene,
    open_window: Callable[..., Window],
    note_figure: Callable[[str], None],
    width: str,
    theme: str,
) -> None:
    """It sees a phone with a failed push and an SMS, dead-lettered records, and a broken rule."""
    event = scene.event()
    scene.world.simulator.rule_recipient(
        event["to"]["phoneNumber"], {"PUSH": "UNDELIVERABLE_NO_DESTINATION"}
    )
    scene.put(event)
    scene.put(scene.event(colour="red"))
    window = open_window(scene.link(event), viewport=WINDOWS[width], color_scheme=theme)
    window.expect_state("DELIVERED")
    window.compose("{}")
    expect(window.check).not_to_be_empty()
    found, checks = [], 0
    for tab in TABS[width]:
        window.page.get_by_role("tab", name=tab, exact=True).click()
        expect(window.page.get_by_text("Loading…").filter(visible=True)).to_have_count(0)
        window.page.wait_for_function(_IS_STILL)
        results = Axe().run(window.page)
        checks += len(results.response["passes"])
        found += [
            f"{tab}: {broken['id']} at {broken['nodes'][0]['target']}"
            for broken in results.response["violations"]
        ]

    note_figure(f"axe, {width} and {theme}: {checks} checks of {len(TABS[width])} tabs")
    assert found == []
