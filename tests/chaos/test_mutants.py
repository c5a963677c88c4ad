"""The checks of chaos notice a system that breaks a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import report
from .mutants import MUTANTS
from .run import run
from .system import Options

if TYPE_CHECKING:
    from tests.local_world.aws_emulator import AwsEmulator


@pytest.mark.parametrize("mutant", MUTANTS)
def test_system_without_a_guard_is_found_out(mutant: str, emulator: AwsEmulator) -> None:
    """Each guard is needed: with one taken out, a run breaks the promise that the guard keeps."""
    result = run(Options(messages=100, seed=1, mutant=mutant), emulator)

    promises = {violation.promise for violation in result.violations}
    assert MUTANTS[mutant].promise in promises, report.text(result)
