"""Every way to invoke a function is measured, and so is what it writes and what queues hold."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.local_world.aws_emulator import (
    REGION,
    AwsEmulator,
)
from tests.local_world.aws_metrics import Metric, Series, collected
from tests.local_world.clients import options, session
from tests.local_world.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE = """
import json

def handler(event, context):
    if event.get("fail"):
        raise RuntimeError("as asked for")
    metrics = [{"Name": "Handled"}]
    about = [{"Namespace": "Own", "Dimensions": [["service"]], "Metrics": metrics}]
    line = {"_aws": {"Timestamp": 1000, "CloudWatchMetrics": about}, "service": "s", "Handled": 1}
    print(json.dumps(line))
    return {"statusCode": 404}
"""
HANDLED = Metric("Own", "Handled", (("service", "s"),))


class Aws:
    """The emulator, with a function in it that can be invoked in every way."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self.emulator = emulator
        self.functions = self.client("lambda")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", CODE)
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
        role = self.client("iam").create_role(
            RoleName="role",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
        self.functions.create_function(
            FunctionName="function",
            Runtime="python3.13",
            Handler="app.handler",
            Role=role["Role"]["Arn"],
            Code={"ZipFile": content.getvalue()},
            Publish=True,
        )
        self.functions.create_alias(FunctionName="function", Name="live", FunctionVersion="1")

    def client(self, service: Any) -> Any:  # noqa: ANN401 (any client)
        """Make a client of the root user."""
        once = {"total_max_attempts": 1}
        return session().client(service, **options(self.emulator.url, retries=once))

    def measured(self) -> Series:
        """Return what was measured so far."""
        logs = self.client("logs")
        groups = logs.describe_log_groups()["logGroups"]
        lines = [
            event["message"]
            for group in groups
            for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        ]
        return collected(self.emulator.directory, "\n".join(lines))

    def total(self, name: str) -> float:
        """Add up a metric of the function."""
        metric = Metric("AWS/Lambda", name, (("FunctionName", "function"),))
        return sum(value for _, value in self.measured().get(metric, []))

    def samples(self, name: str | None) -> int:
        """Count the values of a metric."""
        return sum(len(values) for metric, values in self.measured().items() if metric.name == name)

    def values(self, queue: str, name: str) -> list[float]:
        """Return the values of a queue's metric."""
        metric = Metric("AWS/SQS", name, (("QueueName", queue),))
        return [value for _, value in self.measured().get(metric, [])]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """Run the emulator."""
    with AwsEmulator() as emulator:
        yield Aws(emulator)


def directly(aws: Aws) -> None:
    """Wait for the answer."""
    aws.functions.invoke(FunctionName="function", Payload=b"{}")


def asynchronously(aws: Aws) -> None:
    """Wait for no answer."""
    aws.functions.invoke(FunctionName="function", InvocationType="Event", Payload=b"{}")


def through_the_alias(aws: Aws) -> None:
    """Name a version."""
    aws.functions.invoke(FunctionName="function:live", Payload=b"{}")


def by_a_queue(aws: Aws) -> None:
    """Put a message on a queue that a mapping reads."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="read")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:000000000000:read"
    aws.functions.create_event_source_mapping(FunctionName="function", EventSourceArn=arn)
    sqs.send_message(QueueUrl=url, MessageBody="a message")


def by_a_stream(aws: Aws) -> None:
    """Put an item into a table whose stream a mapping reads."""
    dynamodb = aws.client("dynamodb")
    table = dynamodb.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    aws.functions.create_event_source_mapping(
        FunctionName="function",
        EventSourceArn=table["LatestStreamArn"],
        StartingPosition="TRIM_HORIZON",
    )
    dynamodb.put_item(TableName="table", Item={"id": {"S": "1"}})


def by_its_url(aws: Aws) -> None:
    """Call the function's URL."""
    url = aws.functions.create_function_url_config(FunctionName="function", AuthType="NONE")
    aws.functions.add_permission(
        FunctionName="function",
        StatementId="anybody",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    host = urlsplit(url["FunctionUrl"]).netloc
    with requests.Session() as session:
        session.trust_env = False
        session.get(aws.emulator.url, headers={"Host": host}, timeout=30)


@pytest.mark.parametrize(
    ("way", "also"),
    [
        (directly, None),
        (asynchronously, None),
        (through_the_alias, None),
        (by_a_queue, None),
        (by_a_stream, "IteratorAge"),
        (by_its_url, "Url4xxCount"),
    ],
)
def test_every_way_to_invoke_a_function_counts_once(
    aws: Aws, way: Callable[[Aws], None], also: str | None
) -> None:
    """One invocation, no error, and a metric that the function has written."""
    names = ("Errors", "Throttles")
    before = {name: aws.total(name) for name in names}
    invocations, lines = aws.total("Invocations"), len(aws.measured().get(HANDLED, []))
    others = aws.samples(also)

    way(aws)

    wait_until(lambda: aws.total("Invocations") > invocations, 20, "it was invoked")
    wait_until(lambda: aws.samples(also) == others + bool(also), 5, f"{also} was measured")
    assert aws.total("Invocations") == invocations + 1
    assert {name: aws.total(name) for name in names} == before
    assert len(aws.measured()[HANDLED]) == lines + 1


def test_function_that_raises_counts_as_an_error(aws: Aws) -> None:
    """It counts as an invocation too."""
    invocations, errors = aws.total("Invocations"), aws.total("Errors")

    aws.functions.invoke(FunctionName="function", Payload=json.dumps({"fail": True}))

    assert (aws.total("Invocations"), aws.total("Errors")) == (invocations + 1, errors + 1)


def test_what_a_queue_holds_is_measured(aws: Aws) -> None:
    """A message waits, and once it was received three times it has no age any more."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    visible, hidden = "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"

    sqs.send_message(QueueUrl=url, MessageBody="a message")
    wait_until(lambda: aws.values("queue", visible)[-1:] == [1], 10, "the message is seen")
    for _ in range(3):
        assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    ages = len(aws.values("queue", "ApproximateAgeOfOldestMessage"))
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=60)
    wait_until(lambda: aws.values("queue", hidden)[-1:] == [1], 10, "the message is hidden")

    assert ages >= 1
    assert len(aws.values("queue", "ApproximateAgeOfOldestMessage")) <= ages + 1
