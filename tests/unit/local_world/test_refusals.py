"""What a command of the local world refuses before it starts or asks anything."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.local_world.__main__ import main


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signals of these tests alone."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Return the sentence with which a command ends."""
    monkeypatch.setattr(sys, "argv", ["local_world", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, str)  # Python prints it, and exits with 1
    return ended.value.code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parameters", "Webhook=on"], "Webhook is not a parameter of template.yaml"),
        (["--parameters", "ClaimSeconds=1"], "ClaimSeconds must be at least 90, not '1'"),
    ],
)
def test_wrong_parameter_is_told_before_anything_starts(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence that names it and its rule."""
    assert refusal(monkeypatch, "up", *options).startswith(said)


@pytest.mark.parametrize("port", ["70000", "0", "-1", "x", "4566 "])
def test_port_that_is_none_is_told(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rule, whether it is to listen on or names a world."""
    for name in ("up", "find"):
        option = {"up": "--port", "find": "--world"}[name]

        said = refusal(monkeypatch, name, f"{option}={port}")

        assert said == f"a port must be 1 to 65535, not {port!r}"
