"""Definitions are checked by Infobip's rules; Infobip's scenarios are read tolerantly."""

from __future__ import annotations

import pytest

from infobip_omni.api.channels import Channel
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition, ScenarioStep

from .bodies import Json, problems, wire

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]


def test_scenario_definition_has_documented_body() -> None:
    """`from` may be missing."""
    body = {"name": "otp", "flow": [*FLOW, {"channel": "VIBER"}], "default": True}

    definition = ScenarioDefinition.model_validate(body)

    assert definition.flow[0] == ScenarioStep(sender="app-code", channel=Channel.PUSH)
    assert wire(definition) == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"flow": FLOW}, "name"),
        ({"name": " ", "flow": FLOW}, "name"),
        ({"name": 7, "flow": FLOW}, "name"),
        ({"name": "otp"}, "flow"),
        ({"name": "otp", "flow": []}, "flow"),
        ({"name": "otp", "flow": "SMS"}, "flow"),
        ({"name": "otp", "flow": [{"channel": "PIGEON"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"channel": "sms"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"from": "Acme"}]}, "flow.0.channel"),
        ({"name": "otp", "flow": [{"from": 7, "channel": "SMS"}]}, "flow.0.from"),
        ({"name": "otp", "flow": [{"sender": "Acme", "channel": "SMS"}]}, "flow.0.sender"),
        ({"name": "otp", "flow": FLOW, "default": "yes"}, "default"),
        ({"name": "otp", "flow": FLOW, "key": "K"}, "key"),
    ],
)
def test_invalid_scenario_is_refused_with_field_name(body: Json, field: str) -> None:
    """Each broken rule is one problem, under the name that the caller uses."""
    assert [name for name, _ in problems(ScenarioDefinition, body)] == [field]


def test_scenario_of_infobip_compares_with_definition() -> None:
    """Unknown members, nulls and numeric keys do not matter; both flows have the same type."""
    steps = [step | {"new": 1} for step in FLOW]
    definition = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW})

    scenario = Scenario.model_validate({"key": 17, "name": "otp", "flow": steps, "default": None})

    assert (scenario.key, scenario.name, scenario.default) == ("17", "otp", False)
    assert scenario.flow == definition.flow


@pytest.mark.parametrize("flow", [None, "SMS", [{"channel": "PIGEON"}], ["SMS"]])
def test_unknown_flow_is_empty(flow: object) -> None:
    """A scenario with a new kind of step is still listed, and equals no definition."""
    assert Scenario.model_validate({"key": "K", "flow": flow}).flow == ()


@pytest.mark.parametrize("unread", [True, 7, "?", [], {}, None, "\ud83d", "x" * 10**6, 10**400])
@pytest.mark.parametrize("member", ["new", "name", "default", "key", "flow"])
def test_unreadable_member_of_scenario_costs_only_itself(member: str, unread: object) -> None:
    whole = {"key": "K", "name": "otp", "flow": FLOW, "default": False}
    expected = Scenario.model_validate(whole)

    scenario = Scenario.model_validate(whole | {member: unread})

    for name in expected.model_fields_set - {member}:
        assert getattr(scenario, name) == getattr(expected, name)


@pytest.mark.parametrize(
    ("written", "sender"),
    [
        (447491163443, "447491163443"),
        ("Acme\ud83d", "Acme?"),
        (None, None),
        ("", None),
        (True, None),
        (["Acme"], None),
        ("x" * 10**6, None),
        (10**400, None),
    ],
)
def test_sender_of_step_is_read_tolerantly(written: object, sender: str | None) -> None:
    """A scenario is recognised by its channels even if a sender cannot be read."""
    (step,) = Scenario.model_validate({"flow": [{"from": written, "channel": "SMS"}]}).flow

    assert step == ScenarioStep(sender=sender, channel=Channel.SMS)


def test_broken_key_is_dropped() -> None:
    """With another key, another scenario would be updated."""
    assert Scenario.model_validate({"key": "K\ud83d"}).key is None
