"""The layer holds what the functions import, in the tests' versions, and no more of AWS's SDK."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.local_world.aws_emulator import FUNCTIONS_PYTHON, ROOT

#: Lambda takes 250 MB, unzipped and with a function's code
#: (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html); the layer has 28.
SMALL_LAYER_BYTES = 35 * 1024 * 1024


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the layer for this machine, and return its folder of packages."""
    built = tmp_path_factory.mktemp("layer")
    uv = shutil.which("uv", path=Path(sys.executable).parent) or "uv"
    wheels = {
        "LAYER_PYTHON": str(FUNCTIONS_PYTHON),
        "LAYER_WHEELS": f"--python {FUNCTIONS_PYTHON}",
    }
    subprocess.run(  # noqa: S603 (all of the command is ours)
        [
            *("make", "-C", str(ROOT / "shared"), "build-InfobipOmniLayer"),
            *(f"ARTIFACTS_DIR={built}", f"UV={uv}"),
        ],
        env=os.environ | wheels,
        capture_output=True,
        check=True,
    )
    return built / "python"


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


def test_the_layer_describes_no_other_service(layer: Path) -> None:
    """A service that is used no more is to go from shared/Makefile as well."""
    script = "import boto3; print(*boto3.Session().get_available_services())"

    assert set(run(layer, script).split()) == services()


def test_the_layer_brings_the_versions_that_the_tests_run_with(layer: Path) -> None:
    """Of every package, boto3 included, which Lambda's runtime has in a version of its own."""
    here = {each.name: each.version for each in metadata.distributions(path=[str(layer)])}
    assert {"boto3", "botocore", "pydantic", "requests"} <= here.keys()
    assert {name: metadata.version(name) for name in here} == here


def test_the_layer_is_small(layer: Path) -> None:
    """Far below what Lambda takes: size costs time whenever an environment starts."""
    size = sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())

    assert size < SMALL_LAYER_BYTES
