"""Counts the parts of an SMS, as 3GPP TS 23.038 and TS 23.040 define them.

Of the national languages, the simulator knows the single shift tables; a character of these takes
two septets. The locking shift tables, which Turkish and Portuguese also have, are not simulated.
"""

from __future__ import annotations

from functools import lru_cache

#: The default alphabet; each character takes one septet.
_DEFAULT = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: What a text may consist of: the default alphabet and its extension, or also the single shift
#: table of a language. Each character outside the default alphabet takes two septets.
_GSM = _DEFAULT | frozenset("\f^{}\\[~]|€")
_NATIONAL = {
    "TR": _GSM | frozenset("ĞİŞçğış"),
    "ES": _GSM | frozenset("çÁÍÓÚáíóú"),
    "PT": _GSM | frozenset("êçÔôÁáÊÀÍÓÚÃÕÂíóúãõâ"),
}
#: The largest size of a single message, and of a part, which has a header: in septets, in septets
#: of a message that names a language, and in UTF-16 units.
_SEPTETS, _NATIONAL_SEPTETS, _UNITS = (160, 153), (155, 149), (70, 67)


@lru_cache(maxsize=256)  # the destinations of a request share a text
def count_parts(text: str, *, language: str | None = None, transliterated: bool = False) -> int:
    """Return the number of parts of a text.

    Args:
        text: The text.
        language: Its language code, of which ``AUTODETECT`` takes the table that makes it shortest.
        transliterated: Whether each character is replaced by one of the default alphabet. Infobip
            does not document the replacements; here each is one character.
    """
    if transliterated:
        return _parts([1] * len(text), _SEPTETS)
    if _GSM.issuperset(text):
        return _parts(_widths(text), _SEPTETS)
    languages = _NATIONAL if language == "AUTODETECT" else _NATIONAL.keys() & {language}
    if any(_NATIONAL[each].issuperset(text) for each in languages):
        return _parts(_widths(text), _NATIONAL_SEPTETS)
    return _parts([1 + (ord(character) > 0xFFFF) for character in text], _UNITS)


def _widths(text: str) -> list[int]:
    return [1 if character in _DEFAULT else 2 for character in text]


def _parts(widths: list[int], sizes: tuple[int, int]) -> int:
    """Return the number of parts; no character is divided between two of them."""
    single, part = sizes
    if sum(widths) <= single:
        return 1
    parts, used = 1, 0
    for width in widths:
        if used + width > part:
            parts, used = parts + 1, 0
        used += width
    return parts
