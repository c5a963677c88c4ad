"""The services that the functions of a run call: the AWS emulator and the Infobip simulator."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infobip_omni.api.authorization import ApiKeyCredentials
from infobip_omni.api.client import OmniClient
from infobip_omni.api.scenarios import ScenarioDefinition
from infobip_omni.delivery_reports import PAGES_ID
from infobip_omni.dynamodb import from_wire
from infobip_omni.message import CHECK_INDEX, CHECK_SHARDS
from infobip_omni.scenario_registry import RegisteredScenario
from tests.local_world.aws_emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.local_world.clients import options, session
from tests.local_world.infobip_simulator import process
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.template import messages_table, read_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.local_world.aws_emulator import AwsEmulator

    from .times import Deployment

Json = dict[str, Any]

SCENARIO = "chaos"
#: No log line may contain one of these.
API_KEY = "canary-api-key"
WEBHOOK_KEY = "canary-webhook-key-that-must-stay-secret"
_FUNCTION_VARIABLES = {
    "POWERTOOLS_SERVICE_NAME": "omni-chaos",
    "POWERTOOLS_METRICS_NAMESPACE": "InfobipOmni",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "RETENTION_DAYS": "90",
    "CLAIM_SECONDS": "120",  # the settings refuse less than 90; CHAOS_CLAIM_SECONDS overrides it
    "ON_UNKNOWN": "never-duplicate",
}


@contextmanager
def simulator(emulator: AwsEmulator, *more: str) -> Iterator[SimulatorControl]:
    """Run a simulator that ends no later than an emulator, and yield its control.

    Args:
        emulator: A running emulator.
        more: More command-line options of the simulator.
    """
    group = emulator.process_group
    with process.running("--api-key", API_KEY, *more, process_group=group) as url:
        yield SimulatorControl(url)


class Cloud:
    """Table, queues and parameters of template.yaml in an emulator, and a simulator of their own.

    Args:
        emulator: A running emulator; other runs may share it.
        simulator: The control of the run's own simulator.
        deployment: The times of the run.
        webhook_url: The start of the URLs that Infobip calls.
    """

    def __init__(
        self,
        emulator: AwsEmulator,
        simulator: SimulatorControl,
        deployment: Deployment,
        webhook_url: str,
    ) -> None:
        self._deployment = deployment
        self._webhook_url = webhook_url
        self._emulator = emulator
        #: Distinguishes this run from others in the emulator.
        self._name = f"chaos-{uuid.uuid4().hex[:8]}"
        self._prefix = f"/omni/{self._name}/"
        self.simulator = simulator
        self.sqs = session().client("sqs", **options(emulator.url))
        self.dynamodb = session().client("dynamodb", **options(emulator.url))
        self.ssm = session().client("ssm", **options(emulator.url))
        self.client = OmniClient(simulator.url, lambda **_: ApiKeyCredentials(api_key=API_KEY))
        self.dynamodb.create_table(TableName=self._name, **messages_table())
        resources = read_template()["Resources"]
        self.queue_url = self._create_queue("send", resources["SendQueue"])
        self.parking_url = self._create_queue("parking", resources["ParkedReportsQueue"])
        self.dead_letter_url = self._create_queue("dead", resources["SendDeadLetterQueue"])
        self._put_secret("infobip/credentials", json.dumps({"apiKey": API_KEY}))
        self._put_secret("webhook/key", WEBHOOK_KEY)
        self.scenario_key = self._create_scenario()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the functions."""
        return _FUNCTION_VARIABLES | {
            "AWS_ENDPOINT_URL": self._emulator.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "INFOBIP_BASE_URL": self.simulator.url,
            "INFOBIP_CREDENTIALS_PARAMETER": f"{self._prefix}infobip/credentials",
            "SCENARIO_PARAMETER_PREFIX": f"{self._prefix}scenarios/",
            "WEBHOOK_KEY_PARAMETER": f"{self._prefix}webhook/key",
            "MESSAGES_TABLE_NAME": self._name,
            "SEND_QUEUE_URL": self.queue_url,
            "SEND_DEAD_LETTER_QUEUE_URL": self.dead_letter_url,
            "PARKED_REPORTS_QUEUE_URL": self.parking_url,
            "DELIVERY_REPORT_URL": self._webhook_url,
            "CHAOS_CLAIM_SECONDS": str(self._deployment.claim),
            "RECONCILE_AFTER_SECONDS": str(int(self._deployment.reconcile_after)),
        }

    # --- The queues --------------------------------------------------------------------------

    def queue(self, bodies: Sequence[str]) -> list[str]:
        """Put at most ten bodies on the send queue; return their SQS message ids."""
        entries: Any = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        answer = self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
        ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
        return [ids[str(number)] for number in range(len(bodies))]

    def receive(self, url: str, max_records: int) -> list[Json]:
        """Receive records, in the form of a Lambda event."""
        answer = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=max_records,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [
            {
                "messageId": record["MessageId"],
                "receiptHandle": record["ReceiptHandle"],
                "body": record["Body"],
                "attributes": record["Attributes"],
                "messageAttributes": {},
                "md5OfBody": record["MD5OfBody"],
                "eventSource": "aws:sqs",
                "awsRegion": REGION,
            }
            for record in answer.get("Messages", ())
        ]

    def acknowledge(self, url: str, records: Iterable[Json]) -> None:
        """Delete records; a record that has been received again in the meantime stays."""
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": record["receiptHandle"]}
            for number, record in enumerate(records)
        ]
        if entries:
            self.sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    def records_left(self) -> int:
        """Return how many records and parked pages are left on the queues, visible or not."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(
            int(value)
            for url in (self.queue_url, self.parking_url)
            for value in self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
                "Attributes"
            ].values()
        )

    def dead_lettered_records(self) -> Iterator[tuple[str, str]]:
        """Receive the dead-lettered records: yield the record id and the reason."""
        while records := self.sqs.receive_message(
            QueueUrl=self.dead_letter_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=43200,
        ).get("Messages"):
            for record in records:
                attributes = record.get("MessageAttributes", {})
                values = {name: each["StringValue"] for name, each in attributes.items()}
                yield values.get("originalMessageId", ""), values.get("reason", "")

    # --- The table ---------------------------------------------------------------------------

    def unsettled(self) -> list[str]:
        """Return the ids of the messages that the reconciler has yet to check."""
        found: list[str] = []
        for shard in range(CHECK_SHARDS):
            pages = self.dynamodb.get_paginator("query").paginate(
                TableName=self._name,
                IndexName=str(CHECK_INDEX.name),
                KeyConditionExpression="checkShard = :shard",
                ExpressionAttributeValues={":shard": {"S": str(shard)}},
            )
            found += [str(item["messageId"]["S"]) for page in pages for item in page["Items"]]
        return found

    def items(self) -> Iterator[Json]:
        """Yield all items of the table."""
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=self._name):
            for item in page["Items"]:
                yield from_wire(item)

    def pages_left(self) -> int:
        """Return how many parts of pages are stored but not recorded."""
        return self.dynamodb.query(
            TableName=self._name,
            Select="COUNT",
            KeyConditionExpression="messageId = :pages",
            ExpressionAttributeValues={":pages": {"S": PAGES_ID}},
            ConsistentRead=True,
        )["Count"]

    def message(self, message_id: str) -> Json:
        """Return the item that holds the state of a message."""
        key: Any = {"messageId": {"S": message_id}, "entry": {"S": "MESSAGE"}}
        answer = self.dynamodb.get_item(TableName=self._name, Key=key, ConsistentRead=True)
        return from_wire(answer["Item"])

    # --- The simulator -----------------------------------------------------------------------

    def truth(self) -> dict[str, Json]:
        """Return what Infobip knows of each message, by message id."""
        return {entry["messageId"]: entry for entry in self.simulator.messages()}

    # --- Creation ----------------------------------------------------------------------------

    def _create_queue(self, name: str, resource: Json) -> str:
        copied = ("MessageRetentionPeriod", "MaximumMessageSize")
        properties = resource["Properties"]
        attributes: Any = {each: str(properties[each]) for each in copied if each in properties}
        attributes["VisibilityTimeout"] = str(int(self._deployment.visibility))
        queue = self.sqs.create_queue(QueueName=f"{self._name}-{name}", Attributes=attributes)
        return str(queue["QueueUrl"])

    def _put_secret(self, name: str, value: str) -> None:
        self.ssm.put_parameter(Name=self._prefix + name, Value=value, Type="SecureString")

    def _create_scenario(self) -> str:
        flow = ({"from": "App", "channel": "PUSH"}, {"from": "Shop", "channel": "SMS"})
        definition = ScenarioDefinition.model_validate({"name": SCENARIO, "flow": flow})
        key = str(self.client.create_scenario(definition).key)
        entry = RegisteredScenario(key=key, name=SCENARIO, flow=definition.flow, default=False)
        self.ssm.put_parameter(
            Name=f"{self._prefix}scenarios/{SCENARIO}", Value=entry.to_json(), Type="String"
        )
        return key
