"""The URL that Infobip calls with the reports of a bulk, and how a call to it is recognised.

Infobip signs no such call, so that the URL itself is the secret: it ends with a code over the
bulk id, which nobody can make without the key, and which opens the way to the messages of this
bulk only.

The parameter may hold several keys: the first signs, and all are accepted. So a key is replaced
without a URL that fails: the new key is added behind the old one; once every environment has read
both, which takes `parameters.CACHED_SECONDS`, it is put in front; and the old one is removed when
the messages of its time have settled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORTEST_KEY = 32
#: One that signs, one that is being replaced, and one to spare: each makes a guess likelier.
MOST_KEYS = 3
_PATH = "reports/"


def report_path(bulk_id: str, key: bytes) -> str:
    """Write the path that takes the reports of a bulk, whatever characters its id holds.

    Args:
        bulk_id: The bulk.
        key: The key to sign with.
    """
    # A dot is no special character to `quote`, but two of them would mean the parent folder.
    written = quote(bulk_id, safe="").replace(".", "%2E")
    return f"{_PATH}{written}/{_token(bulk_id, key)}"


def bulk_id_of(path: str, keys: Sequence[bytes]) -> str | None:
    """Return which bulk a path takes reports of.

    Args:
        path: The path of a call.
        keys: The keys, any of which may have signed it.

    Returns:
        The bulk id; None unless `report_path` has written the path with one of the keys.
    """
    if not path.startswith(f"/{_PATH}"):
        return None
    written, _, token = path.removeprefix(f"/{_PATH}").rpartition("/")
    # A front end may have decoded the path already.
    for bulk_id in (unquote(written), written):
        if _is_signed(bulk_id, token, keys):
            return bulk_id
    return None


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Read one key, or several that white space separates, the one that signs first.

    A text of words that are all too short for a key is one key, white space included, and so is
    a single word with white space around it.

    Raises:
        ValueError: It breaks a rule, which the error names; it quotes nothing.
    """
    words = [word.encode() for word in text.split()]
    long_enough = [len(word) >= SHORTEST_KEY for word in words]
    if len(words) == 1 or not any(long_enough):
        key = text.encode()
        if len(key) < SHORTEST_KEY or not words:
            raise ValueError(f"must hold at least {SHORTEST_KEY} characters")
        return (key,)
    if not all(long_enough):
        raise ValueError(f"must hold at least {SHORTEST_KEY} characters for each of its keys")
    if len(words) > MOST_KEYS:
        raise ValueError(f"must hold at most {MOST_KEYS} keys")
    return tuple(words)


def _is_signed(bulk_id: str, token: str, keys: Sequence[bytes]) -> bool:
    given = token.encode(errors="replace")
    # All are compared, each in constant time: how long it takes does not tell which one fits.
    return any([hmac.compare_digest(_token(bulk_id, key).encode(), given) for key in keys])  # noqa: C419


def _token(bulk_id: str, key: bytes) -> str:
    code = hmac.new(key, bulk_id.encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Infobip may call us.

    Attributes:
        url: The base of all URLs, with a slash at its end.
        keys: Asked for every URL, and may raise; the first one signs.
    """

    url: str
    keys: Callable[[], Sequence[bytes]]

    def url_for(self, bulk_id: str) -> str:
        """Write the URL for the reports of a bulk.

        Raises:
            ParameterUnavailableError: The key cannot be read.
        """
        return self.url + report_path(bulk_id, self.keys()[0])
