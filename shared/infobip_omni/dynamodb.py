"""One DynamoDB table, spoken to in batches.

Statements that DynamoDB throttles one by one inside an answer of 200 are repeated here; whole
requests are repeated by botocore.
"""

from __future__ import annotations

import base64
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from infobip_omni.aws import client_config, error_code, in_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    ItemT = TypeVar("ItemT")
    AnswerT = TypeVar("AnswerT")

Item = dict[str, Any]
#: An item as the wire has it: each value under its type.
WireItem = dict[str, dict[str, Any]]

#: DynamoDB's limits for one call.
_STATEMENTS_PER_CALL = 25
_WRITES_PER_CALL = 25
_READS_PER_CALL = 100
#: A call of BatchWriteItem may carry 16 MB over the network, where JSON escapes what it must.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
LARGEST_WRITE_BYTES = 8_000_000
_CONCURRENT_CALLS = 8
_ROUNDS = 6
_FIRST_PAUSE_SECONDS = 0.05
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


class TableUnavailableError(Exception):
    """DynamoDB did not do it, or did not say so: a write may or may not have happened."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One PartiQL statement and its parameters."""

    text: str
    parameters: Sequence[object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one statement."""

    #: None when it was executed, else DynamoDB's code, like ``DuplicateItem``.
    error: str | None = None
    #: The item as it is, where a condition has failed.
    item: Item = field(default_factory=dict)

    @property
    def transient(self) -> bool:
        """Whether the statement failed for now, and perhaps only seemingly."""
        return self.error in _TRANSIENT


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

    def execute(self, statements: Sequence[Statement]) -> list[Answer]:
        """Execute independent statements, none of which names the item of another.

        Returns:
            An answer for each, in order. A transient error has outlasted all repeats.
        """
        answers = [Answer("ThrottlingError")] * len(statements)
        left = list(range(len(statements)))
        deadline = time.monotonic() + _SECONDS_TO_REPEAT
        for pause in _pauses():
            time.sleep(pause)
            batches = list(in_batches(left, _STATEMENTS_PER_CALL))
            calls = ([statements[index] for index in batch] for batch in batches)
            for batch, results in zip(batches, self._each(self._execute_batch, calls), strict=True):
                for index, answer in zip(batch, results, strict=True):
                    answers[index] = answer
            left = [index for index in left if answers[index].transient]
            if not left or time.monotonic() > deadline:
                break
        return answers

    def put_all(self, items: Iterable[Item]) -> None:
        """Write items over whatever is there; of several with one key, the last counts.

        Raises:
            TableUnavailableError: Some of the items were not written.
        """
        by_key = {(item["messageId"], item["entry"]): item for item in items}
        left = [{"PutRequest": {"Item": to_wire(item)}} for item in by_key.values()]
        for pause in _pauses():
            if not left:
                return
            time.sleep(pause)
            batches = list(in_batches(left, _WRITES_PER_CALL, LARGEST_WRITE_BYTES, _bytes_on_wire))
            left = [one for rest in self._each(self._write_batch, batches) for one in rest]
        if left:
            raise TableUnavailableError(f"{len(left)} of {len(by_key)} items were not written")

    def get_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Read items consistently, by message id and entry; missing ones are left out.

        Raises:
            TableUnavailableError: Some of the items could not be read.
        """
        left = [
            {"messageId": {"S": message_id}, "entry": {"S": entry}}
            for message_id, entry in dict.fromkeys(keys)
        ]
        found: dict[tuple[str, str], Item] = {}
        for pause in _pauses():
            if not left:
                return found
            time.sleep(pause)
            batches = list(in_batches(left, _READS_PER_CALL))
            left = []
            for items, rest in self._each(self._read_batch, batches):
                found |= {(item["messageId"], item["entry"]): item for item in items}
                left += rest
        if left:
            raise TableUnavailableError(f"{len(left)} items were not read")
        return found

    def query(self, condition: str, values: Item, **options: Any) -> Iterator[Item]:  # noqa: ANN401
        """Read the items that a key condition names, page after page, in the order of the key.

        Args:
            condition: A KeyConditionExpression.
            values: Its values, by name with colon.
            options: Further parameters of DynamoDB's Query.

        Raises:
            TableUnavailableError: A page could not be read.
        """
        arguments = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": to_wire(values),
        } | options
        while True:
            answer = _attempt(lambda: self._client.query(**arguments))
            yield from map(from_wire, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def delete(self, message_id: str, entry: str) -> None:
        """Delete one item.

        Raises:
            TableUnavailableError: It may still be there.
        """
        key = {"messageId": {"S": message_id}, "entry": {"S": entry}}
        _attempt(lambda: self._client.delete_item(TableName=self.name, Key=key))

    def _each(
        self, call: Callable[[ItemT], AnswerT], batches: Iterable[ItemT]
    ) -> Iterable[AnswerT]:
        batches = list(batches)
        # A thread for a single call would only cost.
        return [call(batches[0])] if len(batches) == 1 else self._pool.map(call, batches)

    def _execute_batch(self, statements: Sequence[Statement]) -> list[Answer]:
        request = [_statement(statement) for statement in statements]
        try:
            answer = _attempt(lambda: self._client.batch_execute_statement(Statements=request))
        except TableUnavailableError:
            # Perhaps executed all the same: callers recognise their own writes.
            return [Answer("InternalServerError")] * len(statements)
        return [_answer(response) for response in answer["Responses"]]

    def _write_batch(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Write a batch and return what DynamoDB has left over."""
        answer = _attempt(lambda: self._client.batch_write_item(RequestItems={self.name: requests}))
        unprocessed: Any = answer.get("UnprocessedItems", {})
        left: list[Any] = unprocessed.get(self.name, [])
        return left

    def _read_batch(self, keys: Sequence[Any]) -> tuple[list[Item], Sequence[Any]]:
        """Read a batch; return the items, and the keys that DynamoDB has left over."""
        request: Any = {self.name: {"Keys": keys, "ConsistentRead": True}}
        answer: Any = _attempt(lambda: self._client.batch_get_item(RequestItems=request))
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


def _statement(statement: Statement) -> Any:  # noqa: ANN401 (one of botocore's nested shapes)
    written = {
        "Statement": statement.text,
        "Parameters": [_serialize(value) for value in statement.parameters],
    }
    if statement.text.startswith("UPDATE"):
        # Documented for a condition that fails, which an INSERT has none of.
        written["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return written


def _bytes_on_wire(request: Any) -> int:  # noqa: ANN401 (one of botocore's nested shapes)
    """Count the bytes of a write as botocore sends it: JSON in ASCII, binary values in base64."""
    return len(json.dumps(request, default=lambda value: base64.b64encode(bytes(value)).decode()))


def _answer(response: Any) -> Answer:  # noqa: ANN401 (one of botocore's nested shapes)
    error = response.get("Error")
    if error is None:
        return Answer()
    return Answer(error["Code"], from_wire(error.get("Item", {})))


def _attempt(call: Callable[[], AnswerT]) -> AnswerT:
    try:
        return call()
    except ClientError as error:
        # The service's own text may quote a key, and so a caller's id.
        raise TableUnavailableError(f"DynamoDB answered {error_code(error)}") from None
    except BotoCoreError as error:
        raise TableUnavailableError(f"DynamoDB was not reached: {type(error).__name__}") from None


def _pauses() -> Iterator[float]:
    """Yield the seconds to wait before each round: none, then doubling ones with jitter."""
    yield 0.0
    for number in range(_ROUNDS - 1):
        yield _FIRST_PAUSE_SECONDS * 2**number * random.uniform(0.75, 1)  # noqa: S311 (no secret)
