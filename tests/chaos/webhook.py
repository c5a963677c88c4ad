"""Emulates the function URL: turns calls to the webhook into events and waits for their runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

Json = dict[str, Any]

#: How long a call waits for its status, in seconds.
_LONGEST_WAIT_SECONDS = 8.0


@dataclass(slots=True)
class Call:
    """A call to the webhook that waits for its status."""

    #: In the form in which a function URL invokes a function.
    event: Json
    _statuses: SimpleQueue[int] = field(default_factory=SimpleQueue)

    def answer(self, status: int) -> None:
        """Set the status that the call returns."""
        self._statuses.put(status)

    def wait(self) -> int:
        """Return the status, or 504 if it is not set in time."""
        try:
            return self._statuses.get(timeout=_LONGEST_WAIT_SECONDS)
        except Empty:
            return HTTPStatus.GATEWAY_TIMEOUT


class Webhook:
    """Listens on this machine and queues the calls."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Call] = SimpleQueue()
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = Call(
                    {
                        "requestContext": {"http": {"method": self.command}},
                        "rawPath": self.path,
                        "body": body.decode(),
                        "isBase64Encoded": False,
                    }
                )
                calls.put(call)
                self.send_response(call.wait())
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=0.05)
        threading.Thread(target=serve, daemon=True).start()

    @property
    def url(self) -> str:
        """The start of every URL of the webhook."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
