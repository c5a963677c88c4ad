"""A model of how one message is sent, small enough to try every order of events.

SQS may hand the record to two senders at once, and again at any time. Slow senders go on after
their lease has run out. Senders and the reconciler's runs may be killed between any two steps.
Answers get lost, the logs lag behind, reports come whenever they like. `explore` walks through all
states that this can lead to, and looks for one that breaks a promise:

* *at most once*: Infobip accepts the message twice;
* *no verdict*: the record is acknowledged, but the message neither taken nor dead-lettered;
* *dead end*: no order of events leads to a verdict any more;
* *proof ignored*: a report was recorded, and the message does not count as taken;
* *delivery undone*: a delivered message counts as something else again;
* *wrongly accepted*: the message counts as accepted, and Infobip has not accepted it;
* *needless quarantine*: a message is set aside though no sender was killed and no answer lost.

Every condition of the protocol is a field of `Guards`, and a condition in the ledger or in one of
the functions. Without any one of them a promise breaks:

    python -m tests.protocol.model                  # tries all environments, and tells their sizes
    python -m tests.protocol.model --without NAME   # the shortest way to a broken promise

What the model takes for granted: a single write to DynamoDB happens in full or not at all; what
the logs show of a message they go on showing; a post leaves within the lease if the sender looks
at the clock before. And, under must-arrive only: a post has arrived, and the logs show it, when
they are asked for the third time (`Environment.logs_lag_is_bounded`). What happens to a message
after Infobip has accepted it is left to the rules for reports, which have tests of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from infobip_omni.message import ACCEPTED_OR_FINAL, UNPROVEN, MessageState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ABSENT = ""
ANSWERS_NEEDED = 3
#: Keeps the model finite where a guard is missing; a second acceptance needs no third post.
MOST_IN_FLIGHT = 2
CLAIMED, WAITING, UNKNOWN = MessageState.CLAIMED, MessageState.WAITING, MessageState.UNKNOWN
ACCEPTED, REJECTED = MessageState.ACCEPTED, MessageState.REJECTED
DELIVERED, QUARANTINED = MessageState.DELIVERED, MessageState.QUARANTINED


@dataclass(frozen=True, slots=True)
class Guards:
    """The conditions that keep the promises; False removes one."""

    #: A first claim is an INSERT, which fails where the message is.
    claim_only_absent: bool = True
    #: Of messages that are there, only WAITING ones are claimed, never UNKNOWN ones.
    claim_only_waiting: bool = True
    #: A claim whose lease has run out becomes UNKNOWN, and is not taken over.
    lease_out_becomes_unknown: bool = True
    #: A WAITING message is claimed only if it is still as it was met.
    take_over_as_met: bool = True
    #: A sender whose claim was written, but not confirmed, recognises its token.
    own_claim_recognised: bool = True
    #: Nothing is posted when the lease may not outlast the call.
    post_within_lease: bool = True
    #: What Infobip did with a post whose answer is missing, nobody knows.
    unclear_answer_is_unknown: bool = True
    #: An outcome is written only by the holder of the claim.
    outcome_needs_token: bool = True
    #: An outcome is written only over CLAIMED.
    outcome_needs_claimed: bool = True
    #: That an attempt is refused as a repeat may be due to somebody else's message.
    duplicate_id_is_no_proof: bool = True
    #: The record is acknowledged only when the message has a verdict.
    acknowledge_only_with_verdict: bool = True
    #: A quarantined record is in the dead-letter queue before it is acknowledged.
    dead_letter_before_acknowledging: bool = True
    #: The reconciler changes a message only if it is still as it was read.
    reconcile_as_read: bool = True
    #: An unknown message is not sent again before the logs were asked.
    ask_before_sending_again: bool = True
    #: Absence counts only after three answers.
    three_answers_needed: bool = True
    #: A question that was not answered says nothing.
    failed_questions_do_not_count: bool = True
    #: A message that the logs do not know is sent again only where that was asked for.
    send_again_only_if_must_arrive: bool = True
    #: A log row of another recipient does not prove that this message was accepted.
    log_row_needs_recipient: bool = True
    #: Such a row does not keep the absence of this message from being counted either.
    foreign_row_is_absence: bool = True
    #: A report overrides every state that is not proven, QUARANTINED too.
    report_overrides_unproven: bool = True
    #: A proof changes a message only if it is still as it was read ...
    prove_as_read: bool = True
    #: ... and is written again until it stands.
    prove_until_it_stands: bool = True


GUARDS = Guards()


@dataclass(frozen=True, slots=True)
class Environment:
    """What may happen around the protocol; TLA+ gives such values to the constants of a model."""

    name: str
    must_arrive: bool = False
    #: Infobip refuses a message id that it knows; else it sends again.
    refuses_duplicates: bool = False
    #: Whether somebody else has used the message id, for another recipient: not at all, with the
    #: logs still telling, or too long ago for the logs.
    foreign: Literal["", "listed", "forgotten"] = ""
    logs_lag_is_bounded: bool = False
    #: How many senders may be killed.
    kills: int = 2
    #: Leases run out while their holder is still at work, and answers of Infobip get lost.
    rough: bool = True
    #: Reports may also say that the message was delivered.
    final_reports: bool = False
    #: Records get so old that they are dead-lettered whatever the state.
    records_age: bool = False
    senders: int = 2
    reconcilers: int = 1


# --- The state -------------------------------------------------------------------------------


class Message(NamedTuple):
    """The item in the ledger."""

    state: str = ABSENT
    lease_out: bool = False
    absent_answers: int = 0
    #: The outcome of this attempt or of an earlier one was unknown.
    was_unknown: bool = False
    #: Infobip has refused the message id as one that it knows.
    duplicate_id: bool = False
    #: The last claim.
    token: int = 0

    def become(self, state: str) -> Message:
        """Change the state; what only an unknown outcome needs is forgotten."""
        was_unknown = self.was_unknown or state == UNKNOWN
        return self._replace(
            state=state, absent_answers=0, was_unknown=was_unknown, duplicate_id=False
        )


class Actor(NamedTuple):
    """A run of the sender, of the reconciler or of what records reports, between two steps."""

    step: str = "idle"
    #: The state that was read, or the answer that was got.
    known: str = ""
    absent_answers: int = 0
    #: To a sender: an earlier attempt may have been accepted. To a reconciler: Infobip has refused
    #: the id as one that it knows.
    repeated: bool = False
    #: The claim that a sender holds, or that was read.
    token: int = 0


IDLE = Actor()


class State(NamedTuple):
    """Everything that the next step depends on."""

    reconcilers: tuple[Actor, ...]
    senders: tuple[Actor, ...]
    report: Actor
    message: Message
    #: How many senders may still be killed.
    kills_left: int
    acceptances: int = 0
    #: The logs show the message.
    listed: bool = False
    #: Posts that nobody waits for any more, and that Infobip has not seen yet.
    in_flight: int = 0
    acknowledged: bool = False
    dead_lettered: bool = False
    #: How many claims there were, to give each another token.
    claims: int = 0

    def sender(self, index: int, actor: Actor, **changes: object) -> State:
        """Let a sender go on."""
        senders = _put(self.senders, index, actor)
        return self._replace(senders=senders, **changes)  # type: ignore[arg-type]

    def reconciler(self, index: int, actor: Actor, **changes: object) -> State:
        """Let a run of the reconciler go on."""
        reconcilers = _put(self.reconcilers, index, actor)
        return self._replace(reconcilers=reconcilers, **changes)  # type: ignore[arg-type]

    def is_as_known(self, actor: Actor) -> bool:
        """Return whether the message is still as an actor has read it."""
        return self.message.state == actor.known and self.message.token == actor.token

    def has_verdict(self) -> bool:
        """Return whether nothing is left to be done."""
        return self.acknowledged and (self.message.state in ACCEPTED_OR_FINAL or self.dead_lettered)

    def key(self) -> object:
        """Describe the state so that those that differ only in names are equal."""
        held = self.message.token

        def order(actor: Actor) -> tuple[object, ...]:
            return *actor[:-1], actor.token == held

        actors = [*sorted(self.senders, key=order), *sorted(self.reconcilers, key=order)]
        actors.append(self.report)
        names = {0: 0, held: 1}
        tokens = [names.setdefault(actor.token, len(names)) for actor in actors]
        shapes = [actor[:-1] for actor in actors]
        return (*tokens, *shapes, self.message[:-1], *self[4:-1])


Step = tuple[str, State]


def _put(actors: tuple[Actor, ...], index: int, actor: Actor) -> tuple[Actor, ...]:
    return (*actors[:index], actor, *actors[index + 1 :])


# --- What may happen next --------------------------------------------------------------------


def steps(state: State, environment: Environment, guards: Guards) -> Iterator[Step]:
    """Yield every event that is possible in a state, in words, and the state that follows."""
    for index in range(len(state.senders)):
        yield from _sender(state, index, environment, guards)
        yield from _kill(state, index)
    for index in range(len(state.reconcilers)):
        yield from _reconciler(state, index, environment, guards)
    if state.acceptances:
        yield from _reports(state, environment, guards)
    yield from _surroundings(state, environment)


def _sender(state: State, index: int, environment: Environment, guards: Guards) -> Iterator[Step]:
    """One step of `send_message`."""
    actor, name = state.senders[index], f"sender {index + 1}"
    if actor.step == "idle":
        yield from _claim(state, index, environment, guards)
    elif actor.step == "met":
        yield from _take_over(state, index, environment, guards)
    elif actor.step == "holds":
        lease_lasts = state.message.token == actor.token and not state.message.lease_out
        if lease_lasts or not guards.post_within_lease:
            yield f"{name} posts", state.sender(index, actor._replace(step="posted"))
        answered = actor._replace(step="answered", known="not processed")
        yield f"{name} has no time left to post", state.sender(index, answered)
    elif actor.step == "posted":
        yield from _post(state, index, environment)
    elif actor.step == "answered":
        yield from _record(state, index, environment, guards)
    elif actor.step == "acknowledges":
        yield f"{name} acknowledges the record", state.sender(index, IDLE, acknowledged=True)
    elif actor.step == "dead-letters":
        yield f"{name} dead-letters the record", state.sender(index, IDLE, dead_lettered=True)


def _claim(state: State, index: int, environment: Environment, guards: Guards) -> Iterator[Step]:
    """`MessageLedger.claim`: the INSERT, and the read after it has failed.

    SQS may deliver the record at any time, also while another sender has it, and even once more
    after it was acknowledged.
    """
    name, message = f"sender {index + 1}", state.message
    if message.state == ABSENT or not guards.claim_only_absent:
        token = state.claims + 1
        claimed = state._replace(message=Message(CLAIMED, token=token), claims=token)
        holder = Actor("holds", token=token)
        yield f"{name} claims the message", claimed.sender(index, holder)
        if not guards.own_claim_recognised:
            event = f"{name} claims the message, but takes the claim for another's"
            yield from _dispose((event, claimed), index, CLAIMED, environment, guards)
    elif _calls_for_a_write(message, guards):
        met = Actor("met", message.state, repeated=message.was_unknown, token=message.token)
        yield f"{name} meets the message {message.state}", state.sender(index, met)
    else:
        event = f"{name} meets the message {message.state}"
        yield from _dispose((event, state), index, message.state, environment, guards)


def _calls_for_a_write(message: Message, guards: Guards) -> bool:
    lease_out = message.state == CLAIMED and message.lease_out
    unknown = message.state == UNKNOWN and not guards.claim_only_waiting
    return lease_out or unknown or message.state == WAITING


def _take_over(
    state: State, index: int, environment: Environment, guards: Guards
) -> Iterator[Step]:
    """`MessageLedger.claim`: the write that a met message calls for."""
    actor, name, message = state.senders[index], f"sender {index + 1}", state.message
    loses_lease = actor.known == CLAIMED and guards.lease_out_becomes_unknown
    as_met = state.is_as_known(actor) or not (loses_lease or guards.take_over_as_met)
    if not as_met:
        event = f"{name} finds the message {message.state} meanwhile"
        yield from _dispose((event, state), index, message.state, environment, guards)
    elif loses_lease:
        after = state._replace(message=message.become(UNKNOWN))
        event = f"{name} writes UNKNOWN, since the lease of claim {actor.token} has run out"
        yield from _dispose((event, after), index, UNKNOWN, environment, guards)
    else:
        token = state.claims + 1
        claimed = message.become(CLAIMED)._replace(token=token, lease_out=False)
        holder = Actor("holds", token=token, repeated=actor.repeated)
        yield f"{name} claims it", state.sender(index, holder, message=claimed, claims=token)


def _post(state: State, index: int, environment: Environment) -> Iterator[Step]:
    """`OmniClient.send_advanced`, and what Infobip does."""
    actor, name = state.senders[index], f"sender {index + 1}"
    if environment.refuses_duplicates and (state.acceptances or environment.foreign):
        effects = [("duplicate id", 0)]
    else:
        effects = [("accepted", 1), ("refused", 0)]
    for answer, accepted in (*effects, ("not processed", 0)):
        after = {"acceptances": state.acceptances + accepted}
        answered = actor._replace(step="answered", known=answer)
        yield f"Infobip answers {name}: {answer}", state.sender(index, answered, **after)
        if environment.rough:
            lost = answered._replace(known="unknown")
            event = f"Infobip's answer to {name} ({answer}) is lost"
            yield event, state.sender(index, lost, **after)
    if environment.rough and state.in_flight < MOST_IN_FLIGHT:
        lost = actor._replace(step="answered", known="unknown")
        event = f"{name} stops waiting for an answer; its post is still under way"
        yield event, state.sender(index, lost, in_flight=state.in_flight + 1)


def _record(state: State, index: int, environment: Environment, guards: Guards) -> Iterator[Step]:
    """`MessageLedger.record`."""
    actor, name, message = state.senders[index], f"sender {index + 1}", state.message
    own = message.token == actor.token or not guards.outcome_needs_token
    claimed = message.state == CLAIMED or not guards.outcome_needs_claimed
    if not (own and claimed):
        event = f"{name} cannot record '{actor.known}': the message is {message.state}"
        yield from _dispose((event, state), index, message.state, environment, guards)
        return
    outcome = _outcome(actor, guards)
    duplicate = actor.known == "duplicate id" and outcome == UNKNOWN
    after = state._replace(message=message.become(outcome)._replace(duplicate_id=duplicate))
    event = f"{name} records {outcome}"
    yield from _dispose((event, after), index, outcome, environment, guards)
    yield f"{name} records {outcome}, hears nothing, and is about to repeat that", after


def _outcome(actor: Actor, guards: Guards) -> MessageState:
    """`delivery.read_answer` and its neighbours."""
    if actor.known == "duplicate id":
        return UNKNOWN if guards.duplicate_id_is_no_proof else ACCEPTED
    if actor.known == "unknown":
        return UNKNOWN if guards.unclear_answer_is_unknown else WAITING
    return {"accepted": ACCEPTED, "refused": REJECTED, "not processed": WAITING}[actor.known]


def _dispose(
    learnt: Step, index: int, known: str, environment: Environment, guards: Guards
) -> Iterator[Step]:
    """`send_queue.disposition`: the end of the record, or its return to the queue.

    It is joined to the event by which the sender learns where the message stands: nobody else can
    tell how much later it comes, and a sender that is killed in between is like one that was
    killed before.
    """
    event, state = learnt
    if known in ACCEPTED_OR_FINAL:
        after = state.sender(index, IDLE, acknowledged=True)
        yield f"{event}, and acknowledges the record", after
    elif known == QUARANTINED and not guards.dead_letter_before_acknowledging:
        after = state.sender(index, Actor("dead-letters"), acknowledged=True)
        yield f"{event}, and acknowledges the record", after
    elif known == QUARANTINED:
        after = state.sender(index, Actor("acknowledges"), dead_lettered=True)
        yield f"{event}, and dead-letters the record", after
    else:
        yield f"{event}, and returns the record", state.sender(index, IDLE)
        if environment.records_age:
            after = state.sender(index, Actor("acknowledges"), dead_lettered=True)
            yield f"{event}, and dead-letters the record", after
        if not guards.acknowledge_only_with_verdict:
            after = state.sender(index, IDLE, acknowledged=True)
            yield f"{event}, and acknowledges the record", after


def _kill(state: State, index: int) -> Iterator[Step]:
    """Killed before it has claimed anything, a sender leaves as much behind as one that waits."""
    actor, name = state.senders[index], f"sender {index + 1}"
    if state.kills_left and actor.step not in {"idle", "met"}:
        left = {"kills_left": state.kills_left - 1}
        yield f"{name} is killed", state.sender(index, IDLE, **left)
        if actor.step == "posted" and state.in_flight < MOST_IN_FLIGHT:
            event = f"{name} is killed; its post is still under way"
            yield event, state.sender(index, IDLE, in_flight=state.in_flight + 1, **left)


def _reconciler(
    state: State, index: int, environment: Environment, guards: Guards
) -> Iterator[Step]:
    """One step of `reconcile_messages`; a run that is killed is like one that never goes on."""
    actor, name, message = state.reconcilers[index], f"reconciler {index + 1}", state.message
    if actor.step == "idle" and message.state == UNKNOWN:
        yield from _ask(state, index, environment, guards)
    elif actor.step == "idle" and message.state == CLAIMED and message.lease_out:
        read = Actor("loses lease", CLAIMED, token=message.token)
        yield f"{name} reads the message CLAIMED", state.reconciler(index, read)
    elif actor.step == "loses lease":
        event = f"{name} writes UNKNOWN, since the lease of claim {actor.token} has run out"
        yield _change(event, state, index, message.become(UNKNOWN), guards)
    elif actor.step != "idle":
        yield from _conclude(state, index, environment, guards)


def _ask(state: State, index: int, environment: Environment, guards: Guards) -> Iterator[Step]:
    """`reconcile_messages.query_logs`: reads the message and asks the logs about it."""
    name, message = f"reconciler {index + 1}", state.message
    read = Actor("found none", UNKNOWN, message.absent_answers, message.duplicate_id, message.token)
    if not guards.failed_questions_do_not_count:
        yield f"{name} takes a failed question for an answer", state.reconciler(index, read)
    if environment.must_arrive and not guards.ask_before_sending_again:
        asks_not = read._replace(absent_answers=ANSWERS_NEEDED)
        yield f"{name} does not ask the logs", state.reconciler(index, asks_not)
    listed = state.listed
    if environment.logs_lag_is_bounded and message.absent_answers + 1 >= ANSWERS_NEEDED:
        if state.in_flight or any(sender.step == "posted" for sender in state.senders):
            return
        listed = state.acceptances > 0
    answer = "own" if listed else "foreign" if environment.foreign == "listed" else "none"
    asked = read._replace(step=f"found {answer}")
    event = f"{name} asks the logs about claim {message.token}, which show {answer}"
    yield event, state.reconciler(index, asked, listed=listed)


def _conclude(state: State, index: int, environment: Environment, guards: Guards) -> Iterator[Step]:
    """`reconcile_messages.decide`: what the logs' answer changes."""
    actor, name, message = state.reconcilers[index], f"reconciler {index + 1}", state.message
    foreign = actor.step == "found foreign"
    if actor.step == "found own" or (foreign and not guards.log_row_needs_recipient):
        changed, event = message.become(ACCEPTED), f"{name} writes ACCEPTED"
    elif foreign and actor.repeated:
        changed, event = message.become(REJECTED), f"{name} writes REJECTED"
    elif foreign and not guards.foreign_row_is_absence:
        changed, event = message, f"{name} does not know what to do"
    elif actor.absent_answers + 1 < (ANSWERS_NEEDED if guards.three_answers_needed else 1):
        counted = actor.absent_answers + 1
        changed = message._replace(absent_answers=counted) if message.state == UNKNOWN else message
        event = f"{name} counts absence number {counted}"
    elif _sends_again(actor, environment, guards):
        changed, event = message.become(WAITING), f"{name} writes WAITING"
    else:
        changed, event = message.become(QUARANTINED), f"{name} writes QUARANTINED"
    yield _change(event, state, index, changed, guards)


def _sends_again(actor: Actor, environment: Environment, guards: Guards) -> bool:
    """What the reconciler does about a message that the logs do not know."""
    # A message whose id was refused would be refused again, and so on forever.
    asked_for = environment.must_arrive and not actor.repeated
    return asked_for or not guards.send_again_only_if_must_arrive


def _change(event: str, state: State, index: int, changed: Message, guards: Guards) -> Step:
    """`MessageLedger._guarded`: nothing is written over what was not read."""
    if guards.reconcile_as_read and not state.is_as_known(state.reconcilers[index]):
        name = f"reconciler {index + 1}"
        return f"{name} finds the message changed", state.reconciler(index, IDLE)
    return event, state.reconciler(index, IDLE, message=changed)


def _reports(state: State, environment: Environment, guards: Guards) -> Iterator[Step]:
    """`DeliveryReports.record`, for a report that only proves, and for one that settles."""
    actor, message = state.report, state.message
    unproven = UNPROVEN if guards.report_overrides_unproven else frozenset({CLAIMED})
    done = Actor("done")
    if actor.step == "idle":
        read = Actor("read", message.state, token=message.token)
        read = read if message.state in unproven else done
        yield f"a report finds the message {message.state}", state._replace(report=read)
    elif actor.step == "read":
        after = IDLE if guards.prove_until_it_stands else done
        if state.is_as_known(actor) or not guards.prove_as_read:
            proven = message.become(ACCEPTED)
            yield "the report writes ACCEPTED", state._replace(report=after, message=proven)
        else:
            yield "the report finds the message changed", state._replace(report=after)
    if environment.final_reports and message.state != DELIVERED:
        settled = message.become(DELIVERED)
        yield "a final report writes DELIVERED", state._replace(message=settled)


def _surroundings(state: State, environment: Environment) -> Iterator[Step]:
    """Yield what time, the network and Infobip do by themselves."""
    message = state.message
    held = any(actor.token == message.token for actor in state.senders)
    if message.state == CLAIMED and not message.lease_out and (environment.rough or not held):
        out = message._replace(lease_out=True)
        yield f"the lease of claim {message.token} runs out", state._replace(message=out)
    if state.acceptances and not state.listed:
        yield "the logs begin to show the message", state._replace(listed=True)
    if state.in_flight:
        arrived = state._replace(in_flight=state.in_flight - 1)
        yield "a post under way is lost", arrived
        if not (environment.refuses_duplicates and (state.acceptances or environment.foreign)):
            accepted = arrived._replace(acceptances=state.acceptances + 1)
            yield "Infobip accepts a post that was under way", accepted


# --- The search ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a search has found."""

    states: int
    #: The promise that is broken; empty when all are kept.
    broken: str = ""
    #: The shortest sequence of events that breaks it.
    trace: tuple[str, ...] = field(default=(), repr=False)


def explore(environment: Environment, guards: Guards = GUARDS, promise: str = "") -> Exploration:
    """Go through all states, nearest first, until a promise breaks.

    Args:
        environment: What may happen.
        guards: The conditions of the protocol.
        promise: The only promise to look at; empty for all.
    """
    runs, senders = (IDLE,) * environment.reconcilers, (IDLE,) * environment.senders
    start = State(runs, senders, IDLE, Message(), environment.kills)
    found = [start]
    numbers = {start.key(): 0}
    origins: list[tuple[int, str]] = [(0, "")]
    predecessors: list[list[int]] = [[]]
    left = deque([0])
    while left:
        number = left.popleft()
        before = found[number]
        for event, after in steps(before, environment, guards):
            broken = _broken(before, after, environment)
            if broken and promise in {"", broken}:
                return Exploration(len(found), broken, (*_trace(number, origins), event))
            key = after.key()
            known = numbers.get(key)
            if known is None:
                known = numbers[key] = len(found)
                found.append(after)
                origins.append((number, event))
                predecessors.append([])
                left.append(known)
            predecessors[known].append(number)
    stuck = _first_dead_end(found, predecessors)
    if stuck is not None and promise in {"", "dead end"}:
        return Exploration(len(found), "dead end", _trace(stuck, origins))
    return Exploration(len(found))


def _broken(before: State, after: State, environment: Environment) -> str:
    """Name the promise that a step breaks, if any."""
    state = after.message.state
    broken = ""
    if after.acceptances > 1:
        broken = "at most once"
    elif after.acknowledged and not after.has_verdict():
        broken = "no verdict"
    elif after.report.step == "done" and state not in {ACCEPTED, DELIVERED}:
        broken = "proof ignored"
    elif before.message.state == DELIVERED != state:
        broken = "delivery undone"
    elif state == ACCEPTED and not after.acceptances:
        broken = "wrongly accepted"
    elif state == QUARANTINED and not (
        environment.rough or environment.kills or environment.foreign
    ):
        broken = "needless quarantine"
    return broken


def _first_dead_end(found: Sequence[State], predecessors: Sequence[Sequence[int]]) -> int | None:
    """Find the state nearest to the start from which no verdict can be reached."""
    reaching = {number for number, state in enumerate(found) if state.has_verdict()}
    left = [*reaching]
    while left:
        for number in predecessors[left.pop()]:
            if number not in reaching:
                reaching.add(number)
                left.append(number)
    return next((number for number in range(len(found)) if number not in reaching), None)


def _trace(number: int, origins: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    events: list[str] = []
    while number:
        number, event = origins[number]
        events.append(event)
    return tuple(reversed(events))


_MUST_ARRIVE = Environment("must-arrive", must_arrive=True, logs_lag_is_bounded=True)
_ID_IN_USE: dict[str, Literal["listed", "forgotten"]] = {
    "id in use": "listed",
    "id used before": "forgotten",
}
#: What the protocol is held to: no event that is possible here may break a promise.
ENVIRONMENTS = (
    Environment("calm", kills=0, rough=False, final_reports=True),
    Environment("never-duplicate"),
    Environment("never-duplicate, one sender", senders=1, final_reports=True),
    Environment("never-duplicate, overlapping runs", senders=1, reconcilers=2),
    Environment("never-duplicate, old records", senders=1, records_age=True),
    Environment("never-duplicate, id used twice", senders=1, foreign="listed"),
    *(
        Environment(f"never-duplicate, {name}", refuses_duplicates=True, foreign=foreign)
        for name, foreign in _ID_IN_USE.items()
    ),
    _MUST_ARRIVE,
    replace(_MUST_ARRIVE, name="must-arrive, overlapping runs", senders=1, reconcilers=2, kills=0),
    replace(_MUST_ARRIVE, name="must-arrive, repeats refused", senders=1, refuses_duplicates=True),
    *(
        replace(
            _MUST_ARRIVE,
            name=f"must-arrive, {name}, calm",
            refuses_duplicates=True,
            foreign=foreign,
            rough=False,
            kills=0,
        )
        for name, foreign in _ID_IN_USE.items()
    ),
)


def main() -> int:
    """Try the environments, as a whole or without one guard, until a promise breaks.

    Returns:
        The exit code: 1 when one does.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.model")
    names = [guard.name for guard in fields(Guards)]
    parser.add_argument("--without", choices=names, metavar="GUARD", help=", ".join(names))
    without = parser.parse_args().without
    guards = replace(GUARDS, **{without: False}) if without else GUARDS
    for environment in ENVIRONMENTS:
        found = explore(environment, guards)
        outcome = f"broken: {found.broken}" if found.broken else "all promises are kept"
        sys.stdout.write(f"{environment.name}: {found.states} states, {outcome}\n")
        if found.broken:
            lines = (f"{number:4} {event}\n" for number, event in enumerate(found.trace, start=1))
            sys.stdout.writelines(lines)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
