"""Waits for a message, for tests of upstream apps. Everything here is pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.local_world import commands

from .refusals import PageError, broken_rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json = dict[str, Any]

LONGEST_WAIT_SECONDS = 120
_SECONDS = 20.0
_PARAMETERS = ("messageId", "state", "channel", "seconds")


@dataclass(frozen=True, slots=True)
class Wait:
    """What a caller waits for."""

    message_id: str
    state: str
    channel: str  #: that has to deliver it; empty for any
    seconds: float

    def __str__(self) -> str:
        """Return the state, and the channel if one was given."""
        return _in_state(self.state, self.channel)


def parse_wait(query: Mapping[str, Sequence[str]], channels: Sequence[str]) -> Wait:
    """Read the parameters of a request.

    Args:
        query: The values of each parameter.
        channels: The names of Infobip's channels.

    Raises:
        PageError: A parameter breaks a rule; the text names both.
    """
    for name, values in query.items():
        if name not in _PARAMETERS:
            # The name is not quoted, since a caller may have written an address there.
            raise broken_rule("the query", f"must hold no parameters but {', '.join(_PARAMETERS)}")
        if len(values) > 1:
            raise broken_rule(name, "must not be repeated")
    given = {name: values[0] for name, values in query.items()}
    if not given.get("messageId"):
        raise broken_rule("messageId", "is required")
    state, channel = given.get("state", ""), given.get("channel", "")
    if state not in commands.STATES:
        raise broken_rule("state", f"must be one of {', '.join(commands.STATES)}")
    if "channel" in given and channel not in channels:
        raise broken_rule("channel", f"must be one of {', '.join(channels)}")
    if channel and state != "DELIVERED":
        raise broken_rule("channel", "needs the state DELIVERED")
    return Wait(given["messageId"], state, channel, _seconds(given.get("seconds")))


def _seconds(text: str | None) -> float:
    if text is None:
        return _SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise broken_rule("seconds", f"must be a number from 0 to {LONGEST_WAIT_SECONDS}")
    return seconds


def verdict_of(answer: Json, wanted: Wait) -> PageError | None:
    """Return why a wait failed; None if the message is what the caller waits for.

    Args:
        answer: The last answer of find_messages.
        wanted: What the caller waits for.
    """
    state = commands.state_of(answer)
    if state is None:
        sentence = (
            f"{wanted.message_id} is not in the table after {wanted.seconds:g} s, so it is not"
            f" {wanted}: look for its record among the dead-lettered ones"
        )
        return PageError(HTTPStatus.GATEWAY_TIMEOUT, sentence)
    channel = (answer["message"].get("channel") or "") if state == "DELIVERED" else ""
    if state == wanted.state and wanted.channel in ("", channel):
        return None
    found = f"{wanted.message_id} is {_in_state(state, channel)}"
    if state in commands.SETTLED:
        return PageError(HTTPStatus.CONFLICT, f"{found}, not {wanted}")
    return PageError(
        HTTPStatus.GATEWAY_TIMEOUT, f"{found} after {wanted.seconds:g} s, not {wanted}"
    )


def _in_state(state: str, channel: str) -> str:
    return f"{state} by {channel}" if channel else state
