"""An event tells each change by which a message settles, and nothing that nobody asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from infobip_omni.delivery import MessageState
from infobip_omni.dynamodb import to_wire
from infobip_omni.outcome_events import SETTLED, BusUnavailableError, Change, OutcomeEvents

CHANGED_AT = datetime(2026, 1, 31, 12, 0, 2, tzinfo=UTC)
ACCEPTED: dict[str, Any] = {
    "messageId": "m-1",
    "entry": "MESSAGE",
    "state": "ACCEPTED",
    "scenario": "otp",
    "callbackData": "order 7",
    "to": {"phoneNumber": "385991234567"},
    "recipient": "a hash",
    "bulkId": "bulk-1",
    "claimToken": "token",
    "expiresAt": Decimal(1_800_000_000),
}
DELIVERED: dict[str, Any] = ACCEPTED | {
    "state": "DELIVERED",
    "channel": "SMS",
    "doneAt": "2026-01-31T12:00:00.000Z",
    "status": {"groupId": Decimal(3), "description": "Message delivered to handset"},
    "price": {"pricePerMessage": Decimal("0.05"), "currency": "EUR"},
}


class FakeBus:
    """An EventBridge that refuses chosen messages."""

    def __init__(self, *refused: str, error: Exception | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.refused = refused
        self.error = error

    def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
        """Take events."""
        if self.error is not None:
            raise self.error
        entries = request["Entries"]
        self.calls.append(len(entries))
        results = []
        for entry in entries:
            if json.loads(entry["Detail"])["messageId"] in self.refused:
                results.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "385991"})
            else:
                self.entries.append(entry)
                results.append({"EventId": "an id"})
        return {"Entries": results}

    @property
    def message_ids(self) -> list[str]:
        """Name the messages that were told of."""
        return [json.loads(entry["Detail"])["messageId"] for entry in self.entries]


def change(new: dict[str, Any], old: dict[str, Any] | None = None, number: int = 1) -> Change:
    """Make a change."""
    return Change(str(number), CHANGED_AT, old or {}, new)


def changes(count: int) -> list[Change]:
    """Let so many messages be delivered."""
    return [
        change(DELIVERED | {"messageId": f"m-{number}"}, ACCEPTED, number)
        for number in range(count)
    ]


def publish(*given: Change, bus: FakeBus | None = None, with_recipients: bool = False) -> FakeBus:
    """Publish the events of changes, and return the bus that got them."""
    bus = bus or FakeBus()
    OutcomeEvents("outcomes", with_recipients=with_recipients, client=bus).publish(given)
    return bus


def test_a_record_of_the_stream_is_read() -> None:
    """As Lambda hands it over."""
    record = {
        "eventName": "MODIFY",
        "dynamodb": {
            "ApproximateCreationDateTime": CHANGED_AT.timestamp(),
            "SequenceNumber": "7",
            "NewImage": to_wire(DELIVERED),
            "OldImage": to_wire(ACCEPTED),
        },
    }

    assert Change.read(record) == Change("7", CHANGED_AT, ACCEPTED, DELIVERED)


def test_an_event_tells_what_became_of_a_message() -> None:
    """The outcome, what it cost, and what the app upstream wanted to have back."""
    [entry] = publish(change(DELIVERED, ACCEPTED)).entries

    assert json.loads(entry.pop("Detail")) == {
        "messageId": "m-1",
        "state": "DELIVERED",
        "channel": "SMS",
        "scenario": "otp",
        "callbackData": "order 7",
        "doneAt": "2026-01-31T12:00:00.000Z",
        "price": {"pricePerMessage": 0.05, "currency": "EUR"},
    }
    assert entry == {
        "EventBusName": "outcomes",
        "Source": "omni",
        "DetailType": "OMNI Message Settled",
        "Time": CHANGED_AT,
    }


def test_the_recipient_is_told_only_where_it_is_wanted() -> None:
    """Who gets the events need not be who gets the messages."""
    [without] = publish(change(DELIVERED)).entries
    [with_recipient] = publish(change(DELIVERED), with_recipients=True).entries

    assert "385991234567" not in without["Detail"]
    assert json.loads(with_recipient["Detail"])["to"] == {"phoneNumber": "385991234567"}


@pytest.mark.parametrize("new", MessageState)
@pytest.mark.parametrize("old", [None, *MessageState])
def test_only_a_change_to_a_settled_state_is_told(
    old: MessageState | None, new: MessageState
) -> None:
    """Whatever it was before, another settled state included; the same state is no news."""
    before = {} if old is None else ACCEPTED | {"state": old}

    told = publish(change(DELIVERED | {"state": new}, before)).entries

    assert len(told) == (new in SETTLED and new != old)


def test_a_message_that_is_deleted_is_not_told_of() -> None:
    """Its retention has ended, which is not an outcome."""
    assert publish(change({}, DELIVERED)).entries == []


def test_events_go_out_ten_at_a_time_and_in_order() -> None:
    """EventBridge takes no more in one call."""
    bus = publish(*changes(23))

    assert bus.calls == [10, 10, 3]
    assert bus.message_ids == [f"m-{number}" for number in range(23)]


def test_no_event_is_no_call() -> None:
    """Changes that settle nothing cost nothing."""
    assert publish(change(ACCEPTED)).calls == []


def test_the_first_event_that_is_refused_is_named_and_later_calls_are_not_made() -> None:
    """What comes after it is delivered again with it."""
    bus = FakeBus("m-12", "m-14", "m-21")

    with pytest.raises(BusUnavailableError) as raised:
        publish(*changes(23), bus=bus)

    assert raised.value.change.sequence_number == "12"
    assert bus.calls == [10, 10]
    assert {f"m-{number}" for number in range(12)} <= set(bus.message_ids)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "x"}}, "PutEvents"), "Denied"),
        (ConnectTimeoutError(endpoint_url="https://events.example"), "ConnectTimeoutError"),
    ],
)
def test_a_call_that_fails_names_its_first_event(error: Exception, reason: str) -> None:
    """Nobody knows how many of its events were taken, so all are delivered again."""
    with pytest.raises(BusUnavailableError, match=reason) as raised:
        publish(*changes(3), bus=FakeBus(error=error))

    assert raised.value.change.sequence_number == "0"


def test_an_error_quotes_nothing_of_an_event() -> None:
    """It ends up in the log."""
    with pytest.raises(BusUnavailableError) as raised:
        publish(*changes(1), bus=FakeBus("m-0"))

    assert str(raised.value) == "EventBridge did not take an event: ThrottlingException"
