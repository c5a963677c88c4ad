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


def test_byte_order_mark_before_event_is_dropped(tmp_path: Path) -> None:
    """Editors write it before the text of a file, and some shells pass it on."""
    file = tmp_path / "event.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')

    assert commands.read_object(str(file), "EVENT") == ('{"a": 1}\r\n', {"a": 1})
    assert commands.read_object('\ufeff{"a": 1}', "EVENT") == ('{"a": 1}', {"a": 1})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not JSON, from line 1, column 1 on: a value is missing"),
        (b'{\n  "a" 1}', "is not JSON, from line 2, column 7 on: a colon is missing"),
        (b"[1]", "must be a JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 8 is invalid"),
        (b'{"a": ' + b"[" * 100_000, "cannot be read as JSON: it is nested too deep, or a"),
        (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read as JSON: it is nested too deep, or a"),
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
        ([{"body": "{}"}, {"dynamodb": {}}], r"Records\[1\] of EVENT must be an SQS record"),
        ([{"body": 1}], r"Records\[0\].body of EVENT must be a string"),
        (["x"], r"Records\[0\] of EVENT must be an SQS record"),
        ([{"body": "{}", "messageAttributes": {"a": 1}}], r"Records\[0\] of EVENT"),
        ("x", "Records of EVENT must be a list"),
        (None, "Records of EVENT must be a list"),
    ],
)
def test_invalid_records_are_refused(records: object, expected: str) -> None:
    """The error gives the position of the record."""
    with pytest.raises(RefusedError, match=expected):
        list(commands.records({"Records": records}))
