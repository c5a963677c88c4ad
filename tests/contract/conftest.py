"""DynamoDB as the emulator plays it, with a table for each test, and the simulator of Infobip."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from infobip_omni.api.authorization import ApiKeyCredentials, Credentials
from infobip_omni.api.client import OmniClient
from infobip_omni.dynamodb import Table
from tests.local_world.aws_emulator import AwsEmulator
from tests.local_world.clients import options, session
from tests.local_world.infobip_simulator import process
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.template import messages_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

NUMBERS = count()


def key(*, refresh: bool = False) -> Credentials:
    del refresh
    return ApiKeyCredentials(api_key="key-1")


@pytest.fixture(scope="module")
def simulator_url() -> Iterator[str]:
    with process.running("--api-key", "key-1") as url:
        yield url


@pytest.fixture
def infobip(simulator_url: str) -> SimulatorControl:
    infobip = SimulatorControl(simulator_url)
    infobip.reset()
    return infobip


@pytest.fixture
def omni(infobip: SimulatorControl) -> OmniClient:
    return OmniClient(infobip.url, key)


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[DynamoDBClient]:
    """Run the emulator, and return a client of it that never retries."""
    with AwsEmulator() as emulator:
        once = {"total_max_attempts": 1}
        unchecked = options(emulator.url, parameter_validation=False, retries=once)
        yield session().client("dynamodb", **unchecked)


@pytest.fixture
def table_name(dynamodb: DynamoDBClient) -> str:
    """Create an empty table with the keys and indexes of the template's, and return its name."""
    name = f"table-{next(NUMBERS)}"
    dynamodb.create_table(TableName=name, **messages_table())
    return name


@pytest.fixture
def table(table_name: str, dynamodb: DynamoDBClient) -> Table:
    """Return an empty table."""
    return Table(table_name, dynamodb)


@pytest.fixture
def _without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a wait what DynamoDB has refused."""
    monkeypatch.setattr("infobip_omni.dynamodb._FIRST_BACKOFF_SECONDS", 0)
