"""Denies permissions to deployed functions for a while, as an outage or a mistake would."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.local_world.clients import options, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_world.world import World


@contextmanager
def denied(world: World, function: str, *actions: str) -> Iterator[None]:
    """Deny actions to a function on every resource, for as long as the context lasts.

    Args:
        world: The deployment.
        function: The function's name in the template.
        actions: The denied actions, by their names in IAM.
    """
    iam = session().client("iam", **options(world.emulator.url))
    name = world.resources()[function]
    role = world.functions.get_function_configuration(FunctionName=name)["Role"]
    policy: Any = {"RoleName": role.rpartition("/")[2], "PolicyName": "denied"}
    statement = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    try:
        yield
    finally:
        iam.delete_role_policy(**policy)
