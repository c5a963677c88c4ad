"""What SAM's runner is told of the local world."""

from __future__ import annotations

import json

from tests.local_world.sam_local import environment_text


def test_a_function_in_a_container_gets_urls_that_it_can_reach() -> None:
    """Wherever a URL of this machine stands in a value, the host's name in a container does."""
    variables = {"SendMessageFunction": {"SEND_QUEUE_URL": "http://127.0.0.1:4566/000000000000/q"}}
    there = "http://host.docker.internal:4566"

    text = environment_text(variables, {"http://127.0.0.1:4566": there}, there)

    assert json.loads(text)["SendMessageFunction"] == {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": there,
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SEND_QUEUE_URL": f"{there}/000000000000/q",
    }
