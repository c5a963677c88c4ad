"""What find_messages is asked, and how it names the place where an answer goes on."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    AfterValidator,
    Field,
    StrictStr,
    TypeAdapter,
)
from pydantic_core import PydanticCustomError

from .errors import InvalidEventError, InvocationEvent, read_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: The value of a sort key, and a message id.
    Place = tuple[str, str]

QUERIES = ("messageId", "recipient", "unsettled", "unresolved", "quarantined")
#: Characters; a place in each of 65 lists takes half of it at most.
LONGEST_TOKEN = 524_288


def _storable(longest: int) -> AfterValidator:
    """Accept what the table can hold as a key of so many bytes."""

    def check(text: str) -> str:
        # A lone surrogate, which JSON can write and UTF-8 cannot, becomes a question mark.
        written = text.encode(errors="replace")
        if not 0 < len(written) <= longest or written.decode() != text:
            rule = "must be text of 1 to {longest} bytes"
            raise PydanticCustomError("key", rule, {"longest": longest})
        return text

    return AfterValidator(check)


def _only_true(asked: object) -> object:
    if asked is not True:
        raise PydanticCustomError("asked", "must be true, or absent")
    return asked


_Key = Annotated[StrictStr, _storable(2048)]
_SortKey = Annotated[StrictStr, _storable(1024)]
_Asked = Annotated[bool, AfterValidator(_only_true)]
#: By query, then by part of it.
_Token = TypeAdapter(dict[str, dict[str, tuple[_SortKey, _Key]]])


class FindMessagesEvent(InvocationEvent):
    """A query: exactly one of the first five fields."""

    message_id: _Key | None = None
    #: A phone number, an e-mail address, a push registration or a WhatsApp user.
    recipient: _Key | None = Field(default=None, repr=False)
    unsettled: _Asked | None = None
    unresolved: _Asked | None = None
    quarantined: _Asked | None = None
    #: Most entries that are read for one answer; those that have expired are left out of it.
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    #: From the last answer, to go on from where it ended.
    next_token: Annotated[str, Field(max_length=LONGEST_TOKEN)] | None = None
    #: Whether recipients and free texts are shown as they are.
    show_recipients: bool = False

    def queries(self) -> list[str]:
        """Name the queries that are asked."""
        given = self.model_dump(by_alias=True, exclude_none=True)
        return [name for name in QUERIES if name in given]


def parse(event: object) -> FindMessagesEvent:
    """Read the event.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    asked = read_as(FindMessagesEvent, event)
    if len(asked.queries()) != 1:
        raise InvalidEventError("body", f"must hold exactly one of {', '.join(QUERIES)}")
    return asked


def write_token(asked: FindMessagesEvent, places: Mapping[str, Place]) -> str:
    """Write where the next page of an answer begins."""
    token = json.dumps({asked.queries()[0]: places})
    return base64.urlsafe_b64encode(token.encode()).decode()


def read_token(asked: FindMessagesEvent) -> dict[str, Place]:
    """Read where to go on; nobody is kept from changing a token, which gives access to nothing.

    Raises:
        InvalidEventError: The token was not given for this query.
    """
    if asked.next_token is None:
        return {}
    query = asked.queries()[0]
    try:
        text = base64.b64decode(asked.next_token.encode(), altchars=b"-_", validate=True)
        return _Token.validate_python(json.loads(text))[query]
    except (ValueError, RecursionError, KeyError):
        rule = "must be the one of the last answer to the same query"
        raise InvalidEventError("nextToken", rule) from None
