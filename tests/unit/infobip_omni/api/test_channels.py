"""The content of each channel is checked against its limits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infobip_omni.api.sends import AdvancedRequest

from .bodies import problems, send, wire


def test_sms_is_measured_in_bytes() -> None:
    """4000 bytes are accepted, however many characters they are; one more is not."""
    longest = send(sms={"text": "ä" * 2000})
    assert wire(AdvancedRequest.model_validate(longest)) == longest

    found = problems(AdvancedRequest, send(sms={"text": "ä" * 2000 + "x"}))

    assert found == [("sms.text", "must not exceed 4000 bytes in UTF-8")]


@pytest.mark.parametrize(
    ("member", "period", "unit", "rule"),
    [
        ("sms", 30, "SECONDS", "must exceed 30 seconds"),
        ("sms", 30_000, "MILLISECONDS", "must exceed 30 seconds"),
        ("sms", 30_000_000, "MICROSECONDS", "must exceed 30 seconds"),
        ("sms", 2**31 - 1, "NANOSECONDS", "must exceed 30 seconds"),
        ("push", 30, "SECONDS", "must exceed 30 seconds"),
        ("viber", 35, "SECONDS", "must exceed 35 seconds"),
        ("viber", 337, "HOURS", "must not exceed 14 days"),
        ("viber", 2**31 - 1, "DAYS", "must not exceed 14 days"),
    ],
)
def test_validity_period_outside_limits_is_refused(
    member: str, period: int, unit: str, rule: str
) -> None:
    """The lower limit itself is refused as well."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    found = problems(AdvancedRequest, send(**{member: content}))

    assert found == [(f"{member}.validityPeriod", rule)]


@pytest.mark.parametrize(
    ("member", "period", "unit", "validity"),
    [
        ("sms", None, None, None),
        ("sms", 1, None, timedelta(minutes=1)),
        ("sms", 31, "SECONDS", timedelta(seconds=31)),
        ("sms", 30_001, "MILLISECONDS", timedelta(seconds=30.001)),
        ("push", 48, "HOURS", timedelta(hours=48)),
        ("push", 49, "HOURS", timedelta(hours=48)),
        ("push", 2**31 - 1, "DAYS", timedelta(hours=48)),
        ("viber", 36, "SECONDS", timedelta(seconds=36)),
        ("viber", 14, "DAYS", timedelta(days=14)),
    ],
)
def test_content_returns_validity_of_its_step(
    member: str, period: int | None, unit: str | None, validity: timedelta | None
) -> None:
    """The default unit is minutes. A period that Infobip cuts counts as what it is cut to."""
    content = {"text": "hi", "validityPeriod": period, "validityPeriodTimeUnit": unit}

    request = AdvancedRequest.model_validate(send(**{member: content}))

    assert [content.validity() for content in request.contents().values()] == [validity]
