"""Each file in `events/` is a valid event of its function, so `make invoke` works with it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent, SQSEvent

from infobip_omni.api.channels import Channel, PushContent
from infobip_omni.api.reports import DeliveryReport, parse_page
from infobip_omni.api.scenarios import ScenarioDefinition
from infobip_omni.events import create_scenario, find_messages, redrive_messages
from infobip_omni.events.send_message import SendEvent
from infobip_omni.outcome_events import Change
from infobip_omni.parked_reports import unpacked
from infobip_omni.scenario_registry import slug
from infobip_omni.send_queue import Record
from infobip_omni.timestamps import utc_now
from tests.local_world.aws_emulator import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = ROOT / "events"


def send_events(event: dict[str, Any]) -> list[SendEvent]:
    """Parse the records of an SQS event as send_message does."""
    records = [Record.received(record) for record in SQSEvent(event).records]
    return [SendEvent.parse(record.body, record.original_id, utc_now()) for record in records]


def queued_event(event: dict[str, Any]) -> SendEvent:
    """Parse the body of a record as `make send` queues it."""
    return SendEvent.parse(json.dumps(event), "a-record", utc_now())


def schedule(event: dict[str, Any]) -> str:
    """Check an event of EventBridge Scheduler; the scheduled functions do not read it."""
    assert event["source"] == "aws.scheduler"
    return str(event["resources"][0])


def webhook_reports(event: dict[str, Any]) -> list[DeliveryReport]:
    """Parse the body of a call to the function URL."""
    call = LambdaFunctionUrlEvent(event)
    assert (call.http_method, call.is_base64_encoded) == ("POST", False)
    entries = parse_page((call.body or "").encode())
    return [DeliveryReport.model_validate(entry.parsed) for entry in entries]


def parked_reports(event: dict[str, Any]) -> list[DeliveryReport]:
    """Parse the pages of an SQS event as record_parked_reports does."""
    pages = [unpacked(record.body) for record in SQSEvent(event).records]
    return [
        DeliveryReport.model_validate(entry.parsed) for page in pages for entry in parse_page(page)
    ]


def settled_messages(event: dict[str, Any]) -> list[Change]:
    """Parse the records of the table's stream as publish_outcomes does."""
    return [Change.read(record) for record in event["Records"]]


PARSERS: dict[str, Callable[[Any], object]] = {
    "check_scenarios": create_scenario.parse,
    "create_scenario": create_scenario.parse,
    "create_scenarios": create_scenario.parse,
    "delivery_reports_webhook": webhook_reports,
    "find_messages": find_messages.parse,
    "publish_outcomes": settled_messages,
    "record_parked_reports": parked_reports,
    "redrive_messages": redrive_messages.parse,
    "schedule": schedule,
    "send_message": queued_event,
    "send_message_sqs": send_events,
}


def read(name: str) -> Any:  # noqa: ANN401 (any JSON value)
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


def created_scenario() -> ScenarioDefinition:
    scenario = create_scenario.parse(read("create_scenario"))
    assert isinstance(scenario, ScenarioDefinition)
    return scenario


def test_every_event_has_a_parser_and_every_parser_an_event() -> None:
    """A new file cannot go untested."""
    assert {path.stem for path in EVENTS.iterdir()} == set(PARSERS)


@pytest.mark.parametrize("name", PARSERS)
def test_event_is_valid_for_its_function(name: str) -> None:
    """The function's own parser reads it, and returns something."""
    assert PARSERS[name](read(name))


@pytest.mark.parametrize("name", PARSERS)
def test_contact_details_in_events_are_fictitious(name: str) -> None:
    """Numbers with 555 and example domains are reserved, so they belong to no person."""
    text = json.dumps(read(name))

    assert not re.search(r"@(?!acme\.example|example\.(com|org))", text)
    assert all("555" in number for number in phone_numbers(text))


def phone_numbers(text: str) -> list[str]:
    """Return the phone numbers of recipients, including those in nested JSON strings."""
    return re.findall(r'\\*"(?:phoneNumber|to)\\*": ?\\*"(\d+)', text)


def test_send_event_shows_each_kind_of_record() -> None:
    """It has Infobip's own body, this project's short form, and a redriven record."""
    documented, convenient, redriven = send_events(read("send_message_sqs"))

    push = documented.contents[Channel.PUSH]
    assert isinstance(push, PushContent)
    assert push.custom_payload == {
        "screen": "orders",
        "campaign": {"name": "shipping", "year": 2026},
    }
    assert len(documented.messages) == 2
    assert convenient.body.to is not None
    assert convenient.messages[0].message_id == convenient.body.message_id
    record_ids = [record["messageId"] for record in read("send_message_sqs")["Records"]]
    assert redriven.messages[0].message_id.removesuffix("-0") not in record_ids


def test_send_event_uses_the_scenario_of_the_create_event() -> None:
    """Invoking both functions in this order sends a message."""
    scenario = created_scenario()
    _, convenient, _ = send_events(read("send_message_sqs"))

    assert convenient.body.scenario == slug(scenario.name)
    convenient.check_flow(step.channel for step in scenario.flow)


def test_lists_of_scenarios_hold_the_scenario_of_the_create_event() -> None:
    """What one event creates, another one checks."""
    lists = [create_scenario.parse(read(name)) for name in ("create_scenarios", "check_scenarios")]

    created, checked = (one for one in lists if isinstance(one, create_scenario.ScenarioList))
    assert created_scenario() in created.scenarios
    assert checked.scenarios == created.scenarios
    assert (created.is_check, checked.is_check) == (False, True)


def test_event_of_make_send_uses_the_same_scenario() -> None:
    """Its message id differs, so both examples can be sent."""
    scenario = created_scenario()
    event = queued_event(read("send_message"))
    others = [
        one.message_id for each in send_events(read("send_message_sqs")) for one in each.messages
    ]

    assert event.body.scenario == slug(scenario.name)
    event.check_flow(step.channel for step in scenario.flow)
    assert event.messages[0].message_id not in others
