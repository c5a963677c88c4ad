"""Keeps other pages of the same browser from reading or driving the local world.

Any page that is open on this machine can call a server on it. So each call has to be addressed to
this server by its own name, to come from its own page or from no page, and, if it changes
something, to bear the token that only its own page can read.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import request as current_request

from .refusals import PageError

if TYPE_CHECKING:
    from flask import Flask, Request, Response

LARGEST_BODY = 2**20  # bytes
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check(request: Request, port: int, token: str) -> None:
    """Refuse a request that does not come from the page.

    Args:
        request: The request.
        port: Of this server.
        token: That the page holds.

    Raises:
        PageError: The request breaks a rule.
    """
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if request.headers.get("Host") not in hosts:
        raise PageError(
            HTTPStatus.MISDIRECTED_REQUEST, f"Host must be {' or '.join(sorted(hosts))}"
        )
    origin = request.headers.get("Origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        raise PageError(HTTPStatus.FORBIDDEN, "Origin must be this page's, or absent")
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise PageError(HTTPStatus.FORBIDDEN, "Sec-Fetch-Site must be same-origin or none")
    if request.method in {"GET", "HEAD"}:
        return
    given = request.headers.get("X-Page-Token", "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise PageError(
            HTTPStatus.FORBIDDEN,
            "X-Page-Token must be the token of the open page: reload it after a new `make local`",
        )
    if request.mimetype != "application/json":
        raise PageError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")


def guard(app: Flask, port: int, token: str) -> None:
    """Check every request of an app, and limit what a browser does with its answers."""
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY

    @app.before_request
    def check_request() -> None:
        check(current_request, port, token)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response
