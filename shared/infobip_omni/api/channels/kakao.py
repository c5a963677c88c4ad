"""The contents of the two kinds of KakaoTalk message."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from infobip_omni.api.wire import one_or_more

from .content import IS_URL, Content, ContentObject, LongText
from .shapes import refuse_together, require_any
from .variants import Variants

LONGEST_KAKAO_ALIM_TEXT = 1000
_MOST_BUTTONS = 5
_Link = Annotated[StrictStr, Field(min_length=1, max_length=500)]
_ImageUrl = Annotated[StrictStr, Field(min_length=1, max_length=250), IS_URL]
_ChatText = Annotated[StrictStr, Field(max_length=50)]


class _Button(ContentObject):
    button_text: Annotated[StrictStr, Field(min_length=1, max_length=28)]


# --- AlimTalk --------------------------------------------------------------------------------


class AlimUrlButton(_Button):
    """Opens a web page."""

    type: Literal["URL"]
    button_url: _Link | None = None  #: deprecated in favour of `button_url_mobile`
    button_url_mobile: _Link | None = None
    button_url_pc: _Link | None = None
    target: Literal["out"] | None = None

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        refuse_together(self, "button_url_mobile", "button_url")
        require_any(self, "button_url_mobile", "button_url")
        return self


class AlimAppLinkButton(_Button):
    """Opens an app, or a web page where the app is missing."""

    type: Literal["APP_LINK"]
    android_scheme: _Link | None = None
    ios_scheme: _Link | None = None
    button_url_mobile: _Link | None = None
    button_url_pc: _Link | None = None

    @model_validator(mode="after")
    def _has_two_links(self) -> Self:
        links = ("android_scheme", "ios_scheme", "button_url_mobile")
        if sum(getattr(self, link) is not None for link in links) < 2:  # noqa: PLR2004 (the rule)
            names = ", ".join(map(to_camel, links))
            raise PydanticCustomError("links", "must hold two of {names}", {"names": names})
        return self


class AlimChatbotSwitchButton(_Button):
    """Starts a chat with a bot."""

    type: Literal["CHATBOT_SWITCH"]
    chat_extra: _ChatText
    chat_event: _ChatText


class AlimButton(_Button):
    """A button that has nothing but its text."""

    type: Literal["DELIVERY_TRACKING", "MESSAGE_DELIVERY", "BOT_KEYWORD", "ADD_CHANNEL"]


_ALIM_BUTTONS = Variants(
    "type",
    lambda: {
        "URL": AlimUrlButton,
        "APP_LINK": AlimAppLinkButton,
        "DELIVERY_TRACKING": AlimButton,
        "CHATBOT_SWITCH": AlimChatbotSwitchButton,
        "MESSAGE_DELIVERY": AlimButton,
        "BOT_KEYWORD": AlimButton,
        "ADD_CHANNEL": AlimButton,
    },
)


class KakaoAlimContent(Content):
    """A KakaoTalk message that follows a registered template."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_KAKAO_ALIM_TEXT)]
    template_code: Annotated[StrictStr, Field(min_length=1, max_length=30)] | None = None
    buttons: (
        Annotated[
            tuple[Annotated[ContentObject, _ALIM_BUTTONS], ...],
            Field(max_length=_MOST_BUTTONS),
            AfterValidator(one_or_more),
        ]
        | None
    ) = None
    title: Annotated[StrictStr, Field(max_length=50)] | None = None
    group_key: LongText | None = None


# --- ChinguTalk ------------------------------------------------------------------------------


class ChinguUrlButton(_Button):
    """Opens a web page."""

    type: Literal["URL"]
    button_url: _Link


class ChinguAppLinkButton(_Button):
    """Opens an app."""

    type: Literal["APP_LINK"]
    android_scheme: _Link
    ios_scheme: _Link


class ChinguButton(_Button):
    """A button that has nothing but its text."""

    type: Literal["BOT_KEYWORD", "MESSAGE_DELIVERY"]


_CHINGU_BUTTONS = Variants(
    "type",
    lambda: {
        "URL": ChinguUrlButton,
        "APP_LINK": ChinguAppLinkButton,
        "BOT_KEYWORD": ChinguButton,
        "MESSAGE_DELIVERY": ChinguButton,
    },
)


class KakaoChinguContent(Content):
    """A KakaoTalk message to a friend of the sender: a text, an image or both."""

    buttons: (
        Annotated[
            tuple[Annotated[ContentObject, _CHINGU_BUTTONS], ...],
            Field(max_length=_MOST_BUTTONS),
            AfterValidator(one_or_more),
        ]
        | None
    ) = None
    image_url: _ImageUrl | None = None
    image_link: _ImageUrl | None = None
    is_promotional: StrictBool | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        require_any(self, "text", "image_url")
        return self
