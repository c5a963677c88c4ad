"""An operator practises here what is done in production, by the deployed functions themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.local_world.world import wait_until

from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.local_world.world import Json, World

    from .window import Window

NAME, REASON = "Ana", "the recipient called"


def entry(window: Window, name: str, event: Json) -> Locator:
    """Return the entry of a message in a list of the tab Operate."""
    panel = window.open_tab("Operate")
    entries = panel.get_by_role("list", name=name, exact=True).get_by_role("listitem")
    return entries.filter(has_text=event["messageId"]).first


def decide(window: Window, event: Json, decision: str) -> None:
    """Release or close a quarantined message."""
    found = entry(window, "Quarantined messages", event)
    window.page.get_by_role("textbox", name="Your name").fill(NAME)
    window.page.get_by_role("textbox", name="Reason").fill(REASON)
    found.get_by_role("button", name=decision, exact=True).click()


def dead_letter(world: World, event: Json, **attributes: str) -> None:
    """Put a record on the dead-letter queue, as the sender does in a long outage."""
    given: Any = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
    world.sqs.send_message(
        QueueUrl=world.outputs["SendDeadLetterQueueUrl"],
        MessageBody=json.dumps(event),
        MessageAttributes=given,
    )


def is_dead_lettered(world: World, event: Json) -> bool:
    """Whether a record that holds an event is on the dead-letter queue now."""
    return json.dumps(event) in [each["body"] for each in world.dead_lettered_records()]


@dataclass(frozen=True)
class Quarantined:
    """Events whose messages Infobip never accepted, so the logs do not know them."""

    to_release: Json
    to_close: Json
    undecided: Json


@pytest.fixture(scope="module")
def quarantined(world: World) -> Quarantined:
    """Send all of them together, since three log queries take a while."""
    scene = Scene(world, "")
    events = Quarantined(scene.event(), scene.event(), scene.event())
    for event in vars(events).values():
        ids = [event["messageId"]]
        world.simulator.add_fault("send_advanced", "reset_before", messageIds=ids)
        scene.put(event)
    return events


def test_record_that_breaks_rule_is_listed_with_field_and_rule(
    scene: Scene, window: Window
) -> None:
    """The event is queued from the page, although the page says what is wrong with it."""
    event = scene.event(colour="red")
    window.compose(json.dumps(event))
    expect(window.check).to_contain_text("colour")
    window.put_on_queue()

    record = entry(window, "Dead-lettered records", event)

    expect(record).to_contain_text("INVALID")
    expect(record).to_contain_text("colour")


def test_redrive_is_shown_before_it_is_done(scene: Scene, window: Window) -> None:
    """Only the confirmation sends, and then the record is gone and its message delivered."""
    event = scene.event()
    dead_letter(scene.world, event, reason="OUTAGE", originalMessageId=event["messageId"])
    record = entry(window, "Dead-lettered records", event)
    expect(record).to_contain_text("OUTAGE")

    record.get_by_role("button", name="Redrive").click()
    confirm = window.page.get_by_role("button", name="Confirm")
    expect(confirm).to_be_visible()
    wait_until(lambda: is_dead_lettered(scene.world, event), 10, "the record is still there")
    confirm.click()

    expect(record).to_have_count(0)
    window.select_phone(event["to"]["phoneNumber"])
    window.open_tab("Message")
    window.expect_state("DELIVERED")
    assert scene.acceptances(event) == 1


def test_released_message_is_sent(
    scene: Scene, open_window: Callable[..., Window], quarantined: Quarantined
) -> None:
    """The table keeps who released it, and why."""
    event = quarantined.to_release
    window = open_window(scene.link(event))
    window.expect_state("QUARANTINED")

    decide(window, event, "Release")

    panel = window.open_tab("Message")
    window.expect_state("DELIVERED")
    expect(panel).to_contain_text(f"by {NAME}: {REASON}")
    assert scene.acceptances(event) == 1


def test_closed_message_is_never_sent(
    scene: Scene, open_window: Callable[..., Window], quarantined: Quarantined
) -> None:
    """It leaves the list, and its record the queue."""
    event = quarantined.to_close
    window = open_window(scene.link(event))
    window.expect_state("QUARANTINED")

    decide(window, event, "Close")

    expect(entry(window, "Quarantined messages", event)).to_have_count(0)
    panel = window.open_tab("Message")
    expect(panel).to_contain_text(f"by {NAME}: {REASON}")
    assert scene.acceptances(event) == 0


def test_decision_needs_name_and_reason(
    scene: Scene, open_window: Callable[..., Window], quarantined: Quarantined
) -> None:
    """Both are kept with the message, so nothing is done without them."""
    event = quarantined.undecided
    window = open_window(scene.link(event))
    window.expect_state("QUARANTINED")
    found = entry(window, "Quarantined messages", event)

    found.get_by_role("button", name="Release", exact=True).click()

    expect(found.get_by_role("alert")).to_contain_text("Your name and Reason")
    assert scene.acceptances(event) == 0
