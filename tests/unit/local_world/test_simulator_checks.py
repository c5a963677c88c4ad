"""The simulator accepts what Infobip documents for each channel, and refuses all else.

The wrong contents are written by hand from Infobip's OpenAPI document 3.210.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.infobip_simulator.checks import scenario_problems, send_problems
from tests.local_world.infobip_simulator.schemas import SCHEMAS, problems
from tests.unit.local_world.documented_contents import (
    DOCUMENTED,
    IMAGE,
    NAME,
    alim,
    box,
    flex,
    template,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
NOW = 1_800_000_000.0


def found(**members: object) -> list[tuple[str, str]]:
    """Return what is wrong with a send."""
    body = {"destinations": [{"to": {"phoneNumber": "385915551234"}}]} | members
    return list(send_problems(body, NOW))


@pytest.mark.parametrize(("member", "content"), DOCUMENTED)
def test_documented_content_is_accepted(member: str, content: Json) -> None:
    assert found(**{member: content}) == []


SHORT = {"validityPeriodTimeUnit": "SECONDS"}
BROKEN: list[tuple[str, Json, str, str]] = [
    ("sms", {}, "sms.text", "is required"),
    ("sms", {"text": ""}, "sms.text", "must not be empty"),
    ("sms", {"text": 1}, "sms.text", "must be a string"),
    ("sms", {"text": "x", "transliteration": "LATIN"}, "sms.transliteration", "must be one of"),
    ("sms", {"text": "x", "language": {"languageCode": "DE"}}, "sms.language.languageCode", "NONE"),
    ("sms", {"text": "x", "regional": {"indiaDlt": {}}}, "sms.regional.indiaDlt.principal", "is"),
    ("sms", {"text": "x", "validityPeriod": 30} | SHORT, "sms.validityPeriod", "must exceed 30"),
    ("sms", {"text": "x", "validityPeriod": "30"} | SHORT, "sms.validityPeriod", "must exceed 30"),
    ("sms", {"text": "x", "validityPeriod": "soon"}, "sms.validityPeriod", "a whole number"),
    ("sms", {"text": "x", "validityPeriod": 2**31}, "sms.validityPeriod", "must be from"),
    ("sms", {"text": "x", "validityPeriod": True}, "sms.validityPeriod", "a whole number"),
    ("push", {"text": "x" * 2001}, "push.text", "must have at most 2000 characters"),
    ("push", {"text": "x", "customPayload": []}, "push.customPayload", "must be an object"),
    ("push", {"text": "x", "notificationOptions": {"badge": 1.5}}, "push.notificationOp", "whole"),
    ("push", {"text": "x", "deviceSubscriptions": ["a", "a"]}, "push.deviceSub", "must not repeat"),
    ("voice", {"text": ""}, "voice.text", "must not be empty"),
    ("email", {"text": "x", "subject": 1}, "email.subject", "must be a string"),
    ("viber", {}, "viber", "must hold exactly one of: text, image, file, button with text"),
    ("viber", {"text": "x", "imageURL": IMAGE}, "viber", "must hold exactly one of"),
    ("viber", {"text": "x", "fileUrl": IMAGE}, "viber", "must hold exactly one of"),
    ("viber", {"text": "x", "buttonText": "b"}, "viber.buttonURL", "is required"),
    ("viber", {"fileName": "a.pdf"}, "viber.fileUrl", "is required"),
    ("viber", {"fileUrl": "ftp://example.com"}, "viber.fileUrl", "must match"),
    ("viber", {"fileUrl": IMAGE, "fileType": "exe"}, "viber.fileType", "must be one of doc, docx"),
    ("viber", {"text": "x", "validityPeriod": 35} | SHORT, "viber.validityPeriod", "exceed 35"),
    ("viber", {"text": "x", "validityPeriod": 20_161}, "viber.validityPeriod", "14 days"),
    ("whatsApp", {"language": "en"}, "whatsApp", "must hold exactly one of"),
    ("whatsApp", {"imageUrl": IMAGE, "videoUrl": IMAGE}, "whatsApp", "must hold exactly one of"),
    ("whatsApp", {"text": "x", "contacts": [{"name": NAME}], "fileUrl": IMAGE}, "whatsApp", "one"),
    ("whatsApp", {"templateNamespace": "n"}, "whatsApp.templateName", "is required"),
    ("whatsApp", {"longitude": 1}, "whatsApp.latitude", "is required"),
    ("whatsApp", {"longitude": 181, "latitude": 1}, "whatsApp.longitude", "from -180 to 180"),
    ("whatsApp", template(templateData=["a"], header={}), "whatsApp.mediaTemplateData.header", ""),
    ("whatsApp", template(body={}), "whatsApp.mediaTemplateData.body.placeholders", "is required"),
    (
        "whatsApp",
        template(buttons=[{"urlPlaceholder": "a", "quickReplyPayload": "b"}]),
        "whatsApp.mediaTemplateData.buttons[0]",
        "must hold exactly one of: none, URL, quick reply",
    ),
    ("whatsApp", {"contacts": [{}]}, "whatsApp.contacts[0].name", "is required"),
    (
        "whatsApp",
        {"contacts": [{"name": {"formattedName": "A"}}]},
        "whatsApp.contacts[0].name.firstName",
        "is required",
    ),
    (
        "whatsApp",
        {"contacts": [{"name": NAME, "birthday": "10.12.1815"}]},
        "birthday",
        "must be a date",
    ),
    (
        "whatsApp",
        {"contacts": [{"name": NAME}, {"name": NAME, "emails": [{"type": "IPHONE"}]}]},
        "whatsApp.contacts[1].emails[0].type",
        "must be one of HOME, WORK",
    ),
    ("line", {"type": "LINK"}, "line.type", "must be one of TEXT, IMAGE"),
    ("line", {"altText": "x" * 401}, "line.altText", "at most 400"),
    ("line", {"type": "STICKER", "packageId": "1"}, "line.stickerId", "is required for STICKER"),
    ("line", flex(direction=None), "line.contents.direction", "is required"),
    ("line", flex(body=box({"type": "ICON"})), "line.contents.body.contents[0].type", "BOX, BUT"),
    ("line", flex(body=box({"type": "TEXT"})), "line.contents.body.contents[0].text", "is req"),
    ("line", flex(hero={"url": IMAGE, "flex": 11}), "line.contents.hero.flex", "from 0 to 10"),
    ("kakaoAlim", {"text": "x", "buttons": []}, "kakaoAlim.buttons", "from 1 to 5 entries"),
    ("kakaoAlim", alim(type="FAX"), "kakaoAlim.buttons[0].type", "must be one of APP_LINK"),
    ("kakaoAlim", alim(type="URL"), "kakaoAlim.buttons[0]", "exactly one of: buttonUrl, "),
    (
        "kakaoAlim",
        alim(type="URL", buttonUrl=IMAGE, buttonUrlMobile=IMAGE),
        "kakaoAlim.buttons[0]",
        "must hold exactly one of",
    ),
    ("kakaoAlim", alim(type="APP_LINK", iosScheme="a:"), "kakaoAlim.buttons[0]", "must hold 2 of"),
    ("kakaoAlim", alim(type="CHATBOT_SWITCH", chatExtra="a"), "buttons[0].chatEvent", "is req"),
    ("kakaoAlim", alim(buttonText="x" * 29), "kakaoAlim.buttons[0].buttonText", "at most 28"),
    ("kakaoChingu", {"imageLink": ""}, "kakaoChingu.imageLink", "must not be empty"),
    ("kakaoChingu", {"imageLink": IMAGE}, "kakaoChingu.imageUrl", "is required with the other"),
    ("kakaoChingu", {}, "kakaoChingu", "must hold exactly one of: text, image, image with text"),
    (
        "kakaoChingu",
        {"text": "x", "buttons": [{"buttonText": "b", "type": "APP_LINK", "iosScheme": "a:"}]},
        "kakaoChingu.buttons[0].androidScheme",
        "is required",
    ),
    ("vKontakte", {"templateData": {"a": "b"}}, "vKontakte", "must hold exactly one of"),
    ("vKontakte", {"text": "x", "templateData": "a"}, "vKontakte.templateData", "an object"),
]


@pytest.mark.parametrize(("member", "content", "path", "rule"), BROKEN)
def test_broken_rule_is_named_with_its_member(
    member: str, content: Json, path: str, rule: str
) -> None:
    """One rule is broken in each content, or two where a part is incomplete."""
    broken = [text for named, text in found(**{member: content}) if path in named]

    assert broken
    assert rule in broken[0]


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ({"phoneNumber": 385}, "destinations[1].to.phoneNumber"),
        ({"emailAddress": "ada"}, "destinations[1].to.emailAddress"),
        ({"whatsAppUserId": "HR-1"}, "destinations[1].to.whatsAppUserId"),
        ({"whatsAppUserId": "HR." + "1" * 148}, "destinations[1].to.whatsAppUserId"),
        ({"phoneNumber": ""}, "destinations[1].to"),
        (None, "destinations[1].to"),
    ],
)
def test_wrong_address_is_named_with_its_destination(to: object, path: str) -> None:
    destinations = [{"to": {"lineUserKey": "U1"}}, {"to": to}]

    assert [named for named, _ in found(destinations=destinations)] == [path]


def test_scenario_may_have_a_member_of_the_old_client() -> None:
    """It writes `defaultScenario` for `default`, which Infobip ignores."""
    body = {"name": "a", "flow": [{"channel": "SMS"}], "defaultScenario": "yes"}

    assert list(scenario_problems(body)) == []


# --- The schemas ---------------------------------------------------------------------------

#: What the simulator reads of a schema. The document has no other keyword for bodies of requests.
KEYWORDS = {
    *(
        "$ref",
        "type",
        "format",
        "enum",
        "pattern",
        "rule",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
    ),
    *("items", "minItems", "maxItems", "uniqueItems", "properties", "required", "discriminator"),
}
#: Texts this long are not tried.
ENDLESS = 2**31 - 1
WRONG_TYPES = {
    "string": 1,
    "boolean": "x",
    "integer": "x",
    "number": "x",
    "array": {},
    "object": [],
}


def wrong_values(schema: Json) -> list[Any]:
    """Return a value beyond each limit of a schema."""
    schema = SCHEMAS[schema["$ref"]] if "$ref" in schema else schema
    item = schema.get("items", {})
    beyond: dict[str, Callable[[Any], Any]] = {
        "minLength": lambda limit: "x" * (limit - 1),
        "maxLength": lambda limit: "x" * (limit + 1),
        "enum": lambda _: "none of them",
        "pattern": lambda _: "?",
        "minimum": lambda limit: limit - 1,
        "maximum": lambda limit: limit + 1,
        "format": {"int32": 2**31, "int64": 2**63}.get,
        "minItems": lambda limit: [{}] * (limit - 1),
        "maxItems": lambda limit: [{}] * (limit + 1),
        "uniqueItems": lambda _: ["a", "a"],
        "items": lambda _: [WRONG_TYPES[item.get("type", "object")]],
        "type": WRONG_TYPES.__getitem__,
    }
    tried = {key: limit for key, limit in schema.items() if key in beyond and limit != ENDLESS}
    values = [beyond[key](limit) for key, limit in tried.items()]
    return [value for value in values if value is not None]


@pytest.mark.parametrize(
    "name",
    [name for name, one in SCHEMAS.items() if "properties" in one and "discriminator" not in one],
)
def test_each_limit_of_each_member_is_enforced(name: str) -> None:
    """The member is named, and so is a required one that is missing."""
    schema = SCHEMAS[name]
    for member, child in schema["properties"].items():
        values = wrong_values(child)
        assert values
        for value in values:
            paths = [path for path, _ in problems({member: value}, name)]
            assert any(path.partition("[")[0] == member for path in paths), (member, value)
    assert [each for each in problems({}, name) if each[1] == "is required"] == [
        (member, "is required") for member in schema.get("required", ())
    ]


def test_schemas_have_no_unknown_keyword_or_reference() -> None:
    """A keyword that the simulator does not read would never be enforced."""

    def check(schema: Json) -> None:
        assert schema.keys() <= KEYWORDS
        assert schema.get("$ref", "To") in SCHEMAS
        assert set(schema.get("discriminator", {}).get("mapping", {}).values()) <= SCHEMAS.keys()
        for child in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
            check(child)

    for schema in SCHEMAS.values():
        check(schema)
