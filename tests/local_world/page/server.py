"""Serves the page with the phones to browsers on this machine.

It is built on `RunningWorld`, whose clients only know the emulator, so it cannot be pointed at an
AWS account.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from contextlib import contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.serving import LISTEN_QUEUE, WSGIRequestHandler, make_server

from tests.local_world.aws_emulator import free_port
from tests.local_world.running import RefusedError, described

from .feed import Feed
from .routes import application
from .sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.local_world.running import RunningWorld
    from tests.local_world.world import World

_HOST = "127.0.0.1"
_SECONDS_UNTIL_NOTICED = 0.1


class _RequestHandler(WSGIRequestHandler):
    """Writes answers of unknown length in chunks, as streams of events need it."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Log nothing, since paths hold phone numbers."""

    def parse_request(self) -> bool:
        """Read the request line and the headers; refuse a target that is no URL.

        Werkzeug would print a traceback, and answer nothing.
        """
        if not super().parse_request():
            return False
        try:
            urlsplit(self.path)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        return True


@contextmanager
def serving(running: RunningWorld) -> Iterator[None]:
    """Serve the page of a local world at its `page_url`.

    Raises:
        RefusedError: The port is taken.
    """
    # Werkzeug logs errors with what was requested.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL + 1)
    port = urlsplit(running.page_url).port or 0
    feed = Feed()
    sources = Sources(running, feed)
    app = application(running, feed, port, secrets.token_urlsafe())
    with _listening(port) as listener:  # werkzeug uses a duplicate of it
        server = make_server(
            *(_HOST, port, app),
            threaded=True,
            request_handler=_RequestHandler,
            fd=listener.fileno(),
        )
    thread = threading.Thread(
        target=server.serve_forever, args=(_SECONDS_UNTIL_NOTICED,), name="page", daemon=True
    )
    sources.start()
    thread.start()
    try:
        yield
    finally:
        feed.stop()
        server.shutdown()
        server.server_close()
        sources.stop()


def _listening(port: int) -> socket.socket:
    """Return a socket that listens; werkzeug would end the process if the port is taken."""
    try:
        return socket.create_server((_HOST, port), backlog=LISTEN_QUEUE)
    except OSError as error:
        raise RefusedError(
            f"the page cannot listen on port {port}: {error.strerror}; start it again"
        ) from None


@contextmanager
def page(
    world: World, port: int = 0, parameters: Mapping[str, str] = MappingProxyType({})
) -> Iterator[RunningWorld]:
    """Serve the page of a local world of this process, and return how to reach both.

    Args:
        world: It has been started.
        port: The preferred one; by default, and if it is taken, a free one.
        parameters: The template parameters that its user gave.

    Raises:
        RefusedError: The port was taken after it had been found free.
    """
    running = described(world, parameters, f"http://{_HOST}:{free_port(port)}/")
    with serving(running):
        yield running
