"""The event of find_messages, and the token for the next page of an answer."""

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

from infobip_omni.api.phone_numbers import normal_phone_number

from .errors import InvalidEventError, InvocationEvent, opened, read_as

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: The value of a sort key, and a message id.
    Place = tuple[str, str]

_LONGEST_PHONE_NUMBER = 20
QUERIES = ("messageId", "recipient", "unsettled", "unresolved", "quarantined", "waiting")
#: Characters; a token with a place in each of 65 lists takes at most half.
LONGEST_TOKEN = 524_288


def _storable(longest: int) -> AfterValidator:
    """Accept a text that can be a key of the table, up to a number of bytes."""

    def check(text: str) -> str:
        # A lone surrogate, which JSON can hold and UTF-8 cannot, would become a question mark.
        written = text.encode(errors="replace")
        if not 0 < len(written) <= longest or written.decode() != text:
            rule = "must be text of 1 to {longest} bytes"
            raise PydanticCustomError("key", rule, {"longest": longest})
        return text

    return AfterValidator(check)


def _only_true(value: object) -> object:
    if value is not True:
        raise PydanticCustomError("only_true", "must be true, or absent")
    return value


def _address(text: str) -> str:
    """Accept an address without surrounding spaces; refuse a phone number that no message has."""
    address = text.strip()
    is_number = not any(each.isalpha() or each == "@" for each in address)
    # Push services issue longer numbers than any telephone has.
    is_registration = address.isdecimal() and len(address) > _LONGEST_PHONE_NUMBER
    if is_number and not is_registration and normal_phone_number(address) is None:
        rule = (
            "must be a phone number of 5 to 20 digits that do not begin with 0, or another address"
        )
        raise PydanticCustomError("address", rule)
    return address


_Key = Annotated[StrictStr, _storable(2048)]
_Address = Annotated[_Key, AfterValidator(_address)]
_SortKey = Annotated[StrictStr, _storable(1024)]
_OnlyTrue = Annotated[bool, AfterValidator(_only_true)]
#: Places by query, then by the part of it that was read.
_Token = TypeAdapter(dict[str, dict[str, tuple[_SortKey, _Key]]])


class FindMessagesEvent(InvocationEvent):
    """A query: exactly one of the first six fields."""

    message_id: _Key | None = None
    #: A phone number in any spelling, an e-mail address, whose domain may be in upper or lower
    #: case, or a push registration or a WhatsApp user exactly as the message named it.
    recipient: _Address | None = Field(default=None, repr=False)
    unsettled: _OnlyTrue | None = None
    unresolved: _OnlyTrue | None = None
    quarantined: _OnlyTrue | None = None
    waiting: _OnlyTrue | None = None
    #: The maximum number of entries to read for one answer; expired ones are then left out.
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    #: From the previous answer, to continue where it ended.
    next_token: Annotated[str, Field(max_length=LONGEST_TOKEN)] | None = None
    #: Whether recipients and free texts are shown unmasked.
    show_recipients: bool = False

    def queries(self) -> list[str]:
        """Return the names of the queries that the event holds."""
        given = self.model_dump(by_alias=True, exclude_none=True)
        return [name for name in QUERIES if name in given]


def parse(event: object) -> FindMessagesEvent:
    """Parse the event.

    Raises:
        InvalidEventError: The event breaks a rule.
    """
    query = read_as(FindMessagesEvent, opened(event))
    if len(query.queries()) != 1:
        raise InvalidEventError("body", f"must hold exactly one of {', '.join(QUERIES)}")
    return query


def write_token(event: FindMessagesEvent, places: Mapping[str, Place]) -> str:
    """Return the token for the next page of an answer.

    Args:
        event: The query.
        places: Where the answer ended, by the part of the query that was read.
    """
    token = json.dumps({event.queries()[0]: places})
    return base64.urlsafe_b64encode(token.encode()).decode()


def read_token(event: FindMessagesEvent) -> dict[str, Place]:
    """Return where an answer continues, by the part of the query; empty without a token.

    A token is not signed, because a changed one gives access to no more than another query would.

    Raises:
        InvalidEventError: The token belongs to another query.
    """
    if event.next_token is None:
        return {}
    query = event.queries()[0]
    try:
        text = base64.b64decode(event.next_token.encode(), altchars=b"-_", validate=True)
        return _Token.validate_python(json.loads(text))[query]
    except (ValueError, RecursionError, KeyError):
        rule = "must be the nextToken of the last answer to the same query"
        raise InvalidEventError("nextToken", rule) from None
