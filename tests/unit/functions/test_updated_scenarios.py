"""While an operator updates a scenario, senders neither refuse nor store anything by its old flow.

Each sender has a registry of its own, like an execution environment of send_message; all share one
SSM and one clock. The waits of create_scenario let the time pass, and senders work meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from functions.create_scenario.app import Dependencies as CreateDependencies
from functions.create_scenario.app import create_scenario
from functions.send_message import app
from functions.send_message.app import Dependencies, Policy, send_messages
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import OutcomeUnknownError
from infobip_omni.api.scenarios import ScenarioDefinition, ScenarioStep
from infobip_omni.circuit_breaker import CircuitBreaker
from infobip_omni.message import Message
from infobip_omni.parameters import CACHED_SECONDS
from infobip_omni.scenario_registry import RegisteredScenario, ScenarioRegistry
from infobip_omni.send_queue import Record
from tests.fakes import PREFIX, Clock, FakeClient, FakeLedger, FakeScenarioClient, FakeSendQueue

from .conftest import PHONE, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

PUSH = ScenarioStep(sender="acme-app", channel=Channel.PUSH)
SMS = ScenarioStep(sender="Acme", channel=Channel.SMS)
BOTH = ("push", "sms")


@dataclass
class Parameters:
    """SSM in memory."""

    values: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    failure: str = ""

    def get_parameter(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (as in botocore)
        self.reads += 1
        name = arguments["Name"]
        code = self.failure or ("" if name in self.values else "ParameterNotFound")
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameter")
        return {"Parameter": {"Value": self.values[name]}}

    def put_parameter(self, **arguments: Any) -> None:  # noqa: ANN401 (as in botocore)
        self.values[arguments["Name"]] = arguments["Value"]


@dataclass
class Story:
    """An operator, Infobip, SSM and the senders."""

    clock: Clock = field(default_factory=Clock)
    ssm: Parameters = field(default_factory=Parameters)
    infobip: FakeScenarioClient = field(default_factory=FakeScenarioClient)
    queue: FakeSendQueue = field(default_factory=FakeSendQueue)
    client: FakeClient = field(default_factory=FakeClient)
    #: Runs every second while the operator waits.
    meanwhile: Callable[[], object] = lambda: None
    numbers: int = 0

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(self.clock)

    def registry(self) -> ScenarioRegistry:
        ssm: Any = self.ssm
        return ScenarioRegistry(PREFIX, ssm, self.clock)

    def sender(self) -> Dependencies:
        """Return a new execution environment of send_message."""
        return Dependencies(
            client=self.client,
            scenarios=self.registry(),
            ledger=self.ledger,
            queue=self.queue,
            breaker=CircuitBreaker(),
            policy=Policy(timedelta(minutes=2), "never-duplicate"),
        )

    def update(self, *flow: ScenarioStep, **changes: Any) -> None:  # noqa: ANN401 (of any member)
        """Invoke create_scenario as an operator, and wait for its answer."""
        self.clock.pass_by(milliseconds=100)
        wanted = ScenarioDefinition(name="otp", flow=flow, **changes)
        create_scenario(wanted, CreateDependencies(self.infobip, self.registry()), self.sleep)

    def sleep(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.pass_by(seconds=0.9)
            self.meanwhile()
            self.clock.pass_by(seconds=0.1)

    def record(self, *contents: str, scenario: str = "otp") -> Record:
        """Build a record that was queued a millisecond ago."""
        self.numbers += 1
        body = {
            "scenario": scenario,
            "messageId": f"m-{self.numbers}",
            "to": {"phoneNumber": PHONE},
        } | {each: {"text": TEXT} for each in contents}
        queued = Record(
            sqs_id=f"record-{self.numbers}",
            original_id=f"record-{self.numbers}",
            receipt_handle="handle",
            body=json.dumps(body),
            sent_at=self.clock(),
            receive_count=1,
        )
        self.clock.pass_by(milliseconds=1)
        return queued

    def send(self, sender: Dependencies, *records: Record) -> list[Record]:
        """Send a batch; return the records that have to be redelivered."""
        return send_messages(records, sender, lambda: 60.0)

    def steps(self) -> list[list[str] | None]:
        """Return the steps that were stored with each message, by number."""
        ids = sorted(self.ledger.states(), key=lambda each: int(each.removeprefix("m-")))
        return [self.ledger.item(each).get("steps") for each in ids]

    def refused_fields(self) -> list[str]:
        return [name for _, _, name, _ in self.queue.dead]


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    story = Story()
    monkeypatch.setattr(app, "utc_now", story.clock)
    return story


def test_events_that_fit_the_new_flow_are_sent_after_the_update(story: Story) -> None:
    """A sender that has just used the old flow refuses none of them."""
    story.update(PUSH)
    sender = story.sender()
    story.send(sender, story.record("push"))
    story.update(PUSH, SMS)

    failed = story.send(sender, *(story.record(*BOTH) for _ in range(10)))

    assert failed == []
    assert story.queue.dead == []
    assert story.steps() == [["PUSH"], *10 * [["PUSH", "SMS"]]]


def test_shortened_flow_is_stored_after_the_update(story: Story) -> None:
    """Otherwise the failure of the only step would settle nothing."""
    story.update(PUSH, SMS)
    sender = story.sender()
    story.send(sender, story.record(*BOTH))
    story.update(PUSH)

    story.send(sender, story.record("push"), story.record(*BOTH), story.record("sms"))

    assert story.steps() == [["PUSH", "SMS"], ["PUSH"]]
    assert story.refused_fields() == ["sms", "push"]


@pytest.mark.parametrize(
    ("old", "new", "contents"),
    [((PUSH,), (PUSH, SMS), ("push",)), ((PUSH, SMS), (PUSH,), BOTH)],
)
def test_no_message_is_stored_with_a_flow_that_infobip_does_not_run(
    story: Story,
    old: tuple[ScenarioStep, ...],
    new: tuple[ScenarioStep, ...],
    contents: tuple[str, ...],
) -> None:
    """While it is updated, messages are sent; what fits only the old flow is refused afterwards."""
    story.update(*old)
    senders = [story.sender() for _ in range(5)]
    ran: dict[str, list[str]] = {}

    def send_by_all() -> None:
        (scenario,) = story.infobip.scenarios.values()
        for sender in senders:
            story.send(sender, story.record(*contents))
            ran[f"m-{story.numbers}"] = [step.channel.value for step in scenario.flow]

    story.meanwhile = send_by_all
    send_by_all()
    story.update(*new)

    stored = {each: story.ledger.item(each).get("steps") for each in story.ledger.states()}
    assert len(stored) == 30
    assert {each: steps or ran[each] for each, steps in stored.items()} == {
        each: ran[each] for each in stored
    }
    assert None in stored.values()
    refused = [ran[each] for each in ran if each not in stored]
    assert refused == 5 * [[step.channel.value for step in new]]


def test_every_sender_knows_the_new_flow_when_the_operator_gets_the_answer(story: Story) -> None:
    """Whenever it has read the old one, or the mark of the update."""
    story.update(PUSH)
    senders: list[Dependencies] = []

    def start_a_sender() -> None:
        senders.append(story.sender())
        for each in senders:
            story.send(each, story.record("push"))

    story.meanwhile = start_a_sender
    start_a_sender()
    story.update(PUSH, SMS)
    before = len(story.steps())
    story.meanwhile = lambda: None

    for each in senders:
        story.send(each, story.record(*BOTH))

    assert len(senders) > 5
    assert story.steps()[before:] == [["PUSH", "SMS"] for _ in senders]


def test_scenario_is_sent_by_right_after_it_was_registered(story: Story) -> None:
    """The sender has just refused an event that named it."""
    sender = story.sender()
    story.send(sender, story.record("push"))
    assert story.refused_fields() == ["scenario"]

    story.update(PUSH)
    waiting = story.send(sender, story.record("push"))
    story.clock.pass_by(seconds=4)

    assert story.send(sender, *waiting) == []
    assert story.refused_fields() == ["scenario"]
    assert story.steps() == [["PUSH"]]


def test_parameter_changed_by_another_tool_is_read_before_a_refusal(story: Story) -> None:
    """The sender has just used the old flow, and nothing has announced the new one."""
    story.update(PUSH)
    sender = story.sender()
    story.send(sender, story.record("push"))
    ((name, value),) = story.ssm.values.items()
    entry = RegisteredScenario.from_json(value)
    story.ssm.values[name] = entry.model_copy(update={"flow": (PUSH, SMS)}).to_json()

    assert story.send(sender, story.record(*BOTH)) == []
    assert story.queue.dead == []
    assert story.steps() == [["PUSH"], ["PUSH", "SMS"]]


@pytest.mark.parametrize("scenario", ["otp", "unknown"])
def test_flood_of_wrong_events_does_not_flood_ssm(story: Story, scenario: str) -> None:
    """20 batches cost a few reads, and each event is refused in the end."""
    story.update(PUSH)
    sender = story.sender()
    story.ssm.reads = 0
    batches = [[story.record("viber", scenario=scenario) for _ in range(10)] for _ in range(10)]
    waiting = []
    for batch in batches:
        waiting += story.send(sender, *batch)
        waiting += story.send(sender, story.record("viber", scenario=scenario))

    assert story.ssm.reads <= 3
    assert len(story.queue.dead) >= 100
    story.clock.pass_by(seconds=4)
    assert story.send(sender, *waiting) == []
    assert story.ssm.reads <= 5


def test_outage_of_ssm_does_not_stop_sending(story: Story) -> None:
    """The last known scenario is used, and its flow is not stored, since it may be old."""
    story.update(PUSH)
    sender = story.sender()
    story.send(sender, story.record("push"))
    story.ssm.failure = "ServiceUnavailable"
    story.clock.pass_by(seconds=CACHED_SECONDS - 1)

    assert story.send(sender, story.record("push")) == []
    assert story.steps() == [["PUSH"], None]


def test_outage_of_ssm_refuses_nothing(story: Story) -> None:
    """Whether an event fits the flow is decided when SSM answers again."""
    story.update(PUSH)
    sender = story.sender()
    story.send(sender, story.record("push"))
    story.ssm.failure = "ServiceUnavailable"
    wrong = story.record("viber")

    assert story.send(sender, wrong) == [wrong]
    story.ssm.failure = ""
    story.clock.pass_by(seconds=5)
    assert story.send(sender, wrong) == []
    assert story.refused_fields() == ["push"]


def test_interrupted_update_neither_refuses_nor_stores_a_flow(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infobip may run either flow, until the operator invokes again."""
    story.update(PUSH)
    sender = story.sender()

    def fail(_key: str, _definition: ScenarioDefinition) -> None:
        raise OutcomeUnknownError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(story.infobip, "update_scenario", fail)
        with pytest.raises(OutcomeUnknownError):
            story.update(PUSH, SMS)
    story.clock.pass_by(hours=1)
    waiting = story.send(sender, story.record("push"), story.record(*BOTH))
    assert story.steps() == [None]

    story.update(PUSH, SMS)
    story.clock.pass_by(seconds=4)
    assert story.send(sender, *waiting) == []
    assert story.steps() == [None, ["PUSH", "SMS"]]
    assert story.queue.dead == []


def test_message_without_a_certain_flow_can_be_read(story: Story) -> None:
    """Its item has no steps, like that of a message by the account's default scenario."""
    story.update(PUSH)
    story.infobip.scenarios.clear()
    registry = story.registry()
    entry = registry.current("otp")
    assert entry is not None
    registry.announce(entry)

    story.send(story.sender(), story.record("push"))

    message = story.ledger.message("m-1")
    assert isinstance(message, Message)
    assert message.steps is None
