"""Fixtures of the tests that start local worlds in this clone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.readme import alone_with_its_worlds

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Keep other tests from starting worlds meanwhile."""
    with alone_with_its_worlds():
        yield
