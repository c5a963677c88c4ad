"""Makes clients of the emulator; no proxy and no AWS account of the environment has a say in them.

boto3's own call stands where a client is made, `session().client("sqs", **options(url))`, since its
type follows from the service's name.
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
    """Return what all clients of a user share, since it reads AWS's descriptions of services.

    Args:
        access_key_id: By default that of the root user of the emulator's account.
        secret_access_key: With it.
        session_token: Of a role that was assumed; None for a user.
    """
    return boto3.Session(access_key_id, secret_access_key, session_token, REGION)


def options(url: str, **configuration: Any) -> Any:  # noqa: ANN401 (options of any client)
    """Return the options of a client.

    Args:
        url: Of the emulator.
        configuration: Of botocore's.
    """
    return {"endpoint_url": url, "config": Config(proxies={}, **configuration)}
