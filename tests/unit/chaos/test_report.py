"""The report of a run, as text and as a page, holds the same figures."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.chaos import report
from tests.chaos.checks import Violation
from tests.chaos.history import PageEnd, TakenPage
from tests.chaos.report import Result

from .test_checks import KEY
from .test_checks import SOUND as SOUND_BY_CHECKS

STATE, RECORDED = SOUND_BY_CHECKS.items
#: One message, delivered according to its report.
SOUND = replace(SOUND_BY_CHECKS, items=(STATE | {"evidence": "report"}, RECORDED))
AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
STEP = {
    "acceptance": 1,
    "channel": "SMS",
    "status": "DELIVERED_TO_HANDSET",
    "groupName": "DELIVERED",
    "startedAt": "12:00",
    "endedAt": "12:01",
}
TIMES = [("sender: timeout", 60.0, 2.0), ("log queries: longest", 20.5, 0.0683333)]
RESULT = Result(
    seed=17,
    mutant="",
    phases={"load": 12.34, "drain": 5.67},
    fired=Counter({"send: kill: after post": 3, "Infobip: cut_answer": 7}),
    points_left=[],
    history=SOUND,
    violations=[],
)
TWICE = Violation("P1", "Infobip accepted it 2 times (never-duplicate)", "m1")


def page(result: Result) -> str:
    return report.page(result, TIMES, AT)


def visible(text: str) -> str:
    """Return the text of a page without its tags and styles."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", body)))


def broken(**changes: object) -> Result:
    """Return the result of a run that broke a promise."""
    known = {"acceptedAt": ["12:00"], "reportsHandedOut": 1}
    steps = [STEP | {"to": "385911230101", "text": "Your code is 4711"}]
    truth = {"m1": SOUND.truth["m1"] | known | {"steps": steps}}
    history = replace(SOUND, truth=truth, outputs={"send-1": 'a "m1" <b>\nof another'})
    return replace(RESULT, **{"history": history, "violations": [TWICE], **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "result",
    [
        RESULT,
        replace(RESULT, points_left=["send: kill: after claim"]),
        broken(),
        replace(
            RESULT,
            history=replace(SOUND, items=SOUND.items[:1], dead_lettered=(("r1", "INVALID"),)),
        ),
    ],
    ids=["sound", "point left", "broken", "lost"],
)
def test_page_holds_each_figure_and_word_of_text(result: Result) -> None:
    shown = visible(page(result)).lower()

    words = re.findall(r"[\w.-]*\w", report.text(result).lower())
    assert len(words) > 60
    assert [each for each in words if each not in shown] == []


def test_page_holds_phases_and_times() -> None:
    shown = visible(page(RESULT))

    assert "load 12.3" in shown
    assert "drain 5.7" in shown
    assert "sender: timeout 60 2" in shown
    assert "log queries: longest 20.5 0.0683" in shown


def test_longest_bar_is_greatest_count() -> None:
    faults = page(RESULT).partition("Faults fired")[2].partition("</table>")[0]

    assert re.findall(r'<rect width="([\d.]+)"', faults) == ["100.0", "42.9"]


def test_counts_of_nothing_are_shown() -> None:
    """A run that ended before a message was sent has counts of zero alone."""
    nothing = replace(SOUND, events=(), items=(), truth={}, pages=())

    shown = visible(page(replace(RESULT, history=nothing, fired=Counter())))

    assert "dead-lettered 0" in shown
    assert "Faults fired What Count none" in shown


@pytest.mark.parametrize(
    ("result", "verdict", "color"),
    [
        (RESULT, "No promise was broken. Every crash point was reached.", "good"),
        (broken(), "Promises were broken: P1. Every crash point was reached.", "bad"),
        (
            replace(RESULT, points_left=["a"]),
            "No promise was broken. Crash points not reached: 1.",
            "bad",
        ),
        (
            broken(mutant="blind-resend", points_left=["a"]),
            "Promises were broken: P1. A mutant must break one.",
            "good",
        ),
        (
            replace(RESULT, mutant="blind-resend", points_left=["a"]),
            "No promise was broken. A mutant must break one.",
            "bad",
        ),
    ],
)
def test_page_begins_with_verdict(result: Result, verdict: str, color: str) -> None:
    assert f'<p class="{color}"><strong>{verdict}</strong></p>' in page(result)


def test_violation_is_shown_with_facts_about_it() -> None:
    shown = visible(page(broken()))

    assert f"P1 m1 {TWICE.what}" in shown
    assert "event single, record r1, dead-lettered never" in shown
    assert "table entry=MESSAGE evidence=report messageId=m1 state=DELIVERED" in shown
    assert "truth acceptances=1 " in shown
    assert 'send-1: a "m1" <b>' in shown
    assert "of another" not in shown


def test_facts_hold_no_personal_data() -> None:
    """The simulator knows of each step to whom it went, and its text."""
    texts = (page(broken()), report.text(broken()))

    for text in texts:
        assert "step acceptance=1 channel=SMS status=DELIVERED_TO_HANDSET" in text
        assert "385911230101" not in text
        assert "4711" not in text


def test_hostile_violation_is_shown_as_text() -> None:
    hostile = Violation("P2", "a function raised <script>alert('x')</script>&", '"><img src=x>')

    text = page(replace(RESULT, violations=[hostile]))

    assert "<script" not in text
    assert "<img" not in text
    assert f"{hostile.promise} {hostile.subject} {hostile.what}" in visible(text)


def test_page_says_how_many_violations_it_leaves_out() -> None:
    shown = visible(page(broken(violations=[TWICE] * 102)))

    assert "The first 100 of 102." in shown
    assert shown.count(TWICE.what) == 100


def test_page_loads_nothing() -> None:
    text = page(broken())

    assert re.findall(r"\b(?:src|href|action|data)\s*=|url\(|@import|<(?:script|link)", text) == []


@pytest.mark.parametrize(
    ("result", "passed"),
    [
        (RESULT, True),
        (replace(RESULT, points_left=["a"]), False),
        (replace(RESULT, points_left=["a"], mutant="blind-resend"), True),
        (broken(), False),
    ],
)
def test_run_passes_without_violation_at_all_crash_points(result: Result, *, passed: bool) -> None:
    """The run of a mutant need not reach them."""
    assert result.passed == passed


def test_drain_is_summed_over_rounds_of_mutant() -> None:
    rounds = {"load 1": 3.0, "drain 1": 4.0, "load 2": 1.0, "drain 2": 0.5}

    result = replace(RESULT, phases=rounds)

    assert (result.seconds, result.drain_seconds) == (8.5, 4.5)


def test_lost_report_is_counted_with_its_reason() -> None:
    history = replace(
        SOUND, items=SOUND.items[:1], pages=(TakenPage(frozenset({KEY}), PageEnd.NOT_STORED),)
    )

    assert f"lost: {PageEnd.NOT_STORED}" in visible(page(replace(RESULT, history=history)))
