"""How long AWS's services are waited for: a function has other things to do in its time."""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def client_config(**options: Any) -> Config:  # noqa: ANN401 (botocore's own options)
    """Write the configuration of a client that gives up within some 15 seconds.

    Args:
        options: What comes on top.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    return Config(connect_timeout=2, read_timeout=5, retries=retries, **options)


def error_code(error: BaseException) -> str:
    """Tell what kind of error AWS, the network or a library has met, by a name that quotes nothing.

    The text of an error is not fit for logs: that of a service may name accounts, roles and keys,
    and that of a library what it was called with.

    Args:
        error: An error of botocore, or one of Powertools, that stands for one.

    Returns:
        The service's code, like ``AccessDeniedException``; else the name of the error's class, and
        for an error that stands for another the name of that one's.
    """
    if isinstance(error, ClientError):
        code: str = error.response.get("Error", {}).get("Code", "unknown")
        return code
    inner = error.__cause__ or error.__context__
    if inner is None or isinstance(error, BotoCoreError):
        return type(error).__name__
    return error_code(inner)
