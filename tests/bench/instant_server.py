"""A server that replaces Infobip and DynamoDB for the calls of warm functions, and does no work.

The emulator and the simulator implement AWS and Infobip in Python: a function spends most of its
time waiting for them, and they get slower as they fill. This server replaces both during a
measurement. It answers reads from data that they have produced, and discards every write, so each
invocation finds the same data.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *DynamoDB_20120810\.(\w+)", re.IGNORECASE)
_STATUS = {
    "groupId": 1,
    "groupName": "PENDING",
    "id": 7,
    "name": "PENDING_ENROUTE",
    "description": "Message sent to next instance",
}
_NO_REPORTS = b'{"results":[]}'


@dataclass(frozen=True, slots=True)
class Data:
    """The data that the server answers from.

    Args:
        items: The items of the table in DynamoDB's JSON, by message id and entry.
        reports: A page of delivery reports, as Infobip returns it.
        pages: The number of calls that get this page before one gets an empty page, so a function
            that pulls until there are no more reports ends.
    """

    items: Mapping[tuple[str, str], bytes]
    reports: bytes
    pages: int = 1


class InstantServer:
    """The server, which runs in a thread of this process."""

    def __init__(self) -> None:
        self.data = Data({}, _NO_REPORTS)
        #: How often each operation was called.
        self.calls: Counter[str] = Counter()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._pages_taken = 0
        self._operations: dict[str, Callable[[bytes], bytes]] = {
            "POST /omni/1/advanced": _accepted,
            "GET /omni/1/reports": self._next_reports,
            "BatchGetItem": self._found,
            "BatchExecuteStatement": _executed,
            "BatchWriteItem": lambda _: b'{"UnprocessedItems":{}}',
            "Query": lambda _: b'{"Items":[],"Count":0,"ScannedCount":0}',
            "DeleteItem": lambda _: b"{}",
            "PutItem": lambda _: b"{}",
            "UpdateItem": lambda _: b"{}",
        }

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start the server."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1"))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        serving = asyncio.all_tasks(self._loop)
        for task in serving:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*serving, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # When the server stops, it cancels this task; asyncio would print the error.
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _CONTENT_LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                status, answer = self._answer(head, body)
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (status, len(answer), answer)
                )
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        method, path, _ = head.split(b" ", 2)
        target = _TARGET.search(head)
        path = path.partition(b"?")[0]
        operation = target[1].decode() if target else f"{method.decode()} {path.decode()}"
        self.calls[operation] += 1
        answer = self._operations.get(operation)
        if answer is None:
            return b"501 Not Implemented", b"{}"
        return b"200 OK", answer(body)

    def _next_reports(self, _: bytes) -> bytes:
        self._pages_taken += 1
        if self._pages_taken <= self.data.pages:
            return self.data.reports
        self._pages_taken = 0
        return _NO_REPORTS

    def _found(self, body: bytes) -> bytes:
        ((table, request),) = json.loads(body)["RequestItems"].items()
        keys = ((key["messageId"]["S"], key["entry"]["S"]) for key in request["Keys"])
        found = b",".join(self.data.items[key] for key in keys if key in self.data.items)
        return b'{"Responses":{"%s":[%s]},"UnprocessedKeys":{}}' % (table.encode(), found)


def _executed(body: bytes) -> bytes:
    count = len(json.loads(body)["Statements"])
    return b'{"Responses":[%s]}' % b",".join([b"{}"] * count)


def _accepted(body: bytes) -> bytes:
    request = json.loads(body)
    messages = [
        {"to": each["to"], "status": _STATUS, "messageId": each["messageId"]}
        for each in request["destinations"]
    ]
    return json.dumps({"bulkId": request["bulkId"], "messages": messages}).encode()
