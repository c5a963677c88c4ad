"""Lists of ids prove absence whatever the server reads of them, and need each condition."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import pytest

from infobip_omni.absence import Finding
from tests.protocol import lists
from tests.protocol.lists import GUARDS, READS_ALL, SERVERS, Account, Guards, Message, run, search

#: By guard: the world and the server that take a known message for absent without it.
CONTROLS = {
    "whole_answer": ("lists", "cut"),
    "no_foreign_row": ("lists", "the filter ignored"),
    "distinct_ids": ("similar ids", "answered in lower case"),
    "first_id_shown": ("lists", "only the last"),
    "last_id_shown": ("lists", "only the first"),
    "older_witness": ("lists", "forgetful"),
    "younger_witness": ("accepted lately, between", "1.5 hours behind"),
    "witness_by_rows": ("accepted, between", "forgetful after 20 hours"),
    "witness_by_claim": ("accepted lately, between", ""),
    "calibrated": ("lists", "any two thirds"),
    "calibrated_ids": ("long ids", "any 3"),
    "calibrated_length": ("long ids", "any of 48 bytes"),
    "calibrated_rows": ("several rows", "capped at any"),
    "one_row_to_spare": ("several rows", "capped at any"),
    "rows_counted_by_id": ("several rows", "capped at any 3, a row doubled"),
    "young_enough": ("forgotten, alone", "all"),
    "attempts_over": ("under way, alone", "all"),
}
#: By guard: more servers that must be found out without it.
FURTHER_CONTROLS = [
    ("no_foreign_row", "lists", "with a foreign row"),
    ("no_foreign_row", "similar ids", "answered in upper case"),
    ("no_foreign_row", "similar ids", "answered without spaces"),
    ("distinct_ids", "similar ids", "answered without spaces"),
    ("older_witness", "lists", "capped at the newest"),
    ("younger_witness", "accepted, between", "capped at the oldest"),
    ("witness_by_rows", "accepted, between", "capped at the newest"),
    ("calibrated", "lists", "any 2"),
    ("young_enough", "forgotten, sent again, alone", "all"),
    ("attempts_over", "scheduled, alone", "all"),
]
OLD, YOUNG, *OTHERS = (
    Message(f"Seen-{age:02}-ago", age, ((age, age - 0.1),)) for age in (40, 1, 25, 20, 15, 10, 5, 3)
)
ACCEPTED = Message("Accepted", 30, ((30, 29),), over=29.9)
ABSENT = [Message(f"Absent-{number}", 30, over=29.9) for number in range(5)]
ACCOUNT = Account([OLD, YOUNG, *OTHERS, ACCEPTED, *ABSENT])


def test_no_server_makes_a_known_message_absent() -> None:
    """Whatever is read, cut, doubled, forgotten or spelled otherwise."""
    found = search()

    assert not found.counterexample
    assert found.answers > 100_000


def test_every_guard_has_a_control() -> None:
    """No condition is in the model without a test that shows what it is for."""
    assert [*CONTROLS] == [guard.name for guard in fields(Guards)]


@pytest.mark.parametrize(
    ("guard", "world", "server"),
    [*((guard, *places) for guard, places in CONTROLS.items()), *FURTHER_CONTROLS],
)
def test_without_any_one_guard_a_known_message_is_absent(
    guard: str, world: str, server: str
) -> None:
    """Each condition is needed: without it, some server hides a message that Infobip knows."""
    assert not search(GUARDS, world, server).counterexample
    assert search(replace(GUARDS, **{guard: False}), world, server).counterexample


def test_honest_server_proves_absence_by_one_list() -> None:
    """Two queries decide about all messages: one calibrates, one asks."""
    found = run(READS_ALL, ACCOUNT)

    assert found.findings == {
        ACCEPTED.id: Finding.PRESENT,
        **{message.id: Finding.ABSENT for message in ABSENT},
    }
    assert found.queries == 2


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_server_leads_to_a_verdict(server: lists.Server) -> None:
    """Where no list proves anything, a query for one message alone decides, if it is honest."""
    for choice in range(7):
        found = run(server, ACCOUNT, choice).findings

        assert found[ACCEPTED.id] is not Finding.ABSENT or not server.reaches_back
        if server.is_plain_alone:
            assert {found[message.id] for message in ABSENT} == {Finding.ABSENT}
        else:
            assert Finding.ABSENT not in found.values()


def test_counterexample_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line prints the list, the answer and the message."""
    several_rows = lists.worlds()[1:2]
    monkeypatch.setattr(lists, "worlds", lambda: several_rows)
    monkeypatch.setattr(sys, "argv", ["lists", "--without", "older_witness"])

    assert lists.main() == 1
    assert "absent: ['x']" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", ["lists"])

    assert lists.main() == 0
    assert "no known message is declared absent" in capsys.readouterr().out
