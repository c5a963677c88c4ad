"""Unattended operation: schedules run, roles are minimal, logs hold no personal data."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_world.clients import options, session
from tests.local_world.world import API_KEY, FunctionFailedError

from .upstream import CANARY_KEY, CANARY_NUMBER, CANARY_TEXT, PUSH_FAILS, SCENARIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import World

    from .upstream import Upstream

#: How often functions are invoked, by the output that names them.
SCHEDULES = {
    "PullDeliveryReportsFunctionName": "rate(1 minute)",
    "ReconcileMessagesFunctionName": "rate(5 minutes)",
}
#: The emulator checks every ten seconds whether a schedule is due.
SECONDS_TO_FIRE = 60
PERSONAL = (CANARY_NUMBER, CANARY_TEXT, CANARY_KEY, API_KEY)


def client(
    world: World,
    service: Any,  # noqa: ANN401 (the stubs list every service)
    keys: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 (any client)
    """Return a client of the emulator, by default as the root user of its account."""
    return session(*keys).client(service, **options(world.emulator.url))


def role_of(world: World, output_name: str) -> str:
    """Return the ARN of a function's role."""
    name = world.outputs[output_name]
    return world.functions.get_function_configuration(FunctionName=name)["Role"]


@contextmanager
def without_permissions(world: World, output_name: str) -> Iterator[None]:
    """Remove the policy of a function's role, for as long as the context lasts."""
    iam = client(world, "iam")
    role = role_of(world, output_name).rsplit("/", 1)[1]
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


def schedule_of(world: World, output_name: str) -> Any:  # noqa: ANN401 (what boto3 answers)
    """Return the schedule of a function; CloudFormation generates its name."""
    target = f":function:{world.outputs[output_name]}"
    [name] = [
        schedule["Name"]
        for schedule in world.scheduler.list_schedules()["Schedules"]
        if schedule["Target"]["Arn"].endswith(target)
    ]
    return world.scheduler.get_schedule(Name=name)


def bring_forward(world: World, output_name: str) -> None:
    """Create a schedule that runs once, in two seconds, with the target of a deployed one."""
    deployed = schedule_of(world, output_name)
    due = datetime.now(UTC) + timedelta(seconds=2)
    world.scheduler.create_schedule(
        Name="once",
        ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
        ActionAfterCompletion="DELETE",
        FlexibleTimeWindow=deployed["FlexibleTimeWindow"],
        Target=deployed["Target"],
    )


def test_function_may_do_only_what_its_policy_names(world: World) -> None:
    """The sender's role can read the credentials, but cannot scan the table."""
    session = client(world, "sts").assume_role(
        RoleArn=role_of(world, "SendMessageFunctionName"), RoleSessionName="test"
    )["Credentials"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])

    client(world, "ssm", keys).get_parameter(Name="/omni/local/infobip/credentials")
    with pytest.raises(ClientError, match=r"AccessDenied.*Scan"):
        client(world, "dynamodb", keys).scan(TableName=world.outputs["MessagesTableName"])


def test_missing_permission_fails_here_and_not_in_production(world: World) -> None:
    """A function without its policy names the missing permission, and works once it has it."""
    with (
        without_permissions(world, "CreateScenarioFunctionName"),
        pytest.raises(FunctionFailedError, match=r"cannot be read: AccessDenied"),
    ):
        world.invoke("CreateScenarioFunctionName", SCENARIO)

    assert world.invoke("CreateScenarioFunctionName", SCENARIO)["name"] == SCENARIO["name"]


@pytest.mark.parametrize("output_name", SCHEDULES)
def test_schedule_is_for_its_function(world: World, output_name: str) -> None:
    """Each is enabled, with the frequency of the parameters' defaults."""
    schedule = schedule_of(world, output_name)

    assert schedule["State"] == "ENABLED"
    assert schedule["ScheduleExpression"] == SCHEDULES[output_name]


def test_message_gets_its_outcome_by_schedule(world: World, upstream: Upstream) -> None:
    """The schedule, brought forward to save a minute of waiting, pulls the reports."""
    message_id = upstream.send(PUSH_FAILS)

    bring_forward(world, "PullDeliveryReportsFunctionName")

    item = upstream.wait_for(message_id, "DELIVERED", within_seconds=SECONDS_TO_FIRE)

    assert (item["channel"], item["evidence"]) == ("SMS", "report")


def test_no_function_logs_personal_data(upstream: Upstream) -> None:
    """No log line holds a number, text or credential that was sent."""
    message_id = upstream.send(PUSH_FAILS)
    unreadable = f'{{"to": "{CANARY_NUMBER}", "text": "{CANARY_TEXT}"'
    upstream.world.put_message(unreadable)
    upstream.wait_for_dead_lettered([unreadable])
    upstream.settle(message_id)

    logs = upstream.world.logs()

    assert "message handled" in logs
    assert "record dead-lettered" in logs
    assert [word for word in PERSONAL if word in logs] == []
