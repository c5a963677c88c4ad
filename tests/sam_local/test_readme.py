"""The commands for containers in README.md print what it shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.local_world import sam_local
from tests.local_world.container_engine import engine
from tests.readme import alone_with_its_worlds, run, running, typed

from .stand_in_image import lambda_image

#: Has sam and uv on it, as a user of SAM does.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
LOCAL, *COMMANDS = typed("In containers, by SAM")


@pytest.fixture(autouse=True)
def _image() -> None:
    """Provide Lambda's image or its stand-in."""
    client = engine()
    lambda_image(client, processor=sam_local.architecture_of(client), stand_in_allowed=True)


def test_each_command_prints_what_readme_shows() -> None:
    """Commands run in order as written, but SAM does not compare a stand-in with the registry."""
    setting = [each for each in COMMANDS if each.command.startswith(("export ", "unset "))]
    prepared = "; ".join(each.command for each in setting)
    commands = [each for each in COMMANDS if each not in setting]
    with alone_with_its_worlds(), running(LOCAL) as said:
        assert LOCAL.matches(said)
        for each in commands:
            done = run(f"{prepared}; {each.command}", PATH=PATH, SAM_SKIP_PULL_IMAGE="1")

            assert done.returncode == 0, f"{each.command}\n{done.stdout}"
            assert each.matches(done.stdout), f"{each.command}\n{done.stdout}"
