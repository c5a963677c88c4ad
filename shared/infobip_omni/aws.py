"""What modules that talk to AWS have in common: clients, calls, batches and parameters.

The errors are not related to those of Infobip's client: trouble with AWS says nothing about
Infobip.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import (
    GetParameterError,
    SetParameterError,
)
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

    AnswerT = TypeVar("AnswerT")
    ItemT = TypeVar("ItemT")

ValueT = TypeVar("ValueT")

#: How long an environment keeps what it has read from an SSM parameter.
CACHED_SECONDS = 300
#: Threads that ask for a refresh together need one fresh read between them.
_REFRESH_SHARED_SECONDS = 1.0


class AwsError(Exception):
    """AWS did not do it, or did not say so; the text quotes nothing of the request."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code  #: what `error_code` makes of AWS's error; empty where there was none


class QueueUnavailableError(AwsError):
    """SQS did not do it, or did not say so."""


class ParameterUnavailableError(AwsError):
    """An SSM parameter cannot be read or written, or its value breaks a rule; the text names it."""


def client_config(**options: Any) -> Config:  # noqa: ANN401 (botocore's own options)
    """Return the configuration of a client that gives up within some 15 seconds.

    A function has other things to do in its time.

    Args:
        options: More of botocore's options.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    return Config(connect_timeout=2, read_timeout=5, retries=retries, **options)


def sqs_client() -> SQSClient:
    """Return a client of SQS that does not wait for long."""
    return boto3.client("sqs", config=client_config())


def ssm_client() -> SSMClient:
    """Return a client of SSM that does not wait for long."""
    return boto3.client("ssm", config=client_config())


def attempt(call: Callable[[], AnswerT], kind: type[AwsError], failure: str) -> AnswerT:
    """Make a call to AWS, and raise an error of ours if it fails.

    Args:
        call: Makes the call.
        kind: The error to raise.
        failure: The beginning of its text, which the error code follows. It must quote nothing of
            the request.

    Raises:
        AwsError: Of that kind.
    """
    try:
        return call()
    except (BotoCoreError, ClientError, GetParameterError, SetParameterError) as error:
        # The cause may quote the request.
        code = error_code(error)
        raise kind(f"{failure}: {code}", code) from None


def error_code(error: BaseException) -> str:
    """Return what kind of error AWS, the network or a library has met; the name quotes nothing.

    The text of an error is not fit for logs: that of a service may name accounts, roles and keys,
    and that of a library what it was called with.

    Args:
        error: An error of botocore, or one of Powertools, that stands for one.

    Returns:
        The service's code, like ``AccessDeniedException``; else the name of the error's class, and
        for an error that stands for another the name of that one's.
    """
    if isinstance(error, ClientError):
        code: str = error.response.get("Error", {}).get("Code", "unknown")
        return code
    inner = error.__cause__ or error.__context__
    if inner is None or isinstance(error, BotoCoreError):
        return type(error).__name__
    return error_code(inner)


def in_batches(
    items: Iterable[ItemT],
    size: int,
    most_bytes: int | None = None,
    bytes_of: Callable[[ItemT], int] = lambda _: 0,
) -> Iterator[list[ItemT]]:
    """Cut into lists of so many items, each read only when it is asked for.

    Args:
        items: The items.
        size: Most items of a list.
        most_bytes: Most bytes of a list; an item that is larger by itself is a list of its own.
        bytes_of: Tells the bytes of an item.
    """
    batch: list[ItemT] = []
    total = 0
    for item in items:
        item_bytes = bytes_of(item)
        if batch and most_bytes is not None and total + item_bytes > most_bytes:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += item_bytes
        if len(batch) == size:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


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
        )
        try:
            return self._parse(str(text))
        except ValueError as error:
            self._provider.store.clear()
            # The cause may hold the value.
            raise ParameterUnavailableError(f"SSM parameter {self._name} {error}") from None
