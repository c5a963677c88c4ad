"""Writes .github/page.png, the picture of the page that the README shows."""

from __future__ import annotations

import os
import sys

from tests.local_world.aws_emulator import ROOT

from .chromium import NoChromiumError, find
from .story import played
from .visits import chromium_running

PICTURE = ROOT / ".github/page.png"


def main() -> None:
    try:
        chromium = find(os.environ.get("CHROMIUM", ""))
    except NoChromiumError as error:
        sys.exit(str(error))
    with chromium_running(chromium, os.geteuid()) as browser, played(browser) as window:
        window.page.screenshot(path=PICTURE, animations="disabled", caret="hide")


if __name__ == "__main__":
    main()
