"""The metrics that AWS's services would send to CloudWatch for the local world.

ministack counts only direct invocations, and nothing of queues. So the emulator's process writes
each invocation, each call of a function URL and, every second, the state of each queue to a file.
Metrics in the embedded metric format are read from the functions' logs, as CloudWatch does.
`collected` joins both. Times are not rounded to whole minutes: `aws_alarms` computes the statistics
of periods.

Sources, all under docs.aws.amazon.com:

- lambda/latest/dg/monitoring-metrics-types.html and lambda/latest/dg/urls-monitoring.html
- AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
- AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Json = dict[str, Any]

#: In the emulator's directory; one line per data point.
_FILE = "metrics.jsonl"
#: SQS sends its metrics once a minute; tests would take too long with that.
_SECONDS_BETWEEN_SAMPLES = 1
#: "If a message is received three or more times and not deleted, SQS moves it to the back".
_RECEIVES_OF_POISON = 3
#: An older sample does not describe the moment of a skip.
_SECONDS_A_SAMPLE_LASTS = 5
#: Metrics that are an age, with the number of their units in a second.
_AGES = {"ApproximateAgeOfOldestMessage": 1.0, "IteratorAge": 1000.0, "OldestRecordSeconds": 1.0}
_MINUTE, _HALF_HOUR, _DAY = 60, 1800, 86_400
_CLIENT_ERROR, _SERVER_ERROR, _AFTER_ERRORS = 400, 500, 600


class Metric(NamedTuple):
    """The identity of a metric, of which its dimensions are a part."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """One value of a metric; `at` is in seconds since 1970."""

    metric: Metric
    at: float
    value: float


Series = dict[Metric, list[tuple[float, float]]]


def collected(directory: Path, logs: str) -> Series:
    """Return all metrics until now: times and values, oldest first.

    Args:
        directory: The emulator's.
        logs: The log lines of all functions.
    """
    lines = (directory / _FILE).read_text().splitlines()
    points = [Point(_metric(*name), at, value) for *name, at, value in map(json.loads, lines)]
    for line in logs.splitlines():
        points += embedded(line)
    return series(points)


def series(points: Iterable[Point]) -> Series:
    """Group data points by metric, and sort them by time."""
    found = defaultdict(list)
    for metric, at, value in points:
        found[metric].append((at, value))
    return {metric: sorted(values) for metric, values in found.items()}


def skipped(found: Series, skips: Iterable[tuple[float, float]]) -> Series:
    """Return the metrics as if idle time had passed at some moments.

    Data points after a skip move by its length, and so does the end of an age that began before it.
    During a skip, queues repeat their last values: once a minute on its last day, and twice an hour
    before, which saves many points.

    Args:
        found: The metrics.
        skips: Moment and length of each skip, both in seconds.
    """
    skips = sorted(skips)

    def moved(at: float) -> float:
        return at + sum(length for moment, length in skips if moment <= at)

    sampled = sorted(
        {(m.dimensions, at) for m, values in found.items() if _is_of_queue(m) for at, _ in values}
    )
    later: Series = {}
    for metric, values in found.items():
        scale = _AGES.get(metric.name)
        points = [
            (moved(at), value if scale is None else (moved(at) - moved(at - value / scale)) * scale)
            for at, value in values
        ]
        if _is_of_queue(metric):
            times = [at for queue, at in sampled if queue == metric.dimensions]
            for moment, length in skips:
                # A metric that is not in the last sample before the skip had ended.
                last = max((at for at in times if at < moment), default=0.0)
                if any(at == last for at, _ in values):
                    points += _meanwhile(points, moved(moment) - length, length, scale)
        later[metric] = sorted(points)
    return later


def invocation(name: str, event: object, answer: Json, began: float, ended: float) -> list[Point]:
    """Return Lambda's metrics for one invocation, by a caller or an event source.

    `Invocations` counts runs, and `Errors` those that failed. A throttled request counts only in
    `Throttles`. `Duration` is in milliseconds, and so is `IteratorAge`: the age of the last record
    of a batch when a stream's mapping invokes the function. All have the dimension `FunctionName`,
    which includes every version and alias.

    Args:
        name: The function's name, without a qualifier.
        event: The event of the invocation.
        answer: ministack's result.
        began: In seconds since 1970.
        ended: In seconds since 1970.
    """
    if answer.get("throttle"):
        return [Point(_of_function(name, "Throttles"), began, 1)]
    values = {
        "Invocations": 1,
        "Errors": int(bool(answer.get("error"))),
        "Throttles": 0,
        "Duration": (ended - began) * 1000,
    }
    if (written := _last_written(event)) is not None:
        values["IteratorAge"] = (began - written) * 1000
    return [Point(_of_function(name, metric), began, value) for metric, value in values.items()]


def url_call(name: str, status: int, at: float) -> list[Point]:
    """Return Lambda's metrics for one call of a function URL, by its HTTP status."""
    values = {
        "UrlRequestCount": 1,
        "Url4xxCount": int(_CLIENT_ERROR <= status < _SERVER_ERROR),
        "Url5xxCount": int(_SERVER_ERROR <= status < _AFTER_ERRORS),
    }
    return [Point(_of_function(name, metric), at, value) for metric, value in values.items()]


@dataclass
class Queue:
    """SQS's metrics for one queue, from repeated samples.

    A queue is active while it holds messages or is called, and for up to six hours more; one that
    never was active has no metrics. The age of the oldest message ignores messages that were
    received three times or more; if no other is left, there is no age. Age and receives of a
    message that a redrive policy moved count from the move.
    """

    name: str
    _active: bool = False
    _moved: dict[str, tuple[float, int]] = field(default_factory=dict)

    def sample(self, messages: list[Json], at: float, *, polled: bool = False) -> list[Point]:
        """Return the metrics of one sample.

        Args:
            messages: The messages in the queue, as ministack stores them.
            at: Now, in seconds since 1970.
            polled: Whether an event source mapping reads the queue.
        """
        self._active = self._active or polled or bool(messages)
        if not self._active:
            return []
        values: dict[str, float] = {
            "ApproximateNumberOfMessagesVisible": sum(m["visible_at"] <= at for m in messages),
            "ApproximateNumberOfMessagesNotVisible": sum(
                m["visible_at"] > at and m["receive_count"] > 0 for m in messages
            ),
        }
        if ages := [age for m in messages if (age := self._age(m, at)) is not None]:
            values["ApproximateAgeOfOldestMessage"] = max(ages)
        dimensions = (("QueueName", self.name),)
        return [
            Point(Metric("AWS/SQS", name, dimensions), at, value) for name, value in values.items()
        ]

    def _age(self, message: Json, at: float) -> float | None:
        """Return a message's age in seconds, or None if the metric ignores the message."""
        since, before = message["sent_at"], 0
        if "DeadLetterQueueSourceArn" in message.get("sys", {}):
            seen = (at, message["receive_count"])
            since, before = self._moved.setdefault(message["id"], seen)
        poison = message["receive_count"] - before >= _RECEIVES_OF_POISON
        return None if poison else max(0, at - since)


def embedded(line: str) -> Iterator[Point]:
    """Yield the metrics of a log line, if it is in the embedded metric format.

    A value is a number or a list of numbers; each dimension set is a metric of its own.
    """
    if not line.startswith("{"):
        return
    try:
        root = json.loads(line)
    except ValueError:
        return
    about = root.get("_aws", {})
    for directive in about.get("CloudWatchMetrics", []):
        for names in directive["Dimensions"]:
            dimensions = tuple(sorted((name, root[name]) for name in names))
            for definition in directive["Metrics"]:
                metric = Metric(directive["Namespace"], definition["Name"], dimensions)
                value = root[definition["Name"]]
                for each in value if isinstance(value, list) else [value]:
                    yield Point(metric, about["Timestamp"] / 1000, each)


def watch(directory: Path) -> None:
    """Start to write metrics to a file, in the emulator's process."""
    notes = _Notes(directory / _FILE)
    _watch_functions(notes)
    threading.Thread(target=_watch_queues, args=(notes,), daemon=True).start()


class _Notes:
    """The file of metrics, which threads write to, line by line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, points: Iterable[Point]) -> None:
        text = "".join(f"{json.dumps([*p.metric, p.at, p.value])}\n" for p in points)
        with self._lock:
            self._file.write(text)


def _watch_functions(notes: _Notes) -> None:
    from ministack.services import lambda_svc  # noqa: PLC0415 (only in the emulator's process)

    # ministack has no public hook for this.
    execute = lambda_svc._execute_function  # noqa: SLF001
    comes_back = lambda_svc._function_config_scope_mismatch  # noqa: SLF001
    call = lambda_svc.handle_function_url_request

    def executed(function: Json, event: object) -> Json:
        config = function.get("config") or function
        if comes_back(config):  # ministack calls again, in the function's account and region
            again: Json = execute(function, event)
            return again
        began = time.time()
        answer: Json = execute(function, event)
        notes.write(invocation(config["FunctionName"], event, answer, began, time.time()))
        return answer

    async def called(url_id: str, *request: Any, **options: Any) -> Any:  # noqa: ANN401 (passed on)
        at = time.time()
        answer = await call(url_id, *request, **options)
        if found := options.get("resolved") or lambda_svc.resolve_function_url(url_id):
            notes.write(url_call(found[2], answer[0], at))
        return answer

    lambda_svc._execute_function = executed  # noqa: SLF001
    lambda_svc.handle_function_url_request = called


def _watch_queues(notes: _Notes) -> None:
    from ministack.services import lambda_svc, sqs  # noqa: PLC0415

    queues: dict[str, Queue] = {}
    while True:
        time.sleep(_SECONDS_BETWEEN_SAMPLES)
        # ministack has no public names for mappings and queues. If another thread changes them
        # meanwhile, the next sample sees the change.
        with suppress(RuntimeError):
            mappings = [mapping for _, mapping in lambda_svc._esms.all_items()]  # noqa: SLF001
            polled = {each.get("EventSourceArn") for each in mappings if each.get("Enabled", True)}
            for _, state in list(sqs._queues.all_items()):  # noqa: SLF001
                arn = state["attributes"]["QueueArn"]
                queue = queues.setdefault(arn, Queue(arn.rsplit(":", 1)[1]))
                messages = list(state["messages"])
                notes.write(queue.sample(messages, time.time(), polled=arn in polled))


def _meanwhile(
    points: list[tuple[float, float]], begin: float, length: float, scale: float | None
) -> Iterator[tuple[float, float]]:
    """Yield points during a skip that repeat a queue's last value; an age grows."""
    before = max((p for p in points if p[0] < begin), default=None)
    if before is None or before[0] < begin - _SECONDS_A_SAMPLE_LASTS:
        return
    last_day = max(0, int(length) - _DAY)
    # Twice an hour, so that every period of an hour has a point, whenever it begins.
    rarely, often = (
        range(_MINUTE, last_day, _HALF_HOUR),
        range(last_day + _MINUTE, int(length), _MINUTE),
    )
    for at in (begin + seconds for seconds in (*rarely, *often)):
        yield at, before[1] + (0 if scale is None else (at - before[0]) * scale)


def _is_of_queue(metric: Metric) -> bool:
    return metric.namespace == "AWS/SQS"


def _last_written(event: object) -> float | None:
    """Return when the last record of a stream's batch was written; None for other events."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not records or records[-1].get("eventSource") != "aws:dynamodb":
        return None
    return float(records[-1]["dynamodb"]["ApproximateCreationDateTime"])


def _of_function(name: str, metric: str) -> Metric:
    return Metric("AWS/Lambda", metric, (("FunctionName", name),))


def _metric(namespace: str, name: str, dimensions: list[list[str]]) -> Metric:
    return Metric(namespace, name, tuple((key, value) for key, value in dimensions))
