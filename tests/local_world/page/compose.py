"""Checks an event as the sender checks it, and lists what one can begin with."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from infobip_omni.api.channels import Channel
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.message_ids import message_ids_in
from infobip_omni.events.send_message import SendEvent
from infobip_omni.parameters import ParameterUnavailableError
from infobip_omni.scenario_registry import ScenarioRegistry, checked, slug
from infobip_omni.timestamps import utc_now
from tests.local_world.aws_emulator import ROOT
from tests.local_world.commands import parse_object, records
from tests.local_world.running import RefusedError

from .board import phone_of
from .refusals import PageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ssm import SSMClient

    Json = dict[str, Any]

#: In place of the id that SQS assigns when the event is queued.
_NO_RECORD_ID = "not-queued-yet"
_EXAMPLES = "send_message*.json"
_EXAMPLE_SCENARIO = ROOT / "events/create_scenario.json"


class Composer:
    """What the page offers to write events.

    Args:
        registry: Returns the registered scenarios, without a cache that is filled already, so what
            was registered a moment ago is found.
    """

    def __init__(self, registry: Callable[[], ScenarioRegistry]) -> None:
        self._registry = registry

    @classmethod
    def of(cls, ssm: SSMClient, prefix: str) -> Composer:
        """Return a composer for the scenarios whose SSM parameters have a prefix."""
        return cls(lambda: ScenarioRegistry(prefix, ssm))

    @property
    def channels(self) -> list[str]:
        """The names of Infobip's channels."""
        return [*Channel]

    @staticmethod
    def ids_in(text: str, record_id: str) -> list[str]:
        """Return the message ids of a queued event, as far as they can be read."""
        return message_ids_in(text, record_id)

    def offered(self) -> Json:
        """Return what an event can begin with.

        Returns:
            The registered `scenarios`; the `exampleScenario`, for where there is none; and the
            `examples`, the example events that belong on the queue.

        Raises:
            PageError: The scenarios cannot be read.
        """
        with _readable():
            found = self._registry().all()
        example = json.loads(_EXAMPLE_SCENARIO.read_text())
        return {
            "scenarios": [_scenario(each.name, each.to_answer()["flow"]) for each in found],
            "exampleScenario": _scenario(example["name"], example["flow"]),
            "examples": examples(),
        }

    def check(self, text: str) -> Json:
        """Check an event.

        Args:
            text: As it would be queued.

        Returns:
            `ok`, and the `messageIds` that the event itself names and its `phones`; or the `field`
            and the `rule` that it breaks, which never quote a value.

        Raises:
            PageError: The scenario cannot be read.
        """
        try:
            event = SendEvent.parse(text, _NO_RECORD_ID, utc_now())
            if event.body.scenario is not None:
                with _readable():
                    scenario = self._registry().find(event.body.scenario)
                checked(event, scenario)
        except InvalidEventError as error:
            is_of_all = error.field == "body" and error.rule == "must be JSON"
            rule = _rule_with_place(text) if is_of_all else error.rule
            return {"ok": False, "field": error.field, "rule": rule}
        phones = [phone_of(each.recipient.model_dump(exclude_none=True)) for each in event.messages]
        ids = [
            message.message_id
            for position, message in enumerate(event.messages)
            if message.message_id != f"{_NO_RECORD_ID}-{position}"
        ]
        return {"ok": True, "messageIds": ids, "phones": phones}


def _scenario(name: str, flow: list[Json]) -> Json:
    return {"name": name, "slug": slug(name), "flow": flow}


def examples() -> list[Json]:
    """Return `name` and `text` of each example event that belongs on the send queue."""
    found = []
    for path in sorted((ROOT / "events").glob(_EXAMPLES)):
        text = path.read_text()
        event = json.loads(text)
        if "Records" not in event:
            found.append({"name": path.name, "text": text})
            continue
        for number, (body, _) in enumerate(records(event), start=1):
            name = f"{path.name}, record {number}"
            found.append({"name": name, "text": json.dumps(json.loads(body), indent=2)})
    return found


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ParameterUnavailableError as error:
        raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None


def _rule_with_place(text: str) -> str:
    try:
        parse_object(text.lstrip("\ufeff"), "it")
    except RefusedError as error:
        return f"must be JSON: {error}"
    return "must be JSON"
