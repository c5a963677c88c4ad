"""Queries of the message logs: several in flight, at the rate that all runs share.

An answer that fails again and again must not keep the logs from being asked about anything else. So
a list whose query fails is asked about in halves, until the id that the logs cannot answer about is
alone. When queries fail one after the other, the logs are out of order, and
the run ends.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infobip_omni.api.client import LONGEST_CALL_SECONDS
from infobip_omni.api.errors import (
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from infobip_omni.absence import LogQuery
    from infobip_omni.api.client import LogPage, OmniClient
    from infobip_omni.log_query_limiter import LogQueryLimiter
    from infobip_omni.message import Message

ROWS_PER_LOG_QUERY = 1000
#: Rows to choose witnesses from: enough for the longest list, whatever the steps of its messages.
_WITNESS_ROWS = 300
#: So that an answer may take two seconds, and the rate is kept all the same.
CONCURRENT_LOG_QUERIES = 4
#: So many failures without an answer in between are the fault of the logs, not of the ids.
_FAILURES_IN_A_ROW = 3
#: Longest time that one query may last, and what it takes to write what follows from its answer.
SECONDS_PER_LOG_QUERY = LONGEST_CALL_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that the logs are asked about together."""

    #: Those that the query calls candidates, in the same order.
    messages: tuple[Message, ...]
    query: LogQuery

    def halves(self) -> tuple[Group, Group]:
        """Divide the messages; each half keeps the witnesses."""
        middle = len(self.messages) // 2
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> Group:
        candidates = self.query.candidates[part]
        ids = tuple(candidate.id for candidate in candidates)
        if self.query.witnesses:
            older, younger = self.query.witnesses
            ids = (older.id, *ids, younger.id)
        return Group(self.messages[part], replace(self.query, ids=ids, candidates=candidates))


class LogQueries:
    """The queries of one run.

    Args:
        client: Infobip.
        limiter: Gives the queries their slots; the run holds it.
        seconds_left: Returns how much time the run has.
    """

    def __init__(
        self, client: OmniClient, limiter: LogQueryLimiter, seconds_left: Callable[[], float]
    ) -> None:
        #: How many were made, failed ones included.
        self.asked = 0
        #: How many were answered.
        self.answered = 0
        #: Messages that the logs cannot answer about, each asked about alone.
        self.unanswerable: list[Message] = []
        self._client = client
        self._limiter = limiter
        self._seconds_left = seconds_left
        self._failures = 0
        self._again: deque[Group] = deque()
        self._has_stopped = False

    def ask(
        self, message_ids: tuple[str, ...] = (), until: datetime | None = None
    ) -> LogPage | None:
        """Ask about messages, or for the newest rows, and wait for the answer.

        Args:
            message_ids: The messages; none asks for the newest rows.
            until: The time after which none of those was sent.

        Returns:
            The answer; None where there is no time, or the logs do not answer.

        Raises:
            OmniError: The logs are out of reach, or refuse the credentials.
            TableUnavailableError: The limiter cannot say whether a query may be made.
        """
        if not self._may_ask():
            return None
        self.asked += 1
        try:
            if message_ids:
                page = self._search(message_ids)
            else:
                page = self._client.newest_logs(until=until, limit=_WITNESS_ROWS)
        except RateLimitedError as error:
            self._limiter.delay(error.retry_after_seconds)
            return None
        except (OutcomeUnknownError, RequestRejectedError):
            return None
        self.answered += 1
        return page

    def ask_again(self, groups: list[Group]) -> None:
        """Add groups to those of `answers`, before those that it has not begun yet."""
        self._again.extend(groups)

    def answers(self, groups: Iterator[Group]) -> Iterator[tuple[Group, LogPage]]:
        """Ask about groups as long as there is time, and yield the answers as they come.

        A group whose answer was cut, or whose query failed, is asked about in halves.

        Raises:
            OmniError: The logs are out of reach, refuse the credentials, or fail time and again.
            TableUnavailableError: The limiter cannot say whether a query may be made.
        """
        with ThreadPoolExecutor(CONCURRENT_LOG_QUERIES, thread_name_prefix="logs") as pool:
            in_flight: dict[Future[LogPage], Group] = {}
            while True:
                while len(in_flight) < CONCURRENT_LOG_QUERIES and (group := self._next(groups)):
                    self.asked += 1
                    in_flight[pool.submit(self._search, group.query.ids)] = group
                if not in_flight:
                    return
                for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                    group = in_flight.pop(future)
                    page = self._answer(group, future)
                    if page is not None:
                        yield group, page

    def _next(self, groups: Iterator[Group]) -> Group | None:
        """Return the next group when its query may begin; None if there is none, or no time."""
        if self._has_stopped:
            return None
        group = self._again.popleft() if self._again else next(groups, None)
        return group if group is not None and self._may_ask() else None

    def _may_ask(self) -> bool:
        """Wait for a slot; once there is no time for one, there is none for any other."""
        self._has_stopped = self._has_stopped or not self._limiter.wait_for_slot(
            lambda: self._seconds_left() - SECONDS_PER_LOG_QUERY
        )
        return not self._has_stopped

    def _search(self, message_ids: tuple[str, ...]) -> LogPage:
        return self._client.search_logs(message_ids=message_ids, limit=ROWS_PER_LOG_QUERY)

    def _answer(self, group: Group, future: Future[LogPage]) -> LogPage | None:
        """Return the answer about a group, or see to it that it is asked about otherwise."""
        try:
            page = future.result()
        except RateLimitedError as error:
            self._fail(error)
            self._limiter.delay(error.retry_after_seconds)
            self._again.append(group)
            return None
        except (OutcomeUnknownError, RequestRejectedError) as error:
            self._fail(error)
            if len(group.messages) > 1:
                self._again.extend(group.halves())
            else:
                self.unanswerable.extend(group.messages)
            return None
        self.answered += 1
        self._failures = 0
        if page.is_cut and len(group.messages) > 1:
            self._again.extend(group.halves())
            return None
        return page

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            raise error
