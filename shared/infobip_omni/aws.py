"""What modules that talk to AWS have in common: clients, calls and batches.

The errors are not related to those of Infobip's client: trouble with AWS says nothing about
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
    """AWS did not do it, or did not say so; the text quotes nothing of the request."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code  #: what `error_code` makes of AWS's error; empty where there was none


class QueueUnavailableError(AwsError):
    """SQS did not do it, or did not say so."""


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


def attempt(
    call: Callable[[], AnswerT],
    kind: type[AwsError],
    failure: str,
    errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError),
) -> AnswerT:
    """Make a call to AWS, and raise an error of ours if it fails.

    Args:
        call: Makes the call.
        kind: The error to raise.
        failure: The beginning of its text, which the error code follows. It must quote nothing of
            the request.
        errors: What the call raises when it fails.

    Raises:
        AwsError: Of that kind.
    """
    try:
        return call()
    except errors as error:
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
        bytes_of: Returns the bytes of an item.
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
