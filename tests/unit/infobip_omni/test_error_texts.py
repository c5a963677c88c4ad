"""No error text quotes a value: Lambda logs and traces the text of an uncaught error."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SOURCES = sorted([*ROOT.glob("shared/**/*.py"), *ROOT.glob("functions/**/*.py")])
CANARY = "385991234567"

#: The expressions that the texts of errors may contain, by the reason why they are harmless.
HARMLESS = {
    "a text or number of the program's own": {
        "', '.join(QUERIES)",
        "', '.join(_COMMANDS)",
        "DEEPEST_NESTING",
        "LARGEST_EVENT_BYTES",
        "__init__.py: name",  # of an attribute
        "line.py: self.type",  # one of an enumeration
        "shapes.py: given[0]",  # the name of a member
        "shapes.py: to_camel(given)",
        "variants.py: words",  # an enumeration
        "LONGEST_BULK_ID",
        "LONGEST_PUSH",
        "LONGEST_SEND_DELAY.days",
        "MOST_KEYS",
        "MOST_PARTS",
        "SHORTEST_KEY",
        "_FORMS",
        "_LARGEST_ENTRY",
        "_LONGEST_SLUG",
        "channel",
        "failure",  # from callers of `attempt`, which are checked as well
        "cls.longest_validity.days",
        "cls.shortest_validity.seconds",
        "longest",
        "member",
        "names",
        "parts",
        "shapes",
        "reason",
        "error.member",  # in create_scenario, from the registry's error
        "error.rule",
        "rule",
        "state",
        "' + '.join(held) or 'none of them'",  # names of members
    },
    "a count": {"count", "failed", "len(by_key)", "len(updates)", "len(left)"},
    "the name of a field, with numbers left out where a caller has chosen it": {
        "field_name((*at, *problem['loc']))",
        "field",
        "identifier",  # of an envelope
    },
    "a rule of ours, with limits and names of ours": {"_rule(problem)"},
    "the name of an SSM parameter": {
        "parameter",
        "self._name",
        "self.parameter(entry.name)",
        "task.parameter",
    },
    "the class of an error, or a service's code for it": {
        "' <- '.join(_causes(error))",
        "_kind(error)",
        "code",
        "error_code(error)",
        "type(error).__name__",
    },
    "not part of the text, or Infobip's status and its id for an error": {
        "error_id",
        "path",  # of an InvalidJsonError
        "()",
        "error.error_id",
        "error.text",
        "response.status_code",
        "status",
        "text",
        "_retry_after(headers.get('Retry-After'))",
        "'Infobip limits the rate' if limited else 'Infobip refuses the credentials'",
    },
    "Infobip's rules, reduced to words that are no values": {
        "': '.join(filter(None, named))",
        "violations",
        "error.violations",
    },
    "the rule that a parameter breaks, as its parser names it": {
        "parameters.py: error",
        "scenario_registry.py: error",
    },
}


def sources_of(text: ast.expr) -> Iterator[str]:
    """Return the expressions that a text is built from."""
    if isinstance(text, ast.JoinedStr):
        for part in text.values:
            if isinstance(part, ast.FormattedValue):
                yield ast.unparse(part.value)
    elif isinstance(text, ast.Dict):
        yield from (source for value in text.values for source in sources_of(value))
    elif not isinstance(text, ast.Constant):
        yield ast.unparse(text)


def error_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Return the calls that create an error, by its class or a name for the class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            yield from calls(node, r"cls|super\(\).__init__")
    yield from calls(tree, r"kind|(\w+\.)*\w+Error")


def calls(tree: ast.AST, names: str) -> Iterator[ast.Call]:
    """Return the calls of all names that match a pattern."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and re.fullmatch(names, ast.unparse(call.func)):
            yield call


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_error_texts_contain_only_harmless_expressions(path: Path) -> None:
    """Review any new expression in an error's text before you add it to `HARMLESS`."""
    tree = ast.parse(path.read_text())
    texts = [
        text
        for call in error_calls(tree)
        for text in [*call.args, *(keyword.value for keyword in call.keywords)]
    ]
    # The third argument of `attempt` is the beginning of the error's text.
    texts += [call.args[2] for call in calls(tree, "attempt")]
    found = {source for text in texts for source in sources_of(text)}

    harmless = {
        source.removeprefix(f"{path.name}: ") for one in HARMLESS.values() for source in one
    }
    assert sorted(found - harmless) == []
