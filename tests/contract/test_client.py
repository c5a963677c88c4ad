"""The client against real sockets: the simulator, and servers that drop connections on purpose.

Before the connection is established, a failure means that nothing was sent. Afterwards the outcome
is unknown.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infobip_omni.api import client as client_module
from infobip_omni.api.client import OmniClient
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OmniError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedUnreadError,
    RequestRejectedError,
)
from infobip_omni.api.reports import DeliveryReport, StatusGroup, parse_page
from infobip_omni.api.scenarios import ScenarioDefinition
from tests.fakes import advanced_request

from .conftest import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infobip_omni.api.sends import AdvancedRequest
    from tests.local_world.simulator_control import SimulatorControl

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
DEFINITION = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW, "default": True})
#: Its last digits are not magic.
PHONE = "385915551234"
EMPTY_PAGE = b'{"results":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + EMPTY_PAGE
#: With this value of SO_LINGER, closing a socket resets the connection.
RESET = struct.pack("ii", 1, 0)


def send_request(*message_ids: str, text: str = "Code: 1234") -> AdvancedRequest:
    """Return a send to the same phone under each message id."""
    return advanced_request(
        {
            "destinations": [
                {"messageId": message_id, "to": {"phoneNumber": PHONE}}
                for message_id in message_ids
            ],
            "push": {"text": "Your code is 1234", "customPayload": {"text": text}},
            "sms": {"text": "Code: 1234"},
        }
    )


# --- The simulator -------------------------------------------------------------------------


def test_scenario_is_created_listed_read_and_replaced(
    omni: OmniClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SCENARIOS_PER_PAGE", 2)
    created = omni.create_scenario(DEFINITION)
    assert created.key is not None
    shorter = DEFINITION.model_copy(update={"flow": DEFINITION.flow[1:], "default": None})
    for _ in range(3):
        omni.create_scenario(shorter)

    assert omni.get_scenario(created.key) == created
    assert created.flow == DEFINITION.flow
    defaults = [scenario.key for scenario in omni.list_scenarios() if scenario.default]
    assert defaults == [created.key]
    assert len(list(omni.list_scenarios())) == 4
    assert omni.update_scenario(created.key, shorter).flow == shorter.flow
    with pytest.raises(RequestRejectedError) as caught:
        omni.get_scenario("0F0F")
    assert caught.value.status == 404


def test_message_is_sent_reported_and_found_in_the_logs(
    omni: OmniClient, infobip: SimulatorControl
) -> None:
    omni.create_scenario(DEFINITION)

    response = omni.send_advanced(send_request("m1", "m2"))
    infobip.advance_clock(60)
    page = parse_page(omni.take_reports())
    page_of_logs = omni.search_logs(message_ids=["m1", "m2", "m3"])
    rows = [row.parsed for row in page_of_logs.rows]

    statuses = [result.status for result in response.messages if result.status is not None]
    assert [status.group_id for status in statuses] == [StatusGroup.PENDING] * 2
    reports = [DeliveryReport.model_validate(row.parsed) for row in page]
    assert {report.message_id for report in reports} == {"m1", "m2"}
    assert all(report.status.group_id == StatusGroup.DELIVERED for report in reports)
    assert {row.message_id for row in rows} == {"m1", "m2"}
    assert all(row.done_at is not None for row in rows)
    assert {json.loads(row.raw)["from"] for row in page_of_logs.rows} == {"app-code"}
    assert parse_page(omni.take_reports()) == []


@pytest.mark.parametrize(
    ("kind", "members", "error", "acceptances"),
    [
        ("reset_before", {}, OutcomeUnknownError, 0),
        ("error_before", {"status": 503}, OutcomeUnknownError, 0),
        ("error_before", {"status": 408}, OutcomeUnknownError, 0),
        ("error_before", {"status": 302}, OutcomeUnknownError, 0),
        ("error_before", {"status": 409}, RequestRejectedError, 0),
        ("error_before", {"status": 404}, RefusedUnreadError, 0),
        ("page_before", {"status": 404}, RefusedUnreadError, 0),
        ("page_before", {"status": 400}, RefusedUnreadError, 0),
        ("page_before", {"status": 502}, OutcomeUnknownError, 0),
        ("rate_limit", {"retryAfter": 7}, RateLimitedError, 0),
        ("unauthorized", {"times": 2}, AuthenticationError, 0),
        ("forbidden", {}, AuthenticationError, 0),
        ("hang_before", {"seconds": 1}, OutcomeUnknownError, 0),
        ("hang_after", {"seconds": 1}, OutcomeUnknownError, 1),
        ("reset_after", {}, OutcomeUnknownError, 1),
        ("error_after", {"status": 500}, OutcomeUnknownError, 1),
        ("cut_answer", {}, OutcomeUnknownError, 1),
        ("garbage_answer", {}, OutcomeUnknownError, 1),
        ("empty_answer", {}, OutcomeUnknownError, 1),
    ],
)
def test_faulty_send_is_never_repeated(  # noqa: PLR0913
    omni: OmniClient,
    infobip: SimulatorControl,
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
    members: dict[str, object],
    error: type[OmniError],
    acceptances: int,
) -> None:
    """Infobip accepts the message at most once, and the error matches the fault."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.3)
    omni.create_scenario(DEFINITION)
    infobip.add_fault("send_advanced", kind, **members)

    with pytest.raises(error) as caught:
        omni.send_advanced(send_request("m1"))

    assert type(caught.value) is error
    assert infobip.totals()["acceptances"] == acceptances
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after_seconds == 7


def test_incomplete_answer_is_read_as_far_as_possible(
    omni: OmniClient, infobip: SimulatorControl
) -> None:
    """An entry without an id is kept, and so is the place of one with an unreadable status."""
    omni.create_scenario(DEFINITION)
    infobip.add_fault("send_advanced", "incomplete_answer")
    infobip.add_fault("send_advanced", "malformed_entry", afterCalls=1)

    incomplete = omni.send_advanced(send_request("m1", "m2"))
    malformed = omni.send_advanced(send_request("m3", "m4"))

    assert [(result.message_id, result.status) for result in incomplete.messages] == [(None, None)]
    assert [result.message_id for result in malformed.messages] == ["m3", "m4"]
    assert [result.status is None for result in malformed.messages] == [True, False]


# --- Servers that drop connections ---------------------------------------------------------


class RawServer:
    """Passes each connection to a handler, in a thread per connection."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0  #: how many were accepted
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.wait_until_closed()

    def wait_until_closed(self) -> None:
        """Wait until the server's side of every connection is closed."""
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):  # ends when the listener is shut down
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._handle(connection)


def read_request(connection: socket.socket) -> bool:
    """Read one request with its body, and return whether there was one."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            return False
        head += chunk
    head, _, body = head.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while missing > 0:
        missing -= len(connection.recv(65536))
    return True


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that sends the answers to a connection's requests, then closes it."""

    def handle(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)

    return handle


def reset(connection: socket.socket) -> None:
    """Have the socket send a reset when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def reset_on_arrival(connection: socket.socket) -> None:
    """Reset the connection at its first byte; earlier, it might not be established yet."""
    connection.recv(1)
    reset(connection)


def reset_on_request(connection: socket.socket) -> None:
    read_request(connection)
    reset(connection)


def reset_in_the_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(ANSWER[:-5])
    # Give the client time to read the first part and wait for more.
    connection.settimeout(0.2)
    with suppress(TimeoutError):
        connection.recv(1)
    reset(connection)


def say_nothing(connection: socket.socket) -> None:
    """Wait until the client closes the connection."""
    while connection.recv(65536):
        pass


def trickle(connection: socket.socket) -> None:
    """Send a body byte by byte, with shorter gaps than the read timeout."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "handle",
    [
        answering(b""),
        answering(b"\r\n"),
        answering(b"nonsense\r\n\r\n"),
        answering(b"HTTP/1.1 OK 200\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Le"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
        answering(ANSWER[:-1]),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        answering(ANSWER.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n")),
        answering(b"HTTP/1.1 204 No Content\r\n\r\n"),
        reset_on_arrival,
        reset_on_request,
        reset_in_the_body,
        say_nothing,
        trickle,
    ],
    ids=[
        "hang-up",
        "empty line",
        "nonsense",
        "status without number",
        "half a head",
        "two lengths",
        "too many headers",
        "cut body",
        "cut chunk",
        "missing last chunk",
        "chunk without length",
        "not gzip",
        "no content",
        "reset on arrival",
        "reset on request",
        "reset in the body",
        "silence",
        "trickle",
    ],
)
def test_failure_after_connecting_leaves_the_outcome_unknown(
    handle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The send may have been processed, so it is not sent again."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.5)
    with RawServer(handle) as server:
        begin = time.monotonic()

        with pytest.raises(OutcomeUnknownError):
            OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))

    assert server.connections == 1
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("handle", [reset_on_arrival, say_nothing])
def test_failure_while_sending_leaves_the_outcome_unknown(
    handle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infobip may have processed a body that was not sent completely."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.5)
    with RawServer(handle) as server, pytest.raises(OutcomeUnknownError):
        OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(
            send_request("m1", text="x" * 20_000_000)
        )


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, RateLimitedError), (403, AuthenticationError), (400, RefusedUnreadError)],
)
def test_error_status_suffices_without_its_body(status: int, error: type[OmniError]) -> None:
    """Only Infobip's own error refuses the content; without one the send is tried again."""
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 100\r\nRetry-After: 7\r\n\r\n{{".encode()
    with RawServer(answering(answer)) as server, pytest.raises(error) as caught:
        OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))

    assert getattr(caught.value, "retry_after_seconds", 7.0) == 7.0


def test_refused_connection_is_not_processed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotProcessedError, match=r"not reached.*ConnectionRefusedError"):
        OmniClient(f"http://127.0.0.1:{port}", key).send_advanced(send_request("m1"))


def test_unknown_host_is_not_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolvable(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unresolvable)

    with pytest.raises(NotProcessedError, match=r"not reached.*gaierror"):
        OmniClient("http://unresolvable.invalid", key).send_advanced(send_request("m1"))


def test_connection_timeout_is_not_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # One connection fills the backlog, which is never accepted; further attempts time out.
        with socket.create_connection(address), pytest.raises(NotProcessedError) as caught:
            OmniClient(f"http://127.0.0.1:{address[1]}", key).send_advanced(send_request("m1"))

    assert "TimeoutError" in str(caught.value)


# --- TLS -----------------------------------------------------------------------------------


@contextmanager
def tls_server(certificate: Path, handle: Callable[[socket.socket], None]) -> Iterator[RawServer]:
    """Serve TLS with a certificate file that also holds the private key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handle_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            handle(encrypted)

    with RawServer(handle_tls) as server:
        yield server


def write_certificate(path: Path, name: x509.GeneralName) -> Path:
    """Write a self-signed certificate and its private key to one file."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False
        )
        .sign(private_key, hashes.SHA256())
    )
    key_pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key_pem)
    return path


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem", x509.IPAddress(ip_address("127.0.0.1")))


def test_untrusted_certificate_is_not_processed(certificate: Path) -> None:
    """A server with an untrusted certificate gets no request."""
    requests_read = []
    with (
        tls_server(
            certificate, lambda connection: requests_read.append(read_request(connection))
        ) as server,
        pytest.raises(NotProcessedError, match="not reached"),
    ):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))

    assert requests_read == []


def test_certificate_of_another_host_is_not_processed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted certificate must also name the host."""
    certificate = write_certificate(tmp_path / "other.pem", x509.DNSName("example.com"))
    monkeypatch.setattr(client_module, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with (
        tls_server(certificate, answering(ANSWER)) as server,
        pytest.raises(NotProcessedError, match="not reached"),
    ):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


@pytest.mark.parametrize(
    "handle",
    [
        reset_on_arrival,
        lambda connection: connection.recv(65536),
        lambda connection: connection.sendall(b"220 mail.example.com ready\r\n"),
        say_nothing,
    ],
    ids=["reset", "hang-up", "other protocol", "silence"],
)
def test_failed_handshake_is_not_processed(
    handle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before TLS is established, no request is sent."""
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.3)
    with RawServer(handle) as server, pytest.raises(NotProcessedError, match="not reached"):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


def test_failure_after_the_handshake_leaves_the_outcome_unknown(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may have carried the request before it ended."""
    monkeypatch.setattr(client_module, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with (
        tls_server(certificate, answering(b"")) as server,
        pytest.raises(OutcomeUnknownError),
    ):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


def test_certificate_authorities_are_loaded_once(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections are verified with the authorities that the client loaded at its creation."""
    monkeypatch.setattr(client_module, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with tls_server(certificate, answering(ANSWER)) as server:
        omni = OmniClient(f"https://127.0.0.1:{server.port}", key)
        loaded = []
        for loader in ("load_verify_locations", "load_default_certs"):
            monkeypatch.setattr(ssl.SSLContext, loader, lambda *_, **__: loaded.append(1))

        pages = [omni.take_reports() for _ in range(3)]

    assert pages == [EMPTY_PAGE] * 3
    assert server.connections == 3
    assert loaded == []


# --- Connections ---------------------------------------------------------------------------


class Clocks:
    """Both clocks of the client's module, set by the test."""

    def __init__(self) -> None:
        self.now = {"monotonic": 1000.0, "time": 2000.0}

    def monotonic(self) -> float:
        return self.now["monotonic"]

    def time(self) -> float:
        return self.now["time"]


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_connection_is_reused_for_five_idle_seconds(
    monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """Consecutive calls share a connection; after more idle time the client opens a new one."""
    clocks = Clocks()
    monkeypatch.setattr(client_module, "time", clocks)
    seen = []
    with RawServer(answering(*[ANSWER] * 10)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)
        for idle in (0, 0, 5, 5.1, 0, 3600, 4):
            clocks.now[clock] += idle
            assert omni.take_reports() == EMPTY_PAGE
            seen.append(server.connections)

    assert seen == [1, 1, 1, 2, 2, 3, 3]


def test_connection_closed_by_the_server_is_not_reused() -> None:
    """The client notices the close before it sends, so the call succeeds."""
    with RawServer(answering(ANSWER)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)

        for _ in range(3):
            assert omni.take_reports() == EMPTY_PAGE
            server.wait_until_closed()

    assert server.connections == 3


def test_threads_share_the_client(omni: OmniClient, infobip: SimulatorControl) -> None:
    """Many threads send concurrently, and each gets the answer to its own request."""
    omni.create_scenario(DEFINITION)
    ids = [f"m{number}" for number in range(64)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda name: omni.send_advanced(send_request(name)), ids))

    assert [answer.messages[0].message_id for answer in answers] == ids
    assert infobip.totals()["acceptances"] == 64


def test_redirect_is_not_followed() -> None:
    """Neither requests nor credentials go to a host that an answer names."""
    with RawServer(answering(ANSWER)) as elsewhere:
        place = f"Location: http://127.0.0.1:{elsewhere.port}/omni/1/reports"
        answer = f"HTTP/1.1 307 Go\r\n{place}\r\nContent-Length: 0\r\n\r\n".encode()
        with RawServer(answering(answer)) as server, pytest.raises(OutcomeUnknownError):
            OmniClient(f"http://127.0.0.1:{server.port}", key).take_reports()

    assert elsewhere.connections == 0


def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    requests_read = []

    def handle(connection: socket.socket) -> None:
        requests_read.append(connection.recv(65536))
        connection.sendall(ANSWER)

    with RawServer(answering(ANSWER)) as proxy, RawServer(handle) as server:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        OmniClient(f"http://127.0.0.1:{server.port}", key).take_reports()

    assert proxy.connections == 0
    assert b"\r\nAuthorization: App key-1\r\n" in requests_read[0]


def test_compressed_answer_is_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size limit applies to the decompressed page."""
    packed = gzip.compress(b'{"results":[' + b" " * 1_000_000 + b"]}")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    with RawServer(answering(head.encode() + packed, head.encode() + packed)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)

        assert parse_page(omni.take_reports()) == []
        monkeypatch.setattr(client_module, "LARGEST_ANSWER_BYTES", 500_000)
        with pytest.raises(OutcomeUnknownError):
            omni.take_reports()
