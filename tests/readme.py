"""Reads from README.md the commands to type and the output shown for them."""

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
#: Variables through which a make that runs these tests would affect the makes started here.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}


class Typed(NamedTuple):
    """A command of the README and the output shown for it, where `…` matches any text."""

    command: str
    shown: str

    def matches(self, output: str) -> bool:
        """Whether an output matches the one shown."""
        pattern = re.escape(self.shown.strip()).replace("…", ".*?")
        return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def fenced(chapter: str, language: str) -> list[str]:
    """Return the blocks of code in a chapter that are in one language, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"### {chapter}\n")[2]
    text = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
    pattern = rf"^```{language}\n(.*?)^```$"
    found: list[str] = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return found


def typed(chapter: str) -> list[Typed]:
    """Return the commands of a chapter in order."""
    found: list[Typed] = []
    for block in fenced(chapter, "console"):
        for part in block.removeprefix("$ ").split("\n$ "):
            lines = part.rstrip("\n").split("\n")
            length = next(n for n in range(1, 10) if is_whole("\n".join(lines[:n])))
            found.append(Typed("\n".join(lines[:length]), "\n".join(lines[length:])))
    return found


def is_whole(command: str) -> bool:
    """Whether a command has no open quote."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def alone_with_its_worlds() -> AbstractContextManager[None]:
    """Lock out other tests that start local worlds in this clone."""
    return locked(ROOT / ".local/tests.lock")


@contextmanager
def running(local: Typed) -> Iterator[str]:
    """Run `make local` as typed, yield its output up to the stack's outputs, then press Ctrl-C."""
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
        output_so_far = ""
        try:
            for line in iter(process.stdout.readline, ""):
                output_so_far += line
                if line == "Outputs of the stack:\n":
                    break
            yield output_so_far
        finally:
            os.killpg(process.pid, signal.SIGINT)
            status = process.wait(30)
        assert status == -signal.SIGINT  # make exits with the signal, after its children


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as typed; its standard output holds its standard error, too."""
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
