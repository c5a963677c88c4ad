"""Where the local world may listen for containers."""

from __future__ import annotations

import gc
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from tests.local_world.container_engine import (
    Interface,
    NoBridgeError,
    NoEngineError,
    bridge_address,
    engine,
)

NETWORKS = [IPv4Network("172.17.0.0/16")]
BRIDGE = Interface(is_bridge=True, leads_elsewhere=False, address=IPv4Address("172.17.0.1"))


def test_bridge_s_address_comes_with_the_network_of_containers() -> None:
    """Whoever calls from elsewhere can be told apart."""
    assert bridge_address("docker0", NETWORKS, BRIDGE) == IPv4Interface("172.17.0.1/16")


@pytest.mark.parametrize(
    ("interface", "why"),
    [
        pytest.param(None, "not on this machine", id="absent"),
        pytest.param({"address": None}, "has no address", id="no address"),
        pytest.param({"is_bridge": False}, "leads off this machine", id="no bridge"),
        pytest.param({"leads_elsewhere": True}, "leads off this machine", id="a card's bridge"),
        pytest.param(
            {"address": IPv4Address("192.0.2.2")}, "not in the engine's network", id="other network"
        ),
    ],
)
def test_no_other_interface_will_do(interface: dict[str, Any] | None, why: str) -> None:
    """What other machines may reach is refused, in a sentence that says why."""
    found = None if interface is None else Interface(**{**vars(BRIDGE), **interface})

    with pytest.raises(NoBridgeError, match=why):
        bridge_address("docker0", NETWORKS, found)


# docker-py leaves the socket open by which it has tried.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_engine_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what was tried, and the way that needs no engine."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    with pytest.raises(NoEngineError, match=r"unix:///nowhere/docker\.sock.*`make invoke`"):
        engine()
    gc.collect()
