"""Logs and metrics of every handler, without personal data.

Log lines and metrics hold message ids, states and counts. Phone numbers, texts, credentials and
bodies are never logged: events and answers are not logged, whatever the environment requests.

Importing this module silences the loggers of libraries. Lambda sets the root logger to the log
level of the function, and botocore logs requests and answers at DEBUG: phone numbers, the Infobip
key, session tokens. Lambda also logs and traces the text of an error that a handler raises. So an
error of a library is replaced by one that holds only its type and location.
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

from infobip_omni import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    EventT = TypeVar("EventT")
    AnswerT = TypeVar("AnswerT")

#: Higher than any level at which a library logs.
SILENT = logging.CRITICAL + 1

#: Writes one JSON object a line, with the deployed version; times are ISO 8601 in UTC.
logger = Logger(use_rfc3339=True, utc=True, version=__version__)
metrics = Metrics()

_SHOWN_CHARACTERS = 2
_SHORTEST_SHOWN = 5
#: The packages whose errors hold no personal data: this one, and the module of every function.
_OUR_PACKAGES = ("infobip_omni", "app", "functions")


def silence_libraries() -> None:
    """Silence the loggers and warnings of all libraries.

    Only the logger of this module writes. Before Lambda's runtime imports a function, it sets the
    level of the root logger and adds a handler to it: see `_setup_logging` in
    https://github.com/aws/aws-lambda-python-runtime-interface-client.
    """
    root = logging.getLogger()
    root.setLevel(SILENT)
    for handler in root.handlers:
        handler.setLevel(SILENT)  # for loggers that have a level of their own
    own = logging.getLogger(logger.name)
    if own.level == logging.NOTSET:
        # Powertools sets no level for Lambda's level TRACE, and the root logger's would apply.
        own.setLevel(logging.DEBUG)
    # The warnings of pydantic quote values.
    warnings.simplefilter("ignore")


silence_libraries()


class UnexpectedError(Exception):
    """Replaces an error of a library: its text holds only the type and location of that error.

    The original text may quote anything: an event, an item, an answer.
    """


def observed(
    handler: Callable[[EventT, LambdaContext], AnswerT],
) -> Callable[[EventT, LambdaContext], AnswerT]:
    """Decorate a Lambda handler: add the log context, write metrics, replace errors of libraries.

    The handler's own errors, and those of this package, are raised unchanged.
    """

    @functools.wraps(handler)
    def measured(event: EventT, context: LambdaContext) -> AnswerT:
        try:
            return handler(event, context)
        except Exception as error:
            if type(error).__module__.partition(".")[0] in _OUR_PACKAGES:
                raise
            raise UnexpectedError(" <- ".join(_causes(error))) from None
        finally:
            # Powertools would warn about an empty set of metrics, which is normal here.
            if metrics.metric_set:
                metrics.flush_metrics()

    return logger.inject_lambda_context(measured, log_event=False, clear_state=True)


def time_left(context: LambdaContext) -> Callable[[], float]:
    """Return a function that returns how many seconds an invocation has until its timeout."""
    return lambda: context.get_remaining_time_in_millis() / 1000


def count(numbers: Mapping[str, int]) -> None:
    """Add metrics by name; zeros are left out, because CloudWatch charges for every metric."""
    for name, value in numbers.items():
        if value:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def _causes(error: BaseException | None) -> Iterator[str]:
    """Yield the type and location of an error, then of its causes."""
    while error is not None:
        frames = reversed(traceback.extract_tb(error.__traceback__))
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        yield f"{type(error).__name__} at {', '.join(places) or 'an unknown place'}"
        error = error.__cause__ or error.__context__


def masked(address: str) -> str:
    """Mask all but the last two characters of a recipient's address, for answers to people.

    The remaining characters are still personal data and must not be logged.
    """
    shown = _SHOWN_CHARACTERS if len(address) >= _SHORTEST_SHOWN else 0
    masked_length = len(address) - shown
    return "*" * masked_length + address[masked_length:]
