"""Records the delivery reports that the table did not take when they came.

What it does not take now either goes back to the queue, and comes round again.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import SQSEvent

from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed
from infobip_omni.parked_reports import unpacked
from infobip_omni.settings import RecordParkedReportsSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    reports: DeliveryReports


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of a batch of records."""

    recorded: Recorded
    #: The ids of the records that must come round again.
    failed: list[str]

    @property
    def metrics(self) -> dict[str, int]:
        """Return what there is to be counted, by the name of its metric."""
        return self.recorded.counts()

    def answer(self) -> PartialItemFailureResponse:
        """Write it for Lambda."""
        return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in self.failed]}


def record_parked_reports(records: Iterable[SQSRecord], deps: Dependencies) -> Recording:
    """Record the pages that these records hold."""
    recorded = Recorded()
    failed = []
    for record in records:
        try:
            recorded += deps.reports.record_body(unpacked(record.body))
        except TableUnavailableError as error:
            logger.warning("reports stay parked", reason=str(error))
            failed.append(record.message_id)
    return Recording(recorded, failed)


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = RecordParkedReportsSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(reports=DeliveryReports(storage.table, storage.ledger))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer with the records that must come round again."""
    recording = record_parked_reports(SQSEvent(event).records, dependencies())
    logger.info("parked reports recorded", extra=asdict(recording.recorded))
    count(recording.metrics)
    return recording.answer()
