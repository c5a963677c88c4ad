"""`make bench`: measure the cost of invocations, and the delays of outcomes and verdicts."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.local_world.aws_emulator import ROOT
from tests.progress import Progress
from tests.report_pages import written

from . import outcome_delay, report, verdict_delay
from .invocations import ROWS, BenchError, measure
from .report import Compared, Result

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Measure, print the figures without judging them, and write them as a page, too."""
    arguments = _arguments()
    # Standard output holds the figures alone.
    progress = Progress(lines=sys.stderr)
    started_at = time.monotonic()
    try:
        result = _DELAYS.get(arguments.row, _invocations)(arguments, progress)
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped")
    result = replace(result, seconds=time.monotonic() - started_at)
    path = written("bench", report.page(result, datetime.now(UTC)))
    _print(
        "", f"The measurement took {result.seconds:.0f} s.", f"As a page: {path.relative_to(ROOT)}"
    )


def _invocations(arguments: argparse.Namespace, progress: Progress) -> Result:
    base, rounds = arguments.base, arguments.rounds
    rows = [ROWS[arguments.row]] if arguments.row else list(ROWS.values())
    _print(*report.heading(base, rounds))
    compared = []
    for row, now, others in measure(rows, base or None, rounds, progress):
        compared.append(Compared(row, now, others))
        _print("", *report.described(compared[-1]))
    return Result(base=base, rounds=rounds, rows=compared)


def _outcome(_: argparse.Namespace, progress: Progress) -> Result:
    delays = outcome_delay.measure(progress)
    _print(*delays.described())
    return Result(outcomes=delays)


def _verdict(_: argparse.Namespace, progress: Progress) -> Result:
    delays = []
    for delay in verdict_delay.measure(progress):
        delays.append(delay)
        _print(*delay.described())
    return Result(verdicts=delays)


#: What is measured otherwise than by invocations of functions in their own processes.
_DELAYS: dict[str, Callable[[argparse.Namespace, Progress], Result]] = {
    "outcome": _outcome,
    "verdict": _verdict,
}


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


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
