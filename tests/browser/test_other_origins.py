"""No other page that is open on this machine can read the page, or change anything through it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from .scene import Scene

_DOCUMENT = b"<!doctype html><title>Another page</title><p>Nothing to see."
_READ = "url => fetch(url).then(answer => answer.text(), error => error.name)"
_POST = """
([url, mode]) => fetch(`${url}api/infobip`, {
  method: "POST",
  mode,
  headers: {"Content-Type": mode === "cors" ? "application/json" : "text/plain"},
  body: JSON.stringify({switch: "no-credit", on: true}),
}).then(answer => answer.status, error => error.name)
"""
_SUBMIT = """
url => {
  const form = document.createElement("form");
  Object.assign(form, {action: `${url}api/infobip`, method: "POST", enctype: "text/plain"});
  const field = document.createElement("input");
  Object.assign(field, {name: '{"switch": "no-credit", "on": true, "ignored": "', value: '"}'});
  form.append(field);
  document.body.append(form);
  form.submit();
}
"""
_STREAM = """
url => new Promise((resolve) => {
  const events = new EventSource(`${url}api/events`);
  events.addEventListener("state", () => resolve("read"));
  events.onerror = () => resolve("refused");
})
"""
_SCRIPT = """
address => new Promise((resolve) => {
  const script = document.createElement("script");
  script.src = address;
  script.onload = () => resolve("run");
  script.onerror = () => resolve("refused");
  document.body.append(script);
})
"""


class _Other(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_DOCUMENT)))
        self.end_headers()
        self.wfile.write(_DOCUMENT)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _serving() -> Iterator[str]:
    """Serve a page from another port of this machine, which is another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    with _serving() as url:
        yield url


@pytest.fixture
def other(browser: Browser, other_url: str) -> Iterator[Page]:
    """Open a page of another origin in a browser."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(other_url)
    yield page
    context.close()


def credit_is_refused(scene: Scene) -> bool:
    """Whether someone has turned the switch "Out of credit" on."""
    return bool(scene.world.simulator.change_settings()["refuseAll"])


def test_other_origin_cannot_read_page(scene: Scene, other: Page) -> None:
    """So it does not learn the token that changes need."""
    assert other.evaluate(_READ, scene.url) == "TypeError"


@pytest.mark.parametrize("path", ["api/infobip", "api/compose", "api/wait?messageId=parcel-1"])
def test_other_origin_cannot_read_answer(scene: Scene, other: Page, path: str) -> None:
    assert other.evaluate(_READ, scene.url + path) == "TypeError"


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_other_origin_cannot_post(scene: Scene, other: Page, mode: str) -> None:
    other.evaluate(_POST, [scene.url, mode])

    assert not credit_is_refused(scene)


def test_other_origin_cannot_submit_form(scene: Scene, other: Page) -> None:
    """A form needs no permission of the other origin, so the server must refuse it."""
    with other.expect_response(lambda answer: answer.url.endswith("/api/infobip")) as answered:
        other.evaluate(_SUBMIT, scene.url)

    assert answered.value.status == 403
    assert not credit_is_refused(scene)


def test_other_origin_cannot_open_stream(scene: Scene, other: Page) -> None:
    assert other.evaluate(_STREAM, scene.url) == "refused"


def test_other_origin_cannot_run_script_of_page(scene: Scene, other: Page) -> None:
    assert other.evaluate(_SCRIPT, f"{scene.url}static/api.js") == "refused"


def test_other_origin_cannot_frame_page(scene: Scene, other: Page) -> None:
    other.evaluate(
        "url => new Promise((resolve) => {"
        "  const frame = document.createElement('iframe');"
        "  Object.assign(frame, {src: url, onload: resolve});"
        "  document.body.append(frame);"
        "})",
        scene.url,
    )

    for frame in other.frames[1:]:
        expect(frame.get_by_role("region", name="Phones")).to_have_count(0)


def test_name_that_leads_to_this_machine_does_not_open_page(scene: Scene, browser: Browser) -> None:
    """The owner of a name can let it lead here, where the browser takes it for one origin."""
    page = browser.new_page()

    answer = page.goto(scene.url.replace("127.0.0.1", "attacker.localhost"))

    assert answer is not None
    assert answer.status == 421
    page.close()
