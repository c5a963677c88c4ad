"""What each function reads from its environment, checked once when the environment starts.

Each function has a class of its own, called after it. A variable that is missing or breaks its
rule stops the function with an error that names the variable and the rule, never the value.
Secrets are not here: only the name of the SSM parameter that holds them is.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

_LOCAL_HOSTS = ("localhost", "host.docker.internal")


def _infobip_url(url: str) -> str:
    """Accept https anywhere, http only where it does not leave the machine."""
    problem = "must be an https URL without user, query or fragment; http only on this machine"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(problem) from None
    spare = parts.username is not None or parts.query or parts.fragment
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_local(host or ""))
    if not host or spare or not secure:
        raise ValueError(problem)
    return url.rstrip("/")


def _is_local(host: str) -> bool:
    if host in _LOCAL_HOSTS:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ParameterName = Annotated[str, Field(pattern=r"^/\S+$")]
ParameterPrefix = Annotated[str, Field(pattern=r"^/\S+/$")]
QueueUrl = Annotated[str, Field(pattern=r"^https?://\S+$")]


class InvalidSettingsError(Exception):
    """Variables of the environment are missing or break their rules; the text names both."""


class Settings(BaseModel):
    """Base of all settings; each field's alias is the name of its environment variable."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check the environment.

        Raises:
            InvalidSettingsError: Variables are missing or break their rules.
        """
        try:
            return cls.model_validate(dict(os.environ))
        except ValidationError as error:
            problems = error.errors(include_input=False, include_context=False, include_url=False)
            text = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in problems)
            raise InvalidSettingsError(text) from None


class InfobipSettings(Settings):
    """Where Infobip is, and which SSM parameter holds the credentials."""

    base_url: Annotated[str, AfterValidator(_infobip_url)] = Field(alias="INFOBIP_BASE_URL")
    credentials_parameter: ParameterName = Field(alias="INFOBIP_CREDENTIALS_PARAMETER")


class RegistrySettings(Settings):
    """Where the scenarios are registered."""

    #: The SSM path that a scenario's slug is appended to.
    scenario_parameter_prefix: ParameterPrefix = Field(alias="SCENARIO_PARAMETER_PREFIX")


class TableSettings(Settings):
    """Where messages are recorded."""

    messages_table_name: str = Field(alias="MESSAGES_TABLE_NAME", min_length=1)


class LedgerSettings(TableSettings):
    """Where messages are recorded, for how long, and when the logs are asked about them."""

    retention_days: int = Field(alias="RETENTION_DAYS", ge=35)
    #: How long a message may have no verdict before that.
    reconcile_after_seconds: int = Field(alias="RECONCILE_AFTER_SECONDS", ge=1)


class WebhookSettings(Settings):
    """Where the key is that the URLs for delivery reports are made with."""

    webhook_key_parameter: ParameterName = Field(alias="WEBHOOK_KEY_PARAMETER")


class QueueSettings(Settings):
    """Where records wait to be sent, and where those go that are set aside."""

    send_queue_url: QueueUrl = Field(alias="SEND_QUEUE_URL")
    send_dead_letter_queue_url: QueueUrl = Field(alias="SEND_DEAD_LETTER_QUEUE_URL")


class CreateScenarioSettings(InfobipSettings, RegistrySettings): ...


class SendMessageSettings(
    InfobipSettings,
    RegistrySettings,
    QueueSettings,
    LedgerSettings,
    WebhookSettings,
):
    #: How long a claim is good for; it must outlive a whole run of the function.
    claim_seconds: int = Field(alias="CLAIM_SECONDS", ge=90)
    #: What becomes of a message whose outcome even the logs do not know.
    on_unknown: Literal["never-duplicate", "must-arrive"] = Field(alias="ON_UNKNOWN")
    #: Where Infobip shall call with delivery reports; empty when it shall not.
    delivery_report_url: str = Field(alias="DELIVERY_REPORT_URL", pattern=r"^(https?://\S+/)?$")


class PullDeliveryReportsSettings(InfobipSettings, LedgerSettings):
    #: Where reports go that the table does not take.
    parked_reports_queue_url: QueueUrl = Field(alias="PARKED_REPORTS_QUEUE_URL")


class RecordParkedReportsSettings(LedgerSettings): ...


class ReceiveDeliveryReportSettings(LedgerSettings, WebhookSettings): ...


class ReconcileMessagesSettings(InfobipSettings, LedgerSettings): ...


class RedriveMessagesSettings(QueueSettings, LedgerSettings): ...


class FindMessagesSettings(TableSettings): ...


class PublishOutcomesSettings(Settings):
    outcome_event_bus_name: str = Field(alias="OUTCOME_EVENT_BUS_NAME", min_length=1)
    #: Whether events name the recipient.
    outcome_event_recipients: Literal["omitted", "included"] = Field(
        alias="OUTCOME_EVENT_RECIPIENTS"
    )
