"""Errors of calls to Infobip, by what the caller may do next.

    OmniError
    ├── RequestRejectedError     the same request can never succeed
    ├── NotProcessedError        Infobip did not process the request: safe to send again
    │   ├── RateLimitedError       too many calls
    │   ├── AuthenticationError    the credentials were not accepted, or lack a scope
    │   └── RefusedUnreadError     the refusal of a send says nothing about its content
    └── OutcomeUnknownError      Infobip may or may not have processed the request

The text of an error holds only a fixed reason, the HTTP status, Infobip's error id, and the fields
and rules that Infobip names, without values. So it can be logged. Infobip's own text may quote the
request, and with it a phone number or a message.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from .violations import violations_in, without_values
from .wire import LONGEST_DESCRIPTION, encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .violations import Violation

#: The longest wait that is read from a Retry-After header, in seconds.
LONGEST_RETRY_AFTER = 3600.0
_ERROR_ID = re.compile(r"[A-Z0-9_]{1,64}")
#: Refusals of an address, a method or a format, whatever the content of the request.
_NOT_ABOUT_CONTENT = frozenset(
    {
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.MISDIRECTED_REQUEST,
    }
)


class OmniError(Exception):
    """Base of the client's errors; its text never quotes the request."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        error_id: str | None = None,
        text: str | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        details = [reason, f"HTTP {status}" if status else "", error_id or ""]
        rules = "; ".join(f"{each.field}: {each.rule}" for each in violations)
        named = [", ".join(filter(None, details)), rules or without_values(text or "")]
        super().__init__(": ".join(filter(None, named)))
        self.status = status  #: HTTP status; None when no answer came back
        self.error_id = error_id  #: Infobip's `messageId` or `errorCode`, if it looks like one
        self.text = text  #: the beginning of Infobip's own text; not for logs
        self.violations = violations  #: the broken rules that Infobip names


class RequestRejectedError(OmniError):
    """Infobip refused the request: a 4xx other than 401, 403, 408 and 429."""


class NotProcessedError(OmniError):
    """Infobip did not process the request: it was not reached, or refused the request unread."""

    def __init__(  # noqa: PLR0913 (each is a part of the answer)
        self,
        reason: str,
        *,
        status: int | None = None,
        error_id: str | None = None,
        text: str | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason, status=status, error_id=error_id, text=text, violations=violations)
        #: The seconds of Infobip's Retry-After header, 0 to `LONGEST_RETRY_AFTER`, if it has one.
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(NotProcessedError):
    """429: too many calls."""


class AuthenticationError(NotProcessedError):
    """401 with fresh credentials, or 403: they lack the scope."""


class RefusedUnreadError(NotProcessedError):
    """A 4xx after a send that says nothing about its content: another server may have answered."""


class OutcomeUnknownError(OmniError):
    """No conclusive answer: none at all, 3xx, 408, 5xx, or a success that cannot be read."""


def error_for(status: int, body: object, headers: Mapping[str, str]) -> OmniError:
    """Return the error for an unsuccessful answer.

    Args:
        status: An HTTP status outside 2xx.
        body: The body's JSON; None if it is not JSON.
        headers: The headers; looking up a name must ignore its case.
    """
    error_id, text, violations = _error_details(body)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
        limited = status == HTTPStatus.TOO_MANY_REQUESTS
        kind = RateLimitedError if limited else AuthenticationError
        return kind(
            "Infobip limits the rate" if limited else "Infobip refuses the credentials",
            status=status,
            error_id=error_id,
            text=text,
            violations=violations,
            retry_after_seconds=_retry_after(headers.get("Retry-After")),
        )
    is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_client_error and status != HTTPStatus.REQUEST_TIMEOUT:
        reason = "Infobip refused the request"
        return RequestRejectedError(
            reason, status=status, error_id=error_id, text=text, violations=violations
        )
    reason = "Infobip's answer does not show whether it processed the request"
    return OutcomeUnknownError(
        reason, status=status, error_id=error_id, text=text, violations=violations
    )


def error_of_send(status: int, body: object, headers: Mapping[str, str]) -> OmniError:
    """Return the error for an unsuccessful answer to a send.

    A send is refused for its content only by Infobip's own error, and only with a status that can
    be about the content. A mistyped host answers every send with the 404 page of another server.

    Args:
        status: An HTTP status outside 2xx.
        body: The body's JSON; None if it is not JSON.
        headers: The headers; looking up a name must ignore its case.
    """
    error = error_for(status, body, headers)
    if not isinstance(error, RequestRejectedError):
        return error
    if _is_envelope(body) and status not in _NOT_ABOUT_CONTENT:
        return error
    return RefusedUnreadError(
        "the answer does not refuse the content",
        status=status,
        error_id=error.error_id,
        text=error.text,
        violations=error.violations,
        retry_after_seconds=_retry_after(headers.get("Retry-After")),
    )


def _is_envelope(body: object) -> bool:
    """Return whether a body is OMNI's error envelope, or the platform's newer one."""
    if not isinstance(body, dict):
        return False
    request_error = body.get("requestError")
    if isinstance(request_error, dict) and isinstance(request_error.get("serviceException"), dict):
        return True
    return isinstance(body.get("errorCode"), str)


def _error_details(body: object) -> tuple[str | None, str | None, tuple[Violation, ...]]:
    """Read error id, text and broken rules from OMNI's envelope, or the platform's newer one."""
    if not isinstance(body, dict):
        return None, None, ()
    error_id, text = body.get("errorCode"), body.get("description")
    request_error = body.get("requestError")
    exception = request_error.get("serviceException") if isinstance(request_error, dict) else None
    if isinstance(exception, dict):
        error_id, text = exception.get("messageId"), exception.get("text")
    is_id = isinstance(error_id, str) and _ERROR_ID.fullmatch(error_id)
    kept = encodable(text)[:LONGEST_DESCRIPTION] if isinstance(text, str) else None
    envelopes = [each for each in (exception, body) if isinstance(each, dict)]
    names = ("validationErrors", "violations")
    violations = violations_in(*(each.get(name) for each in envelopes for name in names))
    return error_id if is_id else None, kept, violations


def _retry_after(value: str | None) -> float | None:
    """Parse seconds or an HTTP date, and return seconds from now."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdecimal() else _seconds_until(value)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds_until(date: str) -> float:
    until = parsedate_to_datetime(date)
    # A date with the zone "-0000" is parsed as naive; HTTP has no zone other than GMT.
    return (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
