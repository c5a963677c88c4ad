"""What README.md says to type by hand does what it shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.local_world.aws_emulator import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

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


LOCAL, *COMMANDS = typed("Try it by hand")


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    """Run the first command until it says how to reach it, and return that; end it by Ctrl-C."""
    with subprocess.Popen(  # noqa: S602 (it is what the README says)
        LOCAL.command,
        shell=True,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in iter(process.stdout.readline, ""):
            said += line
            if line == "Outputs of the stack:\n":
                break
        yield said
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT  # as make ends then, after what it has started


def test_the_chapter_shows_what_it_is_about() -> None:
    """None of its commands goes unread."""
    text = "\n".join(each.command for each in COMMANDS)

    assert len(COMMANDS) >= 15
    for name in (
        "invoke",
        "send",
        "find",
        "dead-letters",
        "redrive",
        "outcome-events",
        "simulator",
    ):
        assert f"make {name} " in text


def test_each_command_does_what_it_shows(local: str) -> None:
    """Typed one after the other, without a pause, as they stand."""
    assert LOCAL.matches(local)
    for each in COMMANDS:
        done = subprocess.run(  # noqa: S602 (it is what the README says)
            each.command,
            shell=True,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

        assert done.returncode == 0, f"{each.command}\n{done.stdout}"
        assert each.matches(done.stdout), f"{each.command}\n{done.stdout}"
