"""The state of an Infobip account: scenarios, messages, reports, logs and the time.

Nothing here uses HTTP or waits.
The rules and settings at the acceptance of a message decide its whole course. Which part of it is
visible depends only on the clock, which can be advanced.
"""

from __future__ import annotations

import heapq
import math
import uuid
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from itertools import count, islice
from typing import TYPE_CHECKING

from . import log_lists
from .changes import Changes
from .checks import scenario_problems, send_problems, validity_seconds
from .clock import Clock, timestamp
from .errors import (
    ADDRESS_MEMBERS,
    CONTENT_MEMBERS,
    DAY,
    HOUR,
    OPERATIONS,
    ApiError,
    Json,
    bad_request,
    parse_moment,
    refuse_problems,
)
from .messages import Attempt, Message, Report, final_status, ledger_entry
from .rejections import rejection_of, sms_parts
from .rules import BAD_REQUEST, OPENS_AFTER_SECONDS, STEP_SECONDS, Rules
from .statuses import FORMS, REFUSALS, SILENT, STATUSES, error_of, in_form
from .webhooks import Push, Pushes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .rules import Rule

#: The addresses that a channel can use; it uses the first that the destination has.
_CHANNEL_ADDRESSES: dict[str, tuple[str, ...]] = {
    "EMAIL": ("emailAddress",),
    "LINE": ("lineUserKey", "phoneNumber"),
    "PUSH": ("pushRegistrationId", "phoneNumber"),
    "WHATSAPP": ("phoneNumber", "whatsAppUserId"),
}
_LONGEST_VALIDITY = 48 * HOUR
_LOGS_REACH_BACK = 48 * HOUR
#: Invented: every recipient has the same network.
_MCC, _MNC = "219", "01"

#: The documented limits on calls in a period; 0 means no limit. Tests may limit other operations,
#: too. The periods follow, in seconds.
_THROTTLES = dict.fromkeys(OPERATIONS, 0) | {
    "create_scenario": 20,
    "update_scenario": 40,
    "search_logs": 120,
}
_THROTTLE_SECONDS = {"create_scenario": 600, "update_scenario": 600}
_OTHER_THROTTLE_SECONDS = 60
_PLACES_OF_STATUSES = ("answers", "reports", "logs")


@dataclass(frozen=True, slots=True)
class Settings:
    """The behaviour of an account, above all where the documents are silent."""

    step_seconds: float = 0.2  #: from the start of a step to its outcome
    default_validity_seconds: float = 60.0  #: of a step whose content has none
    report_delay_seconds: float = 0.0  #: from the end of a step to its report
    log_lag_seconds: float = 0.0  #: from the acceptance of a message to its log rows
    intermediate_step_reports: bool = True  #: whether failed steps before the last are reported
    #: Whether ``GET /omni/1/reports`` also returns reports that are pushed to a notifyUrl.
    pushed_reports: str = field(default="push-only", metadata={"choices": ("push-only", "both")})
    #: How often a push that was not answered with 2xx is retried.
    push_retries: int = field(default=20, metadata={"most": 1000})
    push_bucket_size: int = field(default=1, metadata={"most": 2000})  #: reports per push
    push_minute_seconds: float = 60.0  #: the length of a minute of the waits between retries
    duplicate_ids: str = field(default="send-twice", metadata={"choices": ("send-twice", "refuse")})
    #: The status by which every destination is refused, such as REJECTED_NOT_ENOUGH_CREDITS; empty
    #: refuses none.
    refuse_all: str = field(default="", metadata={"choices": ("", *REFUSALS)})
    #: Whether refused destinations have log rows, and reports.
    refused_rows: str = field(
        default="none", metadata={"choices": ("none", "logs", "reports", "both")}
    )
    #: Whether the id of a refused destination counts as used, where repeated ids are refused.
    refused_ids: str = field(default="free", metadata={"choices": ("free", "used")})
    accepted_status: str = field(
        default="PENDING_ENROUTE",
        metadata={"choices": ("PENDING_ENROUTE", "PENDING_ACCEPTED", "MESSAGE_ACCEPTED")},
    )
    #: Which errors have the platform's newer envelope: none, those of status 429, or all.
    error_envelope: str = field(default="legacy", metadata={"choices": ("legacy", "E429", "newer")})
    #: How statuses are written, and where; elsewhere they are in full.
    status_form: str = field(default="full", metadata={"choices": FORMS})
    status_form_in: str = field(
        default="everywhere", metadata={"choices": ("everywhere", *_PLACES_OF_STATUSES)}
    )
    #: What happens to a destination without an address for a step.
    missing_address: str = field(
        default="fail-step", metadata={"choices": ("fail-step", "refuse-request")}
    )
    inbox_topics: tuple[str, ...] = ()  #: of the app; if empty, any topic of a push exists
    magic_recipients: bool = True  #: whether the last digits of an address decide its outcomes
    #: How the logs read a list of several ids.
    log_lists: str = field(default="all", metadata={"choices": log_lists.WAYS})
    log_list_length: int = field(default=50, metadata={"most": 1000})  #: the n of some ways
    throttle_minute_seconds: float = 60.0  #: how long each minute of the throttles lasts
    throttles: dict[str, int] = field(default_factory=lambda: dict(_THROTTLES))

    def written(self, status: Json, place: str) -> Json:
        """Return a status or an error as it is written in an answer, a report or a log row."""
        is_here = self.status_form_in in ("everywhere", place)
        return in_form(status, self.status_form if is_here else "full")


@dataclass(frozen=True, slots=True)
class LogSearch:
    """A query of ``GET /omni/1/logs``; None and empty mean any."""

    message_ids: tuple[str, ...] = ()
    bulk_ids: tuple[str, ...] = ()
    sender: str | None = None
    to: str | None = None
    channel: str | None = None
    general_status: str | None = None
    mcc: str | None = None
    mnc: str | None = None
    sent_since: float = -math.inf
    sent_until: float = math.inf
    limit: int = 50

    def matches(self, message: Message, attempt: Attempt, now: float) -> bool:
        """Whether the log row of *attempt* matches, regardless of its message id."""
        wanted = (
            (self.sender, attempt.sender),
            (self.to, attempt.to),
            (self.channel, attempt.channel),
            (self.general_status, attempt.status(now)["groupName"]),
            (self.mcc, _MCC),
            (self.mnc, _MNC),
        )
        return (
            (not self.bulk_ids or message.bulk_id in self.bulk_ids)
            and all(asked is None or asked == actual for asked, actual in wanted)
            and self.sent_since <= attempt.started_at <= self.sent_until
        )


class Account:
    """One account at Infobip. Not thread-safe: callers hold a lock."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.rules = Rules()
        self.acceptances = 0
        self.refusals = 0
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._changes = Changes()
        self._scenarios: dict[str, Json] = {}
        self._messages: dict[str, list[Message]] = {}
        #: Refused destinations, by message id.
        self._refused: dict[str, list[Message]] = {}
        self._bulks: dict[str, list[Message]] = {}
        self._report_numbers = count()
        self._coming_reports: list[tuple[float, int, Report]] = []
        # An OrderedDict, since removing from the front of a plain dict becomes slow.
        self._ready_reports: OrderedDict[int, Report] = OrderedDict()
        self._page_numbers = count()
        self._last_page: list[Report] = []
        self.pushes = Pushes()
        self._recent_calls: dict[str, deque[float]] = {}

    def throttle(self, operation: str) -> None:
        """Count a call, or refuse it if the operation was called too often in its period."""
        limit = self.settings.throttles[operation]
        if not limit:
            return
        now = self._clock.now()
        seconds = _THROTTLE_SECONDS.get(operation, _OTHER_THROTTLE_SECONDS)
        window = seconds * self.settings.throttle_minute_seconds / _OTHER_THROTTLE_SECONDS
        calls = self._recent_calls.setdefault(operation, deque())
        while calls and calls[0] <= now - window:
            calls.popleft()
        if len(calls) >= limit:
            wait = math.ceil(calls[-limit] + window - now)
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, retry_after=wait)
        calls.append(now)

    def list_scenarios(self, *, is_default: bool | None, limit: int, page: int) -> Json:
        """Return one page of scenarios, oldest first."""
        found = [
            scenario
            for scenario in self._scenarios.values()
            if is_default is None or scenario["default"] == is_default
        ]
        return {"scenarios": found[page * limit : (page + 1) * limit]}

    def create_scenario(self, body: Json) -> Json:
        """Create a scenario, even if one with the same name and flow exists."""
        return self._put_scenario(uuid.uuid4().hex.upper(), body)

    def get_scenario(self, key: str) -> Json:
        try:
            return self._scenarios[key]
        except KeyError:
            raise ApiError(HTTPStatus.NOT_FOUND) from None

    def update_scenario(self, key: str, body: Json) -> Json:
        """Replace a scenario; accepted messages keep the old flow."""
        self.get_scenario(key)
        return self._put_scenario(key, body)

    def send(self, body: Json) -> Json:
        """Accept or refuse each destination, and decide the course of the accepted ones."""
        now = self._clock.now()
        refuse_problems(send_problems(body, now))
        scenario = self._scenario_for(body.get("scenarioKey"))
        refuse_problems(self._destination_problems(body["destinations"], scenario))
        bulk_id = body.get("bulkId") or str(uuid.uuid4())
        destinations = body["destinations"]
        # The document shows the bulk id for several destinations only; reports always carry it.
        answer: Json = {"bulkId": bulk_id} if len(destinations) > 1 else {}
        answer["messages"] = [
            self._accept(destination, body, scenario, bulk_id, now) for destination in destinations
        ]
        return answer

    def take_reports(
        self, *, bulk_id: str | None, message_id: str | None, channel: str | None, limit: int
    ) -> Json:
        """Return the oldest reports that are ready and were not returned before."""
        self._collect_reports()
        page = islice(self._matching_reports(bulk_id, message_id, channel), limit)
        self._last_page = list(page)
        number = next(self._page_numbers)
        for report in self._last_page:
            del self._ready_reports[report.number]
            report.pages.append((number, None))
            # Faults spoil or repeat the page in the same call, so they are no further change.
            self._changes.note(report.message.message_id)
        return {"results": [_report_row(report, self.settings) for report in self._last_page]}

    def mark_spoiled(self, kind: str, positions: Iterable[int]) -> None:
        """Store the fault that spoiled these reports of the last page."""
        for position in positions:
            pages = self._last_page[position].pages
            pages[-1] = (pages[-1][0], kind)

    def repeat_last_page(self) -> None:
        """Make the next call return the last page of reports again."""
        for report in reversed(self._last_page):
            self._ready_reports[report.number] = report
            self._ready_reports.move_to_end(report.number, last=False)

    def search_logs(self, search: LogSearch) -> Json:
        """Return the newest rows that match, one for each attempt that has begun.

        A message with a future ``sendAt`` has no row yet; Infobip does not document whether it
        shows one.
        """
        now = self._clock.now()
        way, length = self.settings.log_lists, self.settings.log_list_length
        if len(search.message_ids) == 1:
            way = "all"
        ids = log_lists.ids_read(way, search.message_ids, length)
        rows = (
            _log_row(message, attempt, now, self.settings)
            for message in self._logged_messages(replace(search, message_ids=tuple(ids)))
            if message.accepted_at + self.settings.log_lag_seconds <= now
            for attempt in reversed(message.attempts)
            if now - _LOGS_REACH_BACK <= attempt.started_at <= now
            and search.matches(message, attempt, now)
        )
        newest = sorted(rows, key=lambda row: str(row["sentAt"]), reverse=True) if ids else rows
        found = list(islice(newest, search.limit))
        return {"results": log_lists.rows_returned(way, found, length)}

    def ledger(self, message_ids: Sequence[str], offset: int, limit: int) -> Json:
        """Return the true course of messages, independent of their reports.

        It contains all messages of *message_ids* or, without ids, at most *limit* messages from
        *offset* on.
        """
        now = self._clock.now()
        self._collect_reports()
        named = [one for one in message_ids if one in self._messages]
        page = islice(self._messages, offset, offset + limit)
        wanted = named if message_ids else page
        entries = [self._entry(one, now) for one in wanted]
        total = len(named if message_ids else self._messages)
        truncated = not message_ids and offset + len(entries) < total
        return {"messages": entries, "total": total, "truncated": truncated}

    def changes(self, after: int, limit: int) -> Json:
        """Return the true course of at most *limit* messages that changed after a change.

        A message changes when it is accepted, when a step of it starts or ends, when a report of it
        is handed out, pushed or spoiled, and when it is opened.
        """
        now = self._clock.now()
        self._collect_reports()
        page = self._changes.after(after, limit, now)
        return {
            "account": self._id,
            "cursor": page.cursor,
            "more": page.more,
            "now": now,
            "messages": [self._entry(one, now) for one in page.message_ids],
        }

    def totals(self) -> Json:
        """Return totals, with one final status group per message id."""
        now = self._clock.now()
        self._collect_reports()
        finals = (final_status(messages, now) for messages in self._messages.values())
        return {
            "acceptances": self.acceptances,
            "refusals": self.refusals,
            "messages": len(self._messages),
            "byFinal": Counter(final["groupName"] if final else "PENDING" for final in finals),
            "reportsPending": len(self._ready_reports)
            + len(self._coming_reports)
            + len(self.pushes),
        }

    def see(self, message_id: str) -> None:
        """Open now, as the recipient, what was delivered last of a message.

        A notifyUrl also gets a report, even of a step that has not delivered yet. Infobip reports
        this for channels that support it, without naming them.
        """
        now = self._clock.now()
        messages = self._messages.get(message_id, [])
        delivered = (one for one in reversed(messages) if one.delivery(now))
        message = next(delivered, messages[-1] if messages else None)
        delivery = message and message.delivery(now)
        if message is None or not (delivery or message.notify_url):
            raise bad_request(
                ("messageId", "names no message that was delivered or has a notifyUrl")
            )
        begun = (one for one in reversed(message.attempts) if one.started_at <= now)
        attempt = delivery or next(begun, None)
        if attempt is None:
            raise bad_request(("messageId", "names a message that is sent later"))
        if delivery:
            delivery.open(now)
            self._changes.note(message_id)
        self._schedule_seen_report(message, attempt, now)

    def _entry(self, message_id: str, now: float) -> Json:
        return ledger_entry(self._messages[message_id], now, self._ready_reports)

    def _put_scenario(self, key: str, body: Json) -> Json:
        refuse_problems(scenario_problems(body))
        # Infobip does not document whether a new default replaces the old one; this assumes so.
        if body.get("default"):
            for other in self._scenarios.values():
                other["default"] = False
        flow = [_without_none(channel=step["channel"]) | _sender(step) for step in body["flow"]]
        self._scenarios[key] = _without_none(key=key, name=body.get("name"), flow=flow) | {
            "default": bool(body.get("default"))
        }
        return self._scenarios[key]

    def _scenario_for(self, key: str | None) -> Json:
        """Return the scenario of a send.

        The document has no 404 for sends, so an unknown key is a 400, as is a missing default
        scenario.
        """
        if key is not None:
            scenario = self._scenarios.get(key)
        else:
            defaults = (one for one in self._scenarios.values() if one["default"])
            scenario = next(defaults, None)
        if scenario is None:
            raise bad_request(
                (
                    "scenarioKey",
                    "must be the key of a scenario, or absent if there is a default one",
                )
            )
        return scenario

    def _destination_problems(
        self, destinations: list[Json], scenario: Json
    ) -> Iterator[tuple[str, str]]:
        """Return why the whole request is refused, where a rule or a setting says so."""
        for index, destination in enumerate(destinations):
            to = _addresses(destination)
            path = f"destinations[{index}].to"
            rules = self.rules.of(to.values(), magic=False)
            if self.rules.refusal(rules) == BAD_REQUEST:
                yield f"{path}.{next(iter(to))}", "must be valid"
            if self.settings.missing_address == "refuse-request":
                for channel in dict.fromkeys(step["channel"] for step in scenario["flow"]):
                    if _address(channel, to) is None:
                        yield f"{path}.{_address_members(channel)[0]}", f"is required for {channel}"

    def _accept(
        self, destination: Json, body: Json, scenario: Json, bulk_id: str, now: float
    ) -> Json:
        message_id = destination.get("messageId") or str(uuid.uuid4())
        answer = {"to": destination["to"], "messageId": message_id}
        to = _addresses(destination)
        rules = self.rules.of(to.values(), magic=self.settings.magic_recipients)
        refusal = self.settings.refuse_all or self.rules.refusal(rules)
        # Infobip promises nothing about repeated ids, so callers must cope with both behaviours.
        if self._is_used(message_id) and self.settings.duplicate_ids == "refuse":
            refusal = "REJECTED_DUPLICATE_MESSAGE_ID"
        send_at = body.get("sendAt")
        start = now if send_at is None else max(now, parse_moment(send_at, "sendAt"))
        message = Message(
            message_id=message_id,
            bulk_id=bulk_id,
            scenario_key=scenario["key"],
            flow=[step["channel"] for step in scenario["flow"]],
            to=to,
            callback_data=body.get("callbackData"),
            accepted_at=now,
            notify_url=_notify_url(body),
            attempts=(
                _refused_attempts(scenario, to, now, refusal)
                if refusal
                else list(self._attempts(scenario, body, to, rules, start))
            ),
        )
        if refusal:
            self.refusals += 1
            self._refused.setdefault(message_id, []).append(message)
            if self.settings.refused_rows in {"reports", "both"}:
                self._schedule_reports(message)
            return answer | {"status": self.settings.written(STATUSES[refusal], "answers")}
        self.acceptances += 1
        self._messages.setdefault(message_id, []).append(message)
        self._bulks.setdefault(bulk_id, []).append(message)
        self._changes.note(message_id)
        coming = {each for attempt in message.attempts for each in attempt.moments() if each > now}
        self._changes.expect(message_id, coming)
        if body.get("notify") is not False:
            self._schedule_reports(message)
            if body.get("intermediateReport"):
                self._schedule_intermediate_reports(message)
            last = message.attempts[-1]
            if last.opened_at is not None:
                self._schedule_seen_report(message, last, last.opened_at)
        accepted = STATUSES[self.settings.accepted_status]
        return answer | {"status": self.settings.written(accepted, "answers")}

    def _is_used(self, message_id: str) -> bool:
        is_refused = message_id in self._refused and self.settings.refused_ids == "used"
        return message_id in self._messages or is_refused

    def _attempts(
        self, scenario: Json, body: Json, to: Json, rules: list[Rule], start: float
    ) -> Iterator[Attempt]:
        """Yield the steps of the flow until one delivers.

        The documents do not describe a step without content or address.
        Here it fails immediately, and the next step follows.
        """
        step_seconds = self.rules.seconds(rules, STEP_SECONDS)
        if step_seconds is None:
            step_seconds = self.settings.step_seconds
        opens_after = self.rules.seconds(rules, OPENS_AFTER_SECONDS)
        for step in scenario["flow"]:
            channel = step["channel"]
            content = body.get(CONTENT_MEMBERS[channel])
            address = _address(channel, to)
            seconds, expires_at = step_seconds, None
            if content is None:
                outcome, seconds = "UNDELIVERABLE_NOT_SENT", 0.0
            elif address is None:
                outcome, seconds = "MISSING_TO", 0.0
            else:
                outcome = rejection_of(
                    channel, content, self.settings.inbox_topics
                ) or self.rules.outcome(rules, channel)
                validity = self._validity(channel, content)
                expires_at = start + validity
                if outcome == SILENT or seconds >= validity:
                    outcome, seconds = "EXPIRED_EXPIRED", validity
            attempt = Attempt(
                channel=channel,
                sender=step.get("from"),
                to=address,
                content=content,
                started_at=start,
                ended_at=start + seconds,
                outcome=outcome,
                message_count=sms_parts(content) if content and channel == "SMS" else 1,
                expires_at=expires_at,
            )
            is_delivered = attempt.is_delivered(attempt.ended_at)
            if is_delivered and opens_after is not None:
                attempt.open(attempt.ended_at + opens_after)
            yield attempt
            if is_delivered:
                return
            start = attempt.ended_at

    def _validity(self, channel: str, content: Json) -> float:
        named = validity_seconds(content)
        longest = 14 * DAY if channel == "VIBER" else _LONGEST_VALIDITY
        return self.settings.default_validity_seconds if named is None else min(named, longest)

    def _schedule_reports(self, message: Message) -> None:
        first = 0 if self.settings.intermediate_step_reports else -1
        for attempt in message.attempts[first:]:
            report = Report(next(self._report_numbers), message, attempt)
            message.reports.append(report)
            ready_at = attempt.ended_at + self.settings.report_delay_seconds
            if message.notify_url is not None:
                row = _report_row(report, self.settings)
                delivered = partial(self._count_push, report)
                self.pushes.add(ready_at, Push(message.notify_url, [row], (delivered,)))
            if message.notify_url is None or self.settings.pushed_reports == "both":
                heapq.heappush(self._coming_reports, (ready_at, report.number, report))

    def _count_push(self, report: Report) -> None:
        report.pushes += 1
        self._changes.note(report.message.message_id)

    def _schedule_seen_report(self, message: Message, attempt: Attempt, seen_at: float) -> None:
        if message.notify_url is None:
            return
        row = _without_none(
            messageId=message.message_id,
            to=attempt.to,
            sendAt=timestamp(attempt.started_at),
            seenAt=timestamp(seen_at),
            contact=_contact(attempt, message),
        ) | _sender({"from": attempt.sender})
        self.pushes.add(seen_at, Push(message.notify_url, [row]))

    def _schedule_intermediate_reports(self, message: Message) -> None:
        """Schedule a push when a step starts; Infobip does not say which reports are pushed."""
        begun = [each for each in message.attempts if each.started_at < each.ended_at]
        for attempt in begun if message.notify_url else ():
            status = self.settings.written(STATUSES["PENDING_ENROUTE"], "reports")
            row = _row(message, attempt, attempt.started_at, status) | _without_none(
                callbackData=message.callback_data, contact=_contact(attempt, message)
            )
            self.pushes.add(attempt.started_at, Push(str(message.notify_url), [row]))

    def _collect_reports(self) -> None:
        now = self._clock.now()
        while self._coming_reports and self._coming_reports[0][0] <= now:
            _, number, report = heapq.heappop(self._coming_reports)
            self._ready_reports[number] = report

    def _matching_reports(
        self, bulk_id: str | None, message_id: str | None, channel: str | None
    ) -> Iterator[Report]:
        candidates: Iterable[Report] = self._ready_reports.values()
        if message_id is not None or bulk_id is not None:
            messages = (
                self._messages.get(message_id, [])
                if message_id is not None
                else self._bulks.get(str(bulk_id), [])
            )
            candidates = (report for message in messages for report in message.reports)
        return (
            report
            for report in candidates
            if report.number in self._ready_reports
            and bulk_id in (None, report.message.bulk_id)
            and channel in (None, report.attempt.channel)
        )

    def _logged_messages(self, search: LogSearch) -> Iterator[Message]:
        """Return the messages that can match, refused ones first where they have log rows."""
        if self.settings.refused_rows in {"logs", "both"}:
            wanted = search.message_ids or tuple(self._refused)
            yield from (each for one in wanted for each in self._refused.get(one, []))
        yield from self._searched_messages(search)

    def _searched_messages(self, search: LogSearch) -> Iterator[Message]:
        """Return the messages that can match, as few as the index allows, newest first."""
        if search.message_ids or not search.bulk_ids:
            index, wanted = self._messages, reversed(search.message_ids or self._messages)
        else:
            index, wanted = self._bulks, reversed(search.bulk_ids)
        return (message for one in wanted for message in reversed(index.get(one, [])))


def _refused_attempts(scenario: Json, to: Json, now: float, refusal: str) -> list[Attempt]:
    """Return an attempt for each step of the flow, since no document says which is reported."""
    return [
        Attempt(
            channel=step["channel"],
            sender=step.get("from"),
            to=next(iter(to.values()), None),
            content=None,
            started_at=now,
            ended_at=now,
            outcome=refusal,
        )
        for step in scenario["flow"]
    ]


def _notify_url(body: Json) -> str | None:
    """Return the URL for pushed reports, or None; the simulator does not push XML."""
    wanted = body.get("notify") is not False and body.get("notifyContentType") != "application/xml"
    return body.get("notifyUrl") if wanted else None


def _address_members(channel: str) -> tuple[str, ...]:
    return _CHANNEL_ADDRESSES.get(channel, ("phoneNumber",))


def _address(channel: str, to: Json) -> str | None:
    """Return the address that a channel uses; None if the destination has none for it."""
    return next((to[member] for member in _address_members(channel) if member in to), None)


def _addresses(destination: Json) -> Json:
    to = destination["to"]
    return {
        member: to[member]
        for member in ADDRESS_MEMBERS
        if isinstance(to.get(member), str) and to[member]
    }


def _report_row(report: Report, settings: Settings) -> Json:
    message, attempt = report.message, report.attempt
    status = settings.written(STATUSES[attempt.outcome], "reports")
    return _row(message, attempt, attempt.ended_at, status) | _without_none(
        error=settings.written(error_of(attempt.outcome), "reports"),
        callbackData=message.callback_data,
        contact=_contact(attempt, message),
    )


def _log_row(message: Message, attempt: Attempt, now: float, settings: Settings) -> Json:
    row = _row(message, attempt, now, settings.written(attempt.status(now), "logs"))
    return row | _without_none(text=attempt.text) | _sender({"from": attempt.sender})


def _row(message: Message, attempt: Attempt, now: float, status: Json) -> Json:
    """Return the members that reports and log rows have in common."""
    return _without_none(
        bulkId=message.bulk_id,
        messageId=message.message_id,
        to=attempt.to,
        sentAt=timestamp(attempt.started_at),
        doneAt=timestamp(attempt.ended_at) if attempt.ended_at <= now else None,
        messageCount=attempt.message_count,
        mccMnc=_MCC + _MNC,
        price=attempt.price,
        status=status,
        channel=attempt.channel,
    )


def _contact(attempt: Attempt, message: Message) -> Json | None:
    """Return the contact of a report for WhatsApp; the name is invented, and some members null."""
    if attempt.channel != "WHATSAPP":
        return None
    return {
        "name": "Ada",
        "phoneNumber": message.to.get("phoneNumber"),
        "userId": message.to.get("whatsAppUserId"),
        "parentUserId": None,
        "username": None,
    }


def _sender(holder: Mapping[str, str | None]) -> Json:
    # "from" is a keyword of Python, so it cannot be the name of an argument.
    sender = holder.get("from")
    return {} if sender is None else {"from": sender}


def _without_none(**members: object) -> Json:
    return {name: value for name, value in members.items() if value is not None}
