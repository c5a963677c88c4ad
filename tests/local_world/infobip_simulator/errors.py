"""The checks of requests, and the envelopes of errors.

The checks follow Infobip's OpenAPI document 3.210.0.
Members that the document does not define are ignored, and a ``null`` counts as absent.
The shapes of rich content (Viber, WhatsApp, LINE, Kakao, VKontakte) are not checked.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
ADDRESS_MEMBERS = ("phoneNumber", "emailAddress", "pushRegistrationId", "whatsAppUserId")
GENERAL_STATUSES = ("ACCEPTED", "PENDING", "UNDELIVERABLE", "DELIVERED", "EXPIRED", "REJECTED")

HOUR = 3600.0
DAY = 24 * HOUR
LONGEST_DELAY = 180 * DAY
LONGEST_CALLBACK_DATA = 4000
LARGEST_INT32 = 2**31 - 1
#: The largest depth of nested lists and objects.
DEEPEST_BODY = 100
#: The longest time in a setting or a fault, in seconds: a leap year.
LONGEST_SECONDS = 366 * 86_400
#: The content members whose text must not be empty, with its largest length.
LONGEST_TEXTS = dict.fromkeys(("sms", "voice", "email"), LARGEST_INT32)
LONGEST_TEXTS |= {"push": 2000, "kakaoAlim": 1000}
SECONDS_PER_UNIT = {
    "NANOSECONDS": 1e-9,
    "MICROSECONDS": 1e-6,
    "MILLISECONDS": 1e-3,
    "SECONDS": 1.0,
    "MINUTES": 60.0,
    "HOURS": HOUR,
    "DAYS": DAY,
}

#: The first five are documented; the others are invented.
ERROR_IDS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    429: "TOO_MANY_REQUESTS",
    500: "GENERAL_ERROR",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    411: "LENGTH_REQUIRED",
    413: "PAYLOAD_TOO_LARGE",
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
        """Return the error in the OMNI envelope or, for 429 only, in the platform's newer one."""
        text = HTTPStatus(self.status).phrase
        if style == "E429" and self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return {
                "errorCode": "E429",
                "description": text,
                "action": "Wait before repeating the request.",
                "violations": [],
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


def validity_seconds(content: Json) -> float | None:
    """Return how long a step may take in seconds; None if its content does not say."""
    period = content.get("validityPeriod")
    unit = content.get("validityPeriodTimeUnit") or "MINUTES"
    return None if period is None else period * SECONDS_PER_UNIT[unit]


def scenario_problems(body: Json) -> Iterator[Problem]:
    """Check the body of POST and PUT ``/omni/1/scenarios``."""
    flow = body.get("flow")
    if not isinstance(flow, list) or not flow:
        yield "flow", "must hold at least one step"
        flow = []
    for index, step in enumerate(flow):
        if not isinstance(step, dict) or str(step.get("channel")) not in CONTENT_MEMBERS:
            yield f"flow[{index}].channel", "must be one of " + ", ".join(CONTENT_MEMBERS)
        elif not isinstance(step.get("from", ""), str | None):
            yield f"flow[{index}].from", "must be a string"
    yield from _wrong_types(body, {"name": str, "default": bool})


def send_problems(body: Json, now: float) -> Iterator[Problem]:
    """Check the body of POST ``/omni/1/advanced``."""
    yield from _destination_problems(body.get("destinations"))
    for channel, member in CONTENT_MEMBERS.items():
        content = body.get(member)
        if isinstance(content, dict):
            yield from _content_problems(channel, member, content)
        elif content is not None:
            yield member, "must be an object"
    wanted = {"scenarioKey": str, "bulkId": str, "notify": bool, "intermediateReport": bool}
    yield from _wrong_types(body, wanted | {"callbackData": str})
    if len(str(body.get("callbackData") or "")) > LONGEST_CALLBACK_DATA:
        yield "callbackData", f"must not exceed {LONGEST_CALLBACK_DATA} characters"
    if body.get("notifyContentType") not in (None, "application/json", "application/xml"):
        yield "notifyContentType", "must be application/json or application/xml"
    notify_url = body.get("notifyUrl")
    if notify_url is not None and not _is_web_address(notify_url):
        yield "notifyUrl", "must be an http or https URL"
    send_at = body.get("sendAt")
    if send_at is not None and parse_moment(send_at, "sendAt") > now + LONGEST_DELAY:
        yield "sendAt", "must be at most 180 days ahead"


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


def _wrong_types(body: Json, wanted: Mapping[str, type]) -> Iterator[Problem]:
    for member, kind in wanted.items():
        if not isinstance(body.get(member), kind | None):
            yield member, f"must be a {'boolean' if kind is bool else 'string'}"


def _destination_problems(destinations: object) -> Iterator[Problem]:
    if not isinstance(destinations, list) or not destinations:
        yield "destinations", "must hold at least one destination"
        return
    for index, destination in enumerate(destinations):
        if not isinstance(destination, dict):
            yield f"destinations[{index}]", "must be an object"
            continue
        if not isinstance(destination.get("messageId"), str | None):
            yield f"destinations[{index}].messageId", "must be a string"
        to = destination.get("to")
        if not isinstance(to, dict) or not any(
            isinstance(to.get(member), str) and to[member] for member in ADDRESS_MEMBERS
        ):
            yield f"destinations[{index}].to", "must hold one of " + ", ".join(ADDRESS_MEMBERS)


def _content_problems(channel: str, member: str, content: Json) -> Iterator[Problem]:
    text = content.get("text")
    longest = LONGEST_TEXTS.get(member)
    if longest is None and not isinstance(text, str | None):
        yield f"{member}.text", "must be a string"
    elif longest is not None and not (isinstance(text, str) and 1 <= len(text) <= longest):
        yield f"{member}.text", f"must be a string of 1 to {longest} characters"
    if str(content.get("validityPeriodTimeUnit") or "MINUTES") not in SECONDS_PER_UNIT:
        yield f"{member}.validityPeriodTimeUnit", "must be one of " + ", ".join(SECONDS_PER_UNIT)
    elif content.get("validityPeriod") is not None:
        period = content["validityPeriod"]
        if type(period) is not int or not 0 <= period <= LARGEST_INT32:
            yield f"{member}.validityPeriod", f"must be a whole number from 0 to {LARGEST_INT32}"
            return
        seconds = validity_seconds(content) or 0.0
        shortest = 35 if channel == "VIBER" else 30
        if seconds <= shortest:
            yield f"{member}.validityPeriod", f"must exceed {shortest} seconds"
        if channel == "VIBER" and seconds > 14 * DAY:
            yield f"{member}.validityPeriod", "must not exceed 14 days"


def _is_web_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises if the port is invalid)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
