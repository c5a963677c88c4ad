"""The channels of Infobip's OpenAPI document 3.210.0, and the content of each.

The model of a content is imported when it is first used, because a scenario uses a few of the ten
channels, and the models of one cost as much as a small library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from .content import LONGEST_EMAIL_ADDRESS, LONGEST_URL, Channel, Content, TimeUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .email import EmailContent
    from .kakao import KakaoAlimContent, KakaoChinguContent
    from .line import LineContent
    from .push import PushContent
    from .sms import SmsContent
    from .viber import ViberContent
    from .vkontakte import VKontakteContent
    from .voice import VoiceContent
    from .whatsapp import WhatsAppContent

#: The member of a send's body that holds the content, by channel.
CONTENT_MEMBERS: Mapping[Channel, str] = {
    Channel.SMS: "sms",
    Channel.EMAIL: "email",
    Channel.VOICE: "voice",
    Channel.PUSH: "push",
    Channel.VIBER: "viber",
    Channel.LINE: "line",
    Channel.VKONTAKTE: "vKontakte",
    Channel.KAKAO_CHINGU: "kakaoChingu",
    Channel.KAKAO_ALIM: "kakaoAlim",
    Channel.WHATSAPP: "whatsApp",
}
#: The module and the name of each model.
_MODELS = {
    Channel.SMS: ("sms", "SmsContent"),
    Channel.EMAIL: ("email", "EmailContent"),
    Channel.VOICE: ("voice", "VoiceContent"),
    Channel.PUSH: ("push", "PushContent"),
    Channel.VIBER: ("viber", "ViberContent"),
    Channel.LINE: ("line", "LineContent"),
    Channel.VKONTAKTE: ("vkontakte", "VKontakteContent"),
    Channel.KAKAO_CHINGU: ("kakao", "KakaoChinguContent"),
    Channel.KAKAO_ALIM: ("kakao", "KakaoAlimContent"),
    Channel.WHATSAPP: ("whatsapp", "WhatsAppContent"),
}


@cache
def _model(channel: Channel) -> type[Content]:
    module, name = _MODELS[channel]
    model: type[Content] = getattr(import_module(f".{module}", __name__), name)
    return model


class _ContentModels(Mapping[Channel, type[Content]]):
    def __getitem__(self, channel: Channel) -> type[Content]:
        return _model(channel)

    def __iter__(self) -> Iterator[Channel]:
        return iter(_MODELS)

    def __len__(self) -> int:
        return len(_MODELS)


#: The model of each channel's content.
CONTENT_MODELS: Mapping[Channel, type[Content]] = _ContentModels()

if not TYPE_CHECKING:

    def __getattr__(name: str) -> type[Content]:
        """Return a model by its name (PEP 562)."""
        for channel, (_, model) in _MODELS.items():
            if model == name:
                return _model(channel)
        raise AttributeError(name)


__all__ = [
    "CONTENT_MEMBERS",
    "CONTENT_MODELS",
    "LONGEST_EMAIL_ADDRESS",
    "LONGEST_URL",
    "Channel",
    "Content",
    "EmailContent",
    "KakaoAlimContent",
    "KakaoChinguContent",
    "LineContent",
    "PushContent",
    "SmsContent",
    "TimeUnit",
    "VKontakteContent",
    "ViberContent",
    "VoiceContent",
    "WhatsAppContent",
]
