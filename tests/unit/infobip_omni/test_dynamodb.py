"""Calls of DynamoDB have the documented form, and keep within its limits."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni import dynamodb as module
from infobip_omni.dynamodb import (
    LARGEST_WRITE_BYTES,
    Answer,
    Comparison,
    Expectation,
    Index,
    Insert,
    Query,
    Table,
    TableUnavailableError,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: AWS's limits for a call of BatchWriteItem, in bytes, and for an item.
MOST_BYTES = 16_000_000
LARGEST_ITEM = 409_600


class FakeDynamoDB:
    """A fake DynamoDB that accepts every call and keeps it."""

    def __init__(self) -> None:
        self.statements: list[Any] = []
        self.writes: list[Any] = []
        self.queries: list[Any] = []

    def batch_execute_statement(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        self.statements += arguments["Statements"]
        return {"Responses": [{} for _ in arguments["Statements"]]}

    def batch_write_item(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        self.writes.append(arguments["RequestItems"])
        return {}

    def query(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        self.queries.append(arguments)
        return {"Items": []}


@pytest.fixture
def dynamodb() -> Any:  # noqa: ANN401 (a fake client of boto3)
    return FakeDynamoDB()


def bytes_of(request: object) -> int:
    """Return the size of a request in bytes, serialized as botocore does."""
    return len(json.dumps(request, default=lambda one: base64.b64encode(bytes(one)).decode()))


def test_only_update_requests_the_item_that_fails_its_condition(dynamodb: Any) -> None:  # noqa: ANN401
    """An INSERT has no condition, and AWS does not document what the option does for it."""
    Table("messages", dynamodb).execute(
        [
            Insert({"messageId": "m-1"}),
            Update("m-1", "MESSAGE", {"state": "A"}, ()),
        ]
    )

    assert [one.get("ReturnValuesOnConditionCheckFailure") for one in dynamodb.statements] == [
        None,
        "ALL_OLD",
    ]


def test_insert_names_all_members_with_value(dynamodb: Any) -> None:  # noqa: ANN401
    """PartiQL's INSERT fails if the table has an item with the same key."""
    item = {"messageId": "m-1", "entry": "MESSAGE", "gone": None, "tries": 1}
    Table("messages", dynamodb).execute([Insert(item)])

    assert dynamodb.statements == [
        {
            "Statement": "INSERT INTO \"messages\" VALUE {'messageId': ?, 'entry': ?, 'tries': ?}",
            "Parameters": [{"S": "m-1"}, {"S": "MESSAGE"}, {"N": "1"}],
        }
    ]


def test_update_has_changes_and_conditions(dynamodb: Any) -> None:  # noqa: ANN401
    """Values are parameters; the entry, whose name is our own, is part of the statement."""
    expected = (Expectation("state", "A"), Expectation("rank", "5", Comparison.BELOW))
    update = Update("m-1", "it's", {"state": "B", "gone": None, "tries": 2}, expected)
    Table("messages", dynamodb).execute([update])

    assert dynamodb.statements == [
        {
            "Statement": 'UPDATE "messages" SET "state" = ? SET "tries" = ? REMOVE "gone"'
            ' WHERE "messageId" = ? AND "entry" = \'it\'\'s\' AND "state" = ? AND "rank" < ?',
            "Parameters": [{"S": "B"}, {"N": "2"}, {"S": "m-1"}, {"S": "A"}, {"S": "5"}],
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    ]


@pytest.mark.parametrize(
    ("bounds", "condition"),
    [
        ({}, "messageId = :partition"),
        ({"first": "A"}, "messageId = :partition AND entry >= :first"),
        ({"last": "B"}, "messageId = :partition AND entry <= :last"),
        (
            {"first": "A", "last": "B"},
            "messageId = :partition AND entry BETWEEN :first AND :last",
        ),
    ],
)
def test_query_has_given_bounds(
    dynamodb: Any,  # noqa: ANN401
    bounds: dict[str, Any],
    condition: str,
) -> None:
    """Both bounds are inclusive, and reads of the table are consistent."""
    list(Table("messages", dynamodb).query(Query("m-1", **bounds)))

    values = {f":{name}": {"S": bound} for name, bound in bounds.items()}
    assert dynamodb.queries == [
        {
            "TableName": "messages",
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":partition": {"S": "m-1"}} | values,
            "ConsistentRead": True,
        }
    ]


def test_query_of_index_starts_after_key_and_descends(dynamodb: Any) -> None:  # noqa: ANN401
    """A global secondary index has no consistent reads."""
    index = Index("ByName", "name", "madeAt")
    place = {"messageId": "m-1", "entry": "MESSAGE", "name": "a", "madeAt": "1"}
    query = Query("a", index, after=place, is_descending=True, page_size=7)
    list(Table("messages", dynamodb).query(query))

    assert dynamodb.queries == [
        {
            "TableName": "messages",
            "IndexName": "ByName",
            "KeyConditionExpression": "name = :partition",
            "ExpressionAttributeValues": {":partition": {"S": "a"}},
            "ExclusiveStartKey": {name: {"S": value} for name, value in place.items()},
            "ScanIndexForward": False,
            "Limit": 7,
        }
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 350_000, id="plain"),
        pytest.param('"' * 350_000, id="quotes"),
        pytest.param("\x01" * 350_000, id="control-characters"),
        pytest.param("\u0161" * 175_000, id="two-bytes"),
        pytest.param("\U0001f600" * 87_500, id="four-bytes"),
        pytest.param(b"\xff" * 350_000, id="binary"),
    ],
)
def test_writes_of_largest_items_keep_within_call(value: str | bytes, dynamodb: Any) -> None:  # noqa: ANN401
    """A page of reports may hold a hundred such items, and JSON makes some six times as large."""
    items = [{"messageId": "m", "entry": f"{number}", "raw": value} for number in range(60)]

    Table("messages", dynamodb).put_all(items)

    assert sum(len(call["messages"]) for call in dynamodb.writes) == 60
    assert max(map(bytes_of, dynamodb.writes)) < MOST_BYTES


def test_small_items_are_written_25_per_call(dynamodb: Any) -> None:  # noqa: ANN401
    """Counting bytes causes no further calls."""
    Table("messages", dynamodb).put_all(
        {"messageId": "m", "entry": f"{number}", "raw": "x" * 1000} for number in range(60)
    )

    assert sorted(len(call["messages"]) for call in dynamodb.writes) == [10, 25, 25]


@pytest.mark.parametrize(
    ("method", "refusal", "use"),
    [
        (
            "batch_execute_statement",
            {"Responses": [{"Error": {"Code": "ThrottlingError"}}]},
            lambda table: table.execute([Insert({"messageId": "m-1"})]),
        ),
        (
            "batch_write_item",
            {"UnprocessedItems": {"messages": [{}]}},
            lambda table: table.put_all([{"messageId": "m-1", "entry": "MESSAGE"}]),
        ),
        (
            "batch_get_item",
            {"Responses": {}, "UnprocessedKeys": {"messages": {"Keys": [{}]}}},
            lambda table: table.get_all([("m-1", "MESSAGE")]),
        ),
    ],
    ids=["execute", "put", "get"],
)
def test_no_attempt_begins_after_the_time_for_retries(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    refusal: Any,  # noqa: ANN401
    use: Callable[[Table], object],
) -> None:
    """A slow DynamoDB that accepts nothing must not use up the time of an invocation."""
    now = [0.0]
    calls: list[float] = []

    def refuse(**_: object) -> Any:  # noqa: ANN401 (as boto3's)
        calls.append(now[0])
        now[0] += 6
        return refusal

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None)
    monkeypatch.setattr(module, "time", clock)
    client: Any = SimpleNamespace(**{method: refuse})
    with suppress(TableUnavailableError):
        use(Table("messages", client))

    assert calls == [0, 6]


def test_largest_item_fits_into_call() -> None:
    """A character takes at most six bytes in JSON."""
    assert LARGEST_ITEM * 6 < LARGEST_WRITE_BYTES


def test_writes_and_answers_show_no_content() -> None:
    """An item holds addresses and the caller's texts."""
    item = {"to": {"phoneNumber": "385991234567"}}
    texts = map(repr, (Insert(item), Update("id", "MESSAGE", item, ()), Answer("x", item)))

    assert "385991234567" not in "".join(texts)
