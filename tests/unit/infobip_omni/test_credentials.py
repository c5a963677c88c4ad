"""Credentials come from SSM, seldom, and never show."""

from __future__ import annotations

import json
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infobip_omni.api.errors import NotProcessedError
from infobip_omni.credentials import CredentialsUnavailableError, ParameterCredentials

NAME = "/omni/dev/infobip/credentials"
CANARY = "canary-9b2e"


class Ssm:
    """What SSM would answer, and how often it was asked."""

    def __init__(self) -> None:
        self.value: str | Exception = json.dumps({"apiKey": "key-1"})
        self.requests: list[dict[str, Any]] = []

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Stand in for botocore's call of an operation."""
        assert operation == "GetParameter"
        self.requests.append(arguments)
        if isinstance(self.value, Exception):
            raise self.value
        return {"Parameter": {"Value": self.value}}


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Ssm:
    """Put SSM behind botocore."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    ssm = Ssm()
    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", ssm.call)
    return ssm


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock by a number."""
    now = [1000.0]
    monkeypatch.setattr("infobip_omni.credentials.time.monotonic", lambda: now[0])
    return now


def refusal(code: str) -> ClientError:
    """Make an error as SSM answers it."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameter")


def test_api_key_is_read_decrypted(ssm: Ssm) -> None:
    """An API key becomes Infobip's App scheme."""
    credentials = ParameterCredentials(NAME)()

    assert credentials.authorization() == "App key-1"
    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


def test_user_and_password_serve_as_well(ssm: Ssm) -> None:
    """A user's name and password become the Basic scheme."""
    ssm.value = json.dumps({"username": "acme", "password": "secret"})

    assert ParameterCredentials(NAME)().authorization() == "Basic YWNtZTpzZWNyZXQ="


def test_nothing_is_read_before_it_is_needed(ssm: Ssm) -> None:
    """Making the source asks nobody."""
    ParameterCredentials(NAME)

    assert ssm.requests == []


def test_credentials_are_read_once(ssm: Ssm) -> None:
    """Calls within five minutes share one read."""
    source = ParameterCredentials(NAME)

    assert {source().authorization() for _ in range(3)} == {"App key-1"}
    assert len(ssm.requests) == 1


def test_refresh_reads_afresh(ssm: Ssm) -> None:
    """A rotated key is there as soon as the old one is turned away."""
    source = ParameterCredentials(NAME)
    source()
    ssm.value = json.dumps({"apiKey": "key-2"})

    assert source().authorization() == "App key-1"
    assert source(refresh=True).authorization() == "App key-2"
    assert source().authorization() == "App key-2"


def test_ten_threads_share_one_refresh(ssm: Ssm) -> None:
    """Threads whose key is turned away at once cause one read between them."""
    source = ParameterCredentials(NAME)
    source()
    ssm.value = json.dumps({"apiKey": "key-2"})
    together = Barrier(10)

    def refreshed() -> str:
        together.wait()
        return source(refresh=True).authorization()

    with ThreadPoolExecutor(10) as threads:
        futures = [threads.submit(refreshed) for _ in range(10)]

    assert {future.result() for future in futures} == {"App key-2"}
    assert len(ssm.requests) == 2


def test_a_later_refresh_reads_again(ssm: Ssm, clock: list[float]) -> None:
    """Only a refresh of the last second is shared."""
    source = ParameterCredentials(NAME)
    source(refresh=True)
    clock[0] += 0.9
    source(refresh=True)
    assert len(ssm.requests) == 1

    clock[0] += 0.2
    source(refresh=True)

    assert len(ssm.requests) == 2


def test_a_failed_refresh_is_not_shared(ssm: Ssm) -> None:
    """Where SSM failed for one, the next asks again."""
    source = ParameterCredentials(NAME)
    source()
    ssm.value = refusal("ThrottlingException")
    with pytest.raises(CredentialsUnavailableError):
        source(refresh=True)

    ssm.value = json.dumps({"apiKey": "key-2"})

    assert source(refresh=True).authorization() == "App key-2"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (refusal("ParameterNotFound"), "ParameterNotFound"),
        (refusal("AccessDeniedException"), "AccessDeniedException"),
        (refusal("ThrottlingException"), "ThrottlingException"),
        (EndpointConnectionError(endpoint_url="https://ssm"), "EndpointConnectionError"),
    ],
)
def test_unreadable_parameter_means_that_nothing_was_sent(
    ssm: Ssm, failure: Exception, kind: str
) -> None:
    """A sender treats it as not processed; SSM's own words name accounts and roles."""
    ssm.value = failure

    with pytest.raises(CredentialsUnavailableError, match=NAME) as caught:
        ParameterCredentials(NAME)()

    assert str(caught.value) == f"SSM parameter {NAME} cannot be read: {kind}"
    assert isinstance(caught.value, NotProcessedError)


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f'{{"apiKey": "{CANARY}"',
        f'["{CANARY}"]',
        f'"{CANARY}"',
        json.dumps({"apiKey": CANARY, "username": CANARY}),
        json.dumps({"apiKey": [CANARY]}),
        json.dumps({"apiKey": f"{CANARY}\n"}),
        json.dumps({"username": CANARY}),
        json.dumps({"username": f"{CANARY}:", "password": CANARY}),
        json.dumps({CANARY: CANARY}),
        "{}",
        "null",
    ],
)
def test_malformed_value_does_not_show(
    ssm: Ssm,
    value: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error names parameter and rule; the value is in no text, traceback or log."""
    caplog.set_level(logging.DEBUG)
    ssm.value = value

    with pytest.raises(CredentialsUnavailableError, match="must hold JSON") as caught:
        ParameterCredentials(NAME)()

    logging.getLogger("test").error("failed", exc_info=caught.value)
    output = capsys.readouterr()
    shown = "".join(traceback.format_exception(caught.value))
    assert NAME in shown
    assert CANARY not in shown + repr(caught.value) + caplog.text + output.out + output.err


def test_corrected_value_serves_at_once(ssm: Ssm) -> None:
    """What could not be read is not cached."""
    source = ParameterCredentials(NAME)
    ssm.value = "{}"
    with pytest.raises(CredentialsUnavailableError):
        source()

    ssm.value = json.dumps({"apiKey": "key-2"})

    assert source().authorization() == "App key-2"


def test_credentials_have_no_readable_form(ssm: Ssm) -> None:
    """Printing the credentials shows nothing of them."""
    ssm.value = json.dumps({"apiKey": CANARY})

    credentials = ParameterCredentials(NAME)()

    assert CANARY not in repr(credentials) + str(credentials)
