"""The statuses of messages: their groups, and which refusals of a message end.

From "Response status and error codes":
https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes
The group of a status decides what becomes of a message. Any part of a status may be missing, so
each part that is there may tell the group.

A status of the group REJECTED is a refusal. It ends if the reason that this page gives is not in
the message: the credit is used up, or Infobip has trouble of its own. The content is then kept, and
sent again. A refusal for the content or the recipient is for good.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from infobip_omni.api.reports import StatusGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infobip_omni.api.reports import Status

#: Infobip has seen the message id before. This status says nothing about the message's outcome.
DUPLICATE_MESSAGE_ID = 23


class RefusalKind(StrEnum):
    """When a refusal ends."""

    FOR_GOOD = "for good"  #: never: the reason is the content or the recipient
    ACCOUNT = "account"  #: when a person changes the account at Infobip
    LATER = "later"  #: without a person


class Scope(StrEnum):
    """The messages that a refusal applies to."""

    MESSAGE = "message"  #: this one; others of the same scenario may be accepted
    SCENARIO = "scenario"  #: all of the scenario, which names the sender
    ACCOUNT = "account"  #: all of the account


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status of the group REJECTED."""

    id: int | None
    name: str
    kind: RefusalKind
    #: Infobip's reason, abridged.
    reason: str
    scope: Scope = Scope.MESSAGE
    #: The part of Infobip's page that lists the status.
    section: str = "General"

    @property
    def ends(self) -> bool:
        """Whether the same message may be accepted later, so its content is kept."""
        return self.kind is not RefusalKind.FOR_GOOD


_FOR_GOOD, _ACCOUNT, _LATER = RefusalKind.FOR_GOOD, RefusalKind.ACCOUNT, RefusalKind.LATER
_PUSH, _VOICE, _MMS, _EMAIL = "Push", "Voice", "MMS", "Email"
_ONE = Scope.MESSAGE
#: The ids repeat: 56 and 87 have two names each. The names do not.
REFUSALS = (
    Refusal(6, "REJECTED_NETWORK", _FOR_GOOD, "the recipient's network is not covered"),
    Refusal(8, "REJECTED_PREFIX_MISSING", _FOR_GOOD, "the number's prefix or length is wrong"),
    Refusal(10, "REJECTED_DND", _FOR_GOOD, "the recipient does not want to be disturbed"),
    Refusal(11, "REJECTED_SOURCE", _ACCOUNT, "the sender is not registered", scope=Scope.SCENARIO),
    Refusal(
        12,
        "REJECTED_NOT_ENOUGH_CREDITS",
        _ACCOUNT,
        "the account is out of credit: top it up",
        scope=Scope.ACCOUNT,
    ),
    Refusal(
        13,
        "REJECTED_SENDER",
        _ACCOUNT,
        "the sender is on the account's blocklist: remove it there",
        scope=Scope.SCENARIO,
    ),
    Refusal(14, "REJECTED_DESTINATION_BLOCKLISTED", _FOR_GOOD, "the recipient is on a blocklist"),
    Refusal(
        17,
        "REJECTED_PREPAID_PACKAGE_EXPIRED",
        _ACCOUNT,
        "the credit has expired: top it up",
        scope=Scope.ACCOUNT,
    ),
    Refusal(
        18,
        "REJECTED_DESTINATION_NOT_REGISTERED",
        _ACCOUNT,
        "the account may send to one test number only: ask Infobip to lift that",
    ),
    Refusal(
        19,
        "REJECTED_ROUTE_NOT_AVAILABLE",
        _ACCOUNT,
        "the account has no route for the message: ask Infobip to set one up",
    ),
    Refusal(
        20,
        "REJECTED_FLOODING_FILTER",
        _LATER,
        "the recipient was sent 20 messages in an hour, or 6 with the same text",
    ),
    Refusal(21, "REJECTED_SYSTEM_ERROR", _LATER, "Infobip has an error: send again"),
    Refusal(
        DUPLICATE_MESSAGE_ID,
        "REJECTED_DUPLICATE_MESSAGE_ID",
        _FOR_GOOD,
        "Infobip knows the message id; the logs decide about the message",
    ),
    Refusal(24, "REJECTED_INVALID_UDH", _FOR_GOOD, "the message has an invalid header"),
    Refusal(25, "REJECTED_MESSAGE_TOO_LONG", _FOR_GOOD, "the text is too long"),
    Refusal(51, "MISSING_TO", _FOR_GOOD, "the recipient has no address for the channel"),
    Refusal(52, "REJECTED_DESTINATION", _FOR_GOOD, "the recipient's address is invalid"),
    Refusal(53, "REJECTED_INVALID_AUDIO_FILE_URL", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(54, "REJECTED_UNSUPPORTED_LANGUAGE", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(55, "REJECTED_MESSAGE_IS_EMPTY", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(56, "REJECTED_INVALID_NOTIFY_URL", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(57, "REJECTED_INVALID_NOTIFY_CONTENT_TYPE", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(58, "REJECTED_INVALID_DTMF_SIGN", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(59, "REJECTED_INVALID_DTMF_TIMEOUT", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(60, "REJECTED_INVALID_RING_TIMEOUT", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(61, "REJECTED_INVALID_CALL_TIMEOUT", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(62, "REJECTED_INVALID_MACHINE_DETECTION", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(63, "REJECTED_INVALID_ACTIONS", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(64, "REJECTED_INVALID_ACTION_GROUPS", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(
        65,
        "REJECTED_NO_APPLICATION",
        _ACCOUNT,
        "the scenario names a push application that does not exist",
        Scope.SCENARIO,
        _PUSH,
    ),
    Refusal(68, "REJECTED_PAYLOAD_TOO_BIG", _FOR_GOOD, "the push is too large", _ONE, _PUSH),
    Refusal(69, "REJECTED_NO_CONTENT", _FOR_GOOD, "the push has no text", _ONE, _PUSH),
    Refusal(70, "REJECTED_INVALID_VALIDITY_PERIOD", _FOR_GOOD, "invalid content", _ONE, _PUSH),
    Refusal(71, "REJECTED_INVALID_QUERY", _FOR_GOOD, "the recipient cannot be read", _ONE, _PUSH),
    Refusal(73, "REJECTED_INVALID_INBOX_TOPIC", _FOR_GOOD, "invalid content", _ONE, _PUSH),
    Refusal(
        74, "REJECTED_INVALID_PRIMARY_BUTTON_ACTION", _FOR_GOOD, "invalid content", _ONE, _PUSH
    ),
    Refusal(
        75,
        "REJECTED_FREE_TRIAL_EXCEEDED",
        _ACCOUNT,
        "the free trial is used up: upgrade the account",
        Scope.ACCOUNT,
        _EMAIL,
    ),
    Refusal(77, "REJECTED_MESSAGE_TEXT_TOO_LONG", _FOR_GOOD, "the text is too long", _ONE, _MMS),
    Refusal(83, "REJECTED_MACHINE_DETECTION_DISABLED", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(87, "SIGNALS_BLOCKED", _FOR_GOOD, "the anti-fraud filter blocks the message"),
    Refusal(
        87, "REJECTED_INVALID_DELIVERY_TIME_WINDOW", _FOR_GOOD, "invalid content", _ONE, _VOICE
    ),
    Refusal(88, "REJECTED_DATA_TRANSFORMATION_FAILED", _FOR_GOOD, "invalid content", _ONE, _EMAIL),
    Refusal(89, "REJECTED_INTERNAL_ERROR", _LATER, "Infobip has an error", _ONE, _EMAIL),
    Refusal(90, "REJECTED_VALIDATION_FAILED", _FOR_GOOD, "invalid content", _ONE, _EMAIL),
    Refusal(91, "REJECTED_INVALID_SSML", _FOR_GOOD, "invalid content", _ONE, _VOICE),
    Refusal(99, "REJECTED", _FOR_GOOD, "the recipient has declined the call"),
    Refusal(
        100,
        "UNDELIVERABLE_REJECTED_PLATFORM",
        _LATER,
        "the request is invalid, or the service is unavailable for now",
    ),
)
_BY_ID: Mapping[int | None, Refusal] = {each.id: each for each in reversed(REFUSALS)}
_NOT_ALPHABETIC = re.compile(r"[^A-Z]")


def _folded(name: str | None) -> str:
    """Return a name in capitals, without anything else: it is written in several ways."""
    return _NOT_ALPHABETIC.sub("", (name or "").upper())


_BY_NAME: Mapping[str, Refusal] = {_folded(each.name): each for each in REFUSALS}
#: The statuses of other groups. Their names are those of Infobip's page.
_OTHER_STATUSES: Mapping[StatusGroup, Mapping[int, str]] = {
    StatusGroup.ACCEPTED: {0: "MESSAGE_ACCEPTED"},
    StatusGroup.PENDING: {
        3: "PENDING_WAITING_DELIVERY",
        7: "PENDING_ENROUTE",
        26: "PENDING_ACCEPTED",
    },
    StatusGroup.UNDELIVERABLE: {
        4: "UNDELIVERABLE_REJECTED_OPERATOR",
        9: "UNDELIVERABLE_NOT_DELIVERED",
        31: "UNDELIVERABLE_NOT_SENT",
        66: "UNDELIVERABLE_NO_DESTINATION",
        96: "NO_ANSWER",
        97: "BUSY",
        98: "CANCELLED",
    },
    StatusGroup.DELIVERED: {2: "DELIVERED_TO_OPERATOR", 5: "DELIVERED_TO_HANDSET"},
    StatusGroup.EXPIRED: {15: "EXPIRED_EXPIRED", 29: "EXPIRED_DLR_UNKNOWN", 87: "SIGNALS_BLOCKED"},
}
#: The group 0 has two names.
_GROUPS: Mapping[str, StatusGroup] = {
    **{group.name: group for group in StatusGroup},
    "OK": StatusGroup.ACCEPTED,
}


#: Every status of Infobip's page: its id, its name and its group.
_STATUSES = (
    *((each.id, each.name, StatusGroup.REJECTED) for each in REFUSALS),
    *(
        (status_id, name, group)
        for group, statuses in _OTHER_STATUSES.items()
        for status_id, name in statuses.items()
    ),
)
_ID_BY_NAME: Mapping[str, int | None] = {_folded(name): each for each, name, _ in _STATUSES}


def _groups_by_part() -> Mapping[int | str | None, set[StatusGroup]]:
    """Return the groups of statuses by their ids and by their names; some are in two groups."""
    groups: dict[int | str | None, set[StatusGroup]] = defaultdict(set)
    for status_id, name, group in _STATUSES:
        groups[status_id].add(group)
        groups[_folded(name)].add(group)
    return dict(groups)


_GROUPS_BY_PART = _groups_by_part()


def group_of(status: Status) -> int | None:
    """Return the group of a status, from whichever part tells it.

    The group's number decides; names differ between Infobip's documents. Without it the group's
    name decides, then what Infobip's page says of the id and the name of the status.

    Returns:
        A `StatusGroup`, or a number that this version does not know. None if no part tells the
        group, or if the id and the name tell different ones.
    """
    if status.group_id is not None:
        return status.group_id
    group = _GROUPS.get(_folded(status.group_name))
    if group is not None:
        return group
    parts = (status.id, _folded(status.name))
    known = [_GROUPS_BY_PART[part] for part in parts if part in _GROUPS_BY_PART]
    groups = set.intersection(*known) if known else set()
    return groups.pop() if len(groups) == 1 else None


def refusal_of(status: Status) -> Refusal | None:
    """Return the refusal that a status is.

    A name that the table lists decides, since ids repeat; otherwise the id does.

    Returns:
        None for another group. A status that the table lacks is for good, and `is_unlisted`.
    """
    if group_of(status) != StatusGroup.REJECTED:
        return None
    listed = _BY_NAME.get(_folded(status.name)) or _BY_ID.get(status.id)
    # So is one without id and name. Nothing shows that such a refusal ends, and if the message was
    # sent again all the same, its reports could not be distinguished from the refused attempt's.
    return listed or Refusal(status.id, status.name or "", _FOR_GOOD, "not listed", _ONE, "")


def id_of(status: Status) -> int | None:
    """Return the id of a status; if it has none, that of its name; None if the name has none."""
    return _ID_BY_NAME.get(_folded(status.name)) if status.id is None else status.id


def is_unlisted(status: Status) -> bool:
    """Return whether Infobip refuses a message by a status that the table lacks."""
    refusal = refusal_of(status)
    return refusal is not None and not refusal.section


def refuses_account(status: Status) -> bool:
    """Return whether Infobip refuses the account rather than the message."""
    refusal = refusal_of(status)
    return refusal is not None and refusal.kind is RefusalKind.ACCOUNT


def ends(status: Status) -> bool:
    """Return whether a status is a refusal that ends."""
    refusal = refusal_of(status)
    return refusal is not None and refusal.ends


def may_end(status: Status) -> bool:
    """Return whether a status is a refusal that ends, or may be one.

    It may be one if it has neither a group nor an id nor a name that says otherwise.
    """
    return ends(status) or is_unexplained(status) or group_of(status) is None


def is_unexplained(status: Status) -> bool:
    """Return whether a status is a refusal without id and name, which may be any refusal."""
    is_refusal = group_of(status) == StatusGroup.REJECTED
    return is_refusal and status.id is None and not _folded(status.name)


def is_duplicate(status: Status) -> bool:
    """Return whether Infobip refuses the message id as already used."""
    by_name = _ID_BY_NAME.get(_folded(status.name))
    return DUPLICATE_MESSAGE_ID in (status.id, by_name)
