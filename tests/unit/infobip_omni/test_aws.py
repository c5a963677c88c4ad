"""Batches keep within AWS's limits, and errors quote nothing."""

from __future__ import annotations

import itertools
import traceback

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
)
from hypothesis import given
from hypothesis import strategies as st

from infobip_omni.aws import AwsError, QueueUnavailableError, attempt, error_code, in_batches

NAME = "/omni/dev/parameter"
CANARY = "385991234567"


# --- Batches -------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 30)),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(1, 20)),
)
def test_batches_keep_order_and_limits(
    sizes: list[int], count: int, most_bytes: int | None
) -> None:
    """An item above the limit is alone in its batch; no batch has room for the next item."""
    batches = list(in_batches(sizes, count, most_bytes, lambda size: size))

    assert [size for batch in batches for size in batch] == sizes
    most = sum(sizes) if most_bytes is None else most_bytes
    for batch in batches:
        assert 0 < len(batch) <= count
        assert len(batch) == 1 or sum(batch) <= most
    for batch, following in itertools.pairwise(batches):
        assert len(batch) == count or sum(batch) + following[0] > most


# --- Errors --------------------------------------------------------------------------------


def wrapped(error: Exception) -> Exception:
    """Return an error that a library raises while it handles *error*."""
    replacement = RuntimeError(str(error))
    replacement.__context__ = error
    return replacement


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "x"), "AccessDenied"),
        (ClientError({}, CANARY), "unknown"),
        (ConnectTimeoutError(endpoint_url=f"https://{CANARY}"), "ConnectTimeoutError"),
        (ValueError(CANARY), "ValueError"),
    ],
)
def test_error_is_identified_by_code_or_class(error: Exception, code: str) -> None:
    """Also if a library has wrapped it in an error of its own."""
    assert error_code(error) == code
    assert error_code(wrapped(error)) == code


@pytest.mark.parametrize("kind", [AwsError, QueueUnavailableError])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "x"), "AccessDenied"),
        (ConnectTimeoutError(endpoint_url=f"https://{CANARY}"), "ConnectTimeoutError"),
    ],
)
def test_failed_call_raises_our_error(kind: type[AwsError], error: Exception, code: str) -> None:
    """It says what did not happen and why, and quotes neither the request nor AWS."""

    def fail() -> None:
        raise error

    with pytest.raises(kind) as caught:
        attempt(fail, kind, "SQS did not take it")

    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.code) == (f"SQS did not take it: {code}", code)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_successful_call_returns_its_answer() -> None:
    assert attempt(lambda: "answer", AwsError, "nothing was done") == "answer"


def test_programming_error_is_not_reported_as_aws_error() -> None:
    """A retry would not help."""
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0, AwsError, "nothing was done")
