"""Each failure becomes the error by which the caller decides what to do next."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
import responses
import urllib3
from requests.structures import CaseInsensitiveDict

from infobip_omni.api.authorization import ApiKeyCredentials, Credentials
from infobip_omni.api.client import OmniClient
from infobip_omni.api.errors import (
    LONGEST_RETRY_AFTER,
    AuthenticationError,
    NotProcessedError,
    OmniError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedUnreadError,
    RequestRejectedError,
    error_for,
    error_of_send,
)

URL = "https://xxxxx.api.infobip.com"
PHONE = "41793026731"


def key(*, refresh: bool = False) -> Credentials:
    del refresh
    return ApiKeyCredentials(api_key="key-1")


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    """Return *kind* and all its subclasses, direct or not."""
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


def qualified_name(kind: type[Exception]) -> str:
    """Return the name with its module, since both libraries share some names."""
    return f"{kind.__module__}.{kind.__name__}"


#: Every exception that an exchange over HTTP may raise.
FAILURES: list[type[Exception]] = sorted(
    subclasses(requests.RequestException)
    | subclasses(urllib3.exceptions.HTTPError)
    | {OSError, ConnectionResetError, BrokenPipeError, TimeoutError},
    key=qualified_name,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, OutcomeUnknownError),
        (302, OutcomeUnknownError),
        (304, OutcomeUnknownError),
        (307, OutcomeUnknownError),
        (400, RequestRejectedError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, RequestRejectedError),
        (405, RequestRejectedError),
        (408, OutcomeUnknownError),
        (409, RequestRejectedError),
        (413, RequestRejectedError),
        (422, RequestRejectedError),
        (429, RateLimitedError),
        (499, RequestRejectedError),
        (500, OutcomeUnknownError),
        (502, OutcomeUnknownError),
        (503, OutcomeUnknownError),
        (504, OutcomeUnknownError),
        (599, OutcomeUnknownError),
    ],
)
def test_status_decides_error(status: int, kind: type[OmniError]) -> None:
    error = error_for(status, None, {})

    assert type(error) is kind
    assert (error.status, error.error_id, error.text) == (status, None, None)


def test_only_unprocessed_requests_may_be_sent_again() -> None:
    """Callers that send again catch one class, which has no rejection and no unknown outcome."""
    assert issubclass(RateLimitedError, NotProcessedError)
    assert issubclass(AuthenticationError, NotProcessedError)
    assert issubclass(RefusedUnreadError, NotProcessedError)
    assert not issubclass(RequestRejectedError, NotProcessedError)
    assert not issubclass(OutcomeUnknownError, NotProcessedError)


@pytest.mark.parametrize(
    "body",
    [
        {"requestError": {"serviceException": {"messageId": "BAD_REQUEST", "text": "no flow"}}},
        {"errorCode": "BAD_REQUEST", "description": "no flow", "violations": []},
    ],
)
def test_both_envelopes_are_read(body: object) -> None:
    """OMNI's envelope and the platform's newer one hold an id and a text."""
    error = error_for(400, body, {})

    assert (error.error_id, error.text) == ("BAD_REQUEST", "no flow")


OMNI_ERROR = {"requestError": {"serviceException": {"messageId": "BAD_REQUEST", "text": "no"}}}
PLATFORM_ERROR = {"errorCode": "E400", "description": "no", "violations": []}
#: Refusals of an address, a method or a format.
NOT_ABOUT_CONTENT = (404, 405, 410, 413, 415, 421)


@pytest.mark.parametrize("envelope", [OMNI_ERROR, PLATFORM_ERROR])
@pytest.mark.parametrize("status", [400, 402, 406, 409, 411, 414, 418, 422, 451, 499])
def test_only_infobips_own_error_refuses_the_content_of_a_send(
    status: int, envelope: object
) -> None:
    """Any other page may come from a server that a mistyped host leads to."""
    assert type(error_of_send(status, envelope, {})) is RequestRejectedError
    pages: list[object] = [None, [], "text", {}, {"message": "Not Found"}, {"requestError": "no"}]
    for page in pages:
        assert type(error_of_send(status, page, {})) is RefusedUnreadError


@pytest.mark.parametrize("body", [None, OMNI_ERROR, PLATFORM_ERROR])
@pytest.mark.parametrize("status", NOT_ABOUT_CONTENT)
def test_status_that_is_not_about_the_content_refuses_no_send(status: int, body: object) -> None:
    """Infobip may be asked again; the error says what was answered, and when to come back."""
    error = error_of_send(status, body, {"Retry-After": "7"})

    assert type(error) is RefusedUnreadError
    assert (error.status, error.retry_after_seconds) == (status, 7.0)
    assert error.text == (None if body is None else "no")


@pytest.mark.parametrize("status", NOT_ABOUT_CONTENT)
@pytest.mark.parametrize("body", [None, OMNI_ERROR])
def test_other_calls_are_refused_by_every_4xx(status: int, body: object) -> None:
    """A 404 means that the scenario is unknown."""
    assert type(error_for(status, body, {})) is RequestRejectedError


@pytest.mark.parametrize("body", [None, OMNI_ERROR, PLATFORM_ERROR])
@pytest.mark.parametrize("status", [301, 302, 308, 401, 403, 408, 429, 500, 502, 503, 599])
def test_other_answers_to_a_send_mean_what_they_mean_elsewhere(status: int, body: object) -> None:
    """Any page may hide an acceptance, a gateway's too."""
    assert type(error_of_send(status, body, {})) is type(error_for(status, body, {}))


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {"requestError": None},
        {"requestError": {"serviceException": "text"}},
        {"requestError": {"serviceException": {"messageId": 7, "text": ["x"]}}},
        {"errorCode": None},
    ],
)
def test_malformed_envelopes_are_ignored(body: object) -> None:
    error = error_for(400, body, {})

    assert (error.error_id, error.text) == (None, None)


def test_error_text_quotes_nothing_of_answer() -> None:
    """Infobip may quote the request, so only an id of the usual form is included."""
    details = {"messageId": f"{PHONE} is wrong", "text": f"{PHONE} is wrong"}

    error = error_for(400, {"requestError": {"serviceException": details}}, {})

    assert PHONE not in str(error) + repr(error)
    assert error.text == f"{PHONE} is wrong"
    assert str(error_for(429, {"errorCode": "E429"}, {})).endswith("HTTP 429, E429")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999", LONGEST_RETRY_AFTER),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2001 00:00:00 -0000", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER),
        ("Mon, 99 Jan 2001 00:00:00 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [401, 403, 429])
def test_retry_after_is_read_within_limits(status: int, value: str, seconds: float | None) -> None:
    """Seconds or a date, never negative, never longer than the limit."""
    error = error_for(status, None, CaseInsensitiveDict({"retry-after": value}))

    assert isinstance(error, NotProcessedError)
    assert error.retry_after_seconds == seconds


def test_retry_after_date_counts_from_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)

    error = error_for(429, None, {"Retry-After": date})

    assert isinstance(error, NotProcessedError)
    assert error.retry_after_seconds == pytest.approx(120, abs=2)


@pytest.mark.parametrize("kind", FAILURES, ids=qualified_name)
def test_every_exception_of_libraries_leaves_outcome_unknown(kind: type[Exception]) -> None:
    """The error quotes nothing of what requests or urllib3 raised."""
    failure = kind.__new__(kind, PHONE)
    failure.args = (PHONE,)
    with responses.RequestsMock() as mock:
        mock.get(f"{URL}/omni/1/reports", body=failure)

        with pytest.raises(OutcomeUnknownError) as caught:
            OmniClient(URL, key).take_reports()

    assert PHONE not in "".join(traceback.format_exception(caught.value))


def test_request_that_cannot_be_made_is_not_processed() -> None:
    """It fails before a connection is opened, so nothing was sent."""
    with pytest.raises(NotProcessedError):
        OmniClient(f"https://{'x' * 64}.infobip.com", key).take_reports()
