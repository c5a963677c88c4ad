"""Messages with the same content share a request, and each gets its own answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infobip_omni.api.reports import Status
from infobip_omni.api.sends import SendResponse, SendResult
from infobip_omni.message import MessageState
from infobip_omni.outbound_requests import (
    DESTINATIONS_PER_REQUEST,
    AnsweredMessage,
    OutboundRequest,
    refusals,
    requested_waits,
    requests_of,
)
from infobip_omni.queued_events import ClaimedMessage, Pending, read_event, want
from infobip_omni.send_queue import Record
from infobip_omni.transitions import ClaimStatus
from infobip_omni.verdicts import SendAnswer
from infobip_omni.webhook import Webhook

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHONE = "385991234567"
WEBHOOK = Webhook("https://reports.example/", lambda: [b"k" * 32])


def messages(*events: dict[str, Any]) -> list[ClaimedMessage]:
    """Claim all messages of these events; each record is named by the position of its event."""
    batch = []
    for position, event in enumerate(events):
        body = {"sms": {"text": "hello"}} | event
        queued = read_event(Record(f"r{position}", "r", "handle", json.dumps(body), NOW, 1), NOW)
        assert isinstance(queued, Pending)
        batch.append(queued)
    wanted = want(batch, "never-duplicate")
    return wanted.claimed(
        ClaimStatus(MessageState.CLAIMED, token=f"token of {message_id}")
        for message_id in wanted.claims
    ).messages


def test_nothing_personal_shows_in_repr() -> None:
    """Record, event, claim and request show neither addresses nor content."""
    request = OutboundRequest(tuple(messages(event("m-1", callbackData="hello"))))

    shown = repr(request) + repr(request.body(WEBHOOK))

    assert PHONE not in shown
    assert "hello" not in shown


def event(*message_ids: str, **members: object) -> dict[str, Any]:
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
    return {"destinations": destinations} | members


def ids(request: OutboundRequest) -> list[str]:
    return [message.claim.message_id for message in request.messages]


def test_messages_with_same_content_share_request() -> None:
    """Their records may differ. A message with another text goes into another request."""
    requests = requests_of(messages(event("a"), event("b", sms={"text": "other"}), event("c")))

    assert [ids(request) for request in requests] == [["a", "c"], ["b"]]


def test_number_of_destinations_per_request_is_limited() -> None:
    """The other destinations go into another request."""
    many = [f"m{number}" for number in range(DESTINATIONS_PER_REQUEST + 1)]

    requests = requests_of(messages(event(*many)))

    assert [len(request.messages) for request in requests] == [DESTINATIONS_PER_REQUEST, 1]
    assert [each for request in requests for each in ids(request)] == many


@pytest.mark.parametrize(
    ("ids_of_messages", "halves"),
    [
        ("ab", (["a"], ["b"])),
        ("abc", (["a"], ["b", "c"])),
        ("abcd", (["a", "b"], ["c", "d"])),
    ],
)
def test_request_is_divided_in_the_middle(
    ids_of_messages: str, halves: tuple[list[str], list[str]]
) -> None:
    """So a faulty destination is found in few calls, and no message is lost."""
    (request,) = requests_of(messages(event(*ids_of_messages)))

    first, second = request.halves()

    assert (ids(first), ids(second)) == halves


def test_request_has_content_and_every_destination() -> None:
    """It is the caller's body, with the bulk id of the claims."""
    event_of_two = event("a", "b", scenarioKey="key-1", callbackData="mine")
    (request,) = requests_of(messages(event_of_two))

    assert json.loads(request.body(None).to_json()) == event_of_two | {
        "bulkId": request.messages[0].claim.bulk_id,
        "sms": {"text": "hello"},
    }


@pytest.mark.parametrize(
    ("own", "url"),
    [
        ({}, "the webhook's"),
        ({"notify": True}, "the webhook's"),
        ({"notify": False}, None),
        ({"notifyUrl": "https://caller.example/"}, "https://caller.example/"),
    ],
)
def test_reports_go_to_webhook_unless_event_says_otherwise(
    own: dict[str, Any], url: str | None
) -> None:
    """The format is set to JSON only for the webhook."""
    (request,) = requests_of(messages(event("a", **own)))

    body = json.loads(request.body(WEBHOOK).to_json())

    if url == "the webhook's":
        assert body["notifyUrl"] == WEBHOOK.url_for(request.messages[0].claim.bulk_id)
        assert body["notifyContentType"] == "application/json"
    else:
        assert body.get("notifyUrl") == url
        assert "notifyContentType" not in body


def test_each_message_gets_its_answer() -> None:
    """Entries are matched by id. The outcome of a message without an entry is unknown."""
    (request,) = requests_of(messages(event("a", "b")))
    taken = {"messageId": "b", "status": {"groupId": 1, "id": 7}}

    answered = request.answered(SendResponse(messages=(SendResult.model_validate(taken),)))

    assert [(each.message.claim.message_id, each.answer.state) for each in answered] == [
        ("a", MessageState.UNKNOWN),
        ("b", MessageState.ACCEPTED),
    ]


def test_longest_wait_of_each_record_counts() -> None:
    """A record that was not asked to wait has a wait of zero."""
    first, second, other = messages(event("a", "b"), event("c"))
    waiting = MessageState.WAITING

    waits = requested_waits(
        [
            AnsweredMessage(first, SendAnswer(waiting, retry_after_seconds=30.0)),
            AnsweredMessage(second, SendAnswer(waiting, retry_after_seconds=20.0)),
            AnsweredMessage(other, SendAnswer(waiting)),
        ]
    )

    assert waits == {"r0": 30.0, "r1": 0.0}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            Status(group_id=5, id=12, name="REJECTED_NOT_ENOUGH_CREDITS"),
            "REJECTED_NOT_ENOUGH_CREDITS",
        ),
        (Status(group_id=5, id=12, name="No credits, Ada"), "status 12"),
        (Status(group_id=5, id=12), "status 12"),
        ({"httpStatus": 404, "description": "Ada"}, "HTTP 404"),
        (
            {
                "httpStatus": 400,
                "name": "E",
                "violations": [{"field": "to", "rule": "is required"}],
            },
            "HTTP 400, E, to: is required",
        ),
    ],
)
def test_refusal_of_a_waiting_message_is_described_without_values(
    status: Status | dict[str, object], text: str
) -> None:
    """Infobip's own text may quote the request."""
    waiting, other = messages(event("a"), event("b"))

    described = refusals(
        [
            AnsweredMessage(waiting, SendAnswer(MessageState.WAITING, status=status)),
            AnsweredMessage(other, SendAnswer(MessageState.WAITING)),
        ]
    )

    assert described == {"r0": f"Infobip answered {text}"}
