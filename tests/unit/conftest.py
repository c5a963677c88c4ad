"""SQS as moto plays it, which opens no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs import SQSClient


@pytest.fixture(scope="session")
def _sqs_client() -> SQSClient:
    """Make the client once, since making one takes longer than most tests."""
    return boto3.Session("testing", "testing", region_name="eu-central-1").client("sqs")


@pytest.fixture
def sqs(_sqs_client: SQSClient) -> Iterator[SQSClient]:
    """Return an SQS without queues."""
    with mock_aws():
        yield _sqs_client
