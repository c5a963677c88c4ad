"""The ways in which people deploy and run the application work as they are written down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_emulator import ROOT
from tests.local_world.world import World

from .upstream import PUSH_FAILS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = [sys.executable, "-m", "tests.local_world.world"]
#: What the examples of other names than a function's are for.
FUNCTIONS = {
    "schedule": ["pull_delivery_reports", "reconcile_messages"],
    "send_message_sqs": ["send_message"],
    "delivery_reports_webhook": [],  # a function that is not deployed by default
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
