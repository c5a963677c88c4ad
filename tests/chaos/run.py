"""`make chaos`: send thousands of messages through the real functions while faults are injected.

At the end the faults stop, the remaining work drains, and checks compare the history of the run
with what the simulator knows. The exit code is 1 if there is a violation, or if no run reached one
of the crash points.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.local_world.aws_emulator import ROOT, AwsEmulator
from tests.local_world.proxies import reach_this_machine_directly
from tests.local_world.template import read_template
from tests.local_world.world import forget_aws_account
from tests.progress import Progress
from tests.report_pages import written

from . import report, system, times
from .checks import final_violations, violations
from .mutants import MUTANTS
from .phases import phases_of, run_phases
from .report import Result
from .system import Options
from .times import Deployment


def run(options: Options, emulator: AwsEmulator, progress: Progress | None = None) -> Result:
    """Run one system through its phases and check its history.

    Args:
        options: The options of the run.
        emulator: A running emulator; other runs may share it.
        progress: Shows how far the run is.
    """
    progress = progress or Progress()
    with ExitStack() as exits:
        with progress.step("Start Infobip's simulator and the functions"):
            directory = exits.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))
            running = exits.enter_context(system.running(options, emulator, Path(directory)))
        durations = run_phases(phases_of(running), running, progress)
        with progress.step("Check the history"):
            history = running.history()
            # A mutant's run ends as soon as the mutant is detected: the rest might still recover.
            found = list((final_violations if options.mutant else violations)(history))
        return Result(
            seed=options.seed,
            mutant=options.mutant,
            phases=durations,
            fired=running.fired(),
            points_left=running.points_left(),
            history=history,
            violations=found,
        )


def main() -> None:
    """Run a system, print the report, and write it as a page, too."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--divisor", type=float, default=times.DIVISOR, help="divides all times")
    parser.add_argument(
        "--outage",
        type=float,
        default=times.OUTAGE,
        help="how long Infobip is down, in seconds of production",
    )
    parser.add_argument(
        "--mutant", choices=MUTANTS, default="", help="a system without one guard, which must fail"
    )
    options = Options(**vars(parser.parse_args()))
    table = times.table(Deployment.of(read_template()), options.divisor)
    _print(f"{'Times in seconds':34} {'production':>11} {'here':>8}")
    for name, production, here in table:
        _print(f"  {name:32} {production:11g} {here:8.3g}")
    _print("")
    forget_aws_account()
    reach_this_machine_directly(os.environ)
    progress = Progress(steps=3)  # this one, and two of `run`
    try:
        with ExitStack() as exits:
            with progress.step("Start the AWS emulator"):
                emulator = exits.enter_context(AwsEmulator())
            result = run(options, emulator, progress)
    except KeyboardInterrupt:
        sys.exit("stopped")
    _print("\n" + report.text(result))
    path = written("chaos", report.page(result, table, datetime.now(UTC)))
    _print(f"\nAs a page: {path.relative_to(ROOT)}")
    sys.exit(not result.passed)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
