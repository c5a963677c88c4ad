"""Contents of each channel, written by hand from Infobip's OpenAPI document 3.210.0."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
IMAGE = "https://example.com/a.png"
NAME = {"firstName": "Ada", "formattedName": "Ada Lovelace"}
BUBBLE = {"type": "BUBBLE", "direction": "LEFT_TO_RIGHT"}


def box(*contents: Json) -> Json:
    return {"type": "BOX", "layout": "VERTICAL", "contents": list(contents)}


def flex(**members: object) -> Json:
    """Return a Flex message with one bubble."""
    return {"type": "FLEX", "altText": "a", "contents": BUBBLE | members}


def template(**members: object) -> Json:
    """Return a WhatsApp template with media."""
    return {"templateName": "t", "mediaTemplateData": {"body": {"placeholders": []}} | members}


def alim(**button: object) -> Json:
    return {"text": "x", "buttons": [{"buttonText": "b"} | button]}


#: Each with the member of a send that holds it.
DOCUMENTED: list[tuple[str, Json]] = [
    ("sms", {"text": "x", "transliteration": "TURKISH", "language": {"languageCode": "TR"}}),
    ("sms", {"text": "x", "regional": {"indiaDlt": {"principalEntityId": "1"}}}),
    ("sms", {"text": "x", "regional": {"korea": {"title": "x" * 66}}}),
    ("sms", {"text": "x", "validityPeriod": "5"}),
    ("sms", {"text": "x", "validityPeriod": 31, "validityPeriodTimeUnit": "SECONDS"}),
    ("sms", {"text": "x", "tomorrow": {}, "language": None}),
    ("push", {"text": "x", "customPayload": {"a": "b", "c": 1, "d": {}}}),
    ("push", {"notificationOptions": {"isSilent": True}}),
    ("push", {"text": "x", "notificationOptions": {"badge": -1, "inAppStyle": "MODAL"}}),
    ("push", {"text": "x", "personSubscriptions": ["a", "b"], "targetOnlyPrimaryDevices": True}),
    ("voice", {"text": "x", "language": "en"}),
    ("email", {"text": "x", "subject": "s"}),
    ("viber", {"text": "x", "trackingData": "x" * 100, "isPromotional": True}),
    ("viber", {"imageURL": IMAGE, "text": "", "buttonText": "", "buttonURL": ""}),
    ("viber", {"fileUrl": IMAGE, "fileName": "a.pdf", "fileType": "pdf"}),
    ("viber", {"text": "x", "buttonText": "b", "buttonURL": "tel:385"}),
    ("viber", {"text": "x", "imageURL": IMAGE, "buttonText": "b", "buttonURL": IMAGE}),
    ("viber", {"text": "x", "validityPeriod": 14, "validityPeriodTimeUnit": "DAYS"}),
    ("whatsApp", {"text": "x", "previewUrl": True}),
    ("whatsApp", {"templateName": "t", "templateNamespace": "n", "templateData": ["a"]}),
    ("whatsApp", {"templateName": "t", "language": "en"}),
    ("whatsApp", template(header={"textPlaceholder": "a"}, buttons=[{"urlPlaceholder": "u"}])),
    ("whatsApp", template(header={"documentUrl": IMAGE, "documentFilename": "a.pdf"})),
    ("whatsApp", template(header={"latitude": 1.5, "longitude": -180})),
    ("whatsApp", template(buttons=[{"quickReplyPayload": "x" * 128}, {}])),
    ("whatsApp", template() | {"text": "x", "templateData": [], "imageUrl": ""}),
    ("whatsApp", {"imageUrl": IMAGE, "text": "caption"}),
    ("whatsApp", {"audioUrl": IMAGE}),
    ("whatsApp", {"longitude": 16, "latitude": 45.8, "locationName": "Zagreb", "address": "a"}),
    ("whatsApp", {"contacts": [{"name": NAME, "birthday": "1815-12-10"}]}),
    ("whatsApp", {"contacts": [{"name": NAME, "phones": [{"phone": "1", "type": "IPHONE"}]}]}),
    ("line", {"text": "x"}),
    ("line", {"type": "STICKER", "packageId": "1", "stickerId": "2"}),
    ("line", {"type": "VIDEO", "url": IMAGE, "thumbnailUrl": IMAGE, "duration": 2**40}),
    ("line", flex(body=box({"type": "TEXT", "text": "x", "wrap": True, "weight": "BOLD"}))),
    ("line", flex(body=box(box({"type": "SEPARATOR"}), {"type": "FILLER"}))),
    ("line", flex(body=box(box({"type": "ICON", "url": IMAGE}) | {"layout": "BASELINE"}))),
    (
        "line",
        {"type": "FLEX", "altText": "a", "contents": {"type": "CAROUSEL", "contents": [BUBBLE]}},
    ),
    ("kakaoAlim", {"text": "x" * 1000, "templateCode": "t", "title": "x" * 50}),
    ("kakaoAlim", alim(type="URL", buttonUrlMobile=IMAGE, buttonUrlPc=IMAGE, target="out")),
    ("kakaoAlim", alim(type="URL", buttonUrl=IMAGE)),
    ("kakaoAlim", alim(type="APP_LINK", androidScheme="a://", iosScheme="a://")),
    ("kakaoAlim", alim(type="CHATBOT_SWITCH", chatExtra="a", chatEvent="b")),
    ("kakaoAlim", alim(type="ADD_CHANNEL")),
    ("kakaoAlim", alim()),
    ("kakaoChingu", {"text": "x"}),
    ("kakaoChingu", {"imageUrl": IMAGE, "imageLink": IMAGE, "isPromotional": False}),
    (
        "kakaoChingu",
        {"text": "x", "buttons": [{"buttonText": "b", "type": "URL", "buttonUrl": IMAGE}] * 5},
    ),
    ("vKontakte", {"text": "x"}),
    ("vKontakte", {"templateName": "t", "templateData": {"name": "value"}}),
]
