"""What holds for all tests.

No real AWS account is in reach, no proxy comes between what runs on this machine, and unit tests
open no socket.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_socket
from hypothesis import HealthCheck, settings

from tests.local_world.proxies import reach_this_machine_directly
from tests.local_world.world import forget_aws_account

if TYPE_CHECKING:
    import pytest

_UNIT_TESTS = Path(__file__).parent / "unit"

# How long an example takes says nothing on a machine that is shared.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")
forget_aws_account()
reach_this_machine_directly(os.environ)
# A shell starts what runs in the background with SIGINT ignored, and so would be all that tests
# start, to see it end by Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forbid sockets to unit tests; the others talk to what runs on this machine."""
    if item.path.is_relative_to(_UNIT_TESTS):
        pytest_socket.disable_socket(allow_unix_socket=True)
    else:
        pytest_socket.enable_socket()
