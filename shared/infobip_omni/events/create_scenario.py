"""What create_scenario is asked, and how it calls what it has done."""

from __future__ import annotations

from enum import StrEnum

from infobip_omni.api.scenarios import ScenarioDefinition

from .errors import read_as


class Outcome(StrEnum):
    """What it took."""

    CREATED = "CREATED"
    ADOPTED = "ADOPTED"  #: Infobip had it already, the registry did not
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


def parse(event: object) -> ScenarioDefinition:
    """Read the event, which is Infobip's own body for creating a scenario.

    Raises:
        InvalidEventError: It breaks a rule.
    """
    return read_as(ScenarioDefinition, event)
