"""What the page's sources say, for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.local_world.page.board import Stored

if TYPE_CHECKING:
    from tests.local_world.page.board import Board, Portion

Json = dict[str, Any]
PHONE = "385915550001"
ACCEPTED_AT = 1_769_860_800.0


def step(channel: str = "SMS", group: str = "DELIVERED", **changes: object) -> Json:
    moments = {
        "startedAt": "2026-01-31T12:00:00.000+0000",
        "expiresAt": "2026-01-31T12:01:00.000+0000",
        "endedAt": "2026-01-31T12:00:02.500+0000",
        "openedAt": None,
    }
    texts = {"channel": channel, "status": f"{group}_STATUS", "groupName": group, "text": "Hello"}
    return {**texts, **moments, **changes}


def entry(message_id: str, *steps: Json, phone: str = PHONE, second: int = 0) -> Json:
    """Return an entry of the simulator's ledger."""
    return {
        "messageId": message_id,
        "to": {"pushRegistrationId": "registration", "phoneNumber": phone},
        "flow": ["PUSH", "SMS"],
        "acceptedAt": [f"2026-01-31T12:00:{second:02}.000+0000"],
        "steps": list(steps or (step(),)),
    }


def stored(state: str = "ACCEPTED", **changes: object) -> Stored:
    item = {"state": state, "to": {"phoneNumber": PHONE}, "steps": ["PUSH", "SMS"], **changes}
    return Stored.from_item(item, ACCEPTED_AT)


def rows(portion: Portion) -> list[Json]:
    return [json.loads(text) for text in portion.rows]


def row_of(board: Board, message_id: str) -> Json:
    return next(row for row in rows(board.after(None, 1000)) if row["id"] == message_id)
