"""The local world is measured as AWS's services measure."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.local_world.aws_metrics import (
    Metric,
    Point,
    Queue,
    embedded,
    invocation,
    series,
    skipped,
    url_call,
)

Json = dict[str, Any]

NOW = 1_000_000.0
VISIBLE, IN_FLIGHT, AGE = (
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateAgeOfOldestMessage",
)


def values(points: list[Point]) -> dict[str, float]:
    """Return the values of data points by the names of their metrics."""
    return {point.metric.name: point.value for point in points}


def message(number: int = 1, *, age: float = 10, visible_in: float = 0, receives: int = 0) -> Json:
    """Build a message as ministack stores it; times are in seconds before and after now."""
    return {
        "id": str(number),
        "sent_at": NOW - age,
        "visible_at": NOW + visible_in,
        "receive_count": receives,
        "sys": {},
    }


def sampled(*messages: Json) -> dict[str, float]:
    """Return the metrics of a queue that is sampled for the first time."""
    return values(Queue("queue").sample(list(messages), NOW))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"body": {}}, {"Invocations": 1, "Errors": 0, "Throttles": 0, "Duration": 250}),
        ({"error": True}, {"Invocations": 1, "Errors": 1, "Throttles": 0, "Duration": 250}),
        ({"throttle": True, "error": True}, {"Throttles": 1}),
    ],
)
def test_invocation_succeeds_fails_or_is_throttled(
    answer: Json, expected: dict[str, float]
) -> None:
    """A throttled request did not run, so it is neither an invocation nor an error."""
    points = invocation("function", {}, answer, NOW, NOW + 0.25)

    assert values(points) == expected
    assert {(p.metric.namespace, p.metric.dimensions, p.at) for p in points} == {
        ("AWS/Lambda", (("FunctionName", "function"),), NOW)
    }


def test_iterator_age_is_that_of_last_record() -> None:
    """It is in milliseconds, up to the delivery of the batch. Other events have none."""
    records = [
        {"eventSource": "aws:dynamodb", "dynamodb": {"ApproximateCreationDateTime": NOW - age}}
        for age in (90, 60)
    ]

    of_stream = values(invocation("f", {"Records": records}, {}, NOW, NOW))
    of_queue = values(invocation("f", {"Records": [{"eventSource": "aws:sqs"}]}, {}, NOW, NOW))

    assert of_stream["IteratorAge"] == 60_000
    assert "IteratorAge" not in of_queue


@pytest.mark.parametrize(
    ("status", "client", "server"), [(200, 0, 0), (404, 1, 0), (503, 0, 1), (302, 0, 0)]
)
def test_call_of_function_url_counts_by_status(status: int, client: int, server: int) -> None:
    """Every call is a request."""
    assert values(url_call("function", status, NOW)) == {
        "UrlRequestCount": 1,
        "Url4xxCount": client,
        "Url5xxCount": server,
    }


def test_messages_are_visible_or_in_flight() -> None:
    """A delayed message is neither, since no consumer has received it."""
    found = sampled(
        message(1),
        message(2, receives=1),
        message(3, visible_in=5, receives=1),
        message(4, visible_in=5),
    )

    assert (found[VISIBLE], found[IN_FLIGHT]) == (2, 1)


def test_oldest_message_was_received_less_than_three_times() -> None:
    """SQS ignores the age of messages that were received three times or more."""
    waiting = message(1, age=86_400, visible_in=60, receives=3)

    assert sampled(waiting, message(2, age=20, receives=2))[AGE] == 20
    assert AGE not in sampled(waiting)


def test_age_of_message_moved_by_redrive_policy_counts_from_the_move() -> None:
    """Its receives are also counted from zero in the dead-letter queue."""
    queue = Queue("dead-letter-queue")
    moved = message(age=86_400, receives=1000)
    moved["sys"]["DeadLetterQueueSourceArn"] = "arn"

    first = values(queue.sample([moved], NOW))
    later = values(queue.sample([moved | {"receive_count": 1002}], NOW + 30))
    poison = values(queue.sample([moved | {"receive_count": 1003}], NOW + 60))

    assert (first[AGE], later[AGE]) == (0, 30)
    assert AGE not in poison


def test_queue_has_no_metrics_until_it_is_used() -> None:
    """Then it has zeros too. A queue that an event source mapping polls is in use."""
    unused, used = Queue("unused"), Queue("used")
    used.sample([message()], NOW)

    assert unused.sample([], NOW) == []
    assert values(used.sample([], NOW)) == {VISIBLE: 0, IN_FLIGHT: 0}
    assert values(Queue("polled").sample([], NOW, polled=True)) == {VISIBLE: 0, IN_FLIGHT: 0}


def test_metrics_are_read_from_log_lines() -> None:
    """Each dimension set and each value makes a data point, at the time of the line."""
    definition = {
        "Namespace": "N",
        "Dimensions": [["service"], ["service", "channel"]],
        "Metrics": [{"Name": "Sent", "Unit": "Count"}, {"Name": "Age"}],
    }
    about = {"Timestamp": NOW * 1000, "CloudWatchMetrics": [definition]}
    line = {"_aws": about, "service": "s", "channel": "c", "Sent": [1.0, 2.0], "Age": 7}

    points = list(embedded(json.dumps(line)))

    one = (("service", "s"),)
    two = (("channel", "c"), ("service", "s"))
    assert points == [
        Point(Metric("N", name, dimensions), NOW, value)
        for dimensions in (one, two)
        for name, value in (("Sent", 1.0), ("Sent", 2.0), ("Age", 7))
    ]


@pytest.mark.parametrize("line", ["START RequestId: 1", "{broken", '{"level": "INFO"}'])
def test_other_log_lines_hold_no_metrics(line: str) -> None:
    assert list(embedded(line)) == []


def test_series_is_sorted_by_time() -> None:
    metric = Metric("N", "a", ())

    assert series([Point(metric, 2, 20), Point(metric, 1, 10)]) == {metric: [(1, 10), (2, 20)]}


def test_points_after_skip_are_later_by_its_length() -> None:
    """Two skips add up; points before them stay."""
    metric = Metric("N", "Count", ())
    found = {metric: [(10.0, 1.0), (20.0, 2.0), (30.0, 3.0)]}

    assert skipped(found, [(25, 1000), (15, 100)]) == {
        metric: [(10, 1), (120, 2), (1130, 3)],
    }


@pytest.mark.parametrize(
    ("name", "scale"), [("OldestRecordSeconds", 1), ("IteratorAge", 1000), ("Count", None)]
)
def test_age_that_began_before_skip_grows_by_its_length(name: str, scale: int | None) -> None:
    """An age that began after the skip stays, and so does a count."""
    metric = Metric("N", name, ())
    found = {metric: [(20.0, 10.0 * (scale or 1)), (20.0, 4.0 * (scale or 1))]}

    ages = sorted(value for _, value in skipped(found, [(15, 100)])[metric])

    assert ages == [4 * (scale or 1), (10 + (100 if scale else 0)) * (scale or 1)]


def test_queue_keeps_its_messages_through_skip() -> None:
    """It has a point per minute, and their age grows."""
    count, age = (Metric("AWS/SQS", name, (("QueueName", "q"),)) for name in (VISIBLE, AGE))
    found = {count: [(10.0, 2.0), (20.0, 0.0)], age: [(10.0, 7.0)]}

    later = skipped(found, [(15, 240)])

    assert later[count] == [(10, 2), (75, 2), (135, 2), (195, 2), (260, 0)]
    assert later[age] == [(10, 7), (75, 72), (135, 132), (195, 192)]


def test_queue_has_points_in_every_hour_of_long_skip() -> None:
    """Only the last day has a point per minute."""
    count = Metric("AWS/SQS", VISIBLE, (("QueueName", "q"),))
    days = 8

    later = skipped({count: [(10.0, 2.0), (20.0, 0.0)]}, [(15, days * 86_400)])

    times = [at for at, _ in later[count]]
    assert max(after - before for before, after in pairwise(times)) < 3600
    assert len(times) < 2 * 24 * days + 24 * 60


def test_queue_without_recent_points_has_none_through_skip() -> None:
    """Its last value no longer holds."""
    metric = Metric("AWS/SQS", AGE, (("QueueName", "q"),))

    assert skipped({metric: [(5.0, 7.0)]}, [(15, 240)]) == {metric: [(5, 7)]}


def test_metric_that_ended_before_skip_has_no_points_through_it() -> None:
    """The last message was received for the third time, so it no longer has an age."""
    count, age = (Metric("AWS/SQS", name, (("QueueName", "q"),)) for name in (VISIBLE, AGE))
    found = {count: [(13.0, 1.0), (14.0, 1.0)], age: [(13.0, 7.0)]}

    assert skipped(found, [(15, 240)])[age] == [(13, 7)]
