"""The calls to Lambda's Runtime API, in place of the part of `awslambdaric` compiled for Linux.

`awslambdaric.lambda_runtime_client` imports a module of this name. This one is last on the path of
functions, so it is used only where the compiled one cannot be imported, such as on macOS.

The calls are those of the Runtime API
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
"""

from __future__ import annotations

import http.client
import os
from http import HTTPStatus

_INVOCATION = "/2018-06-01/runtime/invocation"
_HEADERS: dict[str, str | bytes] = {}


def initialize_client(user_agent: str) -> None:
    """Set the client's user agent."""
    _HEADERS["User-Agent"] = user_agent


def next() -> tuple[bytes, dict[str, str | int | None]]:  # noqa: A001 (its name in awslambdaric)
    """Wait for an invocation, and return its event, as JSON, and its headers.

    The deadline is a number, in milliseconds since 1970; a missing header is None.

    Raises:
        RuntimeError: The Runtime API did not return an invocation.
    """
    headers, event = _call("GET", "next")
    names = (
        "Lambda-Runtime-Aws-Request-Id",
        "Lambda-Runtime-Trace-Id",
        "Lambda-Runtime-Invoked-Function-Arn",
        "Lambda-Runtime-Client-Context",
        "Content-Type",
        "Lambda-Runtime-Cognito-Identity",
        "Lambda-Runtime-Aws-Tenant-Id",
        "Lambda-Runtime-Invocation-Id",
    )
    deadline = {"Lambda-Runtime-Deadline-Ms": int(headers["Lambda-Runtime-Deadline-Ms"] or 0)}
    return event, {name: headers[name] for name in names} | deadline


def post_invocation_result(
    invoke_id: str, result: bytes, content_type: str, invocation_id: str | None
) -> None:
    """Answer an invocation.

    Raises:
        RuntimeError: The Runtime API did not accept the answer, for instance because of its size.
    """
    headers = _optional(invocation_id) | {"Content-Type": content_type}
    _call("POST", f"{invoke_id}/response", result, headers)


def post_error(invoke_id: str, error: str, xray_fault: str, invocation_id: str | None) -> None:
    """Report that the handler failed: the error, and its cause for X-Ray, both as JSON.

    Raises:
        RuntimeError: The Runtime API did not accept the error.
    """
    headers: dict[str, str | bytes] = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Function-Error-Type": "Unhandled",
        # Bytes, since http.client would encode a string as Latin-1.
        "Lambda-Runtime-Function-Xray-Error-Cause": xray_fault.encode(),
    }
    _call("POST", f"{invoke_id}/error", error.encode(), _optional(invocation_id) | headers)


def _optional(invocation_id: str | None) -> dict[str, str | bytes]:
    return {} if invocation_id is None else {"Lambda-Runtime-Invocation-Id": invocation_id}


def _call(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str | bytes] | None = None
) -> tuple[http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        connection.request(method, f"{_INVOCATION}/{path}", body, _HEADERS | (headers or {}))
        response = connection.getresponse()
        content = response.read()
    except OSError as error:
        raise RuntimeError(f"the Runtime API does not answer: {error}") from error
    finally:
        connection.close()
    if response.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise RuntimeError(f"the Runtime API answered {response.status}")
    return response.headers, content
