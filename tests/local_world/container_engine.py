"""The container engine of SAM's runner, and the bridge over which containers reach this machine."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound

from .running import RefusedError

#: Docker Desktop resolves this name to loopback of this machine
#: (https://docs.docker.com/desktop/features/networking/); other engines need `--add-host`.
HOST_FOR_CONTAINERS = "host.docker.internal"
_INTERFACES = Path("/sys/class/net")
#: Linux's request for an interface's IPv4 address, see netdevice(7).
_SIOCGIFADDR = 0x8915
_SECONDS_TO_ANSWER = 10


class NoEngineError(RefusedError):
    """No container engine answers."""


class NoBridgeError(RefusedError):
    """The engine has no bridge on this machine that is safe to listen on; the text says why."""


@dataclass(frozen=True)
class Interface:
    """A network interface, as Linux describes it.

    Args:
        is_bridge: Whether it is a bridge.
        leads_elsewhere: Whether the bridge has a member, such as a network card or a tunnel, that
            leads off this machine.
        address: Its IPv4 address; None if it has none.
    """

    is_bridge: bool
    leads_elsewhere: bool
    address: IPv4Address | None


def engine() -> docker.DockerClient:
    """Return a client of the engine that `DOCKER_HOST` names, or of the one on this machine.

    Raises:
        NoEngineError: No engine answers; the text says what to do.
    """
    try:
        client = docker.from_env(timeout=_SECONDS_TO_ANSWER)
        client.ping()
    except DockerException as error:
        where = os.environ.get("DOCKER_HOST") or "the usual socket"
        raise NoEngineError(
            f"no container engine answers at {where}: start Docker, or name another in "
            "DOCKER_HOST (`docker context inspect` shows the address of yours); "
            "`make invoke` runs functions without one"
        ) from error
    return client


def address_for_containers(client: docker.DockerClient) -> IPv4Interface | None:
    """Return the address of the engine's bridge, with its network; None for Docker Desktop.

    Containers of Docker Desktop reach services on loopback of this machine.

    Raises:
        NoBridgeError: The bridge is not on this machine, or leads off it.
    """
    if client.info()["OperatingSystem"] == "Docker Desktop":
        return None
    try:
        network = client.networks.get("bridge").attrs
    except NotFound as error:
        raise NoBridgeError(
            "the container engine has no network named bridge: Docker creates it when it starts"
        ) from error
    name = network["Options"].get("com.docker.network.bridge.name", "docker0")
    subnets = [IPv4Network(one["Subnet"]) for one in network["IPAM"]["Config"] if _is_v4(one)]
    return bridge_address(name, subnets, _interface(name))


def bridge_address(
    name: str, subnets: list[IPv4Network], interface: Interface | None
) -> IPv4Interface:
    """Return the address to listen on, with the network of the containers.

    Args:
        name: The engine's name for the bridge.
        subnets: Of the engine's network.
        interface: The bridge; None if this machine has no interface of that name.

    Raises:
        NoBridgeError: It is not safe to listen there; the text says why.
    """
    if interface is None or interface.address is None:
        raise NoBridgeError(
            f"the container engine's bridge {name} is not on this machine, or has no address: "
            "containers of a rootless or remote engine do not reach this machine"
        )
    if not interface.is_bridge or interface.leads_elsewhere:
        raise NoBridgeError(
            f"the container engine's bridge {name} leads off this machine, so services without a "
            "password must not listen there"
        )
    for subnet in subnets:
        if interface.address in subnet:
            return IPv4Interface(f"{interface.address}/{subnet.prefixlen}")
    raise NoBridgeError(f"the container engine's bridge {name} is not in the engine's network")


def _is_v4(configuration: dict[str, str]) -> bool:
    return ":" not in configuration["Subnet"]


def _interface(name: str) -> Interface | None:
    folder = _INTERFACES / name
    if not folder.exists():
        return None
    members = [_INTERFACES / member.name for member in (folder / "brif").glob("*")]
    return Interface(
        is_bridge=(folder / "bridge").exists(),
        leads_elsewhere=not all(map(_is_pair, members)),
        address=_address(name),
    )


def _is_pair(interface: Path) -> bool:
    """Whether an interface is an end of a veth pair, which an engine creates for each container.

    Linux gives such an end no device, no type in its `uevent`, and no lower interface; a card, a
    tunnel, a VLAN or a bond has one of these.
    """
    kind = "DEVTYPE=" in (interface / "uevent").read_text()
    special = any((interface / name).exists() for name in ("device", "tun_flags", "wireless"))
    below = any(interface.glob("lower_*"))
    return not (kind or special or below)


def _address(interface: str) -> IPv4Address | None:
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None
    return IPv4Address(answer[20:24])


if __name__ == "__main__":  # .ci/run asks whether an engine answers
    try:
        engine()
        sys.stdout.write("yes\n")
    except NoEngineError:
        sys.stdout.write("no\n")
