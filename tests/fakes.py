"""Stand-ins that keep everything in memory; the contract tests hold them to the real things."""

from __future__ import annotations

import heapq
import operator
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from infobip_omni import transitions
from infobip_omni.api.channels import Channel
from infobip_omni.api.client import LogPage, OmniClient
from infobip_omni.api.errors import RequestRejectedError
from infobip_omni.api.reports import RawEntry, Status, StatusGroup
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition
from infobip_omni.api.sends import Recipient, SendResponse, SendResult
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.dynamodb import (
    CONDITION_FAILED,
    DUPLICATE_ITEM,
    ENTRY,
    MESSAGE_ID,
    Answer,
    Comparison,
    Insert,
    Table,
    TableUnavailableError,
    from_wire,
    to_wire,
)
from infobip_omni.message import MESSAGE_ENTRY, Message, UnreadableMessage
from infobip_omni.message_ledger import MessageLedger
from infobip_omni.scenario_registry import (
    RegisteredScenario,
    ScenarioRegistry,
    SlugTakenError,
    slug,
)
from infobip_omni.send_queue import SendQueue
from infobip_omni.transitions import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from infobip_omni.api.reports import LogEntry
    from infobip_omni.api.sends import AdvancedRequest
    from infobip_omni.dynamodb import Expectation, Item, Query, Update
    from infobip_omni.events.dead_letter import DeadLetterReason
    from infobip_omni.send_queue import Record
    from infobip_omni.verdicts import Verdict

PREFIX = "/omni/test/scenarios/"


class FakeScenarioClient(OmniClient):
    """The part of Infobip that keeps scenarios."""

    def __init__(self) -> None:
        self.scenarios: dict[str, Scenario] = {}
        self.calls: list[str] = []
        #: Runs between the creation of a scenario and its answer, which it may change or lose.
        self.before_answer: Callable[[Scenario], Scenario] = lambda scenario: scenario
        #: How many lists do not show yet what was created.
        self.blind_lists = 0
        self.list_errors: list[Exception] = []
        self._keys = count(1)

    def list_scenarios(self) -> Iterator[Scenario]:
        """List the scenarios."""
        self.calls.append("list")
        if self.list_errors:
            raise self.list_errors.pop(0)
        if self.blind_lists:
            self.blind_lists -= 1
            return
        yield from list(self.scenarios.values())

    def create_scenario(self, definition: ScenarioDefinition) -> Scenario:
        """Create a scenario under the next key."""
        self.calls.append("create")
        return self.before_answer(self.put(f"key-{next(self._keys)}", definition))

    def get_scenario(self, key: str) -> Scenario:
        """Return a scenario."""
        self.calls.append("get")
        if key not in self.scenarios:
            raise RequestRejectedError("unknown scenario", status=404)
        return self.scenarios[key]

    def update_scenario(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Replace a scenario."""
        self.get_scenario(key)
        self.calls[-1] = "update"
        return self.put(key, definition)

    def put(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Keep a scenario, as if somebody had created it."""
        self.scenarios[key] = Scenario(
            key=key,
            name=definition.name,
            flow=definition.flow,
            default=bool(definition.default),
        )
        return self.scenarios[key]


class FakeScenarioRegistry(ScenarioRegistry):
    """A registry without SSM and without a cache."""

    def __init__(self, *entries: RegisteredScenario) -> None:
        self.entries = {self.parameter(entry.name): entry for entry in entries}
        #: Runs once before the next write, like somebody else who is faster.
        self.before_write: Callable[[], None] | None = None
        #: What the next write meets.
        self.error: Exception | None = None

    def parameter(self, name: str) -> str:
        """Name the parameter, as the real one does."""
        return PREFIX + slug(name)

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Find by name or slug."""
        matches = (
            entry
            for entry in self.entries.values()
            if name_or_slug in (entry.name, slug(entry.name))
        )
        return next(matches, None)

    def current(self, name: str) -> RegisteredScenario | None:
        """Find by exact name."""
        parameter = self.parameter(name)
        entry = self.entries.get(parameter)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Keep the entry, unless there is one."""
        self._happen()
        self.entries.setdefault(self.parameter(entry.name), entry)
        return self.current(entry.name) or entry

    def replace(self, entry: RegisteredScenario) -> None:
        """Keep the entry."""
        self._happen()
        self.entries[self.parameter(entry.name)] = entry

    def _happen(self) -> None:
        happening, self.before_write = self.before_write, None
        if happening is not None:
            happening()
        error, self.error = self.error, None
        if error is not None:
            raise error


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def seconds(self) -> float:
        """Return the time in seconds since some start."""
        return self.now.timestamp()

    def pass_by(self, **duration: float) -> None:
        """Move on."""
        self.now += timedelta(**duration)


def make_claim(message_id: str = "m-1", **changes: Any) -> Claim:  # noqa: ANN401 (of any member)
    """Make a claim of a message that goes by push and, if that fails, by SMS."""
    claim = Claim(
        message_id=message_id,
        content_hash="content",
        recipient=Recipient(phone_number="385991234567"),
        scenario="otp",
        scenario_key=None,
        steps=(Channel.PUSH, Channel.SMS),
        bulk_id="bulk-1",
        send_at=None,
        validity=timedelta(hours=1),
        on_unknown="never-duplicate",
    )
    return replace(claim, **changes)


def taken(request: AdvancedRequest) -> SendResponse:
    """Answer that Infobip has taken all messages of a request."""
    return answer_to(request, Status(group_id=StatusGroup.PENDING, id=7))


def answer_to(request: AdvancedRequest, status: Status | None) -> SendResponse:
    """Give all messages of a request the same status."""
    return SendResponse(
        messages=tuple(
            SendResult(message_id=destination.message_id, status=status)
            for destination in request.destinations
        )
    )


class FakeClient(OmniClient):
    """The part of Infobip that sends, reports and remembers."""

    def __init__(self) -> None:
        #: Every request that was posted.
        self.sent: list[AdvancedRequest] = []
        #: Answers a request, or raises.
        self.answer: Callable[[AdvancedRequest], SendResponse] = taken
        #: The pages of reports that are left, or what taking them meets.
        self.pages: list[bytes | Exception] = []
        #: Runs whenever a page is asked for.
        self.before_page: Callable[[], None] = lambda: None
        #: All rows of the logs.
        self.rows: list[LogEntry] = []
        #: Whose rows cannot be read.
        self.unread_ids: set[str] = set()
        #: The ids of each log query; none where it was for the newest rows.
        self.log_queries: list[list[str]] = []
        #: Runs in each log query, before its answer, and may raise.
        self.before_rows: Callable[[], None] = lambda: None

    def send_advanced(self, request: AdvancedRequest) -> SendResponse:
        """Take the messages, unless told otherwise."""
        self.sent.append(request)
        return self.answer(request)

    def posted_ids(self) -> list[str | None]:
        """Return the ids of all messages that were posted, as often as they were."""
        return [each.message_id for request in self.sent for each in request.destinations]

    def take_reports(self, *, limit: int = 1000) -> bytes:  # noqa: ARG002 (the real one's)
        """Hand out the next page; after the last there are only empty ones."""
        self.before_page()
        page = self.pages.pop(0) if self.pages else b'{"results": []}'
        if isinstance(page, Exception):
            raise page
        return page

    def search_logs(self, *, message_ids: Sequence[str], limit: int = 1000) -> LogPage:
        """Return the rows of these messages, as many as fit."""
        self.log_queries.append(list(message_ids))
        self.before_rows()
        rows = [row for row in self.rows if row.message_id in message_ids]
        unread = self.unread_ids & set(message_ids)
        return LogPage(_entries(rows[:limit]), len(rows) >= limit, frozenset(unread))

    def newest_logs(self, *, limit: int = 1000) -> LogPage:
        """Return the rows that were added last."""
        self.log_queries.append([])
        self.before_rows()
        return LogPage(_entries(self.rows[-limit:]), len(self.rows) >= limit)


def _entries(rows: Iterable[LogEntry]) -> list[RawEntry[LogEntry]]:
    return [RawEntry(row.model_dump_json(by_alias=True, exclude_none=True), row) for row in rows]


class FakeSendQueue(SendQueue):
    """Queues that only remember what was done with records."""

    def __init__(self) -> None:
        #: By the id of the record: how long it was hidden at last.
        self.delays: dict[str, timedelta] = {}
        #: Record, reason, field and rule.
        self.dead: list[tuple[Record, DeadLetterReason, str, str]] = []
        self.available = True

    def change_visibility(self, records: Iterable[tuple[Record, timedelta]]) -> int:
        """Remember the delays."""
        entries = [(record.sqs_id, delay) for record, delay in records]
        if not self.available:
            return len(entries)
        self.delays |= dict(entries)
        return 0

    def dead_letter(
        self, record: Record, reason: DeadLetterReason, field: str = "", rule: str = ""
    ) -> None:
        """Remember the record."""
        if not self.available:
            raise QueueUnavailableError("SQS did not take it")
        self.dead.append((record, reason, field, rule))


class FakeTable(Table):
    """A table in memory, that can fail."""

    def __init__(self) -> None:
        self.name = "messages"
        self.items: dict[tuple[str, str], Item] = {}
        #: How many more calls of each method fail without effect.
        self.failures: Counter[str] = Counter()
        #: How many more calls of `execute` have their effect and seem to fail.
        self.lost_answers = 0
        #: Runs once before the next call of `execute`, like somebody else who is faster.
        self.before_execute: Callable[[], None] | None = None

    def entries(self, prefix: str) -> list[Item]:
        """Return the items whose entry begins like this, in the order of their keys."""
        return [dict(item) for key, item in sorted(self.items.items()) if key[1].startswith(prefix)]

    def execute(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        """Make the writes whose conditions hold."""
        happening, self.before_execute = self.before_execute, None
        if happening is not None:
            happening()
        failed = [Answer("InternalServerError")] * len(writes)
        if self._fails("execute"):
            return failed
        answers = [self._write(write) for write in writes]
        if self.lost_answers:
            self.lost_answers -= 1
            return failed
        return answers

    def put_all(self, items: Iterable[Item]) -> None:
        """Write items over whatever is there."""
        self._fail("put_all")
        for item in items:
            self._keep(item)

    def get_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Read items."""
        self._fail("get_all")
        return {key: dict(self.items[key]) for key in keys if key in self.items}

    def query(self, query: Query) -> Iterator[Item]:
        """Read a partition from its begin, or from its end."""
        self._fail("query")
        index = query.index
        keys = (MESSAGE_ID, ENTRY, index.partition_key, index.sort_key)
        found = [
            dict(item) if index.name is None else {name: item[name] for name in keys}
            for _, item in sorted(self.items.items())
            if item.get(index.partition_key) == query.partition
            and index.sort_key in item
            and (query.first is None or item[index.sort_key] >= query.first)
            and (query.last is None or item[index.sort_key] <= query.last)
        ]
        order = operator.itemgetter(index.sort_key)
        yield from sorted(found, key=order, reverse=query.is_descending)

    def query_merged(self, queries: Sequence[Query]) -> Iterator[Item]:
        """Read partitions as one."""
        items = [list(self.query(query)) for query in queries]
        return heapq.merge(*items, key=operator.itemgetter(queries[0].index.sort_key))

    def delete(self, message_id: str, entry: str) -> None:
        """Delete one item."""
        self._fail("delete")
        self.items.pop((message_id, entry), None)

    def _write(self, write: Insert | Update) -> Answer:
        if isinstance(write, Insert):
            if (write.item[MESSAGE_ID], write.item[ENTRY]) in self.items:
                return Answer(DUPLICATE_ITEM)
            self._keep(write.item)
            return Answer()
        item = self.items.get((write.message_id, write.entry))
        if item is None or not all(_holds(each, item) for each in write.expected):
            return Answer(CONDITION_FAILED, dict(item or {}))
        self._keep({**item, **write.changes})
        return Answer()

    def _keep(self, item: Mapping[str, Any]) -> None:
        self.items[item[MESSAGE_ID], item[ENTRY]] = from_wire(to_wire(item))

    def _fail(self, method: str) -> None:
        if self._fails(method):
            raise TableUnavailableError("DynamoDB was not reached")

    def _fails(self, method: str) -> bool:
        failing = self.failures[method] > 0
        self.failures[method] -= failing
        return failing


class OpenLedger(MessageLedger):
    """The real ledger, whose messages can be looked at, and changed one by one."""

    def __init__(
        self,
        table: Table,
        clock: Callable[[], datetime],
        retention: timedelta = timedelta(days=90),
        check_after: timedelta = timedelta(minutes=10),
    ) -> None:
        self.table = table
        self.clock = clock
        super().__init__(table, retention, check_after, clock)

    def item(self, message_id: str = "m-1") -> Item:
        """Return the item of a message."""
        key = (message_id, MESSAGE_ENTRY)
        return self.table.get_all([key])[key]

    def message(self, message_id: str = "m-1") -> Message:
        """Return a message."""
        return next(readable([Message.from_item(self.item(message_id))]))

    def settle(self, verdicts: Mapping[str, Verdict]) -> int:
        """Give verdicts on messages, and return how many have changed."""
        return self.apply(transitions.settled(*each) for each in verdicts.items())

    def change(
        self,
        transition: Callable[..., Update],
        met: Message | Item | str,
        *arguments: object,
        **named: object,
    ) -> int:
        """Change a message as it was read, or as it is, and return how many have changed."""
        if isinstance(met, str):
            met = self.item(met)
        message = met if isinstance(met, Message) else Message.from_item(met)
        (message,) = readable([message])
        return self.apply([transition(message, *arguments, **named)])


class FakeLedger(OpenLedger):
    """The real ledger on a `FakeTable`."""

    table: FakeTable

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(FakeTable(), clock)

    def item(self, message_id: str = "m-1") -> Item:
        """Return the item of a message."""
        return dict(self.table.items[message_id, MESSAGE_ENTRY])

    def alter(self, message_id: str, **attributes: object) -> None:
        """Change attributes of a message's item, like another version of this code."""
        item = self.table.items[message_id, MESSAGE_ENTRY]
        self.table.items[message_id, MESSAGE_ENTRY] = from_wire(to_wire(item | attributes))

    def states(self) -> dict[str, str]:
        """Return the state of each message."""
        return {item["messageId"]: str(item["state"]) for item in self.table.entries(MESSAGE_ENTRY)}


def readable(messages: Iterable[Message | UnreadableMessage]) -> Iterator[Message]:
    """Pass messages on, each of which must be one that can be read."""
    for message in messages:
        assert isinstance(message, Message), message.id
        yield message


def _holds(expectation: Expectation, item: Item) -> bool:
    if expectation.name not in item:
        return False
    value: Any = expectation.value
    if expectation.comparison is Comparison.BELOW:
        return bool(item[expectation.name] < value)
    return bool(item[expectation.name] == value)
