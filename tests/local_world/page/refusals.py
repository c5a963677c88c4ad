"""The answers to requests that the page's server refuses or cannot serve."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException

from .sources import UNAVAILABLE, problem_of

if TYPE_CHECKING:
    from flask import Flask

    Answer = tuple[dict[str, str], int]

_SENTENCES = {
    HTTPStatus.NOT_FOUND: "nothing is at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take this method",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body must not exceed 1 MiB",
}


class PageError(Exception):
    """A request is refused; the text never holds an address or a text of a message.

    Args:
        status: The HTTP status of the answer.
        sentence: What is wrong, and what to do.
        field: The member or parameter that breaks a rule.
        rule: The rule that it breaks.
    """

    def __init__(self, status: HTTPStatus, sentence: str, field: str = "", rule: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.body = {"error": sentence} | ({"field": field, "rule": rule} if field else {})


def broken_rule(field: str, rule: str) -> PageError:
    """Return the refusal of a request of which a member or a parameter breaks a rule."""
    return PageError(HTTPStatus.BAD_REQUEST, f"{field} {rule}", field, rule)


def answer_errors(app: Flask) -> None:
    """Answer each error as JSON, in one sentence."""

    @app.errorhandler(PageError)
    def refused(error: PageError) -> Answer:
        return error.body, error.status

    @app.errorhandler(HTTPException)
    def unserved(error: HTTPException) -> Answer:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        return {"error": _SENTENCES.get(status, status.phrase)}, status

    for kind in UNAVAILABLE:

        @app.errorhandler(kind)
        def unavailable(error: Exception) -> Answer:
            return {"error": problem_of(error)}, HTTPStatus.SERVICE_UNAVAILABLE

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Answer:
        return {"error": problem_of(error)}, HTTPStatus.INTERNAL_SERVER_ERROR
