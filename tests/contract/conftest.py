"""DynamoDB as the emulator plays it, and a table of its own for each test."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

from infobip_omni.dynamodb import Table
from tests.local_world.aws_emulator import (
    ACCESS_KEY_ID,
    REGION,
    ROOT,
    SECRET_ACCESS_KEY,
    AwsEmulator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

NUMBERS = count()


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBClient]:
    """Run the emulator, and return a client of it that repeats nothing by itself."""
    with AwsEmulator() as emulator:
        yield boto3.client(
            "dynamodb",
            endpoint_url=emulator.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(
                parameter_validation=False, proxies={}, retries={"total_max_attempts": 1}
            ),
        )


@pytest.fixture
def table_name(dynamodb: DynamoDBClient) -> str:
    """Create an empty table with the keys and indexes of the template's, and return its name."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    properties = template["Resources"]["MessagesTable"]["Properties"]
    name = f"table-{next(NUMBERS)}"
    dynamodb.create_table(
        TableName=name,
        **{
            part: properties[part]
            for part in (
                "AttributeDefinitions",
                "BillingMode",
                "GlobalSecondaryIndexes",
                "KeySchema",
            )
        },
    )
    return name


@pytest.fixture
def table(table_name: str, dynamodb: DynamoDBClient) -> Table:
    """Return an empty table."""
    return Table(table_name, dynamodb)


@pytest.fixture
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once what DynamoDB has refused."""
    monkeypatch.setattr("infobip_omni.dynamodb._FIRST_PAUSE_SECONDS", 0)
