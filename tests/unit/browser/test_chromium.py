"""The browser tests use the Chromium that is named, or one that the machine has."""

from __future__ import annotations

import pytest

from tests.browser.chromium import NoChromiumError, find, options


def machine_with(*programs: str) -> dict[str, str]:
    """Return the paths of the programs that a machine has, by their names and paths."""
    return {name: program for program in programs for name in (program, program.rpartition("/")[2])}


@pytest.mark.parametrize(
    ("programs", "found"),
    [
        (["/usr/bin/chromium"], "/usr/bin/chromium"),
        (["/usr/bin/chromium-browser"], "/usr/bin/chromium-browser"),
        (["/usr/bin/google-chrome"], "/usr/bin/google-chrome"),
        (["/opt/google-chrome-stable"], "/opt/google-chrome-stable"),
        (["/usr/bin/google-chrome", "/usr/bin/chromium"], "/usr/bin/chromium"),
        (
            ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"],
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        ),
    ],
)
def test_chromium_of_machine_is_found(programs: list[str], found: str) -> None:
    assert find("", machine_with(*programs).get) == found


def test_named_chromium_is_preferred() -> None:
    machine = machine_with("/usr/bin/chromium", "/opt/mine")

    assert find("/opt/mine", machine.get) == "/opt/mine"


def test_named_chromium_that_cannot_be_run_is_error() -> None:
    """Another Chromium of the machine does not take its place."""
    with pytest.raises(NoChromiumError) as raised:
        find("/opt/mine", machine_with("/usr/bin/chromium").get)

    assert str(raised.value) == "CHROMIUM must be a program that can be run, not '/opt/mine'"


def test_machine_without_chromium_is_told_how_to_get_one() -> None:
    with pytest.raises(NoChromiumError) as raised:
        find("", machine_with("/usr/bin/firefox").get)

    assert str(raised.value) == (
        "There is no Chromium: install one with `apt install chromium` (Debian, Ubuntu), `dnf"
        " install chromium` (Fedora) or `brew install --cask chromium` (macOS), or name one: make"
        " browser-test CHROMIUM=/path/to/it"
    )


@pytest.mark.parametrize(("user_id", "sandbox"), [(0, False), (1000, True)])
def test_only_root_runs_without_sandbox(user_id: int, *, sandbox: bool) -> None:
    assert options("chromium", user_id)["chromium_sandbox"] is sandbox
