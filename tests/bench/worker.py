"""Runs a function of some commit as a process of its own, and tells what its invocations cost.

It is started as a file, and knows nothing of this project but the contract: a function is a folder
with an `app.py` that has a `lambda_handler`, the layer is a folder with packages. So the same file
runs old commits and new ones.

Standard input has a JSON list of events on each line, standard output has a line for each such
list; what the function itself prints goes to standard error. The end of the input is the end of
the process.

The third argument is a JSON object: names of parts of an invocation, and the functions of the layer
that are timed as these parts, as "module:name" or "module:Class.method".
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
    """What Lambda tells a function of its invocation."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left, which never gets short here."""
        return 120_000


def time_parts(parts: dict[str, str]) -> dict[str, float]:
    """Return the seconds that each part takes from now on, without those of parts that it calls.

    Only the thread that runs the handler may call parts. One that the commit lacks takes no time.
    """
    seconds: dict[str, float] = defaultdict(float)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (those of any function)
            begun, before = time.perf_counter(), sum(seconds.values())
            try:
                return function(*args, **kwargs)
            finally:
                of_inner_parts = sum(seconds.values()) - before
                seconds[part] += time.perf_counter() - begun - of_inner_parts

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
    """Invoke the function with each event, until there are no more."""
    measurements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:0] = [function_folder, layer_folder]
    handler = importlib.import_module("app").lambda_handler
    seconds = time_parts(json.loads(parts))
    context = Context()
    for line in sys.stdin:
        events = json.loads(line)
        seconds.clear()
        gc.collect()  # what earlier invocations have left behind is not these ones' cost
        wall_begun, cpu_begun = time.perf_counter(), time.process_time()
        answers = [handler(event, context) for event in events]
        cpu, wall = time.process_time() - cpu_begun, time.perf_counter() - wall_begun
        measured = {"cpu": cpu, "wall": wall, "parts": seconds, "answers": answers}
        measurements.write(json.dumps(measured) + "\n")
        measurements.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
