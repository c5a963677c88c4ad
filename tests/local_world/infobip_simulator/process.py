"""Starts a simulator that ends with the process that started it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "tests.local_world.infobip_simulator")


@contextmanager
def running(*options: str, process_group: int | None = None) -> Iterator[str]:
    """Run a simulator, by default on a free port, and return its URL.

    It also ends when this process exits or is killed at any moment, because that closes the
    simulator's standard input.

    Args:
        options: Of its command line.
        process_group: The group to start it in; by default that of this process.

    Raises:
        RuntimeError: It did not start, and has printed the reason to standard error.
    """
    process = subprocess.Popen(  # noqa: S603 (all of the command is ours)
        [*COMMAND, "--port", "0", "--until-stdin-closes", *options],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=process_group,
    )
    # Not `with`, since the __exit__ of Popen waits for the process, which would not end.
    try:
        line = process.stdout.readline() if process.stdout else ""
        if " ready on " not in line:
            raise RuntimeError("the Infobip simulator did not start: it printed the reason above")
        yield line.split()[-1]
    finally:
        process.kill()  # it has no state to save
        process.communicate()
