"""The HTTP server: reads a call, processes it, and answers.

``/omni/1/`` is Infobip's API, and ``/_control/`` is ours, which ``--help`` describes.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from .clock import Clock, timestamp
from .errors import (
    CONTENT_MEMBERS,
    DEEPEST_BODY,
    GENERAL_STATUSES,
    LARGEST_INT32,
    OPERATIONS,
    ApiError,
    Json,
    as_json,
    bad_request,
    json_object,
    merge,
    one_of,
    parse_moment,
    whole_number,
)
from .faults import KINDS_AFTER, KINDS_BEFORE, Fault, Faults
from .rules import check_outcome, recipient_rule
from .state import Account, LogSearch, Settings
from .webhooks import deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from email.message import Message
    from ipaddress import IPv4Network

    from .webhooks import Resolver

_SCENARIOS = "/omni/1/scenarios"
_OPERATIONS_BY_PATH = {
    _SCENARIOS: {"GET": "list_scenarios", "POST": "create_scenario"},
    f"{_SCENARIOS}/": {"GET": "get_scenario", "PUT": "update_scenario"},
    "/omni/1/advanced": {"POST": "send_advanced"},
    "/omni/1/reports": {"GET": "take_reports"},
    "/omni/1/logs": {"GET": "search_logs"},
}
_MANAGE = "omni-failover:manage"
_SEND_SCOPES = {"message:send", "omni-failover:message:send", _MANAGE}
#: Any one of these scopes permits the operation; other operations need the scope to manage.
_SCOPES = {
    "send_advanced": _SEND_SCOPES,
    "take_reports": _SEND_SCOPES,
    "search_logs": {"omni-failover:logs:read", _MANAGE},
}
#: How many requests of each operation are kept.
_JOURNAL_LENGTH = 1000
_CONCURRENT_PUSHES = 4
#: The longest wait in seconds before the next check whether a call to a notifyUrl is due.
_LONGEST_NAP = 3600.0
#: In bytes. Lambda's events have at most 6 MB, so our sends are always shorter.
LONGEST_BODY = 10 * 2**20
#: The longest wait for more of a request that has begun, in seconds.
_READ_SECONDS = 20.0
#: The character sets of bodies that are read.
_CHARSETS = ("", "utf-8", "utf-16", "us-ascii", "iso-8859-1")
#: How long the rest of a refused request is read, in seconds.
_DISCARD_SECONDS = 2.0
#: A socket with this option resets the connection when it is closed.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The accepted credentials; an empty API key or user name disables that scheme."""

    api_key: str = "local-key"
    username: str = ""
    password: str = ""
    scopes: tuple[str, ...] = (_MANAGE,)

    def admit(self, authorization: str, operation: str) -> None:
        """Refuse a caller with unknown credentials or without the scope."""
        # JSON can contain single surrogates, which strict UTF-8 cannot encode.
        pair = f"{self.username}:{self.password}".encode(errors="surrogatepass")
        basic = base64.b64encode(pair).decode()
        known = {f"App {self.api_key}"} if self.api_key else set()
        known |= {f"Basic {basic}"} if self.username else set()
        if authorization not in known:
            raise ApiError(HTTPStatus.UNAUTHORIZED)
        if not _SCOPES.get(operation, {_MANAGE}).intersection(self.scopes):
            raise ApiError(HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as it was received."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    authorization: str = ""
    content: bytes = b""
    content_type: str = "application/json"
    charset: str = ""  #: of the body; empty for the one that JSON detects
    accept: str = "*/*"

    def json(self) -> object:
        """Return the body; None if it is not JSON, or nested too deep."""
        if self.charset not in _CHARSETS:
            return None
        try:
            # Some older clients write a byte order mark, as they also do without a charset.
            text = self.content.decode(self.charset).lstrip("\ufeff") if self.charset else None
            value = json.loads(
                self.content if text is None else text,
                parse_constant=_finite,
                parse_float=_finite,
            )
        except (ValueError, RecursionError):
            return None
        return None if isinstance(value, dict | list) and _is_deep(value) else value

    def one(self, name: str) -> str | None:
        """Return the last value of a query parameter; None if it is absent."""
        return self.query.get(name, [None])[-1]

    def many(self, name: str) -> tuple[str, ...]:
        """Return all values of a query parameter, which may be repeated or contain commas."""
        values = ",".join(self.query.get(name, [])).split(",")
        return tuple(dict.fromkeys(filter(None, values)))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the fault with which it is delivered, if any."""

    status: int
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None


class Journal:
    """The last requests of each operation, and the number of all requests by status."""

    def __init__(self) -> None:
        self._requests = {name: deque[Json](maxlen=_JOURNAL_LENGTH) for name in OPERATIONS}
        self._counts = {name: Counter[str]() for name in OPERATIONS}

    def add(self, operation: str, answer: Answer, entry: Json) -> None:
        """Add a request; one without an answer counts under the status ``none``."""
        fault = answer.fault and answer.fault.kind
        silent = str(fault).startswith(("reset_", "hang_"))
        entry |= {"operation": operation, "fault": fault}
        self._requests[operation].append(entry | {"status": None if silent else answer.status})
        self._counts[operation]["none" if silent else str(answer.status)] += 1

    def counts(self) -> Json:
        """Return the number of requests by operation and status."""
        return {name: dict(counter) for name, counter in self._counts.items() if counter}

    def requests(self, operation: str | None, message_id: str | None) -> list[Json]:
        """Return the last requests, oldest first; None means any operation or message."""
        names = OPERATIONS if operation is None else (operation,)
        found = (
            entry
            for name in names
            for entry in self._requests[name]
            if message_id is None or message_id in entry["messageIds"]
        )
        return sorted(found, key=lambda entry: str(entry["at"]))


class Simulator:
    """One account, its credentials, faults and control interface, behind one lock."""

    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._initial = credentials, settings
        #: Set when the next call to a notifyUrl may be due earlier than before.
        self.pushes_changed = threading.Event()
        self._pushing = ThreadPoolExecutor(_CONCURRENT_PUSHES)
        self._reset()
        self._operations: dict[str, Callable[[Call, str], Json]] = {
            "list_scenarios": self._list_scenarios,
            "create_scenario": lambda call, _: self._account.create_scenario(
                json_object(call.json())
            ),
            "get_scenario": lambda _, key: self._account.get_scenario(key),
            "update_scenario": lambda call, key: self._account.update_scenario(
                key, json_object(call.json())
            ),
            "send_advanced": lambda call, _: self._account.send(json_object(call.json())),
            "take_reports": self._take_reports,
            "search_logs": self._search_logs,
        }
        self._controls: dict[tuple[str, str], Callable[[Call, str | None], Json]] = {
            ("GET", "health"): lambda *_: {"status": "ok"},
            ("POST", "reset"): lambda *_: self._reset(),
            ("GET", "settings"): lambda *_: as_json(self._account.settings),
            ("PUT", "settings"): self._change_settings,
            ("GET", "credentials"): lambda *_: as_json(self._credentials),
            ("PUT", "credentials"): self._change_credentials,
            ("GET", "recipients"): lambda _, address: self._account.rules.recipients.get(
                _required(address), {}
            ),
            ("PUT", "recipients"): self._rule_recipient,
            ("DELETE", "recipients"): self._forget_recipient,
            ("PUT", "channels"): self._rule_channel,
            ("DELETE", "channels"): self._forget_channel,
            ("GET", "faults"): lambda *_: self._faults.as_json(),
            ("POST", "faults"): lambda call, _: self._faults.add(call.json()),
            ("DELETE", "faults"): self._delete_faults,
            ("GET", "messages"): self._messages,
            ("GET", "changes"): self._changes,
            ("GET", "totals"): self._totals,
            ("GET", "requests"): self._requests,
            ("POST", "clock"): self._advance_clock,
            ("POST", "seen"): self._see,
            ("GET", "pushes"): lambda *_: {"pushes": self._account.pushes.journal()},
        }

    def answer(self, call: Call, *, may_control: bool = True) -> Answer:
        """Process a call, and return the answer.

        Args:
            call: The call.
            may_control: Whether it came to an address that serves the control interface.
        """
        control = call.path.startswith("/_control/")
        try:
            with self._lock:
                if not control:
                    return self._omni(call)
                return self._control(call, may_control=may_control)
        except ApiError as error:
            if control:
                return Answer(error.status, error.envelope("legacy"))
            return self._refusal(error)
        finally:
            self.pushes_changed.set()

    def push(self, resolver: Resolver) -> float | None:
        """Make the calls to notifyUrls that are due.

        Returns:
            The seconds until the next call is due, an hour at most; None if there is none.
        """
        with self._lock:
            # The wait for the next attempt counts from here, however long the answer takes.
            account, now = self._account, self._clock.now()
            due = account.pushes.take_due(now, account.settings.push_bucket_size)
        for push, status in self._pushing.map(lambda push: (push, deliver(push, resolver)), due):
            with self._lock:
                account.pushes.note(
                    push,
                    status,
                    now,
                    account.settings.push_retries,
                    account.settings.push_minute_seconds,
                )
        with self._lock:
            next_at = self._account.pushes.next_at()
            if next_at is None:
                return None
            return min(max(0.0, next_at - self._clock.now()), _LONGEST_NAP)

    def push_forever(self, resolver: Resolver) -> None:
        """Call notifyUrls until the process ends."""
        while True:
            self.pushes_changed.clear()
            self.pushes_changed.wait(self.push(resolver))

    def _omni(self, call: Call) -> Answer:
        operation, key = _route(call)
        body = call.json() if call.content else None
        message_ids = _message_ids(call, body)
        entry: Json = {"messageIds": message_ids, "at": timestamp(self._clock.now())}
        if operation == "send_advanced":
            entry["body"] = body
        answer = self._answer_or_fail(operation, call, key, message_ids)
        self._journal.add(operation, answer, entry)
        return answer

    def _answer_or_fail(
        self, operation: str, call: Call, key: str, message_ids: list[str]
    ) -> Answer:
        fault = self._faults.choose(KINDS_BEFORE, operation, message_ids)
        if fault is not None:
            error = fault.error() or ApiError(HTTPStatus.SERVICE_UNAVAILABLE)
            return self._refusal(error, fault)
        try:
            self._credentials.admit(call.authorization, operation)
            self._account.throttle(operation)
            _check_formats(call)
            body = self._operations[operation](call, key)
        except ApiError as error:
            return self._refusal(error)
        status = HTTPStatus.CREATED if operation == "create_scenario" else HTTPStatus.OK
        if operation == "take_reports" and not body["results"]:
            return Answer(status, body)
        fault = self._faults.choose(KINDS_AFTER, operation, message_ids)
        if fault is None:
            return Answer(status, body)
        if operation == "take_reports":
            self._account.mark_spoiled(fault.kind, fault.spoiled(len(body["results"])))
        if substitute := fault.error():
            return self._refusal(substitute, fault)
        if fault.kind == "duplicate_reports":
            self._account.repeat_last_page()
        return Answer(status, fault.spoil(body), fault=fault)

    def _refusal(self, error: ApiError, fault: Fault | None = None) -> Answer:
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
        envelope = error.envelope(self._account.settings.error_envelope)
        return Answer(error.status, envelope, headers, fault)

    def _list_scenarios(self, call: Call, _: str) -> Json:
        is_default = one_of(call.query, "isDefault", ("true", "false"))
        return self._account.list_scenarios(
            is_default=None if is_default is None else is_default == "true",
            limit=whole_number(call.query, "limit", 100, minimum=0, maximum=LARGEST_INT32),
            page=whole_number(call.query, "page", 0, minimum=0, maximum=LARGEST_INT32),
        )

    def _take_reports(self, call: Call, _: str) -> Json:
        return self._account.take_reports(
            bulk_id=call.one("bulkId"),
            message_id=call.one("messageId"),
            channel=one_of(call.query, "channel", CONTENT_MEMBERS),
            limit=whole_number(call.query, "limit", 50, minimum=1, maximum=1000),
        )

    def _search_logs(self, call: Call, _: str) -> Json:
        since, until = call.one("sentSince"), call.one("sentUntil")
        search = LogSearch(
            message_ids=call.many("messageId"),
            bulk_ids=call.many("bulkId"),
            sender=call.one("from"),
            to=call.one("to"),
            channel=one_of(call.query, "channel", CONTENT_MEMBERS),
            general_status=one_of(call.query, "generalStatus", GENERAL_STATUSES),
            mcc=call.one("mcc"),
            mnc=call.one("mnc"),
            sent_since=-math.inf if since is None else parse_moment(since, "sentSince"),
            sent_until=math.inf if until is None else parse_moment(until, "sentUntil"),
            limit=whole_number(call.query, "limit", 50, minimum=1, maximum=1000),
        )
        return self._account.search_logs(search)

    def _control(self, call: Call, *, may_control: bool) -> Answer:
        if not may_control:
            raise ApiError(HTTPStatus.FORBIDDEN)
        name, _, argument = call.path.removeprefix("/_control/").partition("/")
        methods = [method for method, known in self._controls if known == name]
        if not methods:
            raise ApiError(HTTPStatus.NOT_FOUND)
        if call.method not in methods:
            raise ApiError(HTTPStatus.METHOD_NOT_ALLOWED)
        control = self._controls[call.method, name]
        return Answer(HTTPStatus.OK, control(call, unquote(argument) or None))

    def _reset(self) -> Json:
        self._credentials, settings = self._initial
        self._clock = Clock()
        self._account = Account(settings, self._clock)
        self._faults = Faults(self._clock)
        self._journal = Journal()
        return {}

    def _change_settings(self, call: Call, _: str | None) -> Json:
        self._account.settings = merge(self._account.settings, call.json())
        return as_json(self._account.settings)

    def _change_credentials(self, call: Call, _: str | None) -> Json:
        self._credentials = merge(self._credentials, call.json())
        return as_json(self._credentials)

    def _rule_recipient(self, call: Call, address: str | None) -> Json:
        rule = recipient_rule(call.json())
        self._account.rules.recipients[_required(address)] = rule
        return rule

    def _forget_recipient(self, _: Call, address: str | None) -> Json:
        self._account.rules.recipients.pop(_required(address), None)
        return {}

    def _rule_channel(self, call: Call, channel: str | None) -> Json:
        if channel not in CONTENT_MEMBERS:
            raise bad_request(("channel", "must be one of " + ", ".join(CONTENT_MEMBERS)))
        outcome = json_object(call.json()).get("outcome")
        check_outcome("outcome", outcome)
        self._account.rules.channels[channel] = str(outcome)
        return {"outcome": outcome}

    def _forget_channel(self, _: Call, channel: str | None) -> Json:
        self._account.rules.channels.pop(_required(channel), None)
        return {}

    def _delete_faults(self, _: Call, fault_id: str | None) -> Json:
        self._faults.delete(fault_id)
        return {}

    def _messages(self, call: Call, _: str | None) -> Json:
        limit = whole_number(call.query, "limit", 1000, minimum=1, maximum=LARGEST_INT32)
        offset = whole_number(call.query, "offset", 0, minimum=0, maximum=LARGEST_INT32)
        return self._account.ledger(call.many("messageId"), offset, limit)

    def _changes(self, call: Call, _: str | None) -> Json:
        after = whole_number(call.query, "after", 0, minimum=0, maximum=LARGEST_INT32)
        limit = whole_number(call.query, "limit", 500, minimum=1, maximum=LARGEST_INT32)
        return self._account.changes(after, limit)

    def _totals(self, _: Call, __: str | None) -> Json:
        return self._account.totals() | {"requests": self._journal.counts()}

    def _requests(self, call: Call, _: str | None) -> Json:
        operation = one_of(call.query, "operation", OPERATIONS)
        return {"requests": self._journal.requests(operation, call.one("messageId"))}

    def _advance_clock(self, call: Call, _: str | None) -> Json:
        self._clock.advance(json_object(call.json()).get("advanceSeconds"))
        return {"now": timestamp(self._clock.now())}

    def _see(self, call: Call, _: str | None) -> Json:
        self._account.see(str(json_object(call.json()).get("messageId")))
        return {}


class Server(ThreadingTCPServer):
    """Serves each connection in a thread of its own.

    Args:
        address: To listen on.
        simulator: Answers the calls; several servers may share one.
        verbose: Whether to print a line for each call.
        callers: The network that may call here, in addition to this machine, without the control
            interface. None for a loopback address, which serves both.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024  # the default of 5 makes a burst of connections wait for seconds

    def __init__(
        self,
        address: tuple[str, int],
        simulator: Simulator,
        *,
        verbose: bool,
        callers: IPv4Network | None = None,
    ) -> None:
        super().__init__(address, Handler)
        self.simulator = simulator
        self.verbose = verbose
        self.may_control = callers is None
        self._callers = callers

    def verify_request(self, request: Any, client_address: tuple[str, int]) -> bool:  # noqa: ANN401, ARG002 (inherited)
        """Refuse other callers: Linux accepts packets for any of its addresses on any interface."""
        caller = IPv4Address(client_address[0])
        return self._callers is None or caller.is_loopback or caller in self._callers

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (inherited)
        """Print nothing about broken connections, which tests cause on purpose."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads calls from one persistent connection, and writes their answers."""

    protocol_version = "HTTP/1.1"
    # Head and body leave immediately, in one packet: with the defaults, every answer waits some
    # 40 ms until the caller has acknowledged the head.
    wbufsize = -1
    disable_nagle_algorithm = True

    def parse_request(self) -> bool:
        """Read the head of a request, of which the first line has arrived.

        An idle connection is kept, but a request that stops in the middle is refused.
        """
        self.connection.settimeout(_READ_SECONDS)
        try:
            return super().parse_request()
        except TimeoutError:
            self.send_error(HTTPStatus.REQUEST_TIMEOUT)
            return False

    def serve(self) -> None:
        server = cast("Server", self.server)
        try:
            call = self._read()
        except ApiError as error:
            self._refuse(error)
            return
        self.connection.settimeout(None)
        answer = server.simulator.answer(call, may_control=server.may_control)
        if server.verbose:
            # The path of a control call may end with a phone number.
            control = call.path.startswith("/_control/")
            path = "/".join(call.path.split("/")[:3]) if control else call.path
            sys.stderr.write(f"{self.command} {path} {answer.status}\n")
        self._deliver(answer)

    # The base class calls a method named after the one in the request line.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing: request lines hold phone numbers."""

    def send_error(self, code: int, *_: object) -> None:
        """Answer a malformed request or an unknown method with an error in our envelope."""
        self.request_version = self.protocol_version  # without it the answer has no head
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        self._refuse(ApiError(min(code, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)))

    def _read(self) -> Call:
        """Read a call; refuse one whose body is too long or has no definite length."""
        try:
            target = urlsplit(self.path)  # also splits an absolute URI, as sent to a proxy
        except ValueError:
            raise bad_request(("path", "must be the path of a URL")) from None
        if self.headers.get("Transfer-Encoding"):
            problem = {"Transfer-Encoding": ["must be absent: say the length of the body"]}
            raise ApiError(HTTPStatus.LENGTH_REQUIRED, validation_errors=problem)
        length = _body_length(self.headers.get_all("Content-Length") or ["0"])
        try:
            content = self.rfile.read(length)
        except TimeoutError:
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT) from None
        if len(content) < length:
            raise bad_request(("Content-Length", "must not exceed the length of the body"))
        return Call(
            method=self.command,
            path=target.path,
            query=parse_qs(target.query),
            authorization=self.headers.get("Authorization") or "",
            content=content,
            content_type=_content_type(self.headers),
            charset=(self.headers.get_content_charset() or "").lower(),
            accept=self.headers.get("Accept") or "*/*",
        )

    def _refuse(self, error: ApiError) -> None:
        """Answer, and close the connection, since the beginning of the next call is unknown."""
        self.close_connection = True
        self._write(
            Answer(error.status),
            json.dumps(error.envelope("legacy"), separators=(",", ":")).encode(),
        )
        # Closing a connection with unread bytes resets it, and the answer is lost.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_DISCARD_SECONDS)
        deadline = time.monotonic() + _DISCARD_SECONDS
        with suppress(OSError):
            while time.monotonic() < deadline and self.rfile.read1(65536):
                pass

    def _deliver(self, answer: Answer) -> None:
        kind, seconds = (answer.fault.kind, answer.fault.seconds) if answer.fault else ("", 0.0)
        if kind in {"hang_before", "hang_after", "slow"}:
            time.sleep(seconds)
        if kind in {"hang_before", "hang_after"}:
            self.close_connection = True
        elif kind in {"reset_before", "reset_after"}:
            self._reset_connection()
        elif kind in {"garbage_answer", "page_before"}:
            self._write(answer, b"<html><body>Service temporarily", content_type="text/html")
        elif kind == "empty_answer":
            self._write(answer, b"")
        else:
            content = json.dumps(answer.body, separators=(",", ":")).encode()
            self._write(answer, content, cut=kind == "cut_answer")

    def _write(
        self,
        answer: Answer,
        content: bytes,
        *,
        content_type: str = "application/json;charset=UTF-8",
        cut: bool = False,
    ) -> None:
        self.close_connection = self.close_connection or cut
        self.send_response(answer.status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()

    def _reset_connection(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # close() would wait for the file objects that share the socket.
        os.close(self.connection.detach())


def _route(call: Call) -> tuple[str, str]:
    """Return the operation of a call, and the scenario key in its path."""
    path, key = call.path, ""
    if path.startswith(f"{_SCENARIOS}/"):
        path, key = f"{_SCENARIOS}/", unquote(path.removeprefix(f"{_SCENARIOS}/"))
    operations = _OPERATIONS_BY_PATH.get(path)
    if operations is None:
        raise ApiError(HTTPStatus.NOT_FOUND)
    if call.method not in operations:
        raise ApiError(HTTPStatus.METHOD_NOT_ALLOWED)
    return operations[call.method], key


def _message_ids(call: Call, body: object) -> list[str]:
    """Return the message ids in a call, which need not be valid."""
    destinations = body.get("destinations") if isinstance(body, dict) else None
    if not isinstance(destinations, list):
        return list(call.many("messageId"))
    named = (entry.get("messageId") for entry in destinations if isinstance(entry, dict))
    return [message_id for message_id in named if isinstance(message_id, str)]


def _body_length(fields: Iterable[str]) -> int:
    lengths = set(fields)
    length = lengths.pop()
    if lengths or not re.fullmatch("[0-9]{1,4000}", length):
        raise bad_request(("Content-Length", "must be one whole number that is not negative"))
    if int(length) > LONGEST_BODY:
        problem = {"body": [f"must not exceed {LONGEST_BODY} bytes"]}
        raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, validation_errors=problem)
    return int(length)


def _content_type(headers: Message) -> str:
    """Return the media type of a body; one that is not named is JSON, as from older clients."""
    return headers.get_content_type() if headers.get("Content-Type") else "application/json"


def _check_formats(call: Call) -> None:
    """Refuse a call whose body or answer would not be JSON.

    Infobip also reads and writes XML, which the simulator does not. Without an Accept header the
    answer is JSON.
    """
    if call.content and (call.content_type != "application/json" or call.charset not in _CHARSETS):
        problem = {"Content-Type": ["must be application/json in " + ", ".join(_CHARSETS[1:])]}
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, validation_errors=problem)
    ranges = {each.partition(";")[0].strip().lower() for each in call.accept.split(",")}
    if ranges.isdisjoint({"*/*", "application/*", "application/json"}):
        problem = {"Accept": ["must include application/json"]}
        raise ApiError(HTTPStatus.NOT_ACCEPTABLE, validation_errors=problem)


def _finite(text: str) -> float:
    """Parse a number; Python's parser accepts NaN and infinity, which JSON does not have."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _is_deep(value: Json | list[Any]) -> bool:
    level = [value]
    for _ in range(DEEPEST_BODY):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _required(argument: str | None) -> str:
    if argument is None:
        raise ApiError(HTTPStatus.NOT_FOUND)
    return argument
