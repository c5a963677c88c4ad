"""Shows commands in other terminals which local worlds are running in this clone."""

from __future__ import annotations

import fcntl
import json
import shlex
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .aws_emulator import ROOT
from .clients import options, session
from .locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

    from .world import World

#: In the emulator's directory, and removed with it.
_FILE_NAME = "running.json"
#: The longest timeout of a function.
_SECONDS_TO_ANSWER = 900


class RefusedError(Exception):
    """A command cannot be carried out; the text tells its user why, and what to do."""


@dataclass(frozen=True)
class RunningWorld:
    """How to reach a running local world.

    Args:
        port: Of the emulator; it identifies the local world.
        started_at: When it became ready, by the clock of this machine.
        parameters: The template parameters that it was given.
        simulator_url: Of Infobip's simulator.
        page_url: Of the page with the phones.
        outputs: The outputs of the stack.
        resources: The physical ids of the template's resources by their logical ids.
        outcome_queue_url: Of the queue that receives outcome events; None without a bus.
        address_for_containers: The address that containers reach; None if there is none.
    """

    port: int
    started_at: str
    parameters: dict[str, str]
    simulator_url: str
    page_url: str
    outputs: dict[str, str]
    resources: dict[str, str]
    outcome_queue_url: str | None
    address_for_containers: str | None

    @property
    def url(self) -> str:
        """The URL of the emulator."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def functions(self) -> LambdaClient:
        return session().client("lambda", **self._client_options)

    @cached_property
    def sqs(self) -> SQSClient:
        return session().client("sqs", **self._client_options)

    @cached_property
    def _client_options(self) -> Any:  # noqa: ANN401 (options of a client of any service)
        # A retry could invoke a function twice.
        once = {"total_max_attempts": 1}
        return options(self.url, read_timeout=_SECONDS_TO_ANSWER, retries=once)

    def __str__(self) -> str:
        """Return what distinguishes it from other local worlds of this clone."""
        given = shlex.join(f"{name}={value}" for name, value in self.parameters.items())
        return f"WORLD={self.port}, started at {self.started_at}, " + (
            f"with {given}" if given else "without PARAMETERS"
        )


def one_at_a_time() -> AbstractContextManager[None]:
    """Lock out other starts in this clone, which would choose the same free ports."""
    return locked(ROOT / ".local/starting.lock")


def described(world: World, parameters: Mapping[str, str], page_url: str) -> RunningWorld:
    """Return how to reach a local world of this process.

    Args:
        world: It has been started.
        parameters: The template parameters that its user gave.
        page_url: Of its page.
    """
    return RunningWorld(
        port=world.emulator.port,
        started_at=time.strftime("%H:%M:%S"),
        parameters=dict(parameters),
        simulator_url=world.simulator.url,
        page_url=page_url,
        outputs=world.outputs,
        resources=world.resources(),
        outcome_queue_url=world.outcome_queue_url,
        address_for_containers=str(world.also_on.ip) if world.also_on else None,
    )


@contextmanager
def announced(running: RunningWorld, directory: Path) -> Iterator[None]:
    """Write a file that describes a local world, and lock it while the world runs.

    A file without a lock was left behind by a killed process.

    Args:
        running: The local world.
        directory: Of its emulator.
    """
    draft = directory / f"{_FILE_NAME}.draft"
    with draft.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(asdict(running), file)
        file.flush()
        draft.rename(directory / _FILE_NAME)
        yield


def running_world(port: int | None = None) -> tuple[RunningWorld, int]:
    """Return a running local world of this clone, and how many are running.

    Args:
        port: Of its emulator; needed if several are running.

    Raises:
        RefusedError: None is running, or none on that port, or several are running and no port was
            given; the text says what to do.
    """
    found = {world.port: world for world in _announced()}
    if not found:
        raise RefusedError(f"nothing is running in {ROOT}: run `make local` in another terminal")
    listed = "\n".join(f"  {each}" for _, each in sorted(found.items()))
    if port is None and len(found) > 1:
        raise RefusedError(f"{len(found)} worlds are running in {ROOT}: choose one\n{listed}")
    if port is not None and port not in found:
        raise RefusedError(f"no world is running on port {port} in {ROOT}: choose one\n{listed}")
    world = found[port] if port is not None else next(iter(found.values()))
    return world, len(found)


def _announced() -> Iterator[RunningWorld]:
    for path in ROOT.glob(f".local/world-*/{_FILE_NAME}"):
        with suppress(FileNotFoundError), path.open() as file:  # it may just be ending
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    yield RunningWorld(**json.load(file))
                except TypeError:
                    raise RefusedError(
                        "the running world belongs to another version of this project:"
                        " stop it, and run `make local` again"
                    ) from None
