"""The client of Infobip reads its credentials from SSM and never shows them."""

from __future__ import annotations

import io
import json
import logging
import traceback
from typing import TYPE_CHECKING

import pytest
import responses
from botocore.exceptions import ClientError

from infobip_omni.api.authorization import parse_credentials
from infobip_omni.api.errors import AuthenticationError
from infobip_omni.infobip_client import open_client
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.settings import InfobipSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Ssm

NAME = "/omni/dev/infobip/credentials"
CANARY = "canary-9b2e"


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """Capture what every logger writes, at the lowest level."""
    root, log = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(log), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield log
    root.setLevel(level)
    root.removeHandler(handler)


def test_client_reads_credentials_before_first_call(ssm: Ssm) -> None:
    """Without credentials it sends no request."""
    settings = InfobipSettings.model_validate(
        {
            "INFOBIP_BASE_URL": "https://acme.api.infobip.com",
            "INFOBIP_CREDENTIALS_PARAMETER": NAME,
        }
    )
    client = open_client(settings)
    assert ssm.requests == []

    with pytest.raises(ParameterUnavailableError, match=f"{NAME} must hold JSON"):
        client.take_reports()

    assert ssm.requests == [{"Name": NAME, "WithDecryption": True}]


@responses.activate
def test_refused_credentials_raise_error_even_if_refresh_fails(
    ssm: Ssm,
) -> None:
    """Otherwise a revoked key would look like an outage of SSM, which does not open the circuit."""
    settings = InfobipSettings.model_validate(
        {
            "INFOBIP_BASE_URL": "https://acme.api.infobip.com",
            "INFOBIP_CREDENTIALS_PARAMETER": NAME,
        }
    )
    ssm.value = json.dumps({"apiKey": "revoked"})

    def refuse(_: object) -> tuple[int, dict[str, str], str]:
        ssm.value = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetParameter")
        return 401, {}, "{}"

    url = "https://acme.api.infobip.com/omni/1/reports"
    responses.add_callback(responses.GET, url, callback=refuse)

    with pytest.raises(AuthenticationError):
        open_client(settings).take_reports()


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f'{{"apiKey": "{CANARY}"',
        f'["{CANARY}"]',
        f'"{CANARY}"',
        json.dumps({"apiKey": CANARY, "username": CANARY}),
        json.dumps({"apiKey": [CANARY]}),
        json.dumps({"apiKey": f"{CANARY}\n{CANARY}"}),
        json.dumps({"apiKey": f"App {CANARY}"}),
        json.dumps({"username": CANARY}),
        json.dumps({"username": f"{CANARY}:", "password": CANARY}),
        json.dumps({CANARY: CANARY}),
        "{}",
        "null",
    ],
)
def test_malformed_value_is_never_shown(
    ssm: Ssm,
    value: str,
    debug_log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error names the parameter and the rule; no text, traceback or log holds the value."""
    ssm.value = value

    with pytest.raises(ParameterUnavailableError, match=f"{NAME} (must hold|breaks)") as caught:
        CachedParameter(NAME, parse_credentials)()

    logging.getLogger("test").error("failed", exc_info=caught.value)
    output = capsys.readouterr()
    shown = "".join(traceback.format_exception(caught.value))
    assert NAME in shown
    assert "failed" in debug_log.getvalue()
    assert CANARY not in shown + repr(caught.value) + debug_log.getvalue() + output.out + output.err
