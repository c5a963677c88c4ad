"""Names become slugs, and entries become JSON that SSM accepts."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infobip_omni.api.channels import Channel
from infobip_omni.api.scenarios import ScenarioDefinition, ScenarioStep
from infobip_omni.scenario_registry import RegisteredScenario, UnregistrableScenarioError, slug
from tests.fakes import FakeScenarioRegistry

FLOW = (
    ScenarioStep(sender="acme-app", channel=Channel.PUSH),
    ScenarioStep(sender="Acme", channel=Channel.SMS),
)


def entry(name: str = "otp") -> RegisteredScenario:
    return RegisteredScenario(key="key-1", name=name, flow=FLOW, default=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("otp", "otp"),
        ("Order updates", "order-updates"),
        ("  Order -- updates! ", "order-updates"),
        ("2FA/login", "2fa-login"),
        ("Größe 1", "gr-e-1"),
        ("a_b.c", "a-b-c"),
    ],
)
def test_slug_keeps_letters_and_digits(name: str, expected: str) -> None:
    """Each run of other characters becomes one hyphen, or nothing at either end."""
    assert slug(name) == expected


@pytest.mark.parametrize("name", ["", "---", "Ωμέγα", "a" * 201])
def test_name_without_usable_slug_is_refused(name: str) -> None:
    """The error names the member, so the caller knows what to change."""
    with pytest.raises(UnregistrableScenarioError) as caught:
        slug(name)

    assert caught.value.member == "name"


@given(st.text())
def test_slug_of_slug_is_itself(name: str) -> None:
    """So a name and its slug lead to the same parameter, whose path holds the slug."""
    assume(any(character in string.ascii_letters + string.digits for character in name))
    assume(len(name) < 100)

    text = slug(name)

    assert slug(text) == text
    assert set(text) <= set(string.ascii_lowercase + string.digits + "-")


def test_entry_has_documented_json() -> None:
    """An absent sender stays absent."""
    flow = (ScenarioStep(channel=Channel.PUSH), FLOW[1])
    written = entry().model_copy(update={"flow": flow}).to_json()

    assert json.loads(written) == {
        "key": "key-1",
        "name": "otp",
        "flow": [{"channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
        "default": False,
    }


@pytest.mark.parametrize("around", ["\ufeff", "\r\n", "\xa0", "\n\ufeff "])
def test_invisible_characters_around_entry_are_dropped(around: str) -> None:
    """An operator may have written the parameter from a file."""
    assert RegisteredScenario.from_json(f"{around}{entry().to_json()}{around}") == entry()


@given(st.text(alphabet="a{}\\\"'u007bé ", min_size=1))
def test_braces_in_name_survive(name: str) -> None:
    """SSM reads ``{{`` and ``}}`` as a reference, so they are never written."""
    written = entry(name).to_json()

    assert "{{" not in written
    assert "}}" not in written
    assert RegisteredScenario.model_validate_json(written) == entry(name)


@pytest.mark.parametrize(("before", "after"), [("\ufeff", "\r\n"), (" ", "\n"), ("\n\ufeff", "")])
def test_byte_order_mark_and_white_space_around_an_entry_are_ignored(
    before: str, after: str
) -> None:
    """An operator may have edited the parameter."""
    assert RegisteredScenario.from_json(before + entry().to_json() + after) == entry()


def test_mark_of_an_update_is_written_only_while_it_lasts() -> None:
    """So the parameter has its documented members, and an older version can read the mark."""
    written = json.loads(entry().as_updating().to_json())

    assert written == json.loads(entry().to_json()) | {"updating": True}
    assert "updating" not in entry().to_answer()


def test_scenario_too_large_for_parameter_is_refused() -> None:
    """It is refused before Infobip creates it."""
    registry = FakeScenarioRegistry()
    steps = tuple(ScenarioStep(sender="x" * 50, channel=Channel.SMS) for _ in range(60))

    registry.check(ScenarioDefinition(name="otp", flow=FLOW))
    with pytest.raises(UnregistrableScenarioError, match=r"^flow: must fit 4096 bytes"):
        registry.check(ScenarioDefinition(name="otp", flow=steps))
