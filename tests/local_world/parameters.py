"""Reads template parameters from a command line, and checks them by template.yaml's rules.

CloudFormation would refuse the same values; this refuses them before anything starts.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

import difflib
import re
import shlex
from typing import TYPE_CHECKING, Any

from .running import RefusedError
from .template import read_template, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Json = dict[str, Any]

#: The local world sets it to the simulator's address.
_OWN = "InfobipBaseUrl"


def read_parameters(text: str) -> dict[str, str]:
    """Read `Name=value Name=value`; a value with spaces needs quotes, as in a shell.

    Raises:
        RefusedError: A name is unknown, or a value breaks a rule; the text has the name and the
            rule.
    """
    template = read_template()
    try:
        words = shlex.split(text)
    except ValueError:
        raise RefusedError(f"PARAMETERS has a quote that is not closed: {text}") from None
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise RefusedError(f"PARAMETERS must be Name=value, separated by spaces, not {word}")
        if name in given:
            raise RefusedError(f"{name} is given twice in PARAMETERS")
        if name == _OWN:
            raise RefusedError(f"{_OWN} is the simulator's URL in `make local`: leave it out")
        if name not in template["Parameters"]:
            raise RefusedError(f"{name} is not a parameter of template.yaml{_hint(name, template)}")
        if rule := _broken_rule(template["Parameters"][name], value):
            raise RefusedError(f"{name} {rule}, not {value!r}")
        given[name] = value
    for rule in _broken_assertions(template, given):
        raise RefusedError(rule)
    return given


def parameter_needed(function: str) -> str | None:
    """Return the parameter, with a value, that a function needs to be deployed.

    Args:
        function: The function's logical id.

    Returns:
        Such as `DeliveryReportWebhook=enabled`; None for a function that is always deployed.
    """
    template = read_template()
    condition = template["Resources"][function].get("Condition")
    if condition is None:
        return None
    names = _references(template, template["Conditions"][condition])
    name = next(name for name in names if name in template["Parameters"])
    parameter = template["Parameters"][name]
    others = (each for each in parameter.get("AllowedValues", ()) if each != parameter["Default"])
    return f"{name}={next(others, 'outcomes')}"


def _hint(name: str, template: Json) -> str:
    names = [each for each in template["Parameters"] if each != _OWN]
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(names)}"


def _broken_rule(parameter: Json, value: str) -> str | None:
    """Return the rule of a parameter that a value breaks, or None."""
    allowed = parameter.get("AllowedValues")
    if allowed is not None and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if parameter["Type"] == "Number":
        return _broken_bound(parameter, value)
    longest = parameter.get("MaxLength", len(value))
    if len(value) > longest or not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        return f"must be {parameter['ConstraintDescription']}"
    return None


def _broken_bound(parameter: Json, value: str) -> str | None:
    # All are counts; CloudFormation would accept 1.5, and the service would then refuse it.
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        return "must be a whole number"
    if "MinValue" in parameter and int(value) < parameter["MinValue"]:
        return f"must be at least {parameter['MinValue']}"
    if "MaxValue" in parameter and int(value) > parameter["MaxValue"]:
        return f"must be at most {parameter['MaxValue']}"
    return None


def _broken_assertions(template: Json, given: Mapping[str, str]) -> Iterator[str]:
    """Yield the broken rules of the template that concern several parameters."""
    # `resolved` knows outputs, and rules are resolved in the same way.
    asked = template | {"Resources": {}, "Outputs": template["Rules"]}
    for rule in resolved(asked, given)["Outputs"].values():
        for assertion in rule["Assertions"]:
            if not assertion["Assert"]:
                yield str(assertion["AssertDescription"])


def _references(template: Json, part: object) -> Iterator[str]:
    """Yield the names that a part of the template refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("Ref"), str):
            yield part["Ref"]
        for each in part.values():
            yield from _references(template, each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(template, each)
