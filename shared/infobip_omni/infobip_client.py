"""Infobip's client, with the credentials that the operator keeps in an SSM parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infobip_omni.api.authorization import parse_credentials
from infobip_omni.api.client import OmniClient
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError

if TYPE_CHECKING:
    from infobip_omni.api.authorization import Credentials
    from infobip_omni.settings import InfobipSettings


def open_client(settings: InfobipSettings) -> OmniClient:
    """Return a client that reads its credentials before its first call.

    Its calls also raise ParameterUnavailableError where the credentials cannot be read. Infobip
    has then done nothing.
    """
    parameter = CachedParameter(settings.credentials_parameter, read_credentials)

    def credentials(*, refresh: bool = False) -> Credentials:
        """Return the credentials; where they cannot be read afresh, those that Infobip refused.

        Infobip then refuses them once more, and that is what the caller has to know.
        """
        try:
            return parameter(refresh=refresh)
        except ParameterUnavailableError:
            if not refresh:
                raise
        return parameter()

    return OmniClient(settings.base_url, credentials)


def read_credentials(text: str) -> Credentials:
    """Read ``{"apiKey": …}`` or ``{"username": …, "password": …}``.

    Raises:
        ValueError: It is neither; the error names the rule, and quotes nothing.
    """
    try:
        return parse_credentials(text)
    except ValueError:
        # The cause may hold what it could not read.
        raise ValueError(
            'must hold JSON, either {"apiKey": ...} or {"username": ..., "password": ...}'
        ) from None
