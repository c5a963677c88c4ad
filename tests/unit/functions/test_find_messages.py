"""Callers get what is stored, page by page, and see recipients only on request."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from functions.find_messages import app
from functions.find_messages.app import Dependencies, find_messages
from infobip_omni.dynamodb import from_wire, to_wire
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.find_messages import parse
from infobip_omni.message_search import QUARANTINED, UNRESOLVED, UNSETTLED, Found, MessageSearch

from .conftest import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infobip_omni.message_search import BytesOf, Place

    from .conftest import Log, Printed

PHONE_NUMBER = "385991234567"
TEXT = "Your code is 7391"
MESSAGE: dict[str, Any] = {
    "messageId": "m-1",
    "entry": "MESSAGE",
    "state": "DELIVERED",
    "scenario": "otp",
    "steps": ["PUSH", "SMS"],
    "to": {"phoneNumber": PHONE_NUMBER, "emailAddress": "ana@example.com"},
    "recipient": "a hash",
    "contentHash": "a hash",
    "claimToken": "a token",
    "checkShard": "3",
    "verdictRank": "2#",
    "callbackData": TEXT,
    "attempts": Decimal(1),
    "expiresAt": Decimal(1_800_000_000),
    "status": {
        "groupId": Decimal(3),
        "name": "DELIVERED_TO_HANDSET",
        "description": f"to {PHONE_NUMBER}",
    },
    "price": {"pricePerMessage": Decimal("0.05"), "currency": "EUR"},
}
REPORT: dict[str, Any] = {
    "messageId": "m-1",
    "channel": "SMS",
    "to": PHONE_NUMBER,
    "callbackData": TEXT,
    "doneAt": "2026-01-31T12:00:00.000+0000",
    "status": {"groupId": 3, "id": 5, "description": TEXT},
    "error": {"id": 0, "name": "NO_ERROR", "permanent": False, "description": TEXT},
    "price": {"pricePerMessage": 0.05, "currency": "EUR"},
    "aNewField": PHONE_NUMBER,
}
ROW: dict[str, Any] = REPORT | {"text": TEXT, "from": "Acme"}
HISTORY: list[dict[str, Any]] = [
    {
        "messageId": "m-1",
        "entry": "REPORT#SMS#5#2026-01-31T12:00:00.000Z",
        "report": json.dumps(REPORT),
        "receivedAt": "2026-01-31T12:00:05.000Z",
        "expiresAt": Decimal(1_800_000_000),
    },
    {
        "messageId": "m-1",
        "entry": "LOG#SMS#5#2026-01-31T12:00:00.000Z",
        "row": json.dumps(ROW),
        "receivedAt": "2026-01-31T12:10:00.000Z",
        "expiresAt": Decimal(1_800_000_000),
    },
    {
        "messageId": "m-1",
        "entry": "UNREADABLE#0",
        "raw": f'{{"to": "{PHONE_NUMBER}"',
        "receivedAt": "2026-01-31T12:10:00.000Z",
        "expiresAt": Decimal(1_800_000_000),
    },
]


class FakeSearch(MessageSearch):
    """A search that returns fixed items, and remembers its calls."""

    def __init__(self) -> None:
        self.items = [MESSAGE]
        self.entries = HISTORY
        #: Where the next page begins.
        self.places: dict[str, Place] = {}
        self.calls: list[Any] = []
        #: The size of each item on the page, in bytes, as the function counts it.
        self.sizes: list[int] = []

    def message(self, message_id: str) -> dict[str, Any] | None:
        self.calls.append(message_id)
        return self.items[0] if self.items else None

    def history(
        self, message_id: str, limit: int, places: Mapping[str, Place], bytes_of: BytesOf
    ) -> Found:
        self.calls.append((message_id, limit, places))
        self.sizes = [bytes_of(item) for item in self.entries]
        return Found(self.entries, self.places)

    def to_recipient(
        self, address: str, limit: int, places: Mapping[str, Place], bytes_of: BytesOf
    ) -> Found:
        self.calls.append((address, limit, places))
        self.sizes = [bytes_of(item) for item in self.items]
        return Found(self.items, self.places)

    def listed(
        self,
        shards: Sequence[str],
        limit: int,
        places: Mapping[str, Place],
        bytes_of: BytesOf,
    ) -> Found:
        self.calls.append((shards, limit, places))
        self.sizes = [bytes_of(item) for item in self.items]
        return Found(self.items, self.places)

    def waiting(self, limit: int, places: Mapping[str, Place], bytes_of: BytesOf) -> Found:
        self.calls.append(("waiting", limit, places))
        self.sizes = [bytes_of(item) for item in self.items]
        return Found(self.items, self.places)


@dataclass
class Harness:
    """The function and its fake."""

    search: FakeSearch = field(default_factory=FakeSearch)

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.search)

    def run(self, event: dict[str, Any]) -> dict[str, Any]:
        return find_messages(parse(event), self.dependencies)

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness that finds one message and its history."""
    harness = Harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


# --- The event -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field", "rule"),
    [
        ([], "body", "must be an object"),
        ({}, "body", "exactly one of"),
        ({"limit": 5}, "body", "exactly one of"),
        ({"messageId": "m-1", "recipient": PHONE_NUMBER}, "body", "exactly one of"),
        ({"unsettled": True, "quarantined": True}, "body", "exactly one of"),
        ({"unsettled": True, "state": "UNKNOWN"}, "state", "is not a field"),
        ({"message_id": "m-1"}, "message_id", "is not a field"),
        ({"messageId": 1}, "messageId", "must be a string"),
        ({"messageId": ""}, "messageId", "1 to 2048 bytes"),
        ({"messageId": "\u0161" * 1025}, "messageId", "1 to 2048 bytes"),
        ({"recipient": "\ud800"}, "recipient", "1 to 2048 bytes"),
        ({"recipient": 385991234567}, "recipient", "must be a string"),
        ({"recipient": "099 123 4567"}, "recipient", "must be a phone number of 5 to 20 digits"),
        ({"recipient": "1234"}, "recipient", "must be a phone number of 5 to 20 digits"),
        ({"recipient": " "}, "recipient", "must be a phone number of 5 to 20 digits"),
        ({"unsettled": "true"}, "unsettled", "must be true or false"),
        ({"unsettled": 1}, "unsettled", "must be true or false"),
        ({"quarantined": False}, "quarantined", "must be true"),
        ({"unresolved": False}, "unresolved", "must be true"),
        ({"unsettled": True, "limit": 0}, "limit", "must be at least 1"),
        ({"unsettled": True, "limit": 1001}, "limit", "must be at most 1000"),
        ({"unsettled": True, "limit": "10"}, "limit", "must be a whole number"),
        ({"unsettled": True, "nextToken": 7}, "nextToken", "must be a string"),
        ({"unsettled": True, "nextToken": 524_289 * "x"}, "nextToken", "at most 524288 characters"),
        ({"unsettled": True, "showRecipients": "yes"}, "showRecipients", "must be true or false"),
    ],
)
def test_query_that_breaks_a_rule_is_rejected(event: Any, field: str, rule: str) -> None:  # noqa: ANN401
    """The error names the field and the rule, and does not quote the query."""
    with pytest.raises(InvalidEventError, match=rule) as raised:
        parse(event)

    assert raised.value.field == field
    assert PHONE_NUMBER not in str(raised.value)


# --- Queries -------------------------------------------------------------------------------


def test_message_is_returned_with_its_history(harness: Harness) -> None:
    """Infobip's reports and log rows are returned as objects."""
    answer = harness.run({"messageId": "m-1", "showRecipients": True})

    assert answer["found"] is True
    assert answer["message"]["state"] == "DELIVERED"
    assert [entry["entry"].split("#")[0] for entry in answer["history"]] == [
        "REPORT",
        "LOG",
        "UNREADABLE",
    ]
    assert answer["history"][0]["report"] == REPORT
    assert answer["history"][1]["row"] == ROW
    assert answer["history"][2]["raw"] == HISTORY[2]["raw"]


def test_unknown_message_is_not_an_error(harness: Harness) -> None:
    """Callers can tell it from a mistake in the query."""
    harness.search.items, harness.search.entries = [], []

    answer = harness.run({"messageId": "m-1"})

    assert answer == {"found": False, "message": None, "history": [], "hint": app.NOT_FOUND_HINT}


REFUSED_ENTRY: dict[str, Any] = {
    "messageId": "m-1",
    "entry": "REFUSED#record-1",
    "deadLetterId": "dead-1",
    "reason": "INVALID",
    "field": "sms.text",
    "rule": "must not be empty",
    "refusedAt": "2026-01-31T12:00:00.000Z",
    "expiresAt": Decimal(1_800_000_000),
}


def test_message_id_that_was_only_refused_leads_to_its_record(harness: Harness) -> None:
    """The answer says why and where the record is, and what to do."""
    harness.search.items = []
    harness.search.entries = [REFUSED_ENTRY]

    answer = harness.run({"messageId": "m-1"})

    assert answer == {
        "found": True,
        "message": None,
        "history": [],
        "refused": [
            {
                "at": "2026-01-31T12:00:00.000Z",
                "reason": "INVALID",
                "field": "sms.text",
                "rule": "must not be empty",
                "deadLetterId": "dead-1",
            }
        ],
        "hint": app.REFUSED_HINT,
    }


def test_refused_record_is_shown_apart_from_the_history_of_a_message(harness: Harness) -> None:
    """A corrected record was sent later under the same id, so there is nothing left to do."""
    harness.search.entries = [REFUSED_ENTRY, *HISTORY]

    answer = harness.run({"messageId": "m-1"})

    assert [each["deadLetterId"] for each in answer["refused"]] == ["dead-1"]
    assert len(answer["history"]) == len(HISTORY)
    assert "hint" not in answer


def test_reports_of_an_unclaimed_message_are_found(harness: Harness) -> None:
    """A report may be about a message of another system."""
    harness.search.items = []

    answer = harness.run({"messageId": "m-1"})

    assert (answer["found"], answer["message"]) == (True, None)
    assert len(answer["history"]) == 3


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("385991234567", "385991234567"),
        ("+385 99 123-4567", "+385 99 123-4567"),
        (" ana@example.com\n", "ana@example.com"),
        ("+ana@example.com", "+ana@example.com"),
        ("DE.a1", "DE.a1"),
        ("9" * 64, "9" * 64),
    ],
)
def test_recipient_is_searched_without_surrounding_spaces(
    harness: Harness, written: str, address: str
) -> None:
    """The search knows the spellings of an address."""
    answer = harness.run({"recipient": written, "limit": 7})

    assert harness.search.calls == [(address, 7, {})]
    assert [message["messageId"] for message in answer["messages"]] == ["m-1"]


@pytest.mark.parametrize(
    ("query", "shards"),
    [("unsettled", UNSETTLED), ("unresolved", UNRESOLVED), ("quarantined", QUARANTINED)],
)
def test_list_query_reads_its_own_lists(
    harness: Harness, query: str, shards: tuple[str, ...]
) -> None:
    """A page has a hundred messages unless the query sets a limit."""
    harness.run({query: True})

    assert harness.search.calls == [(shards, 100, {})]


def test_waiting_messages_show_why_they_wait(harness: Harness) -> None:
    """The status names the cure; the bulk ids are what Infobip's support asks for."""
    status = {"groupId": Decimal(5), "id": Decimal(12), "name": "REJECTED_NOT_ENOUGH_CREDITS"}
    refused: dict[str, Any] = {
        "state": "WAITING",
        "status": status | {"description": TEXT},
        "refusedBulkIds": {"12": ["bulk-1"]},
        "refusedAttempt": Decimal(1),
        "hasUndecidedRow": True,
    }
    harness.search.items = [
        MESSAGE | refused,
        MESSAGE | {"state": "WAITING", "status": {"httpStatus": Decimal(404), "name": "NOT_FOUND"}},
    ]
    answer = harness.run({"waiting": True, "limit": 7})

    assert harness.search.calls == [("waiting", 7, {})]
    assert [message["status"] for message in answer["messages"]] == [
        {"groupId": 5, "id": 12, "name": "REJECTED_NOT_ENOUGH_CREDITS"},
        {"httpStatus": 404, "name": "NOT_FOUND"},
    ]
    first = answer["messages"][0]
    assert first["refusedBulkIds"] == {"12": ["bulk-1"]}
    assert not first.keys() & {"refusedAttempt", "hasUndecidedRow"}


# --- Shown and masked ----------------------------------------------------------------------


@pytest.mark.parametrize("event", [{"messageId": "m-1"}, {"unsettled": True}])
def test_recipients_are_masked_and_texts_omitted(harness: Harness, event: dict[str, Any]) -> None:
    """No field that may quote an address or a text is shown, whether known or new."""
    answer = harness.run(event)

    shown = json.dumps(answer)
    assert PHONE_NUMBER not in shown
    assert TEXT not in shown
    assert "ana@" not in shown
    message = answer.get("message") or answer["messages"][0]
    assert message["to"] == {"phoneNumber": "**********67", "emailAddress": "*************om"}
    assert message["status"] == {"groupId": 3, "name": "DELIVERED_TO_HANDSET"}


def test_rules_that_a_refused_request_breaks_are_always_shown(harness: Harness) -> None:
    """They quote no value; Infobip's own text may, and is shown on request."""
    violations = [{"field": "destinations[0].to.emailAddress", "rule": "must not be blank"}]
    status = {"httpStatus": 400, "name": "BAD_REQUEST", "violations": violations}
    harness.search.items = [MESSAGE | {"status": status | {"description": TEXT}}]

    assert harness.run({"messageId": "m-1"})["message"]["status"] == status
    shown = harness.run({"messageId": "m-1", "showRecipients": True})["message"]["status"]
    assert shown == status | {"description": TEXT}


def test_status_time_price_and_error_are_always_shown(harness: Harness) -> None:
    """They hold no personal data."""
    answer = harness.run({"messageId": "m-1"})

    assert answer["history"][0]["report"] == {
        "messageId": "m-1",
        "channel": "SMS",
        "to": "**********67",
        "doneAt": "2026-01-31T12:00:00.000+0000",
        "status": {"groupId": 3, "id": 5},
        "error": {"id": 0, "name": "NO_ERROR", "permanent": False},
        "price": {"pricePerMessage": 0.05, "currency": "EUR"},
    }


def test_recipients_are_shown_on_request(harness: Harness) -> None:
    """An operator may have to call the recipient."""
    answer = harness.run({"quarantined": True, "showRecipients": True})

    assert answer["messages"][0]["to"] == MESSAGE["to"]
    assert answer["messages"][0]["callbackData"] == TEXT


def test_answers_are_plain_json_without_internal_attributes(harness: Harness) -> None:
    """Hashes, tokens and lists of the index mean nothing to a reader."""
    [message] = harness.run({"unsettled": True, "showRecipients": True})["messages"]

    assert message["attempts"] == 1
    assert message["price"] == {"pricePerMessage": 0.05, "currency": "EUR"}
    assert type(message["expiresAt"]) is int
    assert not message.keys() & {
        "entry",
        "recipient",
        "contentHash",
        "claimToken",
        "checkShard",
        "verdictRank",
    }


@pytest.mark.parametrize("raw", ["[" * 100_000, "null", "[]", "7", "not JSON"])
def test_history_entry_without_an_object_has_no_content(harness: Harness, raw: str) -> None:
    harness.search.entries = [HISTORY[2] | {"raw": raw}]

    answer = harness.run({"messageId": "m-1"})

    assert answer["history"][0]["raw"] is None


@pytest.mark.parametrize("show_recipients", [True, False])
@pytest.mark.parametrize(
    "raw",
    [
        '{"channel": NaN, "to": -Infinity}',
        '{"channel": 1e999, "to": -1e999}',
        '{"channel": "\\ud83d", "to": "\\udc00"}',
        '{"\\ud83d": {"\\ud83d": ["\\ud83d"]}}',
        '{"channel": ' + "9" * 5000 + "}",
        '{"status": ' * 400 + "1" + "}" * 400,
        '{"status": ' * 900 + "1" + "}" * 900,
        "[" * 900 + "]" * 900,
    ],
)
def test_anything_that_infobip_has_sent_can_be_returned(
    harness: Harness,
    raw: str,
    show_recipients: bool,  # noqa: FBT001
) -> None:
    """Lambda writes JSON in UTF-8, which has neither infinities nor lone surrogates."""
    harness.search.entries = [HISTORY[2] | {"raw": raw}]

    answer = harness.run({"messageId": "m-1", "showRecipients": show_recipients})

    assert json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()


# --- Pages ---------------------------------------------------------------------------------

PLACES = {"3": ("2026-01-31T12:00:00.000Z", "m-1")}


def test_answer_leads_to_the_next_page(harness: Harness) -> None:
    """The token of one answer leads to the next; the last answer has none."""
    harness.search.places = PLACES
    first = harness.run({"unsettled": True})
    harness.search = FakeSearch()

    last = harness.run({"unsettled": True, "nextToken": first["nextToken"]})

    assert harness.search.calls == [(UNSETTLED, 100, PLACES)]
    assert "nextToken" not in last


@pytest.mark.parametrize("show_recipients", [True, False])
@pytest.mark.parametrize("query", [{"messageId": "m-1"}, {"unsettled": True}, {"recipient": "r1"}])
def test_size_of_a_page_is_counted_as_shown(
    harness: Harness,
    query: dict[str, Any],
    show_recipients: bool,  # noqa: FBT001
) -> None:
    """Omitted values take no room, and characters that JSON escapes take more."""
    message = MESSAGE | {"callbackData": "\U0001f600" * 1000}
    report = HISTORY[0] | {"report": json.dumps(REPORT | {"aNewField": "\U0001f600" * 1000})}
    harness.search.items, harness.search.entries = [message], [report]

    answer = harness.run(query | {"showRecipients": show_recipients})

    shown = answer["history"] if "history" in answer else answer["messages"]
    assert harness.search.sizes == [len(json.dumps(one)) + 2 for one in shown]
    assert (harness.search.sizes[0] > 12_000) == show_recipients


def token_of(token: object) -> str:
    """Encode any value as a token."""
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "not base64!",
        "\u0161",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"not JSON").decode(),
        base64.b64encode(b"[" * 40_000).decode(),
        token_of(None),
        token_of([]),
        token_of({"unsettled": {"3": "2026"}}),
        token_of({"unsettled": {"3": ["2026"]}}),
        token_of({"unsettled": {"3": ["2026", 7]}}),
        token_of({"unsettled": {"3": ["2026", ""]}}),
        token_of({"unsettled": {"3": ["2026", "\ud800"]}}),
        token_of({"quarantined": {"quarantined": ["2026", "m-1"]}}),
    ],
)
def test_token_of_another_query_is_rejected(harness: Harness, token: str) -> None:
    with pytest.raises(InvalidEventError, match="nextToken: must be the nextToken"):
        harness.run({"unsettled": True, "nextToken": token})


# --- The function --------------------------------------------------------------------------


def test_no_personal_data_is_logged(harness: Harness, log: Log, printed: Printed) -> None:
    """Even if the answer shows recipients, only the query and a count are logged."""
    for query in ({"recipient": PHONE_NUMBER}, {"messageId": "m-1"}):
        answer = harness.invoke(query | {"showRecipients": True})
        assert PHONE_NUMBER in json.dumps(answer)

    assert [(line["query"], line["count"]) for line in log()] == [
        ("recipient", 1),
        ("messageId", 3),
    ]
    text = printed()
    assert PHONE_NUMBER not in text
    assert TEXT not in text


# --- Items of another version --------------------------------------------------------------


@pytest.mark.parametrize("show_recipients", [True, False])
@pytest.mark.parametrize(
    "attributes",
    [
        {"state": "SEEN"},
        {"to": 5, "state": "SEEN"},
        {"to": None, "state": "SEEN"},
        {"to": {"phoneNumber": 5}, "state": "SEEN"},
        {"price": {"a": {b"binary"}}, "state": "SEEN"},
        {"status": "none", "attempts": b"one", "state": "SEEN"},
    ],
)
def test_message_of_another_version_is_shown_as_far_as_readable(
    harness: Harness,
    attributes: dict[str, Any],
    show_recipients: bool,  # noqa: FBT001
) -> None:
    """Its state is shown unchanged."""
    item = from_wire(to_wire(MESSAGE | attributes))
    harness.search.items = [item, MESSAGE]

    answer = harness.run({"unsettled": True, "showRecipients": show_recipients})

    shown, neighbour = answer["messages"]

    assert (shown["messageId"], shown["state"]) == ("m-1", "SEEN")
    assert neighbour["state"] == "DELIVERED"
    assert json.dumps(shown)


def test_history_of_another_version_is_shown_as_far_as_readable(harness: Harness) -> None:
    """An entry whose content is not a text is shown without it."""
    odd = from_wire(to_wire(HISTORY[0] | {"report": b"packed", "receivedAt": 5}))
    harness.search.entries = [odd, HISTORY[1]]

    answer = harness.run({"messageId": "m-1"})

    assert answer["history"][0] == {"entry": HISTORY[0]["entry"], "receivedAt": "5"}
    assert answer["history"][1]["row"]["status"]["id"] == 5
    assert json.dumps(answer)
