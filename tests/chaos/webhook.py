"""Stands for the function URL: turns a call to the webhook into an event, and waits for a run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

Json = dict[str, Any]

#: How long a call waits for a run that deals with it, in seconds.
_LONGEST_WAIT_SECONDS = 8.0


@dataclass(slots=True)
class Call:
    """A call that waits for its answer."""

    #: As a function URL hands it over.
    event: Json
    _statuses: SimpleQueue[int] = field(default_factory=SimpleQueue)

    def answer(self, status: int) -> None:
        """Let it go with a status."""
        self._statuses.put(status)

    def wait(self) -> int:
        """Wait for the status."""
        try:
            return self._statuses.get(timeout=_LONGEST_WAIT_SECONDS)
        except Empty:
            return HTTPStatus.GATEWAY_TIMEOUT


class Webhook:
    """Listens on this machine, and queues the calls."""

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
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = partial(self._server.serve_forever, poll_interval=0.05)
        threading.Thread(target=serve, daemon=True).start()

    @property
    def url(self) -> str:
        """What every URL of it begins with."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
