"""A visit: a page in a browser, watched for everything that a page must never do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from .chromium import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, WebError

#: Of the window, in CSS pixels.
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 360, "height": 740}
#: In which a page must do what it is waited for: several times what a slow machine takes.
MILLISECONDS = 20_000
# The browser reports a violation of the policy to a listener even where its console does not.
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`);
});
"""
_TROUBLE = ("error", "warning", "assert")


@contextmanager
def chromium_running(chromium: str, user_id: int) -> Iterator[Browser]:
    """Run a Chromium without a window.

    Args:
        chromium: Its path.
        user_id: Of the user who runs it.
    """
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options(chromium, user_id))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page in a window of its own, and what it did that no page may do.

    Args:
        page: Playwright's page.
        host: The only host, with its port, that the page may call.
    """

    page: Page
    host: str
    _faults: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect_in_console(self, pattern: str) -> None:
        """Accept what a test makes the console report on purpose, such as an answer of 409."""
        self._expected.append(re.compile(pattern))

    @property
    def faults(self) -> list[str]:
        """What the page did wrong: calls to other hosts, errors, and warnings in the console."""
        return [
            each for each in self._faults if not any(one.search(each) for one in self._expected)
        ]

    def watch_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.netloc != self.host:
            self._faults.append(f"request to another host: {request.url}")

    def watch_console(self, message: ConsoleMessage) -> None:
        if message.type in _TROUBLE:
            self._faults.append(f"{message.type} in the console: {message.text}")

    def watch_error(self, error: WebError) -> None:
        self._faults.append(f"uncaught error: {error.error}")


@contextmanager
def visiting(
    browser: Browser,
    url: str,
    *,
    script: str = "",
    **context_options: Any,  # noqa: ANN401 (Playwright's)
) -> Iterator[Visit]:
    """Open a URL in a context of its own: other cookies, other storage, other connections.

    Args:
        browser: A running Chromium.
        url: Of the page.
        script: Runs before those of the page.
        context_options: Of Playwright's `new_context`, such as `color_scheme`.

    Raises:
        AssertionError: When the visit ends well otherwise, and the page did something wrong.
    """
    context = browser.new_context(**{"viewport": WIDE} | context_options)
    try:
        context.set_default_timeout(MILLISECONDS)
        context.add_init_script(_REPORT_VIOLATIONS + script)
        visit = Visit(context.new_page(), urlsplit(url).netloc)
        context.on("request", visit.watch_request)
        context.on("console", visit.watch_console)
        context.on("weberror", visit.watch_error)
        visit.page.goto(url)
        yield visit
        if visit.faults:
            raise AssertionError("\n".join(visit.faults))
    finally:
        context.close()
