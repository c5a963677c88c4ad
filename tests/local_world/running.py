"""Tells commands in other terminals which worlds `make local` keeps running in this clone."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

import requests

from .aws_emulator import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World

#: Lies in the emulator's directory, and goes away with it.
_FILE_NAME = "running.json"
_TIMEOUT_SECONDS = 5


class NoSuchWorldError(Exception):
    """No world is running, or not the one that was asked for, or more than one could be meant."""


@dataclass(frozen=True)
class RunningWorld:
    """What one has to know of a world to talk to it.

    Args:
        port: Of the emulator; it names the world.
        simulator_url: Of Infobip's simulator.
        outputs: The stack's.
        resources: What the template's resources are called here, by their names in the template.
        address_for_containers: The address beside loopback that it listens on, if any.
    """

    port: int
    simulator_url: str
    outputs: dict[str, str]
    resources: dict[str, str]
    address_for_containers: str | None

    @classmethod
    def of(cls, world: World) -> Self:
        """Describe a world of this process."""
        return cls(
            world.emulator.port,
            world.simulator.url,
            world.outputs,
            world.resources(),
            str(world.also_on.ip) if world.also_on else None,
        )

    @property
    def url(self) -> str:
        """Of the emulator."""
        return f"http://127.0.0.1:{self.port}"


def announce(world: World) -> None:
    """Leave word of a world, for as long as it runs."""
    draft = world.emulator.directory / f"{_FILE_NAME}.draft"
    draft.write_text(json.dumps(asdict(RunningWorld.of(world))))
    draft.rename(world.emulator.directory / _FILE_NAME)


def running_world(port: int | None = None) -> RunningWorld:
    """Return the world that is running, or that of several whose emulator listens on a port.

    Raises:
        NoSuchWorldError: There is none, or none with that port, or there are several and no port
            was given; the text says what to do.
    """
    found = {world.port: world for world in _announced() if _answers(world)}
    if not found:
        raise NoSuchWorldError("nothing is running: start `make local` in another terminal first")
    ports = " or ".join(f"WORLD={each}" for each in sorted(found))
    if port is None and len(found) > 1:
        raise NoSuchWorldError(f"{len(found)} worlds are running: say which one by {ports}")
    if port is not None and port not in found:
        raise NoSuchWorldError(f"no world is running on port {port}; there is {ports}")
    return found[port] if port is not None else next(iter(found.values()))


def _announced() -> Iterator[RunningWorld]:
    for path in ROOT.glob(f".local/world-*/{_FILE_NAME}"):
        with suppress(FileNotFoundError):  # it may end just now
            yield RunningWorld(**json.loads(path.read_text()))


def _answers(world: RunningWorld) -> bool:
    """Whether a world still runs: one that was killed may have left its file behind."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy would not reach this machine
        try:
            return session.get(f"{world.url}/_ministack/health", timeout=_TIMEOUT_SECONDS).ok
        except requests.RequestException:
            return False
