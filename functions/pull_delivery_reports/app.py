"""Pulls delivery reports until none are left, and records them.

Infobip returns each report once. A page is stored unread, as it came, and recorded before the next
one is requested. A page that the table does not accept is parked in a queue, and the run then ends.
The reconciler recovers from the logs what is lost in transit, or when a run is killed before it has
stored a page.

A run continues until a page is empty or its time is nearly over. Under a backlog, runs last longer
than the schedule's interval and overlap; no two receive the same report, so their rates add up.
"""

from __future__ import annotations

import functools
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from infobip_omni.api.client import LONGEST_CALL_SECONDS
from infobip_omni.api.errors import AuthenticationError, OmniError
from infobip_omni.api.reports import is_empty_page
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.infobip_client import open_client
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed, time_left
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.parked_reports import ParkedReports
from infobip_omni.settings import PullDeliveryReportsSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient

REPORTS_PER_PAGE = 1000
#: How long storing and recording a page is assumed to take, until a run has measured more.
_EXPECTED_RECORDING_SECONDS = 10.0
#: A page below this size is small. Infobip returns this many reports by default, so a server that
#: ignores the limit of a request still returns pages that are not small.
_SMALL_PAGE = 50
#: This many small pages in a row end a run. Their reports have probably arrived one by one during
#: the run, which would then never end; the next run pulls what arrives until then as one page.
_SMALL_PAGES_IN_A_ROW = 10


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    client: OmniClient
    reports: DeliveryReports
    #: The queue for pages that the table does not accept.
    parked: ParkedReports


class Fate(Enum):
    """Where a pulled page is now."""

    EMPTY = auto()  #: it holds no reports and nothing else, so it is not stored
    RECORDED = auto()  #: its reports are in the table
    STORED = auto()  #: the table holds it as it came, and a later run records it
    PARKED = auto()  #: a queue holds it until it can be recorded
    LOST = auto()  #: neither the table nor the queue accepted it


@dataclass(frozen=True, slots=True)
class TakenPage:
    """A pulled page, and where it is now."""

    fate: Fate
    recorded: Recorded = field(default_factory=Recorded)

    @property
    def is_last(self) -> bool:
        """Whether the run ends here: no report is left, or the next page might not be recorded.

        A page that is not full may be followed by others. A page without a readable entry is not
        followed up: reports in a form that this version does not know are better left at Infobip.
        """
        return self.fate is not Fate.RECORDED or self.recorded.entries == self.recorded.unreadable

    @property
    def is_small(self) -> bool:
        """Whether the page may hold only reports that have arrived since the one before it."""
        return self.recorded.entries < _SMALL_PAGE


@dataclass(frozen=True, slots=True)
class Pull:
    """The result of a run."""

    #: Pulled pages, except empty ones and one that is left for a later run to record.
    pages: int = 0
    parked: int = 0  #: pages that a queue holds until they can be recorded
    lost: int = 0  #: pages that neither the table nor the queue accepted
    recorded: Recorded = field(default_factory=Recorded)
    small_pages: int = 0  #: small pages in a row, up to the last page
    #: Why the run ended before it had pulled every report; None if it pulled them all.
    stopped_by: str | None = None
    #: Infobip does not accept the credentials, or they lack a scope.
    account_refused: bool = False

    def after(self, page: TakenPage) -> Pull:
        """Return the result with a page added."""
        return replace(
            self,
            pages=self.pages + (page.fate not in (Fate.EMPTY, Fate.STORED)),
            parked=self.parked + (page.fate is Fate.PARKED),
            lost=self.lost + (page.fate is Fate.LOST),
            recorded=self.recorded + page.recorded,
            small_pages=self.small_pages + 1 if page.is_small else 0,
            stopped_by=None if page.fate in (Fate.EMPTY, Fate.RECORDED) else "TableUnavailable",
        )

    @property
    def failed(self) -> bool:
        """Whether the run stopped early for any reason other than its time limit."""
        return self.stopped_by not in (None, "TIME")

    @property
    def metrics(self) -> dict[str, int]:
        """The counts of the run, by the name of their metric."""
        return {
            **self.recorded.counts(),
            "ReportPagesParked": self.parked,
            "ReportPagesLost": self.lost,
            "PullsSucceeded": not self.failed,
            "PullsFailed": self.failed,
            "AccountRefusals": self.recorded.account_refusals + self.account_refused,
        }

    def answer(self) -> dict[str, Any]:
        """Return the function's answer, as JSON."""
        return {
            "pages": self.pages,
            "parked": self.parked,
            "lost": self.lost,
            **asdict(self.recorded),
            "stoppedBy": self.stopped_by,
        }


def pull_delivery_reports(deps: Dependencies, seconds_left: Callable[[], float]) -> Pull:
    """Pull and record page after page, until one is empty or the time is nearly over.

    Args:
        deps: Infobip, the table and the queue for parked pages.
        seconds_left: Returns how many seconds the run has left.
    """
    pull = Pull()
    try:
        pull = Pull(recorded=deps.reports.record_abandoned_pages())
        longest = _EXPECTED_RECORDING_SECONDS
        while seconds_left() >= LONGEST_CALL_SECONDS + 2 * longest:
            body = deps.client.take_reports(limit=REPORTS_PER_PAGE)
            begun = time.monotonic()
            page = keep_page(body, deps)
            longest = max(longest, time.monotonic() - begun)
            pull = pull.after(page)
            if page.is_last or pull.small_pages == _SMALL_PAGES_IN_A_ROW:
                return pull
    except (OmniError, ParameterUnavailableError) as error:
        logger.warning("reports cannot be pulled", reason=str(error))
        return replace(
            pull,
            stopped_by=type(error).__name__.removesuffix("Error"),
            account_refused=isinstance(error, AuthenticationError),
        )
    except TableUnavailableError as error:
        logger.error("reports are not recorded yet", reason=str(error))
        return replace(pull, stopped_by="TableUnavailable")
    return replace(pull, stopped_by="TIME")


def keep_page(body: bytes, deps: Dependencies) -> TakenPage:
    """Store a page as it came, then record its reports."""
    if is_empty_page(body):
        return TakenPage(Fate.EMPTY)
    try:
        stored = deps.reports.store_page(body)
    except TableUnavailableError:
        return _keep_unstored(body, deps)
    try:
        return TakenPage(Fate.RECORDED, deps.reports.record_page(stored))
    except TableUnavailableError as error:
        logger.error("reports are not recorded yet", reason=str(error))
        return TakenPage(Fate.STORED)


def _keep_unstored(body: bytes, deps: Dependencies) -> TakenPage:
    """Record a page that could not be stored; if that fails too, park it."""
    with suppress(TableUnavailableError):
        return TakenPage(Fate.RECORDED, deps.reports.record_body(body))
    try:
        deps.parked.park(body)
    except QueueUnavailableError as error:
        # The reconciler will query the logs about the messages of these reports.
        logger.error("a page of reports is lost", reason=str(error))
        return TakenPage(Fate.LOST)
    logger.warning("a page of reports is parked")
    return TakenPage(Fate.PARKED)


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = PullDeliveryReportsSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(
        client=open_client(settings),
        reports=DeliveryReports(storage.table, storage.ledger),
        parked=ParkedReports(settings.parked_reports_queue_url),
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the counts of the run; failures of Infobip or the table raise no error."""
    pull = pull_delivery_reports(dependencies(), time_left(context))
    logger.info("reports pulled", extra=pull.answer())
    count(pull.metrics)
    return pull.answer()
