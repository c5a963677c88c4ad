"""Commands of the local world refuse invalid options before they start or call anything."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.local_world.__main__ import main


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep `main` from setting the signal handlers of the test process."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def refusal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Return the error with which a command exits."""
    monkeypatch.setattr(sys, "argv", ["local_world", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, str)  # Python prints it, and exits with 1
    return ended.value.code


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--parameters", "Webhook=on"], "Webhook is not a parameter of template.yaml"),
        (["--parameters", "ClaimSeconds=1"], "ClaimSeconds must be at least 90, not '1'"),
    ],
)
def test_invalid_parameter_is_refused_before_anything_starts(
    options: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(monkeypatch, "up", *options).startswith(expected)


@pytest.mark.parametrize("port", ["70000", "0", "-1", "x", "4566 "])
def test_invalid_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the port to listen on, or that of a running world."""
    for name in ("up", "find"):
        option = {"up": "--port", "find": "--world"}[name]

        error = refusal(monkeypatch, name, f"{option}={port}")

        assert error == f"a port must be 1 to 65535, not {port!r}"
