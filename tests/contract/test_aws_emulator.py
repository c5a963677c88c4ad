"""The emulator allows functions exactly what AWS would, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from ipaddress import IPv4Interface
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_world.aws_emulator import (
    REGION,
    ROOT,
    AwsEmulator,
    answer_known,
    statement_check,
)
from tests.local_world.clients import options, session
from tests.local_world.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TABLE = "messages"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:000000000000:table/{TABLE}"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:000000000000:queue"
INSERT = "INSERT INTO \"messages\" VALUE {'id': 'a'}"
UPDATE = "UPDATE \"messages\" SET state = 'B' WHERE id = 'a'"
NUMBERS = count()


@pytest.fixture(scope="module")
def emulator() -> Iterator[AwsEmulator]:
    with AwsEmulator() as running:
        client(running, "dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client(running, "sqs").create_queue(QueueName="queue")
        yield running


@pytest.fixture
def allowed(emulator: AwsEmulator) -> Callable[..., Any]:
    """Return a factory of clients whose role allows only the given actions on one resource."""

    def make(service: str, resource: str, *actions: str) -> Any:  # noqa: ANN401 (any client)
        iam = client(emulator, "iam")
        name = f"role-{next(NUMBERS)}"
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
        permission = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=document(permission))
        session = client(emulator, "sts").assume_role(
            RoleArn=role["Role"]["Arn"], RoleSessionName="test"
        )
        keys = session["Credentials"]
        return client(
            emulator,
            service,
            (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]),
        )

    return make


def client(
    emulator: AwsEmulator,
    service: Any,  # noqa: ANN401 (the stubs list every service)
    keys: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 (any client)
    """Create a client of the emulator, by default as the root user of its account."""
    return session(*keys).client(service, **options(emulator.url))


def document(*statements: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def execute(dynamodb: Any, *statements: str) -> Any:  # noqa: ANN401 (any client, any answer)
    """Execute PartiQL statements as one batch."""
    return dynamodb.batch_execute_statement(Statements=[{"Statement": s} for s in statements])


@pytest.mark.parametrize(
    ("statement", "action", "resource"),
    [
        ("INSERT INTO \"t\" VALUE {'id': ?}", "PartiQLInsert", "table/t"),
        ("insert into t value {'id': ?}", "PartiQLInsert", "table/t"),
        ('UPDATE "a.b-c_d" SET x = ? WHERE id = ?', "PartiQLUpdate", "table/a.b-c_d"),
        ('DELETE FROM "t" WHERE id = ?', "PartiQLDelete", "table/t"),
        ('SELECT * FROM "t" WHERE id = ?', "PartiQLSelect", "table/t"),
        ('SELECT id, x\n  FROM "t"."i" WHERE x = ?', "PartiQLSelect", "table/t/index/i"),
    ],
)
def test_statement_is_authorized_by_its_verb_and_table(
    statement: str, action: str, resource: str
) -> None:
    """Each verb of PartiQL has its own action; its resource is the table or index."""
    assert statement_check(statement, REGION, "1") == (
        f"dynamodb:{action}",
        f"arn:aws:dynamodb:{REGION}:1:{resource}",
    )


def test_parameters_below_a_path_are_authorized_on_the_path(
    allowed: Callable[..., Any], emulator: AwsEmulator
) -> None:
    """AWS denies it to a role that may only read what is below.

    "If a user has access to a path, then the user can access all levels of that path", AWS Systems
    Manager API Reference, "GetParametersByPath".
    """
    client(emulator, "ssm").put_parameter(Name="/a/b/c", Value="value", Type="String")
    arn = f"arn:aws:ssm:{REGION}:000000000000:parameter/a/b"

    read = allowed("ssm", arn, "ssm:GetParametersByPath").get_parameters_by_path(Path="/a/b")

    assert [each["Name"] for each in read["Parameters"]] == ["/a/b/c"]
    for resource in (f"{arn}/*", f"{arn}/c"):
        with pytest.raises(ClientError, match="AccessDenied"):
            allowed("ssm", resource, "ssm:GetParametersByPath").get_parameters_by_path(Path="/a/b")


def test_unparseable_statement_is_authorized_by_no_policy() -> None:
    assert statement_check("DROP TABLE t", REGION, "1") == ("dynamodb:PartiQL", "*")


def test_partiql_action_suffices_for_a_batch(allowed: Callable[..., Any]) -> None:
    """AWS requires no other permission."""
    dynamodb = allowed("dynamodb", TABLE_ARN, "dynamodb:PartiQLInsert")

    assert "Error" not in execute(dynamodb, INSERT)["Responses"][0]


@pytest.mark.parametrize(
    "actions",
    [
        ("dynamodb:PartiQLUpdate",),
        ("dynamodb:PutItem", "dynamodb:UpdateItem"),
        ("dynamodb:BatchExecuteStatement",),
    ],
)
def test_role_without_the_partiql_action_is_refused(
    allowed: Callable[..., Any], actions: tuple[str, ...]
) -> None:
    """Another verb, an action on single items, or the name of the API call does not suffice."""
    dynamodb = allowed("dynamodb", TABLE_ARN, *actions)

    with pytest.raises(ClientError, match=r"AccessDenied.*PartiQLInsert"):
        execute(dynamodb, INSERT)


def test_batch_with_one_unauthorized_statement_is_refused(
    allowed: Callable[..., Any],
) -> None:
    dynamodb = allowed("dynamodb", TABLE_ARN, "dynamodb:PartiQLInsert")

    with pytest.raises(ClientError, match=r"AccessDenied.*PartiQLUpdate"):
        execute(dynamodb, INSERT, UPDATE)


def test_permission_on_another_table_does_not_suffice(allowed: Callable[..., Any]) -> None:
    dynamodb = allowed("dynamodb", f"{TABLE_ARN}-other", "dynamodb:PartiQLInsert")

    with pytest.raises(ClientError, match="AccessDenied"):
        execute(dynamodb, INSERT)


def test_message_batch_is_authorized_like_single_messages(
    emulator: AwsEmulator, allowed: Callable[..., Any]
) -> None:
    """SQS has no separate action for batches."""
    sender = allowed("sqs", QUEUE_ARN, "sqs:SendMessage")
    reader = allowed("sqs", QUEUE_ARN, "sqs:ReceiveMessage")
    url = client(emulator, "sqs").get_queue_url(QueueName="queue")["QueueUrl"]
    batch = {"QueueUrl": url, "Entries": [{"Id": "1", "MessageBody": "x"}]}

    assert "Successful" in sender.send_message_batch(**batch)
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.send_message_batch(**batch)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_emulator_listens_on_the_given_address_and_no_other() -> None:
    """All of 127.0.0.0/8 is loopback, so a wildcard socket would also answer on 127.0.0.3."""
    with AwsEmulator(also_on=IPv4Interface("127.0.0.2/32")) as emulator:
        here = {f"127.0.0.{n}": is_open(f"127.0.0.{n}", emulator.port) for n in (1, 2, 3)}

    assert here == {"127.0.0.1": True, "127.0.0.2": True, "127.0.0.3": False}


@pytest.mark.parametrize(
    ("caller", "status"),
    [("127.0.0.1", 200), ("172.17.0.2", 200), ("192.0.2.7", 403), ("172.18.0.2", 403)],
)
def test_emulator_on_a_bridge_refuses_other_networks(caller: str, status: int) -> None:
    """Another machine with a route to this one could also reach the bridge's address."""
    statuses: list[int] = []

    async def application(_scope: object, _receive: object, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: dict[str, Any]) -> None:
        statuses.extend(value for name, value in message.items() if name == "status")

    scope = {"type": "http", "client": (caller, 40000)}
    asyncio.run(
        answer_known(application, IPv4Interface("172.17.0.1/16"), scope, send=send, receive=None)
    )

    assert statuses == [status]


def test_emulator_on_a_bridge_refuses_web_sockets_from_other_networks() -> None:
    """The connection is closed before anything is read from it."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "client": ("192.0.2.7", 40000)}
    asyncio.run(answer_known(None, IPv4Interface("172.17.0.1/16"), scope, send=send, receive=None))

    assert sent == [{"type": "websocket.close"}]


def test_stopping_leaves_no_process_and_no_file() -> None:
    with AwsEmulator() as emulator:
        group, directory = emulator.process_group, emulator.directory
        assert directory.is_dir()

    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def test_emulator_exits_when_its_parent_is_killed() -> None:
    """A killed parent cannot clean up, yet no process and no file remains."""
    script = (
        "from tests.local_world.aws_emulator import AwsEmulator\n"
        "with AwsEmulator() as e:\n"
        "    print(e.process_group, e.directory, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(  # noqa: S603 (no untrusted input)
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        group, directory = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: _is_gone(int(group)), 10, "the emulator exits")
    wait_until(lambda: not Path(directory).exists(), 10, "its files are removed")


def is_open(address: str, port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex((address, port)) == 0


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
