"""What several tests of the layer stand on."""

from __future__ import annotations

from typing import Any

import botocore.client
import pytest


class Ssm:
    """What SSM would answer, and how often it was asked."""

    def __init__(self) -> None:
        self.value: str | Exception = ""
        self.requests: list[dict[str, Any]] = []

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Stand in for botocore's call of an operation."""
        assert operation == "GetParameter"
        self.requests.append(arguments)
        if isinstance(self.value, Exception):
            raise self.value
        return {"Parameter": {"Value": self.value}}


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Ssm:
    """Put SSM behind botocore."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    ssm = Ssm()
    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", ssm.call)
    return ssm
