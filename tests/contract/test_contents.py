"""The simulator and our models read the contents of the channels alike, but share no code.

Our models are the stricter ones: they refuse members that they do not know, and limit all texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from infobip_omni.api.channels import CONTENT_MEMBERS, CONTENT_MODELS
from tests.local_world.infobip_simulator.checks import send_problems
from tests.unit.local_world.documented_contents import DOCUMENTED

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
MODELS = {member: CONTENT_MODELS[channel] for channel, member in CONTENT_MEMBERS.items()}


def is_valid(member: str, content: Json) -> bool:
    """Whether our model accepts content."""
    try:
        MODELS[member].model_validate(content)
    except ValidationError:
        return False
    return True


def variants(value: Any) -> Iterator[Any]:  # noqa: ANN401 (JSON)
    """Yield a value with one of its members or entries absent, empty, or of another type."""
    if not isinstance(value, dict | list):
        return
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        for replacement in (None, "", [], 7, *variants(child)):
            changed = value.copy()
            changed[key] = replacement
            yield changed


@pytest.mark.parametrize(("member", "content"), DOCUMENTED)
def test_simulator_accepts_what_our_models_accept(member: str, content: Json) -> None:
    """Also after a change, and together with other content of the channel."""
    others = [other for name, other in DOCUMENTED if name == member]
    destinations = [{"to": {"phoneNumber": "385915551234"}}]

    tried = [content, *variants(content), *(content | other for other in others)]

    refused = [
        (each, found)
        for each in tried
        if is_valid(member, each)
        and (found := list(send_problems({"destinations": destinations, member: each}, 0)))
    ]
    assert refused == []


def test_our_models_accept_documented_content() -> None:
    """Except for unknown members, which the simulator ignores, and a button without a type."""
    refused = [content for member, content in DOCUMENTED if not is_valid(member, content)]

    assert refused == [
        {"text": "x", "tomorrow": {}, "language": None},
        {"text": "x", "buttons": [{"buttonText": "b"}]},
    ]
