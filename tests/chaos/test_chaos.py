"""The promises hold while everything goes wrong, and the checks notice when they do not."""

from __future__ import annotations

import pytest

from .controls import CONTROLS
from .driver import Terms
from .run import run


def test_promises_hold_whatever_is_killed_lost_or_late() -> None:
    """Each message is sent once and gets a true verdict, and no log line is personal."""
    outcome, text = run(Terms(messages=100, seed=1, outage=240, patience=5))

    assert not outcome.breaches, text


@pytest.mark.parametrize("control", CONTROLS)
def test_system_without_a_guard_is_found_out(control: str) -> None:
    """Each guard is needed: with one taken out, the same run breaks the promise that it keeps."""
    outcome, text = run(Terms(messages=100, seed=1, control=control, patience=8))

    assert CONTROLS[control].promise in {breach.promise for breach in outcome.breaches}, text
