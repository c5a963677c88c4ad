"""The content of an SMS is checked against Infobip's limits."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import SmsContent
from infobip_omni.events.errors import read_as

from .refusals import brief, refusal

TRANSLITERATIONS = (
    "NONE, ALL, BALTIC, CENTRAL_EUROPEAN, COLOMBIAN, CYRILLIC, GREEK, NON_UNICODE, PORTUGUESE, "
    "SERBIAN_CYRILLIC, TURKISH, BULGARIAN_CYRILLIC"
)
WHOLE: dict[str, Any] = {
    "text": "Merhaba",
    "validityPeriod": 10,
    "validityPeriodTimeUnit": "MINUTES",
    "transliteration": "TURKISH",
    "language": {"languageCode": "TR"},
    "regional": {
        "indiaDlt": {"principalEntityId": "1", "contentTemplateId": "2", "telemarketerId": "3"},
        "korea": {"title": "x" * 66},
    },
}


def without(nothing: object) -> dict[str, Any]:
    """Return an SMS whose members but the text are of no content."""
    return dict.fromkeys(WHOLE, nothing) | {"text": "hi"}


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        without(None),
        {"text": "hi", "language": {}, "regional": {}},
        {"text": "hi", "language": {"languageCode": None}},
        {"text": "hi", "regional": {"indiaDlt": None, "korea": {"title": ""}}},
    ],
    ids=["all members", "nulls", "empty objects", "null code", "null object"],
)
def test_sms_is_accepted(content: dict[str, Any]) -> None:
    read_as(SmsContent, content)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"text": ""}, "text: must not be empty"),
        ({"text": None}, "text: must be a string"),
        ({"text": "On its way \ud83d"}, "text: must be text that UTF-8 can hold"),
        (
            {"transliteration": "KLINGON"},
            f"transliteration: must be one of {TRANSLITERATIONS}",
        ),
        ({"language": "TR"}, "language: must be an object"),
        (
            {"language": {"languageCode": "DE"}},
            "language.languageCode: must be one of NONE, TR, ES, PT, AUTODETECT",
        ),
        (
            {"language": {"singleShift": True}},
            "language.singleShift: is not a field of this object",
        ),
        ({"regional": []}, "regional: must be an object"),
        (
            {"regional": {"indiaDlt": {"contentTemplateId": "1"}}},
            "regional.indiaDlt.principalEntityId: is required",
        ),
        (
            {"regional": {"indiaDlt": {"principalEntityId": "1" * 201}}},
            "regional.indiaDlt.principalEntityId: must have at most 200 characters",
        ),
        (
            {"regional": {"indiaDlt": {"principalEntityId": "1", "contentTemplateId": 2}}},
            "regional.indiaDlt.contentTemplateId: must be a string",
        ),
        (
            {"regional": {"indiaDlt": {"principalEntityId": "1", "telemarketerId": 3}}},
            "regional.indiaDlt.telemarketerId: must be a string",
        ),
        (
            {"regional": {"korea": {"title": "x" * 67}}},
            "regional.korea.title: must have at most 66 characters",
        ),
        ({"regional": {"japan": {}}}, "regional.japan: is not a field of this object"),
        ({"flash": True}, "flash: is not a field of this object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_rule_is_named(members: dict[str, Any], error: str) -> None:
    assert refusal(SmsContent, {"text": "hi"} | members) == error


def test_sms_needs_text() -> None:
    assert refusal(SmsContent, {"validityPeriod": 5}) == "text: is required"


TURKISH = {"language": {"languageCode": "TR"}}


@pytest.mark.parametrize(
    ("members", "text", "parts"),
    [
        ({}, "a" * 3825, None),
        ({}, "a" * 3826, "26 in GSM 03.38"),
        ({}, "a" * 3900, "26 in GSM 03.38"),
        ({}, "a" * 4001, "more in any alphabet"),
        ({}, "€" * 1900, None),
        ({}, "€" * 1901, "26 in GSM 03.38"),
        ({}, "š" * 1675, None),
        ({}, "š" * 1676, "26 in UCS-2"),
        ({}, "\U0001f600" * 837, None),
        ({}, "\U0001f600" * 838, "26 in UCS-2"),
        ({}, "ä" * 3825, None),
        (TURKISH, "ş" * 3725, None),
        (TURKISH, "ş" * 3726, "26 in GSM 03.38 with national tables"),
        (TURKISH, "ж" * 1676, "26 in UCS-2"),
        ({"language": {"languageCode": "AUTODETECT"}}, "ş" * 3725, None),
        ({"language": {}}, "š" * 1676, "26 in UCS-2"),
        ({"language": {"languageCode": "NONE"}}, "ş" * 1676, "26 in UCS-2"),
        ({"transliteration": "NONE"}, "š" * 1676, "26 in UCS-2"),
        ({"transliteration": "ALL"}, "š" * 5000, None),
        ({"transliteration": "ALL"}, "a" * 3825 + "š" * 5000, None),
        ({"transliteration": "ALL"}, "a" * 3826 + "š", "26 in GSM 03.38"),
    ],
    ids=brief,
)
def test_text_fits_into_parts_that_platform_takes(
    members: dict[str, Any], text: str, parts: str | None
) -> None:
    """A text of more parts would fail when the push has failed."""
    content = {"text": text} | members

    if parts is None:
        read_as(SmsContent, content)
    else:
        rule = f"must fit into 25 SMS parts; it takes {parts}"
        assert refusal(SmsContent, content) == f"text: {rule}"
