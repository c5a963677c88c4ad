"""The address at which the local world may listen for containers."""

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


def test_bridge_address_includes_network_of_containers() -> None:
    """So calls from other machines can be recognised."""
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
def test_other_interfaces_are_refused(interface: dict[str, Any] | None, why: str) -> None:
    """Other machines must not reach the local world. The error says what is wrong."""
    found = None if interface is None else Interface(**{**vars(BRIDGE), **interface})

    with pytest.raises(NoBridgeError, match=why):
        bridge_address("docker0", NETWORKS, found)


# docker-py does not close the socket of its failed attempt.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_of_missing_engine_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the address that was tried, and a command that needs no engine."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    with pytest.raises(NoEngineError, match=r"unix:///nowhere/docker\.sock.*`make invoke`"):
        engine()
    gc.collect()
