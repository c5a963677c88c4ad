"""The project runs on any machine: in any folder, without a home, offline after the first run.

These tests copy the project into a folder with an odd name, set it up there as a user would, and
run it behind a proxy that refuses and records all requests. They are slow, so they have their own
target: `make any-machine`.
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

#: Has characters with a meaning in shells, make, URLs and patterns, and a non-ASCII one.
ODD_NAME = 'it\'s a "päth" & $HOME (more) #1 [x] {y} %41 ; * ? back\\slash'
#: Paths that a clone does not contain. `.cache` is shared to avoid repeated downloads.
_NOT_CLONED = (".git", ".venv*", ".aws-sam", ".local", ".cache", ".*_cache", "__pycache__")
#: Variables that make passes on to its child processes.
_OF_OUTER_MAKE = {
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"),
    *("UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"),
}
_SECONDS_TO_SET_UP = 300
_SECONDS_TO_RUN = 300
SUCCESS = "All messages came out as their scenario says."


@dataclass(frozen=True)
class Clone:
    """A copy of the project, whose user has no home folder.

    Args:
        folder: The path of the copy.
        home: The value of HOME: a file, so even root cannot create a folder there.
    """

    folder: Path
    home: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of a user's shell, without variables of the outer make."""
        kept = {name: value for name, value in os.environ.items() if name not in _OF_OUTER_MAKE}
        return kept | {"HOME": str(self.home)} | extra

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 (no untrusted input)
            [_tool("make"), *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_TO_SET_UP,
        )

    def started(self, *arguments: str, proxy: str) -> subprocess.Popen[str]:
        """Start make in its own process group, with a proxy for all requests."""
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment = self.environment(**dict.fromkeys(names, proxy))
        return subprocess.Popen(  # noqa: S603 (no untrusted input)
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
class Runs:
    """Two demos that ran concurrently beside `make local`.

    Args:
        demos: The output of each demo.
        invoked: The output of `make invoke`.
        asked: The requests that the proxy got meanwhile.
        left: The content of the build folders, before and after.
    """

    demos: tuple[str, str]
    invoked: str
    asked: list[str]
    left: tuple[set[Path], set[Path]]


@pytest.fixture(scope="module")
def bare() -> Iterator[Clone]:
    """Copy the project without setting it up."""
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
    """Set the copy up, and build once, so all downloads are done."""
    done = bare.make("setup", "build-local", f"PYTHON={_python()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return bare


@pytest.fixture(scope="module")
def runs(clone: Clone) -> Runs:
    """Run two demos concurrently beside `make local`, and invoke one of its functions."""
    before = _made(clone)
    with _refusing_proxy() as (proxy, asked), clone.started("local", proxy=proxy) as local:
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
            printed = [demo.communicate(timeout=_SECONDS_TO_RUN)[0] for demo in demos]
        finally:
            for process in (local, *demos):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
            local.communicate(timeout=_SECONDS_TO_RUN)
            for demo in demos:
                demo.communicate(timeout=_SECONDS_TO_RUN)
    return Runs((printed[0], printed[1]), invoked, list(asked), (before, _made(clone)))


def test_concurrent_demos_succeed(runs: Runs) -> None:
    """In a folder of any name, without a home folder, they do not affect each other."""
    for printed in runs.demos:
        assert printed.rstrip().endswith(SUCCESS), printed


def test_first_run_is_the_only_one_that_uses_the_network(runs: Runs) -> None:
    """Nothing is downloaded again, and no proxy sees local requests."""
    assert runs.asked == []


def test_local_world_answers_in_a_folder_of_any_name(runs: Runs) -> None:
    """`make invoke` reaches the world that `make local` runs."""
    assert '"parameter": "/omni/local/scenarios/' in runs.invoked


def test_runs_leave_nothing_behind(runs: Runs) -> None:
    """Each run builds in its own folder and deletes it."""
    before, after = runs.left
    assert after - before == {Path(".aws-sam/local-layer"), Path(".local/starting.lock")}


def test_single_tests_run_in_a_folder_of_any_name(clone: Clone) -> None:
    """Developers run single test files with the installed pytest."""
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
def test_unsupported_path_is_refused(bare: Clone, separator: str) -> None:
    """On a colon or a line break in the path, make stops with one sentence and creates nothing."""
    folder = bare.folder.parent / f"a{separator}b"
    folder.mkdir()
    shutil.copy(bare.folder / "Makefile", folder)
    done = Clone(folder, bare.home).make("setup")
    assert done.returncode
    assert "The path of this folder has a colon or a line break" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


def test_missing_interpreter_is_named(bare: Clone) -> None:
    """The message names the missing Python, and does not suggest it again."""
    done = bare.make("demo", "PYTHON=python3.99")
    assert done.returncode
    first, second, *_ = done.stderr.splitlines()
    assert first == "Python 3.11 or later is needed, and python3.99 was not found."
    assert second.startswith(("There is python3", "Install one"))
    assert "PYTHON=python3.99" not in second


def test_tools_are_kept_for_their_interpreter(clone: Clone) -> None:
    """Neither the same PYTHON nor an unset one rebuilds the tools."""
    for arguments in ([], [f"PYTHON={_python()}"]):
        assert "-m venv" not in clone.make("-n", "setup", *arguments).stdout


def test_tools_are_rebuilt_for_another_interpreter(clone: Clone, tmp_path: Path) -> None:
    """The new tools replace the existing ones."""
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\necho another; exec '{_python()}' \"$@\"\n")
    other.chmod(0o755)
    assert "-m venv" in clone.make("-n", "setup", f"PYTHON={other}").stdout


def test_tools_are_rebuilt_after_the_folder_has_moved(clone: Clone) -> None:
    """Installed programs contain the path at which they were installed."""
    moved = clone.folder.rename(clone.folder.with_name("moved"))
    try:
        assert "-m venv" in Clone(moved, clone.home).make("-n", "setup").stdout
    finally:
        moved.rename(clone.folder)


@contextmanager
def _refusing_proxy() -> Iterator[tuple[str, list[str]]]:
    """Serve a proxy that closes each connection; yield its URL and the requests that it gets."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode(errors="replace").strip())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def _made(clone: Clone) -> set[Path]:
    """Return the content of the build folders, two levels deep."""
    return {
        path.relative_to(clone.folder)
        for folder in (".aws-sam", ".local")
        for path in (clone.folder / folder).glob("*")
    }


def _python() -> str:
    """Return the path of the interpreter that these tests' tools were installed with."""
    return str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found is not None
    return found
