"""A deployment disturbs neither traffic nor other stacks, and refuses wrong parameters."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_world.aws_emulator import ROOT
from tests.local_world.template import ACCOUNT_ID
from tests.local_world.world import World, wait_until

from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.thorough

SHARED_FILE = "infobip_omni/observability.py"
RELEASE_B = (ROOT / "shared" / SHARED_FILE).read_bytes() + b'\nprint(\'{"release": "B"}\')\n'
_RAISED = re.compile(r'"errorType"|Traceback|Task timed out|Unable to import')


@pytest.fixture(scope="module")
def own_world() -> Iterator[World]:
    """Deploy a world that these tests may update."""
    with World(parameters={"ReconcileAfterSeconds": 1}) as running:
        yield running


@contextmanager
def traffic(upstream: Upstream) -> Iterator[list[str]]:
    """Send a message every 50 ms while the context lasts; the list collects their ids."""
    stopped = threading.Event()
    sent: list[str] = []

    def send() -> None:
        while not stopped.wait(0.05):
            sent.append(upstream.send())

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        stopped.set()
        sender.join()


def versions_that_ran(world: World, function: str) -> set[str]:
    """Return the versions of a function that were invoked, as named in its log."""
    group = f"/aws/lambda/omni-local-{function}"
    events = world.cloudwatch_logs.get_paginator("filter_log_events")
    found = (
        re.match(r"START RequestId: \S+ Version: (\S+)", event["message"])
        for page in events.paginate(logGroupName=group)
        for event in page["events"]
    )
    return {match[1] for match in found if match}


def names_of_everything(world: World) -> set[str]:
    """Return the names of everything in the account that a deletion could leave behind."""
    dynamodb, sqs = world.dynamodb, world.sqs
    return {
        *dynamodb.list_tables()["TableNames"],
        *sqs.list_queues().get("QueueUrls", []),
        *(one["FunctionName"] for one in world.functions.list_functions()["Functions"]),
        *(one["LayerName"] for one in world.functions.list_layers()["Layers"]),
        *(one["Name"] for one in world.scheduler.list_schedules()["Schedules"]),
        *(one["logGroupName"] for one in world.cloudwatch_logs.describe_log_groups()["logGroups"]),
    }


def test_release_of_the_layer_and_its_rollback_lose_and_duplicate_nothing(
    own_world: World,
) -> None:
    """Under traffic, deploy version B, which changes only the layer, and then A again."""
    upstream = Upstream(own_world)

    def handled_by(number: int) -> bool:
        return len(versions_that_ran(own_world, "send-message")) >= number

    with traffic(upstream) as sent:
        # Each look reads logs that grow with the traffic.
        wait_until(lambda: handled_by(1), 60, "A sends", every=0.5)
        own_world.update(replaced={SHARED_FILE: RELEASE_B})
        wait_until(lambda: handled_by(2), 60, "B sends", every=0.5)
        wait_until(
            lambda: '{"release": "B"}' in own_world.logs(containing="release"),
            60,
            "the layer of B is used",
            every=0.5,
        )
        own_world.update()
        wait_until(lambda: handled_by(3), 60, "A sends again", every=0.5)

    for message_id in sent:
        upstream.wait_for(message_id, "ACCEPTED", "DELIVERED")
    upstream.pull()
    assert [one for one in sent if (own_world.message(one) or {}).get("state") != "DELIVERED"] == []
    assert set(upstream.acceptances(*sent).values()) == {1}
    assert own_world.dead_lettered_records() == []
    assert _RAISED.search(own_world.logs()) is None


def test_changed_parameter_takes_effect(own_world: World) -> None:
    """Running functions read the new value, although neither code nor layer has changed."""
    name = own_world.outputs["SendMessageFunctionName"]

    own_world.update(OnUnknown="must-arrive")

    running: Any = own_world.functions.get_function_configuration(FunctionName=name)
    assert running["Environment"]["Variables"]["ON_UNKNOWN"] == "must-arrive"


def test_pulling_is_disabled_and_enabled_again_by_a_parameter(own_world: World) -> None:
    """The schedule and its alarm are removed and created again; the function stays invocable."""
    function = own_world.outputs["PullDeliveryReportsFunctionName"]

    def scheduled() -> set[str]:
        schedules = own_world.scheduler.list_schedules()["Schedules"]
        return {each["Target"]["Arn"].partition(":function:")[2] for each in schedules}

    before, alarms = scheduled(), own_world.alarms().keys()
    own_world.update(PullReports="disabled")

    assert before - scheduled() == {function}
    assert alarms - own_world.alarms().keys() == {"NoReportsPulledAlarm"}
    assert own_world.invoke("PullDeliveryReportsFunctionName", {})["stoppedBy"] is None

    own_world.update()

    assert scheduled() == before
    assert own_world.alarms().keys() == alarms


def test_changed_processor_goes_live_in_every_function(own_world: World) -> None:
    """The alias points to a new version, on the other processor and with the same layer."""
    names = {
        name: each for name, each in own_world.outputs.items() if name.endswith("FunctionName")
    }

    def running() -> dict[str, Any]:
        configuration = own_world.functions.get_function_configuration
        return {name: configuration(FunctionName=each) for name, each in names.items()}

    before = running()
    own_world.update(Architecture="x86_64")
    after = running()

    assert {each["Architectures"][0] for each in before.values()} == {"arm64"}
    assert {each["Architectures"][0] for each in after.values()} == {"x86_64"}
    assert all(before[name]["Version"] != after[name]["Version"] for name in names)
    assert all(before[name]["Layers"] == after[name]["Layers"] for name in names)


def test_two_stacks_side_by_side_stay_apart(own_world: World) -> None:
    """Each has its own names, and deleting one leaves the other complete."""
    before = names_of_everything(own_world)

    outputs = own_world.create_stack("omni-other", Stage="other")
    own_world.cloudformation.delete_stack(StackName="omni-other")

    assert not set(outputs.values()) & set(own_world.outputs.values())
    left = names_of_everything(own_world)
    assert left >= before
    kept = {
        outputs["MessagesTableName"],
        outputs["SendQueueUrl"],
        outputs["SendDeadLetterQueueUrl"],
    }
    assert left - before >= kept
    assert all("ParkedReports" in name for name in left - before - kept)


@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        ({"InfobipBaseUrl": "https://abc.api.infobip.com/omni/1"}, "InfobipBaseUrl"),
        (
            {
                "AlarmEmail": "ops@example.com",
                "AlarmTopicArn": f"arn:aws:sns:us-east-1:{ACCOUNT_ID}:alarms",
            },
            "AlarmEmail and AlarmTopicArn exclude each other",
        ),
        ({"ReportSchedule": "every minute"}, "ReportSchedule"),
        ({"ReportSchedule": "cron(* * * * *)"}, "ReportSchedule"),
        ({"SendBatchWindowSeconds": "300"}, "SendBatchWindowSeconds"),
    ],
)
def test_wrong_parameter_is_refused_before_anything_is_created(
    own_world: World, parameters: dict[str, str], refusal: str
) -> None:
    """The refusal names the parameter or its rule."""
    before = names_of_everything(own_world)

    with pytest.raises(ClientError, match=refusal):
        own_world.create_stack("omni-wrong", **parameters)

    assert names_of_everything(own_world) == before
    with pytest.raises(ClientError, match="omni-wrong"):
        own_world.cloudformation.describe_stacks(StackName="omni-wrong")


def test_bus_that_does_not_exist_fails_the_deployment_which_leaves_nothing_behind(
    own_world: World,
) -> None:
    """EventBridge itself accepts events for a missing bus, and drops them without an error."""
    before = names_of_everything(own_world)

    with pytest.raises(RuntimeError, match=r"OutcomeEventBusExists: .*no-such-bus"):
        own_world.create_stack("omni-no-bus", Stage="nobus", OutcomeEventBusName="no-such-bus")

    assert names_of_everything(own_world) == before


def test_bus_that_exists_is_deployed_to(own_world: World) -> None:
    """The rule that checks for the bus exists, and is disabled."""
    own_world.events.create_event_bus(Name="outcomes")

    own_world.update(OutcomeEventBusName="outcomes")

    [rule] = own_world.events.list_rules(EventBusName="outcomes")["Rules"]
    assert (rule["State"], json.loads(rule["EventPattern"])) == ("DISABLED", {"source": ["omni"]})


def test_table_that_a_deleted_stack_retained_is_adopted_by_a_new_one(own_world: World) -> None:
    """As in the README: import the table, then deploy over it; earlier message ids stay known."""
    cloudformation, stack = own_world.cloudformation, "omni-again"
    own_world.events.create_event_bus(Name="outcomes-again")
    with_bus: Any = {"Stage": "again", "OutcomeEventBusName": "outcomes-again"}
    first = own_world.create_stack(stack, **with_bus)
    table = first["MessagesTableName"]
    item: Any = {"messageId": {"S": "sent-before"}, "entry": {"S": "MESSAGE"}}
    own_world.dynamodb.put_item(TableName=table, Item=item)
    cloudformation.delete_stack(StackName=stack)
    wait_until(
        lambda: stack not in str(cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])),
        60,
        "the stack is deleted",
    )
    written = subprocess.run(
        ["make", "--silent", "table-template", "BUS=outcomes-again"],  # noqa: S607 (the command of the README)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName="import",
        ChangeSetType="IMPORT",
        TemplateBody=written,
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": "MessagesTable",
                "ResourceIdentifier": {"TableName": table},
            }
        ],
    )
    cloudformation.execute_change_set(StackName=stack, ChangeSetName="import")

    def imported() -> bool:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return found["StackStatus"] == "IMPORT_COMPLETE"

    wait_until(imported, 60, "the table is imported")
    second = own_world.update(name=stack, **with_bus)

    assert second["MessagesTableName"] == table
    key: Any = {name: item[name] for name in ("messageId", "entry")}
    assert own_world.dynamodb.get_item(TableName=table, Key=key)["Item"] == item
