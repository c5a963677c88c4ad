"""The parts of an SMS are counted as the phone that receives it counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infobip_omni.api.channels.sms_parts import sms_parts, sms_parts_after_transliteration

from .refusals import brief

#: Characters of each table, of none, and of two code units.
CHARACTERS = "aZ0 \n€^{ğşİçáÓãÔ∞`жš語\U0001f600"
LANGUAGES = [None, "NONE", "TR", "ES", "PT", "AUTODETECT"]
TEXTS = st.text(CHARACTERS, min_size=1, max_size=200) | st.builds(
    str.__mul__, st.sampled_from(CHARACTERS), st.integers(1, 1000)
)
GSM = "GSM 03.38"
NATIONAL = "GSM 03.38 with national tables"
UCS2 = "UCS-2"


@pytest.mark.parametrize(
    ("text", "language", "count", "alphabet"),
    [
        ("a" * 160, None, 1, GSM),
        ("a" * 161, None, 2, GSM),
        ("a" * 306, None, 2, GSM),
        ("a" * 307, None, 3, GSM),
        ("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" * 5, None, 1, GSM),
        (" !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà", None, 1, GSM),
        # A character of the extension takes two septets, and is not divided between parts.
        ("€" * 80, None, 1, GSM),
        ("€" * 81, None, 2, GSM),
        ("€" * 153, None, 3, GSM),
        ("\f^{}\\[~]|€" * 8, None, 1, GSM),
        ("a" * 152 + "€" + "a" * 151, None, 2, GSM),
        ("a" * 152 + "€" + "a" * 152, None, 3, GSM),
        # Any other makes the whole text UCS-2, counted in code units.
        ("š" * 70, None, 1, UCS2),
        ("š" * 71, None, 2, UCS2),
        ("a" * 133 + "š", None, 2, UCS2),
        ("a" * 134 + "š", None, 3, UCS2),
        ("\U0001f600" * 35, None, 1, UCS2),
        ("\U0001f600" * 36, None, 2, UCS2),
        ("ç" * 70, None, 1, UCS2),
        ("ş" * 71, "NONE", 2, UCS2),
        ("š" * 71, "AUTODETECT", 2, UCS2),
        # The header that names a table takes room for five septets, two of them for eight.
        ("ş" * 155, "TR", 1, NATIONAL),
        ("ş" * 156, "TR", 2, NATIONAL),
        ("ş" * 298, "TR", 2, NATIONAL),
        ("ş" * 299, "TR", 3, NATIONAL),
        ("a" * 159 + "ş", "TR", 2, NATIONAL),
        ("€ĞğŞşİıç" * 19, "TR", 1, NATIONAL),
        ("áÁ" * 39, "ES", 2, NATIONAL),
        ("áÁ" * 38, "ES", 1, NATIONAL),
        ("ê" * 155, "PT", 1, NATIONAL),
        ("êúíóçÔôÁáªÇÀ∞^\\€ÓÂâÊºÍÃÕÚ~ãõ`|" * 5, "PT", 1, NATIONAL),
        ("ê" * 142 + "Φ" * 5, "PT", 1, NATIONAL),
        ("ê" * 143 + "Φ" * 5, "PT", 2, NATIONAL),
        # Only a part with characters of a national table has its header.
        ("a" * 153 + "ş" * 149, "TR", 2, NATIONAL),
        ("a" * 160, "TR", 1, GSM),
        ("ş" * 155, "AUTODETECT", 1, NATIONAL),
        ("á" * 155, "AUTODETECT", 1, NATIONAL),
        ("ş" * 71, "PT", 2, UCS2),
        ("`ğ", "AUTODETECT", 1, UCS2),
    ],
    ids=brief,
)
def test_parts_are_counted(text: str, language: str | None, count: int, alphabet: str) -> None:
    parts = sms_parts(text, language)

    assert (parts.count, parts.alphabet) == (count, alphabet)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 160, 1),
        ("š" * 5000, 1),
        ("aš" * 307, 3),
    ],
    ids=brief,
)
def test_transliteration_may_leave_out_what_alphabet_lacks(text: str, count: int) -> None:
    """What it makes of a character is not documented, so the fewest septets are counted."""
    assert sms_parts_after_transliteration(text).count == count


@settings(max_examples=50, deadline=None)
@given(text=TEXTS, more=st.text(CHARACTERS, max_size=20), language=st.sampled_from(LANGUAGES))
def test_longer_text_takes_no_fewer_parts(text: str, more: str, language: str | None) -> None:
    assert sms_parts(text + more, language).count >= sms_parts(text, language).count


@settings(max_examples=50, deadline=None)
@given(text=TEXTS, language=st.sampled_from(LANGUAGES))
def test_more_tables_take_no_more_parts(text: str, language: str | None) -> None:
    """Transliteration is the reading with the fewest parts."""
    count = sms_parts(text, language).count

    assert sms_parts(text, "AUTODETECT").count <= count <= sms_parts(text).count
    assert sms_parts_after_transliteration(text).count <= count
