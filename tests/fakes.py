"""Stand-ins that keep everything in memory; the contract tests hold them to the real things."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from infobip_omni.api.client import OmniClient
from infobip_omni.api.errors import RequestRejectedError
from infobip_omni.api.models import Scenario, ScenarioDefinition
from infobip_omni.scenario_registry import (
    RegisteredScenario,
    ScenarioRegistry,
    SlugTakenError,
    slug,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "/omni/test/scenarios/"


class FakeScenarioClient(OmniClient):
    """The part of Infobip that keeps scenarios."""

    def __init__(self) -> None:
        self.scenarios: dict[str, Scenario] = {}
        self.calls: list[str] = []
        #: Runs between the creation of a scenario and its answer, which it may change or lose.
        self.before_answer: Callable[[Scenario], Scenario] = lambda scenario: scenario
        #: How many lists do not show yet what was created.
        self.blind_lists = 0
        self.list_errors: list[Exception] = []
        self._keys = count(1)

    def list_scenarios(self, *, is_default: bool | None = None) -> Iterator[Scenario]:
        """List the scenarios."""
        self.calls.append("list")
        if self.list_errors:
            raise self.list_errors.pop(0)
        if self.blind_lists:
            self.blind_lists -= 1
            return
        for scenario in list(self.scenarios.values()):
            if is_default in (None, scenario.default):
                yield scenario

    def create_scenario(self, definition: ScenarioDefinition) -> Scenario:
        """Create a scenario under the next key."""
        self.calls.append("create")
        return self.before_answer(self.put(f"key-{next(self._keys)}", definition))

    def get_scenario(self, key: str) -> Scenario:
        """Return a scenario."""
        self.calls.append("get")
        if key not in self.scenarios:
            raise RequestRejectedError("unknown scenario", status=404)
        return self.scenarios[key]

    def update_scenario(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Replace a scenario."""
        self.get_scenario(key)
        self.calls[-1] = "update"
        return self.put(key, definition)

    def put(self, key: str, definition: ScenarioDefinition) -> Scenario:
        """Keep a scenario, as if somebody had created it."""
        self.scenarios[key] = Scenario(
            key=key,
            name=definition.name,
            flow=definition.flow,
            default=bool(definition.default),
        )
        return self.scenarios[key]


class FakeScenarioRegistry(ScenarioRegistry):
    """A registry without SSM and without a cache."""

    def __init__(self, *entries: RegisteredScenario) -> None:
        self._prefix = PREFIX
        self.entries = {self.parameter(entry.name): entry for entry in entries}
        #: Runs once before the next write, like somebody else who is faster.
        self.before_write: Callable[[], None] | None = None
        #: What the next write meets.
        self.error: Exception | None = None

    def find(self, name_or_slug: str) -> RegisteredScenario | None:
        """Find by name or slug."""
        matches = (
            entry
            for entry in self.entries.values()
            if name_or_slug in (entry.name, slug(entry.name))
        )
        return next(matches, None)

    def current(self, name: str) -> RegisteredScenario | None:
        """Find by exact name."""
        parameter = self.parameter(name)
        entry = self.entries.get(parameter)
        if entry is not None and entry.name != name:
            raise SlugTakenError(parameter, entry.name)
        return entry

    def register(self, entry: RegisteredScenario) -> RegisteredScenario:
        """Keep the entry, unless there is one."""
        self._happen()
        self.entries.setdefault(self.parameter(entry.name), entry)
        return self.current(entry.name) or entry

    def replace(self, entry: RegisteredScenario) -> None:
        """Keep the entry."""
        self._happen()
        self.entries[self.parameter(entry.name)] = entry

    def _happen(self) -> None:
        happening, self.before_write = self.before_write, None
        if happening is not None:
            happening()
        error, self.error = self.error, None
        if error is not None:
            raise error
