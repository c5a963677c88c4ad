"""What an operator asks of redrive_messages, and what they are answered."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_camel

from .dead_letter import DeadLetterReason
from .errors import InvalidEventError, InvocationEvent, read_as

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Json = dict[str, Any]

Limit = Annotated[int, Field(ge=1, le=1000)]
MessageId = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


# --- Commands ----------------------------------------------------------------------------------


class _Selection(InvocationEvent):
    #: In JSON an enumeration's member is a string, which strictness would not take for one.
    reason: Annotated[DeadLetterReason, Field(strict=False)] | None = None
    limit: Limit = 100


class ListCommand(_Selection):
    """Show dead-lettered records."""

    action: Literal["list"]
    #: With the body, which holds personal data.
    show_content: bool = False


class RedriveCommand(_Selection):
    """Send dead-lettered records again, but not quarantined messages."""

    action: Literal["redrive"]
    original_message_id: MessageId | None = None
    dry_run: bool = True


class _Decision(InvocationEvent):
    message_id: MessageId
    by: Name
    why: Text


class ReleaseCommand(_Decision):
    """Send a quarantined message again, at the risk that the recipient gets it twice."""

    action: Literal["release"]


class CloseCommand(_Decision):
    """Leave a quarantined message as it is, at the risk that the recipient never gets it."""

    action: Literal["close"]


Command = ListCommand | RedriveCommand | ReleaseCommand | CloseCommand
_COMMANDS: dict[str, type[Command]] = {
    "list": ListCommand,
    "redrive": RedriveCommand,
    "release": ReleaseCommand,
    "close": CloseCommand,
}


def parse(event: object) -> Command:
    """Read what the operator wants.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    action = event.get("action") if isinstance(event, dict) else None
    command = _COMMANDS.get(action) if isinstance(action, str) else None
    if command is None:
        raise InvalidEventError("action", f"must be one of {', '.join(_COMMANDS)}")
    return read_as(command, event)


# --- Answers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    #: Whether all records were seen but those that others hold; if not, there may be more, and
    #: the command may be given again.
    complete: bool

    def to_json(self) -> Json:
        """Return it as the operator gets it."""
        return _written(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecord:
    """A dead-lettered record as it is shown; what is None is left out."""

    record_id: str
    #: The id under which the content was first queued.
    original_message_id: str
    reason: DeadLetterReason
    #: The field that breaks a rule, and the rule, if that is the reason.
    field: str | None
    rule: str | None
    sent_at: str
    age_seconds: int
    #: How many messages the event has; None where it cannot be read.
    destinations: int | None
    message_ids: list[str]
    body: str | None = dataclasses.field(repr=False)

    def to_json(self, quarantined: Container[str] = (), unreadable: Container[str] = ()) -> Json:
        """Return it as the operator gets it.

        Args:
            quarantined: The ids of messages that wait for a decision.
            unreadable: The ids of messages that this version cannot read.
        """
        written = _written(self)
        if self.reason is DeadLetterReason.QUARANTINED:
            waiting = [each for each in self.message_ids if each in quarantined]
            written["quarantinedMessageIds"] = waiting
        if named := [each for each in self.message_ids if each in unreadable]:
            written["unreadableMessageIds"] = named
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(_Answer):
    """Dead-lettered records, each as `ListedRecord` writes it."""

    records: list[Json] = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven(_Answer):
    """What was sent again, or would be."""

    dry_run: bool
    #: How many records were found, by their reason.
    found: Mapping[str, int]
    redriven: int
    failed: int
    #: Their messages stay quarantined: each has to be released or closed by itself.
    skipped_quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(_Answer):
    """A message that the sender may send again."""

    message_id: str
    state: str
    records_redriven: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(_Answer):
    """A message that is left as it is."""

    message_id: str
    state: str
    records_deleted: int
    #: Records with other messages, which are left to decide.
    records_kept: int
    #: Messages of these records that this version cannot read; None if there are none.
    unreadable_message_ids: list[str] | None


Answer = Listed | Redriven | Released | Closed


def _written(value: _Answer | ListedRecord) -> Json:
    """Write what is not None by the names that operators read."""
    written = {to_camel(each.name): getattr(value, each.name) for each in fields(value)}
    return {name: each for name, each in written.items() if each is not None}
