"""Tells upstream apps when a message settles, by an event on the bus of their choice.

It is driven by the stream of the messages table, so that no outcome can be recorded without being
told: a run that fails, or is killed, gets the same changes again. An event may therefore come
twice, and never not at all while the stream holds its change, which is 24 hours.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from infobip_omni.observability import logger, metrics, observed
from infobip_omni.outcome_events import BusUnavailableError, Change, OutcomeEvents
from infobip_omni.settings import PublishOutcomesSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext


def publish_outcomes(
    changes: Sequence[Change], events: OutcomeEvents
) -> PartialItemFailureResponse:
    """Publish the events of a batch of changes.

    Returns:
        The change from which on Lambda has to deliver the batch again, if any.
    """
    try:
        published = events.publish(changes)
    except BusUnavailableError as error:
        logger.warning("outcomes cannot be published", reason=str(error))
        return {"batchItemFailures": [{"itemIdentifier": error.change.sequence_number}]}
    logger.info("outcomes published", count=published)
    metrics.add_metric(name="OutcomesPublished", unit=MetricUnit.Count, value=published)
    return {"batchItemFailures": []}


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
    changes = [Change.read(record) for record in event["Records"]]
    return publish_outcomes(changes, collaborators())
