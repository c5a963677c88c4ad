"""What is fuzzed: each parser of text that others write, with the only errors that it may raise.

A target raises any other error. It also checks what must hold whatever the text: what is to be
stored can be stored, and no entry is lost.
"""

from __future__ import annotations

import base64
import functools
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent
from hypothesis import strategies as st

from functions.publish_outcomes.app import Dependencies as PublishDependencies
from functions.publish_outcomes.app import publish_outcomes
from functions.receive_delivery_report.app import Dependencies as ReceiveDependencies
from functions.receive_delivery_report.app import receive_delivery_report
from functions.reconcile_messages.app import answer_of, decide
from functions.record_parked_reports.app import Dependencies as RecordDependencies
from functions.record_parked_reports.app import record_parked_reports
from infobip_omni.api.authorization import parse_credentials
from infobip_omni.api.errors import OutcomeUnknownError, error_for, error_of_send
from infobip_omni.api.json_text import decoded, read_json
from infobip_omni.api.reports import UnreadablePageError, is_empty_page, page_of, parse_page
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.events import create_scenario, find_messages, redrive_messages
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent
from infobip_omni.outcome_events import OutcomeEvents, Publication
from infobip_omni.parked_reports import unpacked
from infobip_omni.scenario_registry import RegisteredScenario
from infobip_omni.verdicts import read_answer
from infobip_omni.webhook import bulk_id_of, parse_keys, report_path

from . import sweeps
from .strategies import bodies, events, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infobip_omni.outcome_events import Change
    from tests.fakes import FakeLedger

DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=str)
KEY = b"a-key-of-the-webhook-for-the-fuzzer"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PHONE = "385991234567"


@dataclass(frozen=True)
class Target:
    """A parser, and what it is given."""

    cases: st.SearchStrategy[Any]
    run: Callable[[Any], object]


class NothingPublished(OutcomeEvents):
    """Reads changes, and publishes no event."""

    def __init__(self) -> None:
        pass

    def publish(self, changes: list[Change]) -> Publication:  # type: ignore[override]
        for change in changes:
            change.settles()
        return Publication()


# --- What Infobip sends ------------------------------------------------------------------------

REPORTS = {"results": [sweeps.report("m-0"), sweeps.undelivered("m-1"), sweeps.seen("m-2")]}
ROWS = {"results": [sweeps.report("m-0"), sweeps.undelivered("m-1")]}
ANSWER = {"bulkId": "b", "messages": [sweeps.result("m-0"), sweeps.result("m-1")]}
SCENARIOS = {"scenarios": [sweeps.scenario("otp"), sweeps.scenario("news")]}
ERRORS = (
    {"requestError": {"serviceException": {"messageId": "BAD_REQUEST", "text": "Bad Request"}}},
    {"errorCode": "E429", "description": "Too many", "action": "wait", "violations": []},
)


def record(body: bytes, bulk_id: str | None = None) -> None:
    """Record a page: every entry of it is counted and stored, and a repeat changes nothing."""
    ledger = _ledger()
    reports = DeliveryReports(ledger.table, ledger, ledger.clock)
    recorded = reports.record_body(body, bulk_id)
    try:
        entries = parse_page(body)
    except UnreadablePageError:
        entries = []
    # A body without a list of entries is one entry itself.
    expect(recorded.entries in (len(entries), 1), "an entry is lost")
    before = dict(ledger.table.items)
    reports.record_body(body, bulk_id)
    expect(ledger.table.items == before, "a repeat changes something")
    if entries:
        expect(parse_page(page_of(entries)) == entries, "a page cannot be written again")
    expect(not (is_empty_page(body) and entries), "a page with entries counts as empty")


def _ledger() -> FakeLedger:
    return sweeps.ledger_of_claims()


def search_logs(body: bytes) -> None:
    """Read a page of the logs, and decide by it."""
    try:
        page = sweeps.AnsweringClient(body).search_logs(message_ids=sweeps.IDS)
    except OutcomeUnknownError:
        return
    now = sweeps.MESSAGES[0].claimed_at + timedelta(hours=1)
    decisions = decide(sweeps.GROUP, page, answer_of(page), now, timedelta(minutes=10))
    absent = {each.id for each in (*decisions.given_up, *decisions.absent)}
    shown = page.unread_ids | {row.parsed.message_id for row in page.rows}
    expect(not absent & shown, "a message with a row counts as absent")


def send(body: bytes) -> None:
    """Read the answer to a send: each message gets a state."""
    try:
        response = sweeps.AnsweringClient(body).send_advanced(sweeps.SENT)
    except OutcomeUnknownError:
        return
    answers = read_answer(response, sweeps.IDS)
    expect(len(answers) == len(sweeps.IDS), "a message has no state")


def read_scenarios(body: bytes) -> None:
    """Read scenarios, as a list and as a single one."""
    client = sweeps.AnsweringClient(body)
    with suppress(OutcomeUnknownError):
        for scenario in client.list_scenarios():
            scenario.model_dump_json()
    with suppress(OutcomeUnknownError):
        client.get_scenario("K").model_dump_json()


def read_error(case: tuple[int, bytes, str]) -> None:
    """Return the error of an answer, whatever its body and its Retry-After."""
    status, body, retry_after = case
    try:
        content = read_json(decoded(body))
    except ValueError:
        content = None
    for read in (error_for, error_of_send):
        error = read(status, content, MappingProxyType({"Retry-After": retry_after}))
        (error.text or "").encode()


def _keys(*, refresh: bool = False) -> list[bytes]:
    """Return the keys; reading them again finds the same ones."""
    del refresh
    return [KEY]


def call_webhook(event: object) -> None:
    """Answer a call of the function's URL."""
    ledger = _ledger()
    reports = DeliveryReports(ledger.table, ledger, ledger.clock)
    reply = receive_delivery_report(event, ReceiveDependencies(_keys, reports))
    json.dumps(reply.answer())


def _calls() -> st.SearchStrategy[object]:
    """Calls of a signed URL, with hostile bodies, and hostile calls."""
    path = f"/{report_path('bulk-1', KEY)}"

    def call(body: bytes, *, is_base64: bool) -> dict[str, Any]:
        text = base64.b64encode(body).decode() if is_base64 else body.decode(errors="replace")
        return _call(path) | {"body": text, "isBase64Encoded": is_base64}

    return st.one_of(st.builds(call, bodies(REPORTS), is_base64=st.booleans()), events(_call(path)))


def _call(path: str) -> dict[str, Any]:
    http = {"method": "POST", "path": path}
    return {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": http},
        "body": json.dumps(REPORTS),
        "isBase64Encoded": False,
    }


def read_path(path: str) -> None:
    """Verify a path that has no valid token."""
    expect(bulk_id_of(path, [KEY]) is None, "an unsigned path is accepted")


# --- What operators and apps upstream write ----------------------------------------------------

SENDS: tuple[dict[str, Any], ...] = (
    {
        "scenario": "otp",
        "messageId": "m-1",
        "to": {"phoneNumber": PHONE, "pushRegistrationId": "a"},
        "push": {"text": "Hello", "customPayload": {"a": 1}, "validityPeriod": "5"},
        "sms": {"text": "Hello", "language": {"languageCode": "TR"}, "transliteration": "NONE"},
        "callbackData": "order 7",
        "onUnknown": "must-arrive",
        "sendAt": "2026-02-01T12:00:00.000+0000",
        "extra": {"campaign": 7},
    },
    {
        "scenarioKey": "K",
        "bulkId": "b",
        "destinations": [
            {"messageId": "m-1", "to": {"phoneNumber": "+385 99 123-4567"}},
            {"to": {"emailAddress": "ada@example.com"}},
        ],
        "viber": {"text": "Hello", "extra": {"new": True}},
        "whatsApp": {"templateName": "a", "templateData": ["1"], "language": "en"},
        "email": {"text": "Hello", "subject": "Hello"},
        "line": {"type": "TEXT", "text": "Hello"},
        "kakaoAlim": {"text": "Hello", "templateCode": "a"},
        "voice": {"text": "Hello", "language": "en"},
        "vKontakte": {"text": "Hello"},
        "notifyUrl": "https://a.example/",
        "notify": True,
    },
)
ENVELOPES = (
    {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:orders",
        "MessageId": "sns-1",
        "Message": json.dumps(SENDS[0]),
    },
    {"source": "app", "detail-type": "send", "id": "bridge-1", "detail": SENDS[1]},
)


def parse_send(body: str) -> None:
    """Parse the body of a queued event; what is sent of a valid one is JSON."""
    try:
        event = SendEvent.parse(body, "record-1", NOW)
    except InvalidEventError as error:
        str(error).encode()
        return
    json.loads(f"{{{event.content}}}")
    json.loads(f"{{{event.notify}}}")
    hash(event.content_key)
    event.validity()


def parse_event(parse: Callable[[object], object], event: object) -> None:
    """Parse the event of a function that is invoked directly."""
    try:
        parse(event)
    except InvalidEventError as error:
        str(error).encode()


def find(event: object) -> None:
    """Parse a query, and the token in it."""
    try:
        find_messages.read_token(find_messages.parse(event))
    except InvalidEventError as error:
        str(error).encode()


def read_parameter(text: str) -> None:
    """Parse a text as each kind of parameter; invisible characters around it change nothing."""
    for parse in (parse_credentials, parse_keys, RegisteredScenario.from_json):
        found = _value(parse, text)
        around = _value(parse, f"\ufeff {text}\r\n")
        if parse is parse_keys and isinstance(found, tuple) and isinstance(around, tuple):
            # Earlier versions took them for a part of a single key.
            found, around = found[0], around[0]
        expect(found == around, "invisible characters change a parameter")


def _value(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:
        str(error).encode()
        return None


def read_any(body: bytes) -> None:
    """Parse JSON: what Python's decoder takes is read as that reads it."""
    text = decoded(body)
    found = _value(read_json, text)
    with suppress(ValueError, ArithmeticError, RecursionError):
        expect(found == DECODER.decode(text), "valid JSON is read otherwise")


def record_parked(text: str) -> None:
    """Record the body of a record of the queue of parked reports."""
    unpacked(text)
    ledger = _ledger()
    reports = DeliveryReports(ledger.table, ledger, ledger.clock)
    event = SQSEvent({"Records": [{"messageId": "1", "body": text}]})
    recording = record_parked_reports(event.records, RecordDependencies(reports))
    expect(recording.answer() == {"batchItemFailures": []}, "a record is redelivered forever")


SCENARIO = {"name": "otp", "flow": [{"from": "Acme", "channel": "SMS"}], "default": True}
CHANGE = {
    "eventName": "MODIFY",
    "dynamodb": {
        "SequenceNumber": "1",
        "ApproximateCreationDateTime": 1769860800,
        "OldImage": {"messageId": {"S": "m-1"}, "state": {"S": "ACCEPTED"}},
        "NewImage": {
            "messageId": {"S": "m-1"},
            "state": {"S": "DELIVERED"},
            "price": {"M": {"pricePerMessage": {"N": "0.01"}}},
        },
    },
}


def publish(record: object) -> None:
    """Read a record of the table's stream."""
    if isinstance(record, dict):
        publish_outcomes([record], PublishDependencies(NothingPublished()))


def expect(holds: object, otherwise: str) -> None:
    """Raise AssertionError if something does not hold."""
    if not holds:
        raise AssertionError(otherwise)


TARGETS: Mapping[str, Target] = {
    "queue body": Target(texts(*SENDS, *ENVELOPES), parse_send),
    "report page": Target(bodies(REPORTS), record),
    "log page": Target(bodies(ROWS), search_logs),
    "answer to send": Target(bodies(ANSWER), send),
    "scenario answer": Target(bodies(SCENARIOS, sweeps.scenario("otp")), read_scenarios),
    "error answer": Target(
        st.tuples(
            st.sampled_from((302, 400, 401, 404, 408, 429, 500)),
            bodies(*ERRORS),
            st.sampled_from(("1", "-1", "9" * 400, "Wed, 21 Oct 2026 07:28:00 GMT")) | st.text(),
        ),
        read_error,
    ),
    "webhook call": Target(_calls(), call_webhook),
    "webhook path": Target(
        st.text(st.characters()) | st.text().map("/reports/{}".format), read_path
    ),
    "parked reports": Target(texts(REPORTS), record_parked),
    "parameters": Target(
        texts(
            {"apiKey": "0a1b"},
            {"username": "ada", "password": "pass word"},
            {"key": "K", "name": "otp", "flow": [{"channel": "SMS"}], "default": False},
        )
        | st.text(st.characters(), min_size=28, max_size=40),
        read_parameter,
    ),
    "create_scenario": Target(
        events(
            SCENARIO,
            {"scenarios": [SCENARIO, SCENARIO | {"name": "news", "default": False}]},
            {"action": "check", "scenarios": [SCENARIO]},
        ),
        functools.partial(parse_event, create_scenario.parse),
    ),
    "find_messages": Target(
        events(
            {"recipient": PHONE, "limit": 5, "showRecipients": True},
            {"messageId": "m-1", "nextToken": "eyJtZXNzYWdlSWQiOiB7fX0="},
            {"unsettled": True, "nextToken": "eyJ1bnNldHRsZWQiOiB7IjEiOiBbImEiLCAiYiJdfX0="},
        ),
        find,
    ),
    "redrive_messages": Target(
        events(
            {"action": "list", "reason": "OUTAGE", "limit": 5, "showContent": True},
            {"action": "redrive", "originalMessageId": "record-1", "dryRun": False},
            {"action": "release", "messageId": "m-1", "by": "ada", "why": "asked for"},
        ),
        functools.partial(parse_event, redrive_messages.parse),
    ),
    "publish_outcomes": Target(events(CHANGE), publish),
    "JSON": Target(bodies(REPORTS, ANSWER), read_any),
}
