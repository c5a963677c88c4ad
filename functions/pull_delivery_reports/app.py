"""Takes delivery reports until none are left, and records them.

Infobip hands a report out once. Each page is stored as it came before it is read, and recorded
before the next one is taken. A page that the table does not take is parked in a queue, and no
other is taken in that run. What is lost on the wire, or when a run is killed before it has stored
a page, the reconciler learns from the logs.
"""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infobip_omni.api.client import LONGEST_CALL_SECONDS, OmniClient
from infobip_omni.api.errors import AuthenticationError, OmniError
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.settings import PullDeliveryReportsSettings
from infobip_omni.unrecorded_reports import UnrecordedReports

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient

REPORTS_PER_PAGE = 1000
#: What storing and recording a page is expected to take, until a run has seen how long it takes.
_EXPECTED_RECORDING_SECONDS = 10.0


@dataclass(slots=True)
class Pull:
    """What a run has done."""

    pages: int = 0
    parked: int = 0  #: pages that a queue holds until they can be recorded
    lost: int = 0  #: pages that neither table nor queue took
    recorded: Recorded = field(default_factory=Recorded)
    #: Why the run ended before the reports did, if it did.
    stopped_by: str | None = None
    #: Infobip does not accept the credentials, or they lack a scope.
    account_refused: bool = False

    @property
    def failed(self) -> bool:
        """Whether something other than the end of its time has stopped the run."""
        return self.stopped_by not in (None, "TIME")

    def answer(self) -> dict[str, Any]:
        """Write it for whoever invoked the function."""
        return {
            "pages": self.pages,
            "parked": self.parked,
            "lost": self.lost,
            **asdict(self.recorded),
            "stoppedBy": self.stopped_by,
        }


def pull_delivery_reports(
    client: OmniClient,
    reports: DeliveryReports,
    unrecorded: UnrecordedReports,
    seconds_left: Callable[[], float],
) -> Pull:
    """Take and record page after page, until one is short or the time is nearly over.

    Args:
        client: Infobip.
        reports: Where they are recorded.
        unrecorded: Where those go that cannot be recorded now.
        seconds_left: Tells how much time the run has.
    """
    pull = Pull()
    try:
        pull.recorded += reports.record_abandoned_pages()
        longest = _EXPECTED_RECORDING_SECONDS
        while pull.stopped_by is None:
            if seconds_left() < LONGEST_CALL_SECONDS + 2 * longest:
                pull.stopped_by = "TIME"
                break
            body = client.take_reports(limit=REPORTS_PER_PAGE)
            begun = time.monotonic()
            recorded = _record(body, reports)
            longest = max(longest, time.monotonic() - begun)
            pull.pages += 1
            if recorded is None:
                _park(body, unrecorded, pull)
                break
            pull.recorded += recorded
            if recorded.entries < REPORTS_PER_PAGE:
                break
    except (OmniError, ParameterUnavailableError) as error:
        logger.warning("reports cannot be taken", reason=str(error))
        pull.stopped_by = type(error).__name__.removesuffix("Error")
        pull.account_refused = isinstance(error, AuthenticationError)
    except TableUnavailableError as error:
        logger.error("reports are not recorded yet", reason=str(error))
        pull.stopped_by = "TableUnavailable"
    return pull


def _record(body: bytes, reports: DeliveryReports) -> Recorded | None:
    """Make a page safe, then record it; None if the table has done neither.

    Raises:
        TableUnavailableError: The page is safe, but not recorded: a later run will do that.
    """
    try:
        page = reports.store_page(body)
    except TableUnavailableError:
        try:
            return reports.record_body(body)
        except TableUnavailableError:
            return None
    return reports.record_page(page)


def _park(body: bytes, unrecorded: UnrecordedReports, pull: Pull) -> None:
    """Put a page where it waits for the table."""
    pull.stopped_by = "TableUnavailable"
    try:
        unrecorded.park(body)
    except QueueUnavailableError as error:
        # The reconciler will learn from the logs what these reports have said.
        logger.error("a page of reports is lost", reason=str(error))
        pull.lost += 1
    else:
        logger.warning("a page of reports is parked")
        pull.parked += 1


@functools.cache
def collaborators() -> tuple[OmniClient, DeliveryReports, UnrecordedReports]:
    """Make what lives as long as the environment."""
    settings = PullDeliveryReportsSettings.from_environment()
    table, ledger = open_ledger(settings)
    unrecorded = UnrecordedReports(settings.unrecorded_reports_queue_url)
    return open_client(settings), DeliveryReports(table, ledger), unrecorded


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer with what was done; nothing that Infobip or the table does raises."""
    client, reports, unrecorded = collaborators()
    pull = pull_delivery_reports(
        client, reports, unrecorded, lambda: context.get_remaining_time_in_millis() / 1000
    )
    logger.info("reports pulled", extra=pull.answer())
    count(
        {
            **pull.recorded.counts(),
            "ReportPagesParked": pull.parked,
            "ReportPagesLost": pull.lost,
            "PullsSucceeded": not pull.failed,
            "PullsFailed": pull.failed,
            "AccountRefusals": pull.recorded.account_refusals + pull.account_refused,
        }
    )
    return pull.answer()
