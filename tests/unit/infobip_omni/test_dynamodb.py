"""What goes out to DynamoDB keeps within what one call may hold."""

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
    """A DynamoDB that takes everything, and remembers its calls."""

    def __init__(self) -> None:
        self.statements: list[Any] = []
        self.writes: list[Any] = []
        self.queries: list[Any] = []

    def batch_execute_statement(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        """Execute nothing."""
        self.statements += arguments["Statements"]
        return {"Responses": [{} for _ in arguments["Statements"]]}

    def batch_write_item(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        """Write nothing."""
        self.writes.append(arguments["RequestItems"])
        return {}

    def query(self, **arguments: Any) -> Any:  # noqa: ANN401 (as boto3's)
        """Find nothing."""
        self.queries.append(arguments)
        return {"Items": []}


@pytest.fixture
def dynamodb() -> Any:  # noqa: ANN401 (it stands for a client of boto3)
    """Return a DynamoDB that takes everything."""
    return FakeDynamoDB()


def bytes_of(request: object) -> int:
    """Count the bytes of a request as botocore writes it."""
    return len(json.dumps(request, default=lambda one: base64.b64encode(bytes(one)).decode()))


def test_only_an_update_asks_for_the_item_that_fails_its_condition(dynamodb: Any) -> None:  # noqa: ANN401
    """An INSERT has no condition, and nobody has promised what DynamoDB makes of the question."""
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


def test_insert_names_all_members_that_have_a_value(dynamodb: Any) -> None:  # noqa: ANN401
    """PartiQL's INSERT fails where there is an item with the key."""
    item = {"messageId": "m-1", "entry": "MESSAGE", "gone": None, "tries": 1}
    Table("messages", dynamodb).execute([Insert(item)])

    assert dynamodb.statements == [
        {
            "Statement": "INSERT INTO \"messages\" VALUE {'messageId': ?, 'entry': ?, 'tries': ?}",
            "Parameters": [{"S": "m-1"}, {"S": "MESSAGE"}, {"N": "1"}],
        }
    ]


def test_update_sets_and_removes_what_is_as_expected(dynamodb: Any) -> None:  # noqa: ANN401
    """Values go as parameters; the entry, which is one of ours, is part of the text."""
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
def test_query_has_the_bounds_that_it_was_given(
    dynamodb: Any,  # noqa: ANN401
    bounds: dict[str, Any],
    condition: str,
) -> None:
    """Both are included; the table itself is read consistently."""
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


def test_index_is_read_from_a_place_on_and_backwards(dynamodb: Any) -> None:  # noqa: ANN401
    """An index has no consistent reads."""
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
def test_writes_of_the_largest_items_keep_within_a_call(value: str | bytes, dynamodb: Any) -> None:  # noqa: ANN401
    """A page of reports may hold a hundred of them, and JSON makes some six times as large."""
    items = [{"messageId": "m", "entry": f"{number}", "raw": value} for number in range(60)]

    Table("messages", dynamodb).put_all(items)

    assert sum(len(call["messages"]) for call in dynamodb.writes) == 60
    assert max(map(bytes_of, dynamodb.writes)) < MOST_BYTES


def test_small_items_go_out_25_at_a_time(dynamodb: Any) -> None:  # noqa: ANN401
    """Counting bytes costs no calls."""
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
def test_no_round_begins_when_the_time_for_repeats_is_up(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    refusal: Any,  # noqa: ANN401
    use: Callable[[Table], object],
) -> None:
    """A slow DynamoDB that takes nothing must not use up the time of a run."""
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


def test_item_of_the_largest_size_is_less_than_a_call() -> None:
    """So that no item needs a call that is too large: a character takes six bytes at most."""
    assert LARGEST_ITEM * 6 < LARGEST_WRITE_BYTES


def test_neither_a_write_nor_an_answer_shows_what_it_holds() -> None:
    """An item holds addresses and what the caller has written."""
    item = {"to": {"phoneNumber": "385991234567"}}
    texts = map(repr, (Insert(item), Update("id", "MESSAGE", item, ()), Answer("x", item)))

    assert "385991234567" not in "".join(texts)
