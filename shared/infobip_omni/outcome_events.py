"""Tells upstream apps, on an EventBridge bus, what became of their messages.

What is told follows from the changes of the messages table, one by one: an event goes out exactly
when a message settles, or settles otherwise than before, whoever has written it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infobip_omni.aws_clients import client_config
from infobip_omni.delivery import TAKEN, MessageState
from infobip_omni.dynamodb import from_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infobip_omni.dynamodb import Item

SOURCE = "omni"
DETAIL_TYPE = "OMNI Message Settled"
SETTLED = TAKEN - {MessageState.ACCEPTED}
_ENTRIES_PER_CALL = 10
#: No text and no address: who gets the events is decided elsewhere than who gets the messages.
_TOLD = (
    "messageId",
    "state",
    "channel",
    "scenario",
    "scenarioKey",
    "callbackData",
    "doneAt",
    "price",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a message's item, as the stream of the table tells it."""

    sequence_number: str
    changed_at: datetime
    #: Empty where there was no item.
    old: Item
    #: Empty where the item was deleted.
    new: Item

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a record of a Lambda event."""
        change = record["dynamodb"]
        return cls(
            sequence_number=change["SequenceNumber"],
            changed_at=datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC),
            old=from_wire(change.get("OldImage", {})),
            new=from_wire(change.get("NewImage", {})),
        )

    def settles(self) -> bool:
        """Tell whether the message has settled, or has settled otherwise than before."""
        state = self.new.get("state")
        return state in SETTLED and state != self.old.get("state")


class BusUnavailableError(Exception):
    """EventBridge did not take an event, or did not say so.

    Args:
        change: The first change whose event may be missing.
        reason: What EventBridge or the network said, without anything of the event.
    """

    def __init__(self, change: Change, reason: str) -> None:
        super().__init__(f"EventBridge did not take an event: {reason}")
        self.change = change


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
        self._told = (*_TOLD, "to") if with_recipients else _TOLD
        self._client: Any = client or boto3.client("events", config=client_config())

    def publish(self, changes: Iterable[Change]) -> int:
        """Publish an event for each change by which a message settles, in their order.

        Returns:
            How many events were published.

        Raises:
            BusUnavailableError: An event was not taken. Those before it were; of those after it,
                some may have been.
        """
        settling = (change for change in changes if change.settles())
        published = 0
        while batch := list(islice(settling, _ENTRIES_PER_CALL)):
            self._put(batch)
            published += len(batch)
        return published

    def _put(self, batch: list[Change]) -> None:
        entries = [self._entry(change) for change in batch]
        try:
            answer = self._client.put_events(Entries=entries)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise BusUnavailableError(batch[0], code) from None
        except BotoCoreError as error:
            raise BusUnavailableError(batch[0], type(error).__name__) from None
        for change, result in zip(batch, answer["Entries"], strict=True):
            if "ErrorCode" in result:
                raise BusUnavailableError(change, result["ErrorCode"])

    def _entry(self, change: Change) -> dict[str, Any]:
        detail = {name: change.new[name] for name in self._told if name in change.new}
        return {
            "EventBusName": self._bus_name,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            # Of two events about one message, the later one counts.
            "Time": change.changed_at,
            # The table's numbers are Decimal.
            "Detail": json.dumps(detail, default=float, ensure_ascii=False),
        }
