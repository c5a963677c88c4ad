"""The laws of the capacity model, and figures that were measured or computed by hand."""

from __future__ import annotations

import functools
import math
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from functions.pull_delivery_reports import app as pull
from functions.reconcile_messages import app as reconcile
from infobip_omni import delivery_reports, log_query_limiter, message, send_queue
from tests.bench.capacity import __main__ as table
from tests.bench.capacity import facts as facts_module
from tests.bench.capacity import model
from tests.bench.capacity.facts import Facts, template_settings
from tests.bench.capacity.model import (
    DAY,
    HOUR,
    PEAK_BEGINS,
    Deployment,
    Flow,
    arrivals,
    delays,
    simulate,
)
from tests.bench.capacity.plan import (
    MOST_USED,
    PULL_MEMORY_SIZES,
    PULL_TIMEOUTS,
    daily_cost,
    fitted,
)
from tests.local_world.template import read_template

pytestmark = pytest.mark.thorough

FACTS = Facts()
TEMPLATE = template_settings(FACTS)
OUTAGE_ENDS = PEAK_BEGINS + HOUR


def deployment(**settings: float) -> Deployment:
    """Return the template's deployment with other settings."""
    return Deployment(replace(TEMPLATE, **settings), FACTS)  # type: ignore[arg-type]


# --- Laws ------------------------------------------------------------------------------------


def test_busiest_hour_has_ten_times_the_mean() -> None:
    day = [arrivals(24_000, minute) for minute in range(DAY)]
    hours = [sum(day[begin : begin + HOUR]) for begin in range(0, DAY, HOUR)]

    assert sum(hours) == pytest.approx(24_000)
    assert max(hours) == pytest.approx(10_000)
    assert sorted(hours)[:23] == pytest.approx([14_000 / 23] * 23)


@pytest.mark.parametrize("daily", [1e5, 1e6, 1e8])
@pytest.mark.parametrize("has_outage", [False, True])
def test_nothing_is_lost_or_made(daily: float, has_outage: bool) -> None:  # noqa: FBT001
    """What entered a stage has left it or waits, and no stage sends on more than it was given."""
    days = simulate(daily, deployment(), has_outage=has_outage)

    assert days.messages.entered[-1] == pytest.approx(2 * daily)
    assert days.reports.entered[-1] == pytest.approx(
        days.messages.left[-1] * (1 + FACTS.share_failed_over)
    )
    assert days.overdue.entered[-1] <= days.messages.left[-1] * FACTS.share_without_report
    for flow in (days.messages, days.reports, days.overdue):
        assert len(flow.entered) == len(flow.left) == 2 * DAY + 1
        for entered, left, waiting in zip(flow.entered, flow.left, flow.backlogs, strict=True):
            assert waiting >= -1e-6
            assert left + waiting == pytest.approx(entered)
        assert all(before <= after for before, after in pairwise(flow.left))


@pytest.mark.parametrize("has_outage", [False, True])
def test_no_minute_exceeds_a_limit(has_outage: bool) -> None:  # noqa: FBT001
    narrow = deployment(pull_timeout=120)
    days = simulate(1e8, narrow, has_outage=has_outage)
    limits, reports = narrow.limits, narrow.reports_per_message
    sent = max(after - before for before, after in pairwise(days.messages.left))
    pulled = max(after - before for before, after in pairwise(days.reports.left))

    assert sent == pytest.approx(60 * min(limits["senders"], limits["table"]))
    assert pulled == pytest.approx(60 * limits["puller"] * reports)


@pytest.mark.parametrize("has_outage", [False, True])
def test_more_concurrency_never_leaves_more_waiting(has_outage: bool) -> None:  # noqa: FBT001
    def waiting(concurrency: int) -> list[float]:
        faster = deployment(concurrency=concurrency, table_wru=1e6)
        return simulate(1e8, faster, has_outage=has_outage).messages.backlogs

    backlogs = [waiting(concurrency) for concurrency in (2, 10, 50, 150, 1000)]

    for slower, faster in pairwise(backlogs):
        assert all(a >= b - 1e-3 for a, b in zip(slower, faster, strict=True))
    assert sum(backlogs[0]) > sum(backlogs[-1])


def test_longer_runs_of_the_puller_leave_no_more_waiting() -> None:
    wide = {"concurrency": 1000, "table_wru": 1e6}
    backlogs = [
        max(simulate(1e8, deployment(**wide, pull_timeout=timeout)).reports.backlogs)
        for timeout in (120, 300, 600)
    ]

    assert backlogs == sorted(backlogs, reverse=True)
    assert backlogs[0] > backlogs[-1]


def test_each_interval_begins_another_run_of_the_puller_under_a_backlog() -> None:
    wide = deployment(concurrency=1000, table_wru=1e6, pull_timeout=366)
    days = simulate(1e8, wide)
    peak = days.reports.left[PEAK_BEGINS : PEAK_BEGINS + 8]
    pages = [
        (after - before) / pull.REPORTS_PER_PAGE * wide.page_seconds / 60
        for before, after in pairwise(peak)
    ]

    assert wide.pull_runs == 5
    assert pages == pytest.approx([1, 2, 3, 4, 5, 5, 5])


@pytest.mark.parametrize("daily", [1e6, 1e8])
def test_outage_leaves_the_messages_of_its_hour(daily: float) -> None:
    days = simulate(daily, fitted(daily, TEMPLATE, FACTS), has_outage=True)

    assert days.messages.backlogs[PEAK_BEGINS] == pytest.approx(0, abs=1e-3)
    assert days.messages.backlogs[OUTAGE_ENDS] == pytest.approx(10 * daily / 24)
    assert max(days.messages.backlogs) == days.messages.backlogs[OUTAGE_ENDS]


def test_records_in_flight_return_within_the_longest_delay() -> None:
    """A fast deployment sends the rest immediately, and those as they return."""
    days = simulate(1e6, deployment(concurrency=1000, table_wru=1e6), has_outage=True)
    in_minutes = math.ceil(send_queue.LONGEST_DELAY.total_seconds() / 60)

    assert days.messages.backlogs[OUTAGE_ENDS + 1] == pytest.approx(
        FACTS.in_flight * (1 - 1 / in_minutes)
    )
    assert days.messages.backlogs[OUTAGE_ENDS + in_minutes] == pytest.approx(0, abs=1e-3)


def test_overdue_messages_wait_for_their_time() -> None:
    days = simulate(1e6, deployment())
    minutes = TEMPLATE.check_after // 60

    assert days.overdue.entered[minutes] == 0
    assert days.overdue.entered[PEAK_BEGINS + minutes] == pytest.approx(
        days.messages.left[PEAK_BEGINS] * FACTS.share_without_report
    )


def test_delays_are_the_distances_between_two_sums() -> None:
    """60 arrive in the first minute and 20 leave in each: the last of them after two minutes."""
    flow = Flow()
    for arriving in (60, 0, 0, 0):
        flow.serve(arriving, 20)

    assert delays(flow.entered, flow.left) == pytest.approx((1.0, 2.0))


def test_delay_is_infinite_where_something_never_leaves() -> None:
    assert delays([0, 10, 10], [0, 5, 9]) == (math.inf, math.inf)


# --- Figures -----------------------------------------------------------------------------------


def test_order_of_breaking_is_the_measured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of an earlier version, each computed from its own measurement.

    It had eight shards and runs of 120 s, and looked at 8,000 overdue messages in five minutes.
    """
    monkeypatch.setattr(message, "CHECK_SHARDS", 8)
    monkeypatch.setattr(log_query_limiter, "SLOTS_PER_MINUTE", 8000 / 100 / 5)
    earlier = replace(TEMPLATE, pull_timeout=120, reconcile_timeout=600, concurrency=10)
    every_message_overdue = replace(
        FACTS,
        send_cpu=0.0020,
        report_cpu=0.000487,
        share_failed_over=0,
        share_without_report=1,
    )

    limits = Deployment(earlier, every_message_overdue).limits

    assert sorted(limits, key=limits.__getitem__) == [
        "reconciler",
        "puller",
        "table",
        "senders",
        "check index",
        "table quota",
        "key of stored pages",
    ]
    assert limits == pytest.approx(
        {
            "reconciler": 26.7,
            "puller": 540,
            "table": 560,
            "senders": 770,
            "check index": 4000,
            "table quota": 5600,
            "key of stored pages": 8900,
        },
        rel=0.06,
    )


def test_message_of_one_step_costs_what_was_computed_by_hand() -> None:
    """In full batches: 7.11 write units, 12.9 ms of a sender and 1.8 ms of the puller."""
    facts = replace(FACTS, send_cpu=0.0020, report_cpu=0.000487, share_failed_over=0)
    full = Deployment(replace(TEMPLATE, memory=512, pull_memory=512, concurrency=2), facts)
    million = {name: cost / 100 for name, cost in daily_cost(1e8, full).items()}

    assert full.write_units == pytest.approx(7.11, abs=0.005)
    days_share = simulate(1e8, full).messages.left[DAY] / 1e8
    assert million["DynamoDB"] / days_share == pytest.approx(4.45 + 0.13, abs=0.05)
    assert million["SQS"] / days_share == pytest.approx(0.12, abs=0.005)
    assert million["Lambda"] / days_share == pytest.approx(0.106 + 0.012, abs=0.005)
    assert million["logs"] / days_share == pytest.approx(0.25, abs=0.005)


def test_batches_of_a_quiet_queue_hold_one_record() -> None:
    """Each record then costs three requests."""
    costs = daily_cost(1e5, deployment())

    assert costs["SQS"] / 1e5 == pytest.approx(3 * FACTS.sqs_price, rel=0.05)


# --- Settings that fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("daily", table.SIZES)
def test_fitted_settings_are_the_least_that_serve_the_busiest_hour(daily: float) -> None:
    found = fitted(daily, TEMPLATE, FACTS)
    peak = arrivals(daily, PEAK_BEGINS) / 60
    one_less = replace(found.settings, concurrency=found.settings.concurrency - 1)
    least = TEMPLATE.least_concurrency

    assert peak <= MOST_USED * found.limits["senders"]
    assert peak <= MOST_USED * found.limits["table"]
    assert peak > MOST_USED * Deployment(one_less, FACTS).limits["senders"] or (
        found.settings.concurrency == least
    )
    assert max(simulate(daily, found).messages.backlogs) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("daily", [1e6, 1e7])
def test_fitted_puller_is_faster_than_messages_fall_due(daily: float) -> None:
    days = simulate(daily, fitted(daily, TEMPLATE, FACTS))
    _, worst = delays(days.reports.entered, days.reports.left)

    assert 60 * worst + TEMPLATE.pull_interval <= TEMPLATE.check_after


def test_small_size_needs_no_other_puller() -> None:
    settings = fitted(1e6, TEMPLATE, FACTS).settings

    assert settings.pull_memory == TEMPLATE.pull_memory
    assert settings.pull_timeout == TEMPLATE.pull_timeout


def test_concurrency_stays_within_the_parameter() -> None:
    assert fitted(1e9, TEMPLATE, FACTS).settings.concurrency == TEMPLATE.most_concurrency


def test_fastest_puller_is_chosen_where_none_keeps_up() -> None:
    settings = fitted(1e9, TEMPLATE, FACTS).settings

    assert settings.pull_memory == max(PULL_MEMORY_SIZES)
    assert settings.pull_timeout == max(PULL_TIMEOUTS)
    assert table.described(1e9, Deployment(settings, FACTS))["Report recorded: mean; latest"] == (
        "never; never"
    )


def test_runs_of_the_puller_end_before_their_pages_count_as_abandoned() -> None:
    abandoned_after = delivery_reports._ABANDONED_AFTER.total_seconds()  # noqa: SLF001

    assert max(PULL_TIMEOUTS) < abandoned_after


# --- Where the figures come from -----------------------------------------------------------------


def figure(row: str) -> str:
    """Return a stage's limit, or a row of the table, by the code and the template as they are."""
    settings = template_settings(FACTS)
    if limit := Deployment(settings, FACTS).limits.get(row):
        return f"{limit:.0f}"
    return table.described(1e7, fitted(1e7, settings, FACTS))[row]


#: The same, computed once for a row; tests call it before they change anything.
figure_before = functools.cache(figure)


@pytest.mark.parametrize(
    ("module", "name", "value", "row"),
    [
        (message, "CHECK_SHARDS", 8, "check index"),
        (log_query_limiter, "SLOTS_PER_MINUTE", 20, "reconciler"),
        (reconcile, "IDS_PER_LOG_QUERY", 10, "reconciler"),
        (pull, "REPORTS_PER_PAGE", 100, "puller"),
        (model, "_EXPECTED_RECORDING_SECONDS", 1.0, "puller"),
        (model, "LONGEST_CALL_SECONDS", 5.0, "puller"),
        (
            send_queue,
            "LONGEST_DELAY",
            2 * send_queue.LONGEST_DELAY,
            "… longest from queue to record",
        ),
    ],
)
def test_constants_come_from_the_code(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: object, row: str
) -> None:
    before = figure_before(row)
    monkeypatch.setattr(module, name, value)

    assert figure(row) != before


@pytest.mark.parametrize(
    ("path", "value", "row"),
    [
        ("Parameters SendMaximumConcurrency Default", 5, "senders"),
        ("Parameters SendMaximumConcurrency MinValue", 50, "`SendMaximumConcurrency`"),
        ("Parameters SendMaximumConcurrency MaxValue", 15, "`SendMaximumConcurrency`"),
        ("Parameters SendBatchSize Default", 5, "senders"),
        ("Parameters ReconcileAfterSeconds Default", 300, "Outcome without a report: latest"),
        ("Parameters RetentionDays Default", 35, "… storage"),
        ("Parameters ReportSchedule Default", "rate(2 minutes)", "puller"),
        ("Parameters ReconcileSchedule Default", "rate(1 hour)", "reconciler"),
        ("Globals Function MemorySize", 1024, "senders"),
        ("Resources PullDeliveryReportsFunction Properties MemorySize", 1024, "puller"),
        ("Resources PullDeliveryReportsFunction Properties Timeout", 240, "puller"),
        ("Resources ReconcileMessagesFunction Properties Timeout", 200, "reconciler"),
        ("Resources MessagesTable Properties GlobalSecondaryIndexes", [{}], "table"),
    ],
)
def test_settings_come_from_the_template(
    monkeypatch: pytest.MonkeyPatch, path: str, value: object, row: str
) -> None:
    before = figure_before(row)
    template = read_template()
    *folders, name = path.split()
    functools.reduce(dict.__getitem__, folders, template)[name] = value
    monkeypatch.setattr(facts_module, "read_template", lambda: template)

    assert figure(row) != before


def test_timeout_of_the_reconciler_bounds_its_share_of_time() -> None:
    """A run of less than the interval queries only until its last query could end in time."""
    rates = [
        Deployment(replace(TEMPLATE, reconcile_timeout=timeout), FACTS).limits["reconciler"]
        for timeout in (51, 201, 351, 900)
    ]

    assert rates == pytest.approx([0, 0.5 * rates[3], rates[3], rates[3]])
    assert rates[3] == pytest.approx(105 / 60 * 100 / FACTS.share_without_report)


def test_schedule_without_a_rate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    template = read_template()
    template["Parameters"]["ReportSchedule"]["Default"] = "cron(0 * * * ? *)"
    monkeypatch.setattr(facts_module, "read_template", lambda: template)

    with pytest.raises(ValueError, match="cron"):
        template_settings(FACTS)


# --- The command -------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    """Run the command."""
    monkeypatch.setattr(sys, "argv", ["capacity", argument])
    table.main()


@pytest.mark.parametrize(("argument", "columns"), [("--rate=", 3), ("--rate=25e6", 1)])
def test_table_has_a_column_for_each_size(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argument: str,
    columns: int,
) -> None:
    run(monkeypatch, argument)
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")]

    assert {row.count("|") for row in rows} == {columns + 2}
    assert any(row.startswith("| `SendMaximumConcurrency` |") for row in rows)
    assert "senders" in printed.partition("by stage:")[2]


@pytest.mark.parametrize("rate", ["lots", "0", "-1", "nan", "inf", "1e10"])
def test_impossible_rate_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, f"--rate={rate}")

    assert "such as 10e6" in capsys.readouterr().err
