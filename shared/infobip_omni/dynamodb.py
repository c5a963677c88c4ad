"""One DynamoDB table, spoken to in batches.

What is to be written, or read, is a value: only this module puts it into DynamoDB's languages.
Writes that DynamoDB throttles one by one inside an answer of 200 are repeated here; whole requests
are repeated by botocore.
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
#: An item as the wire has it: each value under its type.
WireItem = dict[str, dict[str, Any]]

#: The table's keys.
MESSAGE_ID = "messageId"
ENTRY = "entry"

#: DynamoDB's codes for a write whose condition does not hold: an insert's, and an update's.
DUPLICATE_ITEM = "DuplicateItem"
CONDITION_FAILED = "ConditionalCheckFailed"

#: DynamoDB's limits for one call.
_STATEMENTS_PER_CALL = 25
_WRITES_PER_CALL = 25
_READS_PER_CALL = 100
#: A call of BatchWriteItem may carry 16 MB over the network, where JSON escapes what it must.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
LARGEST_WRITE_BYTES = 8_000_000
_CONCURRENT_CALLS = 8
_ROUNDS = 6
_FIRST_BACKOFF_SECONDS = 0.05
#: No round begins later, so that a run has time to end well when the table is down.
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
_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class TableUnavailableError(AwsError):
    """DynamoDB did not do it, or did not say so: a write may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Writes an item, unless there is one with its key."""

    #: With its keys; members without a value are left out.
    item: Mapping[str, object] = field(repr=False)


class Comparison(StrEnum):
    """How an attribute compares to a value."""

    EQUALS = "="
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an attribute must be for an update to be made; an absent one is as nothing expects."""

    name: str
    value: object
    comparison: Comparison = Comparison.EQUALS


@dataclass(frozen=True, slots=True)
class Update:
    """Changes an item that is there, as long as it is as expected."""

    message_id: str
    entry: str
    #: By attribute; None removes it.
    changes: Mapping[str, object] = field(repr=False)
    expected: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one write."""

    #: None when it was made, else DynamoDB's code.
    error: str | None = None
    #: The item as it is, where an update's expectation has failed.
    item: Item = field(default_factory=dict, repr=False)

    @property
    def condition_failed(self) -> bool:
        """Whether the write was not made, since the item is not as it expects."""
        return self.error in (DUPLICATE_ITEM, CONDITION_FAILED)

    @property
    def transient(self) -> bool:
        """Whether the write failed for now, and perhaps only seemingly."""
        return self.error in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Index:
    """An order in which items can be read, by its keys; its name is None for the table's own."""

    name: str | None
    partition_key: str
    sort_key: str


TABLE_ORDER = Index(None, MESSAGE_ID, ENTRY)


@dataclass(frozen=True, slots=True)
class Query:
    """The items of one partition, in the order of their sort key.

    The table itself is read consistently; of an index, which lags behind, only keys are read.
    """

    partition: str
    index: Index = TABLE_ORDER
    #: The least and the greatest sort key that are wanted, both included; None is no bound.
    first: str | None = None
    last: str | None = None
    #: The key after which to begin, with all its attributes.
    after: Mapping[str, str] | None = None
    is_descending: bool = False
    #: How many items DynamoDB reads for one answer at most; None is as many as a megabyte holds.
    page_size: int | None = None


class Table:
    """A table whose keys are `messageId` and `entry`. Usable from several threads."""

    def __init__(self, name: str, client: DynamoDBClient | None = None) -> None:
        self.name = name
        self._client = client or boto3.client(
            "dynamodb",
            config=client_config(
                max_pool_connections=2 * _CONCURRENT_CALLS,
                # Every call is built here from checked values; checking again costs a third.
                parameter_validation=False,
            ),
        )
        self._pool = ThreadPoolExecutor(_CONCURRENT_CALLS, thread_name_prefix="dynamodb")

    def execute(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        """Make independent writes, none of which names the item of another.

        Returns:
            An answer for each, in order. A transient error has outlasted all repeats.
        """
        answers = [Answer("ThrottlingError")] * len(writes)

        def execute(left: list[int]) -> list[int]:
            batches = list(in_batches(left, _STATEMENTS_PER_CALL))
            calls = ([writes[index] for index in batch] for batch in batches)
            for batch, results in zip(batches, self._each(self._execute_batch, calls), strict=True):
                for index, answer in zip(batch, results, strict=True):
                    answers[index] = answer
            return [index for index in left if answers[index].transient]

        _in_rounds(list(range(len(writes))), execute)
        return answers

    def put_all(self, items: Iterable[Item]) -> None:
        """Write items over whatever is there; of several with one key, the last counts.

        Raises:
            TableUnavailableError: Some of the items were not written.
        """
        by_key = {(item[MESSAGE_ID], item[ENTRY]): item for item in items}

        def put(left: list[Any]) -> list[Any]:
            batches = in_batches(left, _WRITES_PER_CALL, LARGEST_WRITE_BYTES, _bytes_on_wire)
            return [one for rest in self._each(self._write_batch, batches) for one in rest]

        left = _in_rounds(
            [{"PutRequest": {"Item": to_wire(item)}} for item in by_key.values()], put
        )
        if left:
            raise TableUnavailableError(f"{len(left)} of {len(by_key)} items were not written")

    def get_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Read items consistently, by message id and entry; missing ones are left out.

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
        left = _in_rounds(wanted, get)
        if left:
            raise TableUnavailableError(f"{len(left)} items were not read")
        return found

    def query(self, query: Query) -> Iterator[Item]:
        """Read the items of a query, page after page.

        Raises:
            TableUnavailableError: A page could not be read.
        """
        return self._items(query, self._query_page(query))

    def query_merged(self, queries: Sequence[Query]) -> Iterator[Item]:
        """Read the items of several queries of one index as one, in the order of its sort key.

        The first pages are read concurrently.

        Raises:
            TableUnavailableError: A page could not be read.
        """
        pages = self._each(self._query_page, queries)
        items = (self._items(query, page) for query, page in zip(queries, pages, strict=True))
        return heapq.merge(*items, key=itemgetter(queries[0].index.sort_key))

    def delete(self, message_id: str, entry: str) -> None:
        """Delete one item.

        Raises:
            TableUnavailableError: It may still be there.
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
        # A thread for a single call would only cost.
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
            # Perhaps executed all the same: callers recognise their own writes.
            return [Answer("InternalServerError")] * len(writes)
        return [_answer(response) for response in answer["Responses"]]

    def _write_batch(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Write a batch and return what DynamoDB has left over."""
        answer = attempt(
            lambda: self._client.batch_write_item(RequestItems={self.name: requests}),
            TableUnavailableError,
            "DynamoDB did not write them",
        )
        unprocessed: Any = answer.get("UnprocessedItems", {})
        left: list[Any] = unprocessed.get(self.name, [])
        return left

    def _read_batch(self, keys: Sequence[Any]) -> tuple[list[Item], Sequence[Any]]:
        """Read a batch; return the items, and the keys that DynamoDB has left over."""
        request: Any = {self.name: {"Keys": keys, "ConsistentRead": True}}
        answer: Any = attempt(
            lambda: self._client.batch_get_item(RequestItems=request),
            TableUnavailableError,
            "DynamoDB did not read them",
        )
        items = [from_wire(item) for item in answer["Responses"].get(self.name, [])]
        return items, answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])


def to_wire(item: Mapping[str, object]) -> WireItem:
    """Write each value under its type; members without a value are left out."""
    wire: WireItem = {}
    for name, value in item.items():
        if value is not None:
            wire[name] = dict(_serialize(value))
    return wire


def from_wire(item: Mapping[str, Any]) -> Item:
    """Read what `to_wire` has written; numbers are Decimal."""
    return {name: _deserialize(value) for name, value in item.items()}


def _statement(table_name: str, write: Insert | Update) -> Any:  # noqa: ANN401 (one of botocore's nested shapes)
    """Write a statement in PartiQL, DynamoDB's SQL."""
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
        # Documented for a condition that fails, which an INSERT has none of.
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _query_arguments(query: Query) -> dict[str, Any]:
    """Write the parameters of DynamoDB's Query."""
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
    """Count the bytes of a write as botocore sends it: JSON in ASCII, binary values in base64."""
    return len(json.dumps(request, default=lambda value: base64.b64encode(bytes(value)).decode()))


def _answer(response: Any) -> Answer:  # noqa: ANN401 (one of botocore's nested shapes)
    error = response.get("Error")
    if error is None:
        return Answer()
    return Answer(error["Code"], from_wire(error.get("Item", {})))


def _in_rounds(left: list[WorkT], call: Callable[[list[WorkT]], list[WorkT]]) -> list[WorkT]:
    """Make a call about what the last one has left over, until that is nothing or the time is up.

    Args:
        left: What is to be done.
        call: Does what it can of that, and returns the rest.

    Returns:
        What is not done.
    """
    deadline = time.monotonic() + _SECONDS_TO_REPEAT
    for backoff in _backoffs():
        if not left or time.monotonic() > deadline:
            break
        time.sleep(backoff)
        left = call(left)
    return left


def _backoffs() -> Iterator[float]:
    """Yield the seconds to wait before each round: none, then doubling ones with jitter."""
    yield 0.0
    for number in range(_ROUNDS - 1):
        yield _FIRST_BACKOFF_SECONDS * 2**number * random.uniform(0.75, 1)  # noqa: S311 (no secret)
