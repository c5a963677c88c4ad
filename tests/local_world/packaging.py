"""Builds the layer and the zips of the functions for a deployment."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .aws_emulator import REGION, ROOT
from .locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


#: SAM's CLI; its script does not start in every folder.
SAM = (sys.executable, "-m", "samcli")
#: The build folder of `sam local`; that of `make build` is left alone.
_BUILT_FOR_LAMBDA = ROOT / ".aws-sam/sam-local"


def layer_environment(python: Path) -> dict[str, str]:
    """Return the variables that make `shared/Makefile` build the layer for an interpreter."""
    return {"LAYER_PYTHON": str(python), **_uv_environment()}


def sam_environment(directory: Path) -> dict[str, str]:
    """Return the variables with which sam finds our uv, and does not ask for a newer version.

    Args:
        directory: For sam's own files.
    """
    # sam asks once a week.
    checked = {"lastVersionCheck": time.time()}
    (directory / "metadata.json").write_text(json.dumps(checked))
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(directory),
        **_uv_environment(),
    }


def _uv_environment() -> dict[str, str]:
    """Return the Makefile's variable, for tests that run without make."""
    return {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache/uv"))}


def build_for_lambda(directory: Path) -> Path:
    """Run `sam build`, unless nothing has changed since the last one, and return a copy.

    Args:
        directory: For the copy, which consists of hard links, and for sam's own files.

    Raises:
        RuntimeError: The build failed; the text holds its output.
    """
    sources = [ROOT / "template.yaml", *_sources(ROOT / "functions"), *_sources(ROOT / "shared")]
    fingerprint = _fingerprint(sources)
    stamp = _BUILT_FOR_LAMBDA / "made-from"
    with locked(_BUILT_FOR_LAMBDA / "lock"):
        if not stamp.exists() or stamp.read_text() != fingerprint:
            stamp.unlink(missing_ok=True)
            command = [*SAM, "build", "--build-dir", str(_BUILT_FOR_LAMBDA / "build")]
            region = {"AWS_DEFAULT_REGION": REGION}
            run(command, os.environ | sam_environment(directory) | region)
            stamp.write_text(fingerprint)
        built = directory / "build"
        shutil.copytree(_BUILT_FOR_LAMBDA / "build", built, copy_function=os.link)
    return built


def layer(python: Path, scratch: Path) -> bytes:
    """Return the layer's zip, from the last build if nothing has changed since.

    Args:
        python: The interpreter of the functions.
        scratch: A directory for temporary files, on the file system of the project.
    """
    kept = ROOT / ".aws-sam/local-layer"
    interpreter = f"{python.resolve()} {python.stat().st_mtime_ns}"
    archive = kept / f"{_fingerprint(_sources(ROOT / 'shared'), interpreter)}.zip"
    # A local world with another interpreter may remove it as stale at any moment.
    with suppress(FileNotFoundError):
        return archive.read_bytes()
    with tempfile.TemporaryDirectory(dir=scratch) as built:
        uv = shutil.which("uv", path=Path(sys.executable).parent) or "uv"
        # Make expands variables on its command line, but not those in the environment.
        environment = layer_environment(python) | {"ARTIFACTS_DIR": built, "UV": uv}
        command = ["make", "-C", str(ROOT / "shared"), "build-InfobipOmniLayer"]
        run(command, os.environ | environment)
        content = zipped(Path(built))
    kept.mkdir(parents=True, exist_ok=True)
    fresh = scratch / "layer.zip"
    fresh.write_bytes(content)
    for stale in set(kept.glob("*.zip")) - {archive}:
        stale.unlink(missing_ok=True)
    fresh.rename(archive)
    return content


def _fingerprint(sources: Iterable[Path], also: str = "") -> str:
    digest = hashlib.sha256(also.encode())
    for path in sources:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.relative_to(directory).parts
    )


def zipped(directory: Path) -> bytes:
    """Return a zip of a directory, bytecode included, which the build put there on purpose."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(directory.rglob("*")):
            archive.write(path, path.relative_to(directory))
    return content.getvalue()


def with_replaced(archive: bytes, replaced: Mapping[str, bytes]) -> bytes:
    """Return a layer with other content for some files, given by their path in `shared/`."""
    if not replaced:
        return archive
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            path = Path(name)
            source = path.parent.parent / f"{path.name.partition('.')[0]}.py"
            stale = path.suffix == ".pyc" and str(source.relative_to("python")) in replaced
            if not stale and name.removeprefix("python/") not in replaced:
                new.writestr(name, old.read(name))
        for name, data in replaced.items():
            new.writestr(f"python/{name}", data)
    return content.getvalue()


def captured(
    command: list[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, and return its output and exit code."""
    return subprocess.run(  # noqa: S603 (all of the command is ours)
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command in the project's folder.

    Raises:
        RuntimeError: The command failed; the text holds its output.
    """
    done = captured(command, environment)
    if done.returncode:
        text = f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}"
        raise RuntimeError(text)
