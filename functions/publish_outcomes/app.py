"""Tells upstream apps when a message settles, by an event on the bus of their choice.

It is driven by the stream of the messages table, so that no outcome can be recorded without being
told: a run that fails, or is killed, gets the same changes again. An event may therefore come
twice, and never not at all while the stream holds its change, which is 24 hours. The exception is
an event that can never go out: it is left out, logged and counted, so that it holds up no other.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from infobip_omni.observability import count, logger, observed
from infobip_omni.outcome_events import Change, OutcomeEvents, UnreadableChangeError
from infobip_omni.settings import PublishOutcomesSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext


def publish_outcomes(
    records: Iterable[Mapping[str, Any]], events: OutcomeEvents
) -> PartialItemFailureResponse:
    """Publish the events of a batch of records of the stream.

    Returns:
        The change from which on Lambda has to deliver the batch again, if any.
    """
    changes = []
    unpublishable = 0
    for record in records:
        try:
            changes.append(Change.read(record))
        except UnreadableChangeError as error:
            unpublishable += 1
            logger.error("a change of the table cannot be read", reason=str(error))
    publication = events.publish(changes)
    for untold in publication.unpublishable:
        unpublishable += 1
        logger.error(
            "an outcome cannot be published", message_id=untold.message_id, reason=untold.reason
        )
    logger.info("outcomes published", count=publication.published)
    count({"OutcomesPublished": publication.published, "OutcomesUnpublishable": unpublishable})
    waiting = publication.waiting
    if waiting is None:
        return {"batchItemFailures": []}
    logger.warning("outcomes cannot be published yet", reason=waiting.reason)
    return {"batchItemFailures": [{"itemIdentifier": waiting.change.sequence_number}]}


@functools.cache
def collaborators() -> OutcomeEvents:
    """Make what lives as long as the environment."""
    settings = PublishOutcomesSettings.from_environment()
    return OutcomeEvents(
        settings.outcome_event_bus_name,
        with_recipients=settings.outcome_event_recipients == "included",
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer with the change that could not be told, if any."""
    return publish_outcomes(event["Records"], collaborators())
