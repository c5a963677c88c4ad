"""Evaluates alarms as CloudWatch does: the state at each evaluation, from definition and data.

The definition is an answer of `DescribeAlarms`, so tests evaluate the deployed alarm. All functions
are pure; the clock is an argument.

Sources, all under docs.aws.amazon.com/AmazonCloudWatch/latest:

- monitoring/alarm-evaluation.html and monitoring/alarms-and-missing-data.html, whose tables of
  examples are tests of this module
- monitoring/alarm-evaluation-window.html: by default the periods end at the evaluation, once a
  minute, and slide along with it
- monitoring/using-metric-math.html
- APIReference/API_PutMetricAlarm.html, for the limits

Where AWS's documents are silent, a comment marks our assumption.
"""

from __future__ import annotations

import ast
import functools
import itertools
import math
import operator
import re
from bisect import bisect_left
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .aws_metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .aws_metrics import Series

Json = dict[str, Any]
State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

#: One value per period, oldest first; None means missing.
Points: TypeAlias = tuple[float | None, ...]
#: A value in metric math: a number, a time series, or an array of time series.
Result: TypeAlias = "float | Points | list[Points]"

#: An assumption: AWS says only that it looks at more periods than an alarm asks for, "depending on
#: the length of the period", and uses five for three in its examples.
EXTRA_PERIODS = 2

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MOST_METRICS = 10
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": fmean,
    "SampleCount": len,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_WORDS = {"&&": " and ", "||": " or ", "AND": " and ", "OR": " or "}
_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {"SUM": sum, "MAX": max, "MIN": min}


class UnsupportedAlarmError(ValueError):
    """CloudWatch refuses the definition, or this module does not support it."""


def states(
    alarm: Json,
    data: Series,
    clock: Iterable[float],
    *,
    before: State = "INSUFFICIENT_DATA",
    extra_periods: int = EXTRA_PERIODS,
) -> list[tuple[float, State]]:
    """Return an alarm's state at each evaluation.

    Args:
        alarm: One of the `MetricAlarms` that `DescribeAlarms` answers with.
        data: The data points; a metric that is not in it has none.
        clock: The times to evaluate at, in seconds since 1970; CloudWatch's are `each_minute`.
        before: The state before the first evaluation; the default is that of a new alarm.
        extra_periods: The number of earlier periods that replace missing ones.

    Raises:
        UnsupportedAlarmError: CloudWatch refuses the alarm, or this module does not support it.
    """
    check_limits(alarm)
    found: list[tuple[float, State]] = []
    state = before
    for now in clock:
        points = datapoints(alarm, data, now, alarm["EvaluationPeriods"] + extra_periods)
        state = state_of(alarm, points, state)
        found.append((now, state))
    return found


def each_minute(start: float, end: float) -> list[float]:
    """Return the full minutes from one time to another, both included."""
    minutes = range(math.ceil(start / _MINUTE), math.floor(end / _MINUTE) + 1)
    return [float(minute * _MINUTE) for minute in minutes]


def transitions(found: Sequence[tuple[float, State]]) -> list[tuple[float, State]]:
    """Return the evaluations that changed the state."""
    pairs = itertools.pairwise(found)
    return [(at, state) for (_, previous), (at, state) in pairs if state != previous]


def state_of(alarm: Json, points: Points, before: State) -> State:
    """Return an alarm's state after one evaluation.

    The most recent real data points count, as many as the alarm asks for. If there are fewer,
    missing ones count as the alarm treats them. If all real points breach but are too few, the
    alarm still fires once one of them is old enough.

    Args:
        alarm: Its definition.
        points: The values of more periods than the alarm asks for.
        before: The state until now.
    """
    breach = _COMPARISONS[alarm["ComparisonOperator"]]
    wanted = alarm["EvaluationPeriods"]
    to_alarm = _to_alarm(alarm)
    real = [breach(point, alarm["Threshold"]) for point in points if point is not None][-wanted:]
    missing = wanted - len(real)
    treat = alarm.get("TreatMissingData", "missing")
    bad = sum(real) + (missing if treat == "breaching" else 0)
    if bad >= to_alarm:
        return "ALARM"
    if missing == 0 or treat in ("breaching", "notBreaching") or not all(real):
        return "OK"
    # All real points breach, but there are too few, or none.
    if treat == "ignore":
        return before
    if not real:
        return "INSUFFICIENT_DATA"
    ages = [age for age, point in enumerate(reversed(points), 1) if point is not None]
    old = [age for age in ages if to_alarm <= age <= wanted]
    # An assumption: until then the state stays. AWS says only that it does not become ALARM yet.
    return "ALARM" if old else before


def datapoints(alarm: Json, data: Series, now: float, count: int) -> Points:
    """Return the values that an alarm compares with its threshold, for periods that end now.

    Raises:
        UnsupportedAlarmError: This module does not support its metric math.
    """
    if "MetricName" in alarm:
        return _read(alarm, alarm["Statistic"], alarm["Period"], data, now, count)
    return _Math(alarm["Metrics"], data, now, count).result()


def metrics_of(alarm: Json) -> list[Metric]:
    """Return the metrics that an alarm watches."""
    if "MetricName" in alarm:
        return [_metric(alarm)]
    return [
        _metric(query["MetricStat"]["Metric"])
        for query in alarm["Metrics"]
        if "MetricStat" in query
    ]


def period_of(alarm: Json) -> int:
    """Return the length of an alarm's periods, in seconds."""
    stats = [query["MetricStat"] for query in alarm.get("Metrics", []) if _plain(query)]
    return int((stats or [alarm])[0]["Period"])


def check_limits(alarm: Json) -> None:
    """Check the limits that CloudWatch checks when an alarm is created.

    Raises:
        UnsupportedAlarmError: CloudWatch would refuse the definition; the text says why.
    """
    wanted = alarm["EvaluationPeriods"]
    if alarm["ComparisonOperator"] not in _COMPARISONS:
        raise UnsupportedAlarmError(f"ComparisonOperator is {alarm['ComparisonOperator']}")
    if not 1 <= _to_alarm(alarm) <= wanted:
        raise UnsupportedAlarmError("DatapointsToAlarm is not from 1 to EvaluationPeriods")
    queries = alarm.get("Metrics", [])
    plain = [alarm] if "MetricName" in alarm else [q["MetricStat"] for q in queries if _plain(q)]
    if not plain or len(plain) > _MOST_METRICS:
        raise UnsupportedAlarmError(f"{len(plain)} metrics: there must be 1 to {_MOST_METRICS}")
    if "MetricName" not in alarm and sum(query.get("ReturnData", True) for query in queries) != 1:
        raise UnsupportedAlarmError(
            "ReturnData must be true for one query and false for all others"
        )
    periods = {each["Period"] for each in plain}
    if len(periods) > 1:
        raise UnsupportedAlarmError(f"metrics have different periods: {sorted(periods)}")
    (period,) = periods
    if period not in (10, 20, 30) and (period < _MINUTE or period % _MINUTE):
        raise UnsupportedAlarmError(f"Period is {period}: neither 10, 20, 30 nor a multiple of 60")
    if period * wanted > (_DAY if period < _HOUR else 7 * _DAY):
        raise UnsupportedAlarmError(f"{wanted} periods of {period} s are too long")


class _Math:
    """One evaluation of an alarm's queries, which expressions refer to by their ids."""

    def __init__(self, queries: list[Json], data: Series, now: float, count: int) -> None:
        self._queries = {query["Id"]: query for query in queries}
        self._data, self._now, self._count = data, now, count
        self._functions: dict[str, Callable[[list[ast.expr]], Result]] = {
            "FILL": self._fill,
            "IF": self._if,
            "METRICS": self._metrics,
        }

    def result(self) -> Points:
        """Return the values of the query that the alarm watches."""
        (watched,) = (key for key, q in self._queries.items() if q.get("ReturnData", True))
        result = self._query(watched)
        if not isinstance(result, tuple):
            raise UnsupportedAlarmError(f"{watched} is not one time series")
        return result

    def _query(self, key: str) -> Result:
        if key not in self._queries or not _ID.fullmatch(key):
            raise UnsupportedAlarmError(f"no metric or expression has the id {key}")
        query = self._queries[key]
        if _plain(query):
            stat = query["MetricStat"]
            period, count = stat["Period"], self._count
            return _read(stat["Metric"], stat["Stat"], period, self._data, self._now, count)
        words = re.sub(r"&&|\|\||\bAND\b|\bOR\b", lambda m: _WORDS[m[0]], query["Expression"])
        try:
            return self._value(ast.parse(words.strip(), mode="eval").body)
        except SyntaxError:
            raise UnsupportedAlarmError(f"cannot read: {query['Expression']}") from None
        except RecursionError:
            raise UnsupportedAlarmError(f"{key} depends on itself") from None

    def _value(self, node: ast.expr) -> Result:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Name(id=key):
                return self._query(key)
            case ast.List(elts=parts):
                return [each for part in parts for each in _array(self._value(part))]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, arguments)
        return self._operation(node)

    def _operation(self, node: ast.expr) -> Result:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _arithmetic(operator.sub, 0.0, self._value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _arithmetic(_OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
                return _arithmetic(_OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.BoolOp(op=op, values=parts):
                logic = _both if isinstance(op, ast.And) else _either
                values = [self._value(part) for part in parts]
                return functools.reduce(functools.partial(_arithmetic, logic), values)
        raise UnsupportedAlarmError(f"not supported: {ast.unparse(node)}")

    def _call(self, name: str, arguments: list[ast.expr]) -> Result:
        if name in _REDUCTIONS and len(arguments) == 1:
            return self._reduce(name, arguments[0])
        if name in self._functions:
            return self._functions[name](arguments)
        raise UnsupportedAlarmError(f"not supported: {name} of {len(arguments)}")

    def _metrics(self, arguments: list[ast.expr]) -> list[Points]:
        """Return all metrics, or those whose id contains a text; expressions do not count."""
        match arguments:
            case []:
                text = ""
            case [ast.Constant(value=str() as text)]:
                pass
            case _:
                raise UnsupportedAlarmError("METRICS takes nothing, or one text")
        keys = [key for key, q in self._queries.items() if _plain(q) and text in key]
        return [each for key in keys for each in _array(self._query(key))]

    def _reduce(self, name: str, argument: ast.expr) -> Points:
        """Reduce several time series to one, ignoring missing values.

        A single time series would be reduced to one number over all evaluated periods. AWS advises
        against that in alarms, since it evaluates more periods than an alarm asks for.
        """
        several = self._value(argument)
        if not isinstance(several, list):
            raise UnsupportedAlarmError(f"{name} of a single time series, in an alarm")
        columns = [[p for p in column if p is not None] for column in zip(*several, strict=True)]
        return tuple(_REDUCTIONS[name](there) if there else None for there in columns)

    def _fill(self, arguments: list[ast.expr]) -> Result:
        """Replace missing values by a number, or by the values of another series."""
        if len(arguments) != 2 or (
            isinstance(arguments[1], ast.Name) and arguments[1].id.isupper()
        ):
            raise UnsupportedAlarmError("FILL takes a series and a number, or another series")
        holed, filler = (self._value(each) for each in arguments)
        if isinstance(filler, list) or isinstance(holed, float):
            raise UnsupportedAlarmError("FILL takes a series and a number, or another series")
        filling = self._points(filler)

        def fill(one: Points) -> Points:
            pairs = zip(one, filling, strict=True)
            return tuple(other if point is None else point for point, other in pairs)

        return fill(holed) if isinstance(holed, tuple) else [fill(one) for one in holed]

    def _if(self, arguments: list[ast.expr]) -> Points:
        """Choose a value for each period; without a condition the value is missing.

        A missing value counts as 0 where the condition holds, and stays missing where it does not.
        """
        if len(arguments) not in (2, 3):
            raise UnsupportedAlarmError("IF takes a condition and one or two values")
        values = [self._points(self._value(each)) for each in arguments]
        condition, yes = values[:2]
        no = values[2] if len(values) > 2 else (None,) * self._count
        return tuple(
            None if c is None else (y or 0.0) if c else n
            for c, y, n in zip(condition, yes, no, strict=True)
        )

    def _points(self, value: Result) -> Points:
        if isinstance(value, list):
            raise UnsupportedAlarmError("an array, where one time series is needed")
        return value if isinstance(value, tuple) else (value,) * self._count


def _arithmetic(compute: Callable[[float, float], float], left: Result, right: Result) -> Result:
    """Compute with numbers, series and arrays.

    By the documents, a missing value is 0 if the other series has one, and the result is missing if
    neither has. A division by zero is missing, too.
    """
    if isinstance(left, list) or isinstance(right, list):
        return list(_each(compute, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return float(compute(left, right))

    def one(first: float | None, second: float | None) -> float | None:
        if first is None and second is None:
            return None
        try:
            return float(compute(first or 0.0, second or 0.0))
        except ZeroDivisionError:
            return None

    if isinstance(left, float):
        return tuple(None if point is None else one(left, point) for point in _series(right))
    if isinstance(right, float):
        return tuple(None if point is None else one(point, right) for point in left)
    return tuple(one(*pair) for pair in zip(left, right, strict=True))


def _each(
    compute: Callable[[float, float], float], left: Result, right: Result
) -> Iterator[Points]:
    if isinstance(left, list) and isinstance(right, list):
        raise UnsupportedAlarmError("arithmetic with two arrays")
    for one in left if isinstance(left, list) else _array(right):
        pair = (one, right) if isinstance(left, list) else (left, one)
        yield _series(_arithmetic(compute, *pair))


def _series(value: Result) -> Points:
    if isinstance(value, tuple):
        return value
    raise UnsupportedAlarmError("a number, where a time series is needed")


def _array(value: Result) -> list[Points]:
    return value if isinstance(value, list) else [_series(value)]


def _both(left: float, right: float) -> float:
    return float(bool(left) and bool(right))


def _either(left: float, right: float) -> float:
    return float(bool(left) or bool(right))


def _to_alarm(alarm: Json) -> int:
    """Return how many of the evaluated periods must breach: by default all."""
    return int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])


def _plain(query: Json) -> bool:
    return "MetricStat" in query


def _metric(named: Mapping[str, Any]) -> Metric:
    pairs = ((each["Name"], each["Value"]) for each in named.get("Dimensions", []))
    return Metric(named["Namespace"], named["MetricName"], tuple(sorted(pairs)))


def _read(  # noqa: PLR0913, PLR0917 (the parts of a query)
    named: Mapping[str, Any], statistic: str, period: int, data: Series, now: float, count: int
) -> Points:
    """Return a statistic of a metric for each of several periods that end now."""
    if statistic not in _STATISTICS:
        raise UnsupportedAlarmError(f"not supported: the statistic {statistic}")
    values = data.get(_metric(named), [])
    edges = [bisect_left(values, (now - n * period,)) for n in range(count, -1, -1)]
    found = ([value for _, value in values[a:b]] for a, b in itertools.pairwise(edges))
    return tuple(float(_STATISTICS[statistic](there)) if there else None for there in found)
