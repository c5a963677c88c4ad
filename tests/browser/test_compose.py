"""An event is checked while it is typed, as the sender checks it, and queued as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.local_world.aws_emulator import ROOT

from .scene import PUSH_TEXT, SMS_TEXT, as_text

if TYPE_CHECKING:
    from .scene import Scene
    from .window import Window

RIGHT = "It follows every rule of the sender."


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"scenario": "no-such-scenario"}, ["scenario", "registered"]),
        ({"to": {"phoneNumber": "12"}}, ["to.phoneNumber"]),
        ({"sms": {"text": ""}}, ["sms.text"]),
        ({"colour": "red"}, ["colour"]),
        ({"sms": None}, ["sms"]),
    ],
)
def test_broken_rule_is_named_while_one_types(
    scene: Scene, window: Window, members: dict[str, object], said: list[str]
) -> None:
    """Field and rule stand beside the event, and go once it is right."""
    right = scene.event()
    window.compose(as_text(right | members))
    for each in said:
        expect(window.check).to_contain_text(each)

    window.compose(as_text(right))

    expect(window.check).to_have_text(RIGHT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "scenario" "order-updates"\n}', ["Line 2, column 14"]),
        ('{"scenario": "order-updates",}', ["Line 1, column 30"]),
        ("[]", ["object"]),
    ],
)
def test_malformed_json_is_named_with_its_place(window: Window, text: str, said: list[str]) -> None:
    window.compose(text)

    for each in said:
        expect(window.check).to_contain_text(each)


def test_example_is_starting_point(window: Window) -> None:
    """It is checked immediately, and can be sent as it is."""
    panel = window.open_tab("Compose")
    panel.get_by_role("combobox", name="Start from").select_option("send_message.json")

    text = panel.get_by_role("textbox", name="Event as JSON")
    expect(text).to_have_value((ROOT / "events/send_message.json").read_text())
    expect(window.check).to_have_text(RIGHT)


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("Message id", "order-4712", '"messageId": "order-4712"'),
        ("Recipient", "385917654321", '"phoneNumber": "385917654321"'),
        ("Text of PUSH", 'He said "yes" 📦', r'"text": "He said \"yes\" 📦"'),
        ("Text of SMS", "Two\nlines", r'"text": "Two\nlines"'),
    ],
)
def test_form_writes_json(
    scene: Scene, window: Window, field: str, value: str, written: str
) -> None:
    """What the form does not know stays as its author wrote it."""
    window.compose(as_text(scene.event(callbackData="kept")))

    window.page.get_by_role("textbox", name=field).or_(
        window.page.get_by_role("combobox", name=field)
    ).fill(value)

    text = window.page.get_by_role("textbox", name="Event as JSON")
    expect(text).to_have_value(re.compile(re.escape(written)))
    expect(text).to_have_value(re.compile('"callbackData": "kept"'))
    expect(window.check).to_have_text(RIGHT)


def test_json_fills_form(scene: Scene, window: Window) -> None:
    event = scene.event()

    window.compose(as_text(event))

    expect(window.page.get_by_role("textbox", name="Message id")).to_have_value(event["messageId"])
    expect(window.page.get_by_role("textbox", name="Text of SMS")).to_have_value(SMS_TEXT)


def test_field_of_form_says_which_rule_it_breaks(scene: Scene, window: Window) -> None:
    """A screen reader hears it as the description of the field."""
    window.compose(as_text(scene.event(sms={"text": ""})))

    field = window.page.get_by_role("textbox", name="Text of SMS")

    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("sms.text"))


def test_queued_event_is_shown_as_soon_as_it_is_known(scene: Scene, window: Window) -> None:
    """Its phone and its message are selected, so its author need not look for them."""
    event = scene.event()
    window.compose(as_text(event))
    window.put_on_queue()

    expect(window.phone).to_contain_text(event["to"]["phoneNumber"])
    expect(window.phone).to_contain_text(PUSH_TEXT)
    window.expect_state("DELIVERED")
