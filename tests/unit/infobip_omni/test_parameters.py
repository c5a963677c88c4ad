"""Parameters are read seldom, and never show."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
)

from infobip_omni.api.errors import OmniError
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError

if TYPE_CHECKING:
    from .conftest import Ssm

NAME = "/omni/dev/parameter"
CANARY = "385991234567"


def parse(text: str) -> str:
    """Read a key, which begins with "key"."""
    if not text.startswith("key"):
        raise ValueError("must hold a key") from ValueError(text)
    return text


@pytest.fixture
def parameter(ssm: Ssm) -> CachedParameter[str]:
    """Return a parameter that holds a key."""
    ssm.value = "key-1"
    return CachedParameter(NAME, parse)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock by a number."""
    now = [1000.0]
    monkeypatch.setattr("infobip_omni.parameters.time.monotonic", lambda: now[0])
    return now


def refusal(code: str) -> ClientError:
    """Make an error as SSM answers it."""
    return ClientError({"Error": {"Code": code, "Message": CANARY}}, "GetParameter")


def test_nothing_is_read_before_it_is_needed(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """The first call reads the value, decrypted."""
    assert ssm.requests == []

    assert parameter() == "key-1"
    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


def test_value_is_read_once(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Calls within five minutes share one read."""
    assert {parameter() for _ in range(3)} == {"key-1"}
    assert len(ssm.requests) == 1


def test_threads_that_need_it_at_once_read_it_once(
    ssm: Ssm, parameter: CachedParameter[str]
) -> None:
    """One reads, the others find it cached."""
    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(lambda _: parameter(), range(50)))

    assert values == {"key-1"}
    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


def test_refresh_reads_afresh(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """A rotated key is there as soon as the old one is turned away."""
    parameter()
    ssm.value = "key-2"

    assert parameter() == "key-1"
    assert parameter(refresh=True) == "key-2"
    assert parameter() == "key-2"


def test_ten_threads_share_one_refresh(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Threads whose key is turned away at once cause one read between them."""
    parameter()
    ssm.value = "key-2"
    together = Barrier(10)

    def refreshed() -> str:
        together.wait()
        return parameter(refresh=True)

    with ThreadPoolExecutor(10) as threads:
        futures = [threads.submit(refreshed) for _ in range(10)]

    assert {future.result() for future in futures} == {"key-2"}
    assert len(ssm.requests) == 2


def test_later_refresh_reads_again(
    ssm: Ssm, parameter: CachedParameter[str], clock: list[float]
) -> None:
    """Only a refresh of the last second is shared."""
    parameter(refresh=True)
    clock[0] += 0.9
    parameter(refresh=True)
    assert len(ssm.requests) == 1

    clock[0] += 0.2
    parameter(refresh=True)

    assert len(ssm.requests) == 2


@pytest.mark.parametrize("refresh", [False, True])
def test_threads_that_wait_share_one_failure(
    ssm: Ssm, parameter: CachedParameter[str], monkeypatch: pytest.MonkeyPatch, *, refresh: bool
) -> None:
    """A run has no time to let each of its posts wait for SSM in its turn."""
    together = Barrier(10)
    ssm.value = refusal("ThrottlingException")
    answer = ssm.get_parameter

    def slow(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (passed through)
        time.sleep(0.5)
        return answer(**arguments)

    monkeypatch.setattr(ssm, "get_parameter", slow)

    def fail() -> str:
        together.wait()
        with pytest.raises(ParameterUnavailableError) as caught:
            parameter(refresh=refresh)
        return caught.value.code

    with ThreadPoolExecutor(10) as threads:
        futures = [threads.submit(fail) for _ in range(10)]

    assert {future.result() for future in futures} == {"ThrottlingException"}
    assert len(ssm.requests) == 1


def test_known_value_serves_while_a_refresh_fails(
    ssm: Ssm, parameter: CachedParameter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those whose value was turned away share the failure."""
    parameter()
    reading = Event()

    def fail(**_: object) -> None:
        reading.set()
        time.sleep(0.5)
        raise refusal("ThrottlingException")

    monkeypatch.setattr(ssm, "get_parameter", fail)

    with ThreadPoolExecutor(2) as threads:
        refreshed = threads.submit(parameter, refresh=True)
        reading.wait()
        known = threads.submit(parameter)

    assert known.result() == "key-1"
    with pytest.raises(ParameterUnavailableError):
        refreshed.result()
    assert len(ssm.requests) == 1


@pytest.mark.parametrize("refresh", [False, True])
def test_later_read_does_not_share_a_failure(
    ssm: Ssm, parameter: CachedParameter[str], *, refresh: bool
) -> None:
    """Where SSM failed for one, the next asks again."""
    if refresh:
        parameter()
    ssm.value = refusal("ThrottlingException")
    with pytest.raises(ParameterUnavailableError):
        parameter(refresh=refresh)

    ssm.value = "key-2"

    assert parameter(refresh=refresh) == "key-2"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (refusal("ParameterNotFound"), "ParameterNotFound"),
        (refusal("AccessDeniedException"), "AccessDeniedException"),
        (refusal("ThrottlingException"), "ThrottlingException"),
        (EndpointConnectionError(endpoint_url=f"https://{CANARY}"), "EndpointConnectionError"),
    ],
)
def test_unreadable_parameter_is_named(
    ssm: Ssm, parameter: CachedParameter[str], failure: Exception, code: str
) -> None:
    """SSM's own words name accounts and roles. Nobody takes it for trouble at Infobip."""
    ssm.value = failure

    with pytest.raises(ParameterUnavailableError, match=NAME) as caught:
        parameter()

    assert str(caught.value) == f"SSM parameter {NAME} cannot be read: {code}"
    assert caught.value.code == code
    assert not isinstance(caught.value, OmniError)


def test_value_that_breaks_a_rule_is_neither_shown_nor_kept(
    ssm: Ssm, parameter: CachedParameter[str]
) -> None:
    """One that was put right counts at once."""
    ssm.value = CANARY
    with pytest.raises(ParameterUnavailableError) as caught:
        parameter()

    assert str(caught.value) == f"SSM parameter {NAME} must hold a key"
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    ssm.value = "key-2"
    assert parameter() == "key-2"


def test_forgotten_value_is_read_afresh(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Also right after a refresh."""
    parameter(refresh=True)
    ssm.value = "key-2"
    parameter.forget()

    assert parameter() == "key-2"
