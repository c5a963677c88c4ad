"""Sends the messages of the send queue, each at most once.

A batch is one pipeline: read, resolve, claim, post, save, settle. The order of the durable
steps is what keeps a message from being sent twice or forgotten, wherever the run is killed:

1. The claim is written. Killed before: nothing has happened. Killed after: the lease runs out,
   and whoever meets the message writes UNKNOWN, since its post may have gone out.
2. The post goes out, once.
3. The outcome is written: ACCEPTED, REJECTED, WAITING (certainly not processed) or UNKNOWN.
   Killed before: as after the claim.
4. What can never be sent, or needs an operator, is put into the dead-letter queue.
5. The record is acknowledged, if each of its messages has a verdict; else it comes round again.
   Killed before: it comes round, and finds the verdicts.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from infobip_omni import transitions
from infobip_omni.api.client import LONGEST_CALL_SECONDS
from infobip_omni.api.errors import (
    NotProcessedError,
    OutcomeUnknownError,
    RequestRejectedError,
)
from infobip_omni.api.sends import AdvancedRequest, Destination
from infobip_omni.aws import QueueUnavailableError, in_batches
from infobip_omni.circuit_breaker import CircuitBreaker
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.events import InvalidEventError, SendEvent
from infobip_omni.infobip_client import open_client
from infobip_omni.message import MessageState
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.moments import utc_now
from infobip_omni.observability import count, logger, metrics, observed, time_left
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.scenario_registry import ScenarioRegistry
from infobip_omni.send_queue import (
    DeadLetter,
    DeadLetterReason,
    Record,
    Retry,
    SendQueue,
    backoff,
    disposition,
)
from infobip_omni.settings import SendMessageSettings
from infobip_omni.transitions import Claim, Outcome, Standing
from infobip_omni.verdicts import (
    SendAnswer,
    not_processed,
    read_answer,
    request_rejected,
)
from infobip_omni.webhook import Webhook, parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient
    from infobip_omni.events import OnUnknown
    from infobip_omni.scenario_registry import RegisteredScenario
    from infobip_omni.send_queue import Acknowledge

#: Infobip names no limit; this is how many messages share the fate of one request.
DESTINATIONS_PER_REQUEST = 100
CONCURRENT_REQUESTS = 10
#: What a lease must outlive the call by.
_LEASE_MARGIN_SECONDS = 5.0
#: What a run needs to post once in the common case, and to write the outcome.
_SECONDS_TO_FINISH = 15.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How messages are claimed."""

    lease: timedelta
    on_unknown: OnUnknown


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives as long as the environment."""

    client: OmniClient
    scenarios: ScenarioRegistry
    ledger: MessageLedger
    queue: SendQueue
    breaker: CircuitBreaker
    policy: Policy
    #: Where Infobip is to call with delivery reports, if it is.
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """The messages of the event are to be sent, as far as they were not yet."""

    event: SendEvent
    #: None before it is looked up, and for an event that names none.
    scenario: RegisteredScenario | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing is claimed for the event; it is tried again later."""

    event: SendEvent
    #: The least that it waits, in seconds.
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The event can never be sent."""

    reason: DeadLetterReason
    field: str
    rule: str

    @classmethod
    def invalid(cls, error: InvalidEventError) -> Self:
        """Take field and rule from an error."""
        return cls(DeadLetterReason.INVALID, error.field, error.rule)


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """A record on its way through the pipeline, and what is decided about its event."""

    record: Record
    fate: Pending | Postponed | Refused

    @classmethod
    def read(cls, record: Record, now: datetime) -> Self:
        """Read the event that a record holds."""
        try:
            return cls(record, Pending(SendEvent.parse(record.body, record.original_id, now)))
        except InvalidEventError as error:
            return cls(record, Refused.invalid(error))

    def refused_if_used(self, used: Container[str]) -> Self:
        """Refuse a pending event of which an id was used for another message."""
        if not isinstance(self.fate, Pending):
            return self
        event = self.fate.event
        ids = [message.message_id for message in event.messages]
        clash = next((one for one in ids if one in used), None)
        if clash is None:
            return self
        alone = event.body.to is not None
        field = "messageId" if alone else f"destinations[{ids.index(clash)}].messageId"
        rule = "was used before, for other content or another recipient"
        return replace(self, fate=Refused(DeadLetterReason.CONFLICT, field, rule))


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that this run holds the claim of, and the record that it is sent for."""

    record: Record
    pending: Pending
    claim: Claim
    token: str

    def outcome(self, answer: SendAnswer, reason: DeadLetterReason | None = None) -> Outcome:
        """Tell what became of it."""
        return Outcome(
            message_id=self.claim.message_id,
            token=self.token,
            state=answer.state,
            evidence=answer.evidence,
            status=answer.status,
            send_at=self.claim.send_at,
            dead_letter_reason=reason,
            account_refused=answer.account_refused,
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the claims of a batch have come to."""

    batch: list[QueuedEvent]
    #: Where each message of the pending events stands, by its id.
    standings: dict[str, Standing]
    parcels: list[Parcel]


@dataclass(frozen=True, slots=True)
class Post:
    """One request: messages of the same scenario and content, of one record or of several."""

    parcels: tuple[Parcel, ...]

    def by_record(self) -> list[Post]:
        """Divide the post, so that each record is on its own."""
        parts: dict[str, list[Parcel]] = defaultdict(list)
        for parcel in self.parcels:
            parts[parcel.record.sqs_id].append(parcel)
        return [Post(tuple(part)) for part in parts.values()]

    def request(self, webhook: Webhook | None) -> AdvancedRequest:
        """Write the body: that of any of the events, but for destinations and ids.

        Where the event says nothing of its own about reports, they go to the webhook.

        Raises:
            ParameterUnavailableError: The webhook's URL cannot be made.
        """
        first = self.parcels[0]
        body, scenario = first.pending.event.body, first.pending.scenario
        bulk_id = first.claim.bulk_id
        notify_url, notify_content_type = body.notify_url, body.notify_content_type
        if webhook is not None and notify_url is None and body.notify is not False:
            notify_url, notify_content_type = webhook.url_for(bulk_id), "application/json"
        return AdvancedRequest.of(
            body,
            scenario_key=scenario.key if scenario else body.scenario_key,
            bulk_id=bulk_id,
            notify_url=notify_url,
            notify_content_type=notify_content_type,
            destinations=tuple(
                Destination(message_id=parcel.claim.message_id, to=parcel.claim.recipient)
                for parcel in self.parcels
            ),
        )

    def answered(self, answer: SendAnswer) -> list[Posted]:
        """Say the same of each of its messages."""
        return [Posted(parcel, answer) for parcel in self.parcels]


@dataclass(frozen=True, slots=True)
class Posted:
    """A claimed message, and what is known of it after its post."""

    parcel: Parcel
    answer: SendAnswer


def send_messages(
    records: Sequence[Record], deps: Dependencies, seconds_left: Callable[[], float]
) -> list[Record]:
    """Send the messages of a batch.

    Args:
        records: The batch.
        deps: What it works with.
        seconds_left: Tells how much time the run has.

    Returns:
        The records that must come round again.
    """
    batch = [QueuedEvent.read(record, utc_now()) for record in records]
    resolved = _resolve(batch, deps)
    lease_ends = time.monotonic() + deps.policy.lease.total_seconds()
    claimed = _claim(resolved, deps)

    def has_time() -> bool:
        lease_left = lease_ends - time.monotonic()
        lease_lasts = lease_left >= LONGEST_CALL_SECONDS + _LEASE_MARGIN_SECONDS
        return lease_lasts and seconds_left() >= _SECONDS_TO_FINISH

    posted = _post(_posts(claimed.parcels), deps, has_time)
    standings = claimed.standings | _save(posted, deps.ledger)
    return _settle(claimed.batch, standings, _pauses(posted), deps)


# --- Resolve ---------------------------------------------------------------------------------


def _resolve(batch: Iterable[QueuedEvent], deps: Dependencies) -> list[QueuedEvent]:
    """Find the scenarios, unless the circuit is open, when nothing needs to be claimed."""
    pause = deps.breaker.seconds_left()
    return [replace(queued, fate=_resolved(queued.fate, pause, deps.scenarios)) for queued in batch]


def _resolved(
    fate: Pending | Postponed | Refused, pause: float, scenarios: ScenarioRegistry
) -> Pending | Postponed | Refused:
    if not isinstance(fate, Pending):
        return fate
    if pause:
        return Postponed(fate.event, pause)
    try:
        return replace(fate, scenario=_scenario(fate.event, scenarios))
    except InvalidEventError as error:
        return Refused.invalid(error)
    except ParameterUnavailableError as error:
        logger.warning("the scenario cannot be looked up", reason=str(error))
        return Postponed(fate.event)


def _scenario(event: SendEvent, scenarios: ScenarioRegistry) -> RegisteredScenario | None:
    """Return the scenario that the event names, if it does so by name."""
    if event.body.scenario is None:
        return None
    scenario = scenarios.find(event.body.scenario)
    if scenario is None:
        raise InvalidEventError("scenario", "must be the name or slug of a registered scenario")
    event.check_flow(step.channel for step in scenario.flow)
    return scenario


# --- Claim -----------------------------------------------------------------------------------


def _claim(batch: Sequence[QueuedEvent], deps: Dependencies) -> Claimed:
    """Claim every message once, though several records may hold it, and refuse conflicts.

    A record is refused when an id of it stands for another message: in an earlier record of the
    batch, and nothing is claimed for it, or in the table, and its claims are given back.
    """
    bulk_ids = _bulk_ids(batch)
    claims: dict[str, Claim] = {}
    owners: dict[str, tuple[Record, Pending]] = {}
    distinct: list[QueuedEvent] = []
    for queued in batch:
        wanted = _claims_of(queued.fate, bulk_ids, deps.policy)
        used = {
            message_id
            for message_id, claim in wanted.items()
            if claims.get(message_id, claim).content_hash != claim.content_hash
        }
        distinct.append(queued.refused_if_used(used))
        if isinstance(fate := distinct[-1].fate, Pending):
            for message_id, claim in wanted.items():
                claims.setdefault(message_id, claim)
                owners.setdefault(message_id, (queued.record, fate))
    found = deps.ledger.claim(list(claims.values()), deps.policy.lease)
    standings = dict(zip(claims, found, strict=True))
    for message_id, standing in standings.items():
        if standing.unreadable:
            logger.error("a message cannot be read", message_id=message_id)
    used = {message_id for message_id, standing in standings.items() if standing.conflict}
    checked = [queued.refused_if_used(used) for queued in distinct]
    refused = {queued.record.sqs_id for queued in checked if isinstance(queued.fate, Refused)}
    held = [
        Parcel(*owners[message_id], claims[message_id], standing.token)
        for message_id, standing in standings.items()
        if standing.token
    ]
    deps.ledger.save(
        [
            parcel.outcome(SendAnswer(MessageState.WAITING), DeadLetterReason.CONFLICT)
            for parcel in held
            if parcel.record.sqs_id in refused
        ]
    )
    parcels = [parcel for parcel in held if parcel.record.sqs_id not in refused]
    return Claimed(checked, standings, parcels)


def _bulk_ids(batch: Iterable[QueuedEvent]) -> dict[str, str]:
    """Choose a bulk id for each content."""
    events = [queued.fate.event for queued in batch if isinstance(queued.fate, Pending)]
    return {event.content_key: event.body.bulk_id or uuid.uuid4().hex for event in events}


def _claims_of(
    fate: Pending | Postponed | Refused, bulk_ids: Mapping[str, str], policy: Policy
) -> dict[str, Claim]:
    """Return the claims of an event's messages, by their ids; only a pending event has any."""
    if not isinstance(fate, Pending):
        return {}
    event, body, scenario = fate.event, fate.event.body, fate.scenario
    return {
        message.message_id: Claim(
            message_id=message.message_id,
            content_hash=message.content_hash,
            recipient=message.recipient,
            scenario=body.scenario,
            scenario_key=body.scenario_key,
            steps=tuple(step.channel for step in scenario.flow) if scenario else None,
            bulk_id=bulk_ids[event.content_key],
            send_at=body.send_at,
            validity=event.validity(),
            on_unknown=body.on_unknown or policy.on_unknown,
            callback_data=body.callback_data,
        )
        for message in event.messages
    }


# --- Post ------------------------------------------------------------------------------------


def _posts(parcels: Iterable[Parcel]) -> list[Post]:
    """Join messages with the same scenario and content into requests."""
    groups: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        groups[parcel.pending.event.content_key].append(parcel)
    return [
        Post(tuple(part))
        for group in groups.values()
        for part in in_batches(group, DESTINATIONS_PER_REQUEST)
    ]


def _post(posts: Sequence[Post], deps: Dependencies, has_time: Callable[[], bool]) -> list[Posted]:
    if len(posts) <= 1:
        return [posted for post in posts for posted in _post_one(post, deps, has_time)]
    with ThreadPoolExecutor(min(len(posts), CONCURRENT_REQUESTS)) as pool:
        results = pool.map(lambda post: _post_one(post, deps, has_time), posts)
        return [posted for result in results for posted in result]


def _post_one(post: Post, deps: Dependencies, has_time: Callable[[], bool]) -> list[Posted]:
    """Make one request, once, and tell what became of each of its messages."""
    if not has_time() or not deps.breaker.lets_through():
        return post.answered(SendAnswer(MessageState.WAITING))
    try:
        response = deps.client.send_advanced(post.request(deps.webhook))
    except ParameterUnavailableError as error:
        # Trouble with SSM says nothing about Infobip.
        deps.breaker.not_called()
        logger.warning("a request was not processed", reason=str(error))
        answer = SendAnswer(MessageState.WAITING)
    except NotProcessedError as error:
        deps.breaker.failed()
        logger.warning("a request was not processed", reason=str(error))
        answer = not_processed(error)
    except RequestRejectedError as error:
        deps.breaker.succeeded()
        parts = post.by_record()
        if len(parts) > 1:
            # One record's fault must not cost the others: nothing was sent, so each tries alone.
            return [posted for part in parts for posted in _post_one(part, deps, has_time)]
        answer = request_rejected(error)
    except OutcomeUnknownError as error:
        deps.breaker.failed()
        logger.warning("the outcome of a request is unknown", reason=str(error))
        answer = SendAnswer(MessageState.UNKNOWN)
    else:
        deps.breaker.succeeded()
        ids = [parcel.claim.message_id for parcel in post.parcels]
        return list(map(Posted, post.parcels, read_answer(response, ids)))
    return post.answered(answer)


# --- Save ------------------------------------------------------------------------------------


def _save(posted: Iterable[Posted], ledger: MessageLedger) -> dict[str, Standing]:
    """Write the outcomes, and tell where the messages stand now."""
    outcomes = [each.parcel.outcome(each.answer) for each in posted]
    ids = [outcome.message_id for outcome in outcomes]
    standings = dict(zip(ids, ledger.save(outcomes), strict=True))
    for message_id, standing in standings.items():
        state = standing.state or "UNRECORDED"
        logger.info("message handled", message_id=message_id, state=state)
    states = Counter(standing.state for standing in standings.values() if standing.state)
    count({f"Messages{state.title()}": number for state, number in states.items()})
    count({"AccountRefusals": sum(outcome.account_refused for outcome in outcomes)})
    return standings


# --- Settle ----------------------------------------------------------------------------------


def _pauses(posted: Iterable[Posted]) -> dict[str, float]:
    """Tell for each record how long Infobip asks it to wait, in seconds."""
    pauses: dict[str, float] = defaultdict(float)
    for each in posted:
        sqs_id = each.parcel.record.sqs_id
        pauses[sqs_id] = max(pauses[sqs_id], each.answer.retry_after_seconds or 0.0)
    return pauses


def _settle(
    batch: Iterable[QueuedEvent],
    standings: Mapping[str, Standing],
    pauses: Mapping[str, float],
    deps: Dependencies,
) -> list[Record]:
    """Acknowledge, dead-letter or hide each record, by where its messages stand."""
    now = utc_now()
    kept: list[tuple[Record, timedelta]] = []
    for queued in batch:
        choice = _disposition(queued, standings, pauses, now)
        if isinstance(choice, Retry):
            kept.append((queued.record, choice.delay))
        elif isinstance(choice, DeadLetter):
            if not _dead_letter(queued.record, choice, deps.queue):
                kept.append((queued.record, choice.delay))
            elif choice.reason is DeadLetterReason.OUTAGE:
                _stop_waiting(queued.fate, choice.reason, deps.ledger)
    failures = deps.queue.postpone(kept)
    if failures:
        logger.warning("records come back late", count=failures)
    if kept:
        # SQS tells no age of records that were received three times, as these soon are.
        oldest = max((now - record.sent_at).total_seconds() for record, _ in kept)
        metrics.add_metric(name="OldestRecordSeconds", unit=MetricUnit.Seconds, value=oldest)
    return [record for record, _ in kept]


def _disposition(
    queued: QueuedEvent,
    standings: Mapping[str, Standing],
    pauses: Mapping[str, float],
    now: datetime,
) -> Acknowledge | DeadLetter | Retry:
    """Decide about a record by the fate of its event, and by where its messages stand."""
    record, fate = queued.record, queued.fate
    if isinstance(fate, Refused):
        delay = backoff(record.receive_count, None)
        return DeadLetter(fate.reason, delay, fate.field, fate.rule)
    if isinstance(fate, Postponed):
        # Nothing was asked about its messages, whatever another record has learnt of the same ids.
        unasked = [Standing(None) for _ in fate.event.messages]
        return disposition(record, unasked, backoff(record.receive_count, fate.pause), now)
    own = [standings[message.message_id] for message in fate.event.messages]
    pause = backoff(record.receive_count, pauses.get(record.sqs_id))
    return disposition(record, own, pause, now)


def _stop_waiting(
    fate: Pending | Postponed | Refused, reason: DeadLetterReason, ledger: MessageLedger
) -> None:
    """Mark the messages of a dead-lettered record that are waiting.

    A mark that cannot be written is left out: after `LONGEST_WAIT` the reconciler misses the record
    and marks the message then.
    """
    if isinstance(fate, Refused):
        return
    with suppress(TableUnavailableError):
        ledger.apply(
            transitions.waiting_stopped(message.message_id, reason)
            for message in fate.event.messages
        )


def _dead_letter(record: Record, letter: DeadLetter, queue: SendQueue) -> bool:
    """Tell whether a record is in the dead-letter queue now."""
    try:
        queue.dead_letter(record, letter.reason, letter.field, letter.rule)
    except QueueUnavailableError as error:
        logger.warning("a record cannot be dead-lettered", reason=str(error))
        return False
    logger.warning(
        "record dead-lettered",
        record_id=record.sqs_id,
        reason=letter.reason,
        field=letter.field,
        rule=letter.rule,
    )
    count({"RecordsDeadLettered": 1})
    return True


# --- The function ----------------------------------------------------------------------------


@functools.cache
def dependencies() -> Dependencies:
    """Make what lives as long as the environment."""
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
    """Answer with the records that must come round again."""
    records = [Record.received(record) for record in SQSEvent(event).records]
    kept = send_messages(records, dependencies(), time_left(context))
    return {"batchItemFailures": [{"itemIdentifier": record.sqs_id} for record in kept]}
