"""The event that upstream apps put on the send queue, and the rules that it must follow."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictStr
from pydantic.alias_generators import to_camel

from infobip_omni.api.channels import CONTENT_MEMBERS, CONTENT_MODELS, Channel
from infobip_omni.api.phone_numbers import normal_phone_number
from infobip_omni.api.raw_json import member_text, member_texts, object_text
from infobip_omni.api.scenarios import LONGEST_SCENARIO_NAME
from infobip_omni.api.sends import LONGEST_MESSAGE_ID, Destination, Recipient, SendOptions

from .envelopes import check_record_id, read_body
from .errors import InvalidEventError, field_name, read_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pydantic import BaseModel

    from infobip_omni.api.channels import Content

OnUnknown = Literal["never-duplicate", "must-arrive"]

MOST_DESTINATIONS = 500
LONGEST_SEND_DELAY = timedelta(days=180)
#: Bytes in UTF-8: the limit of the send queue. It is checked here too, so the size of what is
#: stored for a record does not depend on the queue's settings.
LARGEST_EVENT_BYTES = 256 * 1024
_DIGITS = re.compile(r"[0-9]+")
#: Members that differ between destinations, or that the recipient does not receive.
_NOT_CONTENT = frozenset({"destinations", "to", "messageId", "bulkId", "onUnknown"})
#: Members that the request has in another form.
_NOT_SENT = _NOT_CONTENT | {"scenario", "scenarioKey"}
#: Members that the webhook replaces.
_NOTIFY = ("notifyUrl", "notifyContentType")
#: Holds fields that Infobip adds after this version, at the top and in each content.
_EXTRA = "extra"
_NULL = "null"
_CHANNELS = {member: channel for channel, member in CONTENT_MEMBERS.items()}
_NOT_OPTIONS = {*_CHANNELS, _EXTRA}
#: The addresses by which each channel reaches a recipient. For channels that are not listed, the
#: documents do not say which of Infobip's addresses they take.
#: https://www.infobip.com/docs/mobile-push/mobile-push-over-api lists those of a push.
_PHONE_NUMBER = ("phoneNumber",)
ADDRESSES: Mapping[Channel, tuple[str, ...]] = {
    Channel.SMS: _PHONE_NUMBER,
    Channel.VOICE: _PHONE_NUMBER,
    Channel.VIBER: _PHONE_NUMBER,
    Channel.WHATSAPP: ("phoneNumber", "whatsAppUserId"),
    Channel.EMAIL: ("emailAddress",),
    Channel.PUSH: ("pushRegistrationId", "phoneNumber", "emailAddress"),
}


class SendEventBody(SendOptions):
    """The body of a send event: Infobip's advanced body, and some shorthands.

    The contents of channels are read by their own models.
    """

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


@dataclass(frozen=True)
class SendEvent:
    """A send event that has passed every check that needs no scenario."""

    body: SendEventBody
    contents: Mapping[Channel, Content]
    messages: tuple[EventMessage, ...]
    #: The event as the caller wrote it, without its envelopes.
    text: str = field(repr=False)

    @classmethod
    def parse(cls, body: str, record_id: str, now: datetime) -> Self:
        """Parse the body of a record.

        Args:
            body: JSON text, or an envelope that holds it.
            record_id: The SQS id under which the body was first queued. The ids of destinations
                without one derive from it, or from the envelope's id, so they are the same in each
                delivery and redrive.
            now: The current time, to check `sendAt`.

        Raises:
            InvalidEventError: The body breaks a rule.
        """
        check_record_id(record_id, "originalMessageId")
        if len(body) * 4 > LARGEST_EVENT_BYTES:
            _check_size(body)
        written, text, source_id = read_body(body, record_id)
        parsed = _options(written)
        contents = _contents(written)
        _check(parsed, contents, now)
        messages = _messages(parsed, written, source_id)
        _check_message_ids(messages, alone=parsed.to is not None)
        return cls(parsed, contents, messages, text)

    # Many events are parsed and not sent: repeats, and those that wait for their next attempt.
    @functools.cached_property
    def _sent(self) -> dict[str, str]:
        return _sent_members(self.text)

    @functools.cached_property
    def content(self) -> str:
        """What is sent beside destinations, keys and ids: JSON members as the caller wrote them."""
        return ",".join(self._sent[name] for name in sorted(self._sent) if name not in _NOTIFY)

    @functools.cached_property
    def notify(self) -> str:
        """The caller's own `notifyUrl` and `notifyContentType` in the same form; may be empty."""
        return ",".join(self._sent[name] for name in sorted(self._sent) if name in _NOTIFY)

    @property
    def content_key(self) -> tuple[str | None, ...]:
        """The key of the request: events that have the same one can be sent together."""
        body = self.body
        return (self.content, self.notify, body.bulk_id, body.scenario, body.scenario_key)

    def message_ids(self) -> list[str]:
        """Return the ids of the messages, in the order of the destinations."""
        return [message.message_id for message in self.messages]

    def validity(self) -> timedelta:
        """Return how long all steps together may take."""
        return sum(
            (each.validity() or each.longest_validity for each in self.contents.values()),
            timedelta(),
        )

    def validity_of(self, channel: Channel) -> timedelta | None:
        """Return how long the step of a channel may take; None where the event does not say."""
        content = self.contents.get(channel)
        return content.validity() if content else None

    def check_flow(self, channels: Iterable[Channel]) -> None:
        """Check the contents and the recipients against the steps of the scenario.

        Raises:
            InvalidEventError: A step has no content, a content has no step, or a recipient has no
                address for a step.
        """
        given = set(self.contents)
        steps = set(channels)
        for channel in sorted(steps - given):
            member = CONTENT_MEMBERS[channel]
            raise InvalidEventError(member, f"is required: the scenario has a step for {channel}")
        for channel in sorted(given - steps):
            member = CONTENT_MEMBERS[channel]
            raise InvalidEventError(member, f"must be left out: the scenario has no {channel} step")
        for channel in sorted(steps & ADDRESSES.keys()):
            self._check_addresses(channel, ADDRESSES[channel])

    def _check_addresses(self, channel: Channel, names: tuple[str, ...]) -> None:
        for position, message in enumerate(self.messages):
            given = message.recipient.model_dump(exclude_none=True)
            if given.keys().isdisjoint(names):
                field = "to" if self.body.to is not None else f"destinations[{position}].to"
                rule = f"must hold {' or '.join(names)}: the scenario has a step for {channel}"
                raise InvalidEventError(field, rule)


def _check_size(body: str) -> None:
    if len(body.encode(errors="replace")) > LARGEST_EVENT_BYTES:
        rule = f"must not exceed {LARGEST_EVENT_BYTES} bytes in UTF-8"
        raise InvalidEventError("body", rule)


def _options(written: Mapping[str, Any]) -> SendEventBody:
    options = {name: value for name, value in written.items() if name not in _NOT_OPTIONS}
    parsed = read_as(SendEventBody, options)
    if _EXTRA in written:
        _check_extra(written[_EXTRA], (), _members_of(SendEventBody) | _CHANNELS.keys())
    return parsed


def _contents(written: Mapping[str, Any]) -> dict[Channel, Content]:
    return {
        _CHANNELS[member]: _content(member, value)
        for member, value in written.items()
        if member in _CHANNELS and value is not None
    }


def _content(member: str, value: object) -> Content:
    model = _model_of(member)
    if not isinstance(value, dict) or _EXTRA not in value:
        return read_as(model, value, member)
    content = {name: inner for name, inner in value.items() if name != _EXTRA}
    parsed = read_as(model, content, member)
    _check_extra(value[_EXTRA], (member,), _members_of(model) | content.keys())
    return parsed


@functools.cache
def _model_of(member: str) -> type[Content]:
    return CONTENT_MODELS[_CHANNELS[member]]


def _check_extra(extra: object, at: tuple[str, ...], known: frozenset[str]) -> None:
    """Check the names of further members; *known* are those that belong beside them."""
    if extra is None:
        return
    if not isinstance(extra, dict):
        field = field_name((*at, _EXTRA))
        raise InvalidEventError(field, "must be an object")
    for name in extra:
        if name in known or name == _EXTRA:
            field = field_name((*at, _EXTRA, name))
            raise InvalidEventError(field, "must not be in extra: it is a field that is checked")


@functools.cache
def _members_of(model: type[BaseModel]) -> frozenset[str]:
    """Return Infobip's names for the fields of a model."""
    return frozenset(info.alias or to_camel(name) for name, info in model.model_fields.items())


def _sent_members(text: str) -> dict[str, str]:
    """Return the JSON text of each member that is sent, its name included."""
    members: dict[str, str] = {}
    for name, value in member_texts(text).items():
        if value == _NULL or name in _NOT_SENT:
            continue
        if name == _EXTRA:
            further = member_texts(value).items()
            members |= {each: member_text(each, inner) for each, inner in further}
        else:
            sent = _with_extra(value) if name in _CHANNELS else value
            members[name] = f'"{name}":{sent}'
    return members


def _with_extra(text: str) -> str:
    """Return the JSON text of a content, with the members of its `extra` in its place."""
    if _EXTRA not in text and "\\u" not in text:
        return text
    members = member_texts(text)
    extra = members.pop(_EXTRA, None)
    if extra is None:
        return text
    further = {} if extra == _NULL else member_texts(extra)
    return object_text(member_text(name, value) for name, value in (members | further).items())


def _check(body: SendEventBody, contents: Mapping[Channel, Content], now: datetime) -> None:
    """Check the fields of an event against each other."""
    if body.scenario is not None and body.scenario_key is not None:
        raise InvalidEventError("scenarioKey", "must not be given together with scenario")
    if body.to is None and body.destinations is None:
        raise InvalidEventError("destinations", "is required, unless to names a single recipient")
    if body.to is not None and body.destinations is not None:
        raise InvalidEventError("to", "must not be given together with destinations")
    if body.message_id is not None and body.to is None:
        raise InvalidEventError("messageId", "needs to; each of destinations has its own messageId")
    if not contents:
        raise InvalidEventError("body", "must hold the content of at least one channel")
    if body.send_at is not None and body.send_at > now + LONGEST_SEND_DELAY:
        raise InvalidEventError("sendAt", f"must be within {LONGEST_SEND_DELAY.days} days")


def _messages(
    body: SendEventBody, written: Mapping[str, Any], source_id: str
) -> tuple[EventMessage, ...]:
    content = {name: value for name, value in written.items() if name not in _NOT_CONTENT}
    if body.to is not None:
        message_id = body.message_id or f"{source_id}-0"
        return (EventMessage(message_id, body.to, _content_hash(content, written["to"])),)
    return tuple(
        EventMessage(
            destination.message_id or f"{source_id}-{position}",
            destination.to,
            _content_hash(content, entry["to"]),
        )
        for position, (destination, entry) in enumerate(
            zip(body.destinations or (), written.get("destinations") or (), strict=True)
        )
    )


def _check_message_ids(messages: tuple[EventMessage, ...], *, alone: bool) -> None:
    ids = [message.message_id for message in messages]
    is_unique = len(ids) == 1 or len(set(ids)) == len(ids)
    for position, message_id in enumerate(ids):
        field = "messageId" if alone else f"destinations[{position}].messageId"
        if "," in message_id:
            # In a log query it would look like two ids, and the message would seem to be absent.
            raise InvalidEventError(field, "must not hold a comma")
        if not is_unique and ids.count(message_id) > 1:
            raise InvalidEventError(field, "must not be repeated within one event")


def _content_hash(content: dict[str, Any], to: dict[str, Any]) -> str:
    """Return the hash of a content and its recipient, however its phone number is written."""
    number = to.get("phoneNumber")
    # Earlier versions took digits only and hashed them as they were, also with the prefix 00. Their
    # messages wait in the table, and their records in the queue.
    if number is not None and not _DIGITS.fullmatch(number):
        to = to | {"phoneNumber": normal_phone_number(number)}
    return hashlib.sha256(_canonical(content | {"to": to}).encode()).hexdigest()


_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
