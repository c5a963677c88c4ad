"""The figures of the model that are measured, documented or assumed, and those of the template."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.local_world.template import read_template


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures that neither code nor template holds; seconds, bytes, and US dollars."""

    # Measured on one core of a quiet x86-64 machine with Python 3.13, 2026-11-25: the CPU time that
    # `make bench` shows, and the waits where Infobip answers after 50 ms and DynamoDB after 5 ms.
    send_cpu: float = 0.0020  # a message, in a batch of 10
    send_wait: float = 0.060  # a batch: its requests are concurrent
    report_cpu: float = 0.000487  # in a page of 1,000
    page_wait: float = 0.076
    # Documented by AWS, 2026-11-25: Lambda, "Configure Lambda function memory" and "Configuring
    # scaling behavior for SQS event source mappings"; SQS, "Quotas"; DynamoDB, "Quotas",
    # "Pre-warming a table for on-demand capacity mode" and "Warm throughput in different
    # scenarios". The indexes are counted as part of the table.
    mb_per_cpu: float = 1769
    first_batches: float = 5  # at a time
    in_flight: float = 120_000  # received and not yet deleted
    new_table_wru: float = 4000
    table_quota_wru: float = 40_000
    key_wru: float = 1000
    # Counted by the code's own writes, 2026-11-25. No item is larger than 1 KB.
    page_wru: float = 0.112  # a report of a stored page; all pages are under one key
    stored_a_message: float = 2000  # with reports, indexes and overhead
    logged_a_message: float = 430
    logged_an_invocation: float = 710
    requests_a_batch: float = 3  # upstream's send, receive and delete
    # Prices of us-east-1 and arm64, 2026-11-25, before free tiers: a write and a read request unit,
    # a request to SQS, an invocation, a GB-second, a GB of logs, a trace, a GB-month with
    # point-in-time recovery.
    wru_price: float = 0.625e-6
    rru_price: float = 0.125e-6
    sqs_price: float = 0.40e-6
    invocation_price: float = 0.20e-6
    gb_second_price: float = 13.3334e-6
    log_gb_price: float = 0.50
    trace_price: float = 5e-6
    gb_month_price: float = 0.25 + 0.20
    traced_share: float = 0.05  # beside one invocation a second
    # Assumed; yours differ.
    share_failed_over: float = 0.20  # a failed first step has a report of its own
    share_without_report: float = 0.01  # the logs are queried once about each


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a deployment; times in seconds, memory in MB, writes in units a second."""

    concurrency: int
    least_concurrency: int
    most_concurrency: int
    batch: int
    memory: int
    pull_memory: int
    pull_timeout: int
    pull_interval: int
    reconcile_timeout: int
    reconcile_interval: int
    check_after: int
    retention_days: int
    indexes: int
    table_wru: float


def template_settings(facts: Facts) -> Settings:
    """Return the template's defaults, with a table that was just created."""
    template = read_template()
    default = {name: each.get("Default") for name, each in template["Parameters"].items()}
    concurrency = template["Parameters"]["SendMaximumConcurrency"]
    resources = template["Resources"]
    memory = template["Globals"]["Function"]["MemorySize"]
    pull = resources["PullDeliveryReportsFunction"]["Properties"]
    return Settings(
        concurrency=concurrency["Default"],
        least_concurrency=concurrency["MinValue"],
        most_concurrency=concurrency["MaxValue"],
        batch=default["SendBatchSize"],
        memory=memory,
        pull_memory=pull.get("MemorySize", memory),
        pull_timeout=pull["Timeout"],
        pull_interval=_interval(default["ReportSchedule"]),
        reconcile_timeout=resources["ReconcileMessagesFunction"]["Properties"]["Timeout"],
        reconcile_interval=_interval(default["ReconcileSchedule"]),
        check_after=default["ReconcileAfterSeconds"],
        retention_days=default["RetentionDays"],
        indexes=len(resources["MessagesTable"]["Properties"]["GlobalSecondaryIndexes"]),
        table_wru=facts.new_table_wru,
    )


def _interval(schedule: str) -> int:
    """Return the seconds between two runs of a schedule like `rate(5 minutes)`."""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule)
    if rate is None:
        raise ValueError(f"the schedule is no rate: {schedule}")
    return int(rate[1]) * {"minute": 60, "hour": 3600, "day": 86400}[rate[2]]
