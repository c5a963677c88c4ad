"""A local world as commands find it, of which nothing runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.local_world.running import RunningWorld

_WORLD = RunningWorld(
    port=1,
    started_at="12:00:00",
    parameters={},
    simulator_url="http://127.0.0.1:1",
    page_url="http://127.0.0.1:1/",
    outputs={},
    resources={},
    outcome_queue_url=None,
    address_for_containers=None,
)


def world_with(**members: Any) -> RunningWorld:  # noqa: ANN401 (of `RunningWorld`)
    """Return one with other values for some members."""
    return replace(_WORLD, **members)
