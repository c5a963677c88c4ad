"""Finds the Chromium of this machine, and the options that it starts with.

As a program, which runs before any tool is installed: prints nothing if there is a Chromium, and
otherwise says how to get one, and exits with code 1.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: On macOS, which has no programs of these names.
_APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_HOW_TO_GET_ONE = (
    "There is no Chromium: install one with `apt install chromium` (Debian, Ubuntu),"
    " `dnf install chromium` (Fedora) or `brew install --cask chromium` (macOS), or name one:"
    " make browser-test CHROMIUM=/path/to/it"
)
#: They keep Chromium from calling its makers, which would count as a request of the page.
_SILENT = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


class NoChromiumError(Exception):
    """No Chromium was found; the text says how to get one."""


def find(given: str, which: Callable[[str], str | None] = shutil.which) -> str:
    """Return the path of a Chromium.

    Args:
        given: The path or name of one; empty means the first that this machine has.
        which: Returns the path of a program by its name or path; None if it cannot be run.

    Raises:
        NoChromiumError: The given one cannot be run, or the machine has none.
    """
    if given:
        if found := which(given):
            return found
        raise NoChromiumError(f"CHROMIUM must be a program that can be run, not {given!r}")
    for name in (*_NAMES, *_APPLICATIONS):
        if found := which(name):
            return found
    raise NoChromiumError(_HOW_TO_GET_ONE)


def options(chromium: str, user_id: int) -> dict[str, object]:
    """Return how Playwright starts a Chromium.

    Args:
        chromium: Its path.
        user_id: Of the user who starts it; Chromium's sandbox refuses root, whose id is 0.
    """
    return {"executable_path": chromium, "args": list(_SILENT), "chromium_sandbox": user_id != 0}


def main() -> None:
    try:
        find(os.environ.get("CHROMIUM", ""))
    except NoChromiumError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
