"""The URL that Infobip calls with the reports of a bulk, and how a call to it is recognised.

Infobip signs no such call, so that the URL itself is the secret: it ends with a code over the
bulk id, which nobody can make without the key, and which opens the way to the messages of this
bulk only.

The parameter may hold several keys: the first signs, and all are accepted. So a key is replaced
without a URL that fails: the new key is added behind the old one; once every environment has read
both, which takes `CACHED_SECONDS`, it is put in front; and the old one is removed when the messages
of its time have settled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from infobip_omni.api.errors import NotProcessedError
from infobip_omni.aws import client_config, error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORTEST_KEY = 32
#: One that signs, one that is being replaced, and one to spare: each makes a guess likelier.
MOST_KEYS = 3
_PATH = "reports/"
#: How long an environment keeps what it has read.
CACHED_SECONDS = 300


class WebhookKeyUnavailableError(NotProcessedError):
    """The parameter cannot be read or holds no key; nothing was sent without the URL."""


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
    """Tell which bulk a path takes reports of.

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


class ParameterKey:
    """Reads the key from an SSM parameter that the operator creates, and keeps it five minutes.

    While a key is replaced, the parameter holds it behind the new one; see `parse_keys`.
    Usable from several threads.
    """

    def __init__(self, parameter_name: str) -> None:
        self._name = parameter_name
        self._provider = SSMProvider(boto3_client=boto3.client("ssm", config=client_config()))
        self._lock = threading.Lock()

    def __call__(self) -> tuple[bytes, ...]:
        """Return the keys: the first signs, and all are accepted.

        Raises:
            WebhookKeyUnavailableError: SSM did not answer, or not with keys.
        """
        try:
            with self._lock:
                text = self._provider.get(self._name, max_age=CACHED_SECONDS, decrypt=True)
        except GetParameterError as error:
            raise WebhookKeyUnavailableError(
                f"SSM parameter {self._name} cannot be read: {error_code(error)}"
            ) from None
        try:
            return parse_keys(str(text))
        except ValueError as error:
            # A value that was put right must not have to wait for the cache.
            self._provider.store.clear()
            raise WebhookKeyUnavailableError(f"SSM parameter {self._name} {error}") from None


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
            WebhookKeyUnavailableError: The key cannot be read.
        """
        return self.url + report_path(bulk_id, self.keys()[0])
