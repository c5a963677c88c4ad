"""A parked page is read back completely, from messages that SQS accepts."""

from __future__ import annotations

import base64
import gzip
import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from infobip_omni.api.reports import parse_page
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.parked_reports import LARGEST_MESSAGE_BYTES, ParkedReports, unpacked

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CANARY = "canary-7a3c"


class Queue:
    """A queue for parked reports."""

    def __init__(self, client: SQSClient) -> None:
        self.client = client
        self.url = self.client.create_queue(QueueName="parked")["QueueUrl"]
        self.reports = ParkedReports(self.url, self.client)

    def messages(self) -> list[str]:
        """Receive all messages and return their bodies."""
        bodies = []
        while found := self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=60
        ).get("Messages"):
            bodies += [message["Body"] for message in found]
        return bodies


@pytest.fixture
def queue(sqs: SQSClient) -> Queue:
    return Queue(sqs)


def page(*entries: Any) -> bytes:  # noqa: ANN401 (any JSON values)
    """Serialize a page of reports."""
    return json.dumps({"results": entries}).encode()


def noise(length: int, seed: int = 0) -> str:
    """Return a text that hardly compresses."""
    return base64.b64encode(random.Random(seed).randbytes(length * 3 // 4)).decode()


def test_page_is_parked_unchanged(queue: Queue) -> None:
    """A page that fits into a message is not even parsed."""
    body = b'{ "results": [ {"price": 0.0100} ], "new": null }'

    queue.reports.park(body)

    (message,) = queue.messages()
    assert unpacked(message) == body


def test_full_page_of_typical_reports_is_one_message(queue: Queue) -> None:
    """A thousand reports compress well."""
    entries = [
        {"messageId": f"m-{n}", "to": f"3859{n:08d}", "channel": "PUSH"} for n in range(1000)
    ]

    queue.reports.park(page(*entries))

    assert len(queue.messages()) == 1


def test_large_page_is_divided_between_reports(queue: Queue) -> None:
    """Each message is a page that fits into SQS; together they hold every report."""
    entries = [{"messageId": f"m-{n}", "callbackData": noise(4000, n)} for n in range(300)]

    queue.reports.park(page(*entries))

    messages = queue.messages()
    assert len(messages) > 1
    assert all(len(message) <= LARGEST_MESSAGE_BYTES for message in messages)
    found = [entry.parsed for message in messages for entry in parse_page(unpacked(message))]
    assert sorted(found, key=lambda entry: int(entry["messageId"][2:])) == entries


def test_numbers_survive_division(queue: Queue) -> None:
    """A price in a part is the same as in the page."""
    prices = [0.0105, 7, 1e-7]
    entries = [{"price": price, "text": noise(150_000)} for price in prices]

    queue.reports.park(page(*entries))

    messages = queue.messages()
    assert len(messages) > 1
    found = [entry.parsed for message in messages for entry in parse_page(unpacked(message))]
    assert sorted(entry["price"] for entry in found) == [Decimal("1E-7"), Decimal("0.0105"), 7]


def test_indivisible_page_is_cut(queue: Queue) -> None:
    """Neither a report that is too large nor a body that is no page is lost."""
    for body in (page({"text": noise(600_000)}), noise(600_000).encode(), b"\xff" * 10):
        queue.reports.park(body)

        messages = queue.messages()
        assert all(len(message) <= LARGEST_MESSAGE_BYTES for message in messages)
        assert b"".join(map(unpacked, messages)) == body


def test_error_does_not_quote_body(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ClientError({"Error": {"Code": "500", "Message": CANARY}}, "SendMessage")

    monkeypatch.setattr(queue.client, "send_message", fail)

    with pytest.raises(QueueUnavailableError) as caught:
        queue.reports.park(page({"text": CANARY}))

    assert CANARY not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [
        "not base64",
        "bm90IGd6aXA=",
        "",
        base64.b64encode(gzip.compress(b"cut", mtime=0)[:-9]).decode(),
        base64.b64encode(gzip.compress(b"spoilt", mtime=0)[:10] + b"\xff\xff\xff").decode(),
    ],
)
def test_message_of_other_format_is_returned_unchanged(text: str) -> None:
    """It can be stored; after an error SQS would redeliver it until its retention ends."""
    assert unpacked(text) == text.encode()
