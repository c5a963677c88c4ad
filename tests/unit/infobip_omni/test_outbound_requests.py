"""Messages with one content go as one request, and each learns what the answer says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infobip_omni.api.sends import SendResponse, SendResult
from infobip_omni.message import MessageState
from infobip_omni.outbound_requests import (
    DESTINATIONS_PER_REQUEST,
    AnsweredMessage,
    OutboundRequest,
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
    """Claim all messages of these events; the record of each is called by its position."""
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
    """Record, event, claim and post show neither address nor content."""
    post = OutboundRequest(tuple(messages(event("m-1", callbackData="hello"))))

    shown = repr(post) + repr(post.body(WEBHOOK))

    assert PHONE not in shown
    assert "hello" not in shown


def event(*message_ids: str, **members: object) -> dict[str, Any]:
    """Make an event with these messages."""
    destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
    return {"destinations": destinations} | members


def ids(post: OutboundRequest) -> list[str]:
    """Return the ids of a post's messages."""
    return [message.claim.message_id for message in post.messages]


def test_messages_with_one_content_are_one_post() -> None:
    """Whatever record they came in; another text is another post."""
    posts = requests_of(messages(event("a"), event("b", sms={"text": "other"}), event("c")))

    assert [ids(post) for post in posts] == [["a", "c"], ["b"]]


def test_post_has_no_more_messages_than_share_its_fate() -> None:
    """The rest goes in another one."""
    many = [f"m{number}" for number in range(DESTINATIONS_PER_REQUEST + 1)]

    posts = requests_of(messages(event(*many)))

    assert [len(post.messages) for post in posts] == [DESTINATIONS_PER_REQUEST, 1]
    assert [each for post in posts for each in ids(post)] == many


def test_post_is_divided_by_record() -> None:
    """So one record's fault does not cost the others."""
    (post,) = requests_of(messages(event("a", "b"), event("c")))

    assert [ids(part) for part in post.by_record()] == [["a", "b"], ["c"]]


def test_request_has_the_content_and_every_destination() -> None:
    """It is the caller's body, under the bulk of the claims."""
    event_of_two = event("a", "b", scenarioKey="key-1", callbackData="mine")
    (post,) = requests_of(messages(event_of_two))

    request = post.body(None)

    assert (request.scenario_key, request.callback_data) == ("key-1", "mine")
    assert request.bulk_id == post.messages[0].claim.bulk_id
    assert [each.message_id for each in request.destinations] == ["a", "b"]
    assert request.notify_url is None


@pytest.mark.parametrize(
    ("own", "url"),
    [
        ({}, "the webhook's"),
        ({"notify": True}, "the webhook's"),
        ({"notify": False}, None),
        ({"notifyUrl": "https://caller.example/"}, "https://caller.example/"),
    ],
)
def test_reports_go_to_the_webhook_unless_the_event_says_otherwise(
    own: dict[str, Any], url: str | None
) -> None:
    """Only the webhook's own calls are asked for as JSON."""
    (post,) = requests_of(messages(event("a", **own)))

    request = post.body(WEBHOOK)

    if url == "the webhook's":
        assert request.notify_url == WEBHOOK.url_for(post.messages[0].claim.bulk_id)
        assert request.notify_content_type == "application/json"
    else:
        assert (request.notify_url, request.notify_content_type) == (url, None)


def test_each_message_learns_what_the_answer_says_of_it() -> None:
    """An entry is told by its id; a message without one is of unknown outcome."""
    (post,) = requests_of(messages(event("a", "b")))
    taken = {"messageId": "b", "status": {"groupId": 1, "id": 7}}

    posted = post.answered(SendResponse(messages=(SendResult.model_validate(taken),)))

    assert [(each.message.claim.message_id, each.answer.state) for each in posted] == [
        ("a", MessageState.UNKNOWN),
        ("b", MessageState.ACCEPTED),
    ]


def test_longest_pause_of_a_record_counts() -> None:
    """Each record has its own; one that was not asked to wait does not."""
    first, second, other = messages(event("a", "b"), event("c"))
    waiting = MessageState.WAITING

    pauses = requested_waits(
        [
            AnsweredMessage(first, SendAnswer(waiting, retry_after_seconds=30.0)),
            AnsweredMessage(second, SendAnswer(waiting, retry_after_seconds=20.0)),
            AnsweredMessage(other, SendAnswer(waiting)),
        ]
    )

    assert pauses == {"r0": 30.0, "r1": 0.0}
