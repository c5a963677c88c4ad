"""Mutants: systems that each lack one guard and must fail the checks, so the guard is needed.

A mutation is applied in the worker pool, before it builds the functions' dependencies.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from functions.receive_delivery_report import app as receive_app
from functions.reconcile_messages import app as reconcile_app
from functions.reconcile_messages.app import Decisions
from functions.send_message import app as send_app
from infobip_omni import delivery_reports, transitions
from infobip_omni.api.client import LogPage
from infobip_omni.api.errors import OmniError
from infobip_omni.api.sends import AdvancedRequest, Destination
from infobip_omni.delivery_reports import DeliveryReports, Page
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent
from infobip_omni.log_queries import LogQueries
from infobip_omni.message import MessageState
from infobip_omni.message_ledger import MessageLedger
from infobip_omni.observability import logger
from infobip_omni.timestamps import utc_now
from infobip_omni.transitions import ClaimStatus, Write
from infobip_omni.verdicts import verdict_of

from .faults import KILL, PULL, RECEIVE, SEND, TABLE_THROTTLES, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta
    from types import ModuleType

    from infobip_omni.api.reports import DeliveryReport
    from infobip_omni.dynamodb import Update
    from infobip_omni.log_queries import Group
    from infobip_omni.message import Message
    from infobip_omni.transitions import AttemptResult, Claim, Lease, Periods
    from infobip_omni.verdicts import Verdict


def consume_without_ledger() -> None:
    """Use no ledger: post, acknowledge if that worked, and otherwise fail the record."""

    def post(record: dict[str, Any]) -> None:
        deps = send_app.dependencies()
        event = SendEvent.parse(record["body"], record["messageId"], utc_now())
        scenario = event.body.scenario and deps.scenarios.find(event.body.scenario)
        destinations = tuple(
            Destination(message_id=message.message_id, to=message.recipient)
            for message in event.messages
        )
        deps.client.send_advanced(
            AdvancedRequest(
                destinations,
                event.content,
                scenario_key=scenario.key if scenario else event.body.scenario_key,
                bulk_id=event.body.bulk_id,
            )
        )

    def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
        failed = []
        for record in event["Records"]:
            try:
                post(record)
            except OmniError:
                failed.append({"itemIdentifier": record["messageId"]})
            except InvalidEventError:
                continue
        return {"batchItemFailures": failed}

    _replace(send_app, "lambda_handler", handler)


def claim_unconditionally() -> None:
    """Overwrite any item with the claim."""

    def overwrite(claim: Claim, lease: Lease, found: Message, periods: Periods) -> Write:
        update = transitions.taken_over(claim, lease, found, periods)
        own = ClaimStatus(MessageState.CLAIMED, token=lease.token)
        return Write(replace(update, expected=()), own, own)

    _replace(transitions, "meet", overwrite)


def claim_after_lease() -> None:
    """Treat a message whose lease has expired as not sent."""

    def waiting(message: Message, now: datetime, _: timedelta) -> Update:
        return transitions.sent_again(message, now)

    _replace(transitions, "lease_expired", waiting)


def resend_blindly() -> None:
    """Treat a request without a response as not processed."""
    save = MessageLedger.save

    def save_as_waiting(
        ledger: MessageLedger, results: Sequence[AttemptResult]
    ) -> list[ClaimStatus]:
        unknown = MessageState.UNKNOWN
        return save(
            ledger,
            [
                replace(each, state=MessageState.WAITING) if each.state is unknown else each
                for each in results
            ],
        )

    _replace(MessageLedger, "save", save_as_waiting)


def resend_without_log_query() -> None:
    """Treat a message as absent at Infobip without a log query."""

    def answer_nothing(_: LogQueries, groups: Iterator[Group]) -> Iterator[tuple[Group, LogPage]]:
        for group in groups:
            yield group, LogPage([])

    def give_up(group: Group, *_: object) -> Decisions:
        unknown = [each for each in group.messages if each.state is MessageState.UNKNOWN]
        return Decisions(given_up=unknown)

    _replace(LogQueries, "answers", answer_nothing)
    _replace(reconcile_app, "decide", give_up)


def acknowledge_always() -> None:
    """Acknowledge every record, including failed ones."""
    _answer_always(send_app, {"batchItemFailures": []})


def log_events() -> None:
    """Log the records."""
    handler = send_app.lambda_handler

    def log_and_handle(event: dict[str, Any], context: Any) -> object:  # noqa: ANN401
        logger.info("records received", extra={"records": json.dumps(event)})
        return handler(event, context)

    _replace(send_app, "lambda_handler", log_and_handle)


def store_no_raw_page() -> None:
    """Record reports from memory only, without storing the page before."""

    def skip(_: object, body: bytes) -> Page:
        return Page(body, ())

    _replace(DeliveryReports, "store_page", skip)


def ignore_verdicts_of_logs() -> None:
    """Ignore the verdicts of the logs: a message whose report was lost stays accepted."""
    decide = reconcile_app.decide

    def decide_without_verdicts(*arguments: Any) -> Any:  # noqa: ANN401 (passed through)
        decisions = decide(*arguments)
        by_id = {message.id: message for message in arguments[0].messages}
        with_verdict = [by_id[message_id] for message_id in decisions.verdicts]
        undecided = [message for message, _ in decisions.undecided]
        found = (*with_verdict, *undecided)
        known = [one for one in found if one.state is not MessageState.UNKNOWN]
        return replace(
            decisions,
            verdicts={},
            rows=[],
            accepted=[*decisions.accepted, *(one for one in with_verdict if one not in known)],
            unresolved=[*decisions.unresolved, *known],
            undecided=[each for each in decisions.undecided if each[0] not in known],
        )

    _replace(reconcile_app, "decide", decide_without_verdicts)


def prefer_last_report() -> None:
    """Use the last report received as the verdict, regardless of its step."""
    ranks: dict[str, str] = {}

    def verdict_of_last(report: DeliveryReport, last_step: str | None) -> Verdict | None:
        verdict = verdict_of(report, last_step=report.channel or last_step)
        # A report that is judged twice keeps its rank, or its message would be settled endlessly.
        rank = ranks.setdefault(report.model_dump_json(), f"{time.time_ns():020d}")
        return verdict and replace(verdict, rank=rank)

    _replace(delivery_reports, "verdict_of", verdict_of_last)


def confirm_every_call() -> None:
    """Answer every webhook call with 200, even if the report was not recorded."""
    _answer_always(receive_app, {"statusCode": 200})


def _answer_always(app: ModuleType, answer: dict[str, Any]) -> None:
    handler = app.lambda_handler

    def handle_and_answer(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
        handler(event, context)
        return answer

    _replace(app, "lambda_handler", handle_and_answer)


def _replace(owner: object, name: str, value: object) -> None:
    if not hasattr(owner, name):  # a new attribute would leave the guard in place
        raise AttributeError(f"{owner!r} has no {name!r} to replace")
    setattr(owner, name, value)


#: Infobip does not make up for a missing guard: it accepts repeated ids, and reports come late.
_NO_RESCUE = {"duplicateIds": "send-twice", "reportDelaySeconds": 30.0}
#: Reports come while faults are injected, those of all steps of a message together. The logs soon
#: have each step, even if its report is lost.
_PROMPT = {
    "reportDelaySeconds": 0.2,
    "stepSeconds": 0.05,
    "intermediateStepReports": True,
    "defaultValiditySeconds": 1.0,
    "logLagSeconds": 0.0,
}
#: How often a round injects each fault that needs the missing guard.
_TIMES = 3
#: Infobip has the messages of a run killed here, but the table does not show it.
_KILLS_AFTER_POST = ((SEND, Fault(KILL, "after post")),) * _TIMES
#: A quarter of the events has the policy must-arrive, so this many requests include some.
_REQUESTS_WITH_MUST_ARRIVE = 20


@dataclass(frozen=True, slots=True)
class Mutant:
    """A system that lacks a guard."""

    #: Removes the guard from the code of this process.
    mutate: Callable[[], None]
    #: The promise that the system breaks without the guard.
    promise: str
    #: The simulator settings that apply throughout the run.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Faults that need the guard, with their functions; the first runs of each round get them.
    faults: tuple[tuple[str, Fault], ...] = ()
    #: Faults of Infobip in each round: operation, kind, and the number of calls; 0 means all calls.
    infobip_faults: tuple[tuple[str, str, int], ...] = ()


ORIGINAL = Mutant(mutate=lambda: None, promise="")
MUTANTS = {
    "naive-consumer": Mutant(consume_without_ledger, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "unconditional-claim": Mutant(claim_unconditionally, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "claim-after-lease": Mutant(claim_after_lease, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "blind-resend": Mutant(
        resend_blindly,
        "P1",
        _NO_RESCUE,
        infobip_faults=(("send_advanced", "reset_after", _TIMES),),
    ),
    "no-log-query": Mutant(
        resend_without_log_query,
        "P1",
        _NO_RESCUE,
        infobip_faults=(("send_advanced", "reset_after", _REQUESTS_WITH_MUST_ARRIVE),),
    ),
    "acknowledge-always": Mutant(
        acknowledge_always,
        "P2",
        _NO_RESCUE,
        ((SEND, Fault(TABLE_THROTTLES, times=100)),) * _TIMES,
    ),
    "no-raw-page": Mutant(
        store_no_raw_page,
        "P3",
        _PROMPT,
        ((PULL, Fault(KILL, "after page store")),) * _TIMES,
    ),
    "no-logs": Mutant(
        ignore_verdicts_of_logs, "P3", _PROMPT, ((PULL, Fault(KILL, "after page")),) * _TIMES
    ),
    "last-report-wins": Mutant(
        prefer_last_report,
        "P3",
        _PROMPT,
        infobip_faults=(("take_reports", "shuffle_reports", 0),),
    ),
    "hasty-webhook": Mutant(
        confirm_every_call,
        "P3",
        _PROMPT | {"pushedReports": "push-only"},
        ((RECEIVE, Fault(TABLE_THROTTLES, times=100)),) * _TIMES,
    ),
    "logged-events": Mutant(log_events, "P5", _NO_RESCUE),
}
