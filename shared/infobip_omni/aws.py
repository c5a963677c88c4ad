"""Helpers of all modules that call AWS: clients, calls and batches.

Its errors are separate from those of Infobip's client, because a failure of AWS says nothing about
Infobip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mypy_boto3_sqs import SQSClient

    AnswerT = TypeVar("AnswerT")
    ItemT = TypeVar("ItemT")


class AwsError(Exception):
    """AWS did not confirm a call, so it may or may not have taken effect.

    The text never quotes the request.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code  #: the `error_code` of AWS's error; empty where there was none


class QueueUnavailableError(AwsError):
    """SQS did not confirm a call."""


def client_config(**options: Any) -> Config:  # noqa: ANN401 (botocore's own options)
    """Return the configuration of a client that gives up within some 15 seconds.

    botocore's defaults could use up a function's whole time.

    Args:
        options: Further options of botocore.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    return Config(connect_timeout=2, read_timeout=5, retries=retries, **options)


def sqs_client() -> SQSClient:
    """Return a client of SQS with the timeouts of `client_config`."""
    return boto3.client("sqs", config=client_config())


def attempt(
    call: Callable[[], AnswerT],
    kind: type[AwsError],
    failure: str,
    errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError),
) -> AnswerT:
    """Call AWS, and raise an `AwsError` if the call fails.

    Args:
        call: Makes the call.
        kind: The class of the error to raise.
        failure: The beginning of its text; the error code follows. It must not quote the request.
        errors: The errors that the call raises if it fails.

    Raises:
        AwsError: The call failed; the error has the class *kind*.
    """
    try:
        return call()
    except errors as error:
        # The cause may quote the request.
        code = error_code(error)
        raise kind(f"{failure}: {code}", code) from None


def error_code(error: BaseException) -> str:
    """Return a code for an error of AWS, the network or a library that is safe to log.

    The text of an error is not safe: a service's may name accounts, roles and keys, and a library's
    may quote its arguments.

    Args:
        error: An error of botocore, or one of Powertools that wraps it.

    Returns:
        The service's code, like ``AccessDeniedException``; otherwise the name of the error's class,
        or of the class of the error that it wraps.
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
    """Split items into lists, lazily: items are read only when their list is needed.

    Args:
        items: The items.
        size: The maximum number of items in a list.
        most_bytes: The maximum size of a list; a larger item gets a list of its own.
        bytes_of: Returns the size of an item, in bytes.
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
