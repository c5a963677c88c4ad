"""The table works on the emulated DynamoDB, and handles its failures."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from infobip_omni.dynamodb import (
    Answer,
    Expectation,
    Insert,
    Query,
    Table,
    TableUnavailableError,
    Update,
    from_wire,
    to_wire,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

CANARY = "385995550123"

pytestmark = pytest.mark.usefixtures("_without_backoff")


class Tampered:
    """A client that alters the calls or the answers of one method."""

    def __init__(
        self, client: DynamoDBClient, method: str, tamper: Callable[[Callable[..., Any], Any], Any]
    ) -> None:
        #: The arguments of every call of the method.
        self.calls: list[Any] = []
        self._client = client
        self._method = method
        self._tamper = tamper

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (any method of the client)
        method = getattr(self._client, name)
        if name != self._method:
            return method

        def call(**arguments: Any) -> Any:  # noqa: ANN401 (passed through)
            self.calls.append(arguments)
            return self._tamper(method, arguments)

        return call


def tampered(
    table: Table,
    client: DynamoDBClient,
    method: str,
    tamper: Callable[[Callable[..., Any], Any], Any],
) -> tuple[Table, list[Any]]:
    """Return a table whose client alters one method, and the calls of that method."""
    tampering: Any = Tampered(client, method, tamper)
    return Table(table.name, tampering), tampering.calls


def insert(message_id: str, **members: object) -> Insert:
    return Insert({"messageId": message_id, "entry": "MESSAGE"} | members)


def update(message_id: str, state: str, before: str) -> Update:
    return Update(message_id, "MESSAGE", {"state": state}, (Expectation("state", before),))


def item(number: int, **members: object) -> dict[str, Any]:
    return {"messageId": f"m-{number:03d}", "entry": "MESSAGE"} | members


def keys(*numbers: int) -> list[tuple[str, str]]:
    return [(f"m-{number:03d}", "MESSAGE") for number in numbers]


def refusal(code: str) -> ClientError:
    """Return an error of DynamoDB whose text contains a personal value."""
    return ClientError({"Error": {"Code": code, "Message": CANARY}}, "Operation")


# --- Statements ------------------------------------------------------------------------------


def test_statements_are_answered_individually_and_in_order(table: Table) -> None:
    """A failed statement does not affect the others; more than 25 are sent in several calls."""
    table.put_all([item(number, state="A") for number in range(30, 60)])
    statements = [insert(f"m-{number:03d}", state="B") for number in range(60)]

    answers = table.execute(statements)

    assert [answer.error for answer in answers] == 30 * [None] + 30 * ["DuplicateItem"]
    found = table.get_all(keys(*range(60)))
    assert [found[key]["state"] for key in keys(*range(60))] == 30 * ["B"] + 30 * ["A"]


def test_failed_condition_returns_the_current_item(table: Table) -> None:
    """The caller needs no further read to learn the current state."""
    table.put_all([item(1, state="A", tries=3)])

    answers = table.execute([update("m-001", "C", "B"), update("m-002", "C", "B"), insert("m-003")])

    assert [answer.error for answer in answers] == 2 * ["ConditionalCheckFailed"] + [None]
    assert answers[0].item == item(1, state="A", tries=Decimal(3))
    assert answers[1].item == {}
    assert not any(answer.transient for answer in answers)


def test_no_statements_make_no_call(table: Table, dynamodb: DynamoDBClient) -> None:
    without_calls, calls = tampered(table, dynamodb, "batch_execute_statement", lambda *_: None)

    assert without_calls.execute([]) == []
    assert not calls


def test_only_throttled_statements_are_retried(table: Table, dynamodb: DynamoDBClient) -> None:
    """DynamoDB answers 200 and throttles individual statements, which botocore does not notice."""
    throttled: Counter[str] = Counter({"m-001": 1, "m-003": 3})

    def throttle(method: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        through, answers = [], {}
        for index, statement in enumerate(arguments["Statements"]):
            message_id = statement["Parameters"][0]["S"]
            if throttled[message_id]:
                throttled[message_id] -= 1
                answers[index] = {"Error": {"Code": "ThrottlingError", "Message": CANARY}}
            else:
                through.append(statement)
        rest = iter(method(Statements=through)["Responses"])
        count = len(arguments["Statements"])
        return {"Responses": [answers.get(index) or next(rest) for index in range(count)]}

    slow, calls = tampered(table, dynamodb, "batch_execute_statement", throttle)

    assert slow.execute([insert(f"m-00{n}") for n in range(5)]) == 5 * [Answer()]
    assert [len(call["Statements"]) for call in calls] == [5, 2, 1, 1]
    assert len(table.get_all(keys(*range(5)))) == 5


@pytest.mark.parametrize(
    "code",
    [
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    ],
)
def test_retries_are_limited(table: Table, dynamodb: DynamoDBClient, code: str) -> None:
    """The answer says that the statement may or may not have been executed."""
    answer = {"Responses": [{"Error": {"Code": code}}]}
    slow, calls = tampered(table, dynamodb, "batch_execute_statement", lambda *_: answer)

    assert [each.transient for each in slow.execute([insert("m-001")])] == [True]
    assert 3 < len(calls) < 10


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError", "ResourceNotFound"])
def test_permanent_error_is_not_retried(table: Table, dynamodb: DynamoDBClient, code: str) -> None:
    answer = {"Responses": [{"Error": {"Code": code}}]}
    refusing, calls = tampered(table, dynamodb, "batch_execute_statement", lambda *_: answer)

    assert refusing.execute([insert("m-001")]) == [Answer(code)]
    assert len(calls) == 1


def test_failed_call_affects_only_its_own_statements(
    table: Table, dynamodb: DynamoDBClient
) -> None:
    """Calls run concurrently and fail independently."""

    def fail(method: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        if any(each["Parameters"][0]["S"] == "m-030" for each in arguments["Statements"]):
            raise ReadTimeoutError(endpoint_url=CANARY)
        return method(**arguments)

    broken, _ = tampered(table, dynamodb, "batch_execute_statement", fail)
    answers = broken.execute([insert(f"m-{number:03d}") for number in range(60)])

    failed = [index for index, answer in enumerate(answers) if answer.transient]
    assert failed == list(range(25, 50))


# --- Items -----------------------------------------------------------------------------------


def test_any_number_of_items_is_written_and_read(table: Table) -> None:
    """DynamoDB takes at most 25 items per write and 100 per read."""
    items = [item(number, value=number, gone=None) for number in range(230)]

    table.put_all(items)

    found = table.get_all(keys(*range(231)))
    assert len(found) == 230
    assert found["m-229", "MESSAGE"] == item(229, value=229)


def test_last_item_with_the_same_key_wins(table: Table) -> None:
    """DynamoDB would refuse the whole call."""
    table.put_all([item(1, state="A"), item(2), item(1, state="B")])

    assert table.get_all(keys(1, 1)) == {("m-001", "MESSAGE"): item(1, state="B")}


def test_empty_batches_make_no_call(table: Table) -> None:
    """DynamoDB refuses empty batches."""
    table.put_all([])

    assert table.get_all([]) == {}


def test_unprocessed_items_are_written_by_the_next_call(
    table: Table, dynamodb: DynamoDBClient
) -> None:
    """DynamoDB writes as many items as it can, and returns the rest."""

    def take_ten(method: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        requests = arguments["RequestItems"][table.name]
        method(RequestItems={table.name: requests[:10]})
        return {"UnprocessedItems": {table.name: requests[10:]} if requests[10:] else {}}

    slow, calls = tampered(table, dynamodb, "batch_write_item", take_ten)
    slow.put_all(item(number) for number in range(40))

    assert [len(call["RequestItems"][table.name]) for call in calls] == [25, 15, 20, 10]
    assert len(table.get_all(keys(*range(40)))) == 40


def test_unprocessed_keys_are_read_by_the_next_call(table: Table, dynamodb: DynamoDBClient) -> None:
    """Large items exceed the size of one answer."""
    table.put_all(item(number) for number in range(40))

    def give_fifteen(method: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        request = arguments["RequestItems"][table.name]
        answer = method(RequestItems={table.name: request | {"Keys": request["Keys"][:15]}})
        rest = request["Keys"][15:]
        return answer | {"UnprocessedKeys": {table.name: {"Keys": rest}} if rest else {}}

    slow, calls = tampered(table, dynamodb, "batch_get_item", give_fifteen)

    assert len(slow.get_all(keys(*range(40)))) == 40
    assert len(calls) == 3
    assert all(call["RequestItems"][table.name]["ConsistentRead"] for call in calls)


def test_items_left_unprocessed_are_an_error(table: Table, dynamodb: DynamoDBClient) -> None:
    """The caller must not assume that they were written or read."""

    def take_none(_: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        return {"UnprocessedItems": arguments["RequestItems"]}

    def give_none(_: Callable[..., Any], arguments: Any) -> Any:  # noqa: ANN401
        return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}

    full, _ = tampered(table, dynamodb, "batch_write_item", take_none)
    with pytest.raises(TableUnavailableError, match="2 of 2 items were not written"):
        full.put_all([item(1), item(2)])
    mute, _ = tampered(table, dynamodb, "batch_get_item", give_none)
    with pytest.raises(TableUnavailableError, match="1 items were not read"):
        mute.get_all(keys(1))


# --- Queries and deletes ---------------------------------------------------------------------


def test_query_reads_all_pages_in_key_order(table: Table) -> None:
    """DynamoDB ends a page after one megabyte, or at a limit."""
    entries = [f"REPORT#{number}" for number in range(5)]
    table.put_all({"messageId": "m", "entry": entry} for entry in reversed(entries))
    table.put_all([{"messageId": "m", "entry": "MESSAGE"}, {"messageId": "n", "entry": entries[0]}])

    found = table.query(Query("m", first="REPORT#", last="REPORT#~", page_size=2))

    assert [each["entry"] for each in found] == entries


def test_delete_is_idempotent(table: Table) -> None:
    """Two runs may delete the same page."""
    table.put_all([item(1), item(2)])

    table.delete("m-001", "MESSAGE")
    table.delete("m-001", "MESSAGE")

    assert set(table.get_all(keys(1, 2))) == set(keys(2))


# --- Errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url="x")]
)
@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("batch_write_item", lambda table: table.put_all([item(1)])),
        ("batch_get_item", lambda table: table.get_all(keys(1))),
        ("query", lambda table: list(table.query(Query("m")))),
        ("delete_item", lambda table: table.delete("m", "MESSAGE")),
    ],
    ids=["write", "read", "query", "delete"],
)
def test_unavailable_table_is_one_error_without_personal_values(
    table: Table,
    dynamodb: DynamoDBClient,
    method: str,
    use: Callable[[Table], object],
    error: Exception,
) -> None:
    """DynamoDB's own texts may contain keys, and so a caller's ids."""

    def fail(*_: object) -> None:
        raise error

    broken, _ = tampered(table, dynamodb, method, fail)
    with pytest.raises(TableUnavailableError) as caught:
        use(broken)

    assert CANARY not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert type(error).__name__ in str(caught.value) or "ThrottlingException" in str(caught.value)


# --- Threads, values and time limits ---------------------------------------------------------


def test_one_table_serves_several_threads(table: Table) -> None:
    """The requests of a batch end at the same time."""

    def work(number: int) -> int:
        table.put_all(item(1000 * number + index) for index in range(30))
        answers = table.execute([insert(f"t-{number}-{index}") for index in range(30)])
        return sum(answer.error is None for answer in answers)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == 6 * [30]


def test_values_survive_a_round_trip() -> None:
    """Only numbers become Decimal, and members without a value are dropped."""
    written = {
        "messageId": "m",
        "number": 5,
        "price": Decimal("0.0210"),
        "map": {"phoneNumber": "1", "none": None},
        "list": ["PUSH", "SMS"],
        "bytes": b"\x1f\x8b",
        "gone": None,
    }
    read = from_wire(to_wire(written))

    assert read.pop("bytes").value == b"\x1f\x8b"
    assert read == {
        "messageId": "m",
        "number": Decimal(5),
        "price": Decimal("0.0210"),
        "map": {"phoneNumber": "1", "none": None},
        "list": ["PUSH", "SMS"],
    }


def test_all_retries_take_at_most_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run must not be spent waiting for the table."""
    monkeypatch.undo()
    backoffs: list[float] = []
    monkeypatch.setattr("infobip_omni.dynamodb.time.sleep", backoffs.append)

    def leave_all(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (as in botocore)
        return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}

    throttled: Any = SimpleNamespace(batch_get_item=leave_all)
    with pytest.raises(TableUnavailableError):
        Table("messages", throttled).get_all(keys(1))

    assert backoffs[0] == 0
    assert 1 < sum(backoffs) < 2


def test_default_client_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes at most two attempts of a few seconds each."""
    made: list[Any] = []
    monkeypatch.setattr(boto3, "client", lambda _, config: made.append(config))
    Table("messages")

    (configuration,) = made

    assert configuration.connect_timeout + configuration.read_timeout <= 10
    assert configuration.retries["total_max_attempts"] == 2
