"""The Infobip simulator behaves as Infobip documents, and fails only on request.

The expected bodies are written by hand from Infobip's OpenAPI document 3.210.0. The tests do not
use this project's client, so the two cannot share a mistake.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.local_world.infobip_simulator import __main__ as program
from tests.local_world.infobip_simulator import process, routes
from tests.local_world.infobip_simulator.errors import DEEPEST_BODY
from tests.local_world.infobip_simulator.process import COMMAND
from tests.local_world.infobip_simulator.routes import LONGEST_BODY, Credentials, Server, Simulator
from tests.local_world.infobip_simulator.state import Settings
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
CONTENT = {"push": {"text": "Your code is 1234"}, "sms": {"text": "Code: 1234"}}
#: Its last digits are not magic.
PHONE = "385915551234"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (refused)
STATUS_MEMBERS = {"groupId", "groupName", "id", "name", "description"}
#: Long enough for every step to reach its outcome.
A_WHILE = 10


class Infobip:
    """The running simulator as seen by a caller with the right API key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        self._session = requests.Session()

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401
        """Call an OMNI operation."""
        headers = {"Authorization": "App key-1"} | arguments.pop("headers", {})
        return self._session.request(
            method, f"{self.url}/omni/1/{path}", headers=headers, timeout=10, **arguments
        )

    def control(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call the control interface."""
        url = f"{self.url}/_control/{path}"
        response = self._session.request(method, url, json=body, timeout=10)
        response.raise_for_status()
        answer: Json = response.json()
        return answer

    def create_scenario(self, **members: object) -> str:
        """Create a scenario, by default PUSH before SMS, and return its key."""
        body = {"name": "otp", "flow": FLOW, "default": True} | members
        return str(self.call("POST", "scenarios", json=body).json()["key"])

    def send(self, message_id: str, phone: str = PHONE, **members: object) -> Json:
        """Send to one destination, and return its entry in the answer."""
        destination = {"messageId": message_id, "to": {"phoneNumber": phone}}
        body = {"destinations": [destination]} | CONTENT | members
        entry: Json = self.call("POST", "advanced", json=body).json()["messages"][0]
        return entry

    def reports(self, **query: object) -> list[Json]:
        results: list[Json] = self.call("GET", "reports", params=query).json()["results"]
        return results

    def logs(self, **query: object) -> list[Json]:
        results: list[Json] = self.call("GET", "logs", params=query).json()["results"]
        return results

    def pass_time(self, seconds: float = A_WHILE) -> None:
        self.control("POST", "clock", {"advanceSeconds": seconds})

    def change(self, **settings: object) -> None:
        self.control("PUT", "settings", settings)

    def fault(self, operation: str, kind: str, **members: object) -> None:
        self.control("POST", "faults", {"operation": operation, "kind": kind} | members)

    def truth(self, message_id: str) -> Json:
        """Return what the simulator itself knows about a message."""
        entry: Json = self.control("GET", f"messages?messageId={message_id}")["messages"][0]
        return entry

    def acceptances(self) -> int:
        return int(self.control("GET", "totals")["acceptances"])


class Listener:
    """The server behind a notifyUrl, which stores the calls and answers with the given statuses."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Json] = SimpleQueue()
        self.statuses: list[int] = []
        #: If set, calls are answered when this many of them are waiting.
        self.meeting: threading.Barrier | None = None

        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if here.meeting is not None:
                    here.meeting.wait(timeout=5)
                self.send_response(here.statuses.pop(0) if here.statuses else 200)
                self.end_headers()
                here.calls.put(
                    {
                        "path": self.path,
                        "host": self.headers["Host"],
                        "type": self.headers["Content-Type"],
                        "body": json.loads(body),
                    }
                )

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/reports/b?c=d"
        serve = partial(self.server.serve_forever, poll_interval=0.02)
        threading.Thread(target=serve, daemon=True).start()

    def next_call(self, within_seconds: float = 5) -> Json:
        return self.calls.get(timeout=within_seconds)

    def has_no_call(self) -> bool:
        """Whether no further call arrives within 0.1 seconds."""
        try:
            self.calls.get(timeout=0.1)
        except Empty:
            return True
        return False


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


@pytest.fixture(scope="module")
def process_url() -> Iterator[str]:
    with process.running("--api-key", "key-1") as url:
        assert url.startswith("http://127.0.0.1:")
        yield url


@pytest.fixture
def empty(process_url: str) -> Infobip:
    """Return an account without scenarios."""
    infobip = Infobip(process_url)
    infobip.control("POST", "reset")
    return infobip


@pytest.fixture
def infobip(empty: Infobip) -> Infobip:
    """Return an account whose default scenario is PUSH before SMS."""
    empty.create_scenario()
    return empty


def exchange(port: int, *requests_to_send: bytes, host: str = "127.0.0.1") -> list[bytes]:
    """Send requests over one connection, and return the start of each answer."""
    answers = []
    with socket.create_connection((host, port), timeout=10) as connection:
        for request in requests_to_send:
            connection.sendall(request)
            answers.append(connection.recv(65536))
    return answers


# --- Scenarios -----------------------------------------------------------------------------


def test_scenario_is_created_with_a_key(empty: Infobip) -> None:
    """Creating answers 201 with the body and a key (OpenAPI 3.210.0, POST /omni/1/scenarios)."""
    body = {"name": "My OMNI scenario", "flow": FLOW, "default": True}

    response = empty.call("POST", "scenarios", json=body)

    assert response.status_code == 201
    created = response.json()
    assert re.fullmatch("[0-9A-F]{32}", created.pop("key"))
    assert created == body


def test_scenario_is_read_and_replaced_by_its_key(infobip: Infobip) -> None:
    """PUT replaces the whole scenario, so it removes a name that is not sent."""
    key = infobip.create_scenario()

    replaced = infobip.call("PUT", f"scenarios/{key}", json={"flow": FLOW[1:]})

    assert replaced.status_code == 200
    expected = {"key": key, "flow": FLOW[1:], "default": False}
    assert replaced.json() == infobip.call("GET", f"scenarios/{key}").json() == expected


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_unknown_scenario_key_is_not_found(empty: Infobip, method: str) -> None:
    """The error is in the OMNI envelope."""
    response = empty.call(method, "scenarios/0F0F", json={"flow": FLOW})

    assert response.status_code == 404
    assert "serviceException" in response.json()["requestError"]


def test_scenarios_are_listed_in_pages_from_zero(empty: Infobip) -> None:
    """The first short page is the last; there is no total."""
    for number in range(5):
        empty.create_scenario(name=f"scenario {number}")

    pages = [
        empty.call("GET", "scenarios", params={"limit": 2, "page": page}).json()["scenarios"]
        for page in range(4)
    ]

    names = [[scenario["name"][-1] for scenario in page] for page in pages]
    assert names == [["0", "1"], ["2", "3"], ["4"], []]


def test_new_default_replaces_the_old_one(empty: Infobip) -> None:
    """At most one scenario is listed with isDefault."""
    first, second = empty.create_scenario(), empty.create_scenario()

    listed = {
        flag: empty.call("GET", "scenarios", params={"isDefault": flag}).json()["scenarios"]
        for flag in ("true", "false")
    }

    assert [scenario["key"] for scenario in listed["true"]] == [second]
    assert [scenario["key"] for scenario in listed["false"]] == [first]


def test_repeated_create_adds_a_second_scenario(empty: Infobip) -> None:
    """Creating is not idempotent: the same body gets another key."""
    assert empty.create_scenario() != empty.create_scenario()


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "flow"),
        ({"flow": []}, "flow"),
        ({"flow": [{"channel": "PIGEON"}]}, "flow[0].channel"),
        ({"flow": [{"channel": ["SMS"]}]}, "flow[0].channel"),
        ({"flow": [{"channel": "SMS", "from": 1}]}, "flow[0].from"),
        ({"flow": FLOW, "name": 1}, "name"),
        ({"flow": FLOW, "default": "yes"}, "default"),
        ([], "body"),
    ],
)
def test_invalid_scenario_is_refused(empty: Infobip, body: object, member: str) -> None:
    """The answer is 400 and names the invalid member."""
    response = empty.call("POST", "scenarios", json=body)

    assert response.status_code == 400
    exception = response.json()["requestError"]["serviceException"]
    assert exception["messageId"] == "BAD_REQUEST"
    assert list(exception["validationErrors"]) == [member]


# --- Credentials ---------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", ["", "App key-2", "Basic bm9ib2R5OnB3", "Bearer key-1"])
def test_unknown_caller_is_refused(infobip: Infobip, authorization: str) -> None:
    """Missing or wrong credentials get 401 in the OMNI envelope, whatever the body is."""
    response = infobip.call(
        "POST", "advanced", headers={"Authorization": authorization}, data="not JSON"
    )

    assert response.status_code == 401
    assert response.json() == {
        "requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Unauthorized"}}
    }


def test_basic_credentials_are_accepted(infobip: Infobip) -> None:
    """A user name and password work like a key, and credentials can change at run time."""
    infobip.control("PUT", "credentials", {"apiKey": "", "username": "ada", "password": "pw"})

    by_key = infobip.call("GET", "scenarios")
    by_name = requests.get(f"{infobip.url}/omni/1/scenarios", auth=("ada", "pw"), timeout=10)

    assert (by_key.status_code, by_name.status_code) == (401, 200)


def test_password_may_be_any_json_string(infobip: Infobip) -> None:
    """A password that no caller can send grants no access, and breaks nothing."""
    infobip.control("PUT", "credentials", {"username": "ada", "password": "\ud800"})

    assert infobip.call("GET", "scenarios").status_code == 200


def test_key_without_the_scope_is_forbidden(infobip: Infobip) -> None:
    """A key whose only scope is the logs gets 403 elsewhere."""
    infobip.control("PUT", "credentials", {"scopes": ["omni-failover:logs:read"]})

    assert infobip.call("GET", "logs").status_code == 200
    for method, path in (("GET", "scenarios"), ("POST", "advanced"), ("GET", "reports")):
        response = infobip.call(method, path)
        assert response.status_code == 403
        assert response.json()["requestError"]["serviceException"]["messageId"] == "FORBIDDEN"


# --- Sending -------------------------------------------------------------------------------


def test_send_answers_for_each_destination(infobip: Infobip) -> None:
    """Several destinations share a bulk id (OpenAPI 3.210.0, POST /omni/1/advanced)."""
    destinations = [
        {"messageId": "m-1", "to": {"phoneNumber": PHONE}},
        {"to": {"emailAddress": "ada@example.com"}},
    ]
    body = {"bulkId": "bulk-1", "destinations": destinations} | CONTENT

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == 200
    assert response.json()["bulkId"] == "bulk-1"
    named, unnamed = response.json()["messages"]
    assert named == {
        "to": {"phoneNumber": PHONE},
        "messageId": "m-1",
        "status": {
            "groupId": 1,
            "groupName": "PENDING",
            "id": 7,
            "name": "PENDING_ENROUTE",
            "description": "Message sent to next instance",
        },
    }
    assert unnamed["messageId"]


def test_bulk_id_is_returned_for_several_destinations_only(infobip: Infobip) -> None:
    """For one destination only the report has a bulk id."""
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT

    answer = infobip.call("POST", "advanced", json=body).json()
    infobip.pass_time()

    assert "bulkId" not in answer
    assert infobip.reports()[0]["bulkId"]


def test_accepted_status_can_be_the_older_one(infobip: Infobip) -> None:
    """Older documents show group 0 for an accepted message."""
    infobip.change(acceptedStatus="MESSAGE_ACCEPTED")

    status = infobip.send("m-1")["status"]

    assert (status["groupId"], status["id"], status["name"]) == (0, 0, "MESSAGE_ACCEPTED")


def test_unknown_and_null_members_are_ignored(infobip: Infobip) -> None:
    """The documents mention no error for unknown members."""
    assert infobip.send("m-1", surprise=1, whatsApp=None)["status"]["groupId"] == 1


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"destinations": None}, "destinations"),
        ({"destinations": []}, "destinations"),
        ({"destinations": ["385"]}, "destinations[0]"),
        ({"destinations": [{"messageId": "m-1"}]}, "destinations[0].to"),
        ({"destinations": [{"to": {"phoneNumber": ""}}]}, "destinations[0].to"),
        ({"destinations": [{"messageId": 1, "to": {"phoneNumber": PHONE}}]}, "messageId"),
        ({"sms": {"text": ""}}, "sms.text"),
        ({"sms": {}}, "sms.text"),
        ({"sms": "text"}, "sms"),
        ({"viber": {"text": 1}}, "viber.text"),
        ({"push": {"text": "x" * 2001}}, "push.text"),
        ({"push": {"text": "x", "validityPeriod": 30, "validityPeriodTimeUnit": "SECONDS"}}, ""),
        ({"push": {"text": "x", "validityPeriod": "soon"}}, "push.validityPeriod"),
        ({"push": {"text": "x", "validityPeriodTimeUnit": "WEEKS"}}, "push.validityPeriod"),
        (
            {"viber": {"text": "x", "validityPeriod": 15, "validityPeriodTimeUnit": "DAYS"}},
            "viber.validityPeriod",
        ),
        ({"viber": {"imageURL": "a", "fileUrl": "https://example.com/a"}}, "viber"),
        ({"line": {"type": "LINK"}}, "line.type"),
        ({"whatsApp": {"contacts": [{"name": {"formattedName": "A"}}]}}, "name.firstName"),
        ({"kakaoAlim": {"text": "x" * 1001}}, "kakaoAlim.text"),
        ({"notifyUrl": "ftp://example.com"}, "notifyUrl"),
        ({"notifyContentType": "text/plain"}, "notifyContentType"),
        ({"callbackData": "x" * 4001}, "callbackData"),
        ({"notify": "no"}, "notify"),
        ({"sendAt": "tomorrow"}, "sendAt"),
        ({"sendAt": "2030-01-01T00:00:00"}, "sendAt"),
        ({"sendAt": (datetime.now(UTC) + timedelta(days=181)).isoformat()}, "sendAt"),
        ({"scenarioKey": "0F0F"}, "scenarioKey"),
    ],
)
def test_invalid_send_is_refused(infobip: Infobip, change: Json, member: str) -> None:
    """The answer is 400 and names the invalid member, and nothing is sent."""
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT | change

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == 400
    exception = response.json()["requestError"]["serviceException"]
    assert exception["messageId"] == "BAD_REQUEST"
    [(named, texts)] = exception["validationErrors"].items()
    assert member in named
    assert texts
    assert infobip.acceptances() == 0


def test_send_that_is_not_json_is_refused(infobip: Infobip) -> None:
    assert infobip.call("POST", "advanced", data='{"destinations":').status_code == 400


def test_send_needs_a_scenario(empty: Infobip) -> None:
    """Without a key the default scenario is used; without a default the send is refused."""
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT
    key = empty.create_scenario(default=False)

    without_key = empty.call("POST", "advanced", json=body)
    with_key = empty.call("POST", "advanced", json=body | {"scenarioKey": key})

    assert (without_key.status_code, with_key.status_code) == (400, 200)


def test_refused_destination_leaves_no_trace(infobip: Infobip) -> None:
    """A destination can be refused immediately although the HTTP status is 200."""
    status = infobip.send("m-1", phone="385910000004")["status"]
    infobip.pass_time()

    assert (status["groupId"], status["name"]) == (5, "REJECTED_DESTINATION_BLOCKLISTED")
    assert infobip.acceptances() == 0
    assert infobip.reports() == infobip.logs() == []


def errors_of(response: requests.Response) -> Json:
    """Return the broken rules in an error, by member."""
    errors: Json = response.json()["requestError"]["serviceException"]["validationErrors"]
    return errors


def test_all_broken_rules_are_named(infobip: Infobip) -> None:
    """The path of a member has the position of its destination."""
    destinations = [{"to": {"phoneNumber": PHONE}}, {"to": {"emailAddress": "ada"}}]
    body = {"destinations": destinations, "push": {"text": ""}, "sms": {"text": "x"}}

    response = infobip.call("POST", "advanced", json=body)

    assert errors_of(response) == {
        "destinations[1].to.emailAddress": ["must be an e-mail address"],
        "push.text": ["must not be empty"],
    }


def test_error_can_have_violations(infobip: Infobip) -> None:
    """So the newer form of the platform names broken rules; control calls keep the older form."""
    infobip.change(errorEnvelope="newer")
    body = {"destinations": [{"to": {"emailAddress": "ada"}}]} | CONTENT

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == 400
    assert response.json() == {
        "errorCode": "E400",
        "description": "Bad Request",
        "action": "Check the request.",
        "violations": [
            {
                "property": "destinations[0].to.emailAddress",
                "violation": "must be an e-mail address",
            }
        ],
        "resources": [],
    }
    assert infobip.call("GET", "scenarios/0F").json()["errorCode"] == "E404"
    refused = requests.put(f"{infobip.url}/_control/settings", json={"speed": 1}, timeout=10)
    assert list(errors_of(refused)) == ["speed"]


def test_recipient_can_make_the_whole_request_invalid(infobip: Infobip) -> None:
    """The answer names the destination, and no other destination is accepted either."""
    control = SimulatorControl(infobip.url)
    control.rule_recipient("385915550042", {"refuse": "BAD_REQUEST"})
    destinations = [{"to": {"phoneNumber": number}} for number in (PHONE, "385915550042")]

    refused = infobip.call("POST", "advanced", json={"destinations": destinations} | CONTENT)
    divided = infobip.call("POST", "advanced", json={"destinations": destinations[:1]} | CONTENT)

    assert (refused.status_code, divided.status_code) == (400, 200)
    assert errors_of(refused) == {"destinations[1].to.phoneNumber": ["must be valid"]}
    assert infobip.acceptances() == 1


def test_missing_address_can_make_the_whole_request_invalid(infobip: Infobip) -> None:
    """Whether it does is undocumented: a setting decides. A push also finds phone numbers."""
    infobip.change(missingAddress="refuse-request")
    destinations = [
        {"to": {"phoneNumber": PHONE}},
        {"to": {"emailAddress": "ada@example.com"}},
        {"to": {"pushRegistrationId": "r-1"}},
    ]

    refused = infobip.call("POST", "advanced", json={"destinations": destinations} | CONTENT)

    assert refused.status_code == 400
    assert errors_of(refused) == {
        "destinations[1].to.pushRegistrationId": ["is required for PUSH"],
        "destinations[1].to.phoneNumber": ["is required for SMS"],
        "destinations[2].to.phoneNumber": ["is required for SMS"],
    }


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("group", {"groupId": 1, "groupName": "PENDING"}),
        ("group-id", {"groupId": 1}),
        ("name", {"name": "PENDING_ENROUTE"}),
    ],
)
def test_status_of_an_answer_can_lack_members(infobip: Infobip, form: str, status: Json) -> None:
    """No document says which members a status always has."""
    infobip.change(statusForm=form)

    assert infobip.send("m-1")["status"] == status


@pytest.mark.parametrize("place", ["everywhere", "answers", "reports", "logs"])
def test_statuses_lack_members_where_the_setting_says(
    infobip: Infobip, listener: Listener, place: str
) -> None:
    """Refusals are in answers, and pushed reports are reports; the simulator's list is complete."""
    infobip.change(statusForm="group-name", statusFormIn=place, pushedReports="both")
    answers = [infobip.send("m-1", notifyUrl=listener.url), infobip.send("m-2", "385910000004")]
    infobip.pass_time()
    pushed = listener.next_call()["body"]["results"]
    written = {"answers": answers, "reports": infobip.reports() + pushed, "logs": infobip.logs()}

    for name, rows in written.items():
        keys = {"groupName"} if place in ("everywhere", name) else STATUS_MEMBERS
        assert [row["status"].keys() for row in rows] == [keys] * len(rows)
    assert [len(rows) for rows in written.values()] == [2, 2, 1]
    assert infobip.truth("m-1")["finalStatus"]["name"] == "DELIVERED_TO_HANDSET"


def test_groups_can_have_another_spelling(infobip: Infobip) -> None:
    """Infobip's documents also write "Ok" and "Handset errors"."""
    infobip.change(statusForm="other-names", acceptedStatus="MESSAGE_ACCEPTED")
    answer = infobip.send("m-1", "385910000002")
    infobip.pass_time()
    failed, delivered = infobip.reports()

    assert answer["status"]["groupName"] == "Ok"
    assert failed["status"]["groupName"] == "Undeliverable"
    assert failed["error"]["groupName"] == "Handset errors"
    assert delivered["error"]["groupName"] == "Ok"


# --- Reports -------------------------------------------------------------------------------


def test_report_is_returned_once(infobip: Infobip) -> None:
    """This holds for GET /omni/1/reports."""
    infobip.send("m-1", bulkId="bulk-1", callbackData="order 7")
    infobip.pass_time()

    [report] = infobip.reports()

    assert TIMESTAMP.fullmatch(report.pop("sentAt"))
    assert TIMESTAMP.fullmatch(report.pop("doneAt"))
    assert report == {
        "bulkId": "bulk-1",
        "messageId": "m-1",
        "to": PHONE,
        "messageCount": 1,
        "mccMnc": "21901",
        "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        "status": {
            "groupId": 3,
            "groupName": "DELIVERED",
            "id": 5,
            "name": "DELIVERED_TO_HANDSET",
            "description": "Message delivered to handset",
        },
        "error": {
            "groupId": 0,
            "groupName": "OK",
            "id": 0,
            "name": "NO_ERROR",
            "description": "No error",
            "permanent": False,
        },
        "channel": "PUSH",
        "callbackData": "order 7",
    }
    assert infobip.reports() == []


def test_reports_come_in_pages(infobip: Infobip) -> None:
    """Without a limit a page has 50 reports, and the next calls return the rest."""
    for number in range(60):
        infobip.send(f"m-{number}")
    infobip.pass_time()

    pages = [infobip.reports(), infobip.reports(limit=7), infobip.reports(), infobip.reports()]

    assert [len(page) for page in pages] == [50, 7, 3, 0]
    assert len({report["messageId"] for page in pages for report in page}) == 60


@pytest.mark.parametrize("path", ["reports", "logs"])
@pytest.mark.parametrize("limit", ["0", "1001", "many"])
def test_limit_out_of_range_is_refused(infobip: Infobip, path: str, limit: str) -> None:
    """At most 1000 entries can be requested."""
    response = infobip.call("GET", path, params={"limit": limit})

    assert response.status_code == 400
    assert list(response.json()["requestError"]["serviceException"]["validationErrors"]) == [
        "limit"
    ]


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ({"messageId": "m-1"}, ["m-1 PUSH", "m-1 SMS"]),
        ({"bulkId": "b-2"}, ["m-2 PUSH", "m-2 SMS"]),
        ({"channel": "SMS"}, ["m-1 SMS", "m-2 SMS"]),
        ({"messageId": "m-1", "channel": "PUSH", "bulkId": "b-1"}, ["m-1 PUSH"]),
        ({"messageId": "m-1", "bulkId": "b-2"}, []),
    ],
)
def test_reports_are_taken_by_query(infobip: Infobip, query: Json, taken: list[str]) -> None:
    """A query takes only matching reports, and leaves the rest."""
    for number in ("1", "2"):
        infobip.send(f"m-{number}", phone="385910000002", bulkId=f"b-{number}")
    infobip.pass_time()

    found = infobip.reports(**query)

    assert sorted(f"{report['messageId']} {report['channel']}" for report in found) == taken
    assert len(infobip.reports()) == 4 - len(taken)


def test_message_without_notify_gets_no_report(infobip: Infobip) -> None:
    """With notify false, only the logs have the outcome."""
    infobip.send("m-1", notify=False)
    infobip.pass_time()

    assert infobip.reports() == []
    assert infobip.logs()[0]["status"]["groupName"] == "DELIVERED"


def test_report_comes_after_its_delay(infobip: Infobip) -> None:
    infobip.change(reportDelaySeconds=60)
    infobip.send("m-1")

    infobip.pass_time(30)
    early = infobip.reports()
    infobip.pass_time(31)

    assert early == []
    assert len(infobip.reports()) == 1


def test_failed_step_can_go_without_a_report(infobip: Infobip) -> None:
    """Whether Infobip reports failed steps before the last is undocumented: a setting decides."""
    infobip.change(intermediateStepReports=False)
    infobip.send("m-1", phone="385910000002")
    infobip.pass_time()

    assert [report["channel"] for report in infobip.reports()] == ["SMS"]


def test_long_sms_counts_its_parts(infobip: Infobip) -> None:
    """A text of 161 characters has two parts, and so has one of 71 outside the GSM alphabet."""
    key = infobip.create_scenario(flow=FLOW[1:])
    infobip.send("m-1", sms={"text": "ä" * 161}, scenarioKey=key)
    infobip.send("m-2", sms={"text": "ž" * 71}, scenarioKey=key)
    infobip.send("m-3", sms={"text": "ž" * 71, "transliteration": "ALL"}, scenarioKey=key)
    infobip.pass_time()

    assert [report["messageCount"] for report in infobip.reports()] == [2, 2, 1]
    assert [row["messageCount"] for row in infobip.logs()] == [1, 2, 2]


def test_each_channel_of_the_flow_is_reported_for_each_destination(infobip: Infobip) -> None:
    """Each report has the address, price and number of parts of its channel."""
    flow = [{"channel": channel} for channel in ("EMAIL", "WHATSAPP", "SMS")]
    infobip.create_scenario(flow=flow)
    control = SimulatorControl(infobip.url)
    control.rule_channel("EMAIL", "REJECTED_FREE_TRIAL_EXCEEDED")
    control.rule_recipient("385915551234", {"WHATSAPP": "UNDELIVERABLE_NOT_DELIVERED"})
    destinations = [
        {"messageId": "m-1", "to": {"emailAddress": "ada@example.com", "phoneNumber": PHONE}},
        {"messageId": "m-2", "to": {"emailAddress": "b@example.com", "phoneNumber": "385919"}},
    ]
    text = {"text": "x" * 200}
    body = {"destinations": destinations, "email": text, "whatsApp": text, "sms": text}
    infobip.call("POST", "advanced", json=body)
    infobip.pass_time()

    reported = [
        (report["messageId"], report["channel"], report["status"]["id"], report["to"])
        for report in infobip.reports(messageId="m-1") + infobip.reports(messageId="m-2")
    ]

    assert reported == [
        ("m-1", "EMAIL", 75, "ada@example.com"),
        ("m-1", "WHATSAPP", 9, PHONE),
        ("m-1", "SMS", 5, PHONE),
        ("m-2", "EMAIL", 75, "b@example.com"),
        ("m-2", "WHATSAPP", 5, "385919"),
    ]
    rows = {
        (row["channel"], row["messageCount"], row["price"]["pricePerMessage"])
        for row in infobip.logs()
    }
    assert rows == {("EMAIL", 1, 0.02), ("WHATSAPP", 1, 0.02), ("SMS", 2, 0.01)}


def test_report_for_whatsapp_has_the_contact(infobip: Infobip, listener: Listener) -> None:
    """Some of its members are null, as in the documented examples; log rows have none."""
    infobip.create_scenario(flow=[{"from": "1", "channel": "WHATSAPP"}])
    destination = {"messageId": "m-1", "to": {"whatsAppUserId": "HR.1234"}}
    body = {"destinations": [destination], "whatsApp": {"text": "x"}, "notifyUrl": listener.url}
    infobip.call("POST", "advanced", json=body)
    infobip.pass_time()
    [report] = listener.next_call()["body"]["results"]
    infobip.control("POST", "seen", {"messageId": "m-1"})
    [seen] = listener.next_call()["body"]["results"]

    assert report["to"] == "HR.1234"
    assert report["contact"] == seen["contact"]
    assert report["contact"] == {
        "name": "Ada",
        "phoneNumber": None,
        "userId": "HR.1234",
        "parentUserId": None,
        "username": None,
    }
    assert "contact" not in infobip.logs()[0]


def test_start_of_a_step_is_pushed_on_request(infobip: Infobip, listener: Listener) -> None:
    """With intermediateReport, reports that are not final are pushed as well, and never pulled."""
    infobip.send("m-1", notifyUrl=listener.url, intermediateReport=True, callbackData="a")
    [begun] = listener.next_call()["body"]["results"]
    infobip.pass_time()
    [final] = listener.next_call()["body"]["results"]

    assert (begun["messageId"], begun["status"]["name"]) == ("m-1", "PENDING_ENROUTE")
    assert begun["callbackData"] == "a"
    assert begun.keys().isdisjoint({"doneAt", "error"})
    assert final["status"]["name"] == "DELIVERED_TO_HANDSET"
    assert infobip.truth("m-1")["reportsHandedOut"] <= 1
    assert infobip.reports() == []


# --- Pushed reports ------------------------------------------------------------------------


def test_report_is_pushed_to_the_notify_url(infobip: Infobip, listener: Listener) -> None:
    """The body is that of a pulled report. A pushed report comes once, and cannot be pulled."""
    infobip.send("m-1", notifyUrl=listener.url, bulkId="bulk-1", callbackData="order 7")
    infobip.pass_time()

    call = listener.next_call()

    assert (call["path"], call["type"]) == ("/reports/b?c=d", "application/json")
    [report] = call["body"]["results"]
    assert (report["messageId"], report["bulkId"]) == ("m-1", "bulk-1")
    assert (report["channel"], report["callbackData"]) == ("PUSH", "order 7")
    assert report["status"]["name"] == "DELIVERED_TO_HANDSET"
    assert infobip.reports() == []
    infobip.pass_time(3600)
    assert listener.has_no_call()


def test_each_step_is_pushed(infobip: Infobip, listener: Listener) -> None:
    """A failed push and the SMS that follows are two reports."""
    infobip.send("m-1", phone="385910000002", notifyUrl=listener.url)
    infobip.pass_time()

    channels = {listener.next_call()["body"]["results"][0]["channel"] for _ in range(2)}

    assert channels == {"PUSH", "SMS"}  # in any order


def test_pushed_report_can_also_be_pulled(infobip: Infobip, listener: Listener) -> None:
    """Whether pushed reports can also be pulled is undocumented: a setting decides."""
    infobip.change(pushedReports="both")
    infobip.send("m-1", notifyUrl=listener.url)
    infobip.pass_time()

    assert listener.next_call()["body"]["results"] == infobip.reports()


def test_failed_push_is_retried_with_growing_backoff(infobip: Infobip, listener: Listener) -> None:
    """Retry n, counted from 0, waits 1 + n * n minutes of virtual time, as documented."""
    listener.statuses = [503, 500, 404]
    infobip.send("m-1", notifyUrl=listener.url)
    infobip.pass_time()
    first = listener.next_call()

    for minutes in (1, 2, 5):
        infobip.pass_time(minutes * 60 - 10)
        assert listener.has_no_call()
        infobip.pass_time(10)
        assert listener.next_call() == first

    infobip.pass_time(3600)
    assert listener.has_no_call()
    pushes = infobip.control("GET", "pushes")["pushes"]
    assert [push["status"] for push in pushes] == [503, 500, 404, 200]
    assert [push["attempt"] for push in pushes] == [1, 2, 3, 4]
    assert {push["url"] for push in pushes} == {listener.url}
    assert infobip.truth("m-1")["reportsHandedOut"] == 1


def test_failed_push_is_given_up_eventually(infobip: Infobip, listener: Listener) -> None:
    """The number of retries is undocumented. The report cannot be pulled afterwards either."""
    infobip.change(pushRetries=1)
    listener.statuses = [500, 500]
    infobip.send("m-1", notifyUrl=listener.url)
    infobip.pass_time()
    listener.next_call()
    infobip.pass_time(60)
    listener.next_call()

    infobip.pass_time(3600)

    assert listener.has_no_call()
    assert infobip.reports() == []
    assert infobip.truth("m-1")["reportsHandedOut"] == 0


@pytest.mark.parametrize(
    ("members", "reports"), [({"notify": False}, 0), ({"notifyContentType": "application/xml"}, 1)]
)
def test_nothing_is_pushed_without_notify_or_as_xml(
    infobip: Infobip, listener: Listener, members: Json, reports: int
) -> None:
    """Without notify there is no report. A report wanted as XML can only be pulled as JSON."""
    infobip.send("m-1", notifyUrl=listener.url, **members)
    infobip.pass_time()

    assert listener.has_no_call()
    assert len(infobip.reports()) == reports


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "http://192.0.2.1/", "https://a.example/"])
def test_no_other_machine_is_called(infobip: Infobip, url: str) -> None:
    """A push to another machine gets no answer, and so no status."""
    infobip.send("m-1", notifyUrl=url)
    infobip.pass_time()

    deadline = time.monotonic() + 5
    while not (pushes := infobip.control("GET", "pushes")["pushes"]):
        assert time.monotonic() < deadline
    assert pushes == [{"url": url, "messageIds": ["m-1"], "attempt": 1, "status": None}]


def test_push_can_hold_several_reports(infobip: Infobip, listener: Listener) -> None:
    """Reports that are due together for one URL share a call, up to a number and when retried."""
    infobip.change(pushBucketSize=3, stepSeconds=4)
    listener.statuses = [503] * 3
    destinations = [
        {"messageId": f"m-{number}", "to": {"phoneNumber": "385910000002"}} for number in range(2)
    ]
    body = {"destinations": destinations, "notifyUrl": listener.url} | CONTENT
    infobip.call("POST", "advanced", json=body)
    infobip.send("m-2", notifyUrl=f"{listener.url}&other")
    infobip.pass_time()
    calls = [listener.next_call() for _ in range(3)]
    assert infobip.control("GET", "totals")["reportsPending"] == 5

    infobip.pass_time(60)
    retried = [listener.next_call() for _ in range(3)]

    sizes = sorted((call["path"], len(call["body"]["results"])) for call in calls)
    assert sizes == [("/reports/b?c=d", 1), ("/reports/b?c=d", 3), ("/reports/b?c=d&other", 1)]
    assert all(call in calls for call in retried)
    wait_until(
        lambda: infobip.control("GET", "totals")["reportsPending"] == 0, 5, "all are delivered"
    )
    assert [infobip.truth(f"m-{number}")["reportsHandedOut"] for number in range(3)] == [2, 2, 1]


def test_simulator_does_not_call_itself(infobip: Infobip) -> None:
    """Otherwise a notifyUrl could reset it."""
    infobip.send("m-1", notifyUrl=f"{infobip.url}/_control/reset")
    infobip.pass_time()

    [push] = wait_until(lambda: infobip.control("GET", "pushes")["pushes"], 5, "the push is made")
    assert push["status"] is None
    assert infobip.acceptances() == 1


@pytest.mark.parametrize("rule", ["hook.example", ".example"])
def test_host_can_be_resolved_to_this_machine(listener: Listener, rule: str) -> None:
    """An option maps a host without an address or TLS here to a local port."""
    place = f"{rule}=127.0.0.1:{listener.port}"
    command = [*COMMAND, "--port", "0", "--api-key", "key-1", "--resolve", place]
    with subprocess.Popen(  # noqa: S603 (no untrusted input)
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        infobip = Infobip(process.stdout.readline().split()[-1])
        infobip.create_scenario()
        infobip.send("m-1", notifyUrl="https://hook.example/a")
        infobip.pass_time()
        call = listener.next_call()
        process.terminate()

    assert (call["host"], call["path"]) == ("hook.example", "/a")


def test_seen_report_has_no_status(infobip: Infobip, listener: Listener) -> None:
    """It has the time at which a message was seen, and its time of sending is named `sendAt`."""
    infobip.send("m-1", notifyUrl=listener.url)
    infobip.pass_time()
    listener.next_call()

    infobip.control("POST", "seen", {"messageId": "m-1"})

    [seen] = listener.next_call()["body"]["results"]
    assert (seen.pop("messageId"), seen.pop("from"), seen.pop("to")) == ("m-1", "app-code", PHONE)
    assert seen.keys() == {"sendAt", "seenAt"}
    assert all(TIMESTAMP.fullmatch(moment) for moment in seen.values())


def test_message_with_notify_url_can_be_reported_as_seen_before_it_is_delivered(
    infobip: Infobip, listener: Listener
) -> None:
    """The report is of the step that has begun, which does not count as opened."""
    infobip.change(stepSeconds=30)
    infobip.send("m-1", notifyUrl=listener.url)

    infobip.control("POST", "seen", {"messageId": "m-1"})

    assert listener.next_call()["body"]["results"][0]["seenAt"]
    assert [step["openedAt"] for step in infobip.truth("m-1")["steps"]] == [None]


# --- Failover ------------------------------------------------------------------------------

FAILED = "PUSH UNDELIVERABLE_NO_DESTINATION"
EXPIRED = "PUSH EXPIRED_EXPIRED"
DELIVERED_BY_SMS = "SMS DELIVERED_TO_HANDSET"


@pytest.mark.parametrize(
    ("digits", "steps"),
    [
        ("0001", ["PUSH DELIVERED_TO_HANDSET"]),
        ("0002", [FAILED, DELIVERED_BY_SMS]),
        ("0003", [FAILED, "SMS UNDELIVERABLE_NOT_DELIVERED"]),
        ("0005", [EXPIRED, DELIVERED_BY_SMS]),
        ("0006", ["PUSH DELIVERED_TO_OPERATOR"]),
        ("0007", [EXPIRED, "SMS EXPIRED_EXPIRED"]),
        ("0008", ["PUSH REJECTED_ROUTE_NOT_AVAILABLE", "SMS REJECTED_ROUTE_NOT_AVAILABLE"]),
        ("0009", ["PUSH UNDELIVERABLE_REJECTED_OPERATOR", "SMS UNDELIVERABLE_REJECTED_OPERATOR"]),
        ("1234", ["PUSH DELIVERED_TO_HANDSET"]),
    ],
)
def test_magic_recipient_decides_each_step(infobip: Infobip, digits: str, steps: list[str]) -> None:
    """The last digits of the number decide how each step ends; each tried step is reported."""
    infobip.send("m-1", phone=f"38591555{digits}")
    infobip.pass_time(3600)

    reported = [f"{entry['channel']} {entry['status']['name']}" for entry in infobip.reports()]

    assert reported == steps


def test_error_explains_a_failed_step(infobip: Infobip) -> None:
    """The report of a failed PUSH has the missing registration as a permanent error."""
    infobip.send("m-1", phone="385910000002")
    infobip.pass_time()

    error = infobip.reports()[0]["error"]

    assert (error["id"], error["name"], error["permanent"]) == (
        8004,
        "EC_NO_REGISTRATION_ID_FOUND",
        True,
    )


@pytest.mark.parametrize(
    ("channel", "status", "status_id"),
    [
        ("PUSH", "REJECTED_NO_APPLICATION", 65),
        ("PUSH", "REJECTED_INVALID_QUERY", 71),
        ("PUSH", "REJECTED_INVALID_PRIMARY_BUTTON_ACTION", 74),
        ("VOICE", "REJECTED_UNSUPPORTED_LANGUAGE", 54),
        ("VOICE", "REJECTED_INVALID_DELIVERY_TIME_WINDOW", 87),
        ("VOICE", "NO_ANSWER", 96),
        ("EMAIL", "REJECTED_VALIDATION_FAILED", 90),
        ("SMS", "REJECTED_SIGNALS_BLOCKED", 87),
        ("SMS", "REJECTED_INVALID_UDH", 24),
    ],
)
def test_channel_can_reject_by_a_status_of_its_own(
    infobip: Infobip, channel: str, status: str, status_id: int
) -> None:
    """The next step follows."""
    infobip.create_scenario(flow=[{"channel": channel}, {"channel": "VIBER"}])
    SimulatorControl(infobip.url).rule_channel(channel, status)
    text = {"text": "x"}
    to = {"phoneNumber": PHONE, "emailAddress": "ada@example.com"}
    contents = dict.fromkeys(("push", "voice", "email", "sms", "viber"), text)
    infobip.call("POST", "advanced", json={"destinations": [{"to": to}]} | contents)
    infobip.pass_time()

    reported = [(each["channel"], each["status"]["id"]) for each in infobip.reports()]

    assert reported == [(channel, status_id), ("VIBER", 5)]


@pytest.mark.parametrize(
    ("contents", "steps"),
    [
        ({"push": {"text": "x", "customPayload": {"a": "x" * 4000}}}, ["PUSH 68", "SMS 5"]),
        ({"sms": {"text": "x" * 3900}, "push": None}, ["PUSH 31", "SMS 25"]),
        (
            {"push": {"text": "x", "notificationOptions": {"inboxTopic": "olds"}}},
            ["PUSH 73", "SMS 5"],
        ),
        ({"push": {"text": "x", "notificationOptions": {"inboxTopic": "news"}}}, ["PUSH 5"]),
    ],
)
def test_channel_rejects_content_that_the_request_may_have(
    infobip: Infobip, contents: Json, steps: list[str]
) -> None:
    """The answer says nothing of it, and no rule for the recipient prevents it."""
    infobip.change(inboxTopics=["news"])
    assert infobip.send("m-1", "385910000001", **contents)["status"]["groupId"] == 1
    infobip.pass_time()

    reported = [f"{each['channel']} {each['status']['id']}" for each in infobip.reports()]

    assert reported == steps


def test_magic_digits_work_in_every_address(infobip: Infobip) -> None:
    """In an e-mail address, the digits before the @ are magic."""
    infobip.create_scenario(flow=[{"from": "a@example.com", "channel": "EMAIL"}])
    to = {"emailAddress": "ada0003@example.com"}
    body = {"destinations": [{"messageId": "m-1", "to": to}], "email": {"text": "x"}}
    infobip.call("POST", "advanced", json=body)
    infobip.pass_time()

    [report] = infobip.reports()

    assert report["to"] == "ada0003@example.com"
    assert report["status"]["name"] == "UNDELIVERABLE_NOT_DELIVERED"


def test_recipient_rule_overrides_channel_rule(infobip: Infobip) -> None:
    """A channel fails for all recipients without a rule of their own."""
    infobip.control("PUT", "channels/PUSH", {"outcome": "UNDELIVERABLE_NOT_DELIVERED"})
    infobip.control("PUT", "recipients/385915550042", {"PUSH": "DELIVERED_TO_OPERATOR"})
    infobip.control("PUT", "recipients/385915550043", {"refuse": "REJECTED_DND"})
    infobip.send("m-1")
    infobip.send("m-2", phone="385915550042")
    refused = infobip.send("m-3", phone="385915550043")
    infobip.control("DELETE", "channels/PUSH")
    infobip.send("m-4")
    infobip.pass_time()

    finals = [infobip.truth(f"m-{number}")["finalStatus"]["channel"] for number in (1, 2, 4)]

    assert finals == ["SMS", "PUSH", "PUSH"]
    assert refused["status"]["name"] == "REJECTED_DND"


def test_magic_recipients_can_be_disabled(infobip: Infobip) -> None:
    """Runs with random numbers must not hit magic ones."""
    infobip.change(magicRecipients=False)

    assert infobip.send("m-1", phone="385910000004")["status"]["groupId"] == 1


def test_recipient_rule_can_be_deleted(infobip: Infobip) -> None:
    """The address in the path may be encoded, and "*" means every channel."""
    infobip.control("PUT", "recipients/%2B385915551234", {"*": "silent"})
    infobip.control("DELETE", "recipients/%2B385915551234")
    infobip.send("m-1", phone="+385915551234")
    infobip.pass_time()

    assert infobip.truth("m-1")["finalStatus"]["name"] == "DELIVERED_TO_HANDSET"


def test_silent_step_expires_with_its_validity(infobip: Infobip) -> None:
    """The next step starts when the validity of the silent one has passed, and no earlier."""
    push = {"text": "x", "validityPeriod": 2, "validityPeriodTimeUnit": "HOURS"}
    infobip.send("m-1", phone="385910000005", push=push)

    infobip.pass_time(7100)
    before = infobip.truth("m-1")
    infobip.pass_time(101)

    assert [step["status"] for step in before["steps"]] == ["PENDING_ENROUTE"]
    assert before["finalStatus"] is None
    final = {"channel": "SMS", "groupName": "DELIVERED", "name": "DELIVERED_TO_HANDSET"}
    assert infobip.truth("m-1")["finalStatus"] == final


def test_validity_is_limited_to_two_days(infobip: Infobip) -> None:
    push = {"text": "x", "validityPeriod": 30, "validityPeriodTimeUnit": "DAYS"}
    infobip.send("m-1", phone="385910000005", push=push)

    infobip.pass_time(48 * 3600 + 1)

    assert [step["channel"] for step in infobip.truth("m-1")["steps"]] == ["PUSH", "SMS"]


def test_send_at_delays_the_first_step(infobip: Infobip) -> None:
    """Before `sendAt` nothing is tried, and no log row appears."""
    send_at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    infobip.send("m-1", sendAt=send_at)

    infobip.pass_time(3500)
    before = infobip.truth("m-1")["steps"], infobip.logs()
    infobip.pass_time(110)

    assert before == ([], [])
    assert infobip.reports()[0]["sentAt"] == send_at


def test_step_without_content_or_address_fails_immediately(infobip: Infobip) -> None:
    """The behaviour is undocumented; the simulator tries the next step."""
    infobip.send("m-1", push=None)
    to = {"emailAddress": "ada@example.com"}
    body = {"destinations": [{"messageId": "m-2", "to": to}]} | CONTENT
    infobip.call("POST", "advanced", json=body)
    infobip.pass_time()

    steps = {
        message_id: [step["status"] for step in infobip.truth(message_id)["steps"]]
        for message_id in ("m-1", "m-2")
    }

    assert steps == {
        "m-1": ["UNDELIVERABLE_NOT_SENT", "DELIVERED_TO_HANDSET"],
        "m-2": ["MISSING_TO", "MISSING_TO"],
    }


# --- Logs ----------------------------------------------------------------------------------


def test_log_row_shows_sender_and_text_repeatedly(infobip: Infobip) -> None:
    """A log row lacks error and callbackData, and can be read twice (GET /omni/1/logs)."""
    infobip.send("m-1", bulkId="bulk-1", callbackData="order 7")
    infobip.pass_time()

    [row] = infobip.logs()

    assert infobip.logs() == [row]
    assert TIMESTAMP.fullmatch(row.pop("sentAt"))
    assert TIMESTAMP.fullmatch(row.pop("doneAt"))
    assert row.pop("status")["name"] == "DELIVERED_TO_HANDSET"
    assert row == {
        "bulkId": "bulk-1",
        "messageId": "m-1",
        "to": PHONE,
        "from": "app-code",
        "text": "Your code is 1234",
        "messageCount": 1,
        "mccMnc": "21901",
        "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        "channel": "PUSH",
    }


def test_log_shows_finished_and_pending_steps(infobip: Infobip) -> None:
    """A step without an outcome has a pending row without doneAt."""
    infobip.control("PUT", f"recipients/{PHONE}", {"PUSH": "REJECTED_NETWORK", "SMS": "silent"})
    infobip.send("m-1")
    infobip.pass_time()

    rows = {row["channel"]: row for row in infobip.logs(messageId="m-1")}

    assert rows["PUSH"]["status"]["groupName"] == "REJECTED"
    assert rows["SMS"]["status"]["groupName"] == "PENDING"
    assert "doneAt" not in rows["SMS"]


def test_logs_expire_after_two_days(infobip: Infobip) -> None:
    """Logs reach back 48 hours; reports wait longer."""
    infobip.send("m-1")
    infobip.pass_time(48 * 3600 + 1)

    assert infobip.logs() == []
    assert len(infobip.reports()) == 1


def test_message_appears_in_the_logs_after_their_lag(infobip: Infobip) -> None:
    """An empty log does not prove that a message was not accepted."""
    infobip.change(logLagSeconds=120)
    infobip.send("m-1")

    infobip.pass_time(110)
    early = infobip.logs(messageId="m-1")
    infobip.pass_time(11)

    assert early == []
    assert len(infobip.logs(messageId="m-1")) == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["m-1", "m-2", "m-2", "m-3"]),
        ("limit=1", ["m-3"]),
        ("messageId=m-1&messageId=m-3", ["m-1", "m-3"]),
        ("messageId=m-1,m-3", ["m-1", "m-3"]),
        ("bulkId=b-1&bulkId=b-3", ["m-1", "m-3"]),
        ("bulkId=b-1&messageId=m-3", []),
        ("generalStatus=UNDELIVERABLE", ["m-2"]),
        ("channel=SMS", ["m-2"]),
        ("from=Acme", ["m-2"]),
        ("to=385915551234", ["m-1", "m-3"]),
        ("sentSince=2999-01-01T00:00:00.000%2B01:00&messageId=m-1", []),
        ("sentUntil=2020-01-01T00:00:00.000Z", []),
        ("mcc=219&mnc=01&messageId=m-1", ["m-1"]),
        ("mcc=220", []),
    ],
)
def test_logs_are_searched_by_query(infobip: Infobip, query: str, found: list[str]) -> None:
    """Conditions combine; ids may be repeated or separated by commas."""
    for number, phone in (("1", PHONE), ("2", "385910000002"), ("3", PHONE)):
        infobip.send(f"m-{number}", phone=phone, bulkId=f"b-{number}")
    infobip.pass_time()

    rows = infobip.call("GET", f"logs?{query}").json()["results"]

    assert sorted(row["messageId"] for row in rows) == found


@pytest.mark.parametrize("query", ["channel=PIGEON", "generalStatus=LOST", "sentSince=yesterday"])
def test_invalid_log_query_is_refused(infobip: Infobip, query: str) -> None:
    assert infobip.call("GET", f"logs?{query}").status_code == 400


# --- Repeated ids and throttles ------------------------------------------------------------


def test_repeated_message_id_is_sent_twice(infobip: Infobip) -> None:
    """Repeated ids are undocumented, so both messages are delivered by default."""
    infobip.send("m-1")
    infobip.send("m-1")
    infobip.pass_time()

    truth = infobip.truth("m-1")

    assert truth["acceptances"] == len(truth["acceptedAt"]) == 2
    assert [step["acceptance"] for step in truth["steps"]] == [1, 2]
    assert len(infobip.reports()) == 2


def test_repeated_message_id_can_be_refused(infobip: Infobip) -> None:
    """An account may refuse a repeat with status 23; the first message is unaffected."""
    infobip.change(duplicateIds="refuse")

    first, second = infobip.send("m-1"), infobip.send("m-1")

    assert first["status"]["groupId"] == 1
    assert (second["status"]["groupId"], second["status"]["id"]) == (5, 23)
    assert second["status"]["name"] == "REJECTED_DUPLICATE_MESSAGE_ID"
    assert infobip.acceptances() == 1


def test_account_can_refuse_everything_until_it_is_topped_up(infobip: Infobip) -> None:
    """A refused message was not accepted, and its id may be used again."""
    infobip.change(refuseAll="REJECTED_NOT_ENOUGH_CREDITS", duplicateIds="refuse")
    refused = infobip.send("m-1")
    infobip.change(refuseAll="")
    accepted = infobip.send("m-1")

    assert (refused["status"]["groupId"], refused["status"]["id"]) == (5, 12)
    assert accepted["status"]["groupId"] == 1
    assert infobip.acceptances() == 1
    assert infobip.truth("m-1")["acceptances"] == 1


@pytest.mark.parametrize("rows", ["none", "logs", "reports", "both"])
def test_refused_message_can_have_log_rows_and_reports(infobip: Infobip, rows: str) -> None:
    """No document says whether it has; each step of the flow has one here."""
    infobip.change(refuseAll="REJECTED_NOT_ENOUGH_CREDITS", refusedRows=rows)
    infobip.send("m-1", bulkId="refused")
    infobip.change(refuseAll="")
    infobip.send("m-1", bulkId="accepted")

    logs = infobip.logs(messageId="m-1")
    reports = infobip.reports()
    for found, names in ((logs, ("logs", "both")), (reports, ("reports", "both"))):
        refused = [row for row in found if row["bulkId"] == "refused"]
        assert len(refused) == (2 if rows in names else 0)
        assert {row["status"]["id"] for row in refused} <= {12}
        assert all("doneAt" in row for row in refused)
        assert [row["bulkId"] for row in found if row not in refused] <= ["accepted"] * 2
    assert infobip.acceptances() == 1


def test_id_of_a_refused_message_can_count_as_used(infobip: Infobip) -> None:
    infobip.change(refuseAll="REJECTED_SYSTEM_ERROR", duplicateIds="refuse", refusedIds="used")
    infobip.send("m-1")
    infobip.change(refuseAll="")

    assert infobip.send("m-1")["status"]["id"] == 23
    assert infobip.acceptances() == 0


@pytest.mark.parametrize(
    ("operation", "method", "limit", "window"),
    [
        ("create_scenario", "POST", 20, 600),
        ("update_scenario", "PUT", 40, 600),
        ("search_logs", "GET", 120, 60),
    ],
)
def test_too_many_calls_are_refused_for_a_while(
    empty: Infobip, operation: str, method: str, limit: int, window: int
) -> None:
    """Each documented throttle accepts its number of calls, then says when to retry."""
    key = "" if operation == "create_scenario" else empty.create_scenario()
    path = {"POST": "scenarios", "PUT": f"scenarios/{key}", "GET": "logs"}[method]

    statuses = [empty.call(method, path, json={"flow": FLOW}).status_code for _ in range(limit)]
    refused = empty.call(method, path, json={"flow": FLOW})
    empty.pass_time(int(refused.headers["Retry-After"]))
    later = empty.call(method, path, json={"flow": FLOW})

    assert set(statuses) <= {200, 201}
    assert refused.status_code == 429
    assert window - 10 <= int(refused.headers["Retry-After"]) <= window
    exception = refused.json()["requestError"]["serviceException"]
    assert exception == {"messageId": "TOO_MANY_REQUESTS", "text": "Too Many Requests"}
    assert later.ok


def test_throttle_can_be_changed_and_removed(infobip: Infobip) -> None:
    """Any operation can be throttled, and 0 removes the limit."""
    infobip.change(throttles={"send_advanced": 1, "create_scenario": 0})

    for _ in range(25):
        infobip.create_scenario()
    infobip.send("m-1")

    assert infobip.call("POST", "advanced", json={}).status_code == 429


def test_throttle_can_answer_in_the_newer_envelope(infobip: Infobip) -> None:
    """Newer errors of the platform have a code instead of an exception."""
    infobip.change(errorEnvelope="E429")
    infobip.fault("*", "rate_limit", retryAfter=7)

    response = infobip.call("GET", "logs")

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.json()["errorCode"] == "E429"
    assert set(response.json()) == {
        "errorCode",
        "description",
        "action",
        "violations",
        "resources",
    }


# --- Faults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "accepted"),
    [
        ("reset_before", 0),
        ("reset_after", 1),
        ("hang_before", 0),
        ("hang_after", 1),
        ("cut_answer", 1),
    ],
)
def test_connection_fault_leaves_the_caller_without_an_answer(
    infobip: Infobip, kind: str, accepted: int
) -> None:
    """The connection breaks; the kind of the fault decides whether the message was accepted."""
    infobip.fault("send_advanced", kind, seconds=0.1)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        infobip.send("m-1")

    assert infobip.acceptances() == accepted
    assert infobip.send("m-2")["status"]["groupId"] == 1


def test_reset_fault_resets_the_connection(infobip: Infobip) -> None:
    """The caller's operating system sees a reset, not an orderly close."""
    infobip.fault("list_scenarios", "reset_before")

    with pytest.raises(ConnectionResetError):
        exchange(infobip.port, b"GET /omni/1/scenarios HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize(
    ("kind", "members", "status", "accepted"),
    [
        ("error_before", {}, 500, 0),
        ("error_before", {"status": 409}, 409, 0),
        ("error_after", {"status": 503}, 503, 1),
        ("rate_limit", {}, 429, 0),
        ("unauthorized", {}, 401, 0),
        ("forbidden", {}, 403, 0),
    ],
)
def test_error_fault_answers_an_error(
    infobip: Infobip, kind: str, members: Json, status: int, accepted: int
) -> None:
    """An error before the call prevents its effect; one after it hides the effect."""
    infobip.fault("send_advanced", kind, **members)
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == status
    assert "serviceException" in response.json()["requestError"]
    assert infobip.acceptances() == accepted


def test_slow_answer_is_complete(infobip: Infobip) -> None:
    infobip.fault("list_scenarios", "slow", seconds=0.2)

    response = infobip.call("GET", "scenarios")

    assert response.elapsed.total_seconds() >= 0.2
    assert len(response.json()["scenarios"]) == 1


@pytest.mark.parametrize("status", [404, 400, 502])
def test_another_server_can_answer(infobip: Infobip, status: int) -> None:
    """As it does at a mistyped host: its page hides no acceptance."""
    infobip.fault("send_advanced", "page_before", status=status)
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "text/html"
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    assert infobip.acceptances() == 0


@pytest.mark.parametrize("kind", ["garbage_answer", "empty_answer"])
def test_answer_can_be_invalid_json(infobip: Infobip, kind: str) -> None:
    """A 200 with an unreadable body hides that the message was accepted."""
    infobip.fault("send_advanced", kind)
    body = {"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT

    response = infobip.call("POST", "advanced", json=body)

    assert response.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    assert infobip.acceptances() == 1


def test_answer_can_be_incomplete(infobip: Infobip) -> None:
    """The first message lacks its id and status, and the last is missing."""
    infobip.fault("send_advanced", "incomplete_answer")
    destinations = [{"messageId": f"m-{n}", "to": {"phoneNumber": PHONE}} for n in range(3)]

    body = {"destinations": destinations} | CONTENT
    first, second = infobip.call("POST", "advanced", json=body).json()["messages"]

    assert first == {"to": {"phoneNumber": PHONE}}
    assert second["messageId"] == "m-1"
    assert infobip.acceptances() == 3


def test_created_scenario_can_lack_its_key(empty: Infobip) -> None:
    """The document has examples of a created scenario without its key."""
    empty.fault("create_scenario", "incomplete_answer")

    answer = empty.call("POST", "scenarios", json={"name": "otp", "flow": FLOW})

    assert answer.json() == {"name": "otp", "flow": FLOW, "default": False}


def test_page_of_reports_can_be_lost(infobip: Infobip) -> None:
    """A page cut in transit counts as returned; an empty page does not use up the fault."""
    infobip.fault("take_reports", "cut_answer")
    assert infobip.reports() == []
    infobip.send("m-1")
    infobip.pass_time()

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        infobip.reports()

    assert infobip.reports() == []
    truth = infobip.truth("m-1")
    assert (truth["reportsHandedOut"], truth["reportsPending"]) == (1, 0)


def test_page_of_reports_can_come_twice(infobip: Infobip) -> None:
    """The next call returns the page again; later calls do not."""
    infobip.fault("take_reports", "duplicate_reports")
    for number in range(3):
        infobip.send(f"m-{number}")
    infobip.pass_time()

    first, second, third = infobip.reports(limit=2), infobip.reports(limit=2), infobip.reports()

    assert first == second
    assert [report["messageId"] for report in third] == ["m-2"]
    assert infobip.truth("m-0")["reportsHandedOut"] == 2


def test_page_of_reports_can_contain_a_malformed_entry(infobip: Infobip) -> None:
    """Only that report is unreadable."""
    infobip.fault("take_reports", "malformed_entry")
    infobip.send("m-1")
    infobip.send("m-2")
    infobip.pass_time()

    malformed, sound = infobip.reports()

    assert malformed["status"] == "malformed"
    assert sound["status"]["groupName"] == "DELIVERED"


def test_reports_can_come_in_any_order(infobip: Infobip) -> None:
    infobip.fault("take_reports", "shuffle_reports", seed=1)
    sent = [f"m-{number}" for number in range(20)]
    for message_id in sent:
        infobip.send(message_id)
    infobip.pass_time()

    taken = [report["messageId"] for report in infobip.reports()]

    assert taken != sent
    assert sorted(taken) == sorted(sent)


def test_fault_fires_as_often_and_as_late_as_requested(infobip: Infobip) -> None:
    """It skips the first calls, fires, is used up, and stays counted."""
    infobip.fault("list_scenarios", "error_before", times=2, afterCalls=1)

    statuses = [infobip.call("GET", "scenarios").status_code for _ in range(4)]

    assert statuses == [200, 500, 500, 200]
    assert infobip.control("GET", "faults") == {"faults": [], "fired": {"error_before": 2}}


def test_unlimited_fault_lasts_until_deleted(infobip: Infobip) -> None:
    """With times 0 a fault fires until it is deleted by its id."""
    fault = {"operation": "*", "kind": "error_before", "times": 0}
    fault_id = infobip.control("POST", "faults", fault)["id"]

    before = [infobip.call("GET", "scenarios").status_code for _ in range(3)]
    [listed] = infobip.control("GET", "faults")["faults"]
    infobip.control("DELETE", f"faults/{fault_id}")

    assert before == [500, 500, 500]
    assert (listed["id"], listed["fired"]) == (fault_id, 3)
    assert infobip.call("GET", "scenarios").status_code == 200


def test_fault_can_be_limited_to_messages(infobip: Infobip) -> None:
    """It fires only for calls that name one of the ids."""
    infobip.fault("send_advanced", "reset_after", messageIds=["m-2"])

    infobip.send("m-1")
    with pytest.raises(requests.ConnectionError):
        infobip.send("m-2")

    assert infobip.acceptances() == 2


def test_random_fault_is_reproducible_by_its_seed(infobip: Infobip) -> None:
    """The same seed affects the same calls."""
    runs = []
    for _ in range(2):
        infobip.fault("get_scenario", "error_before", times=0, probability=0.5, seed=7)
        runs.append([infobip.call("GET", "scenarios/0F").status_code for _ in range(20)])
        infobip.control("DELETE", "faults")

    assert runs[0] == runs[1]
    assert set(runs[0]) == {404, 500}


@pytest.mark.parametrize(
    ("fault", "member"),
    [
        ({"kind": "earthquake"}, "kind"),
        ({"operation": "*"}, "kind"),
        ({"kind": "slow", "operation": "fly"}, "operation"),
        ({"kind": "slow", "often": 1}, "often"),
        ({"kind": "slow", "times": -1}, "times"),
        ({"kind": "error_after", "status": 999}, "status"),
    ],
)
def test_invalid_fault_is_refused(infobip: Infobip, fault: Json, member: str) -> None:
    """A fault that could never fire as intended is an error."""
    response = requests.post(f"{infobip.url}/_control/faults", json=fault, timeout=10)

    assert response.status_code == 400
    assert member in response.json()["requestError"]["serviceException"]["validationErrors"]


# --- HTTP ----------------------------------------------------------------------------------


def test_connection_is_kept_and_absolute_urls_are_accepted(infobip: Infobip) -> None:
    """Two requests share a connection; the second has an absolute URL, as sent to a proxy."""
    head = b"Host: x\r\nAuthorization: App key-1\r\n\r\n"
    absolute = f"GET {infobip.url}/omni/1/reports?limit=1 HTTP/1.1\r\n".encode()

    answers = exchange(infobip.port, b"GET /omni/1/reports HTTP/1.1\r\n" + head, absolute + head)

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'{"results":[]}')


def test_send_of_an_old_client_is_understood(infobip: Infobip) -> None:
    """Absolute URI, no Accept header, a charset, a byte order mark, and a period as a string."""
    push = {"text": "ž", "validityPeriod": "5"}
    body = {"destinations": [{"messageId": "m-1", "to": {"phoneNumber": PHONE}}], "push": push}
    content = b"\xef\xbb\xbf" + json.dumps(body, ensure_ascii=False).encode()
    fields = (
        "Authorization: App key-1",
        'Content-Type: application/json; charset="UTF-8"',
        f"Content-Length: {len(content)}",
    )
    line = f"POST {infobip.url}/omni/1/advanced HTTP/1.1"

    [answer] = exchange(infobip.port, request(line, *fields, body=content))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/json" in answer
    assert b'"messageId":"m-1"' in answer
    [sent] = infobip.control("GET", "requests?operation=send_advanced")["requests"]
    assert sent["body"] == body


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "ISO-8859-1", ""])
def test_body_is_read_in_its_character_set(empty: Infobip, charset: str) -> None:
    """One that is not named is found, as JSON allows."""
    content = '{"name": "ä", "flow": [{"channel": "SMS"}]}'.encode(charset or "utf-16")
    content_type = f"application/json; charset={charset}" if charset else "application/json"

    response = empty.call("POST", "scenarios", data=content, headers={"Content-Type": content_type})

    assert response.json()["name"] == "ä"


def test_default_of_the_old_client_is_ignored(empty: Infobip) -> None:
    """It writes `defaultScenario` for `default`, so its scenario is not the default one."""
    body = {"name": "otp", "flow": FLOW, "defaultScenario": True}

    assert empty.call("POST", "scenarios", json=body).json()["default"] is False


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("Accept", "*/*", 200),
        ("Accept", "text/html, application/*;q=0.5", 200),
        ("Accept", "Application/JSON", 200),
        ("Accept", "", 200),
        ("Accept", "application/xml", 406),
        ("Content-Type", "application/json;charset=latin-9", 415),
        ("Content-Type", "application/xml", 415),
        ("Content-Type", "nonsense", 415),
    ],
)
def test_only_json_is_read_and_written(
    infobip: Infobip, field: str, value: str, status: int
) -> None:
    """Infobip also has XML, which this project never asks for."""
    body = json.dumps({"destinations": [{"to": {"phoneNumber": PHONE}}]} | CONTENT)
    headers = {"Content-Type": "application/json", field: value}

    response = infobip.call("POST", "advanced", data=body, headers=headers)

    assert response.status_code == status
    if status != 200:
        assert list(errors_of(response)) == [field]
    assert infobip.acceptances() == int(status == 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "scenarios", 405),
        ("POST", "scenarios/0F", 405),
        ("GET", "advanced", 405),
        ("HEAD", "reports", 405),
        ("PATCH", "logs", 405),
        ("GET", "text", 404),
        ("GET", "", 404),
    ],
)
def test_unknown_operation_is_refused(
    infobip: Infobip, method: str, path: str, status: int
) -> None:
    """An unknown path gets 404, an unknown method 405, and the connection stays usable."""
    assert infobip.call(method, path).status_code == status
    assert infobip.call("GET", "reports").status_code == 200


def test_head_is_answered_without_a_body(infobip: Infobip) -> None:
    """Otherwise the next answer on the connection would be misread."""
    request = b"HEAD /omni/1/reports HTTP/1.1\r\nHost: x\r\n\r\n"

    [answer] = exchange(infobip.port, request)

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: x", *fields, "", ""]).encode("latin-1") + body


SEND = "POST /omni/1/advanced HTTP/1.1"
CHANGE_SETTINGS = "PUT /_control/settings HTTP/1.1"


@pytest.mark.parametrize("line", [SEND, CHANGE_SETTINGS])
@pytest.mark.parametrize(
    ("fields", "status", "member"),
    [
        (("Content-Length: 99999999999999",), 413, "body"),
        ((f"Content-Length: {LONGEST_BODY + 1}",), 413, "body"),
        (("Content-Length: " + "9" * 5000,), 400, "Content-Length"),
        (("Content-Length: -1",), 400, "Content-Length"),
        (("Content-Length: many",), 400, "Content-Length"),
        (("Content-Length: 1.5",), 400, "Content-Length"),
        (("Content-Length:",), 400, "Content-Length"),
        (("Content-Length: 2", "Content-Length: 3"), 400, "Content-Length"),
        (("Transfer-Encoding: chunked",), 411, "Transfer-Encoding"),
        (("Transfer-Encoding: chunked", "Content-Length: 2"), 411, "Transfer-Encoding"),
    ],
)
def test_body_without_a_valid_length_is_refused(
    infobip: Infobip, line: str, fields: tuple[str, ...], status: int, member: str
) -> None:
    """The answer names the field, the connection is closed, and later calls work."""
    [answer] = exchange(infobip.port, request(line, *fields, body=b"{}"))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer
    exception = json.loads(answer.partition(b"\r\n\r\n")[2])["requestError"]["serviceException"]
    assert list(exception["validationErrors"]) == [member]
    assert infobip.reports() == []


def test_truncated_body_is_refused(infobip: Infobip) -> None:
    """An incomplete request has no effect."""
    body = b'{"stepSeconds":7}'
    with socket.create_connection(("127.0.0.1", infobip.port), timeout=10) as connection:
        connection.sendall(request(CHANGE_SETTINGS, f"Content-Length: {len(body) + 1}", body=body))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert infobip.control("GET", "settings")["stepSeconds"] == 0.2


@pytest.mark.parametrize(
    "started",
    [
        b"POST /omni/1/advanced HTTP/1.1\r\nHost: x\r\nX-Rest",
        b"POST /omni/1/advanced HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}",
    ],
    ids=["head", "body"],
)
def test_request_that_stops_in_the_middle_is_refused(
    monkeypatch: pytest.MonkeyPatch, started: bytes
) -> None:
    """An idle connection is kept meanwhile, and other calls are answered."""
    monkeypatch.setattr(routes, "_READ_SECONDS", 0.05)
    whole = request("GET /omni/1/reports HTTP/1.1")
    with Server(("127.0.0.1", 0), Simulator(Credentials(), Settings()), verbose=False) as server:
        threading.Thread(target=partial(server.serve_forever, 0.02), daemon=True).start()
        port: int = server.server_address[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as idle:
            idle.sendall(whole)
            assert idle.recv(65536).startswith(b"HTTP/1.1 401 ")
            [answer] = exchange(port, started)
            idle.sendall(whole)
            assert idle.recv(65536).startswith(b"HTTP/1.1 401 ")
        server.shutdown()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"REQUEST_TIMEOUT"' in answer


def test_body_that_is_too_long_is_answered(infobip: Infobip) -> None:
    """The refusal arrives while the caller is still sending. The longest allowed body is read."""
    too_long = b" " * (LONGEST_BODY + 1)

    [refused] = exchange(
        infobip.port, request(SEND, f"Content-Length: {len(too_long)}", body=too_long)
    )
    read = infobip.call("POST", "advanced", data=too_long[1:])

    assert refused.startswith(b"HTTP/1.1 413 ")
    assert read.status_code == 400


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/one\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 431),
        (b"FLY /omni/1/reports HTTP/1.1\r\n\r\n", 405),
        (b"GET http://[/omni/1/reports HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_malformed_request_is_refused_in_the_same_envelope(
    infobip: Infobip, sent: bytes, status: int
) -> None:
    [answer] = exchange(infobip.port, sent)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert "serviceException" in json.loads(answer.partition(b"\r\n\r\n")[2])["requestError"]
    assert infobip.reports() == []


# --- Control -------------------------------------------------------------------------------


def test_settings_are_changed_one_by_one(infobip: Infobip) -> None:
    """Settings that are not named stay as they are."""
    before = infobip.control("GET", "settings")

    infobip.change(stepSeconds=1, throttles={"search_logs": 7})

    expected = before | {"stepSeconds": 1.0}
    expected["throttles"] = before["throttles"] | {"search_logs": 7}
    assert infobip.control("GET", "settings") == expected


def test_help_lists_each_setting_with_its_value(infobip: Infobip) -> None:
    """A setting that the help lacks could not be found."""
    documented = re.findall(r"^  (\w+) = (\S+)", str(program.__doc__), re.MULTILINE)

    settings = infobip.control("GET", "settings") | {"throttles": "{...}"}
    assert dict(documented) == {
        name: value if name == "throttles" else json.dumps(value)
        for name, value in settings.items()
    }


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"speed": 1}, "speed"),
        ({"stepSeconds": "1"}, "stepSeconds"),
        ({"stepSeconds": -1}, "stepSeconds"),
        ({"duplicateIds": "maybe"}, "duplicateIds"),
        ({"refuseAll": "DELIVERED_TO_HANDSET"}, "refuseAll"),
        ({"refusedRows": "some"}, "refusedRows"),
        ({"refusedIds": ""}, "refusedIds"),
        ({"throttles": {"fly": 1}}, "throttles.fly"),
        ({"statusForm": "ids"}, "statusForm"),
        ({"statusFormIn": "answer"}, "statusFormIn"),
        ({"missingAddress": ""}, "missingAddress"),
        ({"inboxTopics": "news"}, "inboxTopics"),
        ({"errorEnvelope": "violations"}, "errorEnvelope"),
        ([], "body"),
    ],
)
def test_invalid_setting_is_refused_by_name(infobip: Infobip, changes: Json, member: str) -> None:
    response = requests.put(f"{infobip.url}/_control/settings", json=changes, timeout=10)

    assert response.status_code == 400
    exception = response.json()["requestError"]["serviceException"]
    assert list(exception["validationErrors"]) == [member]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "channels/PIGEON", {"outcome": "silent"}, 400),
        ("PUT", "channels/SMS", {"outcome": "PENDING_ENROUTE"}, 400),
        ("PUT", "recipients/385", {"PIGEON": "silent"}, 400),
        ("PUT", "recipients/385", {"refuse": "DELIVERED_TO_HANDSET"}, 400),
        ("PUT", "recipients", {"*": "silent"}, 404),
        ("POST", "clock", {"advanceSeconds": -1}, 400),
        ("DELETE", "faults/99", None, 404),
        ("POST", "health", None, 405),
        ("GET", "weather", None, 404),
    ],
)
def test_invalid_control_call_is_refused(
    infobip: Infobip, method: str, path: str, body: Json | None, status: int
) -> None:
    url = f"{infobip.url}/_control/{path}"

    assert requests.request(method, url, json=body, timeout=10).status_code == status


def test_reset_restores_the_initial_state(infobip: Infobip) -> None:
    """The clock is reset as well."""
    infobip.change(stepSeconds=5)
    infobip.fault("*", "error_before", times=0)
    infobip.control("PUT", "credentials", {"apiKey": "other"})
    infobip.pass_time(86400)

    infobip.control("POST", "reset")

    assert infobip.control("GET", "health") == {"status": "ok"}
    assert infobip.control("GET", "settings")["stepSeconds"] == 0.2
    assert infobip.call("GET", "scenarios").json() == {"scenarios": []}
    now = infobip.control("POST", "clock", {"advanceSeconds": 0})["now"]
    assert abs(datetime.fromisoformat(now) - datetime.now(UTC)) < timedelta(minutes=1)


def test_requests_show_exactly_what_was_sent(infobip: Infobip) -> None:
    """The last requests are stored, each with the body of a send and the fault that fired."""
    infobip.send("m-1", callbackData="order 7")
    infobip.fault("send_advanced", "reset_before")
    with pytest.raises(requests.ConnectionError):
        infobip.send("m-2")

    answered, reset = infobip.control("GET", "requests?operation=send_advanced")["requests"]

    assert answered["body"]["callbackData"] == "order 7"
    assert (answered["messageIds"], answered["status"], answered["fault"]) == (["m-1"], 200, None)
    assert (reset["messageIds"], reset["status"]) == (["m-2"], None)
    assert reset["fault"] == "reset_before"


def test_totals_balance(infobip: Infobip) -> None:
    """Totals count acceptances, refusals, outcomes, requests and pending reports."""
    for number in range(1, 6):
        infobip.send(f"m-{number}", phone=f"38591000000{number}")
    infobip.send("m-1", phone="385910000001")
    infobip.pass_time()
    infobip.reports(messageId="m-1")

    assert infobip.control("GET", "totals") == {
        "acceptances": 5,
        "refusals": 1,
        "messages": 4,
        "byFinal": {"DELIVERED": 2, "UNDELIVERABLE": 1, "PENDING": 1},
        "reportsPending": 6,
        "requests": {
            "create_scenario": {"201": 1},
            "send_advanced": {"200": 6},
            "take_reports": {"200": 1},
        },
    }


def test_messages_are_listed_page_by_page(infobip: Infobip) -> None:
    """Each entry has the scenario, the recipient, the steps and the reports."""
    for number in range(3):
        infobip.send(f"m-{number}", bulkId="bulk-1")
    infobip.pass_time()

    [entry] = infobip.control("GET", "messages?offset=1&limit=1")["messages"]

    assert entry.pop("scenarioKey")
    assert [TIMESTAMP.fullmatch(moment) for moment in entry.pop("acceptedAt")] != [None]
    [step] = entry.pop("steps")
    assert (step["channel"], step["status"]) == ("PUSH", "DELIVERED_TO_HANDSET")
    assert entry == {
        "messageId": "m-1",
        "bulkId": "bulk-1",
        "flow": ["PUSH", "SMS"],
        "to": {"phoneNumber": PHONE},
        "callbackData": None,
        "acceptances": 1,
        "finalStatus": {
            "channel": "PUSH",
            "groupName": "DELIVERED",
            "name": "DELIVERED_TO_HANDSET",
        },
        "reports": [
            {
                "channel": "PUSH",
                "status": "DELIVERED_TO_HANDSET",
                "doneAt": step["endedAt"],
                "pages": [],
                "pushes": 0,
            }
        ],
        "reportsHandedOut": 0,
        "reportsPending": 1,
    }


@pytest.mark.parametrize(
    ("fault", "affected"),
    [
        ("cut_answer", {0, 1, 2}),
        ("garbage_answer", {0, 1, 2}),
        ("incomplete_answer", {0, 2}),
        ("malformed_entry", {0}),
        ("shuffle_reports", set()),
    ],
)
def test_report_has_its_page_and_the_fault_that_affected_it(
    infobip: Infobip, fault: str, affected: set[int]
) -> None:
    """This distinguishes reports that were never returned from reports that the caller lost."""
    infobip.fault("take_reports", fault)
    for number in range(4):
        infobip.send(f"m-{number}")
    infobip.pass_time()

    infobip.call("GET", "reports?limit=3", stream=True).close()
    infobip.reports()

    for number in range(4):
        [report] = infobip.truth(f"m-{number}")["reports"]
        [page] = report["pages"]
        assert page == {
            "page": int(number == 3),
            "fault": fault if number in affected else None,
        }


def test_report_counts_its_accepted_pushes(infobip: Infobip, listener: Listener) -> None:
    """A refused push does not count."""
    listener.statuses = [503]
    infobip.change(pushMinuteSeconds=30)
    infobip.send("m-1", notifyUrl=listener.url)
    infobip.pass_time()
    listener.next_call()
    assert infobip.truth("m-1")["reports"][0]["pushes"] == 0

    infobip.pass_time(30)
    listener.next_call()

    wait_until(lambda: infobip.truth("m-1")["reports"][0]["pushes"] == 1, 5, "the push counts")
    assert infobip.truth("m-1")["reportsPending"] == 0


def test_unanswered_push_does_not_delay_others(infobip: Infobip, listener: Listener) -> None:
    """Infobip makes calls concurrently."""
    listener.meeting = threading.Barrier(2)
    for number in range(2):
        infobip.send(f"m-{number}", notifyUrl=listener.url)
    infobip.pass_time()

    assert {listener.next_call()["body"]["results"][0]["messageId"] for _ in range(2)} == {
        "m-0",
        "m-1",
    }


@pytest.mark.parametrize(
    ("path", "body", "member", "rule"),
    [
        ("clock", {"advanceSeconds": 1e12}, "advanceSeconds", "from 0 to 3162240000"),
        ("clock", {"advanceSeconds": 10**400}, "advanceSeconds", "from 0 to 3162240000"),
        ("clock", {"advanceSeconds": -1}, "advanceSeconds", "from 0 to 3162240000"),
        ("clock", {"advanceSeconds": True}, "advanceSeconds", "must be a number"),
        ("clock", {"advanceSeconds": "1"}, "advanceSeconds", "must be a number"),
        ("clock", {}, "advanceSeconds", "must be a number"),
        ("settings", {"stepSeconds": 1e300}, "stepSeconds", "from 0 to 31622400"),
        ("settings", {"stepSeconds": True}, "stepSeconds", "must be a number"),
        ("settings", {"pushMinuteSeconds": 10**400}, "pushMinuteSeconds", "from 0 to 31622400"),
        ("settings", {"pushRetries": 1001}, "pushRetries", "a whole number from 0 to 1000"),
        ("settings", {"pushRetries": 1.5}, "pushRetries", "a whole number from 0 to 1000"),
        ("settings", {"magicRecipients": 1}, "magicRecipients", "must be true or false"),
        ("settings", {"pushedReports": []}, "pushedReports", "must be one of push-only, both"),
        ("settings", {"throttles": []}, "throttles", "must be an object"),
        ("settings", {"throttles": {"search_logs": -1}}, "throttles.search_logs", "from 0 to"),
        ("settings", {"throttles": {"search_logs": 2**31}}, "throttles.search_logs", "from 0 to"),
        ("credentials", {"apiKey": None}, "apiKey", "must be a string"),
        ("credentials", {"scopes": ["a", 1]}, "scopes", "must be a list of strings"),
        ("faults", {"kind": "slow", "seconds": 1e300}, "seconds", "from 0 to 31622400"),
        ("faults", {"kind": "slow", "probability": 2}, "probability", "from 0 to 1"),
        ("faults", {"kind": "slow", "times": 10**400}, "times", "from 0 to 2147483647"),
        ("faults", {"kind": "error_after", "status": 100}, "status", "must be one of 200"),
        ("faults", {"kind": "error_after", "status": 204}, "status", "must be one of 200"),
        ("faults", {"kind": "slow", "messageIds": "m-1"}, "messageIds", "a list of strings"),
        ("seen", {"messageId": [[]]}, "messageId", "names no message"),
        ("channels/SMS", {"outcome": {}}, "outcome", "must be one of silent"),
        ("recipients/385", {"*": []}, "*", "must be one of silent"),
    ],
)
def test_invalid_control_value_is_refused_with_its_rule(
    infobip: Infobip, path: str, body: Json, member: str, rule: str
) -> None:
    """The answer names the member and its rule, and nothing changes."""
    method = "POST" if path in {"clock", "faults", "seen"} else "PUT"
    before = infobip.control("GET", "settings")

    response = requests.request(method, f"{infobip.url}/_control/{path}", json=body, timeout=10)

    assert response.status_code == 400
    [(named, [text])] = response.json()["requestError"]["serviceException"][
        "validationErrors"
    ].items()
    assert named == member
    assert rule in text
    assert infobip.control("GET", "settings") == before
    assert infobip.send("m-1")["status"]["groupName"] == "PENDING"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"stepSeconds":' * 200_000,
        b'{"flow":' + b"[" * DEEPEST_BODY + b"]" * DEEPEST_BODY + b"}",
        b'{"stepSeconds":NaN}',
        b'{"stepSeconds":-Infinity}',
        b'{"stepSeconds":1e999}',
        b'{"stepSeconds":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"",
        b"null",
    ],
    ids=range(10),
)
@pytest.mark.parametrize("path", ["_control/settings", "omni/1/scenarios/0F"])
def test_invalid_json_is_refused(infobip: Infobip, path: str, content: bytes) -> None:
    """So are bodies nested too deeply, and numbers that only Python accepts."""
    key = infobip.create_scenario()
    url = f"{infobip.url}/{path.replace('0F', key)}"
    headers = {"Authorization": "App key-1"}

    response = requests.put(url, data=content, headers=headers, timeout=10)

    assert response.status_code == 400
    assert response.json()["requestError"]["serviceException"]["validationErrors"] == {
        "body": ["must be a JSON object, nested at most 100 deep"]
    }
    assert infobip.send("m-1")["status"]["groupName"] == "PENDING"


def test_deepest_allowed_body_is_accepted(infobip: Infobip) -> None:
    """A custom payload may be nested, and is stored as it was sent."""
    deep: Any = "end"
    for _ in range(DEEPEST_BODY - 3):
        deep = [deep]
    deep = {"a": deep}

    infobip.send("m-1", push={"text": "x", "customPayload": deep})

    sent = infobip.control("GET", "requests?operation=send_advanced")["requests"][-1]["body"]
    assert sent["push"]["customPayload"] == deep


def test_clock_stops_at_its_limit(infobip: Infobip) -> None:
    """All calls together can advance it by at most 100 years."""
    infobip.pass_time(3_162_240_000 - 10)

    with pytest.raises(requests.HTTPError, match="400"):
        infobip.pass_time(11)

    infobip.change(stepSeconds=31_622_400, defaultValiditySeconds=31_622_400)
    key = infobip.create_scenario(flow=FLOW[:1] * 8000)
    infobip.send("m-1", scenarioKey=key, phone="385910000003", notifyUrl="http://127.0.0.1:1/")
    assert infobip.truth("m-1")["steps"][0]["status"] == "PENDING_ENROUTE"
    assert infobip.logs()[0]["status"]["name"] == "PENDING_ENROUTE"


def test_unusable_notify_url_does_not_delay_other_pushes(
    infobip: Infobip, listener: Listener
) -> None:
    """An invalid port is refused, an odd path gets no answer, and a late report waits."""
    with pytest.raises(KeyError):
        infobip.send("m-0", notifyUrl="http://127.0.0.1:99999/")
    infobip.send("m-1", notifyUrl="http://127.0.0.1:1/ł")
    infobip.pass_time()
    wait_until(lambda: infobip.control("GET", "pushes")["pushes"], 5, "the odd path is tried")
    infobip.control("POST", "reset")
    infobip.change(
        stepSeconds=31_622_400, defaultValiditySeconds=31_622_400, intermediateStepReports=False
    )
    infobip.create_scenario(flow=FLOW[:1] * 8000)
    infobip.send("m-2", notifyUrl=listener.url, phone="385910000003")
    infobip.create_scenario()
    infobip.change(stepSeconds=0)
    infobip.send("m-3", notifyUrl=listener.url)
    infobip.pass_time()

    assert listener.next_call()["body"]["results"][0]["messageId"] == "m-3"


def test_scheduled_message_cannot_be_seen_yet(infobip: Infobip) -> None:
    """The control call is refused, and the message stays scheduled."""
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    infobip.send("m-1", notifyUrl="http://127.0.0.1:1/", sendAt=later)

    with pytest.raises(requests.HTTPError, match="400"):
        infobip.control("POST", "seen", {"messageId": "m-1"})

    assert infobip.truth("m-1")["finalStatus"] is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**31, 1e300, -0.0, "\ud800", "\x00"])
    | st.floats()
    | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)
#: Names that the simulator knows, so it validates their values.
NAMES = st.sampled_from(
    [
        *("stepSeconds", "defaultValiditySeconds", "reportDelaySeconds", "logLagSeconds"),
        *("intermediateStepReports", "pushedReports", "pushRetries", "pushMinuteSeconds"),
        *("duplicateIds", "acceptedStatus", "errorEnvelope", "magicRecipients", "throttles"),
        *("refuseAll", "refusedRows", "refusedIds", "statusForm", "statusFormIn", "inboxTopics"),
        *("missingAddress", "pushBucketSize", "logLists", "logListLength", "throttleMinuteSeconds"),
        *("apiKey", "username", "password", "scopes", "operation", "kind", "times"),
        *("afterCalls", "status", "retryAfter", "messageIds", "probability", "seed"),
        *("advanceSeconds", "messageId", "outcome", "refuse", "*", "SMS", "PUSH"),
        *("opensAfterSeconds", "lastsSeconds"),
    ]
)
VALUES = JSON | st.sampled_from(
    ["slow", "error_before", "silent", "both", "E429", "newer", "refuse", "group", "BAD_REQUEST"]
)
CONTROLS = st.sampled_from(
    [
        *("POST reset", "PUT settings", "PUT credentials", "PUT recipients/385", "PUT recipients"),
        *("GET recipients/385", "GET recipients"),
        *("DELETE recipients/385", "PUT channels/SMS", "PUT channels/FAX", "DELETE channels/SMS"),
        *("POST faults", "DELETE faults/1", "DELETE faults", "POST clock", "POST seen"),
        *(
            "GET messages",
            "GET messages?limit=-1",
            "GET changes",
            "GET changes?after=-1",
            "GET requests?operation=x",
            "GET weather",
        ),
    ]
)
MEMBERS = st.sampled_from(
    [
        *("name", "flow", "default", "destinations", "sms", "push", "viber", "notify", "bulkId"),
        *("notifyUrl", "notifyContentType", "callbackData", "sendAt", "scenarioKey", "to"),
        *("whatsApp", "line", "kakaoAlim", "kakaoChingu", "vKontakte", "voice", "email"),
    ]
)
#: Each example starts in the state that the previous ones have left.
many_examples = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def dumped(body: object) -> bytes:
    """Serialize JSON as Python does, including NaN and infinities."""
    return json.dumps(body).encode()


@many_examples
@given(call=CONTROLS, body=JSON | st.dictionaries(NAMES, VALUES, max_size=3))
def test_no_control_call_breaks_the_simulator(empty: Infobip, call: str, body: object) -> None:
    """The control interface answers any JSON with 2xx or 4xx, and later calls work."""
    method, path = call.split(" ")
    url = f"{empty.url}/_control/{path}"

    status = requests.request(method, url, data=dumped(body), timeout=10).status_code

    assert status // 100 in {2, 4}
    for later in (
        "settings",
        "credentials",
        "totals",
        "messages",
        "changes",
        "faults",
        "requests",
        "pushes",
    ):
        empty.control("GET", later)
    empty.control("DELETE", "faults")
    empty.control("PUT", "credentials", {"apiKey": "key-1", "scopes": ["omni-failover:manage"]})
    empty.change(throttles={"create_scenario": 0})
    empty.create_scenario()
    destination = {"to": {"phoneNumber": PHONE}}
    sent = empty.call("POST", "advanced", json={"destinations": [destination]} | CONTENT)
    assert sent.status_code in {200, 429}


@many_examples
@given(
    body=JSON | st.dictionaries(MEMBERS, JSON, max_size=3),
    path=st.sampled_from(["POST scenarios", "POST advanced", "PUT scenarios/{}", "GET logs"]),
)
def test_no_call_breaks_the_simulator(empty: Infobip, path: str, body: Any) -> None:  # noqa: ANN401
    """The API answers any JSON with 2xx or 4xx, and a plain send works afterwards."""
    empty.change(throttles={"create_scenario": 0, "update_scenario": 0, "search_logs": 0})
    key = empty.create_scenario()
    valid: Json = {"destinations": [{"to": {"phoneNumber": PHONE}}], "flow": FLOW} | CONTENT
    for content in (body, valid | body if isinstance(body, dict) else [body]):
        method, _, target = path.format(key).partition(" ")

        assert empty.call(method, target, data=dumped(content)).status_code // 100 in {2, 4}

    assert empty.send("m-1", scenarioKey=key)["messageId"] == "m-1"
    for later in ("messages", "requests", "totals"):
        empty.control("GET", later)


def test_list_of_messages_says_when_it_is_truncated(infobip: Infobip) -> None:
    """A page has the total, and a request for all messages returns all of them."""
    destinations = [
        {"messageId": f"m-{number}", "to": {"phoneNumber": PHONE}} for number in range(1001)
    ]
    infobip.call("POST", "advanced", json={"destinations": destinations} | CONTENT)
    ids = [str(each["messageId"]) for each in destinations]

    first = infobip.control("GET", "messages")
    last = infobip.control("GET", "messages?offset=1000")
    one = infobip.control("GET", "messages?messageId=m-7&messageId=none")

    assert (len(first["messages"]), first["total"], first["truncated"]) == (1000, 1001, True)
    assert (len(last["messages"]), last["total"], last["truncated"]) == (1, 1001, False)
    assert (len(one["messages"]), one["total"], one["truncated"]) == (1, 1, False)
    control = SimulatorControl(infobip.url)
    assert [each["messageId"] for each in control.messages()] == ids
    assert [each["messageId"] for each in control.messages(*ids)] == ids


# --- The process ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_process_cleanly(number: signal.Signals) -> None:
    """It exits with 0 even while a call hangs, and prints no personal data."""
    command = [*COMMAND, "--port", "0", "--verbose", "--until-stdin-closes"]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 (no untrusted input)
        command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as simulator:
        assert simulator.stdout is not None
        infobip = Infobip(simulator.stdout.readline().split()[-1])
        infobip.control("PUT", f"recipients/{PHONE}", {"*": "silent"})
        infobip.call("GET", f"logs?to={PHONE}")
        infobip.fault("*", "hang_before", seconds=60)
        with socket.create_connection(("127.0.0.1", infobip.port), timeout=10) as hanging:
            hanging.sendall(b"GET /omni/1/reports HTTP/1.1\r\nHost: x\r\n\r\n")
            simulator.send_signal(number)
            # Its standard input stays open until it has exited.
            simulator.wait(timeout=10)
            _, printed = simulator.communicate(timeout=10)

    assert simulator.returncode == 0
    assert "GET /omni/1/logs 401\n" in printed
    assert PHONE not in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--port", "70000"), "--port: must be a number from 0 to 65535, not '70000'"),
        (("--port", "http"), "--port: must be a number from 0 to 65535, not 'http'"),
        (("--host", EVERYWHERE), "--host: must be an IPv4 loopback address"),
        (("--host", "192.0.2.1"), "--host: must be an IPv4 loopback address"),
        (("--host", "example.com"), "--host: must be an IPv4 loopback address"),
        (("--host", "::1"), "--host: must be an IPv4 loopback address"),
        (("--also-on", EVERYWHERE), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "::"), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "8.8.8.8"), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "169.254.1.1"), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "172.32.0.1"), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "172.17.0.1/8"), "--also-on: must be a loopback address or a private one"),
        (("--also-on", "127.0.0.1"), "--also-on: an address is named twice"),
        (("--step-seconds", "-1"), "--step-seconds: must be a number of seconds from 0 to"),
        (("--step-seconds", "nan"), "--step-seconds: must be a number of seconds from 0 to"),
        (("--log-lag", "inf"), "--log-lag: must be a number of seconds from 0 to"),
        (("--report-delay", "soon"), "--report-delay: must be a number of seconds from 0 to"),
        (("--resolve", "a.example=192.0.2.1:80"), "--resolve: must be HOST=ADDRESS:PORT"),
        (("--resolve", "a.example"), "--resolve: must be HOST=ADDRESS:PORT"),
        (("--resolve", "=127.0.0.1:80"), "--resolve: must be HOST=ADDRESS:PORT"),
        (("--resolve", "a=127.0.0.1:http"), "--resolve: must be HOST=ADDRESS:PORT"),
        (("--resolve", "a=127.0.0.1:70000"), "--resolve: must be HOST=ADDRESS:PORT"),
    ],
)
def test_invalid_option_is_refused_in_one_sentence(options: tuple[str, ...], sentence: str) -> None:
    """The last line names the option and its rule, and nothing is served."""
    ended = run_to_the_end(*options)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert f"error: argument {sentence}" in ended.stderr.replace("error: --", "error: argument --")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--host", "--also-on"])
def test_port_in_use_is_named_in_one_sentence(option: str) -> None:
    """So is an address that the machine does not have."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_the_end("--port", str(port), option, "127.0.0.2")

    assert ended.returncode == 1
    sentence = f"the simulator cannot listen on 127.0.0.2:{port}: the port is taken, so give"
    assert ended.stderr == sentence + " another --port, or 0 for a free one\n"
    elsewhere = run_to_the_end("--also-on", "10.255.255.254")
    assert (elsewhere.returncode, elsewhere.stderr.count("\n")) == (1, 1)
    assert "cannot listen on 10.255.255.254:" in elsewhere.stderr


def run_to_the_end(*options: str) -> subprocess.CompletedProcess[str]:
    """Run a simulator that is expected to exit."""
    return subprocess.run(  # noqa: S603 (no untrusted input)
        [*COMMAND, "--port", "0", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )


def test_additional_address_serves_the_same_account_without_control() -> None:
    """Containers get the same answers as callers of the first address, but no control interface."""
    head = b"HTTP/1.1\r\nHost: x\r\nAuthorization: App key-1\r\n\r\n"
    options = ("--api-key", "key-1", "--also-on", "127.0.0.2", "--also-on", "127.0.0.3")
    with process.running(*options) as url:
        infobip = Infobip(url)
        key = infobip.create_scenario()
        for host in ("127.0.0.2", "127.0.0.3"):
            calls = (
                b"GET /omni/1/scenarios/" + key.encode() + b" " + head,
                b"POST /_control/reset " + head,
                b"GET http://127.0.0.1/_control/health " + head,
                b"GET /omni/1/scenarios/" + key.encode() + b" " + head,
            )
            before, reset, health, after = exchange(infobip.port, *calls, host=host)

            assert before.partition(b"\r\n\r\n")[2] == after.partition(b"\r\n\r\n")[2]
            assert key.encode() in after
            for answer in (reset, health):
                assert answer.startswith(b"HTTP/1.1 403 ")
        assert infobip.control("GET", "health") == {"status": "ok"}


@pytest.mark.parametrize(
    ("caller", "is_heard"),
    [("172.17.0.2", True), ("127.0.0.1", True), ("192.0.2.7", False), ("172.18.0.2", False)],
)
def test_bridge_address_serves_only_its_network(caller: str, *, is_heard: bool) -> None:
    """Another machine with a route to this one could also reach that address."""
    simulator = Simulator(Credentials(), Settings())
    with Server(
        ("127.0.0.2", 0), simulator, verbose=False, callers=IPv4Network("172.17.0.0/16")
    ) as server:
        assert server.verify_request(None, (caller, 40000)) is is_heard


def test_only_named_addresses_are_served(infobip: Infobip) -> None:
    """Without --also-on, no other loopback address accepts connections."""
    with pytest.raises(ConnectionRefusedError):
        exchange(infobip.port, host="127.0.0.2")
