"""What holds on any machine: in any folder, without a home, offline after the first run.

This copies the project into a folder with an odd name, sets it up there as a user would, and runs
it through a proxy that answers nobody and tells who has asked. So it is slow, and has a target of
its own: `make any-machine`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_emulator import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Has what shells, make, URLs and patterns give a meaning to, and what is not ASCII.
ODD_NAME = 'it\'s a "päth" & $HOME (more) #1 [x] {y} %41 ; * ? back\\slash'
#: What a clone does not hold; `.cache` is shared, so that little is downloaded again.
_NOT_CLONED = (".git", ".venv*", ".aws-sam", ".local", ".cache", ".*_cache", "__pycache__")
#: What make hands on to those that it starts.
_OF_OUTER_MAKE = {
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"),
    *("UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"),
}
_SECONDS_TO_SET_UP = 300
_SECONDS_TO_RUN = 300
SUCCESS = "All messages came out as their scenario says."


@dataclass(frozen=True)
class Clone:
    """A copy of the project, whose user has no home.

    Args:
        folder: Where it is.
        home: A file, so that not even root can make a folder of it.
    """

    folder: Path
    home: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """Return that of a user who calls make by hand, not of the make that runs this test."""
        kept = {name: value for name, value in os.environ.items() if name not in _OF_OUTER_MAKE}
        return kept | {"HOME": str(self.home)} | extra

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make, and wait for it."""
        return subprocess.run(  # noqa: S603 (all of the command is ours)
            [_tool("make"), *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_TO_SET_UP,
        )

    def started(self, *arguments: str, proxy: str) -> subprocess.Popen[str]:
        """Start make in a process group of its own, with a proxy for all that it asks."""
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment = self.environment(**dict.fromkeys(names, proxy))
        return subprocess.Popen(  # noqa: S603 (all of the command is ours)
            [_tool("make"), *arguments],
            cwd=self.folder,
            env={k: v for k, v in environment.items() if k.lower() != "no_proxy"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@dataclass(frozen=True)
class Outcome:
    """What came of running two demos at once, beside `make local`.

    Args:
        demos: The output of each.
        invoked: The output of a function of `make local`.
        asked: What the proxy was asked for meanwhile.
        left: What there was in the folders for what is made, before and after.
    """

    demos: tuple[str, str]
    invoked: str
    asked: list[str]
    left: tuple[set[Path], set[Path]]


@pytest.fixture(scope="module")
def bare() -> Iterator[Clone]:
    """Copy the project, and set nothing up."""
    with tempfile.TemporaryDirectory(prefix="any-machine-") as directory:
        home = Path(directory, "home")
        home.write_text("")
        folder = Path(directory, ODD_NAME)
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_CLONED))
        (folder / ".cache").mkdir()
        downloads = os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache/uv"))
        (folder / ".cache/uv").symlink_to(downloads)
        yield Clone(folder, home)


@pytest.fixture(scope="module")
def clone(bare: Clone) -> Clone:
    """Set the copy up, and build once, so that the network has been asked for all it has."""
    done = bare.make("setup", "build-local", f"PYTHON={_python()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return bare


@pytest.fixture(scope="module")
def outcome(clone: Clone) -> Outcome:
    """Run two demos at once beside `make local`, and a function of the latter."""
    before = _made(clone)
    with _deaf_proxy() as (proxy, asked), clone.started("local", proxy=proxy) as local:
        demos = [clone.started("demo", proxy=proxy) for _ in range(2)]
        try:
            assert local.stdout is not None
            shown = []
            for line in local.stdout:
                shown.append(line)
                if line.startswith("Outputs of the stack"):
                    break
            else:
                pytest.fail("".join(shown))
            with clone.started("invoke", proxy=proxy) as invoking:
                invoked, _ = invoking.communicate(timeout=_SECONDS_TO_RUN)
            told = [demo.communicate(timeout=_SECONDS_TO_RUN)[0] for demo in demos]
        finally:
            for process in (local, *demos):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
            local.communicate(timeout=_SECONDS_TO_RUN)
            for demo in demos:
                demo.communicate(timeout=_SECONDS_TO_RUN)
    return Outcome((told[0], told[1]), invoked, list(asked), (before, _made(clone)))


def test_two_demos_at_once_come_out_right(outcome: Outcome) -> None:
    """In a folder of any name, without a home, two demos at once do not disturb each other."""
    for told in outcome.demos:
        assert told.rstrip().endswith(SUCCESS), told


def test_nothing_asks_the_network_after_the_first_run(outcome: Outcome) -> None:
    """What was downloaded once is not asked for again, and no proxy sees what stays here."""
    assert outcome.asked == []


def test_local_world_answers_in_a_folder_of_any_name(outcome: Outcome) -> None:
    """`make invoke` reaches what `make local` keeps running."""
    assert '"parameter": "/omni/local/scenarios/' in outcome.invoked


def test_runs_leave_nothing_behind(outcome: Outcome) -> None:
    """A run builds in a folder of its own, which is gone afterwards: none adds to the last."""
    before, after = outcome.left
    assert after - before == {Path(".aws-sam/local-layer"), Path(".local/starting.lock")}


def test_single_tests_run_in_a_folder_of_any_name(clone: Clone) -> None:
    """A developer runs one file of tests by the program that was installed there."""
    done = subprocess.run(
        [".venv/bin/pytest", "-q", "tests/unit/local_world"],
        cwd=clone.folder,
        env=clone.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_RUN,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("separator", [":", "\n"], ids=["colon", "newline"])
def test_path_that_cannot_work_is_refused(bare: Clone, separator: str) -> None:
    """A colon or a line break in the path ends make with one sentence, before anything is made."""
    folder = bare.folder.parent / f"a{separator}b"
    folder.mkdir()
    shutil.copy(bare.folder / "Makefile", folder)
    done = Clone(folder, bare.home).make("setup")
    assert done.returncode
    assert "The path of this folder has a colon or a line break" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


def test_missing_interpreter_is_named(bare: Clone) -> None:
    """Who names a Python that is not there is told so, and never to name it again."""
    done = bare.make("demo", "PYTHON=python3.99")
    assert done.returncode
    first, second, *_ = done.stderr.splitlines()
    assert first == "Python 3.11 or later is needed, and python3.99 was not found."
    assert second.startswith(("There is python3", "Install one"))
    assert "PYTHON=python3.99" not in second


def test_tools_are_kept_for_their_interpreter(clone: Clone) -> None:
    """Neither the same PYTHON nor none makes the tools anew."""
    for arguments in ([], [f"PYTHON={_python()}"]):
        assert "-m venv" not in clone.make("-n", "setup", *arguments).stdout


def test_tools_are_made_anew_for_another_interpreter(clone: Clone, tmp_path: Path) -> None:
    """Another PYTHON gets tools of its own, in place of those that are there."""
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\necho another; exec '{_python()}' \"$@\"\n")
    other.chmod(0o755)
    assert "-m venv" in clone.make("-n", "setup", f"PYTHON={other}").stdout


def test_tools_are_made_anew_where_the_folder_has_moved(clone: Clone) -> None:
    """Programs name the path that they were installed to, so a move makes them anew."""
    moved = clone.folder.rename(clone.folder.with_name("moved"))
    try:
        assert "-m venv" in Clone(moved, clone.home).make("-n", "setup").stdout
    finally:
        moved.rename(clone.folder)


@contextmanager
def _deaf_proxy() -> Iterator[tuple[str, list[str]]]:
    """Serve as a proxy that closes each connection, and return its URL and what it was asked."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode(errors="replace").strip())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def _made(clone: Clone) -> set[Path]:
    """Return what lies in the folders for what is made, two levels deep."""
    return {
        path.relative_to(clone.folder)
        for folder in (".aws-sam", ".local")
        for path in (clone.folder / folder).glob("*")
    }


def _python() -> str:
    """Return the interpreter that the tools of these tests were made from."""
    return str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))


def _tool(name: str) -> str:
    """Return the path of a program."""
    found = shutil.which(name)
    assert found is not None
    return found
