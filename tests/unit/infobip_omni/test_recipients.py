"""Recipients are indexed by a hash, and recognised in Infobip's reports."""

from __future__ import annotations

import hashlib

import pytest

from infobip_omni.api.sends import Recipient
from infobip_omni.recipients import (
    address_key,
    address_keys,
    is_another_recipient,
    is_recipient,
    recipient_index_key,
)

PHONE = "385995550123"
EVERYTHING = Recipient(
    phone_number=PHONE,
    email_address="ana@acme.example",
    push_registration_id="r-1",
    whats_app_user_id="DE.a1",
)


@pytest.mark.parametrize(
    ("recipient", "address"),
    [
        (EVERYTHING, PHONE),
        (EVERYTHING.model_copy(update={"phone_number": None}), "ana@acme.example"),
        (Recipient(push_registration_id="r-1", whats_app_user_id="DE.a1"), "r-1"),
        (Recipient(whats_app_user_id="DE.a1"), "DE.a1"),
    ],
)
def test_index_key_is_that_of_first_address(recipient: Recipient, address: str) -> None:
    """The order of addresses is that of Infobip's documentation."""
    assert recipient_index_key(recipient) == address_key(address)


def test_index_key_does_not_show_address() -> None:
    """The table's keys appear in audit trails."""
    key = address_key(PHONE)

    assert key == hashlib.sha256(PHONE.encode()).hexdigest()
    assert PHONE not in key


@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        (PHONE, "+385 99 555-0123"),
        (PHONE, "00385995550123"),
        ("Ana@acme.example", "Ana@ACME.example"),
    ],
)
def test_spellings_of_an_address_have_the_same_index_key(address: str, spelling: str) -> None:
    """The domain of an e-mail address ignores case; what is before the @ may not."""
    assert address_key(spelling) == address_key(address)
    assert address_key(spelling.lower()) != address_key("ana@acme.example.org")
    assert address_key("ana@acme.example") != address_key("Ana@acme.example")


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("+385 99 555 0123", [PHONE, "00" + PHONE, "+385 99 555 0123"]),
        ("Ana@ACME.example", ["Ana@acme.example", "Ana@ACME.example"]),
        ("r-1", ["r-1"]),
    ],
)
def test_address_is_looked_up_as_earlier_versions_stored_it(
    address: str, stored: list[str]
) -> None:
    """They stored addresses as they were written."""
    keys = [hashlib.sha256(each.encode()).hexdigest() for each in stored]

    assert address_keys(address)[0] == keys[0]
    assert set(address_keys(address)) == set(keys)


@pytest.mark.parametrize(
    ("address", "own", "foreign"),
    [
        (PHONE, True, False),
        ("+" + PHONE, True, False),
        ("00" + PHONE, True, False),
        ("+385.99.555.0123", True, False),
        ("\u202a+385\u00a099\u00a0555\u00a00123\u202c", True, False),
        ("+385.99.555.0124", False, False),
        ("(385) 99 555 0124", False, False),
        ("385995550124\u202c", False, False),
        ("099 555-0123", True, False),
        ("ana@acme.example", True, False),
        ("Ana@ACME.example", True, False),
        ("r-1", True, False),
        ("DE.a1", True, False),
        (None, False, False),
        ("", False, False),
        ("another-device", False, False),
        ("385995550124", False, True),
        (PHONE[:-1], False, True),
        ("ivo@acme.example", False, True),
    ],
)
def test_address_in_row_is_own_or_foreign_or_neither(
    address: str | None,
    own: bool,  # noqa: FBT001 (a column of the table)
    foreign: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Infobip names the address that the channel used, not always in the form that was sent."""
    to = EVERYTHING.model_dump(by_alias=True, exclude_none=True)

    assert (is_recipient(to, address), is_another_recipient(to, address)) == (own, foreign)


@pytest.mark.parametrize("address", [PHONE, "ana@acme.example"])
def test_address_of_other_kind_is_neither_own_nor_foreign(address: str) -> None:
    """A push to a registration may be reported for the phone number of its device."""
    to = {"pushRegistrationId": "r-1"}

    assert not is_recipient(to, address)
    assert not is_another_recipient(to, address)
