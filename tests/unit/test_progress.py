"""Progress is a live line on a terminal, and plain lines anywhere else."""

from __future__ import annotations

import io
import os
import pty
import re
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Clock:
    """Counts seconds only when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tests.progress.time.monotonic", clock)
    return clock


@pytest.fixture(autouse=True)
def _terminal_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)


@contextmanager
def terminal() -> Iterator[tuple[io.TextIOWrapper, list[str]]]:
    """Yield a file that is a terminal, and what it has shown once the context has ended."""
    controlling, controlled = pty.openpty()
    shown: list[str] = []

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            while data := os.read(controlling, 65536):
                shown.append(data.decode())

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(controlled, "w") as file:
        yield file, shown
    reader.join()
    os.close(controlling)


def plain_text(shown: list[str]) -> str:
    """Return what a terminal has shown without its escape codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(shown))


def test_step_in_file_is_one_plain_line(clock: Clock) -> None:
    out = io.StringIO()

    with Progress(out, steps=2).step("Build"):
        assert out.getvalue() == "  Build ..."
        clock.now += 1.25

    assert out.getvalue() == "  Build ... done in 1.2 s\n"


def test_lines_can_go_elsewhere_than_result() -> None:
    out, lines = io.StringIO(), io.StringIO()

    with Progress(out, lines).step("Build"):
        pass

    assert (out.getvalue(), lines.getvalue()) == ("", "  Build ... done in 0.0 s\n")


@pytest.mark.parametrize(
    ("error", "outcome"), [(ValueError, "failed after"), (KeyboardInterrupt, "stopped after")]
)
def test_step_that_does_not_succeed_says_so(error: type[BaseException], outcome: str) -> None:
    """The line is complete, so what is printed about the error begins a new one."""
    out = io.StringIO()

    with pytest.raises(error), Progress(out).step("Build"):
        raise error

    assert out.getvalue() == f"  Build ... {outcome} 0.0 s\n"


def test_count_in_file_is_line_each_ten_seconds(clock: Clock) -> None:
    out = io.StringIO()
    progress = Progress(out)

    with progress.count("load", "messages queued", 20):
        for done in range(21):
            progress.update(done, "2 records left")
            clock.now += 1
    progress.update(21)

    assert out.getvalue() == (
        "load: 0 of 20 messages queued, 2 records left\n"
        "load: 10 of 20 messages queued, 2 records left\n"
        "load: 20 of 20 messages queued, 2 records left\n"
    )


@pytest.mark.parametrize(
    ("total", "text"), [(2, "3 rounds"), (0, "3 rounds"), (3, "3 of 3 rounds")]
)
def test_total_is_shown_if_it_is_known_and_not_exceeded(total: int, text: str) -> None:
    out = io.StringIO()
    progress = Progress(out)

    with progress.count("send", "rounds", total):
        progress.update(3)

    assert out.getvalue() == f"send: {text}\n"


def test_step_on_terminal_is_live_and_leaves_line() -> None:
    """The live line says which step of how many it is, and for how long it has run."""
    with terminal() as (file, shown):
        progress = Progress(file, steps=7)
        with progress.step("Build"):
            pass
        with progress.step("Deploy [all]"):
            pass

    text = plain_text(shown)
    assert "step 1 of 7 0:00:00" in text
    assert re.search(r"  Deploy \[all\] \S+ step 2 of 7", text)
    assert text.endswith("  Deploy [all] ... done in 0.0 s\r\n")


def test_count_on_terminal_shows_each_update() -> None:
    with terminal() as (file, shown):
        progress = Progress(file)
        with progress.count("load", "messages queued", 20):
            progress.update(1)
            progress.update(19, "2 records left")

    text = plain_text(shown)
    assert re.search(r"load \S+ 19 of 20 messages queued 0:00:00\s+2 records left", text)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_cursor_is_visible_after_any_end(error: type[BaseException]) -> None:
    with terminal() as (file, shown), pytest.raises(error), Progress(file).step("Build"):
        raise error

    text = "".join(shown)
    assert HIDE in text
    assert text.rindex(SHOW) > text.rindex(HIDE)


@pytest.mark.parametrize("kind", ["dumb", "unknown", ""])
def test_terminal_with_fixed_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TERM", kind)

    with terminal() as (file, shown), Progress(file).step("Build"):
        pass

    assert "".join(shown) == "  Build ... done in 0.0 s\r\n"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colors_respect_no_color(monkeypatch: pytest.MonkeyPatch, no_color: str) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)

    with terminal() as (file, shown):
        progress = Progress(file)
        with progress.count("load", "messages", 2):
            progress.update(1)

    colors = re.findall(r"\x1b\[[0-9;]*m", "".join(shown))
    assert bool(colors) == (not no_color)
