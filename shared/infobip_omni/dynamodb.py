"""Batched access to one DynamoDB table.

Writes and queries are values, and only this module translates them into DynamoDB's languages.
This module repeats writes that DynamoDB throttles individually inside an answer with status 200;
botocore repeats whole requests.
"""

from __future__ import annotations

import base64
import heapq
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from infobip_omni.aws import AwsError, attempt, client_config, in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    ItemT = TypeVar("ItemT")
    AnswerT = TypeVar("AnswerT")
    WorkT = TypeVar("WorkT")

Item = dict[str, Any]
#: An item in DynamoDB's JSON: each value is stored under its type.
WireItem = dict[str, dict[str, Any]]

#: The table's keys.
MESSAGE_ID = "messageId"
ENTRY = "entry"

#: DynamoDB's codes for a failed condition: of an insert, and of an update.
DUPLICATE_ITEM = "DuplicateItem"
CONDITION_FAILED = "ConditionalCheckFailed"

#: DynamoDB's limits for one call.
_STATEMENTS_PER_CALL = 25
_WRITES_PER_CALL = 25
_READS_PER_CALL = 100
#: The limit of BatchWriteItem is 16 MB over the network, where JSON escapes characters.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
LARGEST_WRITE_BYTES = 8_000_000
_CONCURRENT_CALLS = 8
_MOST_ATTEMPTS = 6
_FIRST_BACKOFF_SECONDS = 0.05
#: No attempt starts later, so the run has time to finish when the table is down.
_SECONDS_TO_REPEAT = 10.0
_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
)
_SERIALIZER, _DESERIALIZER = TypeSerializer(), TypeDeserializer()


class TableUnavailableError(AwsError):
    """DynamoDB did not confirm a call, so a write may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Writes an item, unless an item with its key exists."""

    #: The item with its keys; members that are None are left out.
    item: Mapping[str, object] = field(repr=False)


class Comparison(StrEnum):
    """How an attribute is compared to a value."""

    EQUALS = "="
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Expectation:
    """A condition of an update; an absent attribute never meets it."""

    name: str
    value: object
    comparison: Comparison = Comparison.EQUALS


@dataclass(frozen=True, slots=True)
class Update:
    """Changes an existing item if it meets all expectations."""

    message_id: str
    entry: str
    #: The new values by attribute; None removes the attribute.
    changes: Mapping[str, object] = field(repr=False)
    expected: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one write."""

    #: None if the write was made, otherwise DynamoDB's code.
    error: str | None = None
    #: The current item, if an update's expectation has failed.
    item: Item = field(default_factory=dict, repr=False)

    @property
    def condition_failed(self) -> bool:
        """Whether the write was not made because its condition does not hold."""
        return self.error in (DUPLICATE_ITEM, CONDITION_FAILED)

    @property
    def transient(self) -> bool:
        """Whether the write can be repeated; it may have been made all the same."""
        return self.error in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Index:
    """The table or one of its indexes, with its keys; the name of the table itself is None."""

    name: str | None
    partition_key: str
    sort_key: str


TABLE_ORDER = Index(None, MESSAGE_ID, ENTRY)


@dataclass(frozen=True, slots=True)
class Query:
    """The items of one partition, in the order of their sort key.

    The table itself is read consistently; an index lags behind, and returns only keys.
    """

    partition: str
    index: Index = TABLE_ORDER
    #: The least and the greatest sort key, both inclusive; None for no bound.
    first: str | None = None
    last: str | None = None
    #: The key to start after, with all its attributes.
    after: Mapping[str, str] | None = None
    is_descending: bool = False
    #: The maximum number of items that DynamoDB reads for one answer; None for as many as fit 1 MB.
    page_size: int | None = None


class Table:
    """A table with the keys `messageId` and `entry`. It is thread-safe."""

    def __init__(self, name: str, client: DynamoDBClient | None = None) -> None:
        self.name = name
        self._client = client or boto3.client(
            "dynamodb",
            config=client_config(
                max_pool_connections=2 * _CONCURRENT_CALLS,
                # Every call is built here from valid values; botocore's check would cost a third.
                parameter_validation=False,
            ),
        )
        self._pool = ThreadPoolExecutor(_CONCURRENT_CALLS, thread_name_prefix="dynamodb")

    def execute(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        """Make independent writes.

        Args:
            writes: The writes, each to a different item.

        Returns:
            An answer for each, in order. A transient error has outlasted all retries.
        """
        answers = [Answer("ThrottlingError")] * len(writes)

        def execute(left: list[int]) -> list[int]:
            batches = list(in_batches(left, _STATEMENTS_PER_CALL))
            calls = ([writes[index] for index in batch] for batch in batches)
            for batch, results in zip(batches, self._each(self._execute_batch, calls), strict=True):
                for index, answer in zip(batch, results, strict=True):
                    answers[index] = answer
            return [index for index in left if answers[index].transient]

        _retry(list(range(len(writes))), execute)
        return answers

    def put_all(self, items: Iterable[Item]) -> None:
        """Write items, replacing existing ones; of several with the same key, the last counts.

        Raises:
            TableUnavailableError: Some of the items were not written.
        """
        by_key = {(item[MESSAGE_ID], item[ENTRY]): item for item in items}

        def put(left: list[Any]) -> list[Any]:
            batches = in_batches(left, _WRITES_PER_CALL, LARGEST_WRITE_BYTES, _bytes_on_wire)
            return [one for rest in self._each(self._write_batch, batches) for one in rest]

        left = _retry([{"PutRequest": {"Item": to_wire(item)}} for item in by_key.values()], put)
        if left:
            raise TableUnavailableError(f"{len(left)} of {len(by_key)} items were not written")

    def get_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Read items consistently.

        Args:
            keys: Message ids and entries.

        Returns:
            The items by their key; missing ones are left out.

        Raises:
            TableUnavailableError: Some of the items could not be read.
        """
        found: dict[tuple[str, str], Item] = {}

        def get(left: list[WireItem]) -> list[WireItem]:
            unread: list[WireItem] = []
            for items, rest in self._each(self._read_batch, in_batches(left, _READS_PER_CALL)):
                found.update({(item[MESSAGE_ID], item[ENTRY]): item for item in items})
                unread += rest
            return unread

        wanted = [
            to_wire({MESSAGE_ID: message_id, ENTRY: entry})
            for message_id, entry in dict.fromkeys(keys)
        ]
        left = _retry(wanted, get)
        if left:
            raise TableUnavailableError(f"{len(left)} items were not read")
        return found

    def query(self, query: Query) -> Iterator[Item]:
        """Yield the items of a query, page after page.

        Raises:
            TableUnavailableError: A page could not be read.
        """
        return self._items(query, self._query_page(query))

    def query_merged(self, queries: Sequence[Query]) -> Iterator[Item]:
        """Read the items of several queries as one, in the order of the sort key.

        The queries are of one index and in one direction. The first pages are read concurrently.

        Raises:
            TableUnavailableError: A page could not be read.
        """
        pages = self._each(self._query_page, queries)
        items = (self._items(query, page) for query, page in zip(queries, pages, strict=True))
        order = itemgetter(queries[0].index.sort_key)
        return heapq.merge(*items, key=order, reverse=queries[0].is_descending)

    def delete(self, message_id: str, entry: str) -> None:
        """Delete one item.

        Raises:
            TableUnavailableError: The item may still exist.
        """
        key = to_wire({MESSAGE_ID: message_id, ENTRY: entry})
        attempt(
            lambda: self._client.delete_item(TableName=self.name, Key=key),
            TableUnavailableError,
            "DynamoDB did not delete it",
        )

    def _items(self, query: Query, page: Any) -> Iterator[Item]:  # noqa: ANN401 (botocore's answer)
        """Yield the items of a query, of which the first page has been read."""
        while True:
            yield from map(from_wire, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            page = self._query_page(query, page["LastEvaluatedKey"])

    def _query_page(self, query: Query, after: WireItem | None = None) -> Any:  # noqa: ANN401 (botocore's answer)
        arguments = _query_arguments(query) | {"TableName": self.name}
        if after is not None:
            arguments["ExclusiveStartKey"] = after
        return attempt(
            lambda: self._client.query(**arguments),
            TableUnavailableError,
            "DynamoDB did not read them",
        )

    def _each(
        self, call: Callable[[ItemT], AnswerT], batches: Iterable[ItemT]
    ) -> Iterable[AnswerT]:
        batches = list(batches)
        # A single call needs no thread.
        return [call(batches[0])] if len(batches) == 1 else self._pool.map(call, batches)

    def _execute_batch(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        request = [_statement(self.name, write) for write in writes]
        try:
            answer = attempt(
                lambda: self._client.batch_execute_statement(Statements=request),
                TableUnavailableError,
                "DynamoDB did not do it",
            )
        except TableUnavailableError:
            # The writes may have been made all the same; callers recognise their own.
            return [Answer("InternalServerError")] * len(writes)
        return [_answer(response) for response in answer["Responses"]]

    def _write_batch(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Write a batch, and return the requests that DynamoDB has not processed."""
        answer = attempt(
            lambda: self._client.batch_write_item(RequestItems={self.name: requests}),
            TableUnavailableError,
            "DynamoDB did not write them",
        )
        unprocessed: Any = answer.get("UnprocessedItems", {})
        left: list[Any] = unprocessed.get(self.name, [])
        return left

    def _read_batch(self, keys: Sequence[Any]) -> tuple[list[Item], Sequence[Any]]:
        """Read a batch; return the items, and the keys that DynamoDB has not processed."""
        request: Any = {self.name: {"Keys": keys, "ConsistentRead": True}}
        answer: Any = attempt(
            lambda: self._client.batch_get_item(RequestItems=request),
            TableUnavailableError,
            "DynamoDB did not read them",
        )
        items = [from_wire(item) for item in answer["Responses"].get(self.name, [])]
        return items, answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])


def to_wire(item: Mapping[str, object]) -> WireItem:
    """Convert an item to DynamoDB's JSON; members that are None are left out."""
    wire: WireItem = {}
    for name, value in item.items():
        if value is not None:
            wire[name] = dict(_serialize(value))
    return wire


def from_wire(item: Mapping[str, Any]) -> Item:
    """Convert an item from DynamoDB's JSON; numbers become Decimal."""
    return {name: _deserialize(value) for name, value in item.items()}


def _serialize(value: object) -> Any:  # noqa: ANN401 (one of botocore's nested shapes)
    """Convert a value; most are strings, which boto3 recognises only after several other checks."""
    return {"S": value} if type(value) is str else _SERIALIZER.serialize(value)


def _deserialize(value: Any) -> Any:  # noqa: ANN401 (one of botocore's nested shapes)
    return value["S"] if "S" in value else _DESERIALIZER.deserialize(value)


def _statement(table_name: str, write: Insert | Update) -> Any:  # noqa: ANN401 (one of botocore's nested shapes)
    """Build a statement in PartiQL, DynamoDB's SQL."""
    if isinstance(write, Insert):
        members = {name: value for name, value in write.item.items() if value is not None}
        names = ", ".join(f"'{name}': ?" for name in members)
        return {
            "Statement": f'INSERT INTO "{table_name}" VALUE {{{names}}}',
            "Parameters": [_serialize(value) for value in members.values()],
        }
    kept = {name: value for name, value in write.changes.items() if value is not None}
    clauses = [f'SET "{name}" = ?' for name in kept]
    clauses += [f'REMOVE "{name}"' for name in write.changes if name not in kept]
    entry = write.entry.replace("'", "''")
    conditions = [f'"{MESSAGE_ID}" = ?', f"\"{ENTRY}\" = '{entry}'"]
    conditions += [f'"{each.name}" {each.comparison} ?' for each in write.expected]
    values = [*kept.values(), write.message_id, *(each.value for each in write.expected)]
    return {
        "Statement": f'UPDATE "{table_name}" {" ".join(clauses)} WHERE {" AND ".join(conditions)}',
        "Parameters": [_serialize(value) for value in values],
        # Documented for conditions that fail; an INSERT has none.
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _query_arguments(query: Query) -> dict[str, Any]:
    """Build the parameters of DynamoDB's Query."""
    index = query.index
    condition = f"{index.partition_key} = :partition"
    match query.first, query.last:
        case None, None:
            pass
        case _, None:
            condition += f" AND {index.sort_key} >= :first"
        case None, _:
            condition += f" AND {index.sort_key} <= :last"
        case _:
            condition += f" AND {index.sort_key} BETWEEN :first AND :last"
    values = {":partition": query.partition, ":first": query.first, ":last": query.last}
    arguments: dict[str, Any] = {
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": to_wire(values),
    }
    if index.name is None:
        arguments["ConsistentRead"] = True
    else:
        arguments["IndexName"] = index.name
    if query.is_descending:
        arguments["ScanIndexForward"] = False
    if query.page_size is not None:
        arguments["Limit"] = query.page_size
    if query.after is not None:
        arguments["ExclusiveStartKey"] = to_wire(query.after)
    return arguments


def _bytes_on_wire(request: Any) -> int:  # noqa: ANN401 (one of botocore's nested shapes)
    """Return the size of a write as botocore sends it: JSON in ASCII, binary values in base64."""
    return len(json.dumps(request, default=lambda value: base64.b64encode(bytes(value)).decode()))


def _answer(response: Any) -> Answer:  # noqa: ANN401 (one of botocore's nested shapes)
    error = response.get("Error")
    if error is None:
        return Answer()
    return Answer(error["Code"], from_wire(error.get("Item", {})))


def _retry(left: list[WorkT], call: Callable[[list[WorkT]], list[WorkT]]) -> list[WorkT]:
    """Call repeatedly with the rest of the last call, until nothing is left or time is up.

    Args:
        left: The work.
        call: Does a part of the work, and returns the rest.

    Returns:
        The work that was not done.
    """
    deadline = time.monotonic() + _SECONDS_TO_REPEAT
    for backoff in _backoffs():
        if not left or time.monotonic() > deadline:
            break
        time.sleep(backoff)
        left = call(left)
    return left


def _backoffs() -> Iterator[float]:
    """Yield the seconds to wait before each attempt: none, then doubling ones with jitter."""
    yield 0.0
    for number in range(_MOST_ATTEMPTS - 1):
        yield _FIRST_BACKOFF_SECONDS * 2**number * random.uniform(0.75, 1)  # noqa: S311 (no secret)
