"""Each operation sends the documented request once, and reads its answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from infobip_omni.api import client as client_module
from infobip_omni.api.authorization import ApiKeyCredentials, BasicCredentials, Credentials
from infobip_omni.api.client import LONGEST_LOG_QUERY, OmniClient, log_query_length
from infobip_omni.api.errors import (
    AuthenticationError,
    OmniError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.api.reports import Status
from infobip_omni.api.scenarios import ScenarioDefinition
from tests.fakes import advanced_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "https://xxxxx.api.infobip.com"
PHONE = "41793026731"
FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
DEFINITION = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW})
SEND = advanced_request(
    {
        "destinations": [{"messageId": "m1", "to": {"phoneNumber": PHONE}}],
        "scenarioKey": "K",
        "push": {"text": "Grüezi", "customPayload": {"a": None}},
    }
)
ROW = {"messageId": "m1", "status": {"groupId": 3, "id": 5}}

#: The method and the path of every operation, and a call of it without options.
OPERATIONS: dict[str, tuple[str, str, Callable[[OmniClient], object]]] = {
    "list_scenarios": ("GET", "/omni/1/scenarios", lambda omni: list(omni.list_scenarios())),
    "create_scenario": ("POST", "/omni/1/scenarios", lambda omni: omni.create_scenario(DEFINITION)),
    "get_scenario": ("GET", "/omni/1/scenarios/K", lambda omni: omni.get_scenario("K")),
    "update_scenario": (
        "PUT",
        "/omni/1/scenarios/K",
        lambda omni: omni.update_scenario("K", DEFINITION),
    ),
    "send_advanced": ("POST", "/omni/1/advanced", lambda omni: omni.send_advanced(SEND)),
    "take_reports": ("GET", "/omni/1/reports", lambda omni: omni.take_reports()),
    "search_logs": ("GET", "/omni/1/logs", lambda omni: omni.search_logs(message_ids=["m1"])),
}


class Keys:
    """A source of credentials that counts its refreshes."""

    def __init__(self) -> None:
        self.refreshed = 0

    def __call__(self, *, refresh: bool = False) -> Credentials:
        """Return another key after each refresh."""
        self.refreshed += refresh
        return ApiKeyCredentials(api_key=f"key-{self.refreshed}")


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def omni(keys: Keys) -> OmniClient:
    return OmniClient(f"{URL}/", keys)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """Answer requests in place of Infobip."""
    with responses.RequestsMock() as mock:
        yield mock


def sent(wire: responses.RequestsMock, index: int = 0) -> Any:  # noqa: ANN401 (any request)
    return wire.calls[index].request


def query(wire: responses.RequestsMock, index: int = 0) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(str(sent(wire, index).url)).query)


# --- All calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_call_has_credentials_and_content_types(
    omni: OmniClient, wire: responses.RequestsMock, operation: str
) -> None:
    method, path, call = OPERATIONS[operation]
    answer = {"scenarios": [], "results": [], "messages": [], "key": "K"}
    wire.add(method, URL + path, json=answer)

    call(omni)

    headers = sent(wire).headers
    assert headers["Authorization"] == "App key-0"
    assert headers["Accept"] == "application/json"
    assert headers.get("Content-Type") == (None if method == "GET" else "application/json")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_refused_credentials_are_refreshed_once(
    omni: OmniClient, wire: responses.RequestsMock, keys: Keys, operation: str
) -> None:
    """Infobip did not process the call, so even a send is repeated with fresh credentials."""
    method, path, call = OPERATIONS[operation]
    wire.add(method, URL + path, status=401)
    wire.add(method, URL + path, json={"scenarios": [], "results": [], "messages": []})

    call(omni)

    assert keys.refreshed == 1
    assert [call.request.headers["Authorization"] for call in wire.calls] == [
        "App key-0",
        "App key-1",
    ]
    assert sent(wire, 0).body == sent(wire, 1).body


@pytest.mark.parametrize("operation", OPERATIONS)
def test_credentials_refused_twice_raise_error(
    omni: OmniClient, wire: responses.RequestsMock, operation: str
) -> None:
    """There is no third attempt."""
    method, path, call = OPERATIONS[operation]
    wire.add(method, URL + path, status=401)

    with pytest.raises(AuthenticationError):
        call(omni)

    assert len(wire.calls) == 2


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, OutcomeUnknownError),
        (400, RequestRejectedError),
        (403, AuthenticationError),
        (409, RequestRejectedError),
        (429, RateLimitedError),
        (500, OutcomeUnknownError),
        (503, OutcomeUnknownError),
    ],
)
def test_other_errors_are_not_retried(
    omni: OmniClient,
    wire: responses.RequestsMock,
    operation: str,
    status: int,
    kind: type[OmniError],
) -> None:
    """One call is one request, and its status decides the error."""
    method, path, call = OPERATIONS[operation]
    details = {"messageId": "SOME_ID", "text": "words"}
    wire.add(
        method,
        URL + path,
        status=status,
        json={"requestError": {"serviceException": details}},
        headers={"Location": "http://[malformed", "Retry-After": "3"},
    )

    with pytest.raises(kind) as caught:
        call(omni)

    assert (caught.value.status, caught.value.error_id) == (status, "SOME_ID")
    assert getattr(caught.value, "retry_after_seconds", 3.0) == 3.0
    assert len(wire.calls) == 1


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - {"take_reports"}))
@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", "[" * 20_000], ids=range(5))
def test_unreadable_success_leaves_outcome_unknown(
    omni: OmniClient, wire: responses.RequestsMock, operation: str, body: str
) -> None:
    method, path, call = OPERATIONS[operation]
    wire.add(method, URL + path, body=body)

    with pytest.raises(OutcomeUnknownError):
        call(omni)


@pytest.mark.parametrize("operation", ["list_scenarios", "send_advanced", "search_logs"])
@pytest.mark.parametrize("value", [None, {}, "text"])
def test_success_without_its_list_leaves_outcome_unknown(
    omni: OmniClient, wire: responses.RequestsMock, operation: str, value: object
) -> None:
    method, path, call = OPERATIONS[operation]
    wire.add(method, URL + path, json=dict.fromkeys(("scenarios", "messages", "results"), value))

    with pytest.raises(OutcomeUnknownError):
        call(omni)


def test_answer_size_is_limited(
    omni: OmniClient, wire: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless body must not exhaust memory. The body of an error is not needed."""
    monkeypatch.setattr(client_module, "LARGEST_ANSWER_BYTES", 10)
    wire.get(f"{URL}/omni/1/reports", body=b"x" * 11)
    wire.get(f"{URL}/omni/1/reports", body=b"x" * 10)
    wire.get(f"{URL}/omni/1/reports", body=b"x" * 11, status=429)

    with pytest.raises(OutcomeUnknownError):
        omni.take_reports()
    assert omni.take_reports() == b"x" * 10
    with pytest.raises(RateLimitedError):
        omni.take_reports()


def test_name_and_password_are_sent_as_basic(wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/omni/1/reports", json={"results": []})

    def pair(*, refresh: bool = False) -> Credentials:
        del refresh
        return BasicCredentials(username="ada", password="pw")  # noqa: S106 (not one)

    OmniClient(URL, pair).take_reports()

    assert sent(wire).headers["Authorization"] == "Basic YWRhOnB3"


# --- Scenarios -----------------------------------------------------------------------------


def test_scenarios_are_listed_until_short_page(
    omni: OmniClient, wire: responses.RequestsMock
) -> None:
    """Pages start at zero and hold a hundred entries, unreadable ones included."""
    page = [{"key": str(number)} for number in range(99)]
    wire.get(f"{URL}/omni/1/scenarios", json={"scenarios": [*page, "unreadable"]})
    wire.get(f"{URL}/omni/1/scenarios", json={"scenarios": [{"key": "last"}]})

    keys = [scenario.key for scenario in omni.list_scenarios()]

    assert keys == [*map(str, range(99)), "last"]
    assert query(wire, 0) == [("limit", "100"), ("page", "0")]
    assert query(wire, 1) == [("limit", "100"), ("page", "1")]


@pytest.mark.parametrize(
    ("status", "body", "key"),
    [(200, {"key": "K"}, "K"), (201, {"key": 17}, "17"), (201, {"name": "otp"}, None)],
)
def test_created_scenario_may_lack_key(
    omni: OmniClient, wire: responses.RequestsMock, status: int, body: object, key: str | None
) -> None:
    """Every 2xx status is a success."""
    wire.post(f"{URL}/omni/1/scenarios", status=status, json=body)

    assert omni.create_scenario(DEFINITION).key == key
    assert json.loads(sent(wire).body) == {"name": "otp", "flow": FLOW}


def test_scenario_key_is_escaped(omni: OmniClient, wire: responses.RequestsMock) -> None:
    """A key cannot lead to another path."""
    wire.get(f"{URL}/omni/1/scenarios/a%2Fb%3Fc", json={"key": "a/b?c", "flow": FLOW})
    wire.put(f"{URL}/omni/1/scenarios/a%2Fb%3Fc", json={"key": "a/b?c", "flow": FLOW})

    assert omni.get_scenario("a/b?c").flow == DEFINITION.flow
    assert omni.update_scenario("a/b?c", DEFINITION).flow == DEFINITION.flow
    assert json.loads(sent(wire, 1).body) == {"name": "otp", "flow": FLOW}


# --- Sending, reports, logs ----------------------------------------------------------------


def test_send_has_documented_body(omni: OmniClient, wire: responses.RequestsMock) -> None:
    """It holds only the members that were given."""
    status = {"groupId": 1, "groupName": "PENDING", "id": 7}
    entry = {"messageId": "m1", "to": {"phoneNumber": PHONE}, "status": status}
    wire.post(f"{URL}/omni/1/advanced", json={"messages": [entry]})

    response = omni.send_advanced(SEND)

    assert [result.message_id for result in response.messages] == ["m1"]
    assert json.loads(sent(wire).body) == {
        "destinations": [{"messageId": "m1", "to": {"phoneNumber": PHONE}}],
        "scenarioKey": "K",
        "push": {"text": "Grüezi", "customPayload": {"a": None}},
    }


def test_reports_are_returned_unparsed(omni: OmniClient, wire: responses.RequestsMock) -> None:
    """The caller stores a page before it is parsed, even one that is not JSON."""
    wire.get(f"{URL}/omni/1/reports", body=b'{"results": [ \xff ')

    assert omni.take_reports(limit=7) == b'{"results": [ \xff '
    assert query(wire) == [("limit", "7")]


def test_newest_log_rows_may_end_at_a_time(omni: OmniClient, wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW]})
    omni.newest_logs(until=datetime(2026, 1, 31, 12, 0, 0, 5678, UTC))

    assert query(wire) == [("limit", "1000"), ("sentUntil", "2026-01-31T12:00:00.005+00:00")]


def test_log_query_holds_all_ids(omni: OmniClient, wire: responses.RequestsMock) -> None:
    """The parameter is repeated and escaped. An unreadable row proves nothing."""
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW, "x", {"messageId": "m2"}, ROW]})
    ids = ["m1", "a+b&c=d,e/f", "ü #%"]

    page = omni.search_logs(message_ids=ids, limit=50)

    assert [row.parsed.message_id for row in page.rows] == ["m1", "m1"]
    assert page.unread_ids == {"m2"}
    assert page.has_nameless_rows
    assert query(wire) == [("limit", "50"), *(("messageId", message_id) for message_id in ids)]
    assert "a%2Bb%26c%3Dd%2Ce%2Ff" in str(sent(wire).url)


@pytest.mark.parametrize(
    ("row", "is_whole"),
    [
        (ROW, True),
        ({"messageId": "m2"}, True),
        ({"messageId": ""}, False),
        ({"messageId": ["m2"]}, False),
        ({"messageId": {}}, False),
        ({}, False),
        (5, False),
    ],
)
def test_log_page_is_whole_if_every_row_names_its_message(
    omni: OmniClient, wire: responses.RequestsMock, row: object, *, is_whole: bool
) -> None:
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW, row]})

    assert omni.search_logs(message_ids=["m1"]).is_whole == is_whole


@pytest.mark.parametrize(
    ("new", "is_whole"), [("1" * 5000, True), ("[" * 5000 + "]" * 5000, True), ("tru", False)]
)
def test_log_row_with_unreadable_member_proves_presence(
    omni: OmniClient, wire: responses.RequestsMock, new: str, *, is_whole: bool
) -> None:
    """Text that is no JSON may end elsewhere, so its page proves the absence of no message."""
    row = json.dumps(ROW)
    wire.get(f"{URL}/omni/1/logs", body=f'{{"results": [{row}, {row[:-1]}, "new": {new}}}]}}')

    page = omni.search_logs(message_ids=["m1"])

    assert [row.parsed.message_id for row in page.rows] == ["m1", "m1"]
    assert page.is_whole == is_whole


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"messages": [{"messageId": "a", "status": {"groupId": 1}}]}\n',
        b'{"messages": [{"messageId": "a", "to": "\xff\x00\\ud83d", "status": {"groupId": 1}}]}',
        b'{"messages": [{"messageId": "a", "new": %s, "status": {"groupId": 1}}]}' % (b"1" * 5000),
        b'{"messages": [{"messageId": "a", "n": 1e%s, "status": {"groupId": 1}}]}' % (b"9" * 30),
        b'{"messages": [{"messageId": "a", "status": {"groupId": 1}}], "n": %s1%s}'
        % (b"[" * 5000, b"]" * 5000),
    ],
    ids=range(5),
)
def test_answer_to_send_is_read_whatever_its_other_members_hold(
    omni: OmniClient, wire: responses.RequestsMock, body: bytes
) -> None:
    wire.post(f"{URL}/omni/1/advanced", body=body)

    (result,) = omni.send_advanced(SEND).messages

    assert (result.message_id, result.status) == ("a", Status(group_id=1))


def test_newest_log_rows_are_those_without_a_message_id(
    omni: OmniClient, wire: responses.RequestsMock
) -> None:
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW]})

    assert [row.parsed.message_id for row in omni.newest_logs(limit=7).rows] == ["m1"]
    assert query(wire) == [("limit", "7")]


@pytest.mark.parametrize(("limit", "is_cut"), [(2, True), (3, False)])
def test_log_page_says_whether_it_may_be_cut(
    omni: OmniClient, wire: responses.RequestsMock, limit: int, *, is_cut: bool
) -> None:
    """An unreadable row counts as well, since it may have displaced another."""
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW, "x"]})

    assert omni.search_logs(message_ids=["m1"], limit=limit).is_cut == is_cut


def test_log_query_without_ids_makes_no_call(
    omni: OmniClient,
    wire: responses.RequestsMock,
) -> None:
    """Without ids Infobip would return the messages of the whole account."""
    assert omni.search_logs(message_ids=[]).rows == []
    assert len(wire.calls) == 0


def test_length_of_log_query_is_known_in_advance(
    omni: OmniClient, wire: responses.RequestsMock
) -> None:
    """It is no longer than callers compute, and servers accept the longest URL."""
    wire.get(f"{URL}/omni/1/logs", json={"results": [ROW]})
    ids = ["a+b&c=d,e/f", "ü #%~-._", "100", "ü" * 197]

    omni.search_logs(message_ids=ids, limit=1000)

    url = str(sent(wire).url)
    assert len(url.partition("?")[2]) <= sum(map(log_query_length, ids)) + len("limit=1000")
    assert len(url.partition("?")[0] + "?limit=1000") + LONGEST_LOG_QUERY < 8000
