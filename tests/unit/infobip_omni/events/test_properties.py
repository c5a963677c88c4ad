"""Whatever is on the queue: a value is sent as it was written, or refused with its path."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from infobip_omni.api.authorization import ApiKeyCredentials
from infobip_omni.api.client import OmniClient
from infobip_omni.api.raw_json import member_texts
from infobip_omni.events.errors import InvalidEventError, field_name
from infobip_omni.events.send_message import SendEvent
from infobip_omni.message import MessageState
from infobip_omni.outbound_requests import requests_of
from infobip_omni.queued_events import Pending, read_event, want
from infobip_omni.send_queue import Record
from infobip_omni.transitions import ClaimStatus

from .json_paths import paths
from .known_examples import KNOWN_EXAMPLES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
URL = "https://xxxxx.api.infobip.com"
BODIES = [json.dumps(example) for example in KNOWN_EXAMPLES.values()]
#: Members whose objects take any name.
FREE_FORM = ("customPayload", "templateData")

# --- What is sent ----------------------------------------------------------------------------

SPACES = st.sampled_from(["", " ", "\n\t"])
CHARACTERS = st.sampled_from(
    ["a", "\u00fc", "\U0001f600", "\\u0061", "\\u00FC", "\\ud83d\\ude00", "\\/", "/", '\\"', "\\\\"]
)
STRINGS = st.lists(CHARACTERS, min_size=1, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
NUMBERS = st.sampled_from(["0", "-0", "12", "1.10", "-0.0", "1e2", "1E+2", "9007199254740993"])
VALUES = st.recursive(
    STRINGS | NUMBERS | st.sampled_from(["true", "null"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda parts: f"[{' ,'.join(parts)}]")
        | st.builds('{{"k" :{}, "l":{}}}'.format, inner, inner)
    ),
    max_leaves=4,
)


def written_object(**members: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return the texts of an object that always has its first member."""

    def write(texts: dict[str, str], space: str) -> str:
        parts = [f'{space}"{name}"{space}:{space}{text}' for name, text in texts.items()]
        return "{" + f"{space},".join(parts) + space + "}"

    first, *rest = members
    chosen = st.fixed_dictionaries(
        {first: members[first]}, optional={name: members[name] for name in rest}
    )
    return st.builds(write, chosen, SPACES)


EVENTS = written_object(
    destinations=st.just('[{"messageId": "m-1", "to": {"phoneNumber": "+385 99 555-0123"}}]'),
    push=written_object(
        text=STRINGS,
        customPayload=written_object(a=VALUES, b=VALUES),
        validityPeriod=st.sampled_from(["12", '"12"']),
        extra=written_object(x=VALUES),
    ),
    sms=written_object(text=STRINGS),
    email=written_object(text=STRINGS, subject=STRINGS),
    callbackData=STRINGS,
    notify=st.sampled_from(["true", "null"]),
    notifyUrl=st.sampled_from(['"https:\\/\\/acme.example"', "null"]),
    sendAt=st.sampled_from(['"2026-02-01T12:00:00.000+0100"', '"2026-02-01T12:00:00+01:00"']),
    bulkId=st.just('"b\\u002d1"'),
    extra=written_object(added=VALUES, more=VALUES),
)


def has_content(body: str) -> bool:
    return not member_texts(body).keys().isdisjoint({"push", "sms", "email"})


def sent_body(body: str) -> bytes:
    """Return what reaches Infobip for a record of the queue."""
    queued = read_event(Record("r", "r", "handle", body, NOW, 1), NOW)
    assert isinstance(queued, Pending), queued
    wanted = want([queued], "never-duplicate")
    held = ClaimStatus(MessageState.CLAIMED, token="t")  # noqa: S106 (a claim's)
    (request,) = requests_of(wanted.claimed([held]).messages)
    with responses.RequestsMock() as wire:
        wire.post(f"{URL}/omni/1/advanced", json={"messages": []})
        client = OmniClient(URL, lambda **_: ApiKeyCredentials(api_key="k"))
        client.send_advanced(request.body(None))
        sent = wire.calls[0].request.body
    assert isinstance(sent, bytes)
    return sent


@settings(max_examples=50)
@given(EVENTS.filter(has_content))
def test_every_value_is_sent_as_it_was_written(body: str) -> None:
    """Down to each digit and escape, but for the phone number, the ids and the bulk id."""
    written, sent = (member_texts(each) for each in (body, sent_body(body).decode()))

    ours = {
        "destinations": '[{"messageId":"m-1","to":{"phoneNumber":"385995550123"}}]',
        "bulkId": '"b-1"' if "bulkId" in written else sent["bulkId"],
    }
    expected = {name: text for name, text in written.items() if text != "null"}
    expected |= member_texts(expected.pop("extra", "{}")) | ours
    assert sent.keys() == expected.keys()
    for name, text in expected.items():
        members = member_texts(text) if name == "push" else {}
        if "extra" in members:
            assert member_texts(sent[name]) == members | member_texts(members.pop("extra"))
        else:
            assert sent[name] == text


# --- What is refused -------------------------------------------------------------------------


def refusal(body: str) -> str | None:
    """Return the field for which a body is refused; None if it is accepted."""
    try:
        SendEvent.parse(body, "r", NOW)
    except InvalidEventError as error:
        return error.field
    return None


@settings(max_examples=50)
@given(st.text() | st.recursive(VALUES, lambda inner: st.lists(inner).map(str), max_leaves=3))
def test_any_text_is_an_event_or_refused(body: str) -> None:
    """Nothing else may be raised, because it would fail the other records of the batch."""
    assert refusal(body) is not None


@settings(max_examples=100)
@given(
    st.sampled_from(BODIES),
    st.integers(0, 2000),
    st.integers(0, 40),
    st.sampled_from(["", '"', "\\", "{", "]", ",", ":", "\\ud83d", "\ud83d", "1e999", "NaN"])
    | st.text(max_size=3),
)
def test_damaged_event_is_an_event_or_refused(body: str, at: int, length: int, new: str) -> None:
    """A cut, a lost character or a wrong one may be anywhere."""
    at %= len(body)

    refusal(body[:at] + new + body[at + length :])


def written_with(value: Any, path: tuple[Any, ...] | None, more: str) -> str:  # noqa: ANN401
    """Return JSON in which *more* follows the member at a path; None adds nothing."""

    def inner(key: object, each: object) -> str:
        return written_with(each, path[1:] if path and path[0] == key else None, more)

    if isinstance(value, dict):
        parts = [
            f"{json.dumps(name)}: {inner(name, each)}" + (more if path == (name,) else "")
            for name, each in value.items()
        ]
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        return f"[{', '.join(inner(position, each) for position, each in enumerate(value))}]"
    return json.dumps(value)


@pytest.mark.parametrize("name", KNOWN_EXAMPLES)
def test_repeated_member_is_refused_with_its_path(name: str) -> None:
    """At any place of any event."""
    example = KNOWN_EXAMPLES[name]
    for path in paths(example):
        again = f", {json.dumps(path[-1])}: null"

        assert refusal(written_with(example, path, again)) == field_name(path)


@pytest.mark.parametrize("name", KNOWN_EXAMPLES)
def test_unknown_member_is_refused_with_its_path(name: str) -> None:
    """At any place but in objects that are the caller's own."""
    example = KNOWN_EXAMPLES[name]
    for path in paths(example):
        if path[-1] not in FREE_FORM and not {*path[:-1]}.isdisjoint(FREE_FORM):
            continue
        unknown = (*path[:-1], "unknownMember")

        assert refusal(written_with(example, path, ', "unknownMember": 1')) == field_name(unknown)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", '"\\ud83d"', '"\\udc00\\ud83d"'])
def test_unsendable_value_is_refused_with_its_path(value: str) -> None:
    """At any place of an event."""
    example = KNOWN_EXAMPLES["OpenAPI: push, then SMS"]
    for path in paths(example):
        written = written_with(example, path, f', "more": {value}')

        assert refusal(written) == field_name((*path[:-1], "more"))
