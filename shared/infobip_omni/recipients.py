"""How recipients are indexed and compared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infobip_omni.api.models import Recipient


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
    """Tell whether an address in a report or log row is one of a message's.

    Infobip may write a phone number with a plus, or an e-mail address in other letters; a row
    without an address cannot contradict.
    """
    own = {value.casefold() for value in to.values()}
    return address is None or address.removeprefix("+").casefold() in own
