"""Shows how far a long command is: a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.progress import Progress as Display
    from rich.progress import Task, TaskID
    from rich.text import Text

#: Seconds between two plain lines, and between two updates on a terminal.
_LINE_SECONDS, _UPDATE_SECONDS = 10.0, 1.0
#: Values of TERM for terminals that cannot move the cursor.
_FIXED_CURSOR = ("", "dumb", "unknown")


class Progress:
    """The progress of a command in steps and counts, one at a time.

    A terminal shows the current one in a live line. Anything else, and a terminal with TERM=dumb,
    gets plain lines without escape codes. Colors respect NO_COLOR. However a step or count ends,
    the cursor is visible afterwards.

    Args:
        out: Where a terminal may be; standard output by default.
        lines: Where plain lines go; `out` by default. A command whose output is its result gives
            standard error.
        steps: How many steps there will be; 0 if that is unknown.
    """

    def __init__(
        self, out: TextIO | None = None, lines: TextIO | None = None, *, steps: int = 0
    ) -> None:
        out = out or sys.stdout
        self._display = _display(out) if _is_redrawable(out) else None
        self._lines = out if self._display else lines or out
        self._steps, self._ended = steps, 0
        self._title, self._unit, self._total = "", "", 0
        self._row: TaskID | None = None
        self._next_update = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that a step is in progress, and in a line that stays, how long it took."""
        count = f"step {self._ended + 1} of {self._steps}" if self._steps else ""
        begin = f"  {title} ..."
        if self._display is None:
            self._write(begin)
            begin = ""
        started_at, outcome = time.monotonic(), "stopped after"
        try:
            with self._live(title, count, self._ended, self._steps):
                yield
            outcome = "done in"
        except Exception:
            outcome = "failed after"
            raise
        finally:
            self._ended += 1
            self._write(f"{begin} {outcome} {time.monotonic() - started_at:.1f} s\n")

    @contextmanager
    def count(self, title: str, unit: str, total: int = 0) -> Iterator[None]:
        """Show how many are done, as `update` says; nothing of it stays on a terminal.

        Args:
            title: What is in progress.
            unit: What is counted, in the plural.
            total: How many there will be; 0 if that is unknown.
        """
        self._title, self._unit, self._total = title, unit, total
        with self._live(title, "", 0, total):
            yield

    def is_due(self) -> bool:
        """Whether an update is due, for a caller that finds it costly to determine one."""
        return time.monotonic() >= self._next_update

    def update(self, done: int, note: str = "") -> None:
        """Show how many are done, with a note; plain lines appear every ten seconds at most."""
        known = f" of {self._total}" if 0 < self._total >= done else ""
        text = f"{done}{known} {self._unit}"
        if self._display is not None and self._row is not None:
            self._display.update(self._row, completed=done, count=text, note=note)
            self._next_update = time.monotonic() + _UPDATE_SECONDS
        elif self.is_due():
            self._write(f"{self._title}: {', '.join(filter(None, (text, note)))}\n")
            self._next_update = time.monotonic() + _LINE_SECONDS

    @contextmanager
    def _live(self, title: str, count: str, done: int, total: int) -> Iterator[None]:
        """Keep a live line on the terminal, if there is one."""
        if self._display is None:
            yield
            return
        self._row = self._display.add_task(
            title, completed=done, total=total or None, count=count, note=""
        )
        try:
            with self._display:
                yield
        finally:
            self._display.remove_task(self._row)
            self._row = None

    def _write(self, text: str) -> None:
        self._lines.write(text)
        self._lines.flush()


def _is_redrawable(out: TextIO) -> bool:
    return out.isatty() and os.environ.get("TERM", "") not in _FIXED_CURSOR


def _display(out: TextIO) -> Display:
    # This takes a tenth of a second to import, and only a terminal needs it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Elapsed(ProgressColumn):
        """The time since the start; rich's own column stops once the total is reached."""

        def render(self, task: Task) -> Text:
            return Text(str(timedelta(seconds=int(task.elapsed or 0))))

    class WithNotes(Progress):
        """Has a note in a line of its own below each row."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            notes = (task.fields["note"] for task in self.tasks)
            yield from (Text(f"  {note}") for note in notes if note)

    def text(template: str) -> TextColumn:
        return TextColumn(template, markup=False, table_column=Column(overflow="fold"))

    return WithNotes(
        text("  {task.description}"),
        BarColumn(20, complete_style="cyan", finished_style="cyan", pulse_style="cyan"),
        text("{task.fields[count]}"),
        Elapsed(),
        console=Console(file=out, force_terminal=True, emoji=False, highlight=False),
        transient=True,
        refresh_per_second=2,  # drawing must not disturb what a command measures
    )
