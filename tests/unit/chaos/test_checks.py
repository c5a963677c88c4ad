"""Each check finds its violation in a tiny history, and none in a sound one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infobip_omni.delivery_reports import FOREIGN_ID
from infobip_omni.message import MESSAGE_ENTRY, MessageState
from tests.chaos import checks
from tests.chaos.checks import CHECKS
from tests.chaos.history import History, PageEnd, TakenPage
from tests.chaos.traffic import Event

KEY = ("m1", "SMS", "DELIVERED_TO_HANDSET", "12:00")
EVENT = Event("single", "{}", ["m1"], variant="a", record_id="r1")
POISON = Event("poison", "{", [], record_id="r1")
REPORT = {
    "channel": "SMS",
    "status": "DELIVERED_TO_HANDSET",
    "doneAt": "12:00",
    "pushes": 0,
    "pages": [{"page": 1, "fault": None}],
}
CUT_PAGE = {"page": 1, "fault": "cut_answer"}
DELIVERED = {"name": "DELIVERED_TO_HANDSET", "groupName": "DELIVERED", "channel": "SMS"}
TRUTH = {"acceptances": 1, "finalStatus": DELIVERED, "steps": [], "reports": [REPORT]}
RAW = json.dumps(
    {
        "messageId": "m1",
        "channel": "SMS",
        "status": {"name": "DELIVERED_TO_HANDSET"},
        "doneAt": "12:00",
    }
)
RECORDED = {"messageId": "m1", "entry": "REPORT#1", "report": RAW}


def message(state: str | None, **attributes: str) -> dict[str, Any]:
    """Return the item of the only message."""
    return {"messageId": "m1", "entry": MESSAGE_ENTRY, "state": state, **attributes}


#: One message, sent and delivered; its report was pulled and recorded.
SOUND = History(
    events=(EVENT,),
    foreign_ids=frozenset(),
    truth={"m1": TRUTH},
    dead_lettered=(),
    acknowledged=frozenset({"r1"}),
    items=(message(MessageState.DELIVERED, verdictRank="1"), RECORDED),
    pages=(TakenPage(frozenset({KEY}), PageEnd.SAFE),),
    interrupted_pulls=0,
    raised=(),
    outputs={},
    records_left=0,
    is_drained=True,
)
UNSENT = replace(SOUND, truth={}, pages=(), items=())
UNRECORDED = replace(SOUND, items=SOUND.items[:1])


def pushed(answered: int) -> History:
    """Return a history without the report, with this many of its calls answered with 2xx."""
    report = REPORT | {"pushes": answered, "pages": []}
    return replace(UNRECORDED, pages=(), truth={"m1": TRUTH | {"reports": [report]}})


def found(history: History, check: checks.Check) -> list[tuple[str, str, str]]:
    """Run a check; return promise, subject and text of each violation."""
    return [(each.promise, each.subject, each.what) for each in check(history)]


@pytest.mark.parametrize("check", CHECKS)
def test_sound_history_passes(check: checks.Check) -> None:
    """A message that was sent, delivered and recorded breaks no promise."""
    assert not list(check(SOUND))


BROKEN: dict[str, tuple[checks.Check, History, tuple[str, str, str]]] = {
    "function raises": (
        checks.functions_do_not_raise,
        replace(SOUND, raised=("KeyError: 'x'",)),
        ("P2", "", "a function raised KeyError: 'x'"),
    ),
    "drain takes too long": (
        checks.everything_is_drained,
        replace(SOUND, is_drained=False),
        ("P2", "", "the run did not drain in time"),
    ),
    "record is left": (
        checks.everything_is_drained,
        replace(SOUND, records_left=2),
        ("P2", "", "2 records are left on the queues"),
    ),
    "message is sent twice": (
        checks.at_most_once,
        replace(SOUND, truth={"m1": TRUTH | {"acceptances": 2}}),
        ("P1", "m1", "Infobip accepted it 2 times (never-duplicate)"),
    ),
    "message that must arrive is sent twice": (
        checks.at_most_once,
        replace(
            SOUND,
            events=(replace(EVENT, must_arrive=True),),
            truth={"m1": TRUTH | {"acceptances": 2}},
        ),
        ("P1", "m1", "Infobip accepted it 2 times (must-arrive)"),
    ),
    "id of another account is sent twice": (
        checks.at_most_once,
        replace(SOUND, foreign_ids=frozenset({"m1"}), truth={"m1": TRUTH | {"acceptances": 3}}),
        ("P1", "m1", "Infobip accepted it 2 times (never-duplicate)"),
    ),
    "poison is acknowledged": (
        checks.invalid_events_are_dead_lettered,
        replace(UNSENT, events=(POISON,)),
        ("P2", "r1", "an invalid event must be dead-lettered as INVALID; reasons: none"),
    ),
    "poison has another reason": (
        checks.invalid_events_are_dead_lettered,
        replace(UNSENT, events=(POISON,), dead_lettered=(("r1", "CONFLICT"),)),
        ("P2", "r1", "an invalid event must be dead-lettered as INVALID; reasons: CONFLICT"),
    ),
    "valid event is invalid": (
        checks.invalid_events_are_dead_lettered,
        replace(SOUND, dead_lettered=(("r1", "INVALID"),)),
        ("P2", "r1", "a valid event is dead-lettered as INVALID"),
    ),
    "message is quarantined and its record gone": (
        checks.always_resolved,
        replace(UNSENT, items=(message(MessageState.QUARANTINED),)),
        ("P2", "m1", "it is quarantined, but its record is not dead-lettered"),
    ),
    "message stays unknown": (
        checks.always_resolved,
        replace(
            UNSENT, items=(message(MessageState.UNKNOWN),), dead_lettered=(("r1", "UNRESOLVED"),)
        ),
        ("P2", "m1", "its state is still UNKNOWN"),
    ),
    "record is acknowledged unsent": (
        checks.always_resolved,
        replace(UNSENT, items=(message(MessageState.WAITING),)),
        ("P2", "m1", "its record is acknowledged, its state is WAITING"),
    ),
    "record is lost": (
        checks.always_resolved,
        replace(UNSENT, acknowledged=frozenset()),
        ("P2", "m1", "its record is lost, its state is None"),
    ),
    "conflict is accepted": (
        checks.conflicts_are_refused,
        replace(SOUND, events=(EVENT, replace(EVENT, variant="b", record_id="r2"))),
        ("P2", "m1", "a conflict went unnoticed"),
    ),
    "message is lost": (
        checks.no_message_is_lost,
        UNSENT,
        ("P4", "", "1 messages are neither settled, quarantined nor dead-lettered"),
    ),
    "Infobip has more messages": (
        checks.accepted_adds_up,
        replace(SOUND, items=(message(MessageState.WAITING),)),
        ("P4", "", "accepted in the table 0, at Infobip 1; quarantined 0"),
    ),
    "Infobip has fewer messages": (
        checks.accepted_adds_up,
        replace(SOUND, truth={}),
        ("P4", "", "accepted in the table 1, at Infobip 0; quarantined 0"),
    ),
    "accepted message is unknown to Infobip": (
        checks.accepted_is_at_infobip,
        replace(SOUND, truth={}),
        ("P4", "m1", "the table has it as accepted, but Infobip does not know it"),
    ),
    "state is wrong": (
        checks.states_are_true,
        replace(SOUND, items=(message(MessageState.EXPIRED),)),
        ("P3", "m1", "the table has it as EXPIRED, Infobip as DELIVERED"),
    ),
    "state is that of another account's message": (
        checks.states_are_true,
        replace(
            SOUND,
            foreign_ids=frozenset({"m1"}),
            truth={
                "m1": TRUTH
                | {
                    "acceptances": 2,
                    "steps": [
                        {"groupName": "DELIVERED", "acceptance": 1},
                        {"groupName": "EXPIRED", "acceptance": 2},
                    ],
                }
            },
        ),
        ("P3", "m1", "the table has it as DELIVERED, Infobip as EXPIRED"),
    ),
    "page is left": (
        checks.pages_are_recorded,
        replace(SOUND, items=(*SOUND.items, {"messageId": "pages", "entry": "PAGE#1"})),
        ("P3", "PAGE#1", "a page of reports is not recorded"),
    ),
    "report of a safe page is missing": (
        checks.no_report_is_lost,
        UNRECORDED,
        ("P3", "m1", "a report is missing; its page: safe"),
    ),
    "report of a dropped page is missing": (
        checks.no_report_is_lost,
        replace(UNRECORDED, pages=(TakenPage(frozenset({KEY})),)),
        ("P3", "m1", "a report is missing; its page: the run dropped the page silently"),
    ),
    "pushed report is missing": (
        checks.no_report_is_lost,
        pushed(1),
        ("P3", "m1", "a report is missing although its call was answered with 2xx"),
    ),
    "page is not read": (
        checks.no_report_is_lost,
        replace(UNRECORDED, pages=()),
        ("P3", "", "no run read 1 intact pages, but only 0 pulls were interrupted"),
    ),
    "report is made up": (
        checks.no_report_is_made_up,
        replace(SOUND, truth={"m1": TRUTH | {"reports": []}}),
        ("P3", "m1", "the table has a report that Infobip never made"),
    ),
    "foreign call is made up": (
        checks.no_report_is_made_up,
        replace(
            UNRECORDED,
            items=(SOUND.items[0], {"messageId": FOREIGN_ID, "entry": "1", "raw": RAW}),
            truth={"m1": TRUTH | {"reports": []}},
        ),
        ("P3", "m1", "the table has a report that Infobip never made"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_violation_is_found(case: str) -> None:
    check, history, violation = BROKEN[case]
    assert found(history, check) == [violation]


EXCUSED: dict[str, tuple[checks.Check, History]] = {
    "poison is dead-lettered": (
        checks.invalid_events_are_dead_lettered,
        replace(UNSENT, events=(POISON,), dead_lettered=(("r1", "INVALID"),)),
    ),
    "record of a quarantined message is dead-lettered": (
        checks.always_resolved,
        replace(
            UNSENT,
            items=(message(MessageState.QUARANTINED),),
            dead_lettered=(("r1", "UNRESOLVED"),),
        ),
    ),
    "invalid event needs no message": (
        checks.always_resolved,
        replace(UNSENT, dead_lettered=(("r1", "INVALID"),)),
    ),
    "conflict is refused": (
        checks.conflicts_are_refused,
        replace(
            SOUND,
            events=(EVENT, replace(EVENT, variant="b", record_id="r2")),
            dead_lettered=(("r2", "CONFLICT"),),
        ),
    ),
    "event is repeated": (
        checks.conflicts_are_refused,
        replace(SOUND, events=(EVENT, replace(EVENT, record_id="r2"))),
    ),
    "message is dead-lettered": (
        checks.no_message_is_lost,
        replace(UNSENT, dead_lettered=(("r1", "EXHAUSTED"),)),
    ),
    "Infobip has a quarantined message": (
        checks.accepted_adds_up,
        replace(SOUND, items=(message(MessageState.QUARANTINED),)),
    ),
    "refused message does not count as accepted": (
        checks.accepted_is_at_infobip,
        replace(SOUND, truth={}, items=(message(MessageState.REJECTED),)),
    ),
    "state of a quarantined message is open": (
        checks.states_are_true,
        replace(SOUND, items=(message(MessageState.QUARANTINED),)),
    ),
    "run with the page was killed": (
        checks.no_report_is_lost,
        replace(UNRECORDED, pages=(TakenPage(frozenset({KEY}), PageEnd.RUN_KILLED),)),
    ),
    "neither table nor queue took the page": (
        checks.no_report_is_lost,
        replace(UNRECORDED, pages=(TakenPage(frozenset({KEY}), PageEnd.NOT_STORED),)),
    ),
    "pull was cut": (checks.no_report_is_lost, replace(UNRECORDED, pages=(), interrupted_pulls=1)),
    "answer was lost in transit": (
        checks.no_report_is_lost,
        replace(
            UNRECORDED,
            pages=(),
            truth={"m1": TRUTH | {"reports": [REPORT | {"pages": [CUT_PAGE]}]}},
        ),
    ),
    "call is not answered with 2xx": (checks.no_report_is_lost, pushed(0)),
    "message belongs to another account": (
        checks.at_most_once,
        replace(SOUND, foreign_ids=frozenset({"m1"}), truth={"m1": TRUTH | {"acceptances": 2}}),
    ),
}


@pytest.mark.parametrize("case", EXCUSED)
def test_excused_history_passes(case: str) -> None:
    """It looks like a violation but is none."""
    check, history = EXCUSED[case]
    assert not found(history, check)


def test_every_check_has_a_violation_to_find() -> None:
    """The check of the printed lines has its own tests below."""
    assert {check for check, _, _ in BROKEN.values()} == set(CHECKS) - {
        checks.nothing_personal_is_printed
    }


@pytest.mark.parametrize(
    "personal",
    ["999071234567890", "canary-text of event 1", "canary-api-key", "canary-registration"],
)
def test_personal_line_is_found(personal: str) -> None:
    """The violation does not quote the phone number, text or key."""
    history = replace(SOUND, outputs={"send-0": f"fine\nmessage to {personal}\n"})
    assert found(history, checks.nothing_personal_is_printed) == [
        ("P5", "send-0", "line 2 holds personal data after 'message to '")
    ]


def test_harmless_line_passes() -> None:
    """Message ids may be printed."""
    history = replace(SOUND, outputs={"send-0": '{"message_id": "m1"}\n'})
    assert not found(history, checks.nothing_personal_is_printed)


@pytest.mark.parametrize(
    ("history", "is_final"),
    [
        (BROKEN["message is sent twice"][1], True),
        (BROKEN["record is acknowledged unsent"][1], True),
        (BROKEN["pushed report is missing"][1], True),
        (BROKEN["record is lost"][1], False),
        (BROKEN["state is wrong"][1], False),
        (BROKEN["report of a safe page is missing"][1], False),
    ],
)
def test_only_irreparable_violations_count_before_the_drain(
    history: History, is_final: object
) -> None:
    """During a run, a violation counts only if no later event can repair it."""
    undrained = replace(history, is_drained=False)
    promises = {each.promise for each in checks.violations(history)}
    final = {each.promise for each in checks.final_violations(undrained)}
    assert (promises & final != set()) is is_final
    assert list(checks.final_violations(history)) == list(checks.violations(history))
