"""Drives the Infobip simulator over its control interface."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_TIMEOUT_SECONDS = 10


class SimulatorControl:
    """A client of the simulator's control interface; the simulator's `--help` describes it.

    It is thread-safe: the session's connections are, and nothing else of it changes, since the
    simulator sets no cookies.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy would not reach this machine

    def reset(self) -> None:
        """Restore the state at the start."""
        self._call("POST", "reset")

    def settings(self) -> Json:
        """Return all settings."""
        return self._call("GET", "settings")

    def change_settings(self, **members: object) -> Json:
        """Change settings, such as `stepSeconds`, and return all settings."""
        return self._call("PUT", "settings", members)

    def change_credentials(self, **members: object) -> Json:
        """Change the accepted credentials, and return all of them."""
        return self._call("PUT", "credentials", members)

    def rule_channel(self, channel: str, outcome: str) -> None:
        """Decide how the steps of a channel end, such as REJECTED_NO_APPLICATION for PUSH."""
        self._call("PUT", f"channels/{channel}", {"outcome": outcome})

    def rule_recipient(self, address: str, rule: Mapping[str, str | float]) -> None:
        """Decide how a recipient fares, from the next accepted message on.

        Args:
            address: Of the recipient.
            rule: Outcomes by channel; or the status under ``refuse``, where ``BAD_REQUEST`` refuses
                each request with the recipient. ``stepSeconds`` is how long each step takes, and
                ``opensAfterSeconds`` how long after a delivery the recipient opens the message.
        """
        self._call("PUT", f"recipients/{quote(address, safe='')}", rule)

    def recipient_rule(self, address: str) -> Json:
        """Return the rule of a recipient; an empty one if it has none."""
        return self._call("GET", f"recipients/{quote(address, safe='')}")

    def let_see(self, message_id: str) -> None:
        """Simulate that the recipient opens a message, delivered or with a notifyUrl, now."""
        self._call("POST", "seen", {"messageId": message_id})

    def pushes(self) -> list[Json]:
        """Return the last calls to notifyUrls, oldest first."""
        found: list[Json] = self._call("GET", "pushes")["pushes"]
        return found

    def add_fault(self, operation: str, kind: str, **members: object) -> str:
        """Inject a fault, and return its id."""
        fault = {"operation": operation, "kind": kind} | members
        return str(self._call("POST", "faults", fault)["id"])

    def end_fault(self, fault_id: str) -> None:
        """End one fault."""
        self._call("DELETE", f"faults/{fault_id}")

    def clear_faults(self) -> None:
        """End all faults."""
        self._call("DELETE", "faults")

    def faults(self) -> list[Json]:
        """Return the active faults, oldest first, each with its ``secondsLeft`` or None."""
        found: list[Json] = self._call("GET", "faults")["faults"]
        return found

    def faults_fired(self) -> dict[str, int]:
        """Return how often faults of each kind have fired since the start."""
        fired: dict[str, int] = self._call("GET", "faults")["fired"]
        return fired

    def advance_clock(self, seconds: float) -> None:
        """Advance Infobip's clock, and no other."""
        self._call("POST", "clock", {"advanceSeconds": seconds})

    def now(self) -> float:
        """Return the time of Infobip's clock, in epoch seconds."""
        written: str = self._call("POST", "clock", {"advanceSeconds": 0})["now"]
        return datetime.fromisoformat(written).timestamp()

    def messages(self, *message_ids: str) -> list[Json]:
        """Return the true outcome of these messages, or of all messages."""
        found: list[Json] = []
        # A few hundred ids fill a request line.
        for start in range(0, len(message_ids), 100):
            query = "&".join(
                f"messageId={quote(each, safe='')}" for each in message_ids[start:][:100]
            )
            found += self._call("GET", f"messages?{query}")["messages"]
        truncated = not message_ids
        while truncated:
            page = self._call("GET", f"messages?offset={len(found)}")
            found += page["messages"]
            truncated = page["truncated"]
        return found

    def totals(self) -> Json:
        """Return the numbers of messages and requests."""
        return self._call("GET", "totals")

    def changes(self, after: int = 0, limit: int = 500) -> Json:
        """Return the messages that changed after a change, oldest change first.

        Args:
            after: The ``cursor`` of the previous answer; 0 for all messages, as also when the
                ``account`` is another than in the previous answer.
            limit: The largest number of messages to return.

        Returns:
            ``account``, ``cursor``, ``more`` (whether there are further changes), ``now`` (the time
            of Infobip's clock in epoch seconds) and ``messages``, as `messages` returns them.
        """
        return self._call("GET", f"changes?after={after}&limit={limit}")

    def requests(self, operation: str | None = None, message_id: str | None = None) -> list[Json]:
        """Return the last requests, oldest first; None means any operation or message."""
        query = {"operation": operation, "messageId": message_id}
        given = {name: value for name, value in query.items() if value is not None}
        found: list[Json] = self._call("GET", f"requests?{urlencode(given)}")["requests"]
        return found

    def _call(self, method: str, path: str, body: object = None) -> Json:
        url = f"{self.url}/_control/{path}"
        response = self._session.request(method, url, json=body, timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
        answer: Json = response.json()
        return answer
