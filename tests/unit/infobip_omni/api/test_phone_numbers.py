"""A phone number has one normal form, however people and their tools write it."""

from __future__ import annotations

import pytest

from infobip_omni.api.phone_numbers import normal_phone_number


@pytest.mark.parametrize(
    "text",
    [
        "385915550111",
        "+385915550111",
        "00385915550111",
        "+385 91 555-0111",
        "(385) 91/555.0111",
        " \t385915550111\r\n",
        "+385\u00a091\u202f555\u2009011\u20111",
        "\u202a+385915550111\u202c",
        "\u200e\u200f385915550111\ufeff",
        "+385 91 555 \u2013 0111",
        "00 385 91 555 0111",
    ],
)
def test_spellings_of_a_number_have_one_form(text: str) -> None:
    assert normal_phone_number(text) == "385915550111"


@pytest.mark.parametrize("text", ["12345", "1" * 20])
def test_number_has_5_to_20_digits(text: str) -> None:
    assert normal_phone_number(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "1234",
        "1" * 21,
        "0915550111",
        "000385915550111",
        "+00385915550111",
        "++385915550111",
        "385+915550111",
        "385915550111x2",
        "tel:+385915550111",
        "385915550111\n385915550112",
        "\u0663\u0668\u0665\u0669\u0661\u0665",
        "\uff13\uff18\uff15\uff19\uff11\uff15",
        "38591555\ud83d",
        "385915550111" + 80 * " ",
    ],
)
def test_other_texts_are_no_number(text: str) -> None:
    """A number that begins with 0 is national, and other digits than those of ASCII are refused."""
    assert normal_phone_number(text) is None


@pytest.mark.parametrize("text", ["+44 (0)20 7946 0000", "+44(\u200e0\u202c)2079460000"])
def test_trunk_prefix_in_parentheses_is_refused(text: str) -> None:
    """Callers abroad leave it out; as a digit of the number it would reach someone else."""
    assert normal_phone_number(text) is None
