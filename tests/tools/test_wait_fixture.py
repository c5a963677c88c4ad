"""The fixture in README.md waits for messages, copied from there into an app's tests."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.local_world.running import running_world
from tests.readme import ENVIRONMENT, ROOT, fenced

from .test_deployment import command, local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local_world.running import RunningWorld

CHAPTER = "Wait for an outcome in a test"
FIXTURE, EXAMPLE = fenced(CHAPTER, "python")
#: The app of the example, which puts an event on the queue: `{to}` decides what happens to it.
APP = """
import subprocess, sys

def ship(order):
    event = (
        '{{"scenario": "order-updates", "messageId": "%s", "to": {{"phoneNumber": "{to}"}},'
        ' "push": {{"text": "Shipped."}}, "sms": {{"text": "Shipped."}}}}' % order
    )
    subprocess.run([sys.executable, "-m", "tests.local_world", "send", "--world={world}",
                    "--event", event], cwd={root!r}, check=True)
"""
PUSH_FAILS, PUSH_ARRIVES = "385915550002", "385915550101"


@pytest.fixture(scope="module")
def world(alone: None) -> Iterator[RunningWorld]:  # noqa: ARG001 (a fixture)
    """Run `make local`, with the scenario that the events name."""
    with local() as started:
        port = str(started.port)
        create = ("--function=create_scenario", "--event=events/create_scenario.json")
        assert command("invoke", f"--world={port}", *create).returncode == 0
        yield running_world(started.port)[0]


def test_fixture_has_ten_lines() -> None:
    assert len([line for line in FIXTURE.splitlines() if line]) <= 10


def test_example_passes_as_soon_as_message_has_arrived(world: RunningWorld, tmp_path: Path) -> None:
    """Nothing in it sleeps."""
    done = run_example(world, tmp_path, PUSH_FAILS)

    assert done.returncode == 0, done.stdout


def test_example_fails_with_sentence_if_message_has_ended_otherwise(
    world: RunningWorld, tmp_path: Path
) -> None:
    done = run_example(world, tmp_path, PUSH_ARRIVES, order="order-4712")

    assert done.returncode == 1, done.stdout
    assert "order-4712 is DELIVERED by PUSH, not DELIVERED by SMS" in done.stdout


def run_example(
    world: RunningWorld, folder: Path, to: str, order: str = "order-4711"
) -> subprocess.CompletedProcess[str]:
    """Run the README's example as the test of an app, with the page of this world."""
    fixture = re.sub(r"http://127\.0\.0\.1:\d+/", world.page_url, FIXTURE)
    app = APP.format(to=to, world=world.port, root=str(ROOT))
    (folder / "conftest.py").write_text(f"import pytest\nimport requests\n\n\n{fixture}")
    (folder / "test_app.py").write_text(f"{app}\n\n{EXAMPLE.replace('order-4711', order)}")
    return subprocess.run(  # noqa: S603 (no untrusted input)
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
