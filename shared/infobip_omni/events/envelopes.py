"""The envelopes in which AWS services put a send event on the queue."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from infobip_omni.api.raw_json import (
    InvalidJsonError,
    member_texts,
    parse_object,
    without_surroundings,
)

from .errors import InvalidEventError, field_name

if TYPE_CHECKING:
    from collections.abc import Mapping

#: SQS's own ids have 36 characters, and a message id also has room for a position after it. In a
#: log query, an id with a comma would look like two ids.
_RECORD_ID = re.compile(r"[!-+\--~]{1,100}")
#: The members that hold the content and the id of an envelope, by a member that only it has: those
#: of SNS without raw message delivery, and of EventBridge.
#: https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html
#: https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
ENVELOPES = {"TopicArn": ("Message", "MessageId"), "detail-type": ("detail", "id")}
#: Members that only envelopes have, those that are not opened included.
_MARKS = frozenset({*ENVELOPES, "specversion", "Records"})
#: The first strings of the pointers that SQS's extended clients write instead of a large body.
#: https://github.com/awslabs/payload-offloading-java-common-lib-for-aws
_POINTERS = (
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
)
#: An opening brace, with a quote or white space behind it, begins like this in base64.
_BASE64 = re.compile(r"e[wy][A-Za-z0-9+/_\-\s]{14,}=*\s*")


def is_record_id(text: str) -> bool:
    """Return whether a text can be a record id; any sender to the queue can set that attribute."""
    return _RECORD_ID.fullmatch(text) is not None


def check_record_id(text: object, field: str) -> str:
    """Return a record id.

    Args:
        text: The id, from which the ids of messages derive.
        field: Where it was written, for the error.

    Raises:
        InvalidEventError: It cannot be a record id.
    """
    if not isinstance(text, str) or not is_record_id(text):
        rule = "must be 1 to 100 visible characters of ASCII, without a comma"
        raise InvalidEventError(field, rule)
    return text


def read_body(body: str, record_id: str) -> tuple[dict[str, Any], str, str]:
    """Read the send event in the body of a record, and take it out of its envelopes.

    SNS and EventBridge may deliver what they took once several times, each time in a record of its
    own. Only the id in the envelope is then the same, and of two envelopes the inner one's.

    Args:
        body: The event, or an envelope of SNS (without raw message delivery) or EventBridge that
            holds it, or one of each, in either order.
        record_id: The id of the record.

    Returns:
        The event, its JSON text, and the id from which the ids of its messages derive.

    Raises:
        InvalidEventError: The body holds no JSON object, or an envelope that is not opened here.
    """
    event, text = _parse(body, "body"), body
    opened: set[str] = set()
    while not _MARKS.isdisjoint(event):
        field, identifier = _names_in(event)
        if field in opened:
            raise InvalidEventError(field, "must hold the send event, not another envelope")
        opened.add(field)
        record_id = check_record_id(event.get(identifier), identifier)
        text = _text_in(event, field, text)
        event = _parse(text, field)
    return event, text, record_id


def _names_in(envelope: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the members that hold an envelope's content and its id."""
    if "TopicArn" in envelope and envelope.get("Type") != "Notification":
        rule = "must be Notification: open SubscribeURL once to confirm the queue's subscription"
        raise InvalidEventError("Type", rule)
    for mark, names in ENVELOPES.items():
        if mark in envelope:
            return names
    if "specversion" in envelope:
        rule = "belongs to a CloudEvent: put its data on the queue"
        raise InvalidEventError("specversion", rule)
    rule = "belongs to an event for a function: put the body of each record on the queue"
    raise InvalidEventError("Records", rule)


def _text_in(envelope: Mapping[str, Any], field: str, text: str) -> str:
    """Return the JSON text of an envelope's content, which SNS writes as a string."""
    if field == "detail" and field in envelope:
        return member_texts(text)[field]
    content = envelope.get(field)
    if not isinstance(content, str):
        raise InvalidEventError(field, "must hold the send event")
    return content


def _parse(text: str, field: str) -> dict[str, Any]:
    try:
        return parse_object(text)
    except InvalidJsonError as error:
        rule = error.rule
        if error.path:
            field = field_name(error.path)
        else:
            rule = _advice(without_surroundings(text)) or rule
        raise InvalidEventError(field, rule) from None


def _advice(text: str) -> str | None:
    """Return what to do about a text that holds an event in another form; None for any other."""
    if text.startswith("[") and any(f'"{name}"' in text[:200] for name in _POINTERS):
        return "must be the send event itself, not a pointer to it in S3: shorten it"
    if text.startswith('"'):
        inner = _string(text).lstrip()
        if inner.startswith("{"):
            return "must be a JSON object, not a string that holds one: serialize the event once"
        return _advice(inner) if _BASE64.fullmatch(inner) else None
    if _BASE64.fullmatch(text):
        return "must be JSON, not base64: put the event on the queue as it is"
    return None


def _string(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return ""
