"""The event that upstream apps put on the send queue, and the rules that it must follow."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self

from pydantic import Field, StrictStr

from infobip_omni.api.phone_numbers import normal_phone_number
from infobip_omni.api.scenarios import LONGEST_SCENARIO_NAME
from infobip_omni.api.sends import (
    CONTENT_MEMBERS,
    LONGEST_MESSAGE_ID,
    Destination,
    MessageContent,
    Recipient,
)

from .errors import InvalidEventError, read_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from infobip_omni.api.channels import Channel

OnUnknown = Literal["never-duplicate", "must-arrive"]

MOST_DESTINATIONS = 500
#: Far below the depth at which Python or pydantic fail to serialize it.
DEEPEST_NESTING = 100
LONGEST_SEND_DELAY = timedelta(days=180)
#: Bytes in UTF-8: the limit of the send queue. It is checked here too, so the size of what is
#: stored for a record does not depend on the queue's settings.
LARGEST_EVENT_BYTES = 256 * 1024
#: SQS's own ids have 36 characters, and a message id also has room for a position after it. In a
#: log query, an id with a comma would look like two ids.
_RECORD_ID = re.compile(r"[!-+\--~]{1,100}")
_DIGITS = re.compile(r"[0-9]+")
#: Members that differ between destinations, or that the recipient does not receive.
_NOT_CONTENT = ("destinations", "to", "messageId", "bulkId", "onUnknown")


class SendEventBody(MessageContent):
    """The body of a send event: Infobip's advanced body, and some shorthands."""

    #: The name or slug of a registered scenario, instead of `scenario_key`.
    scenario: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_SCENARIO_NAME)] | None = (
        None
    )
    #: With `message_id`, instead of a list of one destination.
    to: Recipient | None = Field(default=None, repr=False)
    message_id: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_MESSAGE_ID)] | None = (
        None
    )
    destinations: (
        Annotated[list[Destination], Field(min_length=1, max_length=MOST_DESTINATIONS)] | None
    ) = Field(default=None, repr=False)
    #: Whether a message that the logs do not know is quarantined or sent again.
    on_unknown: OnUnknown | None = None


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One destination of an event, which is one message in the ledger."""

    message_id: str
    recipient: Recipient
    #: SHA-256 of the canonical JSON that the caller wrote for this destination, with the phone
    #: number in its normal form.
    content_hash: str


@dataclass(frozen=True, slots=True)
class SendEvent:
    """A send event that has passed every check that needs no scenario."""

    body: SendEventBody
    messages: tuple[EventMessage, ...]
    #: Events with the same key can be sent as one request.
    content_key: str = field(repr=False)

    @classmethod
    def parse(cls, body: str, record_id: str, now: datetime) -> Self:
        """Parse the body of a record.

        Args:
            body: JSON text.
            record_id: The SQS id under which the body was first queued. The ids of destinations
                without one derive from it, so they are the same in each delivery and redrive.
            now: The current time, to check `sendAt`.

        Raises:
            InvalidEventError: The body breaks a rule.
        """
        if not is_record_id(record_id):
            rule = "must be 1 to 100 visible characters of ASCII, without a comma"
            raise InvalidEventError("originalMessageId", rule)
        if len(body.encode(errors="replace")) > LARGEST_EVENT_BYTES:
            rule = f"must not exceed {LARGEST_EVENT_BYTES} bytes in UTF-8"
            raise InvalidEventError("body", rule)
        written = _read_object(body)
        parsed = read_as(SendEventBody, written)
        _check(parsed, now)
        content = {name: value for name, value in written.items() if name not in _NOT_CONTENT}
        messages = tuple(
            EventMessage(
                message_id=destination.message_id or f"{record_id}-{position}",
                recipient=destination.to,
                content_hash=_sha256(_canonical(content | {"to": _hashed(to)})),
            )
            for position, (destination, to) in enumerate(_destinations(parsed, written))
        )
        _check_message_ids(messages, alone=parsed.to is not None)
        return cls(parsed, messages, _canonical(content | {"bulkId": parsed.bulk_id}))

    def validity(self) -> timedelta:
        """Return how long all steps together may take."""
        contents = self.body.contents().values()
        return sum(
            (content.validity() or content.longest_validity for content in contents), timedelta()
        )

    def validity_of(self, channel: Channel) -> timedelta | None:
        """Return how long the step of a channel may take; None where the event does not say."""
        content = self.body.contents().get(channel)
        return content.validity() if content else None

    def check_flow(self, channels: Iterable[Channel]) -> None:
        """Check the contents against the steps of the scenario.

        Raises:
            InvalidEventError: A step has no content, or a content has no step.
        """
        given = set(self.body.contents())
        steps = set(channels)
        for channel in sorted(steps - given):
            member = CONTENT_MEMBERS[channel]
            raise InvalidEventError(member, f"is required: the scenario has a step for {channel}")
        for channel in sorted(given - steps):
            member = CONTENT_MEMBERS[channel]
            raise InvalidEventError(member, f"must be left out: the scenario has no {channel} step")


def is_record_id(text: str) -> bool:
    """Return whether a text can be a record id; any sender to the queue can set that attribute."""
    return _RECORD_ID.fullmatch(text) is not None


def _read_object(body: str) -> dict[str, Any]:
    try:
        written = json.loads(body, parse_constant=_refuse_constant)
        _check_nesting(written)
        # JSON can hold a lone surrogate, which UTF-8 cannot encode; Python reads 1e999 as infinity.
        json.dumps(written, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        rule = f"must not be nested deeper than {DEEPEST_NESTING} levels"
        raise InvalidEventError("body", rule) from None
    except ValueError:
        raise InvalidEventError("body", "must be JSON in UTF-8") from None
    if not isinstance(written, dict):
        raise InvalidEventError("body", "must be a JSON object")
    return written


def _check_nesting(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST_NESTING):
        level = [child for parent in level for child in _children(parent)]
    if any(isinstance(one, dict | list) for one in level):
        raise RecursionError


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(_: str) -> NoReturn:
    # Python parses NaN and Infinity, which JSON does not have.
    raise ValueError


def _check(body: SendEventBody, now: datetime) -> None:
    """Check the fields of an event against each other."""
    if body.scenario is not None and body.scenario_key is not None:
        raise InvalidEventError("scenarioKey", "must not be given together with scenario")
    if body.to is None and body.destinations is None:
        raise InvalidEventError("destinations", "is required, unless to names a single recipient")
    if body.to is not None and body.destinations is not None:
        raise InvalidEventError("to", "must not be given together with destinations")
    if body.message_id is not None and body.to is None:
        raise InvalidEventError("messageId", "needs to; each of destinations has its own messageId")
    if not body.contents():
        raise InvalidEventError("body", "must hold the content of at least one channel")
    if body.send_at is not None and body.send_at > now + LONGEST_SEND_DELAY:
        raise InvalidEventError("sendAt", f"must be within {LONGEST_SEND_DELAY.days} days")


def _check_message_ids(messages: tuple[EventMessage, ...], *, alone: bool) -> None:
    counts = Counter(message.message_id for message in messages)
    for position, message in enumerate(messages):
        field = "messageId" if alone else f"destinations[{position}].messageId"
        if "," in message.message_id:
            # In a log query it would look like two ids, and the message would seem to be absent.
            raise InvalidEventError(field, "must not hold a comma")
        if counts[message.message_id] > 1:
            raise InvalidEventError(field, "must not be repeated within one event")


def _destinations(
    body: SendEventBody, written: dict[str, Any]
) -> Iterator[tuple[Destination, dict[str, Any]]]:
    """Pair each destination with its recipient as the caller wrote it."""
    if body.to is not None:
        yield Destination(message_id=body.message_id, to=body.to), written["to"]
    for destination, entry in zip(
        body.destinations or (), written.get("destinations") or (), strict=True
    ):
        yield destination, entry["to"]


def _hashed(to: dict[str, Any]) -> dict[str, Any]:
    """Return a recipient as it counts for the hash: however its phone number is written."""
    written = to.get("phoneNumber")
    # Earlier versions took digits only and hashed them as they were, also with the prefix 00. Their
    # messages wait in the table, and their records in the queue.
    if written is None or _DIGITS.fullmatch(written):
        return to
    return to | {"phoneNumber": normal_phone_number(written)}


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
