"""The local world: template.yaml deployed to an AWS emulator, and a simulator of Infobip.

The end-to-end tests, the demo and `make local` use `World`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import ExitStack, nullcontext
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from boto3.dynamodb.types import TypeDeserializer

from .aws_emulator import (
    ACCESS_KEY_ID,
    REGION,
    ROOT,
    SECRET_ACCESS_KEY,
    AwsEmulator,
    free_port,
)
from .clients import options, session
from .infobip_simulator import process
from .packaging import SAM, layer, layer_environment, run, sam_environment, with_replaced, zipped
from .proxies import reach_this_machine_directly
from .simulator_control import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from ipaddress import IPv4Interface
    from types import TracebackType

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

    ResultT = TypeVar("ResultT")

Json = dict[str, Any]

API_KEY = "local-key"
STAGE = "local"
#: An operator generates such a key, and keeps it secret.
WEBHOOK_KEY = "a local key that is no secret at all"
STACK_NAME = "omni-local"
#: Ten senders that start concurrently would keep two cores busy for seconds.
_PARAMETERS = {"Stage": STAGE, "SendMaximumConcurrency": "2"}
_CODE_BUCKET = "omni-local-code"


class FunctionFailedError(Exception):
    """An invoked function raised; `answer` is the error that Lambda returns to the caller."""

    def __init__(self, function_name: str, answer: Json) -> None:
        super().__init__(f"{function_name}: {answer.get('errorMessage', answer)}")
        self.answer = answer


class StartStep(StrEnum):
    """The steps of starting a local world, in order."""

    EMULATOR = "Start the AWS emulator"
    SIMULATOR = "Start Infobip's simulator"
    BUILD = "Build the layer and the functions"
    DEPLOY = "Deploy template.yaml"


class World:
    """The deployed application with its AWS and Infobip; a context manager.

    Args:
        deploy: `fast` gives the template to the emulator without SAM's CLI; `sam` deploys as an
            operator does, by `sam build` and `sam deploy`.
        parameters: Template parameters that differ from their defaults.
        simulator_options: Command line options of the simulator.
        preferred_ports: Of emulator and simulator; a free port replaces one that is taken.
        also_on: A further address that both listen on, with the network that may call there.
    """

    def __init__(
        self,
        *,
        deploy: Literal["fast", "sam"] = "fast",
        parameters: Mapping[str, object] | None = None,
        simulator_options: tuple[str, ...] = (),
        preferred_ports: tuple[int, int] = (0, 0),
        also_on: IPv4Interface | None = None,
    ) -> None:
        self._deploy = {"fast": self._deploy_fast, "sam": self._deploy_by_sam}[deploy]
        self._parameters = _PARAMETERS | {k: str(v) for k, v in (parameters or {}).items()}
        self._simulator_options = simulator_options
        emulator_port, self._simulator_port = preferred_ports
        self.also_on = also_on
        #: Returns the context in which a step of the start runs, such as one that shows it.
        self.during: Callable[[StartStep], AbstractContextManager[None]] = lambda _: nullcontext()
        self.emulator = AwsEmulator(preferred_port=emulator_port, also_on=also_on)
        self.outputs: dict[str, str] = {}
        #: Of the queue that receives the outcome events from the bus; None without a bus.
        self.outcome_queue_url: str | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Start both, create the parameters and the bus that an operator creates, and deploy.

        Raises:
            RuntimeError: A process did not start, or the deployment failed; the text says why.
        """
        forget_aws_account()
        reach_this_machine_directly(os.environ)
        with ExitStack() as exits:
            with self.during(StartStep.EMULATOR):
                exits.enter_context(self.emulator)
            with self.during(StartStep.SIMULATOR):
                self.simulator = SimulatorControl(exits.enter_context(self._simulator()))
            self._parameters["InfobipBaseUrl"] = self.simulator.url
            for name, value in {
                "infobip/credentials": json.dumps({"apiKey": API_KEY}),
                "webhook/key": WEBHOOK_KEY,
            }.items():
                self.ssm.put_parameter(
                    Name=f"/omni/{self._parameters['Stage']}/{name}",
                    Value=value,
                    Type="SecureString",
                )
            if bus := self._parameters.get("OutcomeEventBusName"):
                self.outcome_queue_url = self._listen_to(bus)
            self._deploy()
            self.outputs = self._stack_outputs(STACK_NAME)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything, and leave only the build behind."""
        self._exits.close()

    @cached_property
    def sqs(self) -> SQSClient:
        return session().client("sqs", **self._client_options)

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        return session().client("dynamodb", **self._client_options)

    @cached_property
    def functions(self) -> LambdaClient:
        return session().client("lambda", **self._client_options)

    @cached_property
    def ssm(self) -> SSMClient:
        return session().client("ssm", **self._client_options)

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        return session().client("cloudwatch", **self._client_options)

    @cached_property
    def cloudwatch_logs(self) -> CloudWatchLogsClient:
        return session().client("logs", **self._client_options)

    @cached_property
    def events(self) -> EventBridgeClient:
        return session().client("events", **self._client_options)

    @cached_property
    def scheduler(self) -> EventBridgeSchedulerClient:
        return session().client("scheduler", **self._client_options)

    def invoke(self, output_name: str, event: object) -> Any:  # noqa: ANN401 (any JSON value)
        """Invoke the function that an output of the template names, and return its answer.

        Raises:
            FunctionFailedError: The function raised.
        """
        function_name = self.outputs[output_name]
        response = self.functions.invoke(FunctionName=function_name, Payload=json.dumps(event))
        answer = json.loads(response["Payload"].read() or "null")
        if "FunctionError" in response:
            raise FunctionFailedError(function_name, answer)
        return answer

    def put_message(self, body: Json | str, **attributes: str) -> str:
        """Put a record on the send queue, with message attributes; return SQS's message id."""
        answer = self.sqs.send_message(
            QueueUrl=self.outputs["SendQueueUrl"],
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )
        return answer["MessageId"]

    def message(self, message_id: str) -> Json | None:
        """Return the item with a message's state, or None if there is none."""
        return next((i for i in self.entries(message_id) if i["entry"] == "MESSAGE"), None)

    def entries(self, message_id: str) -> list[Json]:
        """Return all items of a message: its state, its reports, its log rows."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.outputs["MessagesTableName"],
            KeyConditionExpression="messageId = :id",
            ExpressionAttributeValues={":id": {"S": message_id}},
            ConsistentRead=True,
        )
        return [plain_item(item) for page in pages for item in page["Items"]]

    def dead_lettered_records(self) -> list[Json]:
        """Return `body` and `attributes` of each dead-lettered record, without removing it."""
        found: dict[str, Json] = {}
        while records := self.sqs.receive_message(
            QueueUrl=self.outputs["SendDeadLetterQueueUrl"],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        ).get("Messages"):
            new = {record["MessageId"]: record for record in records}
            if new.keys() <= found.keys():
                break
            for message_id, record in new.items():
                attributes = record.get("MessageAttributes", {})
                found[message_id] = {
                    "body": record["Body"],
                    "attributes": {name: a["StringValue"] for name, a in attributes.items()},
                }
        return list(found.values())

    def take_outcome_events(self) -> list[Json]:
        """Take the outcome events that were published since the last call."""
        if self.outcome_queue_url is None:
            raise RuntimeError("this local world has no event bus: give it OutcomeEventBusName")
        return take_outcome_events(self.sqs, self.outcome_queue_url)

    def waiting(self) -> int:
        """Return the number of records on the send queue: visible, in flight and delayed."""
        return records_on(self.sqs, self.outputs["SendQueueUrl"])

    def logs(self, *, containing: str = "") -> str:
        """Return the log lines of all functions, or only those that contain a text."""
        pattern = json.dumps(containing) if containing else ""
        groups = self.cloudwatch_logs.get_paginator("describe_log_groups").paginate()
        events = self.cloudwatch_logs.get_paginator("filter_log_events")
        return "\n".join(
            event["message"]
            for page in groups
            for group in page["logGroups"]
            for found in events.paginate(logGroupName=group["logGroupName"], filterPattern=pattern)
            for event in found["events"]
        )

    def resources(self) -> dict[str, str]:
        """Return the physical ids of the template's resources by their logical ids."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=STACK_NAME
        )
        found = [each for page in pages for each in page["StackResourceSummaries"]]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def alarms(self) -> dict[str, Json]:
        """Return the alarms as CloudWatch describes them, by their logical ids."""
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate()
        found: dict[str, Json] = {
            alarm["AlarmName"]: dict(alarm) for page in pages for alarm in page["MetricAlarms"]
        }
        return {name: found[own] for name, own in self.resources().items() if own in found}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point AWS's tools and libraries to the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.emulator.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }

    @cached_property
    def _client_options(self) -> Any:  # noqa: ANN401 (options of a client of any service)
        return options(self.emulator.url, s3={"addressing_style": "path"})

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        return session().client("cloudformation", **self._client_options)

    @cached_property
    def _s3(self) -> S3Client:
        return session().client("s3", **self._client_options)

    def _simulator(self) -> AbstractContextManager[str]:
        """Start the simulator in the emulator's process group."""
        return process.running(
            *("--port", str(free_port(self._simulator_port, self.also_on))),
            *("--api-key", API_KEY),
            *(("--also-on", str(self.also_on)) if self.also_on else ()),
            # The hosts of function URLs are AWS's, and the emulator serves them.
            *("--resolve", f".on.aws={self.emulator.url.removeprefix('http://')}"),
            *self._simulator_options,
            process_group=self.emulator.process_group,
        )

    def _deploy_by_sam(self) -> None:
        """Deploy with an operator's commands, in a build folder and environment of our own."""
        directory = self.emulator.directory
        environment = (
            os.environ
            | self.environment
            | sam_environment(directory)
            | layer_environment(self.emulator.functions_python)
            | {"SAM_CLI_POLL_DELAY": "0.5"}  # seconds
        )
        # By default sam looks for its configuration beside the template.
        arguments = ["--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local"]
        overrides = [f"{name}={value}" for name, value in self._parameters.items()]
        built = directory / "build"
        with self.during(StartStep.BUILD):
            run([*SAM, "build", *arguments, "--build-dir", str(built)], environment)
        with self.during(StartStep.DEPLOY):
            run(
                [
                    *(*SAM, "deploy", *arguments, "--template-file", str(built / "template.yaml")),
                    *("--parameter-overrides", *overrides),
                ],
                # A proxy does not reach the emulator, which is on this machine.
                {k: v for k, v in environment.items() if not k.lower().endswith("_proxy")},
            )

    def _listen_to(self, bus: str) -> str:
        """Create a bus, and a queue that receives its outcome events; return the queue's URL."""
        if bus != "default":  # every account has it
            self.events.create_event_bus(Name=bus)
        url = self.sqs.create_queue(QueueName="outcome-events")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        pattern = {"source": ["omni"], "detail-type": ["OMNI Message Settled"]}
        rule = "outcome-events"
        self.events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
        target: Any = {"Id": rule, "Arn": arn["Attributes"]["QueueArn"]}
        self.events.put_targets(Rule=rule, EventBusName=bus, Targets=[target])
        return url

    def _deploy_fast(self) -> None:
        self._s3.create_bucket(Bucket=_CODE_BUCKET)
        with self.during(StartStep.BUILD):
            template = self._template_of(self._parameters, {})
        with self.during(StartStep.DEPLOY):
            self._create_stack(STACK_NAME, template)

    def create_stack(self, name: str, **parameters: object) -> dict[str, str]:
        """Create a stack from template.yaml, as `sam deploy` does, and return its outputs.

        Args:
            name: Of the stack.
            parameters: Template parameters that differ from those of this local world.

        Raises:
            RuntimeError: The stack was rolled back; the text says why.
        """
        changed = self._parameters | {k: str(v) for k, v in parameters.items()}
        self._create_stack(name, self._template_of(changed, {}))
        return self._stack_outputs(name)

    def _create_stack(self, name: str, template: Any) -> None:  # noqa: ANN401 (as `_template_of`)
        self.cloudformation.create_stack(
            StackName=name, Capabilities=["CAPABILITY_IAM"], **template
        )
        wait_until(lambda: self._is_settled(name, "CREATE_COMPLETE"), 60, "the stack is created")

    def update(
        self,
        replaced: Mapping[str, bytes] | None = None,
        name: str = STACK_NAME,
        **parameters: object,
    ) -> dict[str, str]:
        """Update a stack, by default that of this local world, and return its outputs.

        Args:
            name: Of the stack.
            replaced: Other content for files of the layer, by their path in `shared/`.
            parameters: Template parameters that differ from those of this local world.

        Raises:
            RuntimeError: The update was rolled back; the text says why.
        """
        changed = self._parameters | {k: str(v) for k, v in parameters.items()}
        self.cloudformation.update_stack(
            StackName=name,
            Capabilities=["CAPABILITY_IAM"],
            **self._template_of(changed, replaced or {}),
        )
        wait_until(lambda: self._is_settled(name, "UPDATE_COMPLETE"), 60, "the stack is updated")
        outputs = self._stack_outputs(name)
        if name == STACK_NAME:
            self.outputs = outputs
        return outputs

    def _template_of(self, parameters: Mapping[str, str], replaced: Mapping[str, bytes]) -> Any:  # noqa: ANN401
        """Upload code and template, and return the arguments that name them.

        CloudFormation accepts a template of more than 50 KB only from S3.
        """
        # This takes a second to import, and a deployment by SAM does not need it.
        from .template import transformed  # noqa: PLC0415

        def code_of(name: str) -> Json:
            if name == "InfobipOmniLayer":
                built = layer(self.emulator.functions_python, self.emulator.directory)
                return self._upload(name, with_replaced(built, replaced))
            folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Function")).lower()
            return self._upload(name, zipped(ROOT / "functions" / folder))

        translated = json.dumps(transformed(parameters, code_of))
        key = self._upload("template", translated.encode())["Key"]
        return {
            "TemplateURL": f"{self.emulator.url}/{_CODE_BUCKET}/{key}",
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
        }

    def _is_settled(self, name: str, wanted: str) -> bool:
        stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        status = stack["StackStatus"]
        if status.endswith(("ROLLBACK_COMPLETE", "FAILED")):
            events = self.cloudformation.describe_stack_events(StackName=name)
            reasons = {
                f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
                for event in events["StackEvents"]
                if event.get("ResourceStatusReason")
            }
            raise RuntimeError("the stack was rolled back:\n" + "\n".join(sorted(reasons)))
        return status == wanted

    def _stack_outputs(self, name: str) -> dict[str, str]:
        stack = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def _upload(self, name: str, content: bytes) -> Json:
        """Upload content under a key that changes with it, as SAM does."""
        key = f"{name}-{hashlib.sha256(content).hexdigest()[:32]}"
        self._s3.put_object(Bucket=_CODE_BUCKET, Key=key, Body=content)
        return {"Bucket": _CODE_BUCKET, "Key": key}


def plain_item(item: Mapping[str, Any]) -> Json:
    """Return the attributes of an item of DynamoDB as Python values."""
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def records_on(queue: SQSClient, url: str) -> int:
    """Return the number of records on a queue: visible, in flight and delayed."""
    names: Any = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    answer = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(value) for value in answer["Attributes"].values())


def take_outcome_events(queue: SQSClient, url: str, message_id: str = "") -> list[Json]:
    """Receive and delete the outcome events on a queue, in the order of their arrival.

    Args:
        queue: A client of SQS.
        url: Of the queue.
        message_id: Takes only the events about this message; empty takes all.
    """
    taken: list[Json] = []
    others = []
    while records := queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for record in records:
            event = json.loads(record["Body"])
            if message_id in ("", event["detail"]["messageId"]):
                queue.delete_message(QueueUrl=url, ReceiptHandle=record["ReceiptHandle"])
                taken.append(event)
            else:  # it stays invisible until all events have been received
                others.append(record["ReceiptHandle"])
    for handle in others:
        queue.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    return taken


def forget_aws_account() -> None:
    """Remove from this process's environment everything that could lead to a real AWS account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def wait_until(
    condition: Callable[[], ResultT], within_seconds: float, what: str, *, every: float = 0.05
) -> ResultT:
    """Evaluate a condition until it is true, and return its value.

    Raises:
        TimeoutError: It did not become true in time; the text holds `what`, a clause such as
            "the queue is empty".
    """
    deadline = time.monotonic() + within_seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {within_seconds:g} s, waiting until {what}")
        time.sleep(every)
    return result
