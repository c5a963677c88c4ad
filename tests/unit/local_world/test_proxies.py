"""Proxies are bypassed for this machine, and for nothing else."""

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
def test_this_machine_is_added_to_hosts_of_user(before: dict[str, str], hosts: str) -> None:
    """Both spellings of the variable then have the same value."""
    reach_this_machine_directly(before)

    assert (before["no_proxy"], before["NO_PROXY"]) == (hosts, hosts)


def test_proxies_of_user_stay() -> None:
    """Downloads, such as the layer's wheels, may need them."""
    environment = {"HTTPS_PROXY": "http://proxy.example:3128", "all_proxy": "socks5://p.example"}
    before = dict(environment)

    reach_this_machine_directly(environment)

    assert environment.items() >= before.items()
