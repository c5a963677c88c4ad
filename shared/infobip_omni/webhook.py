"""The URL that Infobip calls with the reports of a bulk, and how a call to it is recognised.

Infobip signs no such call, so that the URL itself is the secret: it ends with a code over the
bulk id, which nobody can make without the key, and which opens the way to the messages of this
bulk only.
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
from infobip_omni.aws_clients import client_config

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST_KEY = 32
_PATH = "reports/"
_CACHED_SECONDS = 300


class WebhookKeyUnavailableError(NotProcessedError):
    """The parameter cannot be read or holds no key; nothing was sent without the URL."""


def report_path(bulk_id: str, key: bytes) -> str:
    """Write the path that takes the reports of a bulk, whatever characters its id holds."""
    # A dot is no special character to `quote`, but two of them would mean the parent folder.
    written = quote(bulk_id, safe="").replace(".", "%2E")
    return f"{_PATH}{written}/{_token(bulk_id, key)}"


def bulk_id_of(path: str, key: bytes) -> str | None:
    """Tell which bulk a path takes reports of; None unless `report_path` has written it."""
    if not path.startswith(f"/{_PATH}"):
        return None
    written, _, token = path.removeprefix(f"/{_PATH}").rpartition("/")
    # A front end may have decoded the path already.
    for bulk_id in (unquote(written), written):
        expected = _token(bulk_id, key).encode()
        if hmac.compare_digest(expected, token.encode(errors="replace")):
            return bulk_id
    return None


def _token(bulk_id: str, key: bytes) -> str:
    code = hmac.new(key, bulk_id.encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


class ParameterKey:
    """Reads the key from an SSM parameter that the operator creates, and keeps it five minutes.

    Usable from several threads.
    """

    def __init__(self, parameter_name: str) -> None:
        self._name = parameter_name
        self._provider = SSMProvider(boto3_client=boto3.client("ssm", config=client_config()))
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        """Return the key.

        Raises:
            WebhookKeyUnavailableError: SSM did not answer, or not with a key.
        """
        try:
            with self._lock:
                text = self._provider.get(self._name, max_age=_CACHED_SECONDS, decrypt=True)
        except GetParameterError as error:
            # AWS speaks of names and permissions here, never of the value.
            raise WebhookKeyUnavailableError(
                f"SSM parameter {self._name} cannot be read: {error}"
            ) from error
        key = str(text).encode()
        if len(key) < SHORTEST_KEY:
            # A value that was put right must not have to wait for the cache.
            self._provider.store.clear()
            raise WebhookKeyUnavailableError(
                f"SSM parameter {self._name} must hold at least {SHORTEST_KEY} characters"
            )
        return key


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Infobip may call us.

    Attributes:
        url: The base of all URLs, with a slash at its end.
        key: Asked for every URL, and may raise.
    """

    url: str
    key: Callable[[], bytes]

    def url_for(self, bulk_id: str) -> str:
        """Write the URL for the reports of a bulk.

        Raises:
            WebhookKeyUnavailableError: The key cannot be read.
        """
        return self.url + report_path(bulk_id, self.key())
