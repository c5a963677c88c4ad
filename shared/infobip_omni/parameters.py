"""SSM parameters, read once in a while.

This is no part of `aws`: importing Powertools' provider takes time at each cold start, also of
functions that read no parameter.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import (
    GetParameterError,
    SetParameterError,
)

from infobip_omni.aws import AwsError, attempt, client_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

ValueT = TypeVar("ValueT")

#: How long an environment keeps what it has read from an SSM parameter.
CACHED_SECONDS = 300
#: Threads that ask for a refresh together need one fresh read between them.
_REFRESH_SHARED_SECONDS = 1.0
#: What Powertools' provider raises.
_ERRORS = (GetParameterError, SetParameterError)


class ParameterUnavailableError(AwsError):
    """An SSM parameter cannot be read or written, or its value breaks a rule; the text names it."""


def ssm_client() -> SSMClient:
    """Return a client of SSM that does not wait for long."""
    return boto3.client("ssm", config=client_config())


class CachedParameter(Generic[ValueT]):
    """The value of one SSM parameter, read at most once in `CACHED_SECONDS`.

    A value that cannot be parsed is not kept, so one that was put right counts at once. Usable
    from several threads.

    Args:
        name: The parameter.
        parse: Reads the text of the parameter. It raises a ValueError whose text follows the name
            of the parameter, like "must hold JSON", and quotes nothing of the value.
        client: SSM; a client of its own by default.
    """

    def __init__(
        self, name: str, parse: Callable[[str], ValueT], client: SSMClient | None = None
    ) -> None:
        self._name = name
        self._parse = parse
        self._provider = SSMProvider(boto3_client=client or ssm_client())
        self._lock = threading.Lock()
        self._refreshed_at = float("-inf")
        #: When the last read failed, the text of its error and the code; by whether it was fresh.
        self._failures: dict[bool, tuple[float, str, str]] = {}

    def __call__(self, *, refresh: bool = False) -> ValueT:
        """Return the value.

        Args:
            refresh: Read it afresh, since the known value was not accepted. A fresh read within
                the last second serves all who ask.

        Raises:
            ParameterUnavailableError: SSM did not answer, or the value breaks a rule.
        """
        asked_at = time.monotonic()
        with self._lock:
            stale = refresh and asked_at - self._refreshed_at > _REFRESH_SHARED_SECONDS
            failed_at, failure, code = self._failures.get(stale, (asked_at, "", ""))
            if asked_at < failed_at:
                # Another thread's read failed while this one waited. If every thread waited for
                # SSM in its turn, a run could end before it has written what became of its sends.
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

    def write(self, text: str, *, overwrite: bool) -> None:
        """Write the parameter, and forget what was read.

        Args:
            text: The value.
            overwrite: Whether to replace a parameter that exists.

        Raises:
            ParameterUnavailableError: SSM did not do it, or did not say so. The code is
                ``ParameterAlreadyExists`` where it must not be overwritten.
        """
        try:
            attempt(
                lambda: self._provider.set(self._name, text, overwrite=overwrite),
                ParameterUnavailableError,
                f"SSM parameter {self._name} cannot be written",
                _ERRORS,
            )
        finally:
            self.forget()

    def forget(self) -> None:
        """Have the next call read the parameter afresh."""
        with self._lock:
            self._provider.store.clear()

    def _read(self, *, fresh: bool) -> ValueT:
        text = attempt(
            lambda: self._provider.get(
                self._name, max_age=CACHED_SECONDS, decrypt=True, force_fetch=fresh
            ),
            ParameterUnavailableError,
            f"SSM parameter {self._name} cannot be read",
            _ERRORS,
        )
        try:
            return self._parse(str(text))
        except ValueError as error:
            self._provider.store.clear()
            # The cause may hold the value.
            raise ParameterUnavailableError(f"SSM parameter {self._name} {error}") from None
