"""What holds for all tests.

No real AWS account is in reach, no proxy comes between what runs on this machine, and unit tests
open no socket.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

from tests.local_world.proxies import reach_this_machine_directly
from tests.local_world.world import forget_aws_account

if TYPE_CHECKING:
    from collections.abc import Callable

_UNIT_TESTS = Path(__file__).parent / "unit"

# How long an example takes says nothing on a machine that is shared. `make properties` loads the
# other profile, and CI runs it.
_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few examples", _ANY_SPEED, max_examples=20)
settings.register_profile("many examples", _ANY_SPEED, max_examples=500)
settings.load_profile("few examples")
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


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking over all modules and tests, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)


def pytest_unconfigure() -> None:
    """Keep it from doing so once more while Python ends."""
    gc.freeze()


@pytest.hookimpl(trylast=True)  # the reporter is made first
def pytest_configure(config: pytest.Config) -> None:
    """Show progress in a single line on a terminal, and elsewhere none; `-v` names each test."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter) and config.get_verbosity() <= 0:
        config.pluginmanager.register(_Progress(reporter))
    if hasattr(config, "workerinput"):
        _say_less(config)


def _say_less(config: pytest.Config) -> None:
    """Make a process of xdist send the outcome of a test once, not the start and end of each part.

    Six messages for each test cost more time than the test itself. `--durations` shows calls only.
    """
    (worker,) = (
        plugin
        for plugin in config.pluginmanager.get_plugins()
        if type(plugin).__name__ == "WorkerInteractor"
    )
    send: Callable[..., None] = worker.sendevent

    def sendevent(name: str, **members: Any) -> None:  # noqa: ANN401 (xdist defines them)
        data = members.get("data", {})
        is_part = name == "testreport" and data["outcome"] == "passed" and data["when"] != "call"
        if not is_part and name not in {"logstart", "logfinish"}:
            send(name, **members)

    worker.sendevent = sendevent


class _Progress:
    """Counts tests that have ended, in place of a dot for each that has passed."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._ended: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """Leave the dot out."""
        if report.when == "call" and report.outcome == "passed":
            return "passed", "", ""
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write over the line what it now says."""
        self._ended.add(report.nodeid)
        session = self._reporter._session  # noqa: SLF001 (xdist tells it how many tests there are)
        if self._reporter.isatty and report.when == "call" and session is not None:
            line = f"{len(self._ended)} of {session.testscollected}"
            self._reporter.rewrite(line, erase=True)
