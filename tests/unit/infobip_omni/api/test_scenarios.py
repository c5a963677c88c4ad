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
