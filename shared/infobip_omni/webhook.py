"""Signed URLs that Infobip calls with the reports of a bulk, and their verification.

Infobip does not sign its calls, so the URL itself is the secret: it ends with an HMAC of the bulk
id, which requires the key, and which is valid only for the messages of this bulk.

The SSM parameter may hold several keys: the first one signs, and all are accepted. So a key can be
replaced while signed URLs stay valid. Add the new key after the old one. When every execution
environment has read both, after `parameters.CACHED_SECONDS`, put the new key first. Remove the old
one when the messages sent with it have settled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from infobip_omni.api.json_text import trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORTEST_KEY = 32
#: One that signs, one that is being replaced, and a spare. Each key makes a correct guess likelier.
MOST_KEYS = 3
_PATH = "reports/"


def report_path(bulk_id: str, key: bytes) -> str:
    """Return the URL path for the reports of a bulk, without a leading slash.

    Args:
        bulk_id: The id of the bulk, of any characters.
        key: The key to sign with.
    """
    # `quote` does not escape dots, but two of them would mean the parent folder.
    written = quote(bulk_id, safe="").replace(".", "%2E")
    return f"{_PATH}{written}/{_token(bulk_id, key)}"


def bulk_id_of(path: str, keys: Sequence[bytes]) -> str | None:
    """Return the bulk id of a signed path.

    Args:
        path: The path of a call, with its leading slash.
        keys: The keys; any of them may have signed the path.

    Returns:
        The bulk id; None if none of the keys has signed the path.
    """
    if not path.startswith(f"/{_PATH}"):
        return None
    written, _, token = path.removeprefix(f"/{_PATH}").rpartition("/")
    # A proxy may already have decoded the path.
    for bulk_id in (unquote(written), written):
        if _is_signed(bulk_id, token, keys):
            return bulk_id
    return None


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Parse one key, or several separated by white space; the first one signs.

    If every word is too short for a key, the whole text is one key, with the white space inside of
    it. A byte order mark and white space around the text belong to no key, but earlier versions
    took those around a single one for a part of it. The URLs that were signed so stay valid.

    Returns:
        The keys; the first one signs.

    Raises:
        ValueError: The text breaks a rule; the error names the rule and never quotes the text.
    """
    key = trimmed(text)
    words = [word.encode(errors="replace") for word in key.split()]
    long_enough = [len(word) >= SHORTEST_KEY for word in words]
    if len(words) == 1 or not any(long_enough):
        single, as_written = (each.encode(errors="replace") for each in (key, text))
        if len(single) < SHORTEST_KEY:
            raise ValueError(f"must hold at least {SHORTEST_KEY} characters")
        return tuple(dict.fromkeys((single, as_written)))
    if not all(long_enough):
        raise ValueError(f"must hold at least {SHORTEST_KEY} characters for each of its keys")
    if len(words) > MOST_KEYS:
        raise ValueError(f"must hold at most {MOST_KEYS} keys")
    return tuple(words)


def _is_signed(bulk_id: str, token: str, keys: Sequence[bytes]) -> bool:
    given = token.encode(errors="replace")
    # All keys are compared, each in constant time, so the duration does not reveal which one fits.
    return any([hmac.compare_digest(_token(bulk_id, key).encode(), given) for key in keys])  # noqa: C419


def _token(bulk_id: str, key: bytes) -> str:
    code = hmac.new(key, bulk_id.encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook that Infobip calls with delivery reports.

    Attributes:
        url: The base of all URLs, with a slash at its end.
        keys: Returns the keys, the first of which signs; called for every URL, and may raise.
    """

    url: str
    keys: Callable[[], Sequence[bytes]]

    def url_for(self, bulk_id: str) -> str:
        """Return the signed URL for the reports of a bulk.

        Raises:
            ParameterUnavailableError: The key cannot be read.
        """
        return self.url + report_path(bulk_id, self.keys()[0])
