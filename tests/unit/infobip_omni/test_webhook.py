"""Only the holder of a key can sign a URL that takes the reports of a bulk."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.webhook import (
    MOST_KEYS,
    Webhook,
    bulk_id_of,
    parse_keys,
    report_path,
)

if TYPE_CHECKING:
    from .conftest import Ssm

NAME = "/omni/dev/webhook/key"
KEY = b"canary-key-of-thirty-two-symbols"
OTHER_KEY = b"another-key-of-some-more-symbols"
BULK_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(BULK_IDS)
@example("a%2Fb")
def test_path_leads_back_to_its_bulk(bulk_id: str) -> None:
    """Also if the bulk id holds special characters, or a front end has decoded the path."""
    path = "/" + report_path(bulk_id, KEY)

    assert path.isascii()
    assert path.count("/") == 3
    assert bulk_id_of(path, [KEY]) == bulk_id
    assert bulk_id_of(unquote(path), [KEY]) == bulk_id


@given(BULK_IDS)
@example("..")
@example("a?b#c")
def test_path_survives_normalisation(bulk_id: str) -> None:
    """No client parses a bulk id as a query, a fragment or a parent folder."""
    url = urlsplit("https://host/" + report_path(bulk_id, KEY))

    assert (url.query, url.fragment) == ("", "")
    assert not {".", ".."}.intersection(url.path.split("/"))


def test_token_is_complete_hmac_of_bulk_id() -> None:
    """HMAC-SHA256 in URL-safe base64, all 256 bits of it."""
    code = hmac.new(KEY, b"bulk 1", hashlib.sha256).digest()

    path = report_path("bulk 1", KEY)

    assert path == f"reports/bulk%201/{base64.urlsafe_b64encode(code).decode().rstrip('=')}"
    assert len(path.rpartition("/")[2]) == 43


@pytest.mark.parametrize("position", range(43))
def test_token_with_any_changed_character_is_refused(position: int) -> None:
    """The last one included: four of its six bits carry data, but it is compared as text."""
    head, _, token = report_path("bulk-1", KEY).rpartition("/")
    wrong = "A" if token[position] != "A" else "B"

    forged = token[:position] + wrong + token[position + 1 :]

    assert bulk_id_of(f"/{head}/{forged}", [KEY]) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/reports",
        "/reports/",
        "/reports//",
        "/reports/bulk-1",
        "/reports/bulk-1/",
        "/reports/bulk-1/ü\ud800",
        "/" + report_path("bulk-1", OTHER_KEY),
        "/" + report_path("bulk-2", KEY).replace("bulk-2", "bulk-1"),
        report_path("bulk-1", KEY),
        "/" + report_path("bulk-1", KEY).replace("reports/", "report/"),
        "/x/" + report_path("bulk-1", KEY),
        "/" + report_path("bulk-1", KEY) + "/",
        "/" + report_path("bulk-1", KEY) + "=",
    ],
)
def test_other_paths_match_no_bulk(path: str) -> None:
    """They have no token, the token of another bulk or key, or another form."""
    assert bulk_id_of(path, [KEY]) is None


def test_url_combines_function_url_and_signed_path() -> None:
    webhook = Webhook("https://abc.lambda-url.eu-central-1.on.aws/", lambda: [KEY])

    url = webhook.url_for("bulk-1")

    assert url.startswith("https://abc.lambda-url.eu-central-1.on.aws/reports/bulk-1/")
    assert bulk_id_of(urlsplit(url).path, [KEY]) == "bulk-1"


def test_url_needs_key() -> None:
    """Without a key there is no URL, so nothing is sent."""

    def fail() -> list[bytes]:
        raise ParameterUnavailableError("no key")

    with pytest.raises(ParameterUnavailableError, match="no key"):
        Webhook("https://host/", fail).url_for("bulk-1")


@given(BULK_IDS, st.permutations([KEY, OTHER_KEY, b"a-third-key-of-thirty-two-symbols"]))
def test_path_signed_with_any_key_leads_to_its_bulk(bulk_id: str, keys: list[bytes]) -> None:
    """The position of that key does not matter."""
    path = "/" + report_path(bulk_id, KEY)

    assert bulk_id_of(path, keys) == bulk_id
    assert bulk_id_of(path, [key for key in keys if key != KEY]) is None


def test_no_path_matches_without_keys() -> None:
    """Not even a path with an empty token."""
    assert bulk_id_of("/reports/bulk-1/", []) is None


# --- Keys ----------------------------------------------------------------------------------


def test_key_is_replaced_without_failing_urls(ssm: Ssm) -> None:
    """A URL works for exactly as long as the parameter holds the key that signed it."""
    old, new = KEY.decode(), OTHER_KEY.decode()
    ssm.value = old

    def webhook() -> Webhook:
        return Webhook("https://host/", CachedParameter(NAME, parse_keys))

    def opens(url: str) -> bool:
        return bulk_id_of(urlsplit(url).path, CachedParameter(NAME, parse_keys)()) == "bulk-1"

    from_before = webhook().url_for("bulk-1")
    ssm.value = f"{old} {new}"
    assert webhook().url_for("bulk-1") == from_before
    assert opens(Webhook("https://host/", lambda: [OTHER_KEY]).url_for("bulk-1"))
    ssm.value = f"{new}\n{old}\n"
    from_after = webhook().url_for("bulk-1")
    assert from_after != from_before
    assert opens(from_before)
    assert opens(from_after)
    ssm.value = new
    assert opens(from_after)
    assert not opens(from_before)


@pytest.mark.parametrize(
    "text", ["correct horse battery staple, and some more words", "\u0161" * 16]
)
def test_single_key_is_used_verbatim(text: str) -> None:
    """With the white space inside of it: older keys were chosen before it separated keys."""
    assert parse_keys(text) == (text.encode(),)


@pytest.mark.parametrize(
    "text", [f"{KEY.decode()}\n", f" {KEY.decode()}", f"\ufeff{KEY.decode()}\r\n"]
)
def test_invisible_characters_around_single_key_do_not_belong_to_it(text: str) -> None:
    """URLs that an earlier version has signed with them stay valid."""
    keys = parse_keys(text)

    assert keys == (KEY, text.encode())
    for key in keys:
        assert bulk_id_of(f"/{report_path('bulk-1', key)}", keys) == "bulk-1"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "at least 32 characters"),
        (" " * 40, "at least 32 characters"),
        (f"{KEY[:31].decode()}\n", "at least 32 characters"),
        ("canary", "at least 32 characters"),
        ("canary canary", "at least 32 characters"),
        (f"{KEY.decode()} canary", "at least 32 characters for each"),
        (f"canary {KEY.decode()}", "at least 32 characters for each"),
        (" ".join([KEY.decode()] * (MOST_KEYS + 1)), "at most 3 keys"),
    ],
)
def test_invalid_keys_are_refused_with_their_rule(text: str, rule: str) -> None:
    """A typing error must neither merge two keys nor leave one that can be guessed."""
    with pytest.raises(ValueError, match=rule) as caught:
        parse_keys(text)

    assert "canary" not in str(caught.value)


def test_several_keys_are_read_in_order() -> None:
    """The first key signs."""
    for before in (" ", "\ufeff"):
        assert parse_keys(f"{before}{KEY.decode()}\t{OTHER_KEY.decode()} \n") == (KEY, OTHER_KEY)


def test_short_key_is_refused_until_corrected(ssm: Ssm) -> None:
    """A short key could be guessed. The error does not quote it, and the cache does not keep it."""
    ssm.value = KEY[:31].decode()
    key = CachedParameter(NAME, parse_keys)

    with pytest.raises(ParameterUnavailableError, match="at least 32 characters") as caught:
        key()
    ssm.value = KEY.decode()

    assert NAME in str(caught.value)
    assert "canary" not in str(caught.value)
    assert key() == (KEY,)
