"""The promises hold while everything goes wrong, and the checks notice when they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_emulator import AwsEmulator

from . import report
from .mutants import MUTANTS
from .run import run
from .system import Options

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    """Return an emulator that all runs share."""
    with AwsEmulator() as running:
        yield running


def test_promises_hold_whatever_is_killed_lost_or_late(emulator: AwsEmulator) -> None:
    """Each message is sent once and gets a true verdict, and no log line is personal."""
    result = run(Options(messages=100, seed=1, outage=240, patience=5), emulator)

    assert not result.violations, report.text(result)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_system_without_a_guard_is_found_out(mutant: str, emulator: AwsEmulator) -> None:
    """Each guard is needed: with one taken out, a run breaks the promise that the guard keeps."""
    result = run(Options(messages=100, seed=1, mutant=mutant), emulator)

    promises = {violation.promise for violation in result.violations}
    assert MUTANTS[mutant].promise in promises, report.text(result)
