"""An event tells each change by which a message settles, and nothing that nobody asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from infobip_omni.dynamodb import to_wire
from infobip_omni.message import SETTLED, MessageState
from infobip_omni.outcome_events import (
    LARGEST_CALL_BYTES,
    Change,
    OutcomeEvents,
    Publication,
    UnreadableChangeError,
)

CHANGED_AT = datetime(2026, 1, 31, 12, 0, 2, tzinfo=UTC)
CANARY = "385991234567"
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
    """An EventBridge that refuses chosen messages, and calls that are as large as AWS's limit.

    The limit is the older one, which every region has had.
    """

    def __init__(
        self,
        *refused: str,
        code: str = "ThrottlingException",
        error: Exception | None = None,
        of_call: bool = False,
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.refused = refused
        self.code = code
        self.error = error
        #: Whether a refused message costs the whole call.
        self.of_call = of_call

    def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
        """Take events."""
        if self.error is not None:
            raise self.error
        entries = request["Entries"]
        self.calls.append(len(entries))
        ids = [json.loads(entry["Detail"])["messageId"] for entry in entries]
        if sum(map(size, entries)) >= 256 * 1024 or (
            self.of_call and not set(ids).isdisjoint(self.refused)
        ):
            code = self.code if self.of_call else "ValidationException"
            raise ClientError({"Error": {"Code": code, "Message": CANARY}}, "PutEvents")
        results = []
        for entry, message_id in zip(entries, ids, strict=True):
            if message_id in self.refused:
                results.append({"ErrorCode": self.code, "ErrorMessage": CANARY})
            else:
                self.entries.append(entry)
                results.append({"EventId": "an id"})
        return {"Entries": results}

    @property
    def message_ids(self) -> list[str]:
        """Name the messages that were told of."""
        return [json.loads(entry["Detail"])["messageId"] for entry in self.entries]


def size(entry: dict[str, Any]) -> int:
    """Count the bytes of an entry by the formula of AWS's guide."""
    texts = (entry["Source"], entry["DetailType"], entry["Detail"])
    return 14 + sum(len(text.encode()) for text in texts)


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
    publication_of(*given, bus=bus, with_recipients=with_recipients)
    return bus


def publication_of(*given: Change, bus: FakeBus, with_recipients: bool = False) -> Publication:
    """Publish the events of changes, and return what became of them."""
    return OutcomeEvents("outcomes", with_recipients=with_recipients, client=bus).publish(given)


def unpublishable(publication: Publication) -> list[tuple[str, str]]:
    """Name the messages of which nobody is ever told, and why."""
    return [
        (unpublished.message_id, unpublished.reason) for unpublished in publication.unpublishable
    ]


def test_record_of_the_stream_is_read() -> None:
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


def test_event_tells_what_became_of_a_message() -> None:
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


def test_recipient_is_told_only_where_it_is_wanted() -> None:
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


def test_message_that_is_deleted_is_not_told_of() -> None:
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


READABLE = {"SequenceNumber": "1", "ApproximateCreationDateTime": 1769860800}
UNREADABLE_IMAGES: list[Any] = [
    None,
    [],
    {"messageId": CANARY},
    {"messageId": {"NEW": CANARY}},
    {"messageId": {"N": f"1.{CANARY * 4}"}},
]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"dynamodb": {}},
        {"dynamodb": {"SequenceNumber": "1", "ApproximateCreationDateTime": "yesterday"}},
        {"dynamodb": {"SequenceNumber": "1", "ApproximateCreationDateTime": 1e300}},
        *({"dynamodb": READABLE | {"NewImage": image}} for image in UNREADABLE_IMAGES),
    ],
)
def test_record_that_cannot_be_read_is_told_by_its_trouble(record: dict[str, Any]) -> None:
    """The error names a class, never a value."""
    with pytest.raises(UnreadableChangeError) as raised:
        Change.read(record)

    assert str(raised.value).isidentifier()
    assert CANARY not in str(raised.value)


# --- What cannot be told now -----------------------------------------------------------------


def test_publication_ends_at_the_first_event_that_is_not_taken_for_now() -> None:
    """What comes after it is delivered again with it, and later calls are not made."""
    bus = FakeBus("m-12", "m-14", "m-21")

    publication = publication_of(*changes(23), bus=bus)

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "12"
    assert publication.waiting.reason == "ThrottlingException"
    assert publication.published == 12
    assert bus.calls == [10, 10]
    assert {f"m-{number}" for number in range(12)} <= set(bus.message_ids)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": CANARY}}, "x"),
            "AccessDeniedException",
        ),
        (
            ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": CANARY}}, "x"),
            "ResourceNotFoundException",
        ),
        (ConnectTimeoutError(endpoint_url="https://events.example"), "ConnectTimeoutError"),
    ],
)
def test_call_that_fails_for_now_waits_from_its_first_event(error: Exception, reason: str) -> None:
    """Nobody knows how many of its events were taken, so all are delivered again."""
    publication = publication_of(*changes(3), bus=FakeBus(error=error))

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "0"
    assert publication.waiting.reason == reason
    assert publication.published == 0


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "InternalFailure",
        "NotAuthorizedForDetailTypeException",
        "NotAuthorizedForSourceException",
        "SomethingNew",
    ],
)
def test_what_a_change_of_the_deployment_can_cure_is_waited_for(code: str) -> None:
    """Nothing is left out for want of a permission, nor for a code that is new."""
    publication = publication_of(*changes(3), bus=FakeBus("m-1", code=code))

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "1"
    assert publication.unpublishable == []


# --- What can never be told ------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidArgument", "MalformedDetail", "RedactionFailure"])
def test_event_that_is_never_taken_costs_only_itself(code: str) -> None:
    """It is named, and all others go out: a shard does not wait for it."""
    bus = FakeBus("m-0", "m-7", "m-22", code=code)

    publication = publication_of(*changes(23), bus=bus)

    assert publication.waiting is None
    assert unpublishable(publication) == [("m-0", code), ("m-7", code), ("m-22", code)]
    assert publication.published == len(bus.entries) == 20


def test_event_for_which_whole_calls_are_refused_costs_only_itself() -> None:
    """The call is divided, so that the event is found that it is refused for."""
    bus = FakeBus("m-3", code="ValidationException", of_call=True)

    publication = publication_of(*changes(12), bus=bus)

    assert publication.waiting is None
    assert unpublishable(publication) == [("m-3", "ValidationException")]
    assert sorted(bus.message_ids) == sorted(f"m-{one}" for one in range(12) if one != 3)


def test_failure_that_passes_is_waited_for_also_while_a_call_is_divided() -> None:
    """What was found never to go out before it is not looked at again."""

    class Flickering(FakeBus):
        def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
            if len(self.calls) == 4:
                self.error = ConnectTimeoutError(endpoint_url="https://events.example")
            return super().put_events(**request)

    bus = Flickering("m-1", code="ValidationException", of_call=True)

    publication = publication_of(*changes(10), bus=bus)

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "3"
    assert unpublishable(publication) == [("m-1", "ValidationException")]
    assert bus.message_ids == ["m-0", "m-2"]


@pytest.mark.parametrize("letter", ["x", "\u0161", "\U0001f600", "\x01"])
def test_calls_are_cut_by_bytes(letter: str) -> None:
    """Ten large events are more than EventBridge takes at once; in order, they all go out."""
    large = [
        change(DELIVERED | {"messageId": f"m-{number}", "callbackData": letter * 25_000})
        for number in range(10)
    ]

    bus = publish(*large)

    assert bus.message_ids == [f"m-{number}" for number in range(10)]
    assert len(bus.calls) > 1


def test_calls_are_filled_as_far_as_they_go() -> None:
    """The size is counted as EventBridge does, so that no call is made in vain."""
    alone = size(publish(change(DELIVERED)).entries[0])
    padding = LARGEST_CALL_BYTES // 2 - alone + len(ACCEPTED["callbackData"])
    half = change(DELIVERED | {"callbackData": "x" * padding})
    more = change(DELIVERED | {"callbackData": "x" * (padding + 1)})

    assert publish(half, half, half).calls == [2, 1]
    assert publish(half, more, half).calls == [1, 1, 1]


def test_event_that_is_too_large_by_itself_is_left_out() -> None:
    """No call is made for it, and its neighbours go out."""
    huge = change(DELIVERED | {"messageId": "m-huge", "scenarioKey": "x" * LARGEST_CALL_BYTES})

    bus = FakeBus()
    publication = publication_of(*changes(2), huge, *changes(2), bus=bus)

    assert unpublishable(publication) == [("m-huge", "TooLarge")]
    assert bus.message_ids == ["m-0", "m-1", "m-0", "m-1"]


def test_outcome_that_cannot_be_written_is_left_out() -> None:
    """Whatever has put a binary value where a text belongs."""
    bus = FakeBus()

    publication = publication_of(
        change(DELIVERED | {"messageId": "m-odd", "scenario": b"\xff"}), *changes(2), bus=bus
    )

    assert unpublishable(publication) == [("m-odd", "ValueError")]
    assert bus.message_ids == ["m-0", "m-1"]


def test_reason_quotes_nothing_of_an_event() -> None:
    """It ends up in the log."""
    for bus in (FakeBus("m-0"), FakeBus("m-0", code="InvalidArgument")):
        publication = publication_of(*changes(1), bus=bus)
        unpublished = publication.waiting or publication.unpublishable[0]
        assert unpublished.reason == bus.code
