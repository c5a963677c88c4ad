"""The queue for reports that the table did not take, so that an outage of DynamoDB loses none.

What is parked is a page of reports like the one that it came from, only smaller: SQS takes no
message as large as a page can be. Whoever reads it records it as any other page.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

from infobip_omni.api.reports import UnreadablePageError, page_of, parse_page
from infobip_omni.aws import QueueUnavailableError, attempt, sqs_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_sqs import SQSClient

    from infobip_omni.api.reports import RawEntry

#: What every queue takes, written in base64.
LARGEST_MESSAGE_BYTES = 256 * 1024
_LARGEST_PACKED_BYTES = LARGEST_MESSAGE_BYTES // 4 * 3
#: Fits even if gzip can make nothing of it.
_RAW_PART_BYTES = _LARGEST_PACKED_BYTES - 1024


class ParkedReports:
    """The queue, as far as pages are put into it."""

    def __init__(self, url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._client = client or sqs_client()

    def park(self, body: bytes) -> None:
        """Put a page into the queue, in as many messages as it takes.

        Raises:
            QueueUnavailableError: Not all of the page may be in the queue.
        """
        for part in _parts(body):
            put = partial(self._client.send_message, QueueUrl=self._url, MessageBody=part)
            attempt(put, QueueUnavailableError, "SQS did not take it")


def unpacked(text: str) -> bytes:
    """Read the page that a message holds; what `park` has not written stands for itself."""
    try:
        return gzip.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, EOFError, OSError, zlib.error):
        return text.encode(errors="backslashreplace")


def _parts(body: bytes) -> Iterator[str]:
    try:
        yield from _pages(parse_page(body), body)
    except UnreadablePageError:
        yield from _raw_parts(body)


def _pages(entries: Sequence[RawEntry[Any]], body: bytes) -> Iterator[str]:
    """Halve a page until each half fits."""
    packed = gzip.compress(body)
    if len(packed) <= _LARGEST_PACKED_BYTES:
        yield base64.b64encode(packed).decode()
    elif len(entries) > 1:
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            yield from _pages(half, page_of(half))
    else:
        yield from _raw_parts(body)


def _raw_parts(body: bytes) -> Iterator[str]:
    """Cut what cannot be divided sensibly; each part will be kept raw."""
    for start in range(0, len(body), _RAW_PART_BYTES):
        yield base64.b64encode(gzip.compress(body[start : start + _RAW_PART_BYTES])).decode()
