"""One deployment, one page server and one Chromium for all tests; each test has its own window."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_world.page.server import page
from tests.local_world.world import World

from .chromium import NoChromiumError, find
from .scene import SCENARIO, Scene
from .visits import chromium_running, visiting
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

_FIGURE = "figure"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, line in report.user_properties:
            if name == _FIGURE:
                terminalreporter.write_line(str(line))


@pytest.fixture
def note_figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that takes a line about what was measured."""
    return lambda line: record_property(_FIGURE, line)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        chromium = find(os.environ.get("CHROMIUM", ""))
    except NoChromiumError as error:
        pytest.exit(str(error), returncode=1)
    with chromium_running(chromium, os.geteuid()) as running:
        yield running


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Deploy the template with waits of a second, not minutes, before the logs are asked."""
    with World(parameters={"ReconcileAfterSeconds": 1}) as running:
        running.invoke("CreateScenarioFunctionName", SCENARIO)
        yield running


@pytest.fixture(scope="session")
def _page_url(world: World) -> Iterator[str]:
    with page(world) as served:
        yield served.page_url


@pytest.fixture
def scene(world: World, _page_url: str) -> Iterator[Scene]:
    """Return the deployment with the page, and undo what a failed test may have left behind."""
    yield Scene(world, _page_url)
    world.simulator.clear_faults()
    world.simulator.change_settings(refuseAll="", logLagSeconds=0)


@pytest.fixture
def open_window(browser: Browser, scene: Scene) -> Iterator[Callable[..., Window]]:
    """Return a function that opens the page in a window of its own, with Playwright's options."""
    with ExitStack() as exits:

        def opened(link: str = "", **context_options: Any) -> Window:  # noqa: ANN401 (Playwright's)
            visit = visiting(browser, link or scene.url, **context_options)
            return Window(exits.enter_context(visit))

        yield opened


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window()
