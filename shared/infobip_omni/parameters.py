"""Cached SSM parameters.

They are not part of `aws`, because importing Powertools' provider would slow down the cold starts
of functions that read no parameter.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from infobip_omni.aws import AwsError, attempt, client_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

ValueT = TypeVar("ValueT")

#: How long an execution environment caches the value of a parameter.
CACHED_SECONDS = 300
#: Threads whose value is refused within this time share one refresh.
_REFRESH_SHARED_SECONDS = 1.0


class ParameterUnavailableError(AwsError):
    """An SSM parameter cannot be read or written, or its value breaks a rule.

    The text names the parameter, and never quotes its value.
    """


def ssm_client() -> SSMClient:
    """Return a client of SSM with the timeouts of `client_config`."""
    return boto3.client("ssm", config=client_config())


class CachedParameter(Generic[ValueT]):
    """The value of one SSM parameter, read at most once in `CACHED_SECONDS`.

    A value that cannot be parsed is not cached, so a corrected value takes effect immediately. The
    class is thread-safe.

    Args:
        name: The name of the parameter.
        parse: Parses the text of the parameter. It raises a ValueError with a text that continues
            the name of the parameter, like "must hold JSON", and never quotes the value.
        refresh_shared_seconds: The time in which all refreshes share one read.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[str], ValueT],
        *,
        refresh_shared_seconds: float = _REFRESH_SHARED_SECONDS,
    ) -> None:
        self._name = name
        self._refresh_shared_seconds = refresh_shared_seconds
        self._parse = parse
        self._provider = SSMProvider(boto3_client=ssm_client())
        self._lock = threading.Lock()
        self._refreshed_at = float("-inf")
        #: The time, text and code of the last failed read; by whether it was a refresh.
        self._failures: dict[bool, tuple[float, str, str]] = {}

    def __call__(self, *, refresh: bool = False) -> ValueT:
        """Return the value.

        Args:
            refresh: Whether to bypass the cache, because the cached value was not accepted, unless
                it was refreshed within `refresh_shared_seconds`.

        Raises:
            ParameterUnavailableError: SSM did not answer, or the value breaks a rule.
        """
        called_at = time.monotonic()
        with self._lock:
            stale = refresh and called_at - self._refreshed_at > self._refresh_shared_seconds
            failed_at, failure, code = self._failures.get(stale, (called_at, "", ""))
            if called_at < failed_at:
                # Another thread's read failed while this one waited. If the threads waited for SSM
                # one after the other, a run could time out before it has saved its results.
                raise ParameterUnavailableError(failure, code)
            try:
                value = self._read(fresh=stale)
            except ParameterUnavailableError as error:
                self._failures[stale] = time.monotonic(), str(error), error.code
                raise
            self._failures.pop(stale, None)
            if stale:
                self._refreshed_at = time.monotonic()
        return value

    def _read(self, *, fresh: bool) -> ValueT:
        text = attempt(
            lambda: self._provider.get(
                self._name, max_age=CACHED_SECONDS, decrypt=True, force_fetch=fresh
            ),
            ParameterUnavailableError,
            f"SSM parameter {self._name} cannot be read",
            (GetParameterError,),
        )
        try:
            return self._parse(str(text))
        except ValueError as error:
            self._provider.store.clear()
            # The cause may quote the value.
            raise ParameterUnavailableError(f"SSM parameter {self._name} {error}") from None
