"""What holds for all tests: no real AWS account is in reach, and unit tests open no socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest_socket

from tests.local_world.world import forget_aws_account

if TYPE_CHECKING:
    import pytest

_UNIT_TESTS = Path(__file__).parent / "unit"

forget_aws_account()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forbid sockets to unit tests; the others talk to what runs on this machine."""
    if item.path.is_relative_to(_UNIT_TESTS):
        pytest_socket.disable_socket(allow_unix_socket=True)
    else:
        pytest_socket.enable_socket()
