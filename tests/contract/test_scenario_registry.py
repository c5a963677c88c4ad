"""The registry on SSM and its fake pass the same tests.

moto emulates SSM. Failures that only SSM has are tested on the real registry only.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infobip_omni.api.channels import Channel
from infobip_omni.api.scenarios import ScenarioStep
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import (
    RegisteredScenario,
    ScenarioRegistry,
    SlugTakenError,
    UnregistrableScenarioError,
)
from tests.fakes import PREFIX, Clock, FakeScenarioRegistry
from tests.local_world.clients import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import OperationModel
    from mypy_boto3_ssm import SSMClient

FLOW = (
    ScenarioStep(sender="acme-app", channel=Channel.PUSH),
    ScenarioStep(sender="Acme", channel=Channel.SMS),
)
PARAMETER = PREFIX + "order-updates"


def entry(name: str = "Order updates", key: str = "key-1") -> RegisteredScenario:
    return RegisteredScenario(key=key, name=name, flow=FLOW, default=False)


@pytest.fixture
def ssm() -> Iterator[SSMClient]:
    with mock_aws():
        yield session().client("ssm")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def real(ssm: SSMClient, clock: Clock) -> ScenarioRegistry:
    return ScenarioRegistry(PREFIX, ssm, clock)


@dataclass
class Calls:
    """The calls of SSM, and the error that they fail with."""

    made: list[str] = field(default_factory=list)
    failure: str = ""

    def note(self, model: OperationModel, **_: object) -> None:
        self.made.append(model.name)
        if self.failure:
            raise ClientError({"Error": {"Code": self.failure, "Message": "no"}}, model.name)


@pytest.fixture
def calls(ssm: SSMClient) -> Calls:
    calls = Calls()
    ssm.meta.events.register("before-call.ssm", calls.note)
    return calls


def overwrite(ssm: SSMClient, changed: RegisteredScenario) -> None:
    """Change the entry as another execution environment does."""
    ssm.put_parameter(Name=PARAMETER, Value=changed.to_json(), Overwrite=True)


@pytest.fixture(params=["real", "fake"])
def registry(request: pytest.FixtureRequest) -> ScenarioRegistry:
    """Return an empty registry: the real one, then its fake."""
    if request.param == "fake":
        return FakeScenarioRegistry()
    registry: ScenarioRegistry = request.getfixturevalue("real")
    return registry


# --- Both ----------------------------------------------------------------------------------


def test_registered_scenario_is_found_by_name_and_slug(registry: ScenarioRegistry) -> None:
    """Senders may use either."""
    assert registry.register(entry()) == entry()

    assert registry.find("Order updates") == entry()
    assert registry.find("order-updates") == entry()
    assert registry.current("Order updates") == entry()


@pytest.mark.parametrize("name", ["otp", "ORDER UPDATES", "Order updates!", "order updates", "Ω"])
def test_unknown_name_is_not_found(registry: ScenarioRegistry, name: str) -> None:
    """A name that only shares the slug belongs to another scenario."""
    registry.register(entry())

    assert registry.find(name) is None


def test_absence_is_not_cached(registry: ScenarioRegistry) -> None:
    """A scenario that is registered later is found immediately."""
    assert registry.find("Order updates") is None
    assert registry.current("Order updates") is None

    registry.register(entry())

    assert registry.find("Order updates") == entry()


def test_loser_of_a_race_gets_the_winners_entry(registry: ScenarioRegistry) -> None:
    """Registering never overwrites."""
    registry.register(entry())

    assert registry.register(entry(key="key-2")) == entry()
    assert registry.find("order-updates") == entry()


def test_registration_is_idempotent(registry: ScenarioRegistry) -> None:
    """A caller that lost the first answer retries, and gets its own entry."""
    registry.register(entry())

    assert registry.register(entry()) == entry()


def test_replaced_entry_is_found_immediately(registry: ScenarioRegistry) -> None:
    """The registry that made the update does not serve its cached entry."""
    registry.register(entry())
    registry.find("order-updates")
    changed = entry().model_copy(update={"flow": FLOW[1:], "default": True})

    registry.replace(changed)

    assert registry.find("order-updates") == changed
    assert registry.current("Order updates") == changed


def test_two_names_with_one_slug_are_an_error(registry: ScenarioRegistry) -> None:
    """Nothing is overwritten, and the error names the parameter that has the slug."""
    registry.register(entry())

    for attempt in (registry.current, lambda name: registry.register(entry(name))):
        with pytest.raises(SlugTakenError, match=PARAMETER):
            attempt("order-updates")
    assert registry.find("order-updates") == entry()


def test_name_without_a_slug_is_an_error(registry: ScenarioRegistry) -> None:
    with pytest.raises(UnregistrableScenarioError, match=r"^name: "):
        registry.current("Ω")


# --- Only on SSM ---------------------------------------------------------------------------


def test_entry_is_json_in_a_plain_string(real: ScenarioRegistry, ssm: SSMClient) -> None:
    """People and other deployments read it under the documented name."""
    real.register(entry())

    parameter = ssm.get_parameter(Name=PARAMETER)["Parameter"]
    assert parameter["Type"] == "String"
    assert json.loads(parameter["Value"]) == {
        "key": "key-1",
        "name": "Order updates",
        "flow": [{"from": "acme-app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
        "default": False,
    }


def test_entry_in_a_secure_string_is_read(real: ScenarioRegistry, ssm: SSMClient) -> None:
    """An operator who wrote it again may have chosen that type."""
    ssm.put_parameter(Name=PARAMETER, Value=entry().to_json(), Type="SecureString")

    assert real.find("order-updates") == entry()
    assert real.all() == [entry()]


def test_find_is_cached_for_seconds_and_current_is_not(
    real: ScenarioRegistry, ssm: SSMClient, clock: Clock
) -> None:
    """`current` sees another deployment's change immediately, `find` within five seconds."""
    real.register(entry())
    real.find("order-updates")
    overwrite(ssm, entry(key="key-2"))

    clock.pass_by(seconds=4.9)
    assert real.find("order-updates") == entry()
    clock.pass_by(seconds=0.1)
    assert real.find("order-updates") == entry(key="key-2")

    overwrite(ssm, entry(key="key-3"))
    assert real.current("Order updates") == entry(key="key-3")
    assert real.find("order-updates") == entry(key="key-3")


def test_announced_update_makes_the_flow_uncertain(
    real: ScenarioRegistry, ssm: SSMClient, clock: Clock
) -> None:
    """Senders read the entry again after a second, so they soon see that the update is made."""
    real.register(entry())
    real.announce(entry())
    found = real.find("order-updates")
    assert found == entry().as_updating()
    assert (found.flow, found.steps) == (FLOW, None)

    overwrite(ssm, entry(key="key-2"))
    clock.pass_by(seconds=1)
    found = real.find("order-updates")
    assert found == entry(key="key-2")
    assert found.steps == (Channel.PUSH, Channel.SMS)


def test_known_scenario_is_used_while_ssm_fails(
    real: ScenarioRegistry, calls: Calls, clock: Clock
) -> None:
    """For five minutes, with an uncertain flow; SSM is asked once in five seconds."""
    real.register(entry())
    real.find("order-updates")
    calls.made.clear()
    calls.failure = "ThrottlingException"

    clock.pass_by(seconds=299)
    assert [real.find("order-updates") for _ in range(10)] == 10 * [entry().as_updating()]
    assert calls.made == ["GetParameter"]
    clock.pass_by(seconds=2)
    with pytest.raises(ParameterUnavailableError):
        real.find("order-updates")

    calls.failure = ""
    clock.pass_by(seconds=5)
    assert real.find("order-updates") == entry()


def test_batch_waits_for_a_failing_ssm_once(
    real: ScenarioRegistry, calls: Calls, clock: Clock
) -> None:
    """Each attempt may take 15 seconds, and a batch may name ten scenarios."""
    calls.failure = "ThrottlingException"

    for name in ("one", "two", "three"):
        with pytest.raises(ParameterUnavailableError):
            real.find(name)
        with pytest.raises(ParameterUnavailableError):
            real.find_before_refusal(name, clock())

    assert calls.made == ["GetParameter"]


def test_invalid_entry_does_not_affect_others(
    real: ScenarioRegistry, ssm: SSMClient, clock: Clock
) -> None:
    ssm.put_parameter(Name=PREFIX + "other", Value="{}", Type="String")
    real.register(entry())
    real.find("order-updates")
    clock.pass_by(seconds=5)

    with pytest.raises(ParameterUnavailableError):
        real.find("other")
    assert real.find("order-updates") == entry()


# --- Before a refusal ----------------------------------------------------------------------


def test_scenario_is_read_again_before_a_refusal(
    real: ScenarioRegistry, ssm: SSMClient, clock: Clock
) -> None:
    real.register(entry())
    real.find("order-updates")
    overwrite(ssm, entry(key="key-2"))

    assert real.find_before_refusal("order-updates", clock()) == entry(key="key-2")
    assert real.find("order-updates") == entry(key="key-2")


def test_refusals_read_a_scenario_once_in_two_seconds(
    real: ScenarioRegistry, calls: Calls, clock: Clock
) -> None:
    """What was queued before the read is decided by it; what was queued later has to wait."""
    before = clock()
    clock.pass_by(seconds=1)
    assert [real.find_before_refusal("unknown", before) for _ in range(100)] == 100 * [None]
    clock.pass_by(seconds=1)
    assert real.find_before_refusal("unknown", before) is None
    with pytest.raises(ParameterUnavailableError, match="unknown was just read"):
        real.find_before_refusal("unknown", clock())
    assert calls.made == ["GetParameter"]

    clock.pass_by(seconds=2)
    assert real.find_before_refusal("unknown", clock()) is None
    assert calls.made == 2 * ["GetParameter"]


def test_other_reads_count_as_well(real: ScenarioRegistry, calls: Calls, clock: Clock) -> None:
    """A scenario that was just read again for another reason is not read once more."""
    real.find_before_refusal("unknown", clock())
    clock.pass_by(seconds=1.5)
    real.find("unknown")

    assert real.find_before_refusal("unknown", clock()) is None
    assert calls.made == 2 * ["GetParameter"]


def test_absence_is_remembered_for_one_second(
    real: ScenarioRegistry, calls: Calls, clock: Clock
) -> None:
    """A batch of events without their scenario costs one read to find it."""
    assert [real.find("unknown") for _ in range(10)] == 10 * [None]
    assert calls.made == ["GetParameter"]

    clock.pass_by(seconds=1)
    assert real.find("unknown") is None
    assert calls.made == 2 * ["GetParameter"]


def test_names_of_events_do_not_fill_the_memory(real: ScenarioRegistry, calls: Calls) -> None:
    """Known scenarios stay known; of other names, only the last ones are remembered."""
    real.register(entry())
    real.find("order-updates")
    for number in range(501):
        assert real.find(f"unknown {number}") is None
    calls.made.clear()

    real.find("unknown 500")
    real.find("order-updates")
    assert calls.made == []
    real.find("unknown 0")
    assert calls.made == ["GetParameter"]


@pytest.mark.parametrize("is_known", [False, True])
def test_nothing_is_refused_while_a_scenario_is_updated(
    real: ScenarioRegistry,
    ssm: SSMClient,
    clock: Clock,
    is_known: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Infobip may run either flow; the error says how to end an update that was interrupted."""
    real.register(entry())
    if is_known:
        real.find("order-updates")
    overwrite(ssm, entry().as_updating())

    with pytest.raises(ParameterUnavailableError, match=r"being updated; .* create_scenario again"):
        real.find_before_refusal("order-updates", clock())


def test_name_without_a_slug_is_refused_without_a_read(
    real: ScenarioRegistry, calls: Calls, clock: Clock
) -> None:
    assert real.find_before_refusal("\u03a9", clock()) is None
    assert calls.made == []


# --- All -----------------------------------------------------------------------------------


def test_all_scenarios_are_listed(real: ScenarioRegistry, ssm: SSMClient) -> None:
    """Page by page; unreadable ones, and those of another stage, are left out."""
    entries = [entry(name=f"scenario {number}") for number in range(25)]
    for each in entries:
        real.register(each)
    ssm.put_parameter(Name=PREFIX + "unreadable", Value="canary", Type="String")
    ssm.put_parameter(Name="/omni/other/scenarios/a", Value=entry("a").to_json(), Type="String")

    found = real.all()

    assert sorted(each.name for each in found) == sorted(each.name for each in entries)


@pytest.mark.parametrize(
    "value",
    [
        "canary",
        "[]",
        '{"name": "Order updates"}',
        '{"key": "", "name": "Order updates", "flow": [{"channel": "SMS"}], "default": false}',
        '{"key": "k", "name": "Order updates", "flow": [{"channel": "CANARY"}], "default": false}',
        '{"key": "k", "name": "Order updates", "flow": [], "default": false}',
    ],
)
def test_unreadable_entry_is_named_and_not_cached(
    real: ScenarioRegistry, ssm: SSMClient, value: str
) -> None:
    """The error names the parameter, and a corrected value takes effect immediately."""
    ssm.put_parameter(Name=PARAMETER, Value=value, Type="String")

    for look in (real.find, real.current):
        with pytest.raises(ParameterUnavailableError, match=PARAMETER) as caught:
            look("Order updates")
        assert "canary" not in str(caught.value).lower()

    ssm.put_parameter(Name=PARAMETER, Value=entry().to_json(), Overwrite=True)
    assert real.find("Order updates") == entry()


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_failure_of_ssm_is_retryable(real: ScenarioRegistry, calls: Calls, code: str) -> None:
    """Neither reads nor writes mistake a failure for an absent or existing entry."""
    calls.failure = code

    with pytest.raises(ParameterUnavailableError, match=code):
        real.find("order-updates")
    with pytest.raises(ParameterUnavailableError, match=code):
        real.current("Order updates")
    with pytest.raises(ParameterUnavailableError, match=code):
        real.register(entry())
    with pytest.raises(ParameterUnavailableError, match=code):
        real.replace(entry())
    with pytest.raises(ParameterUnavailableError, match=code):
        real.all()


def test_entry_that_exists_but_cannot_be_read_yet_is_retryable(
    real: ScenarioRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads of SSM may lag behind writes; an unread entry must not count as registered."""
    real.register(entry())
    monkeypatch.setattr(real, "current", lambda _: None)

    with pytest.raises(ParameterUnavailableError, match="exists"):
        real.register(entry(key="key-2"))


def test_threads_share_one_read(real: ScenarioRegistry, calls: Calls) -> None:
    """Records of one batch that name the same scenario cost one SSM call."""
    real.register(entry())
    calls.made.clear()

    with ThreadPoolExecutor(10) as threads:
        found = list(threads.map(real.find, ["order-updates"] * 10))

    assert found == [entry()] * 10
    assert calls.made == ["GetParameter"]
