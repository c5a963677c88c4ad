"""Infobip's client with the credentials that the operator stores in an SSM parameter."""

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

    Its calls also raise ParameterUnavailableError if the credentials cannot be read; no request is
    then sent.
    """
    parameter = CachedParameter(settings.credentials_parameter, parse_credentials)

    def credentials(*, refresh: bool = False) -> Credentials:
        """Return the credentials; if they cannot be refreshed, those that Infobip refused.

        Infobip then refuses them again, and the caller gets that error.
        """
        try:
            return parameter(refresh=refresh)
        except ParameterUnavailableError:
            if not refresh:
                raise
        return parameter()

    return OmniClient(settings.base_url, credentials)
