"""Proxies are kept from this machine, and from nothing else."""

from __future__ import annotations

import pytest

from tests.local_world.proxies import reach_this_machine_directly


@pytest.mark.parametrize(
    ("before", "hosts"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": ""}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example, .b.example,"}, "a.example,.b.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "A", "no_proxy": "b.example"}, "b.example,127.0.0.1,localhost"),
        ({"no_proxy": "localhost,127.0.0.1"}, "localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_named_beside_the_hosts_of_the_user(
    before: dict[str, str], hosts: str
) -> None:
    """The user's own exceptions stay, and both spellings say the same."""
    reach_this_machine_directly(before)

    assert (before["no_proxy"], before["NO_PROXY"]) == (hosts, hosts)


def test_user_s_proxies_stay() -> None:
    """What comes from the network, such as the layer's wheels, may need them."""
    environment = {"HTTPS_PROXY": "http://proxy.example:3128", "all_proxy": "socks5://p.example"}
    before = dict(environment)

    reach_this_machine_directly(environment)

    assert environment.items() >= before.items()
