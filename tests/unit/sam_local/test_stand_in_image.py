"""How the image for SAM's functions is found, and when a stand-in replaces it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import docker
import pytest
import requests
from docker.errors import ImageNotFound

from tests.local_world.sam_local import PYTHON_VERSION, image_name
from tests.sam_local.stand_in_image import (
    ROOT,
    STAND_IN_LABEL,
    Kind,
    LambdaImage,
    NoLambdaImageError,
    Step,
    _made_from,
    _run,
    _started,
    lambda_image,
    mirror,
    next_step,
    obstacle,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "public.ecr.aws/lambda/python:3.13-x86_64"
STAND_IN = {STAND_IN_LABEL: "true", f"{STAND_IN_LABEL}.made-from": _made_from()}
OUTDATED = {STAND_IN_LABEL: "true", f"{STAND_IN_LABEL}.made-from": "something else"}


@dataclass
class Image:
    """The part of an image that is read."""

    labels: Mapping[str, str]


@dataclass
class Images:
    """The images of an engine."""

    labels: Mapping[str, str] | None

    def get(self, name: str) -> Image:
        """Return the image, whatever its name."""
        if self.labels is None:
            raise ImageNotFound(name)
        return Image(self.labels)


@dataclass
class Answer:
    """An engine's answer to a pull."""

    lines: list[dict[str, Any]]
    status_code: int = 200

    @property
    def ok(self) -> bool:
        return self.status_code == 200

    def iter_lines(self) -> Iterator[bytes]:
        """Return the progress messages."""
        return (json.dumps(line).encode() for line in self.lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class Api:
    """The pull API of an engine."""

    answer: Answer | Exception
    pulled: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"

    def post(self, url: str, params: Mapping[str, str], **limits: object) -> Answer:
        assert limits == {"stream": True, "timeout": 60}
        self.pulled.append((url, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Engine(docker.DockerClient):
    """A container engine in memory."""

    def __init__(
        self, labels: Mapping[str, str] | None, answer: Answer | Exception | None = None
    ) -> None:
        self.fake_images = Images(labels)
        self.api: Any = Api(answer or AssertionError("the engine must not pull"))

    @property
    def images(self) -> Any:  # noqa: ANN401 (intentionally not docker's own class)
        return self.fake_images


def test_image_name_is_the_one_sam_looks_for() -> None:
    """SAM derives the name from runtime and processor."""
    from samcli.local.docker.lambda_image import Runtime  # noqa: PLC0415 (takes a second)

    for processor in ("x86_64", "arm64"):
        tag = Runtime.get_image_name_tag(f"python{PYTHON_VERSION}", processor)
        assert image_name(processor) == f"public.ecr.aws/lambda/{tag}"


def test_python_of_the_image_is_that_of_the_functions() -> None:
    """The template sets it as the runtime of every function."""
    template = (ROOT / "template.yaml").read_text()
    assert f"Runtime: python{PYTHON_VERSION}" in template
    assert template.count("Runtime: ") == 1


@pytest.mark.parametrize("stand_in_allowed", [True, False])
@pytest.mark.parametrize("rebuild", [True, False])
def test_aws_image_is_used_unchanged(*, stand_in_allowed: bool, rebuild: bool) -> None:
    """It is never replaced, whatever the options."""
    assert (
        next_step(Kind.AWS, pull_failed=False, stand_in_allowed=stand_in_allowed, rebuild=rebuild)
        is Step.USE
    )


@pytest.mark.parametrize(
    ("there", "rebuild", "step"),
    [
        (Kind.STAND_IN, False, Step.USE),
        (Kind.STAND_IN, True, Step.MAKE),
        (Kind.OUTDATED_STAND_IN, False, Step.MAKE),
    ],
)
def test_stand_in_is_rebuilt_if_outdated_or_on_request(
    there: Kind, step: Step, *, rebuild: bool
) -> None:
    """Without permission to build a stand-in, the existing one is used."""
    allowed = next_step(there, pull_failed=False, stand_in_allowed=True, rebuild=rebuild)
    assert allowed is step
    forbidden = next_step(there, pull_failed=False, stand_in_allowed=False, rebuild=rebuild)
    assert forbidden is Step.USE


def test_missing_image_is_pulled_then_replaced_by_a_stand_in() -> None:
    """The stand-in needs permission; without it, the search ends."""
    assert next_step(None, pull_failed=False, stand_in_allowed=True) is Step.PULL
    assert next_step(None, pull_failed=False, stand_in_allowed=False) is Step.PULL
    assert next_step(None, pull_failed=True, stand_in_allowed=True) is Step.MAKE
    assert next_step(None, pull_failed=True, stand_in_allowed=False) is Step.GIVE_UP


@pytest.mark.parametrize(
    ("labels", "is_stand_in", "line"),
    [
        ({}, False, f"Using {NAME}, which is there."),
        (STAND_IN, True, f"Using the stand-in for {NAME}, which is there."),
        (OUTDATED, True, f"Using the stand-in for {NAME}, which is there."),
    ],
)
def test_existing_image_is_used_without_a_pull(
    labels: Mapping[str, str], line: str, *, is_stand_in: bool
) -> None:
    """The label says whether it is a stand-in, and one line reports it."""
    engine, said = Engine(labels), list[str]()
    image = lambda_image(engine, processor="x86_64", say=said.append)
    assert image == LambdaImage(NAME, is_stand_in)
    assert said == [line]
    assert not engine.api.pulled


def test_missing_image_is_pulled() -> None:
    """Only its own tag is requested."""
    engine, said = Engine(None, Answer([{"status": "Downloading"}])), list[str]()
    image = lambda_image(engine, processor="x86_64", say=said.append)
    assert image == LambdaImage(NAME, is_stand_in=False)
    assert said == [f"Pulling {NAME}."]
    [(url, params)] = engine.api.pulled
    assert url == "http+docker://localhost/v1.41/images/create"
    assert params == {"fromImage": "public.ecr.aws/lambda/python", "tag": "3.13-x86_64"}


def test_pull_shows_how_much_of_all_layers_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The lines are on standard error, since standard output holds the name of the image."""
    layers = [
        {
            "status": "Downloading",
            "id": name,
            "progressDetail": {"current": size, "total": 90_000_000},
        }
        for name, size in (("a", 10_000_000), ("b", 2_000_000), ("a", 30_500_000))
    ]
    engine = Engine(None, Answer([*layers, {"status": "Extracting", "id": "a"}]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.progress._LINE_SECONDS", 0.0)
        lambda_image(engine, processor="x86_64", say=lambda _: None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "Pulling: 10 MB\nPulling: 12 MB\nPulling: 32 MB\n"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer([{"message": "no such host"}], 500), "no such host"),
        (Answer([{"status": "Downloading"}, {"error": "unexpected EOF"}]), "unexpected EOF"),
        (Answer([], 502), "the engine answers 502"),
        (requests.ReadTimeout(), "the engine broke off, or said nothing for 60 s"),
    ],
)
def test_failed_pull_is_reported_with_its_reason(answer: Answer | Exception, why: str) -> None:
    """Without permission for a stand-in, a rejected, interrupted or silent pull is an error."""
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(Engine(None, answer), processor="x86_64", say=lambda _: None)
    assert str(error.value) == f"{NAME} is not there and could not be pulled: {why}"


def test_permitted_stand_in_follows_a_failed_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is reported in one line."""
    made: list[Kind | None] = []
    module = "tests.sam_local.stand_in_image"
    monkeypatch.setattr(f"{module}.obstacle", lambda **_: None)
    monkeypatch.setattr(f"{module}._make_alone", lambda *_, seen: made.append(seen))
    engine, said = Engine(None, Answer([{"message": "no such host"}], 500)), list[str]()
    image = lambda_image(engine, processor="x86_64", stand_in_allowed=True, say=said.append)
    assert image == LambdaImage(NAME, is_stand_in=True)
    assert made == [None]
    assert said == [
        f"Pulling {NAME}.",
        f"{NAME} could not be pulled: no such host",
        f"Making a stand-in for {NAME} out of Debian's packages: a minute or two.",
    ]


def test_error_says_why_no_stand_in_can_be_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names the failed pull and the obstacle."""
    monkeypatch.setattr(
        "tests.sam_local.stand_in_image.obstacle", lambda **_: "debootstrap is missing"
    )
    engine = Engine(None, Answer([{"message": "no such host"}], 500))
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(engine, processor="x86_64", stand_in_allowed=True, say=lambda _: None)
    assert str(error.value) == (
        f"{NAME} is not there and could not be pulled (no such host); debootstrap is missing."
    )
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(Engine(OUTDATED), processor="x86_64", stand_in_allowed=True)
    assert str(error.value) == f"{NAME} cannot be made anew; debootstrap is missing."


def test_stand_in_is_built_by_root_on_linux_for_its_own_processor() -> None:
    """The obstacle is named, with the command that installs missing tools."""
    tools = ("debootstrap", "unshare", "tar")
    here: dict[str, Any] = {
        "processor": "arm64",
        "system": "Linux",
        "machine": "aarch64",
        "is_root": True,
        "tools": tools,
    }
    assert obstacle(**here) is None
    assert obstacle(**here | {"system": "Darwin"}) == (
        "a stand-in is made on Linux alone, and this is Darwin"
    )
    assert obstacle(**here | {"machine": "x86_64"}) == (
        "a stand-in for arm64 cannot be made on x86_64"
    )
    assert obstacle(**here | {"tools": ("tar",)}) == (
        "a stand-in needs debootstrap and unshare; on Debian and Ubuntu: "
        "apt-get install debootstrap debian-archive-keyring util-linux tar"
    )
    assert obstacle(**here | {"is_root": False}) == (
        "a stand-in is made by root alone: run this with sudo"
    )


def test_packages_come_from_the_machines_own_mirror() -> None:
    """Mirrors of other distributions, of updates and of discs do not count."""
    listing = (
        "nodistro main https://else.example/\n"
        "bookworm-security main http://mirror.example/debian-security/\n"
        "bookworm contrib http://contrib.example/debian/\n"
        "bookworm main cdrom://disc/\n"
        "bookworm main http://mirror.example/debian/\n"
    )
    assert mirror(listing, "bookworm") == "http://mirror.example/debian"
    assert mirror(listing, "noble") is None
    assert mirror("", "") is None


def test_interrupted_command_leaves_no_process() -> None:
    """Its children are killed too, so the caller does not wait for them."""
    start = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), _started("sh", "-c", "sleep 60 & wait"):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30


def test_failed_command_is_reported_with_its_last_line() -> None:
    """That line of debootstrap or uv states the cause."""
    with pytest.raises(NoLambdaImageError, match=r"\Ash failed: no space left\Z"):
        _run("sh", "-c", "echo some; echo no space left >&2; exit 3")
    with pytest.raises(NoLambdaImageError, match=r"\Adebootstrap failed: it said nothing\Z"):
        _run("sh", "-c", "exit 3", what="debootstrap")
