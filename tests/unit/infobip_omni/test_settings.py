"""Settings are read from the environment and checked; errors quote no value."""

from __future__ import annotations

import pytest

from infobip_omni.settings import (
    CreateScenarioSettings,
    InfobipSettings,
    InvalidSettingsError,
    PullDeliveryReportsSettings,
    ReceiveDeliveryReportSettings,
    ReconcileMessagesSettings,
    RecordParkedReportsSettings,
    SendMessageSettings,
    Settings,
)

ENVIRONMENT = {
    "INFOBIP_BASE_URL": "https://acme.api.infobip.com",
    "INFOBIP_CREDENTIALS_PARAMETER": "/omni/dev/infobip/credentials",
    "SCENARIO_PARAMETER_PREFIX": "/omni/dev/scenarios/",
    "MESSAGES_TABLE_NAME": "messages",
    "RETENTION_DAYS": "90",
    "SEND_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/send",
    "SEND_DEAD_LETTER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
    "CLAIM_SECONDS": "120",
    "RECONCILE_AFTER_SECONDS": "600",
    "ON_UNKNOWN": "never-duplicate",
    "DELIVERY_REPORT_URL": "https://abc.lambda-url.eu-central-1.on.aws/",
    "WEBHOOK_KEY_PARAMETER": "/omni/dev/webhook/key",
}
PARKING = {"PARKED_REPORTS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/1/parked"}
CANARY = "canary-5d1f"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set every variable that any function reads."""
    for name, value in (ENVIRONMENT | PARKING).items():
        monkeypatch.setenv(name, value)


def test_invisible_characters_around_values_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL that ends with a line break would fail every call."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, f"\ufeff {value}\r\n")

    settings = SendMessageSettings.from_environment()

    assert settings.base_url == ENVIRONMENT["INFOBIP_BASE_URL"]
    assert settings.credentials_parameter == ENVIRONMENT["INFOBIP_CREDENTIALS_PARAMETER"]
    assert (settings.retention_days, settings.on_unknown) == (90, "never-duplicate")


def variables(settings: type[Settings]) -> set[str | None]:
    """Return the variables that a function reads."""
    return {field.alias for field in settings.model_fields.values()}


def test_settings_are_read_and_converted() -> None:
    """Numbers are numbers, and all other values are unchanged."""
    settings = SendMessageSettings.from_environment()

    assert settings.base_url == ENVIRONMENT["INFOBIP_BASE_URL"]
    assert settings.credentials_parameter == ENVIRONMENT["INFOBIP_CREDENTIALS_PARAMETER"]
    assert settings.scenario_parameter_prefix == ENVIRONMENT["SCENARIO_PARAMETER_PREFIX"]
    assert settings.messages_table_name == ENVIRONMENT["MESSAGES_TABLE_NAME"]
    assert settings.send_queue_url == ENVIRONMENT["SEND_QUEUE_URL"]
    assert settings.send_dead_letter_queue_url == ENVIRONMENT["SEND_DEAD_LETTER_QUEUE_URL"]
    assert settings.on_unknown == "never-duplicate"
    assert (settings.retention_days, settings.claim_seconds) == (90, 120)
    assert settings.reconcile_after_seconds == 600


def test_each_function_reads_only_what_it_needs() -> None:
    """The functions that do not send know neither queues nor claims."""
    infobip = {"INFOBIP_BASE_URL", "INFOBIP_CREDENTIALS_PARAMETER"}
    ledger = {"MESSAGES_TABLE_NAME", "RETENTION_DAYS", "RECONCILE_AFTER_SECONDS"}

    assert variables(SendMessageSettings) == set(ENVIRONMENT)
    assert variables(CreateScenarioSettings) == infobip | {"SCENARIO_PARAMETER_PREFIX"}
    assert variables(PullDeliveryReportsSettings) == infobip | ledger | set(PARKING)
    assert variables(RecordParkedReportsSettings) == ledger
    assert variables(ReceiveDeliveryReportSettings) == ledger | {"WEBHOOK_KEY_PARAMETER"}
    assert variables(ReconcileMessagesSettings) == infobip | ledger


def test_webhook_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty URL, Infobip calls no webhook."""
    monkeypatch.setenv("DELIVERY_REPORT_URL", "")

    assert SendMessageSettings.from_environment().delivery_report_url == ""


def test_queue_for_parked_reports_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that cannot park a page must not start."""
    monkeypatch.setenv("PARKED_REPORTS_QUEUE_URL", CANARY)

    with pytest.raises(InvalidSettingsError, match="PARKED_REPORTS_QUEUE_URL") as caught:
        PullDeliveryReportsSettings.from_environment()

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no defaults, so a missing variable stops the function."""
    monkeypatch.delenv(name)

    with pytest.raises(InvalidSettingsError, match=name):
        SendMessageSettings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INFOBIP_BASE_URL", f"http://{CANARY}.api.infobip.com"),
        ("INFOBIP_BASE_URL", f"https://user:{CANARY}@acme.api.infobip.com"),
        ("INFOBIP_BASE_URL", f"https://acme.api.infobip.com/?key={CANARY}"),
        ("INFOBIP_BASE_URL", f"https://acme.api.infobip.com:{CANARY}"),
        ("INFOBIP_BASE_URL", f"ftp://127.0.0.1/{CANARY}"),
        ("INFOBIP_BASE_URL", f"https:///{CANARY}"),
        ("INFOBIP_CREDENTIALS_PARAMETER", CANARY),
        ("SCENARIO_PARAMETER_PREFIX", f"/omni/{CANARY}"),
        ("MESSAGES_TABLE_NAME", ""),
        ("RETENTION_DAYS", CANARY),
        ("RETENTION_DAYS", "34"),
        ("SEND_QUEUE_URL", CANARY),
        ("SEND_DEAD_LETTER_QUEUE_URL", CANARY),
        ("CLAIM_SECONDS", "89"),
        ("RECONCILE_AFTER_SECONDS", "0"),
        ("ON_UNKNOWN", CANARY),
        ("DELIVERY_REPORT_URL", f"https://{CANARY}"),
        ("DELIVERY_REPORT_URL", f"ftp://{CANARY}/"),
        ("WEBHOOK_KEY_PARAMETER", CANARY),
    ],
)
def test_error_names_variable_and_not_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value may be a misplaced secret."""
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidSettingsError, match=name) as caught:
        SendMessageSettings.from_environment()

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080",
        "http://127.0.0.2:8080",
        "http://[::1]:8080",
        "http://host.docker.internal:8080",
        "https://api.infobip.com",
    ],
)
def test_http_is_allowed_within_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local runs call the simulator over HTTP. A slash at the end makes no difference."""
    monkeypatch.setenv("INFOBIP_BASE_URL", url + "/")

    assert InfobipSettings.from_environment().base_url == url
