"""SAM's own runner, which runs functions in containers, against a local world.

`sam local invoke` and `sam local start-lambda` use Lambda's image and the layer that `sam build`
built. The file that `environment_file` writes points them to the local world.
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

#: The port on which SAM's runner serves Lambda's API by default.
START_LAMBDA_PORT = 3001
#: Where AWS publishes the images of Lambda for Python.
REPOSITORY = "public.ecr.aws/lambda/python"
#: The functions' Python.
PYTHON_VERSION = "3.13"
_SECONDS_TO_END = 20


@contextmanager
def environment_file(world: World) -> Iterator[Path]:
    """Write the functions' environment for `sam local`, and remove it when the world ends.

    SAM sets no variable that refers to a resource, such as a queue's URL, and a function in a
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
    """Return the environments of functions in the format of SAM's `--env-vars`.

    Access key and region are not included: SAM takes them from its own environment.

    Args:
        variables: Those of each function, by its logical id.
        hosts: The beginnings of URLs in a container, by the beginnings on this machine.
        endpoint_url: The emulator's URL in a container.
    """
    endpoint = {"AWS_ENDPOINT_URL": endpoint_url}
    text = json.dumps(
        {name: dict(own) | endpoint for name, own in variables.items()}, indent=2, sort_keys=True
    )
    for here, there in hosts.items():
        text = text.replace(here, there)
    return text + "\n"


def architecture_of(client: docker.DockerClient) -> str:
    """Return the value of the template's `Architecture` that the engine runs natively."""
    return "x86_64" if client.info()["Architecture"] in {"x86_64", "amd64"} else "arm64"


def image_name(architecture: str) -> str:
    """Return the name of Lambda's image, as SAM requests it."""
    return f"{REPOSITORY}:{PYTHON_VERSION}-{architecture}"


def options(client: docker.DockerClient, world: RunningWorld) -> list[str]:
    """Return the options of `sam local` with which a function reaches a local world.

    Raises:
        NoBridgeError: Containers cannot reach the local world.
    """
    also_on = address_for_containers(client)
    if also_on is not None and str(also_on.ip) != world.address_for_containers:
        raise NoBridgeError(
            "containers cannot reach the running world: start it by `make local DOCKER=1`"
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
        found.append("--skip-pull-image")  # otherwise SAM asks the registry for a newer one
    return found


def invoke(
    client: docker.DockerClient, world: RunningWorld, function: str, event: str
) -> tuple[int, str]:
    """Run `sam local invoke`, and return its exit code and the function's answer as text.

    The function's logs go to standard error.

    Args:
        client: Of the container engine.
        world: The local world that the function uses.
        function: Its logical id.
        event: As JSON.

    Raises:
        RefusedError: Containers cannot reach the local world, or the build failed.
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
        world: The local world that the functions use.
        port: To listen on.

    Raises:
        RefusedError: Containers cannot reach the local world, or the build failed.
    """
    arguments = ["start-lambda", "--port", str(port), "--warm-containers", "LAZY"]
    arguments += options(client, world)
    with _runner(client, arguments, stdin=subprocess.DEVNULL, stdout=None) as process:
        process.wait()
    return process.returncode


def _is_error(answer: str) -> bool:
    """Whether an answer is an error of a function, which SAM counts as success."""
    try:
        found = json.loads(answer)
    except ValueError:
        return True
    return isinstance(found, dict) and {"errorMessage", "errorType"} <= found.keys()


@contextmanager
def _runner(
    client: docker.DockerClient, arguments: list[str], *, stdin: int, stdout: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sam local` on a copy of the build, and remove its containers at the end.

    Its containers are those that have a folder of the copy mounted. The copy also protects the run
    from another build meanwhile.
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
                    start_new_session=True,  # so that it gets signals only from this process
                )
                ended(process)
                with process:
                    yield process
        finally:
            _remove_containers(client, folder)


@contextmanager
def _folder() -> Iterator[Path]:
    """Create a folder for one run, and remove the folders that killed runs left behind."""
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
    """Return SAM's environment, with no real access key: SAM passes its own to functions."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # Another folder than the user's, whose proxies would receive calls to this machine.
        "DOCKER_CONFIG": str(folder),
        "TMPDIR": str(folder),
        **sam_environment(folder),
    }


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Yield a function that registers a process, which signals then end, at last by force."""
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
        if received.is_set():  # the signal came before the process was registered
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
    """Remove the containers that have a part of a folder mounted.

    Docker Desktop shows paths of its virtual machine, so only the folder's name is compared.
    """
    # The engine may have stopped meanwhile, and a container may have been removed already.
    with suppress(DockerException, requests.RequestException):
        for container in client.containers.list(all=True, ignore_removed=True):
            sources = (Path(mount.get("Source", "/")) for mount in container.attrs["Mounts"])
            if any(folder.name in source.parts for source in sources):
                with suppress(APIError):
                    container.remove(force=True)
