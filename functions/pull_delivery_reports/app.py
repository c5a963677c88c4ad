"""Takes delivery reports until none are left, and records them.

Infobip hands a report out once. Each page is stored as it came before it is read, and recorded
before the next one is taken. A page that the table does not take is parked in a queue, and no
other is taken in that run. What is lost on the wire, or when a run is killed before it has stored
a page, the reconciler learns from the logs.
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
#: What storing and recording a page is expected to take, until a run has seen how long it takes.
_EXPECTED_RECORDING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    client: OmniClient
    reports: DeliveryReports
    #: Where pages go that the table does not take.
    parked: ParkedReports


class Fate(Enum):
    """Where a page is that was taken."""

    RECORDED = auto()  #: its reports are in the table
    STORED = auto()  #: the table holds it as it came, and a later run records it
    PARKED = auto()  #: a queue holds it until it can be recorded
    LOST = auto()  #: neither table nor queue took it


@dataclass(frozen=True, slots=True)
class TakenPage:
    """What became of a page."""

    fate: Fate
    recorded: Recorded = field(default_factory=Recorded)

    @property
    def is_last(self) -> bool:
        """Whether no other is taken: there is none, or the table would not take it."""
        return self.fate is not Fate.RECORDED or self.recorded.entries < REPORTS_PER_PAGE


@dataclass(frozen=True, slots=True)
class Pull:
    """What a run has done."""

    pages: int = 0  #: pages that were taken, without one that a later run records
    parked: int = 0  #: pages that a queue holds until they can be recorded
    lost: int = 0  #: pages that neither table nor queue took
    recorded: Recorded = field(default_factory=Recorded)
    #: Why the run ended before the reports did, if it did.
    stopped_by: str | None = None
    #: Infobip does not accept the credentials, or they lack a scope.
    account_refused: bool = False

    def after(self, page: TakenPage) -> Pull:
        """Add a page."""
        return replace(
            self,
            pages=self.pages + (page.fate is not Fate.STORED),
            parked=self.parked + (page.fate is Fate.PARKED),
            lost=self.lost + (page.fate is Fate.LOST),
            recorded=self.recorded + page.recorded,
            stopped_by=None if page.fate is Fate.RECORDED else "TableUnavailable",
        )

    @property
    def failed(self) -> bool:
        """Whether something other than the end of its time has stopped the run."""
        return self.stopped_by not in (None, "TIME")

    @property
    def metrics(self) -> dict[str, int]:
        """Return what there is to be counted, by the name of its metric."""
        return {
            **self.recorded.counts(),
            "ReportPagesParked": self.parked,
            "ReportPagesLost": self.lost,
            "PullsSucceeded": not self.failed,
            "PullsFailed": self.failed,
            "AccountRefusals": self.recorded.account_refusals + self.account_refused,
        }

    def answer(self) -> dict[str, Any]:
        """Write it for whoever invoked the function."""
        return {
            "pages": self.pages,
            "parked": self.parked,
            "lost": self.lost,
            **asdict(self.recorded),
            "stoppedBy": self.stopped_by,
        }


def pull_delivery_reports(deps: Dependencies, seconds_left: Callable[[], float]) -> Pull:
    """Take and record page after page, until one is short or the time is nearly over.

    Args:
        deps: Infobip, and where its reports are recorded.
        seconds_left: Returns how much time the run has.
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
            if page.is_last:
                return pull
    except (OmniError, ParameterUnavailableError) as error:
        logger.warning("reports cannot be taken", reason=str(error))
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
    """Make a page safe, then record it."""
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
    """Record a page that the table does not hold; else put it where it waits for the table."""
    with suppress(TableUnavailableError):
        return TakenPage(Fate.RECORDED, deps.reports.record_body(body))
    try:
        deps.parked.park(body)
    except QueueUnavailableError as error:
        # The reconciler will learn from the logs what these reports have said.
        logger.error("a page of reports is lost", reason=str(error))
        return TakenPage(Fate.LOST)
    logger.warning("a page of reports is parked")
    return TakenPage(Fate.PARKED)


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
    settings = PullDeliveryReportsSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(
        client=open_client(settings),
        reports=DeliveryReports(storage.table, storage.ledger),
        parked=ParkedReports(settings.parked_reports_queue_url),
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer with what was done; nothing that Infobip or the table does raises."""
    pull = pull_delivery_reports(dependencies(), time_left(context))
    logger.info("reports pulled", extra=pull.answer())
    count(pull.metrics)
    return pull.answer()
