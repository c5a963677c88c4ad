"""The requests of one batch: how messages are grouped, the bodies, and the answers per message.

Messages with the same scenario and content are sent as one request, even if they are from different
records.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infobip_omni.api.sends import AdvancedRequest, Destination
from infobip_omni.aws import in_batches
from infobip_omni.message import MessageState
from infobip_omni.verdicts import read_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infobip_omni.api.reports import Status
    from infobip_omni.api.sends import SendResponse
    from infobip_omni.queued_events import ClaimedMessage
    from infobip_omni.verdicts import SendAnswer
    from infobip_omni.webhook import Webhook

#: Infobip documents no limit; this is the number of messages that one failed request affects.
DESTINATIONS_PER_REQUEST = 100
#: The form of the names in Infobip's list of statuses; any other may be a text.
_STATUS_NAME = re.compile(r"[A-Z0-9_]{1,64}")


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
        event = first.pending.event
        bulk_id = first.claim.bulk_id
        members = [event.content]
        notify_url = None
        if webhook is not None and event.body.notify_url is None and event.body.notify is not False:
            notify_url = webhook.url_for(bulk_id)
        elif event.notify:
            members.append(event.notify)
        return AdvancedRequest(
            destinations=tuple(
                Destination(message_id=message.claim.message_id, to=message.claim.recipient)
                for message in self.messages
            ),
            content=",".join(members),
            scenario_key=self.scenario_key,
            bulk_id=bulk_id,
            notify_url=notify_url,
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
    groups: dict[tuple[str | None, ...], list[ClaimedMessage]] = defaultdict(list)
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


def refusals(answered: Iterable[AnsweredMessage]) -> dict[str, str]:
    """Return how Infobip has refused the waiting messages of each record, by SQS id.

    The texts quote no value, so they can be written where operators read them.
    """
    texts: dict[str, str] = {}
    for each in answered:
        status = each.answer.status
        if each.answer.state is MessageState.WAITING and status is not None:
            texts[each.message.pending.record.sqs_id] = refusal_text(status)
    return texts


def refusal_text(status: Status | Mapping[str, object]) -> str:
    """Return a text about Infobip's status, or about its refusal of a request, without values."""
    if not isinstance(status, Mapping):
        named = status.name is not None and _STATUS_NAME.fullmatch(status.name)
        return f"Infobip answered {status.name if named else f'status {status.id}'}"
    violations: Any = status.get("violations", ())
    details = [
        f"HTTP {status.get('httpStatus')}",
        str(status.get("name", "")),
        *(f"{each['field']}: {each['rule']}" for each in violations),
    ]
    return f"Infobip answered {', '.join(filter(None, details))}"
