"""The items of the messages table: messages, reports, refused records, and stored pages.

Only this module knows the attributes of the items. An attribute has the name of its field here, in
camelCase: `next_check_at` is stored as ``nextCheckAt``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from infobip_omni.dynamodb import (
    ENTRY,
    MESSAGE_ID,
    Comparison,
    Expectation,
    Index,
    Item,
    Update,
)
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.observability import masked
from infobip_omni.timestamps import format_utc, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from infobip_omni.api.channels import Channel
    from infobip_omni.api.reports import Price, Status
    from infobip_omni.api.sends import Recipient
    from infobip_omni.events.send_message import OnUnknown

#: The sort key of the message itself; the other entries of its id are reports about it, and records
#: that were refused before they could claim it.
MESSAGE_ENTRY = "MESSAGE"
#: The beginning of the sort keys of refused records.
_REFUSED = "REFUSED#"
#: Messages to check, by the time of their next check.
CHECK_INDEX = Index("MessagesToCheck", "checkShard", "nextCheckAt")
#: A partition of the index takes 1000 writes a second, two a message. More shards may be added:
#: messages stay in the shard that they were written to.
CHECK_SHARDS = 64
#: The partition of messages whose outcome the logs no longer hold.
UNRESOLVED_SHARD = "unresolved"
#: The partition of messages that an operator has to decide about.
QUARANTINED_SHARD = "quarantined"
#: Messages by the hash of their first address, and by the time of their claim.
RECIPIENT_INDEX = Index("MessagesByRecipient", "recipient", "claimedAt")

#: Attributes that mean nothing outside the table.
_INTERNAL = frozenset(
    {
        ENTRY,
        "recipient",
        "claimToken",
        "contentHash",
        "verdictRank",
        "checkShard",
        "firstUnknownAttemptAt",
        "refusedAttempt",
        "hasUndecidedRow",
    }
)
#: Members of an outcome event. They hold no message text and no address, because the bus may have
#: consumers that must not see them.
_OUTCOME_MEMBERS = (
    MESSAGE_ID,
    "state",
    "channel",
    "scenario",
    "scenarioKey",
    "callbackData",
    "doneAt",
    "price",
)


# --- State -----------------------------------------------------------------------------------


class MessageState(StrEnum):
    """The state of a message; `transitions` shows the diagram."""

    CLAIMED = "CLAIMED"  #: one sender may send it, until its lease expires
    WAITING = "WAITING"  #: known not to be sent; it will be tried again
    UNKNOWN = "UNKNOWN"  #: it may have been sent; it is not sent again before a log query
    ACCEPTED = "ACCEPTED"  #: Infobip has accepted it
    DELIVERED = "DELIVERED"
    UNDELIVERED = "UNDELIVERED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    #: Whether it was sent cannot be learnt, so an operator decides. It stays in this state when it
    #: is closed.
    QUARANTINED = "QUARANTINED"


class Evidence(StrEnum):
    """The source of a state."""

    RESPONSE = "response"  #: the answer to the send
    REPORT = "report"
    LOGS = "logs"
    DUPLICATE_ID = "duplicate-id"  #: Infobip refused the message id as already used


#: Infobip has accepted the message, or has reported its final status.
ACCEPTED_OR_FINAL = frozenset(
    {
        MessageState.ACCEPTED,
        MessageState.DELIVERED,
        MessageState.UNDELIVERED,
        MessageState.EXPIRED,
        MessageState.REJECTED,
    }
)
#: The message has its final state; only a report of a higher rank changes it.
SETTLED = ACCEPTED_OR_FINAL - {MessageState.ACCEPTED}
#: The sender has nothing left to do.
RESOLVED = ACCEPTED_OR_FINAL | {MessageState.QUARANTINED}
#: States that a proof of acceptance turns into ACCEPTED.
UNPROVEN = frozenset(
    {
        MessageState.CLAIMED,
        MessageState.WAITING,
        MessageState.UNKNOWN,
        MessageState.QUARANTINED,
    }
)


# --- The message -----------------------------------------------------------------------------


class Changes(TypedDict, total=False):
    """New values for attributes of a message; None removes an attribute."""

    state: MessageState
    content_hash: str
    scenario: str | None
    scenario_key: str | None
    steps: tuple[Channel, ...] | None
    to: Recipient
    #: The key of `RECIPIENT_INDEX`.
    recipient: str
    bulk_id: str
    #: The bulk ids of earlier attempts whose outcome stayed unknown.
    earlier_bulk_ids: tuple[str, ...] | None
    #: The bulk ids of refused attempts, by the id of the status that refused them, as text.
    refused_bulk_ids: Mapping[str, list[str]] | None
    #: The number of the last attempt that was refused.
    refused_attempt: int | None
    on_unknown: OnUnknown
    callback_data: str | None
    send_at: datetime | None
    attempts: int
    claim_token: str
    claimed_at: datetime
    lease_until: datetime
    verdict_rank: str
    #: Seconds since 1970, after which DynamoDB deletes the item at some point.
    expires_at: int
    next_check_at: datetime | None
    check_shard: str | None
    evidence: Evidence | None
    #: Infobip's status, or the code and text of its refusal of a request.
    status: Status | Mapping[str, object] | None
    channel: str | None
    price: Price | None
    #: When Infobip accepted the message, until a report or log row gives the time of sending. So
    #: it may be earlier than `send_at`.
    sent_at: datetime | None
    done_at: datetime | None
    unknown_at: datetime | None
    #: The claim of the first attempt whose outcome stayed unknown, once another has followed it.
    first_unknown_attempt_at: datetime | None
    absent_answers: int | None
    #: The logs have shown a row that may be about a refused attempt or about the last one.
    has_undecided_row: bool | None
    unresolved_at: datetime | None
    dead_letter_reason: str | None
    released_at: datetime | None
    released_by: str | None
    released_why: str | None
    closed_at: datetime | None
    closed_by: str | None
    closed_why: str | None


_ATTRIBUTES = {name: to_camel(name) for name in Changes.__annotations__}


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was read, with the attributes that decisions depend on."""

    id: str
    state: MessageState
    content_hash: str
    #: The recipient's addresses, by Infobip's names for them.
    to: Mapping[str, str] = field(repr=False)
    #: The flow's channels; None when the flow is unknown.
    steps: tuple[str, ...] | None
    bulk_id: str  #: of the last attempt
    on_unknown: str
    send_at: datetime | None
    attempts: int
    claim_token: str
    claimed_at: datetime
    lease_until: datetime
    verdict_rank: str
    #: Seconds since 1970.
    expires_at: int
    next_check_at: datetime | None
    evidence: str | None
    #: When its outcome became unknown, at the latest: no request of its last attempt runs since.
    unknown_at: datetime
    #: The claim of the first attempt that may have been sent.
    first_unknown_attempt_at: datetime
    #: The number of answered log queries without a row for the message.
    absent_answers: int
    is_released: bool
    is_closed: bool
    dead_letter_reason: str | None = None
    #: The bulk ids of earlier attempts whose outcome stayed unknown.
    earlier_bulk_ids: tuple[str, ...] = ()
    #: The bulk ids of refused attempts, by the id of the status that refused them.
    refused_bulk_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    #: The number of the last attempt that was refused; 0 if none was.
    refused_attempt: int = 0
    #: Another attempt has followed one whose outcome stayed unknown.
    follows_unknown: bool = False
    #: The logs have shown a row that may be about a refused attempt or about the last one.
    has_undecided_row: bool = False

    @classmethod
    def from_item(cls, item: Item) -> Self | UnreadableMessage:
        """Read the item of a message; one in another format than this version's is unreadable."""
        try:
            return cls._from_item(item)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            bulk_id = item.get("bulkId")
            return UnreadableMessage(
                item[MESSAGE_ID],
                bulk_id if isinstance(bulk_id, str) else "",
                frozenset(_texts_in((item.get("earlierBulkIds"), item.get("refusedBulkIds")))),
            )

    @classmethod
    def _from_item(cls, item: Item) -> Self:
        steps = item.get("steps")
        send_at, next_check_at = item.get("sendAt"), item.get("nextCheckAt")
        claimed_at, lease_until = _timestamp(item["claimedAt"]), _timestamp(item["leaseUntil"])
        unknown_at, first_attempt_at = item.get("unknownAt"), item.get("firstUnknownAttemptAt")
        return cls(
            id=item[MESSAGE_ID],
            state=MessageState(item["state"]),
            content_hash=_text(item["contentHash"]),
            to={_text(kind): _text(address) for kind, address in dict(item["to"]).items()},
            steps=None if steps is None else tuple(map(_text, steps)),
            bulk_id=_text(item["bulkId"]),
            earlier_bulk_ids=tuple(map(_text, item.get("earlierBulkIds", ()))),
            refused_bulk_ids={
                int(status_id): tuple(map(_text, bulk_ids))
                for status_id, bulk_ids in dict(item.get("refusedBulkIds", {})).items()
            },
            refused_attempt=int(item.get("refusedAttempt", 0)),
            on_unknown=_text(item["onUnknown"]),
            send_at=None if send_at is None else _timestamp(send_at),
            attempts=int(item["attempts"]),
            claim_token=_text(item["claimToken"]),
            claimed_at=claimed_at,
            lease_until=lease_until,
            verdict_rank=_text(item["verdictRank"]),
            expires_at=int(item["expiresAt"]),
            next_check_at=None if next_check_at is None else _timestamp(next_check_at),
            evidence=item.get("evidence"),
            unknown_at=lease_until if unknown_at is None else _timestamp(unknown_at),
            first_unknown_attempt_at=(
                claimed_at if first_attempt_at is None else _timestamp(first_attempt_at)
            ),
            follows_unknown=first_attempt_at is not None,
            absent_answers=int(item.get("absentAnswers", 0)),
            has_undecided_row="hasUndecidedRow" in item,
            dead_letter_reason=item.get("deadLetterReason"),
            is_released="releasedAt" in item,
            is_closed="closedAt" in item,
        )

    @property
    def last_step(self) -> str | None:
        """The channel of the flow's last step; None when the flow is unknown."""
        return self.steps[-1] if self.steps else None

    @property
    def bulk_ids(self) -> frozenset[str]:
        """The bulk ids of all attempts that Infobip may report about."""
        refused = (each for bulk_ids in self.refused_bulk_ids.values() for each in bulk_ids)
        return frozenset((self.bulk_id, *self.earlier_bulk_ids, *refused))

    @property
    def is_last_attempt_refused(self) -> bool:
        """Whether the answer to the last attempt has refused it."""
        return self.refused_attempt == self.attempts

    @property
    def is_spent(self) -> bool:
        """Whether nothing was sent, and Infobip takes no more under this id."""
        return (
            self.state is MessageState.QUARANTINED
            and self.dead_letter_reason == DeadLetterReason.ID_SPENT
        )

    @property
    def is_open(self) -> bool:
        """Whether an operator has to decide about the message."""
        return self.state is MessageState.QUARANTINED and not self.is_closed

    @property
    def is_done(self) -> bool:
        """Whether the message will not be sent again, so its content is no longer needed."""
        return self.state in ACCEPTED_OR_FINAL or (
            self.state is MessageState.QUARANTINED and self.is_closed
        )

    @property
    def was_refused_as_repeat(self) -> bool:
        """Whether Infobip has refused the message id as already used."""
        return self.evidence == Evidence.DUPLICATE_ID

    def is_shared_bulk_id(self, bulk_id: str) -> bool:
        """Return whether a refused attempt had this bulk id, and another attempt too.

        So it is when the bulk id is the caller's own.
        """
        others = self.earlier_bulk_ids
        if not self.is_last_attempt_refused:
            others = (*others, self.bulk_id)
        is_refused = any(bulk_id in bulk_ids for bulk_ids in self.refused_bulk_ids.values())
        return is_refused and bulk_id in others

    def age(self, now: datetime) -> timedelta:
        """Return how long ago the message was due to be sent; negative before its `sendAt`."""
        return now - max(self.claimed_at, self.send_at or self.claimed_at)

    def has_expired(self, now: datetime) -> bool:
        """Return whether the item has expired, even if DynamoDB has not deleted it yet."""
        return self.expires_at <= now.timestamp()

    def is_due(self, now: datetime) -> bool:
        """Return whether the message is due for a check."""
        return self.next_check_at is not None and self.next_check_at <= now

    def lease_has_ended(self, now: datetime) -> bool:
        """Return whether the message is claimed, and the lease of the claim has expired."""
        return self.state is MessageState.CLAIMED and self.lease_until <= now

    def changed(self, **changes: Unpack[Changes]) -> Update:
        """Build an update of the message, conditional on its being as it was read."""
        expected = expect(state=self.state, claim_token=self.claim_token)
        if self.next_check_at is not None:
            # Of two overlapping runs, only one can count an answer.
            expected += expect(next_check_at=self.next_check_at)
        return update(self.id, expected, **changes)


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """A message whose item this version cannot read, since a later version may have written it.

    Functions skip it, and leave its item unchanged.
    """

    id: str
    bulk_id: str  #: empty if it cannot be read either
    other_bulk_ids: frozenset[str] = frozenset()  #: of other attempts

    @property
    def bulk_ids(self) -> frozenset[str]:
        """The bulk ids of all attempts that Infobip may report about."""
        return self.other_bulk_ids | {self.bulk_id}


def new_item(message_id: str, **attributes: Unpack[Changes]) -> Item:
    """Build the item of a message."""
    return {MESSAGE_ID: message_id, ENTRY: MESSAGE_ENTRY} | _written(attributes)


def update(
    message_id: str, expected: tuple[Expectation, ...], **changes: Unpack[Changes]
) -> Update:
    """Build an update of a message, conditional on *expected*."""
    return Update(message_id, MESSAGE_ENTRY, _written(changes), expected)


def expect(**values: Unpack[Changes]) -> tuple[Expectation, ...]:
    """Return the condition that attributes have these values."""
    return tuple(Expectation(name, value) for name, value in _written(values).items())


def expect_rank_below(rank: str) -> tuple[Expectation, ...]:
    """Return the condition that the message has no verdict of this rank or a higher one."""
    return (Expectation(_ATTRIBUTES["verdict_rank"], rank, Comparison.BELOW),)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("an attribute is not text")
    return value


def _texts_in(value: object) -> Iterator[str]:
    """Yield the texts in lists and maps, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_in(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts_in(each)


def _timestamp(value: object) -> datetime:
    timestamp = parse_utc(_text(value))
    if timestamp.tzinfo is None:
        raise ValueError("a timestamp has no offset")
    return timestamp


def _written(attributes: Changes) -> dict[str, object]:
    return {_ATTRIBUTES[name]: _value(value) for name, value in attributes.items()}


def _value(value: object) -> object:
    if value is None or isinstance(value, (str, int)):
        return value  # most values; checking for pydantic's classes takes longest
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_none=True)
    return [*value] if isinstance(value, tuple) else value


# --- Reports ---------------------------------------------------------------------------------


class Contents(StrEnum):
    """The kind of an entry, which is the name of the attribute that holds its text."""

    REPORT = "report"  #: a delivery report, or a report about a seen message
    ROW = "row"  #: a row of the logs
    RAW = "raw"  #: an unreadable entry, or one about a message of another bulk


@dataclass(frozen=True, slots=True)
class Entry:
    """A report or log row about a message, as it came."""

    message_id: str
    name: str
    contents: Contents
    text: str = field(repr=False)
    received_at: datetime
    #: Seconds since 1970.
    expires_at: int

    def to_item(self) -> Item:
        """Return the item of the entry."""
        return {
            MESSAGE_ID: self.message_id,
            ENTRY: self.name,
            self.contents.value: self.text,
            "receivedAt": format_utc(self.received_at),
            "expiresAt": self.expires_at,
        }


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that held a message's id, and was dead-lettered because it broke a rule.

    The id is not used up by it: a corrected record may claim the message.
    """

    message_id: str
    record_id: str  #: its SQS id in the send queue; a redelivery has the same
    dead_letter_id: str  #: its SQS id in the dead-letter queue
    reason: DeadLetterReason
    field: str
    rule: str

    def to_item(self, refused_at: datetime, expires_at: int) -> Item:
        """Return the item of the record.

        Args:
            refused_at: The current time.
            expires_at: Seconds since 1970.
        """
        return {
            MESSAGE_ID: self.message_id,
            ENTRY: f"{_REFUSED}{self.record_id}",
            "deadLetterId": self.dead_letter_id,
            "reason": self.reason.value,
            "field": self.field or None,
            "rule": self.rule or None,
            "refusedAt": format_utc(refused_at),
            "expiresAt": expires_at,
        }


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a page of reports that are not recorded yet."""

    name: str
    data: bytes = field(repr=False)

    @classmethod
    def from_item(cls, item: Item) -> Self | None:
        """Read the item of a chunk; return None if it has another format than this version's."""
        try:
            return cls(item[ENTRY], bytes(item["chunk"]))
        except (LookupError, TypeError, ValueError):
            return None

    def to_item(self, message_id: str, expires_at: int) -> Item:
        """Return the item of the chunk.

        Args:
            message_id: The partition key of all pages.
            expires_at: Seconds since 1970.
        """
        return {
            MESSAGE_ID: message_id,
            ENTRY: self.name,
            "chunk": self.data,
            "expiresAt": expires_at,
        }


# --- Items for answers and events ------------------------------------------------------------


def has_expired(item: Item, now: datetime) -> bool:
    """Return whether an item has expired, even if DynamoDB has not deleted it yet."""
    expires_at = item.get("expiresAt")
    return isinstance(expires_at, Decimal) and expires_at <= now.timestamp()


def is_message(item: Item) -> bool:
    """Return whether an item is the message itself, and not a report about it."""
    return bool(item[ENTRY] == MESSAGE_ENTRY)


def is_refused_record(item: Item) -> bool:
    """Return whether an item is about a refused record, and not about the message itself."""
    return bool(item[ENTRY].startswith(_REFUSED))


def happened_at(item: Item) -> str:
    """Return the time that an entry reports, otherwise the time when it was received, as text."""
    written: str = item[ENTRY].rpartition("#")[2]
    received = item.get("receivedAt", item.get("refusedAt", ""))
    return written if written.endswith("Z") else str(received)


def claimed_at(item: Item) -> str:
    """Return when a message was last claimed, as text that sorts by time."""
    return str(item.get("claimedAt", ""))


def shown_message(item: Item, impersonal: Callable[[object], object] | None = None) -> Item:
    """Return the attributes of a message's item that people may see.

    Args:
        item: The item.
        impersonal: Removes the personal members of a status. If given, addresses are masked, and
            the callback data is left out. None shows everything.
    """
    shown = {name: value for name, value in item.items() if name not in _INTERNAL}
    if impersonal is not None:
        to = item.get("to")
        addresses = to if isinstance(to, dict) else {}
        shown["to"] = {name: masked(str(address)) for name, address in addresses.items()}
        shown.pop("callbackData", None)
        if "status" in shown:
            shown["status"] = impersonal(shown["status"])
    return shown


def shown_entry(item: Item, content: Callable[[str], object]) -> Item:
    """Return the attributes of an entry's item that people may see.

    Args:
        item: The item.
        content: Converts the text of a report or log row to what is shown.
    """
    shown = {name: str(item[name]) for name in (ENTRY, "receivedAt") if name in item}
    texts = {name.value: item[name] for name in Contents if isinstance(item.get(name), str)}
    return shown | {name: content(text) for name, text in texts.items()}


def shown_refused_record(item: Item) -> Item:
    """Return the attributes of a refused record's item that people may see: when, why, and where.

    They quote nothing of its body.
    """
    shown = {"at": item.get("refusedAt")}
    shown |= {name: item.get(name) for name in ("reason", "field", "rule", "deadLetterId")}
    return {name: str(value) for name, value in shown.items() if value is not None}


def state_of(item: Item) -> MessageState | None:
    """Return the state of a message; None if it has none that this version knows."""
    try:
        return MessageState(item["state"])
    except (KeyError, ValueError):
        return None


def id_of(item: Item) -> str:
    """Return the message id of an item; empty if it has none."""
    return str(item.get(MESSAGE_ID, ""))


def outcome_of(item: Item, *, with_recipient: bool) -> Item:
    """Return the detail of the event about a settled message.

    `channel` and `price` come from the deciding report or log row. So a message that Infobip
    refused in its answer to the send has neither.

    Args:
        item: The item of the message.
        with_recipient: Whether to include the recipient's addresses, as `to`.
    """
    names = (*_OUTCOME_MEMBERS, "to") if with_recipient else _OUTCOME_MEMBERS
    return {name: item[name] for name in names if name in item}
