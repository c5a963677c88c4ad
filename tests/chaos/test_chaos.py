"""The promises hold under faults, and the checks detect each missing guard."""

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
    with AwsEmulator() as running:
        yield running


def test_promises_hold_under_faults(emulator: AwsEmulator) -> None:
    result = run(Options(messages=100, seed=1, outage=240, coverage_seconds=5), emulator)

    assert not result.violations, report.text(result)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_breaks_its_promise(mutant: str, emulator: AwsEmulator) -> None:
    result = run(Options(messages=100, seed=1, mutant=mutant), emulator)

    promises = {violation.promise for violation in result.violations}
    assert MUTANTS[mutant].promise in promises, report.text(result)
