"""Fixtures that several tests of the layer share."""

from __future__ import annotations

from typing import Any

import boto3
import pytest


class Ssm:
    """A fake of SSM: answers with `value`, or raises it, and keeps the requests."""

    def __init__(self) -> None:
        self.value: str | Exception = ""
        self.requests: list[dict[str, Any]] = []

    def get_parameter(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (as in botocore)
        self.requests.append(arguments)
        if isinstance(self.value, Exception):
            raise self.value
        return {"Parameter": {"Value": self.value}}


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Ssm:
    """Replace `boto3.client` with one that creates this SSM only."""
    ssm = Ssm()
    clients = {"ssm": ssm}
    monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service])
    return ssm
