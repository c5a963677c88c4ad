"""Reports and log rows are read tolerantly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from infobip_omni.api.reports import (
    DeliveryReport,
    LogEntry,
    Price,
    RawEntry,
    Status,
    UnreadablePageError,
    is_empty_page,
    page_of,
    parse_page,
)

from .bodies import PHONE


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2015-02-23T16:41:11.833+0000", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("2015-02-23T17:41:11.833+01:00", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("2015-02-23T13:41:11-0300", datetime(2015, 2, 23, 16, 41, 11, tzinfo=UTC)),
        ("2015-02-23T16:41:11Z", datetime(2015, 2, 23, 16, 41, 11, tzinfo=UTC)),
        ("2015-02-23T16:41:11.833", datetime(2015, 2, 23, 16, 41, 11, 833000, UTC)),
        ("0001-01-01T00:00:00+1400", None),
        ("yesterday", None),
        ("", None),
        (1424709671833, None),
        (None, None),
    ],
)
def test_timestamps_of_rows_are_read_in_every_format(
    text: object, timestamp: datetime | None
) -> None:
    """A timestamp without an offset is in UTC; an unreadable one is absent."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "sentAt": text, "doneAt": text}

    report = DeliveryReport.model_validate(row)

    assert (report.sent_at, report.done_at) == (timestamp, timestamp)


def test_report_is_read_with_all_members() -> None:
    """An unknown channel and unknown members are kept."""
    body = json.dumps(
        {
            "results": [
                {
                    "bulkId": "b",
                    "messageId": "m",
                    "to": PHONE,
                    "sentAt": "2026-01-31T12:00:00.000+0000",
                    "doneAt": "2026-01-31T12:00:05.000+0000",
                    "messageCount": 1,
                    "mccMnc": "22801",
                    "price": {"pricePerMessage": 0.0285, "currency": "EUR"},
                    "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "N"},
                    "error": {"groupId": 0, "id": 0, "name": "NO_ERROR", "permanent": False},
                    "channel": "CARRIER_PIGEON",
                    "callbackData": "order 7",
                    "new": {"a": 1},
                }
            ]
        }
    ).encode()

    (row,) = parse_page(body)
    report = DeliveryReport.model_validate(row.parsed)

    assert report.price is not None
    assert report.price.price_per_message == Decimal("0.0285")
    assert report.channel == "CARRIER_PIGEON"
    assert row.parsed["new"] == {"a": 1}


def test_unreadable_optional_members_leave_row_readable() -> None:
    """Unreadable means null, or a value of the wrong type."""
    optional = [
        *("bulkId", "to", "sentAt", "doneAt", "messageCount", "mccMnc", "price", "error"),
        *("channel", "callbackData", "from", "text"),
    ]
    needed = {"messageId": 17, "status": {"groupId": 9, "id": 5, "name": None}}

    values: list[object] = [None, {"a": []}, [], "?"]
    for value in values:
        row = needed | dict.fromkeys(optional, value)
        assert DeliveryReport.model_validate(row).status.group_id == 9
        assert LogEntry.model_validate(row).message_id == "17"


@pytest.mark.parametrize("absurd", [7, "?", [], {"groupId": {}}, {"id": 10**400}, "\ud83d", True])
def test_unused_members_cannot_spoil_row(absurd: object) -> None:
    """Whatever they hold, the row is the same as without them."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "to": PHONE}
    names = ("error", "callbackData", "contact", "messageCount", "mccMnc", "from", "text", "new")
    unread = dict.fromkeys(names, absurd)

    assert DeliveryReport.model_validate(row | unread) == DeliveryReport.model_validate(row)
    assert LogEntry.model_validate(row | unread) == LogEntry.model_validate(row)


@pytest.mark.parametrize(
    "row",
    [
        None,
        "row",
        {},
        {"messageId": "m"},
        {"messageId": None, "status": {"groupId": 3, "id": 5}},
        {"status": {"groupId": 3, "id": 5}},
        {"messageId": "m", "status": "malformed"},
        {"messageId": "m", "status": {}},
        {"messageId": "m", "status": {"groupId": "x", "id": True, "name": None, "new": 5}},
        {"messageId": True, "status": {"groupId": 3, "id": 5}},
        {"messageId": ["m"], "status": {"groupId": 3, "id": 5}},
    ],
)
def test_row_without_message_id_or_status_is_invalid(row: object) -> None:
    """Such a row says nothing about any message."""
    for model in (DeliveryReport, LogEntry):
        with pytest.raises(ValidationError):
            model.model_validate(row)


@pytest.mark.parametrize("part", ["groupId", "groupName", "id", "name"])
def test_status_needs_only_one_of_its_parts(part: str) -> None:
    whole = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
    row = {"messageId": "m", "status": {part: whole[part]}}

    status = DeliveryReport.model_validate(row).status

    assert status.model_dump(by_alias=True, exclude_none=True) == {part: whole[part]}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (3, 3),
        ("3", 3),
        (" +03\n", 3),
        (Decimal("3.0"), 3),
        (Decimal("3E0"), 3),
        (-1, -1),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (10**400, None),
        ("9" * 5000, None),
        (Decimal("3.5"), None),
        (Decimal("1E+999999999"), None),
        (Decimal("1E-999999999"), None),
        (Decimal("NaN"), None),
        (True, None),
        ("three", None),
        ("\u0663", None),
        ([3], None),
        ({}, None),
        (None, None),
    ],
    ids=range(20),
)
def test_number_of_status_is_read_however_it_is_written(
    written: object, number: int | None
) -> None:
    """True is no 1, and no digits are computed that the table cannot store."""
    status = Status.model_validate({"groupId": written, "id": written, "name": "N"})

    assert (status.group_id, status.id) == (number, number)


@pytest.mark.parametrize("price", [True, "NaN", Decimal("1E+999999999"), "9" * 5000, [], {}])
def test_unreadable_price_is_none(price: object) -> None:
    assert Price.model_validate({"pricePerMessage": price}).price_per_message is None


def test_log_row_keeps_sender_and_text() -> None:
    """Reports lack these. No code reads them, but they are kept."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "from": "Acme", "text": "hi"}

    entry = RawEntry(json.dumps(row), row).read(LogEntry)

    assert entry is not None
    assert json.loads(entry.raw) == row


def test_lone_surrogate_becomes_question_mark() -> None:
    """JSON can hold half of an emoji that was cut; UTF-8 cannot."""
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5, "name": "a\ud83d"}, "to": "\ud83d"}

    entry = LogEntry.model_validate(row)

    assert (entry.to, entry.status.name) == ("?", "a?")
    assert entry.model_dump_json()


def test_page_of_reports_keeps_every_entry_unchanged() -> None:
    """Entries may have any type. An invalid byte or number affects no other entry."""
    body = b'\xef\xbb\xbf{"results": [{"a": 0.10}, "x", null, {"b": "\xff"}, {"c": NaN}]}'

    page = parse_page(body)

    assert [entry.parsed for entry in page] == [
        {"a": Decimal("0.10")},
        "x",
        None,
        {"b": "\ufffd"},
        {"c": "NaN"},
    ]
    assert str(page[0].parsed["a"]) == "0.10"
    assert [entry.raw for entry in page] == [
        '{"a": 0.10}',
        '"x"',
        "null",
        '{"b": "\ufffd"}',
        '{"c": NaN}',
    ]
    assert parse_page(b'{"results": []}') == []


@pytest.mark.parametrize("around", [b"\xef\xbb\xbf", b" \r\n", b"\xc2\xa0", b"\n\xef\xbb\xbf\t"])
def test_invisible_characters_around_page_are_dropped(around: bytes) -> None:
    body = around + b'{"results": [7]}' + around

    assert [entry.parsed for entry in parse_page(body)] == [7]
    assert is_empty_page(b'\xef\xbb\xbf{"results": []}\n')


GOOD = '{"messageId": "good", "status": {"groupId": 3}}'


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000,
        "1e" + "9" * 30,
        "[" * 5000 + "]" * 5000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        '"\x00\n\x1f"',
        r'"\x41"',
        r'"cut \ud8"',
        "undefined",
        "nul",
        "NaN",
    ],
    ids=range(10),
)
@pytest.mark.parametrize("place", ['"new": %s', '"status": {"groupId": 3, "new": %s}'])
def test_value_that_python_cannot_read_costs_only_itself(value: str, place: str) -> None:
    """Neither the other members of its entry, nor the entry before and the one after it."""
    entry = '{"messageId": "m", "status": {"groupId": 3}, ' + place % value + "}"
    body = f'{{"x": {value}, "results": [{GOOD}, {entry}, {GOOD}]}}'.encode()

    first, row, last = parse_page(body)

    assert first.raw == last.raw == GOOD
    assert row.raw == entry
    read = row.read(DeliveryReport)
    assert read is not None
    assert (read.parsed.message_id, read.parsed.status.group_id) == ("m", 3)


def test_entry_with_text_that_is_no_json_is_marked() -> None:
    """Where it ends is a guess, so no absence is proven by its page."""
    page = parse_page(b'{"results": [{"a": tru}, {"b": [[1] 2]}, {"c": 1}, [x], y, {"d": {e: 1}}]}')

    assert [(entry.parsed, entry.is_broken) for entry in page] == [
        ({"a": None}, True),
        ({"b": None}, True),
        ({"c": 1}, False),
        ([None], True),
        (None, True),
        ({"d": None}, True),
    ]


def test_all_lists_of_page_count() -> None:
    """Each holds reports that are returned only once; JSON leaves open which of them counts."""
    body = b'{"results": [1, 2], "results": null, "results": [3]}'

    assert [entry.parsed for entry in parse_page(body)] == [1, 2, 3]


def test_last_of_doubled_members_counts() -> None:
    """As most parsers of JSON have it, and only for its own entry."""
    entry = '{"messageId": "m", "messageId": "n", "status": {"groupId": 2, "groupId": 3}}'

    doubled, other = parse_page(f'{{"results": [{entry}, {GOOD}]}}'.encode())

    read = doubled.read(DeliveryReport)
    assert read is not None
    assert (read.parsed.message_id, read.parsed.status.group_id) == ("n", 3)
    assert other.raw == GOOD


_SPACES = st.text(" \t\n\r", max_size=3)


@given(spaces=st.lists(_SPACES, min_size=7, max_size=7))
def test_page_is_empty_whatever_white_space_it_has(spaces: list[str]) -> None:
    tokens = ["", "{", '"results"', ":", "[", "]", "}"]
    body = "".join(token + space for token, space in zip(tokens, spaces, strict=True))

    assert json.loads(body) == {"results": []}
    assert is_empty_page(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"results": [], "results": []}',
        b'{"results": [{}], "results": []}',
        b'{"results": [], "more": true}',
        b'{"results": [0]}',
        b'{"results": [[]]}',
        b'{"results": null}',
        b'{"results": {}}',
        b'{"result": []}',
        b'{"Results": []}',
        b'{"res ults": []}',
        b'{"results": []',
        b'{"results": []} {}',
        b'[{"results": []}]',
        b"{'results': []}",
        b'\x0b{"results": []}',
        b'\xc2\xa0{"results": []}',
        b'{"results": [\x00]}',
        b"[]",
        b"{}",
        b"",
    ],
)
def test_page_that_may_hold_something_is_not_empty(body: bytes) -> None:
    assert not is_empty_page(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"results": null}',
        b'{"results": {}}',
        b'{"results": [',
        b"[" * 100_000,
        b'{"results": [' + b"[" * 5000 + b"]}",
        b'{"results": ["cut]}',
        b'{"results": [1]} 2',
        b'{"results": [1 2]}',
        b'{"results": [}]}',
        b'{"results": [1],}',
        b'{"results" [1]}',
    ],
    ids=range(16),
)
def test_page_without_list_of_reports_is_unreadable(body: bytes) -> None:
    """The error holds nothing of the page."""
    with pytest.raises(UnreadablePageError) as caught:
        parse_page(body)

    assert caught.value.__suppress_context__ or caught.value.__context__ is None


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
PAGES = st.builds(
    lambda page, indent: json.dumps(page, indent=indent),
    st.dictionaries(st.sampled_from(["results", "more", ""]), JSON, max_size=3),
    st.sampled_from([None, 0, 2]),
)
TOKENS = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"results"', '"}"', "-1.50", "NaN", "\n", "!"]),
    max_size=4,
).map("".join)


def results(text: str) -> list[Any] | None:
    """Parse the whole page with `json`; return its lists as one.

    Returns:
        None if it has no list of results.

    Raises:
        ValueError: It is not JSON.
    """
    found: list[list[Any]] = []

    def collect(members: list[tuple[str, Any]]) -> dict[str, Any]:
        # The page is the last object that ends.
        found[:] = [
            value for name, value in members if name == "results" and isinstance(value, list)
        ]
        return dict(members)

    page = json.loads(text, parse_float=Decimal, parse_constant=str, object_pairs_hook=collect)
    if not isinstance(page, dict) or not found:
        return None
    return [entry for entries in found for entry in entries]


@given(PAGES, TOKENS, st.integers(0, 60))
@example('{"results": [1], "results": [2]}', "", 0)
@example('{"results": [1], "results": 2}', "", 0)
@example('{"results": [1,]}', "", 0)
@example('{"results": [1],}', "", 0)
@example('{"results": [1]} x', "", 0)
@example('{"results" [1]}', "", 0)
@example('{5: 1, "results": [1]}', "", 0)
@example(' {\n"results"\t:\r[ 1 , [2 ] ] } ', "", 0)
def test_piecewise_parser_agrees_with_json(text: str, put: str, at: int) -> None:
    """The raw text that is kept of an entry also parses to the entry."""
    written = text[:at] + put + text[at:]
    try:
        page = parse_page(written.encode(errors="replace"))
    except UnreadablePageError:
        page = None
    try:
        expected = results(written.encode(errors="replace").decode())
    except ValueError:
        # It may have entries that can be read all the same; of the others it may have parts.
        assert all(entry.raw in written for entry in page or [])
        return

    assert (page if page is None else [entry.parsed for entry in page]) == expected
    for entry in page or []:
        assert results(f'{{"results": [{entry.raw}]}}') == [entry.parsed]
        assert entry.raw in written
    if page is not None:
        assert parse_page(page_of(page)) == page


def test_nothing_personal_shows_in_repr() -> None:
    """Addresses, texts, contacts and callback data of reports and log rows stay out of it."""
    secret = "canary"  # noqa: S105 (not one)
    row = {"messageId": "m", "status": {"groupId": 3, "id": 5}, "to": secret}
    report = DeliveryReport.model_validate(
        row | {"callbackData": secret, "contact": {"name": secret}}
    )
    entry = LogEntry.model_validate(row | {"text": secret})

    raw = RawEntry(secret, row).read(LogEntry)
    shown = [report, entry, raw, RawEntry(secret, secret)]

    assert not [text for text in map(repr, shown) if secret in text]
    assert not [text for text in map(str, shown) if secret in text]
