"""SSM parameters are read rarely, and their values are never shown."""

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
    """Parse a value, which must begin with "key"."""
    if not text.startswith("key"):
        raise ValueError("must hold a key") from ValueError(text)
    return text


@pytest.fixture
def parameter(ssm: Ssm) -> CachedParameter[str]:
    ssm.value = "key-1"
    return CachedParameter(NAME, parse)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock: the one item of the list is its time in seconds."""
    now = [1000.0]
    monkeypatch.setattr("infobip_omni.parameters.time.monotonic", lambda: now[0])
    return now


def refusal(code: str) -> ClientError:
    """Build an error of SSM whose message holds the canary."""
    return ClientError({"Error": {"Code": code, "Message": CANARY}}, "GetParameter")


def test_first_call_reads_value(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Nothing is read before, and the value is decrypted."""
    assert ssm.requests == []

    assert parameter() == "key-1"
    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


def test_value_is_read_once(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Calls within five minutes share one read."""
    assert {parameter() for _ in range(3)} == {"key-1"}
    assert len(ssm.requests) == 1


def test_concurrent_threads_share_one_read(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """One thread reads the value; the others find it cached."""
    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(lambda _: parameter(), range(50)))

    assert values == {"key-1"}
    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


def test_refresh_reads_new_value(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """A rotated key is used as soon as Infobip refuses the old one."""
    parameter()
    ssm.value = "key-2"

    assert parameter() == "key-1"
    assert parameter(refresh=True) == "key-2"
    assert parameter() == "key-2"


def test_ten_threads_share_one_refresh(ssm: Ssm, parameter: CachedParameter[str]) -> None:
    """Threads whose key is refused concurrently cause one read."""
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
    """A refresh is shared for one second."""
    parameter(refresh=True)
    clock[0] += 0.9
    parameter(refresh=True)
    assert len(ssm.requests) == 1

    clock[0] += 0.2
    parameter(refresh=True)

    assert len(ssm.requests) == 2


def test_refreshes_that_anyone_can_cause_are_shared_for_longer(
    ssm: Ssm, clock: list[float]
) -> None:
    """Unsigned calls of the webhook cannot flood SSM."""
    ssm.value = "key-1"
    parameter = CachedParameter(NAME, parse, refresh_shared_seconds=60)
    for _ in range(60):
        parameter(refresh=True)
        clock[0] += 1
    assert len(ssm.requests) == 1

    clock[0] += 1
    parameter(refresh=True)

    assert len(ssm.requests) == 2


@pytest.mark.parametrize("refresh", [False, True])
def test_waiting_threads_share_one_failure(
    ssm: Ssm, parameter: CachedParameter[str], monkeypatch: pytest.MonkeyPatch, *, refresh: bool
) -> None:
    """An invocation has no time for each of its requests to wait for SSM in turn."""
    together = Barrier(10)
    ssm.value = refusal("ThrottlingException")
    answer = ssm.get_parameter

    def slow(**arguments: Any) -> dict[str, Any]:  # noqa: ANN401 (passed through)
        time.sleep(0.25)
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


def test_cached_value_is_returned_while_refresh_fails(
    ssm: Ssm, parameter: CachedParameter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only callers whose value was refused share the failure."""
    parameter()
    reading = Event()

    def fail(**_: object) -> None:
        reading.set()
        time.sleep(0.25)
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
def test_later_read_does_not_share_failure(
    ssm: Ssm, parameter: CachedParameter[str], *, refresh: bool
) -> None:
    """The next call asks SSM again."""
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
def test_error_names_unreadable_parameter(
    ssm: Ssm, parameter: CachedParameter[str], failure: Exception, code: str
) -> None:
    """SSM's message may name accounts and roles. The error must not count as one of Infobip's."""
    ssm.value = failure

    with pytest.raises(ParameterUnavailableError, match=NAME) as caught:
        parameter()

    assert str(caught.value) == f"SSM parameter {NAME} cannot be read: {code}"
    assert caught.value.code == code
    assert not isinstance(caught.value, OmniError)


def test_invalid_value_is_neither_shown_nor_cached(
    ssm: Ssm, parameter: CachedParameter[str]
) -> None:
    """A corrected value takes effect on the next call."""
    ssm.value = CANARY
    with pytest.raises(ParameterUnavailableError) as caught:
        parameter()

    assert str(caught.value) == f"SSM parameter {NAME} must hold a key"
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    ssm.value = "key-2"
    assert parameter() == "key-2"
