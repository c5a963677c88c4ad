"""What several tests of the layer stand on."""

from __future__ import annotations

from typing import Any

import boto3
import pytest


class Ssm:
    """What SSM would answer, and how often it was asked."""

    def __init__(self) -> None:
        self.value: str | Exception = ""
        self.requests: list[dict[str, Any]] = []

    def get_parameter(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (as in botocore)
        """Answer, or raise."""
        self.requests.append(arguments)
        if isinstance(self.value, Exception):
            raise self.value
        return {"Parameter": {"Value": self.value}}


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Ssm:
    """Let it be the only client of AWS that can be made."""
    ssm = Ssm()
    clients = {"ssm": ssm}
    monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service])
    return ssm
