"""The report of a measurement, as text and as a page."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.report_pages import rendered

from .figures import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .invocations import Measured, Row
    from .outcome_delay import OutcomeDelays
    from .verdict_delay import VerdictDelay

_KINDS = {"cpu": "CPU", "wall": "Wall"}
#: The size of a drawing of samples, and its margin on each side.
_WIDTH, _HEIGHT, _MARGIN = 600.0, 56.0, 6.0


@dataclass(frozen=True, slots=True)
class Compared:
    """A row with its samples, and those of the base commit if there is one."""

    row: Row
    now: Measured
    base: Measured | None

    def milliseconds(self, kind: str) -> tuple[list[float], list[float]]:
        """Return the samples of a kind, `cpu` or `wall`, of this folder and of the base."""
        measured = (self.now.samples, self.base.samples if self.base else [])
        now, base = ([1000 * getattr(each, kind) for each in samples] for samples in measured)
        return now, base


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured."""

    #: How long the measurement took.
    seconds: float = 0.0
    #: The commit that this folder is compared with; empty if there is none.
    base: str = ""
    #: How often new processes were started.
    rounds: int = 0
    rows: Sequence[Compared] = ()
    outcomes: OutcomeDelays | None = None
    verdicts: Sequence[VerdictDelay] = ()


# --- Text ------------------------------------------------------------------------------------


def heading(base: str, rounds: int) -> list[str]:
    """Return lines that say what is measured, and how to read the figures."""
    compared = f", alternating with those of {base}" if base else ""
    return [
        f"Warm functions of this folder{compared}: {rounds} rounds of new processes.",
        "Times are per invocation: median [quartiles]; CPU is that of the function's process.",
        *(["Ratios compare samples taken in turn: median [95 % confidence]."] if base else []),
    ]


def described(compared: Compared) -> list[str]:
    """Return the figures of a row as lines."""
    row, now, base = compared.row, compared.now, compared.base
    lines = [row.title, f"  calls {_counts(now)}"]
    if base is not None and base.calls != now.calls:
        lines.append(f"  base  {_counts(base)}")
    for kind in _KINDS:
        mine, others, ratio = _figures(compared, kind)
        line = f"  {kind:5} {mine}"
        lines.append(line + (f", base {others}, now/base {ratio}" if base is not None else ""))
    if row.parts:
        shares = ", ".join(f"{part} {share:.0%}" for part, share in _shares(row, now))
        lines += [*(f"  {each}" for each in _by_page(row, now)), f"  of the time: {shares}"]
    return lines


def _figures(compared: Compared, kind: str) -> tuple[str, str, str]:
    """Return the times of this folder, those of the base, and their ratio; without base, empty."""
    now, base = compared.milliseconds(kind)
    if not base:
        return _spread(now), "", ""
    ratio = Spread.of_ratios(now, base)
    shown = f"{ratio.middle:.3f} [{ratio.low:.3f} .. {ratio.high:.3f}]"
    return _spread(now), _spread(base), shown


def _spread(milliseconds: Sequence[float]) -> str:
    spread = Spread.of(milliseconds)
    return f"{spread.middle:.1f} ms [{spread.low:.1f} .. {spread.high:.1f}]"


def _counts(measured: Measured) -> str:
    return ", ".join(f"{count:g} {name}" for name, count in measured.calls.items())


def _by_page(row: Row, measured: Measured) -> list[str]:
    """Return what a backlog costs."""
    cpu = statistics.median(sample.cpu for sample in measured.samples)
    wall = statistics.median(sample.wall for sample in measured.samples)
    return [
        f"{row.reports:,} reports recorded in {wall:.1f} s: {row.reports / wall:,.0f} a second",
        f"a page takes {cpu / row.pages:.3f} s of CPU",
    ]


def _shares(row: Row, measured: Measured) -> list[tuple[str, float]]:
    """Return the share of each part of an invocation in its time."""
    wall = statistics.median(sample.wall for sample in measured.samples)
    parts = {
        part: statistics.median(sample.parts.get(part, 0.0) for sample in measured.samples)
        for part in row.parts
    }
    parts["the rest"] = wall - sum(parts.values())
    return [(part, seconds / wall) for part, seconds in parts.items()]


# --- Page ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lane:
    """A drawing of samples on a scale that it shares with others: a dot for each, in order."""

    label: str
    #: The class of its color.
    color: str
    #: The position of each dot.
    dots: list[tuple[float, float]]
    #: Where the quartiles and the median are.
    low: float
    middle: float
    high: float
    #: What it shows, in words.
    text: str


def lanes(series: Sequence[tuple[str, str, Sequence[float]]], unit: str) -> list[Lane]:
    """Draw series of samples, one below the other; a series without samples is left out.

    Args:
        series: The label of each, the class of its color, and its samples.
        unit: The unit of the samples.
    """
    values = [value for _, _, samples in series for value in samples]
    least, greatest = min(values), max(values)
    scale = (_WIDTH - 2 * _MARGIN) / ((greatest - least) or 1)

    def across(value: float) -> float:
        return _MARGIN + (value - least) * scale

    def lane(label: str, color: str, samples: Sequence[float]) -> Lane:
        step = (_HEIGHT - 2 * _MARGIN) / max(1, len(samples) - 1)
        spread = Spread.of(samples)
        return Lane(
            label,
            color,
            [(across(value), _MARGIN + number * step) for number, value in enumerate(samples)],
            across(spread.low),
            across(spread.middle),
            across(spread.high),
            f"{label}: {len(samples)} samples from {min(samples):.1f} to {max(samples):.1f} {unit},"
            f" half of them between {spread.low:.1f} and {spread.high:.1f} {unit}",
        )

    return [lane(*each) for each in series if each[2]]


def page(result: Result, at: datetime) -> str:
    """Format the report of a measurement as a page of HTML.

    Args:
        result: What was measured.
        at: When the page is written.
    """
    return rendered(
        "bench",
        title=f"Bench, compared with {result.base}" if result.base else "Bench",
        at=at,
        heading=heading(result.base, result.rounds) if result.rows else [],
        summary=[("The measurement took", f"{result.seconds:.0f} s")],
        rows=[_section(each) for each in result.rows],
        outcomes=result.outcomes and _outcomes(result.outcomes),
        verdicts=[_verdicts(each) for each in result.verdicts],
        size=(_WIDTH, _HEIGHT),
    )


def _section(compared: Compared) -> dict[str, object]:
    row, now, base = compared.row, compared.now, compared.base
    names = sorted(now.calls.keys() | (base.calls.keys() if base else set()))
    shares = _shares(row, now) if row.parts else []
    greatest = max((share for _, share in shares), default=1.0)
    return {
        "title": row.title,
        "has_base": base is not None,
        "measures": [(label, *_figures(compared, kind)) for kind, label in _KINDS.items()],
        "drawings": [_drawing(compared, kind, label) for kind, label in _KINDS.items()],
        "calls": [
            (name, f"{now.calls.get(name, 0):g}", f"{base.calls.get(name, 0):g}" if base else "")
            for name in names
        ],
        "by_page": _by_page(row, now) if row.parts else [],
        "parts": [(part, f"{share:.0%}", max(0.0, share) / greatest) for part, share in shares],
    }


def _drawing(compared: Compared, kind: str, label: str) -> dict[str, object]:
    now, base = compared.milliseconds(kind)
    return {
        "title": f"{label} time of each sample",
        "lanes": lanes([("this folder", "now", now), ("base", "base", base)], "ms"),
        "ends": [f"{each:.1f} ms" for each in (min(now + base), max(now + base))],
    }


def _outcomes(delays: OutcomeDelays) -> dict[str, object]:
    channels = ", ".join(f"{count} by {name}" for name, count in sorted(delays.channels.items()))
    seconds = delays.seconds
    return {
        "figures": [
            ("Messages", f"{len(seconds)}, one a second: {channels}"),
            ("Median", f"{statistics.median(seconds):.1f} s"),
            ("Worst", f"{max(seconds):.1f} s"),
        ],
        "drawing": {
            "title": "Delay of each message, from the end of the deciding step",
            "lanes": lanes([("all messages", "now", seconds)], "s"),
            "ends": [f"{min(seconds):.1f} s", f"{max(seconds):.1f} s"],
        },
    }


def _verdicts(delay: VerdictDelay) -> list[tuple[str, object]]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(delay.states.items()))
    return [
        ("Messages", f"{delay.messages} {delay.title}"),
        ("States", states),
        ("Delay of the last verdict", delay.delay),
        ("Log queries", delay.queries),
        ("In the fullest minute", delay.queries_of_fullest_minute),
        ("For each message", f"{delay.queries_of_message:.3f}"),
    ]
