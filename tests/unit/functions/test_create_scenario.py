"""Repeated, concurrent and interrupted invocations leave one registered scenario per name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from functions.create_scenario import app
from functions.create_scenario.app import Dependencies, create_scenario
from infobip_omni.api.channels import Channel
from infobip_omni.api.errors import (
    AuthenticationError,
    NotProcessedError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestRejectedError,
)
from infobip_omni.api.scenarios import Scenario, ScenarioDefinition, ScenarioStep
from infobip_omni.events.create_scenario import Outcome, parse
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_plans import LiveScenario, RegistryWrite, make_plan
from infobip_omni.scenario_registry import (
    FRESH_SECONDS,
    UNCERTAIN_SECONDS,
    RegisteredScenario,
    SlugTakenError,
    UnregistrableScenarioError,
)
from tests.fakes import FakeScenarioClient, FakeScenarioRegistry

from .conftest import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Log

PUSH = ScenarioStep(sender="acme-app", channel=Channel.PUSH)
SMS = ScenarioStep(sender="Acme", channel=Channel.SMS)
VIBER = ScenarioStep(sender="Acme", channel=Channel.VIBER)
OTP = ScenarioDefinition(name="otp", flow=(PUSH, SMS))
OTHER_FLOW = ScenarioDefinition(name="otp", flow=(VIBER, SMS))
EVENT: dict[str, Any] = {
    "name": "otp",
    "flow": [{"from": "acme-app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
}


@dataclass
class Harness:
    """The function and its fakes."""

    client: FakeScenarioClient = field(default_factory=FakeScenarioClient)
    registry: FakeScenarioRegistry = field(default_factory=FakeScenarioRegistry)
    #: The waits of all runs, in seconds.
    waits: list[float] = field(default_factory=list)
    #: Runs during each wait.
    on_wait: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()

    @property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.client, self.registry)

    def run(self, wanted: ScenarioDefinition) -> Outcome:
        """Run the function, and check its answer against both fakes."""
        registration = create_scenario(wanted, self.dependencies, self.sleep)
        entry = registration.entry
        assert self.registry.current(wanted.name) == entry
        live = self.client.scenarios[entry.key]
        assert (live.name, live.flow, live.default) == (entry.name, entry.flow, entry.default)
        assert entry.flow == wanted.flow
        return registration.outcome

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        return app.lambda_handler(event, CONTEXT)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Return a harness without scenarios."""
    harness = Harness()
    monkeypatch.setattr(app, "dependencies", lambda: harness.dependencies)
    return harness


def register(definition: ScenarioDefinition, key: str) -> RegisteredScenario:
    """Build the registry's entry of a scenario."""
    return RegisteredScenario(
        key=key,
        name=definition.name,
        flow=definition.flow,
        default=bool(definition.default),
    )


OTP_UPDATING = register(OTP, "key-1").as_updating()


# --- The plan ------------------------------------------------------------------------------


def live(key: str, definition: ScenarioDefinition) -> LiveScenario:
    """Build a scenario that Infobip has."""
    described = definition.model_dump(by_alias=True) | {"key": key, "default": False}
    return LiveScenario(key, Scenario.model_validate(described))


@pytest.mark.parametrize(
    ("registered", "found", "outcome", "update", "write"),
    [
        (None, None, Outcome.CREATED, False, RegistryWrite.ADD),
        (None, ("key-1", OTP), Outcome.ADOPTED, False, RegistryWrite.ADD),
        (None, ("key-1", OTHER_FLOW), Outcome.ADOPTED, True, RegistryWrite.ADD),
        (("key-0", OTP), None, Outcome.CREATED, False, RegistryWrite.REPLACE),
        (("key-0", OTP), ("key-1", OTP), Outcome.ADOPTED, False, RegistryWrite.REPLACE),
        (("key-1", OTP), ("key-1", OTP), Outcome.UNCHANGED, False, RegistryWrite.NOTHING),
        (("key-1", OTP), ("key-1", OTHER_FLOW), Outcome.UPDATED, True, RegistryWrite.NOTHING),
        (("key-1", OTHER_FLOW), ("key-1", OTP), Outcome.UPDATED, False, RegistryWrite.REPLACE),
        (
            ("key-1", OTHER_FLOW),
            ("key-1", OTHER_FLOW),
            Outcome.UPDATED,
            True,
            RegistryWrite.REPLACE,
        ),
    ],
)
def test_plan_depends_on_registry_and_infobip(
    registered: tuple[str, ScenarioDefinition] | None,
    found: tuple[str, ScenarioDefinition] | None,
    outcome: Outcome,
    update: bool,  # noqa: FBT001 (a column of the table)
    write: RegistryWrite,
) -> None:
    """The wanted scenario is OTP; steps that are done are not repeated."""
    entry = register(registered[1], registered[0]) if registered else None

    plan = make_plan(OTP, entry, live(*found) if found else None)

    assert (plan.outcome, plan.update, plan.write) == (outcome, update, write)
    assert plan.entry == (register(OTP, found[0]) if found else None)


# --- Created, unchanged, updated -----------------------------------------------------------


def test_new_scenario_is_created_and_registered(harness: Harness) -> None:
    assert harness.run(OTP) is Outcome.CREATED
    assert harness.client.calls == ["list", "create"]


def test_second_invocation_changes_nothing(harness: Harness) -> None:
    harness.run(OTP)
    harness.client.calls.clear()

    assert harness.run(OTP) is Outcome.UNCHANGED
    assert harness.client.calls == ["get"]


def test_other_flow_updates_the_scenario_under_its_key(harness: Harness) -> None:
    """Senders keep the key that they know."""
    harness.run(OTP)

    assert harness.run(OTHER_FLOW) is Outcome.UPDATED
    assert list(harness.client.scenarios) == ["key-1"]


def test_default_is_updated_and_then_kept(harness: Harness) -> None:
    """An event without `default` leaves it unchanged, even when the flow changes."""
    harness.run(OTP)

    assert harness.run(OTP.model_copy(update={"default": True})) is Outcome.UPDATED
    assert harness.run(OTP) is Outcome.UNCHANGED
    assert harness.run(OTHER_FLOW) is Outcome.UPDATED
    assert harness.client.scenarios["key-1"].default is True


def test_change_made_at_infobip_is_undone(harness: Harness) -> None:
    """The event decides: a flow that was changed elsewhere is corrected."""
    harness.run(OTP)
    harness.client.put("key-1", OTHER_FLOW)

    assert harness.run(OTP) is Outcome.UPDATED


def test_unregistered_update_is_completed(harness: Harness) -> None:
    """A run killed between the two updates is completed by the next one."""
    harness.run(OTP)

    def fail_next_write() -> None:
        harness.registry.error = ParameterUnavailableError("SSM cannot be written")

    harness.on_wait = fail_next_write
    with pytest.raises(ParameterUnavailableError):
        harness.run(OTHER_FLOW)
    harness.on_wait = lambda: None
    harness.client.calls.clear()

    assert harness.run(OTHER_FLOW) is Outcome.UPDATED
    assert harness.client.calls == ["get"]


# --- The registry while a flow is updated --------------------------------------------------


def test_update_of_a_flow_is_announced_before_infobip_makes_it(harness: Harness) -> None:
    """Until then, each sender has read the mark; the wait afterwards is for the new flow."""
    harness.run(OTP)
    harness.client.calls.clear()
    seen: list[tuple[bool, list[str]]] = []
    harness.on_wait = lambda: seen.append(
        (bool(harness.registry.find("otp") == OTP_UPDATING), [*harness.client.calls])
    )

    assert harness.run(OTHER_FLOW) is Outcome.UPDATED
    assert seen == [(True, ["get"]), (False, ["get", "update"])]
    assert harness.waits == [FRESH_SECONDS, UNCERTAIN_SECONDS]


def test_flow_that_only_the_registry_lacks_is_waited_for(harness: Harness) -> None:
    """Infobip runs it already; afterwards, each sender has read it."""
    harness.run(OTP)
    harness.client.put("key-1", OTHER_FLOW)

    assert harness.run(OTHER_FLOW) is Outcome.UPDATED
    assert harness.waits == [FRESH_SECONDS]


@pytest.mark.parametrize("change", [{}, {"default": False}, {"default": True}])
def test_unchanged_flow_needs_no_wait(harness: Harness, change: dict[str, bool]) -> None:
    harness.run(OTP)
    harness.run(OTP.model_copy(update=change))

    assert harness.waits == []


@pytest.mark.parametrize(
    ("error", "is_marked"),
    [
        (NotProcessedError("not reached"), False),
        (RequestRejectedError("refused", status=400), False),
        (ParameterUnavailableError("the credentials cannot be read"), False),
        (OutcomeUnknownError("no answer"), True),
    ],
)
def test_mark_of_a_failed_update_stays_only_if_infobip_may_have_made_it(
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    is_marked: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Senders then know that the flow is uncertain; the next run removes the mark."""
    harness.run(OTP)

    def fail(_key: str, _definition: ScenarioDefinition) -> Scenario:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(harness.client, "update_scenario", fail)
        with pytest.raises(type(error)):
            harness.run(OTHER_FLOW)

    assert harness.registry.find("otp") == (OTP_UPDATING if is_marked else register(OTP, "key-1"))
    assert harness.run(OTP) is (Outcome.UPDATED if is_marked else Outcome.UNCHANGED)
    assert harness.registry.find("otp") == register(OTP, "key-1")


def test_write_that_ssm_throttles_is_repeated(harness: Harness) -> None:
    """SSM takes only a few writes in a second."""
    harness.registry.error = ParameterUnavailableError("too many", "ThrottlingException")

    assert harness.run(OTP) is Outcome.CREATED
    assert harness.client.calls == ["list", "create"]
    assert harness.waits == [1.0]


# --- The default scenario ------------------------------------------------------------------


def test_new_default_corrects_the_entry_of_the_old_one(harness: Harness) -> None:
    """Infobip may keep or clear the old default; the registry holds what it lists."""
    parcels = OTP.model_copy(update={"name": "parcels", "default": True})
    others = OTP.model_copy(update={"name": "others"})
    create_scenario(parcels, harness.dependencies, harness.sleep)
    create_scenario(others, harness.dependencies, harness.sleep)
    before_answer = harness.client.before_answer

    def clear_others(created: Scenario) -> Scenario:
        harness.client.put("key-1", parcels.model_copy(update={"default": False}))
        return before_answer(created)

    harness.client.before_answer = clear_others
    registration = create_scenario(
        OTP.model_copy(update={"default": True}), harness.dependencies, harness.sleep
    )

    assert {name: each.default for name, each in harness.registry.entries.items()} == {
        harness.registry.parameter("parcels"): False,
        harness.registry.parameter("others"): False,
        harness.registry.parameter("otp"): True,
    }
    assert registration.answer()["alsoUpdated"] == [{"name": "parcels", "default": False}]


def test_defaults_that_were_not_read_back_are_read_back_by_the_next_run(harness: Harness) -> None:
    """The caller gets the error, and invokes again."""
    wanted = OTP.model_copy(update={"default": True})
    other = register(OTP.model_copy(update={"name": "other", "default": True}), "key-9")
    harness.registry.register(other)
    harness.client.put("key-9", OTP.model_copy(update={"name": "other"}))

    def fail_lists(created: Scenario) -> Scenario:
        harness.client.list_errors = [NotProcessedError("not reached")]
        return created

    harness.client.before_answer = fail_lists
    with pytest.raises(NotProcessedError):
        create_scenario(wanted, harness.dependencies, harness.sleep)

    registration = create_scenario(wanted, harness.dependencies, harness.sleep)
    assert registration.outcome is Outcome.UNCHANGED
    assert [entry.name for entry in registration.also_updated] == ["other"]


# --- Adopted -------------------------------------------------------------------------------


def test_scenario_of_the_same_name_is_adopted(harness: Harness) -> None:
    """It was created by hand, or by a run that was killed before it registered the scenario."""
    harness.client.put("by-hand", OTP)

    assert harness.run(OTP) is Outcome.ADOPTED
    assert list(harness.client.scenarios) == ["by-hand"]
    assert "update" not in harness.client.calls


def test_adopted_scenario_gets_the_wanted_flow(harness: Harness) -> None:
    harness.client.put("by-hand", OTHER_FLOW)

    assert harness.run(OTP) is Outcome.ADOPTED
    assert harness.client.scenarios["by-hand"].flow == OTP.flow


def test_scenario_with_the_wanted_flow_is_adopted_first(harness: Harness) -> None:
    """Infobip allows a name twice; the one that needs no change is the better guess."""
    harness.client.put("first", OTHER_FLOW)
    harness.client.put("second", OTP)

    assert harness.run(OTP) is Outcome.ADOPTED
    assert harness.client.scenarios["first"].flow == OTHER_FLOW.flow


def test_only_the_exact_name_is_adopted(harness: Harness) -> None:
    """A scenario that is spelt differently is another one."""
    harness.client.put("by-hand", OTP.model_copy(update={"name": "OTP"}))

    assert harness.run(OTP) is Outcome.CREATED


def test_crash_before_registering_leads_to_adoption(harness: Harness) -> None:
    """The next invocation finds the scenario that was created and not registered."""
    harness.registry.error = ParameterUnavailableError("SSM cannot be written")
    with pytest.raises(ParameterUnavailableError):
        harness.run(OTP)

    assert harness.run(OTP) is Outcome.ADOPTED
    assert list(harness.client.scenarios) == ["key-1"]


def test_key_unknown_to_infobip_is_replaced(harness: Harness) -> None:
    """After a change of account the registered key is unknown, and a new one replaces it."""
    harness.registry.register(register(OTP, "gone"))

    assert harness.run(OTP) is Outcome.CREATED
    assert harness.run(OTP) is Outcome.UNCHANGED
    assert list(harness.client.scenarios) == ["key-1"]


def test_unknown_key_is_replaced_by_the_scenario_of_the_same_name(harness: Harness) -> None:
    """The name is looked up before a new scenario is created."""
    harness.registry.register(register(OTP, "gone"))
    harness.client.put("by-hand", OTP)

    assert harness.run(OTP) is Outcome.ADOPTED


# --- Lost answers --------------------------------------------------------------------------


@pytest.mark.parametrize("blind_lists", [0, 1, 2])
def test_creation_without_an_answer_is_looked_up(harness: Harness, blind_lists: int) -> None:
    """It is never repeated: the list shows whether it took effect."""

    def lose_and_omit(_: Scenario) -> Scenario:
        harness.client.blind_lists = blind_lists
        raise OutcomeUnknownError("no answer")

    harness.client.before_answer = lose_and_omit

    assert harness.run(OTP) is Outcome.CREATED
    assert harness.client.calls.count("create") == 1


def test_key_missing_from_the_answer_is_looked_up(harness: Harness) -> None:
    """The key is optional in Infobip's answer; the list has it."""
    harness.client.before_answer = lambda scenario: scenario.model_copy(update={"key": None})

    assert harness.run(OTP) is Outcome.CREATED
    assert harness.client.calls.count("create") == 1


def test_answer_without_the_flow_causes_no_update(harness: Harness) -> None:
    """Infobip has just received flow and default, so they are not sent again."""
    left_out = {"flow": (), "default": False}
    harness.client.before_answer = lambda scenario: scenario.model_copy(update=left_out)

    assert harness.run(OTP.model_copy(update={"default": True})) is Outcome.CREATED
    assert "update" not in harness.client.calls


def test_scenario_found_after_a_lost_answer_gets_the_wanted_flow(harness: Harness) -> None:
    """Another client may have created it, so it is treated like an existing scenario."""

    def lose_to_another(created: Scenario) -> Scenario:
        del harness.client.scenarios[created.key or ""]
        harness.client.put("theirs", OTHER_FLOW)
        raise OutcomeUnknownError("no answer")

    harness.client.before_answer = lose_to_another

    assert harness.run(OTP) is Outcome.CREATED
    assert harness.client.calls == ["list", "create", "list", "update"]


@pytest.mark.parametrize(
    "error",
    [
        NotProcessedError("not reached"),
        OutcomeUnknownError("no answer"),
        RequestRejectedError("refused", status=400),
    ],
)
def test_failed_update_after_a_lost_answer_raises_its_error(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The scenario exists and its key is known, so the next invocation only updates it."""

    def lose_to_another(created: Scenario) -> Scenario:
        del harness.client.scenarios[created.key or ""]
        harness.client.put("theirs", OTHER_FLOW)
        raise OutcomeUnknownError("no answer")

    def fail(_key: str, _definition: ScenarioDefinition) -> Scenario:
        raise error

    harness.client.before_answer = lose_to_another
    with monkeypatch.context() as patch:
        patch.setattr(harness.client, "update_scenario", fail)
        with pytest.raises(type(error)) as caught:
            harness.run(OTP)

    assert caught.value is error
    assert harness.run(OTP) is Outcome.ADOPTED
    assert harness.client.calls.count("create") == 1


def test_failed_list_is_repeated(harness: Harness) -> None:
    """A throttled lookup does not end the search for a lost creation."""

    def lose_and_fail(_: Scenario) -> Scenario:
        harness.client.list_errors = [
            RateLimitedError("slow down"),
            OutcomeUnknownError("no answer"),
        ]
        raise OutcomeUnknownError("no answer")

    harness.client.before_answer = lose_and_fail

    assert harness.run(OTP) is Outcome.CREATED


def test_lost_creation_that_is_not_listed_raises_an_error(harness: Harness) -> None:
    """It says that the result is unknown, and that the caller should invoke again."""

    def lose_and_omit(_: Scenario) -> Scenario:
        harness.client.blind_lists = 3
        raise OutcomeUnknownError("no answer")

    harness.client.before_answer = lose_and_omit
    with pytest.raises(OutcomeUnknownError, match="invoke again"):
        harness.run(OTP)

    assert harness.run(OTP) is Outcome.ADOPTED
    assert harness.client.calls.count("create") == 1


@pytest.mark.parametrize(
    "error",
    [
        NotProcessedError("not reached"),
        ParameterUnavailableError("SSM cannot be read"),
        RateLimitedError("slow down"),
        AuthenticationError("no"),
        RequestRejectedError("no", status=409),
    ],
)
def test_rejected_creation_registers_nothing(harness: Harness, error: Exception) -> None:
    """The error reaches the caller immediately, without a lookup."""

    def refuse(_: Scenario) -> Scenario:
        raise error

    harness.client.before_answer = refuse

    with pytest.raises(type(error)):
        harness.run(OTP)

    assert harness.client.calls == ["list", "create"]
    assert harness.registry.entries == {}


def test_only_a_404_marks_a_key_as_unknown(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any other error, another scenario must not be created."""
    harness.run(OTP)

    def fail(_: str) -> Scenario:
        raise RequestRejectedError("invalid scenario", status=409)

    monkeypatch.setattr(harness.client, "get_scenario", fail)

    with pytest.raises(RequestRejectedError):
        harness.run(OTP)
    assert harness.client.calls.count("create") == 1


# --- Races and names -----------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [OTP, OTHER_FLOW])
def test_loser_of_a_race_uses_the_winners_key(
    harness: Harness,
    log: Log,
    theirs: ScenarioDefinition,
) -> None:
    """Both end with one registered key; the loser's own scenario is logged as an orphan."""

    def win() -> None:
        harness.client.put("winner", theirs)
        harness.registry.register(register(theirs, "winner"))

    harness.registry.before_write = win

    assert harness.run(OTP) is (Outcome.UNCHANGED if theirs == OTP else Outcome.UPDATED)
    assert [(line["key"], line["registered_key"]) for line in log()] == [("key-1", "winner")]


def test_concurrent_adoptions_leave_no_orphan(harness: Harness, log: Log) -> None:
    """If their flows differ, registry and Infobip end with the last one's."""
    harness.client.put("by-hand", OTP)
    theirs = register(OTHER_FLOW, "by-hand")
    harness.registry.before_write = lambda: harness.registry.entries.update(
        {harness.registry.parameter("otp"): theirs}
    )

    assert harness.run(OTP) is Outcome.UPDATED
    assert log() == []


def test_second_name_with_the_same_slug_is_rejected(harness: Harness) -> None:
    """Infobip is not called, and the first scenario stays."""
    harness.run(OTP)
    harness.client.calls.clear()

    with pytest.raises(SlugTakenError, match="/otp belongs to another") as caught:
        harness.run(OTP.model_copy(update={"name": "OTP!"}))

    assert caught.value.member == "name"
    assert harness.client.calls == []


def test_name_without_a_slug_is_rejected_before_infobip_is_called(harness: Harness) -> None:
    with pytest.raises(UnregistrableScenarioError, match=r"^name: "):
        harness.run(OTP.model_copy(update={"name": "Ωμέγα"}))

    assert harness.client.calls == []


# --- The event -----------------------------------------------------------------------------


def test_event_has_the_fields_of_infobips_body() -> None:
    """Names, steps and default are read as Infobip documents them."""
    assert parse(EVENT) == OTP
    assert parse(EVENT | {"default": True}) == OTP.model_copy(update={"default": True})
    without_sender = ScenarioDefinition(name="otp", flow=(ScenarioStep(channel=Channel.PUSH),))
    assert parse({"name": "otp", "flow": [{"channel": "PUSH"}]}) == without_sender


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"name": 7}, "name"),
        ({"name": "canary\n"}, "name"),
        ({"name": "\ufeffcanary"}, "name"),
        ({"defaultScenario": True}, "defaultScenario"),
        ({"flow": []}, "flow"),
        ({"flow": None}, "flow"),
        ({"flow": [{"from": "canary"}]}, "flow[0].channel"),
        ({"flow": [{"channel": "canary"}]}, "flow[0].channel"),
        ({"flow": [EVENT["flow"][0], {"channel": "SMS", "from": 7}]}, "flow[1].from"),
        ({"flow": [{"channel": "SMS", "sender": "canary"}]}, "flow[0].sender"),
        ({"default": "true"}, "default"),
        ({"colour": "canary"}, "colour"),
    ],
)
def test_invalid_event_is_rejected_with_field_and_rule(change: dict[str, Any], field: str) -> None:
    """The error does not repeat the value."""
    with pytest.raises(InvalidEventError) as caught:
        parse(EVENT | change)

    assert caught.value.field == field
    assert caught.value.rule
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "flow"])
def test_missing_field_is_named(missing: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse({name: value for name, value in EVENT.items() if name != missing})

    assert caught.value.field == missing


@pytest.mark.parametrize("event", [None, [], "otp", 7])
def test_event_that_is_not_an_object_is_rejected(event: object) -> None:
    with pytest.raises(InvalidEventError, match=r"^body: "):
        parse(event)


# --- The handler ---------------------------------------------------------------------------


def test_answer_has_key_parameter_and_outcome(harness: Harness, log: Log) -> None:
    """The sample event gets all that a caller needs to send."""
    event = json.loads((Path(__file__).parents[3] / "events/create_scenario.json").read_text())

    answer = harness.invoke(event)

    assert answer == event | {
        "key": "key-1",
        "default": False,
        "parameter": "/omni/test/scenarios/order-updates",
        "outcome": "CREATED",
    }
    assert json.loads(json.dumps(answer)) == answer
    assert [(line["message"], line["outcome"]) for line in log()] == [
        ("scenario registered", "CREATED")
    ]
    assert harness.invoke(event)["outcome"] == "UNCHANGED"


def test_invalid_event_causes_no_call(harness: Harness) -> None:
    """The caller of the function gets the error."""
    with pytest.raises(InvalidEventError):
        harness.invoke({"flow": EVENT["flow"]})

    assert harness.client.calls == []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "Order updates!",
            "/order-updates belongs to another scenario: choose another name",
        ),
        ("\u03a9\u03bc\u03ad\u03b3\u03b1", "must hold a letter from a to z or a digit"),
    ],
)
def test_unregistrable_scenario_is_an_invalid_event(
    harness: Harness,
    name: str,
    rule: str,
) -> None:
    """The error names the field to change, as for any other rule."""
    harness.invoke(EVENT | {"name": "Order updates"})
    harness.client.calls.clear()

    with pytest.raises(InvalidEventError) as caught:
        harness.invoke(EVENT | {"name": name})

    assert caught.value.field == "name"
    assert caught.value.rule.endswith(rule)
    assert harness.client.calls == []
