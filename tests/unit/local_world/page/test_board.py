"""Rows merge what simulator and table say, and readers get those that they have not seen."""

from __future__ import annotations

from tests.local_world.page.board import LONGEST_PREVIEW, Board

from .entries import ACCEPTED_AT, PHONE, entry, row_of, rows, step, stored

OTHER_PHONE = "385915550002"


def filled(count: int) -> Board:
    board = Board()
    board.put_simulated(entry(f"m-{number}") for number in range(count))
    return board


def ids_after(board: Board, version: int | None) -> list[str]:
    return [row["id"] for row in rows(board.after(version, 1000))]


def test_row_merges_both_sources() -> None:
    board = Board()
    failed = step("PUSH", "UNDELIVERABLE")
    board.put_simulated([entry("m-1", failed, step(openedAt="2026-01-31T12:00:09.000+0000"))])
    board.put_stored({"m-1": stored("DELIVERED", channel="SMS", evidence="report", closedAt="now")})

    row = row_of(board, "m-1")

    assert row.pop("version") == 2
    assert [each["channel"] for each in row.pop("steps")] == ["PUSH", "SMS"]
    assert row == {
        "id": "m-1",
        "phone": PHONE,
        "at": ACCEPTED_AT + 9,
        "acceptedAt": ACCEPTED_AT,
        "state": "DELIVERED",
        "channel": "SMS",
        "evidence": "report",
        "flow": ["PUSH", "SMS"],
        "preview": "Hello",
        "closed": True,
    }


def test_step_shows_its_moments_in_epoch_seconds() -> None:
    board = Board()
    board.put_simulated([entry("m-1", step(endedAt=None))])

    assert row_of(board, "m-1")["steps"] == [
        {
            "channel": "SMS",
            "status": "DELIVERED_STATUS",
            "group": "DELIVERED",
            "expiresAt": ACCEPTED_AT + 60,
            "endedAt": None,
            "openedAt": None,
        }
    ]


def test_message_that_only_table_knows_has_its_recipient() -> None:
    board = Board()
    board.put_stored({"m-1": stored("WAITING", to={"emailAddress": "ana@example.com"})})

    row = row_of(board, "m-1")

    assert (row["phone"], row["state"], row["acceptedAt"]) == ("ana@example.com", "WAITING", None)
    assert (row["flow"], row["steps"], row["preview"]) == (["PUSH", "SMS"], [], "")


def test_channel_is_shown_only_where_it_has_delivered() -> None:
    board = Board()
    board.put_stored({"m-1": stored("UNDELIVERED", channel="SMS")})

    assert row_of(board, "m-1")["channel"] is None


def test_preview_is_short() -> None:
    board = Board()
    board.put_simulated([entry("m-1", step(text="x" * 500)), entry("m-2", step(text=None))])

    assert row_of(board, "m-1")["preview"] == "x" * LONGEST_PREVIEW
    assert row_of(board, "m-2")["preview"] == ""


def test_reader_gets_only_rows_that_changed_later() -> None:
    """An update of one row leaves all others as they are."""
    board = filled(3)
    seen = board.after(None, 1000).version
    before = board.after(None, 1000).rows

    board.put_stored({"m-1": stored()})

    assert ids_after(board, seen) == ["m-1"]
    assert set(before) - set(board.after(None, 1000).rows) == {before[1]}
    assert ids_after(board, board.version) == []


def test_rows_come_in_portions_that_can_be_resumed() -> None:
    board = filled(5)

    first = board.after(None, 2)
    second = board.after(first.version, 2)
    last = board.after(second.version, 2)

    assert [(each.reset, each.more) for each in (first, second, last)] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert [row["id"] for row in rows(first) + rows(second) + rows(last)] == [
        f"m-{number}" for number in range(5)
    ]


def test_reset_of_simulator_removes_rows_that_only_it_knew() -> None:
    board = filled(3)
    board.put_stored({"m-1": stored()})
    seen = board.version

    board.forget_simulated()
    portion = board.after(seen, 1000)

    assert portion.reset
    assert [(row["id"], row["steps"]) for row in rows(portion)] == [("m-1", [])]


def test_reader_that_is_cut_off_while_it_begins_anew_goes_on() -> None:
    """Otherwise one that never gets all rows in one go would begin again and again."""
    board = filled(4)
    board.put_stored({f"m-{number}": stored() for number in range(3)})
    board.forget_simulated()

    first = board.after(None, 2)
    second = board.after(first.version, 2)

    assert (first.reset, second.reset, second.more) == (True, False, False)
    assert len(rows(first) + rows(second)) == 3


def test_reader_of_empty_board_begins_anew_once() -> None:
    board = filled(1)
    board.forget_simulated()

    first = board.after(1, 10)

    assert (first.reset, first.rows) == (True, ())
    assert not board.after(first.version, 10).reset


def test_row_goes_when_no_source_has_it() -> None:
    board = filled(1)
    board.put_stored({"m-0": stored(), "m-1": stored()})

    board.put_stored({"m-0": None, "m-1": None})

    assert ids_after(board, None) == ["m-0"]
    assert row_of(board, "m-0")["state"] is None


def test_whole_table_replaces_what_was_known() -> None:
    board = Board()
    board.put_stored({"m-1": stored(), "m-2": stored()})
    seen = board.version

    board.replace_stored({"m-2": stored(), "m-3": stored("WAITING")})

    assert board.after(seen, 10).reset
    assert ids_after(board, None) == ["m-2", "m-3"]


def test_repeated_item_changes_nothing() -> None:
    board = Board()
    board.put_stored({"m-1": stored()})

    board.put_stored({"m-1": stored()})

    assert board.version == 1


def test_newest_messages_of_phone_are_listed_oldest_first() -> None:
    board = Board()
    board.put_simulated(entry(f"m-{second}", second=second) for second in (3, 1, 2))
    board.put_simulated([entry("other", phone=OTHER_PHONE)])
    board.put_stored({"waiting": stored("WAITING")})

    assert board.accepted_ids(PHONE, 2) == (["m-2", "m-3"], True)
    assert board.accepted_ids(PHONE, 3) == (["m-1", "m-2", "m-3"], False)
    assert board.accepted_ids("385915559999", 3) == ([], False)
