"""A scenario is created once, and an update takes effect for all messages after its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.local_world.world import FunctionFailedError

from .upstream import PUSH_ARRIVES, PUSH_FAILS

if TYPE_CHECKING:
    from tests.local_world.world import Json, World

    from .upstream import Upstream

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


def queue(upstream: Upstream, scenario: str, channels: str, ending: str = PUSH_ARRIVES) -> Json:
    """Queue an event with content for these channels only, and return it."""
    event = upstream.event(ending, scenario=scenario)
    kept = {name: value for name, value in event.items() if name not in {"push", "sms"}}
    event = kept | {name: event[name] for name in channels.split()}
    upstream.world.put_message(event)
    return event


# --- Updates while messages are sent -------------------------------------------------------


def test_events_that_fit_only_the_new_flow_are_sent_right_after_the_update(
    world: World, upstream: Upstream
) -> None:
    """Senders have just used the old one; none of the events is refused."""
    create(world, "Grown", FLOW[:1])
    upstream.wait_for(queue(upstream, "grown", "push")["messageId"], "ACCEPTED")

    assert create(world, "Grown", FLOW)["outcome"] == "UPDATED"
    sent = [queue(upstream, "grown", "push sms") for _ in range(20)]

    steps = [upstream.wait_for(each["messageId"], "ACCEPTED")["steps"] for each in sent]
    assert steps == 20 * [["PUSH", "SMS"]]


def test_shortened_flow_settles_messages_right_after_the_update(
    world: World, upstream: Upstream
) -> None:
    """The failure of the only step is final, and an event without its content is refused."""
    create(world, "Shrunk", FLOW)
    upstream.wait_for(queue(upstream, "shrunk", "push sms")["messageId"], "ACCEPTED")

    assert create(world, "Shrunk", FLOW[:1])["outcome"] == "UPDATED"
    failing = [queue(upstream, "shrunk", "push", PUSH_FAILS) for _ in range(6)]
    wrong = queue(upstream, "shrunk", "sms")

    items = [upstream.settle(each["messageId"]) for each in failing]
    assert {(each["state"], *each["steps"]) for each in items} == {("UNDELIVERED", "PUSH")}
    (refused,) = upstream.wait_for_dead_lettered([json.dumps(wrong)])
    assert (refused["attributes"]["reason"], refused["attributes"]["field"]) == ("INVALID", "push")


# --- Lists ---------------------------------------------------------------------------------


def test_list_is_created_and_checked(world: World) -> None:
    """Another description of one of them differs at Infobip and in the registry."""
    listed = [{"name": name, "flow": FLOW} for name in ("Listed 1", "Listed 2")]

    created = world.invoke("CreateScenarioFunctionName", {"scenarios": listed})["scenarios"]
    again = world.invoke("CreateScenarioFunctionName", {"scenarios": listed})["scenarios"]
    listed[1] = listed[1] | {"flow": FLOW[:1]}
    checked = world.invoke("CreateScenarioFunctionName", {"action": "check", "scenarios": listed})

    assert [each["outcome"] for each in created] == ["CREATED", "CREATED"]
    assert again == [each | {"outcome": "UNCHANGED"} for each in created]
    unchanged, drifted = checked["scenarios"]
    assert (unchanged["outcome"], drifted["outcome"]) == ("UNCHANGED", "DRIFTED")
    assert drifted["differences"] == [
        {"member": "flow[1].channel", "wanted": None, "infobip": "SMS", "registry": "SMS"},
        {"member": "flow[1].from", "wanted": None, "infobip": "Acme", "registry": "Acme"},
    ]


def test_throttled_scenarios_are_pending_until_the_next_invocation(world: World) -> None:
    """The answer names the seconds that Infobip asks to wait."""
    listed = {"scenarios": [{"name": f"Throttled {number}", "flow": FLOW} for number in (1, 2)]}
    world.simulator.add_fault(operation="create_scenario", kind="rate_limit", retryAfter=7)

    first = world.invoke("CreateScenarioFunctionName", listed)["scenarios"]
    second = world.invoke("CreateScenarioFunctionName", listed)["scenarios"]

    assert [(each["outcome"], each["retryAfterSeconds"]) for each in first] == [
        ("PENDING", 7),
        ("PENDING", 7),
    ]
    assert [each["outcome"] for each in second] == ["CREATED", "CREATED"]


def test_new_default_scenario_corrects_the_old_one(world: World) -> None:
    """The simulator clears the old default; the registry holds what it lists."""
    old = {"name": "Old default", "flow": FLOW, "default": True}
    new = {"name": "New default", "flow": FLOW, "default": True}
    parameter = world.invoke("CreateScenarioFunctionName", old)["parameter"]
    try:
        answer = world.invoke("CreateScenarioFunctionName", new)
    finally:
        # Other tests rely on an account without a default scenario.
        world.invoke("CreateScenarioFunctionName", new | {"default": False})

    assert answer["alsoUpdated"] == [{"name": "Old default", "default": False}]
    value = json.loads(world.ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    assert value["default"] is False
