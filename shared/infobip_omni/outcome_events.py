"""Tells upstream apps, on an EventBridge bus, what became of their messages.

What is told follows from the changes of the messages table, one by one: an event goes out exactly
when a message settles, or settles otherwise than before, whoever has written it.

A shard of the table's stream waits for each of its changes, so that only a failure that passes by
itself, or with the deployment put right, may hold it up. A change that can never be told is left
out and named. That a bus does not exist is no such failure: EventBridge takes events for it, and
drops them (https://github.com/aws/aws-cli/issues/9186); the template makes sure that it exists.
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
#: All entries of a call together were limited to 256 KB until 2026-01-29, and are to 1 MB since; an
#: event may not exceed that either, and is larger than its entry by some hundred bytes.
LARGEST_CALL_BYTES = 240_000
#: What EventBridge counts for the time of an entry.
_TIME_BYTES = 14
#: What it says of an event that it will never take. Of those that AWS calls not retryable, the
#: others are about permissions and accounts: they pass once the deployment is put right.
#: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
_OF_THE_EVENT = frozenset(
    {
        "InvalidArgument",
        "InvalidParameterValue",
        "MalformedDetail",
        "ParamValidationError",  # botocore's, which has not even asked EventBridge
        "RedactionFailure",
        "RequestEntityTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
#: What reading a record or writing an event may raise.
_NOT_AS_EXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a message's item, as the stream of the table tells it."""

    sequence_number: str
    changed_at: datetime
    #: Empty where there was no item.
    old: Item = field(repr=False)
    #: Empty where the item was deleted.
    new: Item = field(repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a record of a Lambda event.

        Raises:
            UnreadableChangeError: It is not what a stream of DynamoDB holds.
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
        """Return whether the message has settled, or has settled otherwise than before."""
        state = state_of(self.new)
        return state in SETTLED and state != state_of(self.old)


class UnreadableChangeError(ValueError):
    """A record of the stream is not as expected; says only what kind of trouble it made."""


@dataclass(frozen=True, slots=True)
class UnpublishedChange:
    """A change whose event did not go out."""

    change: Change
    #: EventBridge's code, or the kind of trouble; nothing of the event.
    reason: str

    @property
    def message_id(self) -> str:
        """The message that the event is about; empty where even that is not known."""
        return id_of(self.change.new)


@dataclass(slots=True)
class Publication:
    """What became of the events of a batch of changes."""

    #: How many events EventBridge has taken.
    published: int = 0
    #: Those that it will never take.
    unpublishable: list[UnpublishedChange] = field(default_factory=list)
    #: The first that it did not take for now, if any. All before it are dealt with; of those after
    #: it, some may have been taken.
    waiting: UnpublishedChange | None = None


class OutcomeEvents:
    """The events of one bus.

    Args:
        bus_name: The bus.
        with_recipients: Whether events name the recipient.
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
        """Publish an event for each change by which a message settles, in their order.

        Ends at the first event that EventBridge does not take for now. One that it will never take
        costs only itself.
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
        """Write the events of the changes that have one; note those that can never go out."""
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
                "EventBridge did not take it",
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
        """Deal with a call of which nothing was taken, or nobody knows what."""
        if code not in _OF_THE_EVENT:
            publication.waiting = UnpublishedChange(batch[0].change, code)
        elif len(batch) == 1:
            publication.unpublishable.append(UnpublishedChange(batch[0].change, code))
        else:
            # One event's fault must not cost the others.
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
            # Of two events about one message, the later one counts.
            "Time": change.changed_at,
            "Detail": written,
        }
        size = _TIME_BYTES + sum(len(text.encode()) for text in (SOURCE, DETAIL_TYPE, written))
        return _Event(change, entry, size)


@dataclass(frozen=True, slots=True)
class _Event:
    """An event, before it is sent."""

    change: Change
    entry: dict[str, Any]
    #: Bytes, as EventBridge counts them.
    #: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    size: int
