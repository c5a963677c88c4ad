"""Every outcome is published; a batch that was published in part is redelivered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from functions.publish_outcomes import app
from functions.publish_outcomes.app import Dependencies
from infobip_omni.dynamodb import to_wire
from infobip_omni.outcome_events import Change, OutcomeEvents, Publication, UnpublishedChange

from .conftest import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

    from .conftest import Log, Printed

CANARY = "385991234567"


class FakeOutcomeEvents(OutcomeEvents):
    """Outcome events that stay in memory, up to the first one that is throttled."""

    def __init__(self) -> None:
        self.published: list[Change] = []
        #: The sequence number of the change that is throttled.
        self.throttled: str | None = None
        #: The sequence number of the change that EventBridge never accepts.
        self.unpublishable: str | None = None

    def publish(self, changes: Iterable[Change]) -> Publication:
        publication = Publication()
        for change in changes:
            if change.sequence_number == self.throttled:
                publication.waiting = UnpublishedChange(change, "ThrottlingException")
                break
            if change.sequence_number == self.unpublishable:
                publication.unpublishable.append(UnpublishedChange(change, "InvalidArgument"))
                continue
            self.published.append(change)
            publication.published += 1
        return publication


def record(number: int) -> dict[str, Any]:
    """Build a stream record: an accepted message is now delivered."""
    accepted = {
        "messageId": f"m-{number}",
        "entry": "MESSAGE",
        "state": "ACCEPTED",
        "to": {"phoneNumber": CANARY},
        "callbackData": CANARY,
    }
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/messages/stream/2026",
        "dynamodb": {
            "ApproximateCreationDateTime": 1769860800,
            "Keys": to_wire({"messageId": f"m-{number}", "entry": "MESSAGE"}),
            "NewImage": to_wire(accepted | {"state": "DELIVERED"}),
            "OldImage": to_wire(accepted),
            "SequenceNumber": str(number),
            "SizeBytes": 123,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }


@dataclass
class Harness:
    """The function and its fakes."""

    events: FakeOutcomeEvents = field(default_factory=FakeOutcomeEvents)

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.events)

    def run(self, *records: dict[str, Any]) -> object:
        """Run the function on a batch: these records, or three changes."""
        return self.invoke({"Records": records or [record(number) for number in range(3)]})

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose bus accepts every event."""
    harness = Harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def test_changes_of_a_batch_are_published_in_order(harness: Harness, log: Log) -> None:
    assert harness.run() == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.published] == ["m-0", "m-1", "m-2"]
    assert log()[-1]["count"] == 3


def test_batch_is_redelivered_from_the_first_unpublished_change(harness: Harness, log: Log) -> None:
    """Lambda continues at the returned sequence number."""
    harness.events.throttled = "1"

    answer = harness.run()

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert log()[-1]["level"] == "WARNING"
    assert log()[-1]["reason"] == "ThrottlingException"


def test_unpublishable_outcome_is_logged_counted_and_skipped(
    harness: Harness, log: Log, printed: Printed
) -> None:
    """An operator has to learn which message has no event."""
    harness.events.unpublishable = "1"

    assert harness.run() == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.published] == ["m-0", "m-2"]
    [line] = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message_id"], line["reason"]) == ("m-1", "InvalidArgument")
    assert '"OutcomesUnpublishable":[1.0]' in printed()


def test_unreadable_record_is_skipped(harness: Harness, log: Log, printed: Printed) -> None:
    """It is logged without its content, and counted."""
    unreadable = record(1)
    unreadable["dynamodb"]["NewImage"]["attempts"] = {"NEW": CANARY}

    answer = harness.run(record(0), unreadable, record(2))

    assert answer == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.published] == ["m-0", "m-2"]
    assert [line["level"] for line in log()].count("ERROR") == 1
    text = printed()
    assert '"OutcomesUnpublishable":[1.0]' in text
    assert CANARY not in text


def test_no_personal_data_is_logged(harness: Harness, log: Log, printed: Printed) -> None:
    """Neither on success nor on failure."""
    harness.run()
    harness.events.throttled = "0"
    harness.run()
    harness.events.throttled, harness.events.unpublishable = None, "0"
    harness.run()

    assert log()
    assert CANARY not in printed()


def test_environment_sets_the_bus_and_the_recipients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        app, "OutcomeEvents", lambda bus, *, with_recipients: made.append((bus, with_recipients))
    )
    monkeypatch.setenv("OUTCOME_EVENT_BUS_NAME", "outcomes")
    for recipients in ("omitted", "included"):
        monkeypatch.setenv("OUTCOME_EVENT_RECIPIENTS", recipients)
        app.dependencies.cache_clear()
        app.dependencies()

    assert made == [("outcomes", False), ("outcomes", True)]


def test_state_of_another_version_does_not_stop_other_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This version does not know what it means; a known state after it is published as usual."""
    states: list[tuple[object, object]] = [
        ("ACCEPTED", "SEEN"),
        ("ACCEPTED", ["SEEN"]),
        ("SEEN", "DELIVERED"),
        (5, "REJECTED"),
        ("ACCEPTED", "DELIVERED"),
    ]
    records = [record(number) for number in range(len(states))]
    for each, (old, new) in zip(records, states, strict=True):
        each["dynamodb"]["OldImage"] |= to_wire({"state": old})
        each["dynamodb"]["NewImage"] |= to_wire({"state": new})
    published: list[str] = []

    class Bus:
        def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
            published.extend(
                json.loads(entry["Detail"])["messageId"] for entry in request["Entries"]
            )
            return {"Entries": [{} for _ in request["Entries"]]}

    events = OutcomeEvents("outcomes", with_recipients=False, client=Bus())
    monkeypatch.setattr(app, "dependencies", lambda: app.Dependencies(events))

    assert app.lambda_handler({"Records": records}, CONTEXT) == {"batchItemFailures": []}
    assert published == ["m-2", "m-3", "m-4"]
