"""Infobip's credentials, kept in an SSM parameter that the operator creates."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import boto3
from aws_lambda_powertools.utilities.parameters import SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from infobip_omni.api.errors import NotProcessedError
from infobip_omni.api.models import parse_credentials
from infobip_omni.aws import client_config, error_code

if TYPE_CHECKING:
    from infobip_omni.api.models import Credentials

_CACHED_SECONDS = 300
#: Threads that are turned away together need one fresh read between them.
_REFRESH_SHARED_SECONDS = 1.0


class CredentialsUnavailableError(NotProcessedError):
    """The parameter cannot be read or holds no credentials, so nothing was sent to Infobip."""


class ParameterCredentials:
    """Reads the credentials from SSM, and keeps them for five minutes.

    The parameter holds ``{"apiKey": …}`` or ``{"username": …, "password": …}``.
    Usable from several threads.
    """

    def __init__(self, parameter_name: str) -> None:
        self._name = parameter_name
        self._provider = SSMProvider(boto3_client=boto3.client("ssm", config=client_config()))
        self._lock = threading.Lock()
        self._refreshed_at = float("-inf")

    def __call__(self, *, refresh: bool = False) -> Credentials:
        """Return the credentials.

        Args:
            refresh: Read them afresh, because Infobip has turned the cached ones away. Whoever
                asks within a second of somebody else's fresh read gets that one's result.

        Raises:
            CredentialsUnavailableError: SSM did not answer, or not with credentials.
        """
        asked_at = time.monotonic()
        with self._lock:
            stale = refresh and asked_at - self._refreshed_at > _REFRESH_SHARED_SECONDS
            credentials = self._read(fresh=stale)
            if stale:
                self._refreshed_at = time.monotonic()
        return credentials

    def _read(self, *, fresh: bool) -> Credentials:
        try:
            text = self._provider.get(
                self._name, max_age=_CACHED_SECONDS, decrypt=True, force_fetch=fresh
            )
        except GetParameterError as error:
            raise CredentialsUnavailableError(
                f"SSM parameter {self._name} cannot be read: {error_code(error)}"
            ) from None
        try:
            return parse_credentials(str(text))
        except ValueError:
            # A value that was put right must not have to wait for the cache.
            self._provider.store.clear()
            # The cause may hold what it could not read.
            raise CredentialsUnavailableError(
                f"SSM parameter {self._name} must hold JSON, either"
                ' {"apiKey": ...} or {"username": ..., "password": ...}'
            ) from None
