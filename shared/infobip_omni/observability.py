"""Logs, metrics and traces, the same way for every function, and without personal data.

Log lines and metrics carry message ids, states and counts. Phone numbers, texts, credentials and
bodies never get here: events and answers are not logged, and no response or error object goes
into a trace, whatever the environment asks for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools import Logger, Metrics, Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    EventT = TypeVar("EventT")
    AnswerT = TypeVar("AnswerT")

#: One JSON object a line; times are ISO 8601 in UTC.
logger = Logger(use_rfc3339=True, utc=True)
metrics = Metrics()
#: Libraries are not patched: their traces would hold the URLs that were called.
tracer = Tracer(auto_patch=False)

_SHOWN_CHARACTERS = 2
_SHORTEST_SHOWN = 5


def observed(
    handler: Callable[[EventT, LambdaContext], AnswerT],
) -> Callable[[EventT, LambdaContext], AnswerT]:
    """Give a Lambda handler its log context and its trace, and write its metrics at the end."""

    @functools.wraps(handler)
    def measured(event: EventT, context: LambdaContext) -> AnswerT:
        try:
            return handler(event, context)
        finally:
            # Powertools warns about an empty set, which is nothing unusual here.
            if metrics.metric_set:
                metrics.flush_metrics()

    traced: Callable[[EventT, LambdaContext], AnswerT] = tracer.capture_lambda_handler(
        measured, capture_response=False, capture_error=False
    )
    return logger.inject_lambda_context(traced, log_event=False, clear_state=True)


def masked(address: str) -> str:
    """Hide all but the last two characters of a recipient's address, for people's eyes only.

    Even what is left is personal data: it does not belong into logs.
    """
    shown = _SHOWN_CHARACTERS if len(address) >= _SHORTEST_SHOWN else 0
    hidden = len(address) - shown
    return "*" * hidden + address[hidden:]
