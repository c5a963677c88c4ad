"""Tells upstream apps when a message settles, by an event on the bus of their choice.

It is driven by the stream of the messages table, so that no outcome can be recorded without being
told: a run that fails, or is killed, gets the same changes again. An event may therefore come
twice, and never not at all while the stream holds its change, which is 24 hours. The exception is
an event that can never go out: it is left out, logged and counted, so that it holds up no other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infobip_omni.observability import count, logger, observed
from infobip_omni.outcome_events import Change, OutcomeEvents, UnreadableChangeError
from infobip_omni.settings import PublishOutcomesSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    events: OutcomeEvents


@dataclass(frozen=True, slots=True)
class Publishing:
    """What became of a batch of records."""

    published: int
    unpublishable: int  #: changes that can never be told
    #: The change from which on Lambda has to deliver the batch again, if any.
    waiting: Change | None

    @property
    def metrics(self) -> dict[str, int]:
        """Return what there is to be counted, by the name of its metric."""
        return {
            "OutcomesPublished": self.published,
            "OutcomesUnpublishable": self.unpublishable,
        }

    def answer(self) -> PartialItemFailureResponse:
        """Write it for Lambda."""
        if self.waiting is None:
            return {"batchItemFailures": []}
        return {"batchItemFailures": [{"itemIdentifier": self.waiting.sequence_number}]}


def publish_outcomes(records: Iterable[Mapping[str, Any]], deps: Dependencies) -> Publishing:
    """Publish the events of a batch of records of the stream."""
    changes = []
    unreadable = 0
    for record in records:
        try:
            changes.append(Change.read(record))
        except UnreadableChangeError as error:
            unreadable += 1
            logger.error("a change of the table cannot be read", reason=str(error))
    publication = deps.events.publish(changes)
    for unpublished in publication.unpublishable:
        logger.error(
            "an outcome cannot be published",
            message_id=unpublished.message_id,
            reason=unpublished.reason,
        )
    logger.info("outcomes published", count=publication.published)
    waiting = publication.waiting
    if waiting is not None:
        logger.warning("outcomes cannot be published yet", reason=waiting.reason)
    return Publishing(
        published=publication.published,
        unpublishable=unreadable + len(publication.unpublishable),
        waiting=None if waiting is None else waiting.change,
    )


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = PublishOutcomesSettings.from_environment()
    return Dependencies(
        events=OutcomeEvents(
            settings.outcome_event_bus_name,
            with_recipients=settings.outcome_event_recipients == "included",
        )
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer with the change that could not be told, if any."""
    publishing = publish_outcomes(event["Records"], dependencies())
    count(publishing.metrics)
    return publishing.answer()
