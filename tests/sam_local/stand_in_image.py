"""Provides the image in which SAM runs the functions, or a stand-in if it is unavailable.

SAM runs functions in Lambda's image for Python (https://gallery.ecr.aws/lambda/python). If no
image registry can be reached, this module builds an image of the same name and tag from packages of
Debian and Python: Debian 13 with its Python 3.13, AWS's runtime client, AWS's emulator of the
runtime interface as shipped with SAM, and the paths and environment of the original. A label
distinguishes the two.

`python -m tests.sam_local.stand_in_image` provides the image and prints its name.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import hashlib
import importlib.resources
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import uv
from docker.errors import APIError, ImageNotFound

from tests.local_world import container_engine
from tests.local_world.locks import locked
from tests.local_world.sam_local import PYTHON_VERSION, architecture_of, image_name
from tests.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import docker

ROOT = Path(__file__).parents[2]
#: Has the value `true` on images that AWS did not build. SAM's images on top inherit it.
STAND_IN_LABEL = "infobip-omni.stand-in"
_MADE_FROM_LABEL = "infobip-omni.stand-in.made-from"
#: Linux's names for Lambda's processors.
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

#: The release of Debian that has the Python version of the functions.
_DEBIAN = "trixie"
_DEBIAN_PACKAGES = (f"python{PYTHON_VERSION}", "ca-certificates")
#: How many steps it takes to make a stand-in.
_STEPS = 3
_TOOLS = ("debootstrap", "unshare", "tar")
_NOT_NEEDED = (
    *("./debootstrap", "./dev/*", "./proc/*", "./sys/*", "./run/*", "./tmp/*"),
    *("./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*"),
    *(f"./usr/share/{folder}/*" for folder in ("doc", "info", "lintian", "locale", "man")),
)
_BOOTSTRAP = ROOT / "tests/local_world/lambda_bootstrap.py"
_RUNTIME_REQUIREMENTS = ROOT / "tests/runtime-requirements.txt"

#: After how many seconds a pull is given up: without a word from the engine, and in total.
_PULL_SILENCE, _PULL_LIMIT = 60, 900

_LIBRARIES = (
    *("/var/lang/lib", "/lib64", "/usr/lib64", "/var/runtime", "/var/runtime/lib"),
    *("/var/task", "/var/task/lib", "/opt/lib"),
)
# Environment, working folder and entry point are those of AWS's image.
_IMAGE_SETTINGS = (
    "ENV LANG=en_US.UTF-8",
    "ENV TZ=:/etc/localtime",
    "ENV PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    f"ENV LD_LIBRARY_PATH={':'.join(_LIBRARIES)}",
    "ENV LAMBDA_TASK_ROOT=/var/task",
    "ENV LAMBDA_RUNTIME_DIR=/var/runtime",
    "WORKDIR /var/task",
    'ENTRYPOINT ["/lambda-entrypoint.sh"]',
)
_ENTRY_POINT = """\
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "the handler's name must be the one argument" >&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
fi
exec /var/runtime/bootstrap
"""
_START = f"""\
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{PYTHON_VERSION}
exec /var/lang/bin/python{PYTHON_VERSION} /var/runtime/bootstrap.py /var/runtime /opt
"""


class NoLambdaImageError(RuntimeError):
    """No image to run functions in is available; the text says why, in one line."""


@dataclass(frozen=True)
class LambdaImage:
    """An image that the engine has."""

    name: str
    is_stand_in: bool


class Kind(enum.Enum):
    """The origin of an image that has Lambda's name."""

    AWS = enum.auto()
    STAND_IN = enum.auto()
    OUTDATED_STAND_IN = enum.auto()


class Step(enum.Enum):
    """The next step on the way to an image."""

    USE = enum.auto()
    PULL = enum.auto()
    MAKE = enum.auto()
    GIVE_UP = enum.auto()


def next_step(
    there: Kind | None, *, pull_failed: bool, stand_in_allowed: bool, rebuild: bool = False
) -> Step:
    """Return the next step, given the kind of image that the engine has.

    An image of AWS is used as it is, and never replaced.
    """
    if there is Kind.AWS:
        return Step.USE
    if there:
        again = rebuild or there is Kind.OUTDATED_STAND_IN
        return Step.MAKE if stand_in_allowed and again else Step.USE
    if not pull_failed:
        return Step.PULL
    return Step.MAKE if stand_in_allowed else Step.GIVE_UP


def obstacle(
    *, processor: str, system: str, machine: str, is_root: bool, tools: Collection[str]
) -> str | None:
    """Return why no stand-in can be built here, in one sentence, or None.

    Args:
        processor: The processor of the image.
        system: This machine's operating system, as `platform.system` names it.
        machine: Its processor, as `platform.machine` names it.
        is_root: Whether this process runs as root.
        tools: The required commands that are on the path.
    """
    if system != "Linux":
        return f"a stand-in is made on Linux alone, and this is {system}"
    if machine != _MACHINES[processor]:
        return f"a stand-in for {processor} cannot be made on {machine}"
    missing = [tool for tool in _TOOLS if tool not in tools]
    if missing:
        return (
            f"a stand-in needs {' and '.join(missing)}; on Debian and Ubuntu: "
            "apt-get install debootstrap debian-archive-keyring util-linux tar"
        )
    if not is_root:
        return "a stand-in is made by root alone: run this with sudo"
    return None


def mirror(index_targets: str, codename: str) -> str | None:
    """Return the URL of the Debian mirror that this machine uses, or None.

    Args:
        index_targets: The output of `apt-get indextargets`: release, component and URL per line.
        codename: This machine's release of Debian; empty on another system.
    """
    for line in index_targets.splitlines():
        release, component, address = line.split(" ", 2)
        over_http = address.startswith(("http://", "https://"))
        if (release, component) == (codename, "main") and over_http:
            return address.rstrip("/")
    return None


def lambda_image(
    engine: docker.DockerClient,
    *,
    processor: str,
    stand_in_allowed: bool = False,
    rebuild: bool = False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
) -> LambdaImage:
    """Return an image that the engine has: an existing one, a pulled one, or a stand-in.

    Args:
        engine: The engine that will run the functions.
        processor: `x86_64` or `arm64`.
        stand_in_allowed: Whether a stand-in may be built, which takes a minute or two.
        rebuild: Whether to rebuild an existing stand-in.
        say: Called with one line of progress for each step.

    Raises:
        NoLambdaImageError: No image exists, and none can be pulled or built.
    """
    name = image_name(processor)
    # Standard output holds the name of the image alone.
    progress = Progress(lines=sys.stderr, steps=_STEPS)
    failure = ""
    while True:
        there = _kind(engine, name)
        step = next_step(
            there, pull_failed=bool(failure), stand_in_allowed=stand_in_allowed, rebuild=rebuild
        )
        if step is Step.USE:
            is_stand_in = there is not Kind.AWS
            say(f"Using {'the stand-in for ' if is_stand_in else ''}{name}, which is there.")
            return LambdaImage(name, is_stand_in)
        if step is Step.GIVE_UP:
            raise NoLambdaImageError(f"{name} is not there and could not be pulled: {failure}")
        if step is Step.MAKE:
            _refuse_where_impossible(name, processor, failure)
            say(f"Making a stand-in for {name} out of Debian's packages: a minute or two.")
            _make_alone(engine, name, processor, progress, seen=there)
            return LambdaImage(name, is_stand_in=True)
        say(f"Pulling {name}.")
        failure = _pull(engine, name, progress) or ""
        if not failure:
            return LambdaImage(name, is_stand_in=False)
        say(f"{name} could not be pulled: {failure}")


def _kind(engine: docker.DockerClient, name: str) -> Kind | None:
    try:
        labels = engine.images.get(name).labels
    except ImageNotFound:
        return None
    if labels.get(STAND_IN_LABEL) != "true":
        return Kind.AWS
    return Kind.STAND_IN if labels.get(_MADE_FROM_LABEL) == _made_from() else Kind.OUTDATED_STAND_IN


def _made_from() -> str:
    """Return a digest of everything that determines the content of a stand-in."""
    digest = hashlib.sha256()
    for path in (Path(__file__), _BOOTSTRAP, _RUNTIME_REQUIREMENTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _pull(engine: docker.DockerClient, name: str, progress: Progress) -> str | None:
    """Pull an image, and return why that failed, or None.

    `images.pull` would wait forever in a network that drops packets. The image is public, so the
    pull needs no account.
    """
    api = engine.api
    repository, tag = name.rsplit(":", 1)
    deadline = time.monotonic() + _PULL_LIMIT
    try:
        with (
            api.post(
                f"{api.base_url}/v{api.api_version}/images/create",
                params={"fromImage": repository, "tag": tag},
                stream=True,
                timeout=_PULL_SILENCE,
            ) as response,
            progress.count("Pulling", "MB"),
        ):
            bytes_of_layers: dict[str, int] = {}
            for line in response.iter_lines():
                said = json.loads(line)
                if said.get("status") == "Downloading":
                    detail = said.get("progressDetail", {})
                    bytes_of_layers[said.get("id", "")] = detail.get("current", 0)
                    progress.update(sum(bytes_of_layers.values()) // 10**6)
                # A refused pull has a `message`, one that fails later an `error` in its progress.
                if why := said.get("error") or said.get("message"):
                    return str(why)
                if time.monotonic() > deadline:
                    return f"it takes more than {_PULL_LIMIT} s"
            return None if response.ok else f"the engine answers {response.status_code}"
    except requests.RequestException:
        return f"the engine broke off, or said nothing for {_PULL_SILENCE} s"


def _refuse_where_impossible(name: str, processor: str, failure: str) -> None:
    why = obstacle(
        processor=processor,
        system=platform.system(),
        machine=platform.machine(),
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
        tools=[tool for tool in _TOOLS if shutil.which(tool)],
    )
    if why:
        what = "is not there and could not be pulled" if failure else "cannot be made anew"
        reason = f" ({failure})" if failure else ""
        raise NoLambdaImageError(f"{name} {what}{reason}; {why}.")


def _make_alone(
    engine: docker.DockerClient, name: str, processor: str, progress: Progress, *, seen: Kind | None
) -> None:
    """Build the image, one process at a time, unless another process has just built it."""
    scratch = ROOT / ".local"
    with locked(scratch / "stand-in-image.lock"):
        if _kind(engine, name) is not seen:
            return
        # Folders left by runs that were killed.
        for stale in scratch.glob("stand-in-image-*/"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="stand-in-image-", dir=scratch) as folder:
            root = Path(folder, "root")
            root.mkdir()
            root.chmod(0o755)
            with progress.step("Install Debian"):
                _install_debian(root)
            with progress.step("Install Lambda's runtime"):
                _install_runtime(root, processor)
            with progress.step("Import the image"):
                _import(engine, root, name)


def _install_debian(root: Path) -> None:
    """Install Debian into a folder.

    A separate mount namespace removes debootstrap's mounts, and a process namespace its processes,
    however it ends. The folder is mounted at /mnt, because debootstrap does not support every path.
    """
    script = Path("/usr/share/debootstrap/scripts")
    # An old debootstrap has no script for this release; the one of sid installs it as well.
    scripts = [] if (script / _DEBIAN).exists() else [str(script / "sid")]
    _run(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-c", 'mount --bind -- "$1" /mnt && shift && exec "$@"', "sh", str(root)),
        *("debootstrap", "--variant=minbase", "--force-check-gpg"),
        f"--include={','.join(_DEBIAN_PACKAGES)}",
        *(_DEBIAN, "/mnt", _mirror_here() or "", *scripts),
        what="debootstrap",
    )


def _mirror_here() -> str | None:
    if not shutil.which("apt-get"):
        return None
    with contextlib.suppress(OSError):  # where os-release is missing
        release = platform.freedesktop_os_release()
        codename = release.get("VERSION_CODENAME", "") if release["ID"] == "debian" else ""
        listing = ("--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
        return mirror(_run("apt-get", "indextargets", *listing), codename)
    return None


def _install_runtime(root: Path, processor: str) -> None:
    """Install the parts of AWS's image other than its operating system.

    The runtime client is included, but not the SDK: the layer has its own, and functions must fail
    if a layer lacks it.
    """
    for folder in ("opt", "var/lang/bin", "var/runtime", "var/task", "usr/local/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3", f"python{PYTHON_VERSION}"):
        (root / "var/lang/bin" / name).symlink_to(f"/usr/bin/python{PYTHON_VERSION}")
    # A minimal Debian lacks this locale, of which only the encoding matters.
    (root / "usr/lib/locale/en_US.utf8").symlink_to("C.utf8")
    _run(
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--python-version", PYTHON_VERSION),
        *("--python-platform", f"{_MACHINES[processor]}-manylinux_2_28"),
        *("--target", str(root / "var/runtime"), "--requirements", str(_RUNTIME_REQUIREMENTS)),
    )
    emulator = importlib.resources.files("samcli.local") / f"rapid/aws-lambda-rie-{processor}"
    for path, content in (
        ("usr/local/bin/aws-lambda-rie", emulator.read_bytes()),
        ("lambda-entrypoint.sh", _ENTRY_POINT.encode()),
        ("var/runtime/bootstrap", _START.encode()),
        ("var/runtime/bootstrap.py", _BOOTSTRAP.read_bytes()),
    ):
        (root / path).write_bytes(content)
        (root / path).chmod(0o755)


def _import(engine: docker.DockerClient, root: Path, name: str) -> None:
    """Import a folder into the engine as an image, and tag the image once it is complete."""
    labels = f"LABEL {STAND_IN_LABEL}=true {_MADE_FROM_LABEL}={_made_from()}"
    excluded = [f"--exclude={pattern}" for pattern in _NOT_NEEDED]
    packing = ["tar", "--create", "--numeric-owner", "--anchored", *excluded, "-C", str(root), "."]
    with _started(*packing, errors=subprocess.DEVNULL) as tar:
        said = engine.api.import_image_from_stream(
            tar.stdout, changes=[*_IMAGE_SETTINGS, labels]
        ).splitlines()
    last = json.loads(said[-1])
    if tar.returncode or "status" not in last:
        raise NoLambdaImageError(f"The engine refused the image: {last.get('error', 'tar')}")
    image = engine.images.get(last["status"])
    previous = None
    with contextlib.suppress(ImageNotFound):
        previous = engine.images.get(name)
    image.tag(*name.rsplit(":", 1))
    if previous is not None:
        with contextlib.suppress(APIError):  # still in use by an image that SAM built on top
            engine.images.remove(str(previous.id))


def _run(*command: str, what: str = "") -> str:
    """Run a command, and return its output.

    Args:
        *command: The command, found on the path.
        what: Its name in errors, if that is not the first word.

    Raises:
        NoLambdaImageError: The command failed; the text has its last line of output.
    """
    with _started(*command) as process:
        output, _ = process.communicate()
    text = output.decode(errors="replace")
    if process.returncode:
        last = (text.strip().splitlines() or ["it said nothing"])[-1]
        raise NoLambdaImageError(f"{what or Path(command[0]).name} failed: {last}")
    return text


@contextlib.contextmanager
def _started(*command: str, errors: int = subprocess.STDOUT) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background; kill all of its processes if the block raises."""
    with subprocess.Popen(  # noqa: S603 (the commands of this module)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C reaches only this process, which then kills the command
    ) as process:
        try:
            yield process
        except BaseException:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # until the last of its processes has closed the pipe
            raise


def main() -> None:
    """Provide Lambda's image, and print its name."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sam_local.stand_in_image",
        description="Find or pull Lambda's image for Python, or build a stand-in for it.",
    )
    parser.add_argument("--processor", choices=sorted(_MACHINES), help="the engine's by default")
    parser.add_argument("--rebuild", action="store_true", help="rebuild an existing stand-in")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        client = container_engine.engine()
    except container_engine.NoEngineError as error:
        sys.exit(str(error))
    try:
        image = lambda_image(
            client,
            processor=arguments.processor or architecture_of(client),
            stand_in_allowed=True,
            rebuild=arguments.rebuild,
        )
    except NoLambdaImageError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.stdout.write(f"{image.name}\n")


if __name__ == "__main__":
    main()
