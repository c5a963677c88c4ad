"""The report of a measurement, as text and as a page, holds the same figures."""

from __future__ import annotations

import html
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.bench import report
from tests.bench.invocations import ROWS, Measured, Sample
from tests.bench.outcome_delay import OutcomeDelays
from tests.bench.report import Compared, Result, lanes
from tests.bench.verdict_delay import VerdictDelay

AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
NOW = Measured(
    [Sample(0.010 + 0.001 * n, 0.020 + 0.002 * n) for n in range(8)],
    {"BatchExecuteStatement": 2.0, "send_advanced": 10.0},
)
BASE = Measured(
    [Sample(0.011 + 0.001 * n, 0.021 + 0.003 * n) for n in range(8)],
    {"BatchExecuteStatement": 2.5, "send_advanced": 10.0},
)
BACKLOG = Measured(
    [Sample(9.0 + n, 10.0 + n, {"taking pages": 2.0, "deleting pages": 1.5}) for n in range(3)],
    {"take_reports": 51.0},
)
ALONE = Compared(ROWS["send"], NOW, None)
PAIR = Compared(ROWS["send"], NOW, BASE)
OUTCOMES = OutcomeDelays([31.26, 2.5, 61.04], Counter({"SMS": 1, "PUSH": 2}))
VERDICT = VerdictDelay(
    "absent messages", 10_000, Counter({"QUARANTINED": 10_000}), timedelta(minutes=41), 306, 106
)


def visible(text: str) -> str:
    """Return the text of a page without its tags and styles."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", body)))


def page(*rows: Compared, base: str = "") -> str:
    return report.page(Result(seconds=12.6, base=base, rounds=2, rows=rows), AT)


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (report.described(ALONE), Result(rows=[ALONE])),
        (
            [*report.heading("v1.2", 2), *report.described(PAIR)],
            Result(rows=[PAIR], base="v1.2", rounds=2),
        ),
        (
            report.described(Compared(ROWS["backlog"], BACKLOG, None)),
            Result(rows=[Compared(ROWS["backlog"], BACKLOG, None)]),
        ),
        (OUTCOMES.described(), Result(outcomes=OUTCOMES)),
        (VERDICT.described(), Result(verdicts=[VERDICT])),
    ],
    ids=["alone", "compared", "backlog", "outcome", "verdict"],
)
def test_page_holds_each_figure_of_text(lines: list[str], result: Result) -> None:
    figures = re.findall(r"\d[\d,.:]*\d|\d", " ".join(lines))

    shown = visible(report.page(result, AT))
    assert len(figures) >= 4
    assert [each for each in figures if each not in shown] == []


def test_text_has_figures_of_both_commits() -> None:
    """The ratios compare samples that were taken in turn."""
    title, calls, of_base, cpu, wall = report.described(PAIR)

    assert title == "send: send_message, a batch of ten different messages"
    assert calls == "  calls 2 BatchExecuteStatement, 10 send_advanced"
    assert of_base == "  base  2.5 BatchExecuteStatement, 10 send_advanced"
    assert cpu.startswith("  cpu   13.5 ms [11.8 .. 15.2], base 14.5 ms [12.8 .. 16.2],")
    assert wall.endswith(", base 31.5 ms [26.3 .. 36.8], now/base 0.858 [0.810 .. 0.952]")


def test_page_without_base_has_no_column_for_it() -> None:
    assert "Base" not in visible(page(ALONE))
    assert "base" not in visible(page(ALONE))


def test_ratio_is_shown_with_its_confidence() -> None:
    shown = visible(page(PAIR, base="v1.2"))

    assert "CPU 13.5 ms [11.8 .. 15.2] 14.5 ms [12.8 .. 16.2] 0.931 [0.909 .. 0.944]" in shown
    assert "Ratios compare samples taken in turn: median [95 % confidence]." in shown
    assert "BatchExecuteStatement 2 2.5" in shown


def test_each_sample_is_dot() -> None:
    """CPU and wall time of eight samples of two commits."""
    assert page(PAIR, base="v1.2").count("<circle ") == 2 * 2 * 8


def test_samples_of_both_commits_share_scale() -> None:
    """The least of all is at the left end, the greatest at the right one, the first at the top."""
    now, base = lanes([("now", "now", [10.0, 30.0, 20.0]), ("base", "base", [20.0, 50.0])], "ms")

    assert now.dots == [(6.0, 6.0), (300.0, 28.0), (153.0, 50.0)]
    assert base.dots == [(153.0, 6.0), (594.0, 50.0)]
    assert (now.low, now.middle, now.high) == (79.5, 153.0, 226.5)
    assert now.text == (
        "now: 3 samples from 10.0 to 30.0 ms, half of them between 15.0 and 25.0 ms"
    )


def test_equal_samples_are_drawn() -> None:
    (lane,) = lanes([("now", "now", [5.0, 5.0]), ("base", "base", [])], "ms")

    assert [x for x, _ in lane.dots] == [6.0, 6.0]


def test_hostile_name_of_commit_is_shown_as_text() -> None:
    text = page(PAIR, base="<script>alert(1)</script>")

    assert "<script" not in text
    assert "alternating with those of <script>alert(1)</script>:" in visible(text)


def test_page_loads_nothing() -> None:
    text = report.page(Result(rows=[PAIR], base="b", outcomes=OUTCOMES, verdicts=[VERDICT]), AT)

    assert re.findall(r"\b(?:src|href|action|data)\s*=|url\(|@import|<(?:script|link)", text) == []
