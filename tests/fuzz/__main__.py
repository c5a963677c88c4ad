"""Runs the targets with many random cases, as `make fuzz` does.

Each target gets the same number of cases, or the same time. The run fails if a parser raises an
error that is not its own, or if a hostile member changes a decision that does not need it.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings

from .sweeps import SWEEPS
from .targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .targets import Target

#: Hypothesis remembers all cases of a round, to make no case twice.
_CASES_PER_ROUND = 2_000
_DEFAULT_MINUTES = 0.5
#: How many times as long as a target the sweep lasts.
_PARTS_OF_SWEEP = 5
_LONGEST_SHOWN = 1_500


class _BudgetUsedUpError(BaseException):
    """Ends a round; hypothesis takes it for no error of a target, since it is no Exception."""


@dataclass
class Outcome:
    """The cases of a target that were run, and the unexpected errors."""

    cases: int = 0
    errors: list[str] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.cases + other.cases, self.errors + other.errors)


def fuzz(target: Target, first_seed: int, has_budget: Callable[[int], bool], most: int) -> Outcome:
    """Run a target round by round, until its budget is used up or it has an unexpected error.

    Args:
        target: The target.
        first_seed: The seed of the first round; each of the others has the next one.
        has_budget: Returns whether another case may be run after so many.
        most: The number of cases of a round.
    """
    outcome = Outcome()
    is_found = False

    def run(case: object) -> None:
        nonlocal is_found
        # The case of an error that was found is made smaller, whatever the budget.
        if not is_found and not has_budget(outcome.cases):
            raise _BudgetUsedUpError
        outcome.cases += 1
        try:
            target.run(case)
        except Exception:
            is_found = True
            raise

    number = first_seed
    while not outcome.errors and has_budget(outcome.cases):
        check = settings(
            max_examples=most,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(target.cases)(run)))
        try:
            check()
        except _BudgetUsedUpError:
            break
        except Exception as error:  # noqa: BLE001 (every error of a parser but its own is a finding)
            outcome.errors = [_shown(each) for each in _each(error)]
        number += 1
    return outcome


def sweep(first_seed: int, has_budget: Callable[[int], bool]) -> Outcome:
    """Try every hostile value for every member of every body, in random order, within a budget."""
    outcome = Outcome()
    cases = [
        (name, variant) for name, each in SWEEPS.items() for variant in each.variants(each.values)
    ]
    random.Random(first_seed).shuffle(cases)
    for name, variant in cases:
        if not has_budget(outcome.cases):
            break
        outcome.cases += 1
        try:
            problem = SWEEPS[name].problem(variant)
        except Exception as error:  # noqa: BLE001 (as above)
            problem = f"{variant}: {_shown(error)}"
        if problem:
            outcome.errors.append(f"{name}: {problem}")
    return outcome


def _each(error: BaseException) -> list[BaseException]:
    return list(error.exceptions) if isinstance(error, BaseExceptionGroup) else [error]


def _shown(error: BaseException) -> str:
    """Return the end of a traceback, with the smallest case that hypothesis has found."""
    return "".join(traceback.format_exception(error))[-_LONGEST_SHOWN:]


def _positive(text: str) -> float | None:
    """Parse a number; an empty text is none."""
    try:
        number = float(text) if text else None
    except ValueError:
        number = 0
    if number is None or 0 < number < float("inf"):
        return number
    raise argparse.ArgumentTypeError("must be a positive number")


def main(arguments: list[str]) -> int:
    """Print a line for each target, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=_positive, help="how many for each target, and the sweep")
    parser.add_argument("--minutes", type=_positive, help="for all of it together")
    budget = parser.parse_args(arguments)
    seconds = 60 * (budget.minutes or _DEFAULT_MINUTES) / (len(TARGETS) + _PARTS_OF_SWEEP)

    def lasting(parts: int) -> Callable[[int], bool]:
        ends_at = time.monotonic() + parts * seconds
        if budget.cases:
            return lambda done: done < budget.cases
        return lambda _: time.monotonic() < ends_at

    first_seed = time.time_ns() % 2**32
    most = int(min(budget.cases or _CASES_PER_ROUND, _CASES_PER_ROUND))
    total = Outcome()
    for name, target in TARGETS.items():
        total += _reported(name, fuzz(target, first_seed, lasting(1), most))
    total += _reported("each member of each body", sweep(first_seed, lasting(_PARTS_OF_SWEEP)))
    _reported("in total", total, shows_errors=False)
    return 1 if total.errors else 0


def _reported(name: str, outcome: Outcome, *, shows_errors: bool = True) -> Outcome:
    """Print an outcome, and return it."""
    _print(f"{outcome.cases:>9,} cases, {len(outcome.errors)} unexpected errors: {name}")
    for error in outcome.errors if shows_errors else ():
        _print(error)
    return outcome


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # functions log each case that they cannot read
    sys.exit(main(sys.argv[1:]))
