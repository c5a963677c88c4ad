"""Every region that cfn-lint knows has the resource types that the template creates."""

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
    """Return the resource types that a deployment needs."""
    parameters = {**PARAMETERS, "DeliveryReportWebhook": webhook}
    resources = resolved(transformed(parameters), parameters)["Resources"]
    return {resource["Type"] for resource in resources.values()}


def missing(region: str, webhook: str) -> set[str]:
    """Return the resource types that a deployment needs and a region lacks."""
    return needed(webhook) - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_all_types_without_the_webhook(region: str) -> None:
    assert missing(region, "disabled") == set()


@pytest.mark.parametrize("region", REGIONS)
def test_webhook_needs_only_function_urls_in_addition(region: str) -> None:
    """Some regions, such as GovCloud, have no function URLs, so they cannot have the webhook."""
    assert missing(region, "enabled") <= {"AWS::Lambda::Url"}
