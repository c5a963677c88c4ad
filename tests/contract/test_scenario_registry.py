"""The registry on SSM and its fake pass the same tests.

moto emulates SSM. Failures that only SSM has are tested on the real registry only.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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
from tests.fakes import PREFIX, FakeScenarioRegistry
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
def real(ssm: SSMClient) -> ScenarioRegistry:
    return ScenarioRegistry(PREFIX, ssm)


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


def test_find_is_cached_and_current_is_not(real: ScenarioRegistry, ssm: SSMClient) -> None:
    """`current` sees another deployment's change immediately, `find` within five minutes."""
    real.register(entry())
    real.find("order-updates")
    changed = entry(key="key-2")
    ssm.put_parameter(Name=PARAMETER, Value=changed.to_json(), Overwrite=True)

    assert real.find("order-updates") == entry()
    assert real.current("Order updates") == changed
    assert real.find("order-updates") == changed


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
def test_failure_of_ssm_is_retryable(real: ScenarioRegistry, ssm: SSMClient, code: str) -> None:
    """Neither reads nor writes mistake a failure for an absent or existing entry."""

    def fail(model: OperationModel, **_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, model.name)

    ssm.meta.events.register("before-call.ssm", fail)

    with pytest.raises(ParameterUnavailableError, match=code):
        real.find("order-updates")
    with pytest.raises(ParameterUnavailableError, match=code):
        real.current("Order updates")
    with pytest.raises(ParameterUnavailableError, match=code):
        real.register(entry())
    with pytest.raises(ParameterUnavailableError, match=code):
        real.replace(entry())


def test_entry_that_exists_but_cannot_be_read_yet_is_retryable(
    real: ScenarioRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads of SSM may lag behind writes; an unread entry must not count as registered."""
    real.register(entry())
    monkeypatch.setattr(real, "current", lambda _: None)

    with pytest.raises(ParameterUnavailableError, match="exists"):
        real.register(entry(key="key-2"))


def test_threads_share_one_read(real: ScenarioRegistry, ssm: SSMClient) -> None:
    """Records of one batch that name the same scenario cost one SSM call."""
    real.register(entry())
    calls: list[str] = []

    def note(model: OperationModel, **_: object) -> None:
        calls.append(model.name)

    ssm.meta.events.register("before-call.ssm", note)

    with ThreadPoolExecutor(10) as threads:
        found = list(threads.map(real.find, ["order-updates"] * 10))

    assert found == [entry()] * 10
    assert calls == ["GetParameter"]
