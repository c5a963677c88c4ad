"""Arguments of the commands of `make local` are read before anything is called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infobip_omni.message import SETTLED as SETTLED_STATES
from infobip_omni.message import MessageState
from tests.local_world import commands
from tests.local_world.running import RefusedError

if TYPE_CHECKING:
    from pathlib import Path


def test_event_is_json_object_or_file_of_one(tmp_path: Path) -> None:
    """The text is returned unchanged, character by character."""
    text = ' {"a": 1.0,\r\n "é": "$x"}\n'
    file = tmp_path / "an event.json"
    file.write_bytes(text.encode())

    assert commands.read_object(text, "EVENT") == (text, {"a": 1.0, "é": "$x"})
    assert commands.read_object(str(file), "EVENT") == (text, {"a": 1.0, "é": "$x"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is no JSON: line 1, column 1: Expecting value"),
        (b'{\n  "a" 1}', "is no JSON: line 2, column 7: Expecting ':' delimiter"),
        (b"[1]", "is no JSON object"),
        (b"\xef\xbb\xbf{}", "is no JSON: line 1, column 1: Unexpected UTF-8 BOM"),
        (b'{"a": "\xff"}', "is no UTF-8, from byte 8 on"),
        (b'{"a": ' + b"[" * 100_000, "is no JSON that can be read: too deep or too long"),
        (b'{"a": ' + b"1" * 5000 + b"}", "is no JSON that can be read: too deep or too long"),
    ],
)
def test_file_without_json_object_is_refused_with_position(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    """The error is one line, and names the file."""
    file = tmp_path / "wrong.json"
    file.write_bytes(content)

    with pytest.raises(RefusedError) as refused:
        commands.read_object(str(file), "EVENT")

    assert str(refused.value).startswith(f"{file} {expected}")
    assert "\n" not in str(refused.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a folder."""
    for path, why in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(RefusedError, match=f"cannot be read: {why}"):
            commands.read_object(str(path), "EVENT")


def test_states_to_wait_for_are_those_of_messages() -> None:
    """The settled ones are those that are published to apps upstream."""
    assert set(commands.STATES) == set(MessageState)
    assert set(commands.SETTLED) == SETTLED_STATES


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"messageId": "a"}, ["a"]),
        ({"to": {}}, ["record-0"]),
        ({"destinations": [{"messageId": "a"}, {"to": {}}]}, ["a", "record-1"]),
        ({"destinations": [{"messageId": 1}, "x"]}, []),
        ({"destinations": None}, []),
    ],
)
def test_ids_to_look_up_are_those_of_sender(body: object, ids: list[str]) -> None:
    """An event that the sender refuses may have none."""
    assert commands.message_ids(json.dumps(body), "record") == ids


def test_records_are_sent_with_their_attributes() -> None:
    """SQS and Lambda name the members of an attribute differently."""
    record = {
        "body": "any text",
        "messageAttributes": {
            "originalMessageId": {"stringValue": "x", "dataType": "String"},
            "raw": {"binaryValue": "AP8=", "dataType": "Binary"},
        },
    }

    assert list(commands.records({"Records": [record]})) == [
        (
            "any text",
            {
                "originalMessageId": {"DataType": "String", "StringValue": "x"},
                "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            },
        )
    ]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([{"body": "{}"}, {"dynamodb": {}}], r"Records\[1\] of EVENT is no record of SQS"),
        ([{"body": 1}], r"Records\[0\].body of EVENT is no text"),
        (["x"], r"Records\[0\] of EVENT is no record of SQS"),
        ([{"body": "{}", "messageAttributes": {"a": 1}}], r"Records\[0\] of EVENT"),
        ("x", "Records of EVENT is no list"),
        (None, "Records of EVENT is no list"),
    ],
)
def test_invalid_records_are_refused(records: object, expected: str) -> None:
    """The error gives the position of the record."""
    with pytest.raises(RefusedError, match=expected):
        list(commands.records({"Records": records}))
