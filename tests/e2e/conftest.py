"""One deployment for all tests that can share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_world.world import World

from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Deploy the template; what would take minutes at Infobip, or of us, takes a second."""
    with World(parameters={"ReconcileAfterSeconds": 1}) as running:
        running.simulator.change_settings(defaultValiditySeconds=1)
        yield running


@pytest.fixture(scope="session")
def upstream(world: World) -> Upstream:
    """Create the scenario, and return an app that sends by it."""
    return Upstream(world)
