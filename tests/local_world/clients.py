"""Creates clients of the emulator, whatever proxy or AWS account the environment names.

Callers write boto3's own call, `session().client("sqs", **options(url))`, since type checkers
derive the client's type from it.
"""

from __future__ import annotations

import functools
from typing import Any

import boto3
from botocore.config import Config

from .aws_emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY


@functools.cache
def session(
    access_key_id: str = ACCESS_KEY_ID,
    secret_access_key: str = SECRET_ACCESS_KEY,
    session_token: str | None = None,
) -> boto3.Session:
    """Return the session that all clients of a user share; it reads the models of services.

    Args:
        access_key_id: By default that of the root user of the emulator's account.
        secret_access_key: The secret of that key.
        session_token: Of an assumed role; None for a user.
    """
    return boto3.Session(access_key_id, secret_access_key, session_token, REGION)


def options(url: str, **configuration: Any) -> Any:  # noqa: ANN401 (options of any client)
    """Return the options of a client.

    Args:
        url: Of the emulator.
        configuration: Options of botocore's `Config`.
    """
    return {"endpoint_url": url, "config": Config(proxies={}, **configuration)}
