"""SAM's own runner, which runs functions in containers, against a world of `make local`.

`sam local invoke` and `sam local start-lambda` take Lambda's image and the layer as `sam build`
made it. What they need to know of the world is in the file that `environment_file` writes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound, NotFound

from .aws_emulator import ACCESS_KEY_ID, REGION, ROOT, SECRET_ACCESS_KEY
from .container_engine import HOST_FOR_CONTAINERS, NoBridgeError, address_for_containers
from .packaging import SAM, build_for_lambda, sam_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import docker

    from .running import RunningWorld
    from .world import World

#: Where SAM's runner listens for calls of Lambda's API, unless told otherwise.
START_LAMBDA_PORT = 3001
_IMAGE = "public.ecr.aws/lambda/python"
_PYTHON_VERSION = "3.13"
_SECONDS_TO_END = 20


def environment_path(port: int) -> Path:
    """Return where SAM finds the environment for the world whose emulator has a port."""
    return ROOT / f".local/env-{port}.json"


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

    Args:
        variables: Of each function, by its name in the template.
        hosts: What URLs begin with in a container, by what they begin with here.
        endpoint_url: The emulator's, in a container.
    """
    access = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }
    text = json.dumps(
        {name: dict(own) | access for name, own in variables.items()}, indent=2, sort_keys=True
    )
    for here, there in hosts.items():
        text = text.replace(here, there)
    return text + "\n"


def processor(client: docker.DockerClient) -> str:
    """Return the value of the template's `Architecture` that the engine runs without emulation."""
    return "x86_64" if client.info()["Architecture"] == "x86_64" else "arm64"


def image_name(architecture: str) -> str:
    """Return the name of Lambda's image, which SAM asks for."""
    return f"{_IMAGE}:{_PYTHON_VERSION}-{architecture}"


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
    architecture = processor(client)
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
        NoBridgeError: Containers do not reach the world.
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
        NoBridgeError: Containers do not reach the world.
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
    (ROOT / ".local").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sam-", dir=ROOT / ".local"))
    try:
        built = build_for_lambda(folder)
        with (
            subprocess.Popen(  # noqa: S603 (all of the command is ours)
                [*SAM, "local", *arguments, "--template", str(built / "template.yaml")],
                cwd=ROOT,
                env=_environment(folder),
                stdin=stdin,
                stdout=stdout,
                start_new_session=True,  # a signal reaches it from us alone, and once
            ) as process,
            _signals_to(process),
        ):
            yield process
    finally:
        _remove_containers(client, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    """Return SAM's environment, with no real access key: SAM hands its own to functions."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TMPDIR": str(folder),
        **sam_environment(folder),
    }


@contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have SIGINT and SIGTERM end the process as Ctrl-C does, or kill it if that takes too long."""

    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    killer = threading.Timer(_SECONDS_TO_END, send, (signal.SIGKILL,))
    killer.daemon = True

    def end(*_: Any) -> None:  # noqa: ANN401 (a signal handler's arguments)
        send(signal.SIGINT)
        if not killer.is_alive():
            killer.start()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        killer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_containers(client: docker.DockerClient, folder: Path) -> None:
    """Remove the containers that have something of a folder mounted."""
    for container in client.containers.list(all=True, ignore_removed=True):
        sources = (Path(mount.get("Source", "/")) for mount in container.attrs["Mounts"])
        if any(source.is_relative_to(folder) for source in sources):
            with suppress(NotFound, APIError):  # it may end by itself meanwhile
                container.remove(force=True)
