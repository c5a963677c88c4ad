"""The statuses and errors of Infobip's page "Response status and error codes".

https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

#: In place of an outcome: the step never answers, so it expires when its validity ends.
SILENT = "silent"
_NAMES: dict[tuple[int, str], dict[int, str]] = {
    (0, "ACCEPTED"): {0: "MESSAGE_ACCEPTED"},
    (1, "PENDING"): {3: "PENDING_WAITING_DELIVERY", 7: "PENDING_ENROUTE", 26: "PENDING_ACCEPTED"},
    (2, "UNDELIVERABLE"): {
        4: "UNDELIVERABLE_REJECTED_OPERATOR",
        9: "UNDELIVERABLE_NOT_DELIVERED",
        31: "UNDELIVERABLE_NOT_SENT",
        66: "UNDELIVERABLE_NO_DESTINATION",  # of a push
        96: "NO_ANSWER",  # to a call, as are the next two
        97: "BUSY",
        98: "CANCELLED",
    },
    (3, "DELIVERED"): {2: "DELIVERED_TO_OPERATOR", 5: "DELIVERED_TO_HANDSET"},
    (4, "EXPIRED"): {15: "EXPIRED_EXPIRED", 29: "EXPIRED_DLR_UNKNOWN", 87: "SIGNALS_BLOCKED"},
    (5, "REJECTED"): {
        6: "REJECTED_NETWORK",
        8: "REJECTED_PREFIX_MISSING",
        10: "REJECTED_DND",
        11: "REJECTED_SOURCE",
        12: "REJECTED_NOT_ENOUGH_CREDITS",
        13: "REJECTED_SENDER",
        14: "REJECTED_DESTINATION_BLOCKLISTED",
        17: "REJECTED_PREPAID_PACKAGE_EXPIRED",
        18: "REJECTED_DESTINATION_NOT_REGISTERED",
        19: "REJECTED_ROUTE_NOT_AVAILABLE",
        20: "REJECTED_FLOODING_FILTER",
        21: "REJECTED_SYSTEM_ERROR",
        23: "REJECTED_DUPLICATE_MESSAGE_ID",
        24: "REJECTED_INVALID_UDH",
        25: "REJECTED_MESSAGE_TOO_LONG",
        51: "MISSING_TO",
        52: "REJECTED_DESTINATION",
        53: "REJECTED_INVALID_AUDIO_FILE_URL",  # of a call, as are the next ones
        54: "REJECTED_UNSUPPORTED_LANGUAGE",
        55: "REJECTED_MESSAGE_IS_EMPTY",
        56: "REJECTED_INVALID_NOTIFY_URL",
        57: "REJECTED_INVALID_NOTIFY_CONTENT_TYPE",
        58: "REJECTED_INVALID_DTMF_SIGN",
        59: "REJECTED_INVALID_DTMF_TIMEOUT",
        60: "REJECTED_INVALID_RING_TIMEOUT",
        61: "REJECTED_INVALID_CALL_TIMEOUT",
        62: "REJECTED_INVALID_MACHINE_DETECTION",
        63: "REJECTED_INVALID_ACTIONS",
        64: "REJECTED_INVALID_ACTION_GROUPS",
        65: "REJECTED_NO_APPLICATION",  # of a push, as are the next ones
        68: "REJECTED_PAYLOAD_TOO_BIG",
        69: "REJECTED_NO_CONTENT",
        70: "REJECTED_INVALID_VALIDITY_PERIOD",
        71: "REJECTED_INVALID_QUERY",
        73: "REJECTED_INVALID_INBOX_TOPIC",
        74: "REJECTED_INVALID_PRIMARY_BUTTON_ACTION",
        75: "REJECTED_FREE_TRIAL_EXCEEDED",  # of an e-mail
        83: "REJECTED_MACHINE_DETECTION_DISABLED",  # of a call
        87: "REJECTED_INVALID_DELIVERY_TIME_WINDOW",  # of a call
        88: "REJECTED_DATA_TRANSFORMATION_FAILED",  # of an e-mail, as are the next two
        89: "REJECTED_INTERNAL_ERROR",
        90: "REJECTED_VALIDATION_FAILED",
        91: "REJECTED_INVALID_SSML",  # of a call
        99: "REJECTED",
        100: "UNDELIVERABLE_REJECTED_PLATFORM",
        999: "REJECTED_FOR_A_NEW_REASON",  # invented: Infobip may add statuses
    },
}
_DESCRIPTIONS = {
    "MESSAGE_ACCEPTED": "Message accepted",
    "PENDING_ENROUTE": "Message sent to next instance",
    "DELIVERED_TO_HANDSET": "Message delivered to handset",
}


def _status(group: tuple[int, str], status_id: int, name: str) -> Json:
    group_id, group_name = group
    return {
        "groupId": group_id,
        "groupName": group_name,
        "id": status_id,
        "name": name,
        "description": _DESCRIPTIONS.get(name, name.replace("_", " ").capitalize()),
    }


#: Infobip's status objects, by the name of an outcome.
STATUSES: dict[str, Json] = {
    name: _status(group, status_id, name)
    for group, names in _NAMES.items()
    for status_id, name in names.items()
}
# Two groups have this status under one id and name. Only the one that expires is charged.
STATUSES["REJECTED_SIGNALS_BLOCKED"] = _status((5, "REJECTED"), 87, "SIGNALS_BLOCKED")
OUTCOMES = (SILENT, *(name for name, status in STATUSES.items() if status["groupId"] > 1))
REFUSALS = tuple(name for name, status in STATUSES.items() if status["groupName"] == "REJECTED")


def _error(group: tuple[int, str], error_id: int, name: str, *, permanent: bool) -> Json:
    return {
        "groupId": group[0],
        "groupName": group[1],
        "id": error_id,
        "name": name,
        "description": name.removeprefix("EC_").replace("_", " ").capitalize(),
        "permanent": permanent,
    }


_HANDSET, _USER, _OPERATOR = (1, "HANDSET_ERRORS"), (2, "USER_ERRORS"), (3, "OPERATOR_ERRORS")
_NO_ERROR = _error((0, "OK"), 0, "NO_ERROR", permanent=False)
_UNKNOWN_ERROR = _error(_OPERATOR, 255, "EC_UNKNOWN_ERROR", permanent=False)
#: The error of each outcome; the combinations of errors and statuses are our choice.
_ERRORS: dict[str, Json] = {
    "DELIVERED_TO_OPERATOR": _NO_ERROR,
    "DELIVERED_TO_HANDSET": _NO_ERROR,
    "UNDELIVERABLE_NO_DESTINATION": _error(
        _HANDSET, 8004, "EC_NO_REGISTRATION_ID_FOUND", permanent=True
    ),
    "UNDELIVERABLE_NOT_DELIVERED": _error(_HANDSET, 1, "EC_UNKNOWN_SUBSCRIBER", permanent=True),
    "UNDELIVERABLE_REJECTED_OPERATOR": _error(
        _HANDSET, 27, "EC_ABSENT_SUBSCRIBER", permanent=False
    ),
    "NO_ANSWER": _error(_USER, 10200, "NO_ANSWER", permanent=True),
    "BUSY": _error(_USER, 10201, "BUSY", permanent=True),
    "EXPIRED_EXPIRED": _error(_HANDSET, 4101, "EC_VALIDITY_EXPIRED", permanent=True),
    "REJECTED_NO_APPLICATION": _error(_HANDSET, 8003, "EC_NO_APPLICATION_FOUND", permanent=True),
    "REJECTED_PAYLOAD_TOO_BIG": _error(_OPERATOR, 8010, "EC_INVALID_PUSH_PAYLOAD", permanent=True),
    "REJECTED_MESSAGE_TOO_LONG": _error(_HANDSET, 355, "EC_MSG_TEXT_TOO_LONG", permanent=True),
}

#: The members that a status keeps, by the name of its form.
_FORMS = {
    "group": ("groupId", "groupName"),
    "group-id": ("groupId",),
    "group-name": ("groupName",),
    "id": ("id",),
    "name": ("name",),
}
#: How a status can be written: in full; with some of its members; with group names like "Pending".
FORMS = ("full", *_FORMS, "other-names")


def error_of(outcome: str) -> Json:
    """Return the error object of a report."""
    return _ERRORS.get(outcome, _UNKNOWN_ERROR)


def in_form(status: Json, form: str) -> Json:
    """Return a status or an error in one of the `FORMS`; only names change in an error."""
    if form == "other-names":
        name = "OK" if status["groupId"] == 0 else status["groupName"].replace("_", " ")
        return status | {"groupName": name.capitalize()}
    if "permanent" in status or form == "full":
        return status
    return {member: status[member] for member in _FORMS[form]}
