"""The ways in which people deploy and run the application work as they are written down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.local_world.__main__ import LOCAL_PORTS
from tests.local_world.aws_emulator import ROOT
from tests.local_world.world import World

from .upstream import PUSH_FAILS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = [sys.executable, "-m", "tests.local_world"]
#: What the examples of other names than a function's are for.
FUNCTIONS = {
    "schedule": ["pull_delivery_reports", "reconcile_messages"],
    "send_message_sqs": ["send_message"],
    # Functions that are not deployed by default.
    "delivery_reports_webhook": [],
    "publish_outcomes": [],
}
EXAMPLES = [
    (function, path)
    for path in sorted((ROOT / "events").glob("*.json"))
    if path.stem != "env"
    for function in FUNCTIONS.get(path.stem, [path.stem])
]


@pytest.fixture(scope="module")
def running() -> Iterator[subprocess.Popen[str]]:
    """Run what `make local` runs, until it says how to reach it; then end it as Ctrl-C does."""
    with subprocess.Popen(  # noqa: S603 (all of the command is ours)
        [*WORLD, "up"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = iter(process.stdout.readline, "")
        assert "Outputs of the stack:\n" in told
        yield process
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_a_deployment_by_sam_sends() -> None:
    """After `sam build` and `sam deploy`, as an operator runs them, a push fails over to SMS."""
    with World(deploy="sam") as world:
        upstream = Upstream(world)

        item = upstream.settle(upstream.send(PUSH_FAILS))

    assert (item["state"], item["channel"]) == ("DELIVERED", "SMS")


def test_functions_in_docker_get_the_environment_of_the_local_world() -> None:
    """`events/env.json` names what `make local` runs, by the host's name inside a container."""
    with World() as world:
        aws, infobip = (f"http://host.docker.internal:{port}" for port in LOCAL_PORTS)
        hosts = {world.emulator.url: aws, world.simulator.url: infobip}
        expected = {}
        for function in world.functions.list_functions()["Functions"]:
            variables = json.dumps(function["Environment"]["Variables"])
            for here, there in hosts.items():
                variables = variables.replace(here, there)
            expected[function["FunctionName"].split("-")[2]] = json.loads(variables)

    written = json.loads((ROOT / "events/env.json").read_text())
    access = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    access |= dict.fromkeys(("AWS_DEFAULT_REGION", "AWS_REGION"), "us-east-1")
    access["AWS_ENDPOINT_URL"] = aws
    assert written == {name: variables | access for name, variables in expected.items()}


@pytest.mark.parametrize(("function", "path"), EXAMPLES)
@pytest.mark.usefixtures("running")
def test_an_example_can_be_invoked(function: str, path: Path) -> None:
    """Each file of `events/` is an event that its function accepts."""
    done = subprocess.run(  # noqa: S603 (all of the command is ours)
        [*WORLD, "invoke", function, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert isinstance(json.loads(done.stdout), dict)
