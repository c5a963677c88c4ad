"""What SAM's runner is told of the local world."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from typing import Any

import pytest
from docker.errors import ImageNotFound

from tests.local_world import sam_local
from tests.local_world.running import RunningWorld
from tests.local_world.sam_local import environment_text, options


def test_function_in_a_container_gets_urls_that_it_can_reach() -> None:
    """Wherever a URL of this machine stands in a value, the host's name in a container does."""
    variables = {"SendMessageFunction": {"SEND_QUEUE_URL": "http://127.0.0.1:4566/000000000000/q"}}
    there = "http://host.docker.internal:4566"

    text = environment_text(variables, {"http://127.0.0.1:4566": there}, there)

    assert json.loads(text)["SendMessageFunction"] == {
        "AWS_ENDPOINT_URL": there,
        "SEND_QUEUE_URL": f"{there}/000000000000/q",
    }


class Engine:
    """An engine on arm64, with or without Lambda's image for it."""

    def __init__(self, *, has_image: bool) -> None:
        self.images = self
        self._has_image = has_image

    def info(self) -> dict[str, str]:
        """Describe the engine."""
        return {"Architecture": "aarch64"}

    def get(self, name: str) -> str:
        """Return an image."""
        if not self._has_image or name != "public.ecr.aws/lambda/python:3.13-arm64":
            raise ImageNotFound(name)
        return name


WORLD = RunningWorld(
    port=4566,
    started_at="12:00:00",
    parameters={},
    simulator_url="http://127.0.0.1:8070",
    outputs={},
    resources={},
    outcome_queue_url=None,
    address_for_containers="172.17.0.1",
)


@pytest.mark.parametrize("has_image", [True, False])
def test_image_that_is_there_is_used_without_asking_a_registry(
    monkeypatch: pytest.MonkeyPatch, *, has_image: bool
) -> None:
    """SAM would look for a newer one each time; one that is absent it has to pull."""
    client: Any = Engine(has_image=has_image)
    bridge = IPv4Interface("172.17.0.1/16")
    monkeypatch.setattr(sam_local, "address_for_containers", lambda _: bridge)

    found = options(client, WORLD)

    assert ("--skip-pull-image" in found) is has_image
    assert "Architecture=arm64" in found
    assert "host.docker.internal:172.17.0.1" in found


def test_docker_desktop_s_containers_find_this_machine_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They reach loopback, so any world will do."""
    client: Any = Engine(has_image=True)
    monkeypatch.setattr(sam_local, "address_for_containers", lambda _: None)

    assert "host.docker.internal:host-gateway" in options(client, WORLD)
