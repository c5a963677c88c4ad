"""The ways in which people deploy and run the application work as they are written down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from tests.local_world.aws_emulator import ROOT
from tests.local_world.running import running_world
from tests.local_world.sam_local import environment_path
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


@pytest.mark.usefixtures("running")
def test_functions_in_containers_get_the_environment_of_the_local_world() -> None:
    """What `make local` writes for SAM is what is deployed, by this machine's name in there."""
    world = running_world()
    functions = boto3.client("lambda", endpoint_url=world.url, config=Config(proxies={}))
    written = json.loads(environment_path(world.port).read_text())

    for name, variables in written.items():
        text = json.dumps(variables).replace("host.docker.internal", "127.0.0.1")
        configuration = functions.get_function_configuration(FunctionName=world.resources[name])
        own = configuration["Environment"]["Variables"]
        assert json.loads(text).items() >= own.items()
        assert "127.0.0.1" not in json.dumps(variables)
    assert written.keys() == {name for name in world.resources if name.endswith("Function")}


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
