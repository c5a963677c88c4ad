"""The content of a Viber message is checked against Infobip's limits."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import ViberContent
from infobip_omni.events.errors import read_as

from .refusals import refusal

TEXT = {"text": "hi"}
IMAGE = {"imageURL": "https://example.com/a.png"}
FILE = {"fileUrl": "https://example.com/a.pdf", "fileName": "a.pdf", "fileType": "pdf"}
BUTTON = {"buttonText": "Call", "buttonURL": "tel:+385991234567"}
OPTIONS = {
    "validityPeriod": 1,
    "validityPeriodTimeUnit": "HOURS",
    "trackingData": "x" * 100,
    "isPromotional": True,
    "forcePrimaryDevice": False,
}
SHAPES = (
    "text, or imageURL, or fileUrl, or text + buttonText + buttonURL, "
    "or text + imageURL + buttonText + buttonURL"
)
FILE_TYPES = (
    "doc, docx, rtf, dot, dotx, odt, odf, fodt, txt, info, pdf, xps, pdax, eps, xls, xlsx, ods, "
    "fods, csv, xlsm, xltx"
)


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        IMAGE,
        FILE,
        {"fileUrl": "http://example.com/a"},
        TEXT | BUTTON,
        TEXT | IMAGE | BUTTON,
        TEXT | dict.fromkeys(IMAGE | FILE | BUTTON | OPTIONS),
        TEXT | {"imageURL": "", "fileName": "", "buttonText": "", "buttonURL": ""},
        IMAGE | {"text": ""},
        {"fileUrl": "https://example.com/a", "fileName": "x" * 25},
        TEXT | {"buttonText": "x" * 30, "buttonURL": "https://a/".ljust(1000, "x")},
        {"imageURL": "https://a/".ljust(1000, "x")},
    ],
    ids=[
        "text",
        "image",
        "file",
        "file alone",
        "button",
        "image and button",
        "nulls",
        "empty strings",
        "empty text",
        "longest file name",
        "longest button",
        "longest image",
    ],
)
def test_viber_message_of_one_shape_is_accepted(content: dict[str, Any]) -> None:
    """An empty string counts as no member."""
    read_as(ViberContent, content)
    read_as(ViberContent, OPTIONS | content)


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({}, "none of them"),
        ({"text": ""}, "none of them"),
        (OPTIONS, "none of them"),
        (TEXT | IMAGE, "text + imageURL"),
        (TEXT | FILE, "text + fileUrl"),
        (IMAGE | FILE, "imageURL + fileUrl"),
        (BUTTON, "buttonText + buttonURL"),
        (IMAGE | BUTTON, "imageURL + buttonText + buttonURL"),
        (FILE | BUTTON, "fileUrl + buttonText + buttonURL"),
        (TEXT | {"buttonText": "Call"}, "text + buttonText"),
        (TEXT | {"buttonURL": "tel:1"}, "text + buttonURL"),
        (TEXT | {"fileName": "a.pdf"}, "text + fileName"),
        (IMAGE | {"fileType": "pdf"}, "imageURL + fileType"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_viber_message_of_other_shape_is_refused(content: dict[str, Any], held: str) -> None:
    """The error lists the members, not what is in them."""
    assert refusal(ViberContent, content) == f"body: must hold {SHAPES}; it holds {held}"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"text": 5}, "text: must be a string"),
        ({"imageURL": "a.png"}, "imageURL: must be a URL, with its scheme like https://"),
        (
            {"imageURL": "https://a/".ljust(1001, "x")},
            "imageURL: must have at most 1000 characters",
        ),
        (FILE | {"fileName": "x" * 26}, "fileName: must have at most 25 characters"),
        (FILE | {"fileType": "exe"}, f"fileType: must be one of {FILE_TYPES}"),
        ({"fileUrl": "ftp://example.com/a"}, "fileUrl: must be an http or https URL"),
        ({"fileUrl": "https://"}, "fileUrl: must be a URL, with its scheme like https://"),
        (TEXT | BUTTON | {"buttonText": "x" * 31}, "buttonText: must have at most 30 characters"),
        (
            TEXT | BUTTON | {"buttonURL": "example.com"},
            "buttonURL: must be a URL, with its scheme like https://",
        ),
        (
            TEXT | BUTTON | {"buttonURL": "https://a/".ljust(1001, "x")},
            "buttonURL: must have at most 1000 characters",
        ),
        (TEXT | {"trackingData": "x" * 101}, "trackingData: must have at most 100 characters"),
        (TEXT | {"isPromotional": "true"}, "isPromotional: must be true or false"),
        (TEXT | {"forcePrimaryDevice": 1}, "forcePrimaryDevice: must be true or false"),
        (TEXT | {"imageUrl": "https://a"}, "imageUrl: is not a field of this object"),
        (TEXT | {"buttonUrl": "https://a"}, "buttonUrl: is not a field of this object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_rule_is_named(content: dict[str, Any], error: str) -> None:
    assert refusal(ViberContent, content) == error
