"""The times of a run: those of production, divided so that a run takes minutes instead of hours.

Times on which a promise depends keep their ratios: a lease lasts longer than the longest call and a
whole run of the sender, and a record stays invisible for longer than both. Pure waits are divided
further, above all the interval between log queries; the log lag of a run stays below three such
intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from functions.pull_delivery_reports import app as pull
from functions.reconcile_messages import app as reconcile
from functions.send_message import app as send
from infobip_omni import (
    circuit_breaker,
    delivery_reports,
    dynamodb,
    log_queries,
    log_query_limiter,
    send_queue,
)
from infobip_omni.api import client

if TYPE_CHECKING:
    from types import ModuleType

#: Allows for a machine that is busy with other work; an idle machine could run twice as fast.
DIVISOR = 30.0
#: How long Infobip is down in the middle of a run, in seconds of production.
OUTAGE = 3600.0
#: Extra divisors of waits on which no promise depends.
_DELAYS, _ABANDONED, _LOG_QUERIES, _PUSHES = 15.0, 2.0, 10.0, 4.0
_MINUTE = 60.0
#: Seconds from the end of a lease to an early redelivery.
_AFTER_LEASE = 2


@dataclass(frozen=True, slots=True)
class Time:
    """A duration that is set in the code."""

    name: str
    module: ModuleType
    attribute: str
    #: Divides the duration in addition to the divisor of the run.
    extra_divisor: float = 1.0

    @property
    def production(self) -> Any:  # noqa: ANN401 (seconds, or a timedelta)
        """The duration that the code sets."""
        return _PRODUCTION[self]


#: The durations that are set in the code.
CODE_TIMES = (
    Time("client: to connect", client, "CONNECT_SECONDS"),
    Time("client: to read", client, "READ_SECONDS"),
    Time("client: longest idle connection", client, "LONGEST_IDLE_SECONDS"),
    Time("sender: longest call", send, "LONGEST_CALL_SECONDS"),
    Time("sender: margin of the lease", send, "_LEASE_MARGIN_SECONDS"),
    Time("sender: reserve to post and save", send, "_SECONDS_TO_FINISH"),
    Time("puller: longest call", pull, "LONGEST_CALL_SECONDS"),
    Time("puller: expected recording", pull, "_EXPECTED_RECORDING_SECONDS"),
    Time("reconciler: wait for another run", reconcile, "_PATIENCE"),
    Time("log queries: longest", log_queries, "SECONDS_PER_LOG_QUERY"),
    Time("log queries: between two", log_query_limiter, "_DISTANCE"),
    Time("log queries: lease", log_query_limiter, "_LEASE"),
    Time("log queries: shortest delay", log_query_limiter, "_SHORTEST_DELAY"),
    Time("log queries: longest delay", log_query_limiter, "_LONGEST_DELAY"),
    Time("log queries: furthest slot", log_query_limiter, "_FURTHEST"),
    Time("log queries: look for the lease", log_query_limiter, "_SECONDS_BETWEEN_LOOKS"),
    Time("breaker: first backoff", circuit_breaker, "_FIRST_BACKOFF_SECONDS"),
    Time("breaker: longest backoff", circuit_breaker, "_LONGEST_BACKOFF_SECONDS"),
    Time("table: first backoff", dynamodb, "_FIRST_BACKOFF_SECONDS"),
    Time("record: first delay", send_queue, "FIRST_DELAY"),
    Time("record: longest delay", send_queue, "LONGEST_DELAY", _DELAYS),
    Time("page: abandoned after", delivery_reports, "_ABANDONED_AFTER", _ABANDONED),
)
_PRODUCTION = {time: getattr(time.module, time.attribute) for time in CODE_TIMES}


@dataclass(frozen=True, slots=True)
class Deployment:
    """The times that template.yaml sets, in seconds."""

    sender_timeout: float
    puller_timeout: float
    recorder_timeout: float
    receiver_timeout: float
    reconciler_timeout: float
    visibility: float
    claim: float
    reconcile_after: float

    @classmethod
    def of(cls, template: dict[str, Any]) -> Deployment:
        """Read a parsed template."""
        resources, parameters = template["Resources"], template["Parameters"]
        return cls(
            sender_timeout=resources["SendMessageFunction"]["Properties"]["Timeout"],
            puller_timeout=resources["PullDeliveryReportsFunction"]["Properties"]["Timeout"],
            recorder_timeout=resources["RecordParkedReportsFunction"]["Properties"]["Timeout"],
            receiver_timeout=resources["ReceiveDeliveryReportFunction"]["Properties"]["Timeout"],
            reconciler_timeout=resources["ReconcileMessagesFunction"]["Properties"]["Timeout"],
            visibility=resources["SendQueue"]["Properties"]["VisibilityTimeout"],
            claim=parameters["ClaimSeconds"]["Default"],
            reconcile_after=parameters["ReconcileAfterSeconds"]["Default"],
        )

    def divided(self, divisor: float) -> Deployment:
        """Return the times divided; the queue and the log queries count in whole seconds."""
        return Deployment(
            sender_timeout=self.sender_timeout / divisor,
            puller_timeout=self.puller_timeout / divisor,
            recorder_timeout=self.recorder_timeout / divisor,
            receiver_timeout=self.receiver_timeout / divisor,
            reconciler_timeout=self.reconciler_timeout / divisor,
            visibility=round(self.visibility / divisor),
            claim=self.claim / divisor,
            reconcile_after=max(1, round(self.reconcile_after / divisor / _LOG_QUERIES)),
        )

    def with_early_redelivery(self) -> Deployment:
        """Return times that redeliver the records of killed runs soon after the leases expire."""
        return replace(self, visibility=math.ceil(self.claim) + _AFTER_LEASE)


def shorten(divisor: float) -> None:
    """Divide the times of the code, in this process."""
    for time in CODE_TIMES:
        setattr(time.module, time.attribute, time.production / (divisor * time.extra_divisor))


def throttle_minute(divisor: float) -> float:
    """Return how many seconds a minute lasts in which Infobip allows so many log queries."""
    return _MINUTE / divisor


def push_minute(divisor: float) -> float:
    """Return how many seconds a minute lasts between two pushes of the same report."""
    return _MINUTE / (divisor * _PUSHES)


def table(deployment: Deployment, divisor: float) -> list[tuple[str, float, float]]:
    """Return all times as rows: name, seconds in production, seconds in a run."""
    here = deployment.divided(divisor)
    rows = [
        ("sender: timeout", deployment.sender_timeout, here.sender_timeout),
        ("sender: lease of a claim", deployment.claim, here.claim),
        ("record: visibility timeout", deployment.visibility, here.visibility),
        ("puller: timeout", deployment.puller_timeout, here.puller_timeout),
        ("parked reports: timeout", deployment.recorder_timeout, here.recorder_timeout),
        ("webhook: timeout", deployment.receiver_timeout, here.receiver_timeout),
        ("reconciler: timeout", deployment.reconciler_timeout, here.reconciler_timeout),
        ("logs: queried after", deployment.reconcile_after, here.reconcile_after),
        ("Infobip: minute between pushes", _MINUTE, push_minute(divisor)),
        ("Infobip: minute of the throttle", _MINUTE, throttle_minute(divisor)),
    ]
    for time in CODE_TIMES:
        seconds = time.production
        seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        rows.append((time.name, seconds, seconds / (divisor * time.extra_divisor)))
    return rows
