"""Bodies for the tests of the API client, and the problems with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

Json = dict[str, Any]

PHONE = "41793026731"


def problems(model: type[BaseModel], body: object) -> list[tuple[str, str]]:
    """Return the field and the rule of each problem with *body*."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    details = caught.value.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in details]


def wire(model: BaseModel) -> object:
    """Return a model as the JSON that is sent."""
    return json.loads(model.model_dump_json(exclude_none=True))
