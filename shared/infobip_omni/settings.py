"""The environment variables of each function, validated once per execution environment.

Each function has its own class, named after it. If a variable is missing or breaks its rule, the
function fails with an error that names the variable and the rule, never the value. The environment
holds no secrets, only the names of the SSM parameters that store them.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from infobip_omni.api.json_text import trimmed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LOCAL_HOSTS = ("localhost", "host.docker.internal")
#: The rule that a variable breaks, by pydantic's type of error; limits come from the error's
#: context. https://docs.pydantic.dev/latest/errors/validation_errors/
_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty",
}


def _infobip_url(url: str) -> str:
    """Accept https URLs, and http URLs of this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _wrong_url() from None
    has_extras = parts.username is not None or parts.query or parts.fragment
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_local(host or ""))
    if not host or has_extras or not secure:
        raise _wrong_url()
    return url.rstrip("/")


def _wrong_url() -> PydanticCustomError:
    return PydanticCustomError(
        "url", "must be an https URL without user, query or fragment; http only on this machine"
    )


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
    """Environment variables are missing or break their rules; the text names variable and rule."""


class Settings(BaseModel):
    """Base of all settings; each field's alias is the name of its environment variable."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def from_environment(cls) -> Self:
        """Read and validate the environment; white space around a value is no part of it.

        Raises:
            InvalidSettingsError: Variables are missing or break their rules.
        """
        try:
            return cls.model_validate({name: trimmed(text) for name, text in os.environ.items()})
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            text = "; ".join(f"{problem['loc'][0]}: {_rule(problem)}" for problem in problems)
            raise InvalidSettingsError(text) from None


def _rule(problem: ErrorDetails) -> str:
    rule = _RULES.get(problem["type"])
    return problem["msg"] if rule is None else rule.format_map(problem.get("ctx", {}))


class InfobipSettings(Settings):
    """The URL of Infobip, and the SSM parameter that holds the credentials."""

    base_url: Annotated[str, AfterValidator(_infobip_url)] = Field(alias="INFOBIP_BASE_URL")
    credentials_parameter: ParameterName = Field(alias="INFOBIP_CREDENTIALS_PARAMETER")


class RegistrySettings(Settings):
    """The location of registered scenarios."""

    #: The SSM path that a scenario's slug is appended to.
    scenario_parameter_prefix: ParameterPrefix = Field(alias="SCENARIO_PARAMETER_PREFIX")


class TableSettings(Settings):
    """The messages table."""

    messages_table_name: str = Field(alias="MESSAGES_TABLE_NAME", min_length=1)


class LedgerSettings(TableSettings):
    """The messages table, its retention, and when the logs are queried."""

    retention_days: int = Field(alias="RETENTION_DAYS", ge=35)
    #: How old an unsettled message must be before the logs are queried.
    reconcile_after_seconds: int = Field(alias="RECONCILE_AFTER_SECONDS", ge=1)


class WebhookSettings(Settings):
    """The SSM parameter that holds the key of the webhook's URLs."""

    webhook_key_parameter: ParameterName = Field(alias="WEBHOOK_KEY_PARAMETER")


class QueueSettings(Settings):
    """The send queue and its dead-letter queue."""

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
    #: The lease of a claim; it must be longer than a run of the function.
    claim_seconds: int = Field(alias="CLAIM_SECONDS", ge=90)
    #: Whether a message that the logs do not know is quarantined or sent again.
    on_unknown: Literal["never-duplicate", "must-arrive"] = Field(alias="ON_UNKNOWN")
    #: The base URL of the webhook; empty if it is disabled.
    delivery_report_url: str = Field(alias="DELIVERY_REPORT_URL", pattern=r"^(https?://\S+/)?$")


class PullDeliveryReportsSettings(InfobipSettings, LedgerSettings):
    #: The queue for reports that the table does not accept.
    parked_reports_queue_url: QueueUrl = Field(alias="PARKED_REPORTS_QUEUE_URL")


class RecordParkedReportsSettings(LedgerSettings): ...


class ReceiveDeliveryReportSettings(LedgerSettings, WebhookSettings): ...


class ReconcileMessagesSettings(InfobipSettings, LedgerSettings): ...


class RedriveMessagesSettings(QueueSettings, LedgerSettings): ...


class FindMessagesSettings(TableSettings): ...


class PublishOutcomesSettings(Settings):
    outcome_event_bus_name: str = Field(alias="OUTCOME_EVENT_BUS_NAME", min_length=1)
    #: Whether events include the recipient's addresses.
    outcome_event_recipients: Literal["omitted", "included"] = Field(
        alias="OUTCOME_EVENT_RECIPIENTS"
    )
