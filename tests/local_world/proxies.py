"""Keeps the proxies of the environment away from what runs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_THIS_MACHINE = ("127.0.0.1", "localhost")


def reach_this_machine_directly(environment: MutableMapping[str, str]) -> None:
    """Name this machine in `NO_PROXY`, and leave the proxies to those who need the network.

    requests, urllib and botocore, uv, and the AWS SAM CLI heed it, and child processes inherit
    it. Names in lower case come first, as they do in Python's `urllib.request.getproxies`.
    """
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for part in named.split(",") if (host := part.strip())]
    # An asterisk stands for every host, but only where it stands alone.
    if hosts != ["*"]:
        hosts += [host for host in _THIS_MACHINE if host not in hosts]
    environment.update(dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts)))
