"""Processes started by tests ignore the caller's proxies, and exit with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.local_world.world import wait_until

ROOT = Path(__file__).parents[2]
#: Starts an emulator and a simulator in its group, as `World` does, or only a simulator, and sends
#: itself a signal: when a child process has started but the call that started it has not yet
#: returned, or when everything is ready.
SCRIPT = """
import os, subprocess, sys, tempfile
from contextlib import ExitStack
from tests.local_world.aws_emulator import AwsEmulator
from tests.local_world.infobip_simulator import process

moment, number, alone = sys.argv[1], int(sys.argv[2]), sys.argv[3]
execute = subprocess.Popen._execute_child
make_directory = tempfile.mkdtemp

def made(*args, **options):
    directory = make_directory(*args, **options)
    print(directory, flush=True)
    return directory

def executed(self, args, *rest):
    execute(self, args, *rest)
    print(self.pid, flush=True)
    if args[2].endswith(moment):
        os.kill(os.getpid(), number)

subprocess.Popen._execute_child = executed
tempfile.mkdtemp = made
with ExitStack() as exits:
    group = None
    if alone == "False":
        group = exits.enter_context(AwsEmulator()).process_group
    exits.enter_context(process.running(process_group=group))
    if moment == "ready":
        os.kill(os.getpid(), number)
    sys.exit("no signal has arrived")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    ("moment", "alone"),
    [
        ("aws_emulator", False),
        ("infobip_simulator", False),
        ("ready", False),
        ("infobip_simulator", True),
        ("ready", True),
    ],
)
def test_children_exit_with_their_parent(
    moment: str,
    alone: bool,  # noqa: FBT001 (a parameter of a test)
    number: signal.Signals,
) -> None:
    """A signal to the parent only, not to its group, leaves no process and no file."""
    parent = subprocess.Popen(  # noqa: S603 (no untrusted input)
        [sys.executable, "-c", SCRIPT, moment, str(int(number)), str(alone)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with parent:
        # The simulator shares its parent's standard error, which ends when both have exited.
        printed, errors = parent.communicate(timeout=30)

    assert parent.returncode == -number
    assert "no signal has arrived" not in errors
    lines = printed.splitlines()
    pids = [line for line in lines if line.isdecimal()]
    assert len(pids) == (1 if alone or moment == "aws_emulator" else 2)
    for pid in pids:
        wait_until(partial(has_ended, int(pid)), 10, "the process exits")
    directories = [Path(line) for line in lines if line not in pids]
    assert len(directories) == (0 if alone else 1)
    wait_until(lambda: not any(map(Path.exists, directories)), 10, "its files are removed")


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_proxies_of_the_environment_are_ignored() -> None:
    """No proxy listens there; the variables are set in upper and in lower case."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    unreachable = dict.fromkeys((*names, *map(str.lower, names)), "http://127.0.0.1:9")
    environment = os.environ | unreachable
    for name in ("NO_PROXY", "no_proxy"):
        environment.pop(name, None)

    tests = (
        "test_simulator.py::test_settings_are_changed_one_by_one",
        "test_simulator.py::test_basic_credentials_are_accepted",
        "test_client.py::test_message_is_sent_reported_and_found_in_the_logs",
    )

    ended = subprocess.run(  # noqa: S603 (no untrusted input)
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"tests/contract/{test}" for test in tests),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stdout
