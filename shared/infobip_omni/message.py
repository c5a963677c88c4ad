"""The message as the table keeps it, and everything else that the table keeps about it.

Only this module knows the attributes of the table's items. An attribute is called like its field
here, in camel case: `next_check_at` is kept as ``nextCheckAt``.
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
from infobip_omni.observability import masked
from infobip_omni.timestamps import format_utc, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infobip_omni.api.channels import Channel
    from infobip_omni.api.reports import Price, Status
    from infobip_omni.api.sends import Recipient
    from infobip_omni.events.send_message import OnUnknown

#: The entry of a message itself; all others of its id are what was reported about it.
MESSAGE_ENTRY = "MESSAGE"
#: Messages to be checked, by the time that their check is due.
CHECK_INDEX = Index("MessagesToCheck", "checkShard", "nextCheckAt")
#: A partition of the index takes 1000 writes a second, two a message. More shards may be added:
#: messages stay in the shard that they were written to.
CHECK_SHARDS = 64
#: Where messages are listed whose outcome the logs no longer hold.
UNRESOLVED_SHARD = "unresolved"
#: Where messages are listed that an operator has to decide about.
QUARANTINED_SHARD = "quarantined"
#: Messages by their first recipient's hash, and by the time of their claim.
RECIPIENT_INDEX = Index("MessagesByRecipient", "recipient", "claimedAt")

#: How the table works inside, which means nothing to anybody else.
_INTERNAL = frozenset(
    {
        ENTRY,
        "recipient",
        "claimToken",
        "contentHash",
        "verdictRank",
        "checkShard",
        "firstUnknownAttemptAt",
    }
)
#: No text and no address: who gets the events is decided elsewhere than who gets the messages.
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


# --- Where it stands -------------------------------------------------------------------------


class MessageState(StrEnum):
    """Where a message stands."""

    CLAIMED = "CLAIMED"  #: one sender may send it, until its lease ends
    WAITING = "WAITING"  #: certainly not sent; it will be tried again
    UNKNOWN = "UNKNOWN"  #: perhaps sent; never sent again before the logs were asked
    ACCEPTED = "ACCEPTED"  #: Infobip has it
    DELIVERED = "DELIVERED"
    UNDELIVERED = "UNDELIVERED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    QUARANTINED = "QUARANTINED"  #: nobody knows; an operator decides


class Evidence(StrEnum):
    """How a state was learnt."""

    RESPONSE = "response"  #: the answer to the send
    REPORT = "report"
    LOGS = "logs"
    DUPLICATE_ID = "duplicate-id"  #: Infobip refused the message id as known to it


#: Infobip has taken responsibility, or has ruled.
ACCEPTED_OR_FINAL = frozenset(
    {
        MessageState.ACCEPTED,
        MessageState.DELIVERED,
        MessageState.UNDELIVERED,
        MessageState.EXPIRED,
        MessageState.REJECTED,
    }
)
#: Infobip has ruled: it says no more of the message, or only what outranks this.
SETTLED = ACCEPTED_OR_FINAL - {MessageState.ACCEPTED}
#: Nothing is left for the sender to do.
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
    """Attributes of a message as they are to be written; None removes one."""

    state: MessageState
    content_hash: str
    scenario: str | None
    scenario_key: str | None
    steps: tuple[Channel, ...] | None
    to: Recipient
    #: The key of `RECIPIENT_INDEX`.
    recipient: str
    bulk_id: str
    on_unknown: OnUnknown
    callback_data: str | None
    send_at: datetime | None
    attempts: int
    claim_token: str
    claimed_at: datetime
    lease_until: datetime
    verdict_rank: str
    #: Seconds since 1970, after which DynamoDB deletes the item when it likes.
    expires_at: int
    next_check_at: datetime | None
    check_shard: str | None
    evidence: Evidence | None
    #: Infobip's status, or the code and text by which it has refused a request.
    status: Status | Mapping[str, object] | None
    channel: str | None
    price: Price | None
    sent_at: datetime | None
    done_at: datetime | None
    unknown_at: datetime | None
    #: The claim of the first attempt whose outcome stayed unknown, once another has followed it.
    first_unknown_attempt_at: datetime | None
    absent_answers: int | None
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
    """A message as it was read: what decisions are made by, and not all that is known of it."""

    id: str
    state: MessageState
    content_hash: str
    #: The addresses that it was sent to, by Infobip's names for them.
    to: Mapping[str, str] = field(repr=False)
    #: The flow's channels; None when the flow is unknown.
    steps: tuple[str, ...] | None
    bulk_id: str
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
    #: Answered log queries without a trace of it.
    absent_answers: int
    is_released: bool
    is_closed: bool

    @classmethod
    def from_item(cls, item: Item) -> Self | UnreadableMessage:
        """Read the item of a message; one that is not as this version writes it is unreadable."""
        try:
            return cls._from_item(item)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            bulk_id = item.get("bulkId")
            return UnreadableMessage(item[MESSAGE_ID], bulk_id if isinstance(bulk_id, str) else "")

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
            absent_answers=int(item.get("absentAnswers", 0)),
            is_released="releasedAt" in item,
            is_closed="closedAt" in item,
        )

    @property
    def last_step(self) -> str | None:
        """The channel of the last step of its flow; None when the flow is unknown."""
        return self.steps[-1] if self.steps else None

    @property
    def is_open(self) -> bool:
        """Whether somebody has to decide about it."""
        return self.state is MessageState.QUARANTINED and not self.is_closed

    @property
    def is_done(self) -> bool:
        """Whether its content is not needed any more."""
        return self.state in ACCEPTED_OR_FINAL or (
            self.state is MessageState.QUARANTINED and self.is_closed
        )

    @property
    def was_refused_as_repeat(self) -> bool:
        """Whether Infobip has refused its id as one that it knows."""
        return self.evidence == Evidence.DUPLICATE_ID

    def age(self, now: datetime) -> timedelta:
        """Return how long ago it was due to be sent; negative before its `sendAt`."""
        return now - max(self.claimed_at, self.send_at or self.claimed_at)

    def has_expired(self, now: datetime) -> bool:
        """Return whether it counts as deleted, though DynamoDB may not have done so yet."""
        return self.expires_at <= now.timestamp()

    def is_due(self, now: datetime) -> bool:
        """Return whether the time has come to check it."""
        return self.next_check_at is not None and self.next_check_at <= now

    def lease_has_ended(self, now: datetime) -> bool:
        """Return whether it is claimed by somebody who must not send it any more."""
        return self.state is MessageState.CLAIMED and self.lease_until <= now

    def changed(self, **changes: Unpack[Changes]) -> Update:
        """Make the update that changes it, if it is still as it was read."""
        expected = expect(state=self.state, claim_token=self.claim_token)
        if self.next_check_at is not None:
            # Lets only one of two overlapping runs count an answer.
            expected += expect(next_check_at=self.next_check_at)
        return update(self.id, expected, **changes)


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """A message whose item this version cannot read: a later one may have written it.

    It is left as it is, and costs its neighbours nothing.
    """

    id: str
    bulk_id: str  #: empty where even that cannot be read


def new_item(message_id: str, **attributes: Unpack[Changes]) -> Item:
    """Make the item of a message."""
    return {MESSAGE_ID: message_id, ENTRY: MESSAGE_ENTRY} | _written(attributes)


def update(
    message_id: str, expected: tuple[Expectation, ...], **changes: Unpack[Changes]
) -> Update:
    """Make the update that changes a message, if it is as expected."""
    return Update(message_id, MESSAGE_ENTRY, _written(changes), expected)


def expect(**values: Unpack[Changes]) -> tuple[Expectation, ...]:
    """Expect these values of attributes."""
    return tuple(Expectation(name, value) for name, value in _written(values).items())


def expect_rank_below(rank: str) -> tuple[Expectation, ...]:
    """Expect that no verdict of this rank or a higher one stands."""
    return (Expectation(_ATTRIBUTES["verdict_rank"], rank, Comparison.BELOW),)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("an attribute is no text")
    return value


def _timestamp(value: object) -> datetime:
    moment = parse_utc(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time has no offset")
    return moment


def _written(attributes: Changes) -> dict[str, object]:
    return {_ATTRIBUTES[name]: _value(value) for name, value in attributes.items()}


def _value(value: object) -> object:
    if value is None or isinstance(value, (str, int)):
        return value  # most are: asking pydantic's classes takes longest
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_none=True)
    return [*value] if isinstance(value, tuple) else value


# --- What was reported -----------------------------------------------------------------------


class Contents(StrEnum):
    """What an entry holds."""

    REPORT = "report"  #: a delivery report, or one that says when a message was seen
    ROW = "row"  #: a row of the logs
    RAW = "raw"  #: what could not be read, or was about somebody else's message


@dataclass(frozen=True, slots=True)
class Entry:
    """What was reported of a message, as it came."""

    message_id: str
    name: str
    contents: Contents
    text: str = field(repr=False)
    received_at: datetime
    #: Seconds since 1970.
    expires_at: int

    def to_item(self) -> Item:
        """Write the item of the entry."""
        return {
            MESSAGE_ID: self.message_id,
            ENTRY: self.name,
            self.contents.value: self.text,
            "receivedAt": format_utc(self.received_at),
            "expiresAt": self.expires_at,
        }


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a page of reports, until they are recorded."""

    name: str
    data: bytes = field(repr=False)

    @classmethod
    def from_item(cls, item: Item) -> Self | None:
        """Read the item of a chunk; return None where it is not as this version writes it."""
        try:
            return cls(item[ENTRY], bytes(item["chunk"]))
        except (LookupError, TypeError, ValueError):
            return None

    def to_item(self, message_id: str, expires_at: int) -> Item:
        """Write the item of the chunk.

        Args:
            message_id: What stands in the place of a message's id.
            expires_at: Seconds since 1970.
        """
        return {
            MESSAGE_ID: message_id,
            ENTRY: self.name,
            "chunk": self.data,
            "expiresAt": expires_at,
        }


# --- Items that are passed on ----------------------------------------------------------------


def has_expired(item: Item, now: datetime) -> bool:
    """Return whether an item counts as deleted, though DynamoDB may not have done so yet."""
    expires_at = item.get("expiresAt")
    return isinstance(expires_at, Decimal) and expires_at <= now.timestamp()


def is_message(item: Item) -> bool:
    """Return whether an item is the message itself, and not what was reported about it."""
    return bool(item[ENTRY] == MESSAGE_ENTRY)


def happened_at(item: Item) -> str:
    """Return when something happened; where an entry does not say so, when it became known."""
    written: str = item[ENTRY].rpartition("#")[2]
    return written if written.endswith("Z") else str(item.get("receivedAt", ""))


def claimed_at(item: Item) -> str:
    """Return when a message was claimed last, as a text that sorts."""
    return str(item.get("claimedAt", ""))


def shown_message(item: Item, impersonal: Callable[[object], object] | None = None) -> Item:
    """Return what a message's item says to people.

    Args:
        item: The item.
        impersonal: Leaves out what is personal of a status; addresses are masked then, and the
            caller's own data are left out. None shows everything.
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
    """Return what an entry's item says to people.

    Args:
        item: The item.
        content: Shows what was reported, which is a text.
    """
    shown = {name: str(item[name]) for name in (ENTRY, "receivedAt") if name in item}
    texts = {name.value: item[name] for name in Contents if isinstance(item.get(name), str)}
    return shown | {name: content(text) for name, text in texts.items()}


def state_of(item: Item) -> MessageState | None:
    """Return the state of a message; None where there is none, or none that this version knows."""
    try:
        return MessageState(item["state"])
    except (KeyError, ValueError):
        return None


def id_of(item: Item) -> str:
    """Return whose item it is; empty where it does not say so."""
    return str(item.get(MESSAGE_ID, ""))


def outcome_of(item: Item, *, with_recipient: bool) -> Item:
    """Return what apps upstream are told of a message that has settled."""
    names = (*_OUTCOME_MEMBERS, "to") if with_recipient else _OUTCOME_MEMBERS
    return {name: item[name] for name in names if name in item}
