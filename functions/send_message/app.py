"""Sends the messages of the send queue, each at most once.

A batch is one pipeline: parse all, claim all, post all, record all. The order of the durable
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
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import SQSEvent

from infobip_omni import transitions
from infobip_omni.api.client import LONGEST_CALL_SECONDS, OmniClient
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OutcomeUnknownError,
    RequestRejectedError,
)
from infobip_omni.api.reports import StatusGroup
from infobip_omni.api.sends import AdvancedRequest, Destination, MessageContent
from infobip_omni.aws import QueueUnavailableError
from infobip_omni.circuit_breaker import CircuitBreaker
from infobip_omni.delivery import (
    DUPLICATE_MESSAGE_ID,
    RESOLVED,
    Evidence,
    MessageState,
    refuses_account,
)
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.events import InvalidEventError, SendEvent
from infobip_omni.infobip_client import open_client
from infobip_omni.message_ledger import MessageLedger, open_ledger
from infobip_omni.moments import utc_now
from infobip_omni.observability import count, logger, metrics, observed
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.scenario_registry import ScenarioRegistry
from infobip_omni.send_queue import (
    DeadLetterReason,
    Record,
    SendQueue,
    backoff,
)
from infobip_omni.settings import SendMessageSettings
from infobip_omni.transitions import Claim, Outcome, Standing
from infobip_omni.webhook import Webhook, parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from infobip_omni.api.client import OmniClient
    from infobip_omni.api.reports import Status
    from infobip_omni.api.sends import SendResponse, SendResult
    from infobip_omni.events import Message, OnUnknown
    from infobip_omni.scenario_registry import RegisteredScenario

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
class Collaborators:
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
class Refusal:
    """Why the content of a record can never be sent."""

    reason: DeadLetterReason
    field: str = ""
    rule: str = ""

    @classmethod
    def of(cls, reason: DeadLetterReason, error: InvalidEventError) -> Self:
        """Take field and rule from an error."""
        return cls(reason, error.field, error.rule)


@dataclass(slots=True)
class Work:
    """A record on its way through the pipeline."""

    record: Record
    event: SendEvent
    scenario: RegisteredScenario | None = None
    refusal: Refusal | None = None
    #: Nothing was claimed for it; it is tried again later.
    postponed: bool = False
    #: What Infobip asks it to wait for, in seconds; one for each message that has met with that.
    pauses: list[float] = field(default_factory=list)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the messages that are still to be dealt with."""
        return () if self.refusal or self.postponed else self.event.messages


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that this run holds the claim of."""

    work: Work
    message: Message
    standing: Standing

    def outcome(
        self,
        state: MessageState,
        evidence: Evidence | None = None,
        status: Status | Mapping[str, object] | None = None,
        reason: DeadLetterReason | None = None,
        *,
        account_refused: bool = False,
    ) -> Outcome:
        """Tell what became of it."""
        return Outcome(
            message_id=self.message.message_id,
            token=self.standing.token or "",
            state=state,
            evidence=evidence,
            status=status,
            send_at=self.work.event.body.send_at,
            dead_letter_reason=reason,
            account_refused=account_refused,
        )


@dataclass(frozen=True, slots=True)
class Post:
    """One request: messages of the same scenario and content, of one record or of several."""

    bulk_id: str
    parcels: tuple[Parcel, ...]

    def by_record(self) -> list[Post]:
        """Divide the post, so that each record is on its own."""
        parts: dict[str, list[Parcel]] = defaultdict(list)
        for parcel in self.parcels:
            parts[parcel.work.record.sqs_id].append(parcel)
        return [replace(self, parcels=tuple(part)) for part in parts.values()]

    def request(self, webhook: Webhook | None) -> AdvancedRequest:
        """Write the body: that of any of the events, but for destinations and ids.

        Where the event says nothing of its own about reports, they go to the webhook.

        Raises:
            ParameterUnavailableError: The webhook's URL cannot be made.
        """
        work = self.parcels[0].work
        body, scenario = work.event.body, work.scenario
        contents = {name: getattr(body, name) for name in MessageContent.model_fields}
        if webhook is not None and body.notify_url is None and body.notify is not False:
            contents["notify_url"] = webhook.url_for(self.bulk_id)
            contents["notify_content_type"] = "application/json"
        return AdvancedRequest(
            **contents
            | {
                "scenario_key": scenario.key if scenario else body.scenario_key,
                "bulk_id": self.bulk_id,
                "destinations": tuple(
                    Destination(message_id=parcel.message.message_id, to=parcel.message.recipient)
                    for parcel in self.parcels
                ),
            }
        )


def send_messages(
    records: Sequence[Record], use: Collaborators, seconds_left: Callable[[], float]
) -> list[Record]:
    """Send the messages of a batch.

    Args:
        records: The batch.
        use: The collaborators.
        seconds_left: Tells how much time the run has.

    Returns:
        The records that must come round again.
    """
    works: list[Work] = []
    unsendable: list[tuple[Record, Refusal]] = []
    for record in records:
        try:
            event = SendEvent.parse(record.body, record.original_id, utc_now())
            works.append(Work(record, event))
        except InvalidEventError as error:
            unsendable.append((record, Refusal.of(DeadLetterReason.INVALID, error)))
    _resolve_scenarios(works, use)
    bulk_ids = _bulk_ids(works)
    lease_ends = time.monotonic() + use.policy.lease.total_seconds()
    standings = _claim(works, bulk_ids, use)
    parcels = _refuse_conflicts(works, standings, use)

    def has_time() -> bool:
        lease_left = lease_ends - time.monotonic()
        lease_lasts = lease_left >= LONGEST_CALL_SECONDS + _LEASE_MARGIN_SECONDS
        return lease_lasts and seconds_left() >= _SECONDS_TO_FINISH

    outcomes = _post(_posts(parcels, bulk_ids), use, has_time)
    standings |= _record(outcomes, use.ledger)
    return _dispose(works, unsendable, standings, use)


# --- Decide ----------------------------------------------------------------------------------


def _resolve_scenarios(works: Iterable[Work], use: Collaborators) -> None:
    """Find the scenarios, unless the circuit is open, when nothing needs to be claimed."""
    pause = use.breaker.seconds_left()
    for work in works:
        if pause:
            work.postponed = True
            work.pauses.append(pause)
            continue
        try:
            work.scenario = _scenario(work.event, use.scenarios)
        except InvalidEventError as error:
            work.refusal = Refusal.of(DeadLetterReason.INVALID, error)
        except ParameterUnavailableError as error:
            logger.warning("the scenario cannot be looked up", reason=str(error))
            work.postponed = True


def _scenario(event: SendEvent, scenarios: ScenarioRegistry) -> RegisteredScenario | None:
    """Return the scenario that the event names, if it does so by name."""
    if event.body.scenario is None:
        return None
    scenario = scenarios.find(event.body.scenario)
    if scenario is None:
        raise InvalidEventError("scenario", "must be the name or slug of a registered scenario")
    event.check_flow(step.channel for step in scenario.flow)
    return scenario


def _bulk_ids(works: Iterable[Work]) -> dict[str, str]:
    """Choose a bulk id for each content."""
    events = [work.event for work in works if work.messages]
    return {event.content_key: event.body.bulk_id or uuid.uuid4().hex for event in events}


# --- Claim -----------------------------------------------------------------------------------


def _claim(
    works: Iterable[Work], bulk_ids: Mapping[str, str], use: Collaborators
) -> dict[str, Standing]:
    """Claim every message once, though several records may hold it."""
    claims: dict[str, Claim] = {}
    for work in works:
        wanted = {
            message.message_id: _claim_of(message, work, bulk_ids, use.policy)
            for message in work.messages
        }
        clashing = (
            message_id
            for message_id, claim in wanted.items()
            if message_id in claims and claims[message_id].content_hash != claim.content_hash
        )
        if (message_id := next(clashing, None)) is not None:
            work.refusal = _conflict(work, message_id)
        else:
            claims = wanted | claims
    standings = use.ledger.claim(list(claims.values()), use.policy.lease)
    return dict(zip(claims, standings, strict=True))


def _claim_of(message: Message, work: Work, bulk_ids: Mapping[str, str], policy: Policy) -> Claim:
    body, scenario = work.event.body, work.scenario
    return Claim(
        message_id=message.message_id,
        content_hash=message.content_hash,
        recipient=message.recipient,
        scenario=body.scenario,
        scenario_key=body.scenario_key,
        steps=tuple(step.channel for step in scenario.flow) if scenario else None,
        bulk_id=bulk_ids[work.event.content_key],
        send_at=body.send_at,
        validity=work.event.validity(),
        on_unknown=body.on_unknown or policy.on_unknown,
        callback_data=body.callback_data,
    )


def _refuse_conflicts(
    works: Iterable[Work], standings: Mapping[str, Standing], use: Collaborators
) -> list[Parcel]:
    """Give back the claims of records with a conflict, and return those of the others."""
    parcels: list[Parcel] = []
    given_back: list[Outcome] = []
    seen: set[str] = set()
    for work in works:
        own = [
            Parcel(work, message, standings[message.message_id])
            for message in work.messages
            if message.message_id not in seen
        ]
        claimed = [parcel for parcel in own if parcel.standing.token]
        ids = [message.message_id for message in work.messages]
        clash = next((one for one in ids if standings[one].conflict), None)
        if clash is not None:
            work.refusal = _conflict(work, clash)
            reason = DeadLetterReason.CONFLICT
            given_back += [
                parcel.outcome(MessageState.WAITING, reason=reason) for parcel in claimed
            ]
        else:
            parcels += claimed
        seen.update(parcel.message.message_id for parcel in own)
    use.ledger.save(given_back)
    return parcels


def _conflict(work: Work, message_id: str) -> Refusal:
    ids = [message.message_id for message in work.event.messages]
    alone = work.event.body.to is not None
    field = "messageId" if alone else f"destinations[{ids.index(message_id)}].messageId"
    rule = "was used before, for other content or another recipient"
    return Refusal(DeadLetterReason.CONFLICT, field, rule)


# --- Post ------------------------------------------------------------------------------------


def _posts(parcels: Iterable[Parcel], bulk_ids: Mapping[str, str]) -> list[Post]:
    """Join messages with the same scenario and content into requests."""
    groups: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        groups[parcel.work.event.content_key].append(parcel)
    return [
        Post(bulk_ids[key], tuple(group[start : start + DESTINATIONS_PER_REQUEST]))
        for key, group in groups.items()
        for start in range(0, len(group), DESTINATIONS_PER_REQUEST)
    ]


def _post(posts: Sequence[Post], use: Collaborators, has_time: Callable[[], bool]) -> list[Outcome]:
    if len(posts) <= 1:
        return [outcome for post in posts for outcome in _post_one(post, use, has_time)]
    with ThreadPoolExecutor(min(len(posts), CONCURRENT_REQUESTS)) as pool:
        results = pool.map(lambda post: _post_one(post, use, has_time), posts)
        return [outcome for outcomes in results for outcome in outcomes]


def _post_one(post: Post, use: Collaborators, has_time: Callable[[], bool]) -> list[Outcome]:
    """Make one request, once, and tell what became of each of its messages."""
    if not has_time() or not use.breaker.lets_through():
        return _waiting(post, None)
    try:
        response = use.client.send_advanced(post.request(use.webhook))
    except (NotProcessedError, ParameterUnavailableError) as error:
        return _not_processed(post, error, use.breaker)
    except RequestRejectedError as error:
        use.breaker.succeeded()
        parts = post.by_record()
        if len(parts) > 1:
            # One record's fault must not cost the others: nothing was sent, so each tries alone.
            return [outcome for part in parts for outcome in _post_one(part, use, has_time)]
        status = {
            "httpStatus": error.status,
            "name": error.error_id,
            "description": error.text,
        }
        given = {name: value for name, value in status.items() if value is not None}
        return [
            parcel.outcome(MessageState.REJECTED, Evidence.RESPONSE, given)
            for parcel in post.parcels
        ]
    except OutcomeUnknownError as error:
        use.breaker.failed()
        logger.warning("the outcome of a request is unknown", reason=str(error))
        return [parcel.outcome(MessageState.UNKNOWN) for parcel in post.parcels]
    use.breaker.succeeded()
    return [_judge(parcel, _result(response, post, parcel)) for parcel in post.parcels]


def _not_processed(
    post: Post, error: NotProcessedError | ParameterUnavailableError, breaker: CircuitBreaker
) -> list[Outcome]:
    """Have the messages wait, since nothing was sent."""
    logger.warning("a request was not processed", reason=str(error))
    if isinstance(error, ParameterUnavailableError):
        # Trouble with SSM says nothing about Infobip.
        breaker.not_called()
        return _waiting(post, None)
    breaker.failed()
    refused = isinstance(error, AuthenticationError)
    return _waiting(post, error.retry_after_seconds, account_refused=refused)


def _waiting(
    post: Post, retry_after_seconds: float | None, *, account_refused: bool = False
) -> list[Outcome]:
    """Let the messages wait for as long as Infobip asks for."""
    if retry_after_seconds is not None:
        for parcel in post.parcels:
            parcel.work.pauses.append(retry_after_seconds)
    return [
        parcel.outcome(MessageState.WAITING, account_refused=account_refused)
        for parcel in post.parcels
    ]


def _result(response: SendResponse, post: Post, parcel: Parcel) -> SendResult | None:
    """Find a message's entry in the answer: by its id, and where there is none by its place."""
    message_id = parcel.message.message_id
    named = [result for result in response.messages if result.message_id == message_id]
    if named:
        return named[0]
    if len(response.messages) != len(post.parcels):
        return None
    result = response.messages[post.parcels.index(parcel)]
    return result if result.message_id is None else None


def _judge(parcel: Parcel, result: SendResult | None) -> Outcome:
    """Read what the answer says of one message; what it does not say is unknown."""
    if result is None or result.status is None:
        return parcel.outcome(MessageState.UNKNOWN)
    status = result.status
    if result.status.id == DUPLICATE_MESSAGE_ID and result.status.group_id == StatusGroup.REJECTED:
        # Infobip knows the id: from an earlier attempt, or from somebody else's message. Only the
        # logs tell which, since they name the recipient.
        return parcel.outcome(MessageState.UNKNOWN, Evidence.DUPLICATE_ID, status)
    if result.status.group_id == StatusGroup.REJECTED:
        return parcel.outcome(
            MessageState.REJECTED,
            Evidence.RESPONSE,
            status,
            account_refused=refuses_account(result.status),
        )
    if result.status.group_id in set(StatusGroup):
        return parcel.outcome(MessageState.ACCEPTED, Evidence.RESPONSE)
    return parcel.outcome(MessageState.UNKNOWN)


# --- Record ----------------------------------------------------------------------------------


def _record(outcomes: Sequence[Outcome], ledger: MessageLedger) -> dict[str, Standing]:
    """Write the outcomes, and tell where the messages stand now."""
    ids = [outcome.message_id for outcome in outcomes]
    standings = dict(zip(ids, ledger.save(outcomes), strict=True))
    for message_id, standing in standings.items():
        state = standing.state or "UNRECORDED"
        logger.info("message handled", message_id=message_id, state=state)
    states = Counter(standing.state for standing in standings.values() if standing.state)
    count({f"Messages{state.title()}": number for state, number in states.items()})
    count({"AccountRefusals": sum(outcome.account_refused for outcome in outcomes)})
    return standings


def _dispose(
    works: Iterable[Work],
    unsendable: Iterable[tuple[Record, Refusal]],
    standings: Mapping[str, Standing],
    use: Collaborators,
) -> list[Record]:
    """Acknowledge, dead-letter or hide each record, by where its messages stand."""
    now = utc_now()
    kept = [
        (record, backoff(record.receive_count, None))
        for record, refusal in unsendable
        if not _dead_letter(record, refusal, use.queue)
    ]
    for work in works:
        states = {standings[message.message_id].state for message in work.messages}
        refusal = work.refusal
        if refusal is None and not work.postponed and states <= RESOLVED:
            if MessageState.QUARANTINED not in states:
                continue
            refusal = Refusal(DeadLetterReason.QUARANTINED)
        elif refusal is None and work.record.is_about_to_be_dropped(now):
            refusal = Refusal(DeadLetterReason.OUTAGE)
        if refusal is None or not _dead_letter(work.record, refusal, use.queue):
            kept.append((work.record, _delay(work, standings, now)))
        elif refusal.reason is DeadLetterReason.OUTAGE:
            _stop_waiting(work, refusal.reason, use.ledger)
    failures = use.queue.postpone(kept)
    if failures:
        logger.warning("records come back late", count=failures)
    if kept:
        # SQS tells no age of records that were received three times, as these soon are.
        oldest = max((now - record.sent_at).total_seconds() for record, _ in kept)
        metrics.add_metric(name="OldestRecordSeconds", unit=MetricUnit.Seconds, value=oldest)
    return [record for record, _ in kept]


def _stop_waiting(work: Work, reason: DeadLetterReason, ledger: MessageLedger) -> None:
    """Mark the messages of a dead-lettered record that are waiting.

    A mark that cannot be written is left out: after `LONGEST_WAIT` the reconciler misses the record
    and marks the message then.
    """
    with suppress(TableUnavailableError):
        ledger.apply(
            transitions.waiting_stopped(message.message_id, reason)
            for message in work.event.messages
        )


def _dead_letter(record: Record, refusal: Refusal, queue: SendQueue) -> bool:
    try:
        queue.dead_letter(record, refusal.reason, refusal.field, refusal.rule)
    except QueueUnavailableError as error:
        logger.warning("a record cannot be dead-lettered", reason=str(error))
        return False
    logger.warning(
        "record dead-lettered",
        record_id=record.sqs_id,
        reason=refusal.reason,
        field=refusal.field,
        rule=refusal.rule,
    )
    count({"RecordsDeadLettered": 1})
    return True


def _delay(work: Work, standings: Mapping[str, Standing], now: datetime) -> timedelta:
    """Tell when it is worth looking at a record again."""
    pause = backoff(work.record.receive_count, max(work.pauses, default=None))
    delays = []
    for message in work.messages:
        standing = standings[message.message_id]
        if standing.state in RESOLVED:
            continue
        wait = standing.until - now if standing.until and standing.until > now else pause
        # An unknown outcome is worth a look once the logs were asked; a claim may end earlier.
        unknown = standing.state is MessageState.UNKNOWN
        delays.append(wait if unknown else min(wait, pause))
    return min(delays, default=pause)


# --- The function ----------------------------------------------------------------------------


@functools.cache
def collaborators() -> Collaborators:
    """Make what lives as long as the environment."""
    settings = SendMessageSettings.from_environment()
    _, ledger = open_ledger(settings)
    url, keys = settings.delivery_report_url, settings.webhook_key_parameter
    return Collaborators(
        client=open_client(settings),
        scenarios=ScenarioRegistry(settings.scenario_parameter_prefix),
        ledger=ledger,
        queue=SendQueue(settings.send_queue_url, settings.send_dead_letter_queue_url),
        breaker=CircuitBreaker(),
        policy=Policy(timedelta(seconds=settings.claim_seconds), settings.on_unknown),
        webhook=Webhook(url, CachedParameter(keys, parse_keys)) if url else None,
    )


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answer with the records that must come round again."""
    records = [Record.received(record) for record in SQSEvent(event).records]
    kept = send_messages(
        records, collaborators(), lambda: context.get_remaining_time_in_millis() / 1000
    )
    return {"batchItemFailures": [{"itemIdentifier": record.sqs_id} for record in kept]}
