"""The client against real sockets: the simulator, and servers that break off on purpose.

What matters is on which side of the line a failure falls: before the connection stands nothing
was sent, afterwards nobody knows.
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
from infobip_omni.api.authorization import ApiKeyCredentials, Credentials
from infobip_omni.api.client import OmniClient
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OmniError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.api.reports import DeliveryReport, StatusGroup, parse_page
from infobip_omni.api.scenarios import ScenarioDefinition
from infobip_omni.api.sends import AdvancedRequest
from tests.local_world.infobip_simulator import process
from tests.local_world.simulator_control import SimulatorControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
DEFINITION = ScenarioDefinition.model_validate({"name": "otp", "flow": FLOW, "default": True})
#: Its last digits are not magic.
PHONE = "385915551234"
EMPTY_PAGE = b'{"results":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + EMPTY_PAGE
#: Closing a socket with this resets the connection.
RESET = struct.pack("ii", 1, 0)


def key(*, refresh: bool = False) -> Credentials:
    """Always return the same API key."""
    del refresh
    return ApiKeyCredentials(api_key="key-1")


def send_request(*message_ids: str, text: str = "Code: 1234") -> AdvancedRequest:
    """Return a send to the same phone under each of the ids."""
    return AdvancedRequest.model_validate(
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


@pytest.fixture(scope="module")
def simulator_url() -> Iterator[str]:
    """Start one simulator for this module; it is ready when it says so."""
    with process.running("--api-key", "key-1") as url:
        yield url


@pytest.fixture
def infobip(simulator_url: str) -> SimulatorControl:
    """Return an account without scenarios."""
    infobip = SimulatorControl(simulator_url)
    infobip.reset()
    return infobip


@pytest.fixture
def omni(infobip: SimulatorControl) -> OmniClient:
    """Return a client of the account."""
    return OmniClient(infobip.url, key)


def test_scenario_is_created_listed_read_and_replaced(
    omni: OmniClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four operations on scenarios agree with each other."""
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
    """A send, its report and its log rows tell of the same message."""
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
        ("error_before", {"status": 404}, RequestRejectedError, 0),
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
    """Whatever goes wrong, Infobip has accepted the message at most once, and the error fits."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.3)
    omni.create_scenario(DEFINITION)
    infobip.add_fault("send_advanced", kind, **members)

    with pytest.raises(error) as caught:
        omni.send_advanced(send_request("m1"))

    assert type(caught.value) is error
    assert infobip.totals()["acceptances"] == acceptances
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after_seconds == 7


def test_incomplete_answer_is_read_as_far_as_it_goes(
    omni: OmniClient, infobip: SimulatorControl
) -> None:
    """An entry that lacks its id stays, one whose status makes no sense goes."""
    omni.create_scenario(DEFINITION)
    infobip.add_fault("send_advanced", "incomplete_answer")
    infobip.add_fault("send_advanced", "malformed_entry", afterCalls=1)

    incomplete = omni.send_advanced(send_request("m1", "m2"))
    malformed = omni.send_advanced(send_request("m3", "m4"))

    assert [(result.message_id, result.status) for result in incomplete.messages] == [(None, None)]
    assert [result.message_id for result in malformed.messages] == ["m4"]


# --- Servers that break off ----------------------------------------------------------------


class RawServer:
    """Lets a function deal with each connection, in a thread of its own."""

    def __init__(self, deal: Callable[[socket.socket], None]) -> None:
        self._deal = deal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0  #: how many were accepted
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Start accepting."""
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.wait_until_closed()

    def wait_until_closed(self) -> None:
        """Wait until this side of every connection is closed."""
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
            self._deal(connection)


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
    """Return what answers the requests of a connection, and closes it after the last answer."""

    def deal(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)

    return deal


def reset(connection: socket.socket) -> None:
    """Let closing the connection reset it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def reset_on_arrival(connection: socket.socket) -> None:
    """Reset the connection when its first byte arrives: sooner, it might not yet stand."""
    connection.recv(1)
    reset(connection)


def reset_on_request(connection: socket.socket) -> None:
    """Reset the connection when the request has arrived."""
    read_request(connection)
    reset(connection)


def reset_in_the_body(connection: socket.socket) -> None:
    """Reset the connection in the middle of the answer."""
    read_request(connection)
    connection.sendall(ANSWER[:-5])
    # The client has the first part when it waits for more: give it a moment to get there.
    connection.settimeout(0.2)
    with suppress(TimeoutError):
        connection.recv(1)
    reset(connection)


def say_nothing(connection: socket.socket) -> None:
    """Wait for the client to go away."""
    while connection.recv(65536):
        pass


def trickle(connection: socket.socket) -> None:
    """Send a body byte by byte, faster than the longest silence."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "deal",
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
def test_trouble_after_the_connection_stands_leaves_the_outcome_unknown(
    deal: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a connection ends, the send may have been processed; it is not sent again."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.5)
    with RawServer(deal) as server:
        begin = time.monotonic()

        with pytest.raises(OutcomeUnknownError):
            OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))

    assert server.connections == 1
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("deal", [reset_on_arrival, say_nothing])
def test_trouble_while_sending_leaves_the_outcome_unknown(
    deal: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that could not be sent to its end may have been enough."""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.5)
    with RawServer(deal) as server, pytest.raises(OutcomeUnknownError):
        OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(
            send_request("m1", text="x" * 20_000_000)
        )


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, RateLimitedError), (403, AuthenticationError), (400, RequestRejectedError)],
)
def test_status_of_an_error_is_enough(status: int, error: type[OmniError]) -> None:
    """An error whose body is cut off is still that error."""
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 100\r\nRetry-After: 7\r\n\r\n{{".encode()
    with RawServer(answering(answer)) as server, pytest.raises(error) as caught:
        OmniClient(f"http://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))

    assert getattr(caught.value, "retry_after_seconds", 7.0) == 7.0


def test_refused_connection_is_not_processed() -> None:
    """Where nobody listens, nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotProcessedError, match=r"not reached.*ConnectionRefusedError"):
        OmniClient(f"http://127.0.0.1:{port}", key).send_advanced(send_request("m1"))


def test_unknown_host_is_not_processed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved has sent nothing."""

    def unresolvable(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", unresolvable)

    with pytest.raises(NotProcessedError, match=r"not reached.*gaierror"):
        OmniClient("http://nobody.invalid", key).send_advanced(send_request("m1"))


def test_connection_that_does_not_come_about_is_not_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that does not answer the connection attempt has got nothing."""
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # One connection fills the queue that nobody empties; further attempts get no answer.
        with socket.create_connection(address), pytest.raises(NotProcessedError) as caught:
            OmniClient(f"http://127.0.0.1:{address[1]}", key).send_advanced(send_request("m1"))

    assert "TimeoutError" in str(caught.value)


# --- TLS -----------------------------------------------------------------------------------


@contextmanager
def tls_server(certificate: Path, deal: Callable[[socket.socket], None]) -> Iterator[RawServer]:
    """Serve TLS with a certificate whose file holds its key as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def deal_in_secret(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secret:
            deal(secret)

    with RawServer(deal_in_secret) as server:
        yield server


def write_certificate(path: Path, name: x509.GeneralName) -> Path:
    """Write a certificate that vouches for itself, with its key."""
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
    """Return the certificate of a server on this machine."""
    return write_certificate(tmp_path / "server.pem", x509.IPAddress(ip_address("127.0.0.1")))


def test_certificate_nobody_vouches_for_is_not_processed(certificate: Path) -> None:
    """A server that cannot prove who it is gets no request."""
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
    """A valid certificate for another name proves nothing either."""
    certificate = write_certificate(tmp_path / "other.pem", x509.DNSName("example.com"))
    monkeypatch.setattr(client_module, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with (
        tls_server(certificate, answering(ANSWER)) as server,
        pytest.raises(NotProcessedError, match="not reached"),
    ):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


@pytest.mark.parametrize(
    "deal",
    [
        reset_on_arrival,
        lambda connection: connection.recv(65536),
        lambda connection: connection.sendall(b"220 mail.example.com ready\r\n"),
        say_nothing,
    ],
    ids=["reset", "hang-up", "other protocol", "silence"],
)
def test_failed_handshake_is_not_processed(
    deal: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as TLS is not agreed on, no request has left."""
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.3)
    with RawServer(deal) as server, pytest.raises(NotProcessedError, match="not reached"):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


def test_trouble_after_the_handshake_leaves_the_outcome_unknown(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once TLS is agreed on, a connection that ends may have carried the request."""
    monkeypatch.setattr(client_module, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    with (
        tls_server(certificate, answering(b"")) as server,
        pytest.raises(OutcomeUnknownError),
    ):
        OmniClient(f"https://127.0.0.1:{server.port}", key).send_advanced(send_request("m1"))


def test_certificate_authorities_are_loaded_once(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new connection is verified with what the client loaded when it was made."""
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
    """Both clocks of the client's module, moved by hand."""

    def __init__(self) -> None:
        self.now = {"monotonic": 1000.0, "time": 2000.0}

    def monotonic(self) -> float:
        """Return the time since some start."""
        return self.now["monotonic"]

    def time(self) -> float:
        """Return the time of day."""
        return self.now["time"]


@pytest.mark.parametrize("clock", ["monotonic", "time"])
def test_connection_is_kept_alive_but_not_reused_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """Calls in a row share a connection; after more than five idle seconds a new one is made."""
    clocks = Clocks()
    monkeypatch.setattr(client_module, "time", clocks)
    seen = []
    with RawServer(answering(*[ANSWER] * 10)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)
        for pause in (0, 0, 5, 5.1, 0, 3600, 4):
            clocks.now[clock] += pause
            assert omni.take_reports() == EMPTY_PAGE
            seen.append(server.connections)

    assert seen == [1, 1, 1, 2, 2, 3, 3]


def test_connection_that_the_server_has_closed_is_not_reused() -> None:
    """A hang-up that has arrived in time costs nothing."""
    with RawServer(answering(ANSWER)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)

        for _ in range(3):
            assert omni.take_reports() == EMPTY_PAGE
            server.wait_until_closed()

    assert server.connections == 3


def test_threads_share_the_client(omni: OmniClient, infobip: SimulatorControl) -> None:
    """Many threads send at once, and each gets the answer to its own request."""
    omni.create_scenario(DEFINITION)
    ids = [f"m{number}" for number in range(64)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda name: omni.send_advanced(send_request(name)), ids))

    assert [answer.messages[0].message_id for answer in answers] == ids
    assert infobip.totals()["acceptances"] == 64


def test_redirect_is_not_followed() -> None:
    """No request, and no credentials, go to a host that a reply names."""
    with RawServer(answering(ANSWER)) as elsewhere:
        place = f"Location: http://127.0.0.1:{elsewhere.port}/omni/1/reports"
        answer = f"HTTP/1.1 307 Go\r\n{place}\r\nContent-Length: 0\r\n\r\n".encode()
        with RawServer(answering(answer)) as server, pytest.raises(OutcomeUnknownError):
            OmniClient(f"http://127.0.0.1:{server.port}", key).take_reports()

    assert elsewhere.connections == 0


def test_environment_does_not_lead_the_client_astray(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Proxies and passwords that the environment names are not used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    requests_read = []

    def deal(connection: socket.socket) -> None:
        requests_read.append(connection.recv(65536))
        connection.sendall(ANSWER)

    with RawServer(answering(ANSWER)) as proxy, RawServer(deal) as server:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        OmniClient(f"http://127.0.0.1:{server.port}", key).take_reports()

    assert proxy.connections == 0
    assert b"\r\nAuthorization: App key-1\r\n" in requests_read[0]


def test_compressed_answer_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page in gzip arrives as its JSON, and its size is measured unpacked."""
    packed = gzip.compress(b'{"results":[' + b" " * 1_000_000 + b"]}")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    with RawServer(answering(head.encode() + packed, head.encode() + packed)) as server:
        omni = OmniClient(f"http://127.0.0.1:{server.port}", key)

        assert parse_page(omni.take_reports()) == []
        monkeypatch.setattr(client_module, "LARGEST_ANSWER_BYTES", 500_000)
        with pytest.raises(OutcomeUnknownError):
            omni.take_reports()
