"""One deployment for all tests that can share it, and one for the alarms of each file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_world.world import API_KEY, World

from .alarms import PARAMETERS, Scene
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


@pytest.fixture(scope="module")
def _scene_of_file() -> Iterator[Scene]:
    """Deploy for the tests of a file alone, since alarms hear everything."""
    with World(parameters=PARAMETERS) as world:
        world.simulator.change_settings(defaultValiditySeconds=1)
        yield Scene(world)


@pytest.fixture
def scene(_scene_of_file: Scene) -> Iterator[Scene]:
    """Let no test that fails spoil the next one."""
    yield _scene_of_file
    _scene_of_file.world.simulator.clear_faults()
    _scene_of_file.world.simulator.change_credentials(apiKey=API_KEY)
    for url in _scene_of_file.world.sqs.list_queues()["QueueUrls"]:
        _scene_of_file.world.sqs.purge_queue(QueueUrl=url)
