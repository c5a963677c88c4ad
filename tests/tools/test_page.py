"""`make local` serves a page of its own, which outlives what goes wrong beside it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.local_world.__main__ import LOCAL_PORTS
from tests.local_world.aws_emulator import ROOT
from tests.local_world.page.server import page
from tests.local_world.running import running_world
from tests.local_world.world import STACK_NAME, World, wait_until

from .test_deployment import Local, local

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("alone")
EVENT = (ROOT / "events/send_message.json").read_text()
SCENARIO = json.loads((ROOT / "events/create_scenario.json").read_text())
SECONDS_TO_END = 10


class Page:
    """A browser of one page."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        found = re.search('name="page-token" content="([^"]+)"', self.get("").text)
        assert found is not None
        self._token = found[1]

    def get(self, path: str, **headers: str) -> requests.Response:
        return self._session.get(self.url + path, headers=headers, timeout=60)

    def posted(self, path: str, body: object) -> requests.Response:
        headers = {"X-Page-Token": self._token}
        return self._session.post(self.url + path, json=body, headers=headers, timeout=60)

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401 (JSON)
        answer = self.posted(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        with self._session.get(self.url + "api/events", stream=True, timeout=60) as stream:
            lines = stream.iter_lines(chunk_size=None, decode_unicode=True)
            yield (
                json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data")
            )


@pytest.fixture(scope="module")
def running() -> Iterator[Local]:
    """Keep one world running for this module, while another program has the page's port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # then another program has it already
            other.bind(("127.0.0.1", LOCAL_PORTS[2]))
            other.listen()
        with local() as started:
            yield started


def test_other_port_is_printed_if_that_of_page_is_taken(running: Local) -> None:
    """Commands in other terminals know the page, too."""
    port = urlsplit(running.page_url).port

    assert f"Port {LOCAL_PORTS[2]} is taken: the page listens on {port}." in running.said
    assert running_world()[0].page_url == running.page_url


def test_test_of_upstream_app_waits_for_outcome(running: Local) -> None:
    """The push fails, and the SMS arrives; a wait for something else ends as soon as it can."""
    browser = Page(running.page_url)
    browser.post("api/functions/create_scenario", SCENARIO)
    assert browser.post("api/check", {"text": EVENT})["ok"]
    assert browser.post("api/send", {"text": EVENT})["messageIds"] == ["parcel-1002"]
    wanted = "api/wait?messageId=parcel-1002&state=DELIVERED&seconds=60&channel="

    found = browser.get(f"{wanted}SMS")
    began = time.monotonic()
    refused = browser.get(f"{wanted}PUSH")

    assert found.json()["message"]["state"] == "DELIVERED"
    assert (refused.status_code, refused.json()) == (
        409,
        {"error": "parcel-1002 is DELIVERED by SMS, not DELIVERED by PUSH"},
    )
    assert time.monotonic() - began < 30


def test_second_world_has_page_of_its_own(running: Local) -> None:
    """It ends although browsers are connected, and prints nothing about them."""
    with local(errors=subprocess.PIPE) as other:
        assert other.page_url != running.page_url
        with Page(other.page_url).events() as events:
            assert next(events)["messages"] == []
            other.process.send_signal(signal.SIGINT)
            other.process.wait(SECONDS_TO_END)
        assert other.process.stderr is not None
        printed = other.process.stderr.read().splitlines()

    assert [line for line in printed if " ... done in " not in line] == []
    assert Page(running.page_url).get("").status_code == 200


def test_deleted_stack_is_problem_that_page_shows() -> None:
    """What needs the stack is refused in a sentence; a reset of the simulator is no problem."""
    deleted = "the stack, or a part of it, was deleted: stop `make local`, and start it again"
    with World() as world, page(world) as served:
        browser = Page(served.page_url)
        browser.post("api/functions/create_scenario", SCENARIO)
        browser.post("api/send", {"text": EVENT})
        with browser.events() as events:
            rows = (row for each in events for row in each["messages"])
            shown = next(row for row in rows if row["steps"] and row["state"])
            world.simulator.reset()
            # The table still has the message.
            reset = next(row for row in rows if not row["steps"])
            browser.post("api/schedules", {"every": "minute"})
            world.cloudformation.delete_stack(StackName=STACK_NAME)
            problem = next(each["problem"] for each in events if each["problem"])
        sent = browser.get("api/infobip")

        def refusal() -> Any:  # noqa: ANN401 (JSON)
            answer = browser.posted("api/functions/find_messages", {"unsettled": True})
            return answer.json() if answer.status_code == 503 else None

        refused = wait_until(refusal, 20, "the function is deleted")

    assert shown["phone"] == reset["phone"] == "385915550002"
    assert reset["state"] is not None
    assert problem == deleted
    assert sent.status_code == 200
    assert refused == {"error": deleted}
