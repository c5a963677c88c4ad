"""The page's server says in a sentence what it cannot do, whatever it is sent or finds."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit

import pytest

from tests.local_world.aws_emulator import free_port
from tests.local_world.page import sources
from tests.local_world.page.feed import Feed
from tests.local_world.page.server import serving
from tests.local_world.page.sources import Sources
from tests.local_world.running import RefusedError, RunningWorld
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.world import wait_until
from tests.unit.local_world.worlds import world_with

PHONE = "385915550001"


@pytest.fixture
def world() -> RunningWorld:
    """Return a local world that has ended, with a free port for its page."""
    return world_with(
        page_url=f"http://127.0.0.1:{free_port()}/",
        outputs={
            "MessagesTableName": "messages",
            "ScenarioParameterPrefix": "/s/",
            "SendQueueUrl": "http://127.0.0.1:1/a",
            "SendDeadLetterQueueUrl": "",
        },
        resources={"FindMessagesFunction": "find"},
    )


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")


def test_target_that_is_no_url_is_refused(
    world: RunningWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed: the target may hold a phone number."""
    with (
        serving(world),
        socket.create_connection(("127.0.0.1", urlsplit(world.page_url).port or 0), 10) as call,
    ):
        call.sendall(f"GET http://[{PHONE} HTTP/1.1\r\n\r\n".encode())
        answer = call.makefile().read()

    assert answer.startswith("HTTP/1.1 400 ")
    assert capfd.readouterr() == ("", "")


def test_port_that_was_taken_meanwhile_is_named(
    world: RunningWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another program may bind it after it was found free; no thread is left behind."""
    port = urlsplit(world.page_url).port or 0
    before = set(threading.enumerate())
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(RefusedError, match=rf"^the page cannot listen on port {port}: .*; start it"),
        serving(world),
    ):
        pass

    assert set(threading.enumerate()) <= before
    assert capfd.readouterr() == ("", "")


def test_source_that_fails_in_unknown_way_is_problem_and_recovers(
    world: RunningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem says where it failed, and quotes nothing."""
    monkeypatch.setattr(sources, "_SECONDS_AFTER_PROBLEM", 0.1)
    good = {"account": "1", "now": 0.0, "cursor": 0, "more": False, "messages": []}
    answers: list[object] = [good | {"messages": [{PHONE: PHONE}]}]
    monkeypatch.setattr(
        SimulatorControl, "changes", lambda *_: answers.pop() if answers else dict(good)
    )
    problems: list[str | None] = []
    feed = Feed()
    monkeypatch.setattr(
        feed,
        "set_problem",
        lambda source, problem: problems.append(problem) if source == "simulator" else None,
    )
    reading = Sources(world, feed)
    reading.start()
    try:
        wait_until(lambda: len(problems) > 1, 10, "the source is read again")
    finally:
        reading.stop()

    assert str(problems[0]).startswith("the page's server failed: KeyError in put_simulated: try")
    assert PHONE not in str(problems[0])
    assert problems[1] is None
