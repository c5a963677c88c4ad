"""The requests of one batch: how messages are grouped, the bodies, and the answers per message.

Messages with the same scenario and content are sent as one request, even if they are from different
records.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infobip_omni.api.sends import AdvancedRequest, Destination
from infobip_omni.aws import in_batches
from infobip_omni.verdicts import read_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infobip_omni.api.sends import SendResponse
    from infobip_omni.queued_events import ClaimedMessage
    from infobip_omni.verdicts import SendAnswer
    from infobip_omni.webhook import Webhook

#: Infobip documents no limit; this is the number of messages that one failed request affects.
DESTINATIONS_PER_REQUEST = 100


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One request: messages of the same scenario and content, from one or several records."""

    messages: tuple[ClaimedMessage, ...]

    @property
    def scenario_key(self) -> str | None:
        """Infobip's key of the scenario; None for the account's default scenario."""
        return self.messages[0].pending.scenario_key

    def with_first_alone(self) -> tuple[OutboundRequest, OutboundRequest]:
        """Split the request into one for its first message, and one for the others."""
        return OutboundRequest(self.messages[:1]), OutboundRequest(self.messages[1:])

    def halves(self) -> tuple[OutboundRequest, OutboundRequest]:
        """Split the request in the middle; it must have two messages at least."""
        middle = len(self.messages) // 2
        return OutboundRequest(self.messages[:middle]), OutboundRequest(self.messages[middle:])

    def body(self, webhook: Webhook | None) -> AdvancedRequest:
        """Build the body from one of the events, which differ only in destinations and ids.

        Reports go to the webhook unless the event has its own `notifyUrl` or `notify: false`.

        Raises:
            ParameterUnavailableError: The key that signs the webhook's URL cannot be read.
        """
        first = self.messages[0]
        body = first.pending.event.body
        bulk_id = first.claim.bulk_id
        notify_url, notify_content_type = body.notify_url, body.notify_content_type
        if webhook is not None and notify_url is None and body.notify is not False:
            notify_url, notify_content_type = webhook.url_for(bulk_id), "application/json"
        return AdvancedRequest.of(
            body,
            scenario_key=self.scenario_key,
            bulk_id=bulk_id,
            notify_url=notify_url,
            notify_content_type=notify_content_type,
            destinations=tuple(
                Destination(message_id=message.claim.message_id, to=message.claim.recipient)
                for message in self.messages
            ),
        )

    def answered(self, response: SendResponse) -> list[AnsweredMessage]:
        """Return each message with its part of the answer."""
        ids = [message.claim.message_id for message in self.messages]
        return list(map(AnsweredMessage, self.messages, read_answer(response, ids)))

    def all_are(self, answer: SendAnswer) -> list[AnsweredMessage]:
        """Return each message with the same answer."""
        return [AnsweredMessage(message, answer) for message in self.messages]


@dataclass(frozen=True, slots=True)
class AnsweredMessage:
    """A claimed message, and its state after its request."""

    message: ClaimedMessage
    answer: SendAnswer


def requests_of(messages: Iterable[ClaimedMessage]) -> list[OutboundRequest]:
    """Group messages with the same scenario and content into requests."""
    groups: dict[str, list[ClaimedMessage]] = defaultdict(list)
    for message in messages:
        groups[message.pending.event.content_key].append(message)
    return [
        OutboundRequest(tuple(part))
        for group in groups.values()
        for part in in_batches(group, DESTINATIONS_PER_REQUEST)
    ]


def requested_waits(answered: Iterable[AnsweredMessage]) -> dict[str, float]:
    """Return how long each record has to wait by Infobip's Retry-After, in seconds, by SQS id."""
    waits: dict[str, float] = {}
    for each in answered:
        sqs_id = each.message.pending.record.sqs_id
        requested = each.answer.retry_after_seconds or 0.0
        waits[sqs_id] = max(waits.get(sqs_id, 0.0), requested)
    return waits
