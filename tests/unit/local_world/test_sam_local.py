"""The options and the environment of SAM's runner."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from typing import Any

import pytest
from docker.errors import ImageNotFound

from tests.local_world import sam_local
from tests.local_world.sam_local import environment_text, options

from .worlds import world_with


def test_function_in_container_gets_reachable_urls() -> None:
    """The host's name in a container replaces this machine's address in every value."""
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
        return {"Architecture": "aarch64"}

    def get(self, name: str) -> str:
        if not self._has_image or name != "public.ecr.aws/lambda/python:3.13-arm64":
            raise ImageNotFound(name)
        return name


WORLD = world_with(port=4566, address_for_containers="172.17.0.1")


@pytest.mark.parametrize("has_image", [True, False])
def test_present_image_is_used_without_registry(
    monkeypatch: pytest.MonkeyPatch, *, has_image: bool
) -> None:
    """SAM would look for a newer one each time. It has to pull an absent one."""
    client: Any = Engine(has_image=has_image)
    bridge = IPv4Interface("172.17.0.1/16")
    monkeypatch.setattr(sam_local, "address_for_containers", lambda _: bridge)

    found = options(client, WORLD)

    assert ("--skip-pull-image" in found) is has_image
    assert "Architecture=arm64" in found
    assert "host.docker.internal:172.17.0.1" in found


def test_containers_of_docker_desktop_reach_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They reach loopback, so the world need not listen on another address."""
    client: Any = Engine(has_image=True)
    monkeypatch.setattr(sam_local, "address_for_containers", lambda _: None)

    assert "host.docker.internal:host-gateway" in options(client, WORLD)
