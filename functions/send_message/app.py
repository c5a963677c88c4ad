"""Sends the messages of the send queue, each at most once.

A batch is one pipeline: read, resolve, claim, post, save, settle. The order of the durable steps
keeps a message from being sent twice or forgotten, wherever the run is killed:

1. The claim is written. If the run is killed before, nothing has happened. If it is killed after,
   the lease expires, and the next function to read the message writes UNKNOWN, because the
   request may have been sent.
2. The request is sent, once.
3. The outcome is written: ACCEPTED, REJECTED, WAITING (known not to be processed) or UNKNOWN. If
   the run is killed before, the lease expires as in step 1.
4. A record that can never be sent, or that needs an operator, is put into the dead-letter queue.
5. The record is acknowledged if each of its messages has a verdict; otherwise SQS redelivers it.
   If the run is killed before, SQS redelivers the record, and the next run finds the verdicts.

While Infobip refuses everything from the account or from a scenario, until a person acts, one
message after each backoff finds out whether it still does; the others wait.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from infobip_omni import transitions
from infobip_omni.api.channels import CONTENT_MODELS, Channel
from infobip_omni.api.client import LONGEST_CALL_SECONDS
from infobip_omni.api.errors import (
    NotProcessedError,
    OutcomeUnknownError,
    RequestRejectedError,
)
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.circuit_breaker import CircuitBreaker, CircuitBreakers
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.events.dead_letter import DeadLetterReason
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.infobip_client import open_client
from infobip_omni.message import MessageState
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.observability import count, logger, metrics, observed, time_left
from infobip_omni.outbound_requests import (
    refusal_text,
    refusals,
    requested_waits,
    requests_of,
)
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.queued_events import (
    Pending,
    Postponed,
    Refused,
    disposition_of,
    read_event,
    want,
)
from infobip_omni.scenario_registry import ScenarioRegistry, checked
from infobip_omni.send_queue import DeadLetter, Record, Retry, SendQueue
from infobip_omni.settings import SendMessageSettings
from infobip_omni.statuses import Scope
from infobip_omni.timestamps import utc_now
from infobip_omni.verdicts import SendAnswer, not_processed, request_rejected
from infobip_omni.webhook import Webhook, parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient
    from infobip_omni.events.send_message import OnUnknown
    from infobip_omni.message import RefusedRecord
    from infobip_omni.outbound_requests import AnsweredMessage, OutboundRequest
    from infobip_omni.queued_events import Claimed, QueuedEvent
    from infobip_omni.scenario_registry import RegisteredScenario
    from infobip_omni.transitions import ClaimStatus

# Contents are built on first use. While it starts a function, Lambda gives it a whole processor.
for _channel in (Channel.PUSH, Channel.SMS):
    CONTENT_MODELS[_channel].model_rebuild()

CONCURRENT_REQUESTS = 10
#: The calls by which one run divides a refused request. One faulty destination of a hundred takes
#: 15 calls, and a hundred of them take 199: then the rest is divided in the next runs.
MOST_CALLS_PER_REQUEST = 64
#: How much longer than a call a lease must last.
_LEASE_MARGIN_SECONDS = 5.0
#: The time that a run usually needs to send one request and to write the outcome.
_SECONDS_TO_FINISH = 15.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The lease of a claim, and the default for unknown outcomes."""

    lease: timedelta
    on_unknown: OnUnknown


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients and settings shared by all invocations of one execution environment."""

    client: OmniClient
    scenarios: ScenarioRegistry
    ledger: MessageLedger
    queue: SendQueue
    #: For everything that is sent.
    breaker: CircuitBreaker
    policy: Policy
    #: The webhook that Infobip calls with delivery reports, if it is enabled.
    webhook: Webhook | None = None
    #: For what is sent by a scenario, by its key: its sender may be refused.
    scenario_breakers: CircuitBreakers = field(default_factory=CircuitBreakers)

    def circuits_of(self, scenario_key: str | None) -> tuple[CircuitBreaker, CircuitBreaker]:
        """Return the circuit of a scenario, and that of everything."""
        return self.scenario_breakers.of(scenario_key or ""), self.breaker


def send_messages(
    records: Sequence[Record], deps: Dependencies, seconds_left: Callable[[], float]
) -> list[Record]:
    """Send the messages of a batch.

    Args:
        records: The batch.
        deps: Infobip, the scenarios, the ledger and the queues.
        seconds_left: Returns how many seconds the run has left.

    Returns:
        The records that have to be redelivered.
    """
    batch = [read_event(record, utc_now()) for record in records]
    resolved = _resolve(batch, deps)
    lease_ends = time.monotonic() + deps.policy.lease.total_seconds()
    claimed = _claim(resolved, deps)

    def has_time() -> bool:
        lease_left = lease_ends - time.monotonic()
        lease_lasts = lease_left >= LONGEST_CALL_SECONDS + _LEASE_MARGIN_SECONDS
        return lease_lasts and seconds_left() >= _SECONDS_TO_FINISH

    answered = _post(requests_of(claimed.messages), deps, has_time)
    claim_statuses = claimed.claim_statuses | _save(answered, deps.ledger)
    return _settle(claimed.batch, claim_statuses, answered, deps)


# --- Resolve ---------------------------------------------------------------------------------


def _resolve(batch: Iterable[QueuedEvent], deps: Dependencies) -> list[QueuedEvent]:
    """Find the scenarios; while the circuit is open, postpone every event instead."""
    backoff_seconds = deps.breaker.retry_in_seconds()
    return [
        _resolved(queued, backoff_seconds, deps) if isinstance(queued, Pending) else queued
        for queued in batch
    ]


def _resolved(pending: Pending, backoff_seconds: float, deps: Dependencies) -> QueuedEvent:
    if backoff_seconds:
        return Postponed(pending.record, pending.event, backoff_seconds)
    try:
        resolved = replace(pending, scenario=_scenario(pending, deps.scenarios))
    except InvalidEventError as error:
        return Refused.invalid(pending.record, error)
    except ParameterUnavailableError as error:
        logger.warning("the scenario cannot be looked up", reason=str(error))
        return Postponed(pending.record, pending.event)
    circuit, _ = deps.circuits_of(resolved.scenario_key)
    if backoff_seconds := circuit.retry_in_seconds():
        return Postponed(pending.record, pending.event, backoff_seconds)
    return resolved


def _scenario(pending: Pending, scenarios: ScenarioRegistry) -> RegisteredScenario | None:
    """Return the registered scenario that an event names; None if it names none."""
    event, name = pending.event, pending.event.body.scenario
    if name is None:
        return None
    try:
        return checked(event, scenarios.find(name))
    except InvalidEventError:
        # The scenario may have been registered or updated since it was last read.
        return checked(event, scenarios.find_before_refusal(name, pending.record.sent_at))


# --- Claim -----------------------------------------------------------------------------------


def _claim(batch: Sequence[QueuedEvent], deps: Dependencies) -> Claimed:
    """Claim every message once, even if several records hold it, and refuse conflicts.

    A record is refused if one of its ids is already used for another message. If an earlier record
    of the batch uses it, nothing is claimed; if the table has it, the record's claims are released.
    """
    wanted = want(batch, deps.policy.on_unknown)
    found = deps.ledger.claim(list(wanted.claims.values()), deps.policy.lease)
    claimed = wanted.claimed(found)
    for message_id, claim_status in claimed.claim_statuses.items():
        if claim_status.unreadable:
            logger.error("a message cannot be read", message_id=message_id)
    deps.ledger.save(claimed.given_back)
    return claimed


# --- Post ------------------------------------------------------------------------------------


class _CallLimit:
    """Limits the calls of a request and of the parts that it is divided into."""

    def __init__(self, has_time: Callable[[], bool]) -> None:
        self._has_time = has_time
        self._left = MOST_CALLS_PER_REQUEST

    def allows_call(self) -> bool:
        """Return whether there is time for another call, and the limit is not reached."""
        return self._left > 0 and self._has_time()

    def count_call(self) -> None:
        self._left -= 1


def _post(
    requests: Sequence[OutboundRequest], deps: Dependencies, has_time: Callable[[], bool]
) -> list[AnsweredMessage]:
    def post(request: OutboundRequest) -> list[AnsweredMessage]:
        return _post_one(request, deps, _CallLimit(has_time))

    if len(requests) <= 1:
        return [answered for request in requests for answered in post(request)]
    with ThreadPoolExecutor(min(len(requests), CONCURRENT_REQUESTS)) as pool:
        return [answered for result in pool.map(post, requests) for answered in result]


def _post_one(
    request: OutboundRequest, deps: Dependencies, limit: _CallLimit
) -> list[AnsweredMessage]:
    """Send one request if its limit and its circuits allow it; return each message's state."""
    if not limit.allows_call():
        return request.all_are(SendAnswer(MessageState.WAITING))
    circuits = deps.circuits_of(request.scenario_key)
    if len(request.messages) > 1 and any(circuit.is_open for circuit in circuits):
        # One message is enough to find out whether Infobip still refuses them.
        return _post_parts(request.with_first_alone(), deps, limit)
    if not _are_closed(circuits):
        cause = next((circuit.cause for circuit in circuits if circuit.cause), None)
        return request.all_are(SendAnswer(MessageState.WAITING, status=cause))
    return _send(request, deps, circuits, limit)


def _post_parts(
    parts: Iterable[OutboundRequest], deps: Dependencies, limit: _CallLimit
) -> list[AnsweredMessage]:
    return [answered for part in parts for answered in _post_one(part, deps, limit)]


def _send(
    request: OutboundRequest,
    deps: Dependencies,
    circuits: tuple[CircuitBreaker, CircuitBreaker],
    limit: _CallLimit,
) -> list[AnsweredMessage]:
    """Send one request, once, and return the state of each of its messages.

    Infobip refuses a request whole, even if only one of its destinations is faulty. Nothing was
    sent then, so the request is divided until only the faulty destinations are refused. No answer
    shows that all destinations are faulty, because even a rule of the content may hold for the
    destinations of one country only.
    """
    limit.count_call()
    try:
        response = deps.client.send_advanced(request.body(deps.webhook))
    except RequestRejectedError as error:
        for circuit in circuits:
            circuit.succeeded()
        if len(request.messages) > 1:
            return _post_parts(request.halves(), deps, limit)
        message_id = request.messages[0].claim.message_id
        logger.warning("a message was refused", message_id=message_id, reason=str(error))
        return request.all_are(request_rejected(error))
    except (NotProcessedError, OutcomeUnknownError, ParameterUnavailableError) as error:
        circuits[0].not_called()
        return request.all_are(_unanswered(error, deps.breaker))
    answered = request.answered(response)
    _note_refusals([each.answer for each in answered], circuits)
    return answered


def _are_closed(circuits: Sequence[CircuitBreaker]) -> bool:
    """Return whether all circuits allow the request; if one does not, it is none's probe."""
    for number, circuit in enumerate(circuits):
        if not circuit.allow_request():
            for other in circuits[:number]:
                other.not_called()
            return False
    return True


def _note_refusals(
    answers: Iterable[SendAnswer], circuits: tuple[CircuitBreaker, CircuitBreaker]
) -> None:
    """Open the circuit of what Infobip refuses until a person acts; close the others."""
    refused = {
        answer.refusal.scope: answer.status for answer in answers if answer.refusal is not None
    }
    for scope, circuit in zip((Scope.SCENARIO, Scope.ACCOUNT), circuits, strict=True):
        if scope in refused:
            circuit.refused(refused[scope])
        else:
            circuit.succeeded()


def _unanswered(
    error: NotProcessedError | OutcomeUnknownError | ParameterUnavailableError,
    breaker: CircuitBreaker,
) -> SendAnswer:
    """Return the state of messages whose request got no conclusive answer; update the breaker."""
    if isinstance(error, OutcomeUnknownError):
        breaker.failed()
        logger.warning("the outcome of a request is unknown", reason=str(error))
        return SendAnswer(MessageState.UNKNOWN)
    logger.warning("a request was not processed", reason=str(error))
    if isinstance(error, NotProcessedError):
        answer = not_processed(error)
        breaker.failed(answer.status)
        return answer
    # A failure of SSM says nothing about Infobip.
    breaker.not_called()
    return SendAnswer(MessageState.WAITING)


# --- Save ------------------------------------------------------------------------------------


def _save(answered: Iterable[AnsweredMessage], ledger: MessageLedger) -> dict[str, ClaimStatus]:
    """Write the outcomes, and return the claim status of each message."""
    answered = list(answered)
    results = [each.message.result(each.answer) for each in answered]
    ids = [result.message_id for result in results]
    claim_statuses = dict(zip(ids, ledger.save(results), strict=True))
    for message_id, claim_status in claim_statuses.items():
        state = claim_status.state or "UNCONFIRMED"
        logger.info("message handled", message_id=message_id, state=state)
    states = Counter(
        claim_status.state for claim_status in claim_statuses.values() if claim_status.state
    )
    count({f"Messages{state.title()}": number for state, number in states.items()})
    _count_refusals([each.answer for each in answered])
    return claim_statuses


def _count_refusals(answers: Sequence[SendAnswer]) -> None:
    """Publish what needs a person, or is only waited for."""
    unlisted = sum(answer.is_unlisted for answer in answers)
    if unlisted:
        logger.error("messages are refused by a status that is not listed", count=unlisted)
    for refusal, number in Counter(each.refusal for each in answers if each.refusal).items():
        logger.warning("messages are refused for now", status=refusal.name, count=number)
    count(
        {
            "AccountRefusals": sum(answer.account_refused for answer in answers),
            "RefusalsThatEnd": sum(answer.refusal is not None for answer in answers),
            "RefusalsUnlisted": unlisted,
            "SendsRefusedUnread": sum(answer.is_refused_unread for answer in answers),
        }
    )


# --- Settle ----------------------------------------------------------------------------------


def _settle(
    batch: Iterable[QueuedEvent],
    claim_statuses: Mapping[str, ClaimStatus],
    answered: Sequence[AnsweredMessage],
    deps: Dependencies,
) -> list[Record]:
    """Acknowledge, dead-letter or retry each record, depending on its messages."""
    now = utc_now()
    retry_after_seconds, causes = requested_waits(answered), refusals(answered)
    failed: list[tuple[Record, timedelta]] = []
    refused: list[RefusedRecord] = []
    for queued in batch:
        choice = disposition_of(queued, claim_statuses, retry_after_seconds, now)
        if isinstance(choice, Retry):
            failed.append((queued.record, choice.delay))
        elif isinstance(choice, DeadLetter):
            described = _described(choice, causes.get(queued.record.sqs_id), deps.breaker)
            dead_letter_id = _dead_letter(queued, described, deps.queue)
            if dead_letter_id is None:
                failed.append((queued.record, choice.delay))
            elif choice.reason is DeadLetterReason.OUTAGE:
                _stop_waiting(queued, choice.reason, deps.ledger)
            elif isinstance(queued, Refused):
                refused += queued.at(dead_letter_id)
    if refused and not deps.ledger.keep_refused(refused):
        # The records name their messages too, so an operator can still find them.
        logger.warning("refused records cannot be found by all their message ids")
    failures = deps.queue.change_visibility(failed)
    if failures:
        logger.warning("records keep the queue's visibility timeout", count=failures)
    if failed:
        # SQS reports no age for records that were received three times, as these soon are.
        oldest = max((now - record.sent_at).total_seconds() for record, _ in failed)
        metrics.add_metric(name="OldestRecordSeconds", unit=MetricUnit.Seconds, value=oldest)
    return [record for record, _ in failed]


def _stop_waiting(queued: QueuedEvent, reason: DeadLetterReason, ledger: MessageLedger) -> None:
    """Mark the waiting messages of a dead-lettered record.

    If the mark cannot be written, the reconciler marks the message as lost after `LONGEST_WAIT`.
    """
    if isinstance(queued, Refused):
        return
    with suppress(TableUnavailableError):
        ledger.apply(
            transitions.waiting_stopped(message.message_id, reason)
            for message in queued.event.messages
        )


def _described(choice: DeadLetter, refusal: str | None, breaker: CircuitBreaker) -> DeadLetter:
    """Give what Infobip answered last to the record of an outage.

    While the circuit is open nothing is sent, so only the circuit has the answer.
    """
    if choice.reason is not DeadLetterReason.OUTAGE:
        return choice
    if refusal is None and breaker.cause is not None:
        refusal = refusal_text(breaker.cause)
    return replace(choice, rule=refusal or "")


def _dead_letter(queued: QueuedEvent, disposition: DeadLetter, queue: SendQueue) -> str | None:
    """Put a record into the dead-letter queue, and return its id there; None if that failed."""
    try:
        dead_letter_id = queue.dead_letter(
            queued.record,
            disposition.reason,
            disposition.field,
            disposition.rule,
            message_ids=queued.message_ids(),
        )
    except QueueUnavailableError as error:
        logger.warning("a record cannot be dead-lettered", reason=str(error))
        return None
    logger.warning(
        "record dead-lettered",
        record_id=queued.record.sqs_id,
        reason=disposition.reason,
        field=disposition.field,
        rule=disposition.rule,
    )
    count({"RecordsDeadLettered": 1})
    return dead_letter_id


# --- The function ----------------------------------------------------------------------------


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = SendMessageSettings.from_environment()
    url, keys = settings.delivery_report_url, settings.webhook_key_parameter
    return Dependencies(
        client=open_client(settings),
        scenarios=ScenarioRegistry(settings.scenario_parameter_prefix),
        ledger=open_ledger(settings).ledger,
        queue=SendQueue(settings.send_queue_url, settings.send_dead_letter_queue_url),
        breaker=CircuitBreaker(),
        policy=Policy(timedelta(seconds=settings.claim_seconds), settings.on_unknown),
        webhook=Webhook(url, CachedParameter(keys, parse_keys)) if url else None,
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the records that have to be redelivered."""
    records = [Record.received(record) for record in SQSEvent(event).records]
    failed = send_messages(records, dependencies(), time_left(context))
    return {"batchItemFailures": [{"itemIdentifier": record.sqs_id} for record in failed]}
