"""Errors of settings name the variable and the rule in our own words, and never the value."""

from __future__ import annotations

import pytest

from infobip_omni import settings
from infobip_omni.settings import InvalidSettingsError, Settings

CANARY = "385991234567"
URL_RULE = "must be an https URL without user, query or fragment; http only on this machine"


@pytest.mark.parametrize(
    ("model", "name", "value", "rule"),
    [
        (settings.InfobipSettings, "INFOBIP_BASE_URL", f"http://{CANARY}.example", URL_RULE),
        (settings.InfobipSettings, "INFOBIP_BASE_URL", f"https://x:{CANARY}", URL_RULE),
        (settings.InfobipSettings, "INFOBIP_CREDENTIALS_PARAMETER", CANARY, r"must match ^/\S+$"),
        (settings.TableSettings, "MESSAGES_TABLE_NAME", "", "must not be empty"),
        (settings.LedgerSettings, "RETENTION_DAYS", "34", "must be at least 35"),
        (settings.LedgerSettings, "RETENTION_DAYS", f"x{CANARY}", "must be a whole number"),
        (
            settings.SendMessageSettings,
            "ON_UNKNOWN",
            CANARY,
            "must be 'never-duplicate' or 'must-arrive'",
        ),
        (settings.QueueSettings, "SEND_QUEUE_URL", None, "is required"),
    ],
)
def test_wrong_variable_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch,
    model: type[Settings],
    name: str,
    value: str | None,
    rule: str,
) -> None:
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSettingsError) as caught:
        model.from_environment()

    assert f"{name}: {rule}" in str(caught.value)
    assert CANARY not in str(caught.value)
