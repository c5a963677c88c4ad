"""`make chaos`: thousands of messages through the real functions while faults are injected.

At the end the faults stop, what is left drains, and checks hold the history of the run against
what the simulator knows. Exits with 1 on any violation, or when there is a crash point that no run
came to.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.local_world.aws_emulator import AwsEmulator
from tests.local_world.proxies import reach_this_machine_directly
from tests.local_world.template import read_template
from tests.local_world.world import forget_aws_account

from . import report, system, times
from .checks import final_violations, violations
from .mutants import MUTANTS
from .phases import DRAIN, go_through, phases_of
from .report import Result
from .system import Options
from .times import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable


def run(
    options: Options, emulator: AwsEmulator, say: Callable[[str], None] = lambda _: None
) -> Result:
    """Make one run.

    Args:
        options: What is asked of it.
        emulator: A running one, which may be that of other runs as well.
        say: Takes a line now and then about how it goes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as directory,
        system.running(options, emulator, Path(directory)) as running,
    ):
        lasted = go_through(phases_of(running), running, say)
        history = running.history()
        # The run of a mutant ends as soon as the mutant is found out, and might mend the rest yet.
        found = final_violations(history) if options.mutant else violations(history)
        return Result(
            seed=options.seed,
            seconds=sum(lasted.values()),
            drain_seconds=sum(each for name, each in lasted.items() if name.startswith(DRAIN)),
            fired=running.fired(),
            points_left=running.points_left(),
            history=history,
            violations=list(found),
        )


def main() -> None:
    """Make a run and print what it has shown."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--divisor", type=float, default=times.DIVISOR, help="of all times")
    parser.add_argument(
        "--outage", type=float, default=times.OUTAGE, help="of Infobip, in seconds of production"
    )
    parser.add_argument(
        "--mutant", choices=MUTANTS, default="", help="a system without a guard, which must fail"
    )
    options = Options(**vars(parser.parse_args()))
    _say(f"{'Times in seconds':34} {'production':>11} {'here':>8}")
    for name, production, here in times.table(Deployment.of(read_template()), options.divisor):
        _say(f"  {name:32} {production:11g} {here:8.3g}")
    _say("The simulator's throttle on the logs is off: a run asks far more often.\n")
    forget_aws_account()
    reach_this_machine_directly(os.environ)
    with AwsEmulator() as emulator:
        result = run(options, emulator, _say)
        _say("\n" + report.text(result))
    sys.exit(bool(result.violations or (result.points_left and not options.mutant)))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
