"""An event is checked as the sender checks it, before it is queued."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni.scenario_registry import RegisteredScenario
from tests.fakes import FakeScenarioRegistry
from tests.local_world.aws_emulator import ROOT
from tests.local_world.page.compose import Composer, examples

if TYPE_CHECKING:
    from infobip_omni.scenario_registry import ScenarioRegistry

PHONE = "385915550002"
EVENT = json.loads((ROOT / "events/send_message.json").read_text())
SCENARIO = RegisteredScenario.from_json(
    json.dumps(
        {
            "key": "K",
            "name": "Order updates",
            "default": False,
            "flow": [{"channel": "PUSH", "from": "app"}, {"channel": "SMS", "from": "Acme"}],
        }
    )
)


def registry() -> ScenarioRegistry:
    return FakeScenarioRegistry(SCENARIO)


def checked(event: object) -> Any:  # noqa: ANN401 (JSON)
    text = event if isinstance(event, str) else json.dumps(event)
    return Composer(registry).check(text)


def test_valid_event_is_accepted_with_its_ids_and_phones() -> None:
    assert checked(EVENT) == {"ok": True, "messageIds": ["parcel-1002"], "phones": [PHONE]}


def test_id_that_only_queue_will_give_is_not_guessed() -> None:
    without_id = {name: value for name, value in EVENT.items() if name != "messageId"}

    assert checked(without_id) == {"ok": True, "messageIds": [], "phones": [PHONE]}


@pytest.mark.parametrize(
    ("event", "field", "rule"),
    [
        (EVENT | {"sms": {}}, "sms.text", "is required"),
        (EVENT | {"to": {"phoneNumber": "x"}}, "to.phoneNumber", "must be"),
        (EVENT | {"scenario": "nope"}, "scenario", "must be the name or slug of a registered"),
        (EVENT | {"push": None}, "push", "is required: the scenario has a step for PUSH"),
        (EVENT | {"viber": {"text": "a"}}, "viber", "must be left out: the scenario has no VIBER"),
        (EVENT | {"to": {"emailAddress": "a@example.com"}}, "to", "must hold phoneNumber"),
        ([], "body", "must be a JSON object"),
        ('{\n  "a" 1}', "body", "must be JSON: it is not JSON, from line 2, column 7 on: a colon"),
        ("", "body", "must be JSON: it is not JSON, from line 1, column 1 on: a value is missing"),
        ('{"a": 1, "a": 2}', "a", "must not be given twice"),
    ],
)
def test_broken_rule_is_named_with_its_field(event: object, field: str, rule: str) -> None:
    answer = checked(event)

    assert (answer["ok"], answer["field"]) == (False, field)
    assert answer["rule"].startswith(rule)
    assert PHONE not in answer["rule"]


def test_registered_scenarios_are_offered() -> None:
    assert Composer(registry).offered()["scenarios"] == [
        {
            "name": "Order updates",
            "slug": "order-updates",
            "flow": [{"channel": "PUSH", "from": "app"}, {"channel": "SMS", "from": "Acme"}],
        }
    ]


def test_scenario_of_example_event_is_offered() -> None:
    example = json.loads((ROOT / "events/create_scenario.json").read_text())

    offered = Composer(registry).offered()["exampleScenario"]

    assert offered == {"name": example["name"], "slug": "order-updates", "flow": example["flow"]}


def test_every_example_can_be_read_and_is_one_record() -> None:
    """Records of an SQS event are offered one by one."""
    found = {each["name"]: json.loads(each["text"]) for each in examples()}

    assert found["send_message.json"] == EVENT
    assert "send_message_sqs.json, record 1" in found
    assert not any("Records" in each for each in found.values())
