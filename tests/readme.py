"""Reads the commands that README.md tells to type, and what it says they show."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.local_world.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parents[1]
#: What a make that runs these tests tells the makes that it starts.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}


class Typed(NamedTuple):
    """A command as it stands in the README, and what it shows; `…` stands for any text."""

    command: str
    shown: str

    def matches(self, output: str) -> bool:
        """Whether an output is what is shown."""
        pattern = re.escape(self.shown.strip()).replace("…", ".*?")
        return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def typed(chapter: str) -> list[Typed]:
    """Read the commands of a chapter, in their order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"### {chapter}\n")[2]
    text = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
    found: list[Typed] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for part in block.removeprefix("$ ").split("\n$ "):
            lines = part.rstrip("\n").split("\n")
            length = next(n for n in range(1, 10) if is_whole("\n".join(lines[:n])))
            found.append(Typed("\n".join(lines[:length]), "\n".join(lines[length:])))
    return found


def is_whole(command: str) -> bool:
    """Whether no quote is open."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def alone_with_its_worlds() -> AbstractContextManager[None]:
    """Wait until no other tests start worlds that commands of this clone could mean."""
    return locked(ROOT / ".local/tests.lock")


@contextmanager
def running(local: Typed) -> Iterator[str]:
    """Run `make local`, as typed, until it says how to reach it, which is returned; then Ctrl-C."""
    with subprocess.Popen(  # noqa: S602 (it is what the README says)
        local.command,
        shell=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in iter(process.stdout.readline, ""):
                said += line
                if line == "Outputs of the stack:\n":
                    break
            yield said
        finally:
            os.killpg(process.pid, signal.SIGINT)
            status = process.wait(30)
        assert status == -signal.SIGINT  # as make ends then, after what it has started


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as typed, with what it says on either output."""
    return subprocess.run(  # noqa: S602 (it is what the README says)
        command,
        shell=True,
        cwd=ROOT,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
