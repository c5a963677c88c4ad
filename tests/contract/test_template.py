"""template.yaml is consistent with the code that it deploys, and with itself."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from functions.pull_delivery_reports import app as pull
from infobip_omni import delivery_reports
from infobip_omni.api.client import LONGEST_CALL_SECONDS
from infobip_omni.dead_letter_queue import VISIBILITY_SECONDS
from infobip_omni.message import MESSAGE_ENTRY, SETTLED
from infobip_omni.settings import (
    CreateScenarioSettings,
    FindMessagesSettings,
    InfobipSettings,
    PublishOutcomesSettings,
    PullDeliveryReportsSettings,
    ReceiveDeliveryReportSettings,
    ReconcileMessagesSettings,
    RecordParkedReportsSettings,
    RedriveMessagesSettings,
    SendMessageSettings,
    Settings,
)
from tests.local_world.template import read_template

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TEMPLATE: Json = read_template()
PARAMETERS: Json = TEMPLATE["Parameters"]
SETTINGS: dict[str, type[Settings]] = {
    "CreateScenarioFunction": CreateScenarioSettings,
    "SendMessageFunction": SendMessageSettings,
    "RedriveMessagesFunction": RedriveMessagesSettings,
    "PullDeliveryReportsFunction": PullDeliveryReportsSettings,
    "RecordParkedReportsFunction": RecordParkedReportsSettings,
    "ReceiveDeliveryReportFunction": ReceiveDeliveryReportSettings,
    "ReconcileMessagesFunction": ReconcileMessagesSettings,
    "FindMessagesFunction": FindMessagesSettings,
    "PublishOutcomesFunction": PublishOutcomesSettings,
}
#: Outputs on which deployments and tests outside this project rely.
OUTPUTS = {
    "SendQueueUrl",
    "SendQueueArn",
    "SendDeadLetterQueueUrl",
    "MessagesTableName",
    "ScenarioParameterPrefix",
    "CreateScenarioFunctionName",
    "SendMessageFunctionName",
    "RedriveMessagesFunctionName",
    "PullDeliveryReportsFunctionName",
    "ReceiveDeliveryReportFunctionName",
    "DeliveryReportWebhookUrl",
    "ReconcileMessagesFunctionName",
    "FindMessagesFunctionName",
    "DashboardUrl",
}
#: Logical ids that no release may change. CloudFormation treats a resource with another id as a new
#: resource. The table and the queues would start empty, and no function would read the old ones.
#: Functions would get new names, and the webhook a new URL, which their callers do not know.
LOGICAL_IDS = {
    "AWS::DynamoDB::Table": {"MessagesTable"},
    "AWS::SQS::Queue": {
        "SendQueue",
        "SendDeadLetterQueue",
        "ParkedReportsQueue",
        "ParkedReportsDeadLetterQueue",
        "OutcomeEventsDeadLetterQueue",
    },
    "AWS::Serverless::Function": {
        "CreateScenarioFunction",
        "SendMessageFunction",
        "RedriveMessagesFunction",
        "PullDeliveryReportsFunction",
        "RecordParkedReportsFunction",
        "ReceiveDeliveryReportFunction",
        "ReconcileMessagesFunction",
        "FindMessagesFunction",
        "PublishOutcomesFunction",
    },
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
ROLES = resources("AWS::IAM::Role")
#: Actions that AWS cannot restrict to a resource.
WITHOUT_RESOURCE = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
#: The role with which schedules invoke functions; every other role belongs to a function.
SCHEDULE_ROLE = "InvokeOnScheduleRole"
#: The alarm that fires when a function crashes each time. The other functions are invoked by
#: people, who see the error in the answer.
CRASH_ALARMS = {
    "SendMessageFunction": "SendMessageErrorsAlarm",
    "PullDeliveryReportsFunction": "NoReportsPulledAlarm",
    "ReconcileMessagesFunction": "NotReconciledAlarm",
    "RecordParkedReportsFunction": "ReportsStillParkedAlarm",
    "ReceiveDeliveryReportFunction": "WebhookRefusesAlarm",
    "PublishOutcomesFunction": "OutcomeEventsLagAlarm",
}
INVOKED_BY_PEOPLE = {"CreateScenarioFunction", "RedriveMessagesFunction", "FindMessagesFunction"}


def statements(function: str) -> list[Json]:
    """Return the policy statements of a function's role."""
    role = ROLES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]
    return [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def watched(alarm: Json) -> list[tuple[str, str, Json]]:
    """Return namespace, name and dimensions of the metrics that an alarm watches."""
    metrics = [each["Fn::If"][1] if "Fn::If" in each else each for each in alarm.get("Metrics", [])]
    stated = [each["MetricStat"]["Metric"] for each in metrics if "MetricStat" in each] or [alarm]
    return [
        (
            metric["Namespace"],
            metric["MetricName"],
            {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]},
        )
        for metric in stated
    ]


def queues_watched_for(metric_name: str) -> list[str]:
    """Return the queues of which an alarm watches this metric."""
    return [
        dimensions["QueueName"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for _, name, dimensions in watched(alarm)
        if name == metric_name
    ]


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 (one or several of anything)
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", LOGICAL_IDS)
def test_tables_queues_and_functions_keep_their_logical_ids(kind: str) -> None:
    """Updating a stack neither orphans messages nor changes names and URLs that callers use."""
    assert resources(kind).keys() == LOGICAL_IDS[kind]


def test_role_and_log_group_follow_their_function() -> None:
    """A reader finds a function's permissions and logs without a search."""
    names = list(TEMPLATE["Resources"])
    for name, function in FUNCTIONS.items():
        role = function["Role"]["Fn::GetAtt"][0]
        logs = function["LoggingConfig"]["LogGroup"]["Ref"]
        start = names.index(name)
        assert names[start : start + 3] == [name, role, logs]


def test_every_function_has_settings_and_every_settings_a_function() -> None:
    """Every function reads its environment through settings that this file checks."""
    assert FUNCTIONS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("function", SETTINGS)
def test_function_gets_the_variables_that_it_reads_and_no_others(function: str) -> None:
    """A missing or unused variable is a mistake in the template or in the settings."""
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    variables = everywhere | FUNCTIONS[function]["Environment"]["Variables"]
    given = {name for name in variables if not name.startswith(("POWERTOOLS_", "AWS_"))}

    assert given == {field.alias for field in SETTINGS[function].model_fields.values()}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_code_and_keeps_its_logs_for_a_limited_time(function: str) -> None:
    """The handler exists where the template looks for it, and logs are not kept forever."""
    code = ROOT / FUNCTIONS[function]["CodeUri"] / "app.py"
    log_group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]

    assert "def lambda_handler(" in code.read_text()
    assert resources("AWS::Logs::LogGroup")[log_group]["RetentionInDays"] == 30


def test_layer_supports_every_architecture() -> None:
    """One build serves all of them, and SAM builds it for one that the layer supports."""
    layer = TEMPLATE["Resources"]["InfobipOmniLayer"]
    served = layer["Properties"]["CompatibleArchitectures"]

    assert served == PARAMETERS["Architecture"]["AllowedValues"]
    assert layer["Metadata"]["BuildArchitecture"] in served
    assert PARAMETERS["Architecture"]["Default"] == "arm64"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from SAM's dependencies
@pytest.mark.parametrize("processor", PARAMETERS["Architecture"]["AllowedValues"])
def test_sam_runs_every_function_on_the_given_architecture(processor: str) -> None:
    """`sam local invoke --parameter-overrides Architecture=…` uses the image of that processor."""
    stacks, _ = SamLocalStackProvider.get_stacks(
        str(ROOT / "template.yaml"), parameter_overrides={"Architecture": processor}
    )

    found = {each.name: each.architecture for each in SamFunctionProvider(stacks).get_all()}

    assert found == dict.fromkeys(FUNCTIONS, processor)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_names_each_action_and_resource(function: str) -> None:
    """Wildcards are allowed only for actions that AWS cannot restrict to a resource."""
    for statement in statements(function):
        actions = as_list(statement["Action"])
        assert not any("*" in action for action in actions)
        assert "*" not in as_list(statement["Resource"]) or set(actions) <= WITHOUT_RESOURCE


def test_each_function_has_its_own_role() -> None:
    """No function gets another's permissions, and SAM creates none of its wider default roles."""
    roles = [function["Role"]["Fn::GetAtt"][0] for function in FUNCTIONS.values()]

    assert sorted([*roles, SCHEDULE_ROLE]) == sorted(ROLES)
    assert all("Policies" not in function for function in FUNCTIONS.values())


def test_visibility_timeout_outlasts_redrive_messages() -> None:
    """A dead-lettered record that was read is not redelivered in the same run."""
    assert FUNCTIONS["RedriveMessagesFunction"]["Timeout"] < VISIBILITY_SECONDS


def test_lease_outlasts_the_invocation_that_claims() -> None:
    """When a lease expires, its holder is no longer running."""
    timeout = FUNCTIONS["SendMessageFunction"]["Timeout"]

    assert PARAMETERS["ClaimSeconds"]["MinValue"] > timeout


def test_dead_letter_queue_accepts_larger_records_and_keeps_them_longer() -> None:
    """A dead-lettered record has its reason in addition."""
    queue, dead_lettered = QUEUES["SendQueue"], QUEUES["SendDeadLetterQueue"]

    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {
        "Fn::GetAtt": ["SendDeadLetterQueue", "Arn"]
    }
    assert dead_lettered["MaximumMessageSize"] > queue["MaximumMessageSize"]
    assert dead_lettered["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_consumed_queues_have_a_dead_letter_queue_with_an_alarm() -> None:
    """No record is lost because its consumer fails for too long."""
    for queue in ("SendQueue", "ParkedReportsQueue"):
        dead_lettered, _ = QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"]
        for metric in (
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        ):
            assert dead_lettered in queues_watched_for(metric)


def test_disabling_the_webhook_removes_only_its_own_resources() -> None:
    """Without the webhook, nothing can be called from the internet."""
    parts = {
        name
        for section in ("Resources", "Outputs")
        for name, part in TEMPLATE[section].items()
        if part.get("Condition") == "HasWebhook"
    }

    assert PARAMETERS["DeliveryReportWebhook"]["Default"] == "disabled"
    assert parts == {
        "ReceiveDeliveryReportFunction",
        "ReceiveDeliveryReportFunctionName",
        "ReceiveDeliveryReportRole",
        "ReceiveDeliveryReportLogGroup",
        "WebhookAbuseAlarm",
        "WebhookRefusesAlarm",
        "DeliveryReportWebhookUrl",
    }
    assert [name for name, function in FUNCTIONS.items() if "FunctionUrlConfig" in function] == [
        "ReceiveDeliveryReportFunction"
    ]


def test_pulling_can_be_disabled_with_its_schedule_and_its_alarm() -> None:
    """Nothing pulls then, and nothing misses it; the function can still be invoked."""
    parts = {
        name
        for section in ("Resources", "Outputs")
        for name, part in TEMPLATE[section].items()
        if part.get("Condition") == "PullsReports"
    }

    assert PARAMETERS["PullReports"]["Default"] == "enabled"
    assert parts == {"PullDeliveryReportsFunctionSchedule", "NoReportsPulledAlarm"}
    assert "Events" not in FUNCTIONS["PullDeliveryReportsFunction"]


def test_runs_of_the_puller_overlap_under_a_backlog() -> None:
    """Each run may pull pages for five of the schedule's minutes at least."""
    timeout = FUNCTIONS["PullDeliveryReportsFunction"]["Timeout"]
    reserve = LONGEST_CALL_SECONDS + 2 * pull._EXPECTED_RECORDING_SECONDS  # noqa: SLF001 (its own)

    assert timeout - reserve >= 5 * 60


def test_page_is_abandoned_only_after_the_run_that_stored_it() -> None:
    """A page that its own run still records must not be recorded by another run as well."""
    timeout = timedelta(seconds=FUNCTIONS["PullDeliveryReportsFunction"]["Timeout"])

    assert timeout < delivery_reports._ABANDONED_AFTER  # noqa: SLF001 (its own)


def test_every_queue_is_encrypted_at_rest_and_in_transit() -> None:
    """Records contain phone numbers."""
    policies = resources("AWS::SQS::QueuePolicy").values()

    assert all(queue["SqsManagedSseEnabled"] for queue in QUEUES.values())
    assert {queue["Ref"] for policy in policies for queue in policy["Queues"]} == QUEUES.keys()


@pytest.mark.parametrize(
    ("alarm", "metric"),
    [
        ("NoReportsPulledAlarm", "PullsSucceeded"),
        ("NotReconciledAlarm", "ReconciliationsSucceeded"),
    ],
)
def test_scheduled_function_without_a_success_fires_an_alarm(alarm: str, metric: str) -> None:
    """Missing data also fires it: the function may not be invoked, be throttled, or crash."""
    definition = ALARMS[alarm]

    assert [name for _, name, _ in watched(definition)] == [metric]
    assert definition["TreatMissingData"] == "breaching"
    assert definition["ComparisonOperator"] == "LessThanThreshold"
    assert definition["Threshold"] == 1
    assert definition["EvaluationPeriods"] == {"Ref": "MissedRunMinutes"}
    assert definition["DatapointsToAlarm"] == {"Ref": "MissedRunMinutes"}


def test_only_settled_messages_invoke_publish_outcomes() -> None:
    """The event source filters out all other writes to the table."""
    source = FUNCTIONS["PublishOutcomesFunction"]["Events"]["SettledMessages"]["Properties"]
    [pattern] = [json.loads(each["Pattern"]) for each in source["FilterCriteria"]["Filters"]]

    assert pattern["dynamodb"].keys() == {"Keys", "NewImage"}
    assert pattern["dynamodb"]["Keys"] == {"entry": {"S": [MESSAGE_ENTRY]}}
    assert set(pattern["dynamodb"]["NewImage"]["state"]["S"]) == SETTLED


def test_unpublished_outcomes_are_retried_while_the_stream_holds_them() -> None:
    """Before its 24 hours in the stream end, a change goes to a queue with an alarm."""
    source = FUNCTIONS["PublishOutcomesFunction"]["Events"]["SettledMessages"]["Properties"]
    queue, _ = source["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"]

    assert source["MaximumRetryAttempts"] == -1
    assert 12 * 3600 < source["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert queue in queues_watched_for("ApproximateNumberOfMessagesVisible")


def test_outcome_events_need_an_event_bus() -> None:
    """Without a bus, neither the stream nor its consumer is created."""
    parts = {
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource.get("Condition") == "HasOutcomeEventBus"
    }
    stream = TEMPLATE["Resources"]["MessagesTable"]["Properties"]["StreamSpecification"]["Fn::If"]

    assert PARAMETERS["OutcomeEventBusName"]["Default"] == ""
    assert PARAMETERS["OutcomeEventRecipients"]["Default"] == "omitted"
    assert stream[0] == "HasOutcomeEventBus"
    assert stream[2] == {"Ref": "AWS::NoValue"}
    assert parts == {
        "PublishOutcomesFunction",
        "PublishOutcomesRole",
        "PublishOutcomesLogGroup",
        "OutcomeEventsLagAlarm",
        "OutcomeEventsDeadLetterAlarm",
        "OutcomeEventsDeadLetterQueue",
        "OutcomeEventsDeadLetterQueueOverTlsOnly",
        "OutcomesUnpublishableAlarm",
        "OutcomeEventBusExists",
    }


def test_function_that_crashes_each_time_is_noticed() -> None:
    """An alarm fires, or the person who invoked it sees the error."""
    assert CRASH_ALARMS.keys() | INVOKED_BY_PEOPLE == FUNCTIONS.keys()
    assert not CRASH_ALARMS.keys() & INVOKED_BY_PEOPLE
    assert set(CRASH_ALARMS.values()) <= ALARMS.keys()


def test_errors_of_manual_invocations_fire_no_alarm() -> None:
    """The person who invokes the function sees the error."""
    for alarm in ALARMS.values():
        for _, name, dimensions in watched(alarm):
            function = dimensions.get("FunctionName", {}).get("Ref")
            assert not (name == "Errors" and function in INVOKED_BY_PEOPLE)


def test_throttles_of_every_function_are_watched() -> None:
    """A new function must be added to the alarm."""
    throttled = [
        dimensions["FunctionName"]["Ref"] for _, _, dimensions in watched(ALARMS["ThrottlesAlarm"])
    ]

    assert sorted(throttled) == sorted(FUNCTIONS)


def test_alarms_watch_metrics_that_the_code_writes() -> None:
    """An alarm on a metric that does not exist would never fire."""
    code = "".join(
        path.read_text()
        for folder in ("functions", "shared/infobip_omni")
        for path in (ROOT / folder).rglob("*.py")
    )
    ours = {
        name
        for alarm in ALARMS.values()
        for namespace, name, _ in watched(alarm)
        if namespace == "InfobipOmni"
    }

    assert ours
    assert [name for name in ours if f'"{name}"' not in code] == []


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_notifies_when_it_fires_and_when_it_recovers(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmActions"] == alarm["OKActions"]
    assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmEmail"
    assert "DatapointsToAlarm" in alarm


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_described_and_constrained(name: str) -> None:
    """An invalid value is refused before anything is deployed."""
    parameter = PARAMETERS[name]

    assert parameter["Description"].endswith((".", "/"))
    assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}


def test_parameters_are_in_the_order_of_the_console() -> None:
    """Each is in one group, and the template defines them in the console's order."""
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert grouped == list(PARAMETERS)


def test_only_the_base_url_has_no_default() -> None:
    """Each Infobip account has its own."""
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
    """A base URL that can be deployed also works."""
    settings = InfobipSettings.model_validate(
        {"INFOBIP_BASE_URL": url, "INFOBIP_CREDENTIALS_PARAMETER": "/a"}
    )

    assert re.fullmatch(PARAMETERS["InfobipBaseUrl"]["AllowedPattern"], url)
    assert settings.base_url == url.rstrip("/")


@pytest.mark.parametrize("url", ["http://example.com", "ftp://example.com", "example.com", ""])
def test_template_and_functions_refuse_the_same_base_urls(url: str) -> None:
    """Credentials never leave the machine unencrypted."""
    assert not re.fullmatch(PARAMETERS["InfobipBaseUrl"]["AllowedPattern"], url)
    with pytest.raises(ValidationError):
        InfobipSettings.model_validate(
            {"INFOBIP_BASE_URL": url, "INFOBIP_CREDENTIALS_PARAMETER": "/a"}
        )


def test_outputs_keep_their_names() -> None:
    """Names of outputs are an interface."""
    assert TEMPLATE["Outputs"].keys() == OUTPUTS


def test_deleting_the_stack_keeps_the_outcomes() -> None:
    """The table survives deletion and replacement, and can be restored as of the last 35 days."""
    table = TEMPLATE["Resources"]["MessagesTable"]
    recovery = table["Properties"]["PointInTimeRecoverySpecification"]

    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    assert recovery["PointInTimeRecoveryEnabled"] is True


def test_deployed_functions_use_the_real_aws() -> None:
    """`AWS_ENDPOINT_URL` is declared for SAM only, and has no value."""
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert everywhere["AWS_ENDPOINT_URL"] == {"Ref": "AWS::NoValue"}
