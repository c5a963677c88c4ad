"""Records delivery reports that were parked because the table did not accept them.

Records whose reports the table still does not accept are redelivered.
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
    """Clients shared by all invocations of one execution environment."""

    reports: DeliveryReports


@dataclass(frozen=True, slots=True)
class Recording:
    """The result of a batch of records."""

    recorded: Recorded
    #: The SQS ids of the records that have to be redelivered.
    failed: list[str]

    @property
    def metrics(self) -> dict[str, int]:
        """The counts of the run, by the name of their metric."""
        return self.recorded.counts()

    def answer(self) -> PartialItemFailureResponse:
        """Return the partial batch response that Lambda expects."""
        return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in self.failed]}


def record_parked_reports(records: Iterable[SQSRecord], deps: Dependencies) -> Recording:
    """Record the pages of reports that a batch of records holds."""
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
    """Build the clients shared by all invocations of one execution environment."""
    settings = RecordParkedReportsSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(reports=DeliveryReports(storage.table, storage.ledger))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the records that have to be redelivered."""
    recording = record_parked_reports(SQSEvent(event).records, dependencies())
    logger.info("parked reports recorded", extra=asdict(recording.recorded))
    count(recording.metrics)
    return recording.answer()
