"""An emulator that all runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_world.aws_emulator import AwsEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def emulator() -> Iterator[AwsEmulator]:
    """Run the emulator."""
    with AwsEmulator() as running:
        yield running
