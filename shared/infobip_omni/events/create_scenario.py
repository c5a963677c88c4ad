"""The event of create_scenario, and the outcome in its answer."""

from __future__ import annotations

from enum import StrEnum

from infobip_omni.api.scenarios import ScenarioDefinition

from .errors import opened, read_as


class Outcome(StrEnum):
    """What had to be done."""

    CREATED = "CREATED"
    ADOPTED = "ADOPTED"  #: it existed at Infobip, but not in the registry
    UPDATED = "UPDATED"  #: Infobip, the registry or both had another description
    UNCHANGED = "UNCHANGED"


def parse(event: object) -> ScenarioDefinition:
    """Parse the event, which has the format of Infobip's body for creating a scenario.

    Raises:
        InvalidEventError: The event breaks a rule.
    """
    return read_as(ScenarioDefinition, opened(event))
