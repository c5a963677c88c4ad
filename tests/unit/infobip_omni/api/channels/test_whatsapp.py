"""A WhatsApp message has one of the shapes that Infobip documents."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import WhatsAppContent
from infobip_omni.events.errors import read_as

from .refusals import refusal

Json = dict[str, Any]

URL = "https://a.example/a"
NAME = {"firstName": "Ada", "formattedName": "Ada Lovelace"}
BODY = {"placeholders": ["Ada"]}
HEADERS: list[Json] = [
    {"textPlaceholder": "Ada"},
    {"documentUrl": "https://a.example/a.pdf", "documentFilename": "a.pdf"},
    {"imageUrl": "https://a.example/a.png"},
    {"videoUrl": "https://a.example/a.mp4"},
    {"latitude": 0, "longitude": 0},
]
SHAPES: list[Json] = [
    {"text": "Hello", "previewUrl": True},
    {"templateName": "welcome"},
    {
        "templateName": "welcome",
        "templateNamespace": "ns",
        "templateData": ["Ada"],
        "language": "en",
    },
    {"templateName": "welcome", "mediaTemplateData": {"body": BODY}, "language": "en"},
    {"imageUrl": "https://a.example/a.png"},
    {"audioUrl": "https://a.example/a.mp3"},
    {"videoUrl": "https://a.example/a.mp4"},
    {"fileUrl": "https://a.example/a.pdf"},
    {"longitude": 13.5, "latitude": 52, "locationName": "Depot", "address": "Ring 1"},
    {"contacts": [{"name": NAME}]},
]


def template(**members: object) -> Json:
    """Return a template message whose media template data has further members."""
    return {"templateName": "welcome", "mediaTemplateData": {"body": BODY} | members}


def contact(**members: object) -> Json:
    """Return a message of one contact with further members."""
    return {"contacts": [{"name": NAME} | members]}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_documented_shape_is_accepted(shape: Json) -> None:
    """Infobip's schema requires a text in each, and its own examples have it in one."""
    read_as(WhatsAppContent, shape)
    read_as(WhatsAppContent, shape | {"text": "Hello"})


@pytest.mark.parametrize("header", HEADERS)
def test_template_may_have_header_and_buttons(header: Json) -> None:
    """Each header has one of five shapes."""
    buttons = [{"urlPlaceholder": "a"}, {"quickReplyPayload": "b"}, {}]

    read_as(WhatsAppContent, template(header=header, buttons=buttons))


def test_contact_may_have_every_member() -> None:
    """Kinds of phone numbers are more than those of addresses."""
    full = contact(
        addresses=[
            {
                "street": "Ring 1",
                "city": "Berlin",
                "state": "BE",
                "zip": "10117",
                "country": "Germany",
                "countryCode": "DE",
                "type": "WORK",
            }
        ],
        birthday="1815-12-10",
        emails=[{"email": "ada@example.com", "type": "HOME"}],
        name=NAME
        | {"lastName": "Lovelace", "middleName": "K", "nameSuffix": "x", "namePrefix": "Dr"},
        org={"company": "Engines", "department": "R", "title": "Analyst"},
        phones=[
            {"phone": "+491701234567", "waId": "491701234567", "type": kind}
            for kind in ("CELL", "MAIN", "IPHONE", "HOME", "WORK")
        ],
        urls=[{"url": "https://a.example", "type": "WORK"}],
    )

    read_as(WhatsAppContent, full)


def test_empty_member_is_no_second_shape() -> None:
    """Programs often fill every member that they know."""
    empty = {"imageUrl": "", "templateName": "", "contacts": [], "templateData": [], "address": ""}

    read_as(WhatsAppContent, {"text": "Hello"} | empty)
    read_as(WhatsAppContent, {"videoUrl": "https://a.example/a.mp4"} | empty)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, ("body: must hold at least one of text, templateName, imageUrl, audioUrl, videoUrl,"
         " fileUrl, latitude, contacts")),
        ({"language": "en"}, ("body: must hold at least one of text, templateName, imageUrl,"
         " audioUrl, videoUrl, fileUrl, latitude, contacts")),
        ({"text": "a", "flash": True}, "flash: is not a field of this object"),
        ({"text": "a", "previewUrl": "yes"}, "previewUrl: must be true or false"),
        ({"templateData": ["a"]}, "templateName: is required with templateData"),
        ({"templateNamespace": "a"}, "templateName: is required with templateNamespace"),
        ({"text": "a", "mediaTemplateData": {"body": BODY}},
         "templateName: is required with mediaTemplateData"),
        (template() | {"templateData": ["a"]},
         "mediaTemplateData: must not be combined with templateData"),
        ({"templateName": "a", "templateData": "a"}, "templateData: must be a list"),
        ({"templateName": "a", "templateData": [1]}, "templateData[0]: must be a string"),
        ({"imageUrl": URL, "videoUrl": URL}, "videoUrl: must not be combined with imageUrl"),
        (template() | {"fileUrl": URL}, "fileUrl: must not be combined with templateName"),
        (contact() | {"latitude": 1, "longitude": 1},
         "contacts: must not be combined with latitude"),
        ({"imageUrl": "a" * 2049}, "imageUrl: must have at most 2048 characters"),
        ({"audioUrl": "a.mp3"}, "audioUrl: must be a URL, with its scheme like https://"),
        ({"longitude": 1}, "latitude: is required with longitude"),
        ({"latitude": 1}, "longitude: is required with latitude"),
        ({"text": "a", "locationName": "Depot"}, "latitude: is required with locationName"),
        ({"text": "a", "address": "Ring 1"}, "latitude: is required with address"),
        ({"longitude": 180.1, "latitude": 1}, "longitude: must be at most 180.0"),
        ({"longitude": -180.1, "latitude": 1}, "longitude: must be at least -180.0"),
        ({"longitude": 1, "latitude": 90.1}, "latitude: must be at most 90.0"),
        ({"longitude": 1, "latitude": -90.1}, "latitude: must be at least -90.0"),
        ({"longitude": 1, "latitude": "1"}, "latitude: must be a number"),
        ({"longitude": 1, "latitude": True}, "latitude: must be a number"),
        ({"longitude": 1, "latitude": 1, "address": "a" * 1001},
         "address: must have at most 1000 characters"),
        ({"templateName": "a", "mediaTemplateData": {}}, "mediaTemplateData.body: is required"),
        (template(body={}), "mediaTemplateData.body.placeholders: is required"),
        (template(header={}), ("mediaTemplateData.header: must hold at least one of"
         " textPlaceholder, documentUrl, imageUrl, videoUrl, latitude")),
        (template(header={"documentUrl": URL}),
         "mediaTemplateData.header.documentFilename: is required with documentUrl"),
        (template(header={"documentFilename": "a"}),
         "mediaTemplateData.header.documentUrl: is required with documentFilename"),
        (template(header={"longitude": 1}),
         "mediaTemplateData.header.latitude: is required with longitude"),
        (template(header={"videoUrl": "a.mp4"}),
         "mediaTemplateData.header.videoUrl: must be a URL, with its scheme like https://"),
        (template(header={"imageUrl": URL, "videoUrl": URL}),
         "mediaTemplateData.header.videoUrl: must not be combined with imageUrl"),
        (template(buttons=[{"urlPlaceholder": "a" * 1501}]),
         "mediaTemplateData.buttons[0].urlPlaceholder: must have at most 1500 characters"),
        (template(buttons=[{}, {"quickReplyPayload": "a" * 129}]),
         "mediaTemplateData.buttons[1].quickReplyPayload: must have at most 128 characters"),
        (template(buttons=[{"urlPlaceholder": "a", "quickReplyPayload": "b"}]),
         ("mediaTemplateData.buttons[0].quickReplyPayload: must not be combined with"
         " urlPlaceholder")),
        ({"contacts": [{}]}, "contacts[0].name: is required"),
        (contact(name={"firstName": "Ada"}), "contacts[0].name.formattedName: is required"),
        (contact(name={"formattedName": "Ada"}), "contacts[0].name.firstName: is required"),
        (contact(emails=[{"type": "CELL"}]),
         "contacts[0].emails[0].type: must be one of HOME, WORK"),
        (contact(phones=[{"type": "FAX"}]),
         "contacts[0].phones[0].type: must be one of CELL, MAIN, IPHONE, HOME, WORK"),
        (contact(org={"companyName": "a"}),
         "contacts[0].org.companyName: is not a field of this object"),
    ],
)  # fmt: skip
def test_broken_rule_is_named_with_its_member(content: Json, error: str) -> None:
    """Of several members that exclude each other, the second one is named."""
    assert refusal(WhatsAppContent, content) == error


@pytest.mark.parametrize(
    "birthday",
    ["10.12.1815", "1815-12-1", "2026-02-30", "2026-W05-6", "20260131", "", "²026-01-31"],
)
def test_birthday_is_date(birthday: str) -> None:
    """It is written with hyphens and must exist."""
    assert (
        refusal(WhatsAppContent, contact(birthday=birthday))
        == "contacts[0].birthday: must be a date like 2026-01-31"
    )


def test_content_shows_nothing_personal() -> None:
    """Contacts are other people's addresses."""
    shown = repr(read_as(WhatsAppContent, contact(emails=[{"email": "canary@example.com"}])))

    assert "canary" not in shown
    assert "Ada" not in shown
