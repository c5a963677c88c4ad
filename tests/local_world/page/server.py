"""Serves the page with the phones to browsers on this machine.

It is built on `RunningWorld`, whose clients only know the emulator, so it cannot be pointed at an
AWS account.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.local_world.aws_emulator import free_port
from tests.local_world.running import described

from .feed import Feed
from .routes import application
from .sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.running import RunningWorld
    from tests.local_world.world import World

_HOST = "127.0.0.1"
_SECONDS_UNTIL_NOTICED = 0.1


class _RequestHandler(WSGIRequestHandler):
    """Writes answers of unknown length in chunks, as streams of events need it."""

    protocol_version = "HTTP/1.1"


@contextmanager
def serving(running: RunningWorld) -> Iterator[None]:
    """Serve the page of a local world at its `page_url`.

    Raises:
        OSError: The port is taken.
    """
    # Paths hold phone numbers, so no request is logged.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL + 1)
    port = urlsplit(running.page_url).port or 0
    feed = Feed()
    sources = Sources(running, feed)
    app = application(running, feed, port, secrets.token_urlsafe())
    server = make_server(_HOST, port, app, threaded=True, request_handler=_RequestHandler)
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


@contextmanager
def page(world: World, port: int = 0) -> Iterator[str]:
    """Serve the page of a local world of this process, and return its URL.

    Args:
        world: It has been started.
        port: The preferred one; by default, and if it is taken, a free one.
    """
    running = described(world, {}, f"http://{_HOST}:{free_port(port)}/")
    with serving(running):
        yield running.page_url
