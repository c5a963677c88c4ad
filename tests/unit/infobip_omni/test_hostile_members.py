"""What a decision does not need costs only itself, and what cannot be read costs no neighbour."""

from __future__ import annotations

import pytest

from tests.fuzz.hostile import HOSTILE
from tests.fuzz.sweeps import SWEEPS

# `make fuzz` runs the same, and more of it.
pytestmark = pytest.mark.thorough

#: Shares no factor with the number of values or changes, so each of them is tried somewhere.
_ONE_OF = 53


@pytest.mark.parametrize("name", SWEEPS)
def test_hostile_member_costs_only_what_needs_it(name: str) -> None:
    """Each member is left out, and some are hostile; `make fuzz` tries all values for all."""
    sweep = SWEEPS[name]
    chosen = [
        variant
        for number, variant in enumerate(sweep.variants(HOSTILE))
        if variant.change == "absent" or number % _ONE_OF == 0
    ]

    assert [problem for each in chosen if (problem := sweep.problem(each))] == []
