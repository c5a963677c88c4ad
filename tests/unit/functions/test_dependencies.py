"""Every function builds its clients once, from the variables that the template sets."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from functions.send_message.app import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    DependenciesOf = Callable[[str], Callable[[], Any]]

SQS = "https://sqs.eu-central-1.amazonaws.com/1"
INFOBIP = {
    "INFOBIP_BASE_URL": "https://acme.api.infobip.com",
    "INFOBIP_CREDENTIALS_PARAMETER": "/omni/dev/infobip/credentials",
}
REGISTRY = {"SCENARIO_PARAMETER_PREFIX": "/omni/dev/scenarios/"}
TABLE = {"MESSAGES_TABLE_NAME": "messages"}
LEDGER = TABLE | {"RETENTION_DAYS": "90", "RECONCILE_AFTER_SECONDS": "600"}
QUEUES = {"SEND_QUEUE_URL": f"{SQS}/send", "SEND_DEAD_LETTER_QUEUE_URL": f"{SQS}/dead"}
WEBHOOK = {"WEBHOOK_KEY_PARAMETER": "/omni/dev/webhook/key"}
SENDING = {"CLAIM_SECONDS": "120", "ON_UNKNOWN": "must-arrive", "DELIVERY_REPORT_URL": ""}
OUTCOMES = {"OUTCOME_EVENT_BUS_NAME": "outcomes", "OUTCOME_EVENT_RECIPIENTS": "omitted"}
VARIABLES = {
    "create_scenario": INFOBIP | REGISTRY,
    "find_messages": TABLE,
    "publish_outcomes": OUTCOMES,
    "pull_delivery_reports": INFOBIP | LEDGER | {"PARKED_REPORTS_QUEUE_URL": f"{SQS}/parked"},
    "receive_delivery_report": LEDGER | WEBHOOK,
    "reconcile_messages": INFOBIP | LEDGER,
    "record_parked_reports": LEDGER,
    "redrive_messages": QUEUES | LEDGER,
    "send_message": INFOBIP | REGISTRY | QUEUES | LEDGER | WEBHOOK | SENDING,
}


@pytest.fixture
def dependencies_of(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> DependenciesOf:
    """Return a helper that sets a function's variables and returns its `dependencies`."""

    def prepare(function: str) -> Callable[[], Any]:
        for name, value in VARIABLES[function].items():
            monkeypatch.setenv(name, value)
        app = import_module(f"functions.{function}.app")
        make: Any = app.dependencies
        make.cache_clear()
        request.addfinalizer(make.cache_clear)
        made: Callable[[], Any] = make
        return made

    return prepare


@pytest.mark.parametrize("function", VARIABLES)
def test_dependencies_are_built_once(function: str, dependencies_of: DependenciesOf) -> None:
    """All invocations of an execution environment share them; no other variables are needed."""
    dependencies = dependencies_of(function)

    assert dependencies() is dependencies()


def test_variables_set_registry_policy_and_times(dependencies_of: DependenciesOf) -> None:
    registry = dependencies_of("create_scenario")().registry
    sending = dependencies_of("send_message")()
    ledger = dependencies_of("reconcile_messages")().ledger

    assert registry.parameter("otp") == "/omni/dev/scenarios/otp"
    assert sending.policy == Policy(timedelta(seconds=120), "must-arrive")
    assert sending.ledger.retention == timedelta(days=90)
    assert ledger.check_after == timedelta(minutes=10)
