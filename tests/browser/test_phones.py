"""Each behaviour of a phone does what its name says, and the page shows it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .scene import PUSH_TEXT, SMS_TEXT, as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local_world.world import Json

    from .scene import Scene
    from .window import Window

    Send = Callable[[str], tuple[Window, Json]]


@pytest.fixture
def send_to(scene: Scene, open_window: Callable[..., Window]) -> Send:
    """Return a function that sends a message to a new phone that behaves in a way.

    It returns the window, which shows the message, and its event.
    """

    def send(behaviour: str) -> tuple[Window, Json]:
        event = scene.event()
        window = open_window(scene.link(event))
        window.behave(behaviour)
        scene.put(event)
        return window, event

    return send


def test_phone_without_trouble_shows_push(send_to: Send) -> None:
    """It is delivered, and opens when its reader clicks it; no SMS is sent."""
    window, _ = send_to("normal")
    banner = window.phone.get_by_role("button", name=PUSH_TEXT)

    window.expect_state("DELIVERED")
    window.expect_fact("Delivered by", "PUSH")
    expect(banner).to_contain_text("unread")
    banner.click()
    expect(banner).to_contain_text("Opened")
    expect(window.steps.nth(1)).to_contain_text("Not needed")
    expect(window.phone).not_to_contain_text(SMS_TEXT)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("push-off", "UNDELIVERABLE_NO_DESTINATION"), ("no-app", "REJECTED_NO_APPLICATION")],
)
def test_phone_that_shows_no_push_gets_sms(send_to: Send, behaviour: str, reason: str) -> None:
    """The timeline says why the push failed, and which step took over."""
    window, _ = send_to(behaviour)

    expect(window.steps.nth(0)).to_contain_text(reason)
    expect(window.steps.nth(1)).to_contain_text("SMS")
    expect(window.phone).to_contain_text(SMS_TEXT)
    window.expect_state("DELIVERED")
    window.expect_fact("Delivered by", "SMS")


def test_behaviour_of_phone_is_chosen_before_its_first_message(
    scene: Scene, window: Window
) -> None:
    """Compose shows the phone of an event that follows the rules, although no list has it yet."""
    event = scene.event()
    window.compose(as_text(event))
    window.show_phone()
    expect(window.phone).to_contain_text(event["to"]["phoneNumber"])
    window.behave("push-off")

    window.put_on_queue()

    window.expect_state("DELIVERED")
    window.expect_fact("Delivered by", "SMS")


def test_step_of_unreachable_phone_ends_when_its_time_is_over(send_to: Send) -> None:
    """The page can end the time of each step, and the next one takes over."""
    window, _ = send_to("unreachable")
    end_step = window.page.get_by_role("button", name="This step's time is over", exact=True)

    expect(window.steps.nth(0)).to_contain_text("until its time is over")
    end_step.click()
    expect(window.steps.nth(0)).to_contain_text("EXPIRED")
    expect(window.steps.nth(0)).to_contain_text("SMS takes over")
    expect(window.steps.nth(1)).to_contain_text("until its time is over")
    end_step.click()
    window.expect_state("EXPIRED")


def test_slow_phone_takes_five_seconds(send_to: Send, scene: Scene) -> None:
    """The push is on its way meanwhile, with its time limit."""
    window, event = send_to("slow")

    expect(window.steps.first).to_contain_text("until its time is over")
    window.expect_state("DELIVERED")
    window.expect_fact("Delivered by", "PUSH")
    [entry] = scene.world.simulator.messages(event["messageId"])
    took = read(entry["steps"][0]["endedAt"]) - read(entry["steps"][0]["startedAt"])
    assert took == timedelta(seconds=5)


def test_phone_that_opens_late_needs_no_click(send_to: Send) -> None:
    """The banner is unread first, and opened five seconds later."""
    window, _ = send_to("opens-late")
    banner = window.phone.get_by_role("button", name=PUSH_TEXT)

    expect(banner).to_contain_text("unread")
    expect(banner).to_contain_text("Opened")


def test_behaviour_that_was_set_elsewhere_is_custom(
    scene: Scene, open_window: Callable[..., Window]
) -> None:
    """The page does not take a rule of `make simulator` for one of its own."""
    event = scene.event()
    scene.world.simulator.rule_recipient(event["to"]["phoneNumber"], {"PUSH": "EXPIRED_EXPIRED"})

    window = open_window(scene.link(event))

    expect(window.phone.get_by_role("combobox")).to_have_value("custom")


def read(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
