"""`make chaos`: thousands of messages through the real functions while everything goes wrong.

At the end the faults stop, what is left drains, and the books are checked against what the
simulator knows. Exits with 1 on any breach, or when there is a crash point that no run came to.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from . import times
from .cloud import TEMPLATE
from .controls import CONTROLS
from .driver import Driver, Outcome, Terms
from .times import Deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHOWN_BREACHES = 10


def run(terms: Terms, say: Callable[[str], None] = lambda _: None) -> tuple[Outcome, str]:
    """Make one run; return what it has led to, and the same written for people."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        outcome = Driver(terms, Path(directory), say).run()
        return outcome, "\n".join(_lines(terms, outcome))


def _lines(terms: Terms, outcome: Outcome) -> Iterator[str]:
    books = outcome.books
    messages = sum(len(event.message_ids) for event in books.events)
    yield f"Seed {terms.seed}: {messages} messages in {len(books.events)} events"
    rate = messages / outcome.seconds
    yield f"{outcome.seconds:.0f} s, {rate:.0f} messages a second, faults and drain included"
    yield f"{outcome.drain_seconds:.1f} s from the last fault to the last verdict"
    yield ""
    for title, counts in (
        ("Messages by state", books.states()),
        ("Messages by end", books.balance()),
        ("Dead letters by reason", Counter(reason for _, reason in books.dead_letters)),
        ("Reports by end", books.reports()),
        ("Verdicts by what has told", books.verdicts()),
        ("Events by kind", Counter(event.kind for event in books.events)),
        ("Faults that have struck", outcome.fired),
    ):
        yield title
        yield from (f"  {count:7d}  {name}" for name, count in sorted(counts.items()))
        yield ""
    yield f"Sent twice under must-arrive: {len(books.duplicates_of_must_arrive())}"
    yield f"In quarantine though Infobip has it: {books.quarantined_in_vain()}"
    yield f"Crash points that no run came to: {', '.join(outcome.points_left) or 'none'}"
    yield f"Breaches: {len(outcome.breaches)}"
    for breach in outcome.breaches[:_SHOWN_BREACHES]:
        yield f"  {breach.promise} {breach.subject}: {breach.what}"
        yield from (f"      {line}" for line in books.history(breach.subject))


def main() -> None:
    """Make a run and tell what it has shown."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--divisor", type=float, default=times.DIVISOR, help="of all times")
    parser.add_argument(
        "--outage", type=float, default=times.OUTAGE, help="of Infobip, in seconds of production"
    )
    parser.add_argument("--control", choices=CONTROLS, help="a weakened system, which must fail")
    arguments = parser.parse_args()
    _say(f"{'Times in seconds':34} {'production':>11} {'here':>8}")
    for name, production, here in times.table(Deployment.of(TEMPLATE), arguments.divisor):
        _say(f"  {name:32} {production:11g} {here:8.3g}")
    _say("The simulator's throttle on the logs is off: a run asks far more often.\n")
    outcome, text = run(Terms(**vars(arguments)), _say)
    _say("\n" + text)
    sys.exit(bool(outcome.breaches or (outcome.points_left and not arguments.control)))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
