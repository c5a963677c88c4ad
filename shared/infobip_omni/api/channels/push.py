"""The content of a push."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json

from .content import IS_URL, LARGEST_INT32, Content, ContentObject, RegisteredId, error_at

LONGEST_PUSH_TEXT = 2000
#: The limit of Infobip's platform for a whole push, in characters.
LONGEST_PUSH = 4000
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(texts)) < len(texts):
        raise PydanticCustomError("unique", "must not repeat an entry")
    return texts


def _surely_fits(value: object, characters: int) -> bool:
    """Return whether JSON of so many bytes can hold a value; this is fast, but not exact."""
    try:
        return len(to_json(value)) <= characters
    except PydanticSerializationError:  # a lone surrogate, for one
        return False


def _shortest_json(value: object) -> int:
    """Return the characters of the shortest JSON for a value; any fraction counts as one."""
    return len(_COMPACT.encode(json.loads(_COMPACT.encode(value), parse_float=lambda _: 0)))


_UniqueIds = Annotated[tuple[RegisteredId, ...], AfterValidator(_unique)]
_Option = Annotated[StrictStr, Field(max_length=LONGEST_PUSH)]


class _NotificationOptions(ContentObject):
    vibration_enabled: StrictBool | None = None
    sound_enabled: StrictBool | None = None
    sound_name: _Option | None = None
    badge: Annotated[StrictInt, Field(ge=-LARGEST_INT32 - 1, le=LARGEST_INT32)] | None = None
    content_url: Annotated[_Option, IS_URL] | None = None
    category: _Option | None = None
    in_app_style: Literal["BANNER", "MODAL"] | None = None
    title: _Option | None = None
    is_silent: StrictBool | None = None
    web_view_url: Annotated[_Option, IS_URL] | None = None
    inbox_topic: _Option | None = None


class PushContent(Content):
    """A notification of a mobile app, or data that the app receives silently."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_PUSH_TEXT)] | None = None
    custom_payload: dict[StrictStr, Any] | None = None
    notification_options: _NotificationOptions | None = None
    target_only_primary_devices: StrictBool | None = None
    include_notifications_disabled_devices: StrictBool | None = None
    person_subscriptions: _UniqueIds | None = None
    device_subscriptions: _UniqueIds | None = None

    @model_validator(mode="after")
    def _has_content_of_permitted_size(self) -> Self:
        if not self.custom_payload:
            if self.text is None and self.notification_options is None:
                rule = "is required, unless there is customPayload or notificationOptions"
                raise error_at("text", PydanticCustomError("no_content", rule))
            return self
        # How Infobip counts is not documented. Whatever it adds, both of these are part of a push.
        text = len(self.text or "")
        if not _surely_fits(self.custom_payload, LONGEST_PUSH - text):
            count = text + _shortest_json(self.custom_payload)
            if count > LONGEST_PUSH:
                error = PydanticCustomError(
                    "push_size",
                    "must fit into {most} characters together with text; they take {count}",
                    {"most": LONGEST_PUSH, "count": count},
                )
                raise error_at("customPayload", error)
        return self
