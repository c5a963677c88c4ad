"""The rules that decide how a message fares.

Magic recipients, by the last four digits of the phone number (or of another address):

====  =========================================================================================
0001  every step delivers, even on a channel with a rule to fail
0002  PUSH fails with UNDELIVERABLE_NO_DESTINATION; the other channels deliver
0003  every step fails: PUSH with UNDELIVERABLE_NO_DESTINATION, others UNDELIVERABLE_NOT_DELIVERED
0004  refused immediately with REJECTED_DESTINATION_BLOCKLISTED
0005  PUSH stays silent until its validity ends; the other channels deliver
0006  every step delivers, but only DELIVERED_TO_OPERATOR
0007  every step stays silent until its validity ends
0008  every step is rejected later, in its report, with REJECTED_ROUTE_NOT_AVAILABLE
0009  every step fails with UNDELIVERABLE_REJECTED_OPERATOR and an error that is not permanent
====  =========================================================================================

For every other recipient the first step delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import CONTENT_MEMBERS, LONGEST_SECONDS, Json, bad_request, json_object, number
from .statuses import OUTCOMES, REFUSALS, SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable

Rule = dict[str, str | float]

#: How long each step for a recipient takes, and how long after its delivery they open a message.
STEP_SECONDS, OPENS_AFTER_SECONDS = TIMES = ("stepSeconds", "opensAfterSeconds")

MAGIC_RECIPIENTS: dict[str, Rule] = {
    "0001": {"*": "DELIVERED_TO_HANDSET"},
    "0002": {"PUSH": "UNDELIVERABLE_NO_DESTINATION", "*": "DELIVERED_TO_HANDSET"},
    "0003": {"PUSH": "UNDELIVERABLE_NO_DESTINATION", "*": "UNDELIVERABLE_NOT_DELIVERED"},
    "0004": {"refuse": "REJECTED_DESTINATION_BLOCKLISTED"},
    "0005": {"PUSH": SILENT, "*": "DELIVERED_TO_HANDSET"},
    "0006": {"*": "DELIVERED_TO_OPERATOR"},
    "0007": {"*": SILENT},
    "0008": {"*": "REJECTED_ROUTE_NOT_AVAILABLE"},
    "0009": {"*": "UNDELIVERABLE_REJECTED_OPERATOR"},
}

#: In place of a status: every request with the recipient is answered with 400.
BAD_REQUEST = "BAD_REQUEST"


class Rules:
    """The rules that decide the outcome of a step for a recipient.

    A rule for the recipient takes precedence over a magic number, and that over a rule for the
    channel.
    """

    def __init__(self) -> None:
        self.recipients: dict[str, Rule] = {}
        self.channels: Rule = {}

    def of(self, addresses: Iterable[str], *, magic: bool) -> list[Rule]:
        """Return the rules for a recipient, by descending precedence."""
        found = [self.recipients[address] for address in addresses if address in self.recipients]
        if magic:
            ends = (address.split("@")[0][-4:] for address in addresses)
            found += [MAGIC_RECIPIENTS[end] for end in ends if end in MAGIC_RECIPIENTS]
        return [*found, self.channels]

    @staticmethod
    def outcome(rules: Iterable[Rule], channel: str) -> str:
        """Return the outcome of the step on *channel*."""
        outcomes = (rule.get(channel) or rule.get("*") for rule in rules)
        return str(next(filter(None, outcomes), "DELIVERED_TO_HANDSET"))

    @staticmethod
    def refusal(rules: Iterable[Rule]) -> str | None:
        """Return the status with which the destination is refused on sending, or None."""
        return next((str(rule["refuse"]) for rule in rules if "refuse" in rule), None)

    @staticmethod
    def seconds(rules: Iterable[Rule], member: str) -> float | None:
        """Return a time of the recipient, one of `TIMES`, in seconds; None if no rule has it."""
        return next((float(rule[member]) for rule in rules if member in rule), None)


def recipient_rule(body: object) -> Rule:
    """Return a rule for a recipient, of which each member is checked."""
    rule: Json = json_object(body)
    for name, value in rule.items():
        if name in TIMES:
            number(value, name, LONGEST_SECONDS)
        elif name == "refuse":
            check_outcome(name, value, (*REFUSALS, BAD_REQUEST))
        elif name in ("*", *CONTENT_MEMBERS):
            check_outcome(name, value, OUTCOMES)
        else:
            known = ", ".join(("refuse", *TIMES))
            channels = ", ".join(CONTENT_MEMBERS)
            raise bad_request((name, f"must be *, {known} or one of {channels}"))
    return rule


def check_outcome(name: str, outcome: object, choices: tuple[str, ...] = OUTCOMES) -> None:
    """Refuse an outcome that is none of *choices*."""
    if outcome not in choices:
        raise bad_request((name, "must be one of " + ", ".join(choices)))
