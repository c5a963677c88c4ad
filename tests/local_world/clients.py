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
def session() -> boto3.Session:
    """Return what all clients share, since it reads AWS's descriptions of services."""
    return boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)


def options(url: str, **configuration: Any) -> Any:  # noqa: ANN401 (options of any client)
    """Return the options of a client.

    Args:
        url: Of the emulator.
        configuration: Of botocore's.
    """
    return {"endpoint_url": url, "config": Config(proxies={}, **configuration)}
