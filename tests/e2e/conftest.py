"""The deployment that most tests share, and one for each file of alarm tests."""

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
    """Deploy the template with waits of a second, not minutes, for Infobip and for the logs."""
    with World(parameters={"ReconcileAfterSeconds": 1}) as running:
        running.simulator.change_settings(defaultValiditySeconds=1)
        yield running


@pytest.fixture(scope="session")
def upstream(world: World) -> Upstream:
    """Create the scenario, and return an upstream app that uses it."""
    return Upstream(world)


@pytest.fixture(scope="module")
def _scene_of_file() -> Iterator[Scene]:
    """Deploy for one file, because alarms watch all traffic of a deployment."""
    with World(parameters=PARAMETERS) as world:
        world.simulator.change_settings(defaultValiditySeconds=1)
        yield Scene(world)


@pytest.fixture
def scene(_scene_of_file: Scene) -> Iterator[Scene]:
    """Return the scene of the file, and undo what a failed test may have left behind."""
    yield _scene_of_file
    _scene_of_file.world.simulator.clear_faults()
    _scene_of_file.world.simulator.change_credentials(apiKey=API_KEY)
    for url in _scene_of_file.world.sqs.list_queues()["QueueUrls"]:
        _scene_of_file.world.sqs.purge_queue(QueueUrl=url)
