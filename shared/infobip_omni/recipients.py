"""How recipients are indexed and compared."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infobip_omni.api.sends import Recipient


def recipient_index_key(recipient: Recipient) -> str:
    """Write the key under which the messages to a recipient are found.

    Keys of DynamoDB show up in audit trails, so that it is a hash of the first address, in the
    order phone number, e-mail address, push registration, WhatsApp user.
    """
    addresses = recipient.model_dump(exclude_none=True)
    return address_key(str(next(iter(addresses.values()))))


def address_key(address: str) -> str:
    """Hash an address, so that whoever knows it finds its messages."""
    return hashlib.sha256(address.encode()).hexdigest()


def is_recipient(to: Mapping[str, str], address: str | None) -> bool:
    """Return whether an address in a report or log row is surely one of a message's.

    Args:
        to: The addresses that the message was sent to, by Infobip's names for them.
        address: What the row names, if anything.
    """
    return address is not None and any(_are_same(address, own) for own in to.values())


def is_somebody_else(to: Mapping[str, str], address: str | None) -> bool:
    """Return whether an address in a report or log row is surely none of a message's.

    Only a phone number contradicts a phone number, and an e-mail address one of its kind: a push
    may be reported for a device that the message did not name.
    """
    if address is None or is_recipient(to, address):
        return False
    if "@" in address:
        return "emailAddress" in to
    return _PHONE_NUMBER.fullmatch(address) is not None and "phoneNumber" in to


_PHONE_NUMBER = re.compile(r"\+?[0-9][0-9 ()-]{4,24}")
_NOT_DIGITS = re.compile(r"[^0-9]")
#: Numbers are written with and without country code; so many of their last digits are always there.
_TELLING_DIGITS = 8


def _are_same(one: str, other: str) -> bool:
    if _PHONE_NUMBER.fullmatch(one) and _PHONE_NUMBER.fullmatch(other):
        ends = {_NOT_DIGITS.sub("", number)[-_TELLING_DIGITS:] for number in (one, other)}
        return len(ends) == 1
    return one.casefold() == other.casefold()
