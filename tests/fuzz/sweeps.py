"""What is decided by each body that Infobip sends, if one of its members is hostile.

What a decision does not need costs only itself, and what cannot be read costs no neighbour. Each
body has three entries, about the messages m-0, m-1 and m-2. The members of the second one are in
turn left out, doubled, and replaced; so are new members beside them.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from functions.reconcile_messages.app import answer_of, decide
from infobip_omni.absence import Candidate, LogQuery
from infobip_omni.api.client import OmniClient
from infobip_omni.api.sends import AdvancedRequest
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.log_queries import Group
from infobip_omni.message import MessageState
from infobip_omni.verdicts import read_answer
from tests.fakes import Clock, FakeLedger, make_claim, make_message

from .hostile import HOSTILE, HUGE_TEXT, Variant, variants
from .storage import StrictTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    #: Returns what was decided about each message.
    Decide = Callable[[bytes], list[object]]

IDS = ("m-0", "m-1", "m-2")
#: Whatever was sent.
SENT = AdvancedRequest((), '"sms":{"text":"a"}')
PHONE = "385991234567"
STATUS = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
_HUGE = {"huge text": HUGE_TEXT}


class AnsweringClient(OmniClient):
    """Gives every call the same answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def _call(self, *_: object, **__: object) -> bytes:
        return self._body


def report(message_id: str, **changes: object) -> dict[str, Any]:
    """Build a delivery report or log row with every member of the document."""
    return {
        "bulkId": "bulk-1",
        "messageId": message_id,
        "to": PHONE,
        "sentAt": "2026-01-31T12:00:00.000+0000",
        "doneAt": "2026-01-31T12:00:05.000+0000",
        "messageCount": 1,
        "mccMnc": "21910",
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
        "status": STATUS | {"description": "Delivered", "action": "none"},
        "error": {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "permanent": False},
        "channel": "SMS",
        "callbackData": "order 7",
        "contact": {"name": "Ada", "phoneNumber": PHONE},
        "from": "Acme",
        "text": "Hello",
    } | changes


def undelivered(message_id: str) -> dict[str, Any]:
    status = {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "UNDELIVERABLE_NOT_SENT"}
    return report(message_id, status=status)


def seen(message_id: str) -> dict[str, Any]:
    times = {"sendAt": "2026-01-31T12:00:00.000+0000", "seenAt": "2026-01-31T12:05:00.000+0000"}
    return {"messageId": message_id, "from": "Acme", "to": PHONE, "contact": None} | times


def result(message_id: str) -> dict[str, Any]:
    return {
        "to": {"phoneNumber": PHONE},
        "status": STATUS | {"groupId": 1},
        "messageId": message_id,
    }


def scenario(name: str) -> dict[str, Any]:
    flow = [{"from": "Acme", "channel": "SMS"}, {"from": "acme-app", "channel": "PUSH"}]
    return {"key": f"key of {name}", "name": name, "flow": flow, "default": False}


# --- Decisions ---------------------------------------------------------------------------------


def ledger_of_claims() -> FakeLedger:
    """Return a ledger in which the messages are claimed, and whose table is a strict one."""
    ledger, items = _ledger()
    ledger.table.items = dict(items)
    return ledger


@functools.cache
def _ledger() -> tuple[FakeLedger, dict[tuple[str, str], Any]]:
    """Return a ledger in which the messages are claimed, and its items: they are made once."""
    ledger = FakeLedger(Clock(), StrictTable())
    ledger.claim([make_claim(each) for each in IDS], timedelta(minutes=2))
    return ledger, dict(ledger.table.items)


def _recorded(body: bytes, bulk_id: str | None) -> FakeLedger:
    """Record a body; nothing is lost on the way."""
    ledger = ledger_of_claims()
    before = len(ledger.table.items)
    recorded = DeliveryReports(ledger.table, ledger, ledger.clock).record_body(body, bulk_id)
    kept = len(ledger.table.items) - before
    if (recorded.entries, kept) != (len(IDS), len(IDS)):
        raise AssertionError(f"of {len(IDS)} entries {recorded.entries} were read, {kept} stored")
    return ledger


def states_by_reports(body: bytes, bulk_id: str | None = None) -> list[object]:
    """Return the state of each message."""
    ledger = _recorded(body, bulk_id)
    return [ledger.item(each)["state"] for each in IDS]


def states_by_webhook(body: bytes) -> list[object]:
    return states_by_reports(body, "bulk-1")


def messages_seen(body: bytes) -> list[object]:
    """Return whether each message was seen."""
    found = {item["messageId"] for item in _recorded(body, "bulk-1").table.entries("SEEN#")}
    return [each in found for each in IDS]


MESSAGES = tuple(
    make_message(each, state=MessageState.UNKNOWN, steps=("PUSH", "SMS"), to={"phoneNumber": PHONE})
    for each in IDS
)
CANDIDATES = tuple(Candidate(each.id, each.claimed_at, each.unknown_at) for each in MESSAGES)
GROUP = Group(MESSAGES, LogQuery(IDS, CANDIDATES))


def verdicts_by_logs(body: bytes) -> list[object]:
    """Decide by an answer of the logs, and return the verdict or the kind of decision."""
    page = AnsweringClient(body).search_logs(message_ids=IDS)
    now = MESSAGES[0].claimed_at + timedelta(hours=1)
    decisions = decide(GROUP, page, answer_of(page), now, timedelta(minutes=10))
    absent = {each.id for each in (*decisions.given_up, *decisions.absent)}
    if absent & (page.unread_ids | {row.parsed.message_id for row in page.rows}):
        raise AssertionError("a message with a row counts as absent")
    return [decisions.verdicts[each].state if each in decisions.verdicts else None for each in IDS]


def states_by_answer(body: bytes) -> list[object]:
    answers = read_answer(AnsweringClient(body).send_advanced(SENT), IDS)
    return [each.state for each in answers]


def flows_of_scenarios(body: bytes) -> list[object]:
    """List scenarios, and return the key of each name, and whether its channels are known."""
    found = {each.name: each for each in AnsweringClient(body).list_scenarios()}
    return [
        (found[each].key, [step.channel for step in found[each].flow]) if each in found else None
        for each in IDS
    ]


# --- The sweep ---------------------------------------------------------------------------------


@dataclass
class Sweep:
    """Bodies with three entries, and what their decisions need."""

    entries: tuple[dict[str, Any], ...]
    decide: Decide
    #: Members without which nothing is decided, with the members of their own.
    needed: frozenset[str]
    #: Values of other members that decide otherwise, since they can be read.
    other: frozenset[str] = frozenset()
    member: str = "results"
    #: The hostile values, by name.
    values: Mapping[str, str] = field(default_factory=lambda: HOSTILE | _HUGE)

    @functools.cached_property
    def body(self) -> dict[str, Any]:
        """The body, with nothing hostile in it."""
        return {self.member: [*self.entries], "more": {"new": 1}}

    @functools.cached_property
    def expected(self) -> list[object]:
        """What is decided by the body."""
        return self.decide(json.dumps(self.body).encode())

    def variants(self, values: Mapping[str, str]) -> Iterator[Variant]:
        """Yield the variants of the body that have these values."""
        return variants(self.body, (self.member, 1), values)

    def problem(self, variant: Variant) -> str | None:
        """Return what is wrong with what is decided by a variant; None if nothing."""
        found = self.decide(variant.body)
        if found == self.expected:
            return None
        place = ".".join(map(str, variant.path[2:]))
        is_needed = place in self.needed and not variant.change.startswith("doubled")
        is_same = (found[0], found[2]) == (self.expected[0], self.expected[2])
        if is_same and (is_needed or f"{place}: {variant.change}" in self.other):
            return None
        return f"{variant}: {found}"


def of_each(build: Callable[[str], dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(map(build, IDS))


#: The group of a status is another one.
OTHER = frozenset(
    {
        "to: 19 digits",
        "status.groupId: zero",
        "status.groupId: negative",
        "status.groupId: 19 digits",
    }
)
FLOW = ("flow", "flow.0", "flow.1", "flow.0.channel", "flow.1.channel")
SWEEPS = {
    "delivered report": Sweep(
        of_each(report), states_by_reports, frozenset({"messageId", "status"}), OTHER
    ),
    "undelivered report": Sweep(
        of_each(undelivered),
        states_by_reports,
        frozenset({"messageId", "status", "channel"}),
        OTHER,
    ),
    "webhook call": Sweep(
        of_each(report), states_by_webhook, frozenset({"messageId", "status"}), OTHER
    ),
    "seen report": Sweep(
        of_each(seen), messages_seen, frozenset({"messageId", "seenAt"}), values=HOSTILE
    ),
    "log row": Sweep(
        of_each(undelivered),
        verdicts_by_logs,
        frozenset({"messageId", "status", "channel"}),
        OTHER,
    ),
    "answer to send": Sweep(
        of_each(result),
        states_by_answer,
        frozenset({"messageId", "status"}),
        OTHER - {"status.groupId: zero"},
        member="messages",
    ),
    "scenario": Sweep(
        of_each(scenario),
        flows_of_scenarios,
        frozenset({"key", "name", *FLOW}),
        member="scenarios",
    ),
}
