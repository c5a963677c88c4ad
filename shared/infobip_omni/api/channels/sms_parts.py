"""How many parts an SMS takes: a text is sent in parts of 140 bytes, in one of three alphabets.

The tables are those of 3GPP TS 23.038 (formerly GSM 03.38) 18.0.0, in its order, without the escape
character. The headers are those of 3GPP TS 23.040 18.0.0, 9.2.3.24.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: 6.2.1 and A.3, the locking shift tables: each character takes one septet. Spanish has none.
_ONE_SEPTET = {
    None: "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà",
    "TR": "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞŞşßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "İABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§çabcdefghijklmnopqrstuvwxyzäöñüà",
    "PT": "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|ÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà",
}
#: 6.2.1.1 and A.2, the single shift tables: each character takes two septets.
_TWO_SEPTETS = {
    None: "\f^{}\\[~]|€",
    "TR": "\f^{}\\[~]|ĞİŞç€ğış",
    "ES": "ç\f^{}\\[~]|ÁÍÓÚá€íóú",
    "PT": "êç\fÔôÁáΦΓ^ΩΠΨΣΘÊ{}\\[~]|ÀÍÓÚÃÕÂ€íóúãõâ",
}
#: For each of Infobip's codes, the tables besides the default ones: those of one septet and those
#: of two. Infobip does not document which of them it uses.
_TURKISH = ((None, "TR"), ("TR", None), ("TR", "TR"))
_SPANISH = ((None, "ES"),)
_PORTUGUESE = ((None, "PT"), ("PT", None), ("PT", "PT"))
_NATIONAL = {
    "TR": _TURKISH,
    "ES": _SPANISH,
    "PT": _PORTUGUESE,
    "AUTODETECT": _TURKISH + _SPANISH + _PORTUGUESE,
}
_PART_BYTES = 140
#: Of the field before the headers, of the header that numbers parts, and of the header that names
#: a national table.
_LENGTH_BYTES = 1
_NUMBER_BYTES = 5
_TABLE_BYTES = 3
_BYTES_OF_NUMBERED_PART = _PART_BYTES - _LENGTH_BYTES - _NUMBER_BYTES


@dataclass(frozen=True, slots=True)
class SmsParts:
    """The parts of a text."""

    count: int
    alphabet: Literal["GSM 03.38", "GSM 03.38 with national tables", "UCS-2"]


def sms_parts(text: str, language: str | None = None) -> SmsParts:
    """Return the fewest parts that a text can take.

    Args:
        text: The text, not empty.
        language: The language code of Infobip's API: TR, ES, PT, or AUTODETECT for any of them;
            any other for none. Each part uses the language's tables that hold most of it.
    """
    default = _encoding(None, None)
    found: list[SmsParts] = []
    if (count := _count(text, (default,))) is not None:
        found.append(SmsParts(count, "GSM 03.38"))
    if tables := _NATIONAL.get(language or ""):
        encodings = (default, *(_encoding(one, two) for one, two in tables))
        if (count := _count(text, encodings)) is not None:
            found.append(SmsParts(count, "GSM 03.38 with national tables"))
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    count = _parts(units, _PART_BYTES // 2, _BYTES_OF_NUMBERED_PART // 2)
    found.append(SmsParts(count, "UCS-2"))
    return min(found, key=lambda parts: parts.count)


def sms_parts_after_transliteration(text: str) -> SmsParts:
    """Return the fewest parts that a text can take when Infobip transliterates it.

    Infobip does not document what becomes of a character. One that the alphabet has is counted as
    one septet, and any other is not counted, because it may be left out.
    """
    default = _encoding(None, None)
    septets = sum(character in default.septets for character in text)
    return SmsParts(_parts(septets, default.only_part, default.each_part), "GSM 03.38")


def _parts(units: int, only_part: int, each_part: int) -> int:
    return 1 if units <= only_part else -(-units // each_part)


@dataclass(frozen=True, slots=True)
class _Encoding:
    """A pair of tables, and the room that their headers leave for septets."""

    septets: Mapping[str, int]
    only_part: int
    each_part: int

    def end_of_part(self, text: str, start: int, room: int) -> int:
        """Return the position in the text at which a part ends; no character is divided."""
        end = start
        for character in text[start : start + room]:
            room -= self.septets.get(character, room + 1)
            if room < 0:
                break
            end += 1
        return end


@cache
def _encoding(one: str | None, two: str | None) -> _Encoding:
    tables = _TABLE_BYTES * ((one is not None) + (two is not None))
    length = _LENGTH_BYTES if tables else 0
    return _Encoding(
        septets=dict.fromkeys(_TWO_SEPTETS[two], 2) | dict.fromkeys(_ONE_SEPTET[one], 1),
        only_part=(_PART_BYTES - length - tables) * 8 // 7,
        each_part=(_BYTES_OF_NUMBERED_PART - tables) * 8 // 7,
    )


def _count(text: str, encodings: tuple[_Encoding, ...]) -> int | None:
    """Return the fewest parts that a text takes; None if no encoding has one of its characters."""
    if any(each.end_of_part(text, 0, each.only_part) == len(text) for each in encodings):
        return 1
    count = start = 0
    while start < len(text):
        end = max(each.end_of_part(text, start, each.each_part) for each in encodings)
        if end == start:
            return None
        start = end
        count += 1
    return count
