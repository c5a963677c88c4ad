"""The content of a push."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from .content import LARGEST_INT32, LONGEST_URL, Content, ContentObject, RegisteredId

LONGEST_PUSH_TEXT = 2000
#: The limit of Infobip's platform for a whole push.
_LONGEST_PUSH_OPTION = 4000


def _unique(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(count > 1 for count in Counter(texts).values()):
        raise PydanticCustomError("unique", "must not repeat an entry")
    return texts


_UniqueIds = Annotated[tuple[RegisteredId, ...], AfterValidator(_unique)]


_PushOption = Annotated[StrictStr, Field(max_length=_LONGEST_PUSH_OPTION)]
_PushUrl = Annotated[StrictStr, Field(max_length=LONGEST_URL)]


class _NotificationOptions(ContentObject):
    vibration_enabled: StrictBool | None = None
    sound_enabled: StrictBool | None = None
    sound_name: _PushOption | None = None
    badge: Annotated[StrictInt, Field(ge=-LARGEST_INT32 - 1, le=LARGEST_INT32)] | None = None
    content_url: _PushUrl | None = None
    category: _PushOption | None = None
    in_app_style: Literal["BANNER", "MODAL"] | None = None
    title: _PushOption | None = None
    is_silent: StrictBool | None = None
    web_view_url: _PushUrl | None = None
    inbox_topic: _PushOption | None = None


class PushContent(Content):
    """A notification of a mobile app."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_PUSH_TEXT)]
    custom_payload: dict[StrictStr, Any] | None = None
    notification_options: _NotificationOptions | None = None
    target_only_primary_devices: StrictBool | None = None
    include_notifications_disabled_devices: StrictBool | None = None
    person_subscriptions: _UniqueIds | None = None
    device_subscriptions: _UniqueIds | None = None
