"""The contents of the two kinds of KakaoTalk message."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictStr

from .content import RichContent

LONGEST_KAKAO_ALIM_TEXT = 1000


class KakaoChinguContent(RichContent):
    """A KakaoTalk message to a friend of the sender."""


class KakaoAlimContent(RichContent):
    """A KakaoTalk message that follows a registered template."""

    text: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_KAKAO_ALIM_TEXT)]
