"""The parts of an invocation add up to no more than the invocation."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from tests.bench import worker

if TYPE_CHECKING:
    import pytest


class Layer:
    """Code of the layer, whose functions each take a second themselves."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def store(self) -> str:
        self.clock[0] += 1
        self.write()
        return "stored"

    def write(self) -> None:
        self.clock[0] += 1


def test_part_is_timed_without_the_parts_that_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    module = ModuleType("timed_layer")
    vars(module).update(Layer=type("Layer", (Layer,), {}))
    monkeypatch.setitem(sys.modules, "timed_layer", module)
    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    seconds = worker.time_parts(
        {
            "storing": "timed_layer:Layer.store",
            "writing": "timed_layer:Layer.write",
            "not in this commit": "timed_layer:Layer.delete",
            "nor its class": "timed_layer:Table.delete",
        }
    )
    layer = module.Layer(clock)

    assert layer.store() == "stored"
    assert seconds == {"storing": 1, "writing": 1}
    layer.write()
    assert seconds == {"storing": 1, "writing": 2}
