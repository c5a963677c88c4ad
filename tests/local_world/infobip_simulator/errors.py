"""The envelopes of errors, and the checks of query strings and of control calls."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import DataclassInstance

    ConfigurationT = TypeVar("ConfigurationT", bound=DataclassInstance)

Json = dict[str, Any]
Problem = tuple[str, str]

#: Our names for the operations of the API.
OPERATIONS = (
    "list_scenarios",
    "create_scenario",
    "get_scenario",
    "update_scenario",
    "send_advanced",
    "take_reports",
    "search_logs",
)
#: Each channel, and the member of a send that holds its content.
CONTENT_MEMBERS = {
    "SMS": "sms",
    "EMAIL": "email",
    "VOICE": "voice",
    "PUSH": "push",
    "VIBER": "viber",
    "LINE": "line",
    "VKONTAKTE": "vKontakte",
    "KAKAO_CHINGU": "kakaoChingu",
    "KAKAO_ALIM": "kakaoAlim",
    "WHATSAPP": "whatsApp",
}
#: The members of ``to``; only Infobip's older documents have the last two.
ADDRESS_MEMBERS = (
    *("phoneNumber", "emailAddress", "pushRegistrationId", "whatsAppUserId"),
    *("lineUserKey", "facebookUserKey"),
)
GENERAL_STATUSES = ("ACCEPTED", "PENDING", "UNDELIVERABLE", "DELIVERED", "EXPIRED", "REJECTED")

HOUR = 3600.0
DAY = 24 * HOUR
LARGEST_INT32 = 2**31 - 1
#: The largest depth of nested lists and objects.
DEEPEST_BODY = 100
#: The longest time in a setting or a fault, in seconds: a leap year.
LONGEST_SECONDS = 366 * 86_400

#: The first five are documented; the others are invented.
ERROR_IDS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    429: "TOO_MANY_REQUESTS",
    500: "GENERAL_ERROR",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    411: "LENGTH_REQUIRED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


class ApiError(Exception):
    """A request that the simulator answers with an error."""

    def __init__(
        self,
        status: int,
        *,
        validation_errors: Mapping[str, list[str]] | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.validation_errors = validation_errors
        self.retry_after = retry_after  #: seconds; 0 leaves the header out

    def envelope(self, style: str) -> Json:
        """Return the error in the OMNI envelope or in the platform's newer one.

        Args:
            style: ``newer``, or ``E429`` for the newer one for 429 only; else the OMNI envelope.
        """
        text = HTTPStatus(self.status).phrase
        is_throttled = self.status == HTTPStatus.TOO_MANY_REQUESTS
        if style == "newer" or (style == "E429" and is_throttled):
            return {
                "errorCode": f"E{self.status}",
                "description": text,
                "action": f"{'Wait before repeating' if is_throttled else 'Check'} the request.",
                "violations": [
                    {"property": member, "violation": rule}
                    for member, rules in (self.validation_errors or {}).items()
                    for rule in rules
                ],
                "resources": [],
            }
        details: Json = {
            "messageId": ERROR_IDS.get(self.status, "GENERAL_ERROR"),
            "text": text,
        }
        if self.validation_errors:
            details["validationErrors"] = self.validation_errors
        return {"requestError": {"serviceException": details}}


def bad_request(*problems: Problem) -> ApiError:
    """Return an error that lists every problem under its member."""
    by_member: dict[str, list[str]] = {}
    for member, text in problems:
        by_member.setdefault(member, []).append(text)
    return ApiError(HTTPStatus.BAD_REQUEST, validation_errors=by_member)


def refuse_problems(problems: Iterable[Problem]) -> None:
    """Raise one error that lists all problems, if there are any."""
    if found := list(problems):
        raise bad_request(*found)


def parse_moment(value: object, member: str) -> float:
    """Parse a timestamp with an offset, with or without a colon, to epoch seconds."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_request((member, "must be a timestamp with an offset"))
    return moment.timestamp()


def whole_number(
    query: Mapping[str, list[str]], name: str, default: int, *, minimum: int, maximum: int
) -> int:
    """Parse a whole number of the query string.

    Infobip does not document what it does with a limit out of range; this refuses it.
    """
    text = query.get(name, [str(default)])[-1]
    if not re.fullmatch(r"-?\d{1,9}", text) or not minimum <= int(text) <= maximum:
        raise bad_request((name, f"must be a whole number from {minimum} to {maximum}"))
    return int(text)


def one_of(query: Mapping[str, list[str]], name: str, choices: Iterable[str]) -> str | None:
    """Return a value of the query string that must be one of *choices*; None if it is absent."""
    value = query.get(name, [None])[-1]
    if value is not None and value not in choices:
        raise bad_request((name, "must be one of " + ", ".join(choices)))
    return value


def json_object(body: object) -> Json:
    """Return a body if it is an object; a body that could not be parsed is None."""
    if not isinstance(body, dict):
        raise bad_request(("body", f"must be a JSON object, nested at most {DEEPEST_BODY} deep"))
    return body


def merge(current: ConfigurationT, changes: object) -> ConfigurationT:
    """Return *current* with the given camelCase members changed; refuse an unknown member."""
    names = {_camel_case(field.name): field for field in fields(current) if field.init}
    values = {}
    for member, value in json_object(changes).items():
        field = names.get(member)
        if field is None:
            raise bad_request((str(member), "is unknown; must be one of " + ", ".join(names)))
        choices = field.metadata.get("choices")
        if choices is not None and value not in choices:
            raise bad_request((member, "must be one of " + ", ".join(map(str, choices))))
        most = field.metadata.get("most")
        values[field.name] = _like(getattr(current, field.name), value, member, most)
    return replace(current, **values)


def number(value: Any, member: str, most: int, *, whole: bool = False) -> Any:  # noqa: ANN401 (JSON)
    """Return *value* if it is a number from 0 to *most*, and not NaN."""
    if type(value) not in ({int} if whole else {int, float}) or not 0 <= value <= most:
        kind = "whole number" if whole else "number"
        raise bad_request((member, f"must be a {kind} from 0 to {most}"))
    return value


def as_json(configuration: DataclassInstance) -> Json:
    """Return a configuration with camelCase members, without the fields that repr omits."""
    return {
        _camel_case(field.name): getattr(configuration, field.name)
        for field in fields(configuration)
        if field.repr
    }


def _like(example: object, value: Any, member: str, most: int | None) -> Any:  # noqa: ANN401 (JSON)
    """Return *value* if it has the type of *example* and, for a number, is at most *most*."""
    match example:
        case bool():
            fits, rule = isinstance(value, bool), "must be true or false"
        case int():
            return number(value, member, most or LARGEST_INT32, whole=True)
        case float():
            return float(number(value, member, most or LONGEST_SECONDS))
        case str():
            fits, rule = isinstance(value, str), "must be a string"
        case tuple():
            strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
            fits, rule = strings, "must be a list of strings"
            value = tuple(value) if strings else value
        case dict():
            fits, rule = isinstance(value, dict), "must be an object"
            if fits:
                return _merged_numbers(example, value, member)
        case _:
            raise TypeError(f"{member} has a type that no check exists for")
    if not fits:
        raise bad_request((member, rule))
    return value


def _merged_numbers(current: Mapping[str, int], changes: Json, member: str) -> Json:
    if unknown := changes.keys() - current.keys():
        known = ", ".join(current)
        raise bad_request((f"{member}.{min(unknown)}", f"is unknown; must be one of {known}"))
    return {**current} | {
        name: number(value, f"{member}.{name}", LARGEST_INT32, whole=True)
        for name, value in changes.items()
    }


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)
