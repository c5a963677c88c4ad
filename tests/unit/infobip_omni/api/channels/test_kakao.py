"""Buttons of KakaoTalk messages follow the rules of their type."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import KakaoAlimContent, KakaoChinguContent
from infobip_omni.events.errors import read_as

from .refusals import refusal

Json = dict[str, Any]

URL = "https://a.example"
APP = "app://a"


def button(kind: str, **members: object) -> Json:
    """Return a button with further members."""
    return {"type": kind, "buttonText": "Open"} | members


def alim(*buttons: object, **members: object) -> Json:
    """Return an AlimTalk message with buttons and further members."""
    return {"text": "Hello"} | ({"buttons": list(buttons)} if buttons else {}) | members


def chingu(*buttons: object, **members: object) -> Json:
    """Return a ChinguTalk message with buttons and further members."""
    return alim(*buttons, **members)


@pytest.mark.parametrize(
    "content",
    [
        alim(),
        alim(templateCode="welcome", title="Hi", groupKey="g"),
        alim(button("URL", buttonUrlMobile=URL, buttonUrlPc=URL, target="out")),
        alim(button("URL", buttonUrl=URL)),
        alim(button("APP_LINK", androidScheme=APP, iosScheme=APP)),
        alim(button("APP_LINK", androidScheme=APP, buttonUrlMobile=URL, buttonUrlPc=URL)),
        alim(button("APP_LINK", androidScheme=APP, iosScheme=APP, buttonUrlMobile=URL)),
        alim(button("CHATBOT_SWITCH", chatExtra="", chatEvent="e")),
        alim(*map(button, ("DELIVERY_TRACKING", "MESSAGE_DELIVERY", "BOT_KEYWORD", "ADD_CHANNEL"))),
        alim(*[button("ADD_CHANNEL")] * 5),
    ],
)
def test_alim_takes_documented_buttons(content: Json) -> None:
    read_as(KakaoAlimContent, content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"templateCode": "welcome"}, "text: is required"),
        (alim(text=""), "text: must not be empty"),
        (alim(text="a" * 1001), "text: must have at most 1000 characters"),
        (alim(templateCode=""), "templateCode: must not be empty"),
        (alim(templateCode="a" * 31), "templateCode: must have at most 30 characters"),
        (alim(title="a" * 51), "title: must have at most 50 characters"),
        (alim(imageUrl=URL), "imageUrl: is not a field of this object"),
        (alim(buttons=[]), "buttons: must hold at least one entry"),
        (alim(*[button("ADD_CHANNEL")] * 6), "buttons: must have at most 5 entries"),
        (alim("Open"), "buttons[0]: must be an object"),
        (alim({"buttonText": "Open"}), "buttons[0].type: is required"),
        (alim(button("CALL")), ("buttons[0].type: must be one of URL, APP_LINK, DELIVERY_TRACKING,"
         " CHATBOT_SWITCH, MESSAGE_DELIVERY, BOT_KEYWORD, ADD_CHANNEL")),
        (alim({"type": "ADD_CHANNEL"}), "buttons[0].buttonText: is required"),
        (alim(button("ADD_CHANNEL", buttonText="")), "buttons[0].buttonText: must not be empty"),
        (alim(button("ADD_CHANNEL", buttonText="a" * 29)),
         "buttons[0].buttonText: must have at most 28 characters"),
        (alim(button("ADD_CHANNEL", buttonUrl=URL)),
         "buttons[0].buttonUrl: is not a field of this object"),
        (alim(button("ADD_CHANNEL"), button("URL", buttonUrlPc=URL)),
         "buttons[1]: must hold at least one of buttonUrlMobile, buttonUrl"),
        (alim(button("URL", buttonUrl=URL, buttonUrlMobile=URL)),
         "buttons[0].buttonUrl: must not be combined with buttonUrlMobile"),
        (alim(button("URL", buttonUrlMobile="")), "buttons[0].buttonUrlMobile: must not be empty"),
        (alim(button("URL", buttonUrlMobile="a" * 501)),
         "buttons[0].buttonUrlMobile: must have at most 500 characters"),
        (alim(button("URL", buttonUrlMobile=URL, target="in")),
         "buttons[0].target: must be one of out"),
        (alim(button("APP_LINK", androidScheme=APP, buttonUrlPc=URL)),
         "buttons[0]: must hold two of androidScheme, iosScheme, buttonUrlMobile"),
        (alim(button("CHATBOT_SWITCH", chatEvent="e")), "buttons[0].chatExtra: is required"),
        (alim(button("CHATBOT_SWITCH", chatExtra="e")), "buttons[0].chatEvent: is required"),
        (alim(button("CHATBOT_SWITCH", chatExtra="a" * 51, chatEvent="e")),
         "buttons[0].chatExtra: must have at most 50 characters"),
    ],
)  # fmt: skip
def test_broken_rule_of_alim_is_named_with_its_member(content: Json, error: str) -> None:
    assert refusal(KakaoAlimContent, content) == error


@pytest.mark.parametrize(
    "content",
    [
        chingu(),
        {"imageUrl": URL},
        chingu(imageUrl=URL, imageLink=URL, isPromotional=True),
        chingu(button("URL", buttonUrl=URL)),
        chingu(button("APP_LINK", androidScheme=APP, iosScheme=APP)),
        chingu(button("BOT_KEYWORD"), button("MESSAGE_DELIVERY")),
    ],
)
def test_chingu_takes_documented_buttons(content: Json) -> None:
    """Infobip's schema requires an image in each, and its own examples have none."""
    read_as(KakaoChinguContent, content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "body: must hold at least one of text, imageUrl"),
        ({"imageLink": URL}, "body: must hold at least one of text, imageUrl"),
        (chingu(imageUrl=""), "imageUrl: must not be empty"),
        (chingu(imageUrl="a.png"), "imageUrl: must be a URL, with its scheme like https://"),
        (chingu(imageLink="a" * 251), "imageLink: must have at most 250 characters"),
        (chingu(isPromotional="no"), "isPromotional: must be true or false"),
        (chingu(templateCode="a"), "templateCode: is not a field of this object"),
        (chingu(buttons=[]), "buttons: must hold at least one entry"),
        (chingu(*[button("BOT_KEYWORD")] * 6), "buttons: must have at most 5 entries"),
        (chingu(button("ADD_CHANNEL")),
         "buttons[0].type: must be one of URL, APP_LINK, BOT_KEYWORD, MESSAGE_DELIVERY"),
        (chingu(button("URL")), "buttons[0].buttonUrl: is required"),
        (chingu(button("URL", buttonUrlMobile=URL)), "buttons[0].buttonUrl: is required"),
        (chingu(button("APP_LINK", androidScheme=APP)), "buttons[0].iosScheme: is required"),
        (chingu(button("APP_LINK", iosScheme=APP)), "buttons[0].androidScheme: is required"),
    ],
)  # fmt: skip
def test_broken_rule_of_chingu_is_named_with_its_member(content: Json, error: str) -> None:
    assert refusal(KakaoChinguContent, content) == error
