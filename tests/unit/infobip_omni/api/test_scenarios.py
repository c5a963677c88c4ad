"""What we define is held to Infobip's rules; what Infobip lists is read with tolerance."""

from __future__ import annotations

import pytest

from infobip_omni.api.channels import Channel
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition, ScenarioStep

from .bodies import Json, problems, wire

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]


def test_scenario_definition_is_the_documented_body() -> None:
    """Name, flow and default go out as they came in; `from` may be missing."""
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
def test_wrong_scenario_is_refused_by_the_name_of_the_field(body: Json, field: str) -> None:
    """One broken rule is one problem, under the name that the caller knows."""
    assert [name for name, _ in problems(ScenarioDefinition, body)] == [field]


def test_scenario_of_infobip_compares_with_ours() -> None:
    """Unknown members, null, and a number for a key do not matter; the flow is of one kind."""
    steps = [step | {"new": 1} for step in FLOW]
    definition = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW})

    scenario = Scenario.model_validate({"key": 17, "name": "otp", "flow": steps, "default": None})

    assert (scenario.key, scenario.name, scenario.default) == ("17", "otp", False)
    assert scenario.flow == definition.flow


@pytest.mark.parametrize("flow", [None, "SMS", [{"channel": "PIGEON"}], ["SMS"]])
def test_flow_that_we_do_not_know_is_empty(flow: object) -> None:
    """A scenario with a step of a new kind is still listed, and equals none of ours."""
    assert Scenario.model_validate({"key": "K", "flow": flow}).flow == ()
