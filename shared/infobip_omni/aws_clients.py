"""How long AWS's services are waited for: a function has other things to do in its time."""

from __future__ import annotations

from typing import Any

from botocore.config import Config


def client_config(**options: Any) -> Config:  # noqa: ANN401 (botocore's own options)
    """Write the configuration of a client that gives up within some 15 seconds.

    Args:
        options: What comes on top.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    return Config(connect_timeout=2, read_timeout=5, retries=retries, **options)
