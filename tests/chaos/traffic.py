"""The events of a run, generated from its seed: valid and invalid ones, as upstream apps send."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .cloud import API_KEY, SCENARIO, WEBHOOK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cloud import Cloud

Json = dict[str, Any]

#: No log line may hold the phone numbers, texts, push registrations and keys of a run, or the URLs
#: that give access to its webhook. `PERSONAL` matches them.
_PHONE = "99907"
_TEXT = "canary-text"
_REGISTRATION = "canary-registration"
_WEBHOOK_PATH = r"reports/[^/\s]+/[\w-]{43}"
PERSONAL = re.compile(
    rf"{_PHONE}\d{{10}}|{_TEXT}|{_REGISTRATION}|{API_KEY}|{WEBHOOK_KEY}|{_WEBHOOK_PATH}"
)

MUST_ARRIVE = "must-arrive"
#: The last digits of a phone number, by which the simulator chooses the outcome, and their weights.
_OUTCOME_DIGITS = {
    "1111": 50,
    "0002": 20,
    "0003": 5,
    "0004": 4,
    "0005": 8,
    "0006": 4,
    "0007": 6,
    "0008": 4,
    "0009": 4,
}
_CAMPAIGN_EVENTS = 40
_MAX_DESTINATIONS = 12
_MAX_REMEMBERED = 400
_FOREIGN_PER_THOUSAND = 24
_FEWEST_FOREIGN = 120
#: Reserved for the end of a run: some crash points are reached only with such an id.
_RESERVED_FOREIGN = 90
_EVENTS_PER_FEED = 20
#: How many messages one SQS batch may hold.
_BATCH = 10


@dataclass(slots=True)
class Event:
    """One record of the send queue, with the facts that the checks need."""

    kind: str
    body: str
    #: The ids of its messages; missing ids are derived from the record id once SQS has assigned it.
    message_ids: list[str | None]
    must_arrive: bool = False
    #: Differs between events that use the same message id for different contents.
    variant: str = ""
    record_id: str = ""

    def queued_as(self, record_id: str) -> None:
        """Set the record id that SQS has assigned, and derive missing message ids from it."""
        self.record_id = record_id
        self.message_ids = [
            message_id or f"{record_id}-{position}"
            for position, message_id in enumerate(self.message_ids)
        ]


@dataclass(slots=True)
class Traffic:
    """An endless stream of events."""

    seed: int
    scenario_key: str
    foreign_ids: list[str]
    messages: int = 0
    _random: random.Random = field(init=False)
    _events: int = field(init=False, default=0)
    _recipients: int = field(init=False, default=0)
    _earlier: list[Event] = field(init=False, default_factory=list)
    _foreign_left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"traffic {self.seed}")
        self._foreign_left = list(self.foreign_ids)

    def next(self) -> Event:
        """Return the next event."""
        builders: dict[Callable[[], Event], float] = {
            self._single: 44,
            self._campaign: 17,
            self._several_destinations: 12,
            self._without_id: 6,
            self._with_scenario_key: 4,
            self._scheduled: 2,
            self._poison: 4,
            self._foreign: 3,
            self._repeat: 5,
            self._conflict: 3,
        }
        (build,) = self._random.choices(list(builders), list(builders.values()))
        return self._counted(build())

    def foreign(self) -> Event:
        """Return an event with an id that another account has used, while any are left."""
        return self._counted(self._foreign(reserved=0))

    def _counted(self, event: Event) -> Event:
        self._events += 1
        self.messages += len(event.message_ids)
        if event.kind not in ("poison", "repeat", "conflict", "foreign") and all(event.message_ids):
            self._earlier.append(event)
            del self._earlier[:-_MAX_REMEMBERED]
        return event

    def _single(self, **members: Any) -> Event:  # noqa: ANN401 (JSON)
        message_id = self._new_id()
        body = self._content() | {"messageId": message_id, "to": self._recipient()} | members
        return self._event("single", body, [message_id])

    def _campaign(self) -> Event:
        """Return one of many events with the same content, which may share a request."""
        number = self._events // _CAMPAIGN_EVENTS
        event = self._single(**self._texts(f"campaign {number}"))
        event.kind = "campaign"
        return event

    def _several_destinations(self) -> Event:
        ids = [self._new_id() for _ in range(self._random.randint(2, _MAX_DESTINATIONS))]
        destinations = [{"messageId": each, "to": self._recipient()} for each in ids]
        body = self._content() | {"destinations": destinations}
        return self._event("several destinations", body, [*ids])

    def _without_id(self) -> Event:
        several = self._random.random() < 0.5
        destinations = [{"to": self._recipient()} for _ in range(1 + several)]
        body = self._content() | {"destinations": destinations}
        return self._event("without id", body, [None] * len(destinations))

    def _with_scenario_key(self) -> Event:
        """Name the scenario by Infobip's key, so its flow is unknown to the sender."""
        event = self._single()
        body = json.loads(event.body)
        del body["scenario"]
        event.body = json.dumps(body | {"scenarioKey": self.scenario_key})
        event.kind = "scenario key"
        return event

    def _scheduled(self) -> Event:
        send_at = datetime.now(UTC) + timedelta(seconds=self._random.uniform(1, 6))
        event = self._single(sendAt=send_at.isoformat(timespec="milliseconds"))
        event.kind = "scheduled"
        return event

    def _foreign(self, reserved: int = _RESERVED_FOREIGN) -> Event:
        """Use an id under which another account has sent a message to another recipient."""
        if len(self._foreign_left) <= reserved:
            return self._single()
        message_id = self._foreign_left.pop()
        body = self._content() | {"messageId": message_id, "to": self._recipient()}
        return self._event("foreign", body, [message_id])

    def _poison(self) -> Event:
        body = self._content() | {"messageId": self._new_id(), "to": self._recipient()}
        text = json.dumps(body)
        poisons = (
            text[:-1],
            json.dumps(body | {"unknown": _TEXT}),
            json.dumps(body | {"to": {"phoneNumber": "0" + _PHONE}}),
            json.dumps({name: value for name, value in body.items() if name != "sms"}),
            json.dumps(body | {"scenario": "no such scenario"}),
            json.dumps(body | {"push": {"text": 5}}),
        )
        return Event("poison", self._random.choice(poisons), [])

    def _repeat(self) -> Event:
        """Repeat an earlier event."""
        if not self._earlier:
            return self._single()
        earlier = self._random.choice(self._earlier)
        return Event(
            "repeat", earlier.body, [*earlier.message_ids], earlier.must_arrive, earlier.variant
        )

    def _conflict(self) -> Event:
        """Use the message id of an earlier event for other content."""
        if not self._earlier:
            return self._single()
        message_id = self._random.choice(self._random.choice(self._earlier).message_ids)
        texts = self._texts(f"conflict {self._events}")
        body = self._content() | texts | {"messageId": message_id, "to": self._recipient()}
        return self._event("conflict", body, [message_id])

    def _event(self, kind: str, body: Json, message_ids: list[str | None]) -> Event:
        must_arrive = self._random.random() < 0.25
        if must_arrive:
            body |= {"onUnknown": MUST_ARRIVE}
        return Event(kind, json.dumps(body), message_ids, must_arrive, f"{self._events}")

    def _new_id(self) -> str:
        self._recipients += 1
        return f"chaos-{self.seed}-{self._recipients}"

    def _content(self) -> Json:
        return {"scenario": SCENARIO} | self._texts(f"event {self._events}")

    def _texts(self, about: str) -> Json:
        return {"push": {"text": f"{_TEXT} {about}"}, "sms": {"text": f"{_TEXT} {about}"}}

    def _recipient(self) -> Json:
        self._recipients += 1
        (digits,) = self._random.choices(list(_OUTCOME_DIGITS), list(_OUTCOME_DIGITS.values()))
        to = {"phoneNumber": f"{_PHONE}{self._recipients:06d}{digits}"}
        if self._random.random() < 0.3:
            to["pushRegistrationId"] = f"{_REGISTRATION}-{self._recipients}-{digits}"
        return to


class Upstream:
    """The apps that queue events.

    Args:
        traffic: Generates the events.
        cloud: Holds the queue.
    """

    def __init__(self, traffic: Traffic, cloud: Cloud) -> None:
        self._traffic = traffic
        self._cloud = cloud
        #: The events queued so far, in order.
        self.events: list[Event] = []

    @property
    def queued(self) -> int:
        """The number of messages in the queued events."""
        return self._traffic.messages

    def feed(self) -> None:
        """Queue some events."""
        self._queue([self._traffic.next() for _ in range(_EVENTS_PER_FEED)])

    def feed_foreign(self) -> None:
        """Queue an event with an id that another account has used, while any are left."""
        self._queue([self._traffic.foreign()])

    def _queue(self, events: list[Event]) -> None:
        for start in range(0, len(events), _BATCH):
            batch = events[start : start + _BATCH]
            ids = self._cloud.queue([event.body for event in batch])
            for event, record_id in zip(batch, ids, strict=True):
                event.queued_as(record_id)
        self.events += events


def foreign_ids(seed: int, messages: int) -> list[str]:
    """Return the message ids that another account uses."""
    count = max(_FEWEST_FOREIGN, messages * _FOREIGN_PER_THOUSAND // 1000)
    return [f"chaos-{seed}-foreign-{number}" for number in range(count)]


def foreign_requests(
    seed: int, messages: int, message_ids: list[str], scenario_key: str
) -> Iterator[Json]:
    """Build the requests of another account, whose reports reach this system during the run.

    Args:
        seed: Determines when Infobip sends each message.
        messages: How many messages the run queues, which determines how long it takes.
        message_ids: The message id of each request.
        scenario_key: Infobip's key of the scenario of all requests.
    """
    generator = random.Random(f"foreign {seed}")
    longest = min(60.0, 5.0 + messages / 100)
    for message_id in message_ids:
        send_at = datetime.now(UTC) + timedelta(seconds=generator.uniform(0, longest))
        to = {"phoneNumber": f"{_PHONE}9999990005"}
        yield {
            "destinations": [{"messageId": message_id, "to": to}],
            "scenarioKey": scenario_key,
            "sms": {"text": _TEXT},
            "push": {"text": _TEXT},
            "sendAt": send_at.isoformat(timespec="milliseconds"),
        }
