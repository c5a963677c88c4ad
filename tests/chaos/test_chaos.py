"""The promises hold while everything goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import report
from .run import run
from .system import Options

if TYPE_CHECKING:
    from tests.local_world.aws_emulator import AwsEmulator


def test_promises_hold_under_faults(emulator: AwsEmulator) -> None:
    result = run(Options(messages=100, seed=1, outage=240, coverage_seconds=5), emulator)

    assert not result.violations, report.text(result)
