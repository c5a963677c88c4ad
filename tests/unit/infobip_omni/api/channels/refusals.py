"""The error for a content that breaks a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infobip_omni.events.errors import InvalidEventError, read_as

if TYPE_CHECKING:
    from pydantic import BaseModel


def refusal(model: type[BaseModel], content: Any) -> str:  # noqa: ANN401 (any JSON)
    """Return the field and the rule of the error for a content."""
    with pytest.raises(InvalidEventError) as caught:
        read_as(model, content)
    return str(caught.value)


def brief(value: object) -> str | None:
    """Return the id of a test's parameter, short for a long text."""
    if not isinstance(value, str) or len(value) < 20:
        return None
    return f"{len(value)} from {value[0]} to {value[-1]}"
