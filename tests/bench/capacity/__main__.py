"""`make capacity`: the settings for a number of messages a day, the delays, and the costs.

The busiest hour has ten times the day's mean rate. In the outage, Infobip is down for that hour.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from infobip_omni import send_queue

from .facts import Facts, template_settings
from .model import DAY, HOUR, PEAK_BEGINS, Days, Deployment, arrivals, delays, simulate
from .plan import daily_cost, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (1e6, 10e6, 100e6)
#: Below one message a second, an idle deployment costs more than the messages do.
_LEAST, _MOST = 1e5, 1e9


def main() -> None:
    """Print a table for each number of messages a day, and the limits of the defaults."""
    arguments = _arguments()
    facts = Facts()
    default = Deployment(template_settings(facts), facts)
    sizes = [arguments.rate] if arguments.rate else SIZES
    columns = [described(daily, fitted(daily, default.settings, facts)) for daily in sizes]
    lines = [["Messages a day", *(f"{daily:,.0f}" for daily in sizes)]]
    lines.append(["---"] * len(lines[0]))
    lines += [[name, *(column[name] for column in columns)] for name in columns[0]]
    sys.stdout.writelines(f"| {' | '.join(line)} |\n" for line in lines)
    sys.stdout.write("\nMessages a second that the template's defaults serve, by stage:\n")
    for stage, rate in sorted(default.limits.items(), key=lambda each: each[1]):
        sys.stdout.write(f"{rate:9,.0f}  {stage}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__)
    parser.add_argument(
        "--rate",
        type=_rate,
        default=None,
        help="messages a day, such as 10e6; without it, 1, 10 and 100 million",
    )
    return parser.parse_args()


def _rate(text: str) -> float | None:
    """Read a number of messages a day; nothing stands for all sizes."""
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not _LEAST <= rate <= _MOST:
        raise argparse.ArgumentTypeError(
            f"must be a number of messages a day from {_LEAST:,.0f} to {_MOST:,.0f}, "
            f"such as 10e6, not {text!r}"
        )
    return rate


def described(daily: float, deployment: Deployment) -> dict[str, str]:
    """Describe what a deployment needs and does, by the names of the table's rows."""
    costs = daily_cost(daily, deployment)
    a_day = sum(costs.values())
    return {
        **_needs(daily, deployment),
        **_usual_delays(simulate(daily, deployment), deployment),
        **_outage_delays(simulate(daily, deployment, has_outage=True), deployment),
        "$ a day": f"{a_day:,.2f}",
        "$ a million messages": f"{1e6 * a_day / daily:,.2f}",
        **{f"… {service}": f"{1e6 * cost / daily:,.2f}" for service, cost in costs.items()},
    }


def _needs(daily: float, deployment: Deployment) -> dict[str, str]:
    settings, limits = deployment.settings, deployment.limits
    peak = arrivals(daily, PEAK_BEGINS) / 60
    reconciling = math.ceil(settings.reconcile_timeout / settings.reconcile_interval)
    executions = settings.concurrency + math.ceil(deployment.pull_runs) + reconciling
    busiest = sorted(limits, key=limits.__getitem__)[:2]
    return {
        "Messages a second: mean; busiest hour": f"{daily / 86_400:,.0f}; {peak:,.0f}",
        "`SendMaximumConcurrency`": f"{settings.concurrency:,}",
        "`SendBatchSize`": f"{settings.batch}",
        "`MemorySize`: sender; puller": f"{settings.memory:,}; {settings.pull_memory:,} MB",
        "`Timeout` of the puller": f"{settings.pull_timeout} s",
        "Concurrent executions in all": f"{executions:,}",
        "Warm write units of the table": _write_units(deployment),
        "Busiest stages in that hour": ", ".join(
            f"{stage} {peak / limits[stage]:.0%}" for stage in busiest
        ),
    }


def _usual_delays(days: Days, deployment: Deployment) -> dict[str, str]:
    settings, batch = deployment.settings, deployment.batch_seconds / 60
    pull_interval = settings.pull_interval / 60
    first_query = (settings.check_after + settings.reconcile_interval) / 60
    queued, last_queued = delays(days.messages.entered, days.messages.left)
    recorded, last_recorded = _until_recorded(days, deployment)
    _, last_overdue = delays(days.overdue.entered, days.overdue.left)
    return {
        "Accepted: mean; latest": f"{_time(queued + batch)}; {_time(last_queued + batch)}",
        "Report recorded: mean; latest": (
            f"{_time(recorded + pull_interval / 2)}; {_time(last_recorded + pull_interval)}"
        ),
        "Outcome without a report: latest": _time(first_query + last_overdue),
    }


def _outage_delays(days: Days, deployment: Deployment) -> dict[str, str]:
    sent = _cleared(days.messages.backlogs)
    recorded = max(sent, _cleared(days.reports.backlogs))
    _, last = _until_recorded(days, deployment)
    # The sums flow first in, first out; a record may wait this long for its next attempt.
    backoff = send_queue.LONGEST_DELAY.total_seconds() / 60
    return {
        "Outage of that hour: messages waiting": f"{max(days.messages.backlogs):,.0f}",
        "… all sent; reports recorded after": f"{_time(sent)}; {_time(recorded)}",
        "… longest from queue to record": _time(
            last + backoff + deployment.settings.pull_interval / 60
        ),
    }


def _until_recorded(days: Days, deployment: Deployment) -> tuple[float, float]:
    """Return mean and longest minutes from a message's arrival until its report is recorded."""
    recorded = [left / deployment.reports_per_message for left in days.reports.left]
    return delays(days.messages.entered, recorded)


def _cleared(backlogs: Sequence[float]) -> float:
    """Return the minutes from the end of the outage until nothing waits any more.

    It is infinite if something still waits when the next busiest hour begins.
    """
    after = backlogs[PEAK_BEGINS + HOUR : PEAK_BEGINS + DAY]
    last = max((minute for minute, waiting in enumerate(after, 1) if waiting >= 1), default=0)
    return last if last < len(after) else math.inf


def _write_units(deployment: Deployment) -> str:
    needed, facts = deployment.settings.table_wru, deployment.facts
    if needed <= facts.new_table_wru:
        return f"{needed:,.0f}, as created"
    return f"{needed:,.0f}" + (", raised quota" if needed > facts.table_quota_wru else "")


def _time(minutes: float) -> str:
    """Write minutes in a unit that suits them."""
    if math.isinf(minutes):
        return "never"
    seconds = minutes * 60
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


if __name__ == "__main__":
    main()
