"""The message attributes of a record: what its caller attached survives its moves between queues.

The sender and an operator's redrive put copies of records into queues, so they have to copy the
attributes too, like a `traceparent`. SQS takes ten attributes a message, and counts them towards
the size of the message. Our own come first; those of the caller follow as long as there is room.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from infobip_omni.events.dead_letter import OWN_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        MessageSystemAttributeValueTypeDef,
    )

    MessageAttributes = Mapping[str, "Attribute"]

MOST_ATTRIBUTES = 10
#: The attributes by which a trace goes on, which are kept before all others of the caller.
#: https://www.w3.org/TR/trace-context/
_TRACE_CONTEXT = ("traceparent", "tracestate")


class Attribute(NamedTuple):
    """The type and value of a message attribute."""

    data_type: str  #: String, Number or Binary; the caller's own label may follow after a dot
    value: str | bytes

    @property
    def size(self) -> int:
        """The bytes that SQS counts, without those of the name."""
        return len(self.data_type.encode()) + len(_bytes(self.value))

    def to_sqs(self) -> MessageAttributeValueTypeDef:
        """Return the attribute for SQS."""
        if isinstance(self.value, bytes):
            return {"DataType": self.data_type, "BinaryValue": self.value}
        return {"DataType": self.data_type, "StringValue": self.value}


def attributes_from_lambda(written: Mapping[str, Mapping[str, Any]]) -> MessageAttributes:
    """Return the caller's attributes of a record of a Lambda event.

    Lambda writes binary values in base64. SQS has no lists, although its messages have members for
    them.
    """
    return _callers(
        {
            name: (
                each.get("dataType"),
                each.get("stringValue") or _decoded(each.get("binaryValue") or ""),
            )
            for name, each in written.items()
        }
    )


def attributes_from_sqs(received: Mapping[str, Mapping[str, Any]]) -> MessageAttributes:
    """Return the caller's attributes of a record that was received from SQS."""
    return _callers(
        {
            name: (each.get("DataType"), each.get("StringValue") or each.get("BinaryValue"))
            for name, each in received.items()
        }
    )


def attributes_to_send(
    own: Mapping[str, str], callers: MessageAttributes, body: str, most_bytes: int
) -> dict[str, MessageAttributeValueTypeDef]:
    """Return the attributes of a message: our own, then those of the caller that fit.

    Args:
        own: Our own attributes by name; those without a text are left out.
        callers: The caller's attributes.
        body: The body of the message.
        most_bytes: The largest size of a message of the queue, its attributes included.
    """
    attributes = {name: Attribute("String", text) for name, text in own.items() if text}
    size = len(_bytes(body)) + sum(_size(*each) for each in attributes.items())
    for name, attribute in _by_importance(callers):
        size_with_it = size + _size(name, attribute)
        if len(attributes) < MOST_ATTRIBUTES and size_with_it <= most_bytes:
            attributes[name] = attribute
            size = size_with_it
    return {name: attribute.to_sqs() for name, attribute in attributes.items()}


def system_attributes(
    trace_header: str | None,
) -> dict[Literal["AWSTraceHeader"], MessageSystemAttributeValueTypeDef]:
    """Return the system attributes of a message, which do not count towards its size.

    Args:
        trace_header: The trace that X-Ray has attached to the message, if any.
    """
    if not trace_header:
        return {}
    return {"AWSTraceHeader": {"DataType": "String", "StringValue": trace_header}}


def _callers(attributes: Mapping[str, tuple[str | None, str | bytes | None]]) -> MessageAttributes:
    """Leave out our own attributes, of which a copy has new ones, and those without a value."""
    return {
        name: Attribute(data_type, value)
        for name, (data_type, value) in attributes.items()
        if name not in OWN_ATTRIBUTES and data_type and value
    }


def _by_importance(attributes: MessageAttributes) -> Iterator[tuple[str, Attribute]]:
    """Yield the trace context first, then the others in the order of their names."""
    names = sorted(attributes, key=lambda name: (name not in _TRACE_CONTEXT, name))
    yield from ((name, attributes[name]) for name in names)


def _size(name: str, attribute: Attribute) -> int:
    return len(name.encode()) + attribute.size


def _decoded(text: str) -> bytes:
    """Decode a binary value; one that is not in base64 must not fail the record's batch."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode(errors="replace")
