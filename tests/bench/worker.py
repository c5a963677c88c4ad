"""Runs a function of some commit as a process of its own, and tells what its invocations cost.

It is started as a file, and knows nothing of this project but the contract: a function is a folder
with an `app.py` that has a `lambda_handler`, the layer is a folder with packages. So the same file
runs old commits and new ones.

Standard input has a JSON list of events on each line, standard output has a line for each such
list; what the function itself prints goes to standard error. The end of the input is the end of
the process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time


class Context:
    """What Lambda tells a function of its invocation."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left, which never gets short here."""
        return 120_000


def main(function_folder: str, layer_folder: str) -> None:
    """Invoke the function with each event, until there are no more."""
    measurements = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path[:0] = [function_folder, layer_folder]
    handler = importlib.import_module("app").lambda_handler
    context = Context()
    for line in sys.stdin:
        events = json.loads(line)
        gc.collect()  # what earlier invocations have left behind is not these ones' cost
        wall_begun, cpu_begun = time.perf_counter(), time.process_time()
        answers = [handler(event, context) for event in events]
        cpu, wall = time.process_time() - cpu_begun, time.perf_counter() - wall_begun
        measured = {"cpu": cpu, "wall": wall, "answers": answers}
        measurements.write(json.dumps(measured) + "\n")
        measurements.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
