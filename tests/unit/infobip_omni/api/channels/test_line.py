"""A LINE message holds what its type needs; a Flex message is checked to its last component."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from infobip_omni.api.channels import LineContent
from infobip_omni.api.raw_json import DEEPEST_NESTING
from infobip_omni.events.errors import read_as

from .refusals import refusal

Json = dict[str, Any]

URL = "https://a.example/a.png"
ACTIONS: list[Json] = [
    {"type": "POSTBACK", "label": "Yes", "data": "yes=1", "displayText": "Yes, please"},
    {"type": "URI", "label": "Open", "uri": "https://a.example"},
    {"type": "MESSAGE", "label": "Help", "text": "Help me"},
]
BASELINE: Json = {
    "type": "BOX",
    "layout": "BASELINE",
    "contents": [
        {"type": "ICON", "url": URL, "margin": "XS", "size": "XXXXXL", "aspectRatio": "2:1"},
        {"type": "TEXT", "text": "4.5", "weight": "BOLD"},
        {"type": "FILLER"},
        {"type": "SPACER", "size": "NONE"},
    ],
}
BODY: Json = {
    "layout": "VERTICAL",
    "flex": 10,
    "spacing": "MD",
    "margin": "LG",
    "action": ACTIONS[0],
    "contents": [
        BASELINE,
        {"type": "BOX", "layout": "HORIZONTAL", "flex": 0, "contents": []},
        *(
            {
                "type": "BUTTON",
                "action": action,
                "flex": 1,
                "margin": "SM",
                "height": "SM",
                "style": "LINK",
                "color": "#ffffff",
                "gravity": "TOP",
            }
            for action in ACTIONS
        ),
        {"type": "IMAGE", "url": URL, "align": "START", "size": "FULL", "aspectMode": "FIT"},
        {"type": "SEPARATOR", "margin": "XL", "color": "#000000"},
        {
            "type": "TEXT",
            "text": "Hello",
            "size": "XXS",
            "align": "END",
            "gravity": "CENTER",
            "wrap": True,
            "maxLines": 0,
            "action": ACTIONS[1],
        },
    ],
}
BUBBLE: Json = {
    "type": "BUBBLE",
    "direction": "LEFT_TO_RIGHT",
    "header": BASELINE,
    "hero": {"url": URL, "backgroundColor": "#ffffff", "action": ACTIONS[1]},
    "body": BODY,
    "styles": {"body": {"backgroundColor": "#ffffff", "separator": True}},
}
#: A box is two levels of JSON: an object and its list.
MOST_BOXES = DEEPEST_NESTING // 2


def flex(**members: object) -> Json:
    """Return a Flex message of one bubble with further members."""
    return {"type": "FLEX", "altText": "a", "contents": BUBBLE | members}


def component(entry: object, layout: str = "VERTICAL") -> Json:
    """Return a Flex message whose body has one component."""
    return flex(body={"layout": layout, "contents": [entry]})


def button(action: object) -> Json:
    """Return a Flex message of one button."""
    return component({"type": "BUTTON", "action": action})


@pytest.mark.parametrize(
    "content",
    [
        {"text": "Hello"},
        {"type": "TEXT", "text": "Hello"},
        {"type": "IMAGE", "url": URL, "thumbnailUrl": URL},
        {"type": "VIDEO", "url": URL, "thumbnailUrl": URL, "duration": 1},
        {"type": "AUDIO", "url": URL, "duration": 2**63 - 1},
        {"type": "STICKER", "packageId": "1", "stickerId": "2"},
        flex(),
        flex() | {"contents": {"type": "CAROUSEL", "contents": [BUBBLE, BUBBLE]}},
        {"url": URL},
        {"type": "STICKER", "packageId": "1", "stickerId": "2", "text": "Hello"},
    ],
)
def test_message_of_each_type_is_accepted(content: Json) -> None:
    """Members of other types may be present: Infobip's schema requires them in each message."""
    read_as(LineContent, content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, "body: must hold at least one of text, url, stickerId, contents"),
        ({"type": "LOCATION"},
         "type: must be one of TEXT, IMAGE, VIDEO, AUDIO, STICKER, FLEX"),
        ({"type": "TEXT"}, "text: is required for type TEXT"),
        ({"type": "IMAGE", "thumbnailUrl": URL}, "url: is required for type IMAGE"),
        ({"type": "VIDEO"}, "url: is required for type VIDEO"),
        ({"type": "AUDIO", "text": "a"}, "url: is required for type AUDIO"),
        ({"type": "STICKER", "stickerId": "2"}, "packageId: is required for type STICKER"),
        ({"type": "STICKER", "packageId": "2"}, "stickerId: is required for type STICKER"),
        ({"type": "FLEX", "contents": BUBBLE}, "altText: is required for type FLEX"),
        ({"type": "FLEX", "altText": "a"}, "contents: is required for type FLEX"),
        ({"type": "IMAGE", "url": "a.png"}, "url: must be a URL, with its scheme like https://"),
        ({"url": "a" * 1001}, "url: must have at most 1000 characters"),
        ({"text": "a", "thumbnailUrl": "a" * 1001},
         "thumbnailUrl: must have at most 1000 characters"),
        ({"text": "a", "duration": 2**63}, "duration: must be at most 9223372036854775807"),
        ({"text": "a", "duration": "1"}, "duration: must be a whole number"),
        ({"text": "a", "packageId": 1}, "packageId: must be a string"),
        (flex() | {"altText": "a" * 401}, "altText: must have at most 400 characters"),
        ({"text": "a", "emojis": []}, "emojis: is not a field of this object"),
    ],
)  # fmt: skip
def test_broken_rule_is_named_with_its_member(content: Json, error: str) -> None:
    assert refusal(LineContent, content) == error


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (flex() | {"contents": []}, "contents: must be an object"),
        (flex() | {"contents": {}}, "contents.type: is required"),
        (flex() | {"contents": {"type": "bubble"}},
         "contents.type: must be one of BUBBLE, CAROUSEL"),
        (flex() | {"contents": {"type": ["BUBBLE"]}},
         "contents.type: must be one of BUBBLE, CAROUSEL"),
        (flex() | {"contents": {"type": "BUBBLE"}}, "contents.direction: is required"),
        (flex(direction="ltr"),
         "contents.direction: must be one of LEFT_TO_RIGHT, RIGHT_TO_LEFT"),
        (flex(size="giga"), "contents.size: is not a field of this object"),
        (flex() | {"contents": {"type": "CAROUSEL", "contents": [BUBBLE, {}]}},
         "contents.contents[1].direction: is required"),
        (flex(header={"contents": []}), "contents.header.layout: is required"),
        (flex(footer={"layout": "GRID"}),
         "contents.footer.layout: must be one of HORIZONTAL, VERTICAL, BASELINE"),
        (flex(footer={"layout": "HORIZONTAL"}), "contents.footer.contents: is required"),
        (flex(body=BODY | {"flex": 11}), "contents.body.flex: must be at most 10"),
        (flex(body=BODY | {"flex": -1}), "contents.body.flex: must be at least 0"),
        (flex(body=BODY | {"type": "TEXT"}), "contents.body.type: must be one of BOX"),
        (flex(body=BODY | {"spacing": "md"}),
         "contents.body.spacing: must be one of XS, SM, MD, LG, XL, XXL, NONE"),
        (flex(hero={"url": "a.png"}),
         "contents.hero.url: must be a URL, with its scheme like https://"),
        (flex(hero={"type": "IMAGE"}), "contents.hero.url: is required"),
        (flex(hero={"url": URL, "aspectMode": "FILL"}),
         "contents.hero.aspectMode: must be one of COVER, FIT"),
        (flex(styles={"body": {"separator": 1}}),
         "contents.styles.body.separator: must be true or false"),
        (component({}), "contents.body.contents[0].type: is required"),
        (component({"type": "ICON", "url": URL}), ("contents.body.contents[0].type: must be one of"
         " BOX, BUTTON, FILLER, IMAGE, TEXT, SEPARATOR, SPACER")),
        (component({"type": "IMAGE", "url": URL}, "BASELINE"),
         "contents.body.contents[0].type: must be one of FILLER, TEXT, ICON, SPACER"),
        (component({"type": "BOX", "contents": []}),
         "contents.body.contents[0].layout: is required"),
        (component({"type": "TEXT"}), "contents.body.contents[0].text: is required"),
        (component({"type": "TEXT", "text": "a", "maxLines": -1}),
         "contents.body.contents[0].maxLines: must be at least 0"),
        (component({"type": "TEXT", "text": "a", "size": "FULL"}),
         ("contents.body.contents[0].size: must be one of XXS, XS, SM, MD, LG, XL, XXL, XXXL,"
         " XXXXL, XXXXXL")),
        (component({"type": "BUTTON"}), "contents.body.contents[0].action: is required"),
        (button({"label": "a"}), "contents.body.contents[0].action.type: is required"),
        (button({"type": "CALL"}),
         "contents.body.contents[0].action.type: must be one of POSTBACK, URI, MESSAGE"),
        (button({"type": "URI", "label": "a"}),
         "contents.body.contents[0].action.uri: is required"),
        (button({"type": "POSTBACK", "label": "a", "data": "b"}),
         "contents.body.contents[0].action.displayText: is required"),
        (button(ACTIONS[1] | {"uri": "a.example"}), ("contents.body.contents[0].action.uri:"
         " must be a URL, with its scheme like https://")),
        (button(ACTIONS[1] | {"label": "a" * 21}),
         "contents.body.contents[0].action.label: must have at most 20 characters"),
        (button(ACTIONS[1] | {"uri": "a" * 1001}),
         "contents.body.contents[0].action.uri: must have at most 1000 characters"),
        (button(ACTIONS[0] | {"data": "a" * 301}),
         "contents.body.contents[0].action.data: must have at most 300 characters"),
        (button(ACTIONS[2] | {"text": "a" * 301}),
         "contents.body.contents[0].action.text: must have at most 300 characters"),
        (button(ACTIONS[2] | {"data": "a"}),
         "contents.body.contents[0].action.data: is not a field of this object"),
        (component(BASELINE | {"contents": [{"type": "TEXT"}]}),
         "contents.body.contents[0].contents[0].text: is required"),
    ],
)  # fmt: skip
def test_broken_rule_of_flex_message_is_named_with_its_member(content: Json, error: str) -> None:
    """The path names members and positions only."""
    assert refusal(LineContent, content) == error


def test_boxes_may_be_nested_deeply() -> None:
    """A fault is found at the depth at which events are refused."""
    body: Json = {"layout": "VERTICAL", "contents": [{"type": "TEXT", "text": "a"}]}
    fault: Json = {"layout": "VERTICAL", "contents": [{"type": "TEXT"}]}
    for _ in range(MOST_BOXES):
        body = {"type": "BOX", "layout": "VERTICAL", "contents": [body | {"type": "BOX"}]}
        fault = {"type": "BOX", "layout": "VERTICAL", "contents": [fault | {"type": "BOX"}]}

    read_as(LineContent, flex(body=body))

    assert refusal(LineContent, flex(body=fault)).startswith("contents.body.contents[0].contents")


def test_validation_leaves_content_unchanged() -> None:
    """What is sent is what the caller wrote."""
    content = flex()
    written = copy.deepcopy(content)

    read_as(LineContent, content)

    assert content == written


def test_content_shows_nothing_personal() -> None:
    """A Flex message may hold a name in any component."""
    shown = repr(read_as(LineContent, component({"type": "TEXT", "text": "canary"})))

    assert "canary" not in shown
