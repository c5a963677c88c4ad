"""Publishes the outcomes of messages on an EventBridge bus.

Events follow from the individual changes of the messages table: an event is published whenever a
message settles, or changes from one settled state to another, regardless of which function wrote
it.

A failed change blocks its shard of the table's stream. So only failures that end automatically, or
when the deployment is fixed, may block it; a change that can never be published is skipped and
reported. A missing bus causes no failure: EventBridge accepts events for it and drops them
(https://github.com/aws/aws-cli/issues/9186), so the template ensures that it exists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import boto3

from infobip_omni.aws import AwsError, attempt, client_config, in_batches
from infobip_omni.dynamodb import from_wire
from infobip_omni.message import SETTLED, id_of, outcome_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from infobip_omni.dynamodb import Item

SOURCE = "omni"
DETAIL_TYPE = "OMNI Message Settled"
_ENTRIES_PER_CALL = 10
#: The entries of a call together were limited to 256 KB until 2026-01-29, and to 1 MB since then.
#: The limit also applies to an event, which is some hundred bytes larger than its entry.
LARGEST_CALL_BYTES = 240_000
#: The bytes that EventBridge counts for the time of an entry.
_TIME_BYTES = 14
#: Codes for an event that EventBridge will never accept. The other codes that AWS calls not
#: retryable are about permissions and accounts: they end when the deployment is fixed.
#: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
_OF_THE_EVENT = frozenset(
    {
        "InvalidArgument",
        "InvalidParameterValue",
        "MalformedDetail",
        "ParamValidationError",  # botocore's, raised before any request
        "RedactionFailure",
        "RequestEntityTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
#: Errors of parsing a record or building an event in an unexpected format.
_NOT_AS_EXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a message's item, as the table's stream records it."""

    sequence_number: str
    changed_at: datetime
    #: Empty if the item was created.
    old: Item = field(repr=False)
    #: Empty if the item was deleted.
    new: Item = field(repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Parse a record of a Lambda event.

        Raises:
            UnreadableChangeError: The record does not have the format of a DynamoDB stream.
        """
        try:
            change = record["dynamodb"]
            return cls(
                sequence_number=change["SequenceNumber"],
                changed_at=datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC),
                old=from_wire(change.get("OldImage", {})),
                new=from_wire(change.get("NewImage", {})),
            )
        except _NOT_AS_EXPECTED as error:
            # The cause may quote a value.
            raise UnreadableChangeError(type(error).__name__) from None

    def settles(self) -> bool:
        """Return whether the message has settled, or changed to another settled state."""
        state = state_of(self.new)
        return state in SETTLED and state != state_of(self.old)


class UnreadableChangeError(ValueError):
    """A record of the stream has an unexpected format; the text is only the type of the error."""


@dataclass(frozen=True, slots=True)
class UnpublishedChange:
    """A change whose event was not published."""

    change: Change
    #: EventBridge's code, or the type of the error; it never quotes the event.
    reason: str

    @property
    def message_id(self) -> str:
        """The id of the event's message; empty if it is unknown."""
        return id_of(self.change.new)


@dataclass(slots=True)
class Publication:
    """The result of publishing the events of a batch of changes."""

    #: The number of events that EventBridge has accepted.
    published: int = 0
    #: Changes whose events EventBridge will never accept.
    unpublishable: list[UnpublishedChange] = field(default_factory=list)
    #: The first change whose event has to be retried, if any. All changes before it are done; some
    #: events after it may have been accepted.
    waiting: UnpublishedChange | None = None


class OutcomeEvents:
    """Publishes outcome events on one bus.

    Args:
        bus_name: The name of the bus.
        with_recipients: Whether events include the recipient's addresses.
        client: EventBridge.
    """

    def __init__(
        self,
        bus_name: str,
        *,
        with_recipients: bool,
        client: Any = None,  # noqa: ANN401 (boto3 makes its clients at run time)
    ) -> None:
        self._bus_name = bus_name
        self._with_recipients = with_recipients
        self._client: Any = client or boto3.client("events", config=client_config())

    def publish(self, changes: Iterable[Change]) -> Publication:
        """Publish an event for each change that settles a message, in order.

        It stops at the first event that EventBridge may accept later. Events that EventBridge will
        never accept are skipped.
        """
        publication = Publication()
        for batch in in_batches(
            self._events(changes, publication),
            _ENTRIES_PER_CALL,
            LARGEST_CALL_BYTES,
            lambda event: event.size,
        ):
            self._put(batch, publication)
            if publication.waiting is not None:
                break
        return publication

    def _events(self, changes: Iterable[Change], publication: Publication) -> Iterator[_Event]:
        """Yield the events of the changes; add those that can never be published to the result."""
        for change in changes:
            try:
                if not change.settles():
                    continue
                event = self._event(change)
            except _NOT_AS_EXPECTED as error:
                publication.unpublishable.append(UnpublishedChange(change, type(error).__name__))
                continue
            if event.size > LARGEST_CALL_BYTES:
                publication.unpublishable.append(UnpublishedChange(change, "TooLarge"))
            else:
                yield event

    def _put(self, batch: list[_Event], publication: Publication) -> None:
        try:
            answer = attempt(
                lambda: self._client.put_events(Entries=[event.entry for event in batch]),
                AwsError,
                "EventBridge did not accept the events",
            )
        except AwsError as error:
            self._refused(batch, error.code, publication)
            return
        for event, result in zip(batch, answer["Entries"], strict=True):
            code = result.get("ErrorCode")
            if code is None:
                publication.published += 1
            elif code in _OF_THE_EVENT:
                publication.unpublishable.append(UnpublishedChange(event.change, code))
            else:
                publication.waiting = UnpublishedChange(event.change, code)
                return

    def _refused(self, batch: list[_Event], code: str, publication: Publication) -> None:
        """Process a failed call, from which EventBridge may have accepted some events."""
        if code not in _OF_THE_EVENT:
            publication.waiting = UnpublishedChange(batch[0].change, code)
        elif len(batch) == 1:
            publication.unpublishable.append(UnpublishedChange(batch[0].change, code))
        else:
            # One invalid event must not block the others.
            for event in batch:
                self._put([event], publication)
                if publication.waiting is not None:
                    return

    def _event(self, change: Change) -> _Event:
        detail = outcome_of(change.new, with_recipient=self._with_recipients)
        # The table's numbers are Decimal.
        written = json.dumps(detail, default=float, ensure_ascii=False)
        entry = {
            "EventBusName": self._bus_name,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            # Consumers need the time: of two events about one message, the later one counts.
            "Time": change.changed_at,
            "Detail": written,
        }
        size = _TIME_BYTES + sum(len(text.encode()) for text in (SOURCE, DETAIL_TYPE, written))
        return _Event(change, entry, size)


@dataclass(frozen=True, slots=True)
class _Event:
    """An event to publish."""

    change: Change
    entry: dict[str, Any]
    #: Its size in bytes, as EventBridge counts it.
    #: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    size: int
