"""Writes .github/page.png, the picture of the page that the README shows."""

from __future__ import annotations

import os
import sys

from tests.local_world.aws_emulator import ROOT

from .chromium import NoChromiumError, find
from .story import played
from .visits import chromium_running

PICTURE = ROOT / ".github/page.png"
# Pictures that differ show a change of the page, not the time of day, or how often reports were
# asked for.
_SAME_EACH_TIME = """
Object.defineProperty(Intl.DateTimeFormat.prototype, "format", {
  get() {
    return () => (this.resolvedOptions().second === undefined ? "09:41" : "09:41:00");
  },
});
const read = Response.prototype.json;
Response.prototype.json = async function () {
  const answer = await read.call(this);
  const pages = (answer?.simulated?.reports ?? []).flatMap((report) => report.pages ?? []);
  for (const each of pages) each.page = 1;
  return answer;
};
"""


def main() -> None:
    try:
        chromium = find(os.environ.get("CHROMIUM", ""))
    except NoChromiumError as error:
        sys.exit(str(error))
    with (
        chromium_running(chromium, os.geteuid()) as browser,
        played(browser, _SAME_EACH_TIME) as window,
    ):
        window.page.screenshot(path=PICTURE, animations="disabled", caret="hide")


if __name__ == "__main__":
    main()
