"""Fixtures of all unit tests: SQS by moto, which opens no socket, and objects built once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws
from moto.core.utils import camelcase_to_underscores
from moto.sqs.models import sqs_backends

from infobip_omni.api import client
from tests.local_world.clients import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_sqs import SQSClient


@pytest.fixture(scope="session", autouse=True)
def _one_tls_context() -> Iterator[None]:
    """Load the certificate authorities once, not for each of 200 clients that never connect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_tls_context", functools.cache(client._tls_context))  # noqa: SLF001
        yield


@pytest.fixture(scope="session", autouse=True)
def _names_of_attributes_once() -> Iterator[None]:
    """Derive moto's name of an attribute once, not for each attribute in each call of SQS."""
    with pytest.MonkeyPatch.context() as patch:
        derive = functools.cache(camelcase_to_underscores)
        patch.setattr("moto.sqs.models.camelcase_to_underscores", derive)
        yield


@pytest.fixture(scope="session")
def _sqs_client() -> SQSClient:
    """Build the client once, because that takes longer than most tests."""
    return session().client("sqs")


@pytest.fixture(scope="module")
def _sqs_of_file(_sqs_client: SQSClient) -> Iterator[SQSClient]:
    """Replace AWS once for a file: moto resets all services each time, and takes their accounts."""
    with mock_aws():
        yield _sqs_client


@pytest.fixture
def sqs(_sqs_of_file: SQSClient) -> SQSClient:
    """Return an SQS without queues."""
    sqs_backends.reset()
    return _sqs_of_file
