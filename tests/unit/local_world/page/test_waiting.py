"""A test of an upstream app waits for a state, and learns from a sentence why it failed."""

from __future__ import annotations

from typing import Any

import pytest

from infobip_omni.api.channels import Channel
from tests.local_world.page.refusals import PageError
from tests.local_world.page.waiting import Wait, parse_wait, verdict_of

WANTED = {"messageId": "order-1", "state": "DELIVERED"}
BY_SMS = Wait("order-1", "DELIVERED", "SMS", 20)


def parsed(**parameters: str) -> Wait:
    return parse_wait({name: [value] for name, value in parameters.items()}, [*Channel])


def found(state: str, channel: str | None = None) -> dict[str, Any]:
    return {"found": True, "message": {"state": state, "channel": channel}}


def test_parameters_are_read() -> None:
    assert parsed(**WANTED) == Wait("order-1", "DELIVERED", "", 20)
    assert parsed(**WANTED, channel="SMS", seconds="0.5") == Wait(
        "order-1", "DELIVERED", "SMS", 0.5
    )


@pytest.mark.parametrize(
    ("changed", "field", "rule"),
    [
        ({"messageId": ""}, "messageId", "is required"),
        ({"state": ""}, "state", "must be one of CLAIMED, WAITING"),
        ({"state": "delivered"}, "state", "must be one of CLAIMED, WAITING"),
        ({"channel": "FAX"}, "channel", "must be one of "),
        ({"channel": ""}, "channel", "must be one of "),
        ({"channel": "SMS", "state": "EXPIRED"}, "channel", "needs the state DELIVERED"),
        ({"seconds": "soon"}, "seconds", "must be a number from 0 to 120"),
        ({"seconds": "121"}, "seconds", "must be a number from 0 to 120"),
        ({"seconds": "-1"}, "seconds", "must be a number from 0 to 120"),
        ({"seconds": "nan"}, "seconds", "must be a number from 0 to 120"),
        ({"messageID": "x"}, "the query", "must hold no parameters but messageId, state, channel"),
    ],
)
def test_wrong_parameter_is_named_with_its_rule(
    changed: dict[str, str], field: str, rule: str
) -> None:
    with pytest.raises(PageError) as refused:
        parsed(**WANTED | changed)

    assert refused.value.status == 400
    assert refused.value.body["field"] == field
    assert refused.value.body["rule"].startswith(rule)
    assert str(refused.value).startswith(f"{field} {rule}")


def test_parameter_is_given_once() -> None:
    with pytest.raises(PageError, match="state must not be repeated"):
        parse_wait({"state": ["DELIVERED", "EXPIRED"]}, [*Channel])


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (found("DELIVERED", "SMS"), BY_SMS),
        (found("DELIVERED", "PUSH"), Wait("order-1", "DELIVERED", "", 20)),
        (found("EXPIRED", "SMS"), Wait("order-1", "EXPIRED", "", 20)),
    ],
)
def test_message_in_its_state_ends_wait(answer: dict[str, Any], wanted: Wait) -> None:
    assert verdict_of(answer, wanted) is None


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (found("DELIVERED", "PUSH"), 409, "is DELIVERED by PUSH, not DELIVERED by SMS"),
        (found("EXPIRED", "SMS"), 409, "is EXPIRED, not DELIVERED by SMS"),
        (found("WAITING"), 504, "is WAITING after 20 s, not DELIVERED by SMS"),
        (
            {"found": False, "message": None},
            504,
            (
                "is not in the table after 20 s, so it is not DELIVERED by SMS: look for its record"
                " among the dead-lettered ones"
            ),
        ),
    ],
)
def test_failed_wait_says_what_message_is(
    answer: dict[str, Any], status: int, sentence: str
) -> None:
    refusal = verdict_of(answer, BY_SMS)

    assert refusal is not None
    assert (refusal.status, str(refusal)) == (status, f"order-1 {sentence}")
