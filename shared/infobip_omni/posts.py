"""The requests of one batch: which messages go together, what is asked, and what the answer means.

Messages with the same scenario and content go as one request, whatever records they came in.
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
    from infobip_omni.queued_events import Parcel
    from infobip_omni.verdicts import SendAnswer
    from infobip_omni.webhook import Webhook

#: Infobip names no limit; this is how many messages share the fate of one request.
DESTINATIONS_PER_REQUEST = 100


@dataclass(frozen=True, slots=True)
class Post:
    """One request: messages of the same scenario and content, of one record or of several."""

    parcels: tuple[Parcel, ...]

    def by_record(self) -> list[Post]:
        """Divide the post, so that each record is on its own."""
        parts: dict[str, list[Parcel]] = defaultdict(list)
        for parcel in self.parcels:
            parts[parcel.pending.record.sqs_id].append(parcel)
        return [Post(tuple(part)) for part in parts.values()]

    def request(self, webhook: Webhook | None) -> AdvancedRequest:
        """Build the body: that of any of the events, but for destinations and ids.

        Where the event says nothing of its own about reports, they go to the webhook.

        Raises:
            ParameterUnavailableError: The webhook's URL cannot be made.
        """
        first = self.parcels[0]
        body, scenario = first.pending.event.body, first.pending.scenario
        bulk_id = first.claim.bulk_id
        notify_url, notify_content_type = body.notify_url, body.notify_content_type
        if webhook is not None and notify_url is None and body.notify is not False:
            notify_url, notify_content_type = webhook.url_for(bulk_id), "application/json"
        return AdvancedRequest.of(
            body,
            scenario_key=scenario.key if scenario else body.scenario_key,
            bulk_id=bulk_id,
            notify_url=notify_url,
            notify_content_type=notify_content_type,
            destinations=tuple(
                Destination(message_id=parcel.claim.message_id, to=parcel.claim.recipient)
                for parcel in self.parcels
            ),
        )

    def answered(self, response: SendResponse) -> list[Posted]:
        """Return what the answer says of each of its messages."""
        ids = [parcel.claim.message_id for parcel in self.parcels]
        return list(map(Posted, self.parcels, read_answer(response, ids)))

    def all_are(self, answer: SendAnswer) -> list[Posted]:
        """Return the same of each of its messages."""
        return [Posted(parcel, answer) for parcel in self.parcels]


@dataclass(frozen=True, slots=True)
class Posted:
    """A claimed message, and what is known of it after its post."""

    parcel: Parcel
    answer: SendAnswer


def posts_of(parcels: Iterable[Parcel]) -> list[Post]:
    """Join messages with the same scenario and content into requests."""
    groups: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        groups[parcel.pending.event.content_key].append(parcel)
    return [
        Post(tuple(part))
        for group in groups.values()
        for part in in_batches(group, DESTINATIONS_PER_REQUEST)
    ]


def pauses_of(posted: Iterable[Posted]) -> dict[str, float]:
    """Return how long Infobip asks each record to wait, in seconds, by its SQS id."""
    pauses: dict[str, float] = {}
    for each in posted:
        sqs_id = each.parcel.pending.record.sqs_id
        asked = each.answer.retry_after_seconds or 0.0
        pauses[sqs_id] = max(pauses.get(sqs_id, 0.0), asked)
    return pauses
