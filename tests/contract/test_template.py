"""template.yaml agrees with the code that it deploys, and with itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samtranslator.yaml_helper import yaml_parse

from infobip_omni.settings import (
    CreateScenarioSettings,
    InfobipSettings,
    PullDeliveryReportsSettings,
    ReconcileMessagesSettings,
    SendMessageSettings,
    Settings,
)

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TEMPLATE: Json = yaml_parse((ROOT / "template.yaml").read_text())
PARAMETERS: Json = TEMPLATE["Parameters"]
SETTINGS: dict[str, type[Settings]] = {
    "CreateScenarioFunction": CreateScenarioSettings,
    "SendMessageFunction": SendMessageSettings,
    "PullDeliveryReportsFunction": PullDeliveryReportsSettings,
    "ReconcileMessagesFunction": ReconcileMessagesSettings,
}
#: What other people's deployments and tests rely on.
OUTPUTS = {
    "SendQueueUrl",
    "SendQueueArn",
    "SendDeadLetterQueueUrl",
    "MessagesTableName",
    "ScenarioParameterPrefix",
    "CreateScenarioFunctionName",
    "SendMessageFunctionName",
    "PullDeliveryReportsFunctionName",
    "ReconcileMessagesFunctionName",
    "DashboardUrl",
}


def resources(kind: str) -> dict[str, Json]:
    """Return the properties of all resources of a type."""
    return {
        name: resource["Properties"]
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == kind
    }


FUNCTIONS = resources("AWS::Serverless::Function")
QUEUES = resources("AWS::SQS::Queue")
ALARMS = resources("AWS::CloudWatch::Alarm")


def statements(function: str) -> list[Json]:
    """Return what the role of a function allows."""
    return [s for policy in FUNCTIONS[function]["Policies"] for s in policy["Statement"]]


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 (one or several of anything)
    """Return a list as it is, and anything else as the only element of one."""
    return value if isinstance(value, list) else [value]


def test_every_function_has_settings_and_every_settings_a_function() -> None:
    """No function reads its environment in a way that this file does not check."""
    assert FUNCTIONS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("function", SETTINGS)
def test_a_function_gets_the_variables_that_it_reads_and_no_others(function: str) -> None:
    """A variable that is missing, or that nobody reads, is a mistake in either file."""
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    variables = everywhere | FUNCTIONS[function]["Environment"]["Variables"]
    given = {name for name in variables if not name.startswith("POWERTOOLS_")}

    assert given == {field.alias for field in SETTINGS[function].model_fields.values()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_code_and_keeps_its_logs_for_a_limited_time(function: str) -> None:
    """The handler exists where the template looks for it, and logs are not kept for ever."""
    code = ROOT / FUNCTIONS[function]["CodeUri"] / "app.py"
    log_group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]

    assert "def lambda_handler(" in code.read_text()
    assert resources("AWS::Logs::LogGroup")[log_group]["RetentionInDays"] == 30


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_names_each_action_and_resource(function: str) -> None:
    """No role may do more than the template says, one by one."""
    for statement in statements(function):
        assert not any("*" in action for action in as_list(statement["Action"]))
        assert "*" not in as_list(statement["Resource"])


def test_a_queue_that_is_read_waits_six_times_as_long_as_its_reader_may_run() -> None:
    """A record does not come round again while a sender may still be at work on it."""
    timeout = FUNCTIONS["SendMessageFunction"]["Timeout"]

    assert QUEUES["SendQueue"]["VisibilityTimeout"] >= 6 * timeout


def test_a_claim_outlives_the_sender_that_made_it() -> None:
    """A claim that has run out belongs to nobody who is still at work."""
    timeout = FUNCTIONS["SendMessageFunction"]["Timeout"]

    assert PARAMETERS["ClaimSeconds"]["MinValue"] > timeout


def test_records_that_are_set_aside_have_room_and_time() -> None:
    """The dead-letter queue takes the largest record and its reason, and keeps it for longer."""
    queue, dead_letters = QUEUES["SendQueue"], QUEUES["SendDeadLetterQueue"]

    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {
        "Fn::GetAtt": ["SendDeadLetterQueue", "Arn"]
    }
    assert dead_letters["MaximumMessageSize"] > queue["MaximumMessageSize"]
    assert dead_letters["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_every_queue_is_encrypted_at_rest_and_on_the_way() -> None:
    """Records hold phone numbers."""
    policy = resources("AWS::SQS::QueuePolicy")["QueuesOverTlsOnly"]

    assert all(queue["SqsManagedSseEnabled"] for queue in QUEUES.values())
    assert {queue["Ref"] for queue in policy["Queues"]} == QUEUES.keys()


def test_a_schedule_that_cannot_be_met_is_noticed() -> None:
    """An invocation that EventBridge Scheduler cannot make ends in a queue with an alarm."""
    schedules = [
        event["Properties"]
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    watched = [alarm["Dimensions"][0]["Value"] for alarm in ALARMS.values()]

    assert len(schedules) == 2
    for schedule in schedules:
        queue, _ = schedule["DeadLetterConfig"]["Arn"]["Fn::GetAtt"]
        assert {"Fn::GetAtt": [queue, "QueueName"]} in watched


def test_every_function_has_an_alarm_for_errors() -> None:
    """No function fails for long without an alarm."""
    watched = [
        alarm["Dimensions"][0]["Value"]["Ref"]
        for alarm in ALARMS.values()
        if alarm["MetricName"] == "Errors"
    ]

    assert sorted(watched) == sorted(FUNCTIONS)


def test_alarms_watch_metrics_that_the_code_writes() -> None:
    """An alarm on a metric that does not exist would never ring."""
    code = "".join(
        path.read_text()
        for folder in ("functions", "shared/infobip_omni")
        for path in (ROOT / folder).rglob("*.py")
    )
    ours = [alarm for alarm in ALARMS.values() if alarm["Namespace"] == "InfobipOmni"]

    assert ours
    for alarm in ours:
        assert f'"{alarm["MetricName"]}"' in code


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_described_and_constrained(name: str) -> None:
    """Whoever deploys learns what a parameter means, and a wrong value is refused at once."""
    parameter = PARAMETERS[name]

    assert parameter["Description"].endswith((".", "/"))
    assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}


def test_all_parameters_have_defaults_but_the_base_url() -> None:
    """Only what nobody can know for others has to be given."""
    required = {name for name, parameter in PARAMETERS.items() if "Default" not in parameter}

    assert required == {"InfobipBaseUrl"}


@pytest.mark.parametrize(
    "url",
    [
        "https://xxxxx.api.infobip.com",
        "https://xxxxx.api.infobip.com/",
        "https://api.example:8443",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://host.docker.internal:8080",
    ],
)
def test_template_and_functions_accept_the_same_base_urls(url: str) -> None:
    """A base URL that deploys also works."""
    settings = InfobipSettings.model_validate(
        {"INFOBIP_BASE_URL": url, "INFOBIP_CREDENTIALS_PARAMETER": "/a"}
    )

    assert re.fullmatch(PARAMETERS["InfobipBaseUrl"]["AllowedPattern"], url)
    assert settings.base_url == url.rstrip("/")


@pytest.mark.parametrize("url", ["http://example.com", "ftp://example.com", "example.com", ""])
def test_template_and_functions_refuse_the_same_base_urls(url: str) -> None:
    """Credentials never leave the machine in the clear."""
    assert not re.fullmatch(PARAMETERS["InfobipBaseUrl"]["AllowedPattern"], url)
    with pytest.raises(ValidationError):
        InfobipSettings.model_validate(
            {"INFOBIP_BASE_URL": url, "INFOBIP_CREDENTIALS_PARAMETER": "/a"}
        )


def test_the_outputs_are_those_that_others_rely_on() -> None:
    """Names of outputs are an interface."""
    assert TEMPLATE["Outputs"].keys() == OUTPUTS


def test_deleting_the_stack_keeps_the_outcomes() -> None:
    """The table outlives the stack, a replacement, and any mistake of the last 35 days."""
    table = TEMPLATE["Resources"]["MessagesTable"]
    recovery = table["Properties"]["PointInTimeRecoverySpecification"]

    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert recovery["PointInTimeRecoveryEnabled"] is True
