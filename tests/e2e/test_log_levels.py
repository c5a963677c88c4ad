"""At any log level set in Lambda's console, the logs hold no personal data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.world import API_KEY, WEBHOOK_KEY, FunctionFailedError, World, wait_until

from .permissions import denied
from .test_webhook import post
from .upstream import CANARY_NUMBER, CANARY_TEXT, PUSH_FAILS, REFUSED, SCENARIO, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import Json

BUS = "outcomes"
CANARY_EMAIL = "canary@example.com"
PERSONAL = (
    *(CANARY_NUMBER, CANARY_TEXT, CANARY_EMAIL, API_KEY, WEBHOOK_KEY),
    # The parts of a signed AWS request: the role's key, its session token, the signature.
    *("ASIA", "security-token", "AWS4-HMAC"),
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Deploy all nine functions, with schedules so rare that only the test invokes them."""
    parameters = {
        "DeliveryReportWebhook": "enabled",
        "OutcomeEventBusName": BUS,
        "ReconcileAfterSeconds": 1,
        "ReconcileSchedule": "rate(1 day)",
        "ReportSchedule": "rate(1 day)",
    }
    with World(parameters=parameters) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(world: World) -> Upstream:
    """Create the scenario, and return an upstream app that uses it."""
    return Upstream(world)


def set_log_level(world: World, level: str) -> dict[str, str]:
    """Set every function's log level, as in the console; return log group and version of each."""
    versions = {}
    for function in world.functions.list_functions()["Functions"]:
        name = function["FunctionName"]
        logging: Any = function["LoggingConfig"] | {
            "LogFormat": "JSON",
            "ApplicationLogLevel": level,
        }
        world.functions.update_function_configuration(FunctionName=name, LoggingConfig=logging)
        version = "$LATEST"
        for alias in world.functions.list_aliases(FunctionName=name)["Aliases"]:
            version = world.functions.publish_version(FunctionName=name)["Version"]
            world.functions.update_alias(
                FunctionName=name, Name=alias["Name"], FunctionVersion=version
            )
        versions[logging["LogGroup"]] = version
    return versions


def fail(world: World, output_name: str, event: Json) -> None:
    """Invoke a function with an event that it refuses or cannot handle."""
    with pytest.raises(FunctionFailedError):
        world.invoke(output_name, event)


def use_all_functions(upstream: Upstream) -> None:
    """Invoke every function, with events that succeed and events that fail."""
    world = upstream.world
    world.invoke("CreateScenarioFunctionName", SCENARIO)
    fail(world, "CreateScenarioFunctionName", SCENARIO | {"flow": [{"to": CANARY_NUMBER}]})

    number = f"{CANARY_NUMBER}777{PUSH_FAILS}"
    settled = upstream.send(PUSH_FAILS, to={"phoneNumber": number, "emailAddress": CANARY_EMAIL})
    refused = upstream.send(REFUSED)
    upstream.wait_for(settled, "DELIVERED")
    upstream.wait_for(refused, "REJECTED")

    lost = upstream.event()
    world.simulator.add_fault("send_advanced", "reset_after", messageIds=[lost["messageId"]])
    invalid = upstream.send_together([lost, upstream.event(wrong=CANARY_TEXT)])[1:]
    upstream.wait_for_dead_lettered(invalid)
    wait_until(
        lambda: is_reconciled(upstream, lost["messageId"]), 60, "the logs are queried", every=0.5
    )

    parked = upstream.send(notifyContentType="application/xml", notifyUrl="http://127.0.0.1/")
    upstream.wait_for(parked, "ACCEPTED")
    with denied(world, "PullDeliveryReportsFunction", "dynamodb:BatchWriteItem"):
        wait_until(lambda: parks(world), 60, "a page is parked")
    upstream.wait_for(parked, "DELIVERED")

    body = json.dumps({"results": [{"messageId": settled, "to": CANARY_NUMBER}]})
    post(world, f"/reports/{CANARY_NUMBER}/guess", body)
    world.invoke("FindMessagesFunctionName", {"recipient": number, "showRecipients": True})
    fail(world, "FindMessagesFunctionName", {"recipient": CANARY_EMAIL, "limit": 0})
    with denied(world, "FindMessagesFunction", "dynamodb:*"):
        fail(world, "FindMessagesFunctionName", {"recipient": CANARY_EMAIL})
    world.invoke("RedriveMessagesFunctionName", {"action": "list", "showContent": True})
    fail(world, "RedriveMessagesFunctionName", {"action": CANARY_TEXT})


def is_reconciled(upstream: Upstream, message_id: str) -> bool:
    """Reconcile, and return whether the logs have resolved a message."""
    upstream.reconcile()
    item = upstream.world.message(message_id) or {}
    return item.get("state") not in (None, "CLAIMED", "UNKNOWN")


def parks(world: World) -> bool:
    """Pull reports, and return whether a page was parked."""
    return bool(world.invoke("PullDeliveryReportsFunctionName", {})["parked"])


def group_lines(world: World, group: str) -> str:
    """Return everything logged to a log group."""
    pages = world.cloudwatch_logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return "\n".join(event["message"] for page in pages for event in page["events"])


@pytest.mark.thorough
@pytest.mark.parametrize("level", ["DEBUG", "TRACE"])
def test_no_log_level_of_lambda_makes_a_function_log_personal_data(
    world: World, upstream: Upstream, level: str
) -> None:
    """Lambda sets the root logger to this level, at which botocore logs requests and responses."""
    versions = set_log_level(world, level)

    use_all_functions(upstream)

    logs = {group: group_lines(world, group) for group in versions}
    assert len(logs) == 9
    for group, version in versions.items():
        assert f"Version: {version}\n" in logs[group], group
    everything = "\n".join(logs.values()) + world.emulator.output()
    assert "message handled" in everything
    assert [word for word in PERSONAL if word in everything] == []
