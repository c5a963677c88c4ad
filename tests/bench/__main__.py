"""`make bench`: measure the cost of invocations, and the delays of outcomes and verdicts."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING

from . import outcome_delay, verdict_delay
from .figures import Spread
from .invocations import ROWS, BenchError, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .invocations import Measured, Row

#: What is measured otherwise than by invocations of functions in their own processes.
_DELAYS = {"outcome": outcome_delay.measure, "verdict": verdict_delay.measure}


def main() -> None:
    """Measure and print the figures, without judging them."""
    arguments = _arguments()
    if arguments.row in _DELAYS:
        _DELAYS[arguments.row]()
        return
    rows = [ROWS[arguments.row]] if arguments.row else list(ROWS.values())
    compared = f", alternating with those of {arguments.base}" if arguments.base else ""
    _print(
        f"Warm functions of this folder{compared}: {arguments.rounds} rounds of new processes.",
        "Times are per invocation: median [quartiles]; CPU is that of the function's process.",
        *(
            ["Ratios compare samples taken in turn: median [95 % confidence]."]
            if arguments.base
            else []
        ),
    )
    started_at = time.monotonic()
    try:
        for row, now, base in measure(rows, arguments.base or None, arguments.rounds):
            _print("", *_described(row, now, base))
    except BenchError as error:
        sys.exit(str(error))
    _print("", f"The measurement took {time.monotonic() - started_at:.0f} s.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--row",
        choices=["", *ROWS, *_DELAYS],
        default="",
        help="what to measure; default: everything except the delays",
    )
    parser.add_argument(
        "--base", default="", metavar="COMMIT", help="a commit to compare this folder with"
    )
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=8,
        help="how many rounds of new processes to measure; more rounds make ratios more certain",
    )
    arguments = parser.parse_args()
    if arguments.row in _DELAYS and arguments.base:
        parser.error("delays cannot be compared with another commit: omit --base")
    return arguments


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _described(row: Row, now: Measured, base: Measured | None) -> list[str]:
    lines = [row.title, f"  calls {_counts(now)}"]
    if base is not None and base.calls != now.calls:
        lines.append(f"  base  {_counts(base)}")
    for kind in ("cpu", "wall"):
        mine = [getattr(sample, kind) for sample in now.samples]
        line = f"  {kind:5} {_milliseconds(mine)}"
        if base is not None:
            others = [getattr(sample, kind) for sample in base.samples]
            ratio = Spread.of_ratios(mine, others)
            line += f", base {_milliseconds(others)}"
            line += f", now/base {ratio.middle:.3f} [{ratio.low:.3f} .. {ratio.high:.3f}]"
        lines.append(line)
    if row.parts:
        lines += _by_page(row, now)
    return lines


def _by_page(row: Row, measured: Measured) -> list[str]:
    """Format what a backlog costs by page, and where its time goes."""
    cpu = statistics.median(sample.cpu for sample in measured.samples)
    wall = statistics.median(sample.wall for sample in measured.samples)
    parts = {
        part: statistics.median(sample.parts.get(part, 0.0) for sample in measured.samples)
        for part in row.parts
    }
    parts["the rest"] = wall - sum(parts.values())
    shares = ", ".join(f"{part} {seconds / wall:.0%}" for part, seconds in parts.items())
    return [
        f"  {row.reports:,} reports recorded in {wall:.1f} s: {row.reports / wall:,.0f} a second",
        f"  a page takes {cpu / row.pages:.3f} s of CPU",
        f"  of the time: {shares}",
    ]


def _counts(measured: Measured) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in measured.calls.items())


def _milliseconds(seconds: Sequence[float]) -> str:
    spread = Spread.of([1000 * each for each in seconds])
    return f"{spread.middle:.1f} ms [{spread.low:.1f} .. {spread.high:.1f}]"


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
