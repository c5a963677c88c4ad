"""The channels of Infobip's OpenAPI document 3.210.0, and the content of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .content import LONGEST_EMAIL_ADDRESS, LONGEST_URL, Channel, Content, TimeUnit
from .email import EmailContent
from .kakao import KakaoAlimContent, KakaoChinguContent
from .line import LineContent
from .push import PushContent
from .sms import SmsContent
from .viber import ViberContent
from .vkontakte import VKontakteContent
from .voice import VoiceContent
from .whatsapp import WhatsAppContent

if TYPE_CHECKING:
    from collections.abc import Mapping

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
CONTENT_MODELS: Mapping[Channel, type[Content]] = {
    Channel.SMS: SmsContent,
    Channel.EMAIL: EmailContent,
    Channel.VOICE: VoiceContent,
    Channel.PUSH: PushContent,
    Channel.VIBER: ViberContent,
    Channel.LINE: LineContent,
    Channel.VKONTAKTE: VKontakteContent,
    Channel.KAKAO_CHINGU: KakaoChinguContent,
    Channel.KAKAO_ALIM: KakaoAlimContent,
    Channel.WHATSAPP: WhatsAppContent,
}

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
