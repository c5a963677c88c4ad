"""What holds while nobody looks: schedules fire, roles hold, logs tell nothing personal."""

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
#: The emulator looks every ten seconds whether a schedule is due.
SECONDS_TO_FIRE = 30
PERSONAL = (CANARY_NUMBER, CANARY_TEXT, CANARY_KEY, API_KEY)


def client(
    world: World,
    service: Any,  # noqa: ANN401 (the stubs list every service)
    keys: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 (any client)
    """Make a client of the emulator, by default as the root user of its account."""
    return session(*keys).client(service, **options(world.emulator.url))


def role_of(world: World, output_name: str) -> str:
    """Return the ARN of the role that a function runs with."""
    name = world.outputs[output_name]
    return world.functions.get_function_configuration(FunctionName=name)["Role"]


@contextmanager
def without_permissions(world: World, output_name: str) -> Iterator[None]:
    """Take a function's own policy from its role for a while."""
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
    """Return the schedule that invokes a function; CloudFormation has chosen its name."""
    target = f":function:{world.outputs[output_name]}"
    [name] = [
        schedule["Name"]
        for schedule in world.scheduler.list_schedules()["Schedules"]
        if schedule["Target"]["Arn"].endswith(target)
    ]
    return world.scheduler.get_schedule(Name=name)


def bring_forward(world: World, output_name: str) -> None:
    """Make another schedule that does once, in two seconds, what a deployed one does."""
    deployed = schedule_of(world, output_name)
    due = datetime.now(UTC) + timedelta(seconds=2)
    world.scheduler.create_schedule(
        Name="once",
        ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
        ActionAfterCompletion="DELETE",
        FlexibleTimeWindow=deployed["FlexibleTimeWindow"],
        Target=deployed["Target"],
    )


def test_function_may_do_what_its_policy_names_and_nothing_else(world: World) -> None:
    """With the sender's role one can read the credentials, but not the table as a whole."""
    session = client(world, "sts").assume_role(
        RoleArn=role_of(world, "SendMessageFunctionName"), RoleSessionName="test"
    )["Credentials"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])

    client(world, "ssm", keys).get_parameter(Name="/omni/local/infobip/credentials")
    with pytest.raises(ClientError, match=r"AccessDenied.*Scan"):
        client(world, "dynamodb", keys).scan(TableName=world.outputs["MessagesTableName"])


def test_missing_permission_fails_here_and_not_in_production(world: World) -> None:
    """A function without its policy is told so by name, and works once it has it again."""
    with (
        without_permissions(world, "CreateScenarioFunctionName"),
        pytest.raises(FunctionFailedError, match=r"cannot be read: AccessDenied"),
    ):
        world.invoke("CreateScenarioFunctionName", SCENARIO)

    assert world.invoke("CreateScenarioFunctionName", SCENARIO)["name"] == SCENARIO["name"]


@pytest.mark.parametrize("output_name", SCHEDULES)
def test_schedule_is_for_its_function(world: World, output_name: str) -> None:
    """Each is enabled, and as frequent as the parameters say by default."""
    schedule = schedule_of(world, output_name)

    assert schedule["State"] == "ENABLED"
    assert schedule["ScheduleExpression"] == SCHEDULES[output_name]


def test_message_gets_its_outcome_without_anybody_asking(world: World, upstream: Upstream) -> None:
    """The schedule, brought forward so that nobody has to wait a minute, takes the reports."""
    message_id = upstream.send(PUSH_FAILS)

    bring_forward(world, "PullDeliveryReportsFunctionName")

    item = upstream.wait_for(message_id, "DELIVERED", within_seconds=SECONDS_TO_FIRE)

    assert (item["channel"], item["evidence"]) == ("SMS", "report")


def test_no_function_has_logged_anything_personal(upstream: Upstream) -> None:
    """Not a number, text or credential of all that was sent is in a log line."""
    message_id = upstream.send(PUSH_FAILS)
    unreadable = f'{{"to": "{CANARY_NUMBER}", "text": "{CANARY_TEXT}"'
    upstream.world.put_message(unreadable)
    upstream.wait_for_dead_letters([unreadable])
    upstream.settle(message_id)

    logs = upstream.world.logs()

    assert "message handled" in logs
    assert "record dead-lettered" in logs
    assert [word for word in PERSONAL if word in logs] == []
