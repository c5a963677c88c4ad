"""In-memory fakes; the contract tests check that they behave like the real services."""

from __future__ import annotations

import heapq
import json
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
from infobip_omni.api.raw_json import member_text
from infobip_omni.api.reports import RawEntry, Status, StatusGroup
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition
from infobip_omni.api.sends import (
    AdvancedRequest,
    Destination,
    Recipient,
    SendResponse,
    SendResult,
)
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
from infobip_omni.message import MESSAGE_ENTRY, Message, MessageState, UnreadableMessage
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
    from infobip_omni.dynamodb import Expectation, Item, Query, Update
    from infobip_omni.events.dead_letter import DeadLetterReason
    from infobip_omni.send_queue import Record
    from infobip_omni.verdicts import Verdict

PREFIX = "/omni/test/scenarios/"


class FakeScenarioClient(OmniClient):
    """Infobip's scenario API."""

    def __init__(self) -> None:
        self.scenarios: dict[str, Scenario] = {}
        self.calls: list[str] = []
        #: Runs after a scenario is created; may change the answer, or lose it by raising.
        self.before_answer: Callable[[Scenario], Scenario] = lambda scenario: scenario
        #: How many of the next lists are still empty.
        self.blind_lists = 0
        self.list_errors: list[Exception] = []
        self._keys = count(1)

    def list_scenarios(self) -> Iterator[Scenario]:
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
        self.calls.append("get")
        if key not in self.scenarios:
            raise RequestRejectedError("unknown scenario", status=404)
        return self.scenarios[key]

    def update_scenario(self, key: str, definition: ScenarioDefinition) -> Scenario:
        self.get_scenario(key)
        self.calls[-1] = "update"
        return self.put(key, definition)

    def put(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Store a scenario without recording a call."""
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
        #: Runs once before the next write: a concurrent writer that is faster.
        self.before_write: Callable[[], None] | None = None
        #: The error that the next write raises.
        self.error: Exception | None = None

    def parameter(self, name: str) -> str:
        return PREFIX + slug(name)

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        matches = (
            entry
            for entry in self.entries.values()
            if name_or_slug in (entry.name, slug(entry.name))
        )
        return next(matches, None)

    def find_before_refusal(
        self,
        name_or_slug: str,
        queued_at: datetime,  # noqa: ARG002 (the real one's)
    ) -> RegisteredScenario | None:
        return self.find(name_or_slug)

    def all(self) -> list[RegisteredScenario]:
        return list(self.entries.values())

    def current(self, name: str) -> RegisteredScenario | None:
        parameter = self.parameter(name)
        entry = self.entries.get(parameter)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Store the entry, unless the name is registered."""
        self._interfere()
        self.entries.setdefault(self.parameter(entry.name), entry)
        return self.current(entry.name) or entry

    def announce(self, entry: RegisteredScenario) -> None:
        self.replace(entry.as_updating())

    def replace(self, entry: RegisteredScenario) -> None:
        self._interfere()
        self.entries[self.parameter(entry.name)] = entry

    def _interfere(self) -> None:
        before_write, self.before_write = self.before_write, None
        if before_write is not None:
            before_write()
        error, self.error = self.error, None
        if error is not None:
            raise error


class Clock:
    """A clock that moves only by `pass_by`."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """Return the time in seconds, in place of a monotonic clock."""
        return self.now.timestamp()

    def pass_by(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def make_message(message_id: str = "m-1", **changes: Any) -> Message:  # noqa: ANN401 (any member)
    """Return a message that was claimed at noon, has an unknown flow, and waits for a decision."""
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    message = Message(
        id=message_id,
        state=MessageState.QUARANTINED,
        content_hash="",
        to={"phoneNumber": "385915550101"},
        steps=None,
        bulk_id="",
        on_unknown="never-duplicate",
        send_at=None,
        attempts=1,
        claim_token="",
        claimed_at=noon,
        lease_until=noon,
        verdict_rank="",
        expires_at=int((noon + timedelta(days=90)).timestamp()),
        next_check_at=noon,
        evidence=None,
        unknown_at=noon,
        first_unknown_attempt_at=noon,
        absent_answers=3,
        is_released=False,
        is_closed=False,
    )
    return replace(message, **changes)


def make_claim(message_id: str = "m-1", **changes: Any) -> Claim:  # noqa: ANN401 (of any member)
    """Build a claim of a message that goes by push and fails over to SMS."""
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


def advanced_request(body: Mapping[str, Any]) -> AdvancedRequest:
    """Build the request whose body is this JSON."""
    members = [
        member_text(name, json.dumps(value))
        for name, value in body.items()
        if name not in {"destinations", "scenarioKey", "bulkId"}
    ]
    return AdvancedRequest(
        destinations=tuple(map(Destination.model_validate, body["destinations"])),
        content=",".join(members),
        scenario_key=body.get("scenarioKey"),
        bulk_id=body.get("bulkId"),
    )


def accept_all(request: AdvancedRequest) -> SendResponse:
    """Build an answer that accepts all messages of a request."""
    return answer_to(request, Status(group_id=StatusGroup.PENDING, id=7))


def answer_to(request: AdvancedRequest, status: Status | None) -> SendResponse:
    """Build an answer that gives all messages of a request the same status."""
    return SendResponse(
        messages=tuple(
            SendResult(message_id=destination.message_id, status=status)
            for destination in request.destinations
        )
    )


class FakeClient(OmniClient):
    """Infobip's APIs for sends, delivery reports and logs."""

    def __init__(self) -> None:
        #: Every request that was posted.
        self.sent: list[AdvancedRequest] = []
        #: Answers a request, or raises.
        self.answer: Callable[[AdvancedRequest], SendResponse] = accept_all
        #: The pages of reports still to be taken, or errors to raise instead.
        self.pages: list[bytes | Exception] = []
        #: Runs before each page is returned.
        self.before_page: Callable[[], None] = lambda: None
        #: All rows of the logs.
        self.rows: list[LogEntry] = []
        #: Ids of messages whose rows cannot be read.
        self.unread_ids: set[str] = set()
        #: The ids of each log query; none where it was for the newest rows.
        self.log_queries: list[list[str]] = []
        #: Runs in each log query, before its answer, and may raise.
        self.before_rows: Callable[[], None] = lambda: None

    def send_advanced(self, request: AdvancedRequest) -> SendResponse:
        self.sent.append(request)
        return self.answer(request)

    def posted_ids(self) -> list[str | None]:
        """Return the ids of all posted messages, repeats included."""
        return [each.message_id for request in self.sent for each in request.destinations]

    def take_reports(self, *, limit: int = 1000) -> bytes:  # noqa: ARG002 (the real one's)
        """Return the next page; after the last, empty ones."""
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

    def newest_logs(self, *, until: datetime | None = None, limit: int = 1000) -> LogPage:
        """Return the rows that were added last, of those that were sent until a time."""
        self.log_queries.append([])
        self.before_rows()
        rows = [row for row in self.rows if until is None or (row.sent_at and row.sent_at <= until)]
        return LogPage(_entries(rows[-limit:]), len(rows) >= limit)


def _entries(rows: Iterable[LogEntry]) -> list[RawEntry[LogEntry]]:
    return [RawEntry(row.model_dump_json(by_alias=True, exclude_none=True), row) for row in rows]


class FakeSendQueue(SendQueue):
    """Queues that only remember what was done with each record."""

    def __init__(self) -> None:
        #: The last visibility timeout of each record, by its id.
        self.delays: dict[str, timedelta] = {}
        #: Dead-lettered records, each with reason, field and rule.
        self.dead: list[tuple[Record, DeadLetterReason, str, str]] = []
        #: The message ids of each dead-lettered record, by its id.
        self.dead_message_ids: dict[str, list[str]] = {}
        self.available = True

    def change_visibility(self, records: Iterable[tuple[Record, timedelta]]) -> int:
        entries = [(record.sqs_id, delay) for record, delay in records]
        if not self.available:
            return len(entries)
        self.delays |= dict(entries)
        return 0

    def dead_letter(
        self,
        record: Record,
        reason: DeadLetterReason,
        field: str = "",
        rule: str = "",
        *,
        message_ids: Sequence[str] = (),
    ) -> str:
        if not self.available:
            raise QueueUnavailableError("SQS did not accept it")
        self.dead.append((record, reason, field, rule))
        self.dead_message_ids[record.sqs_id] = list(message_ids)
        return f"dead-{record.sqs_id}"


class FakeTable(Table):
    """A table in memory that can fail."""

    def __init__(self) -> None:
        self.name = "messages"
        self.items: dict[tuple[str, str], Item] = {}
        #: How many of the next calls of each method fail without effect.
        self.failures: Counter[str] = Counter()
        #: How many of the next calls of `execute` take effect but seem to fail.
        self.lost_answers = 0
        #: Runs once before the next `execute`: a concurrent writer that is faster.
        self.before_execute: Callable[[], None] | None = None

    def entries(self, prefix: str) -> list[Item]:
        """Return the items whose entry has this prefix, in key order."""
        return [dict(item) for key, item in sorted(self.items.items()) if key[1].startswith(prefix)]

    def execute(self, writes: Sequence[Insert | Update]) -> list[Answer]:
        """Apply the writes whose conditions hold."""
        before_execute, self.before_execute = self.before_execute, None
        if before_execute is not None:
            before_execute()
        failed = [Answer("InternalServerError")] * len(writes)
        if self._fails("execute"):
            return failed
        answers = [self._write(write) for write in writes]
        if self.lost_answers:
            self.lost_answers -= 1
            return failed
        return answers

    def put_all(self, items: Iterable[Item]) -> None:
        self._fail("put_all")
        for item in items:
            self._store(item)

    def get_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        self._fail("get_all")
        return {key: dict(self.items[key]) for key in keys if key in self.items}

    def query(self, query: Query) -> Iterator[Item]:
        """Read a partition in ascending or descending key order."""
        self._fail("query")
        index = query.index
        keys = (MESSAGE_ID, ENTRY, index.partition_key, index.sort_key)
        found = [
            dict(item) if index.name is None else {name: item[name] for name in keys}
            for item in self.items.values()
            if item.get(index.partition_key) == query.partition
            and index.sort_key in item
            and (query.first is None or item[index.sort_key] >= query.first)
            and (query.last is None or item[index.sort_key] <= query.last)
        ]
        found.sort(key=operator.itemgetter(MESSAGE_ID, ENTRY))
        order = operator.itemgetter(index.sort_key)
        yield from sorted(found, key=order, reverse=query.is_descending)

    def query_merged(self, queries: Sequence[Query]) -> Iterator[Item]:
        """Read partitions as one."""
        items = [list(self.query(query)) for query in queries]
        order = operator.itemgetter(queries[0].index.sort_key)
        return heapq.merge(*items, key=order, reverse=queries[0].is_descending)

    def delete(self, message_id: str, entry: str) -> None:
        self._fail("delete")
        self.items.pop((message_id, entry), None)

    def _write(self, write: Insert | Update) -> Answer:
        if isinstance(write, Insert):
            if (write.item[MESSAGE_ID], write.item[ENTRY]) in self.items:
                return Answer(DUPLICATE_ITEM)
            self._store(write.item)
            return Answer()
        item = self.items.get((write.message_id, write.entry))
        if item is None or not all(_holds(each, item) for each in write.expected):
            return Answer(CONDITION_FAILED, dict(item or {}))
        self._store({**item, **write.changes})
        return Answer()

    def _store(self, item: Mapping[str, Any]) -> None:
        self.items[item[MESSAGE_ID], item[ENTRY]] = from_wire(to_wire(item))

    def _fail(self, method: str) -> None:
        if self._fails(method):
            raise TableUnavailableError("DynamoDB cannot be reached")

    def _fails(self, method: str) -> bool:
        failing = self.failures[method] > 0
        self.failures[method] -= failing
        return failing


class OpenLedger(MessageLedger):
    """The real ledger, with access to single messages."""

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
        key = (message_id, MESSAGE_ENTRY)
        return self.table.get_all([key])[key]

    def message(self, message_id: str = "m-1") -> Message:
        return next(readable([Message.from_item(self.item(message_id))]))

    def settle(self, verdicts: Mapping[str, Verdict]) -> int:
        """Apply verdicts, also to messages that are not there; return how many changed."""
        found = {one.id: one for one in readable(self.find(verdicts).values())}
        some = next(iter(found.values()), None)
        if some is None:
            return 0
        return self.apply(
            transitions.settled(found.get(each) or replace(some, id=each), verdict)
            for each, verdict in verdicts.items()
        )

    def change(
        self,
        transition: Callable[..., Update],
        met: Message | Item | str,
        *arguments: object,
        **named: object,
    ) -> int:
        """Apply a transition to a message, and return how many changed: 0 or 1.

        Args:
            transition: Builds the update.
            met: The message or item as read earlier, or an id, to read the item now.
            arguments: Passed to the transition after the message.
            named: Passed to the transition.
        """
        if isinstance(met, str):
            met = self.item(met)
        message = met if isinstance(met, Message) else Message.from_item(met)
        (message,) = readable([message])
        return self.apply([transition(message, *arguments, **named)])


class FakeLedger(OpenLedger):
    """The real ledger on a `FakeTable`."""

    table: FakeTable

    def __init__(self, clock: Callable[[], datetime], table: FakeTable | None = None) -> None:
        super().__init__(table or FakeTable(), clock)

    def item(self, message_id: str = "m-1") -> Item:
        return dict(self.table.items[message_id, MESSAGE_ENTRY])

    def alter(self, message_id: str, **attributes: object) -> None:
        """Overwrite attributes of a message's item, as another version of the code would."""
        item = self.table.items[message_id, MESSAGE_ENTRY]
        self.table.items[message_id, MESSAGE_ENTRY] = from_wire(to_wire(item | attributes))

    def states(self) -> dict[str, str]:
        """Return the state of each message by its id."""
        return {item["messageId"]: str(item["state"]) for item in self.table.entries(MESSAGE_ENTRY)}


def readable(messages: Iterable[Message | UnreadableMessage]) -> Iterator[Message]:
    """Yield the messages, and assert that each is readable."""
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
