"""Reads what happens in the local world into the feed of the pages, each source in its thread."""

from __future__ import annotations

import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING

import requests
from botocore.exceptions import BotoCoreError, ClientError

from tests.local_world import commands
from tests.local_world.clients import options, session
from tests.local_world.running import RefusedError
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.world import plain_item, records_on

from .board import Stored, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

    from tests.local_world.running import RunningWorld

    from .feed import Feed

#: What reading from a source raises when it does not answer or refuses.
UNAVAILABLE = (BotoCoreError, ClientError, requests.RequestException, RefusedError)
#: AWS's codes for a resource that is gone.
_GONE = frozenset(
    {
        "ResourceNotFoundException",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "ParameterNotFound",
    }
)
#: Codes that only mean that the table has to be read again from its beginning.
_READ_AGAIN = frozenset({"ExpiredIteratorException", "TrimmedDataAccessException"})
_START_AGAIN = "stop `make local`, and start it again"
_TRY_AGAIN = f"try again, and if that does not help, {_START_AGAIN}"
_SECONDS_AFTER_PROBLEM = 1.0
_SECONDS_TO_ANSWER = 10
_SECONDS_TO_END = 0.5
_TABLE, _QUEUES, _SIMULATOR, _SCHEDULES = "table", "queues", "simulator", "schedules"


def problem_of(error: Exception) -> str:
    """Return a sentence that says why a source cannot be read, and what to do.

    Args:
        error: What reading has raised; its text is not quoted, unless it is a `RefusedError`.
    """
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        deleted = f"the stack, or a part of it, was deleted: {_START_AGAIN}"
        return deleted if code in _GONE else commands.aws_refusal(error.operation_name, code)
    if isinstance(error, BotoCoreError):
        return f"the AWS emulator does not answer: {_START_AGAIN}"
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return f"Infobip's simulator refused a call with HTTP status {status}: {_TRY_AGAIN}"
    if isinstance(error, requests.RequestException):
        return f"Infobip's simulator does not answer: {_START_AGAIN}"
    if isinstance(error, RefusedError):
        return str(error)
    # The text of any other error may quote an address.
    place = traceback.extract_tb(error.__traceback__)[-1].name
    return f"the page's server failed: {type(error).__name__} in {place}: {_TRY_AGAIN}"


class Sources:
    """The threads that read the sources.

    Args:
        world: The local world.
        feed: Takes what is read.
    """

    def __init__(self, world: RunningWorld, feed: Feed) -> None:
        self._world = world
        self._feed = feed
        self._is_stopped = threading.Event()
        self._simulator = _SimulatorSource(SimulatorControl(world.simulator_url), feed)
        short = partial(
            options,
            world.url,
            connect_timeout=_SECONDS_TO_ANSWER,
            read_timeout=_SECONDS_TO_ANSWER,
            retries={"total_max_attempts": 1},
        )
        self._table = _TableSource(
            session().client("dynamodb", **short()),
            session().client("dynamodbstreams", **short()),
            world.outputs["MessagesTableName"],
            feed,
        )
        self._sqs: SQSClient = session().client("sqs", **short())
        self._threads = [
            threading.Thread(target=self._repeat, args=each, name=f"page: {each[0]}", daemon=True)
            for each in (
                (_SIMULATOR, self._simulator.read, 0.25),
                (_TABLE, self._table.read, 0.25),
                (_QUEUES, self._count_records, 1.0),
                (_SCHEDULES, self._run_schedules, 2.0),
            )
        ]

    def start(self) -> None:
        """Start to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop to read. A call that takes longer ends with the process."""
        self._is_stopped.set()
        for thread in self._threads:
            thread.join(_SECONDS_TO_END / len(self._threads))

    def _repeat(self, name: str, read: Callable[[], bool], every: float) -> None:
        """Read a source until the end; while that is impossible, the feed says why.

        Args:
            name: Of the source.
            read: Reads what is new, and returns whether there is more already.
            every: Seconds between two reads.
        """
        while not self._is_stopped.is_set():
            try:
                wait = 0.0 if read() else every
            except Exception as error:  # noqa: BLE001 (the thread must not end unnoticed)
                wait = max(every, _SECONDS_AFTER_PROBLEM)
                if not self._is_stopped.is_set():
                    self._feed.set_problem(name, problem_of(error))
            else:
                self._feed.set_problem(name, None)
            self._is_stopped.wait(wait)

    def _count_records(self) -> bool:
        outputs = self._world.outputs
        self._feed.set_queue(
            waiting=records_on(self._sqs, outputs["SendQueueUrl"]),
            dead_lettered=records_on(self._sqs, outputs["SendDeadLetterQueueUrl"]),
        )
        return False

    def _run_schedules(self) -> bool:
        """Invoke what schedules invoke, while a page is open and wants it often."""
        if self._feed.readers and self._feed.schedules == "every-2-seconds":
            for function in commands.SCHEDULED:
                name = commands.deployed(self._world, function)
                commands.answer_of(self._world, name, "{}")  # fails in an outage
        else:  # queues and table outlive a deleted stack, and functions do not
            function = self._world.resources["FindMessagesFunction"]
            self._world.functions.get_function_configuration(FunctionName=function)
        return False


class _SimulatorSource:
    """Reads which messages changed at Infobip's simulator."""

    def __init__(self, control: SimulatorControl, feed: Feed) -> None:
        self._control = control
        self._feed = feed
        self._account: str | None = None
        self._cursor = 0

    def read(self) -> bool:
        answer = self._control.changes(self._cursor)
        self._feed.set_clock(answer["now"])
        if answer["account"] != self._account:
            with self._feed.changing() as board:
                board.forget_simulated()
            self._account = answer["account"]
            if self._cursor:  # it belongs to the account before the reset
                self._cursor = 0
                return True
        with self._feed.changing() as board:
            board.put_simulated(answer["messages"])
        self._cursor = answer["cursor"]
        return bool(answer["more"])


class _TableSource:
    """Reads the messages table: first all of it, then its stream."""

    def __init__(
        self, table: DynamoDBClient, streams: DynamoDBStreamsClient, name: str, feed: Feed
    ) -> None:
        self._table = table
        self._streams = streams
        self._name = name
        self._feed = feed
        self._iterator: str | None = None

    def read(self) -> bool:
        try:
            return self._read()
        except ClientError as error:
            self._iterator = None
            code = error.response["Error"]["Code"]
            if code in _READ_AGAIN:
                return True
            if code in _GONE:
                with self._feed.changing() as board:
                    board.replace_stored({})
            raise
        except BotoCoreError:
            self._iterator = None
            raise

    def _read(self) -> bool:
        if self._iterator is None:
            # In this order, no change is missed; an older one may be shown again for a moment.
            iterator = self._end_of_stream()
            self._read_all()
            self._iterator = iterator
        page = self._streams.get_records(ShardIterator=self._iterator)
        changes: dict[str, Stored | None] = {}
        for record in page["Records"]:
            image = plain_item(record["dynamodb"].get("NewImage", {}))
            keys = plain_item(record["dynamodb"]["Keys"])
            if keys["entry"] == "MESSAGE":
                stored = Stored.from_item(image, self._feed.now()) if image else None
                changes[keys["messageId"]] = stored
        with self._feed.changing() as board:
            board.put_stored(changes)
        self._iterator = page.get("NextShardIterator")
        return bool(page["Records"])

    def _end_of_stream(self) -> str:
        """Return an iterator that returns all changes from now on."""
        table = self._table.describe_table(TableName=self._name)["Table"]
        if not table.get("StreamSpecification", {}).get("StreamEnabled"):
            # A stack that publishes no outcome events has no stream.
            table = self._table.update_table(
                TableName=self._name,
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            )["TableDescription"]
        stream = table["LatestStreamArn"]
        shards = self._streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
        # The emulator has a single shard.
        return self._streams.get_shard_iterator(
            StreamArn=stream, ShardId=shards[-1]["ShardId"], ShardIteratorType="LATEST"
        )["ShardIterator"]

    def _read_all(self) -> None:
        pages = self._table.get_paginator("scan").paginate(
            TableName=self._name,
            FilterExpression="entry = :message",
            ExpressionAttributeValues={":message": {"S": "MESSAGE"}},
            ConsistentRead=True,
        )
        items = [plain_item(item) for page in pages for item in page["Items"]]
        found = {
            item["messageId"]: Stored.from_item(item, seconds(item["claimedAt"])) for item in items
        }
        with self._feed.changing() as board:
            board.replace_stored(found)
