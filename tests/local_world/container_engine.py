"""The container engine that SAM's runner uses, and the bridge by which its containers reach us."""

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

#: Docker Desktop leads calls of this name to loopback here
#: (https://docs.docker.com/desktop/features/networking/); other engines have to be told it.
HOST_FOR_CONTAINERS = "host.docker.internal"
_INTERFACES = Path("/sys/class/net")
#: Linux's request for an interface's IPv4 address, see netdevice(7).
_SIOCGIFADDR = 0x8915
_SECONDS_TO_ANSWER = 10


class NoEngineError(RefusedError):
    """No container engine answers."""


class NoBridgeError(RefusedError):
    """The engine has no bridge on this machine that we may listen on; the text says why."""


@dataclass(frozen=True)
class Interface:
    """What Linux says of a network interface.

    Args:
        is_bridge: Whether it is a bridge.
        leads_elsewhere: Whether the bridge has a member that is not an end of a pair within
            this machine, such as a network card or a tunnel.
        address: Its IPv4 address, if it has one.
    """

    is_bridge: bool
    leads_elsewhere: bool
    address: IPv4Address | None


def engine() -> docker.DockerClient:
    """Return a client of the engine that `DOCKER_HOST` names, or of the one on this machine.

    Raises:
        NoEngineError: None answers.
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

    Containers of Docker Desktop reach what listens on loopback here.

    Raises:
        NoBridgeError: There is none on this machine, or it leads off the machine.
    """
    if client.info()["OperatingSystem"] == "Docker Desktop":
        return None
    try:
        network = client.networks.get("bridge").attrs
    except NotFound as error:
        raise NoBridgeError("the container engine has no bridge") from error
    name = network["Options"].get("com.docker.network.bridge.name", "docker0")
    subnets = [IPv4Network(one["Subnet"]) for one in network["IPAM"]["Config"] if _is_v4(one)]
    return bridge_address(name, subnets, _interface(name))


def bridge_address(
    name: str, subnets: list[IPv4Network], interface: Interface | None
) -> IPv4Interface:
    """Return the address to listen on, and the network that containers have.

    Args:
        name: The bridge's, as the engine has it.
        subnets: Of the engine's network.
        interface: What Linux says of it; None if there is none of that name.

    Raises:
        NoBridgeError: It must not be listened on; the text says why.
    """
    if interface is None or interface.address is None:
        raise NoBridgeError(
            f"the container engine's bridge {name} is not on this machine, or has no address: "
            "containers of a rootless or remote engine do not reach this machine"
        )
    if not interface.is_bridge or interface.leads_elsewhere:
        raise NoBridgeError(
            f"the container engine's bridge {name} leads off this machine, so nothing may listen "
            "there that asks for no password"
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
    """Whether an interface is an end of a veth pair, as an engine makes for each container.

    Linux gives such an end no device, no type in its `uevent`, and no interface below; a card, a
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


if __name__ == "__main__":  # tells .ci/run whether an engine answers
    try:
        engine()
        sys.stdout.write("yes\n")
    except NoEngineError:
        sys.stdout.write("no\n")
