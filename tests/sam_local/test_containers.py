"""`make sam-test`: each function runs in a container of SAM, with each of its events.

The tests use Lambda's own image if it is present or can be pulled, and a stand-in otherwise.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world import sam_local
from tests.local_world.aws_emulator import (
    ROOT,
    free_port,
)
from tests.local_world.clients import options, session
from tests.local_world.container_engine import (
    NoBridgeError,
    address_for_containers,
    engine,
)
from tests.local_world.running import announced, described, running_world
from tests.local_world.world import API_KEY, WEBHOOK_KEY, World, wait_until

from .stand_in_image import lambda_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from mypy_boto3_lambda import LambdaClient

    Json = dict[str, Any]

EVENTS = ROOT / "events"
COMMAND = [sys.executable, "-m", "tests.local_world"]
PARAMETERS = {
    "DeliveryReportWebhook": "enabled",
    "OutcomeEventBusName": "outcomes",
    "ReconcileAfterSeconds": 1,
    # No schedule invokes a function during the tests.
    "ReportSchedule": "rate(1 day)",
    "ReconcileSchedule": "rate(1 day)",
}
#: The message of `events/send_message_sqs.json` that needs no default scenario.
MESSAGE_ID = "code-for-ivo-0001"
#: Must not be logged: numbers, texts and an address of the events, and the keys.
PERSONAL = re.compile(
    "|".join(
        [
            *(r"385\d{9}", "Your code is ready", "Welcome, Mia", "example-registration"),
            *(re.escape(API_KEY), re.escape(WEBHOOK_KEY)),
        ]
    )
)


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    """Return a client of the container engine, which has Lambda's image or its stand-in."""
    client = engine()
    lambda_image(client, processor=sam_local.architecture_of(client), stand_in_allowed=True)
    return client


@pytest.fixture(scope="module")
def world(client: docker.DockerClient) -> Iterator[World]:
    """Deploy all resources of the template, where containers reach them."""
    also_on = address_for_containers(client)
    with (
        World(parameters=PARAMETERS, also_on=also_on) as running,
        sam_local.environment_file(running),
        announced(described(running, {}, page_url=""), running.emulator.directory),
    ):
        yield running


class Functions:
    """Runs functions by `sam local invoke`, and keeps their logs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.logs: list[str] = []

    def run(self, function: str, event: Path) -> Json:
        """Invoke a function with an event, and return its answer."""
        done = subprocess.run(  # noqa: S603 (no untrusted input)
            [
                *(*COMMAND, "sam-local", "--function", function, "--event", str(event)),
                *("--world", str(self.world.emulator.port)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.logs.append(done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: Json = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="module")
def functions(world: World) -> Functions:
    return Functions(world)


@pytest.fixture(scope="module")
def scenario(functions: Functions) -> Json:
    """Create the scenario of `events/`, and return the answer."""
    return functions.run("create_scenario", EVENTS / "create_scenario.json")


@pytest.fixture(scope="module")
def sent(functions: Functions, scenario: Json) -> Json:
    """Send the messages of `events/`, and return the answer."""
    assert scenario["outcome"] == "CREATED"
    return functions.run("send_message", EVENTS / "send_message_sqs.json")


def test_create_scenario_registers_the_scenario(world: World, scenario: Json) -> None:
    """The SSM parameter has the key that Infobip assigned."""
    parameter = world.ssm.get_parameter(Name=scenario["parameter"])["Parameter"]

    assert json.loads(parameter["Value"])["key"] == scenario["key"]


def test_send_message_sends_once(world: World, sent: Json) -> None:
    [truth] = world.simulator.messages(MESSAGE_ID)
    message = world.message(MESSAGE_ID)

    assert (truth["acceptances"], sent["batchItemFailures"]) == (1, [])
    assert message is not None
    assert message["state"] == "ACCEPTED"


@pytest.mark.usefixtures("scenario")
def test_send_message_dead_letters_an_invalid_record(
    world: World, functions: Functions, tmp_path: Path
) -> None:
    """The record is in the dead-record queue, with the reason and the invalid field."""
    event = json.loads((EVENTS / "send_message_sqs.json").read_text())
    body = {"scenario": "order-updates", "to": {"phoneNumber": "385"}, "sms": {"text": "Welcome"}}
    event["Records"] = [event["Records"][0] | {"body": json.dumps(body)}]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(event))

    functions.run("send_message", path)

    [record] = [each for each in world.dead_lettered_records() if json.loads(each["body"]) == body]
    attributes = record["attributes"]
    assert (attributes["reason"], attributes["field"]) == ("INVALID", "to.phoneNumber")


@pytest.mark.usefixtures("sent")
def test_pull_delivery_reports_settles_the_message(world: World, functions: Functions) -> None:
    functions.run("pull_delivery_reports", EVENTS / "schedule.json")

    entries = {each["entry"].split("#")[0]: each for each in world.entries(MESSAGE_ID)}
    assert entries.keys() == {"MESSAGE", "REPORT"}
    assert entries["MESSAGE"]["state"] == "DELIVERED"


@pytest.mark.usefixtures("scenario")
def test_reconcile_messages_takes_a_verdict_from_the_logs(
    world: World, functions: Functions
) -> None:
    """A message whose answer was lost is settled nevertheless."""
    body = {"scenario": "order-updates", "to": {"phoneNumber": "385995550155"}}
    texts = {"push": {"text": "Welcome, Mia!"}, "sms": {"text": "Welcome, Mia!"}}
    world.simulator.add_fault("send_advanced", "reset_after", messageIds=["lost"])
    world.put_message(body | texts | {"messageId": "lost", "notify": False})
    wait_until(lambda: state(world, "lost") == "UNKNOWN", 30, "the answer is lost")

    functions.run("reconcile_messages", EVENTS / "schedule.json")

    message = world.message("lost")
    assert message is not None
    assert (message["state"], message["evidence"]) == ("DELIVERED", "logs")


@pytest.mark.usefixtures("scenario")
def test_find_messages_finds_unsettled_messages(world: World, functions: Functions) -> None:
    world.simulator.change_settings(stepSeconds=3600)
    body = {"scenario": "order-updates", "to": {"phoneNumber": "385995550156"}, "notify": False}
    texts = {"push": {"text": "Welcome, Mia!"}, "sms": {"text": "Welcome, Mia!"}}
    world.put_message(body | texts | {"messageId": "on-its-way"})
    wait_until(lambda: state(world, "on-its-way") == "ACCEPTED", 30, "the message is accepted")
    world.simulator.change_settings(stepSeconds=0)

    answer = functions.run("find_messages", EVENTS / "find_messages.json")

    assert "on-its-way" in {each["messageId"] for each in answer["messages"]}


def test_redrive_messages_makes_a_dry_run(world: World, functions: Functions) -> None:
    """It counts the record that waited out an outage, and does not move it."""
    world.sqs.send_message(
        QueueUrl=world.outputs["SendDeadLetterQueueUrl"],
        MessageBody=json.dumps({"scenario": "order-updates"}),
        MessageAttributes={"reason": {"DataType": "String", "StringValue": "OUTAGE"}},
    )

    answer = functions.run("redrive_messages", EVENTS / "redrive_messages.json")

    assert (answer["dryRun"], answer["found"], answer["redriven"]) == (True, {"OUTAGE": 1}, 0)


@pytest.mark.parametrize(
    ("function", "event"),
    [
        ("record_parked_reports", "record_parked_reports"),
        ("receive_delivery_report", "delivery_reports_webhook"),
    ],
)
def test_report_is_stored(
    world: World, functions: Functions, tmp_path: Path, function: str, event: str
) -> None:
    """Parked or pushed, it is stored beside its message."""
    # Both events have the same message id, so each run replaces it.
    message_id = event.replace("_", "-")
    path = tmp_path / "event.json"
    path.write_text((EVENTS / f"{event}.json").read_text().replace("parcel-1001", message_id))

    functions.run(function, path)

    [entry] = world.entries(message_id)
    assert entry["entry"].startswith("REPORT#PUSH#")


def test_publish_outcomes_publishes_to_the_bus(world: World, functions: Functions) -> None:
    """A change in the stream becomes an event."""
    functions.run("publish_outcomes", EVENTS / "publish_outcomes.json")

    events = wait_until(world.take_outcome_events, 30, "an event reaches the bus")
    assert "parcel-1001" in {event["detail"]["messageId"] for event in events}


def test_sam_local_start_lambda_serves_lambdas_api(
    world: World, client: docker.DockerClient
) -> None:
    """boto3 invokes a function there, and Ctrl-C leaves no container."""
    before = containers(client)
    with started("sam-start-lambda", world, "--port", str(port := free_port())) as process:
        functions = lambda_api(port)
        wait_until(lambda: is_open(port), 60, "the API answers")

        answer = functions.invoke(
            FunctionName="FindMessagesFunction",
            Payload=(EVENTS / "find_messages.json").read_bytes(),
        )

        assert "messages" in json.loads(answer["Payload"].read())
        assert containers(client) - before
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert containers(client) <= before


@pytest.mark.usefixtures("scenario")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_container_outlives_an_interrupted_invocation(
    world: World, client: docker.DockerClient, number: signal.Signals
) -> None:
    """Ctrl-C while a function waits for Infobip stops the function, too."""
    before = containers(client)
    fault = world.simulator.add_fault("list_scenarios", "hang_before", times=5, seconds=60)
    with started("sam-local", world, "--function", "create_scenario") as process:
        wait_until(lambda: containers(client) - before, 60, "a container runs")

        process.send_signal(number)

        assert process.wait(60) != 0
    world.simulator.end_fault(fault)
    assert containers(client) <= before


@pytest.mark.usefixtures("scenario")
def test_sam_uses_no_proxy_to_reach_its_container(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are meant for other machines."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert "messages" in functions.run("find_messages", EVENTS / "find_messages.json")


def test_world_unreachable_from_containers_is_refused(
    client: docker.DockerClient, world: World
) -> None:
    """The error says how to start a reachable one. Containers of Docker Desktop reach every one."""
    if address_for_containers(client) is None:
        pytest.skip("containers of Docker Desktop reach loopback")
    running, _ = running_world(world.emulator.port)

    with pytest.raises(NoBridgeError, match="start it by `make local DOCKER=1`"):
        sam_local.options(client, replace(running, address_for_containers=None))


@pytest.mark.usefixtures("sent")
def test_nothing_personal_is_logged(functions: Functions) -> None:
    """Neither the functions nor the platform log a number, text, address or key."""
    logged = "\n".join(functions.logs)

    assert '"service"' in logged
    assert PERSONAL.findall(logged) == []


def state(world: World, message_id: str) -> str | None:
    message = world.message(message_id)
    return str(message["state"]) if message else None


def started(command: str, world: World, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (no untrusted input)
        [*COMMAND, command, *arguments, "--world", str(world.emulator.port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def containers(client: docker.DockerClient) -> set[str]:
    """Return the ids of all containers of SAM."""
    found = client.containers.list(
        all=True, filters={"label": "sam.cli.container.type"}, ignore_removed=True
    )
    return {str(each.id) for each in found}


def lambda_api(port: int) -> LambdaClient:
    """Return a client of the API that `sam local start-lambda` serves."""
    url = f"http://127.0.0.1:{port}"
    once = {"total_max_attempts": 1}
    return session().client("lambda", **options(url, read_timeout=120, retries=once))


def is_open(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
