"""The checks of requests.

They follow Infobip's OpenAPI document 3.210.0, and are as tolerant as its examples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from . import schemas
from .errors import ADDRESS_MEMBERS, CONTENT_MEMBERS, DAY, HOUR, Json, Problem, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LONGEST_DELAY = 180 * DAY
_SECONDS_PER_UNIT = {
    "NANOSECONDS": 1e-9,
    "MICROSECONDS": 1e-6,
    "MILLISECONDS": 1e-3,
    "SECONDS": 1.0,
    "MINUTES": 60.0,
    "HOURS": HOUR,
    "DAYS": DAY,
}
_SHORTEST_VALIDITY, _SHORTEST_VIBER_VALIDITY = 30, 35
_LONGEST_VIBER_VALIDITY = 14 * DAY
_EMPTY: tuple[object, ...] = (None, "", [], {})


class _Part(NamedTuple):
    """Members that come together."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The combinations of parts in which an object may come.

    An empty member may count as present or as absent: other systems write it for an absent one.
    """

    parts: Mapping[str, _Part]
    allowed: tuple[set[str], ...]

    def problems(self, value: Json, path: str) -> Iterator[Problem]:
        present = self._parts_with(member for member in value if value[member] is not None)
        filled = self._parts_with(member for member in value if value[member] not in _EMPTY)
        for name in sorted(filled):
            for member in self.parts[name].required:
                if value.get(member) is None:
                    yield f"{path}.{member}", f"is required with the other members of {name}"
        if not any(filled <= each <= present for each in self.allowed):
            combinations = (" with ".join(sorted(each)) or "none" for each in self.allowed)
            yield path, "must hold exactly one of: " + ", ".join(combinations)

    def _parts_with(self, members: Iterable[str]) -> set[str]:
        found = set(members)
        return {
            name
            for name, part in self.parts.items()
            if not found.isdisjoint(part.required + part.optional)
        }


_VIBER = _Shapes(
    parts={
        "text": _Part(("text",)),
        "image": _Part(("imageURL",)),
        "file": _Part(("fileUrl",), ("fileName", "fileType")),
        "button": _Part(("buttonText", "buttonURL")),
    },
    allowed=({"text"}, {"image"}, {"file"}, {"text", "button"}, {"text", "image", "button"}),
)
_WHATSAPP_KINDS = (
    {"template"},
    {"template", "data"},
    {"template", "media data"},
    *({"image"}, {"audio"}, {"video"}, {"file"}, {"location"}, {"contacts"}),
)
#: The text is a caption. The document also requires it with other kinds, which have no caption.
_WHATSAPP = _Shapes(
    parts={
        "text": _Part(("text",)),
        "template": _Part(("templateName",), ("templateNamespace",)),
        "data": _Part(("templateData",)),
        "media data": _Part(("mediaTemplateData",)),
        "image": _Part(("imageUrl",)),
        "audio": _Part(("audioUrl",)),
        "video": _Part(("videoUrl",)),
        "file": _Part(("fileUrl",)),
        "location": _Part(("longitude", "latitude"), ("locationName", "address")),
        "contacts": _Part(("contacts",)),
    },
    allowed=({"text"}, *_WHATSAPP_KINDS, *({"text"} | each for each in _WHATSAPP_KINDS)),
)
_TEMPLATE_HEADER = _Shapes(
    parts={
        "text": _Part(("textPlaceholder",)),
        "document": _Part(("documentUrl",), ("documentFilename",)),
        "image": _Part(("imageUrl",)),
        "video": _Part(("videoUrl",)),
        "location": _Part(("latitude", "longitude")),
    },
    allowed=({"text"}, {"document"}, {"image"}, {"video"}, {"location"}),
)
_TEMPLATE_BUTTON = _Shapes(
    parts={"URL": _Part(("urlPlaceholder",)), "quick reply": _Part(("quickReplyPayload",))},
    allowed=(set(), {"URL"}, {"quick reply"}),
)
_VKONTAKTE = _Shapes(
    parts={
        "text": _Part(("text",)),
        "template": _Part(("templateName",)),
        "data": _Part(("templateData",)),
    },
    allowed=(
        {"text"},
        {"template"},
        {"template", "data"},
        {"text", "template"},
        {"text", "template", "data"},
    ),
)
#: The URL of a button of KakaoTalk, whose older name is deprecated.
_KAKAO_URL = _Shapes(
    parts={"buttonUrl": _Part(("buttonUrl",)), "buttonUrlMobile": _Part(("buttonUrlMobile",))},
    allowed=({"buttonUrl"}, {"buttonUrlMobile"}),
)
_KAKAO_CHINGU = _Shapes(
    parts={"text": _Part(("text",)), "image": _Part(("imageUrl",), ("imageLink",))},
    allowed=({"text"}, {"image"}, {"text", "image"}),
)
#: What each type of a LINE message consists of.
_LINE_MEMBERS = {
    "TEXT": ("text",),
    "IMAGE": ("url",),
    "VIDEO": ("url",),
    "AUDIO": ("url",),
    "STICKER": ("packageId", "stickerId"),
    "FLEX": ("altText", "contents"),
}
_APP_LINKS, _APP_LINKS_NEEDED = ("androidScheme", "iosScheme", "buttonUrlMobile"), 2


def scenario_problems(body: Json) -> Iterator[Problem]:
    """Check the body of POST and PUT ``/omni/1/scenarios``."""
    yield from schemas.problems(body, "CreateOrUpdateScenarioRequest")
    if body.get("flow") == []:
        yield "flow", "must hold at least one step"


def send_problems(body: Json, now: float) -> Iterator[Problem]:
    """Check the body of POST ``/omni/1/advanced``."""
    contents = {
        member: _with_whole_validity(body[member])
        for member in CONTENT_MEMBERS.values()
        if isinstance(body.get(member), dict)
    }
    found = list(schemas.problems(body | contents, "OmniAdvancedRequest"))
    yield from found
    # The other checks need a body of the right structure.
    if not found:
        yield from _destination_problems(body.get("destinations"))
        for channel, member in CONTENT_MEMBERS.items():
            if member in contents:
                yield from _validity_problems(channel, member, contents[member])
                yield from _shape_problems(channel, member, contents[member])
        yield from _option_problems(body, now)


def validity_seconds(content: Json) -> float | None:
    """Return how long a step may take in seconds; None if its content does not say."""
    period = content.get("validityPeriod")
    unit = content.get("validityPeriodTimeUnit") or "MINUTES"
    return None if period is None else int(period) * _SECONDS_PER_UNIT[unit]


def _with_whole_validity(content: Json) -> Json:
    """Return content whose validity period is a number; older documents write a string."""
    period = content.get("validityPeriod")
    if isinstance(period, str) and re.fullmatch("[0-9]{1,10}", period):
        return content | {"validityPeriod": int(period)}
    return content


def _destination_problems(destinations: list[Json] | None) -> Iterator[Problem]:
    if not destinations:
        yield "destinations", "must hold at least one destination"
    for index, destination in enumerate(destinations or ()):
        to = destination.get("to") or {}
        if not any(isinstance(to.get(member), str) and to[member] for member in ADDRESS_MEMBERS):
            yield f"destinations[{index}].to", "must hold one of " + ", ".join(ADDRESS_MEMBERS)


def _option_problems(body: Json, now: float) -> Iterator[Problem]:
    if body.get("notifyContentType") not in (None, "application/json", "application/xml"):
        yield "notifyContentType", "must be application/json or application/xml"
    notify_url = body.get("notifyUrl")
    if notify_url is not None and not _is_web_address(notify_url):
        yield "notifyUrl", "must be an http or https URL"
    send_at = body.get("sendAt")
    if send_at is not None and parse_moment(send_at, "sendAt") > now + _LONGEST_DELAY:
        yield "sendAt", "must be at most 180 days ahead"


def _validity_problems(channel: str, member: str, content: Json) -> Iterator[Problem]:
    seconds = validity_seconds(content)
    if seconds is None:
        return
    shortest = _SHORTEST_VIBER_VALIDITY if channel == "VIBER" else _SHORTEST_VALIDITY
    if seconds <= shortest:
        yield f"{member}.validityPeriod", f"must exceed {shortest} seconds"
    if channel == "VIBER" and seconds > _LONGEST_VIBER_VALIDITY:
        yield f"{member}.validityPeriod", "must not exceed 14 days"


def _shape_problems(channel: str, member: str, content: Json) -> Iterator[Problem]:
    if channel in _SHAPE_CHECKS:
        yield from _SHAPE_CHECKS[channel](content, member)


def _whatsapp_problems(content: Json, member: str) -> Iterator[Problem]:
    yield from _WHATSAPP.problems(content, member)
    data = content.get("mediaTemplateData") or {}
    path = f"{member}.mediaTemplateData"
    if data.get("header") is not None:
        yield from _TEMPLATE_HEADER.problems(data["header"], f"{path}.header")
    for index, button in enumerate(data.get("buttons") or ()):
        yield from _TEMPLATE_BUTTON.problems(button, f"{path}.buttons[{index}]")


def _line_problems(content: Json, member: str) -> Iterator[Problem]:
    for needed in _LINE_MEMBERS.get(content.get("type") or "", ()):
        if content.get(needed) is None:
            yield f"{member}.{needed}", f"is required for {content['type']}"


def _kakao_alim_problems(content: Json, member: str) -> Iterator[Problem]:
    for index, button in enumerate(content.get("buttons") or ()):
        path = f"{member}.buttons[{index}]"
        if button.get("type") == "URL":
            yield from _KAKAO_URL.problems(button, path)
        linked = [name for name in _APP_LINKS if button.get(name) is not None]
        if button.get("type") == "APP_LINK" and len(linked) < _APP_LINKS_NEEDED:
            yield path, f"must hold {_APP_LINKS_NEEDED} of " + ", ".join(_APP_LINKS)


_SHAPE_CHECKS: Mapping[str, Callable[[Json, str], Iterator[Problem]]] = {
    "KAKAO_CHINGU": _KAKAO_CHINGU.problems,
    "LINE": _line_problems,
    "VIBER": _VIBER.problems,
    "VKONTAKTE": _VKONTAKTE.problems,
    "WHATSAPP": _whatsapp_problems,
    "KAKAO_ALIM": _kakao_alim_problems,
}


def _is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises if the port is invalid)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
