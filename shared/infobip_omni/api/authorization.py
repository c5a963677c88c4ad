"""The credentials of an Infobip account, and their Authorization header."""

from __future__ import annotations

import base64
import json
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictStr

from .json_text import trimmed
from .wire import RequestBody

#: Characters; a value in SSM has at most 8192.
_LONGEST_CREDENTIAL = 4096


def _trimmed(value: object) -> object:
    return trimmed(value) if isinstance(value, str) else value


def _without_line_breaks(value: object) -> object:
    """Drop what tools add to a text: spaces may belong to it, but no line break can."""
    return value.strip("\ufeff\r\n") if isinstance(value, str) else value


#: Characters that an HTTP header can hold.
_Secret = Annotated[
    StrictStr,
    Field(pattern=r"^[\x21-\x7e]+$", max_length=_LONGEST_CREDENTIAL),
    BeforeValidator(_trimmed),
]


class ApiKeyCredentials(RequestBody):
    """An API key."""

    api_key: _Secret = Field(repr=False)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        return f"App {self.api_key}"


class BasicCredentials(RequestBody):
    """A user's name and password."""

    username: Annotated[
        StrictStr,
        Field(pattern=r"^[^:]+$", max_length=_LONGEST_CREDENTIAL),
        BeforeValidator(_without_line_breaks),
    ] = Field(repr=False)
    password: Annotated[
        StrictStr,
        Field(min_length=1, max_length=_LONGEST_CREDENTIAL),
        BeforeValidator(_without_line_breaks),
    ] = Field(repr=False)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


Credentials = ApiKeyCredentials | BasicCredentials


def parse_credentials(text: str) -> Credentials:
    """Parse ``{"apiKey": …}`` or ``{"username": …, "password": …}``.

    Raises:
        ValueError: The text is neither; the error names the rule and never quotes the text.
    """
    try:
        members = json.loads(trimmed(text))
    except (ValueError, RecursionError):
        raise ValueError("credentials must be JSON") from None
    if not isinstance(members, dict):
        raise ValueError("credentials must be a JSON object")  # noqa: TRY004 (a rule of the text)
    kind = ApiKeyCredentials if "apiKey" in members else BasicCredentials
    return kind.model_validate(members)
