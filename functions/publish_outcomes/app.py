"""Publishes an event on the deployment's EventBridge bus when a message settles.

The stream of the messages table drives it, so no outcome is recorded without its event: a run that
fails or is killed receives the same changes again. Each event is delivered at least once while its
change is in the stream (24 hours). The exception is an event that EventBridge will never accept: it
is skipped, logged and counted, so it does not block the others.
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
    """Clients shared by all invocations of one execution environment."""

    events: OutcomeEvents


@dataclass(frozen=True, slots=True)
class Publishing:
    """The result of a batch of the stream's records."""

    published: int
    unpublishable: int  #: changes whose event can never be published
    #: The first change that Lambda has to deliver again, if any.
    waiting: Change | None

    @property
    def metrics(self) -> dict[str, int]:
        """The counts of the run, by the name of their metric."""
        return {
            "OutcomesPublished": self.published,
            "OutcomesUnpublishable": self.unpublishable,
        }

    def answer(self) -> PartialItemFailureResponse:
        """Return the partial batch response that Lambda expects."""
        if self.waiting is None:
            return {"batchItemFailures": []}
        return {"batchItemFailures": [{"itemIdentifier": self.waiting.sequence_number}]}


def publish_outcomes(records: Iterable[Mapping[str, Any]], deps: Dependencies) -> Publishing:
    """Publish the events of a batch of the stream's records, in their order."""
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
    """Build the clients shared by all invocations of one execution environment."""
    settings = PublishOutcomesSettings.from_environment()
    return Dependencies(
        events=OutcomeEvents(
            settings.outcome_event_bus_name,
            with_recipients=settings.outcome_event_recipients == "included",
        )
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the first change that Lambda has to deliver again, if any."""
    publishing = publish_outcomes(event["Records"], dependencies())
    count(publishing.metrics)
    return publishing.answer()
