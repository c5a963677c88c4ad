"""The settings that a number of messages a day needs, and what a day then costs."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from functions.pull_delivery_reports import app as pull
from functions.reconcile_messages import app as reconcile
from infobip_omni import log_query_limiter

from .model import DAY, PEAK_BEGINS, Deployment, arrivals, delays, simulate

if TYPE_CHECKING:
    from .facts import Facts, Settings

#: The most of the senders and of the table that the busiest hour may use.
MOST_USED = 0.8
#: For the puller, beside the template's own. A page older than 15 minutes counts as abandoned, so
#: each run must have ended by then.
PULL_MEMORY_SIZES, PULL_TIMEOUTS = (1024, 1769), (600, 840)
_TABLE_STEP = 1000


def fitted(daily: float, template: Settings, facts: Facts) -> Deployment:
    """Return the cheapest deployment that serves the busiest hour.

    That hour uses at most `MOST_USED` of the senders and of the table, and reports are recorded
    before the reconciler queries the logs about their messages. If no puller is fast enough for
    that, the fastest one is chosen.
    """
    needed = arrivals(daily, PEAK_BEGINS) / 60 / MOST_USED
    one = Deployment(replace(template, concurrency=1), facts)
    senders = max(template.least_concurrency, math.ceil(needed / one.limits["senders"]))
    units = _TABLE_STEP * math.ceil(needed * one.write_units / _TABLE_STEP)
    best, least_late = one, math.inf
    for memory, timeout in itertools.product(
        sorted({template.pull_memory, *PULL_MEMORY_SIZES}),
        sorted({template.pull_timeout, *PULL_TIMEOUTS}),
    ):
        settings = replace(
            template,
            concurrency=min(senders, template.most_concurrency),
            table_wru=max(template.table_wru, units),
            pull_memory=memory,
            pull_timeout=timeout,
        )
        late = _minutes_late(daily, Deployment(settings, facts))
        if late < least_late or math.isinf(late):
            best, least_late = Deployment(settings, facts), late
        if not late:
            break
    return best


def _minutes_late(daily: float, deployment: Deployment) -> float:
    """Return how long the last reports are recorded after their messages are overdue."""
    settings, reports = deployment.settings, simulate(daily, deployment).reports
    _, worst = delays(reports.entered, reports.left)
    return max(0.0, round(worst + (settings.pull_interval - settings.check_after) / 60, 0))


def daily_cost(daily: float, deployment: Deployment) -> dict[str, float]:
    """Return the US dollars of a day without an outage, by service.

    What a stage costs in which nothing is sent is left out, except for the schedules' runs.
    """
    settings, facts, days = deployment.settings, deployment.facts, simulate(daily, deployment)
    left = days.messages.left[: DAY + 1]
    batches = sum(
        (after - before) / _records_in_a_batch((after - before) / 60, deployment)
        for before, after in itertools.pairwise(left)
    )
    messages, reports = left[-1], days.reports.left[DAY]
    runs = DAY * 60 / settings.pull_interval + DAY * 60 / settings.reconcile_interval
    pages = reports / pull.REPORTS_PER_PAGE
    queries = days.overdue.left[DAY] / reconcile.IDS_PER_LOG_QUERY
    sending = batches * facts.send_wait + messages * deployment.cpu_seconds
    reconciling = queries * 60 / log_query_limiter.SLOTS_PER_MINUTE
    megabyte_seconds = (sending + reconciling) * settings.memory
    megabyte_seconds += pages * deployment.page_seconds * settings.pull_memory
    invocations = batches + runs
    logged = messages * facts.logged_a_message + invocations * facts.logged_an_invocation
    stored = messages * facts.stored_a_message * settings.retention_days / 30
    traces = min(invocations, DAY * 60) + facts.traced_share * invocations
    return {
        "DynamoDB": messages * deployment.write_units * facts.wru_price + reports * facts.rru_price,
        "storage": stored / 1e9 * facts.gb_month_price,
        "SQS": batches * facts.requests_a_batch * facts.sqs_price,
        "Lambda": megabyte_seconds / 1024 * facts.gb_second_price
        + invocations * facts.invocation_price,
        "logs": logged / 1e9 * facts.log_gb_price,
        "X-Ray": traces * facts.trace_price,
    }


def _records_in_a_batch(rate: float, deployment: Deployment) -> float:
    """Return how full batches are, at messages a second.

    Lambda begins with a few batches at a time. These fill up before it adds others.
    """
    facts, settings = deployment.facts, deployment.settings
    idle = min(facts.first_batches, settings.concurrency) - rate * deployment.cpu_seconds
    filled = rate * facts.send_wait / idle if idle > 0 else math.inf
    return min(max(filled, 1.0), settings.batch)
