"""How recipients are indexed, looked up and compared."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from infobip_omni.api.phone_numbers import normal_phone_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infobip_omni.api.sends import Recipient


def recipient_index_key(recipient: Recipient) -> str:
    """Return the index key of the messages to a recipient.

    DynamoDB's keys appear in audit trails, so the key is a hash: of the first address, in the order
    phone number, e-mail address, push registration, WhatsApp user.
    """
    addresses = recipient.model_dump(exclude_none=True)
    return address_key(str(next(iter(addresses.values()))))


def address_key(address: str) -> str:
    """Return the index key of an address: the hash of its form in which all spellings are equal.

    A phone number is in its normal form, and the domain of an e-mail address in lower case. Upper
    and lower case count in everything else, also before the @ (RFC 5321, 2.4).
    """
    return _hash(_indexed(address))


def address_keys(address: str) -> tuple[str, ...]:
    """Return every index key under which messages to an address may be stored.

    The first is that of `address_key`. Earlier versions stored an address as it was written, and
    took a phone number with the prefix 00.
    """
    indexed = _indexed(address)
    forms = [indexed, address]
    if normal_phone_number(indexed):
        forms.append(f"00{indexed}")
    return tuple(_hash(form) for form in dict.fromkeys(forms))


def _indexed(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}" if at else normal_phone_number(address) or address


def _hash(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


def is_recipient(to: Mapping[str, str], address: str | None) -> bool:
    """Return whether an address in a report or log row is certainly one of a message's.

    Args:
        to: The addresses of the message, by Infobip's names for them.
        address: The address in the report or row; None if it has none.
    """
    return address is not None and any(_are_same(address, own) for own in to.values())


def is_another_recipient(to: Mapping[str, str], address: str | None) -> bool:
    """Return whether an address in a report or log row is certainly none of a message's.

    Only addresses of the same kind, phone numbers or e-mail addresses, can contradict each other: a
    push may be reported for a device that the message did not name.

    Args:
        to: The addresses of the message, by Infobip's names for them.
        address: The address in the report or row; None if it has none.
    """
    if address is None or is_recipient(to, address):
        return False
    if "@" in address:
        return "emailAddress" in to
    return _PHONE_NUMBER.fullmatch(address) is not None and "phoneNumber" in to


#: What contradicts another phone number. A number in any other spelling may be read wrongly, so it
#: can only confirm.
_PHONE_NUMBER = re.compile(r"\+?[0-9][0-9 ()-]{4,24}")
_NOT_DIGITS = re.compile(r"[^0-9]")
#: Phone numbers are written with or without a country code; the last digits are always there.
_COMPARED_DIGITS = 8


def _are_same(one: str, other: str) -> bool:
    if _PHONE_NUMBER.fullmatch(one) and _PHONE_NUMBER.fullmatch(other):
        ends = {_NOT_DIGITS.sub("", number)[-_COMPARED_DIGITS:] for number in (one, other)}
        return len(ends) == 1
    normal = normal_phone_number(one)
    if normal is not None and normal == normal_phone_number(other):
        return True
    return one.casefold() == other.casefold()
