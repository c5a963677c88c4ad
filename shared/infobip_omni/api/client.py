"""The only code that calls Infobip.

A call ends with an answer, or with one of the three kinds of error in ``errors``. The connection
separates "not processed" from "unknown": before it is open, no request can have been sent; after
that, every failure leaves the outcome unknown. A call is repeated only after a 401, which proves
that the first attempt was refused.
"""

from __future__ import annotations

import itertools
import ssl
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import requests
from pydantic import BaseModel, ValidationError
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from .errors import NotProcessedError, OutcomeUnknownError, error_for, error_of_send
from .json_text import decoded, read_json
from .reports import LogEntry, UnreadablePageError, parse_page
from .scenarios import Scenario
from .sends import SendResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from urllib3.response import HTTPResponse

    from .authorization import Credentials
    from .errors import OmniError
    from .reports import RawEntry
    from .scenarios import ScenarioDefinition
    from .sends import AdvancedRequest

    ModelT = TypeVar("ModelT", bound=BaseModel)

CONNECT_SECONDS = 3.0
#: Timeout for the start of an answer, and again for its whole body.
READ_SECONDS = 10.0
#: The longest time of one call: to connect, to wait for the answer and to read it, and all that
#: again after a 401. The time to read the credentials is not included.
LONGEST_CALL_SECONDS = 2 * (CONNECT_SECONDS + 2 * READ_SECONDS)
#: A process that was frozen does not notice that the other side has closed the connection: the
#: first request over an old connection is often reset, and a reset leaves the outcome unknown.
LONGEST_IDLE_SECONDS = 5.0
#: The number of connections that are kept alive.
POOL_SIZE = 16
#: Fits a page of 1000 reports with the longest callback data, each character escaped.
LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
SCENARIOS_PER_PAGE = 100
#: Characters that the ids of one log query may take: servers commonly limit a request line to 8 KB.
LONGEST_LOG_QUERY = 6000
_CHUNK_BYTES = 64 * 1024


class CredentialsSource(Protocol):
    """Returns the credentials for each call."""

    def __call__(self, *, refresh: bool = False) -> Credentials:
        """Return the credentials; *refresh* asks for new ones, since the old were refused."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """The answer to a log query."""

    rows: list[RawEntry[LogEntry]]
    #: Whether the answer reached the limit of rows, so a missing row proves nothing.
    is_cut: bool = False
    #: The ids of messages whose rows cannot be read: the logs know them, but not their status.
    unread_ids: frozenset[str] = frozenset()
    #: There are rows without a readable message id, or with text that is not JSON.
    has_nameless_rows: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the page names every message that has a row in the answer."""
        return not self.is_cut and not self.has_nameless_rows


class OmniClient:
    """Infobip's OMNI failover API, one method per operation. It is thread-safe.

    Every method may raise:
        NotProcessedError: Infobip was not reached, limited the rate or refused the credentials; it
            did not process the request.
        RequestRejectedError: Infobip refused the request.
        OutcomeUnknownError: Infobip may or may not have processed the request.
        Exception: Any error of the credentials source; no request was sent.
    """

    def __init__(self, base_url: str, credentials: CredentialsSource) -> None:
        """Create the client without opening a connection.

        Args:
            base_url: Scheme and host of the account, like ``https://xxxxx.api.infobip.com``. It
                must be an http or https URL, which `InfobipSettings` validates.
            credentials: Called before every request.
        """
        scheme = urlsplit(base_url).scheme
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._session = _Session()
        # The environment's proxies and .netrc are ignored.
        self._session.trust_env = False
        self._session.headers["Accept"] = "application/json"
        adapter = _Adapter(_tls_context() if scheme == "https" else None)
        self._session.mount(f"{scheme}://", adapter)

    def list_scenarios(self) -> Iterator[Scenario]:
        """Yield the account's scenarios, page by page; unreadable ones are left out."""
        for page in itertools.count():
            query = [("limit", str(SCENARIOS_PER_PAGE)), ("page", str(page))]
            content = self._call("GET", "/omni/1/scenarios", query=query)
            entries = _entries(content, "scenarios")
            yield from (scenario.parsed for scenario in _readable(Scenario, entries))
            if len(entries) < SCENARIOS_PER_PAGE:
                return

    def create_scenario(self, definition: ScenarioDefinition) -> Scenario:
        """Create a scenario. A repeated call creates another one.

        The answer may lack the key; `list_scenarios` then returns it.
        """
        content = self._call("POST", "/omni/1/scenarios", body=_json_of(definition))
        return _read(Scenario, content)

    def get_scenario(self, key: str) -> Scenario:
        """Read a scenario; for an unknown key, raise `RequestRejectedError` with status 404."""
        return _read(Scenario, self._call("GET", _scenario_path(key)))

    def update_scenario(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Replace a scenario; for an unknown key, raise `RequestRejectedError` with status 404."""
        return _read(Scenario, self._call("PUT", _scenario_path(key), body=_json_of(definition)))

    def send_advanced(self, request: AdvancedRequest) -> SendResponse:
        """Send one content to all destinations of the request.

        Infobip has no idempotency key: after an `OutcomeUnknownError`, query the logs before you
        send the same messages again.

        Raises:
            RefusedUnreadError: A 4xx that does not refuse the content.
        """
        content = self._call(
            "POST", "/omni/1/advanced", body=request.to_json(), error=error_of_send
        )
        return _read(SendResponse, content)

    def take_reports(self, *, limit: int = 1000) -> bytes:
        """Return a page of delivery reports that Infobip has not returned before, as it came.

        Infobip returns each report once: store the page before you request the next one.
        `parse_page` parses it. After an `OutcomeUnknownError`, reports may be lost with the answer;
        the logs still hold their statuses.

        Args:
            limit: The maximum number of reports, 1 to 1000.
        """
        return self._call("GET", "/omni/1/reports", query=[("limit", str(limit))])

    def search_logs(self, *, message_ids: Sequence[str], limit: int = 1000) -> LogPage:
        """Look up messages in the logs, which reach back 48 hours.

        Args:
            message_ids: The ids to look up; their `log_query_length` must not exceed
                `LONGEST_LOG_QUERY` in total. Without ids no request is made, because the logs
                would return every message of the account.
            limit: The maximum number of rows, 1 to 1000; each step of a message is a row.
        """
        if not message_ids:
            return LogPage([])
        # What follows the ids might be read as a part of the last one.
        query = [("limit", str(limit)), *(("messageId", each) for each in message_ids)]
        return _log_page(self._call("GET", "/omni/1/logs", query=query), limit)

    def newest_logs(self, *, until: datetime | None = None, limit: int = 1000) -> LogPage:
        """Return the newest rows of the account's logs.

        Infobip documents that the logs return the newest rows where no message is named.

        Args:
            until: The time after which no row of the answer was sent; None is no bound.
            limit: Most rows to return, 1 to 1000.
        """
        query = [("limit", str(limit))]
        if until is not None:
            query.append(("sentUntil", until.isoformat(timespec="milliseconds")))
        return _log_page(self._call("GET", "/omni/1/logs", query=query), limit)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        error: Callable[[int, object, Mapping[str, str]], OmniError] = error_for,
    ) -> bytes:
        """Return the body of a successful answer; repeat the call once after a 401.

        *error* returns the error for any other answer.
        """
        request = requests.Request(method, self._base_url + path, params=query, data=body)
        if body is not None:
            request.headers["Content-Type"] = "application/json"
        answer = self._exchange(request, self._credentials())
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer = self._exchange(request, self._credentials(refresh=True))
        if not answer.is_success:
            raise error(answer.status, answer.json(), answer.headers)
        return answer.content

    def _exchange(self, request: requests.Request, credentials: Credentials) -> _Answer:
        """Send a request once and read the answer, whatever its status."""
        # The errors below may quote the request or the answer, so only their class is named.
        request.headers["Authorization"] = credentials.authorization()
        try:
            prepared = self._session.prepare_request(request)
        except (requests.RequestException, ValueError) as error:
            raise NotProcessedError(f"no request could be made ({_kind(error)})") from None
        try:
            with self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
            ) as response:
                return _Answer.read(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise OutcomeUnknownError(f"no answer from Infobip ({_kind(error)})") from None


@dataclass(frozen=True, slots=True)
class _Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        return self.status // 100 == 2  # noqa: PLR2004 (2xx)

    @classmethod
    def read(cls, response: requests.Response) -> _Answer:
        """Read the body. The body of an error may be lost, since its status is enough."""
        answer = cls(response.status_code, response.headers, b"")
        try:
            return cls(answer.status, answer.headers, _content(response))
        except (OutcomeUnknownError, HTTPError, OSError):
            if answer.is_success:
                raise
            return answer

    def json(self) -> object:
        """Return the body's JSON; None if it is not JSON."""
        try:
            return _json(self.content)
        except OutcomeUnknownError:
            return None


def _content(response: requests.Response) -> bytes:
    """Read a body within `READ_SECONDS` and `LARGEST_ANSWER_BYTES`."""
    raw: HTTPResponse = response.raw
    content = bytearray()
    deadline = time.monotonic() + READ_SECONDS
    # `read1` returns as soon as any bytes have arrived, so a slow body cannot outlast the deadline.
    while chunk := raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > LARGEST_ANSWER_BYTES or time.monotonic() > deadline:
            raise OutcomeUnknownError("the answer is too long", status=response.status_code)
    return bytes(content)


def _json(content: bytes) -> Any:  # noqa: ANN401 (any JSON value)
    try:
        return read_json(decoded(content))
    except ValueError:
        # The cause would quote the body.
        raise OutcomeUnknownError("Infobip's answer is not JSON") from None


def _entries(content: bytes, member: str) -> list[RawEntry[Any]]:
    try:
        return parse_page(content, member)
    except UnreadablePageError:
        raise OutcomeUnknownError(f"Infobip's answer has no list of {member}") from None


def _log_page(content: bytes, limit: int) -> LogPage:
    entries = _entries(content, "results")
    rows = list(_readable(LogEntry, entries))
    ids = list(map(_written_id, entries))
    named = frozenset(filter(None, ids))
    has_nameless_rows = not all(ids) or any(entry.is_broken for entry in entries)
    read = {row.parsed.message_id for row in rows}
    return LogPage(rows, len(entries) >= limit, named - read, has_nameless_rows)


def _written_id(row: RawEntry[Any]) -> str | None:
    """Return the message id of a row, readable or not; None if it has none that is text."""
    message_id = row.parsed.get("messageId") if isinstance(row.parsed, dict) else None
    return message_id if isinstance(message_id, str) else None


def _read(model: type[ModelT], content: bytes) -> ModelT:
    try:
        return model.model_validate(_json(content))
    except ValidationError:
        raise OutcomeUnknownError("Infobip's answer is incomplete") from None


def _readable(model: type[ModelT], entries: Iterable[RawEntry[Any]]) -> Iterator[RawEntry[ModelT]]:
    return (read for entry in entries if (read := entry.read(model)))


def _json_of(definition: ScenarioDefinition) -> bytes:
    return definition.model_dump_json(exclude_none=True).encode()


def _scenario_path(key: str) -> str:
    return f"/omni/1/scenarios/{quote(key, safe='')}"


def log_query_length(message_id: str) -> int:
    """Return the number of characters that a message id adds to a log query."""
    return len("messageId=&") + len(quote(message_id, safe=""))


def _kind(error: Exception) -> str:
    return type(error.__cause__ or error).__name__


def _tls_context() -> ssl.SSLContext:
    """Load the certificate authorities once: it takes 15 ms of CPU."""
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


class _Session(requests.Session):
    """Ignores redirects, and does not parse their Location."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 (requests')
        return None


class _Connection(HTTPConnection):
    """Raises its own error if it cannot connect, and is not reused after a longer idle time."""

    _used_at: tuple[float, float] | None = None

    def connect(self) -> None:
        """Open the connection, TLS included; no request can be sent before."""
        try:
            super().connect()
        except (OSError, HTTPError, ValueError) as error:
            raise NotProcessedError(f"Infobip was not reached ({_kind(error)})") from None

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Wait for an answer, and remember the time."""
        response = super().getresponse()
        self._used_at = time.monotonic(), time.time()
        return response

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use the connection again."""
        if self._used_at is not None:
            monotonic, wall = self._used_at
            # One of the clocks may stop while Lambda freezes the process, so use the longer time.
            idle = max(time.monotonic() - monotonic, time.time() - wall)
            if idle > LONGEST_IDLE_SECONDS:
                return False
        return super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Creates connections that share one TLS context.

    requests would load the certificate authorities again for every connection.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        super().__init__(pool_maxsize=POOL_SIZE)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def build_connection_pool_key_attributes(self, *arguments: Any) -> Any:  # noqa: ANN401
        """Add the TLS context to the arguments of a connection."""
        host, tls = super().build_connection_pool_key_attributes(*arguments)
        return host, {**tls, "ssl_context": self._tls}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Load no certificates: the context has them, and requires a valid certificate."""
