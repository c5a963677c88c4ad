"""The story that the system is for: a push fails on a phone, and an SMS takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .scene import SMS_TEXT
from .story import PHONE, played

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from .window import Window


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Window]:
    """Play the story in a deployment of its own, which has no scenario yet."""
    with played(browser) as window:
        yield window


def test_timeline_says_why_push_failed_and_what_took_over(window: Window) -> None:
    push, sms = window.steps.nth(0), window.steps.nth(1)

    expect(push).to_contain_text("UNDELIVERABLE_NO_DESTINATION")
    expect(push).to_contain_text("SMS takes over")
    expect(push).to_contain_text("recorded in the table")
    expect(sms).to_contain_text("DELIVERED_TO_HANDSET")


def test_sms_arrives_on_phone_with_parts_and_price(window: Window) -> None:
    bubble = window.phone.get_by_role("button", name=SMS_TEXT)

    expect(bubble).to_contain_text("1 part")
    expect(bubble).to_contain_text("0.01 EUR")
    expect(bubble).to_contain_text("unread")


def test_state_in_table_has_its_evidence(window: Window) -> None:
    window.expect_state("DELIVERED")
    window.expect_fact("Delivered by", "SMS")
    window.expect_fact("Evidence", "a delivery report")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Attempts", "send_advanced"),
        ("Reports", "DELIVERED_TO_HANDSET"),
        ("Log rows", "None yet"),
    ],
)
def test_details_are_shown_on_demand(window: Window, name: str, text: str) -> None:
    shown = window.page.get_by_role("tabpanel", name="Message").get_by_text(text)
    before = shown.filter(visible=True).count()

    details = window.disclose(name)

    expect(details.get_by_text(text).first).to_be_visible()
    assert shown.filter(visible=True).count() > before


def test_earlier_push_stays_on_phone(window: Window) -> None:
    expect(window.phone.get_by_role("button", name="Thank you for your order.")).to_be_visible()
    expect(window.phone_button(PHONE)).to_be_visible()
