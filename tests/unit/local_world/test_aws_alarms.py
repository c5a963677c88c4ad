"""Alarms are evaluated as CloudWatch's documentation says, examples included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local_world.aws_alarms import (
    State,
    UnsupportedAlarmError,
    check_limits,
    datapoints,
    each_minute,
    metrics_of,
    state_of,
    states,
    transitions,
)
from tests.local_world.aws_metrics import Metric, Series

Json = dict[str, Any]

ALARM: Json = {
    "AlarmName": "alarm",
    "Namespace": "N",
    "MetricName": "a",
    "Dimensions": [],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 0.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEEP = "retain current state"
INSUFFICIENT = "INSUFFICIENT_DATA"
#: The tables of alarms-and-missing-data.html: 3 evaluation periods, a range of 5.
EXAMPLES = [
    (3, "0 - X - X", ("OK", "OK", "OK", "OK")),
    (3, "0 - - - -", ("OK", "OK", "OK", "OK")),
    (3, "- - - - -", (INSUFFICIENT, KEEP, "ALARM", "OK")),
    (3, "0 X X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, "- - X - -", ("ALARM", KEEP, "ALARM", "OK")),
    (2, "0 - X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "0 0 X 0 X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (2, "0 - X - -", ("OK", "OK", "ALARM", "OK")),
    (2, "- - - - 0", ("OK", "OK", "ALARM", "OK")),
    (2, "- - - X -", ("ALARM", KEEP, "ALARM", "OK")),
]


def points(text: str) -> tuple[float | None, ...]:
    """Parse data points in the notation of AWS's tables, the most recent on the right."""
    return tuple({"0": 0.0, "X": 1.0, "-": None}[each] for each in text.split())


def measured(**metrics: str) -> Series:
    """Return series with one value per minute, the first at time 0; `-` is a missing value."""
    return {
        Metric("N", name, ()): [
            (60.0 * minute, float(value))
            for minute, value in enumerate(text.split())
            if value != "-"
        ]
        for name, text in metrics.items()
    }


def query(key: str) -> Json:
    metric = {"Namespace": "N", "MetricName": key, "Dimensions": []}
    stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
    return {"Id": key, "MetricStat": stat, "ReturnData": False}


def math_alarm(expression: str, **others: str) -> Json:
    """Build an alarm on an expression of the metrics a, b, c and of other expressions."""
    plain = {name: value for name, value in ALARM.items() if name in MATH_MEMBERS}
    more = [{"Id": key, "Expression": text, "ReturnData": False} for key, text in others.items()]
    watched = {"Id": "result", "Expression": expression, "ReturnData": True}
    return plain | {"Metrics": [query("a"), query("b"), query("c"), *more, watched]}


MATH_MEMBERS = ("AlarmName", "EvaluationPeriods", "Threshold", "ComparisonOperator")


def computed(expression: str, data: Series, **others: str) -> list[float | None]:
    """Return the values of an expression for five minutes."""
    return list(datapoints(math_alarm(expression, **others), data, 300, 5))


@pytest.mark.parametrize("before", ["OK", "ALARM"])
@pytest.mark.parametrize(("to_alarm", "text", "expected"), EXAMPLES)
def test_state_matches_examples_of_aws(
    to_alarm: int, text: str, expected: tuple[str, ...], before: State
) -> None:
    """Each row is evaluated with each treatment of missing data, after either state."""
    alarm = ALARM | {"DatapointsToAlarm": to_alarm}

    found = [state_of(alarm | {"TreatMissingData": t}, points(text), before) for t in TREATMENTS]

    assert found == [before if state == KEEP else state for state in expected]


@pytest.mark.parametrize("text", ["- - - - X", "- - - X -"])
def test_recent_breach_does_not_fire_alarm(text: str) -> None:
    """All three data points must breach, and the next one may not."""
    assert state_of(ALARM, points(text), "OK") == "OK"


def test_missing_data_is_missing_by_default() -> None:
    """That is the default of `TreatMissingData`."""
    assert state_of(ALARM, points("- - - - -"), "OK") == INSUFFICIENT


def test_all_periods_must_breach_by_default() -> None:
    """That is the default of `DatapointsToAlarm`."""
    assert state_of(ALARM, points("0 0 0 X X"), "ALARM") == "OK"
    assert state_of(ALARM, points("0 0 X X X"), "OK") == "ALARM"


def test_single_event_fires_alarm_until_it_leaves_evaluation_range() -> None:
    """One period of a minute: the evaluations of the next two minutes still find the event."""
    alarm = ALARM | {"EvaluationPeriods": 1, "TreatMissingData": "notBreaching"}
    data = measured(a="- - - 1 - - - - - -")

    found = transitions(states(alarm, data, each_minute(60, 600), before="OK"))

    assert found == [(240, "ALARM"), (420, "OK")]


def test_missing_data_fires_alarm_once_last_good_point_leaves_evaluation_range() -> None:
    """Three periods must have data, and the range has two more."""
    alarm = ALARM | {
        "Threshold": 1.0,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
    }
    data = measured(a="1 1 1 1 - - - - - -")

    found = transitions(states(alarm, data, each_minute(60, 600), before="OK"))

    assert found == [(540, "ALARM")]
    assert transitions(states(alarm, data, each_minute(60, 600), before="OK", extra_periods=0)) == [
        (420, "ALARM")
    ]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Sum", 9), ("Maximum", 5), ("Minimum", 1), ("Average", 3), ("SampleCount", 3)],
)
def test_period_has_one_value(statistic: str, expected: float) -> None:
    """It covers the period from its beginning, inclusive, to its end, exclusive."""
    alarm = ALARM | {"Statistic": statistic}
    data = {Metric("N", "a", ()): [(59.9, 7.0), (60.0, 1.0), (90.0, 5.0), (119.9, 3.0), (120.0, 8)]}

    assert datapoints(alarm, data, 120, 1) == (expected,)


def test_metric_is_identified_by_name_and_dimensions() -> None:
    """The order of the dimensions does not matter."""
    dimensions = [{"Name": "y", "Value": "2"}, {"Name": "x", "Value": "1"}]
    data = {Metric("N", "a", (("x", "1"), ("y", "2"))): [(0.0, 5.0)]}

    assert datapoints(ALARM | {"Dimensions": dimensions}, data, 60, 1) == (5.0,)
    assert datapoints(ALARM, data, 60, 1) == (None,)


def test_alarm_returns_its_metrics() -> None:
    assert metrics_of(ALARM) == [Metric("N", "a", ())]
    assert metrics_of(math_alarm("a + b")) == [Metric("N", name, ()) for name in "abc"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + 1", [31, 21, 1, 1, None]),
        ("a - b", [10, 20, -20, 0, None]),  # missing is 0 where the other has a value
        ("100 * a / b", [150, None, 0, None, None]),  # a division by zero has no value
        ("-(a)", [-30, -20, 0, 0, None]),
        ("a < b", [0, 0, 1, 0, None]),
        ("a >= 30", [1, 0, 0, 0, None]),
        ("a > 15 AND b > 15", [1, 0, 0, 0, None]),
        ("a > 25 || b > 15", [1, 0, 1, 0, None]),
        ("FILL(b, 7)", [20, 7, 20, 7, 7]),
        ("FILL(b, a)", [20, 20, 20, 0, None]),
        ("FILL(a, b) > 0", [1, 1, 0, 0, None]),
        ("SUM([a, b])", [50, 20, 20, 0, None]),
        ("MAX([a, b, 2 * b])", [40, 20, 40, 0, None]),
        ("MIN(METRICS())", [20, 20, 0, 0, None]),
        ('SUM(METRICS("b"))', [20, None, 20, None, None]),
        ("SUM(FILL(METRICS(), 1))", [51, 22, 21, 2, 3]),
        ("SUM(100 / [a, b])", [100 / 30 + 5, 5, 5, None, None]),
        ("other * 2", [62, 42, 2, 2, None]),
    ],
)
def test_metric_math_follows_documentation(expression: str, expected: list[float | None]) -> None:
    """The series are those of AWS's example, with one more minute that has no data."""
    data = measured(a="30 20 0 0 -", b="20 - 20 - -")

    assert computed(expression, data, other="a + 1") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(a, b, c)", [30, 0, 20, None, None]),
        ("IF(a, 5, c)", [5, 5, 20, None, None]),
        ("IF(a, b, 5)", [30, 0, 5, 5, None]),
        ("IF(a, b)", [30, 0, None, None, None]),
        ("IF(b > 29, 1, 0)", [1, None, 0, 0, 1]),
    ],
)
def test_if_follows_documentation(expression: str, expected: list[float | None]) -> None:
    """The series are those of AWS's tables."""
    data = measured(a="1 1 0 0 -", b="30 - 0 0 30", c="0 0 20 - 20")

    assert computed(expression, data) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "SUM(a)",  # one number over more periods than the alarm has, which AWS excludes
        "AVG([a, b])",
        "FILL(a, REPEAT)",
        "FILL(a)",
        "IF(a)",
        "METRICS()",
        "METRICS(1)",
        "METRICS() + METRICS()",
        "[a, b]",
        "1 + 1",
        "[1, 2]",
        "a ^ 2",
        "a +",
        "unknown",
        "result + 1",
        "a if b else c",
        "True + a",
        "a.b",
        "__import__('os')",
    ],
)
def test_unsupported_expression_is_refused(expression: str) -> None:
    """Nothing is guessed, and no code but metric math is run."""
    with pytest.raises(UnsupportedAlarmError):
        computed(expression, measured(a="1", b="1"))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"Period": 45}, "multiple of 60"),
        ({"EvaluationPeriods": 1441}, "too long"),
        ({"Period": 3600, "EvaluationPeriods": 169}, "too long"),
        ({"DatapointsToAlarm": 4}, "DatapointsToAlarm"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "ComparisonOperator"),
    ],
)
def test_alarm_that_cloudwatch_refuses_is_refused(members: Json, reason: str) -> None:
    """The limits are those of PutMetricAlarm."""
    with pytest.raises(UnsupportedAlarmError, match=reason):
        check_limits(ALARM | members)


def test_alarm_may_cover_one_day_or_one_week() -> None:
    """A week needs periods of an hour or more."""
    check_limits(ALARM | {"EvaluationPeriods": 1440})
    check_limits(ALARM | {"Period": 3600, "EvaluationPeriods": 168})


def test_alarm_on_metric_math_is_limited() -> None:
    """It has at most ten metrics, one period for all, and one query that returns data."""
    alarm = math_alarm("a")
    other = query("d")
    other["MetricStat"]["Period"] = 120
    many = [query(f"m{number}") for number in range(8)]

    check_limits(alarm)
    for queries, reason in (
        ([*many, *alarm["Metrics"]], "11 metrics"),
        ([other, *alarm["Metrics"]], "different periods"),
        ([query("e") | {"ReturnData": True}, *alarm["Metrics"]], "ReturnData"),
    ):
        with pytest.raises(UnsupportedAlarmError, match=reason):
            check_limits(alarm | {"Metrics": queries})
