"""The page's server answers its own page only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request

from tests.local_world.page.refusals import answer_errors
from tests.local_world.page.safety import LARGEST_BODY, guard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.testing import FlaskClient

PHONE = "385915550001"
HOST = "127.0.0.1:8071"
TOKEN = "the token"  # noqa: S105 (of a test)
SENT_BY_PAGE = {
    "Host": HOST,
    "Origin": f"http://{HOST}",
    "Sec-Fetch-Site": "same-origin",
    "X-Page-Token": TOKEN,
    "Content-Type": "application/json",
}


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    app = Flask(__name__)
    guard(app, 8071, TOKEN)
    answer_errors(app)

    @app.post("/change/<phone>")
    def change(phone: str) -> dict[str, Any]:
        if phone == "fails":
            raise ValueError(f"{PHONE} is not there")
        return {"bytes": len(request.get_data())}

    @app.get("/")
    def look() -> dict[str, Any]:
        return {}

    return app.test_client()


def sent(
    client: FlaskClient,
    data: str = "{}",
    *,
    phone: str = PHONE,
    headers: Mapping[str, str | None] | None = None,
) -> Any:  # noqa: ANN401 (a response)
    given = {k: v for k, v in (SENT_BY_PAGE | dict(headers or {})).items() if v is not None}
    return client.post(f"/change/{phone}", headers=given, data=data)


def test_its_own_page_is_answered(client: FlaskClient) -> None:
    local = {"Host": "localhost:8071", "Origin": "http://localhost:8071"}

    assert sent(client).json == {"bytes": 2}
    assert sent(client, headers=local).status_code == 200


def test_program_that_is_no_browser_may_look(client: FlaskClient) -> None:
    """Such as a test that waits: it sends none of the browser's headers."""
    assert client.get("/", headers={"Host": HOST}).status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status", "error"),
    [
        ("Host", "evil.example", 421, "Host must be 127.0.0.1:8071 or localhost:8071"),
        ("Host", "127.0.0.1", 421, "Host must be 127.0.0.1:8071 or localhost:8071"),
        ("Host", "127.0.0.1:8072", 421, "Host must be 127.0.0.1:8071 or localhost:8071"),
        ("Origin", "https://evil.example", 403, "Origin must be this page's, or absent"),
        ("Origin", "null", 403, "Origin must be this page's, or absent"),
        ("Origin", "http://127.0.0.1:8070", 403, "Origin must be this page's, or absent"),
        ("Sec-Fetch-Site", "cross-site", 403, "Sec-Fetch-Site must be same-origin or none"),
        ("Sec-Fetch-Site", "same-site", 403, "Sec-Fetch-Site must be same-origin or none"),
        ("X-Page-Token", None, 403, "X-Page-Token must be the token of the open page"),
        ("X-Page-Token", "thé token", 403, "X-Page-Token must be the token of the open page"),
        ("Content-Type", None, 415, "Content-Type must be application/json"),
        ("Content-Type", "text/plain", 415, "Content-Type must be application/json"),
    ],
)
def test_other_page_is_refused(
    client: FlaskClient, header: str, value: str | None, status: int, error: str
) -> None:
    answer = sent(client, headers={header: value})

    assert answer.status_code == status
    assert answer.json["error"].startswith(error)


@pytest.mark.parametrize("header", ["Host", "Origin", "Sec-Fetch-Site"])
def test_other_page_cannot_even_look(client: FlaskClient, header: str) -> None:
    given = {"Host": HOST} | {header: "evil.example"}

    assert client.get("/", headers=given).status_code in {403, 421}


def test_large_body_is_refused(client: FlaskClient) -> None:
    assert sent(client, "x" * LARGEST_BODY).json == {"bytes": LARGEST_BODY}

    answer = sent(client, "x" * (LARGEST_BODY + 1))

    assert (answer.status_code, answer.json) == (413, {"error": "the body must not exceed 1 MiB"})


def test_unknown_path_and_method_are_answered_in_sentence(client: FlaskClient) -> None:
    """The path is not quoted, since it may hold a phone number."""
    given = {"Host": HOST}

    assert client.get(f"/{PHONE}", headers=given).json == {"error": "nothing is at this path"}
    assert client.get(f"/change/{PHONE}", headers=given).json == {
        "error": "this path does not take this method"
    }


def test_failure_of_server_quotes_no_address(client: FlaskClient) -> None:
    answer = sent(client, phone="fails")

    assert answer.status_code == 500
    assert answer.json["error"].startswith("the page's server failed: ValueError in change: try")


def test_browser_is_told_what_page_may_do(client: FlaskClient) -> None:
    """Refusals tell it, too."""
    for answer in (sent(client), sent(client, headers={"Host": "evil.example"})):
        headers = answer.headers
        policy = headers["Content-Security-Policy"]

        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
