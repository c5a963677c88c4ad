"""Calls fit and fail without quoting anything."""

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
def test_batches_hold_everything_in_order_and_keep_within_their_limits(
    sizes: list[int], count: int, most_bytes: int | None
) -> None:
    """What is too large by itself stands alone; no two neighbours could have been one."""
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
    """Return the error that a library raises in place of another one."""
    stand_in = RuntimeError(str(error))
    stand_in.__context__ = error
    return stand_in


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "x"), "AccessDenied"),
        (ClientError({}, CANARY), "unknown"),
        (ConnectTimeoutError(endpoint_url=f"https://{CANARY}"), "ConnectTimeoutError"),
        (ValueError(CANARY), "ValueError"),
    ],
)
def test_error_of_aws_is_told_by_its_code(error: Exception, code: str) -> None:
    """Also where a library has put its own error in its place."""
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
def test_call_that_fails_raises_an_error_of_ours(
    kind: type[AwsError], error: Exception, code: str
) -> None:
    """It says what did not happen and why, and shows neither the request nor AWS's own words."""

    def fail() -> None:
        raise error

    with pytest.raises(kind) as caught:
        attempt(fail, kind, "SQS did not take it")

    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.code) == (f"SQS did not take it: {code}", code)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_call_that_succeeds_returns_its_answer() -> None:
    """As it is."""
    assert attempt(lambda: "answer", AwsError, "nothing was done") == "answer"


def test_mistake_of_ours_is_not_taken_for_trouble_at_aws() -> None:
    """It must not be waited out."""
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0, AwsError, "nothing was done")
