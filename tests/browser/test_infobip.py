"""Each switch of Infobip does to messages what it does in production, and the page shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local_world.world import Json

    from .scene import Scene
    from .window import Window


@pytest.fixture
def event(scene: Scene) -> Json:
    """Return an event whose message must arrive, so one that is not in the logs is sent again."""
    return scene.event(onUnknown="must-arrive")


@pytest.fixture
def window(scene: Scene, open_window: Callable[..., Window], event: Json) -> Window:
    """Show the message of the event before it is sent."""
    return open_window(scene.link(event))


def test_cut_report_is_lost(scene: Scene, window: Window, event: Json) -> None:
    """Infobip gives it once, so the message stays accepted until the logs are asked."""
    window.turn("Cut reports", on=True)
    scene.put(event)
    window.open_tab("Message")

    expect(window.steps.first).to_contain_text("lost on page")
    window.expect_state("ACCEPTED")


def test_throttled_message_waits_until_switch_is_off(
    scene: Scene, window: Window, event: Json
) -> None:
    window.turn("429 Too many requests", on=True)
    scene.put(event)
    window.open_tab("Message")
    window.expect_state("WAITING")
    expect(window.disclose("Attempts")).to_contain_text("status 429")

    window.turn("429 Too many requests", on=False)

    window.open_tab("Message")
    window.expect_state("DELIVERED")
    assert scene.acceptances(event) == 1


def test_server_error_leaves_outcome_unknown(scene: Scene, window: Window, event: Json) -> None:
    """A message that must arrive is sent again once the logs have shown that it is not there."""
    window.turn("500 Server error", on=True)
    scene.put(event)
    window.open_tab("Message")
    window.expect_state("UNKNOWN")
    expect(window.disclose("Attempts")).to_contain_text("status 500")

    window.turn("500 Server error", on=False)

    window.open_tab("Message")
    window.expect_state("DELIVERED")
    assert scene.acceptances(event) == 1


def test_message_whose_answer_was_lost_is_settled_from_logs(
    scene: Scene, window: Window, event: Json
) -> None:
    """It is sent once, and settled although its report is lost, too."""
    window.turn("Cut reports", on=True)
    window.turn("Lost answers", on=True)
    scene.put(event)
    window.open_tab("Message")
    window.expect_state("UNKNOWN")

    window.expect_state("DELIVERED")
    window.expect_fact("Evidence", "Infobip's logs")
    expect(window.steps.first).to_contain_text(re.compile("lost on page .* from the logs"))
    assert scene.acceptances(event) == 1


def test_slow_logs_keep_message_unknown(scene: Scene, window: Window, event: Json) -> None:
    """Nothing is sent again meanwhile."""
    window.turn("Slow logs", on=True)
    window.turn("Lost answers", on=True)
    window.turn("Cut reports", on=True)
    scene.put(event)
    window.open_tab("Message")
    window.expect_state("UNKNOWN")
    for switch in ("Lost answers", "Cut reports", "Slow logs"):
        window.turn(switch, on=False)

    window.open_tab("Message")
    window.expect_state("DELIVERED")
    assert scene.acceptances(event) == 1


def test_account_without_credit_has_its_messages_refused(
    scene: Scene, window: Window, event: Json
) -> None:
    """They wait, and are sent once there is credit again."""
    window.turn("Out of credit", on=True)
    scene.put(event)
    window.open_tab("Message")
    window.expect_state("WAITING")

    window.turn("Out of credit", on=False)

    window.open_tab("Message")
    window.expect_state("DELIVERED")
    assert scene.acceptances(event) == 1


def test_outage_ends_automatically(scene: Scene, window: Window, event: Json) -> None:
    """The page counts the seconds down, and the message is delivered afterwards."""
    panel = window.open_tab("Infobip")
    panel.get_by_role("spinbutton", name="Seconds").fill("2")
    panel.get_by_role("button", name="Outage").click()
    expect(panel).to_contain_text("more second")
    scene.put(event)
    window.open_tab("Message")

    # The sender asks the logs first, and tries again when SQS delivers the record again.
    expect(window.state).to_have_text("DELIVERED", timeout=60_000)
    assert scene.acceptances(event) == 1


def test_switch_that_another_window_turned_is_shown(
    scene: Scene, open_window: Callable[..., Window]
) -> None:
    """`make simulator` and the page agree as well, since the simulator keeps the switches."""
    one, other = open_window(), open_window()

    one.turn("Out of credit", on=True)

    expect(other.switch("Out of credit")).to_be_checked()
    scene.world.simulator.change_settings(refuseAll="")
    one.open_tab("Message")
    expect(one.switch("Out of credit")).not_to_be_checked()
