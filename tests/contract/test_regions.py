"""The types of what the template makes exist in every region that cfn-lint knows."""

from __future__ import annotations

from functools import cache

import pytest
from cfnlint.helpers import REGIONS
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.local_world.template import resolved, transformed

PARAMETERS = {
    "InfobipBaseUrl": "https://abc.api.infobip.com",
    "OutcomeEventBusName": "outcomes",
    "AlarmEmail": "ops@example.com",
}


@cache
def needed(webhook: str) -> set[str]:
    """Return the types of resources that a deployment needs."""
    parameters = {**PARAMETERS, "DeliveryReportWebhook": webhook}
    resources = resolved(transformed(parameters), parameters)["Resources"]
    return {resource["Type"] for resource in resources.values()}


def missing(region: str, webhook: str) -> set[str]:
    """Return the types of resources that a deployment needs and a region does not have."""
    return needed(webhook) - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_all_but_the_webhook(region: str) -> None:
    """Without the webhook, no resource is of a type that a region lacks."""
    assert missing(region, "disabled") == set()


@pytest.mark.parametrize("region", REGIONS)
def test_webhook_needs_nothing_but_function_urls(region: str) -> None:
    """Some regions have no function URLs, GovCloud among them, and so no webhook."""
    assert missing(region, "enabled") <= {"AWS::Lambda::Url"}
