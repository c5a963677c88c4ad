"""The rules that the contents of all channels share."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
from pydantic import StrictStr

import infobip_omni
from infobip_omni.api import channels
from infobip_omni.api.channels import (
    CONTENT_MEMBERS,
    CONTENT_MODELS,
    Channel,
    Content,
    PushContent,
    SmsContent,
    TimeUnit,
    ViberContent,
)
from infobip_omni.api.channels.content import IS_URL, ContentObject
from infobip_omni.api.wire import RequestBody
from infobip_omni.events.errors import read_as

from .refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel


SHARED = Path(infobip_omni.__path__[0]).parent
PACKAGE = f"{channels.__name__}."


class _Link(ContentObject):
    url: Annotated[StrictStr, IS_URL]


@pytest.mark.parametrize(
    ("model", "period", "unit", "rule"),
    [
        (SmsContent, 30, "SECONDS", "must exceed 30 seconds"),
        (SmsContent, 30_000, "MILLISECONDS", "must exceed 30 seconds"),
        (SmsContent, 30_000_000, "MICROSECONDS", "must exceed 30 seconds"),
        (SmsContent, 2**31 - 1, "NANOSECONDS", "must exceed 30 seconds"),
        (SmsContent, 0, None, "must exceed 30 seconds"),
        (SmsContent, -1, "DAYS", "must exceed 30 seconds"),
        (PushContent, 30, "SECONDS", "must exceed 30 seconds"),
        (PushContent, 2**31, "NANOSECONDS", "must be at most 2147483647"),
        (PushContent, 31.0, "SECONDS", "must be a whole number"),
        (PushContent, True, None, "must be a whole number"),
        (ViberContent, 35, "SECONDS", "must exceed 35 seconds"),
        (ViberContent, 337, "HOURS", "must not exceed 14 days"),
        (ViberContent, 2**31 - 1, "DAYS", "must not exceed 14 days"),
    ],
)
def test_validity_period_outside_limits_is_refused(
    model: type[Content], period: object, unit: str | None, rule: str
) -> None:
    """The lower limit itself is refused as well."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    assert refusal(model, content) == f"validityPeriod: {rule}"


@pytest.mark.parametrize(
    ("model", "period", "rule"),
    [
        (SmsContent, "30", "must exceed 30 seconds"),
        (ViberContent, "35", "must exceed 35 seconds"),
        (ViberContent, "1209601", "must not exceed 14 days"),
        (SmsContent, "2147483648", "must be at most 2147483647"),
        (SmsContent, "", "must be a whole number"),
        (SmsContent, "-31", "must be a whole number"),
        (SmsContent, "31.0", "must be a whole number"),
        (SmsContent, " 31", "must be a whole number"),
        (SmsContent, "\u0663\u0661", "must be a whole number"),
        (SmsContent, "9" * 5000, "must be a whole number"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_string_of_digits_is_checked_as_number(
    model: type[Content], period: str, rule: str
) -> None:
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": "SECONDS"}

    assert refusal(model, content) == f"validityPeriod: {rule}"


@pytest.mark.parametrize("period", ["31", "0031"])
def test_validity_period_may_be_string_of_digits(period: str) -> None:
    """Infobip's older pages write it so."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": "SECONDS"}

    assert read_as(SmsContent, content).validity() == timedelta(seconds=31)


def test_unknown_time_unit_is_refused() -> None:
    content = {"text": "hi", "validityPeriod": 5, "validityPeriodTimeUnit": "WEEKS"}

    assert refusal(SmsContent, content) == (
        "validityPeriodTimeUnit: must be one of "
        "NANOSECONDS, MICROSECONDS, MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS"
    )


@pytest.mark.parametrize(
    ("model", "period", "unit", "validity"),
    [
        (SmsContent, None, None, None),
        (SmsContent, None, "HOURS", None),
        (SmsContent, 1, None, timedelta(minutes=1)),
        (SmsContent, 31, "SECONDS", timedelta(seconds=31)),
        (SmsContent, 30_001, "MILLISECONDS", timedelta(seconds=30.001)),
        (PushContent, 48, "HOURS", timedelta(hours=48)),
        (PushContent, 49, "HOURS", timedelta(hours=48)),
        (PushContent, 2**31 - 1, "DAYS", timedelta(hours=48)),
        (ViberContent, 36, "SECONDS", timedelta(seconds=36)),
        (ViberContent, 14, "DAYS", timedelta(days=14)),
    ],
)
def test_content_returns_validity_of_its_step(
    model: type[Content], period: object, unit: str | None, validity: timedelta | None
) -> None:
    """The default unit is minutes. A period that Infobip cuts counts as what it is cut to."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    assert read_as(model, content).validity() == validity


@pytest.mark.parametrize("unit", TimeUnit)
def test_time_unit_without_period_is_accepted(unit: TimeUnit) -> None:
    read_as(SmsContent, {"text": "hi", "validityPeriodTimeUnit": str(unit)})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com",
        "http://example.com/a b.png?x=\u0161",
        "tel:+385991234567",
        "acme://orders/1",
        "acme:orders",
    ],
)
def test_url_of_any_scheme_is_accepted(url: str) -> None:
    """An empty string stands for no URL."""
    read_as(_Link, {"url": url})


@pytest.mark.parametrize(
    "url", ["example.com/a.png", "/a.png", "//example.com", "https:", "https://", "http://[", "a"]
)
def test_text_without_scheme_or_host_is_no_url(url: str) -> None:
    assert refusal(_Link, {"url": url}) == "url: must be a URL, with its scheme like https://"


@pytest.mark.parametrize("model", CONTENT_MODELS.values())
def test_content_shows_nothing_of_itself(model: type[Content]) -> None:
    """Every member may be personal."""
    assert repr(model.model_construct(text="canary")) == f"{model.__name__}()"


def test_each_channel_has_model_and_member() -> None:
    assert set(CONTENT_MODELS) == set(CONTENT_MEMBERS) == set(Channel)
    assert len(set(CONTENT_MODELS.values())) == len(CONTENT_MODELS) == len(Channel)
    assert len(set(CONTENT_MEMBERS.values())) == len(Channel)


@pytest.mark.parametrize("model", CONTENT_MODELS.values())
def test_model_is_attribute_of_package(model: type[Content]) -> None:
    assert getattr(channels, model.__name__) is model


def test_package_has_no_other_attributes() -> None:
    assert not hasattr(channels, "FaxContent")


def test_package_imports_no_model() -> None:
    """An app does not pay for channels that it does not use."""
    code = "import sys, infobip_omni.api.channels; print(*sys.modules)"
    modules = subprocess.run(  # noqa: S603 (a command of this test)
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SHARED)},
    ).stdout.split()

    assert [name for name in modules if name.startswith(PACKAGE)] == [f"{PACKAGE}content"]


def test_models_are_built_on_first_use() -> None:
    """Importing a module is not enough."""
    models = {model for model in _below(RequestBody) if model.__module__.startswith(PACKAGE)}

    assert set(CONTENT_MODELS.values()) < models
    assert {model for model in models if not model.model_config.get("defer_build")} == set()


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _below(one)
