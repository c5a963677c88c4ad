"""Records the delivery reports that the table did not take when they came.

What it does not take now either goes back to the queue, and comes round again.
"""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent

from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed
from infobip_omni.settings import RecordParkedReportsSettings
from infobip_omni.unrecorded_reports import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext


def record_parked_reports(
    records: Iterable[SQSRecord], reports: DeliveryReports
) -> tuple[Recorded, list[str]]:
    """Record the pages that these records hold.

    Returns:
        What was recorded, and the ids of the records that must come round again.
    """
    recorded = Recorded()
    kept = []
    for record in records:
        try:
            recorded += reports.record_body(unpacked(record.body))
        except TableUnavailableError as error:
            logger.warning("reports stay parked", reason=str(error))
            kept.append(record.message_id)
    return recorded, kept


@functools.cache
def collaborators() -> DeliveryReports:
    """Make what lives as long as the environment."""
    settings = RecordParkedReportsSettings.from_environment()
    table, ledger = open_ledger(settings)
    return DeliveryReports(table, ledger)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer with the records that must come round again."""
    recorded, kept = record_parked_reports(SQSEvent(event).records, collaborators())
    logger.info("parked reports recorded", extra=asdict(recorded))
    count(recorded.counts())
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in kept]}
