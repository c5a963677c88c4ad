"""A fluid model of a deployment: messages, reports and overdue messages flow, minute by minute.

Senders, puller and reconciler each serve a queue, at most at their limit; what they cannot serve
waits. Code and template give their own figures, and `facts` holds the others. The model leaves out
the time on the handset, cold starts, the webhook and outcome events. Where reports wait longer than
`ReconcileAfterSeconds`, it leaves out the log queries about their messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from functions.pull_delivery_reports import app as pull
from functions.pull_delivery_reports.app import _EXPECTED_RECORDING_SECONDS
from functions.reconcile_messages import app as reconcile
from infobip_omni import log_queries, log_query_limiter, message, send_queue
from infobip_omni.api.client import LONGEST_CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .facts import Facts, Settings

HOUR, DAY = 60, 1440  # minutes
#: The busiest hour has ten times the day's mean rate; the other 23 hours share the rest evenly.
PEAK, PEAK_BEGINS = 10, 10 * HOUR
#: Writes of a message to the index of messages to be checked: the claim's, and the verdict's.
_CHECK_INDEX_WRITES = 2
#: Stages that bound how many messages are sent.
_SENDING = ("senders", "table", "table quota", "check index")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The rates that follow from settings and facts."""

    settings: Settings
    facts: Facts

    @property
    def reports_per_message(self) -> float:
        return 1 + self.facts.share_failed_over

    @property
    def cpu_seconds(self) -> float:
        """The sender's CPU time for a message, at its share of a core."""
        return self.facts.send_cpu / min(1.0, self.settings.memory / self.facts.mb_per_cpu)

    @property
    def batch_seconds(self) -> float:
        """The sender's time for a full batch."""
        return self.facts.send_wait + self.settings.batch * self.cpu_seconds

    @property
    def page_seconds(self) -> float:
        """The puller's time for a full page."""
        cpu_seconds = pull.REPORTS_PER_PAGE * self.facts.report_cpu
        share = min(1.0, self.settings.pull_memory / self.facts.mb_per_cpu)
        return self.facts.page_wait + cpu_seconds / share

    @property
    def write_units(self) -> float:
        """Write request units of a message: claim and its indexes, acceptance, reports, verdict."""
        reports = self.reports_per_message * (1 + self.facts.page_wru)
        return 1 + self.settings.indexes + 1 + reports + 2

    @property
    def pull_runs(self) -> float:
        """How many runs pull concurrently under a backlog, when one begins in each interval."""
        reserved = LONGEST_CALL_SECONDS + 2 * _EXPECTED_RECORDING_SECONDS
        return (self.settings.pull_timeout - reserved) / self.settings.pull_interval

    @property
    def overdue_rate(self) -> float:
        """Overdue messages a second that the log queries of all runs are about."""
        querying = self.settings.reconcile_timeout - log_queries.SECONDS_PER_LOG_QUERY
        share_of_time = min(1.0, querying / self.settings.reconcile_interval)
        slots = share_of_time * log_query_limiter.SLOTS_PER_MINUTE / 60
        return slots * reconcile.IDS_PER_LOG_QUERY

    @property
    def limits(self) -> dict[str, float]:
        """The messages a second that each stage can serve, by its name."""
        settings, facts, reports = self.settings, self.facts, self.reports_per_message
        quota = max(facts.table_quota_wru, settings.table_wru)
        return {
            "senders": settings.concurrency * settings.batch / self.batch_seconds,
            "table": settings.table_wru / self.write_units,
            "table quota": quota / self.write_units,
            "check index": message.CHECK_SHARDS * facts.key_wru / _CHECK_INDEX_WRITES,
            "puller": self.pull_runs * pull.REPORTS_PER_PAGE / self.page_seconds / reports,
            "key of stored pages": facts.key_wru / facts.page_wru / reports,
            "reconciler": self.overdue_rate / facts.share_without_report,
        }


@dataclass(slots=True)
class Flow:
    """A queue and the stage that serves it: sums since the beginning, at the end of each minute."""

    entered: list[float] = field(default_factory=lambda: [0.0])
    left: list[float] = field(default_factory=lambda: [0.0])

    @property
    def backlogs(self) -> list[float]:
        """What waited at the end of each minute."""
        return [entered - left for entered, left in zip(self.entered, self.left, strict=True)]

    @property
    def backlog(self) -> float:
        """What waits now."""
        return self.entered[-1] - self.left[-1]

    def serve(self, arriving: float, most: float) -> float:
        """Serve for one minute, and return how many were served."""
        served = min(self.backlog + arriving, max(most, 0.0))
        self.entered.append(self.entered[-1] + arriving)
        self.left.append(self.left[-1] + served)
        return served


@dataclass(frozen=True, slots=True)
class Days:
    """What flowed in two days."""

    messages: Flow = field(default_factory=Flow)
    reports: Flow = field(default_factory=Flow)
    overdue: Flow = field(default_factory=Flow)


def arrivals(daily: float, minute: int) -> float:
    """Return how many of a day's messages arrive in a minute of it."""
    hours = DAY / HOUR
    is_peak = PEAK_BEGINS <= minute % DAY < PEAK_BEGINS + HOUR
    return daily / DAY * (PEAK if is_peak else (hours - PEAK) / (hours - 1))


def simulate(daily: float, deployment: Deployment, *, has_outage: bool = False) -> Days:
    """Return how the messages of two days flow through a deployment.

    Args:
        daily: Messages a day.
        deployment: What serves them.
        has_outage: Whether Infobip is down in the busiest hour of the first day. As many records as
            SQS allows in flight then wait for their next attempt; they return evenly within the
            longest delay.
    """
    days, limits, facts = Days(), deployment.limits, deployment.facts
    messages, reports, overdue = days.messages, days.reports, days.overdue
    sent = 60 * min(limits[stage] for stage in _SENDING)
    pulled_by_run = 60 * pull.REPORTS_PER_PAGE / deployment.page_seconds
    under_one_key = 60 * facts.key_wru / facts.page_wru
    queried = 60 * deployment.overdue_rate
    returned = 60 * facts.in_flight / send_queue.LONGEST_DELAY.total_seconds()
    check_after = math.ceil(deployment.settings.check_after / 60)
    begun, most_runs = 60 / deployment.settings.pull_interval, deployment.pull_runs
    per_message = deployment.reports_per_message
    runs = invisible = 0.0
    for minute in range(2 * DAY):
        is_up = not (has_outage and PEAK_BEGINS <= minute < PEAK_BEGINS + HOUR)
        arriving = arrivals(daily, minute)
        waiting = messages.backlog + arriving
        invisible = max(0.0, invisible - returned) if is_up else min(waiting, facts.in_flight)
        accepted = messages.serve(arriving, is_up * min(sent, waiting - invisible))
        runs = min(runs + begun if reports.backlog > 1 else begun, most_runs)
        reports.serve(accepted * per_message, is_up * min(runs * pulled_by_run, under_one_key))
        earlier = messages.left[max(0, minute + 1 - check_after)]
        due = earlier * facts.share_without_report - overdue.entered[-1]
        overdue.serve(due, is_up * queried)
    return days


def delays(entered: Sequence[float], left: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the worst delay between two sums, first in, first out, in minutes."""
    imprecision = entered[-1] * 1e-9
    if left[-1] < entered[-1] - imprecision:
        return math.inf, math.inf
    worst, after = 0.0, 0
    for minute, place in enumerate(entered):
        while left[after] < place - imprecision:
            after += 1
        if after > minute:
            part = (place - left[after - 1]) / (left[after] - left[after - 1])
            worst = max(worst, after - 1 + part - minute)
    return (sum(entered) - sum(left)) / entered[-1], worst
