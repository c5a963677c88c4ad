"""The queue for reports that the table did not accept, so that an outage of DynamoDB loses none.

A page of reports can be larger than an SQS message, so it is split into smaller pages. Each record
of the queue holds one, which is recorded like any other page.
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

#: The size that every queue accepts, in base64.
LARGEST_MESSAGE_BYTES = 256 * 1024
_LARGEST_PACKED_BYTES = LARGEST_MESSAGE_BYTES // 4 * 3
#: Fits even if gzip cannot compress it.
_RAW_PART_BYTES = _LARGEST_PACKED_BYTES - 1024


class ParkedReports:
    """Puts pages into the queue of parked reports."""

    def __init__(self, url: str, client: SQSClient | None = None) -> None:
        self._url = url
        self._client = client or sqs_client()

    def park(self, body: bytes) -> None:
        """Put a page into the queue, split into as many records as necessary.

        Raises:
            QueueUnavailableError: Parts of the page may not be in the queue.
        """
        for part in _parts(body):
            put = partial(self._client.send_message, QueueUrl=self._url, MessageBody=part)
            attempt(put, QueueUnavailableError, "SQS did not confirm the parked reports")


def unpacked(text: str) -> bytes:
    """Return the page that a record's body holds; a body that `park` did not write is a page."""
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
    """Split a page in halves until each part fits."""
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
    """Cut a body that cannot be split into pages; each part will be stored raw."""
    for start in range(0, len(body), _RAW_PART_BYTES):
        yield base64.b64encode(gzip.compress(body[start : start + _RAW_PART_BYTES])).decode()
