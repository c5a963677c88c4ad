"""The commands that an operator gives to redrive_messages, and its answers."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictStr, StringConstraints, TypeAdapter
from pydantic.alias_generators import to_camel

from .dead_letter import DeadLetterReason
from .errors import InvalidEventError, InvocationEvent, opened, read_as

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Json = dict[str, Any]

#: Characters; ours have some 100.
_LONGEST_TOKEN = 1000
#: Where a list continues: after the time and id of the last record, which are texts that sort.
Place = tuple[str, str]
_PLACE = TypeAdapter(tuple[StrictStr, StrictStr])

Limit = Annotated[int, Field(ge=1, le=1000)]
MessageId = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


# --- Commands ----------------------------------------------------------------------------------


class _Selection(InvocationEvent):
    #: Not strict: JSON has strings for an enumeration's members, which strict mode would refuse.
    reason: Annotated[DeadLetterReason, Field(strict=False)] | None = None
    limit: Limit = 100


class ListCommand(_Selection):
    """List dead-lettered records, the oldest first."""

    action: Literal["list"]
    #: From the previous answer, to continue where it ended.
    next_token: Annotated[str, Field(max_length=_LONGEST_TOKEN)] | None = None
    #: Whether to include the bodies, which hold personal data.
    show_content: bool = False


class RedriveCommand(_Selection):
    """Move dead-lettered records back to the send queue, except those with reason QUARANTINED."""

    action: Literal["redrive"]
    original_message_id: MessageId | None = None
    dry_run: bool = True


class _Decision(InvocationEvent):
    message_id: MessageId
    by: Name
    why: Text


class ReleaseCommand(_Decision):
    """Send a quarantined message again, at the risk that the recipient receives it twice."""

    action: Literal["release"]


class CloseCommand(_Decision):
    """Give up a quarantined message, at the risk that the recipient never receives it.

    The message keeps the state QUARANTINED and gets `closedAt`, `closedBy` and `closedWhy`.
    """

    action: Literal["close"]


Command = ListCommand | RedriveCommand | ReleaseCommand | CloseCommand
_COMMANDS: dict[str, type[Command]] = {
    "list": ListCommand,
    "redrive": RedriveCommand,
    "release": ReleaseCommand,
    "close": CloseCommand,
}


def parse(event: object) -> Command:
    """Parse an operator's command.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    event = opened(event)
    action = event.get("action") if isinstance(event, dict) else None
    command = _COMMANDS.get(action) if isinstance(action, str) else None
    if command is None:
        raise InvalidEventError("action", f"must be one of {', '.join(_COMMANDS)}")
    return read_as(command, event)


def write_token(place: Place) -> str:
    """Return the token for the next page of a list."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def read_token(command: ListCommand) -> Place | None:
    """Return where a list continues; None without a token.

    Raises:
        InvalidEventError: The token is not one of ours.
    """
    if command.next_token is None:
        return None
    try:
        text = base64.b64decode(command.next_token.encode(), altchars=b"-_", validate=True)
        return _PLACE.validate_python(tuple(json.loads(text)))
    except (ValueError, TypeError, RecursionError):
        rule = "must be the nextToken of the last answer to list"
        raise InvalidEventError("nextToken", rule) from None


# --- Answers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    #: Whether the whole queue was searched, except for records that another consumer has received.
    #: If not, there may be more records, and the command can be repeated.
    complete: bool

    def to_json(self) -> Json:
        """Return the answer in camelCase; members without a value are left out."""
        return _written(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecord:
    """A dead-lettered record as an operator sees it."""

    record_id: str
    #: The id under which the content was first queued.
    original_message_id: str
    reason: DeadLetterReason
    #: The field that breaks a rule, and the rule, for INVALID and CONFLICT. The rule of an OUTAGE
    #: is what Infobip answered last, if it did.
    field: str | None
    rule: str | None
    sent_at: str
    age_seconds: int
    #: The number of `message_ids`; None where there are none.
    destinations: int | None
    #: The ids of its messages, as far as they can be read, also from a body that breaks a rule.
    message_ids: list[str]
    body: str | None = dataclasses.field(repr=False)

    @property
    def place(self) -> Place:
        """The place of the record in a list, which is in the order of time."""
        return self.sent_at, self.record_id

    def to_json(self, quarantined: Container[str] = (), unreadable: Container[str] = ()) -> Json:
        """Return the record in camelCase; members without a value are left out.

        Args:
            quarantined: The ids of messages that need a decision.
            unreadable: The ids of messages that this version cannot read.
        """
        written = _written(self)
        if self.reason in NEVER_REDRIVEN:
            waiting = [each for each in self.message_ids if each in quarantined]
            written["quarantinedMessageIds"] = waiting
        if named := [each for each in self.message_ids if each in unreadable]:
            written["unreadableMessageIds"] = named
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(_Answer):
    """Dead-lettered records, each as `ListedRecord.to_json` returns it."""

    records: list[Json] = dataclasses.field(repr=False)
    #: The next step of the operator, by each reason that is listed.
    hints: Mapping[str, str]
    #: For the next page; None if all records that were found are listed.
    next_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven(_Answer):
    """The number of records that were moved to the send queue, or would be in a dry run."""

    dry_run: bool
    #: The number of records that were found, by their reason.
    found: Mapping[str, int]
    redriven: int
    failed: int
    #: Records whose messages stay quarantined: each message needs a decision.
    skipped_quarantined: int
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(_Answer):
    """A message that the sender may send again."""

    message_id: str
    state: str
    records_redriven: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(_Answer):
    """A message that will not be sent again; its state does not change."""

    message_id: str
    state: str
    records_deleted: int
    #: Records that also hold other messages to decide about.
    records_kept: int
    #: The first of these records' messages that this version cannot read; None if there are none.
    unreadable_message_ids: list[str] | None
    hint: str | None


Answer = Listed | Redriven | Released | Closed

#: The reasons of records that `redrive` skips, because their messages are quarantined.
NEVER_REDRIVEN = frozenset({DeadLetterReason.QUARANTINED, DeadLetterReason.ID_SPENT})
#: The next step of an operator for a dead-lettered record, by its reason.
HINTS: Mapping[DeadLetterReason, str] = {
    DeadLetterReason.INVALID: (
        "Correct the event as field and rule say, and queue it again; list with showContent shows "
        "its body. If it is valid by now, since its scenario was registered, redrive it."
    ),
    DeadLetterReason.CONFLICT: (
        "The message id was used for other content: queue the event again with another id."
    ),
    DeadLetterReason.OUTAGE: (
        "The record could not be sent for nine days: redrive it once Infobip can be reached and "
        "accepts the account's messages."
    ),
    DeadLetterReason.QUARANTINED: (
        "redrive skips records with reason QUARANTINED: release or close each of the "
        "quarantinedMessageIds that list shows for them."
    ),
    DeadLetterReason.ID_SPENT: (
        "Infobip refused the message for a while, and now refuses its id as already used. It was "
        "not sent: queue its content again with a new messageId, then close it."
    ),
    DeadLetterReason.OTHER: (
        "The sender did not put the record here: find the cause in its log, then redrive it."
    ),
}


def hint_of_close(*, is_quarantined: bool, kept: int) -> str | None:
    """Return what an operator should know after closing a message; None if nothing.

    Args:
        is_quarantined: Whether the message is QUARANTINED, and did not settle in the meantime.
        kept: The number of its records that were kept.
    """
    texts = []
    if is_quarantined:
        texts.append("A closed message keeps the state QUARANTINED; closedAt marks the decision.")
    if kept:
        texts.append("Records were kept for their other messages: list shows which are undecided.")
    return " ".join(texts) or None


def _written(value: _Answer | ListedRecord) -> Json:
    written = {to_camel(each.name): getattr(value, each.name) for each in fields(value)}
    return {name: each for name, each in written.items() if each is not None}
