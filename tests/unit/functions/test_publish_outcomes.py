"""Every settled message is told of; a batch that was told in part is delivered again."""

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
    """Events that go nowhere, up to the first one that is refused."""

    def __init__(self) -> None:
        self.told: list[Change] = []
        #: The sequence number of the change that is refused for now.
        self.refused: str | None = None
        #: The sequence number of the change that is never taken.
        self.never: str | None = None

    def publish(self, changes: Iterable[Change]) -> Publication:
        """Take events."""
        publication = Publication()
        for change in changes:
            if change.sequence_number == self.refused:
                publication.waiting = UnpublishedChange(change, "ThrottlingException")
                break
            if change.sequence_number == self.never:
                publication.unpublishable.append(UnpublishedChange(change, "InvalidArgument"))
                continue
            self.told.append(change)
            publication.published += 1
        return publication


def record(number: int) -> dict[str, Any]:
    """Write a record of the stream: a message that was accepted is delivered."""
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
    """The function and what it talks to."""

    events: FakeOutcomeEvents = field(default_factory=FakeOutcomeEvents)

    @property
    def dependencies(self) -> Dependencies:
        """Return what the function gets."""
        return Dependencies(self.events)

    def run(self, *records: dict[str, Any]) -> object:
        """Let the function have a batch: these records, or three changes."""
        return self.invoke({"Records": records or [record(number) for number in range(3)]})

    def invoke(self, event: dict[str, Any]) -> PartialItemFailureResponse:
        """Invoke the function as Lambda does."""
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness whose bus takes every event."""
    harness = Harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def test_all_changes_of_a_batch_are_told_in_order(harness: Harness, log: Log) -> None:
    """Nothing has to be delivered again."""
    assert harness.run() == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.told] == ["m-0", "m-1", "m-2"]
    assert log()[-1]["count"] == 3


def test_batch_is_delivered_again_from_the_first_change_that_was_not_told(
    harness: Harness, log: Log
) -> None:
    """Lambda goes on from the sequence number that it is given."""
    harness.events.refused = "1"

    answer = harness.run()

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert log()[-1]["level"] == "WARNING"
    assert log()[-1]["reason"] == "ThrottlingException"


def test_outcome_that_cannot_be_told_is_logged_and_counted_and_holds_up_no_other(
    harness: Harness, log: Log, printed: Printed
) -> None:
    """Somebody has to learn which message nobody was told of."""
    harness.events.never = "1"

    assert harness.run() == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.told] == ["m-0", "m-2"]
    [line] = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message_id"], line["reason"]) == ("m-1", "InvalidArgument")
    assert '"OutcomesUnpublishable":[1.0]' in printed()


def test_record_that_cannot_be_read_holds_up_no_other(
    harness: Harness, log: Log, printed: Printed
) -> None:
    """It is logged without its content, and counted."""
    unreadable = record(1)
    unreadable["dynamodb"]["NewImage"]["attempts"] = {"NEW": CANARY}

    answer = harness.run(record(0), unreadable, record(2))

    assert answer == {"batchItemFailures": []}
    assert [change.new["messageId"] for change in harness.events.told] == ["m-0", "m-2"]
    assert [line["level"] for line in log()].count("ERROR") == 1
    text = printed()
    assert '"OutcomesUnpublishable":[1.0]' in text
    assert CANARY not in text


def test_nothing_personal_is_logged(harness: Harness, log: Log, printed: Printed) -> None:
    """Neither when all goes well nor when it does not."""
    harness.run()
    harness.events.refused = "0"
    harness.run()
    harness.events.refused, harness.events.never = None, "0"
    harness.run()

    assert log()
    assert CANARY not in printed()


def test_environment_says_which_bus_is_told_and_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The function takes its bus and its discretion from the template."""
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


def test_state_of_another_version_costs_its_neighbours_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it means, nobody here knows; a state after it is told as ever."""
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
    told: list[str] = []

    class Bus:
        def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
            told.extend(json.loads(entry["Detail"])["messageId"] for entry in request["Entries"])
            return {"Entries": [{} for _ in request["Entries"]]}

    events = OutcomeEvents("outcomes", with_recipients=False, client=Bus())
    monkeypatch.setattr(app, "dependencies", lambda: app.Dependencies(events))

    assert app.lambda_handler({"Records": records}, CONTEXT) == {"batchItemFailures": []}
    assert told == ["m-2", "m-3", "m-4"]
