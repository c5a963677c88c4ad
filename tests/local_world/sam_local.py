"""SAM's own runner, which runs functions in containers, against a world of `make local`.

`sam local invoke` and `sam local start-lambda` take Lambda's image and the layer as `sam build`
made it. What they need to know of the world is in the file that `environment_file` writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound

from .aws_emulator import ACCESS_KEY_ID, REGION, ROOT, SECRET_ACCESS_KEY, environment_path
from .container_engine import HOST_FOR_CONTAINERS, NoBridgeError, address_for_containers
from .locks import locked
from .packaging import SAM, build_for_lambda, sam_environment
from .running import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import docker

    from .running import RunningWorld
    from .world import World

#: Where SAM's runner listens for calls of Lambda's API, unless told otherwise.
START_LAMBDA_PORT = 3001
#: Where AWS publishes the images of Lambda for Python.
REPOSITORY = "public.ecr.aws/lambda/python"
#: Of the functions.
PYTHON_VERSION = "3.13"
_SECONDS_TO_END = 20


@contextmanager
def environment_file(world: World) -> Iterator[Path]:
    """Write what `sam local` is to set in functions, for as long as the world runs.

    SAM sets none of the values that refer to a resource, such as a queue's URL, and a function in a
    container reaches this machine by another name.
    """
    path = environment_path(world.emulator.port)
    names = {physical: name for name, physical in world.resources().items()}
    pages = world.functions.get_paginator("list_functions").paginate()
    variables = {
        names[function["FunctionName"]]: function["Environment"]["Variables"]
        for page in pages
        for function in page["Functions"]
    }
    hosts = {
        url: url.replace("127.0.0.1", HOST_FOR_CONTAINERS)
        for url in (world.emulator.url, world.simulator.url)
    }
    path.write_text(environment_text(variables, hosts, hosts[world.emulator.url]))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def environment_text(
    variables: Mapping[str, Mapping[str, str]], hosts: Mapping[str, str], endpoint_url: str
) -> str:
    """Write the environments of functions, in the form of SAM's `--env-vars`.

    Access key and region are not among them: SAM takes those from its own environment.

    Args:
        variables: Of each function, by its name in the template.
        hosts: What URLs begin with in a container, by what they begin with here.
        endpoint_url: The emulator's, in a container.
    """
    endpoint = {"AWS_ENDPOINT_URL": endpoint_url}
    text = json.dumps(
        {name: dict(own) | endpoint for name, own in variables.items()}, indent=2, sort_keys=True
    )
    for here, there in hosts.items():
        text = text.replace(here, there)
    return text + "\n"


def architecture_of(client: docker.DockerClient) -> str:
    """Return the value of the template's `Architecture` that the engine runs without emulation."""
    return "x86_64" if client.info()["Architecture"] in {"x86_64", "amd64"} else "arm64"


def image_name(architecture: str) -> str:
    """Return the name of Lambda's image, which SAM asks for."""
    return f"{REPOSITORY}:{PYTHON_VERSION}-{architecture}"


def options(client: docker.DockerClient, world: RunningWorld) -> list[str]:
    """Return the options of `sam local` by which a function runs here and reaches a world.

    Raises:
        NoBridgeError: Containers do not reach the world.
    """
    also_on = address_for_containers(client)
    if also_on is not None and str(also_on.ip) != world.address_for_containers:
        raise NoBridgeError(
            "containers do not reach the world that is running: start it by `make local DOCKER=1`"
        )
    architecture = architecture_of(client)
    found = [
        *("--parameter-overrides", f"Architecture={architecture}"),
        *("--env-vars", str(environment_path(world.port))),
        *("--add-host", f"{HOST_FOR_CONTAINERS}:{also_on.ip if also_on else 'host-gateway'}"),
        *("--region", REGION),
    ]
    with suppress(ImageNotFound):
        client.images.get(image_name(architecture))
        found.append("--skip-pull-image")  # or SAM would ask the registry for a newer one
    return found


def invoke(
    client: docker.DockerClient, world: RunningWorld, function: str, event: str
) -> tuple[int, str]:
    """Run `sam local invoke`, and return its exit code and the function's answer as text.

    What the function logs goes to standard error.

    Args:
        client: Of the container engine.
        world: What the function is to reach.
        function: Its name in the template.
        event: As JSON.

    Raises:
        RefusedError: Containers do not reach the world, or the build has failed.
    """
    arguments = ["invoke", function, "--event", "-", *options(client, world)]
    with _runner(client, arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        answer, _ = process.communicate(event.encode())
    text = answer.decode(errors="replace").strip()
    return process.returncode or _is_error(text), text


def start_lambda(client: docker.DockerClient, world: RunningWorld, port: int) -> int:
    """Run `sam local start-lambda` until a signal ends it, and return its exit code.

    Args:
        client: Of the container engine.
        world: What functions are to reach.
        port: Where Lambda's API is to be called.

    Raises:
        RefusedError: Containers do not reach the world, or the build has failed.
    """
    arguments = ["start-lambda", "--port", str(port), "--warm-containers", "LAZY"]
    arguments += options(client, world)
    with _runner(client, arguments, stdin=subprocess.DEVNULL, stdout=None) as process:
        process.wait()
    return process.returncode


def _is_error(answer: str) -> bool:
    """Whether an answer is Lambda's report of an error, which SAM counts as success."""
    try:
        found = json.loads(answer)
    except ValueError:
        return True
    return isinstance(found, dict) and {"errorMessage", "errorType"} <= found.keys()


@contextmanager
def _runner(
    client: docker.DockerClient, arguments: list[str], *, stdin: int, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sam local` on a copy of what was built, and leave no container of it behind.

    A container says which folders it has mounted, so the copy tells its containers from those of
    other runs. Besides, a build meanwhile takes nothing away from it.
    """
    with _folder() as folder:
        try:
            built = build_for_lambda(folder)
        except RuntimeError as error:
            raise RefusedError(str(error)) from None
        try:
            with _ended_by_signals() as ended:
                process = subprocess.Popen(  # noqa: S603 (all of the command is ours)
                    [*SAM, "local", *arguments, "--template", str(built / "template.yaml")],
                    cwd=ROOT,
                    env=_environment(folder),
                    stdin=stdin,
                    stdout=stdout,
                    start_new_session=True,  # a signal reaches it from us alone, and once
                )
                ended(process)
                with process:
                    yield process
        finally:
            _remove_containers(client, folder)


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for one run, and remove those that killed runs have left behind."""
    scratch = ROOT / ".local"
    with ExitStack() as exits:
        with locked(scratch / "sam.lock"):
            for left in scratch.glob("sam-*/"):
                with suppress(OSError), (left / "lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="sam-", dir=scratch))
            exits.callback(shutil.rmtree, folder, ignore_errors=True)
            lock = exits.enter_context((folder / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _environment(folder: Path) -> dict[str, str]:
    """Return SAM's environment, with no real access key: SAM hands its own to functions."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # Or the proxies of the user's engine would get what containers send to this machine.
        "DOCKER_CONFIG": str(folder),
        "TMPDIR": str(folder),
        **sam_environment(folder),
    }


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Yield what takes the process that a signal ends, as Ctrl-C does, or by force if need be."""
    processes: list[subprocess.Popen[bytes]] = []
    received = threading.Event()

    def send(number: int) -> None:
        for process in processes:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)

    killer = threading.Timer(_SECONDS_TO_END, send, (signal.SIGKILL,))
    killer.daemon = True

    def end(*_: Any) -> None:  # noqa: ANN401 (a signal handler's arguments)
        received.set()
        send(signal.SIGINT)
        if not killer.is_alive():
            killer.start()

    def take(process: subprocess.Popen[bytes]) -> None:
        processes.append(process)
        if received.is_set():  # it came before the process could be ended
            send(signal.SIGINT)

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield take
    finally:
        killer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_containers(client: docker.DockerClient, folder: Path) -> None:
    """Remove the containers that have something of a folder mounted.

    Docker Desktop shows folders under a path of its virtual machine, so the folder's name counts.
    """
    # An engine that has ended meanwhile, or a container that ends by itself, is no failure here.
    with suppress(DockerException, requests.RequestException):
        for container in client.containers.list(all=True, ignore_removed=True):
            sources = (Path(mount.get("Source", "/")) for mount in container.attrs["Mounts"])
            if any(folder.name in source.parts for source in sources):
                with suppress(APIError):
                    container.remove(force=True)
