"""Run a function of any commit in a separate process, and measure its invocations.

This file is run as a script and depends only on the layout of the project: a function is a folder
with an `app.py` that has a `lambda_handler`, and the layer is a folder with packages. The same file
therefore runs old and new commits.

Each line of standard input is a JSON list of events; for each, one line of JSON with the
measurement goes to standard output. The output of the function goes to standard error. The process
exits at the end of the input.

The third argument is a JSON object of the functions to time as parts of an invocation: the name of
each part, with its function in the layer as "module:name" or "module:Class.method".
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Context:
    """The context object that Lambda passes to a handler."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time in milliseconds, which is always enough here."""
        return 120_000


def time_parts(parts: dict[str, str]) -> dict[str, float]:
    """Return the seconds that each part takes from now on, without those of parts that it calls.

    Only the thread that runs the handler may call parts. A part that a commit lacks takes no time.
    """
    seconds: dict[str, float] = defaultdict(float)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (those of any function)
            start, before = time.perf_counter(), sum(seconds.values())
            try:
                return function(*args, **kwargs)
            finally:
                of_inner_parts = sum(seconds.values()) - before
                seconds[part] += time.perf_counter() - start - of_inner_parts

        return call

    for part, place in parts.items():
        module, _, name = place.partition(":")
        owner: Any = importlib.import_module(module)
        if "." in name:
            class_name, _, name = name.partition(".")
            owner = getattr(owner, class_name, None)
        if hasattr(owner, name):
            setattr(owner, name, timed(part, getattr(owner, name)))
    return seconds


def main(function_folder: str, layer_folder: str, parts: str) -> None:
    """Invoke the function with each event until the input ends."""
    measurements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:0] = [function_folder, layer_folder]
    handler = importlib.import_module("app").lambda_handler
    seconds = time_parts(json.loads(parts))
    context = Context()
    for line in sys.stdin:
        events = json.loads(line)
        seconds.clear()
        gc.collect()  # garbage of earlier invocations must not count
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        answers = [handler(event, context) for event in events]
        cpu, wall = time.process_time() - cpu_start, time.perf_counter() - wall_start
        measured = {"cpu": cpu, "wall": wall, "parts": seconds, "answers": answers}
        measurements.write(json.dumps(measured) + "\n")
        measurements.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
