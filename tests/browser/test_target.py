"""`make browser-test` fails immediately where there is no Chromium, and says how to get one."""

from __future__ import annotations

import subprocess

from tests.local_world.aws_emulator import ROOT


def test_chromium_that_cannot_be_run_ends_target_in_one_sentence() -> None:
    """Nothing else is printed before it, so nothing was installed or started."""
    done = subprocess.run(
        ["make", "--no-print-directory", "browser-test", "CHROMIUM=/no/such/browser"],  # noqa: S607 (as typed)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first == "CHROMIUM must be a program that can be run, not '/no/such/browser'"
    assert all("chromium-found" in line for line in rest)
