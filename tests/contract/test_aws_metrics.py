"""Metrics cover every way to invoke a function, the metrics it logs, and the content of queues."""

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
        raise RuntimeError("on request")
    metrics = [{"Name": "Handled"}]
    about = [{"Namespace": "Own", "Dimensions": [["service"]], "Metrics": metrics}]
    line = {"_aws": {"Timestamp": 1000, "CloudWatchMetrics": about}, "service": "s", "Handled": 1}
    print(json.dumps(line))
    return {"statusCode": 404}
"""
HANDLED = Metric("Own", "Handled", (("service", "s"),))


class Aws:
    """The emulator with one function, which can be invoked in every way."""

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
        once = {"total_max_attempts": 1}
        return session().client(service, **options(self.emulator.url, retries=once))

    def measured(self) -> Series:
        """Return all metrics measured so far."""
        logs = self.client("logs")
        groups = logs.describe_log_groups()["logGroups"]
        lines = [
            event["message"]
            for group in groups
            for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        ]
        return collected(self.emulator.directory, "\n".join(lines))

    def total(self, name: str) -> float:
        """Return the sum of a metric of the function."""
        metric = Metric("AWS/Lambda", name, (("FunctionName", "function"),))
        return sum(value for _, value in self.measured().get(metric, []))

    def samples(self, name: str | None) -> int:
        """Return the number of values of all metrics with that name."""
        return sum(len(values) for metric, values in self.measured().items() if metric.name == name)

    def values(self, queue: str, name: str) -> list[float]:
        metric = Metric("AWS/SQS", name, (("QueueName", queue),))
        return [value for _, value in self.measured().get(metric, [])]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with AwsEmulator() as emulator:
        yield Aws(emulator)


def directly(aws: Aws) -> None:
    aws.functions.invoke(FunctionName="function", Payload=b"{}")


def asynchronously(aws: Aws) -> None:
    aws.functions.invoke(FunctionName="function", InvocationType="Event", Payload=b"{}")


def through_the_alias(aws: Aws) -> None:
    aws.functions.invoke(FunctionName="function:live", Payload=b"{}")


def by_a_queue(aws: Aws) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="read")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:000000000000:read"
    aws.functions.create_event_source_mapping(FunctionName="function", EventSourceArn=arn)
    sqs.send_message(QueueUrl=url, MessageBody="a message")


def by_a_stream(aws: Aws) -> None:
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
    url = aws.functions.create_function_url_config(FunctionName="function", AuthType="NONE")
    aws.functions.add_permission(
        FunctionName="function",
        StatementId="public",
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
    """Each way counts one invocation, no error, and one value of the metric that is logged."""
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


def test_exception_counts_as_invocation_and_error(aws: Aws) -> None:
    invocations, errors = aws.total("Invocations"), aws.total("Errors")

    aws.functions.invoke(FunctionName="function", Payload=json.dumps({"fail": True}))

    assert (aws.total("Invocations"), aws.total("Errors")) == (invocations + 1, errors + 1)


def test_queue_metrics_follow_its_messages(aws: Aws) -> None:
    """After three receives, a message no longer counts for the age of the oldest one."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    visible, in_flight = (
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
    )

    sqs.send_message(QueueUrl=url, MessageBody="a message")
    wait_until(lambda: aws.values("queue", visible)[-1:] == [1], 10, "the message is visible")
    for _ in range(3):
        assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    ages = len(aws.values("queue", "ApproximateAgeOfOldestMessage"))
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=60)
    wait_until(lambda: aws.values("queue", in_flight)[-1:] == [1], 10, "the message is in flight")

    assert ages >= 1
    assert len(aws.values("queue", "ApproximateAgeOfOldestMessage")) <= ages + 1
