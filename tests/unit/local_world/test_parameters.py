"""Template parameters of `make local` are read, and checked by the rules of template.yaml."""

from __future__ import annotations

import pytest

from tests.local_world.parameters import parameter_needed, read_parameters
from tests.local_world.running import RefusedError


def test_parameters_are_split_like_shell_words() -> None:
    """A value with spaces must be quoted."""
    read = read_parameters("DeliveryReportWebhook=enabled  ReportSchedule='rate(5 minutes)'")

    assert read == {"DeliveryReportWebhook": "enabled", "ReportSchedule": "rate(5 minutes)"}


def test_empty_text_has_no_parameters() -> None:
    """All parameters then have their defaults."""
    assert read_parameters("") == {}


def test_empty_value_is_accepted() -> None:
    """The template must allow it."""
    assert read_parameters("OutcomeEventBusName=") == {"OutcomeEventBusName": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ReconcileAfterSecond=5",
            (
                "ReconcileAfterSecond is not a parameter of template.yaml;"
                " did you mean ReconcileAfterSeconds?"
            ),
        ),
        ("X=1", "X is not a parameter of template.yaml; it has Stage, Architecture, "),
        (
            "DeliveryReportWebhook=yes",
            "DeliveryReportWebhook must be one of disabled, enabled, not 'yes'",
        ),
        ("ReconcileAfterSeconds=0", "ReconcileAfterSeconds must be at least 1, not '0'"),
        ("ReconcileAfterSeconds=43201", "ReconcileAfterSeconds must be at most 43200, not '43201'"),
        ("ReconcileAfterSeconds=5s", "ReconcileAfterSeconds must be a whole number, not '5s'"),
        ("ReconcileAfterSeconds=1.5", "ReconcileAfterSeconds must be a whole number, not '1.5'"),
        (
            "ReportSchedule='rate(1 minutes)'",
            (
                "ReportSchedule must be an expression like rate(5 minutes) or rate(1 hour),"
                " or cron() with six fields, not 'rate(1 minutes)'"
            ),
        ),
        (
            "Stage=A",
            (
                "Stage must be at most 16 lower-case letters, digits and hyphens,"
                " starting with a letter, not 'A'"
            ),
        ),
        ("'Stage=a\n'", "Stage must be at most 16 lower-case letters"),
        ("InfobipBaseUrl=https://x", "InfobipBaseUrl is the simulator's URL in `make local`"),
        ("Stage=a Stage=b", "Stage is given twice in PARAMETERS"),
        ("ReportSchedule=rate(5 minutes)", "ReportSchedule must be "),
        ("enabled", "PARAMETERS must be Name=value, separated by spaces, not enabled"),
        ("Stage='a", "PARAMETERS has a quote that is not closed: Stage='a"),
        (
            "AlarmEmail=a@b.example AlarmTopicArn=arn:aws:sns:us-east-1:000000000000:a",
            "AlarmEmail and AlarmTopicArn exclude each other; leave one of them empty.",
        ),
    ],
)
def test_invalid_parameter_is_named_with_its_rule(text: str, expected: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_parameters(text)

    assert str(refused.value).startswith(expected)


def test_parameter_that_function_needs_is_valid() -> None:
    """Only functions that the defaults leave out need one."""
    needed = {
        name: parameter_needed(f"{name}Function")
        for name in ("SendMessage", "ReceiveDeliveryReport", "PublishOutcomes")
    }

    assert needed == {
        "SendMessage": None,
        "ReceiveDeliveryReport": "DeliveryReportWebhook=enabled",
        "PublishOutcomes": "OutcomeEventBusName=outcomes",
    }
    for each in filter(None, needed.values()):
        assert read_parameters(each)
