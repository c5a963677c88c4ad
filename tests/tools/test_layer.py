"""The layer holds what the functions import, in the tests' versions, and no more of AWS's SDK.

For Lambda it serves both of its processors; for this machine, the interpreter of functions alone.
"""

from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from struct import unpack_from

import pytest

from tests.local_world.aws_emulator import FUNCTIONS_PYTHON, ROOT

#: Lambda takes 250 MB, unzipped and with a function's code
#: (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html); the layer has 31.
SMALL_LAYER_BYTES = 40 * 1024 * 1024
#: Which processors a library may be for, as its name and as the header of its file tell: e_machine
#: of the ELF format (https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html).
E_MACHINES = {"aarch64": 183, "x86_64": 62}
#: What a path may hold without being special to the tests' own PYTHONPATH.
ODD_NAME = 'it\'s a "path" of $HOME, `pwd` & ünïcode; #1'
UV = shutil.which("uv", path=Path(sys.executable).parent) or "uv"


def build(artifacts: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the layer as `sam build` does: for Lambda, unless the variables tell a LAYER_PYTHON."""
    inherited = {name: each for name, each in os.environ.items() if name != "LAYER_PYTHON"}
    make = shutil.which("make") or "make"
    return subprocess.run(  # noqa: S603 (all of the command is ours)
        [make, "-C", str(ROOT / "shared"), "build-InfobipOmniLayer"],
        env=inherited | {"ARTIFACTS_DIR": str(artifacts), "UV": UV} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def built(artifacts: Path, **environment: str) -> Path:
    """Build the layer, and return its folder of packages."""
    done = build(artifacts, **environment)
    assert done.returncode == 0, done.stderr
    return artifacts / "python"


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the layer for this machine, and return its folder of packages."""
    return built(tmp_path_factory.mktemp("layer"), LAYER_PYTHON=str(FUNCTIONS_PYTHON))


def runs(python: str) -> bool:
    """Whether an interpreter starts."""
    done = subprocess.run([python, "--version"], capture_output=True, check=False)  # noqa: S603 (ours)
    return done.returncode == 0


@pytest.fixture(scope="module")
def python_of_lambda() -> Path:
    """Find a Python of the version that Lambda runs the functions on."""
    installed = Path.home().glob(".pyenv/versions/3.13*/bin/python3.13")
    for python in (shutil.which("python3.13"), *installed):
        # Where pyenv has no such version switched on, what it has on the path fails.
        if python and runs(str(python)):
            return Path(python)
    pytest.skip("no Python 3.13 here")


@pytest.fixture(scope="module")
def lambda_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the layer for Lambda, and return its folder of packages."""
    return built(tmp_path_factory.mktemp("lambda-layer"))


def libraries(packages: Path, processor: str) -> set[str]:
    """Name the compiled modules that a layer holds for a processor, without what tells of it."""
    ending = f".cpython-313-{processor}-linux-gnu.so"
    return {
        str(path.relative_to(packages)).removesuffix(ending)
        for path in packages.rglob(f"*{ending}")
    }


def closed_port() -> int:
    """Return a port of this machine that is not in use."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def run(layer: Path, script: str) -> str:
    """Run a script on the interpreter of functions, with the layer on its path."""
    done = subprocess.run(  # noqa: S603 (all of the command is ours)
        [str(FUNCTIONS_PYTHON), "-PBc", script],
        env={"PYTHONPATH": str(layer), "AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def services() -> set[str]:
    """Return the services that our code makes clients of."""
    return {
        str(ast.literal_eval(node.args[0]))
        for folder in ("shared/infobip_omni", "functions")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "boto3.client"
    }


def test_every_client_that_our_code_makes_can_be_made_from_the_layer(layer: Path) -> None:
    """What the layer leaves out of botocore is needed by nothing."""
    script = f"""
import boto3
for service in {services()}:
    boto3.client(service, aws_access_key_id="a", aws_secret_access_key="b")
print(boto3.__file__)
"""

    assert run(layer, script).strip() == str(layer / "boto3/__init__.py")


def test_layer_describes_no_other_service(layer: Path) -> None:
    """A service that is used no more is to go from shared/Makefile as well."""
    script = "import boto3; print(*boto3.Session().get_available_services())"

    assert set(run(layer, script).split()) == services()


def test_layer_brings_the_versions_that_the_tests_run_with(layer: Path) -> None:
    """Of every package, boto3 included, which Lambda's runtime has in a version of its own."""
    here = {each.name: each.version for each in metadata.distributions(path=[str(layer)])}
    assert {"boto3", "botocore", "pydantic", "requests"} <= here.keys()
    assert {name: metadata.version(name) for name in here} == here


def test_layer_is_small(lambda_layer: Path) -> None:
    """Far below what Lambda takes: size costs time whenever an environment starts."""
    size = sum(path.stat().st_size for path in lambda_layer.rglob("*") if path.is_file())

    assert size < SMALL_LAYER_BYTES


# --- Both processors ---------------------------------------------------------------------------


def test_every_compiled_module_is_there_for_both_processors(lambda_layer: Path) -> None:
    """Python looks for the name of its own processor, and for no other."""
    for_arm64, for_x86_64 = (libraries(lambda_layer, processor) for processor in E_MACHINES)

    assert "pydantic_core/_pydantic_core" in for_arm64
    assert for_arm64 == for_x86_64
    assert len([*lambda_layer.rglob("*.so*")]) == len(for_arm64) + len(for_x86_64)


@pytest.mark.parametrize("processor", E_MACHINES)
def test_library_is_for_the_processor_that_its_name_tells(
    lambda_layer: Path, processor: str
) -> None:
    """The header of each file says so; 64 bits, least significant byte first."""
    for path in lambda_layer.rglob(f"*-{processor}-*.so"):
        header = path.read_bytes()[:20]
        assert header[:6] == b"\x7fELF\x02\x01"
        assert unpack_from("<H", header, 18) == (E_MACHINES[processor],)


@pytest.mark.parametrize("processor", E_MACHINES)
def test_processor_finds_each_file_of_its_own_wheels(
    lambda_layer: Path, processor: str, tmp_path: Path
) -> None:
    """File by file, as if the layer were for it alone; libraries of the other one come on top."""
    subprocess.run(  # noqa: S603 (all of the command is ours)
        [
            *(UV, "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--target", str(tmp_path), "--python-version", "3.13"),
            *("--python-platform", f"{processor}-manylinux_2_28"),
            *("-r", str(ROOT / "shared/requirements.txt")),
        ],
        check=True,
    )
    ours = {"infobip_omni"}
    wheel_s_own = ("RECORD", "WHEEL", "sboms")  # of one wheel; nothing reads them there
    left_out = ("bin", ".lock", "botocore/data")

    missing = [
        name
        for path in tmp_path.rglob("*")
        if path.is_file()
        and not (name := str(path.relative_to(tmp_path))).startswith(left_out)
        and not (".dist-info/" in name and name.split("/")[1] in wheel_s_own)
        and (lambda_layer / name).read_bytes() != path.read_bytes()
    ]
    folders = {path.name for path in lambda_layer.iterdir()} - ours

    assert missing == []
    assert folders == {path.name for path in tmp_path.iterdir()} - set(left_out)


def test_our_package_can_be_imported_from_the_layer_for_lambda(
    lambda_layer: Path, python_of_lambda: Path
) -> None:
    """On the Python of Lambda, with this machine's processor, and nothing but the layer."""
    script = """
import importlib, pkgutil, sys
import infobip_omni
for module in pkgutil.walk_packages(infobip_omni.__path__, "infobip_omni."):
    importlib.import_module(module.name)
from charset_normalizer import md
print(sys.modules["pydantic_core._pydantic_core"].__file__, md.__file__)
"""
    done = subprocess.run(  # noqa: S603 (all of the command is ours)
        [str(python_of_lambda), "-PSBc", script],
        env={"PYTHONPATH": str(lambda_layer), "AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert all(path.startswith(str(lambda_layer)) for path in done.stdout.split())


def test_bytecode_serves_both_processors(python_of_lambda: Path, tmp_path: Path) -> None:
    """Where the Python of Lambda is at hand, each module is compiled, and once."""
    path = os.pathsep.join([str(python_of_lambda.parent), os.environ["PATH"]])

    packages = built(tmp_path, PATH=path)

    sources = {each.relative_to(packages) for each in packages.rglob("*.py")}
    compiled = {each.relative_to(packages) for each in packages.rglob("*.pyc")}
    assert {
        each.parent / "__pycache__" / f"{each.stem}.cpython-313.pyc" for each in sources
    } == compiled
    assert (
        sum(each.stat().st_size for each in packages.rglob("*") if each.is_file())
        < SMALL_LAYER_BYTES
    )


def test_wheels_that_one_layer_cannot_hold_are_refused(tmp_path: Path) -> None:
    """A library whose name tells no processor would take the place of the other one."""
    uv = tmp_path / "uv"
    uv.write_text(
        """#!/bin/sh
for argument; do
    case $previous in --target) target=$argument;; --python-platform) platform=$argument;; esac
    previous=$argument
done
mkdir -p "$target/package"
echo "$platform" > "$target/package/library.abi3.so"
"""
    )
    uv.chmod(0o755)

    done = build(tmp_path / "layer", UV=str(uv))

    assert done.returncode != 0
    assert "One layer cannot serve arm64 and x86_64" in done.stderr
    assert "package/library.abi3.so" in done.stderr


# --- Any machine -------------------------------------------------------------------------------


def test_paths_may_hold_any_character(tmp_path: Path) -> None:
    """Of the layer, of uv and of the interpreter."""
    odd = tmp_path / ODD_NAME
    odd.mkdir()
    (odd / "uv").symlink_to(UV)
    (odd / "python").symlink_to(FUNCTIONS_PYTHON.resolve())

    packages = built(odd / "layer", UV=str(odd / "uv"), LAYER_PYTHON=str(odd / "python"))

    assert (packages / "infobip_omni/__init__.py").exists()
    assert [*packages.rglob("_pydantic_core.*.so")]
    assert [*packages.rglob("*.pyc")]


def test_nothing_in_the_layer_names_the_machine_that_built_it(layer: Path) -> None:
    """Else the same release, built elsewhere, would be another one to Lambda."""
    paths = [str(ROOT), str(layer.parent)]
    texts = [path.read_bytes() for path in layer.rglob("*") if path.is_file()]

    assert not [path for path in paths if any(path.encode() in text for text in texts)]


def test_without_uv_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    """One sentence, and no layer."""
    done = build(tmp_path / "layer", UV="", PATH=str(tmp_path))

    assert done.returncode != 0
    [sentence, _] = done.stderr.splitlines()  # make adds that it has failed
    assert sentence.startswith("uv, which installs the packages of the layer, is not on the path:")
    assert "'pip install uv'" in sentence
    assert not (tmp_path / "layer").exists()


@pytest.mark.usefixtures("layer", "lambda_layer")
@pytest.mark.parametrize("python", [{"LAYER_PYTHON": str(FUNCTIONS_PYTHON)}, {}])
def test_what_was_built_once_can_be_built_without_a_network(
    python: dict[str, str], tmp_path: Path
) -> None:
    """From uv's cache, for this machine and for Lambda: every way out leads to a closed port."""
    proxy = f"http://127.0.0.1:{closed_port()}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    without_network = dict.fromkeys(names, proxy) | {"NO_PROXY": "", "no_proxy": ""}

    packages = built(tmp_path, **python, **without_network)

    assert metadata.version("pydantic") == next(
        each.version
        for each in metadata.distributions(path=[str(packages)])
        if each.name == "pydantic"
    )


def test_first_build_without_an_index_fails_with_what_uv_says(tmp_path: Path) -> None:
    """Which names the address that did not answer."""
    index = f"http://127.0.0.1:{closed_port()}/simple"

    done = build(
        tmp_path / "layer",
        UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_DEFAULT_INDEX=index,
        UV_HTTP_RETRIES="0",
        NO_PROXY="127.0.0.1",
    )

    assert done.returncode != 0
    assert index in done.stderr
    assert "network was disabled" not in done.stderr
