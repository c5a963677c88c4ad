"""Each change that settles a message becomes one event, which holds only what is wanted."""

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
    """A fake EventBridge that refuses chosen messages, and calls as large as AWS's limit.

    The limit is the older one, 256 KiB, which every region has had.
    """

    def __init__(
        self,
        *refused: str,
        code: str = "ThrottlingException",
        error: Exception | None = None,
        fails_call: bool = False,
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.refused = refused
        self.code = code
        self.error = error
        #: Whether a refused message fails the whole call.
        self.fails_call = fails_call

    def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
        if self.error is not None:
            raise self.error
        entries = request["Entries"]
        self.calls.append(len(entries))
        ids = [json.loads(entry["Detail"])["messageId"] for entry in entries]
        if sum(map(size, entries)) >= 256 * 1024 or (
            self.fails_call and not set(ids).isdisjoint(self.refused)
        ):
            code = self.code if self.fails_call else "ValidationException"
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
        return [json.loads(entry["Detail"])["messageId"] for entry in self.entries]


def size(entry: dict[str, Any]) -> int:
    """Return the size of an entry in bytes, by the formula of AWS's guide."""
    texts = (entry["Source"], entry["DetailType"], entry["Detail"])
    return 14 + sum(len(text.encode()) for text in texts)


def change(new: dict[str, Any], old: dict[str, Any] | None = None, number: int = 1) -> Change:
    return Change(str(number), CHANGED_AT, old or {}, new)


def changes(count: int) -> list[Change]:
    """Return changes by which so many messages are delivered."""
    return [
        change(DELIVERED | {"messageId": f"m-{number}"}, ACCEPTED, number)
        for number in range(count)
    ]


def publish(*given: Change, bus: FakeBus | None = None, with_recipients: bool = False) -> FakeBus:
    """Publish the events of changes and return the bus."""
    bus = bus or FakeBus()
    publication_of(*given, bus=bus, with_recipients=with_recipients)
    return bus


def publication_of(*given: Change, bus: FakeBus, with_recipients: bool = False) -> Publication:
    """Publish the events of changes and return the result."""
    return OutcomeEvents("outcomes", with_recipients=with_recipients, client=bus).publish(given)


def unpublishable(publication: Publication) -> list[tuple[str, str]]:
    """Return the ids of the messages that can never be published, each with the reason."""
    return [
        (unpublished.message_id, unpublished.reason) for unpublished in publication.unpublishable
    ]


def test_stream_record_is_read() -> None:
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


def test_event_holds_outcome_of_message() -> None:
    """With its price, and the callback data of the app upstream."""
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


def test_recipient_is_included_only_on_request() -> None:
    """Subscribers of the bus may not be entitled to see addresses."""
    [without] = publish(change(DELIVERED)).entries
    [with_recipient] = publish(change(DELIVERED), with_recipients=True).entries

    assert "385991234567" not in without["Detail"]
    assert json.loads(with_recipient["Detail"])["to"] == {"phoneNumber": "385991234567"}


@pytest.mark.parametrize("new", MessageState)
@pytest.mark.parametrize("old", [None, *MessageState])
def test_only_changes_to_settled_state_are_published(
    old: MessageState | None, new: MessageState
) -> None:
    """The state before may be any other, settled ones included."""
    before = {} if old is None else ACCEPTED | {"state": old}

    published = publish(change(DELIVERED | {"state": new}, before)).entries

    assert len(published) == (new in SETTLED and new != old)


def test_deletion_of_message_is_not_published() -> None:
    """The end of its retention is no outcome."""
    assert publish(change({}, DELIVERED)).entries == []


def test_events_are_published_in_order_ten_per_call() -> None:
    """EventBridge accepts no more in one call."""
    bus = publish(*changes(23))

    assert bus.calls == [10, 10, 3]
    assert bus.message_ids == [f"m-{number}" for number in range(23)]


def test_changes_without_events_make_no_call() -> None:
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
def test_unreadable_record_raises_error_without_values(record: dict[str, Any]) -> None:
    """The error's text is the name of a class."""
    with pytest.raises(UnreadableChangeError) as raised:
        Change.read(record)

    assert str(raised.value).isidentifier()
    assert CANARY not in str(raised.value)


# --- Events that must wait -------------------------------------------------------------------


def test_publication_ends_at_first_event_that_must_wait() -> None:
    """The stream redelivers it and all later changes, so no later call is made."""
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
def test_failed_call_waits_from_its_first_event(error: Exception, reason: str) -> None:
    """It is unknown which of its events were accepted, so all are published again."""
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
def test_event_waits_if_deployment_can_be_corrected(code: str) -> None:
    """No event is left out because of a missing permission or an unknown error code."""
    publication = publication_of(*changes(3), bus=FakeBus("m-1", code=code))

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "1"
    assert publication.unpublishable == []


# --- Events that can never be published ------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidArgument", "MalformedDetail", "RedactionFailure"])
def test_permanently_refused_event_stops_no_other_event(code: str) -> None:
    """It is reported as unpublishable, and its shard continues."""
    bus = FakeBus("m-0", "m-7", "m-22", code=code)

    publication = publication_of(*changes(23), bus=bus)

    assert publication.waiting is None
    assert unpublishable(publication) == [("m-0", code), ("m-7", code), ("m-22", code)]
    assert publication.published == len(bus.entries) == 20


def test_event_that_fails_whole_calls_stops_no_other_event() -> None:
    """The call is divided until the event that causes the refusal is found."""
    bus = FakeBus("m-3", code="ValidationException", fails_call=True)

    publication = publication_of(*changes(12), bus=bus)

    assert publication.waiting is None
    assert unpublishable(publication) == [("m-3", "ValidationException")]
    assert sorted(bus.message_ids) == sorted(f"m-{one}" for one in range(12) if one != 3)


def test_event_waits_if_temporary_failure_interrupts_division_of_call() -> None:
    """Events before it that were found unpublishable are not tried again."""

    class Flickering(FakeBus):
        def put_events(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 (as boto3's)
            if len(self.calls) == 4:
                self.error = ConnectTimeoutError(endpoint_url="https://events.example")
            return super().put_events(**request)

    bus = Flickering("m-1", code="ValidationException", fails_call=True)

    publication = publication_of(*changes(10), bus=bus)

    assert publication.waiting
    assert publication.waiting.change.sequence_number == "3"
    assert unpublishable(publication) == [("m-1", "ValidationException")]
    assert bus.message_ids == ["m-0", "m-2"]


@pytest.mark.parametrize("character", ["x", "\u0161", "\U0001f600", "\x01"])
def test_calls_are_divided_by_size(character: str) -> None:
    """Ten large events exceed one call; all are published, in order."""
    large = [
        change(DELIVERED | {"messageId": f"m-{number}", "callbackData": character * 25_000})
        for number in range(10)
    ]

    bus = publish(*large)

    assert bus.message_ids == [f"m-{number}" for number in range(10)]
    assert len(bus.calls) > 1


def test_calls_are_filled_up_to_the_limit() -> None:
    """Sizes are computed by EventBridge's formula, so there are no more calls than needed."""
    alone = size(publish(change(DELIVERED)).entries[0])
    padding = LARGEST_CALL_BYTES // 2 - alone + len(ACCEPTED["callbackData"])
    half = change(DELIVERED | {"callbackData": "x" * padding})
    more = change(DELIVERED | {"callbackData": "x" * (padding + 1)})

    assert publish(half, half, half).calls == [2, 1]
    assert publish(half, more, half).calls == [1, 1, 1]


def test_event_too_large_for_any_call_is_left_out() -> None:
    """No call is made for it, and its neighbours are published."""
    huge = change(DELIVERED | {"messageId": "m-huge", "scenarioKey": "x" * LARGEST_CALL_BYTES})

    bus = FakeBus()
    publication = publication_of(*changes(2), huge, *changes(2), bus=bus)

    assert unpublishable(publication) == [("m-huge", "TooLarge")]
    assert bus.message_ids == ["m-0", "m-1", "m-0", "m-1"]


def test_outcome_that_cannot_be_serialized_is_left_out() -> None:
    """Here a binary value is stored in an attribute for text."""
    bus = FakeBus()

    publication = publication_of(
        change(DELIVERED | {"messageId": "m-odd", "scenario": b"\xff"}), *changes(2), bus=bus
    )

    assert unpublishable(publication) == [("m-odd", "ValueError")]
    assert bus.message_ids == ["m-0", "m-1"]


def test_reason_quotes_nothing_of_event() -> None:
    """The reason is logged."""
    for bus in (FakeBus("m-0"), FakeBus("m-0", code="InvalidArgument")):
        publication = publication_of(*changes(1), bus=bus)
        unpublished = publication.waiting or publication.unpublishable[0]
        assert unpublished.reason == bus.code
