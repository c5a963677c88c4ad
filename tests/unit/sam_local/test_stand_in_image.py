"""How the image is found in which SAM runs the functions, and when it is a stand-in."""

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
from samcli.local.docker.lambda_image import Runtime

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
    """What is asked of an image."""

    labels: Mapping[str, str]


@dataclass
class Images:
    """The images of an engine."""

    labels: Mapping[str, str] | None

    def get(self, name: str) -> Image:
        """Return the image, of whatever name."""
        if self.labels is None:
            raise ImageNotFound(name)
        return Image(self.labels)


@dataclass
class Answer:
    """What an engine answers to a pull."""

    lines: list[dict[str, str]]
    status_code: int = 200

    @property
    def ok(self) -> bool:
        """Whether it is no refusal."""
        return self.status_code == 200

    def iter_lines(self) -> Iterator[bytes]:
        """Return what is said meanwhile."""
        return (json.dumps(line).encode() for line in self.lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class Api:
    """The part of an engine that pulls."""

    answer: Answer | Exception
    pulled: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"

    def post(self, url: str, params: Mapping[str, str], **limits: object) -> Answer:
        """Answer a pull."""
        assert limits == {"stream": True, "timeout": 60}
        self.pulled.append((url, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Engine(docker.DockerClient):
    """An engine in memory."""

    def __init__(
        self, labels: Mapping[str, str] | None, answer: Answer | Exception | None = None
    ) -> None:
        self.fake_images = Images(labels)
        self.api: Any = Api(answer or AssertionError("it was not to be asked"))

    @property
    def images(self) -> Any:  # noqa: ANN401 (not docker's own class, by intent)
        """The images it has."""
        return self.fake_images


def test_name_is_the_one_that_sam_looks_for() -> None:
    """SAM makes the name up from runtime and processor; ours is the same."""
    for processor in ("x86_64", "arm64"):
        tag = Runtime.get_image_name_tag(f"python{PYTHON_VERSION}", processor)
        assert image_name(processor) == f"public.ecr.aws/lambda/{tag}"


def test_python_is_that_of_the_functions() -> None:
    """The template names the Python of the image as the runtime of every function."""
    template = (ROOT / "template.yaml").read_text()
    assert f"Runtime: python{PYTHON_VERSION}" in template
    assert template.count("Runtime: ") == 1


@pytest.mark.parametrize("stand_in_allowed", [True, False])
@pytest.mark.parametrize("rebuild", [True, False])
def test_image_of_aws_is_used_as_it_is(*, stand_in_allowed: bool, rebuild: bool) -> None:
    """It is never replaced, whatever is asked for."""
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
def test_stand_in_is_made_anew_when_it_is_outdated_or_when_that_is_asked_for(
    there: Kind, step: Step, *, rebuild: bool
) -> None:
    """Without leave to make one, the one that is there is used."""
    allowed = next_step(there, pull_failed=False, stand_in_allowed=True, rebuild=rebuild)
    assert allowed is step
    forbidden = next_step(there, pull_failed=False, stand_in_allowed=False, rebuild=rebuild)
    assert forbidden is Step.USE


def test_what_is_not_there_is_pulled_then_made_then_given_up() -> None:
    """A stand-in comes after AWS's image, and only with leave."""
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
def test_image_that_is_there_is_used_without_asking_a_registry(
    labels: Mapping[str, str], line: str, *, is_stand_in: bool
) -> None:
    """The label tells whether it is a stand-in, and one line says so."""
    engine, said = Engine(labels), list[str]()
    image = lambda_image(engine, processor="x86_64", say=said.append)
    assert image == LambdaImage(NAME, is_stand_in)
    assert said == [line]
    assert not engine.api.pulled


def test_image_that_is_not_there_is_pulled() -> None:
    """The engine is asked for that tag alone."""
    engine, said = Engine(None, Answer([{"status": "Downloading"}])), list[str]()
    image = lambda_image(engine, processor="x86_64", say=said.append)
    assert image == LambdaImage(NAME, is_stand_in=False)
    assert said == [f"Pulling {NAME}."]
    [(url, params)] = engine.api.pulled
    assert url == "http+docker://localhost/v1.41/images/create"
    assert params == {"fromImage": "public.ecr.aws/lambda/python", "tag": "3.13-x86_64"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer([{"message": "no such host"}], 500), "no such host"),
        (Answer([{"status": "Downloading"}, {"error": "unexpected EOF"}]), "unexpected EOF"),
        (Answer([], 502), "the engine answers 502"),
        (requests.ReadTimeout(), "the engine broke off, or said nothing for 60 s"),
    ],
)
def test_pull_that_fails_is_told_with_its_reason(answer: Answer | Exception, why: str) -> None:
    """Refused, broken off or silent: without leave for a stand-in, it ends there."""
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(Engine(None, answer), processor="x86_64", say=lambda _: None)
    assert str(error.value) == f"{NAME} is not there and could not be pulled: {why}"


def test_with_leave_a_stand_in_follows_a_pull_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is said in one line."""
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


def test_where_no_stand_in_can_be_made_one_sentence_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It tells both what was tried and what is missing."""
    monkeypatch.setattr("tests.sam_local.stand_in_image.obstacle", lambda **_: "it rains")
    engine = Engine(None, Answer([{"message": "no such host"}], 500))
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(engine, processor="x86_64", stand_in_allowed=True, say=lambda _: None)
    assert str(error.value) == (
        f"{NAME} is not there and could not be pulled (no such host); it rains."
    )
    with pytest.raises(NoLambdaImageError) as error:
        lambda_image(Engine(OUTDATED), processor="x86_64", stand_in_allowed=True)
    assert str(error.value) == f"{NAME} cannot be made anew; it rains."


def test_stand_in_is_made_by_root_on_linux_for_its_own_processor() -> None:
    """Whatever is missing is named, with the command that installs it."""
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


def test_packages_come_from_where_this_machine_gets_its_own() -> None:
    """That is, from its mirror of Debian; no other's, nor one of updates or of a disc."""
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


def test_command_that_is_broken_off_leaves_no_process() -> None:
    """Its children are killed too: nobody waits until they are done."""
    start = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), _started("sh", "-c", "sleep 60 & wait"):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30


def test_command_that_fails_is_told_with_its_last_line() -> None:
    """That is where debootstrap and uv say what went wrong."""
    with pytest.raises(NoLambdaImageError, match=r"\Ash failed: no space left\Z"):
        _run("sh", "-c", "echo some; echo no space left >&2; exit 3")
    with pytest.raises(NoLambdaImageError, match=r"\Adebootstrap failed: it said nothing\Z"):
        _run("sh", "-c", "exit 3", what="debootstrap")
