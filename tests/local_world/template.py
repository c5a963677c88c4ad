"""template.yaml as SAM transforms it, and as CloudFormation then resolves it.

The emulator checks less than AWS does, so tests check the result of this module, too.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

from .aws_emulator import REGION, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Json = dict[str, Any]

ACCOUNT_ID = "000000000000"
#: Parameters that make as many conditions true as can be true together.
EVERYTHING = {
    "InfobipBaseUrl": "https://abc.api.infobip.com",
    "DeliveryReportWebhook": "enabled",
    "OutcomeEventBusName": "outcomes",
    "AlarmEmail": "ops@example.com",
}
_NOTHING = object()
_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


class _NoManagedPolicies:
    """SAM asks IAM for the policies that a template names without an ARN; ours names none."""

    def load(self) -> dict[str, str]:
        return {}


def read_template() -> Json:
    """Return a copy of template.yaml, untransformed, which the caller may change."""
    return copy.deepcopy(_written())


def messages_table() -> Json:
    """Return the arguments of `create_table` for a table like the template's, without a name."""
    properties = read_template()["Resources"]["MessagesTable"]["Properties"]
    parts = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
    return {part: properties[part] for part in parts}


@functools.cache
def _written() -> Json:
    written: Json = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    return written


def _unbuilt(name: str) -> Json:
    return {"Bucket": "code", "Key": name}


def transformed(
    parameters: Mapping[str, str], code_of: Callable[[str], Json] = _unbuilt
) -> dict[str, Any]:
    """Transform template.yaml with SAM's own library.

    Args:
        parameters: Values of template parameters; other parameters have their defaults.
        code_of: Returns bucket and key of the code of a function or layer, by its logical id.
    """
    # This takes half a second to import, and most who read the template do without.
    from samtranslator.translator.transform import transform  # noqa: PLC0415

    template = read_template()
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code_of(name)
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = code_of(name)
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)  # SAM's library reads it there
    done: Json = transform(template, dict(parameters), _NoManagedPolicies())
    return done


def resolved(
    template: Json, parameters: Mapping[str, str], stack_name: str = "omni"
) -> dict[str, Any]:
    """Resolve conditions, parameters and functions, as far as possible without resources.

    Resources whose condition is false are left out; references to resources stay unresolved.
    """
    values = {
        name: str(parameter["Default"])
        for name, parameter in template["Parameters"].items()
        if "Default" in parameter
    } | {
        **parameters,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }
    resolver = _Resolver(template, values)
    kept = {
        section: {
            name: {key: value for key, value in part.items() if key != "Condition"}
            for name, part in template[section].items()
            if resolver.holds(part.get("Condition"))
        }
        for section in ("Resources", "Outputs")
    }
    done: Json = resolver.resolve(kept)
    return done


class _Resolver:
    """CloudFormation's intrinsic functions, for the values of one deployment."""

    def __init__(self, template: Json, values: Mapping[str, str]) -> None:
        self._conditions: Json = template["Conditions"]
        self._values = values

    def holds(self, condition: str | None) -> bool:
        """Whether a condition, by its name, is true."""
        return condition is None or bool(self.resolve(self._conditions[condition]))

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 (any part of a template)
        """Resolve a part of the template."""
        if isinstance(value, list):
            return [found for one in value if (found := self.resolve(one)) is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            function = getattr(self, "_" + name.removeprefix("Fn::").lower(), None)
            if function is not None and (name.startswith("Fn::") or name in ("Ref", "Condition")):
                return function(argument)
        pairs = {name: self.resolve(one) for name, one in value.items()}
        return {name: one for name, one in pairs.items() if one is not _NOTHING}

    def _ref(self, name: str) -> Any:  # noqa: ANN401
        return _NOTHING if name == "AWS::NoValue" else self._values.get(name, {"Ref": name})

    def _condition(self, name: str) -> bool:
        return self.holds(name)

    def _if(self, argument: list[Any]) -> Any:  # noqa: ANN401
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition) else otherwise)

    def _equals(self, argument: list[Any]) -> bool:
        left, right = self.resolve(argument)
        return bool(left == right)

    def _not(self, argument: list[Any]) -> bool:
        return not self.resolve(argument)[0]

    def _or(self, argument: list[Any]) -> bool:
        return any(self.resolve(argument))

    def _sub(self, argument: Any) -> Any:  # noqa: ANN401
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {**self._values, **self.resolve(own)}

        def value(match: re.Match[str]) -> str:
            found = values.get(match[1])
            # An unresolved value may itself be an unresolved text.
            found = found.get("Fn::Sub") if isinstance(found, dict) else found
            return found if isinstance(found, str) else match[0]

        done = _PLACEHOLDER.sub(value, text)
        return {"Fn::Sub": done} if _PLACEHOLDER.search(done) else done


def _table_alone(bus_name: str = "") -> dict[str, Any]:
    """Return a template of the messages table alone, to import a table that was retained.

    Args:
        bus_name: The bus of the outcome events, for which the table has a stream; empty for none.
    """
    parameters = {"InfobipBaseUrl": "https://localhost", "OutcomeEventBusName": bus_name}
    table = resolved(transformed(parameters), parameters)["Resources"]["MessagesTable"]
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"MessagesTable": table}}


if __name__ == "__main__":
    json.dump(_table_alone(*sys.argv[1:]), sys.stdout, indent=2)
