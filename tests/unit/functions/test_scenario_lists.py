"""Scenarios of a list are registered or compared, and the failure of one affects no other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from functions.create_scenario import app
from functions.create_scenario.app import Dependencies, check_scenarios, create_scenarios
from infobip_omni.api.channels import LONGEST_EMAIL_ADDRESS
from infobip_omni.api.errors import (
    NotProcessedError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition
from infobip_omni.events.create_scenario import MOST_SCENARIOS, ScenarioList, parse
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import FRESH_SECONDS, UNCERTAIN_SECONDS, RegisteredScenario
from tests.fakes import FakeScenarioClient, FakeScenarioRegistry

from .conftest import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Log

Json = dict[str, Any]

PUSH = {"from": "acme-app", "channel": "PUSH"}
SMS = {"from": "Acme", "channel": "SMS"}


@dataclass
class Harness:
    """The function and its fakes."""

    client: FakeScenarioClient = field(default_factory=FakeScenarioClient)
    registry: FakeScenarioRegistry = field(default_factory=FakeScenarioRegistry)
    waits: list[float] = field(default_factory=list)
    seconds_left: float = 60.0
    #: Runs during each wait.
    on_wait: Callable[[], None] = lambda: None

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.client, self.registry)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()

    def create(self, *bodies: Json) -> Json:
        """Create or update the scenarios of a list."""
        return create_scenarios(
            definitions(*bodies), self.dependencies, lambda: self.seconds_left, self.sleep
        )

    def outcomes(self, *bodies: Json) -> list[str]:
        return [each["outcome"] for each in self.create(*bodies)["scenarios"]]

    def check(self, *bodies: Json) -> list[Json]:
        """Compare the scenarios of a list; return the answer about each."""
        answers: list[Json] = check_scenarios(definitions(*bodies), self.dependencies)["scenarios"]
        return answers

    def differences(self, body: Json) -> list[Json]:
        (answer,) = self.check(body)
        found: list[Json] = answer.get("differences", [])
        assert answer["outcome"] == ("DRIFTED" if found else "UNCHANGED")
        return found

    def refuse(self, error: Exception, *, after: int, only_one: bool = False) -> None:
        """Make creations fail after some of them: all further ones, or only the next."""
        answered = 0

        def answer(created: Scenario) -> Scenario:
            nonlocal answered
            answered += 1
            if answered == after + 1 or (answered > after and not only_one):
                del self.client.scenarios[created.key or ""]
                raise error
            return created

        self.client.before_answer = answer

    def change_at_infobip(self, name: str, **changes: Any) -> None:  # noqa: ANN401 (any member)
        key, scenario = next(
            (key, each) for key, each in self.client.scenarios.items() if each.name == name
        )
        body = scenario.model_dump() | {"key": key} | changes
        self.client.scenarios[key] = Scenario.model_validate(body)

    def entry(self, name: str) -> RegisteredScenario:
        return self.registry.entries[self.registry.parameter(name)]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness without scenarios."""
    harness = Harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def scenario(name: str = "otp", *flow: Json, **changes: object) -> Json:
    return {"name": name, "flow": list(flow or (PUSH, SMS))} | changes


def definitions(*bodies: Json) -> tuple[ScenarioDefinition, ...]:
    parsed = parse({"scenarios": list(bodies)})
    assert isinstance(parsed, ScenarioList)
    return parsed.scenarios


# --- Created and updated -------------------------------------------------------------------


def test_list_is_created_and_then_unchanged(harness: Harness) -> None:
    """The answer about each scenario has the members of a single scenario's answer."""
    bodies = [scenario("otp"), scenario("Order updates", SMS, default=True)]

    first = harness.create(*bodies)

    assert first == {
        "scenarios": [
            {
                **scenario("otp"),
                "key": "key-1",
                "default": False,
                "parameter": "/omni/test/scenarios/otp",
                "outcome": "CREATED",
            },
            {
                **scenario("Order updates", SMS),
                "key": "key-2",
                "default": True,
                "parameter": "/omni/test/scenarios/order-updates",
                "outcome": "CREATED",
            },
        ]
    }
    assert json.loads(json.dumps(first)) == first
    assert harness.outcomes(*bodies) == ["UNCHANGED", "UNCHANGED"]
    assert harness.client.calls.count("create") == 2
    assert harness.waits == []


def test_scenarios_of_a_list_are_looked_up_by_one_list(harness: Harness) -> None:
    bodies = [scenario(f"scenario {number}") for number in range(10)]
    harness.create(*bodies)
    harness.client.calls.clear()

    harness.create(*bodies)

    assert harness.client.calls == ["list"]


def test_scenario_that_is_not_listed_is_read_by_its_key(harness: Harness) -> None:
    """A list leaves out what it cannot read, and may lag."""
    harness.create(scenario())
    harness.client.calls.clear()
    harness.client.blind_lists = 1

    assert harness.outcomes(scenario()) == ["UNCHANGED"]
    assert harness.client.calls == ["list", "get"]


def test_flows_of_a_list_are_updated_after_one_wait(harness: Harness) -> None:
    """All are announced first, so a list takes hardly longer than one scenario."""
    harness.create(scenario("a"), scenario("b"), scenario("c"))
    marked: list[list[bool]] = []
    harness.on_wait = lambda: marked.append([harness.entry(name).updating for name in "abc"])

    assert harness.outcomes(scenario("a", SMS), scenario("b"), scenario("c", PUSH)) == [
        "UPDATED",
        "UNCHANGED",
        "UPDATED",
    ]
    assert marked == [[True, False, True], [False, False, False]]
    assert harness.waits == [FRESH_SECONDS, UNCERTAIN_SECONDS]


def test_scenario_registered_by_another_run_is_updated(harness: Harness) -> None:
    """The list ends like a single scenario that loses a race."""

    def win() -> None:
        harness.client.put("winner", definitions(scenario("otp", SMS))[0])
        entry = {**scenario("otp", SMS), "key": "winner", "default": False}
        harness.registry.register(RegisteredScenario.from_json(json.dumps(entry)))

    harness.registry.before_write = win

    assert harness.outcomes(scenario()) == ["UPDATED"]
    assert harness.entry("otp").key == "winner"


# --- Pending -------------------------------------------------------------------------------


@pytest.mark.parametrize(("retry_after", "seconds"), [(12.5, 13), (None, 600)])
def test_throttled_creations_are_pending(
    harness: Harness, retry_after: float | None, seconds: int
) -> None:
    """The answer names the seconds to wait; nothing more is created, and updates go on."""
    harness.create(scenario("old"))
    harness.client.calls.clear()
    limit = RateLimitedError("slow down", status=429, retry_after_seconds=retry_after)
    harness.refuse(limit, after=2)

    answer = harness.create(
        *(scenario(name) for name in ("a", "b", "c", "d")), scenario("old", SMS)
    )["scenarios"]

    assert [each["outcome"] for each in answer] == [
        "CREATED",
        "CREATED",
        "PENDING",
        "PENDING",
        "UPDATED",
    ]
    assert answer[3] == {
        "name": "d",
        "parameter": "/omni/test/scenarios/d",
        "outcome": "PENDING",
        "retryAfterSeconds": seconds,
    }
    assert harness.client.calls.count("create") == 3


def test_pending_scenarios_are_created_by_the_next_run(harness: Harness) -> None:
    bodies = [scenario(name) for name in ("a", "b", "c")]
    harness.refuse(RateLimitedError("slow down"), after=1)
    assert harness.outcomes(*bodies) == ["CREATED", "PENDING", "PENDING"]

    harness.client.before_answer = lambda created: created
    assert harness.outcomes(*bodies) == ["UNCHANGED", "CREATED", "CREATED"]


def test_throttled_updates_are_pending_without_a_mark(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their flow is certain, since Infobip has not updated it; creations go on."""
    harness.create(scenario("a"), scenario("b"))
    before = dict(harness.registry.entries)

    def limit(_key: str, _definition: ScenarioDefinition) -> Scenario:
        raise RateLimitedError("slow down", status=429)

    monkeypatch.setattr(harness.client, "update_scenario", limit)

    outcomes = harness.outcomes(scenario("a", SMS), scenario("b", SMS), scenario("c"))

    assert outcomes == ["PENDING", "PENDING", "CREATED"]
    assert {name: harness.registry.entries[name] for name in before} == before


def test_list_stops_in_time(harness: Harness) -> None:
    """What a run has no time for is left to the next one; what needs nothing is answered."""
    harness.create(scenario("a"), scenario("b"))
    harness.client.calls.clear()
    harness.seconds_left = 24.9

    answer = harness.create(scenario("a"), scenario("b", SMS), scenario("c"))["scenarios"]

    assert [(each["outcome"], each.get("retryAfterSeconds")) for each in answer] == [
        ("UNCHANGED", None),
        ("PENDING", 0),
        ("PENDING", 0),
    ]
    assert harness.client.calls == ["list"]
    assert not harness.entry("b").updating


def test_mark_is_removed_if_time_runs_out_after_it(harness: Harness) -> None:
    harness.create(scenario())

    def take_long() -> None:
        harness.seconds_left = 1.0

    harness.on_wait = take_long

    assert harness.outcomes(scenario("otp", SMS)) == ["PENDING"]
    assert not harness.entry("otp").updating


# --- Failed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            RequestRejectedError("Infobip refused the request", status=400, error_id="BAD_REQUEST"),
            "Infobip refused the request, HTTP 400, BAD_REQUEST",
        ),
        (NotProcessedError("Infobip was not reached"), "Infobip was not reached"),
        (ParameterUnavailableError("SSM parameter x cannot be read"), "SSM parameter x cannot be"),
    ],
)
def test_failure_of_one_scenario_is_named_in_its_own_entry(
    harness: Harness, error: Exception, text: str
) -> None:
    harness.refuse(error, after=1, only_one=True)

    first, failed, last = harness.create(scenario("a"), scenario("b"), scenario("c"))["scenarios"]

    assert (first["outcome"], last["outcome"]) == ("CREATED", "CREATED")
    assert failed.keys() == {"name", "parameter", "outcome", "error"}
    assert (failed["name"], failed["outcome"]) == ("b", "FAILED")
    assert failed["error"].startswith(text)


def test_lost_creation_fails_alone_and_is_found_by_the_next_run(harness: Harness) -> None:
    def lose(created: Scenario) -> Scenario:
        if created.name == "a":
            harness.client.blind_lists = 3
            raise OutcomeUnknownError("no answer")
        return created

    harness.client.before_answer = lose

    assert harness.outcomes(scenario("a"), scenario("b")) == ["FAILED", "CREATED"]
    assert harness.outcomes(scenario("a"), scenario("b")) == ["ADOPTED", "UNCHANGED"]


def test_name_whose_slug_is_taken_fails_alone(harness: Harness) -> None:
    harness.create(scenario("otp"))

    failed, created = harness.create(scenario("OTP!"), scenario("other"))["scenarios"]

    assert failed["error"] == (
        "name: SSM parameter /omni/test/scenarios/otp belongs to another scenario: choose another "
        "name"
    )
    assert created["outcome"] == "CREATED"


def test_mark_that_cannot_be_written_fails_alone(harness: Harness) -> None:
    """Nothing is changed at Infobip, since senders would not know."""
    harness.create(scenario("a"), scenario("b"))
    harness.client.calls.clear()
    harness.registry.error = ParameterUnavailableError("SSM cannot be written")

    assert harness.outcomes(scenario("a", SMS), scenario("b", SMS)) == ["FAILED", "UPDATED"]
    assert harness.client.calls == ["list", "update"]


@pytest.mark.parametrize("error", [NotProcessedError("not reached"), OutcomeUnknownError("none")])
def test_failed_list_of_infobip_is_the_callers_error(harness: Harness, error: Exception) -> None:
    """Nothing was done, whether to create or to check."""
    harness.client.list_errors = [error, error]

    with pytest.raises(type(error)):
        harness.create(scenario())
    with pytest.raises(type(error)):
        harness.check(scenario())
    assert harness.client.calls == ["list", "list"]


# --- The default scenario ------------------------------------------------------------------


def test_default_moves_within_a_list(harness: Harness) -> None:
    """Whatever their order, the new default is set after those that keep theirs are updated."""
    harness.create(scenario("old", default=True), scenario("new"))
    set_default = harness.client.update_scenario

    def clear_others(key: str, definition: ScenarioDefinition) -> Scenario:
        if definition.default:
            for name in ("old", "new"):
                harness.change_at_infobip(name, default=False)
        return set_default(key, definition)

    harness.client.update_scenario = clear_others  # type: ignore[method-assign]

    answer = harness.create(scenario("new", default=True), scenario("old", SMS))

    assert [(each["name"], each["default"]) for each in answer["scenarios"]] == [
        ("new", True),
        ("old", False),
    ]
    assert "alsoUpdated" not in answer
    assert [each.name for each in harness.client.scenarios.values() if each.default] == ["new"]
    assert (harness.entry("old").default, harness.entry("new").default) == (False, True)


def test_entry_outside_of_the_list_is_corrected_and_named(harness: Harness) -> None:
    harness.create(scenario("old", default=True))

    def clear_old(created: Scenario) -> Scenario:
        harness.change_at_infobip("old", default=False)
        return created

    harness.client.before_answer = clear_old

    answer = harness.create(scenario("new", default=True))

    assert answer["alsoUpdated"] == [{"name": "old", "default": False}]
    assert not harness.entry("old").default


def test_defaults_that_cannot_be_read_back_fail_the_new_default(harness: Harness) -> None:
    """The caller invokes again, and the next run reads them back."""

    def fail_lists(created: Scenario) -> Scenario:
        harness.client.list_errors = [NotProcessedError("Infobip was not reached")]
        return created

    harness.client.before_answer = fail_lists

    new, other = harness.create(scenario("new", default=True), scenario("b"))["scenarios"]

    assert (new["outcome"], new["error"]) == ("FAILED", "Infobip was not reached")
    assert other["outcome"] == "CREATED"


# --- Checked -------------------------------------------------------------------------------


def test_check_of_unchanged_scenarios_names_nothing(harness: Harness) -> None:
    bodies = [scenario("a"), scenario("b", SMS, default=True)]
    harness.create(*bodies)

    assert harness.check(*bodies) == [
        {"name": "a", "parameter": "/omni/test/scenarios/a", "outcome": "UNCHANGED"},
        {"name": "b", "parameter": "/omni/test/scenarios/b", "outcome": "UNCHANGED"},
    ]


def test_check_changes_nothing(harness: Harness) -> None:
    """It does not even register a scenario that Infobip has."""
    harness.create(scenario("a"), scenario("b"))
    harness.client.put("by-hand", definitions(scenario("c"))[0])
    live, entries = dict(harness.client.scenarios), dict(harness.registry.entries)
    harness.client.calls.clear()

    answer = harness.check(scenario("a", SMS), scenario("b"), scenario("c"), scenario("d"))

    assert [each["outcome"] for each in answer] == ["DRIFTED", "UNCHANGED", "DRIFTED", "DRIFTED"]
    assert (harness.client.scenarios, harness.registry.entries) == (live, entries)
    assert harness.client.calls == ["list"]
    assert harness.waits == []


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ({"flow": [PUSH, SMS]}, []),
        ({"default": False}, []),
        (
            {"default": True},
            [{"member": "default", "wanted": True, "infobip": False, "registry": False}],
        ),
        (
            {"flow": [PUSH, SMS | {"from": "Other"}]},
            [
                {
                    "member": "flow[1].from",
                    "wanted": "Other",
                    "infobip": "Acme",
                    "registry": "Acme",
                }
            ],
        ),
        (
            {"flow": [PUSH]},
            [
                {"member": "flow[1].channel", "wanted": None, "infobip": "SMS", "registry": "SMS"},
                {"member": "flow[1].from", "wanted": None, "infobip": "Acme", "registry": "Acme"},
            ],
        ),
    ],
)
def test_description_that_differs_from_both_is_named(
    harness: Harness, change: Json, differences: list[Json]
) -> None:
    """Each difference has the wanted value, and the values of Infobip and of the registry."""
    harness.create(scenario())

    assert harness.differences(scenario() | change) == differences


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (
            {"flow": [PUSH, SMS | {"from": "Other"}]},
            [{"member": "flow[1].from", "wanted": "Acme", "infobip": "Other"}],
        ),
        (
            {"flow": [SMS | {"from": "acme-app"}, SMS]},
            [{"member": "flow[0].channel", "wanted": "PUSH", "infobip": "SMS"}],
        ),
        ({"flow": [{"channel": "PIGEON"}]}, [{"member": "flow", "infobip": None}]),
        ({"default": True}, [{"member": "default", "infobip": True, "registry": False}]),
    ],
)
def test_change_made_at_infobip_is_named(
    harness: Harness, change: Json, differences: list[Json]
) -> None:
    """A flow with a step that this version does not know is shown as null."""
    harness.create(scenario())
    harness.change_at_infobip("otp", **change)

    assert harness.differences(scenario()) == differences


def test_scenario_that_does_not_exist_has_drifted(harness: Harness) -> None:
    assert harness.differences(scenario()) == [{"member": "key", "infobip": None, "registry": None}]


def test_scenario_of_another_key_has_drifted(harness: Harness) -> None:
    """It was deleted and created again, or it is not registered yet."""
    harness.create(scenario())
    harness.client.put("key-2", definitions(scenario())[0])
    del harness.client.scenarios["key-1"]

    assert harness.differences(scenario()) == [
        {"member": "key", "infobip": "key-2", "registry": "key-1"}
    ]
    harness.registry.entries.clear()
    assert harness.differences(scenario()) == [
        {"member": "key", "infobip": "key-2", "registry": None}
    ]


def test_interrupted_update_has_drifted(harness: Harness) -> None:
    """Even if the flow is the wanted one: senders take it for uncertain."""
    harness.create(scenario())
    harness.registry.announce(harness.entry("otp"))

    assert harness.differences(scenario()) == [{"member": "updating", "registry": True}]


def test_failure_of_one_check_is_named_in_its_own_entry(harness: Harness) -> None:
    harness.create(scenario("otp"), scenario("b"))

    failed, checked = harness.check(scenario("OTP!"), scenario("b"))

    assert (failed["outcome"], checked["outcome"]) == ("FAILED", "UNCHANGED")
    assert failed["error"].endswith("belongs to another scenario: choose another name")


def test_largest_answers_fit_lambdas_limit(harness: Harness) -> None:
    """An answer of a function has at most 6 MB; the members of a scenario are named up to 20."""
    body = scenario(
        "a" * 100, *({"from": f"{number:054}", "channel": "SMS"} for number in range(40))
    )
    longest = {"from": "\U0001f600" * LONGEST_EMAIL_ADDRESS, "channel": "VIBER"}
    created = harness.create(body)
    harness.change_at_infobip("a" * 100, flow=200 * [longest])
    checked = harness.check(body)

    assert len(checked[0]["differences"]) == 20
    for answer in (created, checked):
        assert MOST_SCENARIOS * len(json.dumps(answer)) < 6_000_000


# --- The event -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field", "rule"),
    [
        ({"action": "check"}, "scenarios", "is required"),
        ({"action": "delete", "scenarios": [scenario()]}, "action", "must be one of check"),
        ({"scenarios": []}, "scenarios", "must not be empty"),
        ({"scenarios": {}}, "scenarios", "must be a list"),
        ({"scenarios": ["otp"]}, "scenarios[0]", "must be an object"),
        (
            {"scenarios": 101 * [scenario()]},
            "scenarios",
            "must have at most 100 entries",
        ),
        ({"scenarios": [scenario()], "colour": 1}, "colour", "is not a field of this object"),
        (scenario() | {"action": "check"}, "scenarios", "is required"),
        (
            {"scenarios": [scenario(), scenario("b", SMS, {"from": "Acme"})]},
            "scenarios[1].flow[1].channel",
            "is required",
        ),
        ({"scenarios": [scenario(), {}]}, "scenarios[1].name", "is required"),
        (
            {"scenarios": [scenario("b", {"sender": "Acme", "channel": "SMS"})]},
            "scenarios[0].flow[0].sender",
            "is not a field of this object",
        ),
        (
            {"scenarios": [scenario(), scenario("b", defaultScenario=True)]},
            "scenarios[1].defaultScenario",
            "is the name in Infobip's old SDK: use default",
        ),
        (
            {"scenarios": [scenario(" otp")]},
            "scenarios[0].name",
            "must not begin or end with white space or a byte order mark",
        ),
        (
            {"scenarios": [scenario("a", default=True), scenario("b", default=True)]},
            "scenarios[1].default",
            "must be true for at most one scenario",
        ),
        (
            {"scenarios": [scenario(), scenario("b"), scenario("OTP!")]},
            "scenarios[2].name",
            "must differ from the name of scenarios[0], whose SSM parameter it shares",
        ),
        (
            {"scenarios": [scenario("\u03a9")]},
            "scenarios[0].name",
            "must hold a letter from a to z or a digit",
        ),
        (
            {"scenarios": [scenario(), scenario("b", *(200 * [SMS]))]},
            "scenarios[1].flow",
            "must fit 4096 bytes, with the name",
        ),
    ],
)
def test_wrong_list_is_refused_whole(harness: Harness, event: Json, field: str, rule: str) -> None:
    """Before anything is done; the error names the scenario."""
    with pytest.raises(InvalidEventError) as caught:
        app.lambda_handler(event, CONTEXT)

    assert (caught.value.field, caught.value.rule) == (field, rule)
    assert harness.client.calls == []


@pytest.mark.usefixtures("harness")
def test_handler_creates_and_checks(log: Log) -> None:
    """The log counts the outcomes."""
    event = {"scenarios": [scenario("a"), scenario("b")]}

    created = app.lambda_handler(event, CONTEXT)
    checked = app.lambda_handler({"action": "check"} | event, CONTEXT)

    assert [each["outcome"] for each in created["scenarios"]] == ["CREATED", "CREATED"]
    assert [each["outcome"] for each in checked["scenarios"]] == ["UNCHANGED", "UNCHANGED"]
    assert [(line["message"], line["outcomes"]) for line in log()] == [
        ("scenarios registered", {"CREATED": 2}),
        ("scenarios checked", {"UNCHANGED": 2}),
    ]
