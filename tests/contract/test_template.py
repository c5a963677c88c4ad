"""template.yaml agrees with the code that it deploys, and with itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

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
#: What other people's deployments and tests rely on.
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
#: Logical ids that no release may change. To CloudFormation, a resource under another id is another
#: resource: the table and the queues would start empty, and what the old ones hold would stay
#: behind where nothing reads it; a function would get another name, and the webhook another URL,
#: while whoever invokes or calls it still has the old one.
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
#: Actions that AWS lets nobody restrict to a resource.
WITHOUT_RESOURCE = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
#: The role that schedules invoke with; every other one is a function's.
SCHEDULE_ROLE = "InvokeOnScheduleRole"
#: By which alarm an operator learns that a function crashes each time. Whoever invokes one of the
#: others by hand is told so by its answer.
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
    """Return what the role of a function allows."""
    role = ROLES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]
    return [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def watched(alarm: Json) -> list[tuple[str, str, Json]]:
    """Return namespace, name and dimensions of the metrics that an alarm looks at."""
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
    """Return the queues of which an alarm looks at a metric."""
    return [
        dimensions["QueueName"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for _, name, dimensions in watched(alarm)
        if name == metric_name
    ]


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 (one or several of anything)
    """Return a list as it is, and anything else as the only element of one."""
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", LOGICAL_IDS)
def test_what_holds_content_or_is_called_keeps_its_logical_id(kind: str) -> None:
    """An update of a stack neither orphans messages nor moves what others call."""
    assert resources(kind).keys() == LOGICAL_IDS[kind]


def test_role_and_logs_of_a_function_stand_beside_it() -> None:
    """Who reads about a function finds what it may do and where it logs without a search."""
    names = list(TEMPLATE["Resources"])
    for name, function in FUNCTIONS.items():
        role = function["Role"]["Fn::GetAtt"][0]
        logs = function["LoggingConfig"]["LogGroup"]["Ref"]
        start = names.index(name)
        assert names[start : start + 3] == [name, role, logs]


def test_every_function_has_settings_and_every_settings_a_function() -> None:
    """No function reads its environment in a way that this file does not check."""
    assert FUNCTIONS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("function", SETTINGS)
def test_function_gets_the_variables_that_it_reads_and_no_others(function: str) -> None:
    """A variable that is missing, or that nobody reads, is a mistake in either file."""
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


def test_layer_serves_every_processor_that_functions_may_run_on() -> None:
    """One build, whatever `Architecture` says: sam builds for a processor that the layer serves."""
    layer = TEMPLATE["Resources"]["InfobipOmniLayer"]
    served = layer["Properties"]["CompatibleArchitectures"]

    assert served == PARAMETERS["Architecture"]["AllowedValues"]
    assert layer["Metadata"]["BuildArchitecture"] in served
    assert PARAMETERS["Architecture"]["Default"] == "arm64"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in what SAM itself uses
@pytest.mark.parametrize("processor", PARAMETERS["Architecture"]["AllowedValues"])
def test_sam_runs_every_function_on_the_processor_that_it_is_told(processor: str) -> None:
    """`sam local invoke --parameter-overrides Architecture=…` takes the image of that processor."""
    stacks, _ = SamLocalStackProvider.get_stacks(
        str(ROOT / "template.yaml"), parameter_overrides={"Architecture": processor}
    )

    found = {each.name: each.architecture for each in SamFunctionProvider(stacks).get_all()}

    assert found == dict.fromkeys(FUNCTIONS, processor)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_names_each_action_and_resource(function: str) -> None:
    """No role may do more than its template says, on anything but what it names."""
    for statement in statements(function):
        actions = as_list(statement["Action"])
        assert not any("*" in action for action in actions)
        assert "*" not in as_list(statement["Resource"]) or set(actions) <= WITHOUT_RESOURCE


def test_each_function_has_a_role_of_its_own() -> None:
    """No function may do what only another one needs; SAM's own, wider roles are not made."""
    roles = [function["Role"]["Fn::GetAtt"][0] for function in FUNCTIONS.values()]

    assert sorted([*roles, SCHEDULE_ROLE]) == sorted(ROLES)
    assert all("Policies" not in function for function in FUNCTIONS.values())


def test_letters_stay_hidden_while_an_operators_function_runs() -> None:
    """A letter that it has looked at does not come round again in the same run."""
    assert FUNCTIONS["RedriveMessagesFunction"]["Timeout"] < VISIBILITY_SECONDS


def test_claim_outlives_the_sender_that_made_it() -> None:
    """A claim that has run out belongs to nobody who is still at work."""
    timeout = FUNCTIONS["SendMessageFunction"]["Timeout"]

    assert PARAMETERS["ClaimSeconds"]["MinValue"] > timeout


def test_records_that_are_set_aside_have_room_and_time() -> None:
    """The dead-letter queue takes the largest record and its reason, and keeps it for longer."""
    queue, dead_lettered = QUEUES["SendQueue"], QUEUES["SendDeadLetterQueue"]

    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {
        "Fn::GetAtt": ["SendDeadLetterQueue", "Arn"]
    }
    assert dead_lettered["MaximumMessageSize"] > queue["MaximumMessageSize"]
    assert dead_lettered["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_queue_that_is_read_has_a_dead_letter_queue_with_an_alarm() -> None:
    """No record vanishes because its reader fails for too long."""
    for queue in ("SendQueue", "ParkedReportsQueue"):
        dead_lettered, _ = QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"]
        for metric in (
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        ):
            assert dead_lettered in queues_watched_for(metric)


def test_only_the_webhook_needs_the_webhook_to_be_enabled() -> None:
    """Without it there is nothing that the internet could call, and nothing else is missing."""
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


def test_every_queue_is_encrypted_at_rest_and_on_the_way() -> None:
    """Records hold phone numbers."""
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
def test_scheduled_function_that_does_not_succeed_is_missed(alarm: str, metric: str) -> None:
    """Whether it is not invoked, throttled, crashes or fails: no metric is an alarm, too."""
    definition = ALARMS[alarm]

    assert [name for _, name, _ in watched(definition)] == [metric]
    assert definition["TreatMissingData"] == "breaching"
    assert definition["ComparisonOperator"] == "LessThanThreshold"
    assert definition["Threshold"] == 1
    assert definition["EvaluationPeriods"] == {"Ref": "MissedRunMinutes"}
    assert definition["DatapointsToAlarm"] == {"Ref": "MissedRunMinutes"}


def test_apps_upstream_are_told_of_all_settled_messages_and_of_nothing_else() -> None:
    """Of what is written to the table, only a message in a settled state invokes the function."""
    source = FUNCTIONS["PublishOutcomesFunction"]["Events"]["SettledMessages"]["Properties"]
    [pattern] = [json.loads(each["Pattern"]) for each in source["FilterCriteria"]["Filters"]]

    assert pattern["dynamodb"].keys() == {"Keys", "NewImage"}
    assert pattern["dynamodb"]["Keys"] == {"entry": {"S": [MESSAGE_ENTRY]}}
    assert set(pattern["dynamodb"]["NewImage"]["state"]["S"]) == SETTLED


def test_outcomes_that_cannot_be_told_are_tried_for_as_long_as_the_stream_holds_them() -> None:
    """A change is given up within the 24 hours of the stream, into a queue with an alarm."""
    source = FUNCTIONS["PublishOutcomesFunction"]["Events"]["SettledMessages"]["Properties"]
    queue, _ = source["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"]

    assert source["MaximumRetryAttempts"] == -1
    assert 12 * 3600 < source["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert queue in queues_watched_for("ApproximateNumberOfMessagesVisible")


def test_without_a_bus_nothing_is_made_for_outcome_events() -> None:
    """Only who names a bus gets a stream, and what reads it."""
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
    """By an alarm, or by the person who has invoked it."""
    assert CRASH_ALARMS.keys() | INVOKED_BY_PEOPLE == FUNCTIONS.keys()
    assert not CRASH_ALARMS.keys() & INVOKED_BY_PEOPLE
    assert set(CRASH_ALARMS.values()) <= ALARMS.keys()


def test_no_alarm_is_about_the_errors_of_a_person_s_own_invocation() -> None:
    """A typing error of an operator calls nobody; a person who invokes sees the error."""
    for alarm in ALARMS.values():
        for _, name, dimensions in watched(alarm):
            function = dimensions.get("FunctionName", {}).get("Ref")
            assert not (name == "Errors" and function in INVOKED_BY_PEOPLE)


def test_throttles_of_every_function_are_watched() -> None:
    """A function that is added is added there, too."""
    throttled = [
        dimensions["FunctionName"]["Ref"] for _, _, dimensions in watched(ALARMS["ThrottlesAlarm"])
    ]

    assert sorted(throttled) == sorted(FUNCTIONS)


def test_alarms_watch_metrics_that_the_code_writes() -> None:
    """An alarm on a metric that does not exist would never ring."""
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
def test_alarm_tells_when_it_goes_on_and_when_it_goes_off(name: str) -> None:
    """Whoever is called learns, too, that nothing is left to be done."""
    alarm = ALARMS[name]

    assert alarm["AlarmActions"] == alarm["OKActions"]
    assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmEmail"
    assert "DatapointsToAlarm" in alarm


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_described_and_constrained(name: str) -> None:
    """Whoever deploys learns what a parameter means, and a wrong value is refused at once."""
    parameter = PARAMETERS[name]

    assert parameter["Description"].endswith((".", "/"))
    assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}


def test_parameters_stand_in_the_groups_that_the_console_shows() -> None:
    """Each is in one group, and is found in this file where it is found in the console."""
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert grouped == list(PARAMETERS)


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


def test_outputs_are_those_that_others_rely_on() -> None:
    """Names of outputs are an interface."""
    assert TEMPLATE["Outputs"].keys() == OUTPUTS


def test_deleting_the_stack_keeps_the_outcomes() -> None:
    """The table outlives the stack, a replacement, and any mistake of the last 35 days."""
    table = TEMPLATE["Resources"]["MessagesTable"]
    recovery = table["Properties"]["PointInTimeRecoverySpecification"]

    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    assert recovery["PointInTimeRecoveryEnabled"] is True


def test_functions_are_not_pointed_to_another_aws() -> None:
    """The endpoint is declared for SAM's sake, and has no value."""
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert everywhere["AWS_ENDPOINT_URL"] == {"Ref": "AWS::NoValue"}
