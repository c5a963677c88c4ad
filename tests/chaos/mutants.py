"""Systems that must fail the checks: each lacks one guard, to show that the guard matters.

A mutation is applied inside the worker pool, before it makes the functions' dependencies.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from functions.receive_delivery_report import app as receive_app
from functions.reconcile_messages import app as reconcile_app
from functions.send_message import app as send_app
from infobip_omni import delivery_reports, transitions
from infobip_omni.api.client import LogPage
from infobip_omni.api.errors import OmniError
from infobip_omni.api.sends import AdvancedRequest, Destination
from infobip_omni.delivery_reports import DeliveryReports, Page
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import SendEvent
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
    from infobip_omni.message import Message
    from infobip_omni.transitions import AttemptResult, Claim, Lease, Periods
    from infobip_omni.verdicts import Verdict


def consume_naively() -> None:
    """Keep no ledger: post, acknowledge when that worked, else let the record come again."""

    def post(record: dict[str, Any]) -> None:
        use = send_app.dependencies()
        event = SendEvent.parse(record["body"], record["messageId"], utc_now())
        scenario = event.body.scenario and use.scenarios.find(event.body.scenario)
        destinations = tuple(
            Destination(message_id=message.message_id, to=message.recipient)
            for message in event.messages
        )
        use.client.send_advanced(
            AdvancedRequest.of(
                event.body,
                scenario_key=scenario.key if scenario else event.body.scenario_key,
                bulk_id=event.body.bulk_id,
                notify_url=event.body.notify_url,
                notify_content_type=event.body.notify_content_type,
                destinations=destinations,
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
    """Write every claim over whatever is there."""

    def overwrite(claim: Claim, lease: Lease, found: Message, periods: Periods) -> Write:
        update = transitions.taken_over(claim, lease, found, periods)
        own = ClaimStatus(MessageState.CLAIMED, token=lease.token)
        return Write(replace(update, expected=()), own, own)

    _replace(transitions, "meet", overwrite)


def claim_after_lease() -> None:
    """Take a claim whose lease has run out for one whose holder has not posted."""

    def waiting(message: Message, now: datetime, _: timedelta) -> Update:
        return transitions.sent_again(message, now)

    _replace(transitions, "lease_expired", waiting)


def resend_blindly() -> None:
    """Take a missing answer for a request that was not processed."""
    save = MessageLedger.save

    def hopeful(ledger: MessageLedger, outcomes: Sequence[AttemptResult]) -> list[ClaimStatus]:
        unknown = MessageState.UNKNOWN
        return save(
            ledger,
            [
                replace(each, state=MessageState.WAITING) if each.state is unknown else each
                for each in outcomes
            ],
        )

    _replace(MessageLedger, "save", hopeful)


def send_again_without_asking() -> None:
    """Hold a message for unknown to Infobip without a look at the logs."""

    def answer(messages: Sequence[Message], *_: object) -> Iterator[tuple[list[Message], LogPage]]:
        yield [one for one in messages if one.state is MessageState.UNKNOWN], LogPage([])

    _replace(reconcile_app, "query_logs", answer)


def acknowledge_always() -> None:
    """Let no record come round again."""
    _answer_always(send_app, {"batchItemFailures": []})


def log_events() -> None:
    """Write the records into the log."""
    handler = send_app.lambda_handler

    def talkative(event: dict[str, Any], context: Any) -> object:  # noqa: ANN401
        logger.info("records received", extra={"records": json.dumps(event)})
        return handler(event, context)

    _replace(send_app, "lambda_handler", talkative)


def keep_no_raw_page() -> None:
    """Record reports from memory: what has come is nowhere until then."""

    def store(_: object, body: bytes) -> Page:
        return Page(body, ())

    _replace(DeliveryReports, "store_page", store)


def believe_no_logs() -> None:
    """Learn no verdict from the logs: a message whose report got lost stays accepted."""
    decide = reconcile_app.decide

    def incredulous(*arguments: Any) -> Any:  # noqa: ANN401 (passed through)
        decisions = decide(*arguments)
        by_id = {message.id: message for message in arguments[0]}
        told = [by_id[message_id] for message_id in decisions.verdicts]
        undecided = [message for message, _ in decisions.undecided]
        known = [one for one in (*told, *undecided) if one.state is not MessageState.UNKNOWN]
        return replace(
            decisions,
            verdicts={},
            rows=[],
            accepted=[*decisions.accepted, *(one for one in told if one not in known)],
            unresolved=[*decisions.unresolved, *known],
            undecided=[each for each in decisions.undecided if each[0] not in known],
        )

    _replace(reconcile_app, "decide", incredulous)


def let_the_last_report_win() -> None:
    """Take the report that comes last for the verdict, whatever step it is of."""

    def last(report: DeliveryReport, last_step: str | None) -> Verdict | None:
        verdict = verdict_of(report, last_step=report.channel or last_step)
        return verdict and replace(verdict, rank=f"{time.time_ns():020d}")

    _replace(delivery_reports, "verdict_of", last)


def answer_every_call() -> None:
    """Tell Infobip that all is well before the table says so."""
    _answer_always(receive_app, {"statusCode": 200})


def _answer_always(app: ModuleType, answer: dict[str, Any]) -> None:
    handler = app.lambda_handler

    def careless(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
        handler(event, context)
        return answer

    _replace(app, "lambda_handler", careless)


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


#: What keeps Infobip from saving a system: repeated ids are taken, and reports come late.
_NO_RESCUE = {"duplicateIds": "send-twice", "reportDelaySeconds": 30.0}
#: Reports come while there are faults, those of all steps of a message together; the logs know a
#: step soon, also one that no report tells of.
_PROMPT = {
    "reportDelaySeconds": 0.2,
    "stepSeconds": 0.05,
    "intermediateStepReports": True,
    "defaultValiditySeconds": 1.0,
    "logLagSeconds": 0.0,
}
#: How often each fault that a mutant is found out by is placed in a round.
_TIMES = 3
#: The messages of a killed run are at Infobip, and the table does not say so.
_KILLS_AFTER_POST = ((SEND, Fault(KILL, "after post")),) * _TIMES
#: A quarter of the messages must arrive: so many requests hold some.
_REQUESTS_WITH_MUST_ARRIVE = 20


@dataclass(frozen=True, slots=True)
class Mutant:
    """A system that lacks a guard, and the promise that it breaks."""

    #: Takes the guard out of the code of this process.
    mutate: Callable[[], None]
    promise: str
    #: How Infobip behaves all the time.
    settings: dict[str, Any] = field(default_factory=dict)
    #: The faults that runs of which functions get first in each round, so that the guard is needed.
    faults: tuple[tuple[str, Fault], ...] = ()
    #: Faults of Infobip in each round: the operation, the kind, and of how many calls; 0 is all.
    infobip_faults: tuple[tuple[str, str, int], ...] = ()


SOUND = Mutant(mutate=lambda: None, promise="")
MUTANTS = {
    "naive-consumer": Mutant(consume_naively, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "unconditional-claim": Mutant(claim_unconditionally, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "claim-after-lease": Mutant(claim_after_lease, "P1", _NO_RESCUE, _KILLS_AFTER_POST),
    "blind-resend": Mutant(
        resend_blindly,
        "P1",
        _NO_RESCUE,
        infobip_faults=(("send_advanced", "reset_after", _TIMES),),
    ),
    "no-question": Mutant(
        send_again_without_asking,
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
        keep_no_raw_page,
        "P3",
        _PROMPT,
        ((PULL, Fault(KILL, "after page store")),) * _TIMES,
    ),
    "no-logs": Mutant(
        believe_no_logs, "P3", _PROMPT, ((PULL, Fault(KILL, "after page")),) * _TIMES
    ),
    "last-report-wins": Mutant(
        let_the_last_report_win,
        "P3",
        _PROMPT,
        infobip_faults=(("take_reports", "shuffle_reports", 0),),
    ),
    "hasty-webhook": Mutant(
        answer_every_call,
        "P3",
        _PROMPT | {"pushedReports": "push-only"},
        ((RECEIVE, Fault(TABLE_THROTTLES, times=100)),) * _TIMES,
    ),
    "logged-events": Mutant(log_events, "P5", _NO_RESCUE),
}
