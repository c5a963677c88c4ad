"""A scenario is created once, even if its parameter is lost or changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.local_world.world import FunctionFailedError

if TYPE_CHECKING:
    from tests.local_world.world import Json, World

FLOW = [{"from": "app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]


def create(world: World, name: str, flow: list[Json] = FLOW) -> Json:
    """Invoke the function with a body as Infobip's API takes it."""
    answer: Json = world.invoke("CreateScenarioFunctionName", {"name": name, "flow": flow})
    return answer


def creations(world: World) -> int:
    """Return how many scenarios Infobip has created."""
    created: int = world.simulator.totals()["requests"]["create_scenario"]["201"]
    return created


def test_scenario_is_created_once_and_registered(world: World) -> None:
    """Two invocations create one scenario; its parameter holds key, name, flow and default."""
    first = create(world, "Parcel, on its way")
    before = creations(world)
    second = create(world, "Parcel, on its way")

    parameter = world.outputs["ScenarioParameterPrefix"] + "parcel-on-its-way"
    value = world.ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    described = {"name": "Parcel, on its way", "flow": FLOW, "default": False}
    assert json.loads(value) == described | {"key": first["key"]}
    assert first == json.loads(value) | {"parameter": parameter, "outcome": "CREATED"}
    assert second == first | {"outcome": "UNCHANGED"}
    assert creations(world) == before


def test_scenario_whose_parameter_was_deleted_is_adopted(world: World) -> None:
    """A scenario that Infobip already has is registered again under its old key."""
    created = create(world, "Invoice")
    before = creations(world)
    world.ssm.delete_parameter(Name=created["parameter"])

    assert create(world, "Invoice") == created | {"outcome": "ADOPTED"}
    assert creations(world) == before
    assert world.ssm.get_parameter(Name=created["parameter"])


def test_scenario_with_another_flow_is_updated(world: World) -> None:
    """The key stays the same, so upstream apps need no change."""
    created = create(world, "Reminder")
    flow = [{"from": "app", "channel": "PUSH"}, {"from": "Acme", "channel": "VOICE"}]

    assert create(world, "Reminder", flow) == created | {"flow": flow, "outcome": "UPDATED"}
    assert create(world, "Reminder", flow) == created | {"flow": flow, "outcome": "UNCHANGED"}


def test_wrong_scenario_is_refused_and_names_the_field(world: World) -> None:
    """The caller learns what to correct."""
    with pytest.raises(FunctionFailedError, match=r"flow\[0\]\.channel"):
        create(world, "Carrier pigeon", [{"from": "Acme", "channel": "PIGEON"}])
