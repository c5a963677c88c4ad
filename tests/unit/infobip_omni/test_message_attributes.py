"""What the caller attached to a record is kept, within SQS's limits."""

from __future__ import annotations

from infobip_omni.events.dead_letter import OWN_ATTRIBUTES
from infobip_omni.message_attributes import (
    MOST_ATTRIBUTES,
    Attribute,
    attributes_from_lambda,
    attributes_from_sqs,
    attributes_to_send,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLENTY = 1024 * 1024
OF_CALLER = {
    "traceparent": Attribute("String", TRACE),
    "priority": Attribute("Number.int", "7"),
    "signature": Attribute("Binary.sha256", b"\x00\xff"),
}


def test_attributes_are_the_same_from_lambda_and_from_sqs() -> None:
    """Lambda writes other names, binary values in base64, and members for lists."""
    empty: dict[str, object] = {"stringListValues": [], "binaryListValues": []}

    from_lambda = attributes_from_lambda(
        {
            "traceparent": {"stringValue": TRACE, "dataType": "String"} | empty,
            "priority": {"stringValue": "7", "dataType": "Number.int"} | empty,
            "signature": {"binaryValue": "AP8=", "dataType": "Binary.sha256"} | empty,
        }
    )
    from_sqs = attributes_from_sqs(
        {
            "traceparent": {"StringValue": TRACE, "DataType": "String"},
            "priority": {"StringValue": "7", "DataType": "Number.int"},
            "signature": {"BinaryValue": b"\x00\xff", "DataType": "Binary.sha256"},
        }
    )

    assert from_lambda == from_sqs == OF_CALLER


def test_attributes_of_the_sender_are_not_taken_for_those_of_the_caller() -> None:
    """A record that is dead-lettered again has a new reason."""
    own = {name: {"stringValue": "x", "dataType": "String"} for name in OWN_ATTRIBUTES}

    assert attributes_from_lambda(own) == {}


def test_attribute_that_cannot_be_read_is_left_out() -> None:
    """It must not fail the other records of its batch."""
    broken = {
        "empty": {"dataType": "String"},
        "untyped": {"stringValue": "x"},
        "cut": {"binaryValue": "AP8", "dataType": "Binary"},
        "good": {"stringValue": "x", "dataType": "String"},
    }

    assert attributes_from_lambda(broken) == {"good": Attribute("String", "x")}


def test_attributes_of_the_sender_come_first() -> None:
    """SQS takes ten; the trace context is kept before the others of the caller."""
    own = {f"own{number}": "x" for number in range(5)} | {"empty": ""}
    many = {f"a{number}": Attribute("String", "x") for number in range(9)}

    kept = attributes_to_send(own, many | OF_CALLER, "", PLENTY)

    assert list(kept) == [*(f"own{number}" for number in range(5)), "traceparent"] + [
        f"a{number}" for number in range(4)
    ]
    assert len(kept) == MOST_ATTRIBUTES
    assert kept["own0"] == {"DataType": "String", "StringValue": "x"}


def test_binary_attribute_is_sent_as_bytes() -> None:
    kept = attributes_to_send({}, OF_CALLER, "", PLENTY)

    assert kept["signature"] == {"DataType": "Binary.sha256", "BinaryValue": b"\x00\xff"}


def test_size_of_a_message_counts_its_attributes() -> None:
    """SQS counts body, names, types and values in bytes; a smaller attribute may still fit."""
    body, own = "š" * 10, {"id": "1"}
    size = 20 + len("id" + "String" + "1")
    callers = {"a": Attribute("Binary", b"xyz"), "b": Attribute("String", "š")}
    with_a, with_b = size + len("aBinaryxyz"), size + len(b"bString\xc5\xa1")

    assert list(attributes_to_send(own, callers, body, with_a)) == ["id", "a"]
    assert list(attributes_to_send(own, callers, body, with_a - 1)) == ["id", "b"]
    assert list(attributes_to_send(own, callers, body, with_b - 1)) == ["id"]
    assert list(attributes_to_send(own, callers, body, 0)) == ["id"]
