"""What AWS enforces and the emulator does not, checked on the transformed template.

Nothing is listed here by name where it can be found by kind: a queue, schedule, role or name that
is added is covered.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from samcli import yamlhelper

from tests.local_world import template as template_module
from tests.local_world.aws_emulator import ROOT
from tests.local_world.template import EVERYTHING, read_template, resolved, transformed

Json = dict[str, Any]

#: Values that are as long as their rules allow, and a stack's name, which has up to 128 characters.
LONGEST = EVERYTHING | {
    "Stage": "s" * 16,
    "InfobipBaseUrl": "https://" + "b" * 119 + "/",
    "OutcomeEventBusName": "b" * 200,
    "RetentionDays": "3650",
    "ClaimSeconds": "43200",
    "ReconcileAfterSeconds": "43200",
    "MissedRunMinutes": "1440",
    "AlarmEmail": "o" * 64 + "@" + "example" * 30 + ".com",
}
LONGEST_STACK_NAME = "s" * 128
#: Queues that may be deleted with the stack, and why.
RECREATABLE_QUEUES = {"OutcomeEventsDeadLetterQueue": "the outcomes themselves are in the table"}
#: Another value for parameters whose rule is a pattern.
OTHER_VALUES = {
    "Stage": "other",
    "InfobipBaseUrl": "https://other.api.infobip.com",
    "ReportSchedule": "rate(2 minutes)",
    "ReconcileSchedule": "rate(10 minutes)",
    "OutcomeEventBusName": "others",
    "AlarmEmail": "",
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
}


#: What is transformed in a test is not transformed wherever the tests are collected.
FUNCTIONS = sorted(
    name
    for name, resource in read_template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
)


@cache
def template(**parameters: str) -> Json:
    """Transform the template with everything that it can make, but for these parameters."""
    return transformed(EVERYTHING | parameters)


@cache
def deployed(**parameters: str) -> Json:
    """Return the resources of a deployment, with all that can be known of them before it."""
    return deployed_from(template(**parameters), parameters)


def deployed_from(source: Json, parameters: dict[str, str] | None = None) -> Json:
    """Return the resources of a deployment of a template that SAM has transformed."""
    found: Json = resolved(source, EVERYTHING | (parameters or {}))["Resources"]
    return found


def of_type(kind: str) -> dict[str, Json]:
    """Return the resources of a type."""
    return {name: each for name, each in deployed().items() if each["Type"] == kind}


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 (one or several of anything)
    """Return a list as it is, and anything else as the only element of one."""
    return value if isinstance(value, list) else [value]


def statements() -> list[tuple[str, Json]]:
    """Return what every role allows, with the name of the role."""
    return [
        (name, statement)
        for name, role in of_type("AWS::IAM::Role").items()
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


# --- The text of the template ------------------------------------------------------------------


def test_cloudformation_gets_no_aliases_of_yaml() -> None:
    """It refuses a template that has any; ours has, and what `sam build` makes of it has none.

    "CloudFormation doesn't support the following features: ... Aliases; Hash merges", AWS
    CloudFormation User Guide, "CloudFormation template format".
    """
    alias = re.compile(r"(?:[:[,-] )\*\w+")
    source = (ROOT / "template.yaml").read_text()

    parsed = yamlhelper.yaml_parse(source)
    built = yamlhelper.yaml_dump(parsed)

    assert alias.search(source)
    assert not alias.search(built)
    assert yamlhelper.yaml_parse(built) == parsed


# --- Names and values --------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "us-gov-west-1"])
def test_no_name_or_value_is_longer_than_its_resource_takes(region: str) -> None:
    """With the longest name of a stack and the longest parameters, each value keeps its limits.

    cfn-lint holds every property against the schema that AWS publishes for its resource type. In
    GovCloud, Lambda has no function URLs, so there is no webhook.
    """
    # Reading its schemas takes seconds, which collecting the tests does without.
    from cfnlint import ManualArgs, lint  # noqa: PLC0415

    webhook = {"DeliveryReportWebhook": "disabled"} if "gov" in region else {}
    values = LONGEST | webhook
    longest = {
        "AWSTemplateFormatVersion": "2010-09-09",
        **resolved(template(**values), values, LONGEST_STACK_NAME),
    }

    problems = lint(json.dumps(longest), config=ManualArgs(regions=[region]))

    assert [f"{each.rule.id} {each.message} {each.path}" for each in problems] == []


def test_names_that_are_left_to_cloudformation_have_no_other_owner() -> None:
    """A schedule that SAM names by its logical id would be shared by two stacks."""
    for schedule in of_type("AWS::Scheduler::Schedule").values():
        assert "Name" not in schedule["Properties"]


def test_stage_that_does_not_pull_has_neither_a_schedule_nor_an_alarm_for_it() -> None:
    """Everything else is the same: the stage can still be invoked by hand, and reconciles."""
    left = deployed(PullReports="disabled")
    gone = {name: each["Type"] for name, each in deployed().items() if name not in left}

    assert gone == {
        "PullDeliveryReportsFunctionSchedule": "AWS::Scheduler::Schedule",
        "NoReportsPulledAlarm": "AWS::CloudWatch::Alarm",
    }


# --- Queues ------------------------------------------------------------------------------------


def test_queue_has_a_policy_of_its_own_that_names_no_other_queue() -> None:
    """SQS refuses a policy with several queues, or with another one.

    "Each policy must cover only a single queue (when writing a policy, don't include statements
    that cover different queues)", Amazon SQS Developer Guide, "Special information for SQS
    policies".
    """
    covered = []
    for policy in of_type("AWS::SQS::QueuePolicy").values():
        [queue] = [each["Ref"] for each in policy["Properties"]["Queues"]]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
        covered.append(queue)

    assert sorted(covered) == sorted(of_type("AWS::SQS::Queue"))


def test_queue_hides_records_for_as_long_as_its_reader_may_keep_them() -> None:
    """Six times the function's timeout, and the longest batch window on top.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, "Configuring a queue
    to use with Lambda".
    """
    window = {
        "SendBatchWindowSeconds": str(
            template()["Parameters"]["SendBatchWindowSeconds"]["MaxValue"]
        )
    }
    resources = deployed(**window)
    mappings = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    read = {
        mapping["EventSourceArn"]["Fn::GetAtt"][0]: mapping
        for mapping in mappings
        if mapping["EventSourceArn"]["Fn::GetAtt"][1] == "Arn"
    }

    assert len(read) == 2
    for queue, mapping in read.items():
        alias = resources[mapping["FunctionName"]["Ref"]]["Properties"]
        function = resources[alias["FunctionName"]["Ref"]]["Properties"]
        batch_window = int(mapping.get("MaximumBatchingWindowInSeconds", 0))
        hidden = resources[queue]["Properties"]["VisibilityTimeout"]
        assert hidden >= 6 * function["Timeout"] + batch_window


# --- Deleting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["AWS::SQS::Queue", "AWS::DynamoDB::Table"])
def test_what_cannot_be_made_again_outlives_the_stack_but_not_a_first_deployment(kind: str) -> None:
    """`RetainExceptOnCreate` deletes what a creation has made that then fails.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html
    """
    for name, resource in of_type(kind).items():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        if name in RECREATABLE_QUEUES:
            assert "Retain" not in str(policies)
        else:
            assert policies == ("RetainExceptOnCreate", "Retain")


def test_nothing_keeps_a_failed_deployment_from_being_cleared_away() -> None:
    """Deletion protection of a table would stop the rollback of its own creation."""
    for table in of_type("AWS::DynamoDB::Table").values():
        assert "DeletionProtectionEnabled" not in table["Properties"]


# --- Permissions -------------------------------------------------------------------------------


def test_role_that_a_service_takes_for_anybody_is_bound_to_this_account() -> None:
    """A schedule of another account must not use ours (the confused deputy).

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    Lambda takes a role only for a function whose creator may pass it, in the same account.
    """
    bound = []
    for name, role in of_type("AWS::IAM::Role").items():
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            service = statement["Principal"]["Service"]
            if service == "lambda.amazonaws.com":
                continue
            conditions = statement["Condition"]["StringEquals"]
            assert conditions["aws:SourceAccount"] == "000000000000"
            assert re.fullmatch(
                r"arn:aws:scheduler:.*:schedule-group/default", conditions["aws:SourceArn"]
            )
            bound.append(name)

    schedules = of_type("AWS::Scheduler::Schedule").values()
    roles = {each["Properties"]["Target"]["RoleArn"]["Fn::GetAtt"][0] for each in schedules}
    assert roles == set(bound)


def test_only_stored_pages_can_be_deleted_item_by_item_or_gone_through() -> None:
    """`BatchWriteItem` puts and deletes under one action; it is allowed only where reports are put.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    """
    pages = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["#pages"]}}
    whole_table = {"Fn::GetAtt": ["MessagesTable", "Arn"]}
    writers = set()
    for role, statement in statements():
        actions = set(as_list(statement["Action"]))
        if "dynamodb:DeleteItem" in actions:
            assert statement.get("Condition") == pages
        if "dynamodb:Query" in actions and whole_table in as_list(statement["Resource"]):
            assert statement.get("Condition") == pages or role == "FindMessagesRole"
        if "dynamodb:BatchWriteItem" in actions:
            writers.add(role)

    assert writers == {
        "PullDeliveryReportsRole",
        "ReconcileMessagesRole",
        "RecordParkedReportsRole",
        "ReceiveDeliveryReportRole",
    }


def test_cloudwatch_may_publish_to_the_topic_of_alarms_over_tls() -> None:
    """A policy of a topic takes the place of the default one, which would allow it."""
    [policy] = of_type("AWS::SNS::TopicPolicy").values()
    allow, deny = policy["Properties"]["PolicyDocument"]["Statement"]

    assert (allow["Effect"], allow["Principal"]) == (
        "Allow",
        {"Service": "cloudwatch.amazonaws.com"},
    )
    assert allow["Action"] == "sns:Publish"
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": "000000000000"}}
    assert allow["Resource"] == deny["Resource"] == {"Ref": "AlarmTopic"}
    assert policy["Properties"]["Topics"] == [{"Ref": "AlarmTopic"}]
    assert (deny["Effect"], deny["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


# --- Logs --------------------------------------------------------------------------------------


def test_lambda_sets_no_level_of_its_own_on_any_function() -> None:
    """Its level would override LogLevel; below it, it would also drop the metrics.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html: a line
    without a level counts as INFO.
    """
    functions = of_type("AWS::Lambda::Function")

    assert len(functions) == 9
    for function in functions.values():
        logging = function["Properties"]["LoggingConfig"]
        assert logging.keys() == {"LogFormat", "LogGroup"}
        assert logging["LogFormat"] == "Text"


# --- Alarms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", ["10", "30", "1440"])
def test_no_alarm_looks_back_further_than_cloudwatch_does(minutes: str) -> None:
    """A day, for periods under an hour; else a week.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    resources = deployed(MissedRunMinutes=minutes)
    alarms = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    for alarm in alarms:
        periods = [
            each["MetricStat"]["Period"]
            for each in alarm.get("Metrics", [])
            if "MetricStat" in each
        ]
        [period] = {alarm["Period"]} if "Period" in alarm else set(periods)
        assert period % 60 == 0
        longest = 86_400 if period < 3600 else 7 * 86_400
        assert int(alarm["EvaluationPeriods"]) * period <= longest
        assert len(periods) <= 9  # ten metrics, the expression included


# --- Releases ----------------------------------------------------------------------------------


def functions_of(resources: Json) -> dict[str, str]:
    """Return the definition of each function as text, its layer included."""
    return {
        name: json.dumps(resource["Properties"], sort_keys=True)
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def versions_of(resources: Json) -> dict[str, tuple[str, str]]:
    """Return logical id and description of each function's version: either, changed, makes one."""
    return {
        resource["Properties"]["FunctionName"]["Ref"]: (name, resource["Properties"]["Description"])
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Version"
    }


def changed(before: Json, after: Json) -> set[str]:
    """Name what is in both and differs."""
    return {name for name in before.keys() & after.keys() if before[name] != after[name]}


def other_value(name: str) -> str:
    """Choose a value for a parameter that is not the one in use."""
    rule = template()["Parameters"][name]
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    values = rule.get("AllowedValues") or [rule["MinValue"], rule["MaxValue"]]
    used = EVERYTHING.get(name, str(rule.get("Default")))
    return next(value for value in map(str, values) if value != used)


@pytest.mark.parametrize("name", read_template()["Parameters"])
def test_changed_parameter_goes_live_in_every_function_that_reads_it(name: str) -> None:
    """A new version, and only where something has changed: Lambda refuses to publish one else.

    The description of a version "requires replacement" when it changes:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-lambda-version.html
    """
    before, after = deployed(), deployed(**{name: other_value(name)})

    affected = changed(functions_of(before), functions_of(after))
    assert changed(versions_of(before), versions_of(after)) == affected


def test_parameters_are_read_by_functions() -> None:
    """Else the test above could not fail."""
    read = {
        name
        for name in template()["Parameters"]
        if changed(functions_of(deployed()), functions_of(deployed(**{name: other_value(name)})))
    }

    assert read >= {
        *("Stage", "InfobipBaseUrl", "Architecture"),
        *("LogLevel", "OnUnknown", "OutcomeEventRecipients"),
    }


@pytest.mark.parametrize("name", ["InfobipOmniLayer", *FUNCTIONS])
def test_changed_code_goes_live_where_it_is_used(name: str) -> None:
    """The layer in all functions, the code of a function in that one alone."""

    def code_of(part: str) -> Json:
        return {"Bucket": "code", "Key": f"{part}-changed" if part == name else part}

    source = transformed(EVERYTHING, code_of)
    everything = set(of_type("AWS::Lambda::Function"))

    affected = changed(versions_of(deployed()), versions_of(deployed_from(source)))

    assert affected == (everything if name == "InfobipOmniLayer" else {name})


@pytest.mark.parametrize(
    ("member", "value"), [("MemorySize", 1024), ("Timeout", 59), ("Handler", "a.b")]
)
def test_changed_property_goes_live(
    member: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what no parameter decides."""
    changed_template = read_template()
    changed_template["Resources"]["SendMessageFunction"]["Properties"][member] = value
    monkeypatch.setattr(template_module, "read_template", lambda: changed_template)
    after = deployed_from(transformed(EVERYTHING))

    assert changed(versions_of(deployed()), versions_of(after)) == {"SendMessageFunction"}


def test_no_version_outlives_its_release() -> None:
    """One that a rollback left behind would keep the same release from being made again.

    Lambda publishes nothing when code and configuration are those of the last version, and
    CloudFormation then fails: "A version for this Lambda function exists".
    """
    versions = of_type("AWS::Lambda::Version")

    assert len(versions) == 9
    assert {each.get("DeletionPolicy") for each in versions.values()} == {"Delete"}
    assert {each.get("UpdateReplacePolicy") for each in versions.values()} == {"Delete"}


def test_everything_that_invokes_goes_through_the_alias() -> None:
    """A mapping, schedule or URL on the function itself would see a release in two steps."""
    resources = deployed()
    functions = of_type("AWS::Lambda::Function")
    allowed = {"AWS::Lambda::Alias", "AWS::Lambda::Version", "AWS::Lambda::EventInvokeConfig"}
    for name, resource in resources.items():
        if resource["Type"] in (*allowed, "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"):
            continue
        text = json.dumps(resource)
        assert not [one for one in functions if f'{{"Ref": "{one}"}}' in text], name
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig":
            assert resource["Properties"]["Qualifier"] == "live"
        if resource["Type"] == "AWS::Lambda::Url":
            alias = resource["Properties"]["TargetFunctionArn"]["Ref"]
            assert resources[alias]["Properties"]["Name"] == "live"


def test_outputs_name_what_runs() -> None:
    """An invoker that uses an output as it stands never meets a release half done."""
    outputs = resolved(template(), EVERYTHING)["Outputs"]
    names = {
        name: output["Value"] for name, output in outputs.items() if name.endswith("FunctionName")
    }

    assert names
    for name, value in names.items():
        assert value == {"Fn::Sub": f"${{{name.removesuffix('Name')}}}:live"}


# --- Parameters --------------------------------------------------------------------------------


def refusals(**parameters: str) -> list[str]:
    """Name the parameters and rules by which CloudFormation refuses these values, if any."""
    whole = template()
    broken = [
        name
        for name, value in parameters.items()
        if not keeps_its_rule(whole["Parameters"][name], value)
    ]
    rules = resolved(whole | {"Resources": whole["Rules"]}, EVERYTHING | parameters)["Resources"]
    return broken + [
        assertion["AssertDescription"]
        for rule in rules.values()
        for assertion in rule["Assertions"]
        if not assertion["Assert"]
    ]


def keeps_its_rule(rule: Json, value: str) -> bool:
    """Whether a value keeps the rule of its parameter."""
    if rule["Type"] == "Number":
        least, most = rule["MinValue"], rule["MaxValue"]
        return bool(re.fullmatch(r"-?\d+", value)) and least <= int(value) <= most
    return (
        value in rule.get("AllowedValues", [value])
        and re.fullmatch(rule.get("AllowedPattern", ".*"), value) is not None
        and len(value) <= rule.get("MaxLength", len(value))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("InfobipBaseUrl", "https://abc.api.infobip.com/omni"),
        ("InfobipBaseUrl", "https://abc.api.infobip.com?a=b"),
        ("InfobipBaseUrl", "http://abc.api.infobip.com"),
        ("InfobipBaseUrl", "abc.api.infobip.com"),
        ("Stage", "Prod"),
        ("Stage", "s" * 17),
        ("ReportSchedule", "every minute"),
        ("ReportSchedule", "at(2030-01-01T00:00:00)"),
        ("ReportSchedule", "rate(0 minutes)"),
        ("ReportSchedule", "rate(1 minutes)"),
        ("ReportSchedule", "rate(5 minute)"),
        ("ReportSchedule", "rate(30 seconds)"),
        ("ReportSchedule", "rate()"),
        ("ReconcileSchedule", "cron(* * * * *)"),
        ("ReconcileSchedule", "cron(0 12 * * ? * *)"),
        ("ReconcileSchedule", "* * * * ? *"),
        ("SendBatchWindowSeconds", "61"),
        ("SendBatchSize", "11"),
        ("SendMaximumConcurrency", "1"),
        ("ClaimSeconds", "60"),
        ("RetentionDays", "34"),
        ("MissedRunMinutes", "9"),
        ("MissedRunMinutes", "1441"),
        ("OutcomeEventBusName", "a bus"),
        ("AlarmEmail", "ops"),
        ("AlarmTopicArn", "alarms"),
        ("AlarmTopicArn", "arn:aws:sns:eu-central-1:123456789012:alarms.fifo"),
        ("LogLevel", "TRACE"),
        ("OnUnknown", "maybe"),
        ("DeliveryReportWebhook", "yes"),
        ("PullReports", "no"),
    ],
)
def test_wrong_value_is_refused_before_anything_is_created(name: str, value: str) -> None:
    """By the parameter's own rule, which CloudFormation reads first."""
    assert name in refusals(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ReportSchedule", "rate(1 minute)"),
        ("ReportSchedule", "rate(15 minutes)"),
        ("ReportSchedule", "rate(1 hour)"),
        ("ReconcileSchedule", "cron(0/5 * * * ? *)"),
        ("ReconcileSchedule", "cron(15 10 ? * MON-FRI 2030)"),
        ("SendBatchWindowSeconds", "60"),
        ("MissedRunMinutes", "10"),
        ("MissedRunMinutes", "1440"),
        ("OutcomeEventBusName", "default"),
        ("OutcomeEventBusName", ""),
    ],
)
def test_right_value_is_taken(name: str, value: str) -> None:
    """The rules refuse nothing that AWS would take."""
    assert refusals(**{name: value}) == []


@pytest.mark.parametrize("name", read_template()["Parameters"])
def test_default_keeps_its_own_rule(name: str) -> None:
    """A deployment that leaves the parameters alone is accepted."""
    rule = template()["Parameters"][name]

    assert keeps_its_rule(rule, str(rule.get("Default", EVERYTHING["InfobipBaseUrl"])))


def test_one_way_to_tell_of_alarms_is_enough() -> None:
    """An address or a topic, either or neither, and not both."""
    topic = "arn:aws:sns:eu-central-1:123456789012:alarms"

    assert refusals(AlarmEmail="ops@example.com", AlarmTopicArn="") == []
    assert refusals(AlarmEmail="", AlarmTopicArn=topic) == []
    assert refusals(AlarmEmail="", AlarmTopicArn="") == []
    assert refusals(AlarmEmail="ops@example.com", AlarmTopicArn=topic) == [
        "AlarmEmail and AlarmTopicArn exclude each other; leave one of them empty."
    ]


@pytest.mark.parametrize("webhook", ["enabled", "disabled"])
@pytest.mark.parametrize("bus", ["outcomes", ""])
def test_dashboard_is_json_and_shows_each_function_that_there_is(webhook: str, bus: str) -> None:
    """A function that a parameter leaves out has no line."""
    values = {"DeliveryReportWebhook": webhook, "OutcomeEventBusName": bus}
    resources = deployed(**values)
    body = resources["Dashboard"]["Properties"]["DashboardBody"]
    text = body["Fn::Sub"]
    for inner in re.findall(r"\$\{(\w+)\}", text):
        text = text.replace(f"${{{inner}}}", inner)
    functions = {name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Function"}

    widgets = {
        one["properties"]["title"]: one["properties"]["metrics"]
        for one in json.loads(text)["widgets"]
    }
    shown = {line[-2] for line in widgets["Failed invocations"]}
    assert shown == functions
