"""Keeps calls to this machine away from the proxies of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_THIS_MACHINE = ("127.0.0.1", "localhost")


def reach_this_machine_directly(environment: MutableMapping[str, str]) -> None:
    """Add this machine to `NO_PROXY`, and leave the proxies for calls over the network.

    requests, urllib, botocore, uv and the AWS SAM CLI obey it, and child processes inherit it.
    Lower case names take precedence, as in Python's `urllib.request.getproxies`.
    """
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for part in named.split(",") if (host := part.strip())]
    # An asterisk means every host, but only if it is the whole value.
    if hosts != ["*"]:
        hosts += [host for host in _THIS_MACHINE if host not in hosts]
    environment.update(dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts)))
