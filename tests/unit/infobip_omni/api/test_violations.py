"""The fields and rules that Infobip names are kept, and no value that its texts quote."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.errors import RequestRejectedError, error_for, error_of_send
from infobip_omni.api.violations import (
    LONGEST_FIELD,
    LONGEST_RULE,
    MOST_VIOLATIONS,
    Violation,
    field_name,
    violations_in,
    without_values,
)

PHONE = "41793026731"
EMAIL = "destinations[1].to.emailAddress"


def omni_error(validation_errors: object) -> dict[str, Any]:
    details = {"messageId": "BAD_REQUEST", "text": "Bad Request"}
    exception = details | {"validationErrors": validation_errors}
    return {"requestError": {"serviceException": exception}}


def platform_error(violations: object) -> dict[str, Any]:
    return {"errorCode": "E400", "description": "Bad request", "violations": violations}


@pytest.mark.parametrize(
    "body",
    [
        omni_error({EMAIL: ["must be a well-formed email address"]}),
        omni_error({EMAIL: "must be a well-formed email address"}),
        omni_error([{"property": EMAIL, "violation": "must be a well-formed email address"}]),
        platform_error([{"property": EMAIL, "violation": "must be a well-formed email address"}]),
        platform_error({EMAIL: ["must be a well-formed email address"]}),
    ],
)
def test_fields_and_rules_of_both_envelopes_are_kept(body: object) -> None:
    """They are in the error's text too, which an operator gets as the answer."""
    violation = Violation(EMAIL, "must be a well-formed email address")

    for error in (error_for(400, body, {}), error_of_send(400, body, {})):
        assert type(error) is RequestRejectedError
        assert error.violations == (violation,)
        assert str(error).endswith(f": {violation.field}: {violation.rule}")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_every_kind_of_error_keeps_the_rules(status: int) -> None:
    body = platform_error([{"property": "flow", "violation": "must not be empty"}])

    assert error_of_send(status, body, {}).violations == (Violation("flow", "must not be empty"),)


def test_error_without_rules_says_what_its_text_says() -> None:
    body = {"requestError": {"serviceException": {"messageId": "CONFLICT", "text": "name exists"}}}

    assert str(error_for(409, body, {})).endswith("HTTP 409, CONFLICT: name exists")


@pytest.mark.parametrize(
    "text",
    [
        f"Value '{PHONE}' must match \"[0-9]+\"",
        f"+{PHONE} is not a valid phone number",
        "+41 79 302 67 31 is not a valid phone number",
        "ada.lovelace@example.com must be a well-formed email address",
        "Hello Ada Lovelace must not exceed 160 characters",
        "the value `your code is 1234` is too long",
        "1234 is not valid",
        "code: 1234",
        "bk3RNwTe3H0:CI2kabcdefg must be a registered device",
        "rejected value [Ada]",
        "“Ada” was not found",
        "Ada's number must not be blank",
        "https://example.com/Ada must be valid",
    ],
)
def test_no_value_is_kept_that_a_text_quotes(text: str) -> None:
    """Numbers, addresses, names and codes become an ellipsis, and so does all that is not known."""
    rule = without_values(text, "destinations[0].to.phoneNumber")

    shown = str(error_for(400, omni_error({"to": [text]}), {}))
    for value in (PHONE, "7930", "67", "Ada", "Lovelace", "1234", "bk3", "CI2k", "ada.", "example"):
        assert value not in rule + shown
    assert "…" in rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("must not be blank", "must not be blank"),
        ("size must be between 1 and 50", "size must be between 1 and 50"),
        ("must be greater than or equal to 30", "must be greater than or equal to 30"),
        ("Maximum length is 4000.", "Maximum length is 4000."),
        ("must be at most 65536", "must be at most 65536"),
        ("phoneNumber must match the format", "phoneNumber must match the format"),
        ("must be one of [SMS, PUSH]", "must be one of [SMS, PUSH]"),
        (f"is {PHONE}, {PHONE} and {PHONE}", "is … and …"),
        ("doesn't exist", "doesn't exist"),
        ("the value 'must be valid' isn't valid", "the value … isn't valid"),
        ('"not", `valid` or \u201cmust not\u201d', "… or …"),
        ("must\nbe  valid", "must be valid"),
    ],
)
def test_words_and_limits_of_a_rule_are_kept(text: str, rule: str) -> None:
    assert without_values(text, "destinations[0].to.phoneNumber") == rule


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("sms.text", "sms.text"),
        ("flow[0].from", "flow[0].from"),
        (" flow[] ", "flow[]"),
        (f"push.customPayload.{PHONE}", "push.customPayload…"),
        (f"push.customPayload.x{PHONE}", "push.customPayload.x#"),
        ('templateData["Ada"]', "templateData…"),
        ("ada.lovelace@example.com", "…"),
        ("Ada Lovelace", "…"),
        (PHONE, "…"),
        ("", ""),
        ("x" + ".y" * 500, ("x" + ".y" * 500)[:LONGEST_FIELD]),
    ],
)
def test_path_of_a_field_has_names_only(path: str, name: str) -> None:
    assert field_name(path) == name


@pytest.mark.parametrize(
    "error",
    [
        None,
        "text",
        7,
        {},
        [],
        {"sms": None},
        {"sms": [None, 7, ["x"]]},
        {"": ["must not be blank"]},
        [None, "x", {"property": 7, "violation": "x"}, {"property": "sms"}],
    ],
)
def test_malformed_rules_are_left_out(error: object) -> None:
    assert violations_in(error) == ()
    assert error_for(400, omni_error(error), {}).error_id == "BAD_REQUEST"


def test_number_and_length_of_rules_are_limited() -> None:
    """They are stored with each message of a request."""
    violations = violations_in({f"field_{end}": ["must " * 10_000] * 2 for end in "abcdefghijk"})

    assert len(violations) == MOST_VIOLATIONS
    assert len(set(violations)) == MOST_VIOLATIONS
    assert max(len(each.rule) for each in violations) == LONGEST_RULE
