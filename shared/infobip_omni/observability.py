"""What every handler has: logs and metrics, without personal data, and the time that is left.

Log lines and metrics carry message ids, states and counts. Phone numbers, texts, credentials and
bodies never get here: events and answers are not logged, whatever the environment asks for.

What others would write is held down when this module is imported. Lambda sets the root logger to
the log level of the function, and botocore logs requests and answers at DEBUG: phone numbers, the
Infobip key, session tokens. Lambda also logs the text of an error that a handler raises, and
traces it; so an error that is not ours leaves with its type and place alone.
"""

from __future__ import annotations

import functools
import logging
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    EventT = TypeVar("EventT")
    AnswerT = TypeVar("AnswerT")

#: No library logs at a level as high as this.
SILENT = logging.CRITICAL + 1

#: One JSON object a line; times are ISO 8601 in UTC.
logger = Logger(use_rfc3339=True, utc=True)
metrics = Metrics()

_SHOWN_CHARACTERS = 2
_SHORTEST_SHOWN = 5
#: The packages whose errors say nothing personal: this one, and the module of every function.
_OUR_PACKAGES = ("infobip_omni", "app", "functions")


def silence_libraries() -> None:
    """Keep every log record and warning of a library from the function's log.

    Only the logger of this module writes. Lambda's runtime has set the level of the root logger,
    and given it a handler, before it imports a function: see `_setup_logging` in
    https://github.com/aws/aws-lambda-python-runtime-interface-client.
    """
    root = logging.getLogger()
    root.setLevel(SILENT)
    for handler in root.handlers:
        handler.setLevel(SILENT)  # for loggers that have a level of their own
    own = logging.getLogger(logger.name)
    if own.level == logging.NOTSET:
        # What Powertools makes of Lambda's level TRACE; it would follow the root logger.
        own.setLevel(logging.DEBUG)
    # pydantic's quote the value that they warn about.
    warnings.simplefilter("ignore")


silence_libraries()


class UnexpectedError(Exception):
    """An error that is not one of ours: its type and where it came from.

    Its text is left out, since it may quote anything: an event, an item, an answer.
    """


def observed(
    handler: Callable[[EventT, LambdaContext], AnswerT],
) -> Callable[[EventT, LambdaContext], AnswerT]:
    """Give a Lambda handler its log context, write its metrics, and keep its errors clean."""

    @functools.wraps(handler)
    def measured(event: EventT, context: LambdaContext) -> AnswerT:
        try:
            return handler(event, context)
        except Exception as error:
            if type(error).__module__.partition(".")[0] in _OUR_PACKAGES:
                raise
            raise UnexpectedError(" <- ".join(_causes(error))) from None
        finally:
            # Powertools warns about an empty set, which is nothing unusual here.
            if metrics.metric_set:
                metrics.flush_metrics()

    return logger.inject_lambda_context(measured, log_event=False, clear_state=True)


def time_left(context: LambdaContext) -> Callable[[], float]:
    """Return what tells how many seconds an invocation has until Lambda ends it."""
    return lambda: context.get_remaining_time_in_millis() / 1000


def count(numbers: Mapping[str, int]) -> None:
    """Write metrics by name; a zero is not written, since CloudWatch bills what is written."""
    for name, value in numbers.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def _causes(error: BaseException | None) -> Iterator[str]:
    """Yield type and place of an error, then of what it came from."""
    while error is not None:
        frames = reversed(traceback.extract_tb(error.__traceback__))
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        yield f"{type(error).__name__} at {', '.join(places) or 'an unknown place'}"
        error = error.__cause__ or error.__context__


def masked(address: str) -> str:
    """Hide all but the last two characters of a recipient's address, for people's eyes only.

    Even what is left is personal data: it does not belong into logs.
    """
    shown = _SHOWN_CHARACTERS if len(address) >= _SHORTEST_SHOWN else 0
    hidden = len(address) - shown
    return "*" * hidden + address[hidden:]
