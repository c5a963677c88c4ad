"""The scripts of the page know each word that its server uses; they cannot import Python."""

from __future__ import annotations

import re

from tests.local_world.aws_emulator import ROOT
from tests.local_world.commands import STATES
from tests.local_world.page.switches import BEHAVIOURS, SWITCHES

STATIC = ROOT / "tests/local_world/page/static"


def constant(file: str, name: str) -> str:
    """Return the text of a constant in a script, which is an object or a list."""
    found = re.search(
        rf"const {name} = [\[{{]\n(.*?)\n[\]}}];", (STATIC / file).read_text(), re.DOTALL
    )
    assert found is not None, name
    return found[1]


def test_states_are_listed_in_their_order() -> None:
    assert tuple(re.findall(r'"([A-Z]+)"', constant("formats.js", "STATES"))) == STATES


def test_each_state_is_explained() -> None:
    assert (
        tuple(re.findall(r"^  ([A-Z]+):", constant("formats.js", "MEANINGS"), re.MULTILINE))
        == STATES
    )


def test_each_behaviour_has_name() -> None:
    names = re.findall(r'^  "?([a-z-]+)"?:', constant("phone.js", "BEHAVIOURS"), re.MULTILINE)

    assert names == list(BEHAVIOURS)


def test_each_switch_is_on_page() -> None:
    script = (STATIC / "infobip.js").read_text()
    names = re.findall(r'\[\s*"([a-z-]+)"', constant("infobip.js", "SWITCHES"))

    assert {*names, *re.findall(r'const OUTAGE = "([a-z]+)"', script)} == set(SWITCHES)
