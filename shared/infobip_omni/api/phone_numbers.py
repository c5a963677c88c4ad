"""The one form in which phone numbers are sent, stored, compared and looked up.

Infobip takes international numbers as bare digits, country code first. People and their tools write
the same number with spaces, punctuation and an international prefix.
"""

from __future__ import annotations

import re
import unicodedata

_NORMAL = re.compile(r"[1-9][0-9]{4,19}")
#: Dashes are the one of ASCII and its typographic kin, U+2010 to U+2015 and U+2212.
_PUNCTUATION = re.compile("[()./\\-\u2010-\u2015\u2212]")
#: Categories of Unicode: spaces, and format characters such as U+202D, which a number copied from a
#: contact or a web page holds invisibly.
_UNSEEN = frozenset({"Zs", "Cf"})
#: A trunk prefix that callers abroad leave out, as in +44 (0)20 7946 0000. Without its parentheses,
#: the digit would become a part of the number.
_TRUNK_PREFIX = "(0)"
#: Characters; four for each digit. Any sender to the queue can write a longer text.
_LONGEST_WRITTEN = 80


def normal_phone_number(text: str) -> str | None:
    """Return the normal form of a phone number; None if the text cannot be read as one.

    Spaces, invisible characters, the punctuation ``( ) - . /`` and one leading ``+`` or ``00`` are
    left out. The rest must be 5 to 20 digits of ASCII that do not begin with 0: a number that does
    is a national one, which only its own country understands.
    """
    if _NORMAL.fullmatch(text):
        return text
    if len(text) > _LONGEST_WRITTEN:
        return None
    seen = "".join(each for each in text.strip() if unicodedata.category(each) not in _UNSEEN)
    if _TRUNK_PREFIX in seen:
        return None
    digits = _PUNCTUATION.sub("", seen)
    digits = digits.removeprefix("+" if digits.startswith("+") else "00")
    return digits if _NORMAL.fullmatch(digits) else None
